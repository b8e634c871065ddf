//! One trustee's secret polynomial and what others check of it: FROST key generation (Komlo-Goldberg, figure 1) over
//! either group, step by step. (P-DKG-3, P-DKG-5)
//!
//! Hashes and decoding are the FROST libraries'; the polynomial is drawn here because a crashed attempt has to draw
//! the same one again whatever version of the library runs by then, and because public commitments are evaluated at small
//! indices, forty times cheaper than by general scalar multiplication.
//!
//! Constant time: everything that touches coefficients, shares or the nonce. Not constant time: what touches public
//! commitments only.

use crate::{evidence::Wrong, ids::TrusteeIndex};
use alloc::vec::Vec;
use core::ops::{Add, Sub};
use curve25519_dalek::{
    edwards::EdwardsPoint,
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};
use frost_ed25519::{Ciphersuite as _, Group as _};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// One of the two key generations. The types keep a share of one from reaching the other's checks. (D10)
pub(crate) trait Purpose {
    type Element: Copy + Eq + Add<Output = Self::Element> + Sub<Output = Self::Element> + Identity + IsIdentity;
    fn base_mul(scalar: &Scalar) -> Self::Element;
    /// Canonical, of prime order, not the identity. (D11)
    fn decode(bytes: &[u8; 32]) -> Option<Self::Element>;
    fn encode(element: &Self::Element) -> [u8; 32];
    fn double(element: &Self::Element) -> Self::Element;
    /// `a * point + b * G` of public values.
    fn combine(a: &Scalar, point: &Self::Element, b: &Scalar) -> Self::Element;
    /// `H_dkg` of the FROST suite.
    fn challenge(preimage: &[u8]) -> Option<Scalar>;
}

/// The chain signature's key, FROST(Ed25519, SHA-512).
pub(crate) enum Signing {}
/// The election key, FROST(ristretto255, SHA-512).
pub(crate) enum Election {}

impl Purpose for Signing {
    type Element = EdwardsPoint;
    fn base_mul(scalar: &Scalar) -> EdwardsPoint {
        EdwardsPoint::mul_base(scalar)
    }
    fn decode(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
        // Subgroup membership by multiplication with the order. The cofactor is never cleared.
        frost_ed25519::Ed25519Group::deserialize(bytes).ok()
    }
    fn encode(element: &EdwardsPoint) -> [u8; 32] {
        element.compress().to_bytes()
    }
    fn double(element: &EdwardsPoint) -> EdwardsPoint {
        element + element
    }
    fn combine(a: &Scalar, point: &EdwardsPoint, b: &Scalar) -> EdwardsPoint {
        EdwardsPoint::vartime_double_scalar_mul_basepoint(a, point, b)
    }
    fn challenge(preimage: &[u8]) -> Option<Scalar> {
        frost_ed25519::Ed25519Sha512::HDKG(preimage)
    }
}

impl Purpose for Election {
    type Element = RistrettoPoint;
    fn base_mul(scalar: &Scalar) -> RistrettoPoint {
        RistrettoPoint::mul_base(scalar)
    }
    fn decode(bytes: &[u8; 32]) -> Option<RistrettoPoint> {
        frost_ristretto255::RistrettoGroup::deserialize(bytes).ok()
    }
    fn encode(element: &RistrettoPoint) -> [u8; 32] {
        element.compress().to_bytes()
    }
    fn double(element: &RistrettoPoint) -> RistrettoPoint {
        element + element
    }
    fn combine(a: &Scalar, point: &RistrettoPoint, b: &Scalar) -> RistrettoPoint {
        RistrettoPoint::vartime_double_scalar_mul_basepoint(a, point, b)
    }
    fn challenge(preimage: &[u8]) -> Option<Scalar> {
        frost_ristretto255::Ristretto255Sha512::HDKG(preimage)
    }
}

/// What a trustee publishes in round 1: commitments to its coefficients and the proof that it knows the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) commitments: Vec<[u8; 32]>,
    pub(crate) proof: [u8; 64],
}

/// `a_0 .. a_(t-1)`. Zeroized when dropped.
pub(crate) struct Polynomial {
    coefficients: Zeroizing<Vec<Scalar>>,
}

impl Polynomial {
    /// > Every participant `P_i` samples `t` random values `(a_i0, ..., a_i(t-1))`, computes a proof of knowledge to the
    /// > corresponding secret `a_i0` by calculating `sigma_i = (R_i, mu_i)` such that `k <- Z_q`, `R_i = g^k`,
    /// > `c_i = H(i, Phi, g^a_i0, R_i)`, `mu_i = k + a_i0 * c_i`, and a public commitment
    /// > `C_i = (phi_i0, ..., phi_i(t-1))`, `phi_ij = g^a_ij`.
    ///
    /// `None` only if the suite had no `H_dkg`, which both have.
    pub(crate) fn draw<P: Purpose>(
        me: TrusteeIndex,
        threshold: u16,
        rng: &mut dyn CryptoRngCore,
    ) -> Option<(Self, Package)> {
        let mut coefficients = Zeroizing::new(Vec::with_capacity(threshold.into()));
        let mut commitments = Vec::with_capacity(threshold.into());
        for _ in 0..threshold {
            let coefficient = nonzero_scalar(rng);
            commitments.push(P::encode(&P::base_mul(&coefficient)));
            coefficients.push(coefficient);
        }
        let k = Zeroizing::new(nonzero_scalar(rng));
        let r = P::encode(&P::base_mul(&k));
        let c = proof_challenge::<P>(me, commitments.first()?, &r)?;
        let mu = *k + coefficients.first()? * c;
        Some((Self { coefficients }, Package { commitments, proof: join(&r, mu.as_bytes()) }))
    }

