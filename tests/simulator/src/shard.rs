//! The home shard: the shipping [`Board`], [`Chair`] and ballot boxes in a shell that keeps to the order of the real one -
//! judge, store, absorb, publish; a receipt only after the ballot is durable - on a disk and a network that fail.

use crate::{
    Dice,
    disk::{Disk, DiskTrouble, Owner},
    ground::Ground,
    liar::Liar,
    policy::{CoordinatorPolicy, Said},
    setup::SimulatedChain,
    wire::{Message, Node, Packet, Seen},
};
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    agreement::messages::LaneEnd,
    ballot::BallotForm,
    ballot_box::{self, BallotBox, ClosedBox},
    board::{Board, Stage},
    chair::Chair,
    encoding::{Canonical as _, Hash},
    evidence::{Evidence, Moot, Verdict},
    ids::{Credential, IdentityKey, LaneIndex, LeafIndex, TimeMs, TrusteeIndex},
    log::{SignedCheckpoint, origin},
    signed::{Body, Draft, Envelope, Sender},
};
use rand_core::SeedableRng as _;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

mod errands;
mod intake;
mod lane;
mod rebuild;
mod relay;

use errands::Errands;
use intake::Waiting;
use lane::Lane;
use relay::{FollowLink, Link};

/// Its one timer.
const TICK: u32 = 0;
/// How often it looks around when nothing comes in.
const TICK_MS: u64 = 250;

/// One transaction of the shard's store.
#[derive(Debug, Clone)]
pub enum Record {
    /// Envelopes on the board.
    Board(Vec<Arc<Envelope>>),
    /// A proven wrong.
    Evidence(Box<Evidence>),
    /// Ballots of a lane.
    Ballots(LaneIndex, Vec<Arc<[u8]>>),
    /// Rejections were signed.
    Rejections(u64),
    /// A checkpoint that this shard has signed.
    Head,
    /// A final checkpoint.
    Final(LaneIndex, Box<SignedCheckpoint>),
}

/// Where a ballot is.
#[derive(Debug, Clone, Copy)]
struct Known {
    lane: LaneIndex,
    index: LeafIndex,
    leaf: Hash,
    credential: Credential,
}

/// The running process.
pub struct Process {
    /// The board.
    pub board: Board,
    chair: Chair,
    errands: Errands,
    published: Vec<Arc<Envelope>>,
    links: Vec<Link>,
    follows: Vec<FollowLink>,
    form: Option<Arc<BallotForm>>,
    lanes: Vec<Lane>,
    known: BTreeMap<Hash, Known>,
    intake: VecDeque<Waiting>,
    intake_at: Option<u64>,
    ends: Option<Vec<LaneEnd>>,
    outbox: VecDeque<Body>,
    changed: bool,
    chair_at: u64,
    tick_at: u64,
    calls: u64,
}

/// See the [module](self).
pub struct ShardNode {
    /// Counts processes.
    pub life: u32,
    /// Runs, if it does.
    pub process: Option<Process>,
    /// Its store.
    pub disk: Disk<Record>,
    key: SigningKey,
    /// Which store its board is in.
    pub epoch: u64,
    /// What it does wrong, if it lies.
    pub policy: Option<Box<dyn CoordinatorPolicy>>,
    /// A liar's: what may be shown, to whom.
    offers: Vec<Said>,
    views: Vec<View>,
    rebuild: Option<rebuild::Rebuild>,
}

/// What one trustee is shown by a liar.
#[derive(Debug, Clone, Default)]
struct View {
    shown: Vec<Arc<Envelope>>,
    offered: usize,
}

impl ShardNode {
    /// Not running.
    #[must_use]
    pub fn new(key: SigningKey, policy: Option<Box<dyn CoordinatorPolicy>>, epoch: u64, n: u16) -> Self {
        Self {
            life: 0,
            process: None,
            disk: Disk::new(Owner::Shard),
            key,
            epoch,
            policy,
            offers: Vec::new(),
            views: vec![View::default(); usize::from(n)],
            rebuild: None,
        }
    }

