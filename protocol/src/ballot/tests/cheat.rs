//! A prover for any values whatever, which otherwise follows the protocol to the letter; and the simulator.

use super::*;
use crate::{
    ballot::{
        layout::Parsed,
        proof::{PROOF_POINTS, Statement},
    },
    encoding::Writer,
    group::{RawPoint, encode_sum},
};

pub(super) struct Cheat {
    /// `b_1 .. b_(K+D)`, committed to in `V`.
    pub(super) committed: Vec<Scalar>,
    /// `m_1 .. m_K`, in the ciphertexts.
    pub(super) encrypted: Vec<Scalar>,
    /// Added to the randomness of `A_1` alone.
    pub(super) a_offset: Scalar,
}

impl Cheat {
    pub(super) fn of(bits: &[Scalar]) -> Self {
        Self { committed: bits.to_vec(), encrypted: bits.to_vec(), a_offset: Scalar::ZERO }
    }

    /// A ballot of style 0, contest 0, with a good signature.
    pub(super) fn ballot(&self, form: &BallotForm, key: &SigningKey, rng: &mut ChaCha20Rng) -> Vec<u8> {
        let rule = form.contests()[0];
        let options = usize::from(rule.options);
        assert_eq!(self.committed.len(), rule.bits());
        let mut many = |n: usize| -> Vec<Scalar> { (0..n).map(|_| random_scalar(rng)).collect() };
        let (r, a) = (many(options), many(rule.bits()));
        let [rho, alpha, beta, tau_0, tau_1] = many(5)[..] else { unreachable!() };
        let (g, h) = (Point::generator().raw(), form.key().raw());
        let Generators { p_0, p, q, .. } = &form.generators;
        let commit = |values: &[Scalar], blind: Scalar| {
            values.iter().zip(p).map(|(v, p)| v * p).sum::<RawPoint>() + blind * q.raw()
        };

        let public = Credential(key.verifying_key().to_bytes());
        let mut out = Writer::new();
        out.u8(1).raw(&[7; 8]).u16(0).value(&public);
        let mut points = Writer::new();
        let mut offset = self.a_offset;
        for (r_j, m_j) in r.iter().zip(&self.encrypted) {
            points.raw(&encode_sum(&(g * (r_j + offset)))).raw(&encode_sum(&(g * m_j + h * r_j)));
            offset = Scalar::ZERO;
        }
        points.raw(&encode_sum(&commit(&self.committed, rho)));
        // The challenges of `y` and `w` do not depend on the five points that are still to come.
        let statement =
            Statement { form, style: StyleIndex(0), credential: public, contest: ContestIndex(0), rule: &rule };
        let mut padded = points.clone();
        padded.raw(&[0; 32 * (PROOF_POINTS - 1)]);
        let first = statement.challenges(padded.as_bytes());
        let (y, w) = (first.y, first.w);

        let power = |base: Scalar, j: usize| (0..=j).fold(Scalar::ONE, |power, _| power * base);
        let sum = |n: usize, term: &dyn Fn(usize) -> Scalar| (0..n).map(term).sum::<Scalar>();
        let (n, one, two) = (rule.bits(), Scalar::ONE, Scalar::from(2_u8));
        let t_1 = sum(n, &|j| power(y, j) * a[j] * (one - two * self.committed[j])) + power(y, n) * sum(n, &|j| a[j]);
        let t_0 = -sum(n, &|j| power(y, j) * a[j] * a[j]);
        points.raw(&encode_sum(&commit(&a, alpha)));
        points.raw(&encode_sum(&(g * beta)));
        points.raw(&encode_sum(&(g * sum(options, &|j| power(w, j) * a[j]) + h * beta)));
        points.raw(&encode_sum(&(p_0.raw() * t_1 + q.raw() * tau_1)));
        points.raw(&encode_sum(&(p_0.raw() * t_0 + q.raw() * tau_0)));
        let x = statement.challenges(points.as_bytes()).x;

        out.raw(points.as_bytes());
        for (b_j, a_j) in self.committed.iter().zip(&a) {
            out.value(&(b_j * x + a_j));
        }
        out.value(&(rho * x + alpha));
        out.value(&(x * sum(options, &|j| power(w, j) * r[j]) + beta));
        out.value(&(tau_1 * x + tau_0));
        out.raw(&[0; 64]);
        let mut bytes = out.finish();
        sign_again(form.election(), &mut bytes, key);
        bytes
    }
}

/// Fills a proof's commitments so that every equation holds for challenges that are already there: what anyone can
/// do without a witness, and what makes the proof zero-knowledge.
pub(super) fn simulate(form: &BallotForm, parsed: &mut Parsed, rng: &mut ChaCha20Rng) {
    let votes = parsed.ballot.votes.clone();
    let proof = &mut parsed.proofs[0];
    let (x, y, w) = (proof.challenges.x, proof.challenges.y, proof.challenges.w);
    let Generators { p_0, p, q, .. } = &form.generators;
    for scalar in proof.f.iter_mut().chain([&mut proof.z_v, &mut proof.z_r, &mut proof.z_c]) {
        *scalar = random_scalar(rng);
    }
    proof.c_1 = base_mul(&random_scalar(rng));
    proof.s = proof.f.iter().zip(p).map(|(f, p)| f * p).sum::<RawPoint>() + proof.z_v * q.raw() - x * proof.v;
    let (mut w_j, mut w_f) = (Scalar::ONE, Scalar::ZERO);
    let (mut sum_a, mut sum_b) = (crate::group::identity(), crate::group::identity());
    for (vote, f_j) in votes.iter().zip(&proof.f) {
        w_j *= w;
        w_f += w_j * f_j;
        sum_a += w_j * vote.a.raw();
        sum_b += w_j * vote.b.raw();
    }
    proof.t_a = base_mul(&proof.z_r) - x * sum_a;
    proof.t_b = base_mul(&w_f) + proof.z_r * form.key().raw() - x * sum_b;
    let (mut y_j, mut e, mut total) = (Scalar::ONE, Scalar::ZERO, Scalar::ZERO);
    for f_j in &proof.f {
        y_j *= y;
        e += y_j * f_j * (x - f_j);
        total += f_j;
    }
    e += y_j * y * x * (total - Scalar::from(proof.rule.max) * x);
    proof.c_0 = e * p_0.raw() + proof.z_c * q.raw() - x * proof.c_1;
}
