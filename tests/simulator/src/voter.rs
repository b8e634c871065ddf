//! A voter: seals once, casts, sends the same bytes until it is told something, keeps the receipt, asks for the proof.

use crate::{
    Dice,
    ground::Ground,
    policy::Answer,
    setup::{CastPlan, below},
    wire::{Message, Node, Packet},
};
use ed25519_dalek::Signer as _;
use protocol::{
    ballot::{BallotForm, signing_text},
    encoding::{digest, label},
    ids::{IdentityKey, StyleIndex},
    log::{NoteKey, Receipt, leaf_hash, origin},
    manifest::Manifest,
};
use rand_core::{RngCore as _, SeedableRng as _};
use std::sync::Arc;

/// How long an answer is waited for.
const CALL_MS: u64 = 1800;
/// How often the proof is asked for.
const PROOF_MS: u64 = 900;
/// Proofs that are asked for in vain, at most.
const PROOFS_MAX: u32 = 60;
/// Casts of the same bytes, at most.
const CASTS_MAX: u32 = 200;
/// Where a ballot has its credential.
const CREDENTIAL_AT: std::ops::Range<usize> = 11..43;

/// See the [module](self).
#[derive(Debug)]
pub struct VoterNode {
    at: u16,
    cast: usize,
    sealed: Option<Arc<[u8]>>,
    last: Option<Arc<[u8]>>,
    tries: u32,
    waiting: Option<(u64, u64)>,
    calls: u64,
    receipt: Option<Receipt>,
    proofs: u32,
    /// Nothing more to do.
    pub done: bool,
    /// Nothing more to cast.
    pub has_cast: bool,
    /// Comes when it is over.
    pub late: bool,
}

impl VoterNode {
    /// Waits for the opening.
    #[must_use]
    pub fn new(at: u16) -> Self {
        Self {
            at,
            cast: 0,
            sealed: None,
            last: None,
            tries: 0,
            waiting: None,
            calls: 0,
            receipt: None,
            proofs: 0,
            done: false,
            has_cast: false,
            late: false,
        }
    }

    fn wake(&self, ground: &mut Ground, after: u64) {
        ground.timer(after.max(1), Node::Voter(self.at), 0, 0);
    }

    /// Its timer.
    pub fn timer(&mut self, ground: &mut Ground) {
        if self.done {
            return;
        }
        if let Some((_, deadline)) = self.waiting {
            if deadline > ground.now {
                return;
            }
            self.waiting = None;
        }
        let setup = ground.setup.clone();
        let Some(plan) = setup.voters.get(usize::from(self.at)) else { return };
        if let Some(cast) = plan.casts.get(self.cast) {
            if self.sealed.is_none() {
                self.sealed = self.seal(ground, cast);
            }
            match &self.sealed {
                Some(bytes) if self.tries < CASTS_MAX => {
                    self.tries += 1;
                    let message = Message::Cast(bytes.clone());
                    self.call(ground, message, CALL_MS);
                }
                _ => self.next(ground),
            }
            return;
        }
        self.has_cast = true;
        match &self.receipt {
            Some(receipt) if self.proofs < PROOFS_MAX => {
                self.proofs += 1;
                let message = Message::Prove { lane: receipt.lane, index: receipt.index.0 };
                self.call(ground, message, PROOF_MS);
            }
            _ => self.done = true,
        }
    }

    fn call(&mut self, ground: &mut Ground, message: Message, wait: u64) {
        self.calls += 1;
        self.waiting = Some((self.calls, ground.now + wait));
        ground.send(Packet { from: Node::Voter(self.at), to: Node::Shard, call: self.calls, message });
        self.wake(ground, wait);
    }

    fn next(&mut self, ground: &mut Ground) {
        self.last = self.sealed.take().or(self.last.take());
        self.cast += 1;
        self.tries = 0;
        let pause = 20 + below(&mut ground.dice, 400);
        self.wake(ground, pause);
    }

    /// An answer arrives.
    pub fn called(&mut self, ground: &mut Ground, packet: Packet) {
        if self.waiting.is_none_or(|(call, _)| call != packet.call) || self.done {
            return;
        }
        match packet.message {
            Message::Answered(answer) => {
                self.waiting = None;
                self.heard(ground, answer);
            }
            Message::Proof(proof) => {
                let Some(receipt) = &self.receipt else { return };
                let setup = ground.setup.clone();
                let keys = note_keys(&setup.manifest, receipt);
                let w = setup.manifest.quorums.w;
                if let Some(proof) = proof
                    && let Ok(signers) = proof.confirms(receipt, &keys, w)
                {
                    ground.coverage.sometimes("receipt final");
                    ground.watch.final_receipt(receipt, &proof, signers.cosigners.len());
                    self.done = true;
                }
            }
            _ => {}
        }
    }

