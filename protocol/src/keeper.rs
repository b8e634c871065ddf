//! One trustee's side of an election: what it has seen, what it keeps, and what it owes. (P-KEE)
//!
//! [`Keeper::duties`] reads the board and returns what this trustee owes now. The shell performs it - seal, sign,
//! journal, fsync - and only then absorbs it and lets it leave. A duty that was done is on the board and is owed no
//! more, so a crash between any two steps repeats nothing and loses nothing: after a restart the same fold over the
//! journal owes the same duties.
//!
//! Kept in RAM only: signing nonces. A restart burns them, and the attempt they were for.

use crate::{
    agreement::{
        Timeouts, Voter,
        messages::{LaneEnd, VoteSet},
    },
    ballot::{BallotForm, CheckedBallot},
    ballot_box::{self, BallotBox, BoxTrouble, ClosedBox},
    board::{Board, CheckedEnvelope},
    ceremony::{AttemptSeed, KeyShares, Participant},
    encoding::{Hash, Writer},
    evidence::{Evidence, Verdict},
    ids::{Attempt, LaneIndex, LeafIndex, LogSize, TimeMs, TrusteeIndex},
    log::Checkpoint,
    manifest::Manifest,
    roll::Roll,
    signed::{Body, Envelope, Sender},
    signing::{SigningNonce, messages::Purpose},
};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};

mod duties;
mod signing;

/// How long a trustee waits for the lots of the others before it goes by those that are there, in milliseconds.
pub const LOTS_WAIT_MS: u64 = 1500;
/// How long a trustee that stands by waits for each one before it in line, in milliseconds.
pub const STAND_BY_MS: u64 = 1500;
/// How many sizes of the log since the close are remembered.
const SNAPSHOTS_MAX: usize = 64;

/// What the operator of a trustee says to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Take part.
    Accept,
    /// Do not.
    Refuse {
        /// For people.
        reason: String,
    },
}

/// What the shell must do, in this order; a duty may rely on those before it.
#[must_use = "a duty left undone breaks the protocol"]
#[derive(Debug)]
pub enum Duty {
    /// Seal under the token with [`Keeper::seal_context`] and store, durably, before anything that follows; then
    /// [`Keeper::restore_seed`].
    Seal {
        /// For which attempt.
        attempt: Attempt,
        /// The secret.
        seed: AttemptSeed,
    },
    /// Sign, append to the journal, durably; then absorb; then it may leave.
    Post(Body),
}

/// Why log entries are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FollowRefusal {
    /// Too early.
    #[error("the election is not open yet: nothing may be in its log")]
    NotOpen,
    /// The roll is missing.
    #[error("the voter roll has not arrived yet")]
    NoRoll,
    /// No such lane.
    #[error("lane {got}: this election has lanes 0 to {last}")]
    UnknownLane {
        /// Asked for.
        got: u16,
        /// Highest.
        last: u16,
    },
    /// The vote set is certified: the log is over.
    #[error("the vote set is certified at {certified} leaves; {got} are more than that")]
    Certified {
        /// In the certificate.
        certified: u64,
        /// Offered.
        got: u64,
    },
}

/// Why a checkpoint is not co-signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignRefusal {
    /// Not followed so far, or further already.
    #[error("the checkpoint has {got} leaves, this trustee's own log {own}: only the head is co-signed")]
    OtherSize {
        /// Own.
        own: u64,
        /// In the checkpoint.
        got: u64,
    },
    /// Another tree: somebody shows different logs. (M03)
    #[error(
        "LOG_FORK: at {size} leaves this trustee has root {}, the checkpoint {}",
        hex::encode(own),
        hex::encode(got)
    )]
    Fork {
        /// Leaves.
        size: u64,
        /// Own.
        own: Hash,
        /// In the checkpoint.
        got: Hash,
    },
    /// Of another log.
    #[error("the checkpoint belongs to {got}, this log is {expected}")]
    Origin {
        /// This log.
        expected: String,
        /// In the checkpoint.
        got: String,
    },
    /// This trustee has voted for a vote set that ends earlier: receipts behind it must not become final. (P-AGR-5)
    #[error("this trustee has voted for a vote set that ends at {voted} leaves and co-signs nothing longer")]
    Voted {
        /// Leaves of that lane in the vote set.
        voted: u64,
    },
    /// Not following this lane.
    #[error(transparent)]
    Follow(#[from] FollowRefusal),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Keeper {
    me: TrusteeIndex,
    board: Board,
    decision: Option<Decision>,
    participants: BTreeMap<Attempt, Participant>,
    /// Since when the log, this long in all, has not grown while the stated ends are waited for.
    stalled: Option<(TimeMs, u64)>,
    /// Whether the stated ends have been waited for long enough.
    waited: bool,
    /// The attempt whose keys the following belong to.
    keyed: Option<Attempt>,
    shares: Option<KeyShares>,
    form: Option<Arc<BallotForm>>,
    roll: Option<Arc<Roll>>,
    boxes: Vec<BallotBox>,
    /// What the lanes amounted to at each size seen since the close; the newest last.
    snapshots: Vec<ClosedBox>,
    /// Lanes as they were at their certified ends, where the log here goes on.
    passed: BTreeMap<LaneIndex, BallotBox>,
    cosigned: Vec<LogSize>,
    nonces: BTreeMap<(Purpose, Attempt), SigningNonce>,
    contents: BTreeMap<Purpose, Hash>,
    voter: Voter,
    /// When this process first saw the vote-set certificate.
    certified_at: Option<TimeMs>,
}

