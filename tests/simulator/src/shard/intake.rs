//! Ballots come in, are judged in batches, stored, and only then answered.

use super::{Known, Process, Record, ShardNode};
use crate::{
    disk::DiskTrouble,
    ground::Ground,
    policy::{Answer, Intake},
    wire::{Message, Node, Packet},
};
use ed25519_dalek::Signer as _;
use protocol::{
    agreement::messages::LaneEnd,
    ballot::CheckedBallot,
    encoding::{Hash, digest, label},
    ids::{IdentityKey, LaneIndex, TimeMs},
    log::{Receipt, Rejection, SignedCheckpoint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How long a batch waits for company.
const BATCH_MS: u64 = 20;
/// Ballots that may wait.
const QUEUE_MAX: usize = 64;
/// How soon after one checkpoint the next may come.
const CHECKPOINT_MS: u64 = 50;

/// A ballot that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    from: Node,
    call: u64,
    bytes: Arc<[u8]>,
}

struct Accepted {
    waiting: Waiting,
    ballot: Arc<CheckedBallot>,
    lane: LaneIndex,
}

impl ShardNode {
    /// A ballot is cast.
    pub(super) fn cast(
        &mut self,
        ground: &mut Ground,
        from: Node,
        call: u64,
        bytes: Arc<[u8]>,
    ) -> Result<(), DiskTrouble> {
        if let Some(mut policy) = self.policy.take() {
            let intake = self.with_liar(ground, |liar| policy.cast(liar, &bytes));
            self.policy = Some(policy);
            match intake {
                Intake::Honest => {}
                Intake::Drop => return Ok(()),
                Intake::Answer(answer) => {
                    ground.send(Packet { from: Node::Shard, to: from, call, message: Message::Answered(answer) });
                    return Ok(());
                }
            }
        }
        let process = self.process.as_mut().expect("it runs");
        let waiting = Waiting { from, call, bytes };
        let rebuilding = self.rebuild.is_some();
        let open = process.board.opened() && !process.board.closed() && process.ends.is_none();
        if rebuilding || process.lanes.iter().any(|lane| lane.blocked) {
            self.answer(ground, &waiting, Answer::TryLater(2000));
        } else if !open || process.lanes.is_empty() {
            self.cast_late(ground, &waiting);
        } else if process.intake.len() >= QUEUE_MAX {
            self.answer(ground, &waiting, Answer::TryLater(500));
        } else {
            process.intake.push_back(waiting);
            process.intake_at.get_or_insert(ground.now + BATCH_MS);
        }
        Ok(())
    }

    /// After the close: whoever is in the log still gets the receipt, whoever is on the way in waits, nobody else gets in.
    fn cast_late(&mut self, ground: &mut Ground, waiting: &Waiting) {
        let process = self.process.as_ref().expect("it runs");
        let body = waiting.bytes.len().saturating_sub(64);
        let id = digest(label::BALLOT, waiting.bytes.get(..body).unwrap_or(&[]));
        let answer = match process.known.get(&id) {
            Some(known) => Answer::Recorded(self.receipt(ground, known)),
            None if process.intake.iter().any(|other| other.bytes == waiting.bytes) => Answer::TryLater(200),
            None => Answer::Refused,
        };
        self.answer(ground, waiting, answer);
    }

    fn answer(&mut self, ground: &mut Ground, waiting: &Waiting, answer: Answer) {
        let mut told = Some(answer);
        if let Some(mut policy) = self.policy.take() {
            if let Some(honest) = told.take() {
                told = self.with_liar(ground, |liar| policy.answer(liar, honest));
            }
            self.policy = Some(policy);
        } else if let Some(answer) = &told {
            ground.watch.answered(&waiting.bytes, answer, self.disk.records());
        }
        if let Some(answer) = told {
            let (to, call) = (waiting.from, waiting.call);
            ground.send(Packet { from: Node::Shard, to, call, message: Message::Answered(answer) });
        }
    }

    /// A voter asks for its proof.
    pub(super) fn prove(&mut self, ground: &mut Ground, packet: &Packet, lane: LaneIndex, index: u64) {
        let process = self.process.as_ref().expect("it runs");
        let mut proof = process.lanes.get(usize::from(lane.0)).and_then(|lane| lane.proof(index));
        if let Some(mut policy) = self.policy.take() {
            proof = self.with_liar(ground, |liar| policy.prove(liar, proof));
            self.policy = Some(policy);
        }
        let message = Message::Proof(proof);
        ground.send(Packet { from: Node::Shard, to: packet.from, call: packet.call, message });
    }

    /// Judges what waits, stores what is good, answers.
    pub(super) fn work_intake(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        if process.intake_at.is_none_or(|at| at > ground.now && process.board.closed() == process.ends.is_some()) {
            self.drain(ground);
            return Ok(());
        }
        process.intake_at = None;
        while !self.process.as_ref().expect("it runs").intake.is_empty() {
            self.work_batch(ground)?;
        }
        self.drain(ground);
        Ok(())
    }

    fn work_batch(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        let process = self.process.as_mut().expect("it runs");
        let Some(form) = process.form.clone() else { return Ok(()) };
        let (mut accepted, mut refused, mut later) = (Vec::<Accepted>::new(), Vec::new(), Vec::new());
        let (mut credentials, mut components) = (BTreeSet::new(), BTreeSet::new());
        for waiting in process.intake.drain(..) {
            let leaf = ground.memo.leaf(&waiting.bytes);
            let ballot = match ground.memo.verify(&form, &waiting.bytes) {
                Ok(ballot) => ballot,
                Err(refusal) => {
                    refused.push((waiting, None, leaf, refusal.code()));
                    continue;
                }
            };
            let own = ballot.first_components();
            // Whoever touches another of the same batch waits for the next.
            if credentials.contains(&ballot.credential()) || own.iter().any(|one| components.contains(one)) {
                later.push(waiting);
                continue;
            }
            credentials.insert(ballot.credential());
            components.extend(own);
            let lane = protocol::ballot_box::lane_of(&ballot.credential(), ground.setup.manifest.lanes);
            match process.lanes[usize::from(lane.0)].ballots.judge(&ballot) {
                Ok(_) => accepted.push(Accepted { waiting, ballot, lane }),
                Err(refusal) => refused.push((waiting, Some(ballot.digest()), leaf, refusal.code())),
            }
        }
        process.intake.extend(later);
        let mut by_lane: BTreeMap<LaneIndex, Vec<Arc<[u8]>>> = BTreeMap::new();
        for one in &accepted {
            by_lane.entry(one.lane).or_default().push(one.waiting.bytes.clone());
        }
        for (lane, ballots) in by_lane {
            match self.disk.commit(ground, Record::Ballots(lane, ballots.clone())) {
                Ok(()) => {
                    let process = self.process.as_mut().expect("it runs");
                    for bytes in &ballots {
                        if !process.put(ground, lane, bytes) {
                            ground.watch.broken("I09", format_args!("a ballot that was judged good is refused"));
                        }
                    }
                    process.lanes[usize::from(lane.0)].checkpoint_at.get_or_insert(ground.now + CHECKPOINT_MS);
                }
                Err(DiskTrouble::Full) => {}
                Err(DiskTrouble::Died) => return Err(DiskTrouble::Died),
            }
        }
        for one in accepted {
            let known = self.process.as_ref().expect("it runs").known.get(&one.ballot.digest()).copied();
            let answer = match known {
                Some(known) => Answer::Recorded(self.receipt(ground, &known)),
                None => Answer::TryLater(500),
            };
            self.answer(ground, &one.waiting, answer);
        }
        if !refused.is_empty() {
            match self.disk.commit(ground, Record::Rejections(refused.len() as u64)) {
                Ok(()) => {}
                Err(DiskTrouble::Full) => {
                    for (waiting, ..) in refused {
                        self.answer(ground, &waiting, Answer::TryLater(500));
                    }
                    return Ok(());
                }
                Err(DiskTrouble::Died) => return Err(DiskTrouble::Died),
            }
        }
        for (waiting, digest, leaf, code) in refused {
            let known = digest.and_then(|digest| self.process.as_ref().expect("it runs").known.get(&digest).copied());
            let answer = match known {
                // Refused, and in the log: it was sent again, and has its receipt.
                Some(known) => {
                    ground.coverage.sometimes("same ballot, same receipt");
                    Answer::Recorded(self.receipt(ground, &known))
                }
                None => Answer::Rejected(self.rejection(ground, leaf, code)),
            };
            self.answer(ground, &waiting, answer);
        }
        Ok(())
    }

    fn receipt(&self, ground: &Ground, known: &Known) -> Receipt {
        let Known { lane, index, leaf, credential } = *known;
        let (election, shard) = (ground.setup.election, ground.setup.manifest.home);
        let mut receipt = Receipt { election, lane, index, leaf, credential, shard, signature: [0; 64] };
        receipt.signature = self.key.sign(&receipt.message()).to_bytes();
        receipt
    }

    fn rejection(&self, ground: &Ground, ballot: Hash, code: u16) -> Rejection {
        let (election, shard) = (ground.setup.election, ground.setup.manifest.home);
        let time = TimeMs(ground.now);
        let mut rejection = Rejection { election, ballot, code, shard, time, signature: [0; 64] };
        rejection.signature = self.key.sign(&rejection.message()).to_bytes();
        rejection
    }

    /// Signs heads, stores them, and only then shows them.
    pub(super) fn make_checkpoints(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        let identity = IdentityKey(self.key.verifying_key().to_bytes());
        for at in 0..self.process.as_ref().expect("it runs").lanes.len() {
            let process = self.process.as_mut().expect("it runs");
            let lane = &mut process.lanes[at];
            if lane.checkpoint_at.is_none_or(|due| due > ground.now) {
                continue;
            }
            let checkpoint = lane.checkpoint();
            let signature = self.key.sign(&checkpoint.note_message()).to_bytes();
            let note = SignedCheckpoint::by_log(checkpoint, &identity, &signature).expect("a sound checkpoint");
            match self.disk.commit(ground, Record::Head) {
                Ok(()) => {
                    let now = ground.now;
                    lane.checkpoint_at = None;
                    lane.set_head(note, now);
                }
                Err(DiskTrouble::Full) => lane.checkpoint_at = Some(ground.now + CHECKPOINT_MS),
                Err(DiskTrouble::Died) => return Err(DiskTrouble::Died),
            }
        }
        self.drain(ground);
        Ok(())
    }

    /// After the close: where do the lanes end?
    fn drain(&mut self, ground: &mut Ground) {
        let process = self.process.as_mut().expect("it runs");
        if !process.board.closed() || process.ends.is_some() || process.lanes.is_empty() || !process.intake.is_empty() {
            return;
        }
        let mut ready = true;
        for lane in &mut process.lanes {
            if lane.head.as_ref().is_none_or(|head| head.checkpoint().size.0 != lane.size()) {
                // The end is said under a signed checkpoint, of an empty lane too.
                lane.checkpoint_at.get_or_insert(ground.now + CHECKPOINT_MS);
                ready = false;
            }
        }
        if ready {
            process.ends = Some(process.lane_ends());
            process.changed = true;
        }
    }
}

impl Process {
    fn lane_ends(&self) -> Vec<LaneEnd> {
        self.lanes.iter().map(|lane| LaneEnd { size: lane.tree.size(), root: lane.tree.root() }).collect()
    }
}
