//! `trustee init`: keys, configuration, and what the official needs to know.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use runtime::entropy::OsEntropy;
use runtime::files::{self, FileTrouble};
use runtime::pin::SpkiPin;
use serde::{Deserialize, Serialize};

use crate::config::{
    Config, ConfigTrouble, LogConfig, RawConfig, RawKeyFile, RawKeystore, RawToken, check_address, check_text, render,
};
use crate::keystore::file::PassphraseCost;
use crate::keystore::pkcs11::{Recovery, TokenConfig, TokenSelector};
use crate::keystore::{self, Keystore, KeystoreError, SecretSource};

/// The configuration's name in the folder.
pub const CONFIG_FILE: &str = "trustee.toml";
/// The enrolment file's name in the folder.
pub const ENROLMENT_FILE: &str = "enrol.toml";
/// The encrypted key file's name in the folder.
const KEY_FILE: &str = "keys.conclave";

/// What is public about a trustee: goes to the official.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Unique in the circle.
    pub name: String,
    /// Who it answers to.
    pub organisation: String,
    /// Where it runs.
    pub region: String,
    /// Always `trustee`.
    pub role: String,
    /// Ed25519 identity key, hexadecimal.
    pub identity: String,
    /// Ed25519 TLS key, hexadecimal.
    pub tls_public: String,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo, hexadecimal.
    pub tls_pin: String,
    /// `host:port`.
    pub address: String,
}

/// Where to make the keys.
#[derive(Debug, Clone)]
pub enum NewKeys {
    /// In a token.
    Token {
        /// PKCS#11 module.
        module: PathBuf,
        /// The token's label.
        label: String,
        /// File with its PIN.
        pin_file: PathBuf,
        /// Whether software will do.
        allow_software_token: bool,
    },
    /// In an encrypted file.
    File {
        /// File with the passphrase.
        passphrase_file: PathBuf,
        /// What a guess at it costs.
        cost: PassphraseCost,
    },
}

/// What `trustee init` is told.
#[derive(Debug, Clone)]
pub struct NewTrustee {
    /// Folder for everything.
    pub folder: PathBuf,
    /// Unique in the circle.
    pub name: String,
    /// Who it answers to.
    pub organisation: String,
    /// Where it runs.
    pub region: String,
    /// `host:port` for the shards.
    pub address: String,
    /// Where to listen, if it is not the address itself.
    pub listen: Option<String>,
    /// Where the keys shall be.
    pub keys: NewKeys,
}