    fn heard(&mut self, ground: &mut Ground, answer: Answer) {
        let Some(bytes) = self.sealed.clone() else { return };
        match answer {
            Answer::Recorded(receipt) => {
                let shard = IdentityKey(ground.setup.shard.verifying_key().to_bytes());
                if receipt.leaf == leaf_hash(&bytes) && receipt.verify(&shard) {
                    self.receipt = Some(receipt);
                    self.next(ground);
                } else {
                    // Not what was asked for: as good as no answer.
                    self.wake(ground, CALL_MS);
                }
            }
            Answer::Rejected(rejection) => {
                let kind = ground.setup.voters[usize::from(self.at)].casts[self.cast].clone();
                match (rejection.code, kind) {
                    (100, _) => ground.coverage.sometimes("stranger refused"),
                    (103, _) => ground.coverage.sometimes("second vote refused"),
                    (_, CastPlan::Copied) => ground.coverage.sometimes("copied ballot refused"),
                    _ => {}
                }
                self.next(ground);
            }
            Answer::TryLater(pause) => self.wake(ground, pause),
            Answer::Refused => {
                if ground.watch.closed() {
                    ground.coverage.sometimes("late ballot refused");
                    self.next(ground);
                } else {
                    self.wake(ground, 300);
                }
            }
            Answer::Unknown => self.wake(ground, 200),
        }
    }

    fn seal(&mut self, ground: &mut Ground, cast: &CastPlan) -> Option<Arc<[u8]>> {
        let setup = ground.setup.clone();
        let plan = setup.voters.get(usize::from(self.at))?;
        let form = ground.watch.form()?;
        let mut dice = Dice::from_rng(&mut ground.dice).expect("a seeded source never fails");
        let make = |form: &BallotForm, style: StyleIndex, choices: &[Vec<_>], dice: &mut Dice| -> Option<Arc<[u8]>> {
            form.seal(style, choices, &plan.key, dice).ok().map(Arc::from)
        };
        match cast {
            CastPlan::Good(choices) => {
                if !plan.listed {
                    ground.coverage.fault("voter.stranger");
                } else if self.cast > 0 {
                    ground.coverage.fault("voter.revote");
                }
                if ground.watch.closed() {
                    ground.coverage.fault("voter.late");
                }
                let bytes = make(&form, plan.style, choices, &mut dice)?;
                let leaf = ground.memo.leaf(&bytes);
                ground.watch.will_cast(leaf, &bytes, self.at, choices.clone());
                Some(bytes)
            }
            CastPlan::Again => {
                ground.coverage.fault("voter.again");
                self.last.clone()
            }
            CastPlan::Rubbish => {
                ground.coverage.fault("voter.rubbish");
                let mut bytes = vec![0; form.ballot_len(plan.style)?];
                dice.fill_bytes(&mut bytes);
                Some(Arc::from(bytes))
            }
            CastPlan::Bent(choices) => {
                ground.coverage.fault("voter.bent");
                let mut bytes = make(&form, plan.style, choices, &mut dice)?.to_vec();
                let at = usize::try_from(below(&mut dice, bytes.len() as u64)).ok()?;
                *bytes.get_mut(at)? ^= 1 << below(&mut dice, 8);
                Some(Arc::from(bytes))
            }
            CastPlan::Stolen => {
                let others = ground.watch.cast_ballots();
                let at = usize::try_from(below(&mut dice, others.len() as u64)).ok()?;
                let stolen = others.get(at)?.clone();
                ground.coverage.fault("voter.stolen");
                Some(stolen)
            }
            CastPlan::Copied => {
                let others = ground.watch.cast_ballots();
                let at = usize::try_from(below(&mut dice, others.len() as u64)).ok()?;
                let mut bytes = others.get(at)?.to_vec();
                ground.coverage.fault("voter.copied");
                bytes.get_mut(CREDENTIAL_AT)?.copy_from_slice(&plan.key.verifying_key().to_bytes());
                let end = bytes.len().checked_sub(64)?;
                let text = signing_text(setup.election, &digest(label::BALLOT, bytes.get(..end)?));
                let signature = plan.key.sign(text.as_bytes()).to_bytes();
                bytes.get_mut(end..)?.copy_from_slice(&signature);
                Some(Arc::from(bytes))
            }
            CastPlan::OtherStyle => {
                let styles = u16::try_from(setup.manifest.styles.len()).ok()?;
                let style = StyleIndex((plan.style.0 + 1) % styles);
                if style == plan.style {
                    return None;
                }
                ground.coverage.fault("voter.other-style");
                let contests = &setup.manifest.style(style)?.contests;
                let least = contests.iter().filter_map(|contest| setup.manifest.contest(*contest));
                let choices: Vec<Vec<_>> =
                    least.map(|contest| (0..contest.min).map(protocol::ids::OptionIndex).collect()).collect();
                make(&form, style, &choices, &mut dice)
            }
        }
    }
}

/// All keys that may sign checkpoints of a receipt's lane.
#[must_use]
pub fn note_keys(manifest: &Manifest, receipt: &Receipt) -> Vec<NoteKey> {
    let origin = origin(&receipt.election, receipt.lane);
    let log = manifest.home_shard().and_then(|shard| NoteKey::log(&origin, shard.identity).ok());
    let trustees = manifest.trustees.iter().map(|trustee| NoteKey::cosigner(trustee.identity));
    log.into_iter().chain(trustees).collect()
}
