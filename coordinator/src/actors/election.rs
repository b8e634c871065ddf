//! One election: the board, and what the home shard owes it. Key ceremony, agreement, tally and joint signatures are all
//! one fold over envelopes, so one actor has them all.
//!
//! An envelope's way: judged by the board, stored, absorbed, published. While one batch is on its way the actor handles
//! nothing else.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::fut::LocalBoxActorFuture;
use actix::prelude::*;
use futures::future::join_all;
use protocol::agreement::messages::LaneEnd;
use protocol::ballot_box::{self, BallotBox};
use protocol::board::Board;
use protocol::chair::{Chair, ChairDuty};
use protocol::encoding::{Canonical as _, Writer};
use protocol::evidence::{Evidence, Moot, Verdict};
use protocol::ids::TimeMs;
use protocol::invariants::Watch;
use protocol::log::leaf_hash;
use protocol::signed::{Body, Envelope, Slot};
use protocol::signing::messages::Purpose;
use tokio::sync::oneshot;

use super::intake::{Drain, LaneActor, Unlock, Verify, load};
use super::{Deps, Stop};
use crate::election::{Election, Gate, View};
use crate::ledger::{Chain, Notary};
use crate::relay;
use crate::store::StoreTrouble;

mod chain;
mod open;
mod sum;

pub use open::{OpenTrouble, home_of, open};

/// Time passes for the chair.
const TICK: Duration = Duration::from_millis(200);
const MAILBOX: usize = 64;
/// Topic of troubles with the board's store.
const STORE: &str = "store";

/// Envelopes from a trustee's journal or from an official.
#[derive(Message, Debug)]
#[rtype(result = "Result<Taken, StoreTrouble>")]
pub struct Post(pub Vec<Envelope>);

/// Something that the actor waits for may be there: the roll.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Nudge;

/// What became of envelopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// So many, from the first on, are dealt with. The rest is to be sent again.
    pub handled: usize,
    /// Those that were on the board before.
    pub repeated: usize,
    /// Positions, and why they are not on the board.
    pub refusals: Vec<(usize, String)>,
}

/// See the [module](self).
pub struct ElectionActor {
    deps: Arc<Deps>,
    election: Arc<Election>,
    board: Board,
    chair: Chair,
    notary: Notary,
    ends: Option<Vec<LaneEnd>>,
    times: Vec<(String, u64)>,
    /// Statements of this shard that are not on the board yet.
    outbox: VecDeque<Body>,
    evidence_seen: usize,
    watch: Watch,
    posting: bool,
    lanes_starting: bool,
    unlocked: bool,
    draining: bool,
    summing: bool,
}

impl ElectionActor {
    fn new(deps: Arc<Deps>, election: Arc<Election>, board: Board, times: Vec<(String, u64)>) -> Self {
        let notary = Notary::new(Arc::clone(&deps.chains), election.manifest.chain.genesis);
        Self {
            deps,
            election,
            evidence_seen: 0,
            watch: Watch::new(None),
            board,
            chair: Chair::new(),
            notary,
            ends: None,
            times,
            outbox: VecDeque::new(),
            posting: false,
            lanes_starting: false,
            unlocked: false,
            draining: false,
            summing: false,
        }
    }

    /// [`Self::take_now`], when its turn has come. What an actor waits for is exclusive only once it is polled: actix runs
    /// spawned futures after a message that asked to wait and before the waiting begins, and takes the last that was
    /// asked for first. So nothing is judged before the first poll.
    fn take(&self, envelopes: Vec<Envelope>) -> LocalBoxActorFuture<Self, Result<Taken, StoreTrouble>> {
        Box::pin(fut::ready(()).then(move |(), act: &mut Self, _| act.take_now(envelopes)))
    }

