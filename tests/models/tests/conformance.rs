//! The model of the agreement against the code that ships: real voters over real votes, shown what a lying coordinator and a
//! liar please; whatever they do must be a step of the model. So what the model can never do, they cannot either.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use ed25519_dalek::Signer as _;
use models::agreement::{self as model, LockRule, Rules, Said, State, Step, Value};
use protocol::{
    agreement::{
        AgreementMessage, Backing, Judgement, Precommit, Prevote, Proposal, Timeouts, VoteSet, Voter, Votes, Vouch,
        judge, messages::LaneEnd, proposer,
    },
    encoding::Hash,
    ids::{LogSize, Round, TimeMs, TrusteeIndex, Weight},
    signed::{Body, Draft, Envelope, Sender},
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use simulator::{profile::Profile, setup::Setup};
use std::collections::{BTreeMap, BTreeSet};

const ROUNDS: u8 = 7;

/// The election, and how the model's trustees are called in it: trustee `k` of the model proposes in round `k`.
struct Election {
    setup: Setup,
    names: Vec<TrusteeIndex>,
    sets: [VoteSet; 2],
}

fn vote_set(size: u64) -> VoteSet {
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

impl Election {
    fn new() -> Self {
        let setup = Setup::new(1, Profile { trustees: Some(4), ballots: Some(3), ..Profile::default() });
        let names = (0..4).map(|round| proposer(&setup.manifest, Round(round))).collect();
        Self { setup, names, sets: [vote_set(10), vote_set(11)] }
    }
    fn sign(&self, who: usize, body: Body) -> Envelope {
        let name = self.names[who];
        let draft = Draft { election: self.setup.election, sender: Sender::Trustee(name), body };
        let signature = self.setup.trustees[usize::from(name.0) - 1].sign(&draft.message()).to_bytes();
        draft.sign(signature)
    }
    fn hash(&self, value: Value) -> Hash {
        self.sets[value as usize].hash(&self.setup.election)
    }
    fn value(&self, hash: &Hash) -> Value {
        Value::ALL.into_iter().find(|value| self.hash(*value) == *hash).unwrap()
    }
}

/// An honest trustee.
struct Node {
    votes: Votes,
    voter: Voter,
    now: u64,
    /// 0: it has followed nothing; 1: up to `A`; 2: up to `B`.
    followed: usize,
    long: bool,
}

struct Walk<'e> {
    election: &'e Election,
    rules: Rules,
    rng: ChaCha8Rng,
    nodes: BTreeMap<usize, Node>,
    /// All that honest trustees have said.
    said: Vec<Envelope>,
    state: State,
    slow: usize,
    /// Who never hears whom.
    deaf: BTreeSet<(usize, usize)>,
    seen: BTreeMap<&'static str, u32>,
}

impl Walk<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            let honest: Vec<usize> = self.nodes.keys().copied().collect();
            // One of them hears and does little: it is left behind.
            let slow = honest[self.slow % honest.len()];
            let who = honest[self.below(honest.len())];
            if who == slow && self.below(10) > 0 {
                continue;
            }
            match self.below(10) {
                0..=4 if !self.said.is_empty() => {
                    let at = self.below(self.said.len());
                    let envelope = self.said[at].clone();
                    let from = self.election.names.iter().position(|name| envelope.sender == Sender::Trustee(*name));
                    if self.deaf.contains(&(from.unwrap(), who)) {
                        continue;
                    }
                    let _ = self.nodes.get_mut(&who).unwrap().votes.absorb(&envelope);
                }
                5..=7 => {
                    if let Some(envelope) = self.lie(who) {
                        let _ = self.nodes.get_mut(&who).unwrap().votes.absorb(&envelope);
                    }
                }
                8 => {
                    let node = self.nodes.get_mut(&who).unwrap();
                    node.followed = (node.followed + 1).min(2);
                }
                _ => self.nodes.get_mut(&who).unwrap().now += 20_000,
            }
            while self.act(who) {}
            if self.nodes.values().any(|node| node.voter.round().0 + 1 >= ROUNDS.into()) {
                return;
            }
        }
    }

    /// All that honest trustees have said in a round reaches one of them.
    fn give(&mut self, to: usize, round: u32, proposals_too: bool) {
        for envelope in self.said.clone() {
            let proposal = matches!(envelope.body, Body::Proposal(_));
            if envelope.slot().number == round && (proposals_too || !proposal) {
                let _ = self.nodes.get_mut(&to).unwrap().votes.absorb(&envelope);
            }
        }
        while self.act(to) {}
    }

    /// The liar says something to one of them.
    fn tell(&mut self, to: usize, body: impl Into<Body>) {
        let envelope = self.election.sign(self.rules.liar.unwrap(), body.into());
        let _ = self.nodes.get_mut(&to).unwrap().votes.absorb(&envelope);
        while self.act(to) {}
    }

    /// Every timer that runs there runs out.
    fn wait(&mut self, who: usize) {
        while self.act(who) {}
        self.nodes.get_mut(&who).unwrap().now += 20_000;
        while self.act(who) {}
    }

    /// The first is locked on one value, then the third on another; the first hears of it and lets go.
    fn two_locks(&mut self) {
        let (a, b) = (Some(self.election.hash(Value::A)), Some(self.election.hash(Value::B)));
        let follow = |walk: &mut Self, to| walk.nodes.values_mut().for_each(|node| node.followed = to);
        follow(self, 1);
        while self.act(0) {}
        self.give(1, 0, true);
        self.wait(2);
        self.tell(0, Prevote { round: Round(0), value: a });
        self.give(0, 0, false);
        follow(self, 2);
        for who in [1, 2] {
            self.tell(who, Prevote { round: Round(0), value: None });
            self.give(who, 0, false);
            self.wait(who);
        }
        for who in [0, 1, 2] {
            self.give(who, 0, false);
            self.wait(who);
        }
        for who in [1, 2, 0] {
            self.give(who, 1, true);
        }
        self.wait(0);
        self.tell(2, Prevote { round: Round(1), value: b });
        self.give(2, 1, true);
        for who in [0, 1] {
            self.tell(who, Prevote { round: Round(1), value: None });
            self.give(who, 1, true);
            self.wait(who);
        }
        for who in [0, 1, 2] {
            self.give(who, 1, true);
            self.wait(who);
        }
        while self.act(2) {}
        self.give(0, 2, true);
    }

    /// Something that the liar may say to this one: what helps a quorum along there, or anything.
    fn lie(&mut self, to: usize) -> Option<Envelope> {
        let liar = self.rules.liar?;
        let round = self.nodes[&to].voter.round().0 + u32::try_from(self.below(2)).unwrap();
        let round = Round(round.saturating_sub(u32::try_from(self.below(2)).unwrap()));
        // What is one vote short of a quorum, or anything.
        let short = Value::ALL.into_iter().find(|value| {
            let body = Body::Prevote(Prevote { round, value: Some(self.election.hash(*value)) });
            self.said.iter().filter(|envelope| envelope.body == body).count() + 1 == self.rules.q
        });
        let value = match self.below(4) {
            0 => None,
            1 => Some(Value::ALL[self.below(2)]),
            _ => short.or(Some(Value::ALL[self.below(2)])),
        };
        let hash = value.map(|value| self.election.hash(value));
        let body: Body = match self.below(3) {
            0 if self.rules.proposer(u8::try_from(round.0).ok()?) == liar => self.proposal(round, value?).into(),
            0 | 1 => Prevote { round, value: hash }.into(),
            _ => Precommit { round, value: hash }.into(),
        };
        Some(self.election.sign(liar, body))
    }

    /// The liar's proposal, justified if it can be.
    fn proposal(&mut self, round: Round, value: Value) -> Proposal {
        let election = self.election;
        let fresh =
            Proposal { round, value: election.sets[value as usize].clone(), valid_round: None, justification: vec![] };
        let Some(liar) = self.rules.liar.filter(|_| self.below(2) == 0) else { return fresh };
        for valid in (0..round.0).rev().map(Round) {
            let body = Prevote { round: valid, value: Some(election.hash(value)) };
            let own = election.sign(liar, body.clone().into());
            let all = self.said.iter().filter(|envelope| envelope.body == Body::Prevote(body.clone())).chain([&own]);
            let mut vouches: Vec<Vouch> = all
                .map(|envelope| {
                    let Sender::Trustee(trustee) = envelope.sender else { unreachable!() };
                    Vouch { trustee, signature: envelope.signature }
                })
                .collect();
            vouches.sort_by_key(|vouch| vouch.trustee);
            if vouches.len() >= self.rules.q {
                return Proposal { valid_round: Some(valid), justification: vouches, ..fresh };
            }
        }
        fresh
    }

    /// The real voter does what it owes, and the model does the same.
    fn act(&mut self, who: usize) -> bool {
        let election = self.election;
        let node = self.nodes.get_mut(&who).unwrap();
        let before = node.voter.round();
        let (followed, cosigned) = (node.followed, [LogSize(if node.long { 11 } else { 0 })]);
        let judgement = |value: &VoteSet, backing: Backing| -> Judgement {
            judge(value, backing, &cosigned, |value| {
                election.sets[..followed].iter().find(|own| own.lanes[0].size == value.lanes[0].size).cloned()
            })
        };
        let own = followed.checked_sub(1).map(|at| &election.sets[at]);
        let message = node.voter.duty(TimeMs(node.now), &node.votes, &judgement, own);
        let after = node.voter.round();
        if before != after {
            self.follow_start(who, before.0, after.0);
        }
        let Some(message) = message else { return false };
        let (round, said) = self.translate(&message);
        self.follow_say(who, round, said, &message);
        let envelope = election.sign(who, message.into());
        self.nodes.get_mut(&who).unwrap().votes.absorb(&envelope).unwrap();
        self.said.push(envelope);
        true
    }

    fn translate(&self, message: &AgreementMessage) -> (u8, Said) {
        let round = |round: Round| u8::try_from(round.0).unwrap();
        let value = |hash: &Option<Hash>| hash.as_ref().map(|hash| self.election.value(hash));
        match message {
            AgreementMessage::Proposal(body) => {
                let value = self.election.value(&body.value.hash(&self.election.setup.election));
                (round(body.round), Said::Proposal(model::Proposal { value, valid: body.valid_round.map(round) }))
            }
            AgreementMessage::Prevote(body) => (round(body.round), Said::Prevote(value(&body.value))),
            AgreementMessage::Precommit(body) => (round(body.round), Said::Precommit(value(&body.value))),
        }
    }

    /// The model gets from one round to the other, in one step or several.
    fn follow_start(&mut self, who: usize, from: u32, to: u32) {
        let to = u8::try_from(to).unwrap();
        if to > u8::try_from(from).unwrap() + 1 {
            *self.seen.entry("rounds were skipped").or_default() += 1;
        }
        while self.state.trustees[who].round < to {
            let at = self.state.trustees[who].round;
            let steps = self.rules.steps(&self.state);
            let direct = Step::Start { who, round: to };
            let next = Step::Start { who, round: at + 1 };
            let step = [direct, next].into_iter().find(|step| steps.contains(step));
            let step = step.unwrap_or_else(|| panic!("{who} began round {to} from {at}; the model: {steps:?}"));
            self.state = self.rules.after(&self.state, step);
        }
    }

    fn follow_say(&mut self, who: usize, round: u8, said: Said, message: &AgreementMessage) {
        let steps = self.rules.steps(&self.state);
        let found = steps.iter().find(|step| matches!(step, Step::Say { who: by, round: at, said: what, .. } if (*by, *at, *what) == (who, round, said)));
        let Some(step) = found else {
            panic!("{who} said {said:?} in round {round} ({message:?}); the model: {steps:?}\n{:?}", self.state)
        };
        let lock = self.state.trustees[who].lock;
        let name = match said {
            Said::Proposal(model::Proposal { valid: Some(_), .. }) => "proposed what was prevoted before",
            Said::Proposal(_) => "proposed its own",
            Said::Prevote(Some(value)) if lock.is_some_and(|(_, locked)| locked != value) => "let go of a lock",
            Said::Prevote(Some(_)) => "prevoted",
            Said::Prevote(None) if lock.is_some() => "prevoted nothing with a lock",
            Said::Prevote(None) => "prevoted nothing",
            Said::Precommit(Some(_)) => "precommitted",
            Said::Precommit(None) => "precommitted nothing",
        };
        *self.seen.entry(name).or_default() += 1;
        self.state = self.rules.after(&self.state, *step);
        assert_ne!(self.rules.certifiable(&self.state), [true, true]);
    }
}

