//! A ballot that was judged and found good.

use crate::{
    elgamal::Ciphertext,
    encoding::Hash,
    ids::{ContestIndex, Credential, ElectionId, StyleIndex},
};
use alloc::vec::Vec;

/// A ballot whose proofs and signature hold under its election's form. Only [`BallotForm::verify`] and
/// [`BallotForm::verify_batch`] make one; [`BallotForm::trusted_from_store`] makes one again.
///
/// [`BallotForm::verify`]: super::BallotForm::verify
/// [`BallotForm::verify_batch`]: super::BallotForm::verify_batch
/// [`BallotForm::trusted_from_store`]: super::BallotForm::trusted_from_store
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBallot {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Hash,
    pub(super) election: ElectionId,
    pub(super) credential: Credential,
    pub(super) style: StyleIndex,
    /// Each contest and how many of `votes` are its own, in the style's order.
    pub(super) contests: Vec<(ContestIndex, usize)>,
    pub(super) votes: Vec<Ciphertext>,
}

impl CheckedBallot {
    /// The ballot's bytes, signature included: the leaf of the log.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// The ballot's bytes, signature included.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
    /// The ballot's id: the hash that the credential signed, over everything before the signature. A wallet that
    /// signs the same ballot twice makes two encodings of one id.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.digest
    }
    /// The election whose form it was judged under.
    #[must_use]
    pub fn election(&self) -> ElectionId {
        self.election
    }
    /// The key that signed it.
    #[must_use]
    pub fn credential(&self) -> Credential {
        self.credential
    }
    /// Its style.
    #[must_use]
    pub fn style(&self) -> StyleIndex {
        self.style
    }

    /// Its contests in the style's order, each with the encrypted vote for every option.
    pub fn contests(&self) -> impl Iterator<Item = (ContestIndex, &[Ciphertext])> {
        let mut rest = self.votes.as_slice();
        self.contests.iter().map(move |(contest, options)| {
            let (votes, after) = rest.split_at_checked(*options).unwrap_or((rest, &[]));
            rest = after;
            (*contest, votes)
        })
    }

    /// Per contest, in the style's order, the `A` of the first option. Each must be unique across an election's log:
    /// a repeat is a copied ballot, or a device whose random generator repeats itself.
    #[must_use]
    pub fn first_components(&self) -> Vec<[u8; 32]> {
        self.contests().filter_map(|(_, votes)| votes.first().map(|vote| *vote.a.bytes())).collect()
    }
}