    /// `f(at)`.
    pub(crate) fn at(&self, at: TrusteeIndex) -> Zeroizing<Scalar> {
        let x = Scalar::from(at.0);
        let mut sum = Zeroizing::new(Scalar::ZERO);
        for coefficient in self.coefficients.iter().rev() {
            *sum = *sum * x + coefficient;
        }
        sum
    }
}

/// `H(i, Phi, g^a_i0, R_i)` as the FROST libraries compute it: identifier, first commitment, `R`.
fn proof_challenge<P: Purpose>(of: TrusteeIndex, first: &[u8; 32], r: &[u8; 32]) -> Option<Scalar> {
    let mut preimage = Vec::with_capacity(96);
    preimage.extend_from_slice(Scalar::from(of.0).as_bytes());
    preimage.extend_from_slice(first);
    preimage.extend_from_slice(r);
    P::challenge(&preimage)
}

/// Another trustee's commitments, decoded, of the right number, with a proof of knowledge that holds.
pub(crate) struct CheckedCommitments<P: Purpose> {
    points: Vec<P::Element>,
}

impl<P: Purpose> CheckedCommitments<P> {
    /// Judges a round-1 package: exactly `threshold` points, all of the group, a proof that holds for this trustee.
    ///
    /// > `P_i` verifies `sigma_l = (R_l, mu_l)` by checking `R_l = g^mu_l * phi_l0^(-c_l)`.
    pub(crate) fn judge(
        from: TrusteeIndex,
        threshold: u16,
        commitments: &[[u8; 32]],
        proof: &[u8; 64],
    ) -> Result<Self, Wrong> {
        if commitments.len() != usize::from(threshold) && !bug!(CommitmentLengthUnchecked) {
            return Err(Wrong::CommitmentLength);
        }
        let points: Option<Vec<_>> = commitments.iter().map(P::decode).collect();
        let points = points.ok_or(Wrong::PointInvalid)?;
        let (r_bytes, mu_bytes) = split(proof);
        let r = P::decode(&r_bytes).ok_or(Wrong::PointInvalid)?;
        let mu = Option::<Scalar>::from(Scalar::from_canonical_bytes(mu_bytes)).ok_or(Wrong::PointInvalid)?;
        let (Some(first), Some(first_bytes)) = (points.first(), commitments.first()) else {
            return Err(Wrong::CommitmentLength);
        };
        let c = proof_challenge::<P>(from, first_bytes, &r_bytes).ok_or(Wrong::ProofOfKnowledge)?;
        if P::combine(&-c, first, &mu) == r || bug!(ProofOfKnowledgeUnchecked) {
            Ok(Self { points })
        } else {
            Err(Wrong::ProofOfKnowledge)
        }
    }

    /// > `g^f_l(i) = prod_k phi_lk^(i^k)`
    pub(crate) fn share_matches(&self, at: TrusteeIndex, share: &Scalar) -> bool {
        P::base_mul(share) == evaluate::<P>(&self.points, at)
    }
}

/// `sum_l C_l`, coefficient by coefficient: commitments to the joint polynomial.
pub(crate) fn sum<'a, P: Purpose + 'a>(all: impl Iterator<Item = &'a CheckedCommitments<P>>) -> Vec<P::Element> {
    let mut joint: Vec<P::Element> = Vec::new();
    for checked in all {
        if joint.is_empty() {
            joint.clone_from(&checked.points);
        } else {
            for (sum, point) in joint.iter_mut().zip(&checked.points) {
                *sum = *sum + *point;
            }
        }
    }
    joint
}

/// `sum_k at^k phi_k`, by Horner with a small multiplier. Public values only.
pub(crate) fn evaluate<P: Purpose>(commitments: &[P::Element], at: TrusteeIndex) -> P::Element {
    let mut sum = P::Element::identity();
    for commitment in commitments.iter().rev() {
        sum = times::<P>(&sum, at.0) + *commitment;
    }
    sum
}

fn times<P: Purpose>(point: &P::Element, factor: u16) -> P::Element {
    let mut product = P::Element::identity();
    for bit in (0..u16::BITS.saturating_sub(factor.leading_zeros())).rev() {
        product = P::double(&product);
        if (factor >> bit) & 1 == 1 {
            product = product + *point;
        }
    }
    product
}

fn nonzero_scalar(rng: &mut dyn CryptoRngCore) -> Scalar {
    loop {
        let scalar = crate::group::random_scalar(rng);
        if scalar != Scalar::ZERO {
            return scalar;
        }
    }
}

pub(crate) fn join(a: &[u8; 32], b: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    let (left, right) = out.split_at_mut(32);
    left.copy_from_slice(a);
    right.copy_from_slice(b);
    out
}

pub(crate) fn split(both: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut a, mut b) = ([0; 32], [0; 32]);
    let (left, right) = both.split_at(32);
    a.copy_from_slice(left);
    b.copy_from_slice(right);
    (a, b)
}