    /// A process begins: the same fold, over what is stored.
    pub fn start(&mut self, ground: &mut Ground) {
        self.life += 1;
        let manifest = ground.setup.manifest.clone();
        let n = usize::from(manifest.n());
        let mut board = Board::new(manifest.clone());
        let mut published = Vec::new();
        let records = self.disk.recover(ground).to_vec();
        for record in &records {
            match record {
                Record::Board(envelopes) => {
                    for envelope in envelopes {
                        match board.check(envelope) {
                            Verdict::Valid(checked) => board.absorb(checked),
                            other => {
                                ground.watch.broken("I09", format_args!("the shard's own board is refused: {other:?}"))
                            }
                        }
                        published.push(envelope.clone());
                    }
                }
                Record::Evidence(evidence) => {
                    board.record_evidence((**evidence).clone());
                }
                _ => {}
            }
        }
        let follows = manifest
            .trustee_indices()
            .flat_map(|trustee| (0..manifest.lanes).map(move |lane| FollowLink::new(trustee, LaneIndex(lane))));
        let mut process = Process {
            board,
            chair: Chair::new(),
            errands: Errands::default(),
            published,
            links: (0..n).map(|_| Link::default()).collect(),
            follows: follows.collect(),
            form: None,
            lanes: Vec::new(),
            known: BTreeMap::new(),
            intake: VecDeque::new(),
            intake_at: None,
            ends: None,
            outbox: VecDeque::new(),
            changed: true,
            chair_at: 0,
            tick_at: 0,
            calls: u64::from(self.life) << 32,
        };
        process.start_lanes(ground, &records);
        self.process = Some(process);
        self.proceed(ground);
    }

    /// The process is gone; another begins later.
    pub fn dies(&mut self, ground: &mut Ground, down: u64) {
        self.process = None;
        self.life += 1;
        ground.at(ground.now + down, crate::ground::Event::Starts(Node::Shard));
    }

