//! What is said in a key ceremony. (P-DKG; bodies of envelopes, tags 10 to 19)

use alloc::{string::String, vec::Vec};

use crate::{
    encoding::{Bytes, Canonical, DecodeError, Hash, Reader, Writer, message},
    ids::{Attempt, TrusteeIndex},
};

message! {
    /// A trustee agrees to make keys for this manifest in this attempt. (P-DKG-1)
    Terms {
        /// Attempt.
        attempt: Attempt,
        /// [`crate::ceremony::terms_digest`] as this trustee computed it.
        digest: Hash,
        /// X25519 key for shares sealed to this trustee in this attempt.
        sealing_key: [u8; 32],
        /// schnorrkel public key for the lots.
        lot_key: [u8; 32],
    }
}

message! {
    /// Commitment to both round-1 packages. (P-DKG-2)
    Commit {
        /// Attempt.
        attempt: Attempt,
        /// [`crate::ceremony::commitment`] of what will be revealed.
        commitment: Hash,
    }
}

message! {
    /// The round-1 packages. (P-DKG-3)
    Reveal {
        /// Attempt.
        attempt: Attempt,
        /// `s` Ed25519 points, canonical.
        signing_commitments: Vec<[u8; 32]>,
        /// FROST proof of knowledge for the signing key: `R`, then `z`.
        signing_proof: [u8; 64],
        /// `t` Ristretto255 points, canonical.
        election_commitments: Vec<[u8; 32]>,
        /// FROST proof of knowledge for the election key: `R`, then `z`.
        election_proof: [u8; 64],
        /// Blinds the commitment.
        nonce: Hash,
    }
}

message! {
    /// One sealed pair of shares. (P-DKG-4)
    SealedShare {
        /// For whom.
        to: TrusteeIndex,
        /// HPKE encapsulated key (32 bytes), ciphertext and tag of 64 bytes: signing share, election share.
        sealed: Bytes,
    }
}

message! {
    /// All shares of one trustee, for every other, ascending by recipient. (P-DKG-4)
    Shares {
        /// Attempt.
        attempt: Attempt,
        /// `n - 1` of them.
        shares: Vec<SealedShare>,
    }
}

/// What is wrong with a share. (P-DKG-5)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareFlaw {
    /// The ciphertext does not open.
    Sealed,
    /// The signing share does not match its commitments.
    Signing,
    /// The election share does not match its commitments.
    Election,
}

impl Canonical for ShareFlaw {
    fn write(&self, out: &mut Writer) {
        out.u8(match self {
            Self::Sealed => 1,
            Self::Signing => 2,
            Self::Election => 3,
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Ok(Self::Sealed),
            2 => Ok(Self::Signing),
            3 => Ok(Self::Election),
            got => Err(DecodeError::UnknownTag { what: "share flaw", got: got.into() }),
        }
    }
}

message! {
    /// A recipient says that a share is bad, and will not confirm this attempt. (P-DKG-5.1)
    Complaint {
        /// Attempt.
        attempt: Attempt,
        /// Who sent it.
        against: TrusteeIndex,
        /// What is wrong.
        flaw: ShareFlaw,
        /// [`crate::ceremony::dispute_digest`]: the three messages that the recipient judged. Without it a sender who
        /// shows different shares to different people could make an honest complaint look false.
        about: Hash,
    }
}

message! {
    /// The accused sender opens that one ciphertext, so that anyone sees who lied. (P-DKG-5.2)
    Opening {
        /// Attempt.
        attempt: Attempt,
        /// Who complained.
        to: TrusteeIndex,
        /// The sealing randomness: whoever seals `plaintext` with it gets the posted ciphertext.
        seed: Hash,
        /// Signing share, election share.
        plaintext: [u8; 64],
        /// [`crate::ceremony::dispute_digest`]: the three messages as the sender knows them. Without it a recipient who
        /// shows different sealing keys to different people could make an honest sender look guilty.
        about: Hash,
    }
}

message! {
    /// A trustee's signature under the certificate of this attempt's keys. `n` of them are the key certificate. (P-DKG-6)
    Confirm {
        /// Attempt.
        attempt: Attempt,
        /// [`crate::ceremony::transcript_digest`]: what the certificate was derived from. A wrong certificate for the
        /// same transcript is its signer's fault; for another transcript it only shows that views differ.
        transcript: Hash,
        /// [`crate::ceremony::KeyCertificate::digest`].
        certificate: Hash,
    }
}

message! {
    /// A trustee will not confirm this attempt, for a reason that is nobody's proven fault (its state was lost, it was
    /// told to stop). (P-DKG-7)
    Abandon {
        /// Attempt.
        attempt: Attempt,
        /// For people.
        reason: String,
    }
}

message! {
    /// An official asks for another attempt. (P-DKG-7)
    NextAttempt {
        /// The one to begin: one more than an abandoned one.
        attempt: Attempt,
    }
}

message! {
    /// A trustee's partial decryption of the rehearsal ciphertext. (P-DKG-8)
    Rehearsal {
        /// Attempt whose keys are rehearsed.
        attempt: Attempt,
        /// `x_i * A`.
        partial: [u8; 32],
        /// Chaum-Pedersen proof: challenge, response.
        proof: [u8; 64],
    }
}