fn rules(liar: usize) -> Rules {
    Rules {
        n: 4,
        f: 1,
        q: 3,
        liar: Some(liar),
        lock: LockRule::Locked,
        proven: true,
        longer: 4,
        rounds: ROUNDS,
        patience: 0,
    }
}

#[test]
fn real_trustees_let_go_of_a_lock_as_the_model_does() {
    let election = Election::new();
    let rules = rules(3);
    let node = |who: usize| Node {
        votes: Votes::new(&election.setup.manifest),
        voter: Voter::new(election.names[who], Timeouts::default()),
        now: 0,
        followed: 0,
        long: false,
    };
    let mut walk = Walk {
        election: &election,
        rules,
        rng: ChaCha8Rng::seed_from_u64(0),
        nodes: rules.honest().map(|who| (who, node(who))).collect(),
        said: Vec::new(),
        state: rules.beginnings().remove(0),
        slow: 0,
        deaf: BTreeSet::new(),
        seen: BTreeMap::new(),
    };
    walk.two_locks();
    assert_eq!(walk.seen.get("let go of a lock"), Some(&1), "{:?}", walk.seen);
    walk.run(200);
}

#[test]
fn whatever_real_trustees_do_is_a_step_of_the_model() {
    let election = Election::new();
    let mut seen: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..if cfg!(debug_assertions) { 400 } else { 6_000 } {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let liar = usize::try_from(rng.next_u32() % 4).unwrap();
        let long = rng.next_u32() % 16;
        let slow = usize::try_from(rng.next_u32() % 5).unwrap();
        let pairs = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
        let deaf: BTreeSet<_> = pairs.filter(|_| rng.next_u32() % 4 == 0).collect();
        let rules = rules(liar);
        let mut state = rules.beginnings().remove(0);
        let mut nodes = BTreeMap::new();
        for who in rules.honest() {
            let long = long & (1 << who) != 0;
            state.trustees[who].long = long;
            nodes.insert(
                who,
                Node {
                    votes: Votes::new(&election.setup.manifest),
                    voter: Voter::new(election.names[who], Timeouts::default()),
                    now: 0,
                    followed: if long { 2 } else { usize::try_from(rng.next_u32() % 3).unwrap() },
                    long,
                },
            );
        }
        let mut walk =
            Walk { election: &election, rules, rng, nodes, said: Vec::new(), state, slow, deaf, seen: BTreeMap::new() };
        walk.run(300);
        for (name, times) in walk.seen {
            *seen.entry(name).or_default() += times;
        }
    }
    println!("{seen:#?}");
    let wanted = [
        "proposed its own",
        "proposed what was prevoted before",
        "prevoted",
        "prevoted nothing",
        "prevoted nothing with a lock",
        "precommitted",
        "precommitted nothing",
    ];
    for name in wanted {
        assert!(seen.get(name).is_some_and(|times| *times > 0), "{name}: {:?}", seen.get(name));
    }
}
