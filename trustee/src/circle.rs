//! The circle: who this trustee talks to at all. The official collects it from the enrolment files and hands it to
//! everybody; a daemon reads it again when it changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::Shutdown;
use runtime::files::{self, FileTrouble};
use runtime::pin::{PinRefusal, SpkiPin};
use runtime::tls::{DuplicateIdentity, Peer, Peers};
use serde::Deserialize;

/// Largest circle file, in bytes.
const BYTES_MAX: u64 = 4 << 20;
/// How often the file is looked at.
const REREAD: Duration = Duration::from_secs(2);

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Keeps a share.
    Trustee,
    /// Runs elections.
    Shard,
    /// Sets them up.
    Official,
}

impl MemberRole {
    /// As the table of methods has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trustee => "trustee",
            Self::Shard => "shard",
            Self::Official => "official",
        }
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Unique.
    pub name: String,
    /// What it does.
    pub role: MemberRole,
    /// Identity key, hexadecimal.
    pub identity: String,
    /// TLS pin, hexadecimal.
    pub tls_pin: String,
    /// `host:port`; officials have none.
    #[serde(default)]
    pub address: String,
    /// `host:port` for the public; shards have one.
    #[serde(default)]
    pub public_address: String,
}

/// All members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Circle {
    /// In the file's order.
    #[serde(default, rename = "member")]
    pub members: Vec<Member>,
}

/// Why a circle file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CircleTrouble {
    /// The file.
    #[error("the circle file cannot be read; get it from the official who runs the election")]
    File(#[from] FileTrouble),
    /// Not what `ceremony enrol` writes.
    #[error("{} is no circle file: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// A pin.
    #[error("{}: the pin of {name}: {source}", .path.display())]
    Pin {
        /// The file.
        path: PathBuf,
        /// Whose.
        name: String,
        /// What is wrong with it.
        source: PinRefusal,
    },
    /// A key or name twice.
    #[error("{}: DUPLICATE_IDENTITY: {source}", .path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// What is there twice.
        source: DuplicateIdentity,
    },
}

impl Circle {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CircleTrouble`].
    pub fn read(path: &Path) -> Result<Self, CircleTrouble> {
        Self::parse(path, &files::read_limited(path, BYTES_MAX)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CircleTrouble> {
        toml::from_slice(bytes)
            .map_err(|source| CircleTrouble::Malformed { path: path.to_owned(), source: Box::new(source) })
    }

    fn pins(&self, path: &Path) -> Result<Vec<(SpkiPin, Peer)>, CircleTrouble> {
        let pin = |member: &Member| {
            let pin = member.tls_pin.parse().map_err(|source| CircleTrouble::Pin {
                path: path.to_owned(),
                name: member.name.clone(),
                source,
            })?;
            Ok((pin, Peer::new(member.name.as_str(), member.role.name())))
        };
        self.members.iter().map(pin).collect()
    }

    /// The members as peers of the listener.
    ///
    /// # Errors
    /// [`CircleTrouble::Pin`], [`CircleTrouble::Duplicate`].
    pub fn peers(&self, path: &Path) -> Result<Peers, CircleTrouble> {
        let duplicate = |source| CircleTrouble::Duplicate { path: path.to_owned(), source };
        Peers::new(self.pins(path)?).map_err(duplicate)
    }
}

/// Looks at the file every two seconds and lets `peers` follow it. A file that cannot be used changes nothing.
pub async fn watch(path: PathBuf, peers: Peers, shutdown: Shutdown) {
    let mut last: Option<Vec<u8>> = None;
    let mut troubled = false;
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(REREAD) => {}
        }
        let replaced = files::read_limited(&path, BYTES_MAX).map_err(CircleTrouble::File).and_then(|bytes| {
            if last.as_ref() == Some(&bytes) {
                return Ok(false);
            }
            let pins = Circle::parse(&path, &bytes)?.pins(&path)?;
            let duplicate = |source| CircleTrouble::Duplicate { path: path.clone(), source };
            peers.replace(pins).map_err(duplicate)?;
            last = Some(bytes);
            Ok(true)
        });
        match replaced {
            Ok(new) => {
                troubled = false;
                if new {
                    tracing::info!(members = peers.all().len(), "circle read");
                }
            }
            Err(error) if !troubled => {
                troubled = true;
                tracing::warn!(%error, "the circle file cannot be used, the last good one stays in force");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, role: &str, pin: u8) -> String {
        let (identity, pin) = ("0".repeat(64), format!("{pin:02x}").repeat(32));
        format!("[[member]]\nname = {name:?}\nrole = {role:?}\nidentity = {identity:?}\ntls_pin = {pin:?}\n")
    }

    fn parse(text: &str) -> Result<Circle, CircleTrouble> {
        Circle::parse(Path::new("circle.toml"), text.as_bytes())
    }

    #[test]
    fn members_become_peers_with_their_roles() {
        let circle = parse(&(member("a", "shard", 1) + &member("b", "official", 2))).unwrap();
        let roles = circle.peers(Path::new("circle.toml")).unwrap().all();
        let roles: Vec<_> = roles.iter().map(|(_, peer)| (peer.id.as_str(), peer.role.as_str())).collect();
        assert_eq!(roles, [("a", "shard"), ("b", "official")]);
    }

    #[test]
    fn one_key_for_two_members_is_refused() {
        let circle = parse(&(member("a", "shard", 1) + &member("b", "official", 1))).unwrap();
        let refused = circle.peers(Path::new("circle.toml")).unwrap_err();
        assert!(refused.to_string().contains("DUPLICATE_IDENTITY"), "{refused}");
    }

    #[test]
    fn unknown_roles_and_bad_pins_are_refused_by_name() {
        assert!(matches!(parse(&member("a", "king", 1)), Err(CircleTrouble::Malformed { .. })));
        let circle = parse(&member("a", "shard", 1).replace("0101", "01XX")).unwrap();
        let refused = circle.peers(Path::new("circle.toml")).unwrap_err();
        assert!(matches!(refused, CircleTrouble::Pin { ref name, .. } if name == "a"), "{refused}");
    }
}