    /// Judges, stores, absorbs, publishes. Stops before an envelope that shares a slot with one before it.
    fn take_now(&mut self, envelopes: Vec<Envelope>) -> LocalBoxActorFuture<Self, Result<Taken, StoreTrouble>> {
        let (mut taken, mut slots) = (Taken::default(), BTreeSet::new());
        let (mut checked, mut rows, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for envelope in envelopes {
            if !slots.insert(envelope.slot()) {
                break;
            }
            // Journals repeat the board: what is known to the last byte is not judged again.
            let Slot { tag, number, topic, sender } = envelope.slot();
            if self.board.get(tag, number, topic, sender) == Some(&envelope) {
                taken.repeated += 1;
                taken.handled += 1;
                continue;
            }
            match self.board.check(&envelope) {
                Verdict::Valid(valid) => {
                    rows.push((slot_bytes(&envelope.slot()), envelope.to_bytes()));
                    checked.push(valid);
                }
                Verdict::Moot(Moot::Repeat) => taken.repeated += 1,
                Verdict::Moot(moot) => taken.refusals.push((taken.handled, moot.to_string())),
                Verdict::Fault(evidence) => {
                    taken.refusals.push((taken.handled, evidence.wrong.to_string()));
                    faults.push(evidence);
                }
            }
            taken.handled += 1;
        }
        let (store, key, first) = (self.deps.store.clone(), self.election.key, self.board.len() as u64);
        let published: Vec<Arc<[u8]>> = rows.iter().map(|(_, bytes)| Arc::from(bytes.as_slice())).collect();
        let keep = faults.clone();
        let storing = async move {
            for evidence in keep {
                let bytes = evidence.to_bytes();
                store.keep_evidence(key, leaf_hash(&bytes), bytes).await?;
            }
            if rows.is_empty() { Ok(()) } else { store.append_board(key, first, rows).await }
        };
        Box::pin(storing.into_actor(self).map(move |stored, act, ctx| {
            if let Err(trouble) = stored {
                act.election.troubles.set(STORE, trouble.to_string());
                return Err(trouble);
            }
            act.election.troubles.clear(STORE);
            let changed = !checked.is_empty() || !faults.is_empty();
            for envelope in checked {
                act.board.absorb(envelope);
            }
            for evidence in faults {
                act.board.record_evidence(evidence);
            }
            act.election.publish(published);
            if changed {
                act.board_changed(ctx);
            }
            Ok(taken)
        }))
    }

    fn board_changed(&mut self, ctx: &mut Context<Self>) {
        self.note_evidence(ctx);
        self.publish(ctx);
        self.proceed(ctx);
    }

    /// Evidence that the fold itself has found is kept, too, and shown to people.
    fn note_evidence(&mut self, ctx: &mut Context<Self>) {
        let all = self.board.evidence().len();
        let first = std::mem::replace(&mut self.evidence_seen, all);
        let new: Vec<Evidence> = self.board.evidence().iter().skip(first).cloned().collect();
        for (evidence, number) in new.into_iter().zip(first..) {
            let name = evidence.accused.name(&self.election.manifest).unwrap_or("somebody").to_owned();
            self.election.troubles.set(format!("evidence-{number}"), format!("EVIDENCE: {name} {}", evidence.wrong));
            let (store, key, bytes) = (self.deps.store.clone(), self.election.key, evidence.to_bytes());
            let keeping = async move { store.keep_evidence(key, leaf_hash(&bytes), bytes).await };
            // It follows from the stored board: losing this copy loses nothing.
            ctx.spawn(keeping.into_actor(self).map(|_, _, _| ()));
        }
    }

    fn publish(&mut self, ctx: &mut Context<Self>) {
        for broken in self.watch.look(&self.board) {
            tracing::error!(election = %self.election.id, %broken, "a defect of this program, or damaged memory");
            runtime::metrics::invariant_broken(broken.id);
            self.election.troubles.set(format!("invariant-{}", broken.id), broken.to_string());
        }
        let board = &self.board;
        let stage = board.stage();
        if self.times.iter().all(|(seen, _)| seen != stage.name()) {
            let now = runtime::clock::now_ms();
            self.times.push((stage.name().to_owned(), now));
            tracing::info!(election = %self.election.id, stage = stage.name(), "stage");
            let (store, key) = (self.deps.store.clone(), self.election.key);
            let keeping = async move { store.keep_stage_time(key, stage.name(), now).await };
            ctx.spawn(keeping.into_actor(self).map(|_, _, _| ()));
        }
        let gate = match (board.opened(), board.closed()) {
            (_, true) => Gate::Closed,
            (true, false) => Gate::Open,
            (false, false) => Gate::NotOpen,
        };
        let anchored = |purpose: Purpose| {
            board.anchored(purpose).map(|anchored| (purpose.name(), anchored.signature, anchored.slot))
        };
        let certificate = board.key_certificate();
        let rounds = board.of_kind(31).map(|envelope| envelope.slot().number);
        self.election.set_view(View {
            stage,
            gate,
            awaiting: board.awaiting().into_iter().map(|awaited| (awaited.who, awaited.what)).collect(),
            key_certificate: certificate.map(protocol::encoding::Canonical::to_bytes).unwrap_or_default(),
            key_digest: certificate.map(protocol::ceremony::KeyCertificate::digest),
            vote_set: board.vote_set(),
            result: board.result().map(protocol::tally::ElectionResult::digest),
            anchors: [Purpose::AnchorKey, Purpose::AnchorVoteSet, Purpose::AnchorResult]
                .into_iter()
                .filter_map(anchored)
                .collect(),
            times: self.times.clone(),
            attempt: board.current_attempt().0,
            round: rounds.max().unwrap_or(0),
        });
        match board.tally_trouble() {
            Some(trouble) => self.election.troubles.set("tally", trouble.to_string()),
            None => self.election.troubles.clear("tally"),
        }
    }

    /// Everything that the board, or time, has made possible.
    fn proceed(&mut self, ctx: &mut Context<Self>) {
        self.start_lanes(ctx);
        self.unlock();
        self.drain(ctx);
        self.sum_up(ctx);
        self.perform_duties(ctx);
    }

    /// Once the keys are certified and the roll is here, ballots have somewhere to go.
    fn start_lanes(&mut self, ctx: &mut Context<Self>) {
        let (Some(certificate), Some(roll)) = (self.board.key_certificate(), self.election.roll.get()) else { return };
        if std::mem::replace(&mut self.lanes_starting, true) {
            return;
        }
        let form = match ballot_box::form(&self.election.manifest, certificate.election_key) {
            Ok(form) => Arc::new(form),
            Err(error) => return self.election.troubles.set("form", format!("no ballot can be judged: {error}")),
        };
        let (deps, election, roll) = (Arc::clone(&self.deps), Arc::clone(&self.election), Arc::clone(roll));
        let loading = async move {
            let mut loaded = Vec::new();
            for lane in &election.lanes {
                loaded.push(load(&deps, &election, lane, &form, Arc::clone(&roll)).await?);
            }
            let rejected = deps.store.rejections(election.key, 0, 0).await?.1;
            Ok::<_, super::intake::LoadTrouble>((form, loaded, rejected))
        };
        ctx.spawn(loading.into_actor(self).map(|loaded, act, ctx| match loaded {
            Ok((form, boxes, rejected)) => act.lanes_loaded(form, boxes, rejected, ctx),
            // Nothing is taken on top of a log that is not what it was.
            Err(trouble) => act.election.troubles.set("log", trouble.to_string()),
        }));
    }

    fn lanes_loaded(
        &mut self,
        form: Arc<protocol::ballot::BallotForm>,
        boxes: Vec<BallotBox>,
        rejected: u64,
        ctx: &mut Context<Self>,
    ) {
        self.election.rejected.fetch_add(rejected, Ordering::Relaxed);
        let lanes = self.election.lanes.iter().zip(boxes).map(|(lane, ballots)| {
            let verifier: Arc<dyn Verify> = form.clone();
            let (deps, election) = (Arc::clone(&self.deps), Arc::clone(&self.election));
            LaneActor::new(deps, election, Arc::clone(lane), Arc::clone(&form), verifier, ballots).start()
        });
        let lanes: Vec<Addr<LaneActor>> = lanes.collect();
        // Set once: `lanes_starting` lets nobody come here twice.
        drop(self.election.form.set(form));
        drop(self.election.intake.set(lanes));
        relay::follow_all(&self.deps, &self.election);
        self.proceed(ctx);
    }

    fn unlock(&mut self) {
        let Some(lanes) = self.election.intake.get() else { return };
        if self.board.opened() && !self.board.closed() && !self.unlocked && self.log_is_whole() {
            // A full mailbox is tried again with the next tick.
            self.unlocked = lanes.iter().all(|lane| lane.try_send(Unlock).is_ok());
        }
    }

    /// Whether as many trustees as must have seen any final checkpoint say that they have followed no further than the log
    /// here goes. Before that, a store that was put back could give places away that are others'. (M04, I06)
    fn log_is_whole(&self) -> bool {
        let (n, w) = (self.election.manifest.n(), self.election.manifest.quorums.w);
        let sizes: Vec<u64> = self.election.lanes.iter().map(|lane| lane.size()).collect();
        let views = self.election.trustees();
        let heard: Vec<_> = views.iter().filter(|view| view.followed.len() == sizes.len()).collect();
        let enough = heard.len() > usize::from(n.saturating_sub(w));
        enough && heard.iter().all(|view| view.followed.iter().zip(&sizes).all(|(theirs, ours)| theirs <= ours))
    }

    /// After the close: where do the lanes end?
    fn drain(&mut self, ctx: &mut Context<Self>) {
        let Some(lanes) = self.election.intake.get() else { return };
        if !self.board.closed() || self.ends.is_some() || std::mem::replace(&mut self.draining, true) {
            return;
        }
        let lanes = lanes.clone();
        let asking = async move {
            let ends = join_all(lanes.into_iter().map(|lane| async move {
                let (done, end) = oneshot::channel();
                lane.send(Drain(done)).await.ok()?;
                end.await.ok()
            }));
            ends.await.into_iter().collect::<Option<Vec<LaneEnd>>>()
        };
        ctx.spawn(asking.into_actor(self).map(|ends, act, ctx| {
            act.draining = false;
            act.ends = ends;
            act.proceed(ctx);
        }));
    }

    /// Once the vote set is certified, the board gets the sums that this shard has added up itself: of the certified ends,
    /// which may be before those of its own log. (P-VOT-5)
    fn sum_up(&mut self, ctx: &mut Context<Self>) {
        let (Some(certificate), None) = (self.board.certificate(), self.board.sums()) else { return };
        if self.election.intake.get().is_none() || std::mem::replace(&mut self.summing, true) {
            return;
        }
        let vote_set = certificate.value.clone();
        let (deps, election) = (Arc::clone(&self.deps), Arc::clone(&self.election));
        let asking = async move { sum::closed_at(&deps, &election, &vote_set).await };
        ctx.spawn(asking.into_actor(self).map(|closed, act, ctx| match closed {
            Ok(Some(closed)) if act.board.set_aggregate(&closed) => {
                act.election.troubles.clear("vote-set");
                act.board_changed(ctx);
            }
            // Asking again gives the same: it stays as it is, and is said.
            Ok(_) => {
                act.election.troubles.set("vote-set", "the certified vote set is not the sum of this shard's log");
            }
            Err(trouble) => {
                act.election.troubles.set("vote-set", trouble.to_string());
                act.summing = false;
            }
        }));
    }

    fn perform_duties(&mut self, ctx: &mut Context<Self>) {
        if self.posting {
            return;
        }
        if self.board.judge_shares(&Chain) {
            self.note_evidence(ctx);
        }
        if self.outbox.is_empty() {
            let now = TimeMs(runtime::clock::now_ms());
            let duties = self.chair.duties(&self.board, now, self.ends.clone(), self.notary.view(), &Chain);
            for duty in duties {
                match duty {
                    ChairDuty::Post(body) => self.outbox.push_back(body),
                    ChairDuty::Fetch(need) => self.fetch(need, ctx),
                    ChairDuty::Submit { purpose, attempt, message, signature } => {
                        self.submit(purpose, attempt, message, signature, ctx);
                    }
                }
            }
        }
        if self.outbox.is_empty() {
            return;
        }
        self.posting = true;
        let envelopes: Vec<Envelope> =
            self.outbox.iter().map(|body| self.deps.envelope(&self.election, body.clone())).collect();
        let count = envelopes.len();
        let posting = self.take(envelopes).map(move |taken, act, ctx| {
            act.posting = false;
            let Ok(taken) = taken else { return };
            for (_, reason) in &taken.refusals {
                tracing::error!(election = %act.election.id, reason, "own statement refused");
            }
            for body in act.outbox.drain(..taken.handled.min(count)).collect::<Vec<_>>() {
                act.notary.said(&body);
            }
            act.perform_duties(ctx);
        });
        ctx.wait(posting);
    }
}

impl Actor for ElectionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        relay::exchange_all(&self.deps, &self.election, &ctx.address());
        self.board_changed(ctx);
        ctx.run_interval(TICK, |act, ctx| {
            if act.deps.shutdown.is_requested() {
                return ctx.stop();
            }
            act.proceed(ctx);
        });
    }
}

impl Handler<Stop> for ElectionActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Drop for ElectionActor {
    fn drop(&mut self) {
        super::stop_if_panicking("an election's actor");
    }
}

impl Handler<Post> for ElectionActor {
    type Result = AtomicResponse<Self, Result<Taken, StoreTrouble>>;

    fn handle(&mut self, Post(envelopes): Post, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(self.take(envelopes))
    }
}

impl Handler<Nudge> for ElectionActor {
    type Result = ();

    fn handle(&mut self, _: Nudge, ctx: &mut Self::Context) {
        self.proceed(ctx);
    }
}

/// A slot as the database's constraint sees it.
fn slot_bytes(slot: &Slot) -> Vec<u8> {
    let mut out = Writer::new();
    out.u16(slot.tag).u32(slot.number).u16(slot.topic).value(&slot.sender);
    out.finish()
}
