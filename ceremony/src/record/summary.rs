//! `summary.json`: what came of an election. (P-REC-8)

use super::{Record, RecordTrouble};
use protocol::{
    ids::OptionIndex,
    manifest::Contest,
    signing::messages::Purpose,
    tally::{ContestResult, Tie},
};
use serde::Serialize;

/// As it is written; the order of the fields is the order in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    format: &'static str,
    election_id: String,
    title: String,
    voters: u64,
    weight_total: u64,
    logged: u64,
    counted: u64,
    rejected: usize,
    evidence: usize,
    lanes: Vec<LaneSummary>,
    key_certificate: String,
    vote_set: String,
    result: String,
    group_address: String,
    contests: Vec<ContestSummary>,
    anchors: Vec<AnchorSummary>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LaneSummary {
    lane: u16,
    size: usize,
    root: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ContestSummary {
    id: String,
    title: String,
    weight: u64,
    blank: Option<u64>,
    totals: Vec<OptionSummary>,
    winners: Vec<String>,
    tie: Option<TieSummary>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OptionSummary {
    option: String,
    votes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TieSummary {
    seats: u64,
    options: Vec<String>,
    lots: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AnchorSummary {
    kind: &'static str,
    signature: String,
    slot: u64,
    memo: String,
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
        let anchors = [Purpose::AnchorKey, Purpose::AnchorVoteSet, Purpose::AnchorResult];
        let anchors = anchors.into_iter().filter_map(|purpose| {
            let anchored = board.anchored(purpose)?;
            Some(AnchorSummary {
                kind: purpose.name(),
                signature: bs58::encode(anchored.signature).into_string(),
                slot: anchored.slot,
                memo: board.memo(purpose)?,
            })
        });
        Ok(Summary {
            format: "conclave-record-1",
            election_id: board.election().to_string(),
            title: self.manifest.title.clone(),
            voters: result.voters,
            weight_total: result.weight_total,
            logged: result.logged,
            counted: result.counted,
            rejected: self.rejections.len(),
            evidence: self.evidence.len(),
            lanes: (0..)
                .zip(&self.lanes)
                .map(|(lane, at)| LaneSummary { lane, size: at.ballots.len(), root: hex::encode(at.root) })
                .collect(),
            key_certificate: hex::encode(key.digest()),
            vote_set: hex::encode(result.vote_set),
            result: hex::encode(result.digest()),
            group_address: bs58::encode(key.signing_key).into_string(),
            contests: contests.map(|(contest, result)| contest_summary(contest, result)).collect(),
            anchors: anchors.collect(),
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
        totals: totals.map(|(option, votes)| OptionSummary { option: option.clone(), votes: *votes }).collect(),
        winners: winners.iter().map(text).collect(),
        tie: tie.as_ref().map(|Tie { seats, options, lots }| TieSummary {
            seats: *seats,
            options: options.iter().map(text).collect(),
            lots: lots.as_ref().map(|lots| lots.iter().map(text).collect()),
        }),
    }
}
