//! Partial decryptions, and one proof that all of them are right. (P-TAL-1, P-DKG-8)
//!
//! Statement: for public `X` and `A_1 .. A_K`, the points `D_1 .. D_K` are `x A_j` for the one `x` with `X = x G`.
//! A batched Chaum-Pedersen proof: with `w = FS(statement)` the `K` equalities fold into one,
//!
//! ```text
//! A* = sum w^(j-1) A_j      D* = sum w^(j-1) D_j
//! R_1 = k G                 R_2 = k A*
//! c = FS(statement, R_1, R_2)      z = k + c x
//! ```
//!
//! and the verifier recomputes `R_1 = z G - c X`, `R_2 = z A* - c D*` and then `c`. A `D_j` that is not `x A_j` survives
//! the fold for at most `K - 1` of the `2^252` values of `w`.
//!
//! *FS labels*: `decryption-fold`, `decryption-proof`. The statement is: suite, election, what is opened
//! ([`Scope`]: a rehearsal's proof is no tally proof), trustee, `X`, all `A_j`, all `D_j`.
//!
//! `A_j` may be the identity (nobody had this contest); `D_j` must be then, and only then.
//!
//! Constant time: everything that touches `x` or `k`. The fold of the `A_j` is public and is not.

use crate::{
    encoding::{Hash, Writer, label, wide_digest},
    evidence::Wrong,
    group::{
        Point, RawPoint, Scalar, base_mul, decode_scalar, decode_sum, encode_sum, hash_scalar, is_identity, public_sum,
    },
    ids::{Attempt, ElectionId, TrusteeIndex},
    manifest::SUITE,
};
use alloc::vec::Vec;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// What is opened. Enters every challenge, so that no proof serves another purpose. (P-TAL-1.1)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The test ciphertext of a key ceremony.
    Rehearsal {
        /// Attempt whose keys are rehearsed.
        attempt: Attempt,
        /// What fixes the test ciphertext: the key certificate's digest.
        digest: Hash,
    },
    /// The sums of a certified vote set.
    Tally {
        /// Hash of the vote set.
        vote_set: Hash,
    },
}

/// Where a proof is valid: one election, one opening, one trustee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Election.
    pub election: ElectionId,
    /// What is opened.
    pub scope: Scope,
    /// Whose share it is.
    pub trustee: TrusteeIndex,
}

/// Partial decryptions with their proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decryption {
    /// `x A_j`, canonical bytes, in order.
    pub points: Vec<[u8; 32]>,
    /// Challenge, response.
    pub proof: [u8; 64],
}

/// Why no proof was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveRefusal {
    /// The secret is not the one behind the certified key share: publishing would only accuse oneself.
    #[error("the key share held here is not the certified one; restore the share of this election's key certificate")]
    WrongShare,
}

/// Decrypts partially and proves it. `share` is the certified `x G`. (P-TAL-1)
///
/// Costs one constant-time multiplication for each base, and three more.
///
/// # Errors
/// [`ProveRefusal::WrongShare`] if `secret` does not belong to `share`.
pub fn prove(
    context: &Context,
    secret: &Scalar,
    share: &Point,
    bases: &[RawPoint],
    rng: &mut dyn CryptoRngCore,
) -> Result<Decryption, ProveRefusal> {
    if base_mul(secret) != share.raw() {
        return Err(ProveRefusal::WrongShare);
    }
    let points: Vec<[u8; 32]> = bases.iter().map(|base| encode_sum(&(secret * base))).collect();
    let statement = statement(context, share, bases, &points);
    let folded = public_sum(&powers(&statement, bases.len()), bases);
    let nonce = nonce(secret, &statement, rng);
    // > R_1 = k G, R_2 = k A*; z = k + c x
    let challenge = challenge(&statement, &base_mul(&nonce), &(*nonce * folded));
    let response = *nonce + challenge * secret;
    let mut proof = [0; 64];
    let (left, right) = proof.split_at_mut(32);
    left.copy_from_slice(challenge.as_bytes());
    right.copy_from_slice(response.as_bytes());
    Ok(Decryption { points, proof })
}

