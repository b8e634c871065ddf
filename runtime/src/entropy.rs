//! Entropy of the operating system, for the shells to hand to the core.

use rand_core::{CryptoRng, Error, RngCore, impls};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

/// The operating system's random number generator.
///
/// A process that cannot draw entropy stops ([`crate::fail_stop`]): no key, nonce or weight of ours may be made without
/// it, and `RngCore::fill_bytes` has no way to say so.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl RngCore for OsEntropy {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, destination: &mut [u8]) {
        if let Err(trouble) = getrandom::getrandom(destination) {
            crate::fail_stop(format_args!("the operating system gave no entropy: {trouble}"));
        }
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(destination);
        Ok(())
    }
}

impl CryptoRng for OsEntropy {}

/// The operating system's entropy, stirred with that of another source: every draw is a hash of both, so that either of
/// them alone is enough. Against a machine that was cloned with its generator's state. (K13)
pub struct Stirred {
    spice: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Stirred {
    /// With 32 bytes that another source has just made.
    #[must_use]
    pub fn new(spice: &[u8; 32]) -> Self {
        Self { spice: Zeroizing::new(*spice), drawn: 0 }
    }

    /// Whether anything was drawn.
    #[must_use]
    pub fn used(&self) -> bool {
        self.drawn > 0
    }
}

impl core::fmt::Debug for Stirred {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stirred").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl RngCore for Stirred {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, destination: &mut [u8]) {
        for part in destination.chunks_mut(32) {
            let mut ours = Zeroizing::new([0; 32]);
            OsEntropy.fill_bytes(ours.as_mut_slice());
            let hash = Sha512::new()
                .chain_update(b"conclave/v1/entropy\0")
                .chain_update(self.spice.as_slice())
                .chain_update(self.drawn.to_be_bytes())
                .chain_update(ours.as_slice());
            let mut mixed: [u8; 64] = hash.finalize().into();
            self.drawn = self.drawn.saturating_add(1);
            part.iter_mut().zip(&mixed).for_each(|(out, byte)| *out = *byte);
            mixed.zeroize();
        }
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(destination);
        Ok(())
    }
}

impl CryptoRng for Stirred {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stirred_draws_differ_in_every_block_and_say_that_they_were_made() {
        let mut rng = Stirred::new(&[7; 32]);
        assert!(!rng.used());
        let mut drawn = [0_u8; 200];
        rng.fill_bytes(&mut drawn);
        assert!(rng.used());
        let blocks: std::collections::BTreeSet<&[u8]> = drawn.chunks(32).collect();
        assert_eq!(blocks.len(), 7);
        let mut again = [0_u8; 200];
        Stirred::new(&[7; 32]).fill_bytes(&mut again);
        assert_ne!(drawn, again, "the system's entropy is in it");
    }

    #[test]
    fn two_draws_differ() {
        let (mut first, mut second) = ([0_u8; 32], [0_u8; 32]);
        OsEntropy.fill_bytes(&mut first);
        OsEntropy.fill_bytes(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }
}
