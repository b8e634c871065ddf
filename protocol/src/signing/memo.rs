//! The texts that are anchored on chain. (P-ANC-1)
//!
//! One line of ASCII, versioned, with exactly one spelling for each statement:
//!
//! ```text
//! conclave/v1 key <election id> <key certificate digest>
//! conclave/v1 votes <election id> <vote set hash>
//! conclave/v1 result <election id> <vote set hash> <result digest>
//! ```
//!
//! Ids and hashes are 64 lower-case hexadecimal digits.

use super::messages::Purpose;
use crate::{encoding::Hash, ids::ElectionId};
use alloc::{format, string::String};

/// The longest text: a result's.
pub const ANCHOR_TEXT_BYTES_MAX: usize = 11 + 1 + 6 + 3 * 65;

/// What is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The key certificate.
    Key {
        /// Election.
        election: ElectionId,
        /// Digest of the key certificate.
        certificate: Hash,
    },
    /// The certified vote set.
    VoteSet {
        /// Election.
        election: ElectionId,
        /// Hash of the vote set.
        vote_set: Hash,
    },
    /// The result.
    Result {
        /// Election.
        election: ElectionId,
        /// Hash of the vote set that was opened.
        vote_set: Hash,
        /// Digest of the result.
        result: Hash,
    },
}

/// A text is not an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this memo is not a statement of conclave/v1, written exactly as this version writes it")]
pub struct AnchorTextError;

impl Anchor {
    /// Election.
    #[must_use]
    pub fn election(&self) -> ElectionId {
        match self {
            Self::Key { election, .. } | Self::VoteSet { election, .. } | Self::Result { election, .. } => *election,
        }
    }

    /// What the joint signature under it is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Key { .. } => Purpose::AnchorKey,
            Self::VoteSet { .. } => Purpose::AnchorVoteSet,
            Self::Result { .. } => Purpose::AnchorResult,
        }
    }

    /// The memo.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Key { election, certificate } => {
                format!("conclave/v1 key {election} {}", hex::encode(certificate))
            }
            Self::VoteSet { election, vote_set } => {
                format!("conclave/v1 votes {election} {}", hex::encode(vote_set))
            }
            Self::Result { election, vote_set, result } => {
                format!("conclave/v1 result {election} {} {}", hex::encode(vote_set), hex::encode(result))
            }
        }
    }

    /// Reads a memo; takes nothing that [`Anchor::text`] would not have written.
    ///
    /// # Errors
    /// [`AnchorTextError`].
    pub fn parse(text: &str) -> Result<Self, AnchorTextError> {
        if text.len() > ANCHOR_TEXT_BYTES_MAX {
            return Err(AnchorTextError);
        }
        let mut words = text.split(' ');
        let (version, kind) = (words.next(), words.next());
        let mut hash = || -> Result<Hash, AnchorTextError> {
            let mut out = [0; 32];
            hex::decode_to_slice(words.next().ok_or(AnchorTextError)?, &mut out).map_err(|_| AnchorTextError)?;
            Ok(out)
        };
        let anchor = match (version, kind) {
            (Some("conclave/v1"), Some("key")) => Self::Key { election: ElectionId(hash()?), certificate: hash()? },
            (Some("conclave/v1"), Some("votes")) => Self::VoteSet { election: ElectionId(hash()?), vote_set: hash()? },
            (Some("conclave/v1"), Some("result")) => {
                Self::Result { election: ElectionId(hash()?), vote_set: hash()?, result: hash()? }
            }
            _ => return Err(AnchorTextError),
        };
        // One spelling: upper case and trailing words end here.
        if anchor.text() == text { Ok(anchor) } else { Err(AnchorTextError) }
    }
}

/// Seed of the durable nonce account under the group key: at most 32 bytes, as the chain asks. (P-ANC-2)
#[must_use]
pub fn nonce_seed(election: &ElectionId) -> String {
    let id: String = hex::encode(election.0).chars().take(16).collect();
    format!("conclave-{id}")
}
