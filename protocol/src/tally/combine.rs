//! Partial decryptions: made, judged, combined.

use super::{TallyRefusal, messages::Partials};
use crate::{
    dleq::{self, Context, ProveRefusal, Scope},
    encoding::Hash,
    evidence::Wrong,
    group::{Point, RawPoint, Scalar, public_sum},
    ids::{ElectionId, TrusteeIndex},
};
use alloc::{collections::BTreeMap, vec::Vec};
use rand_core::CryptoRngCore;

/// A trustee's partial decryption of every sum, in contest and option order. (P-TAL-1)
///
/// The caller has made sure that `vote_set` is certified, that `sums` is what it recomputed from it, and that it never
/// did this for another vote set: this function cannot know.
///
/// # Errors
/// [`ProveRefusal::WrongShare`] if `secret` is not the discrete logarithm of `share`.
pub fn partials(
    election: ElectionId,
    trustee: TrusteeIndex,
    vote_set: Hash,
    secret: &Scalar,
    share: &Point,
    sums: &[(RawPoint, RawPoint)],
    rng: &mut dyn CryptoRngCore,
) -> Result<Partials, ProveRefusal> {
    let context = Context { election, scope: Scope::Tally { vote_set }, trustee };
    let decryption = dleq::prove(&context, secret, share, &bases(sums), rng)?;
    Ok(Partials { vote_set, points: decryption.points, proof: decryption.proof })
}

/// Judges a trustee's partial decryptions against its certified share, and decodes them. (P-TAL-2)
///
/// # Errors
/// [`Wrong::OtherVoteSet`] if they are for another vote set than the certified one, else as [`dleq::verify`].
pub fn check_partials(
    election: ElectionId,
    trustee: TrusteeIndex,
    vote_set: Hash,
    share: &Point,
    sums: &[(RawPoint, RawPoint)],
    partials: &Partials,
) -> Result<Vec<RawPoint>, Wrong> {
    if partials.vote_set != vote_set {
        return Err(Wrong::OtherVoteSet);
    }
    let context = Context { election, scope: Scope::Tally { vote_set }, trustee };
    dleq::verify(&context, share, &bases(sums), &partials.points, &partials.proof)
}

/// The message points `M_j = m_j G = B_j - x A_j`, from checked partial decryptions. (P-TAL-3)
///
/// Takes exactly `threshold` of them, those with the lowest indices; any others give the same points.
///
/// # Errors
/// [`TallyRefusal`] if there are too few, an index is 0, or a list's length differs from that of `sums`.
pub fn combine(
    threshold: u16,
    shares: &BTreeMap<TrusteeIndex, Vec<RawPoint>>,
    sums: &[(RawPoint, RawPoint)],
) -> Result<Vec<RawPoint>, TallyRefusal> {
    let need = usize::from(threshold).max(1);
    let need = if bug!(OneShareLess) { need.saturating_sub(1) } else { need };
    if shares.len() < need {
        return Err(TallyRefusal::TooFew { have: shares.len(), need });
    }
    let (indices, partials): (Vec<TrusteeIndex>, Vec<&Vec<RawPoint>>) =
        shares.iter().take(need).map(|(index, points)| (*index, points)).unzip();
    if let Some(zero) = indices.iter().find(|index| index.0 == 0) {
        return Err(TallyRefusal::Trustee(*zero));
    }
    if let Some(other) = partials.iter().find(|points| points.len() != sums.len()) {
        return Err(TallyRefusal::Count { what: "partial decryptions", expected: sums.len(), got: other.len() });
    }
    let coefficients: Vec<Scalar> = indices.iter().map(|index| lagrange_at_zero(*index, &indices)).collect();
    let mut columns: Vec<_> = partials.iter().map(|points| points.iter()).collect();
    let messages = sums.iter().map(|(_, b)| {
        let column: Vec<RawPoint> = columns.iter_mut().filter_map(|points| points.next().copied()).collect();
        b - public_sum(&coefficients, &column)
    });
    Ok(messages.collect())
}

/// `prod_{j != i} j / (j - i)` over distinct nonzero indices.
fn lagrange_at_zero(at: TrusteeIndex, indices: &[TrusteeIndex]) -> Scalar {
    let x_i = Scalar::from(at.0);
    let others = indices.iter().filter(|other| **other != at).map(|other| Scalar::from(other.0));
    let (numerator, denominator) =
        others.fold((Scalar::ONE, Scalar::ONE), |(num, den), x_j| (num * x_j, den * (x_j - x_i)));
    numerator * denominator.invert()
}

fn bases(sums: &[(RawPoint, RawPoint)]) -> Vec<RawPoint> {
    sums.iter().map(|(a, _)| *a).collect()
}
