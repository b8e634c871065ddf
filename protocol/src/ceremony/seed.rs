//! All randomness of one trustee in one attempt, from one seed. (P-DKG-0)

use crate::{
    encoding::{Writer, label, wide_digest},
    ids::{Attempt, ElectionId, TrusteeIndex},
};
use alloc::vec::Vec;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// 32 fresh bytes, drawn for one attempt from the token and the operating system together, sealed durably **before** the
/// first message that depends on them leaves.
///
/// Everything that a trustee says in the attempt follows from it and from public messages, so a crash resumes the same
/// attempt with the same bytes, and the key shares can be recomputed from the seed and the board. Whoever has it has the
/// trustee's key shares.
#[derive(Clone, ZeroizeOnDrop)]
pub struct AttemptSeed([u8; 32]);

impl AttemptSeed {
    /// From fresh or unsealed bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// For sealing at rest, and for nothing else.
    #[must_use]
    pub fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for AttemptSeed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AttemptSeed(redacted)")
    }
}

/// Makes sub-seeds. Bound to election, attempt and trustee, so that even a seed used twice (a cloned machine) makes no key
/// twice. (K13)
pub(crate) struct SubSeeds {
    seed: AttemptSeed,
    election: ElectionId,
    attempt: Attempt,
    me: TrusteeIndex,
}

impl SubSeeds {
    pub(crate) fn new(seed: &AttemptSeed, election: ElectionId, attempt: Attempt, me: TrusteeIndex) -> Self {
        Self { seed: seed.clone(), election, attempt, me }
    }

    /// First half of `SHA-512(label, seed || purpose || election || attempt || me || to)`.
    pub(crate) fn derive(&self, purpose: &str, to: TrusteeIndex) -> Zeroizing<[u8; 32]> {
        let mut context = Writer::new();
        context.text(purpose).value(&self.election).value(&self.attempt).value(&self.me).value(&to);
        // Of the right size at once: a buffer that grows leaves the seed behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.seed.0.len() + context.as_bytes().len()));
        bytes.extend_from_slice(&self.seed.0);
        bytes.extend_from_slice(context.as_bytes());
        let mut wide = wide_digest(label::CEREMONY_SEED, &bytes);
        let (half, _) = super::polynomial::split(&wide);
        wide.zeroize();
        Zeroizing::new(half)
    }

    pub(crate) fn rng(&self, purpose: &str) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.derive(purpose, self.me))
    }
}
