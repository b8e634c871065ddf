//! The shipping cores of trustees and home shard, with nothing between them but a board.
#![allow(dead_code, reason = "each test program uses a part of it")]

use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    agreement::messages::{CloseRequest, LaneEnd, OpenRequest},
    ballot::BallotForm,
    ballot_box::{self, BallotBox, ClosedBox},
    board::{Board, ChainIntent, Stage, Transactions},
    chair::{Chair, ChairDuty, LedgerView, Need},
    encoding::{Bytes, Canonical as _},
    evidence::Verdict,
    ids::{
        Attempt, ContestIndex, Credential, IdentityKey, LaneIndex, OptionIndex, ShardIndex, StyleIndex, TimeMs,
        TrusteeIndex, Weight,
    },
    keeper::{Decision, Duty, Keeper},
    manifest::{Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, ShardEntry, Style, TrusteeEntry},
    roll::{Roll, RollEntry},
    signed::{Announce, Body, Draft, Envelope, Sender},
    signing::messages::{Anchored, Purpose},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use std::sync::Arc;

/// Stands in for the chain's encoding: distinct bytes for distinct intents.
pub(crate) struct Memos;
impl Transactions for Memos {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        Some(format!("{intent:?}").into_bytes())
    }
}

pub(crate) struct World {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) roll: Arc<Roll>,
    pub(crate) trustees: Vec<SigningKey>,
    pub(crate) shard: SigningKey,
    pub(crate) official: SigningKey,
    pub(crate) voters: Vec<SigningKey>,
    pub(crate) keepers: Vec<Option<Keeper>>,
    /// Sealed seeds on each trustee's disk.
    pub(crate) disks: Vec<Vec<(Attempt, [u8; 32])>>,
    /// Each trustee's journal.
    pub(crate) journals: Vec<Vec<Envelope>>,
    pub(crate) board: Board,
    pub(crate) chair: Chair,
    pub(crate) ledger: LedgerView,
    pub(crate) lane: Option<BallotBox>,
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) now: TimeMs,
    pub(crate) rng: ChaCha20Rng,
    /// Trustees whose envelopes are mangled before they leave, by this function.
    pub(crate) bent: Option<(usize, fn(Body) -> Body)>,
    /// The attempt at the nonce account whose transaction lands although the chain says that it never will.
    pub(crate) belie: bool,
    pub(crate) belied: Option<Attempt>,
}

pub(crate) fn key(rng: &mut ChaCha20Rng) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

impl World {
    pub(crate) fn new(n: u16, quorums: Quorums, seed: u64) -> Self {
        Self::with(n, quorums, seed, |_| ())
    }

    /// With another manifest than the usual one.
    pub(crate) fn with(n: u16, quorums: Quorums, seed: u64, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let trustees: Vec<_> = (0..n).map(|_| key(&mut rng)).collect();
        let (shard, official) = (key(&mut rng), key(&mut rng));
        let voters: Vec<_> = (0..12).map(|_| key(&mut rng)).collect();
        let entry = |(voter, at): (&SigningKey, u64)| RollEntry {
            credential: Credential(voter.verifying_key().to_bytes()),
            style: StyleIndex(u16::from(at % 2 == 1)),
            weight: Weight(1 + at % 3),
        };
        let roll = Roll::new(voters.iter().zip(0..).map(entry).collect(), 2).unwrap();
        let contest = |id: &str, method, max| Contest {
            id: id.into(),
            title: id.into(),
            method,
            options: vec!["Ada".into(), "Emmy".into(), "Sofia".into()],
            min: 1,
            max,
            blank: true,
            seats: 1,
            ties_by_lot: true,
        };
        let mut manifest = Manifest {
            title: "Whole election".into(),
            languages: vec!["en".into()],
            contests: vec![contest("chair", Method::SingleChoice, 1), contest("council", Method::Approval, 2)],
            styles: vec![
                Style { id: "both".into(), contests: vec![ContestIndex(0), ContestIndex(1)] },
                Style { id: "one".into(), contests: vec![ContestIndex(1)] },
            ],
            roll: roll.commitment(),
            revote: Revote::Last,
            opens_not_before: TimeMs(0),
            closes_not_before: TimeMs(0),
            trustees: trustees
                .iter()
                .zip(1..)
                .map(|(key, at)| TrusteeEntry {
                    name: format!("trustee-{at}"),
                    organisation: "o".into(),
                    region: "r".into(),
                    identity: IdentityKey(key.verifying_key().to_bytes()),
                    tls_pin: [at; 32],
                    address: "127.0.0.1:1".into(),
                })
                .collect(),
            quorums,
            shards: vec![ShardEntry {
                name: "shard-1".into(),
                identity: IdentityKey(shard.verifying_key().to_bytes()),
                tls_pin: [200; 32],
                address: "127.0.0.1:1".into(),
                public_address: "127.0.0.1:2".into(),
            }],
            home: ShardIndex(1),
            officials: vec![OfficialEntry {
                name: "official".into(),
                identity: IdentityKey(official.verifying_key().to_bytes()),
                tls_pin: [201; 32],
            }],
            lanes: 1,
            chain: Chain { cluster: "local".into(), genesis: [1; 32] },
            tally_min: 1,
        };
        change(&mut manifest);
        manifest.validate().unwrap();
        let manifest = Arc::new(manifest);
        let roll = Arc::new(roll);
        let mut world = Self {
            keepers: Vec::new(),
            disks: vec![Vec::new(); n.into()],
            journals: vec![Vec::new(); n.into()],
            board: Board::new(manifest.clone()),
            chair: Chair::new(),
            ledger: LedgerView::default(),
            lane: None,
            log: Vec::new(),
            now: TimeMs(1),
            bent: None,
            belied: None,
            belie: false,
            manifest,
            roll,
            trustees,
            shard,
            official,
            voters,
            rng,
        };
        world.keepers = (0..usize::from(n)).map(|at| Some(world.start(at))).collect();
        world.post(Sender::Official(1), Announce {}.into());
        world
    }