impl Keeper {
    /// At the beginning. `me` is this trustee's index in the manifest.
    #[must_use]
    pub fn new(me: TrusteeIndex, manifest: Arc<Manifest>) -> Self {
        Self {
            me,
            cosigned: vec![LogSize(0); manifest.lanes.into()],
            board: Board::new(manifest),
            decision: None,
            participants: BTreeMap::new(),
            stalled: None,
            waited: false,
            keyed: None,
            shares: None,
            form: None,
            roll: None,
            boxes: Vec::new(),
            snapshots: Vec::new(),
            passed: BTreeMap::new(),
            nonces: BTreeMap::new(),
            contents: BTreeMap::new(),
            voter: Voter::new(me, Timeouts::default()),
            certified_at: None,
        }
    }

    /// Judges an envelope. Reads only.
    pub fn check(&self, envelope: &Envelope) -> Verdict<CheckedEnvelope> {
        self.board.check(envelope)
    }

    /// Takes a checked envelope in. Total and idempotent.
    pub fn absorb(&mut self, envelope: CheckedEnvelope) {
        self.board.absorb(envelope);
        self.refresh();
    }

    /// Takes note of a proven wrong.
    pub fn record_evidence(&mut self, evidence: Evidence) -> bool {
        self.board.record_evidence(evidence)
    }

    /// The operator's word. The shell has made it durable.
    pub fn decide(&mut self, decision: Decision) {
        self.decision = Some(decision);
    }

    /// A seed that has been sealed: just now, or before a restart.
    pub fn restore_seed(&mut self, attempt: Attempt, seed: &AttemptSeed) {
        if let Ok(participant) = Participant::new(self.me, seed, self.board.manifest(), attempt) {
            self.participants.insert(attempt, participant);
        }
        self.refresh();
    }

    /// After a restart: the size up to which this trustee has co-signed a lane.
    pub fn restore_cosigned(&mut self, lane: LaneIndex, size: LogSize) {
        if let Some(cosigned) = self.cosigned.get_mut(usize::from(lane.0)) {
            *cosigned = size.max(*cosigned);
        }
    }

    /// Associated data under which a seed is sealed: election, trustee, attempt.
    #[must_use]
    pub fn seal_context(&self, attempt: Attempt) -> Vec<u8> {
        let mut out = Writer::new();
        out.text("conclave/v1/attempt-seed").value(&self.board.election()).value(&self.me).value(&attempt);
        out.finish()
    }

    /// The manifest's voter roll.
    pub fn set_roll(&mut self, roll: Arc<Roll>) {
        self.roll = Some(roll);
        self.refresh();
    }

    /// Derived state that has become possible.
    fn refresh(&mut self) {
        let attempt = self.board.key_certificate().map(|certificate| certificate.attempt);
        if self.keyed != attempt {
            // Another attempt is the one that counts: nothing was made with the keys of this one yet but a rehearsal.
            self.keyed = attempt;
            (self.form, self.shares) = (None, None);
            self.boxes.clear();
            self.snapshots.clear();
            self.passed.clear();
        }
        if self.form.is_none()
            && let Some(certificate) = self.board.key_certificate()
        {
            self.form = ballot_box::form(self.board.manifest(), certificate.election_key).ok().map(Arc::new);
        }
        if self.boxes.is_empty()
            && let (Some(form), Some(roll)) = (&self.form, &self.roll)
        {
            let manifest = self.board.manifest();
            let lanes = (0..manifest.lanes).map(LaneIndex);
            self.boxes = lanes.map(|lane| BallotBox::new(manifest, form, roll.clone(), lane)).collect();
        }
        if self.shares.is_none()
            && let Some(attempt) = self.board.key_certificate().map(|certificate| certificate.attempt)
            && let Some(participant) = self.participants.get(&attempt)
        {
            self.shares = participant.key_shares(&self.board.ceremony(attempt)).ok();
        }
        self.followed();
    }

