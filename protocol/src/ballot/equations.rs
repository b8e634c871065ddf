//! The verification equations, written once: as terms of a sum that must be the identity. (P-BAL-3)
//!
//! A single check sums one equation with weight 1; a batch sums all of them with random weights. Both collect their
//! terms here, so they cannot drift apart.

use super::{BallotForm, proof::Proof, signature::SignatureClaim};
use crate::{
    elgamal::Ciphertext,
    group::{RawPoint, Scalar, SignaturePoint, is_identity, public_sum},
};
use alloc::vec::Vec;

/// Number of equations per contest.
pub(super) const EQUATIONS: usize = 4;

/// Weights of the four equations of one contest. A weight of zero leaves its equation out.
pub(super) type Weights = [Scalar; EQUATIONS];

/// A sum over proof points, and over the fixed generators, whose coefficients gather over the whole batch.
pub(super) struct ProofSum<'a> {
    form: &'a BallotForm,
    scalars: Vec<Scalar>,
    points: Vec<&'a RawPoint>,
    on_g: Scalar,
    on_h: Scalar,
    on_q: Scalar,
    on_p_0: Scalar,
    on_p: Vec<Scalar>,
}

impl<'a> ProofSum<'a> {
    /// With room for so many proof points.
    pub(super) fn new(form: &'a BallotForm, points: usize) -> Self {
        let room = points.saturating_add(form.generators.p.len()).saturating_add(4);
        Self {
            form,
            scalars: Vec::with_capacity(room),
            points: Vec::with_capacity(room),
            on_g: Scalar::ZERO,
            on_h: Scalar::ZERO,
            on_q: Scalar::ZERO,
            on_p_0: Scalar::ZERO,
            on_p: Vec::with_capacity(form.generators.p.len()),
        }
    }

    fn term(&mut self, scalar: Scalar, point: &'a RawPoint) {
        self.scalars.push(scalar);
        self.points.push(point);
    }

    /// Adds left side minus right side of each equation of a contest, times its weight.
    pub(super) fn add(&mut self, proof: &'a Proof, votes: &'a [Ciphertext], weights: &Weights) {
        let [bits, randomness, ciphertexts, product] = weights;
        if *bits != Scalar::ZERO {
            self.add_bits(proof, bits);
        }
        if *randomness != Scalar::ZERO {
            self.add_randomness(proof, votes, randomness);
        }
        if *ciphertexts != Scalar::ZERO {
            self.add_ciphertexts(proof, votes, ciphertexts);
        }
        if *product != Scalar::ZERO && !bug!(ProductEquationSkipped) {
            self.add_product(proof, product);
        }
    }

    /// > x V + S = sum f_j P_j + z_V Q
    fn add_bits(&mut self, proof: &'a Proof, weight: &Scalar) {
        self.term(weight * proof.challenges.x, &proof.v);
        self.term(*weight, &proof.s);
        if self.on_p.len() < proof.f.len() {
            self.on_p.resize(proof.f.len(), Scalar::ZERO);
        }
        for (on_p_j, f_j) in self.on_p.iter_mut().zip(&proof.f) {
            *on_p_j -= weight * f_j;
        }
        self.on_q -= weight * proof.z_v;
    }

    /// > x sum w^j A_j + T_A = z_R G
    fn add_randomness(&mut self, proof: &'a Proof, votes: &'a [Ciphertext], weight: &Scalar) {
        let mut power = weight * proof.challenges.x;
        for vote in votes {
            power *= proof.challenges.w;
            self.term(power, vote.a.raw_ref());
        }
        self.term(*weight, &proof.t_a);
        self.on_g -= weight * proof.z_r;
    }

    /// > x sum w^j B_j + T_B = (sum_{j<=K} w^j f_j) G + z_R H
    fn add_ciphertexts(&mut self, proof: &'a Proof, votes: &'a [Ciphertext], weight: &Scalar) {
        let mut power = weight * proof.challenges.x;
        for vote in votes {
            power *= proof.challenges.w;
            self.term(power, vote.b.raw_ref());
        }
        let sum = power_sum(&proof.challenges.w, proof.f.iter().take(votes.len()).copied());
        self.term(*weight, &proof.t_b);
        self.on_g -= weight * sum;
        self.on_h -= weight * proof.z_r;
    }

    /// > x C_1 + C_0 = [ sum y^j f_j (x - f_j) + y^(K+D+1) x (sum f_j - max x) ] P_0 + z_C Q
    fn add_product(&mut self, proof: &'a Proof, weight: &Scalar) {
        let x = proof.challenges.x;
        self.term(weight * x, &proof.c_1);
        self.term(*weight, &proof.c_0);
        let total: Scalar = proof.f.iter().sum();
        let last = x * (total - Scalar::from(proof.rule.max) * x);
        let products = proof.f.iter().map(|f_j| f_j * (x - f_j)).chain([last]);
        let sum = power_sum(&proof.challenges.y, products);
        self.on_p_0 -= weight * sum;
        self.on_q -= weight * proof.z_c;
    }

    /// Whether all that was added sums to the identity.
    pub(super) fn vanishes(mut self) -> bool {
        let form = self.form;
        let generators = &form.generators;
        for (scalar, point) in [
            (self.on_g, &form.g),
            (self.on_h, form.key.raw_ref()),
            (self.on_q, generators.q.raw_ref()),
            (self.on_p_0, generators.p_0.raw_ref()),
        ] {
            self.term(scalar, point);
        }
        self.scalars.append(&mut self.on_p);
        let unused = self.scalars.len().saturating_sub(self.points.len());
        self.points.extend(generators.p.iter().take(unused));
        is_identity(&public_sum(&self.scalars, &self.points))
    }
}

/// `sum_j base^j value_j`, `j` from 1, by Horner's rule.
fn power_sum(base: &Scalar, values: impl DoubleEndedIterator<Item = Scalar>) -> Scalar {
    values.rev().fold(Scalar::ZERO, |sum, value| (sum + value) * base)
}

/// A sum of signature equations.
pub(super) struct SignatureSum<'a> {
    scalars: Vec<Scalar>,
    points: Vec<&'a SignaturePoint>,
    on_base: Scalar,
}

impl<'a> SignatureSum<'a> {
    /// With room for so many signatures.
    pub(super) fn new(signatures: usize) -> Self {
        let room = signatures.saturating_mul(2).saturating_add(1);
        Self { scalars: Vec::with_capacity(room), points: Vec::with_capacity(room), on_base: Scalar::ZERO }
    }

    /// Adds `weight (R + k A - s B)`.
    pub(super) fn add(&mut self, claim: &'a SignatureClaim, weight: &Scalar) {
        // In this sense and not the other, because `-weight` reduced has 252 bits and costs twice as much.
        self.scalars.push(*weight);
        self.points.push(&claim.r);
        self.scalars.push(weight * claim.k);
        self.points.push(&claim.key);
        self.on_base -= weight * claim.s;
    }

    /// Whether 8 times the sum is the identity.
    pub(super) fn vanishes(mut self) -> bool {
        if bug!(BallotSignatureUnchecked) {
            return true;
        }
        let base = SignaturePoint::generator();
        self.scalars.push(self.on_base);
        let mut points: Vec<&SignaturePoint> = self.points;
        points.push(&base);
        SignaturePoint::cofactored_sum_is_identity(&self.scalars, &points)
    }
}
