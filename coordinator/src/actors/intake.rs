//! One lane: takes ballots, judges them in batches, stores them, answers.
//!
//! ```text
//! Cast --queue (bounded)--> verify (pool) --verified--> judge, commit (store) --> absorb, answer --> checkpoint
//! ```
//!
//! One batch is verified while the one before is committed. A ballot that touches another of the same batch - the same
//! credential, the same ciphertext - waits for the next, so that every rule is the ballot box's own. No answer leaves
//! before the commit that it is about. (C02)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use protocol::agreement::messages::LaneEnd;
use protocol::ballot::{BallotForm, BallotRefusal, CheckedBallot};
use protocol::ballot_box::{Admission, BallotBox};
use protocol::encoding::Hash;
use protocol::ids::LeafIndex;
use protocol::log::{SignedCheckpoint, leaf_hash};
use protocol::manifest::Revote;
use runtime::entropy::OsEntropy;
use tokio::sync::oneshot;

use super::{Deps, Stop};
use crate::election::Election;
use crate::lane::Lane;
use crate::store::{Commit, Conflict, KnownBallot, NewBallot, NewRejection, StoreTrouble};

mod load;

pub use load::{LoadTrouble, load, load_until};

/// Code of the rejection of a ballot that made the verifier panic. (C11)
pub const QUARANTINED: u16 = 200;
/// How soon after one checkpoint the next may come.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(50);
/// What a voter is told when the disk is full.
const DISK_RETRY_MS: u32 = 5000;
/// What a voter is told when the queue is full.
const QUEUE_RETRY_MS: u32 = 500;
const MAILBOX: usize = 256;
/// Topic of the trouble about a full disk.
const DISK: &str = "disk";

/// What becomes of a ballot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Canonical receipt.
    Recorded(Vec<u8>),
    /// Canonical rejection.
    Rejected(Vec<u8>),
    /// Not recorded.
    TryLater(u32),
    /// Not known.
    Unknown,
}

/// A ballot that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What a first look said.
    pub refused: Option<u16>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Outcome>,
}

impl Waiting {
    fn answer(self, outcome: Outcome) {
        // A voter who went away finds the answer by the ballot's id.
        drop(self.reply.send(outcome));
    }
}

/// Judges ballots. A trait, so that a test can make it panic.
pub trait Verify: Send + Sync {
    /// One verdict for each.
    fn verify(&self, ballots: &[&[u8]]) -> Vec<Result<CheckedBallot, BallotRefusal>>;
}

impl Verify for BallotForm {
    fn verify(&self, ballots: &[&[u8]]) -> Vec<Result<CheckedBallot, BallotRefusal>> {
        self.verify_batch(ballots, &mut OsEntropy)
    }
}

/// Ballots for this lane.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Cast(pub Vec<Waiting>);

/// The trustees have opened the election.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Unlock;

/// The trustees have closed the election: finish what waits, take no more, say where the lane ends.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<LaneEnd>);

/// A copy of the ballot box.
#[derive(Message, Debug)]
#[rtype(result = "BallotBox")]
pub struct CopyBox;

struct Verified {
    waiting: Waiting,
    verdict: Result<CheckedBallot, u16>,
}

/// See the [module](self).
pub struct LaneActor {
    deps: Arc<Deps>,
    election: Arc<Election>,
    lane: Arc<Lane>,
    verifier: Arc<dyn Verify>,
    form: Arc<BallotForm>,
    ballots: BallotBox,
    queue: VecDeque<Waiting>,
    verified: VecDeque<Verified>,
    /// What waits has waited long enough.
    ripe: bool,
    verifying: bool,
    committing: bool,
    checkpointing: bool,
    open: bool,
    /// Takes no more, for good.
    closed: bool,
    drains: Vec<oneshot::Sender<LaneEnd>>,
}