    /// The stage as this shard sees it.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.process.as_ref().map(|process| process.board.stage())
    }

    /// A message arrives.
    pub fn called(&mut self, ground: &mut Ground, packet: Packet) {
        if self.process.is_none() {
            return;
        }
        let outcome = match packet.message {
            Message::Exchanged { .. } | Message::RollTaken => self.exchanged(ground, packet),
            Message::Followed { .. } => self.followed(ground, packet),
            Message::LogPage { .. } => {
                self.log_page(packet);
                Ok(())
            }
            Message::Cast(ref ballot) => {
                let ballot = ballot.clone();
                self.cast(ground, packet.from, packet.call, ballot)
            }
            Message::Prove { lane, index } => {
                self.prove(ground, &packet, lane, index);
                Ok(())
            }
            Message::Post(ref envelope) => {
                let said = vec![Said::all(envelope.clone())];
                let (to, call) = (packet.from, packet.call);
                self.take(ground, said).map(|()| {
                    ground.send(Packet { from: Node::Shard, to, call, message: Message::Posted });
                })
            }
            Message::Look => {
                let message = Message::Seen(self.process.as_ref().expect("it runs").seen());
                ground.send(Packet { from: Node::Shard, to: packet.from, call: packet.call, message });
                Ok(())
            }
            Message::Told(_) => {
                self.told(ground, packet);
                Ok(())
            }
            _ => Ok(()),
        };
        self.finish(ground, outcome);
    }

    /// Its timer.
    pub fn timer(&mut self, ground: &mut Ground) {
        if self.process.is_none() {
            return;
        }
        self.proceed(ground);
    }

    fn finish(&mut self, ground: &mut Ground, outcome: Result<(), DiskTrouble>) {
        match outcome {
            Err(DiskTrouble::Died) => {
                let down = 100 + crate::setup::below(&mut ground.dice, 1500);
                self.dies(ground, down);
            }
            // What was not stored is not known; it will be sent again.
            Ok(()) | Err(DiskTrouble::Full) => self.proceed(ground),
        }
    }

    /// Everything that the board, or time, has made possible.
    fn proceed(&mut self, ground: &mut Ground) {
        let outcome = self.proceed_now(ground);
        if outcome == Err(DiskTrouble::Died) {
            let down = 100 + crate::setup::below(&mut ground.dice, 1500);
            return self.dies(ground, down);
        }
        let process = self.process.as_mut().expect("it runs");
        let soonest = process.soonest().min(ground.now + TICK_MS);
        if process.tick_at <= ground.now || soonest < process.tick_at {
            process.tick_at = soonest.max(ground.now + 1);
            let after = process.tick_at - ground.now;
            ground.timer(after, Node::Shard, self.life, TICK);
        }
    }

    fn proceed_now(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        for _ in 0..8 {
            let process = self.process.as_mut().expect("it runs");
            let changed = std::mem::take(&mut process.changed);
            if changed {
                if process.lanes.is_empty() {
                    process.start_lanes(ground, self.disk.records());
                }
                process.sum_up(ground);
                if self.policy.is_none() && self.epoch == 1 {
                    let home = Sender::Shard(ground.setup.manifest.home);
                    ground.watch.board(home, &process.board);
                }
            }
            if changed {
                ground.stage = self.process.as_ref().expect("it runs").board.stage();
            }
            if self.rebuilding(ground)? {
                break;
            }
            self.work_intake(ground)?;
            self.make_checkpoints(ground)?;
            if changed || self.process.as_ref().expect("it runs").chair_at <= ground.now {
                self.perform_duties(ground)?;
            }
            if !self.process.as_ref().expect("it runs").changed {
                break;
            }
        }
        self.relay(ground);
        Ok(())
    }

    /// Runs something as the liar that this one is.
    fn with_liar<T>(&mut self, ground: &mut Ground, act: impl FnOnce(&mut Liar<'_>) -> T) -> T {
        let process = self.process.as_ref().expect("a liar that runs");
        let mut dice = Dice::from_rng(&mut ground.dice).expect("a seeded source never fails");
        let mut liar = Liar {
            me: None,
            now: TimeMs(ground.now),
            rng: &mut dice,
            manifest: &ground.setup.manifest,
            roll: &ground.setup.roll,
            board: &process.board,
            conspiracy: &ground.conspiracy,
            tx: &SimulatedChain,
        };
        act(&mut liar)
    }

    fn sign(&self, ground: &Ground, body: &Body) -> Arc<Envelope> {
        let sender = Sender::Shard(ground.setup.manifest.home);
        let draft = Draft { election: ground.setup.election, sender, body: body.clone() };
        let signature = self.key.sign(&draft.message()).to_bytes();
        Arc::new(draft.sign(signature))
    }

    /// Statements that came in: judged, stored, absorbed, published. A liar may leave them out, and show them to some only.
    fn take(&mut self, ground: &mut Ground, mut said: Vec<Said>) -> Result<(), DiskTrouble> {
        if let Some(mut policy) = self.policy.take() {
            ground.conspiracy.seen.extend(said.iter().map(|said| said.envelope.clone()));
            let mut kept = Vec::new();
            for one in said {
                let take = self.with_liar(ground, |liar| policy.take(liar, &one.envelope));
                if take {
                    kept.push(one);
                }
            }
            self.policy = Some(policy);
            said = kept;
        }
        while !said.is_empty() {
            let handled = self.take_some(ground, &said)?;
            said.drain(..handled);
        }
        Ok(())
    }

    /// Stops before an envelope that shares a slot with one before it.
    fn take_some(&mut self, ground: &mut Ground, said: &[Said]) -> Result<usize, DiskTrouble> {
        let lies = self.policy.is_some();
        let process = self.process.as_mut().expect("it runs");
        let (mut slots, mut checked, mut rows) = (BTreeSet::new(), Vec::new(), Vec::new());
        let (mut faults, mut offers) = (Vec::new(), Vec::new());
        let mut handled = 0;
        for one in said {
            let envelope = &one.envelope;
            let slot = envelope.slot();
            if !slots.insert(slot) {
                break;
            }
            handled += 1;
            if process.board.get(slot.tag, slot.number, slot.topic, slot.sender) == Some(&**envelope) {
                continue;
            }
            match process.board.check(envelope) {
                Verdict::Valid(valid) => {
                    offers.push(one.clone());
                    rows.push(envelope.clone());
                    checked.push(valid);
                }
                Verdict::Moot(Moot::Repeat) => {}
                Verdict::Moot(_) => ground.watch.refused += 1,
                Verdict::Fault(evidence) => {
                    offers.push(one.clone());
                    faults.push(evidence);
                }
            }
        }
        for evidence in &faults {
            self.disk.commit(ground, Record::Evidence(Box::new(evidence.clone())))?;
        }
        if !rows.is_empty() {
            self.disk.commit(ground, Record::Board(rows.clone()))?;
        }
        if !lies {
            ground.watch.heard(&rows);
        }
        process.changed |= !checked.is_empty() || !faults.is_empty();
        for valid in checked {
            process.board.absorb(valid);
        }
        for evidence in faults {
            process.board.record_evidence(evidence);
        }
        process.published.extend(rows);
        if lies {
            self.offers.extend(offers);
        }
        Ok(handled)
    }

    /// What this shard says itself.
    fn post(&mut self, ground: &mut Ground, body: &Body) -> Result<(), DiskTrouble> {
        let truth = self.sign(ground, body);
        crate::note!(ground, "the shard says {}", crate::trustee::describe(&truth));
        let Some(mut policy) = self.policy.take() else {
            ground.watch.shard_signed(&truth);
            return self.take(ground, vec![Said::all(truth)]);
        };
        let speech = self.with_liar(ground, |liar| policy.speak(liar, body, truth));
        self.policy = Some(policy);
        for said in &speech.say {
            crate::note!(ground, "the lying shard says {} to {:?}", crate::trustee::describe(&said.envelope), said.to);
        }
        ground.conspiracy.seen.extend(speech.say.iter().map(|said| said.envelope.clone()));
        if let Some(kept) = speech.keep {
            let before = self.offers.len();
            self.take_some(ground, &[Said::all(kept)])?;
            // Only what it says is shown.
            self.offers.truncate(before);
        }
        self.offers.extend(speech.say);
        Ok(())
    }
}

