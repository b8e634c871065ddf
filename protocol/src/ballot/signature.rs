//! The credential's signature, and the one rule by which it is judged. (P-BAL-5)
//!
//! Ed25519 of RFC 8032 over [`signing_text`]. `A` and `R` must be canonical and not of small order, `s` canonical,
//! and `[8](s B - R - k A) = 0` with `k = SHA-512(R || A || text)`. The factor 8 is what makes a batch, which can
//! only judge sums, give exactly the verdict of a single check: without it, components of small order that cancel
//! in a sum would pass in a batch and fail alone.

use super::BallotRefusal;
use crate::{
    encoding::Hash,
    group::{Scalar, SignaturePoint, decode_scalar},
    ids::ElectionId,
};
use alloc::{format, string::String};
use sha2::{Digest as _, Sha512};

/// What a credential signs: readable, because a wallet shows it.
#[must_use]
pub fn signing_text(election: ElectionId, ballot: &Hash) -> String {
    complete_text(&text_head(election), ballot)
}

/// All of the text that is the same for every ballot of an election.
pub(super) fn text_head(election: ElectionId) -> String {
    format!("Conclave ballot\nelection: {election}\nballot: ")
}

pub(super) fn complete_text(head: &str, ballot: &Hash) -> String {
    let mut text = String::with_capacity(head.len() + 2 * ballot.len() + 1);
    text.push_str(head);
    for byte in ballot {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('?'));
        }
    }
    text.push('\n');
    text
}

/// A signature that decodes: `A`, `R`, `s`, `k`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignatureClaim {
    pub(super) key: SignaturePoint,
    pub(super) r: SignaturePoint,
    pub(super) s: Scalar,
    pub(super) k: Scalar,
}

impl SignatureClaim {
    pub(super) fn parse(key: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> Result<Self, BallotRefusal> {
        let (mut r_bytes, mut s_bytes) = ([0; 32], [0; 32]);
        for (to, from) in r_bytes.iter_mut().chain(&mut s_bytes).zip(signature) {
            *to = *from;
        }
        let point = SignaturePoint::decode(key).ok_or(BallotRefusal::CredentialInvalid)?;
        let r = SignaturePoint::decode(&r_bytes).ok_or(BallotRefusal::SignatureNotCanonical)?;
        let s = decode_scalar("s", &s_bytes).map_err(|_| BallotRefusal::SignatureNotCanonical)?;
        let k = Sha512::new().chain_update(r_bytes).chain_update(key).chain_update(text).finalize();
        Ok(Self { key: point, r, s, k: Scalar::from_bytes_mod_order_wide(&k.into()) })
    }

    /// `[8](s B - R - k A) = 0`.
    pub(super) fn holds(&self) -> bool {
        if bug!(BallotSignatureUnchecked) {
            return true;
        }
        let scalars = [self.s, -Scalar::ONE, -self.k];
        SignaturePoint::cofactored_sum_is_identity(&scalars, &[&SignaturePoint::generator(), &self.r, &self.key])
    }
}
