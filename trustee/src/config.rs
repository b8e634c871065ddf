//! `trustee.toml`: where a trustee keeps what, and who it is.
//!
//! Paths are relative to the file's own folder. Secrets are named by path, never written here. Nothing overrides the
//! file, neither environment nor defaults that depend on where the program runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use runtime::files::{self, FileTrouble};
use serde::{Deserialize, Serialize};

use crate::keystore::pkcs11::{Recovery, TokenConfig, TokenSelector};
use crate::keystore::{ExpectedKeys, SecretSource};

/// Largest configuration file, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// The file, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// This trustee's name, as officials and the other trustees know it.
    pub name: String,
    /// Who it answers to.
    pub organisation: String,
    /// Where it runs.
    pub region: String,
    /// `host:port` under which the shards reach it; goes into manifests.
    pub address: String,
    /// IP address and port on which the daemon listens.
    pub listen: String,
    /// Folder of the database and of the operator's decisions. Only its owner may enter it. Never restore it from a
    /// backup: a trustee that forgets what it promised can be made to promise the opposite.
    pub data: PathBuf,
    /// The circle file, from the official. Trusted to say who may call.
    pub circle: PathBuf,
    /// Public identity key, hexadecimal: the keystore must have exactly this one.
    pub identity: String,
    /// Public TLS key, hexadecimal: the keystore must have exactly this one.
    pub tls_public: String,
    /// Where the keys are.
    pub keystore: RawKeystore,
    /// Serves numbers for Prometheus over HTTP, without asking anybody who they are: an address that only the operator
    /// reaches. `conclave_invariant_broken_total` must stay 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// What the daemon says about itself.
    #[serde(default)]
    pub log: LogConfig,
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKeystore {
    /// Keys in a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<RawToken>,
    /// Keys in an encrypted file: for trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<RawKeyFile>,
}

/// Keys in a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawToken {
    /// The PKCS#11 module, a shared library that the token's maker gives.
    pub module: PathBuf,
    /// The token's label. This or `serial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The token's serial number. This or `label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// File with the user PIN, mode 0600.
    pub pin_file: PathBuf,
    /// Whether a token that is only software will do. For trials; shown in the election's record. Default: no.
    #[serde(default)]
    pub allow_software_token: bool,
}

/// Keys in an encrypted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKeyFile {
    /// The file.
    pub path: PathBuf,
    /// File with the passphrase, mode 0600.
    pub passphrase_file: PathBuf,
}

/// What the daemon writes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,h2=warn`. Default `info`.
    pub level: String,
    /// One JSON object per line instead of text. Default: no.
    pub json: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), json: false }
    }
}

