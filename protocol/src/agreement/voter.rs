//! One trustee's side of the agreement: what it owes now. (P-AGR-5, P-AGR-6)

use super::{
    Backing, Judgement, ROUNDS_MAX,
    messages::{Precommit, Prevote, Proposal, VoteSet},
    votes::{Lock, Stage, Votes},
};
use crate::{
    encoding::Hash,
    ids::{Round, TimeMs, TrusteeIndex},
    signed::Body,
};
use alloc::collections::BTreeMap;

/// What a trustee says in an agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgreementMessage {
    /// In its turn.
    Proposal(Proposal),
    /// First vote.
    Prevote(Prevote),
    /// Second vote.
    Precommit(Precommit),
}

impl From<AgreementMessage> for Body {
    fn from(message: AgreementMessage) -> Self {
        match message {
            AgreementMessage::Proposal(body) => body.into(),
            AgreementMessage::Prevote(body) => body.into(),
            AgreementMessage::Precommit(body) => body.into(),
        }
    }
}

/// How long a trustee waits in each step, in milliseconds. Growing with the round, they outlast any fixed delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal, from the beginning of the round.
    pub propose_ms: u64,
    /// For more prevotes, once `q` trustees have prevoted.
    pub prevote_ms: u64,
    /// For more precommits, once `q` trustees have precommitted.
    pub precommit_ms: u64,
    /// Added to each of them for every round.
    pub per_round_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { propose_ms: 1000, prevote_ms: 1000, precommit_ms: 1000, per_round_ms: 500 }
    }
}

impl Timeouts {
    fn of(&self, stage: Stage, round: Round) -> u64 {
        let base = match stage {
            Stage::Propose => self.propose_ms,
            Stage::Prevote => self.prevote_ms,
            Stage::Precommit => self.precommit_ms,
        };
        base.saturating_add(self.per_round_ms.saturating_mul(round.0.into()))
    }
}

/// A trustee's timers. Everything that binds it is in [`Votes`], folded from its journal: after a restart a new `Voter`
/// over the same votes has the same lock and says nothing twice; only its timers start anew.
#[derive(Debug, Clone)]
pub struct Voter {
    me: TrusteeIndex,
    timeouts: Timeouts,
    round: Round,
    /// When the timers of this round run out.
    timers: BTreeMap<Stage, TimeMs>,
    /// Given to the caller and not yet seen in the votes.
    pending: Option<AgreementMessage>,
    /// In this process.
    #[cfg(feature = "bugs")]
    precommitted: bool,
}

impl Voter {
    /// At round 0, or where the votes say once it sees them.
    #[must_use]
    pub fn new(me: TrusteeIndex, timeouts: Timeouts) -> Self {
        Self {
            me,
            timeouts,
            round: Round(0),
            timers: BTreeMap::new(),
            pending: None,
            #[cfg(feature = "bugs")]
            precommitted: false,
        }
    }

    /// The round that this trustee is in.
    #[must_use]
    pub fn round(&self) -> Round {
        self.round
    }

    /// The message that this trustee owes now, if any. (P-AGR-5)
    ///
    /// The caller signs it, puts it durably on its journal, absorbs it into `votes`, and only then lets it leave; then it
    /// asks again. Until the message is in `votes` the same one is returned, so that no slot ever gets two.
    ///
    /// `judge` says what this trustee's own replay thinks of a vote set, see [`super::judge`]. `own` is the set that it would
    /// propose; `None` while it has not followed the log to its end.
    pub fn duty(
        &mut self,
        now: TimeMs,
        votes: &Votes,
        judge: &dyn Fn(&VoteSet, Backing) -> Judgement,
        own: Option<&VoteSet>,
    ) -> Option<AgreementMessage> {
        if let Some(pending) = &self.pending {
            if !votes.holds(self.me, pending) {
                return Some(pending.clone());
            }
            self.pending = None;
        }
        loop {
            self.catch_up(votes);
            if let Some(message) = self.owed(now, votes, judge, own) {
                self.pending = Some(message.clone());
                #[cfg(feature = "bugs")]
                {
                    self.precommitted |= matches!(message, AgreementMessage::Precommit(_));
                }
                return Some(message);
            }
            if !self.round_is_over(now, votes) {
                return None;
            }
            self.start(Round(self.round.0.saturating_add(1)));
        }
    }

    /// When to ask again although no message has come. Times that have passed are not repeated.
    #[must_use]
    pub fn next_wake(&self, now: TimeMs) -> Option<TimeMs> {
        self.timers.values().copied().filter(|at| *at > now).min()
    }

    fn start(&mut self, round: Round) {
        self.round = round;
        self.timers.clear();
    }

    /// > upon f+1 messages of a higher round: StartRound (line 55); and where this trustee was before it restarted.
    fn catch_up(&mut self, votes: &Votes) {
        let reached = votes.own_round(self.me).max(votes.round_of_some_honest(self.me));
        if let Some(round) = reached
            && round > self.round
        {
            self.start(round);
        }
    }