impl LaneActor {
    /// Around a box that [`load`] has filled.
    #[must_use]
    pub fn new(
        deps: Arc<Deps>,
        election: Arc<Election>,
        lane: Arc<Lane>,
        form: Arc<BallotForm>,
        verifier: Arc<dyn Verify>,
        ballots: BallotBox,
    ) -> Self {
        Self {
            deps,
            election,
            lane,
            verifier,
            form,
            ballots,
            queue: VecDeque::new(),
            verified: VecDeque::new(),
            ripe: false,
            verifying: false,
            committing: false,
            checkpointing: false,
            open: false,
            closed: false,
            drains: Vec::new(),
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.start_verifying(ctx);
        self.start_committing(ctx);
        self.finish_draining(ctx);
    }

    fn start_verifying(&mut self, ctx: &mut Context<Self>) {
        let most = self.deps.tuning.batch_ballots;
        if self.verifying || self.queue.is_empty() || self.verified.len() >= most {
            return;
        }
        if !self.ripe && self.queue.len() < most {
            return;
        }
        let batch: Vec<Waiting> = self.queue.drain(..self.queue.len().min(most)).collect();
        self.verifying = true;
        self.ripe = false;
        let (pool, verifier) = (self.deps.pool.clone(), Arc::clone(&self.verifier));
        let work = async move { pool.run(move || judge_batch(verifier.as_ref(), batch)).await };
        ctx.spawn(work.into_actor(self).map(|verified, lane, ctx| {
            lane.verifying = false;
            // Whatever came in meanwhile has waited for a whole batch.
            lane.ripe = true;
            // A panic outside of the boundary drops the replies: those voters are told that it is not known.
            lane.verified.extend(verified.unwrap_or_default());
            lane.pump(ctx);
        }));
    }

    fn start_committing(&mut self, ctx: &mut Context<Self>) {
        if self.committing || self.verified.is_empty() {
            return;
        }
        let plan = self.plan();
        self.committing = true;
        let next = self.ballots.size().0;
        let (deps, election, lane) = (Arc::clone(&self.deps), Arc::clone(&self.election), Arc::clone(&self.lane));
        let form = Arc::clone(&self.form);
        let work = async move { plan.perform(&deps, &election, &lane, &form, next).await };
        ctx.spawn(work.into_actor(self).map(|done, lane, ctx| {
            lane.committing = false;
            lane.absorb(done, ctx);
            lane.pump(ctx);
        }));
    }

    /// Who of those that are verified can be judged now, each on its own.
    fn plan(&mut self) -> Plan {
        let (mut plan, mut later) = (Plan::default(), VecDeque::new());
        let (mut credentials, mut components) = (BTreeSet::new(), BTreeSet::new());
        for verified in self.verified.drain(..) {
            let leaf = leaf_hash(&verified.waiting.bytes);
            let ballot = match verified.verdict {
                Ok(ballot) => ballot,
                Err(code) => {
                    plan.refused.push(Refused { waiting: verified.waiting, digest: None, leaf, code });
                    continue;
                }
            };
            let own = ballot.first_components();
            let touches = credentials.contains(&ballot.credential()) || own.iter().any(|one| components.contains(one));
            if touches || plan.accepted.len() >= self.deps.tuning.batch_ballots {
                later.push_back(Verified { waiting: verified.waiting, verdict: Ok(ballot) });
                continue;
            }
            credentials.insert(ballot.credential());
            components.extend(own);
            match self.ballots.judge(&ballot) {
                Ok(admission) => {
                    let replaces = match admission {
                        Admission::Counts => None,
                        Admission::Replaces(leaf) => Some(leaf),
                    };
                    plan.accepted.push(Accepted { waiting: verified.waiting, ballot, leaf, replaces });
                }
                Err(refusal) => plan.refused.push(Refused {
                    waiting: verified.waiting,
                    digest: Some(ballot.digest()),
                    leaf,
                    code: refusal.code(),
                }),
            }
        }
        self.verified = later;
        plan
    }

    fn absorb(&mut self, done: Done, ctx: &mut Context<Self>) {
        let mut leaves = Vec::with_capacity(done.recorded.len());
        for (ballot, index) in &done.recorded {
            let earlier = |leaf: LeafIndex| done.replaced.get(&leaf).cloned();
            match self.ballots.absorb(ballot, &earlier) {
                Ok(leaf) if leaf.0 == *index => leaves.push(leaf_hash(ballot.bytes())),
                Ok(leaf) => runtime::fail_stop(format_args!(
                    "STORE_CORRUPT: lane {} stored leaf {index} where its box has {leaf}",
                    self.lane.index
                )),
                Err(trouble) => runtime::fail_stop(format_args!("STORE_CORRUPT: lane {}: {trouble}", self.lane.index)),
            }
        }
        let grew = !leaves.is_empty();
        self.lane.append(leaves);
        self.election.rejected.fetch_add(done.rejected, Ordering::Relaxed);
        runtime::metrics::count("conclave_ballots_recorded_total", done.recorded.len() as u64);
        runtime::metrics::count("conclave_ballots_rejected_total", done.rejected);
        match done.trouble {
            Some(StoreTrouble::Full) => self.election.troubles.set(DISK, StoreTrouble::Full.to_string()),
            Some(StoreTrouble::Closed) => {}
            None => self.election.troubles.clear(DISK),
        }
        for (waiting, outcome) in done.answers {
            waiting.answer(outcome);
        }
        if grew {
            tracing::debug!(lane = self.lane.index.0, size = self.lane.size(), "ballots recorded");
            self.schedule_checkpoint(ctx);
        }
    }

    fn schedule_checkpoint(&mut self, ctx: &mut Context<Self>) {
        if !self.checkpointing {
            self.checkpointing = true;
            ctx.run_later(CHECKPOINT_PAUSE, |lane, ctx| lane.make_checkpoint(ctx));
        }
    }

    /// Signs the head, stores it, and only then shows it.
    fn make_checkpoint(&mut self, ctx: &mut Context<Self>) {
        let checkpoint = self.lane.checkpoint();
        let size = checkpoint.size.0;
        let signature = self.deps.sign(&checkpoint.note_message());
        let key = protocol::ids::IdentityKey(self.deps.signer.public_key());
        let note = match SignedCheckpoint::by_log(checkpoint, &key, &signature) {
            Ok(note) => note,
            Err(trouble) => runtime::fail_stop(format_args!("the checkpoint of a lane cannot be signed: {trouble}")),
        };
        let store = self.deps.store.clone();
        let (election, lane, text) = (self.election.key, self.lane.index.0, note.to_string());
        let work = async move { store.keep_checkpoint(election, lane, size, false, text).await };
        ctx.spawn(work.into_actor(self).map(move |stored, lane, ctx| {
            lane.checkpointing = false;
            if stored.is_ok() {
                lane.lane.set_head(note);
            }
            if stored.is_err() || lane.lane.size() > size {
                lane.schedule_checkpoint(ctx);
            }
            lane.finish_draining(ctx);
        }));
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.verified.is_empty() && !self.verifying && !self.committing
    }

    fn finish_draining(&mut self, ctx: &mut Context<Self>) {
        if self.drains.is_empty() || !self.is_idle() {
            return;
        }
        let end = self.lane.checkpoint();
        if self.lane.head().is_none_or(|head| head.checkpoint.size != end.size) {
            // The end is said under a signed checkpoint, of an empty lane too.
            self.schedule_checkpoint(ctx);
            return;
        }
        for drain in self.drains.drain(..) {
            drop(drain.send(LaneEnd { size: end.size, root: end.root }));
        }
    }
}

impl Actor for LaneActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.lane.size() > 0 {
            self.schedule_checkpoint(ctx);
        }
    }
}

