//! Partial decryptions with their one proof. (P-TAL-1.1, P-DKG-8.1)
//!
//! The claim: `D_j = x A_j` for the one `x` with `X = x G`. With `w` hashed from the statement, `A* = sum w^(j-1) A_j` and `D*`
//! likewise, the proof `(c, z)` holds if `c` is the hash of the statement, `z G - c X` and `z A* - c D*`.

use crate::{
    group::{halves, multiply, reduce, scalar, sum_point},
    manifest::SUITE,
    wire::{Hash, length, wide},
};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT, ristretto::RistrettoPoint, scalar::Scalar, traits::IsIdentity as _,
};

/// What is opened.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    Rehearsal { attempt: u32, certificate: Hash },
    Tally { vote_set: Hash },
}

/// Why partial decryptions do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Bytes that are no canonical point or scalar.
    Encoding,
    /// Everything else: a count, the identity where it may not be, a proof that does not hold.
    Proof,
}

pub(crate) struct Claim<'a> {
    pub(crate) election: &'a Hash,
    pub(crate) scope: Scope,
    pub(crate) trustee: u16,
    /// `X`.
    pub(crate) share: &'a RistrettoPoint,
    /// `A_j`.
    pub(crate) bases: &'a [RistrettoPoint],
}

impl Claim<'_> {
    /// The decoded `D_j`, if the proof holds.
    pub(crate) fn judge(&self, points: &[[u8; 32]], proof: &[u8; 64]) -> Result<Vec<RistrettoPoint>, Flaw> {
        if points.len() != self.bases.len() {
            return Err(Flaw::Proof);
        }
        let partials: Option<Vec<RistrettoPoint>> = points.iter().map(sum_point).collect();
        let partials = partials.ok_or(Flaw::Encoding)?;
        if self.bases.iter().zip(&partials).any(|(base, partial)| base.is_identity() != partial.is_identity()) {
            return Err(Flaw::Proof);
        }
        let (c_bytes, z_bytes) = halves(proof);
        let (c, z) = (scalar(&c_bytes).ok_or(Flaw::Encoding)?, scalar(&z_bytes).ok_or(Flaw::Encoding)?);

        let statement = self.statement(points);
        let w = reduce(&wide("decryption-fold", &[&statement]));
        let mut power = Scalar::ONE;
        let mut powers = Vec::with_capacity(points.len());
        for _ in points {
            powers.push(power);
            power *= w;
        }
        let (base, partial) = (multiply(&powers, self.bases), multiply(&powers, &partials));
        let first = multiply(&[z, -c], &[RISTRETTO_BASEPOINT_POINT, *self.share]);
        let second = multiply(&[z, -c], &[base, partial]);
        let (first, second) = (first.compress().to_bytes(), second.compress().to_bytes());
        let again = reduce(&wide("decryption-proof", &[&length(statement.len()), &statement, &first, &second]));
        if again == c { Ok(partials) } else { Err(Flaw::Proof) }
    }

    fn statement(&self, points: &[[u8; 32]]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(length(SUITE.len()));
        out.extend(SUITE.as_bytes());
        out.extend(self.election);
        match self.scope {
            Scope::Rehearsal { attempt, certificate } => {
                out.push(1);
                out.extend(attempt.to_be_bytes());
                out.extend(certificate);
            }
            Scope::Tally { vote_set } => {
                out.push(2);
                out.extend(vote_set);
            }
        }
        out.extend(self.trustee.to_be_bytes());
        out.extend(self.share.compress().to_bytes());
        out.extend(length(self.bases.len()));
        for base in self.bases {
            out.extend(base.compress().to_bytes());
        }
        out.extend(length(points.len()));
        for point in points {
            out.extend(point);
        }
        out
    }
}
