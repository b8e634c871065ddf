//! Entropy of the operating system, for the shells to hand to the core.

use rand_core::{CryptoRng, Error, RngCore, impls};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let (mut first, mut second) = ([0_u8; 32], [0_u8; 32]);
        OsEntropy.fill_bytes(&mut first);
        OsEntropy.fill_bytes(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }
}
