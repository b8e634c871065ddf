//! `coordinator init`: keys, and the file by which others learn of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use runtime::entropy::OsEntropy;
use runtime::files::{self, FileTrouble};
use runtime::key::{FileKey, KeyFileTrouble, RemoteSigner};
use runtime::pki::{self, PkiTrouble, Validity};
use runtime::tls::{Identity, TlsTrouble};

use crate::config::{RawConfig, RawLedger, RawLimits};

/// What a shard says of itself, for the `ceremony` tool to collect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The shard's name.
    pub name: String,
    /// Always `shard`.
    pub role: String,
    /// Identity key, hexadecimal.
    pub identity: String,
    /// TLS key (raw Ed25519), hexadecimal.
    pub tls_public: String,
    /// Its pin, hexadecimal.
    pub tls_pin: String,
    /// `host:port` for trustees, shards and officials.
    pub address: String,
    /// `host:port` for voters and the public.
    pub public_address: String,
}

/// Why there is no new shard.
#[derive(Debug, Error)]
pub enum EnrolTrouble {
    /// A file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileTrouble),
    /// An address.
    #[error("{got:?} is not an address; write HOST:PORT")]
    Address {
        /// Given.
        got: String,
    },
    /// Cannot happen for what is written here.
    #[error("the file cannot be written as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewShard {
    /// Directory, made if it is not there.
    pub dir: PathBuf,
    /// The shard's name.
    pub name: String,
    /// `host:port` for trustees, shards and officials.
    pub address: String,
    /// `host:port` for voters and the public.
    pub public_address: String,
    /// Path of the circle file.
    pub circle: PathBuf,
    /// RPCs.
    pub rpc: Vec<String>,
}

/// Makes keys (existing ones stay), `enrol.toml` and `shard.toml` (an existing one stays).
///
/// # Errors
/// [`EnrolTrouble`].
pub fn init(new: &NewShard) -> Result<Enrolment, EnrolTrouble> {
    files::create_private_dir(&new.dir)?;
    let identity = FileKey::load_or_create(&new.dir.join("identity.key"), &mut OsEntropy)?;
    let tls = FileKey::load_or_create(&new.dir.join("tls.key"), &mut OsEntropy)?;
    let enrolment = Enrolment {
        name: new.name.clone(),
        role: "shard".to_owned(),
        identity: hex::encode(identity.public_key()),
        tls_public: hex::encode(tls.public_key()),
        tls_pin: tls.pin().to_string(),
        address: new.address.clone(),
        public_address: new.public_address.clone(),
    };
    let config = RawConfig {
        name: new.name.clone(),
        data: "data".into(),
        listen: listen(&new.address)?,
        public_listen: listen(&new.public_address)?,
        identity_key: "identity.key".into(),
        tls_key: "tls.key".into(),
        circle: new.circle.clone(),
        certificate: None,
        certificate_key: None,
        ledger: RawLedger { rpc: new.rpc.clone() },
        metrics: None,
        limits: RawLimits::default(),
    };
    files::write_atomic(&new.dir.join("enrol.toml"), toml::to_string(&enrolment)?.as_bytes())?;
    let config_path = new.dir.join("shard.toml");
    if !config_path.exists() {
        files::write_atomic(&config_path, toml::to_string(&config)?.as_bytes())?;
    }
    Ok(enrolment)
}

/// Where to listen so as to be reached there: the address itself, or its port on every address of this machine.
fn listen(address: &str) -> Result<SocketAddr, EnrolTrouble> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| EnrolTrouble::Address { got: address.to_owned() })?;
    Ok(SocketAddr::from(([0, 0, 0, 0], port)))
}

/// A TLS identity with a self-signed certificate of ten years: its pin is what counts.
///
/// # Errors
/// A key that does not sign.
pub fn self_signed(tls: Arc<dyn RemoteSigner>, name: &str, addresses: &[&str]) -> Result<Identity, TlsTrouble> {
    let mut sans: Vec<String> = addresses.iter().filter_map(|address| host(address)).collect();
    sans.sort();
    sans.dedup();
    let validity = Validity::days(runtime::clock::now_s(), 3650);
    let certificate = pki::self_signed(Arc::clone(&tls), name, &sans, validity)
        .or_else(|_: PkiTrouble| pki::self_signed(Arc::clone(&tls), "shard", &[], validity))?;
    Identity::new(vec![certificate], tls)
}

fn host(address: &str) -> Option<String> {
    let (host, _) = address.rsplit_once(':')?;
    Some(host.trim_matches(['[', ']']).to_owned())
}

/// Reads an enrolment, as `ceremony` does.
///
/// # Errors
/// Not such a file.
pub fn read(path: &Path) -> Result<Enrolment, crate::config::ConfigTrouble> {
    let bytes = files::read_limited(path, 64 * 1024)?;
    let text = String::from_utf8(bytes).map_err(|_| crate::config::ConfigTrouble::NotText { path: path.to_owned() })?;
    toml::from_str(&text)
        .map_err(|source| crate::config::ConfigTrouble::Toml { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_new_shard_has_keys_an_enrolment_and_a_configuration_and_a_second_run_changes_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let new = NewShard {
            dir: dir.path().join("shard-a"),
            name: "shard-a".to_owned(),
            address: "127.0.0.1:7101".to_owned(),
            public_address: "shard.example.org:7201".to_owned(),
            circle: "../circle.toml".into(),
            rpc: Vec::new(),
        };
        let first = init(&new).unwrap();
        assert_eq!(read(&new.dir.join("enrol.toml")).unwrap(), first);
        let config = Config::load(&new.dir.join("shard.toml")).unwrap();
        assert_eq!(config.public_listen, "0.0.0.0:7201".parse().unwrap());
        assert_eq!(init(&new).unwrap(), first);
    }
}