impl Handler<Stop> for LaneActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Drop for LaneActor {
    fn drop(&mut self) {
        super::stop_if_panicking("a lane's actor");
    }
}

impl Handler<Cast> for LaneActor {
    type Result = ();

    fn handle(&mut self, Cast(ballots): Cast, ctx: &mut Self::Context) {
        for waiting in ballots {
            if self.lane.is_blocked() {
                waiting.answer(Outcome::TryLater(DISK_RETRY_MS));
            } else if !self.open {
                // Just started: whether this log is whole is being asked. Or closed: the same bytes may wait here already.
                waiting.answer(Outcome::TryLater(QUEUE_RETRY_MS));
            } else if self.queue.len() >= self.deps.tuning.queue_ballots {
                waiting.answer(Outcome::TryLater(QUEUE_RETRY_MS));
            } else {
                if self.queue.is_empty() && !self.verifying {
                    ctx.run_later(self.deps.tuning.batch_wait, |lane, ctx| {
                        lane.ripe = true;
                        lane.pump(ctx);
                    });
                }
                self.queue.push_back(waiting);
            }
        }
        self.pump(ctx);
    }
}

impl Handler<Unlock> for LaneActor {
    type Result = ();

    fn handle(&mut self, _: Unlock, _: &mut Self::Context) {
        self.open = !self.closed;
    }
}

