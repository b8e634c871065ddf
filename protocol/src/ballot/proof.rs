//! The statement, its challenges, and the prover of the vector bit argument. (P-BAL-3, P-BAL-4)
//!
//! Statement: every `(A_j, B_j)`, `j = 1..K`, encrypts 0 or 1 under `H`, and `min <= sum m_j <= max`.
//! `b = (m_1..m_K, d_1..d_D)` with dummy bits `d` that fill the sum up to `max`.

use super::{BALLOT_SUITE, BallotForm, ContestRule};
use crate::{
    encoding::{Writer, label},
    group::{
        RawPoint, Scalar, base_mul, encode_sum, hash_scalar, hash_scalar_pair, identity, random_scalar, secret_sum,
    },
    ids::{ContestIndex, Credential, StyleIndex},
};
use alloc::vec::Vec;
use rand_core::CryptoRngCore;
use subtle::{Choice, ConditionallySelectable as _};
use zeroize::Zeroizing;

/// `V, S, T_A, T_B, C_1, C_0`.
pub(super) const PROOF_POINTS: usize = 6;
/// `z_V, z_R, z_C`; the `f_j` come on top.
pub(super) const PROOF_SCALARS: usize = 3;

/// One contest's decoded proof with its challenges.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) contest: ContestIndex,
    pub(super) rule: ContestRule,
    pub(super) challenges: Challenges,
    pub(super) v: RawPoint,
    pub(super) s: RawPoint,
    pub(super) t_a: RawPoint,
    pub(super) t_b: RawPoint,
    pub(super) c_1: RawPoint,
    pub(super) c_0: RawPoint,
    pub(super) f: Vec<Scalar>,
    pub(super) z_v: Scalar,
    pub(super) z_r: Scalar,
    pub(super) z_c: Scalar,
}

/// `y` and `w` after the bits are committed to, `x` after everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Challenges {
    pub(super) y: Scalar,
    pub(super) w: Scalar,
    pub(super) x: Scalar,
}

/// All public context that a proof is bound to, besides its own points.
pub(super) struct Statement<'a> {
    pub(super) form: &'a BallotForm,
    pub(super) style: StyleIndex,
    pub(super) credential: Credential,
    pub(super) contest: ContestIndex,
    pub(super) rule: &'a ContestRule,
}

impl Statement<'_> {
    /// Suite, election, key, contest and rule, style, credential, number of options.
    fn write(&self) -> Writer {
        let mut out = Writer::new();
        out.text(BALLOT_SUITE);
        if !bug!(ChallengeWithoutElection) {
            out.value(&self.form.election);
        }
        out.value(&self.form.key).value(&self.contest).value(self.rule).value(&self.style);
        if !bug!(ChallengeWithoutCredential) {
            out.value(&self.credential);
        }
        out.len(self.rule.options.into());
        out
    }

    /// The challenges of a finished proof. `points` is `A_1 | B_1 | .. | V | S | T_A | T_B | C_1 | C_0`.
    pub(super) fn challenges(&self, points: &[u8]) -> Challenges {
        let first_len = points.len().saturating_sub(32 * (PROOF_POINTS - 1));
        let (first, second) = points.split_at_checked(first_len).unwrap_or((points, &[]));
        let mut transcript = self.write();
        let (y, w) = first_challenges(&mut transcript, first);
        Challenges { y, w, x: last_challenge(&mut transcript, second) }
    }
}

/// `y, w = FS(statement, all A_j, B_j, V)`.
fn first_challenges(transcript: &mut Writer, points: &[u8]) -> (Scalar, Scalar) {
    let points = if bug!(WeakBallotChallenge) { points.last_chunk::<32>().map_or(points, |v| v) } else { points };
    hash_scalar_pair(label::BALLOT_CHALLENGE_1, transcript.raw(points).as_bytes())
}

/// `x = FS(statement, all A_j, B_j, V, S, T_A, T_B, C_1, C_0)`.
fn last_challenge(transcript: &mut Writer, points: &[u8]) -> Scalar {
    hash_scalar(label::BALLOT_CHALLENGE_2, transcript.raw(points).as_bytes())
}

/// The secrets of one contest: bits `m_1..m_K, d_1..d_D`, as they are proved.
pub(super) struct Bits(pub(super) Vec<u8>);