/// Why there is no new trustee.
#[derive(Debug, thiserror::Error)]
pub enum InitTrouble {
    /// There is one already.
    #[error("{} exists already: a trustee is made once; use another folder for another one", .path.display())]
    Exists {
        /// The configuration.
        path: PathBuf,
    },
    /// A value.
    #[error("{key} must be {expected}, not {got:?}")]
    Value {
        /// Which argument.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// The keys.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// The folder cannot be made.
    #[error("cannot make {}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What was made cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigTrouble),
    /// TOML cannot say it.
    #[error("cannot write it as TOML")]
    Toml(#[from] toml::ser::Error),
}

/// Makes keys, `trustee.toml` and `enrol.toml`. The configuration is written last: a trustee without it was not made.
///
/// # Errors
/// [`InitTrouble`]. Existing keys and files are never overwritten.
pub fn init(new: &NewTrustee) -> Result<Enrolment, InitTrouble> {
    let value = |key, expected, got: &str| InitTrouble::Value { key, expected, got: got.to_owned() };
    for (key, text) in [("--name", &new.name), ("--organisation", &new.organisation), ("--region", &new.region)] {
        check_text(text).map_err(|expected| value(key, expected, text))?;
    }
    check_address(&new.address).map_err(|expected| value("--address", expected, &new.address))?;
    let listen = match &new.listen {
        Some(listen) => listen.parse().map_err(|_| value("--listen", "an IP address and a port", listen))?,
        None => listen_for(&new.address),
    };
    let path = new.folder.join(CONFIG_FILE);
    if path.exists() {
        return Err(InitTrouble::Exists { path });
    }
    std::fs::create_dir_all(&new.folder).map_err(|source| InitTrouble::Folder { path: new.folder.clone(), source })?;
    files::create_private_dir(&new.folder.join("data"))?;

    let (keystore, raw_keystore) = make_keys(new)?;
    let (identity, tls) = (keystore.identity_public(), keystore.tls_public());
    let enrolment = Enrolment {
        name: new.name.clone(),
        organisation: new.organisation.clone(),
        region: new.region.clone(),
        role: "trustee".to_owned(),
        identity: hex::encode(identity),
        tls_public: hex::encode(tls),
        tls_pin: SpkiPin::of_ed25519(&tls).to_string(),
        address: new.address.clone(),
    };
    let raw = RawConfig {
        name: new.name.clone(),
        organisation: new.organisation.clone(),
        region: new.region.clone(),
        address: new.address.clone(),
        listen: listen.to_string(),
        data: "data".into(),
        circle: "circle.toml".into(),
        identity: enrolment.identity.clone(),
        tls_public: enrolment.tls_public.clone(),
        keystore: raw_keystore,
        metrics: None,
        log: LogConfig::default(),
    };
    Config::check(raw.clone(), &path)?;
    files::write_atomic(&new.folder.join(ENROLMENT_FILE), toml::to_string(&enrolment)?.as_bytes())?;
    files::write_atomic(&path, render(&raw)?.as_bytes())?;
    Ok(enrolment)
}

fn make_keys(new: &NewTrustee) -> Result<(Box<dyn Keystore>, RawKeystore), InitTrouble> {
    match &new.keys {
        NewKeys::Token { module, label, pin_file, allow_software_token } => {
            let config = TokenConfig {
                module: module.clone(),
                token: TokenSelector::Label(label.clone()),
                pin: SecretSource::File(pin_file.clone()),
                allow_software_token: *allow_software_token,
                recovery: Recovery::default(),
            };
            let raw = RawToken {
                module: absolute(module),
                label: Some(label.clone()),
                serial: None,
                pin_file: absolute(pin_file),
                allow_software_token: *allow_software_token,
            };
            let keystore = keystore::pkcs11::create(&config)?;
            Ok((Box::new(keystore), RawKeystore { token: Some(raw), file: None }))
        }
        NewKeys::File { passphrase_file, cost } => {
            let passphrase = SecretSource::File(passphrase_file.clone()).read()?;
            let path = new.folder.join(KEY_FILE);
            let keystore = keystore::file::create(&path, &passphrase, *cost, &mut OsEntropy)?;
            let raw = RawKeyFile { path: KEY_FILE.into(), passphrase_file: absolute(passphrase_file) };
            Ok((Box::new(keystore), RawKeystore { token: None, file: Some(raw) }))
        }
    }
}

/// The configuration lies elsewhere than where the command runs.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The address itself if it is an IP address; otherwise its port on all addresses.
fn listen_for(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default();
        SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_trustee(folder: &Path) -> NewTrustee {
        let passphrase_file = folder.join("pass");
        files::write_private(&passphrase_file, b"correct horse battery staple\n").unwrap();
        NewTrustee {
            folder: folder.join("ada"),
            name: "Ada".to_owned(),
            organisation: "City".to_owned(),
            region: "North".to_owned(),
            address: "ada.example.org:7001".to_owned(),
            listen: None,
            keys: NewKeys::File { passphrase_file, cost: PassphraseCost::LIGHT_FOR_TESTS },
        }
    }

    #[test]
    fn a_new_trustee_can_be_configured_and_enrolled_and_is_not_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let new = new_trustee(folder.path());
        let enrolment = init(&new).unwrap();
        let config = Config::read(&new.folder.join(CONFIG_FILE)).unwrap();
        assert_eq!(config.raw.identity, enrolment.identity);
        assert_eq!(config.listen.to_string(), "0.0.0.0:7001");
        let written = std::fs::read_to_string(new.folder.join(ENROLMENT_FILE)).unwrap();
        assert_eq!(toml::from_str::<Enrolment>(&written).unwrap(), enrolment);
        let pin = SpkiPin::of_ed25519(&config.expected.tls.unwrap());
        assert_eq!(enrolment.tls_pin, pin.to_string());
        assert!(matches!(init(&new), Err(InitTrouble::Exists { .. })));
    }

    #[test]
    fn keys_without_configuration_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let new = new_trustee(folder.path());
        init(&new).unwrap();
        std::fs::remove_file(new.folder.join(CONFIG_FILE)).unwrap();
        let refused = init(&new).unwrap_err();
        assert!(matches!(refused, InitTrouble::Keystore(KeystoreError::KeyExists { .. })), "{refused}");
    }

    #[test]
    fn bad_arguments_are_named_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let new = new_trustee(folder.path());
        let bad = [
            ("--name", NewTrustee { name: "\u{7}".to_owned(), ..new.clone() }),
            ("--address", NewTrustee { address: "ada".to_owned(), ..new.clone() }),
            ("--listen", NewTrustee { listen: Some("here".to_owned()), ..new.clone() }),
        ];
        for (expected, bad) in bad {
            let refused = init(&bad).unwrap_err();
            assert!(matches!(refused, InitTrouble::Value { key, .. } if key == expected), "{refused}");
        }
        assert!(!new.folder.exists());
    }
}
