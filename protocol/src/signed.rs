//! Envelopes: what somebody signed, bound to election, sender, kind and slot. (P-ENV)
//!
//! Stored envelopes are the evidence. A sender has one body for each [`Slot`]; two are a provable wrong.

use crate::{
    agreement::messages::{Close, CloseRequest, Lot, Open, OpenRequest, Precommit, Prevote, Proposal, Sealed},
    ceremony::messages::{Abandon, Commit, Complaint, Confirm, NextAttempt, Opening, Rehearsal, Reveal, Shares, Terms},
    encoding::{Canonical, DecodeError, Hash, MESSAGE_BYTES_MAX, Reader, Writer, digest, label, message},
    ids::{ElectionId, IdentityKey, ShardIndex, TrusteeIndex},
    manifest::Manifest,
    signing::messages::{Anchored, SignAbort, SignCommitment, SignRequest, SignShare},
    tally::messages::Partials,
};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// Who signs an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A trustee.
    Trustee(TrusteeIndex),
    /// A coordinator shard.
    Shard(ShardIndex),
    /// An official, 1 to the number of officials.
    Official(u16),
}

impl Sender {
    /// The identity key that the manifest pins for it.
    #[must_use]
    pub fn key(&self, manifest: &Manifest) -> Option<IdentityKey> {
        match *self {
            Self::Trustee(index) => manifest.trustee(index).map(|t| t.identity),
            Self::Shard(index) => manifest.shard(index).map(|s| s.identity),
            Self::Official(index) => {
                manifest.officials.get(usize::from(index.checked_sub(1)?)).map(|official| official.identity)
            }
        }
    }
    /// Its name in the manifest.
    #[must_use]
    pub fn name<'a>(&self, manifest: &'a Manifest) -> Option<&'a str> {
        match *self {
            Self::Trustee(index) => manifest.trustee(index).map(|t| t.name.as_str()),
            Self::Shard(index) => manifest.shard(index).map(|s| s.name.as_str()),
            Self::Official(index) => {
                manifest.officials.get(usize::from(index.checked_sub(1)?)).map(|official| official.name.as_str())
            }
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trustee(index) => write!(f, "trustee {index}"),
            Self::Shard(index) => write!(f, "shard {index}"),
            Self::Official(index) => write!(f, "official {index}"),
        }
    }
}

impl Canonical for Sender {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Trustee(index) => out.u8(1).u16(index.0),
            Self::Shard(index) => out.u8(2).u16(index.0),
            Self::Official(index) => out.u8(3).u16(*index),
        };
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (role, index) = (input.u8()?, input.u16()?);
        match role {
            1 => Ok(Self::Trustee(TrusteeIndex(index))),
            2 => Ok(Self::Shard(ShardIndex(index))),
            3 => Ok(Self::Official(index)),
            got => Err(DecodeError::UnknownTag { what: "sender", got: got.into() }),
        }
    }
}

message! {
    /// An official puts this election forward. The envelope names it by its id. (P-MAN-3)
    Announce {}
}
message! {
    /// A trustee's operator has seen the manifest and accepts. (P-MAN-4)
    Accept {}
}
message! {
    /// A trustee's operator refuses the manifest. (P-MAN-4)
    Refuse {
        /// For people.
        reason: String,
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident = $tag:literal),* $(,)?) => {
        /// Everything that is said on the board.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Body { $($(#[$doc])* $name($name)),* }

        impl Body {
            /// Type tag. (P-ENV-2)
            #[must_use]
            pub fn tag(&self) -> u16 {
                match self { $(Self::$name(_) => $tag),* }
            }
            /// For logs and progress.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),* }
            }
        }

        impl Canonical for Body {
            fn write(&self, out: &mut Writer) {
                out.u16(self.tag());
                match self { $(Self::$name(body) => body.write(out)),* }
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match input.u16()? {
                    $($tag => input.value().map(Self::$name),)*
                    got => Err(DecodeError::UnknownTag { what: "message type", got: got.into() }),
                }
            }
        }

        $(impl From<$name> for Body {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })*
    };
}

