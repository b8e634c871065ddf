//! The stranger: an exported election record in; yes, or the first lie.
//!
//! [`verify`] reads a record folder and makes every check of [`STEPS`] in order until one fails. It shares no code with the programs
//! that held the election: decoding, equations and rules are written a second time, from `docs/protocol.md`. Bytes of a record
//! are never believed, bounded before they are read, and cannot make it panic. There is no way to leave a check out; whether the
//! anchors are on the chain is only known with an RPC, and said to be not asked without.
//!
//! What a record looks like: `README.md` of this crate.

mod agreement;
mod ballot;
mod ceremony;
mod chain;
mod dleq;
mod evidence;
mod group;
mod lanes;
mod manifest;
mod messages;
mod parallel;
mod record;
mod report;
mod rpc;
mod sealing;
mod signing;
mod stages;
mod summary;
mod tally;
mod wire;

pub use report::{Check, Finding, Outcome, Report, STEPS, Step, Totals, Verdict};

use evidence::Court;
use record::{Record, Stop};
use report::Run;
use rpc::Question;
use std::path::Path;
use summary::Facts;
use tally::Tally;

/// What to ask besides the record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A Solana RPC. Without one, nobody looks whether the anchors are on the chain.
    pub rpc: Option<String>,
}

/// Judges a record. Everything that can go wrong is in the report.
#[must_use]
pub fn verify(folder: &Path, options: &Options) -> Report {
    let mut report = Report {
        verdict: Verdict::Unreadable,
        record: folder.display().to_string(),
        election_id: None,
        checks: Vec::new(),
        failure: None,
        totals: Vec::new(),
    };
    if let Err(Stop::Unreadable(finding) | Stop::Lie(finding)) = record::is_there(folder) {
        report.failure = Some((0, finding));
        return report;
    }
    let mut run = Run { checks: Vec::new(), failure: None };
    let mut unreadable = None;
    let record = run.step(|| match Record::load(folder) {
        Ok(record) => {
            let detail = format!("{} files, {} envelopes", record.files.len().saturating_add(1), record.board.len());
            Ok((record, detail))
        }
        Err(Stop::Lie(finding)) => Err(finding),
        Err(Stop::Unreadable(finding)) => {
            unreadable = Some(());
            Err(finding)
        }
    });
    if unreadable.is_some() {
        report.failure = run.failure.map(|(_, finding)| (0, finding));
        return report;
    }
    if let Some(record) = &record {
        report.election_id = Some(wire::hex(&record.manifest.election));
        let tally = judge(record, options, &mut run);
        report.totals = tally.map(|tally| totals(record, &tally)).unwrap_or_default();
    }
    report.verdict = if run.failure.is_none() { Verdict::Valid } else { Verdict::Invalid };
    report.checks = run.checks;
    report.failure = run.failure;
    report
}

/// Checks 2 to 17; the recomputed result, if all of them hold.
fn judge(record: &Record, options: &Options, run: &mut Run) -> Option<Tally> {
    let manifest = &record.manifest;
    run.step(|| manifest.judge().map(|detail| ((), detail)))?;
    let roll = run.step(|| {
        let roll = manifest::roll(&record.roll, manifest)?;
        let detail = format!("{} voters", roll.len());
        Ok((roll, detail))
    })?;
    run.step(|| stages::envelopes(record))?;
    let keys = run.step(|| ceremony::judge(record))?;
    run.step(|| stages::rehearsal(record, &keys))?;
    run.step(|| stages::voting(record, &keys))?;
    let boxes = run.step(|| lanes::ballots(record, &roll, keys.election_key))?;
    let ends = run.step(|| lanes::checkpoints(record))?;
    let vote_set = run.step(|| agreement::judge(record, &keys, &ends, &boxes))?;
    run.step(|| tally::lots(record, &keys, &vote_set))?;
    let sums = tally::sums(manifest, &boxes, &vote_set);
    let opened = run.step(|| tally::partials(record, &keys, &vote_set, &sums))?;
    let tally = run.step(|| tally::count(manifest, &boxes, &vote_set, &sums, &opened))?;
    let anchors = run.step(|| chain::judge(record, &keys, &vote_set, &tally.digest))?;
    run.step(|| Court { record, keys: &keys, vote_set: &vote_set, result: &tally.digest, sums: &sums }.judge())?;
    let facts = Facts {
        record,
        keys: &keys,
        ends: &ends,
        boxes: &boxes,
        vote_set: &vote_set,
        tally: &tally,
        anchors: &anchors,
    };
    run.step(|| facts.judge())?;
    let Some(url) = &options.rpc else {
        run.not_asked("give --rpc URL to look the anchors up");
        return Some(tally);
    };
    let texts = chain::texts(&manifest.election, &keys.digest, &vote_set, &tally.digest);
    let group = &keys.signing_key;
    let question = Question { url, genesis: &manifest.genesis, group, anchors: &anchors, texts: &texts };
    run.step(|| question.ask())?;
    Some(tally)
}

fn totals(record: &Record, tally: &Tally) -> Vec<Totals> {
    let contests = record.manifest.contests.iter().zip(&tally.contests);
    contests
        .map(|(contest, outcome)| Totals {
            id: contest.id.clone(),
            votes: contest.options.iter().cloned().zip(outcome.totals.iter().copied()).collect(),
        })
        .collect()
}
