//! Lots: an order of the trustees, and of tied options, that nobody chose. (P-LOT)
//!
//! Each trustee publishes a schnorrkel VRF over the certified vote set. Its output is fixed by its key, which was
//! pinned before the election opened, and by the vote set, which the trustees certified together: a trustee can only
//! publish it or withhold it. Withholding removes oneself and leaves the order of the others as it was.

use crate::{
    agreement::messages::Lot,
    encoding::{Canonical as _, Hash, Writer, digest, label},
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

fn input(election: &ElectionId, vote_set: &Hash) -> Transcript {
    let mut out = Writer::new();
    out.value(election).raw(vote_set);
    signing_context(CONTEXT).bytes(out.as_bytes())
}

/// Draws this trustee's lot over the certified vote set. Only the proof is random; the output is not. (P-LOT-1)
pub fn lot<R: RngCore + CryptoRng>(secret: &Keypair, election: &ElectionId, vote_set: &Hash, rng: &mut R) -> Lot {
    let proof_transcript = attach_rng(Transcript::new(b"VRF"), rng);
    let (in_out, proof, _) = secret.vrf_sign_extra(input(election, vote_set), proof_transcript);
    Lot { vote_set: *vote_set, output: in_out.to_preout().to_bytes(), proof: proof.to_bytes() }
}

/// Checks a lot and gives the number to sort by. (P-LOT-2)
///
/// # Errors
/// [`LotRefusal`].
pub fn verify(lot_key: &[u8; 32], lot: &Lot, election: &ElectionId, vote_set: &Hash) -> Result<LotOutput, LotRefusal> {
    if lot.vote_set != *vote_set {
        return Err(LotRefusal::OtherVoteSet);
    }
    let key = PublicKey::from_bytes(lot_key).map_err(|_| LotRefusal::Key)?;
    let proof = VRFProof::from_bytes(&lot.proof).map_err(|_| LotRefusal::Proof)?;
    let (in_out, _) =
        key.vrf_verify(input(election, vote_set), &VRFPreOut(lot.output), &proof).map_err(|_| LotRefusal::Proof)?;
    Ok(in_out.make_bytes(CONTEXT))
}

/// The order in which trustees act: by ascending output, then those without a lot by index. (P-LOT-3)
#[must_use]
pub fn order(n: u16, outputs: &BTreeMap<TrusteeIndex, LotOutput>) -> Vec<TrusteeIndex> {
    let mut order: Vec<TrusteeIndex> = (1..=n).map(TrusteeIndex).collect();
    order.sort_by_key(|trustee| (outputs.get(trustee).is_none(), outputs.get(trustee).copied(), *trustee));
    order
}

/// The order of tied options: by a hash over all published outputs, the contest and the option. (P-LOT-4)
///
/// The last trustee to publish can withhold its lot and so choose between two orders; where that matters, the manifest
/// shows ties as ties instead.
#[must_use]
pub fn tie_order(
    outputs: &BTreeMap<TrusteeIndex, LotOutput>,
    contest: ContestIndex,
    tied: &[OptionIndex],
) -> Vec<OptionIndex> {
    let mut all = Writer::new();
    for (trustee, output) in outputs {
        all.value(trustee).raw(output);
    }
    let place = |option: &OptionIndex| {
        let mut out = Writer::new();
        out.bytes(all.as_bytes()).value(&contest);
        option.write(&mut out);
        (digest(label::LOTS, out.as_bytes()), *option)
    };
    let mut order = tied.to_vec();
    order.sort_by_key(place);
    order.dedup();
    order
}

#[cfg(test)]
mod tests;
