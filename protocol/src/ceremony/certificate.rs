//! The key certificate and what is rehearsed with its keys. (P-DKG-6, P-DKG-8)

use crate::{
    encoding::{Canonical as _, Hash, Writer, digest, label, message},
    group::{self, Point, Scalar},
    ids::{Attempt, TrusteeIndex},
};
use alloc::{collections::BTreeMap, vec::Vec};

message! {
    /// The keys of one attempt, derived from its transcript by anybody. They exist once all `n` trustees confirmed it.
    KeyCertificate {
        /// Attempt.
        attempt: Attempt,
        /// [`crate::ceremony::transcript_digest`].
        transcript: Hash,
        /// The Ed25519 key that signs on chain.
        signing_key: [u8; 32],
        /// The key that votes are encrypted to.
        election_key: Point,
        /// Each trustee's public signing share, in index order.
        signing_shares: Vec<[u8; 32]>,
        /// Each trustee's public election share, in index order.
        election_shares: Vec<Point>,
        /// Each trustee's schnorrkel key for the lots, in index order.
        lot_keys: Vec<[u8; 32]>,
    }
}

/// A certificate that no transcript leads to. Certificates from [`crate::ceremony::Judged::certificate`] never give this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key certificate holds a key that is not a valid group element")]
pub struct UnusableCertificate;

impl KeyCertificate {
    /// What every trustee signs. (P-DKG-6)
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(label::KEY_CERTIFICATE, &self.to_bytes())
    }
    /// A trustee's public election share.
    #[must_use]
    pub fn election_share(&self, of: TrusteeIndex) -> Option<&Point> {
        self.election_shares.get(usize::from(of.0).checked_sub(1)?)
    }
    /// A trustee's public signing share.
    #[must_use]
    pub fn signing_share(&self, of: TrusteeIndex) -> Option<&[u8; 32]> {
        self.signing_shares.get(usize::from(of.0).checked_sub(1)?)
    }
    /// A trustee's lot key.
    #[must_use]
    pub fn lot_key(&self, of: TrusteeIndex) -> Option<&[u8; 32]> {
        self.lot_keys.get(usize::from(of.0).checked_sub(1)?)
    }

    /// The signing keys as the FROST library wants them; `s` shares sign.
    ///
    /// # Errors
    /// [`UnusableCertificate`].
    pub fn signing_keys(&self, s: u16) -> Result<frost_ed25519::keys::PublicKeyPackage, UnusableCertificate> {
        let mut shares = BTreeMap::new();
        for (index, share) in (1u16..).zip(&self.signing_shares) {
            let identifier = frost_ed25519::Identifier::try_from(index).map_err(|_| UnusableCertificate)?;
            let share = frost_ed25519::keys::VerifyingShare::deserialize(share).map_err(|_| UnusableCertificate)?;
            shares.insert(identifier, share);
        }
        let key = frost_ed25519::VerifyingKey::deserialize(&self.signing_key).map_err(|_| UnusableCertificate)?;
        Ok(frost_ed25519::keys::PublicKeyPackage::new(shares, key, Some(s)))
    }
}

/// A test ciphertext with a known plaintext, `(A, B) = (r G, m G + r H)`. (P-DKG-8.1)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RehearsalCiphertext {
    /// `r G`.
    pub a: Point,
    /// `m G + r H`.
    pub b: Point,
    /// What it has to decrypt to; 1 to 256.
    pub m: u64,
}

/// The ciphertext that is jointly decrypted before the election may open. Everybody derives it from the certificate:
/// `r = hash_scalar("rehearsal", 'r' || digest)`, `m = 1 + first byte of digest("rehearsal", 'm' || digest)`.
#[must_use]
pub fn rehearsal_ciphertext(certificate: &KeyCertificate) -> RehearsalCiphertext {
    let of = certificate.digest();
    let tagged = |tag: u8| {
        let mut out = Writer::new();
        out.u8(tag).raw(&of);
        out.finish()
    };
    let r = group::hash_scalar(label::REHEARSAL, &tagged(b'r'));
    let [first, ..] = digest(label::REHEARSAL, &tagged(b'm'));
    let m = u64::from(first) + 1;
    let h = certificate.election_key;
    let a = Point::new(group::base_mul(&r));
    let b = Point::new(group::base_mul(&Scalar::from(m)) + h.raw() * r);
    match (a, b) {
        (Some(a), Some(b)) => RehearsalCiphertext { a, b, m },
        // One in 2^252: the ciphertext of 0 with r = 1 is one as well.
        _ => RehearsalCiphertext { a: Point::generator(), b: h, m: 0 },
    }
}

/// The statement that is signed with FROST before the election may open: a Solana off-chain message. Its first byte makes
/// it unusable as a transaction, whatever else it says. (P-DKG-8.2)
#[must_use]
pub fn rehearsal_statement(certificate: &KeyCertificate) -> Vec<u8> {
    let of = certificate.digest();
    let text = alloc::format!("Conclave key rehearsal, key certificate {}", hex::encode(of));
    let mut out = Writer::new();
    // Signing domain, header version 0, application domain, format 0 (printable ASCII), one signer, its key.
    out.raw(b"\xffsolana offchain").u8(0).raw(&digest(label::REHEARSAL, &of)).u8(0).u8(1).raw(&certificate.signing_key);
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.raw(&length.to_le_bytes()).raw(text.as_bytes());
    out.finish()
}
