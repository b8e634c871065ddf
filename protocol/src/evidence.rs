//! Provable wrongs. Blame rests on signed bytes that anyone can check, never on a timeout. (P-EVI)

use crate::{
    encoding::{Canonical, DecodeError, Reader, Writer},
    manifest::Manifest,
    signed::{Envelope, Sender},
};
use alloc::vec::Vec;

/// Envelopes in one piece of evidence, at most: a wrong certificate takes four from each trustee and one more.
const ENVELOPES_MAX: usize = 512;

/// What a sender did. Each is decided by a function over envelopes alone, which `audit` repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Wrong {
    /// Two bodies for one slot.
    #[error("signed two different messages where one is allowed")]
    Equivocation,
    /// The revealed packages are not what was committed to.
    #[error("revealed something else than it had committed to")]
    CommitmentBroken,
    /// A commitment vector of another length than the threshold.
    #[error("sent a key commitment of the wrong length")]
    CommitmentLength,
    /// A point or scalar that is not canonical, or the identity.
    #[error("sent a point or number that is not a valid group element")]
    PointInvalid,
    /// The proof of knowledge of the key does not hold.
    #[error("sent a proof of knowledge that does not hold")]
    ProofOfKnowledge,
    /// The same commitment as another trustee's.
    #[error("copied another trustee's commitment")]
    Copied,
    /// Shares for the wrong trustees, or not one for each.
    #[error("did not send exactly one share to every other trustee")]
    ShareAddressing,
    /// A share that does not match its commitments, as the opening shows.
    #[error("sent a share that does not match its commitments")]
    BadShare,
    /// A complaint about a share that was right, as the opening shows.
    #[error("complained about a share that was right")]
    FalseComplaint,
    /// A signature under a key certificate that is not this transcript's.
    #[error("confirmed a key certificate that does not follow from the transcript")]
    WrongCertificate,
    /// Confirmed and complained about (or abandoned) the same attempt.
    #[error("both confirmed and gave up the same attempt")]
    ConfirmedAndAbandoned,
    /// A partial decryption whose proof does not hold.
    #[error("sent a partial decryption whose proof does not hold")]
    BadPartial,
    /// A lot whose proof does not hold.
    #[error("sent a lot whose proof does not hold")]
    BadLot,
    /// A signature share that does not verify for the package that it names.
    #[error("sent a signature share that does not verify")]
    BadSignatureShare,
    /// A lot or partial decryption for another vote set than the certified one.
    #[error("acted on a vote set that is not certified")]
    OtherVoteSet,
    /// A vote that breaks the locking rule: see P-AGR-6.
    #[error("voted against its own lock")]
    Amnesia,
    /// Accepted the manifest and refused it.
    #[error("both accepted and refused the manifest")]
    AcceptedAndRefused,
}

impl Wrong {
    /// All of them, in tag order from 1.
    pub const ALL: [Self; 17] = [
        Self::Equivocation,
        Self::CommitmentBroken,
        Self::CommitmentLength,
        Self::PointInvalid,
        Self::ProofOfKnowledge,
        Self::Copied,
        Self::ShareAddressing,
        Self::BadShare,
        Self::FalseComplaint,
        Self::WrongCertificate,
        Self::ConfirmedAndAbandoned,
        Self::BadPartial,
        Self::BadLot,
        Self::BadSignatureShare,
        Self::OtherVoteSet,
        Self::Amnesia,
        Self::AcceptedAndRefused,
    ];
}

impl Canonical for Wrong {
    fn write(&self, out: &mut Writer) {
        let tag = (1..).zip(Self::ALL).find(|(_, wrong)| wrong == self).map_or(0, |(tag, _)| tag);
        out.u8(tag);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let got = input.u8()?;
        (1..)
            .zip(Self::ALL)
            .find(|(tag, _)| *tag == got)
            .map(|(_, wrong)| wrong)
            .ok_or(DecodeError::UnknownTag { what: "wrong", got: got.into() })
    }
}

/// A wrong with the envelopes that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Who did it.
    pub accused: Sender,
    /// What.
    pub wrong: Wrong,
    /// What shows it: the accused's own envelopes first, then those that they answer to.
    pub envelopes: Vec<Envelope>,
}

impl Evidence {
    /// Whether this proves two messages for one slot: the one wrong that a board does not show by itself, because it keeps
    /// one of them. For evidence that comes from others; two signature checks.
    #[must_use]
    pub fn proves_equivocation(&self, manifest: &Manifest) -> bool {
        let [one, other] = self.envelopes.as_slice() else { return false };
        let signed = |envelope: &Envelope| envelope.verify(&manifest.id(), manifest).is_ok();
        self.wrong == Wrong::Equivocation
            && one.sender == self.accused
            && one.slot() == other.slot()
            && one.body != other.body
            && signed(one)
            && signed(other)
    }
}

impl Canonical for Evidence {
    fn write(&self, out: &mut Writer) {
        out.value(&self.accused).value(&self.wrong).list(&self.envelopes);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { accused: input.value()?, wrong: input.value()?, envelopes: input.list("envelopes", ENVELOPES_MAX)? })
    }
}

/// What is to be thought of a message.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// Sound and new.
    Valid(T),
    /// Nobody's provable fault. Dropped.
    Moot(Moot),
    /// The sender broke the protocol, and this proves it.
    Fault(Evidence),
}

/// Why a message is dropped without blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Moot {
    /// The same statement is on the board already.
    #[error("already on the board")]
    Repeat,
    /// It is nobody's statement.
    #[error(transparent)]
    Refused(#[from] crate::signed::EnvelopeRefusal),
    /// The board holds as many messages of this sender as it may.
    #[error("its sender's part of the board is full: {max} messages")]
    Full {
        /// Bound.
        max: usize,
    },
    /// About a trustee that is none, or is the sender.
    #[error("it is about trustee {got}: not one of the other trustees")]
    NotATrustee {
        /// In the message.
        got: u16,
    },
    /// An attempt or round too far ahead.
    #[error("number {got} is too far ahead: at most {max} is taken now")]
    TooFarAhead {
        /// In the message.
        got: u32,
        /// Bound.
        max: u32,
    },
}