impl Handler<Drain> for LaneActor {
    type Result = ();

    fn handle(&mut self, Drain(done): Drain, ctx: &mut Self::Context) {
        self.open = false;
        self.closed = true;
        self.ripe = true;
        self.drains.push(done);
        self.pump(ctx);
    }
}

impl Handler<CopyBox> for LaneActor {
    type Result = MessageResult<CopyBox>;

    fn handle(&mut self, _: CopyBox, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.ballots.clone())
    }
}

/// Verifies a batch. One that makes the verifier panic is taken apart: those that panic alone are put aside. (C11)
fn judge_batch(verifier: &dyn Verify, batch: Vec<Waiting>) -> Vec<Verified> {
    let judged = {
        let bytes: Vec<&[u8]> =
            batch.iter().filter(|waiting| waiting.refused.is_none()).map(|waiting| waiting.bytes.as_slice()).collect();
        judge(verifier, &bytes)
    };
    let mut judged = judged.into_iter();
    let verdict_of =
        |waiting: &Waiting, verdicts: &mut dyn Iterator<Item = Result<CheckedBallot, u16>>| match waiting.refused {
            Some(code) => Err(code),
            None => verdicts.next().unwrap_or(Err(QUARANTINED)),
        };
    batch
        .into_iter()
        .map(|waiting| {
            let verdict = verdict_of(&waiting, &mut judged);
            Verified { waiting, verdict }
        })
        .collect()
}

fn judge(verifier: &dyn Verify, ballots: &[&[u8]]) -> Vec<Result<CheckedBallot, u16>> {
    let verdicts = catch_unwind(AssertUnwindSafe(|| verifier.verify(ballots)));
    match (verdicts, ballots) {
        (Ok(verdicts), _) => verdicts.into_iter().map(|verdict| verdict.map_err(|refusal| refusal.code())).collect(),
        (Err(_), []) => Vec::new(),
        (Err(_), [_]) => vec![Err(QUARANTINED)],
        (Err(_), _) => {
            let (left, right) = ballots.split_at(ballots.len() / 2);
            let mut verdicts = judge(verifier, left);
            verdicts.extend(judge(verifier, right));
            verdicts
        }
    }
}

struct Accepted {
    waiting: Waiting,
    ballot: CheckedBallot,
    leaf: Hash,
    replaces: Option<LeafIndex>,
}

struct Refused {
    waiting: Waiting,
    digest: Option<Hash>,
    leaf: Hash,
    code: u16,
}

#[derive(Default)]
struct Plan {
    accepted: Vec<Accepted>,
    refused: Vec<Refused>,
}

/// What is durable now, and what is to be said about it.
#[derive(Default)]
struct Done {
    recorded: Vec<(CheckedBallot, u64)>,
    replaced: BTreeMap<LeafIndex, CheckedBallot>,
    answers: Vec<(Waiting, Outcome)>,
    rejected: u64,
    trouble: Option<StoreTrouble>,
}

