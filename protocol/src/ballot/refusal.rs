//! Why a ballot is not taken. Rejections are signed and published, so each has a code that never changes meaning.

use crate::{
    encoding::DecodeError,
    ids::{ContestIndex, ElectionId, StyleIndex},
};
use core::fmt;

/// The first bytes of an election id, as a ballot carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionPrefix(pub [u8; 8]);

impl ElectionPrefix {
    /// The prefix of an election's id.
    #[must_use]
    pub fn of(election: ElectionId) -> Self {
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(election.0) {
            *to = from;
        }
        Self(prefix)
    }
}

impl fmt::Display for ElectionPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A ballot that is not taken, and what would help. Every verifier names the same refusal for the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BallotRefusal {
    /// Not a ballot of this version and this style's length.
    #[error("these bytes are not a ballot ({0}); make the ballot again with a booth of this version")]
    Encoding(DecodeError),
    /// Made for another election.
    #[error(
        "the ballot is for the election that begins {got}, this is {expected}; cast it there, or make one for this election"
    )]
    WrongElection {
        /// This election.
        expected: ElectionPrefix,
        /// What the ballot says.
        got: ElectionPrefix,
    },
    /// A ballot style that this election does not have.
    #[error(
        "the ballot has style {got}, this election has styles 0 to {last}; make it again from this election's form"
    )]
    UnknownStyle {
        /// What the ballot says.
        got: StyleIndex,
        /// The last style there is.
        last: StyleIndex,
    },
    /// A point that is not canonical or is the identity, or a scalar that is not below the group order.
    #[error("contest {contest}: {what} is not a canonical group element or scalar; make the ballot again")]
    NotCanonical {
        /// The contest.
        contest: ContestIndex,
        /// Which component.
        what: &'static str,
    },
    /// The same ciphertext component twice in one ballot: a copy, or a broken random generator.
    #[error(
        "contest {contest}: a ciphertext component appears twice in this ballot; make it again on a device whose random generator works"
    )]
    RepeatedComponent {
        /// The contest in which it appears again.
        contest: ContestIndex,
    },
    /// The credential is not a usable Ed25519 key: not canonical, not on the curve, or of small order.
    #[error("the credential is not a valid Ed25519 key; use the key that is on the voter roll")]
    CredentialInvalid,
    /// The signature is not canonical: its point, or its scalar.
    #[error("the ballot's signature is not canonically encoded; sign the ballot again")]
    SignatureNotCanonical,
    /// The signature is not by this credential over this ballot.
    #[error(
        "the signature is not by this credential over this ballot; sign it again with the key that is on the voter roll"
    )]
    SignatureInvalid,
    /// The proof of a contest does not hold.
    #[error(
        "contest {contest}: the proof that the choice follows the contest's rule does not hold; make the ballot again from this election's form"
    )]
    ProofInvalid {
        /// The first contest whose proof fails.
        contest: ContestIndex,
    },
}

/// The kind of a [`BallotRefusal`], as a rejection on record carries it. Codes 1 to 99 are the ballot's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum RefusalCode {
    /// [`BallotRefusal::Encoding`].
    Encoding = 1,
    /// [`BallotRefusal::WrongElection`].
    WrongElection = 2,
    /// [`BallotRefusal::UnknownStyle`].
    UnknownStyle = 3,
    /// [`BallotRefusal::NotCanonical`].
    NotCanonical = 4,
    /// [`BallotRefusal::RepeatedComponent`].
    RepeatedComponent = 5,
    /// [`BallotRefusal::CredentialInvalid`].
    CredentialInvalid = 6,
    /// [`BallotRefusal::SignatureNotCanonical`].
    SignatureNotCanonical = 7,
    /// [`BallotRefusal::SignatureInvalid`].
    SignatureInvalid = 8,
    /// [`BallotRefusal::ProofInvalid`].
    ProofInvalid = 9,
}

impl RefusalCode {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::Encoding,
        Self::WrongElection,
        Self::UnknownStyle,
        Self::NotCanonical,
        Self::RepeatedComponent,
        Self::CredentialInvalid,
        Self::SignatureNotCanonical,
        Self::SignatureInvalid,
        Self::ProofInvalid,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "BALLOT_ENCODING",
            Self::WrongElection => "WRONG_ELECTION",
            Self::UnknownStyle => "UNKNOWN_STYLE",
            Self::NotCanonical => "POINT_INVALID",
            Self::RepeatedComponent => "BALLOT_DUPLICATE",
            Self::CredentialInvalid => "CREDENTIAL_INVALID",
            Self::SignatureNotCanonical => "SIGNATURE_ENCODING",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::ProofInvalid => "BALLOT_PROOF_INVALID",
        })
    }
}

impl BallotRefusal {
    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> RefusalCode {
        match self {
            Self::Encoding(_) => RefusalCode::Encoding,
            Self::WrongElection { .. } => RefusalCode::WrongElection,
            Self::UnknownStyle { .. } => RefusalCode::UnknownStyle,
            Self::NotCanonical { .. } => RefusalCode::NotCanonical,
            Self::RepeatedComponent { .. } => RefusalCode::RepeatedComponent,
            Self::CredentialInvalid => RefusalCode::CredentialInvalid,
            Self::SignatureNotCanonical => RefusalCode::SignatureNotCanonical,
            Self::SignatureInvalid => RefusalCode::SignatureInvalid,
            Self::ProofInvalid { .. } => RefusalCode::ProofInvalid,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.kind().code()
    }

    /// The kind with this number, if there is one. Fields do not travel; [`BallotForm::verify`] finds them again.
    ///
    /// [`BallotForm::verify`]: super::BallotForm::verify
    #[must_use]
    pub fn from_code(code: u16) -> Option<RefusalCode> {
        RefusalCode::from_code(code)
    }
}
