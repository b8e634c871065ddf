//! A network of trustees under a lying coordinator, from one seed: loss, delay, repetition, subsets, liars who tell
//! everybody something else, crashes after which only the journal is left. Then an honest coordinator.

use super::super::*;
use crate::{
    ids::{LogSize, TimeMs, Weight},
    manifest::{Manifest, tests::sample},
    signed::{Body, Draft, Envelope, Sender, Slot},
};
use alloc::{collections::BTreeMap, collections::BTreeSet, vec, vec::Vec};
use core::cell::RefCell;
use ed25519_dalek::{Signer as _, SigningKey};
use messages::LaneEnd;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

/// Trustees, their keys, and the chain of vote sets: `chain[k]` ends where a trustee has followed `k` steps.
pub(super) struct World {
    pub(super) manifest: Manifest,
    pub(super) election: ElectionId,
    keys: Vec<SigningKey>,
    pub(super) chain: Vec<VoteSet>,
    /// Signatures made before: seeds repeat each other.
    signed: RefCell<BTreeMap<Vec<u8>, [u8; 64]>>,
}

pub(super) fn vote_set(size: u64) -> VoteSet {
    VoteSet {
        key_certificate: [1; 32],
        lanes: vec![LaneEnd { size: LogSize(size), root: [u8::try_from(size).unwrap(); 32] }],
        logged: size,
        counted: size,
        weights: vec![Weight(size)],
        counted_digest: [2; 32],
        aggregate: [3; 32],
    }
}

impl World {
    pub(super) fn new(n: u16) -> Self {
        let keys: Vec<SigningKey> =
            (1..=n).map(|at| SigningKey::from_bytes(&[u8::try_from(at).unwrap(); 32])).collect();
        let mut manifest = sample(n);
        for (trustee, key) in manifest.trustees.iter_mut().zip(&keys) {
            trustee.identity.0 = key.verifying_key().to_bytes();
        }
        manifest.validate().unwrap();
        let election = manifest.id();
        let chain = (0..3).map(|level| vote_set(10 + level)).collect();
        Self { manifest, election, keys, chain, signed: RefCell::default() }
    }

    pub(super) fn sign(&self, trustee: TrusteeIndex, body: impl Into<Body>) -> Envelope {
        let draft = Draft { election: self.election, sender: Sender::Trustee(trustee), body: body.into() };
        let message = draft.message();
        let key = &self.keys[usize::from(trustee.0 - 1)];
        let mut signed = self.signed.borrow_mut();
        let signature = *signed.entry(message).or_insert_with_key(|message| key.sign(message).to_bytes());
        draft.sign(signature)
    }

    pub(super) fn hash(&self, level: usize) -> Hash {
        self.chain[level].hash(&self.election)
    }
}

/// An honest trustee.
pub(super) struct Node {
    pub(super) me: TrusteeIndex,
    pub(super) votes: Votes,
    pub(super) voter: Voter,
    pub(super) journal: Vec<Envelope>,
    slots: BTreeSet<Slot>,
    /// How far it has followed the chain, and co-signed it.
    pub(super) followed: usize,
    pub(super) cosigned: usize,
    wake: Option<u64>,
}

impl Node {
    pub(super) fn new(world: &World, me: TrusteeIndex, followed: usize, cosigned: usize) -> Self {
        let (votes, voter) = (Votes::new(&world.manifest), Voter::new(me, Timeouts::default()));
        Self { me, votes, voter, journal: Vec::new(), slots: BTreeSet::new(), followed, cosigned, wake: None }
    }

    pub(super) fn absorb(&mut self, envelope: &Envelope) {
        if self.votes.absorb(envelope).is_ok() && self.slots.insert(envelope.slot()) {
            self.journal.push(envelope.clone());
        }
    }

    pub(super) fn duty(&mut self, world: &World, now: u64) -> Option<Envelope> {
        let Self { followed, cosigned, .. } = *self;
        let size = world.chain[cosigned].lanes[0].size;
        let judgement = |value: &VoteSet, backing: Backing| {
            judge(value, backing, &[size], |value| {
                world.chain[..=followed].iter().find(|own| own.lanes[0].size == value.lanes[0].size).cloned()
            })
        };
        let message = self.voter.duty(TimeMs(now), &self.votes, &judgement, Some(&world.chain[followed]))?;
        Some(world.sign(self.me, message))
    }

