//! The circle: who may connect, and where the other shards are. A file that `ceremony` writes and that is read again
//! when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use runtime::Shutdown;
use runtime::files::{self, FileTrouble};
use runtime::pin::{PinRefusal, SpkiPin};
use runtime::tls::{DuplicateIdentity, Peer, Peers};

const CIRCLE_BYTES_MAX: u64 = 4 << 20;
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Keeps a share.
    Trustee,
    /// Runs elections.
    Shard,
    /// Puts elections forward.
    Official,
}

impl MemberRole {
    /// As in the table of who may call what.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trustee => "trustee",
            Self::Shard => "shard",
            Self::Official => "official",
        }
    }
}

/// One member, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Unique.
    pub name: String,
    /// What it is.
    pub role: MemberRole,
    /// Identity key, hexadecimal.
    pub identity: String,
    /// TLS pin, hexadecimal.
    pub tls_pin: String,
    /// `host:port`; empty for whoever is not called.
    #[serde(default)]
    pub address: String,
    /// `host:port` for the public; shards only.
    #[serde(default)]
    pub public_address: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CircleFile {
    #[serde(default)]
    member: Vec<Member>,
}

/// Why a circle is refused.
#[derive(Debug, Error)]
pub enum CircleTrouble {
    /// The file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// Not such a file.
    #[error("{path} is not a circle file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A pin.
    #[error("member {name}: {source}")]
    Pin {
        /// Whose.
        name: String,
        /// What is wrong.
        source: PinRefusal,
    },
    /// Two members are one.
    #[error(transparent)]
    Duplicate(#[from] DuplicateIdentity),
}

/// The members of now. Clones share.
#[derive(Debug, Clone, Default)]
pub struct Circle {
    members: Arc<RwLock<Arc<Vec<Member>>>>,
    peers: Peers,
}

impl Circle {
    /// Reads the file. One that is not there yet is an empty circle: nobody may connect.
    ///
    /// # Errors
    /// [`CircleTrouble`].
    pub fn load(path: &Path) -> Result<Self, CircleTrouble> {
        let circle = Self::default();
        if path.exists() {
            circle.replace(read(path)?)?;
        } else {
            tracing::warn!(path = %path.display(), "no circle file yet: nobody may connect");
        }
        Ok(circle)
    }

    /// A circle of these.
    ///
    /// # Errors
    /// [`CircleTrouble`].
    pub fn of(members: Vec<Member>) -> Result<Self, CircleTrouble> {
        let circle = Self::default();
        circle.replace(members)?;
        Ok(circle)
    }

    fn replace(&self, members: Vec<Member>) -> Result<(), CircleTrouble> {
        let peers = members.iter().map(|member| {
            let pin: SpkiPin =
                member.tls_pin.parse().map_err(|source| CircleTrouble::Pin { name: member.name.clone(), source })?;
            Ok((pin, Peer::new(member.name.as_str(), member.role.name())))
        });
        self.peers.replace(peers.collect::<Result<Vec<_>, CircleTrouble>>()?)?;
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(members);
        Ok(())
    }

    /// The TLS allow-list.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The shards, with their pins.
    #[must_use]
    pub fn shards(&self) -> Vec<(SpkiPin, Member)> {
        let members = Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner));
        let shards = members.iter().filter(|member| member.role == MemberRole::Shard);
        shards.filter_map(|member| Some((member.tls_pin.parse().ok()?, member.clone()))).collect()
    }

    /// Reads the file again whenever it changes, until shutdown. A file that is refused changes nothing.
    pub async fn follow(self, path: PathBuf, shutdown: Shutdown) {
        let mut last = stamp(&path);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let now = stamp(&path);
            if now == last || now.is_none() {
                continue;
            }
            match read(&path).and_then(|members| self.replace(members)) {
                Ok(()) => {
                    last = now;
                    tracing::info!(members = self.peers.all().len(), "circle read again");
                }
                Err(trouble) => tracing::warn!(%trouble, "circle not read, the old one stays"),
            }
        }
    }
}

fn stamp(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<Member>, CircleTrouble> {
    let bytes = files::read_limited(path, CIRCLE_BYTES_MAX)?;
    let format = |reason: String| CircleTrouble::Format { path: path.to_owned(), reason };
    let text = String::from_utf8(bytes).map_err(|_| format("it is not text".to_owned()))?;
    let file: CircleFile = toml::from_str(&text).map_err(|error| format(error.to_string()))?;
    Ok(file.member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, pin: u8) -> Member {
        Member {
            name: name.to_owned(),
            role: MemberRole::Shard,
            identity: "00".repeat(32),
            tls_pin: hex::encode([pin; 32]),
            address: "127.0.0.1:1".to_owned(),
            public_address: String::new(),
        }
    }

    #[test]
    fn a_circle_with_one_key_for_two_is_refused() {
        assert!(matches!(Circle::of(vec![member("a", 1), member("b", 1)]), Err(CircleTrouble::Duplicate(_))));
    }

    #[test]
    fn an_unreadable_pin_names_its_member() {
        let mut bad = member("a", 1);
        bad.tls_pin = "AB".repeat(32);
        assert!(matches!(Circle::of(vec![bad]), Err(CircleTrouble::Pin { name, .. }) if name == "a"));
    }

    #[test]
    fn a_file_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("circle.toml");
        std::fs::write(&path, toml::to_string(&CircleFile { member: vec![member("a", 1), member("b", 2)] }).unwrap())
            .unwrap();
        let circle = Circle::load(&path).unwrap();
        assert_eq!(circle.shards().len(), 2);
        assert_eq!(circle.peers().all().len(), 2);
    }
}
