//! Invariants that a running process can watch by itself, cheaply. (`INVARIANTS.md`)
//!
//! They hold if the rest of this crate is right. A process that sees one break has a defect, or damaged memory: it counts it
//! in a metric that must stay 0, and a trustee promises nothing more. The simulator runs the same code.

use crate::{
    board::Board,
    encoding::Hash,
    ids::{LaneIndex, LogSize, TrusteeIndex},
    signed::{Body, Sender, Slot},
    signing::messages::Purpose,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

/// What [`Watch`] looks at.
pub const WATCHED: [&str; 8] = ["I01", "I05", "I08", "I10", "I12", "I13", "I14", "I15"];

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("INVARIANT {id}: {text}")]
pub struct Broken {
    /// Which: one of [`WATCHED`].
    pub id: &'static str,
    /// What was seen, in plain language.
    pub text: String,
}

/// What one process has seen of one election. It begins anew with the process.
#[derive(Debug, Clone)]
pub struct Watch {
    me: Option<TrusteeIndex>,
    looked: Option<(usize, bool)>,
    key: Option<Hash>,
    vote_set: Option<Hash>,
    result: Option<Hash>,
    cosigned: BTreeMap<LaneIndex, (LogSize, Hash)>,
    said: BTreeSet<&'static str>,
}

impl Watch {
    /// `me` is the trustee whose own promises are watched, if this is a trustee's process.
    #[must_use]
    pub fn new(me: Option<TrusteeIndex>) -> Self {
        Self {
            me,
            looked: None,
            key: None,
            vote_set: None,
            result: None,
            cosigned: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Looks at a board that may have changed. Each invariant is named once.
    ///
    /// Cost: nothing for a board that has not changed; else linear in what this trustee has said.
    pub fn look(&mut self, board: &Board) -> Vec<Broken> {
        let now = (board.len(), board.result().is_some());
        if self.looked == Some(now) {
            return Vec::new();
        }
        self.looked = Some(now);
        let mut broken = Vec::new();
        let key = board.key_digest().filter(|_| board.rehearsed());
        broken.extend(stays(&mut self.key, key, "I01", "the keys that all have rehearsed"));
        broken.extend(stays(&mut self.vote_set, board.vote_set(), "I05", "the certified vote set"));
        let result = board.result().map(crate::tally::ElectionResult::digest);
        broken.extend(stays(&mut self.result, result, "I12", "the result"));
        if let Some(me) = self.me {
            own_promises(board, me, &mut broken);
        }
        broken.retain(|one| self.said.insert(one.id));
        broken
    }

    /// This trustee has resolved to co-sign a checkpoint.
    pub fn cosigned(&mut self, lane: LaneIndex, size: LogSize, root: Hash) -> Option<Broken> {
        let before = self.cosigned.insert(lane, (size, root));
        let (before_size, before_root) = before?;
        let falls = size < before_size || size == before_size && root != before_root;
        let text = format!("lane {lane}: {size} leaves are co-signed after {before_size}, or with another root");
        (falls && self.said.insert("I08")).then_some(Broken { id: "I08", text })
    }
}

/// A fact that must never become another.
fn stays(before: &mut Option<Hash>, now: Option<Hash>, id: &'static str, what: &str) -> Option<Broken> {
    match (*before, now) {
        (Some(before), Some(now)) if before != now => {
            Some(Broken { id, text: format!("{what} were {}, now {}", hex::encode(before), hex::encode(now)) })
        }
        (Some(before), None) => Some(Broken { id, text: format!("{what} were {}, now none", hex::encode(before)) }),
        (None, now) => {
            *before = now;
            None
        }
        _ => None,
    }
}

fn own_promises(board: &Board, me: TrusteeIndex, broken: &mut Vec<Broken>) {
    let own = |tag: u16| board.of_kind(tag).filter(move |envelope| envelope.sender == Sender::Trustee(me));
    for envelope in own(40) {
        let Body::Partials(partials) = &envelope.body else { continue };
        if !board.closed() || board.certificate().is_none() {
            broken.push(Broken {
                id: "I13",
                text: "partial decryptions are said before the vote set is certified".into(),
            });
        } else if board.vote_set() != Some(partials.vote_set) {
            broken.push(Broken {
                id: "I10",
                text: "partial decryptions are of another vote set than the certified one".into(),
            });
        }
    }
    let mut nonces: BTreeMap<[u8; 32], Slot> = BTreeMap::new();
    for envelope in own(51) {
        let Body::SignCommitment(commitment) = &envelope.body else { continue };
        for point in [commitment.hiding, commitment.binding] {
            if let Some(before) = nonces.insert(point, envelope.slot()) {
                let text = format!("one nonce for attempts {} and {}", before.number, commitment.attempt);
                broken.push(Broken { id: "I14", text });
            }
        }
    }
    for envelope in own(52) {
        let Body::SignShare(share) = &envelope.body else { continue };
        if share.purpose != Purpose::Rehearsal && !board.rehearsed() {
            let text = format!("signed for {} with keys that not all have rehearsed", share.purpose.name());
            broken.push(Broken { id: "I15", text });
        }
    }
}
