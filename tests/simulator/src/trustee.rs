//! A trustee daemon: the shipping [`Keeper`] in a shell that keeps to the order of the real one - judge, journal, absorb;
//! seal or sign, journal, absorb, send - on a disk and a token that fail.

use crate::{
    Dice,
    disk::{Disk, DiskTrouble, Owner},
    ground::Ground,
    liar::Liar,
    policy::{LogPiece, Said, TrusteePolicy},
    setup::SimulatedChain,
    wire::{Message, Node, Packet, Refusal},
};
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    ballot::CheckedBallot,
    ceremony::AttemptSeed,
    encoding::Hash,
    evidence::{Evidence, Moot, Verdict},
    ids::{Attempt, IdentityKey, LaneIndex, LeafIndex, LogSize, TimeMs, TrusteeIndex},
    keeper::{CosignRefusal, Decision, Duty, FollowRefusal, Keeper},
    log::{Cosignature, NoteKey, SignedCheckpoint, leaf_hash, origin},
    signed::{Body, Draft, Envelope, Sender},
};
use rand_core::SeedableRng as _;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Times that the keeper is asked before the caller is answered, as in the daemon.
const PASSES_MAX: usize = 32;
/// Envelopes of one answer.
const JOURNAL_MAX: usize = 512;

/// One transaction of a trustee's store.
#[derive(Debug, Clone)]
pub enum Record {
    /// The operator's word.
    Decision(Decision),
    /// The roll, whole.
    Roll,
    /// A sealed seed.
    Seed(Attempt, [u8; 32]),
    /// What was heard or said.
    Journal(Vec<Arc<Envelope>>),
    /// Leaves, and a head to be co-signed.
    Ballots {
        /// Lane.
        lane: LaneIndex,
        /// New leaves.
        ballots: Vec<Arc<[u8]>>,
        /// Size and root.
        cosigned: Option<(LogSize, Hash)>,
    },
    /// A proven wrong.
    Evidence(Box<Evidence>),
    /// Nothing more is promised.
    Halt(&'static str),
}

#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    epoch: u64,
    next: u64,
}

/// The running process.
pub struct Process {
    /// The core.
    pub keeper: Keeper,
    journal: Vec<Arc<Envelope>>,
    cursor: Cursor,
    caught_up: bool,
    pending: VecDeque<Duty>,
    logs: Vec<Vec<Arc<[u8]>>>,
    newest: Vec<(LogSize, Hash, Option<Cosignature>)>,
    cosigned: BTreeMap<(LaneIndex, LogSize), Hash>,
    refused: BTreeMap<LaneIndex, (u64, Hash)>,
    /// Why it promises nothing more.
    pub halted: Option<&'static str>,
    /// What the daemon watches by itself.
    pub invariants: protocol::invariants::Watch,
    dice: Dice,
}

/// One trustee's place: disk, token, and a process if one runs. A cloned trustee has two.
pub struct TrusteeNode {
    /// Which.
    pub me: TrusteeIndex,
    /// Counts processes.
    pub life: u32,
    /// Runs, if it does.
    pub process: Option<Process>,
    /// Its data folder.
    pub disk: Disk<Record>,
    key: SigningKey,
    /// Until when its token is away.
    pub token_away: u64,
    /// How far its clock is off.
    pub skew: i64,
    /// What it does wrong, if it lies.
    pub policy: Option<Box<dyn TrusteePolicy>>,
    /// A liar's words, and what it has heard, as it hands them over.
    outgoing: Vec<Said>,
    /// A backup of its folder, and how long it was.
    pub backup: Option<usize>,
    /// Its folder was put back or cloned: it is no better than a liar.
    pub fallen: bool,
    /// There are two of it.
    pub cloned: bool,
    /// Says no.
    refuses: bool,
}

impl TrusteeNode {
    /// Not running.
    #[must_use]
    pub fn new(me: TrusteeIndex, key: SigningKey, policy: Option<Box<dyn TrusteePolicy>>, refuses: bool) -> Self {
        Self {
            me,
            life: 0,
            process: None,
            disk: Disk::new(Owner::Trustee),
            key,
            token_away: 0,
            skew: 0,
            policy,
            outgoing: Vec::new(),
            backup: None,
            fallen: false,
            cloned: false,
            refuses,
        }
    }

