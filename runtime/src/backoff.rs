//! How long to wait before trying again.

use std::time::Duration;

use rand_core::RngCore;

/// Waiting times that double up to a bound, each with a random part, so that those who failed together do not come
/// back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// The first wait is about `first`, none is longer than `max`. The same seed gives the same waits.
    #[must_use]
    pub const fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max, attempt: 0, state: seed }
    }

    /// 100 ms, doubling to 5 s: for calls between our own processes.
    #[must_use]
    pub fn between_peers(rng: &mut impl RngCore) -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5), rng.next_u64())
    }

    /// The next wait: between half of and all of `min(max, first * 2^attempt)`.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(self.attempt)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        let half = whole / 2;
        let span_us = u64::try_from(half.as_micros()).unwrap_or(u64::MAX - 1);
        half + Duration::from_micros(self.draw() % (span_us + 1))
    }

    /// How many waits were handed out since the last success.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }

    /// It worked: the next wait is a short one again.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// SplitMix64: jitter needs no secrecy, and a seed makes a run repeatable.
    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_within_their_bounds_for_ever() {
        let mut backoff = Backoff::new(FIRST, MAX, 1);
        for attempt in 0..200 {
            let whole = FIRST.saturating_mul(1 << attempt.min(20)).min(MAX);
            let delay = backoff.next_delay();
            assert!(delay >= whole / 2 && delay <= whole, "{attempt}: {delay:?}");
        }
    }

    #[test]
    fn the_seed_decides_and_success_starts_over() {
        let waits = |seed| {
            let mut backoff = Backoff::new(FIRST, MAX, seed);
            [(); 8].map(|()| backoff.next_delay())
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        let mut backoff = Backoff::new(FIRST, MAX, 1);
        for _ in 0..9 {
            assert!(backoff.next_delay() > Duration::ZERO);
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
