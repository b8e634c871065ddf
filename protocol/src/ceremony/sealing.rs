//! Shares on their way: HPKE base mode (RFC 9180) with X25519, HKDF-SHA256, ChaCha20-Poly1305. (P-DKG-4)
//!
//! The envelope around it says who sent it; the `info` string says for what, so that a ciphertext from another election,
//! attempt or sender does not open. The ephemeral key is RFC 9180's `DeriveKeyPair(seed)`: who knows the seed and the
//! plaintext can make the ciphertext again, which is how a disputed share is opened.

use crate::{
    encoding::{Hash, Writer, label},
    ids::{Attempt, ElectionId, TrusteeIndex},
};
use alloc::vec::Vec;
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

type Kem = X25519HkdfSha256;

/// Encapsulated key, ciphertext of 64 bytes, tag.
pub(crate) const SEALED_BYTES: usize = 32 + 64 + 16;

/// Whose ciphertext it is. (D12)
pub(crate) struct Route<'a> {
    pub(crate) election: &'a ElectionId,
    pub(crate) attempt: Attempt,
    pub(crate) terms: &'a Hash,
    pub(crate) from: TrusteeIndex,
    pub(crate) to: TrusteeIndex,
}

impl Route<'_> {
    /// `"conclave/v1/ceremony-share" || 0x00 || election || attempt || terms digest || from || to`.
    fn info(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(b"conclave/v1/").raw(label::CEREMONY_SHARE.as_bytes()).u8(0);
        if bug!(RouteUnbound) {
            return out.finish();
        }
        out.value(self.election).value(&self.attempt).raw(self.terms).value(&self.from).value(&self.to);
        out.finish()
    }
}

/// A recipient's key for one attempt.
pub(crate) struct SealingKey {
    secret: <Kem as hpke::Kem>::PrivateKey,
    public: [u8; 32],
}

impl SealingKey {
    pub(crate) fn derive(seed: &[u8; 32]) -> Self {
        let (secret, public) = Kem::derive_keypair(seed);
        Self { secret, public: public.to_bytes().into() }
    }
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }
    /// The plaintext, if this key and this route open it.
    pub(crate) fn open(&self, route: &Route<'_>, sealed: &[u8]) -> Option<Zeroizing<[u8; 64]>> {
        if sealed.len() != SEALED_BYTES {
            return None;
        }
        let (encapsulated, ciphertext) = sealed.split_at_checked(32)?;
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            &route.info(),
            ciphertext,
            b"",
        );
        let plain = Zeroizing::new(plain.ok()?);
        let mut out = Zeroizing::new([0; 64]);
        if plain.len() != out.len() {
            return None;
        }
        out.copy_from_slice(&plain);
        Some(out)
    }
}

/// Seals; the same input always gives the same bytes. `None` if the key is of small order.
pub(crate) fn seal(public: &[u8; 32], route: &Route<'_>, seed: &[u8; 32], plain: &[u8; 64]) -> Option<Vec<u8>> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(public).ok()?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
        &OpModeS::Base,
        &public,
        &route.info(),
        plain,
        b"",
        &mut Once { next: *seed },
    )
    .ok()?;
    let mut out = encapsulated.to_bytes().to_vec();
    out.extend_from_slice(&ciphertext);
    Some(out)
}

/// Whether shares can be sealed to this key: not of small order.
pub(crate) fn is_usable(public: &[u8; 32]) -> bool {
    let Ok(public) = <Kem as hpke::Kem>::PublicKey::from_bytes(public) else { return false };
    Kem::encap(&public, None, &mut Once { next: [1; 32] }).is_ok()
}

/// Hands the seed to the library as the one thing it draws (the input keying material of the ephemeral key); were it ever
/// to draw more, it would get hashes of the seed.
struct Once {
    next: [u8; 32],
}

impl hpke::rand_core::RngCore for Once {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            for (to, from) in chunk.iter_mut().zip(self.next) {
                *to = from;
            }
            self.next = Sha256::digest(self.next).into();
        }
    }
}

impl hpke::rand_core::CryptoRng for Once {}

impl Drop for Once {
    fn drop(&mut self) {
        self.next.zeroize();
    }
}