/// Checks partial decryptions against the certified share `X`, and decodes them. (P-TAL-2)
///
/// In this order: the count, the points, where the identity is, the proof's scalars, the proof.
///
/// # Errors
/// [`Wrong::PointInvalid`] for bytes that are no canonical point or scalar; [`Wrong::BadPartial`] for the rest.
pub fn verify(
    context: &Context,
    share: &Point,
    bases: &[RawPoint],
    points: &[[u8; 32]],
    proof: &[u8; 64],
) -> Result<Vec<RawPoint>, Wrong> {
    if points.len() != bases.len() {
        return Err(Wrong::BadPartial);
    }
    let partials = points
        .iter()
        .map(|bytes| decode_sum("partial decryption", bytes))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Wrong::PointInvalid)?;
    if bases.iter().zip(&partials).any(|(base, partial)| is_identity(base) != is_identity(partial)) {
        return Err(Wrong::BadPartial);
    }
    let (left, right) = halves(proof);
    let claimed = decode_scalar("challenge", &left).map_err(|_| Wrong::PointInvalid)?;
    let response = decode_scalar("response", &right).map_err(|_| Wrong::PointInvalid)?;

    let statement = statement(context, share, bases, points);
    let powers = powers(&statement, bases.len());
    let (folded_base, folded_partial) = (public_sum(&powers, bases), public_sum(&powers, &partials));
    // > R_1 = z G - c X, R_2 = z A* - c D*
    let first = public_sum(&[response, -claimed], &[Point::generator().raw(), share.raw()]);
    let second = public_sum(&[response, -claimed], &[folded_base, folded_partial]);
    if challenge(&statement, &first, &second) == claimed || bug!(PartialUnverified) {
        Ok(partials)
    } else {
        Err(Wrong::BadPartial)
    }
}

fn halves(proof: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    let (head, tail) = proof.split_at(32);
    left.copy_from_slice(head);
    right.copy_from_slice(tail);
    (left, right)
}

fn statement(context: &Context, share: &Point, bases: &[RawPoint], points: &[[u8; 32]]) -> Vec<u8> {
    let Context { election, scope, trustee } = context;
    let mut out = Writer::new();
    out.text(SUITE).value(election);
    match scope {
        Scope::Rehearsal { attempt, digest } => out.u8(1).value(attempt).value(digest),
        Scope::Tally { vote_set } => out.u8(2).value(vote_set),
    };
    out.value(trustee).value(share);
    out.len(bases.len());
    for base in bases {
        out.raw(&encode_sum(base));
    }
    out.list(points);
    out.finish()
}

/// `w^0 .. w^(count-1)`.
fn powers(statement: &[u8], count: usize) -> Vec<Scalar> {
    let weight = hash_scalar(label::DECRYPTION_FOLD, statement);
    core::iter::successors(Some(Scalar::ONE), |power| Some(power * weight)).take(count).collect()
}

fn challenge(statement: &[u8], first: &RawPoint, second: &RawPoint) -> Scalar {
    let mut out = Writer::new();
    let statement = if bug!(WeakPartialChallenge) { &[] } else { statement };
    out.bytes(statement).raw(&encode_sum(first)).raw(&encode_sum(second));
    hash_scalar(label::DECRYPTION, out.as_bytes())
}

/// Fresh entropy hashed with the secret and the statement: a broken source of entropy alone does not repeat a nonce for
/// two statements.
fn nonce(secret: &Scalar, statement: &[u8], rng: &mut dyn CryptoRngCore) -> Zeroizing<Scalar> {
    let mut entropy = Zeroizing::new([0; 64]);
    rng.fill_bytes(&mut *entropy);
    // Filled up to its capacity and never beyond: growing would leave a copy of the secret behind.
    let size = 32_usize.saturating_add(entropy.len()).saturating_add(statement.len());
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    body.extend_from_slice(secret.as_bytes());
    body.extend_from_slice(&*entropy);
    body.extend_from_slice(statement);
    let wide = Zeroizing::new(wide_digest(label::DECRYPTION_NONCE, &body));
    Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide))
}

#[cfg(test)]
mod tests;