impl Process {
    /// What an official sees.
    fn seen(&self) -> Seen {
        let attempt = self.board.current_attempt();
        let stage = self.board.stage();
        let given_up = stage == Stage::KeyCeremony && self.board.given_up(attempt);
        let settled = given_up && self.board.ceremony(attempt).awaiting().is_empty();
        Seen {
            stage,
            key: self.board.key_certificate().map(protocol::ceremony::KeyCertificate::digest),
            attempt: attempt.0,
            given_up: (given_up, settled),
            asked: (self.board.announced(), self.board.open_requested(), self.board.close_requested()),
        }
    }

    /// Once the keys are certified, ballots have somewhere to go.
    fn start_lanes(&mut self, ground: &mut Ground, records: &[Record]) {
        let Some(certificate) = self.board.key_certificate() else { return };
        let setup = ground.setup.clone();
        let form = ballot_box::form(&setup.manifest, certificate.election_key).expect("a sound form");
        let form = Arc::new(form);
        let lanes = (0..setup.manifest.lanes).map(LaneIndex).map(|lane| {
            let ballots = BallotBox::new(&setup.manifest, &form, setup.roll.clone(), lane);
            Lane::new(lane, origin(&setup.election, lane), ballots)
        });
        self.lanes = lanes.collect();
        self.form = Some(form);
        for record in records {
            match record {
                Record::Ballots(lane, ballots) => {
                    for bytes in ballots {
                        if !self.put(ground, *lane, bytes) {
                            ground.watch.broken("I09", format_args!("a stored ballot is refused"));
                        }
                    }
                }
                Record::Final(lane, note) => self.lanes[usize::from(lane.0)].confirmed = Some((**note).clone()),
                _ => {}
            }
        }
        for lane in &mut self.lanes {
            if lane.size() > 0 {
                lane.checkpoint_at = Some(ground.now + 50);
            }
        }
    }