impl Plan {
    async fn perform(
        self,
        deps: &Arc<Deps>,
        election: &Arc<Election>,
        lane: &Lane,
        form: &BallotForm,
        next: u64,
    ) -> Done {
        let mut done = Done::default();
        let Self { accepted, refused } = self;
        let mut waiting: Vec<Waiting> = Vec::new();
        // Set down what can fail first; whoever waits is answered the same way whatever it was.
        let attempt = async {
            let known = known(deps, election, refused.iter().filter_map(|refused| refused.digest).collect()).await?;
            let replaced = replaced(deps, election, lane, form, &accepted).await?;
            Ok::<_, StoreTrouble>((known, replaced))
        };
        let (known_ballots, replaced) = match attempt.await {
            Ok(found) => found,
            Err(trouble) => {
                waiting.extend(accepted.into_iter().map(|accepted| accepted.waiting));
                waiting.extend(refused.into_iter().map(|refused| refused.waiting));
                return done.failed(waiting, trouble);
            }
        };
        done.replaced = replaced;

        // Refused, and in the log: it was sent again, and has its receipt.
        let mut rejections = Vec::new();
        for refused in refused {
            match refused.digest.and_then(|digest| known_ballots.get(&digest)) {
                Some(known) => done.answers.push((refused.waiting, Outcome::Recorded(deps.receipt(election, known)))),
                None => {
                    let bytes = deps.rejection(election, refused.leaf, refused.code);
                    rejections.push(NewRejection { ballot: refused.leaf, code: refused.code, bytes: bytes.clone() });
                    done.answers.push((refused.waiting, Outcome::Rejected(bytes)));
                }
            }
        }

        let rows = accepted.iter().map(|accepted| NewBallot {
            digest: accepted.ballot.digest(),
            credential: accepted.ballot.credential().0,
            leaf: accepted.leaf,
            components: accepted.ballot.first_components(),
            bytes: accepted.ballot.bytes().to_vec(),
        });
        let first = election.manifest.revote == Revote::First;
        let committed =
            deps.store.commit_ballots(election.key, lane.index.0, next, first, rows.collect(), rejections).await;
        let (commits, rejected) = match committed {
            Ok(committed) => committed,
            Err(trouble) => {
                waiting.extend(accepted.into_iter().map(|accepted| accepted.waiting));
                waiting.extend(done.answers.drain(..).map(|(waiting, _)| waiting));
                return done.failed(waiting, trouble);
            }
        };
        done.rejected = rejected;
        done.settle(deps, election, lane, accepted, commits).await;
        done
    }
}

impl Done {
    fn failed(mut self, waiting: Vec<Waiting>, trouble: StoreTrouble) -> Self {
        self.trouble = Some(trouble);
        let outcome = match trouble {
            StoreTrouble::Full => Outcome::TryLater(DISK_RETRY_MS),
            StoreTrouble::Closed => Outcome::Unknown,
        };
        self.answers = waiting.into_iter().map(|waiting| (waiting, outcome.clone())).collect();
        self
    }

