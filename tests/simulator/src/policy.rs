//! Misbehaviour: what a liar does otherwise than the correct core that it has inside.
//!
//! A liar runs the shipping code like everybody else, and a policy stands between that code and the world: it is asked
//! before anything leaves, and may say something else, more, less, to some and not to others. Every hook has a default that
//! changes nothing, so a policy is only its sin. A policy keeps its state through crashes of its process: liars have good
//! disks. It may sign with the keys of all liars of its run, and has seen whatever any of them has seen.

use crate::liar::Liar;
use protocol::{
    ids::{LaneIndex, TrusteeIndex},
    keeper::Decision,
    log::{Checkpoint, Cosignature, ProofFile, SignedCheckpoint},
    signed::{Body, Envelope},
};
use std::sync::Arc;

/// Who gets to see a statement, as far as it is in the liars' hands: an honest coordinator shows everything to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    All,
    /// These trustees, and (with a lying coordinator) nobody else.
    Only(Vec<TrusteeIndex>),
}

/// One statement that leaves.
#[derive(Debug, Clone)]
pub struct Said {
    /// Signed, or pretending to be.
    pub envelope: Arc<Envelope>,
    /// For whom.
    pub to: Audience,
}

impl Said {
    /// To everybody.
    #[must_use]
    pub fn all(envelope: Arc<Envelope>) -> Self {
        Self { envelope, to: Audience::All }
    }
    /// To some.
    #[must_use]
    pub fn only(envelope: Arc<Envelope>, to: Vec<TrusteeIndex>) -> Self {
        Self { envelope, to: Audience::Only(to) }
    }
}

/// What becomes of one message that the correct core wants to post.
#[derive(Debug, Clone)]
pub struct Speech {
    /// What the core is made to believe that it has said; `None`: nothing, and it will want to say it again.
    pub keep: Option<Arc<Envelope>>,
    /// What really leaves.
    pub say: Vec<Said>,
}

impl Speech {
    /// The truth.
    #[must_use]
    pub fn truth(envelope: Arc<Envelope>) -> Self {
        Self { keep: Some(envelope.clone()), say: vec![Said::all(envelope)] }
    }
    /// The core believes that it has said the one; the other is said.
    #[must_use]
    pub fn instead(kept: Arc<Envelope>, said: Arc<Envelope>) -> Self {
        Self { keep: Some(kept), say: vec![Said::all(said)] }
    }
    /// Something else is said, and believed.
    #[must_use]
    pub fn other(envelope: Arc<Envelope>) -> Self {
        Self::truth(envelope)
    }
    /// The core believes that it has spoken; nothing leaves.
    #[must_use]
    pub fn silence(kept: Arc<Envelope>) -> Self {
        Self { keep: Some(kept), say: Vec::new() }
    }
}

/// A trustee that lies.
pub trait TrusteePolicy: Send {
    /// Its name in tables, in kebab case.
    fn name(&self) -> &'static str;

    /// What its operator says to the manifest.
    fn decision(&self) -> Decision {
        Decision::Accept
    }

    /// Whether it answers calls now.
    fn answers(&mut self, _liar: &mut Liar<'_>) -> bool {
        true
    }

    /// The core owes `body`; `truth` is that, signed.
    fn speak(&mut self, _liar: &mut Liar<'_>, _body: &Body, truth: Arc<Envelope>) -> Speech {
        Speech::truth(truth)
    }

    /// What it says of its own accord, after each exchange of boards.
    fn unprompted(&mut self, _liar: &mut Liar<'_>) -> Vec<Said> {
        Vec::new()
    }

    /// The statements that leave with one answer, its own and those that it has heard, in journal order. They are counted as
    /// handed over whatever is done with them here.
    fn hand_over(&mut self, _liar: &mut Liar<'_>, journal: Vec<Said>) -> Vec<Said> {
        journal
    }

    /// Answers a checkpoint. `honest` is what the core gives: `None` where it refuses.
    fn cosign(
        &mut self,
        _liar: &mut Liar<'_>,
        _lane: LaneIndex,
        _checkpoint: &Checkpoint,
        honest: Option<Cosignature>,
    ) -> Option<Cosignature> {
        honest
    }

    /// How many leaves of a lane it says that it has.
    fn followed(&mut self, _liar: &mut Liar<'_>, _lane: LaneIndex, honest: u64) -> u64 {
        honest
    }
}

/// A piece of a lane's log on its way to a trustee.
#[derive(Debug, Clone)]
pub struct LogPiece {
    /// Place of the first ballot.
    pub first: u64,
    /// Leaves.
    pub ballots: Vec<Arc<[u8]>>,
    /// The checkpoint to be co-signed, if they end there.
    pub checkpoint: Option<Arc<SignedCheckpoint>>,
}

/// What a voter is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A receipt.
    Recorded(protocol::log::Receipt),
    /// A signed rejection.
    Rejected(protocol::log::Rejection),
    /// Not recorded; ask again after so many milliseconds.
    TryLater(u64),
    /// Not recorded and not judged.
    Refused,
    /// Not known: send it again.
    Unknown,
}

/// What a lying coordinator does with a ballot that is cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// As the rules say.
    Honest,
    /// Nothing at all: no judgement, no answer.
    Drop,
    /// This answer, and no log entry.
    Answer(Answer),
}

/// A coordinator that lies.
pub trait CoordinatorPolicy: Send {
    /// Its name in tables, in kebab case.
    fn name(&self) -> &'static str;

    /// Whether a statement that came in (from a trustee, an official, or of its own) is put on its board. What is not may
    /// still be shown to anybody: it is in [`Liar::seen`].
    fn take(&mut self, _liar: &mut Liar<'_>, _envelope: &Arc<Envelope>) -> bool {
        true
    }

    /// What trustee `to` is shown of what is `new` on the board since it was last asked. What is left out is not offered
    /// again: keep it to show it later. Statements for an [`Audience`] are offered to that audience only.
    fn show_board(&mut self, _liar: &mut Liar<'_>, _to: TrusteeIndex, new: Vec<Arc<Envelope>>) -> Vec<Arc<Envelope>> {
        new
    }

    /// What trustee `to`, who has `next` leaves, is shown of a lane.
    fn show_log(
        &mut self,
        _liar: &mut Liar<'_>,
        _to: TrusteeIndex,
        _lane: LaneIndex,
        _next: u64,
        honest: LogPiece,
    ) -> LogPiece {
        honest
    }

    /// A ballot is cast.
    fn cast(&mut self, _liar: &mut Liar<'_>, _ballot: &Arc<[u8]>) -> Intake {
        Intake::Honest
    }

    /// What the voter is told instead of `honest`; `None`: nothing.
    fn answer(&mut self, _liar: &mut Liar<'_>, honest: Answer) -> Option<Answer> {
        Some(honest)
    }

    /// What a voter that asks for its proof gets.
    fn prove(&mut self, _liar: &mut Liar<'_>, honest: Option<ProofFile>) -> Option<ProofFile> {
        honest
    }

    /// The chair owes `body`; `truth` is that, signed by the home shard.
    fn speak(&mut self, _liar: &mut Liar<'_>, _body: &Body, truth: Arc<Envelope>) -> Speech {
        Speech::truth(truth)
    }

    /// What it says of its own accord, whenever its clock ticks.
    fn unprompted(&mut self, _liar: &mut Liar<'_>) -> Vec<Said> {
        Vec::new()
    }
}