    /// A second one with the same folder and the same token.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            me: self.me,
            life: 1000,
            process: None,
            disk: self.disk.clone(),
            key: self.key.clone(),
            token_away: 0,
            skew: self.skew,
            policy: None,
            outgoing: Vec::new(),
            backup: None,
            fallen: true,
            cloned: true,
            refuses: self.refuses,
        }
    }

    /// Whether it does as it should.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        self.policy.is_none() && !self.fallen
    }

    /// The sealed seed of an attempt.
    #[must_use]
    pub fn seed(&self, attempt: Attempt) -> Option<[u8; 32]> {
        self.disk.records().iter().rev().find_map(|record| match record {
            Record::Seed(of, seed) if *of == attempt => Some(*seed),
            _ => None,
        })
    }

    fn clock(&self, ground: &Ground) -> TimeMs {
        TimeMs(ground.now.saturating_add_signed(self.skew))
    }

    /// A process begins: the fold over what is on its disk.
    pub fn start(&mut self, ground: &mut Ground) {
        self.life += 1;
        let manifest = ground.setup.manifest.clone();
        let lanes = usize::from(manifest.lanes);
        let mut process = Process {
            keeper: Keeper::new(self.me, manifest),
            journal: Vec::new(),
            cursor: Cursor::default(),
            caught_up: false,
            pending: VecDeque::new(),
            logs: vec![Vec::new(); lanes],
            newest: vec![(LogSize(0), [0; 32], None); lanes],
            cosigned: BTreeMap::new(),
            refused: BTreeMap::new(),
            halted: None,
            invariants: protocol::invariants::Watch::new(Some(self.me)),
            dice: Dice::seed_from_u64(
                ground.setup.seed.rotate_left(17) ^ (u64::from(self.me.0) << 32) ^ u64::from(self.life),
            ),
        };
        let roll = ground.setup.roll.clone();
        let records = self.disk.recover(ground).to_vec();
        for record in &records {
            match record {
                Record::Decision(decision) => process.keeper.decide(decision.clone()),
                Record::Journal(envelopes) => {
                    for envelope in envelopes {
                        match process.keeper.check(envelope) {
                            Verdict::Valid(checked) => process.keeper.absorb(checked),
                            other => ground
                                .watch
                                .broken("I09", format_args!("{}: its own journal is refused: {other:?}", self.me)),
                        }
                        process.journal.push(envelope.clone());
                    }
                }
                Record::Evidence(evidence) => {
                    process.keeper.record_evidence((**evidence).clone());
                }
                Record::Halt(reason) => process.halted = Some(reason),
                Record::Roll | Record::Seed(..) | Record::Ballots { .. } => {}
            }
        }
        for record in &records {
            match record {
                Record::Seed(attempt, seed) => process.keeper.restore_seed(*attempt, &AttemptSeed::new(*seed)),
                Record::Roll => process.keeper.set_roll(roll.clone()),
                _ => {}
            }
        }
        process.replay(ground, &records);
        if !process.keeper.decided() {
            let decision = match (&self.policy, self.refuses) {
                (Some(policy), _) => policy.decision(),
                (None, true) => Decision::Refuse { reason: "the dates are wrong".into() },
                (None, false) => Decision::Accept,
            };
            if self.disk.commit(ground, Record::Decision(decision.clone())).is_err() {
                return self.dies(ground, 300);
            }
            process.keeper.decide(decision);
        }
        self.process = Some(process);
    }

    /// The process is gone; another begins later.
    pub fn dies(&mut self, ground: &mut Ground, down: u64) {
        self.process = None;
        self.life += 1;
        ground.at(ground.now + down, crate::ground::Event::Starts(Node::Trustee(self.me.0)));
    }

    /// A call arrives.
    pub fn called(&mut self, ground: &mut Ground, packet: Packet) {
        if self.process.is_none() {
            return;
        }
        if let Some(mut policy) = self.policy.take() {
            let answers = self.with_liar(ground, |liar| policy.answers(liar));
            self.policy = Some(policy);
            if !answers {
                return;
            }
        }
        let answer = match packet.message {
            Message::Exchange { epoch, first, envelopes, journal_from, length } => {
                self.exchange(ground, epoch, first, &envelopes, journal_from, length)
            }
            Message::Roll => self.take_roll(ground),
            Message::Follow { lane, piece } => self.follow(ground, lane, piece),
            Message::GetLog { lane, from } => Ok(self.log_page(lane, from)),
            _ => return,
        };
        match answer {
            Ok(message) => {
                let (from, to) = (Node::Trustee(self.me.0), packet.from);
                ground.send(Packet { from, to, call: packet.call, message });
            }
            // The daemon ends itself rather than go on ahead of its disk.
            Err(_) => {
                let down = 100 + crate::setup::below(&mut ground.dice, 1500);
                self.dies(ground, down);
            }
        }
    }

    /// Runs something as the liar that this one is.
    fn with_liar<T>(&mut self, ground: &mut Ground, act: impl FnOnce(&mut Liar<'_>) -> T) -> T {
        let process = self.process.as_ref().expect("a liar that runs");
        let mut dice = Dice::from_rng(&mut ground.dice).expect("a seeded source never fails");
        let mut liar = Liar {
            me: Some(self.me),
            now: TimeMs(ground.now),
            rng: &mut dice,
            manifest: &ground.setup.manifest,
            roll: &ground.setup.roll,
            board: process.keeper.board(),
            conspiracy: &ground.conspiracy,
            tx: &SimulatedChain,
        };
        act(&mut liar)
    }

    fn exchange(
        &mut self,
        ground: &mut Ground,
        epoch: u64,
        first: u64,
        envelopes: &[Arc<Envelope>],
        journal_from: u64,
        length: u64,
    ) -> Result<Message, DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        let mut cursor = process.cursor;
        if cursor.epoch != epoch {
            cursor = Cursor { epoch, next: 0 };
        }
        let heard = first <= cursor.next;
        if heard {
            self.take_in(ground, envelopes)?;
            cursor.next = cursor.next.max(first + envelopes.len() as u64);
        }
        let process = self.process.as_mut().expect("it runs");
        process.cursor = cursor;
        process.caught_up |= cursor.next >= length;
        if process.caught_up {
            self.perform_duties(ground)?;
        }
        if let Some(mut policy) = self.policy.take() {
            let say = self.with_liar(ground, |liar| policy.unprompted(liar));
            self.policy = Some(policy);
            self.utter(ground, say);
        }
        let now = self.clock(ground);
        let journal_len = if self.policy.is_some() {
            self.outgoing.len() as u64
        } else {
            self.process.as_ref().expect("it runs").journal.len() as u64
        };
        let journal_first = journal_from.min(journal_len);
        let from = usize::try_from(journal_first).unwrap_or(usize::MAX);
        let mut journal: Vec<Said> = if self.policy.is_some() {
            self.outgoing.get(from..).unwrap_or(&[]).iter().take(JOURNAL_MAX).cloned().collect()
        } else {
            let process = self.process.as_ref().expect("it runs");
            let page = process.journal.get(from..).unwrap_or(&[]).iter().take(JOURNAL_MAX);
            page.map(|envelope| Said::all(envelope.clone())).collect()
        };
        if let Some(mut policy) = self.policy.take() {
            journal = self.with_liar(ground, |liar| policy.hand_over(liar, journal));
            self.policy = Some(policy);
        } else if !self.fallen {
            ground.watch.leaves(self.me, &journal, self.disk.records());
        }
        let process = self.process.as_ref().expect("it runs");
        let lanes = 0..ground.setup.manifest.lanes;
        let followed = lanes.map(|lane| process.keeper.lane_size(LaneIndex(lane)).0).collect();
        let (needs_roll, wake) = (!process.keeper.has_roll(), process.keeper.wake_after_ms(now).unwrap_or(0));
        if self.is_honest() {
            ground.watch.process(self.me, process);
            let process = self.process.as_mut().expect("it runs");
            for broken in process.invariants.look(process.keeper.board()) {
                ground
                    .watch
                    .broken(broken.id, format_args!("trustee {}, as its daemon sees it: {}", self.me, broken.text));
            }
        }
        Ok(Message::Exchanged {
            board_next: cursor.next,
            needs_roll,
            journal_first,
            journal,
            journal_len,
            followed,
            wake_ms: wake,
        })
    }

    fn utter(&mut self, ground: &mut Ground, say: Vec<Said>) {
        ground.conspiracy.seen.extend(say.iter().map(|said| said.envelope.clone()));
        self.outgoing.extend(say);
    }

    /// Judges each envelope, takes the good ones in, journals them in one commit before anything follows.
    fn take_in(&mut self, ground: &mut Ground, envelopes: &[Arc<Envelope>]) -> Result<(), DiskTrouble> {
        let lies = self.policy.is_some();
        let process = self.process.as_mut().expect("it runs");
        let (mut rows, mut faults, mut stolen) = (Vec::new(), Vec::new(), false);
        for envelope in envelopes {
            let slot = envelope.slot();
            if lies && slot.sender == Sender::Trustee(self.me) {
                continue;
            }
            let board = process.keeper.board();
            if board.get(slot.tag, slot.number, slot.topic, slot.sender) == Some(&**envelope) {
                continue;
            }
            match process.keeper.check(envelope) {
                Verdict::Valid(_) if slot.sender == Sender::Trustee(self.me) => stolen = true,
                Verdict::Valid(checked) => {
                    process.keeper.absorb(checked);
                    rows.push(envelope.clone());
                }
                Verdict::Moot(Moot::Repeat) => {}
                Verdict::Moot(_) => ground.watch.refused += 1,
                Verdict::Fault(evidence) => faults.push(evidence),
            }
        }
        if lies {
            ground.conspiracy.seen.extend(rows.iter().cloned());
            self.outgoing.extend(rows.iter().cloned().map(Said::all));
        }
        if !rows.is_empty() {
            if !lies && !self.fallen {
                ground.watch.heard(&rows);
            }
            self.disk.commit(ground, Record::Journal(rows.clone()))?;
            process.journal.extend(rows);
        }
        for evidence in faults {
            self.take_evidence(ground, evidence)?;
        }
        if stolen && !lies {
            ground.coverage.sometimes("a restored folder was found out");
            self.halt(ground, "STATE_ROLLBACK")?;
        }
        Ok(())
    }

    fn halt(&mut self, ground: &mut Ground, reason: &'static str) -> Result<(), DiskTrouble> {
        crate::note!(ground, "trustee {} halts: {reason}", self.me);
        ground.watch.halted(self.me, reason);
        if self.cloned {
            ground.coverage.sometimes("a twin was found out");
        }
        self.disk.commit(ground, Record::Halt(reason))?;
        let process = self.process.as_mut().expect("it runs");
        process.pending.clear();
        process.halted.get_or_insert(reason);
        Ok(())
    }

    fn take_evidence(&mut self, ground: &mut Ground, evidence: Evidence) -> Result<(), DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        let own = evidence.accused == Sender::Trustee(self.me);
        if process.keeper.record_evidence(evidence.clone()) {
            self.disk.commit(ground, Record::Evidence(Box::new(evidence)))?;
        }
        if own && self.policy.is_none() {
            self.halt(ground, "TWO_OF_ONE")?;
        }
        Ok(())
    }

    fn token_is_away(&self, ground: &mut Ground, fault: &'static str) -> bool {
        let away = self.token_away > ground.now && ground.faulty;
        if away {
            ground.coverage.fault(fault);
        }
        away
    }

    /// Performs duties until none is left, or the token is away: then the rest waits, unchanged.
    fn perform_duties(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        for _ in 0..PASSES_MAX {
            let now = self.clock(ground);
            let process = self.process.as_mut().expect("it runs");
            if process.halted.is_some() {
                return Ok(());
            }
            if process.pending.is_empty() {
                process.pending = process.keeper.duties(now, &mut process.dice, &SimulatedChain).into();
                if process.pending.is_empty() {
                    return Ok(());
                }
            }
            if !self.perform_pending(ground)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// `false`: something has to wait.
    fn perform_pending(&mut self, ground: &mut Ground) -> Result<bool, DiskTrouble> {
        loop {
            let process = self.process.as_mut().expect("it runs");
            match process.pending.front() {
                None => return Ok(true),
                Some(Duty::Seal { attempt, seed }) => {
                    let (attempt, bytes) = (*attempt, *seed.secret_bytes());
                    if self.token_is_away(ground, "token.refused-seal") {
                        return Ok(false);
                    }
                    self.disk.commit(ground, Record::Seed(attempt, bytes))?;
                    if self.policy.is_some() {
                        ground.conspiracy.seeds.insert((self.me, attempt), bytes);
                    }
                    let process = self.process.as_mut().expect("it runs");
                    process.keeper.restore_seed(attempt, &AttemptSeed::new(bytes));
                    process.pending.pop_front();
                }
                Some(Duty::Post(_)) if self.policy.is_some() => {
                    if !self.lie(ground)? {
                        return Ok(false);
                    }
                }
                Some(Duty::Post(_)) => {
                    if !self.post(ground)? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn sign(&self, body: &Body, election: protocol::ids::ElectionId) -> Arc<Envelope> {
        let draft = Draft { election, sender: Sender::Trustee(self.me), body: body.clone() };
        let signature = self.key.sign(&draft.message()).to_bytes();
        Arc::new(draft.sign(signature))
    }

    /// Signs the messages at the head of the list, journals them in one commit, and then takes them in.
    fn post(&mut self, ground: &mut Ground) -> Result<bool, DiskTrouble> {
        let away = self.token_is_away(ground, "token.refused-signature");
        let mut signed = Vec::new();
        let process = self.process.as_ref().expect("it runs");
        for duty in &process.pending {
            let Duty::Post(body) = duty else { break };
            if away {
                break;
            }
            signed.push(self.sign(body, ground.setup.election));
        }
        let mut checked = Vec::new();
        let process = self.process.as_mut().expect("it runs");
        for envelope in signed {
            match process.keeper.check(&envelope) {
                Verdict::Valid(valid) => checked.push((valid, envelope)),
                Verdict::Moot(_) => {}
                Verdict::Fault(evidence) => {
                    self.take_evidence(ground, evidence)?;
                    return Ok(true);
                }
            }
            process.pending.pop_front();
        }
        if !checked.is_empty() {
            let rows: Vec<_> = checked.iter().map(|(_, envelope)| envelope.clone()).collect();
            let board = self.process.as_ref().expect("it runs").keeper.board();
            for envelope in &rows {
                crate::note!(ground, "trustee {} says {}", self.me, describe(envelope));
                ground.watch.signed(self.me, self.life, envelope, board);
            }
            self.disk.commit(ground, Record::Journal(rows.clone()))?;
            let process = self.process.as_mut().expect("it runs");
            process.journal.extend(rows);
            for (valid, _) in checked {
                process.keeper.absorb(valid);
            }
        }
        Ok(!away)
    }

    /// A liar's way of posting one message.
    fn lie(&mut self, ground: &mut Ground) -> Result<bool, DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        let Some(Duty::Post(body)) = process.pending.pop_front() else { return Ok(true) };
        let truth = self.sign(&body, ground.setup.election);
        let mut policy = self.policy.take().expect("it lies");
        let speech = self.with_liar(ground, |liar| policy.speak(liar, &body, truth));
        self.policy = Some(policy);
        for said in &speech.say {
            crate::note!(ground, "liar {} says {} to {:?}", self.me, describe(&said.envelope), said.to);
        }
        self.utter(ground, speech.say);
        let Some(kept) = speech.keep else {
            self.process.as_mut().expect("it runs").pending.clear();
            return Ok(false);
        };
        let process = self.process.as_mut().expect("it runs");
        if let Verdict::Valid(checked) = process.keeper.check(&kept) {
            self.disk.commit(ground, Record::Journal(vec![kept.clone()]))?;
            process.journal.push(kept);
            process.keeper.absorb(checked);
        }
        Ok(true)
    }

    fn take_roll(&mut self, ground: &mut Ground) -> Result<Message, DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        if !process.keeper.has_roll() {
            self.disk.commit(ground, Record::Roll)?;
            process.keeper.set_roll(ground.setup.roll.clone());
        }
        Ok(Message::RollTaken)
    }

    fn log_page(&self, lane: LaneIndex, from: u64) -> Message {
        let process = self.process.as_ref().expect("it runs");
        let at = usize::try_from(from).unwrap_or(usize::MAX);
        let log = process.logs.get(usize::from(lane.0)).map_or(&[][..], |log| log.get(at..).unwrap_or(&[]));
        Message::LogPage { lane, from, ballots: log.to_vec() }
    }

    /// Takes the next leaves of a lane, and co-signs the checkpoint if it is exactly what was followed.
    fn follow(&mut self, ground: &mut Ground, lane: LaneIndex, piece: LogPiece) -> Result<Message, DiskTrouble> {
        let LogPiece { first, ballots, checkpoint } = piece;
        let me = self.me;
        let process = self.process.as_mut().expect("it runs");
        let size = process.keeper.lane_size(lane).0;
        let refuse = |refusal| Ok(Message::Followed { lane, next: size, cosigned: None, refusal });
        if process.halted.is_some() || !process.caught_up {
            return refuse(Refusal::NotYet);
        }
        let new_size = first + ballots.len() as u64;
        if process.keeper.may_follow(lane, LogSize(new_size)).is_err() {
            return refuse(Refusal::NotYet);
        }
        let Some(form) = process.keeper.form() else { return refuse(Refusal::NotYet) };
        if first > size {
            return refuse(Refusal::NotYet);
        }
        let lane_at = usize::from(lane.0);
        let known = usize::try_from(size - first).unwrap_or(usize::MAX).min(ballots.len());
        let (old, new) = ballots.split_at(known);
        let own = process.logs[lane_at].get(usize::try_from(first).unwrap_or(0)..).unwrap_or(&[]);
        if old.iter().zip(own).any(|(shown, own)| !Arc::ptr_eq(shown, own) && shown != own) {
            ground.coverage.sometimes("a fork of the log was refused");
            return refuse(Refusal::Fork);
        }
        if let (Some((index, leaf)), Some(first)) = (process.refused.get(&lane), new.first())
            && *index == size
            && *leaf == leaf_hash(first)
        {
            return refuse(Refusal::BadLeaf);
        }
        let mut taken = Vec::new();
        let mut bad = None;
        for bytes in new {
            let verdict = ground.memo.verify(&form, bytes).map_err(|refusal| refusal.to_string());
            let absorbed = verdict.and_then(|ballot| {
                let (logs, memo) = (&process.logs[lane_at], std::cell::RefCell::new(&mut ground.memo));
                let earlier = |leaf: LeafIndex| -> Option<CheckedBallot> {
                    let at = usize::try_from(leaf.0).ok()?;
                    let bytes = logs.iter().chain(&taken).nth(at)?;
                    memo.borrow_mut().verify(&form, bytes).ok().map(|ballot| (*ballot).clone())
                };
                process.keeper.absorb_ballot(lane, &ballot, &earlier).map_err(|trouble| trouble.to_string())
            });
            match absorbed {
                Ok(_) => taken.push(bytes.clone()),
                Err(why) => {
                    crate::note!(ground, "trustee {me} refuses leaf {}: {why}", size + taken.len() as u64);
                    bad = Some((size + taken.len() as u64, leaf_hash(bytes)));
                    break;
                }
            }
        }
        let next = size + taken.len() as u64;
        let head = match (&bad, &checkpoint) {
            (Some(_), _) => Err(Refusal::BadLeaf),
            (None, None) => Ok(None),
            (None, Some(signed)) => process.judge_head(ground, lane, signed).map(Some),
        };
        let cosigned = match &head {
            Ok(Some((true, size, root))) => Some((*size, *root)),
            _ => None,
        };
        if !taken.is_empty() || cosigned.is_some() {
            let record = Record::Ballots { lane, ballots: taken.clone(), cosigned };
            self.disk.commit(ground, record)?;
        }
        process.logs[lane_at].extend(taken);
        if let Some((size, root)) = cosigned {
            process.newest[lane_at] = (size, root, None);
            process.cosigned.insert((lane, size), root);
            if let Some(broken) = process.invariants.cosigned(lane, size, root)
                && self.policy.is_none()
                && !self.fallen
            {
                ground.watch.broken(broken.id, format_args!("trustee {me}, as its daemon sees it: {}", broken.text));
            }
        }
        match bad {
            Some(bad) => {
                ground.coverage.sometimes("a bad leaf was refused");
                process.refused.insert(lane, bad);
            }
            None if next > size => {
                process.refused.remove(&lane);
            }
            None => {}
        }
        process.keeper.followed();
        if self.policy.is_none() && !self.fallen {
            ground.watch.process(me, process);
        }
        let (honest, refusal) = match head {
            Ok(None) => (None, Refusal::None),
            Err(refusal) => (None, refusal),
            Ok(Some((_, size, root))) => self.cosign(ground, lane, size, root),
        };
        let (mut cosignature, mut next) = (honest, next);
        if let Some(signed) = checkpoint
            && let Some(mut policy) = self.policy.take()
        {
            let checkpoint = signed.checkpoint();
            (cosignature, next) = self.with_liar(ground, |liar| {
                (policy.cosign(liar, lane, checkpoint, cosignature), policy.followed(liar, lane, next))
            });
            self.policy = Some(policy);
        }
        Ok(Message::Followed { lane, next, cosigned: cosignature, refusal })
    }

    /// Signs a checkpoint that is durably noted as co-signed.
    fn cosign(
        &mut self,
        ground: &mut Ground,
        lane: LaneIndex,
        size: LogSize,
        root: Hash,
    ) -> (Option<Cosignature>, Refusal) {
        let at = usize::from(lane.0);
        let process = self.process.as_mut().expect("it runs");
        let remembered = process.newest.get(at).filter(|newest| (newest.0, newest.1) == (size, root));
        if let Some((.., Some(cosignature))) = remembered {
            return (Some(cosignature.clone()), Refusal::None);
        }
        if self.token_is_away(ground, "token.refused-cosignature") {
            return (None, Refusal::NotYet);
        }
        let checkpoint = protocol::log::Checkpoint { origin: origin(&ground.setup.election, lane), size, root };
        let time_s = self.clock(ground).0 / 1000;
        let signature = self.key.sign(&checkpoint.cosignature_message(time_s)).to_bytes();
        let cosignature = Cosignature { time_s, signature };
        if self.is_honest() {
            ground.watch.cosigned(self.me, lane, size, root, self.disk.records());
        }
        let process = self.process.as_mut().expect("it runs");
        if let Some(newest) = process.newest.get_mut(at)
            && (newest.0, newest.1) == (size, root)
        {
            newest.2 = Some(cosignature.clone());
        }
        (Some(cosignature), Refusal::None)
    }
}

impl Process {
    /// Its copy of every lane.
    #[must_use]
    pub fn logs(&self) -> &[Vec<Arc<[u8]>>] {
        &self.logs
    }

    /// After a restart: the stored leaves again, and whether they are what was co-signed.
    fn replay(&mut self, ground: &mut Ground, records: &[Record]) {
        let Some(form) = self.keeper.form() else { return };
        for record in records {
            let Record::Ballots { lane, ballots, cosigned } = record else { continue };
            let at = usize::from(lane.0);
            for bytes in ballots {
                let Ok(ballot) = ground.memo.verify(&form, bytes) else {
                    ground.watch.broken("I09", format_args!("a stored leaf of lane {lane} does not verify"));
                    continue;
                };
                let (logs, memo) = (&self.logs[at], std::cell::RefCell::new(&mut ground.memo));
                let earlier = |leaf: LeafIndex| -> Option<CheckedBallot> {
                    let bytes = logs.get(usize::try_from(leaf.0).ok()?)?;
                    memo.borrow_mut().verify(&form, bytes).ok().map(|ballot| (*ballot).clone())
                };
                if let Err(trouble) = self.keeper.absorb_ballot(*lane, &ballot, &earlier) {
                    ground.watch.broken("I09", format_args!("a stored leaf of lane {lane} is refused: {trouble}"));
                }
                self.logs[at].push(bytes.clone());
            }
            if let Some((size, root)) = cosigned {
                if self.keeper.lane_size(*lane) != *size || self.keeper.lane_root(*lane) != Some(*root) {
                    ground.watch.broken("I08", format_args!("lane {lane} is not what was co-signed at {size}"));
                }
                self.keeper.restore_cosigned(*lane, *size);
                self.newest[at] = (*size, *root, None);
                self.cosigned.insert((*lane, *size), *root);
            }
        }
        self.keeper.followed();
    }

    /// Whether a checkpoint is signed by the shard and is this trustee's own head, and whether for the first time.
    fn judge_head(
        &mut self,
        ground: &mut Ground,
        lane: LaneIndex,
        signed: &SignedCheckpoint,
    ) -> Result<(bool, LogSize, Hash), Refusal> {
        let origin = origin(&ground.setup.election, lane);
        let shard = IdentityKey(ground.setup.shard.verifying_key().to_bytes());
        let keys = [NoteKey::log(&origin, shard).map_err(|_| Refusal::NotYet)?];
        let signers = signed.verify(&origin, &keys).map_err(|_| Refusal::NotYet)?;
        if signers.log.is_empty() {
            return Err(Refusal::NotYet);
        }
        let (size, root) = (signed.checkpoint().size, signed.checkpoint().root);
        if let Some(before) = self.cosigned.get(&(lane, size)) {
            if *before == root {
                return Ok((false, size, root));
            }
            ground.coverage.sometimes("a fork of the log was refused");
            return Err(Refusal::Fork);
        }
        if size < self.newest[usize::from(lane.0)].0 {
            return Err(Refusal::Rollback);
        }
        match self.keeper.cosign(lane, signed.checkpoint()) {
            Ok(()) => Ok((true, size, root)),
            Err(CosignRefusal::Fork { .. }) => {
                ground.coverage.sometimes("a fork of the log was refused");
                Err(Refusal::Fork)
            }
            Err(CosignRefusal::Follow(FollowRefusal::NotOpen | FollowRefusal::NoRoll)) => Err(Refusal::NotYet),
            Err(_) => Err(Refusal::NotYet),
        }
    }
}

/// An envelope in a few words.
#[must_use]
pub fn describe(envelope: &Envelope) -> String {
    let slot = envelope.slot();
    let what = match &envelope.body {
        Body::Prevote(body) => format!(" {}", body.value.map_or("nil".into(), |hash| crate::setup::short(&hash))),
        Body::Precommit(body) => format!(" {}", body.value.map_or("nil".into(), |hash| crate::setup::short(&hash))),
        Body::Proposal(body) => {
            let ends: Vec<u64> = body.value.lanes.iter().map(|end| end.size.0).collect();
            format!(
                " {} ends {ends:?} valid {:?}",
                crate::setup::short(&body.value.hash(&envelope.election)),
                body.valid_round
            )
        }
        Body::SignRequest(body) => {
            let signers: Vec<u16> = body.signers.iter().map(|signer| signer.0).collect();
            format!(" {} {signers:?}", body.purpose.name())
        }
        Body::SignAbort(body) => format!(" {} {}", body.purpose.name(), body.reason),
        Body::Abandon(body) => format!(" {}", body.reason),
        _ => String::new(),
    };
    format!("{}({}, {}){what} by {}", envelope.body.name(), slot.number, slot.topic, slot.sender)
}