    /// A trustee's process begins: the fold over what is on its disk.
    pub(crate) fn start(&self, at: usize) -> Keeper {
        let mut keeper = Keeper::new(TrusteeIndex(at as u16 + 1), self.manifest.clone());
        keeper.set_roll(self.roll.clone());
        keeper.decide(Decision::Accept);
        for (attempt, seed) in &self.disks[at] {
            keeper.restore_seed(*attempt, &protocol::ceremony::AttemptSeed::new(*seed));
        }
        for envelope in &self.journals[at] {
            let Verdict::Valid(checked) = keeper.check(envelope) else { panic!("journal") };
            keeper.absorb(checked);
        }
        let form = keeper.form();
        for bytes in &self.log {
            let ballot = form.as_ref().unwrap().verify(bytes).unwrap();
            let earlier = |leaf: protocol::ids::LeafIndex| form.as_ref()?.verify(self.log.get(leaf.0 as usize)?).ok();
            keeper.absorb_ballot(LaneIndex(0), &ballot, &earlier).unwrap();
        }
        keeper.followed();
        keeper
    }

    pub(crate) fn sign(&self, sender: Sender, body: Body) -> Envelope {
        let draft = Draft { election: self.manifest.id(), sender, body };
        let key = match sender {
            Sender::Trustee(index) => &self.trustees[usize::from(index.0) - 1],
            Sender::Shard(_) => &self.shard,
            Sender::Official(_) => &self.official,
        };
        let signature = key.sign(&draft.message()).to_bytes();
        draft.sign(signature)
    }

    pub(crate) fn post(&mut self, sender: Sender, body: Body) {
        let envelope = self.sign(sender, body);
        self.publish(envelope);
    }

    pub(crate) fn publish(&mut self, envelope: Envelope) {
        let envelope = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
        match self.board.check(&envelope) {
            Verdict::Valid(checked) => self.board.absorb(checked),
            Verdict::Moot(_) => {}
            Verdict::Fault(evidence) => {
                self.board.record_evidence(evidence);
            }
        }
    }

