//! What the audit says: the checks in order, and the first that failed.

use serde_json::{Map, Value, json};
use std::time::Instant;

/// What a check wanted and what it met instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Wanted.
    pub expected: String,
    /// Met.
    pub found: String,
}

pub(crate) fn finding(expected: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding { expected: expected.into(), found: found.into() }
}

/// `Ok` if the condition holds.
pub(crate) fn must(
    condition: bool,
    expected: impl FnOnce() -> String,
    found: impl FnOnce() -> String,
) -> Result<(), Finding> {
    if condition { Ok(()) } else { Err(finding(expected(), found())) }
}

/// A check that this program makes: number, name, the steps of `docs/protocol.md` that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub number: u8,
    /// For people.
    pub name: &'static str,
    /// Labels.
    pub label: &'static str,
}

/// All checks, in the order in which they are made.
pub const STEPS: [Step; 17] = [
    Step { number: 1, name: "files and encodings", label: "P-REC P-ENC" },
    Step { number: 2, name: "manifest and quorums", label: "P-MAN P-QUO" },
    Step { number: 3, name: "voter roll", label: "P-ROL" },
    Step { number: 4, name: "envelopes, announcement, acceptances", label: "P-ENV P-MAN-3 P-MAN-4" },
    Step { number: 5, name: "key ceremony", label: "P-DKG-1 to P-DKG-7" },
    Step { number: 6, name: "rehearsal", label: "P-DKG-8" },
    Step { number: 7, name: "opening and closing", label: "P-VOT" },
    Step { number: 8, name: "every ballot", label: "P-BAL P-BOX-1 to P-BOX-4" },
    Step { number: 9, name: "log and checkpoints", label: "P-LOG-1 P-LOG-2" },
    Step { number: 10, name: "vote set and certificate", label: "P-BOX-5 P-AGR" },
    Step { number: 11, name: "lots", label: "P-LOT" },
    Step { number: 12, name: "partial decryptions", label: "P-TAL-1 P-TAL-2" },
    Step { number: 13, name: "result", label: "P-TAL-3 to P-TAL-6 P-LOT-4" },
    Step { number: 14, name: "joint signatures and anchors", label: "P-SIG P-ANC-1 to P-ANC-3" },
    Step { number: 15, name: "rejections and evidence", label: "P-LOG-4 P-EVI" },
    Step { number: 16, name: "summary", label: "P-REC" },
    Step { number: 17, name: "anchors on the chain", label: "P-ANC-4" },
];

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nobody asked for it. Says nothing.
    NotAsked,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Which.
    pub step: Step,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What was looked at.
    pub detail: String,
}

/// Yes, no, or nothing to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every check that was asked for holds.
    Valid,
    /// One does not.
    Invalid,
    /// There is no record that could be read.
    Unreadable,
}

impl Verdict {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unreadable => "unreadable",
        }
    }
    /// Of the process.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Unreadable => 2,
        }
    }
}

/// One contest as recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Of the contest.
    pub id: String,
    /// Option and votes, in the manifest's order.
    pub votes: Vec<(String, u64)>,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Yes, no, or nothing to judge.
    pub verdict: Verdict,
    /// Which folder.
    pub record: String,
    /// Once the manifest was read.
    pub election_id: Option<String>,
    /// In order, up to the first that failed.
    pub checks: Vec<Check>,
    /// The first that failed; check 0 if nothing could be read.
    pub failure: Option<(u8, Finding)>,
    /// Recomputed; empty unless the record is valid.
    pub totals: Vec<Totals>,
}

impl Report {
    /// One object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                let ok = match check.outcome {
                    Outcome::Passed => Value::Bool(true),
                    Outcome::Failed => Value::Bool(false),
                    Outcome::NotAsked => Value::Null,
                };
                json!({
                    "number": check.step.number, "name": check.step.name, "label": check.step.label, "ok": ok,
                    "seconds": check.seconds, "detail": check.detail,
                })
            })
            .collect();
        let failure = self
            .failure
            .as_ref()
            .map(|(check, finding)| json!({ "check": check, "expected": finding.expected, "found": finding.found }));
        let totals: Vec<Value> = self
            .totals
            .iter()
            .map(|contest| {
                let votes: Map<String, Value> =
                    contest.votes.iter().map(|(option, votes)| (option.clone(), (*votes).into())).collect();
                json!({ "id": contest.id, "totals": votes })
            })
            .collect();
        json!({
            "verdict": self.verdict.name(), "record": self.record, "election_id": self.election_id,
            "checks": checks, "failure": failure, "totals": totals,
        })
    }

    /// One line for each check, then the verdict.
    #[must_use]
    pub fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for check in &self.checks {
            let word = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NotAsked => "not asked",
            };
            let Step { number, name, label } = check.step;
            let _ = writeln!(
                out,
                "{number:>2}  {word:<9} {:>8.3} s  {name} ({label}){}{}",
                check.seconds,
                if check.detail.is_empty() { "" } else { ": " },
                printable(&check.detail)
            );
        }
        for contest in &self.totals {
            let _ = writeln!(out, "{}", printable(&contest.id));
            for (option, votes) in &contest.votes {
                let _ = writeln!(out, "    {votes:>10}  {}", printable(option));
            }
        }
        if let Some((check, finding)) = &self.failure {
            let _ = writeln!(out, "check {check} failed");
            let _ = writeln!(out, "  expected: {}", printable(&finding.expected));
            let _ = writeln!(out, "  found:    {}", printable(&finding.found));
        }
        let _ = writeln!(out, "{}", self.verdict.name());
        out
    }
}

/// A record must not be able to redraw the screen of whoever judges it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Makes the checks and keeps the time.
pub(crate) struct Run {
    pub(crate) checks: Vec<Check>,
    pub(crate) failure: Option<(u8, Finding)>,
}

impl Run {
    /// The next check. `None` if it failed: nothing is checked after that.
    pub(crate) fn step<T>(&mut self, work: impl FnOnce() -> Result<(T, String), Finding>) -> Option<T> {
        let step = STEPS.get(self.checks.len()).copied()?;
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        let (value, outcome, detail) = match result {
            Ok((value, detail)) => (Some(value), Outcome::Passed, detail),
            Err(finding) => {
                self.failure = Some((step.number, finding));
                (None, Outcome::Failed, String::new())
            }
        };
        self.checks.push(Check { step, outcome, seconds, detail });
        value
    }
    /// The next check was not asked for.
    pub(crate) fn not_asked(&mut self, detail: &str) {
        if let Some(step) = STEPS.get(self.checks.len()).copied() {
            self.checks.push(Check { step, outcome: Outcome::NotAsked, seconds: 0.0, detail: detail.to_owned() });
        }
    }
}
