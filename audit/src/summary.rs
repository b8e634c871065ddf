//! `summary.json`, rebuilt and compared. (P-REC)

use crate::{
    ceremony::Keys,
    chain::{Anchor, purpose_name},
    lanes::Boxes,
    manifest::Contest,
    messages::LaneEnd,
    record::Record,
    report::{Finding, finding},
    tally::{Outcome, Tally},
    wire::{Hash, hex},
};
use serde_json::{Map, Value, json};

pub(crate) struct Facts<'a> {
    pub(crate) record: &'a Record,
    pub(crate) keys: &'a Keys,
    pub(crate) ends: &'a [LaneEnd],
    pub(crate) boxes: &'a Boxes,
    pub(crate) vote_set: &'a Hash,
    pub(crate) tally: &'a Tally,
    pub(crate) anchors: &'a [Anchor],
}

impl Facts<'_> {
    /// What the summary has to say.
    fn summary(&self) -> Value {
        let Self { record, keys, ends, boxes, vote_set, tally, anchors } = self;
        let manifest = &record.manifest;
        let contests: Vec<Value> = manifest
            .contests
            .iter()
            .zip(&tally.contests)
            .map(|(contest, outcome)| contest_value(contest, outcome))
            .collect();
        let lanes: Vec<Value> = ends.iter().map(|(size, root)| json!({ "root": hex(root), "size": size })).collect();
        let anchors: Vec<Value> = anchors
            .iter()
            .map(|anchor| {
                let signature = bs58::encode(anchor.signature).into_string();
                json!({ "kind": purpose_name(anchor.purpose), "signature": signature, "slot": anchor.slot })
            })
            .collect();
        let files: Map<String, Value> =
            record.files.iter().map(|(name, hash)| (name.clone(), hex(hash).into())).collect();
        json!({
            "anchors": anchors, "contests": contests, "counted": boxes.counted,
            "election_id": hex(&manifest.election), "evidence": record.evidence.len(), "files": files,
            "key_certificate": hex(&keys.digest), "lanes": lanes, "logged": boxes.logged,
            "rejected": record.rejections.len(), "result": hex(&tally.digest), "title": manifest.title,
            "vote_set": hex(vote_set.as_slice()), "voters": manifest.voters, "weight_total": manifest.weight_total,
        })
    }

    pub(crate) fn judge(&self) -> Result<((), String), Finding> {
        let expected = self.summary();
        match difference("summary.json", &expected, &self.record.summary) {
            Some(found) => Err(found),
            None => Ok(((), format!("{} files as they were summed up", self.record.files.len()))),
        }
    }
}

fn contest_value(contest: &Contest, outcome: &Outcome) -> Value {
    let text = |option: &u16| Value::from(contest.options.get(usize::from(*option)).map_or("", String::as_str));
    let texts = |options: &[u16]| Value::Array(options.iter().map(text).collect());
    let totals: Map<String, Value> =
        contest.options.iter().zip(&outcome.totals).map(|(option, total)| (option.clone(), (*total).into())).collect();
    let tie = outcome.tie.as_ref().map(
        |tie| json!({ "lots": tie.lots.as_deref().map(texts), "options": texts(&tie.options), "seats": tie.seats }),
    );
    json!({
        "blank": outcome.blank, "id": contest.id, "tie": tie, "title": contest.title, "totals": totals,
        "weight": outcome.weight, "winners": texts(&outcome.winners),
    })
}

/// The first place in which two values differ.
fn difference(place: &str, expected: &Value, found: &Value) -> Option<Finding> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let missing = expected.keys().find(|key| !found.contains_key(*key));
            if let Some(key) = missing {
                return Some(finding(format!("{place}: field {key:?}"), "none"));
            }
            let unknown = found.keys().find(|key| !expected.contains_key(*key));
            if let Some(key) = unknown {
                return Some(finding(format!("{place}: no field {key:?}"), "one"));
            }
            expected.iter().find_map(|(key, value)| difference(&format!("{place}, {key}"), value, found.get(key)?))
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(at, (expected, found))| difference(&format!("{place}, entry {at}"), expected, found))
        }
        _ if expected == found => None,
        _ => Some(finding(format!("{place}: {expected}"), found.to_string())),
    }
}