/// Where the keys are, checked.
#[derive(Debug, Clone)]
pub enum KeystoreConfig {
    /// In a token.
    Token(TokenConfig),
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its passphrase.
        passphrase: SecretSource,
    },
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// As written.
    pub raw: RawConfig,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// The circle file.
    pub circle: PathBuf,
    /// The keys that the keystore must have.
    pub expected: ExpectedKeys,
    /// Where they are.
    pub keystore: KeystoreConfig,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigTrouble {
    /// The file.
    #[error("the configuration cannot be read; `trustee init` makes one, `--config FILE` names it")]
    File(#[from] FileTrouble),
    /// Not TOML, or unknown or missing keys.
    #[error("{} is not a usable configuration: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// A value.
    #[error("{}: {key} must be {expected}, not {got:?}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// Both or neither of two.
    #[error("{}: {one} or {other}: exactly one of them must be there", .path.display())]
    OneOf {
        /// The file.
        path: PathBuf,
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigTrouble`], naming the key.
    pub fn read(path: &Path) -> Result<Self, ConfigTrouble> {
        let bytes = files::read_limited(path, BYTES_MAX)?;
        let raw = toml::from_slice(&bytes)
            .map_err(|source| ConfigTrouble::Malformed { path: path.to_owned(), source: Box::new(source) })?;
        Self::check(raw, path)
    }

    /// Checks a configuration that stands in `path`.
    ///
    /// # Errors
    /// [`ConfigTrouble`], naming the key.
    pub fn check(raw: RawConfig, path: &Path) -> Result<Self, ConfigTrouble> {
        let value = |key, expected, got: &str| ConfigTrouble::Value {
            path: path.to_owned(),
            key,
            expected,
            got: got.to_owned(),
        };
        let one_of = |one, other| ConfigTrouble::OneOf { path: path.to_owned(), one, other };
        let folder = path.parent().unwrap_or(Path::new(""));
        let key = |name, text: &str| {
            let mut out = [0; 32];
            hex::decode_to_slice(text, &mut out)
                .map_err(|_| value(name, "a public key of 64 hexadecimal digits", text))?;
            Ok::<_, ConfigTrouble>(out)
        };
        for (name, text) in [
            ("name", &raw.name),
            ("organisation", &raw.organisation),
            ("region", &raw.region),
            ("address", &raw.address),
        ] {
            check_text(text).map_err(|expected| value(name, expected, text))?;
        }
        check_address(&raw.address).map_err(|expected| value("address", expected, &raw.address))?;
        let listen: SocketAddr = raw
            .listen
            .parse()
            .map_err(|_| value("listen", "an IP address and a port, such as 0.0.0.0:7001", &raw.listen))?;
        let keystore = match (&raw.keystore.token, &raw.keystore.file) {
            (Some(token), None) => {
                let selector = match (&token.label, &token.serial) {
                    (Some(label), None) => TokenSelector::Label(label.clone()),
                    (None, Some(serial)) => TokenSelector::Serial(serial.clone()),
                    _ => return Err(one_of("keystore.token.label", "keystore.token.serial")),
                };
                KeystoreConfig::Token(TokenConfig {
                    module: folder.join(&token.module),
                    token: selector,
                    pin: SecretSource::File(folder.join(&token.pin_file)),
                    allow_software_token: token.allow_software_token,
                    recovery: Recovery::default(),
                })
            }
            (None, Some(file)) => KeystoreConfig::File {
                path: folder.join(&file.path),
                passphrase: SecretSource::File(folder.join(&file.passphrase_file)),
            },
            _ => return Err(one_of("[keystore.token]", "[keystore.file]")),
        };
        Ok(Self {
            listen,
            data: folder.join(&raw.data),
            circle: folder.join(&raw.circle),
            expected: ExpectedKeys {
                identity: Some(key("identity", &raw.identity)?),
                tls: Some(key("tls_public", &raw.tls_public)?),
            },
            keystore,
            raw,
        })
    }
}

/// Text that may go into a manifest.
pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    let max = protocol::manifest::bounds::TEXT_BYTES_MAX;
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err("1 to 1000 bytes of text without control characters");
    }
    Ok(())
}

/// `host:port`.
pub(crate) fn check_address(text: &str) -> Result<(), &'static str> {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(char::is_whitespace));
    match parts.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(()),
        None => Err("HOST:PORT, such as trustee.example.org:7001"),
    }
}

/// Puts a comment before each key, for whoever opens the file in a year.
pub(crate) fn render(raw: &RawConfig) -> Result<String, toml::ser::Error> {
    let body = toml::to_string(raw)?;
    let mut out = String::from(
        "# A trustee of Conclave. Made by `trustee init`; `trustee run --config THIS-FILE` starts the daemon.\n\
         # Paths are relative to this file's folder. Secrets are named by path and never written here.\n\n",
    );
    for line in body.lines() {
        let comment = match line.split([' ', '=']).next().unwrap_or_default() {
            "address" => "# Where the shards reach this trustee; it is written into manifests.",
            "listen" => "# Where the daemon listens: an IP address of this machine and a port.",
            "data" => "# The database. NEVER restore it from a backup: see `trustee help run`.",
            "circle" => "# Who may call: the file that the official hands out. Read again when it changes.",
            "identity" => "# Public keys: the keystore must hold exactly these.",
            "[keystore.token]" => "# Keys in a PKCS#11 token.",
            "[keystore.file]" => "# Keys in an encrypted file: for trials only.",
            "allow_software_token" => "# Whether a token that is only software will do: for trials only.",
            "level" => "# error, warn, info, debug, or a filter such as info,h2=warn",
            _ => "",
        };
        if !comment.is_empty() {
            out.push_str(comment);
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawConfig {
        RawConfig {
            name: "Ada".to_owned(),
            organisation: "City".to_owned(),
            region: "North".to_owned(),
            address: "ada.example.org:7001".to_owned(),
            listen: "0.0.0.0:7001".to_owned(),
            data: "data".into(),
            circle: "circle.toml".into(),
            identity: "11".repeat(32),
            tls_public: "22".repeat(32),
            keystore: RawKeystore {
                token: None,
                file: Some(RawKeyFile { path: "keys".into(), passphrase_file: "/run/pass".into() }),
            },
            metrics: None,
            log: LogConfig::default(),
        }
    }

    fn token() -> RawToken {
        RawToken {
            module: "/usr/lib/m.so".into(),
            label: Some("ada".to_owned()),
            serial: None,
            pin_file: "pin".into(),
            allow_software_token: false,
        }
    }

    #[test]
    fn what_init_writes_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trustee.toml");
        for keystore in [raw().keystore, RawKeystore { token: Some(token()), file: None }] {
            let written = RawConfig { keystore, ..raw() };
            std::fs::write(&path, render(&written).unwrap()).unwrap();
            let config = Config::read(&path).unwrap();
            assert_eq!(config.raw, written);
            assert_eq!(config.data, folder.path().join("data"));
        }
    }

    #[test]
    fn an_ambiguous_keystore_is_refused() {
        let file = raw().keystore.file;
        let both_names = RawToken { serial: Some("1".to_owned()), ..token() };
        let no_name = RawToken { label: None, ..token() };
        for keystore in [
            RawKeystore { token: Some(token()), file },
            RawKeystore { token: None, file: None },
            RawKeystore { token: Some(both_names), file: None },
            RawKeystore { token: Some(no_name), file: None },
        ] {
            let refused = Config::check(RawConfig { keystore, ..raw() }, Path::new("t.toml")).unwrap_err();
            assert!(matches!(refused, ConfigTrouble::OneOf { .. }), "{refused}");
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        let cases: [(&str, RawConfig); 6] = [
            ("name", RawConfig { name: String::new(), ..raw() }),
            ("region", RawConfig { region: "a\nb".to_owned(), ..raw() }),
            ("address", RawConfig { address: "nowhere".to_owned(), ..raw() }),
            ("listen", RawConfig { listen: "ada:7001".to_owned(), ..raw() }),
            ("identity", RawConfig { identity: "11".to_owned(), ..raw() }),
            ("tls_public", RawConfig { tls_public: "zz".repeat(32), ..raw() }),
        ];
        for (expected, raw) in cases {
            let refused = Config::check(raw, Path::new("t.toml")).unwrap_err();
            assert!(matches!(refused, ConfigTrouble::Value { key, .. } if key == expected), "{refused}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trustee.toml");
        std::fs::write(&path, format!("pin = \"1234\"\n{}", render(&raw()).unwrap())).unwrap();
        let refused = Config::read(&path).unwrap_err();
        assert!(refused.to_string().contains("pin"), "{refused}");
        let missing = Config::read(&folder.path().join("none.toml")).unwrap_err();
        assert!(matches!(missing, ConfigTrouble::File(_)), "{missing}");
    }
}
