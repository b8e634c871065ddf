//! Enrolment files in, the circle file out: who is who, each with one name, one identity key, one TLS key.

use protocol::{encoding::Hash, ids::IdentityKey};
use runtime::{
    files::{self, FileTrouble},
    pin::{PinRefusal, SpkiPin},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

const BYTES_MAX: u64 = 64 * 1024;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Keeps a share.
    Trustee,
    /// Runs elections.
    Shard,
    /// Sets them up.
    Official,
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trustee => "trustee",
            Self::Shard => "shard",
            Self::Official => "official",
        })
    }
}

/// What a member says of itself; written by `trustee init`, `coordinator init`, `ceremony init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Unique.
    pub name: String,
    /// What it does.
    pub role: MemberRole,
    /// Trustees: who they answer to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub organisation: String,
    /// Trustees: where the daemon runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Identity key, hex.
    pub identity: String,
    /// TLS key (raw Ed25519), hex.
    pub tls_public: String,
    /// Its pin, hex.
    pub tls_pin: String,
    /// `host:port`; officials have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Shards: `host:port` for the public.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub public_address: String,
}

/// Why an enrolment is refused.
#[derive(Debug, thiserror::Error)]
pub enum EnrolTrouble {
    /// The file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// Not text.
    #[error("{}: not an enrolment file: it is not text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Not such a file.
    #[error("{}: not an enrolment file (`trustee init` and `coordinator init` write them): {source}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        source: Box<toml::de::Error>,
    },
    /// A key that is none.
    #[error("{name}: {field} must be 64 lower-case hex digits")]
    Key {
        /// Whose.
        name: String,
        /// Which.
        field: &'static str,
    },
    /// A pin that is none.
    #[error("{name}: tls_pin: {source}")]
    Pin {
        /// Whose.
        name: String,
        /// What is wrong.
        source: PinRefusal,
    },
    /// The pin is not the key's.
    #[error("{name}: the TLS pin is not that of the TLS key: expected {expected}, got {got}; ask for the file again")]
    PinMismatch {
        /// Whose.
        name: String,
        /// Of the key.
        expected: SpkiPin,
        /// In the file.
        got: SpkiPin,
    },
    /// One key for two purposes.
    #[error("{name} uses one key as identity and for TLS: two are needed")]
    OneKey {
        /// Whose.
        name: String,
    },
    /// A field that this role needs.
    #[error("{name}: a {role} needs {field}")]
    Missing {
        /// Whose.
        name: String,
        /// Role.
        role: MemberRole,
        /// What is missing.
        field: &'static str,
    },
    /// A name that cannot be one.
    #[error("{got:?} is no name: 1 to 100 letters, digits, '-', '_', '.' that do not begin with '.'")]
    Name {
        /// Given.
        got: String,
    },
    /// Somebody else has it.
    #[error("{second} and {first} have the same {field}: each member has its own")]
    Duplicate {
        /// What.
        field: &'static str,
        /// Enrolled.
        first: String,
        /// Also.
        second: String,
    },
    /// The name is taken by other keys.
    #[error(
        "{name} is enrolled with other data ({field} was {was}, is now {now}); if that is meant, use --replace: \
         elections made before keep the old one"
    )]
    Changed {
        /// Who.
        name: String,
        /// First field that differs.
        field: &'static str,
        /// Enrolled.
        was: String,
        /// In the file.
        now: String,
    },
}

