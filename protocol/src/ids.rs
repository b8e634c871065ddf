//! Newtypes for everything that is signed, sent or counted. (P-IDS)

use crate::encoding::{Canonical, DecodeError, Hash, Reader, Writer};
use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $read:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);
        impl Canonical for $name {
            fn write(&self, out: &mut Writer) {
                out.$read(self.0);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                input.$read().map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Hash);
        impl Canonical for $name {
            fn write(&self, out: &mut Writer) {
                out.raw(&self.0);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                input.array().map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl core::str::FromStr for $name {
            type Err = DecodeError;
            fn from_str(text: &str) -> Result<Self, DecodeError> {
                let mut out = [0; 32];
                hex::decode_to_slice(text, &mut out).map_err(|_| DecodeError::Text { what: stringify!($name) })?;
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(DecodeError::Text { what: stringify!($name) });
                }
                Ok(Self(out))
            }
        }
    };
}

hash!(
    /// An election: the hash of its canonical manifest.
    ElectionId
);
hash!(
    /// A voter's Ed25519 public key on the roll, as encoded bytes. Not checked to be a point: verification does that.
    Credential
);
hash!(
    /// An Ed25519 identity key of a trustee, shard or official, as encoded bytes.
    IdentityKey
);

number!(
    /// A trustee, 1 to n, from the manifest and never from the wire.
    TrusteeIndex, u16, u16
);
number!(
    /// A coordinator shard, 1 to the number of shards in the manifest.
    ShardIndex, u16, u16
);
number!(
    /// A contest's place in the manifest, from 0.
    ContestIndex, u16, u16
);
number!(
    /// An option's place in its contest, from 0.
    OptionIndex, u16, u16
);
number!(
    /// A ballot style's place in the manifest, from 0.
    StyleIndex, u16, u16
);
number!(
    /// A lane of an election's log, from 0.
    LaneIndex, u16, u16
);
number!(
    /// A leaf's place in a lane's log, from 0.
    LeafIndex, u64, u64
);
number!(
    /// A number of leaves in a lane's log.
    LogSize, u64, u64
);
number!(
    /// An attempt at a key ceremony or a signing, from 1.
    Attempt, u32, u32
);
number!(
    /// A round of agreement, from 0.
    Round, u32, u32
);
number!(
    /// Milliseconds since 1970-01-01 UTC, as somebody's clock says.
    TimeMs, u64, u64
);
number!(
    /// A voter's public weight: how many votes the ballot counts for. At least 1.
    Weight, u64, u64
);
