//! The chair's duties, and its errands on the chain. Nothing is lost by a failure: the same bytes are submitted again.

use super::ShardNode;
use crate::{
    chain::{Question, Told},
    disk::DiskTrouble,
    ground::Ground,
    setup::SimulatedChain,
    wire::{Message, Node, Packet},
};
use protocol::{
    chair::{ChairDuty, LedgerView, Need},
    encoding::Bytes,
    ids::{Attempt, TimeMs},
    signed::Body,
    signing::messages::{Anchored, Purpose, SignRequest},
};
use std::collections::BTreeMap;

/// How often the chair is asked when nothing has changed.
const CHAIR_MS: u64 = 400;
/// How long the chain is waited for.
const QUESTION_MS: u64 = 2500;
/// How long a submission is waited for.
const SUBMIT_MS: u64 = 6000;
/// After a failure.
const PAUSE_MS: u64 = 400;

/// What one election knows of the chain, and when it may ask again.
#[derive(Debug, Default)]
pub(super) struct Errands {
    view: LedgerView,
    asking: Option<(u64, u64)>,
    not_before: u64,
    submitting: BTreeMap<u64, Submitting>,
    later: Vec<(u64, Purpose, Attempt)>,
}

#[derive(Debug)]
struct Submitting {
    purpose: Purpose,
    attempt: Attempt,
    message: Vec<u8>,
    signature: [u8; 64],
    deadline: u64,
}

impl Errands {
    pub(super) fn due_at(&self) -> Option<u64> {
        let deadlines = self.submitting.values().map(|submitting| submitting.deadline);
        let later = self.later.iter().map(|(at, ..)| *at);
        deadlines.chain(later).chain(self.asking.map(|(_, at)| at)).min()
    }
    fn forget(&mut self) {
        self.view = LedgerView { nonce_rent: self.view.nonce_rent, ..LedgerView::default() };
    }
}

impl ShardNode {
    /// Everything that the chair owes now.
    pub(super) fn perform_duties(&mut self, ground: &mut Ground) -> Result<(), DiskTrouble> {
        let now = ground.now;
        let process = self.process.as_mut().expect("it runs");
        process.chair_at = now + CHAIR_MS;
        let errands = &mut process.errands;
        if errands.asking.is_some_and(|(_, deadline)| deadline <= now) {
            errands.asking = None;
            errands.not_before = now + PAUSE_MS;
        }
        let lost: Vec<u64> =
            errands.submitting.iter().filter(|(_, one)| one.deadline <= now).map(|(call, _)| *call).collect();
        for call in lost {
            if let Some(one) = errands.submitting.remove(&call) {
                process.chair.submit_again(one.purpose, one.attempt);
            }
        }
        let (due, later) = std::mem::take(&mut errands.later).into_iter().partition(|(at, ..)| *at <= now);
        errands.later = later;
        let due: Vec<(u64, Purpose, Attempt)> = due;
        for (_, purpose, attempt) in due {
            process.chair.submit_again(purpose, attempt);
        }
        process.board.judge_shares(&SimulatedChain);
        if process.outbox.is_empty() {
            let ends = process.ends.clone();
            let duties =
                process.chair.duties(&process.board, TimeMs(now), ends, &process.errands.view, &SimulatedChain);
            for duty in duties {
                match duty {
                    ChairDuty::Post(body) => self.process.as_mut().expect("it runs").outbox.push_back(body),
                    ChairDuty::Fetch(need) => self.fetch(ground, need),
                    ChairDuty::Submit { purpose, attempt, message, signature } => {
                        self.submit(ground, purpose, attempt, message, signature);
                    }
                }
            }
        }
        while let Some(body) = self.process.as_ref().expect("it runs").outbox.front().cloned() {
            self.post(ground, &body)?;
            let process = self.process.as_mut().expect("it runs");
            process.outbox.pop_front();
            if let Body::SignRequest(request) = &body {
                if request.attempt.0 > 1 {
                    ground.coverage.sometimes("signing attempt repeated");
                    let before = process.board.signing(request.purpose, Attempt(request.attempt.0 - 1));
                    let left_out = before.is_some_and(|before| {
                        let answered = before.shares.keys().filter(|signer| !ground.watch.is_honest(**signer));
                        answered.into_iter().any(|signer| !request.signers.contains(signer))
                    });
                    if left_out {
                        ground.coverage.sometimes("culprit excluded from signing");
                    }
                }
                if matches!(request, SignRequest { purpose: Purpose::CreateNonce, .. }) {
                    // A block hash is used once.
                    process.errands.forget();
                }
            }
        }
        Ok(())
    }

    fn fetch(&mut self, ground: &mut Ground, need: Need) {
        let process = self.process.as_mut().expect("it runs");
        if process.errands.asking.is_some() || process.errands.not_before > ground.now {
            return;
        }
        let call = process.call();
        process.errands.asking = Some((call, ground.now + QUESTION_MS));
        let question = match need {
            Need::Blockhash => Question::Blockhash,
            Need::Nonce => Question::Nonce,
        };
        ground.send(Packet { from: Node::Shard, to: Node::Chain, call, message: Message::Ask(question) });
    }

    fn submit(
        &mut self,
        ground: &mut Ground,
        purpose: Purpose,
        attempt: Attempt,
        message: Vec<u8>,
        signature: [u8; 64],
    ) {
        let process = self.process.as_mut().expect("it runs");
        let call = process.call();
        let deadline = ground.now + SUBMIT_MS;
        let question = Question::Submit { message: message.clone(), signature };
        process.errands.submitting.insert(call, Submitting { purpose, attempt, message, signature, deadline });
        ground.send(Packet { from: Node::Shard, to: Node::Chain, call, message: Message::Ask(question) });
    }

    /// The chain has answered.
    pub(super) fn told(&mut self, ground: &mut Ground, packet: Packet) {
        let Message::Told(told) = packet.message else { return };
        let now = ground.now;
        let process = self.process.as_mut().expect("it runs");
        if process.errands.asking.is_some_and(|(call, _)| call == packet.call) {
            process.errands.asking = None;
            process.errands.not_before = now + 20;
            let view = &mut process.errands.view;
            match told {
                Told::Blockhash(hash, rent) => (view.blockhash, view.nonce_rent) = (Some(hash), rent),
                Told::Nonce(nonce) => (view.nonce, view.nonce_missing) = (nonce, nonce.is_none()),
                _ => process.errands.not_before = now + PAUSE_MS,
            }
            process.changed = true;
            return;
        }
        let Some(one) = process.errands.submitting.remove(&packet.call) else { return };
        let Submitting { purpose, attempt, message, signature, .. } = one;
        match told {
            Told::Landed(slot) => {
                process.errands.forget();
                process.errands.not_before = 0;
                let message = Bytes(message);
                process.outbox.push_back(Anchored { purpose, attempt, signature, slot, message }.into());
            }
            Told::NeverLands => {
                process.chair.submission_failed(purpose, attempt);
                process.errands.forget();
            }
            _ => process.errands.later.push((now + PAUSE_MS, purpose, attempt)),
        }
        process.changed = true;
    }
}