    /// Everybody who runs does what it owes, until nobody owes anything.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            let before = (self.board.len(), self.ledger.clone());
            self.trustees_act();
            self.chair_acts();
            if (self.board.len(), self.ledger.clone()) == before {
                return;
            }
        }
        panic!("it never settles: stage {}", self.board.stage().name());
    }

    pub(crate) fn trustees_act(&mut self) {
        for at in 0..self.keepers.len() {
            self.trustee_acts(at);
        }
    }

    /// One trustee catches up and does what it owes.
    pub(crate) fn trustee_acts(&mut self, at: usize) {
        let Some(mut keeper) = self.keepers[at].take() else { return };
        for envelope in self.board.envelopes() {
            if let Verdict::Valid(checked) = keeper.check(envelope) {
                self.journals[at].push(envelope.clone());
                keeper.absorb(checked);
            }
        }
        loop {
            let duties = keeper.duties(self.now, &mut self.rng, &Memos);
            if duties.is_empty() {
                break;
            }
            for duty in duties {
                match duty {
                    Duty::Seal { attempt, seed } => {
                        self.disks[at].push((attempt, *seed.secret_bytes()));
                        keeper.restore_seed(attempt, &seed);
                    }
                    Duty::Post(body) => {
                        let body = match self.bent {
                            Some((bent, bend)) if bent == at => bend(body),
                            _ => body,
                        };
                        let envelope = self.sign(Sender::Trustee(TrusteeIndex(at as u16 + 1)), body);
                        self.journals[at].push(envelope.clone());
                        let Verdict::Valid(checked) = keeper.check(&envelope) else { panic!("own envelope") };
                        keeper.absorb(checked);
                        self.publish(envelope);
                    }
                }
            }
        }
        self.keepers[at] = Some(keeper);
    }

    pub(crate) fn chair_acts(&mut self) {
        let ends = self.lane.as_ref().map(|lane| vec![LaneEnd { size: lane.size(), root: lane.root() }]);
        for duty in self.chair.duties(&self.board, self.now, ends, &self.ledger, &Memos) {
            match duty {
                ChairDuty::Post(body) => self.post(Sender::Shard(ShardIndex(1)), body),
                ChairDuty::Fetch(Need::Blockhash) => self.ledger.blockhash = Some([3; 32]),
                ChairDuty::Fetch(Need::Nonce) => {
                    if self.board.anchored(Purpose::CreateNonce).is_some() || self.belied.is_some() {
                        let mut nonce = [0; 32];
                        self.rng.fill_bytes(&mut nonce);
                        self.ledger.nonce = Some(nonce);
                    } else {
                        self.ledger.nonce_missing = true;
                    }
                }
                ChairDuty::Submit { purpose, attempt, message, signature } => {
                    let group = self.board.key_certificate().unwrap().signing_key;
                    let group = ed25519_dalek::VerifyingKey::from_bytes(&group).unwrap();
                    group.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
                    if purpose == Purpose::CreateNonce && self.belie && self.belied.is_none() {
                        self.belied = Some(attempt);
                        self.chair.submission_failed(purpose, attempt);
                        self.ledger = LedgerView::default();
                        continue;
                    }
                    self.ledger.nonce = None;
                    let anchored = Anchored { purpose, attempt, signature, slot: 7, message: Bytes(message) };
                    self.post(Sender::Shard(ShardIndex(1)), anchored.into());
                }
            }
        }
    }

    pub(crate) fn open(&mut self) {
        self.settle();
        assert_eq!(self.board.stage(), Stage::Ready, "{:?}", self.board.awaiting());
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), OpenRequest { key_certificate }.into());
        self.settle();
        assert_eq!(self.board.stage(), Stage::Open);
        let form = self.form();
        self.lane = Some(BallotBox::new(&self.manifest, &form, self.roll.clone(), LaneIndex(0)));
    }

    pub(crate) fn form(&self) -> BallotForm {
        ballot_box::form(&self.manifest, self.board.key_certificate().unwrap().election_key).unwrap()
    }

    pub(crate) fn cast(&mut self, voter: usize, choices: &[Vec<OptionIndex>]) {
        let form = self.form();
        let (_, entry) = self.roll.find(&Credential(self.voters[voter].verifying_key().to_bytes())).unwrap();
        let bytes = form.seal(entry.style, choices, &self.voters[voter], &mut self.rng).unwrap();
        let ballot = form.verify(&bytes).unwrap();
        let log = self.log.clone();
        let earlier = |leaf: protocol::ids::LeafIndex| form.verify(log.get(leaf.0 as usize)?).ok();
        self.lane.as_mut().unwrap().absorb(&ballot, &earlier).unwrap();
        for keeper in self.keepers.iter_mut().flatten() {
            keeper.absorb_ballot(LaneIndex(0), &ballot, &earlier).unwrap();
            keeper.followed();
        }
        self.log.push(bytes);
    }

    /// Votes of all voters, one changed mind; returns the weighted totals.
    pub(crate) fn vote(&mut self) -> Vec<Vec<u64>> {
        let mut totals = vec![vec![0; 3], vec![0; 3]];
        self.cast(0, &[vec![OptionIndex(2)], vec![OptionIndex(2)]]);
        for voter in 0..self.voters.len() {
            let weight = 1 + voter as u64 % 3;
            let council = vec![OptionIndex(0), OptionIndex(1 + (voter % 2) as u16)];
            for option in &council {
                totals[1][usize::from(option.0)] += weight;
            }
            if voter % 2 == 0 {
                let chair = voter % 4;
                let marks = if chair == 2 { vec![] } else { vec![OptionIndex(1)] };
                for option in &marks {
                    totals[0][usize::from(option.0)] += weight;
                }
                self.cast(voter, &[marks, council]);
            } else {
                self.cast(voter, &[council]);
            }
        }
        totals
    }

    pub(crate) fn close(&mut self) {
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), CloseRequest { key_certificate }.into());
        self.settle();
    }

    /// Time passes until the election is complete.
    pub(crate) fn finish(&mut self) {
        for _ in 0..200 {
            if let Some(lane) = &self.lane
                && let Ok(Some(closed)) = ClosedBox::of(&[lane], self.board.key_certificate().unwrap().digest())
            {
                self.board.set_aggregate(&closed);
            }
            self.settle();
            if self.board.stage() == Stage::Complete {
                return;
            }
            self.now.0 += 500;
        }
        panic!("stuck at {}: {:?}", self.board.stage().name(), self.board.awaiting());
    }

    pub(crate) fn totals(&self) -> Vec<Vec<u64>> {
        self.board.result().unwrap().contests.iter().map(|contest| contest.totals.clone()).collect()
    }
}
