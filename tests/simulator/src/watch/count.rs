//! The count: what is certified is what was cast, and the result is the votes in the clear. (I06, I07, I12)

use super::{Vote, Watch, revotes};
use crate::{setup::short, trustee::Process};
use protocol::{
    agreement::messages::VoteSet,
    board::Board,
    encoding::Hash,
    ids::{Credential, TrusteeIndex},
    log::{Receipt, Tree, leaf_hash},
    signed::Sender,
};
use std::collections::BTreeMap;

/// The certified log, and its plaintext tally.
#[derive(Debug)]
pub(super) struct Counted {
    leaves: Vec<Vec<Hash>>,
    totals: Vec<Vec<u64>>,
}

impl Counted {
    /// I06
    pub(super) fn honours(&self, receipt: &Receipt) -> Result<(), String> {
        let lane = self.leaves.get(usize::from(receipt.lane.0));
        let there = lane.and_then(|lane| lane.get(usize::try_from(receipt.index.0).ok()?));
        if there == Some(&receipt.leaf) {
            return Ok(());
        }
        let (index, lane) = (receipt.index, receipt.lane);
        Err(format!("a final receipt for leaf {index} of lane {lane} is not in the certified set"))
    }
}

impl Watch {
    /// I05 to I07, from a trustee's own copy of the log. `false`: it has not followed to the end yet.
    pub(super) fn look_at_count(&mut self, me: TrusteeIndex, process: &Process) -> bool {
        let Some((_, vote_set)) = &self.vote_set else { return true };
        let vote_set = vote_set.clone();
        let mut leaves = Vec::new();
        for (log, end) in process.logs().iter().zip(&vote_set.lanes) {
            let Some(part) = log.get(..usize::try_from(end.size.0).unwrap_or(usize::MAX)) else { return false };
            let part: Vec<Hash> = part.iter().map(|bytes| leaf_hash(bytes)).collect();
            let mut tree = Tree::new();
            for leaf in &part {
                tree.append(*leaf);
            }
            if tree.root() != end.root {
                // It was shown another log, and follows that one for ever.
                self.situations.push("a trustee was left with another log");
                return true;
            }
            leaves.push(part);
        }
        match self.tally(&leaves, &vote_set) {
            Ok(totals) => {
                let counted = Counted { leaves, totals };
                if vote_set.lanes.contains(&protocol::agreement::messages::LaneEnd {
                    size: protocol::ids::LogSize(0),
                    root: protocol::log::empty_root(),
                }) {
                    self.situations.push("an empty lane");
                }
                let receipts = std::mem::take(&mut self.receipts);
                for receipt in &receipts {
                    if let Err(text) = counted.honours(receipt) {
                        self.broken("I06", format_args!("{text}"));
                    }
                }
                self.receipts = receipts;
                self.counted.get_or_insert(counted);
            }
            Err(text) => self.broken("I07", format_args!("trustee {me} follows a certified log in which {text}")),
        }
        true
    }

    /// I07: every leaf is a ballot that somebody on the roll made; the counts of the vote set are theirs.
    fn tally(&mut self, leaves: &[Vec<Hash>], vote_set: &VoteSet) -> Result<Vec<Vec<u64>>, String> {
        let manifest = self.setup.manifest.clone();
        let mut latest: BTreeMap<Credential, &Vote> = BTreeMap::new();
        let mut revoted = false;
        for leaf in leaves.iter().flatten() {
            let Some(vote) = self.votes.get(leaf) else {
                return Err(format!("{} is nobody's ballot", short(leaf)));
            };
            let Some(plan) = self.setup.voters.get(usize::from(vote.voter)).filter(|plan| plan.listed) else {
                return Err(format!("{} is a stranger's ballot", short(leaf)));
            };
            let credential = Credential(plan.key.verifying_key().to_bytes());
            if latest.insert(credential, vote).is_some() {
                if !revotes(&self.setup) {
                    return Err("somebody votes twice".into());
                }
                revoted = true;
            }
        }
        let mut totals: Vec<Vec<u64>> =
            manifest.contests.iter().map(|contest| vec![0; contest.options.len()]).collect();
        let mut weights = vec![0; manifest.contests.len()];
        for vote in latest.values() {
            let plan = &self.setup.voters[usize::from(vote.voter)];
            let Some(style) = manifest.style(plan.style) else { continue };
            for (contest, marks) in style.contests.iter().zip(&vote.choices) {
                weights[usize::from(contest.0)] += plan.weight;
                for mark in marks {
                    totals[usize::from(contest.0)][usize::from(mark.0)] += plan.weight;
                }
            }
        }
        let logged: usize = leaves.iter().map(Vec::len).sum();
        let stated: Vec<u64> = vote_set.weights.iter().map(|weight| weight.0).collect();
        if vote_set.logged != logged as u64 || vote_set.counted != latest.len() as u64 || stated != weights {
            return Err(format!(
                "{logged} ballots, {} counted and weights {weights:?} are {}, {} and {stated:?}",
                latest.len(),
                vote_set.logged,
                vote_set.counted
            ));
        }
        if revoted {
            self.situations.push("revote counted");
        }
        Ok(totals)
    }

    /// I12. `false`: not known yet what it must be.
    pub(super) fn look_at_result(&mut self, owner: Sender, board: &Board) -> bool {
        let (Some(counted), Some(result)) = (&self.counted, board.result()) else { return false };
        let got: Vec<Vec<u64>> = result.contests.iter().map(|contest| contest.totals.clone()).collect();
        if got != counted.totals {
            let text = format!("{got:?}, the votes are {:?}", counted.totals);
            self.broken("I12", format_args!("{owner} has the result {text}"));
        }
        true
    }
}
