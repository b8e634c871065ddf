//! The configuration file: `shard.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use runtime::files::{self, FileTrouble};

const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigTrouble {
    /// The file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// Not UTF-8.
    #[error("{path} is not text", path = path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Not such a file.
    #[error("{path}: {source}", path = path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A number outside of its range.
    #[error("{key} is {got}, expected {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// In the file.
        got: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A key for a certificate that is not there.
    #[error("certificate_key is given and certificate is not; give both or neither")]
    KeyWithoutCertificate,
    /// No name.
    #[error("name must be 1 to 1000 bytes")]
    Name,
}

/// As it is written. The example file documents each key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// The shard's name.
    pub name: String,
    /// Directory of the store.
    pub data: PathBuf,
    /// Internal listener.
    pub listen: SocketAddr,
    /// Public listener.
    pub public_listen: SocketAddr,
    /// Signs receipts, checkpoints, envelopes.
    pub identity_key: PathBuf,
    /// TLS key.
    pub tls_key: PathBuf,
    /// Who may connect.
    pub circle: PathBuf,
    /// Chain for the public listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Key of that chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_key: Option<PathBuf>,
    /// Numbers for whoever watches, over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// The chain.
    #[serde(default)]
    pub ledger: RawLedger,
    /// Bounds.
    #[serde(default)]
    pub limits: RawLimits,
}

/// The chain that elections are anchored on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLedger {
    /// One URL or two.
    #[serde(default)]
    pub rpc: Vec<String>,
}

/// Bounds, as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Ballots of one batch.
    pub batch_ballots: u64,
    /// Wait for company.
    pub batch_wait_ms: u64,
    /// Ballots waiting in a lane.
    pub queue_ballots: u64,
    /// Pause between calls to a trustee.
    pub exchange_ms: u64,
    /// Bytes of the store; 0: no bound.
    pub store_bytes_max: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self { batch_ballots: 1024, batch_wait_ms: 5, queue_ballots: 8192, exchange_ms: 100, store_bytes_max: 0 }
    }
}

/// Bounds, checked.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Ballots of one batch.
    pub batch_ballots: usize,
    /// Wait for company.
    pub batch_wait: Duration,
    /// Ballots waiting in a lane.
    pub queue_ballots: usize,
    /// Pause between calls to a trustee.
    pub exchange: Duration,
    /// Bytes of the store.
    pub store_bytes_max: Option<u64>,
}

/// Checked, with absolute paths.
#[derive(Debug, Clone)]
pub struct Config {
    /// The shard's name.
    pub name: String,
    /// Directory of the store.
    pub data: PathBuf,
    /// Internal listener.
    pub listen: SocketAddr,
    /// Public listener.
    pub public_listen: SocketAddr,
    /// Signs receipts, checkpoints, envelopes.
    pub identity_key: PathBuf,
    /// TLS key.
    pub tls_key: PathBuf,
    /// Who may connect.
    pub circle: PathBuf,
    /// Chain for the public listener, and its key if it is another than the TLS key.
    pub certificate: Option<(PathBuf, Option<PathBuf>)>,
    /// Where numbers are served.
    pub metrics: Option<SocketAddr>,
    /// RPCs of the chain; may be none.
    pub ledger: Vec<String>,
    /// Bounds.
    pub tuning: Tuning,
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigTrouble`].
    pub fn load(path: &Path) -> Result<Self, ConfigTrouble> {
        let bytes = files::read_limited(path, CONFIG_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigTrouble::NotText { path: path.to_owned() })?;
        let raw = toml::from_str(&text)
            .map_err(|source| ConfigTrouble::Toml { path: path.to_owned(), source: Box::new(source) })?;
        Self::from_raw(raw, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks.
    ///
    /// # Errors
    /// [`ConfigTrouble`].
    pub fn from_raw(raw: RawConfig, base: &Path) -> Result<Self, ConfigTrouble> {
        if raw.name.is_empty() || raw.name.len() > 1000 {
            return Err(ConfigTrouble::Name);
        }
        if raw.certificate.is_none() && raw.certificate_key.is_some() {
            return Err(ConfigTrouble::KeyWithoutCertificate);
        }
        let limits = raw.limits;
        let store_bytes_max = match limits.store_bytes_max {
            0 => None,
            bytes => Some(within("limits.store_bytes_max", bytes, 1 << 20, 1 << 46)?),
        };
        Ok(Self {
            name: raw.name,
            data: base.join(raw.data),
            listen: raw.listen,
            public_listen: raw.public_listen,
            identity_key: base.join(raw.identity_key),
            tls_key: base.join(raw.tls_key),
            circle: base.join(raw.circle),
            certificate: raw.certificate.map(|chain| (base.join(chain), raw.certificate_key.map(|key| base.join(key)))),
            metrics: raw.metrics,
            ledger: raw.ledger.rpc,
            tuning: Tuning {
                batch_ballots: size("limits.batch_ballots", limits.batch_ballots, 1, 4096)?,
                batch_wait: Duration::from_millis(within("limits.batch_wait_ms", limits.batch_wait_ms, 0, 1000)?),
                queue_ballots: size("limits.queue_ballots", limits.queue_ballots, 1, 1 << 20)?,
                exchange: Duration::from_millis(within("limits.exchange_ms", limits.exchange_ms, 10, 60_000)?),
                store_bytes_max,
            },
        })
    }
}

fn within(key: &'static str, got: u64, min: u64, max: u64) -> Result<u64, ConfigTrouble> {
    if (min..=max).contains(&got) { Ok(got) } else { Err(ConfigTrouble::Range { key, got, min, max }) }
}

fn size(key: &'static str, got: u64, min: u64, max: u64) -> Result<usize, ConfigTrouble> {
    within(key, got, min, max).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_a_configuration_with_the_defaults() {
        let raw: RawConfig = toml::from_str(include_str!("../shard.example.toml")).unwrap();
        let config = Config::from_raw(raw, Path::new("/base")).unwrap();
        let defaults = RawLimits::default();
        assert_eq!(config.tuning.batch_ballots as u64, defaults.batch_ballots);
        assert_eq!(config.tuning.queue_ballots as u64, defaults.queue_ballots);
        assert_eq!(config.tuning.exchange.as_millis(), u128::from(defaults.exchange_ms));
        assert_eq!(config.identity_key, Path::new("/base/identity.key"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = format!("colour = \"red\"\n{}", include_str!("../shard.example.toml"));
        assert!(toml::from_str::<RawConfig>(&text).unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn a_bound_outside_of_its_range_is_refused_by_name() {
        let mut raw: RawConfig = toml::from_str(include_str!("../shard.example.toml")).unwrap();
        raw.limits.batch_ballots = 0;
        let trouble = Config::from_raw(raw, Path::new("")).unwrap_err();
        assert!(matches!(trouble, ConfigTrouble::Range { key: "limits.batch_ballots", got: 0, .. }), "{trouble}");
    }

    #[test]
    fn a_key_without_its_certificate_is_refused() {
        let mut raw: RawConfig = toml::from_str(include_str!("../shard.example.toml")).unwrap();
        raw.certificate_key = Some("x.key".into());
        assert!(matches!(Config::from_raw(raw, Path::new("")), Err(ConfigTrouble::KeyWithoutCertificate)));
    }
}