bodies! {
    /// Official.
    Announce = 1,
    /// Trustee.
    Accept = 2,
    /// Trustee.
    Refuse = 3,
    /// Trustee.
    Terms = 10,
    /// Trustee.
    Commit = 11,
    /// Trustee.
    Reveal = 12,
    /// Trustee.
    Shares = 13,
    /// Trustee.
    Complaint = 14,
    /// Trustee.
    Opening = 15,
    /// Trustee.
    Confirm = 16,
    /// Trustee.
    Abandon = 17,
    /// Official.
    NextAttempt = 18,
    /// Trustee.
    Rehearsal = 19,
    /// Official.
    OpenRequest = 20,
    /// Trustee.
    Open = 21,
    /// Official.
    CloseRequest = 22,
    /// Trustee.
    Close = 23,
    /// Home shard.
    Sealed = 24,
    /// Trustee.
    Proposal = 30,
    /// Trustee.
    Prevote = 31,
    /// Trustee.
    Precommit = 32,
    /// Trustee.
    Lot = 33,
    /// Trustee.
    Partials = 40,
    /// Home shard.
    SignRequest = 50,
    /// Trustee.
    SignCommitment = 51,
    /// Trustee.
    SignShare = 52,
    /// Trustee.
    SignAbort = 53,
    /// Home shard.
    Anchored = 54,
}

/// The place that one body of one sender fills. Ascending slots are the order of an exported record. (P-ENV-4)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Message type.
    pub tag: u16,
    /// Attempt or round, where the type has one, else 0.
    pub number: u32,
    /// Purpose of a signature, or the other party of a complaint or opening, else 0.
    pub topic: u16,
    /// Sender.
    pub sender: Sender,
}

/// Roles, for the table of who may say what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Trustee,
    HomeShard,
    Official,
}

impl Body {
    /// (number, topic) of the slot.
    fn place(&self) -> (u32, u16) {
        match self {
            Self::Announce(_) | Self::Accept(_) | Self::Refuse(_) => (0, 0),
            Self::OpenRequest(_) | Self::Open(_) | Self::CloseRequest(_) | Self::Close(_) | Self::Sealed(_) => (0, 0),
            Self::Lot(_) | Self::Partials(_) => (0, 0),
            Self::Terms(b) => (b.attempt.0, 0),
            Self::Commit(b) => (b.attempt.0, 0),
            Self::Reveal(b) => (b.attempt.0, 0),
            Self::Shares(b) => (b.attempt.0, 0),
            Self::Complaint(b) => (b.attempt.0, b.against.0),
            Self::Opening(b) => (b.attempt.0, b.to.0),
            Self::Confirm(b) => (b.attempt.0, 0),
            Self::Abandon(b) => (b.attempt.0, 0),
            Self::NextAttempt(b) => (b.attempt.0, 0),
            Self::Rehearsal(b) => (b.attempt.0, 0),
            Self::Proposal(b) => (b.round.0, 0),
            Self::Prevote(b) => (b.round.0, 0),
            Self::Precommit(b) => (b.round.0, 0),
            Self::SignRequest(b) => (b.attempt.0, b.purpose.tag().into()),
            Self::SignCommitment(b) => (b.attempt.0, b.purpose.tag().into()),
            Self::SignShare(b) => (b.attempt.0, b.purpose.tag().into()),
            Self::SignAbort(b) => (b.attempt.0, b.purpose.tag().into()),
            Self::Anchored(b) => (0, b.purpose.tag().into()),
        }
    }

    /// Who may say it. (P-ENV-3)
    fn role(&self) -> Role {
        match self {
            Self::Announce(_) | Self::NextAttempt(_) | Self::OpenRequest(_) | Self::CloseRequest(_) => Role::Official,
            Self::Sealed(_) | Self::SignRequest(_) | Self::Anchored(_) => Role::HomeShard,
            Self::Accept(_)
            | Self::Refuse(_)
            | Self::Terms(_)
            | Self::Commit(_)
            | Self::Reveal(_)
            | Self::Shares(_)
            | Self::Complaint(_)
            | Self::Opening(_)
            | Self::Confirm(_)
            | Self::Abandon(_)
            | Self::Rehearsal(_)
            | Self::Open(_)
            | Self::Close(_)
            | Self::Proposal(_)
            | Self::Prevote(_)
            | Self::Precommit(_)
            | Self::Lot(_)
            | Self::Partials(_)
            | Self::SignCommitment(_)
            | Self::SignShare(_)
            | Self::SignAbort(_) => Role::Trustee,
        }
    }
}