    /// To be called after a batch of [`Keeper::absorb_ballot`]: once the election is closed, sums the lanes up as they
    /// stand, and shows the board the sums of the certified ones.
    pub fn followed(&mut self) {
        if !self.board.closed() || self.boxes.is_empty() || self.board.sums().is_some() {
            return;
        }
        let sizes = self.boxes.iter().map(BallotBox::size);
        let seen =
            self.snapshots.iter().any(|closed| closed.vote_set.lanes.iter().map(|end| end.size).eq(sizes.clone()));
        if !seen && let Some(key_certificate) = self.board.key_digest() {
            let lanes: Vec<&BallotBox> = self.boxes.iter().collect();
            if let Ok(Some(closed)) = ClosedBox::of(&lanes, key_certificate) {
                if self.snapshots.len() >= SNAPSHOTS_MAX {
                    self.snapshots.remove(0);
                }
                self.snapshots.push(closed);
            }
        }
        let Some(certificate) = self.board.certificate() else { return };
        let known =
            self.snapshots.iter().rfind(|closed| closed.vote_set == certificate.value || bug!(AggregateNotCertified));
        let closed = known.cloned().or_else(|| {
            let lanes: Vec<&BallotBox> =
                self.boxes.iter().map(|own| self.passed.get(&own.lane()).unwrap_or(own)).collect();
            let ends = certificate.value.lanes.iter().map(|end| end.size);
            if !lanes.iter().map(|lane| lane.size()).eq(ends) {
                return None;
            }
            ClosedBox::of(&lanes, certificate.value.key_certificate).ok().flatten()
        });
        if let Some(closed) = closed {
            self.board.set_aggregate(&closed);
        }
    }

    /// Where a lane's certified end is.
    fn certified_end(&self, lane: LaneIndex) -> Option<&LaneEnd> {
        self.board.certificate()?.value.lanes.get(usize::from(lane.0))
    }

    /// Notes whether the ends that the home shard stated are worth waiting for any longer: not once rounds enough went by and
    /// nothing came for a while. A trustee that is still being handed the log waits, however far behind it is. (P-VOT-5)
    fn wait_for_ends(&mut self, now: TimeMs) {
        if self.board.sealed().is_none() {
            return;
        }
        let size = self.boxes.iter().map(|own| own.size().0).fold(0, u64::saturating_add);
        let since = match self.stalled {
            Some((since, before)) if before == size => since,
            _ => now,
        };
        self.stalled = Some((since, size));
        self.waited = self.voter.round().0 >= crate::agreement::STATED_ENDS_ROUNDS
            && now.0.saturating_sub(since.0) >= crate::agreement::STATED_ENDS_STALL_MS;
    }

    /// The vote set that this trustee would propose: its lanes as they stand, once they reach the stated end, or once
    /// that has been waited for long enough. (P-VOT-5)
    fn proposal(&self) -> Option<&VoteSet> {
        let newest = self.snapshots.last()?;
        let sealed = self.board.sealed()?;
        (self.waited || sealed.is_reached_by(&newest.vote_set)).then_some(&newest.vote_set)
    }

    /// Whether new leaves of a lane may be taken, up to `new_size` of them in all. (P-BOX-6)
    ///
    /// # Errors
    /// [`FollowRefusal`].
    pub fn may_follow(&self, lane: LaneIndex, new_size: LogSize) -> Result<(), FollowRefusal> {
        if !self.board.opened() {
            return Err(FollowRefusal::NotOpen);
        }
        if self.roll.is_none() || self.boxes.is_empty() {
            return Err(FollowRefusal::NoRoll);
        }
        let own = self
            .boxes
            .get(usize::from(lane.0))
            .ok_or(FollowRefusal::UnknownLane { got: lane.0, last: self.board.manifest().lanes.saturating_sub(1) })?;
        match self.certified_end(lane) {
            Some(end) if new_size > own.size().max(end.size) => {
                Err(FollowRefusal::Certified { certified: end.size.0, got: new_size.0 })
            }
            _ => Ok(()),
        }
    }

