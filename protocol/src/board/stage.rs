//! Where an election stands, and who is waited for. (P-BRD-3)

use super::{Board, Purpose};
use crate::{
    agreement,
    ids::{Round, TrusteeIndex},
    signed::Sender,
};
use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

/// Stages of an election, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The manifest is with the trustees' operators.
    Created,
    /// Keys are being made.
    KeyCeremony,
    /// The keys are being tried, and the key certificate anchored.
    Rehearsal,
    /// May be opened.
    Ready,
    /// Ballots are taken.
    Open,
    /// Closed by the trustees; the rest of the log is being followed.
    Closing,
    /// The trustees agree on the vote set.
    Agreement,
    /// The sums are being decrypted.
    Tally,
    /// There is a result; it is being anchored.
    Anchoring,
    /// The result is anchored.
    Complete,
    /// A trustee refused: there will be no election under this manifest.
    Stopped,
}

impl Stage {
    /// For logs, progress and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::KeyCeremony => "key-ceremony",
            Self::Rehearsal => "rehearsal",
            Self::Ready => "ready",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Agreement => "agreement",
            Self::Tally => "tally",
            Self::Anchoring => "anchoring",
            Self::Complete => "complete",
            Self::Stopped => "stopped",
        }
    }
}

/// Who is waited for, and for what, in plain language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Name in the manifest.
    pub who: String,
    /// What they owe.
    pub what: String,
}

impl Board {
    /// Where the election stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if self.refused() {
            return Stage::Stopped;
        }
        if !self.announced() || !self.accepted() {
            return Stage::Created;
        }
        if self.key.is_none() {
            return Stage::KeyCeremony;
        }
        if !self.ready() {
            return Stage::Rehearsal;
        }
        if !self.opened() {
            return Stage::Ready;
        }
        if !self.closed() {
            return Stage::Open;
        }
        if self.sealed().is_none() {
            return Stage::Closing;
        }
        if self.certificate.is_none() {
            return Stage::Agreement;
        }
        if self.result().is_none() {
            return Stage::Tally;
        }
        if self.anchored(Purpose::AnchorResult).is_none() || self.anchored(Purpose::AnchorVoteSet).is_none() {
            return Stage::Anchoring;
        }
        Stage::Complete
    }

    /// Whether fewer ballots count than the manifest lets be decrypted: opening them could reveal votes. (T12)
    #[must_use]
    pub fn small_tally(&self) -> bool {
        self.certificate().is_some_and(|certificate| certificate.value.counted < self.manifest.tally_min)
    }

    /// Who is waited for. Never blame: whoever is named may only be slow.
    #[must_use]
    pub fn awaiting(&self) -> Vec<Awaited> {
        let missing = |kind: u16, number: u32| -> Vec<TrusteeIndex> {
            let said = |index: &TrusteeIndex| self.has(kind, number, 0, Sender::Trustee(*index));
            self.manifest.trustee_indices().filter(|index| !said(index)).collect()
        };
        match self.stage() {
            Stage::Created => {
                let mut out = Vec::new();
                if !self.announced() {
                    out.push(Awaited { who: "an official".to_string(), what: "the announcement".to_string() });
                }
                out.extend(self.named(&missing(2, 0), "the operator's word on the manifest"));
                out
            }
            Stage::KeyCeremony => {
                let attempt = self.current_attempt();
                let judged = self.ceremony(attempt);
                self.named(&judged.awaiting(), &format!("key ceremony, attempt {attempt}: {:?}", judged.step()))
            }
            Stage::Rehearsal => {
                let number = self.key.as_ref().map_or(0, |key| key.attempt.0);
                let mut out = self.named(&missing(19, number), "the rehearsal decryption");
                for purpose in [Purpose::Rehearsal, Purpose::CreateNonce, Purpose::AnchorKey] {
                    out.extend(self.awaiting_signature(purpose));
                }
                out
            }
            Stage::Ready if self.open_requested() => self.named(&missing(21, 0), "agreement to open"),
            Stage::Ready => {
                alloc::vec![Awaited { who: "an official".to_string(), what: "the request to open".to_string() }]
            }
            Stage::Open if self.close_requested() => self.named(&missing(23, 0), "agreement to close"),
            Stage::Closing => self.manifest.home_shard().map_or_else(Vec::new, |shard| {
                alloc::vec![Awaited { who: shard.name.clone(), what: "where the log ends".to_string() }]
            }),
            Stage::Agreement => {
                let round = self.of_kind(31).map(|envelope| envelope.slot().number).max().unwrap_or(0);
                match agreement::awaiting(&self.votes, Round(round)) {
                    Some(awaiting) => {
                        let what = match awaiting.stage {
                            agreement::Stage::Propose => "the proposal",
                            agreement::Stage::Prevote => "the first vote",
                            agreement::Stage::Precommit => "the second vote",
                        };
                        self.named(&awaiting.trustees, &format!("agreement, round {round}: {what}"))
                    }
                    None => Vec::new(),
                }
            }
            Stage::Tally if self.small_tally() => {
                let counted = self.certificate().map_or(0, |certificate| certificate.value.counted);
                let least = self.manifest.tally_min;
                let what =
                    format!("SMALL_TALLY: {counted} ballots count, and the manifest has none decrypted below {least}");
                alloc::vec![Awaited { who: "nobody".to_string(), what }]
            }
            Stage::Tally => {
                let need = usize::from(self.manifest.quorums.t);
                let have = self.partials.len();
                let who: Vec<TrusteeIndex> =
                    self.manifest.trustee_indices().filter(|index| !self.partials.contains_key(index)).collect();
                self.named(&who, &format!("partial decryptions: {have} of {need} are here"))
            }
            Stage::Anchoring => {
                let mut out = Vec::new();
                for purpose in [Purpose::AnchorVoteSet, Purpose::AnchorResult] {
                    out.extend(self.awaiting_signature(purpose));
                }
                out
            }
            Stage::Open | Stage::Complete | Stage::Stopped => Vec::new(),
        }
    }

    fn awaiting_signature(&self, purpose: Purpose) -> Vec<Awaited> {
        if self.anchored(purpose).is_some() || (purpose == Purpose::Rehearsal && self.rehearsal_signature().is_some()) {
            return Vec::new();
        }
        let view = self.newest_request(purpose).and_then(|request| self.signing(purpose, request.attempt));
        let who = view.map(|view| view.missing()).unwrap_or_default();
        self.named(&who, &format!("a share of the joint signature ({})", purpose.name()))
    }

    fn named(&self, who: &[TrusteeIndex], what: &str) -> Vec<Awaited> {
        let name = |index: &TrusteeIndex| self.manifest.trustee(*index).map_or_else(String::new, |t| t.name.clone());
        who.iter().map(|index| Awaited { who: name(index), what: what.to_string() }).collect()
    }
}
