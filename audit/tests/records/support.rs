//! Complete elections in memory, held by the programs' own cores, and written down as records.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    agreement::messages::{CloseRequest, LaneEnd, OpenRequest},
    ballot::{BallotForm, CheckedBallot},
    ballot_box::{self, BallotBox, ClosedBox},
    board::{Board, ChainIntent, Stage, Transactions},
    ceremony::messages::{Abandon, NextAttempt},
    chair::{Chair, ChairDuty, LedgerView, Need},
    encoding::Bytes,
    evidence::Verdict,
    ids::{
        Attempt, ContestIndex, Credential, IdentityKey, LaneIndex, LeafIndex, OptionIndex, ShardIndex, StyleIndex,
        TimeMs, TrusteeIndex, Weight,
    },
    keeper::{Decision, Duty, Keeper},
    manifest::{Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, ShardEntry, Style, TrusteeEntry},
    roll::{Roll, RollEntry},
    signed::{Announce, Body, Draft, Envelope, Sender},
    signing::messages::{Anchored, Purpose},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use solana_anchor::AnchorIntent;
use std::sync::Arc;

struct Solana;
impl Transactions for Solana {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        let intent = match intent.clone() {
            ChainIntent::CreateNonce { group, seed, lamports, recent_blockhash } => {
                AnchorIntent::CreateNonce { group, seed, lamports, recent_blockhash }
            }
            ChainIntent::Memo { group, seed, nonce, text } => AnchorIntent::Memo { group, seed, nonce, text },
        };
        intent.message().ok()
    }
}

pub(crate) struct World {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) roll: Arc<Roll>,
    pub(crate) trustees: Vec<SigningKey>,
    pub(crate) shards: Vec<SigningKey>,
    pub(crate) official: SigningKey,
    pub(crate) voters: Vec<SigningKey>,
    keepers: Vec<Keeper>,
    pub(crate) board: Board,
    chair: Chair,
    ledger: LedgerView,
    pub(crate) lanes: Vec<BallotBox>,
    pub(crate) logs: Vec<Vec<Vec<u8>>>,
    now: TimeMs,
    pub(crate) rng: ChaCha20Rng,
    /// A trustee whose words are bent before it signs them.
    pub(crate) bent: Option<(usize, Bend)>,
    /// The shard looks at no signature share, and so accuses nobody of a bad one.
    pub(crate) blind: bool,
}

fn key(rng: &mut ChaCha20Rng) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

pub(crate) type Bend = fn(Body, &Board) -> Body;

pub(crate) const OPTIONS: [&str; 3] = ["Ada", "Emmy", "Sofia"];

impl World {
    pub(crate) fn new(quorums: Quorums, n: u16, voters: usize, revote: Revote, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let trustees: Vec<_> = (0..n).map(|_| key(&mut rng)).collect();
        let shards: Vec<_> = (0..2).map(|_| key(&mut rng)).collect();
        let official = key(&mut rng);
        let voters: Vec<_> = (0..voters).map(|_| key(&mut rng)).collect();
        let entry = |(voter, at): (&SigningKey, u64)| RollEntry {
            credential: Credential(voter.verifying_key().to_bytes()),
            style: StyleIndex(u16::from(at % 2 == 1)),
            weight: Weight(1 + at % 3),
        };
        let roll = Roll::new(voters.iter().zip(0..).map(entry).collect(), 2).unwrap();
        let contest = |id: &str, method, max, seats, ties_by_lot| Contest {
            id: id.into(),
            title: format!("The {id}"),
            method,
            options: OPTIONS.map(String::from).to_vec(),
            min: 1,
            max,
            blank: true,
            seats,
            ties_by_lot,
        };
        let manifest = Manifest {
            title: "Whole election".into(),
            languages: vec!["en".into()],
            contests: vec![
                contest("chair", Method::SingleChoice, 1, 1, true),
                contest("council", Method::Approval, 2, 2, false),
            ],
            styles: vec![
                Style { id: "both".into(), contests: vec![ContestIndex(0), ContestIndex(1)] },
                Style { id: "one".into(), contests: vec![ContestIndex(1)] },
            ],
            roll: roll.commitment(),
            revote,
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
            shards: shards
                .iter()
                .zip(1..)
                .map(|(key, at)| ShardEntry {
                    name: format!("shard-{at}"),
                    identity: IdentityKey(key.verifying_key().to_bytes()),
                    tls_pin: [200 + at; 32],
                    address: "127.0.0.1:1".into(),
                    public_address: "127.0.0.1:2".into(),
                })
                .collect(),
            home: ShardIndex(1),
            officials: vec![OfficialEntry {
                name: "official".into(),
                identity: IdentityKey(official.verifying_key().to_bytes()),
                tls_pin: [251; 32],
            }],
            lanes: 2,
            chain: Chain { cluster: "local".into(), genesis: [1; 32] },
            tally_min: 1,
        };
        manifest.validate().unwrap();
        let manifest = Arc::new(manifest);
        let roll = Arc::new(roll);
        let keepers = (1..=n)
            .map(|index| {
                let mut keeper = Keeper::new(TrusteeIndex(index), manifest.clone());
                keeper.set_roll(roll.clone());
                keeper.decide(Decision::Accept);
                keeper.followed();
                keeper
            })
            .collect();
        let mut world = Self {
            keepers,
            board: Board::new(manifest.clone()),
            chair: Chair::new(),
            ledger: LedgerView { nonce_rent: 1_447_680, ..LedgerView::default() },
            lanes: Vec::new(),
            logs: vec![Vec::new(), Vec::new()],
            now: TimeMs(1),
            bent: None,
            blind: false,
            manifest,
            roll,
            trustees,
            shards,
            official,
            voters,
            rng,
        };
        world.post(Sender::Official(1), Announce {}.into());
        world
    }

