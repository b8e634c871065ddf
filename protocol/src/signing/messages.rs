//! What is said when the trustees sign together, and what came of it on chain. (P-SIG, P-ANC; tags 50 to 59)

use crate::{
    encoding::{Bytes, Canonical, DecodeError, Hash, Reader, Writer, message},
    ids::{Attempt, TrusteeIndex},
};
use alloc::{string::String, vec::Vec};

/// What a joint signature is for. At most one content is ever signed for one purpose; only the chain's nonce may
/// differ between attempts. (P-SIG-1)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The rehearsal statement: never a transaction.
    Rehearsal,
    /// Creation of the durable nonce account.
    CreateNonce,
    /// The key certificate's anchor.
    AnchorKey,
    /// The vote-set certificate's anchor.
    AnchorVoteSet,
    /// The result's anchor.
    AnchorResult,
}

impl Purpose {
    /// All of them, in the order in which they come up.
    pub const ALL: [Self; 5] =
        [Self::Rehearsal, Self::CreateNonce, Self::AnchorKey, Self::AnchorVoteSet, Self::AnchorResult];
    /// Wire tag.
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Self::Rehearsal => 1,
            Self::CreateNonce => 2,
            Self::AnchorKey => 3,
            Self::AnchorVoteSet => 4,
            Self::AnchorResult => 5,
        }
    }
    /// For people and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal",
            Self::CreateNonce => "create-nonce",
            Self::AnchorKey => "key",
            Self::AnchorVoteSet => "vote-set",
            Self::AnchorResult => "result",
        }
    }
}

impl Canonical for Purpose {
    fn write(&self, out: &mut Writer) {
        out.u8(self.tag());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let got = input.u8()?;
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.tag() == got)
            .ok_or(DecodeError::UnknownTag { what: "purpose", got: got.into() })
    }
}

message! {
    /// The home shard asks some trustees to sign. (P-SIG-2)
    SignRequest {
        /// What for.
        purpose: Purpose,
        /// One more than the last.
        attempt: Attempt,
        /// Strictly ascending.
        signers: Vec<TrusteeIndex>,
        /// The durable nonce's value, or the recent block hash for [`Purpose::CreateNonce`]; zero for the rehearsal.
        nonce: Hash,
        /// Rent for [`Purpose::CreateNonce`], else 0.
        lamports: u64,
    }
}

message! {
    /// A signer's nonce commitments for this attempt. (P-SIG-3)
    SignCommitment {
        /// What for.
        purpose: Purpose,
        /// Attempt.
        attempt: Attempt,
        /// FROST hiding commitment, Ed25519 point.
        hiding: [u8; 32],
        /// FROST binding commitment, Ed25519 point.
        binding: [u8; 32],
    }
}

message! {
    /// A signer's share. (P-SIG-4)
    SignShare {
        /// What for.
        purpose: Purpose,
        /// Attempt.
        attempt: Attempt,
        /// Hash of the message and all commitments that it was made for: whoever sees another package knows whom to ask.
        package: Hash,
        /// Scalar.
        share: [u8; 32],
    }
}

message! {
    /// A signer cannot finish this attempt: its nonces were burned by a restart, or it refuses the message. (P-SIG-5)
    SignAbort {
        /// What for.
        purpose: Purpose,
        /// Attempt.
        attempt: Attempt,
        /// For people.
        reason: String,
    }
}

message! {
    /// The home shard found the finalized transaction on chain and read it back. A statement of the coordinator, which
    /// is trusted with nothing: whoever cares looks it up. (P-ANC-4)
    Anchored {
        /// What for.
        purpose: Purpose,
        /// Attempt whose signature landed.
        attempt: Attempt,
        /// Group signature, which is the transaction's id.
        signature: [u8; 64],
        /// Slot.
        slot: u64,
        /// The signed message bytes.
        message: Bytes,
    }
}