impl Drop for Bits {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Encrypts the votes and proves them; appends the contest's part of the ballot to `out`. Constant time in the bits
/// and in all randomness.
///
/// The caller gives `K + D` bits; whether they follow the rule is its business: for others the result does not verify.
pub(super) fn prove(statement: &Statement<'_>, bits: &Bits, rng: &mut dyn CryptoRngCore, out: &mut Vec<u8>) {
    let form = statement.form;
    let generators = &form.generators;
    let options = usize::from(statement.rule.options);
    let (g, h) = (&form.g, &form.key_table);
    let mut secret =
        |count: usize| -> Zeroizing<Vec<Scalar>> { Zeroizing::new((0..count).map(|_| random_scalar(rng)).collect()) };

    // > (A_j, B_j) = (r_j G, m_j G + r_j H)
    let r = secret(options);
    let start = out.len();
    for (r_j, bit) in r.iter().zip(&bits.0) {
        let vote = RawPoint::conditional_select(&identity(), g, Choice::from(*bit));
        out.extend_from_slice(&encode_sum(&base_mul(r_j)));
        out.extend_from_slice(&encode_sum(&(vote + h.mul(r_j))));
    }

    // > V = sum b_j P_j + rho Q
    let rho = secret(1);
    let rho = *rho.first().unwrap_or(&Scalar::ZERO);
    let mut v = generators.q_table.mul(&rho);
    for (p_j, bit) in generators.p.iter().zip(&bits.0) {
        v += RawPoint::conditional_select(&identity(), p_j, Choice::from(*bit));
    }
    out.extend_from_slice(&encode_sum(&v));

    // > y, w = FS(statement, A, B, V)
    let mut transcript = statement.write();
    let (y, w) = first_challenges(&mut transcript, out.get(start..).unwrap_or(&[]));

    // > random a_j, alpha, beta, tau_0, tau_1; S, T_A, T_B, C_1, C_0
    let a = secret(bits.0.len());
    let masks = secret(4);
    let [alpha, beta, tau_0, tau_1] = match masks.as_slice() {
        [alpha, beta, tau_0, tau_1] => [*alpha, *beta, *tau_0, *tau_1],
        _ => [Scalar::ZERO; 4],
    };
    let sums = Sums::new(&y, &w, bits, &a, &r);
    let s = secret_sum(&a, &generators.p) + generators.q_table.mul(&alpha);
    let t_a = base_mul(&beta);
    let t_b = base_mul(&sums.w_a) + h.mul(&beta);
    let c_1 = generators.p_0_table.mul(&sums.t_1) + generators.q_table.mul(&tau_1);
    let c_0 = generators.p_0_table.mul(&sums.t_0) + generators.q_table.mul(&tau_0);
    let second = out.len();
    for point in [s, t_a, t_b, c_1, c_0] {
        out.extend_from_slice(&encode_sum(&point));
    }

    // > x = FS(all of it)
    let x = last_challenge(&mut transcript, out.get(second..).unwrap_or(&[]));

    // > f_j = b_j x + a_j
    for (a_j, bit) in a.iter().zip(&bits.0) {
        let b_j = Scalar::from(*bit);
        out.extend_from_slice((b_j * x + a_j).as_bytes());
    }
    // > z_V = rho x + alpha, z_R = x sum w^j r_j + beta, z_C = tau_1 x + tau_0
    for (product, mask) in [(rho, alpha), (sums.w_r, beta), (tau_1, tau_0)] {
        out.extend_from_slice((product * x + mask).as_bytes());
    }
}

/// The sums over bits and masks that the commitments of step 3 hold.
#[derive(zeroize::ZeroizeOnDrop)]
struct Sums {
    /// `sum_{j<=K} w^j a_j`.
    w_a: Scalar,
    /// `sum_{j<=K} w^j r_j`.
    w_r: Scalar,
    /// `sum y^j a_j (1 - 2 b_j) + y^(K+D+1) sum a_j`.
    t_1: Scalar,
    /// `- sum y^j a_j^2`.
    t_0: Scalar,
}

impl Sums {
    fn new(y: &Scalar, w: &Scalar, bits: &Bits, a: &[Scalar], r: &[Scalar]) -> Self {
        let mut sums = Self { w_a: Scalar::ZERO, w_r: Scalar::ZERO, t_1: Scalar::ZERO, t_0: Scalar::ZERO };
        let mut w_j = Scalar::ONE;
        for (a_j, r_j) in a.iter().zip(r) {
            w_j *= w;
            sums.w_a += w_j * a_j;
            sums.w_r += w_j * r_j;
        }
        let (mut y_j, mut total) = (Scalar::ONE, Scalar::ZERO);
        for (a_j, bit) in a.iter().zip(&bits.0) {
            y_j *= y;
            let sign = Scalar::conditional_select(&Scalar::ONE, &-Scalar::ONE, Choice::from(*bit));
            sums.t_1 += y_j * a_j * sign;
            sums.t_0 -= y_j * a_j * a_j;
            total += a_j;
        }
        sums.t_1 += y_j * y * total;
        zeroize::Zeroize::zeroize(&mut total);
        sums
    }
}