impl Enrolment {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`EnrolTrouble`].
    pub fn read(path: &Path) -> Result<Self, EnrolTrouble> {
        let bytes = files::read_limited(path, BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| EnrolTrouble::NotText { path: path.to_owned() })?;
        let parsed: Self = toml::from_str(&text)
            .map_err(|source| EnrolTrouble::Toml { path: path.to_owned(), source: Box::new(source) })?;
        parsed.check()?;
        Ok(parsed)
    }

    /// The identity key.
    ///
    /// # Errors
    /// Not a key.
    pub fn identity_key(&self) -> Result<IdentityKey, EnrolTrouble> {
        self.key("identity", &self.identity).map(IdentityKey)
    }

    /// The TLS key.
    ///
    /// # Errors
    /// Not a key.
    pub fn tls_key(&self) -> Result<Hash, EnrolTrouble> {
        self.key("tls_public", &self.tls_public)
    }

    /// The pin.
    ///
    /// # Errors
    /// Not a pin.
    pub fn pin(&self) -> Result<SpkiPin, EnrolTrouble> {
        self.tls_pin.parse().map_err(|source| EnrolTrouble::Pin { name: self.name.clone(), source })
    }

    fn key(&self, field: &'static str, text: &str) -> Result<Hash, EnrolTrouble> {
        let mut out = [0; 32];
        let decoded = hex::decode_to_slice(text, &mut out).is_ok() && !text.bytes().any(|b| b.is_ascii_uppercase());
        if decoded { Ok(out) } else { Err(EnrolTrouble::Key { name: self.name.clone(), field }) }
    }

    /// Checks one by itself.
    ///
    /// # Errors
    /// [`EnrolTrouble`].
    pub fn check(&self) -> Result<(), EnrolTrouble> {
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 100 || self.name.starts_with('.') || !self.name.chars().all(good) {
            return Err(EnrolTrouble::Name { got: self.name.clone() });
        }
        let (identity, tls, got) = (self.identity_key()?, self.tls_key()?, self.pin()?);
        let expected = SpkiPin::of_ed25519(&tls);
        if expected != got {
            return Err(EnrolTrouble::PinMismatch { name: self.name.clone(), expected, got });
        }
        if identity.0 == tls {
            return Err(EnrolTrouble::OneKey { name: self.name.clone() });
        }
        let needed: &[(&'static str, &str)] = match self.role {
            MemberRole::Trustee => {
                &[("organisation", &self.organisation), ("region", &self.region), ("address", &self.address)]
            }
            MemberRole::Shard => &[("address", &self.address), ("public_address", &self.public_address)],
            MemberRole::Official => &[],
        };
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((field, _)) => Err(EnrolTrouble::Missing { name: self.name.clone(), role: self.role, field }),
            None => Ok(()),
        }
    }

    fn fields(&self) -> [(&'static str, String); 8] {
        [
            ("role", self.role.to_string()),
            ("identity", self.identity.clone()),
            ("tls_public", self.tls_public.clone()),
            ("tls_pin", self.tls_pin.clone()),
            ("organisation", self.organisation.clone()),
            ("region", self.region.clone()),
            ("address", self.address.clone()),
            ("public_address", self.public_address.clone()),
        ]
    }

    /// To be compared out of band: the identity key in groups of eight digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let groups: Vec<&str> = (0..8).filter_map(|at: usize| self.identity.get(at * 8..at * 8 + 8)).collect();
        groups.join(" ")
    }
}

/// The members, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<String, Enrolment>);

impl Members {
    /// Takes one in. The same again changes nothing: `false`.
    ///
    /// # Errors
    /// Another's name or key.
    pub fn add(&mut self, new: Enrolment, replace: bool) -> Result<bool, EnrolTrouble> {
        new.check()?;
        if let Some(old) = self.0.get(&new.name) {
            if *old == new {
                return Ok(false);
            }
            if !replace {
                let differing = old.fields().into_iter().zip(new.fields()).find(|(was, now)| was.1 != now.1);
                let ((field, was), (_, now)) = differing.unwrap_or_default();
                return Err(EnrolTrouble::Changed { name: new.name, field, was, now });
            }
        }
        for other in self.0.values().filter(|other| other.name != new.name) {
            let twice = [
                ("identity key", &other.identity, &new.identity),
                ("TLS key", &other.tls_public, &new.tls_public),
                ("key", &other.identity, &new.tls_public),
                ("key", &other.tls_public, &new.identity),
            ];
            if let Some((field, ..)) = twice.iter().find(|(_, a, b)| a == b) {
                return Err(EnrolTrouble::Duplicate { field, first: other.name.clone(), second: new.name });
            }
            let addresses = [&new.address, &new.public_address];
            if addresses.iter().any(|at| !at.is_empty() && (**at == other.address || **at == other.public_address)) {
                return Err(EnrolTrouble::Duplicate { field: "address", first: other.name.clone(), second: new.name });
            }
        }
        self.0.insert(new.name.clone(), new);
        Ok(true)
    }

    /// All of a role, by name.
    pub fn of_role(&self, role: MemberRole) -> impl Iterator<Item = &Enrolment> {
        self.0.values().filter(move |member| member.role == role)
    }

