//! The classical ballot proof, for comparison only: per option a disjunctive proof of 0 or 1 (Cramer, Damgard and
//! Schoenmakers 1994), and a proof that the sum is 1. In commitment form too, so that a batch is one sum: `6 K + 2`
//! points where ours has `2 K + 6`. No signature, no binding to a voter: it does less than ours and is not for use.

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT as G,
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha512};

/// The election key and its table.
pub struct Classical {
    key: RistrettoPoint,
    table: RistrettoBasepointTable,
    options: usize,
}

const POINTS: usize = 6;
const SCALARS: usize = 3;

impl Classical {
    /// An election with a random key.
    pub fn new(options: usize, mut rng: &mut dyn CryptoRngCore) -> Self {
        let key = RistrettoPoint::random(&mut rng);
        Self { key, table: RistrettoBasepointTable::create(&key), options }
    }

    /// Encrypts and proves one choice. Bytes: per option `A B a_0 b_0 a_1 b_1`, then the sum's `T_1 T_2`; per option
    /// `c_0 z_0 z_1`, then the sum's `z`.
    pub fn seal(&self, choice: usize, mut rng: &mut dyn CryptoRngCore) -> Vec<u8> {
        let mut points = Vec::new();
        let mut secrets = Vec::new();
        for option in 0..self.options {
            let m = option == choice;
            let [r, k, c_fake, z_fake] = core::array::from_fn(|_| Scalar::random(&mut rng));
            let (a, b) = (RistrettoPoint::mul_base(&r), &self.table * &r + if m { G } else { G * Scalar::ZERO });
            let real = [RistrettoPoint::mul_base(&k), &self.table * &k];
            let shifted = if m { b } else { b - G };
            let fake = [RistrettoPoint::mul_base(&z_fake) - c_fake * a, &self.table * &z_fake - c_fake * shifted];
            let (zero, one) = if m { (fake, real) } else { (real, fake) };
            points.extend([a, b].into_iter().chain(zero).chain(one));
            secrets.push((m, r, k, c_fake, z_fake));
        }
        let mask = Scalar::random(&mut rng);
        points.extend([RistrettoPoint::mul_base(&mask), &self.table * &mask]);
        let mut out: Vec<u8> = points.iter().flat_map(|point| point.compress().to_bytes()).collect();
        let c = challenge(&out);
        let mut r_sum = Scalar::ZERO;
        for (m, r, k, c_fake, z_fake) in secrets {
            let (c_real, z_real) = (c - c_fake, k + (c - c_fake) * r);
            let (c_0, z_0, z_1) = if m { (c_fake, z_fake, z_real) } else { (c_real, z_real, z_fake) };
            out.extend([c_0, z_0, z_1].iter().flat_map(Scalar::to_bytes));
            r_sum += r;
        }
        out.extend((mask + c * r_sum).to_bytes());
        out
    }

    /// Decodes and verifies a batch as one sum.
    #[must_use]
    pub fn verify_batch(&self, ballots: &[&[u8]], rng: &mut dyn CryptoRngCore) -> bool {
        let (mut scalars, mut points) = (Vec::new(), Vec::new());
        let (mut on_g, mut on_h) = (Scalar::ZERO, Scalar::ZERO);
        let mut weight = || {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            Scalar::from(u128::from_le_bytes(bytes))
        };
        for ballot in ballots {
            let Some((p, s, c)) = self.decode(ballot) else { return false };
            let (per_option, sum_proof) = p.split_at(POINTS * self.options);
            let (last_w, last_v) = (weight(), weight());
            for (option, s) in per_option.chunks_exact(POINTS).zip(s.chunks_exact(SCALARS)) {
                let (&[a, b, a_0, b_0, a_1, b_1], &[c_0, z_0, z_1]) = (option, s) else { return false };
                let c_1 = c - c_0;
                let [u_0, v_0, u_1, v_1] = [weight(), weight(), weight(), weight()];
                // z_v G = a_v + c_v A and z_v H = b_v + c_v (B - v G); the sum's proof takes c of every A and B.
                scalars.extend([
                    u_0,
                    v_0,
                    u_1,
                    v_1,
                    u_0 * c_0 + u_1 * c_1 + last_w * c,
                    v_0 * c_0 + v_1 * c_1 + last_v * c,
                ]);
                points.extend([a_0, b_0, a_1, b_1, a, b]);
                on_g -= u_0 * z_0 + u_1 * z_1 + v_1 * c_1;
                on_h -= v_0 * z_0 + v_1 * z_1;
            }
            let (&[t_1, t_2], Some(z)) = (sum_proof, s.last()) else { return false };
            scalars.extend([last_w, last_v]);
            points.extend([t_1, t_2]);
            on_g -= last_w * z + last_v * c;
            on_h -= last_v * z;
        }
        scalars.extend([on_g, on_h]);
        points.extend([G, self.key]);
        RistrettoPoint::vartime_multiscalar_mul(&scalars, &points).is_identity()
    }

    fn decode(&self, ballot: &[u8]) -> Option<(Vec<RistrettoPoint>, Vec<Scalar>, Scalar)> {
        let (points, scalars) = ballot.split_at_checked(32 * (POINTS * self.options + 2))?;
        let c = challenge(points);
        let points: Option<Vec<_>> =
            points.chunks_exact(32).map(|bytes| CompressedRistretto::from_slice(bytes).ok()?.decompress()).collect();
        let scalars: Option<Vec<_>> = scalars
            .chunks_exact(32)
            .map(|bytes| Option::from(Scalar::from_canonical_bytes(bytes.try_into().ok()?)))
            .collect();
        Some((points?, scalars.filter(|s| s.len() == SCALARS * self.options + 1)?, c))
    }
}

fn challenge(points: &[u8]) -> Scalar {
    Scalar::from_hash(Sha512::new_with_prefix(points))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded;

    #[test]
    fn a_classical_ballot_verifies_and_a_changed_one_does_not() {
        let mut rng = seeded();
        let form = Classical::new(3, &mut rng);
        let (one, mut other) = (form.seal(1, &mut rng), form.seal(2, &mut rng));
        assert!(form.verify_batch(&[&one, &other], &mut rng));
        let last = other.len() - 32;
        other[last] ^= 1;
        assert!(!form.verify_batch(&[&one, &other], &mut rng));
    }
}
