//! Small discrete logarithms by baby steps and giant steps, bounded. (P-TAL-4)
//!
//! For a bound `N` and `K` points a table of `m = sqrt(N K)` multiples of `G` is made once; a point then takes at most
//! `N / m + 1` giant steps. Points are compared by their encodings, made in batches that share one inversion: the
//! encoding of the *double* of a point is what the batch gives, for table and search alike.
//!
//! Not constant time: results are public.

use crate::group::{Point, RawPoint, Scalar, base_mul, double_and_encode_batch, identity, is_identity};
use alloc::{vec, vec::Vec};

/// The largest table, in steps; a slot takes 8 bytes and half of the slots stay empty. 2^21 steps are 32 MiB.
pub const STEPS_MAX: u64 = 1 << 21;
const STEPS_MIN: u64 = 16;
const BATCH: u64 = 256;

/// Where an encoding is looked up: its place in the table and a fingerprint.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// The multiple of `G`, from 1; 0 is an empty slot.
    step: u32,
    fingerprint: u32,
}

/// A table of the first multiples of `G`, and the search with it.
pub struct DiscreteLogs {
    slots: Vec<Slot>,
    steps: u64,
}

impl core::fmt::Debug for DiscreteLogs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "DiscreteLogs({} steps)", self.steps)
    }
}

impl DiscreteLogs {
    /// A table that suits `points` searches up to `bound`. About 1 us and 16 bytes for each of its `sqrt(bound points)`
    /// steps, [`STEPS_MAX`] at most.
    #[must_use]
    pub fn new(bound: u64, points: usize) -> Self {
        let points = u64::try_from(points).unwrap_or(u64::MAX).max(1);
        let steps = bound.saturating_mul(points).isqrt().clamp(STEPS_MIN, STEPS_MAX);
        let size = usize::try_from(steps.saturating_mul(2).next_power_of_two()).unwrap_or(usize::MAX);
        let mut table = Self { slots: vec![Slot::default(); size], steps };
        let generator = Point::generator().raw();
        let mut multiple = identity();
        let mut step: u32 = 0;
        let mut left = steps;
        while left > 0 {
            let batch: Vec<RawPoint> = (0..left.min(BATCH))
                .map(|_| {
                    multiple += generator;
                    multiple
                })
                .collect();
            left = left.saturating_sub(BATCH);
            for encoding in double_and_encode_batch(&batch) {
                step = step.saturating_add(1);
                table.insert(&encoding, step);
            }
        }
        table
    }

    /// The `m` with `point = m G` and `0 <= m <= bound`; `None` if there is none. Ends after `bound / steps + 1` giant
    /// steps, whatever the point is.
    #[must_use]
    pub fn find(&self, point: &RawPoint, bound: u64) -> Option<u64> {
        if is_identity(point) {
            return Some(0);
        }
        // m = giant * steps + step with 1 <= step <= steps, so the last giant step is (bound - 1) / steps.
        let bound = if bug!(LogBoundMissing) { bound.saturating_mul(4).max(4) } else { bound };
        let bound = if bug!(LogBoundTooLow) { bound.saturating_sub(1) } else { bound };
        let giants = bound.checked_sub(1)? / self.steps + 1;
        let stride = base_mul(&Scalar::from(self.steps));
        let mut here = *point;
        let mut giant: u64 = 0;
        while giant < giants {
            let batch: Vec<RawPoint> = (giant..giants.min(giant.saturating_add(BATCH)))
                .map(|_| {
                    let this = here;
                    here -= stride;
                    this
                })
                .collect();
            for encoding in double_and_encode_batch(&batch) {
                for step in self.candidates(&encoding) {
                    let m = giant.saturating_mul(self.steps).saturating_add(step);
                    // A fingerprint may collide; the group decides.
                    if m <= bound && base_mul(&Scalar::from(m)) == *point {
                        return Some(m);
                    }
                }
                giant = giant.saturating_add(1);
            }
        }
        None
    }

    /// A table whose every entry claims to be `step`: what a collision of fingerprints looks like.
    #[cfg(test)]
    pub(super) fn relabelled(&self, step: u32) -> Self {
        let slots = self.slots.iter().map(|slot| Slot { step: if slot.step == 0 { 0 } else { step }, ..*slot });
        Self { slots: slots.collect(), steps: self.steps }
    }

    fn insert(&mut self, encoding: &[u8; 32], step: u32) {
        let (start, fingerprint) = place(encoding);
        let size = self.slots.len();
        for at in probes(start, size) {
            if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.step == 0) {
                *slot = Slot { step, fingerprint };
                return;
            }
        }
    }

    fn candidates(&self, encoding: &[u8; 32]) -> impl Iterator<Item = u64> {
        let (start, fingerprint) = place(encoding);
        probes(start, self.slots.len())
            .filter_map(|at| self.slots.get(at))
            .take_while(|slot| slot.step != 0)
            .filter(move |slot| slot.fingerprint == fingerprint)
            .map(|slot| slot.step.into())
    }
}

/// Every slot once, from `start` on; `size` is a power of two.
fn probes(start: usize, size: usize) -> impl Iterator<Item = usize> {
    (0..size).map(move |offset| start.wrapping_add(offset) & size.wrapping_sub(1))
}

/// The first byte's lowest bit is always 0 in an encoding, so places start at the second byte.
fn place(encoding: &[u8; 32]) -> (usize, u32) {
    let [_, a, b, c, d, e, f, g, h, ..] = *encoding;
    (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]))
}