    /// One by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Enrolment> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Enrolment> {
        self.0.values()
    }

    /// The circle file: the same for everybody.
    ///
    /// # Errors
    /// Cannot happen for checked members.
    pub fn circle(&self) -> Result<String, toml::ser::Error> {
        #[derive(Serialize)]
        struct Member<'a> {
            name: &'a str,
            role: MemberRole,
            identity: &'a str,
            tls_pin: &'a str,
            address: &'a str,
            public_address: &'a str,
        }
        #[derive(Serialize)]
        struct Circle<'a> {
            member: Vec<Member<'a>>,
        }
        let member = self.0.values().map(|m| Member {
            name: &m.name,
            role: m.role,
            identity: &m.identity,
            tls_pin: &m.tls_pin,
            address: &m.address,
            public_address: &m.public_address,
        });
        toml::to_string(&Circle { member: member.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn member(name: &str, role: MemberRole, seed: u8) -> Enrolment {
        let tls = [seed.wrapping_add(100); 32];
        Enrolment {
            name: name.into(),
            role,
            organisation: "org".into(),
            region: "eu".into(),
            identity: hex::encode([seed; 32]),
            tls_public: hex::encode(tls),
            tls_pin: SpkiPin::of_ed25519(&tls).to_string(),
            address: format!("host-{seed}:1"),
            public_address: format!("host-{seed}:2"),
        }
    }

    #[test]
    fn the_same_enrolment_again_changes_nothing_and_another_one_needs_a_word() {
        let mut members = Members::default();
        let mut one = member("a", MemberRole::Trustee, 1);
        assert!(members.add(one.clone(), false).unwrap());
        assert!(!members.add(one.clone(), false).unwrap());
        one.address = "elsewhere:1".into();
        let trouble = members.add(one.clone(), false).unwrap_err();
        assert!(matches!(trouble, EnrolTrouble::Changed { field: "address", .. }), "{trouble}");
        assert!(members.add(one, true).unwrap());
        assert_eq!(members.get("a").unwrap().address, "elsewhere:1");
    }

    #[test]
    fn members_and_keys_are_one_to_one() {
        let mut members = Members::default();
        members.add(member("a", MemberRole::Trustee, 1), false).unwrap();
        let refused = |change: fn(&mut Enrolment)| {
            let mut other = member("b", MemberRole::Shard, 2);
            change(&mut other);
            members.clone().add(other, true).unwrap_err()
        };
        let first = member("a", MemberRole::Trustee, 1);
        assert!(first.check().is_ok());
        assert!(matches!(
            refused(|m| m.identity = hex::encode([1; 32])),
            EnrolTrouble::Duplicate { field: "identity key", .. }
        ));
        assert!(matches!(
            refused(|m| m.identity = hex::encode([101; 32])),
            EnrolTrouble::Duplicate { field: "key", .. }
        ));
        assert!(matches!(refused(|m| m.address = "host-1:1".into()), EnrolTrouble::Duplicate { field: "address", .. }));
        assert!(matches!(refused(|m| m.tls_pin = "00".repeat(32)), EnrolTrouble::PinMismatch { .. }));
        assert!(matches!(refused(|m| m.tls_pin = "zz".repeat(32)), EnrolTrouble::Pin { .. }));
        assert!(matches!(refused(|m| m.identity = m.tls_public.clone()), EnrolTrouble::OneKey { .. }));
        assert!(matches!(refused(|m| m.identity = "AB".repeat(32)), EnrolTrouble::Key { field: "identity", .. }));
        assert!(matches!(refused(|m| m.name = "../x".into()), EnrolTrouble::Name { .. }));
        assert!(matches!(
            refused(|m| m.public_address = String::new()),
            EnrolTrouble::Missing { field: "public_address", .. }
        ));
    }

    #[test]
    fn a_file_with_an_unknown_key_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("enrol.toml");
        let good = toml::to_string(&member("a", MemberRole::Trustee, 1)).unwrap();
        std::fs::write(&path, &good).unwrap();
        assert_eq!(Enrolment::read(&path).unwrap(), member("a", MemberRole::Trustee, 1));
        std::fs::write(&path, format!("{good}colour = 1\n")).unwrap();
        let trouble = Enrolment::read(&path).unwrap_err().to_string();
        assert!(trouble.contains("colour") && trouble.contains("line"), "{trouble}");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(Enrolment::read(&path), Err(EnrolTrouble::NotText { .. })));
    }

    #[test]
    fn the_circle_lists_everybody_by_name() {
        let mut members = Members::default();
        members.add(member("b", MemberRole::Shard, 2), false).unwrap();
        members.add(member("a", MemberRole::Trustee, 1), false).unwrap();
        let circle = members.circle().unwrap();
        let table: toml::Table = toml::from_str(&circle).unwrap();
        let names: Vec<_> = table["member"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(!circle.contains("tls_public"));
    }
}