/// What is to be signed: an envelope without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Election.
    pub election: ElectionId,
    /// Who will sign.
    pub sender: Sender,
    /// What is said.
    pub body: Body,
}

impl Draft {
    /// The bytes that the identity key signs: label, election, sender, body. (P-ENV-1)
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(b"conclave/v1/").raw(label::ENVELOPE.as_bytes()).u8(0);
        out.value(&self.election).value(&self.sender).value(&self.body);
        out.finish()
    }
    /// Puts the signature on.
    #[must_use]
    pub fn sign(self, signature: [u8; 64]) -> Envelope {
        let Self { election, sender, body } = self;
        Envelope { election, sender, body, signature }
    }
}

/// A signed statement. That its signature holds is only known after [`Envelope::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Election.
    pub election: ElectionId,
    /// Who signed.
    pub sender: Sender,
    /// What is said.
    pub body: Body,
    /// Ed25519, strict verification.
    pub signature: [u8; 64],
}

impl Canonical for Envelope {
    fn write(&self, out: &mut Writer) {
        out.value(&self.election).value(&self.sender).value(&self.body).raw(&self.signature);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { election: input.value()?, sender: input.value()?, body: input.value()?, signature: input.array()? })
    }
}

/// Why an envelope is nobody's statement. Says nothing about guilt: anyone could have made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeRefusal {
    /// Another election's.
    #[error("the envelope belongs to election {got}, this is {expected}")]
    WrongElection {
        /// This one.
        expected: ElectionId,
        /// In the envelope.
        got: ElectionId,
    },
    /// Not on the manifest's lists.
    #[error("{0} is not in the manifest")]
    Stranger(Sender),
    /// A kind of message that this party does not send.
    #[error("{sender} may not send {kind}")]
    NotTheirs {
        /// Who.
        sender: Sender,
        /// Kind of message.
        kind: &'static str,
    },
    /// The signature does not hold.
    #[error("the signature of {0} does not hold")]
    Signature(Sender),
}

impl Envelope {
    /// Identity of an envelope, signature included.
    #[must_use]
    pub fn id(&self) -> Hash {
        digest(label::ENVELOPE_ID, &self.to_bytes())
    }

    /// The place that it fills.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let (number, topic) = self.body.place();
        Slot { tag: self.body.tag(), number, topic, sender: self.sender }
    }

    /// Checks election, sender, right to say this, signature. (P-ENV-3)
    ///
    /// # Errors
    /// [`EnvelopeRefusal`]; none of them is evidence against anybody.
    pub fn verify(&self, election: &ElectionId, manifest: &Manifest) -> Result<(), EnvelopeRefusal> {
        if self.election != *election && !bug!(EnvelopeOfOtherElection) {
            return Err(EnvelopeRefusal::WrongElection { expected: *election, got: self.election });
        }
        let key = self.sender.key(manifest).ok_or(EnvelopeRefusal::Stranger(self.sender))?;
        let allowed = match (self.body.role(), self.sender) {
            (Role::Trustee, Sender::Trustee(_)) | (Role::Official, Sender::Official(_)) => true,
            (Role::HomeShard, Sender::Shard(index)) => index == manifest.home,
            _ => false,
        };
        if !allowed && !bug!(RoleUnchecked) {
            return Err(EnvelopeRefusal::NotTheirs { sender: self.sender, kind: self.body.name() });
        }
        let draft = Draft { election: self.election, sender: self.sender, body: self.body.clone() };
        if verify_identity(&key, &draft.message(), &self.signature) || bug!(EnvelopeUnverified) {
            Ok(())
        } else {
            Err(EnvelopeRefusal::Signature(self.sender))
        }
    }
}

/// Strict Ed25519: canonical, no small-order key or commitment. (P-ENV-5)
#[must_use]
pub fn verify_identity(key: &IdentityKey, message: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(&key.0)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

/// Envelopes read from a peer: at most this many bytes each.
pub const ENVELOPE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
