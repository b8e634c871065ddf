//! Noise on the wire, and lies about the log.

use super::saying::bent;
use crate::{
    liar::Liar,
    policy::{Said, TrusteePolicy},
};
use ed25519_dalek::Signer as _;
use protocol::{
    ceremony::messages::{Commit, Complaint, ShareFlaw},
    ids::{Attempt, ElectionId, LaneIndex, TrusteeIndex},
    log::{Checkpoint, Cosignature},
    signed::{Body, Draft, Envelope, Sender},
};
use std::sync::Arc;

/// Alters what others have said, and speaks in their name.
#[derive(Default)]
pub(super) struct Forger {
    upto: usize,
}

impl TrusteePolicy for Forger {
    fn name(&self) -> &'static str {
        "forged-envelopes"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let new: Vec<Arc<Envelope>> = liar.conspiracy.seen.iter().skip(self.upto).take(20).cloned().collect();
        self.upto += new.len();
        let me = liar.me.map(Sender::Trustee);
        let mut said = Vec::new();
        for envelope in new {
            if Some(envelope.sender) == me {
                // What it says itself, as if another had.
                let other = liar.honest().next().map_or(envelope.sender, Sender::Trustee);
                said.push(Said::all(Arc::new(Envelope { sender: other, ..(*envelope).clone() })));
            } else if let Body::Commit(commit) = &envelope.body {
                let body = Commit { attempt: commit.attempt, commitment: bent(commit.commitment) }.into();
                said.push(Said::all(Arc::new(Envelope { body, ..(*envelope).clone() })));
            } else {
                let signature = bent(envelope.signature);
                said.push(Said::all(Arc::new(Envelope { signature, ..(*envelope).clone() })));
            }
        }
        said
    }
}

/// Says everything for another election too, where it may mean something else.
#[derive(Default)]
pub(super) struct CrossElection {
    upto: usize,
}

impl TrusteePolicy for CrossElection {
    fn name(&self) -> &'static str {
        "cross-election"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let Some((me, key)) = liar.me.and_then(|me| Some((me, liar.conspiracy.trustees.get(&me)?))) else {
            return Vec::new();
        };
        let new: Vec<Arc<Envelope>> = liar.conspiracy.seen.iter().skip(self.upto).take(20).cloned().collect();
        self.upto += new.len();
        let election = ElectionId(bent(liar.board.election().0));
        let elsewhere = new.iter().filter(|envelope| envelope.election != election).map(|envelope| {
            let draft = Draft { election, sender: Sender::Trustee(me), body: envelope.body.clone() };
            let signature = key.sign(&draft.message()).to_bytes();
            Said::all(Arc::new(draft.sign(signature)))
        });
        elsewhere.collect()
    }
}

/// Fills slots that nobody needs: attempts and complaints that no ceremony has.
#[derive(Default)]
pub(super) struct Flood {
    sent: u16,
}

/// What one flood amounts to, at most.
const FLOOD: u16 = 1500;

impl TrusteePolicy for Flood {
    fn name(&self) -> &'static str {
        "flood"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let from = self.sent;
        self.sent = from.saturating_add(100).min(FLOOD);
        let rubbish = (from..self.sent).map(|at| {
            let attempt = Attempt(2 + u32::from(at) % 700);
            let against = TrusteeIndex(100 + at);
            Complaint { attempt, against, flaw: ShareFlaw::Sealed, about: [0; 32] }.into()
        });
        rubbish.map(|body| Said::all(liar.sign(body))).collect()
    }
}

/// Hands everything over twice, the other way round.
pub(super) struct Replays;

impl TrusteePolicy for Replays {
    fn name(&self) -> &'static str {
        "replays"
    }
    fn hand_over(&mut self, liar: &mut Liar<'_>, journal: Vec<Said>) -> Vec<Said> {
        let old = liar.conspiracy.seen.iter().rev().take(30).cloned().map(Said::all);
        old.chain(journal.iter().rev().cloned()).chain(journal.iter().cloned()).collect()
    }
}

/// Hands over nothing that others have said.
pub(super) struct Withholds;

impl TrusteePolicy for Withholds {
    fn name(&self) -> &'static str {
        "withholds-others"
    }
    fn hand_over(&mut self, liar: &mut Liar<'_>, journal: Vec<Said>) -> Vec<Said> {
        let me = liar.me.map(Sender::Trustee);
        journal.into_iter().filter(|said| Some(said.envelope.sender) == me).collect()
    }
}

/// Answers one call in three.
#[derive(Default)]
pub(super) struct Sluggish {
    calls: u32,
}

impl TrusteePolicy for Sluggish {
    fn name(&self) -> &'static str {
        "sluggish"
    }
    fn answers(&mut self, _liar: &mut Liar<'_>) -> bool {
        self.calls += 1;
        self.calls.is_multiple_of(3)
    }
}

/// How a trustee lies about a checkpoint.
#[derive(Clone, Copy)]
pub(super) enum Cosigns {
    Nothing,
    Anything,
    Rubbish,
}

/// Co-signs as it should not.
pub(super) struct Cosigner(pub(super) Cosigns);

impl TrusteePolicy for Cosigner {
    fn name(&self) -> &'static str {
        match self.0 {
            Cosigns::Nothing => "cosigns-nothing",
            Cosigns::Anything => "cosigns-anything",
            Cosigns::Rubbish => "cosigns-rubbish",
        }
    }
    fn cosign(
        &mut self,
        liar: &mut Liar<'_>,
        _lane: LaneIndex,
        checkpoint: &Checkpoint,
        honest: Option<Cosignature>,
    ) -> Option<Cosignature> {
        match self.0 {
            Cosigns::Nothing => None,
            Cosigns::Anything => liar.me.and_then(|me| liar.cosignature(me, checkpoint)),
            Cosigns::Rubbish => {
                honest.map(|honest| Cosignature { signature: bent(honest.signature), time_s: honest.time_s })
            }
        }
    }
}

/// Says that it has more of the log than there is, or nothing of it.
pub(super) struct Claims {
    pub(super) more: bool,
}

impl TrusteePolicy for Claims {
    fn name(&self) -> &'static str {
        if self.more { "claims-more-leaves" } else { "claims-no-leaves" }
    }
    fn followed(&mut self, _liar: &mut Liar<'_>, _lane: LaneIndex, honest: u64) -> u64 {
        if self.more { honest + 1000 } else { 0 }
    }
}