    pub(crate) fn sign(&self, sender: Sender, body: Body) -> Envelope {
        let draft = Draft { election: self.manifest.id(), sender, body };
        let key = match sender {
            Sender::Trustee(index) => &self.trustees[usize::from(index.0) - 1],
            Sender::Shard(index) => &self.shards[usize::from(index.0) - 1],
            Sender::Official(_) => &self.official,
        };
        let signature = key.sign(&draft.message()).to_bytes();
        draft.sign(signature)
    }

    pub(crate) fn post(&mut self, sender: Sender, body: Body) {
        let envelope = self.sign(sender, body);
        match self.board.check(&envelope) {
            Verdict::Valid(checked) => self.board.absorb(checked),
            Verdict::Moot(_) => {}
            Verdict::Fault(evidence) => {
                self.board.record_evidence(evidence);
            }
        }
    }

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

    fn trustees_act(&mut self) {
        let mut keepers = core::mem::take(&mut self.keepers);
        for (at, keeper) in keepers.iter_mut().enumerate() {
            for envelope in self.board.envelopes() {
                if let Verdict::Valid(checked) = keeper.check(envelope) {
                    keeper.absorb(checked);
                }
            }
            // A liar that believes its own lies sees nothing wrong with an attempt that it spoilt: it leaves it silently.
            let attempt = keeper.board().current_attempt();
            if self.bent.is_some_and(|(bent, _)| bent == at) && self.board.current_attempt() > attempt {
                let leave = Abandon { attempt, reason: String::new() };
                let envelope = self.sign(Sender::Trustee(TrusteeIndex(at as u16 + 1)), leave.into());
                if let Verdict::Valid(checked) = keeper.check(&envelope) {
                    keeper.absorb(checked);
                }
            }
            loop {
                let duties = keeper.duties(self.now, &mut self.rng, &Solana);
                if duties.is_empty() {
                    break;
                }
                for duty in duties {
                    match duty {
                        Duty::Seal { attempt, seed } => keeper.restore_seed(attempt, &seed),
                        Duty::Post(body) => {
                            let sender = Sender::Trustee(TrusteeIndex(at as u16 + 1));
                            let bent = match self.bent {
                                Some((bent, bend)) if bent == at => bend(body.clone(), &self.board),
                                _ => body.clone(),
                            };
                            // A liar goes on as if it had said the truth, except about the end of an attempt.
                            let own = if body.tag() == 16 { bent.clone() } else { body };
                            let envelope = self.sign(sender, own);
                            let Verdict::Valid(checked) = keeper.check(&envelope) else { panic!("own envelope") };
                            keeper.absorb(checked);
                            self.post(sender, bent);
                        }
                    }
                }
            }
        }
        self.keepers = keepers;
    }

    fn ends(&self) -> Option<Vec<LaneEnd>> {
        let ends: Vec<_> = self.lanes.iter().map(|lane| LaneEnd { size: lane.size(), root: lane.root() }).collect();
        (!ends.is_empty()).then_some(ends)
    }

    fn chair_acts(&mut self) {
        if !self.blind {
            self.board.judge_shares(&Solana);
        }
        for duty in self.chair.duties(&self.board, self.now, self.ends(), &self.ledger, &Solana) {
            match duty {
                ChairDuty::Post(body) => self.post(Sender::Shard(ShardIndex(1)), body),
                ChairDuty::Fetch(Need::Blockhash) => self.ledger.blockhash = Some([3; 32]),
                ChairDuty::Fetch(Need::Nonce) => {
                    if self.board.anchored(Purpose::CreateNonce).is_some() {
                        let mut nonce = [0; 32];
                        self.rng.fill_bytes(&mut nonce);
                        self.ledger.nonce = Some(nonce);
                    } else {
                        self.ledger.nonce_missing = true;
                    }
                }
                ChairDuty::Submit { purpose, attempt, message, signature } => {
                    self.ledger.nonce = None;
                    let slot = 7 + u64::from(purpose.tag());
                    let anchored = Anchored { purpose, attempt, signature, slot, message: Bytes(message) };
                    self.post(Sender::Shard(ShardIndex(1)), anchored.into());
                }
            }
        }
    }