    fn owed(
        &mut self,
        now: TimeMs,
        votes: &Votes,
        judge: &dyn Fn(&VoteSet, Backing) -> Judgement,
        own: Option<&VoteSet>,
    ) -> Option<AgreementMessage> {
        let (me, round) = (self.me, self.round);
        if votes.precommit(round, me).is_some() {
            return None;
        }
        let lock = votes.lock(me);
        #[cfg(feature = "bugs")]
        let lock = lock.filter(|_| !bug!(LockLostAtRestart) || self.precommitted);
        if votes.prevote(round, me).is_none() {
            if votes.proposer(round) == me
                && votes.proposal(round).is_none()
                && let Some(proposal) = proposal(votes, round, lock, own)
            {
                return Some(AgreementMessage::Proposal(proposal));
            }
            let value = match answer(votes, round, lock, judge) {
                Some(value) => value,
                // > OnTimeoutPropose: prevote nil (line 57)
                None if self.expired(Stage::Propose, now) => None,
                None => return None,
            };
            return Some(AgreementMessage::Prevote(Prevote { round, value }));
        }
        self.timers.remove(&Stage::Propose);
        // > upon 2f+1 prevotes for v, while valid(v) and step = prevote: lock, precommit v (line 36)
        if let Some((hash, value)) = votes.polka(round)
            && (holds(lock, &hash) || judge(value, Backing::Prevoted) == Judgement::Valid)
        {
            return Some(AgreementMessage::Precommit(Precommit { round, value: Some(hash) }));
        }
        // > upon 2f+1 prevotes nil: precommit nil (line 44); OnTimeoutPrevote: precommit nil (line 61)
        if votes.nil_by_quorum(round) || votes.prevoted_by_quorum(round) && self.expired(Stage::Prevote, now) {
            return Some(AgreementMessage::Precommit(Precommit { round, value: None }));
        }
        None
    }

    /// > upon 2f+1 precommits, whatever they are: after the time-out, StartRound(round + 1) (lines 47, 65)
    ///
    /// With a certificate this trustee needs no further round for itself. It goes on, at the pace of its timers, as
    /// long as somebody else does: that one may lack the votes which this one saw.
    fn round_is_over(&mut self, now: TimeMs, votes: &Votes) -> bool {
        if votes.precommit(self.round, self.me).is_some() {
            self.timers.remove(&Stage::Propose);
            self.timers.remove(&Stage::Prevote);
        }
        votes.precommitted_by_quorum(self.round)
            && self.expired(Stage::Precommit, now)
            && self.round.0.saturating_add(1) < ROUNDS_MAX
            && (votes.somebody_beyond(self.me, self.round) || votes.certificate().is_none())
    }

    /// Starts the timer of this step if it is not running, and says whether it has run out.
    fn expired(&mut self, stage: Stage, now: TimeMs) -> bool {
        let until = TimeMs(now.0.saturating_add(self.timeouts.of(stage, self.round)));
        *self.timers.entry(stage).or_insert(until) <= now
    }
}

fn holds(lock: Option<Lock>, value: &Hash) -> bool {
    lock.is_some_and(|lock| lock.value == *value)
}

/// > if validValue != nil then proposal = validValue else proposal = getValue() (lines 15 to 19)
fn proposal(votes: &Votes, round: Round, lock: Option<Lock>, own: Option<&VoteSet>) -> Option<Proposal> {
    if let Some((valid, value, vouches)) = votes.polka_before(round)
        // Not so only if the journal lost others' votes. Then silence, which costs one round, is better than a
        // proposal that looks like a forgotten lock.
        && lock.is_none_or(|lock| lock.round <= valid)
    {
        let (value, justification) = (value.clone(), vouches.to_vec());
        return Some(Proposal { round, value, valid_round: Some(valid), justification });
    }
    let value = own.filter(|_| lock.is_none())?.clone();
    Some(Proposal { round, value, valid_round: None, justification: alloc::vec::Vec::new() })
}

/// What to prevote on the round's proposal; `None` while that is open.
fn answer(
    votes: &Votes,
    round: Round,
    lock: Option<Lock>,
    judge: &dyn Fn(&VoteSet, Backing) -> Judgement,
) -> Option<Option<Hash>> {
    let proposed = votes.proposal(round)?;
    let value = votes.value(&proposed.value)?;
    if holds(lock, &proposed.value) {
        return Some(Some(proposed.value));
    }
    let (free, backing) = match proposed.valid_round {
        // > upon a proposal (v, -1): prevote v if valid(v) and lockedRound = -1 or lockedValue = v (line 22)
        None => (lock.is_none(), Backing::Proposed),
        // > upon a proposal (v, vr) and 2f+1 prevotes for v in vr: prevote v if valid(v) and lockedRound <= vr or
        // > lockedValue = v (line 28). The votes hold no such proposal without the prevotes.
        Some(_) if bug!(SignOnce) => (lock.is_none(), Backing::Prevoted),
        Some(valid) => (lock.is_none_or(|lock| lock.round <= valid), Backing::Prevoted),
    };
    if !free {
        return Some(None);
    }
    match judge(value, backing) {
        Judgement::Valid => Some(Some(proposed.value)),
        Judgement::Invalid => Some(None),
        Judgement::NotYet => None,
    }
}