    fn lose_journal(&mut self) {
        self.journal.clear();
        self.slots.clear();
    }

    /// Forgets all but the journal.
    pub(super) fn restart(&mut self, world: &World, forgets_itself: bool) {
        self.votes = Votes::new(&world.manifest);
        self.voter = Voter::new(self.me, Timeouts::default());
        self.wake = None;
        if forgets_itself {
            let me = Sender::Trustee(self.me);
            self.journal.retain(|envelope| envelope.sender != me);
            self.slots.retain(|slot| slot.sender != me);
        }
        for envelope in &self.journal {
            self.votes.absorb(envelope).unwrap();
        }
    }
}

pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) liars: u16,
    /// How long the coordinator lies.
    pub(super) lying_ms: u64,
    /// Trustees restart without folding a journal: the guard switched off.
    pub(super) forgetful: bool,
    /// Stop after the first certificates or violation instead of demanding an end.
    pub(super) safety_only: bool,
}

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Values that `q` trustees could be made to have certified, with all liars signing for everything.
    pub(super) certifiable: BTreeSet<Hash>,
    /// Honest trustees with two bodies for one slot.
    pub(super) equivocated: BTreeSet<TrusteeIndex>,
    /// Rounds from the healing to the last honest trustee's certificate.
    pub(super) rounds_to_finish: Option<u32>,
    pub(super) rounds_before: u32,
    pub(super) restarts: u32,
    /// Somebody had a lock in round 1 or later, or moved its lock to another value.
    pub(super) locked_late: bool,
    pub(super) lock_moved: bool,
    /// An honest trustee proposed again what a quorum had prevoted.
    pub(super) justified: bool,
    /// Proofs against honest trustees, and against liars.
    pub(super) forgot_lock: u32,
    pub(super) liar_forgot_lock: u32,
}

enum Event {
    Deliver { to: usize, envelope: Envelope },
    Wake { node: usize, at: u64 },
    Crash { node: usize },
    Lie,
    Heal,
}

struct Simulation<'w> {
    world: &'w World,
    plan: Plan,
    rng: ChaCha8Rng,
    nodes: Vec<Node>,
    liars: Vec<TrusteeIndex>,
    queue: BTreeMap<(u64, u64), Event>,
    seq: u64,
    now: u64,
    loss_percent: u64,
    delay_max_ms: u64,
    crash_percent: u64,
    healed: bool,
    /// The honest coordinator's board: one body per slot.
    board: BTreeMap<Slot, Envelope>,
    /// What honest trustees ever signed.
    said: BTreeMap<Slot, Envelope>,
    precommits: BTreeMap<(Round, Hash), BTreeSet<TrusteeIndex>>,
    locks: BTreeMap<TrusteeIndex, Hash>,
    outcome: Outcome,
}

pub(super) fn run(world: &World, plan: Plan) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut everybody: Vec<TrusteeIndex> = world.manifest.trustee_indices().collect();
    let mut liars = Vec::new();
    for _ in 0..plan.liars {
        let at = usize::try_from(rng.next_u64() % u64::try_from(everybody.len()).unwrap()).unwrap();
        liars.push(everybody.remove(at));
    }
    let nodes = everybody
        .iter()
        .map(|me| {
            let followed = usize::try_from(rng.next_u64() % 3).unwrap();
            let cosigned = usize::try_from(rng.next_u64()).unwrap() % (followed + 1);
            Node::new(world, *me, followed, cosigned)
        })
        .collect();
    let pick = |rng: &mut ChaCha8Rng, from: &[u64]| from[usize::try_from(rng.next_u64()).unwrap() % from.len()];
    let mut simulation = Simulation {
        loss_percent: pick(&mut rng, if plan.forgetful { &[10, 30] } else { &[0, 10, 30, 50] }),
        delay_max_ms: pick(&mut rng, if plan.forgetful { &[10, 500] } else { &[10, 500, 3000] }),
        crash_percent: pick(&mut rng, if plan.forgetful { &[5, 10, 20] } else { &[0, 2, 10] }),
        world,
        plan,
        rng,
        nodes,
        liars,
        queue: BTreeMap::new(),
        seq: 0,
        now: 0,
        healed: false,
        board: BTreeMap::new(),
        said: BTreeMap::new(),
        precommits: BTreeMap::new(),
        locks: BTreeMap::new(),
        outcome: Outcome::default(),
    };
    simulation.run();
    simulation.nobody_is_framed();
    simulation.outcome
}