    /// After the commit: receipts for those who are in, rejections for those whom a constraint kept out.
    async fn settle(
        &mut self,
        deps: &Arc<Deps>,
        election: &Arc<Election>,
        lane: &Lane,
        accepted: Vec<Accepted>,
        commits: Vec<Commit>,
    ) {
        let lane = lane.index.0;
        let (mut entered, mut kept_out) = (Vec::new(), Vec::new());
        for (accepted, commit) in accepted.into_iter().zip(commits) {
            let Accepted { waiting, ballot, leaf, .. } = accepted;
            match commit {
                Commit::Recorded(index) => {
                    let known = KnownBallot { lane, index, leaf, credential: ballot.credential().0 };
                    self.recorded.push((ballot, index));
                    entered.push((waiting, known));
                }
                Commit::Conflict(conflict) => kept_out.push((waiting, ballot.digest(), leaf, conflict)),
            }
        }
        let (signing, of) = (Arc::clone(deps), Arc::clone(election));
        let receipts = deps.pool.run(move || {
            let receipt = |(waiting, known)| (waiting, Outcome::Recorded(signing.receipt(&of, &known)));
            entered.into_iter().map(receipt).collect::<Vec<_>>()
        });
        self.answers.extend(receipts.await.unwrap_or_default());
        if kept_out.is_empty() {
            return;
        }
        let digests = kept_out.iter().map(|(_, digest, _, _)| *digest).collect();
        let known = known(deps, election, digests).await.unwrap_or_default();
        let mut rejections = Vec::new();
        for (waiting, digest, leaf, conflict) in kept_out {
            if let Some(known) = known.get(&digest) {
                self.answers.push((waiting, Outcome::Recorded(deps.receipt(election, known))));
                continue;
            }
            let code = match conflict {
                // Known a moment ago, and not found: the store is closing.
                Conflict::Known => {
                    self.answers.push((waiting, Outcome::Unknown));
                    continue;
                }
                Conflict::Voted => 103,
                Conflict::Component => 104,
            };
            let bytes = deps.rejection(election, leaf, code);
            rejections.push(NewRejection { ballot: leaf, code, bytes: bytes.clone() });
            self.answers.push((waiting, Outcome::Rejected(bytes)));
        }
        // The answers are true whether or not these are on record.
        self.rejected = self.rejected.saturating_add(deps.store.reject(election.key, rejections).await.unwrap_or(0));
    }
}

async fn known(
    deps: &Deps,
    election: &Election,
    digests: Vec<Hash>,
) -> Result<BTreeMap<Hash, KnownBallot>, StoreTrouble> {
    Ok(deps.store.find_ballots(election.key, digests).await?.into_iter().collect())
}

/// The ballots that others take the place of: the sums need them.
async fn replaced(
    deps: &Deps,
    election: &Election,
    lane: &Lane,
    form: &BallotForm,
    accepted: &[Accepted],
) -> Result<BTreeMap<LeafIndex, CheckedBallot>, StoreTrouble> {
    let mut found = BTreeMap::new();
    for leaf in accepted.iter().filter_map(|accepted| accepted.replaces) {
        for (bytes, _) in deps.store.leaves(election.key, lane.index.0, leaf.0, 1).await? {
            match form.trusted_from_store(&bytes) {
                Ok(ballot) => drop(found.insert(leaf, ballot)),
                Err(refusal) => runtime::fail_stop(format_args!("STORE_CORRUPT: leaf {leaf}: {refusal}")),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds nothing good, and dies of one kind of ballot.
    struct Fragile;

    impl Verify for Fragile {
        fn verify(&self, ballots: &[&[u8]]) -> Vec<Result<CheckedBallot, BallotRefusal>> {
            assert!(ballots.iter().all(|ballot| *ballot != b"poison"), "poison");
            ballots.iter().map(|_| Err(BallotRefusal::SignatureInvalid)).collect()
        }
    }

    fn waiting(bytes: &[u8], refused: Option<u16>) -> Waiting {
        Waiting { bytes: bytes.to_vec(), refused, reply: oneshot::channel().0 }
    }

    #[test]
    fn a_ballot_that_makes_the_verifier_panic_is_put_aside_and_the_others_are_judged() {
        let batch = (0_u8..9).map(|at| match at {
            3 => waiting(b"poison", None),
            6 => waiting(b"poison", Some(100)),
            _ => waiting(&[at], None),
        });
        let judged = judge_batch(&Fragile, batch.collect());
        let codes: Vec<u16> = judged.iter().map(|verified| *verified.verdict.as_ref().unwrap_err()).collect();
        let bad = BallotRefusal::SignatureInvalid.code();
        assert_eq!(codes, [bad, bad, bad, QUARANTINED, bad, bad, 100, bad, bad]);
    }
}
