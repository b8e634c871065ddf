//! Lots: an order of the trustees, and of tied options, that nobody chose. (P-LOT)
//!
//! Each trustee publishes a schnorrkel VRF over the certified vote set. Its output is fixed by its key, which was
//! pinned before the election opened, and by the vote set, which the trustees certified together: a trustee can only
//! publish it or withhold it. Withholding removes oneself and leaves the order of the others as it was.

use crate::{
    agreement::messages::Lot,
    encoding::{Hash, Writer, digest, label},
    group::{self, Point, RawPoint},
    ids::{ContestIndex, ElectionId, OptionIndex, TrusteeIndex},
};
use alloc::{collections::BTreeMap, vec::Vec};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use schnorrkel::{
    Keypair, PublicKey,
    context::attach_rng,
    signing_context,
    vrf::{VRFPreOut, VRFProof},
};

/// The signing context of the VRF's input. (P-LOT-1)
const CONTEXT: &[u8] = b"conclave/v1/lots";

/// A verified lot's number: what is sorted.
pub type LotOutput = [u8; 32];

/// Why a lot does not count. With its envelope, each but [`LotRefusal::OtherVoteSet`] proves
/// [`crate::evidence::Wrong::BadLot`]; that one, with the certificate, proves
/// [`crate::evidence::Wrong::OtherVoteSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LotRefusal {
    /// Drawn over something else than what was certified.
    #[error("the lot is drawn over another vote set than the certified one")]
    OtherVoteSet,
    /// The trustee's lot key is not a point. The key ceremony does not let one through.
    #[error("the lot key is not a valid group element")]
    Key,
    /// The proof does not hold for this key, election and vote set.
    #[error("the proof of the lot does not hold")]
    Proof,
}

/// With the trustee's index in it: whoever registers another's key cannot pass that one's lot off as its own.
fn input(election: &ElectionId, vote_set: &Hash, trustee: TrusteeIndex) -> Transcript {
    let mut out = Writer::new();
    out.value(election);
    if !bug!(LotUnbound) {
        out.raw(vote_set);
    }
    if !bug!(LotOfAnother) {
        out.value(&trustee);
    }
    signing_context(CONTEXT).bytes(out.as_bytes())
}

/// Draws this trustee's lot over the certified vote set. Only the proof is random; the output is not. (P-LOT-1)
pub fn lot<R: RngCore + CryptoRng>(
    secret: &Keypair,
    election: &ElectionId,
    vote_set: &Hash,
    trustee: TrusteeIndex,
    rng: &mut R,
) -> Lot {
    let proof_transcript = attach_rng(Transcript::new(b"VRF"), rng);
    let (in_out, proof, _) = secret.vrf_sign_extra(input(election, vote_set, trustee), proof_transcript);
    Lot { vote_set: *vote_set, output: in_out.to_preout().to_bytes(), proof: proof.to_bytes() }
}

/// Checks a lot and gives the number to sort by. (P-LOT-2)
///
/// # Errors
/// [`LotRefusal`].
pub fn verify(
    lot_key: &[u8; 32],
    lot: &Lot,
    election: &ElectionId,
    vote_set: &Hash,
    trustee: TrusteeIndex,
) -> Result<LotOutput, LotRefusal> {
    if lot.vote_set != *vote_set {
        return Err(LotRefusal::OtherVoteSet);
    }
    let key = PublicKey::from_bytes(lot_key).map_err(|_| LotRefusal::Key)?;
    let proof = VRFProof::from_bytes(&lot.proof).map_err(|_| LotRefusal::Proof)?;
    if bug!(LotUnverified) {
        return Ok(lot.output);
    }
    let (in_out, _) = key
        .vrf_verify(input(election, vote_set, trustee), &VRFPreOut(lot.output), &proof)
        .map_err(|_| LotRefusal::Proof)?;
    Ok(in_out.make_bytes(CONTEXT))
}

/// The order in which trustees act: by ascending output, then those without a lot by index. (P-LOT-3)
#[must_use]
pub fn order(n: u16, outputs: &BTreeMap<TrusteeIndex, LotOutput>) -> Vec<TrusteeIndex> {
    let mut order: Vec<TrusteeIndex> = (1..=n).map(TrusteeIndex).collect();
    order.sort_by_key(|trustee| (outputs.get(trustee).is_none(), outputs.get(trustee).copied(), *trustee));
    order
}

/// The sums that are decrypted: the aggregate's, and behind them the beacon `(H, O)` with `H` hashed from the certified
/// vote set. Its partial decryptions `x_i H` come under the same proofs; any `t` of them give the same `x H`. (P-LOT-4)
#[must_use]
pub fn with_beacon(
    mut sums: Vec<(RawPoint, RawPoint)>,
    election: &ElectionId,
    vote_set: &Hash,
) -> Vec<(RawPoint, RawPoint)> {
    let mut out = Writer::new();
    out.value(election).raw(vote_set);
    sums.push((Point::hash(label::BEACON, out.as_bytes()).raw(), group::identity()));
    sums
}

/// The lot of a tied option: the lowest wins. A hash over the beacon, the contest and the option. (P-LOT-4)
///
/// The trustees' VRF lots cannot serve: who withholds its own would choose between two outcomes, and two observers who
/// hold different lots would see different results. The beacon is one value, whichever `t` trustees open it, and fewer
/// than `t` cannot know it before.
#[must_use]
pub fn tie_lot(beacon: &RawPoint, contest: ContestIndex, option: OptionIndex) -> Hash {
    let mut out = Writer::new();
    out.raw(&group::encode_sum(beacon)).value(&contest).value(&option);
    digest(label::LOTS, out.as_bytes())
}

#[cfg(test)]
mod tests;