impl Simulation<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    fn at(&mut self, time: u64, event: Event) {
        self.seq += 1;
        self.queue.insert((time, self.seq), event);
    }

    fn run(&mut self) {
        for node in 0..self.nodes.len() {
            self.pump(node);
        }
        self.at(1, Event::Lie);
        self.at(self.plan.lying_ms, Event::Heal);
        let mut healed_round = 0;
        while let Some(((now, _), event)) = self.queue.pop_first() {
            self.now = now;
            match event {
                Event::Deliver { to, envelope } => {
                    // A forgetful trustee is not reminded of itself.
                    if self.plan.forgetful && envelope.sender == Sender::Trustee(self.nodes[to].me) {
                        continue;
                    }
                    self.nodes[to].absorb(&envelope);
                    self.pump(to);
                }
                Event::Wake { node, at } => {
                    if self.nodes[node].wake == Some(at) {
                        self.nodes[node].wake = None;
                        self.pump(node);
                    }
                }
                Event::Crash { node } => {
                    self.outcome.restarts += 1;
                    if self.plan.forgetful {
                        self.nodes[node].lose_journal();
                    }
                    self.nodes[node].restart(self.world, false);
                    self.pump(node);
                }
                Event::Lie => self.lie(),
                Event::Heal => {
                    if self.plan.safety_only {
                        return;
                    }
                    healed_round = self.highest();
                    self.outcome.rounds_before = healed_round;
                    self.heal();
                }
            }
            if self.outcome.certifiable.len() > 1 || !self.plan.forgetful && !self.outcome.equivocated.is_empty() {
                return;
            }
            if self.healed && self.nodes.iter().all(|node| node.votes.certificate().is_some()) {
                for node in &self.nodes {
                    let certificate = node.votes.certificate().unwrap();
                    certificate.verify(&self.world.manifest).unwrap();
                    assert!(self.outcome.certifiable.contains(&certificate.hash(&self.world.election)));
                }
                self.outcome.rounds_to_finish = Some(self.highest() - healed_round);
                return;
            }
            if self.healed && self.highest() > healed_round + 100 {
                return;
            }
        }
    }

    /// Evidence never accuses an honest trustee, whatever the liars said.
    fn nobody_is_framed(&mut self) {
        for evidence in self.nodes.iter().flat_map(|node| node.votes.amnesia()) {
            assert!(breaks_lock(&evidence.envelopes[0], &evidence.envelopes[1]));
            if self.nodes.iter().any(|node| Sender::Trustee(node.me) == evidence.accused) {
                self.outcome.forgot_lock += 1;
            } else {
                self.outcome.liar_forgot_lock += 1;
            }
        }
    }

    fn highest(&self) -> u32 {
        self.nodes.iter().map(|node| node.voter.round().0).max().unwrap()
    }

    /// The trustee does what it owes: signs, journals, sends; it may crash in between.
    fn pump(&mut self, at: usize) {
        while let Some(envelope) = self.nodes[at].duty(self.world, self.now) {
            let crash = !self.healed && self.chance(self.crash_percent);
            if crash && self.chance(30) {
                // Before it was durable: it never left, so it was never said.
                self.crash(at);
                return;
            }
            self.nodes[at].absorb(&envelope);
            assert_eq!(self.nodes[at].journal.last(), Some(&envelope), "an own message is always taken");
            self.record(&envelope);
            if crash && self.chance(50) {
                self.crash(at);
                return;
            }
            self.send(envelope);
            if crash {
                self.crash(at);
                return;
            }
        }
        if let Some(wake) = self.nodes[at].voter.next_wake(TimeMs(self.now))
            && self.nodes[at].wake != Some(wake.0)
        {
            self.nodes[at].wake = Some(wake.0);
            self.at(wake.0, Event::Wake { node: at, at: wake.0 });
        }
    }

    fn crash(&mut self, node: usize) {
        let later = self.now + self.below(2000);
        self.at(later, Event::Crash { node });
    }

    fn record(&mut self, envelope: &Envelope) {
        let Sender::Trustee(sender) = envelope.sender else { unreachable!() };
        if let Some(before) = self.said.insert(envelope.slot(), envelope.clone())
            && before.body != envelope.body
        {
            self.outcome.equivocated.insert(sender);
        }
        match &envelope.body {
            Body::Precommit(Precommit { round, value: Some(hash) }) => {
                let signers = self.precommits.entry((*round, *hash)).or_default();
                signers.insert(sender);
                if signers.len() + self.liars.len() >= usize::from(self.world.manifest.quorums.q) {
                    self.outcome.certifiable.insert(*hash);
                }
                self.outcome.locked_late |= round.0 > 0;
                self.outcome.lock_moved |= self.locks.insert(sender, *hash).is_some_and(|before| before != *hash);
            }
            Body::Proposal(proposal) => self.outcome.justified |= proposal.valid_round.is_some(),
            _ => {}
        }
    }

    fn send(&mut self, envelope: Envelope) {
        if self.healed {
            self.relay(envelope);
            return;
        }
        for to in 0..self.nodes.len() {
            let copies = if self.chance(self.loss_percent) { 0 } else { 1 + self.below(2) };
            for _ in 0..copies {
                let time = self.now + 1 + self.below(self.delay_max_ms);
                self.at(time, Event::Deliver { to, envelope: envelope.clone() });
            }
        }
    }

    /// The honest coordinator: one body per slot, to everybody, soon.
    fn relay(&mut self, envelope: Envelope) {
        if self.board.contains_key(&envelope.slot()) {
            return;
        }
        self.board.insert(envelope.slot(), envelope.clone());
        for to in 0..self.nodes.len() {
            let time = self.now + 1 + self.below(100);
            self.at(time, Event::Deliver { to, envelope: envelope.clone() });
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        self.queue.retain(|_, event| !matches!(event, Event::Deliver { .. }));
        let all: Vec<Envelope> = self.nodes.iter().flat_map(|node| node.journal.clone()).collect();
        for envelope in all {
            self.relay(envelope);
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].followed = self.world.chain.len() - 1;
            self.pump(node);
        }
        self.lie();
    }

    /// Each liar tells each honest trustee something of its own; it knows all that was ever said.
    fn lie(&mut self) {
        for liar in self.liars.clone() {
            for to in 0..self.nodes.len() {
                if self.chance(30) {
                    continue;
                }
                let target = usize::try_from(self.below(u64::try_from(self.nodes.len()).unwrap())).unwrap();
                let base = self.nodes[target].voter.round().0;
                let round = Round((base + u32::try_from(self.below(3)).unwrap()).saturating_sub(1));
                let level = usize::try_from(self.below(3)).unwrap();
                // What helps a quorum along at this trustee, or anything else.
                let wanted = self.nodes[to].votes.proposal(round).map(|proposed| proposed.value);
                let value = match self.below(4) {
                    0 => None,
                    1 => Some(self.world.hash(level)),
                    _ => wanted,
                };
                let body: Body = match self.below(5) {
                    0 if self.nodes[to].votes.proposer(round) == liar => self.false_proposal(round, level).into(),
                    0..=2 => Prevote { round, value }.into(),
                    _ => Precommit { round, value }.into(),
                };
                let envelope = self.world.sign(liar, body);
                if self.healed {
                    self.relay(envelope);
                } else {
                    let time = self.now + 1 + self.below(200);
                    self.at(time, Event::Deliver { to, envelope });
                }
            }
        }
        let next = self.now + 20 + self.below(400);
        self.at(next, Event::Lie);
    }

    fn false_proposal(&mut self, round: Round, level: usize) -> Proposal {
        let from = usize::try_from(self.below(u64::try_from(self.nodes.len()).unwrap())).unwrap();
        if self.chance(50)
            && let Some((valid, value, vouches)) = self.nodes[from].votes.polka_before(round)
        {
            let (value, justification) = (value.clone(), vouches.to_vec());
            return Proposal { round, value, valid_round: Some(valid), justification };
        }
        Proposal { round, value: self.world.chain[level].clone(), valid_round: None, justification: Vec::new() }
    }
}