    /// Takes the next leaf of a lane in. The shell has checked it, asked [`Keeper::may_follow`], and stores it
    /// durably before it answers.
    ///
    /// # Errors
    /// [`BoxTrouble`]: a leaf that the rules refuse; nothing is changed then.
    pub fn absorb_ballot(
        &mut self,
        lane: LaneIndex,
        ballot: &CheckedBallot,
        earlier: &dyn Fn(LeafIndex) -> Option<CheckedBallot>,
    ) -> Result<LeafIndex, BoxTrouble> {
        let end = self.certified_end(lane).map(|end| end.size);
        let Some(own) = self.boxes.get_mut(usize::from(lane.0)) else { return Err(BoxTrouble::Missing(LeafIndex(0))) };
        if end == Some(own.size()) && !self.passed.contains_key(&lane) {
            // Only after a restart: the log here is longer than what was certified.
            self.passed.insert(lane, own.clone());
        }
        own.absorb(ballot, earlier)
    }

    /// Whether a checkpoint is exactly this trustee's own head of that lane. (P-LOG-5)
    ///
    /// # Errors
    /// [`CosignRefusal`]; a `Fork` with the shard's signature on it is evidence against the shard.
    pub fn cosign(&mut self, lane: LaneIndex, checkpoint: &Checkpoint) -> Result<(), CosignRefusal> {
        self.may_follow(lane, checkpoint.size)?;
        let expected = crate::log::origin(&self.board.election(), lane);
        if checkpoint.origin != expected && !bug!(OtherLogCosigned) {
            return Err(CosignRefusal::Origin { expected, got: checkpoint.origin.clone() });
        }
        let Some(own) = self.boxes.get(usize::from(lane.0)) else { return Err(FollowRefusal::NoRoll.into()) };
        if bug!(RewindCosigned) && checkpoint.size < own.size() {
            return Ok(());
        }
        let end = LaneEnd { size: checkpoint.size, root: checkpoint.root };
        let cosigned = self.cosigned.get(usize::from(lane.0)).is_some_and(|cosigned| *cosigned <= checkpoint.size);
        if self.board.sums().is_some() && self.certified_end(lane) == Some(&end) && cosigned {
            // The sums are there: this log, however much longer, went through exactly this end.
            self.restore_cosigned(lane, checkpoint.size);
            return Ok(());
        }
        if own.size() != checkpoint.size {
            return Err(CosignRefusal::OtherSize { own: own.size().0, got: checkpoint.size.0 });
        }
        let root = own.root();
        if root != checkpoint.root && !bug!(ForkCosigned) {
            return Err(CosignRefusal::Fork { size: checkpoint.size.0, own: root, got: checkpoint.root });
        }
        let voted = self.board.prevoted_by(self.me).filter_map(|value| value.lanes.get(usize::from(lane.0)));
        if let Some(voted) = voted.map(|end| end.size).find(|size| *size < checkpoint.size)
            && !bug!(CosignedBehindVote)
        {
            return Err(CosignRefusal::Voted { voted: voted.0 });
        }
        self.restore_cosigned(lane, checkpoint.size);
        Ok(())
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }
    /// Who this is.
    #[must_use]
    pub fn me(&self) -> TrusteeIndex {
        self.me
    }
    /// Whether the voter roll is there.
    #[must_use]
    pub fn has_roll(&self) -> bool {
        self.roll.is_some()
    }
    /// What ballots are judged against, once the key is certified.
    #[must_use]
    pub fn form(&self) -> Option<Arc<BallotForm>> {
        self.form.clone()
    }
    /// Leaves of a lane that were followed.
    #[must_use]
    pub fn lane_size(&self, lane: LaneIndex) -> LogSize {
        self.boxes.get(usize::from(lane.0)).map_or(LogSize(0), BallotBox::size)
    }
    /// Root of a lane as followed so far.
    #[must_use]
    pub fn lane_root(&self, lane: LaneIndex) -> Option<Hash> {
        self.boxes.get(usize::from(lane.0)).map(BallotBox::root)
    }
    /// What this trustee stands for as the vote set, once it has followed every lane to its end.
    #[must_use]
    pub fn own_vote_set(&self) -> Option<&VoteSet> {
        self.snapshots.last().map(|closed| &closed.vote_set)
    }
    /// Whether the operator has decided.
    #[must_use]
    pub fn decided(&self) -> bool {
        self.decision.is_some() || [2, 3].iter().any(|tag| self.board.has(*tag, 0, 0, Sender::Trustee(self.me)))
    }
}
