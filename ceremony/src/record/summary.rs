//! `summary.json`: what came of an election. (P-REC)

use super::{Record, RecordTrouble};
use protocol::{
    ids::OptionIndex,
    manifest::Contest,
    signing::messages::Purpose,
    tally::{ContestResult, Tie},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// As it is written; fields ascend by name here, so that keys do in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    anchors: Vec<AnchorSummary>,
    contests: Vec<ContestSummary>,
    counted: u64,
    election_id: String,
    evidence: usize,
    /// SHA-256 of each other file.
    pub(super) files: BTreeMap<String, String>,
    key_certificate: String,
    lanes: Vec<LaneSummary>,
    logged: u64,
    rejected: usize,
    result: String,
    title: String,
    vote_set: String,
    voters: u64,
    weight_total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LaneSummary {
    root: String,
    size: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ContestSummary {
    blank: Option<u64>,
    id: String,
    tie: Option<TieSummary>,
    title: String,
    totals: BTreeMap<String, u64>,
    weight: u64,
    winners: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TieSummary {
    lots: Option<Vec<String>>,
    options: Vec<String>,
    seats: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AnchorSummary {
    kind: &'static str,
    signature: String,
    slot: u64,
}

impl Record {
    /// What came of it.
    ///
    /// # Errors
    /// There is no result yet.
    pub fn summary(&self) -> Result<Summary, RecordTrouble> {
        let board = &self.board;
        if let Some(trouble) = board.tally_trouble() {
            return Err(RecordTrouble::Tally(trouble.to_string()));
        }
        let missing = |missing| RecordTrouble::NotYet { stage: board.stage().name(), missing };
        let result = board.result().ok_or_else(|| missing("the result"))?;
        let key = board.key_certificate().ok_or_else(|| missing("the certified key"))?;
        let contests = self.manifest.contests.iter().zip(&result.contests);
        let anchors = Purpose::ALL.into_iter().filter_map(|purpose| {
            let anchored = board.anchored(purpose)?;
            let signature = bs58::encode(anchored.signature).into_string();
            Some(AnchorSummary { kind: purpose.name(), signature, slot: anchored.slot })
        });
        let lanes = self.lanes.iter();
        let lanes = lanes.map(|lane| LaneSummary { root: hex::encode(lane.root), size: lane.ballots.len() });
        Ok(Summary {
            anchors: anchors.collect(),
            contests: contests.map(|(contest, result)| contest_summary(contest, result)).collect(),
            counted: result.counted,
            election_id: board.election().to_string(),
            evidence: self.evidence.len(),
            files: BTreeMap::new(),
            key_certificate: hex::encode(key.digest()),
            lanes: lanes.collect(),
            logged: result.logged,
            rejected: self.rejections.len(),
            result: hex::encode(result.digest()),
            title: self.manifest.title.clone(),
            vote_set: hex::encode(result.vote_set),
            voters: result.voters,
            weight_total: result.weight_total,
        })
    }
}

fn contest_summary(contest: &Contest, result: &ContestResult) -> ContestSummary {
    let ContestResult { totals, weight, blank, winners, tie } = result;
    let text = |option: &OptionIndex| contest.options.get(usize::from(option.0)).cloned().unwrap_or_default();
    let totals = contest.options.iter().zip(totals);
    ContestSummary {
        id: contest.id.clone(),
        title: contest.title.clone(),
        weight: weight.0,
        blank: *blank,
        totals: totals.map(|(option, votes)| (option.clone(), *votes)).collect(),
        winners: winners.iter().map(text).collect(),
        tie: tie.as_ref().map(|Tie { seats, options, lots }| TieSummary {
            seats: *seats,
            options: options.iter().map(text).collect(),
            lots: lots.as_ref().map(|lots| lots.iter().map(text).collect()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form is what `audit` demands byte by byte: keys ascend, two spaces, nothing left out.
    #[test]
    fn a_summary_has_exactly_this_form() {
        let contest = Contest {
            id: "chair".into(),
            title: "Who?".into(),
            method: protocol::manifest::Method::SingleChoice,
            options: vec!["Zoe".into(), "Ada".into(), "Emmy".into()],
            min: 1,
            max: 1,
            blank: true,
            seats: 1,
            ties_by_lot: true,
        };
        let (zoe, ada) = (OptionIndex(0), OptionIndex(1));
        let result = ContestResult {
            totals: vec![2, 2, 0],
            weight: protocol::ids::Weight(5),
            blank: Some(1),
            winners: vec![ada],
            tie: Some(Tie { seats: 1, options: vec![zoe, ada], lots: Some(vec![ada, zoe]) }),
        };
        let summary = Summary {
            anchors: vec![AnchorSummary { kind: "key", signature: "3E".into(), slot: 7 }],
            contests: vec![contest_summary(&contest, &result)],
            counted: 5,
            election_id: "00".into(),
            evidence: 0,
            files: BTreeMap::from([("board.bin".into(), "11".into())]),
            key_certificate: "22".into(),
            lanes: vec![LaneSummary { root: "33".into(), size: 5 }],
            logged: 5,
            rejected: 0,
            result: "44".into(),
            title: "T".into(),
            vote_set: "55".into(),
            voters: 6,
            weight_total: 6,
        };
        let expected = include_str!("summary.golden.json");
        assert_eq!(serde_json::to_string_pretty(&summary).unwrap() + "\n", expected);
        let mut again = serde_json::from_str::<serde_json::Value>(expected).unwrap();
        let fields = again.as_object_mut().unwrap();
        let names: Vec<_> = fields.keys().cloned().collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}