    /// Puts a durable ballot in.
    /// `false`: it cannot be.
    fn put(&mut self, ground: &mut Ground, lane: LaneIndex, bytes: &Arc<[u8]>) -> bool {
        let Some(form) = &self.form else { return false };
        let Some(lane) = self.lanes.get_mut(usize::from(lane.0)) else { return false };
        let Ok(ballot) = ground.memo.verify(form, bytes) else {
            return false;
        };
        let leaf = ground.memo.leaf(bytes);
        let (log, memo) = (&lane.log, RefCell::new(&mut ground.memo));
        let earlier = |leaf: LeafIndex| {
            let bytes = log.get(usize::try_from(leaf.0).ok()?)?;
            memo.borrow_mut().verify(form, bytes).ok().map(|ballot| (*ballot).clone())
        };
        match lane.ballots.absorb(&ballot, &earlier) {
            Ok(index) => {
                let known = Known { lane: lane.index, index, leaf, credential: ballot.credential() };
                self.known.insert(ballot.digest(), known);
                lane.push(bytes.clone(), leaf);
                true
            }
            Err(_) => false,
        }
    }

    /// Once the vote set is certified, the board gets the sums that this shard has added up itself: of the certified
    /// ends, where its own log is longer.
    fn sum_up(&mut self, ground: &mut Ground) {
        let Some(key) = self.board.key_certificate().map(protocol::ceremony::KeyCertificate::digest) else { return };
        let (Some(certificate), Some(form)) = (self.board.certificate(), &self.form) else { return };
        if self.board.sums().is_some() {
            return;
        }
        let setup = ground.setup.clone();
        let mut certified = Vec::new();
        for (lane, end) in self.lanes.iter().zip(&certificate.value.lanes) {
            if lane.tree.size() <= end.size {
                certified.push(lane.ballots.clone());
                continue;
            }
            let mut part = BallotBox::new(&setup.manifest, form, setup.roll.clone(), lane.index);
            for bytes in lane.log.iter().take(usize::try_from(end.size.0).unwrap_or(usize::MAX)) {
                let Ok(ballot) = ground.memo.verify(form, bytes) else { return };
                let memo = RefCell::new(&mut ground.memo);
                let earlier = |leaf: LeafIndex| {
                    let bytes = lane.log.get(usize::try_from(leaf.0).ok()?)?;
                    memo.borrow_mut().verify(form, bytes).ok().map(|ballot| (*ballot).clone())
                };
                if part.absorb(&ballot, &earlier).is_err() {
                    return;
                }
            }
            certified.push(part);
        }
        let boxes: Vec<&BallotBox> = certified.iter().collect();
        let Ok(Some(closed)) = ClosedBox::of(&boxes, key) else { return };
        let ends = certificate.value.lanes.clone();
        if self.board.set_aggregate(&closed) {
            for (lane, end) in self.lanes.iter_mut().zip(ends).filter(|(lane, end)| lane.tree.size() > end.size) {
                // The record wants a co-signed checkpoint there.
                ground.coverage.sometimes("the home shard's log was longer than what was certified");
                lane.end = Some(end.size);
                lane.checkpoint_at = Some(ground.now);
            }
        }
    }

    /// Whether every certified end has its co-signed checkpoint, so that a record can be made.
    #[must_use]
    pub fn record_is_final(&self) -> bool {
        let Some(certificate) = self.board.certificate() else { return false };
        let ends = self.lanes.iter().zip(&certificate.value.lanes);
        self.lanes.len() == certificate.value.lanes.len()
            && ends.into_iter().all(|(lane, end)| {
                let confirmed = lane.confirmed.as_ref().map(|note| note.checkpoint());
                confirmed.is_some_and(|note| (note.size, note.root) == (end.size, end.root))
            })
    }

    fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// When something is due by time alone.
    fn soonest(&self) -> u64 {
        let links = self.links.iter().map(Link::due_at);
        let follows = self.follows.iter().map(FollowLink::due_at);
        let lanes = self.lanes.iter().filter_map(|lane| lane.checkpoint_at);
        let others = [self.intake_at, self.errands.due_at()].into_iter().flatten();
        links.chain(follows).chain(lanes).chain(others).min().unwrap_or(u64::MAX)
    }
}

/// Keys of all trustees.
fn trustee_keys(ground: &Ground) -> Vec<IdentityKey> {
    ground.setup.manifest.trustees.iter().map(|trustee| trustee.identity).collect()
}

/// A signed message's length, for bounds.
#[must_use]
pub fn bytes_of(envelope: &Envelope) -> usize {
    envelope.to_bytes().len()
}

/// A trustee's place in lists.
fn place(trustee: TrusteeIndex) -> usize {
    usize::from(trustee.0).saturating_sub(1)
}
