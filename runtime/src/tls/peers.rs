//! Whose key is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;

use crate::pin::SpkiPin;

/// The name of a peer, as the layer above knows it: `trustee-3`, `shard-a`. Opaque here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(String);

/// What a peer is, for the table of [`crate::authorise`]: `trustee`, `shard`, `official`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(String);

macro_rules! name_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name_type!(PeerId);
name_type!(Role);

/// A peer: one key has one name and one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, unique among the peers.
    pub id: PeerId,
    /// What it may do.
    pub role: Role,
}

impl Peer {
    /// A peer with this name and role.
    #[must_use]
    pub fn new(id: impl Into<PeerId>, role: impl Into<Role>) -> Self {
        Self { id: id.into(), role: role.into() }
    }
}

/// Two peers are one, or one is two: whoever came second would be taken for the first. (threat N03)
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DuplicateIdentity {
    /// One key, two names.
    #[error("the key {pin} is pinned for {first} and for {second}; every peer needs a key of its own")]
    Pin {
        /// The key.
        pin: SpkiPin,
        /// The name that came first.
        first: PeerId,
        /// The name that came second.
        second: PeerId,
    },
    /// One name, two keys.
    #[error("{id} is pinned with the keys {first} and {second}; every peer has one key")]
    Id {
        /// The name.
        id: PeerId,
        /// The key that came first.
        first: SpkiPin,
        /// The key that came second.
        second: SpkiPin,
    },
}

type Map = BTreeMap<SpkiPin, Peer>;

/// The pinned peers. A clone is the same list: a replacement is seen by all, from the next handshake and the next
/// request on.
#[derive(Clone, Default)]
pub struct Peers {
    current: Arc<RwLock<Arc<Map>>>,
}

impl Peers {
    /// These peers.
    ///
    /// # Errors
    /// A key or a name that is there twice.
    pub fn new(peers: impl IntoIterator<Item = (SpkiPin, Peer)>) -> Result<Self, DuplicateIdentity> {
        let map = bijective(peers)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(map))) })
    }

    /// Puts these in the place of all before. On an error nothing changes.
    ///
    /// # Errors
    /// A key or a name that is there twice.
    pub fn replace(&self, peers: impl IntoIterator<Item = (SpkiPin, Peer)>) -> Result<(), DuplicateIdentity> {
        let map = Arc::new(bijective(peers)?);
        // A poisoned lock still holds a whole map: the only thing done under it is this assignment.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = map;
        Ok(())
    }

    /// Whose key this is, now.
    #[must_use]
    pub fn peer(&self, pin: &SpkiPin) -> Option<Peer> {
        self.snapshot().get(pin).cloned()
    }

    /// The key of a peer, now.
    #[must_use]
    pub fn pin_of(&self, id: &PeerId) -> Option<SpkiPin> {
        let map = self.snapshot();
        map.iter().find(|(_, peer)| peer.id == *id).map(|(pin, _)| *pin)
    }

    /// All of them, now.
    #[must_use]
    pub fn all(&self) -> Vec<(SpkiPin, Peer)> {
        let map = self.snapshot();
        map.iter().map(|(pin, peer)| (*pin, peer.clone())).collect()
    }

    fn snapshot(&self) -> Arc<Map> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.snapshot().iter()).finish()
    }
}

fn bijective(peers: impl IntoIterator<Item = (SpkiPin, Peer)>) -> Result<Map, DuplicateIdentity> {
    let mut map = Map::new();
    let mut ids = BTreeSet::new();
    for (pin, peer) in peers {
        if let Some(first) = map.get(&pin) {
            return Err(DuplicateIdentity::Pin { pin, first: first.id.clone(), second: peer.id });
        }
        if !ids.insert(peer.id.clone()) {
            let first = map.iter().find(|(_, known)| known.id == peer.id);
            return Err(DuplicateIdentity::Id {
                first: first.map_or(pin, |(first, _)| *first),
                second: pin,
                id: peer.id,
            });
        }
        map.insert(pin, peer);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(byte: u8) -> SpkiPin {
        SpkiPin::from_bytes([byte; 32])
    }

    #[test]
    fn one_key_for_two_peers_is_refused() {
        let refusal = Peers::new([(pin(1), Peer::new("a", "shard")), (pin(1), Peer::new("b", "shard"))]).unwrap_err();
        assert_eq!(refusal, DuplicateIdentity::Pin { pin: pin(1), first: "a".into(), second: "b".into() });
    }

    #[test]
    fn two_keys_for_one_peer_are_refused_even_with_two_roles() {
        let refusal =
            Peers::new([(pin(1), Peer::new("a", "shard")), (pin(2), Peer::new("a", "official"))]).unwrap_err();
        assert_eq!(refusal, DuplicateIdentity::Id { id: "a".into(), first: pin(1), second: pin(2) });
    }

    #[test]
    fn a_refused_replacement_changes_nothing_and_a_good_one_reaches_every_clone() {
        let peers = Peers::new([(pin(1), Peer::new("a", "shard"))]).unwrap();
        let clone = peers.clone();
        let twice = [(pin(2), Peer::new("a", "shard")), (pin(2), Peer::new("b", "shard"))];
        assert!(peers.replace(twice).is_err());
        assert_eq!(clone.pin_of(&"a".into()), Some(pin(1)));
        peers.replace([(pin(3), Peer::new("a", "shard"))]).unwrap();
        assert_eq!(clone.peer(&pin(1)), None);
        assert_eq!(clone.all(), [(pin(3), Peer::new("a", "shard"))]);
    }
}
