//! A shard's signed word about one ballot: it is in the log ([`Receipt`]), or it is not and why ([`Rejection`]).
//! (P-LOG-3.1, P-LOG-4)

use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer, label, message},
    ids::{Credential, ElectionId, IdentityKey, LaneIndex, LeafIndex, ShardIndex, TimeMs},
    signed::verify_identity,
};
use alloc::vec::Vec;

message! {
    /// The leaf is in the lane's log at this index. Given after it durably is; evidence if the log then lacks it.
    Receipt {
        /// Election.
        election: ElectionId,
        /// Lane.
        lane: LaneIndex,
        /// Place in the lane's log.
        index: LeafIndex,
        /// Hash of the leaf.
        leaf: Hash,
        /// Whose ballot.
        credential: Credential,
        /// Who signed.
        shard: ShardIndex,
        /// Ed25519 over [`Receipt::message`].
        signature: [u8; 64],
    }
}

impl Receipt {
    /// The bytes that the shard's key signs: label, then every field but the signature.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let Self { election, lane, index, leaf, credential, shard, signature: _ } = self;
        let mut out = labelled(label::RECEIPT);
        out.value(election).value(lane).value(index);
        if !bug!(ReceiptUnbound) {
            out.value(leaf);
        }
        out.value(credential).value(shard);
        out.finish()
    }
    /// Whether `key`, which the manifest gives for the shard, signed it.
    #[must_use]
    pub fn verify(&self, key: &IdentityKey) -> bool {
        verify_identity(key, &self.message(), &self.signature)
    }
}

/// A ballot was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Election.
    pub election: ElectionId,
    /// [`super::leaf_hash`] of the ballot's bytes: whoever holds the ballot can tell that it is this one.
    pub ballot: Hash,
    /// Why; the ballot's refusals have fixed codes.
    pub code: u16,
    /// Who signed.
    pub shard: ShardIndex,
    /// When, as the shard's clock said.
    pub time: TimeMs,
    /// Ed25519 over [`Rejection::message`].
    pub signature: [u8; 64],
}

impl Canonical for Rejection {
    fn write(&self, out: &mut Writer) {
        let Self { election, ballot, code, shard, time, signature } = self;
        out.value(election).value(ballot).u16(*code).value(shard).value(time).value(signature);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            election: input.value()?,
            ballot: input.value()?,
            code: input.u16()?,
            shard: input.value()?,
            time: input.value()?,
            signature: input.value()?,
        })
    }
}

impl Rejection {
    /// The bytes that the shard's key signs: label, then every field but the signature.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let Self { election, ballot, code, shard, time, signature: _ } = self;
        let mut out = labelled(label::REJECTION);
        out.value(election).value(ballot).u16(*code).value(shard).value(time);
        out.finish()
    }
    /// Whether `key`, which the manifest gives for the shard, signed it.
    #[must_use]
    pub fn verify(&self, key: &IdentityKey) -> bool {
        verify_identity(key, &self.message(), &self.signature)
    }
}

/// As in envelopes: the signed bytes start with the label, in the clear.
fn labelled(label: &str) -> Writer {
    let mut out = Writer::new();
    out.raw(b"conclave/v1/").raw(label.as_bytes()).u8(0);
    out
}
