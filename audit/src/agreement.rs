//! The vote set that the log gives, and its certificate. (P-BOX-5, P-AGR)

use crate::{
    ceremony::Keys,
    lanes::Boxes,
    messages::{Body, LaneEnd, vote_set_hash},
    record::Record,
    report::{Finding, finding, must},
    wire::{Hash, hex, length},
};
use std::collections::{BTreeMap, BTreeSet};

/// The vote set in its bytes.
fn vote_set(keys: &Keys, ends: &[LaneEnd], boxes: &Boxes) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(keys.digest);
    out.extend(length(ends.len()));
    for (size, root) in ends {
        out.extend(size.to_be_bytes());
        out.extend(root);
    }
    out.extend(boxes.logged.to_be_bytes());
    out.extend(boxes.counted.to_be_bytes());
    out.extend(length(boxes.weights.len()));
    for weight in &boxes.weights {
        out.extend(weight.to_be_bytes());
    }
    out.extend(boxes.counted_digest);
    out.extend(boxes.aggregate_digest());
    out
}

/// Whose turn it is to propose. (P-AGR-2)
fn proposer(election: &Hash, n: u16, round: u32) -> u64 {
    let [a, b, c, d, ..] = *election;
    let turn = u64::from(u32::from_be_bytes([a, b, c, d])).saturating_add(round.into());
    turn.checked_rem(n.into()).unwrap_or(0).saturating_add(1)
}

/// From this round on a vote set may end before the stated ends. (P-VOT-5)
const STATED_ENDS_ROUNDS: u32 = 8;

/// Quorums of precommits certify the recomputed vote set and no other.
pub(crate) fn judge(record: &Record, keys: &Keys, ends: &[LaneEnd], boxes: &Boxes) -> Result<(Hash, String), Finding> {
    let manifest = &record.manifest;
    let value = vote_set(keys, ends, boxes);
    let hash = vote_set_hash(&manifest.election, &value);
    let mut votes: BTreeMap<(u32, Hash), BTreeSet<u16>> = BTreeMap::new();
    for envelope in record.kind(32) {
        if let Body::Vote { value: Some(value) } = &envelope.body {
            votes.entry((envelope.slot.number, *value)).or_default().insert(envelope.slot.sender.index);
        }
    }
    let q = usize::from(manifest.q);
    votes.retain(|_, voters| voters.len() >= q);
    let Some((round, voters)) = votes.iter().next().map(|((round, _), voters)| (*round, voters.len())) else {
        return Err(finding(format!("{q} precommits of one round for one vote set"), "fewer"));
    };
    for envelope in record.kind(24) {
        let Body::Sealed { lanes } = &envelope.body else { continue };
        let good = lanes.len() == ends.len()
            && lanes.iter().zip(ends).all(|((size, root), end)| {
                end.0 > *size || (end.0, end.1) == (*size, *root) || (end.0 < *size && round >= STATED_ENDS_ROUNDS)
            });
        must(
            good,
            || format!("lanes that reach the ends which the home shard stated, before round {STATED_ENDS_ROUNDS}"),
            || format!("{:?} where {:?} was stated", sizes(ends), sizes(lanes)),
        )?;
    }
    if let Some((round, other)) = votes.keys().find(|(_, value)| *value != hash) {
        let expected = format!("certificates for the vote set that the log gives, {}", hex(&hash));
        return Err(finding(expected, format!("one for {} in round {round}", hex(other))));
    }
    let proposed = record.kind(30).any(|envelope| match &envelope.body {
        Body::Proposal { value: proposed, .. } => {
            *proposed == value
                && u64::from(envelope.slot.sender.index)
                    == proposer(&manifest.election, manifest.n(), envelope.slot.number)
        }
        _ => false,
    });
    must(proposed, || "the vote set, proposed by whose turn it was".into(), || "no such proposal".into())?;
    must(
        boxes.counted >= manifest.tally_min,
        || format!("at least {} counted ballots", manifest.tally_min),
        || boxes.counted.to_string(),
    )?;
    Ok((hash, format!("{}, round {round}, {voters} of {} precommits", hex(&hash), manifest.n())))
}

fn sizes(ends: &[LaneEnd]) -> Vec<u64> {
    ends.iter().map(|(size, _)| *size).collect()
}