    pub(crate) fn open(&mut self) {
        for _ in 0..400 {
            self.settle();
            if self.board.stage() == Stage::Ready {
                break;
            }
            let attempt = self.board.current_attempt();
            if self.board.given_up(attempt) && self.board.ceremony(attempt).awaiting().is_empty() {
                let attempt = Attempt(attempt.0 + 1);
                self.post(Sender::Official(1), NextAttempt { attempt }.into());
            }
            self.now.0 += 500;
        }
        assert_eq!(self.board.stage(), Stage::Ready, "{:?}", self.board.awaiting());
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), OpenRequest { key_certificate }.into());
        self.settle();
        assert_eq!(self.board.stage(), Stage::Open);
        let form = self.form();
        self.lanes =
            (0..2).map(|lane| BallotBox::new(&self.manifest, &form, self.roll.clone(), LaneIndex(lane))).collect();
    }

    pub(crate) fn form(&self) -> BallotForm {
        ballot_box::form(&self.manifest, self.board.key_certificate().unwrap().election_key).unwrap()
    }

    pub(crate) fn seal(&mut self, form: &BallotForm, voter: usize, choices: &[Vec<OptionIndex>]) -> Vec<u8> {
        let (_, entry) = self.roll.find(&Credential(self.voters[voter].verifying_key().to_bytes())).unwrap();
        form.seal(entry.style, choices, &self.voters[voter], &mut self.rng).unwrap()
    }

    pub(crate) fn cast(&mut self, form: &BallotForm, voter: usize, choices: &[Vec<OptionIndex>]) {
        let bytes = self.seal(form, voter, choices);
        let ballot = form.trusted_from_store(&bytes).unwrap();
        let lane = ballot_box::lane_of(&ballot.credential(), 2);
        let log = &self.logs[usize::from(lane.0)];
        let earlier =
            |leaf: LeafIndex| -> Option<CheckedBallot> { form.trusted_from_store(log.get(leaf.0 as usize)?).ok() };
        self.lanes[usize::from(lane.0)].absorb(&ballot, &earlier).unwrap();
        for keeper in &mut self.keepers {
            keeper.absorb_ballot(lane, &ballot, &earlier).unwrap();
        }
        self.logs[usize::from(lane.0)].push(bytes);
    }

    /// Votes of all voters, under `last` one changed mind; the weighted totals.
    pub(crate) fn vote(&mut self) -> Vec<Vec<u64>> {
        let form = self.form();
        let mut totals = vec![vec![0; 3], vec![0; 3]];
        if self.manifest.revote == Revote::Last {
            self.cast(&form, 0, &[vec![OptionIndex(2)], vec![OptionIndex(2)]]);
        }
        for voter in 0..self.voters.len() {
            let weight = 1 + voter as u64 % 3;
            let council = vec![OptionIndex(0), OptionIndex(1 + (voter % 4 / 2) as u16)];
            for option in &council {
                totals[1][usize::from(option.0)] += weight;
            }
            if voter % 2 == 0 {
                let marks = if voter % 6 == 4 { vec![] } else { vec![OptionIndex((voter % 4 / 2) as u16)] };
                for option in &marks {
                    totals[0][usize::from(option.0)] += weight;
                }
                self.cast(&form, voter, &[marks, council]);
            } else {
                self.cast(&form, voter, &[council]);
            }
        }
        self.follow();
        totals
    }

    /// The trustees have followed the log up to here.
    pub(crate) fn follow(&mut self) {
        for keeper in &mut self.keepers {
            keeper.followed();
        }
    }

    pub(crate) fn close(&mut self) {
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), CloseRequest { key_certificate }.into());
        self.settle();
    }

    pub(crate) fn closed_box(&self) -> ClosedBox {
        let lanes: Vec<&BallotBox> = self.lanes.iter().collect();
        ClosedBox::of(&lanes, self.board.key_certificate().unwrap().digest()).unwrap().unwrap()
    }

    pub(crate) fn finish(&mut self) {
        for _ in 0..200 {
            let closed = self.closed_box();
            self.board.set_aggregate(&closed);
            self.settle();
            if self.board.stage() == Stage::Complete {
                return;
            }
            self.now.0 += 500;
        }
        panic!("stuck at {}: {:?}", self.board.stage().name(), self.board.awaiting());
    }

    /// A whole election; the totals that were cast.
    pub(crate) fn hold(&mut self) -> Vec<Vec<u64>> {
        self.open();
        let totals = self.vote();
        self.close();
        self.finish();
        let result = self.board.result().unwrap();
        assert_eq!(result.contests.iter().map(|contest| contest.totals.clone()).collect::<Vec<_>>(), totals);
        totals
    }
}
