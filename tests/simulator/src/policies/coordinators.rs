//! Coordinators that lie. What they can do is not to answer, to answer wrongly, and to show each trustee something else.

use super::saying::{bent, halves};
use crate::{
    liar::Liar,
    policy::{Answer, CoordinatorPolicy, Intake, LogPiece, Said, Speech},
};
use ed25519_dalek::Signer as _;
use protocol::{
    encoding::Bytes,
    ids::{Attempt, Credential, LaneIndex, LeafIndex, LogSize, TrusteeIndex},
    log::{Checkpoint, ProofFile, Receipt, SignedCheckpoint, Tree, leaf_hash, origin},
    signed::{Body, Envelope},
    signing::messages::{Anchored, Purpose},
};
use std::{collections::BTreeMap, sync::Arc};

/// Says something else than its chair owes, to all or to the second half of the trustees.
pub(super) struct Says {
    pub(super) name: &'static str,
    pub(super) to_all: bool,
    pub(super) lie: fn(&Liar<'_>, &Body) -> Option<Body>,
}

impl CoordinatorPolicy for Says {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Some(lie) = (self.lie)(liar, body) else { return Speech::truth(truth) };
        let lie = liar.sign(lie);
        if self.to_all {
            return Speech::instead(truth, lie);
        }
        let (first, second) = halves(liar);
        Speech { keep: Some(truth.clone()), say: vec![Said::only(truth, first), Said::only(lie, second)] }
    }
}

/// One leaf fewer in the first lane that has any.
pub(super) fn one_less(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Sealed(sealed) = body else { return None };
    let mut sealed = sealed.clone();
    sealed.lanes.iter_mut().find(|end| end.size.0 > 0)?.size.0 -= 1;
    Some(sealed.into())
}

/// Far more leaves than there are: nobody can ever follow so far.
pub(super) fn false_end(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Sealed(sealed) = body else { return None };
    let mut sealed = sealed.clone();
    sealed.lanes.iter_mut().for_each(|end| end.size.0 += 1_000_000);
    Some(sealed.into())
}

/// No leaves at all.
pub(super) fn empty_end(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Sealed(sealed) = body else { return None };
    let mut sealed = sealed.clone();
    sealed.lanes.iter_mut().for_each(|end| end.size = LogSize(0));
    Some(sealed.into())
}

/// Another nonce value: the other half is to sign another message.
pub(super) fn other_nonce(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignRequest(request) = body else { return None };
    if request.purpose == Purpose::Rehearsal {
        return None;
    }
    let mut request = request.clone();
    request.nonce = bent(request.nonce);
    Some(request.into())
}

/// All the money for the nonce account, where there is any to ask for; else some that nobody owes.
pub(super) fn greedy(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignRequest(request) = body else { return None };
    if request.purpose == Purpose::Rehearsal {
        return None;
    }
    let mut request = request.clone();
    request.lamports = u64::MAX;
    Some(request.into())
}

/// Asks fewer than it must.
pub(super) fn too_few(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::SignRequest(request) = body else { return None };
    if request.purpose == Purpose::Rehearsal {
        return None;
    }
    let mut request = request.clone();
    request.signers.pop();
    Some(request.into())
}

/// Shows a third of what is new to nobody, drawn anew for each trustee.
pub(super) struct Loses;

impl CoordinatorPolicy for Loses {
    fn name(&self) -> &'static str {
        "loses-statements"
    }
    fn show_board(&mut self, liar: &mut Liar<'_>, _to: TrusteeIndex, new: Vec<Arc<Envelope>>) -> Vec<Arc<Envelope>> {
        let rng = &mut *liar.rng;
        new.into_iter().filter(|_| !crate::setup::chance(rng, 330)).collect()
    }
}

/// Holds back what is new, and shows it the other way round, much later.
#[derive(Default)]
pub(super) struct Delays {
    held: BTreeMap<TrusteeIndex, Vec<Arc<Envelope>>>,
    calls: u32,
}

impl CoordinatorPolicy for Delays {
    fn name(&self) -> &'static str {
        "delays-statements"
    }
    fn show_board(&mut self, _liar: &mut Liar<'_>, to: TrusteeIndex, new: Vec<Arc<Envelope>>) -> Vec<Arc<Envelope>> {
        self.calls += 1;
        let held = self.held.entry(to).or_default();
        held.extend(new);
        if self.calls.is_multiple_of(4) {
            let mut shown = std::mem::take(held);
            shown.reverse();
            shown
        } else {
            Vec::new()
        }
    }
}

/// One trustee hears nothing.
pub(super) struct Starves;

impl CoordinatorPolicy for Starves {
    fn name(&self) -> &'static str {
        "starves-one"
    }
    fn show_board(&mut self, liar: &mut Liar<'_>, to: TrusteeIndex, new: Vec<Arc<Envelope>>) -> Vec<Arc<Envelope>> {
        // From the opening on: before, everybody is needed.
        if liar.board.opened() && to.0 == 1 { Vec::new() } else { new }
    }
}

/// One trustee gets the first two ballots the other way round, under checkpoints of their own.
#[derive(Default)]
pub(super) struct Fork {
    logs: BTreeMap<LaneIndex, Vec<Arc<[u8]>>>,
}

impl CoordinatorPolicy for Fork {
    fn name(&self) -> &'static str {
        "forked-log"
    }
    fn show_log(
        &mut self,
        liar: &mut Liar<'_>,
        to: TrusteeIndex,
        lane: LaneIndex,
        next: u64,
        honest: LogPiece,
    ) -> LogPiece {
        let victim = liar.manifest.n();
        if to.0 != victim || next != honest.first {
            return honest;
        }
        let log = self.logs.entry(lane).or_default();
        log.truncate(usize::try_from(honest.first).unwrap_or(0));
        let mut ballots = honest.ballots.clone();
        if log.is_empty() && ballots.len() >= 2 {
            ballots.swap(0, 1);
        }
        log.extend(ballots.iter().cloned());
        let mut tree = Tree::new();
        for bytes in log.iter() {
            tree.append(leaf_hash(bytes));
        }
        let checkpoint = honest.checkpoint.and_then(|_| {
            let origin = origin(&liar.board.election(), lane);
            liar.checkpoint(Checkpoint { origin, size: tree.size(), root: tree.root() })
        });
        LogPiece { first: honest.first, ballots, checkpoint }
    }
}

/// Shows every trustee the first checkpoint for ever: the log does not seem to grow.
#[derive(Default)]
pub(super) struct Rewinds {
    first: BTreeMap<LaneIndex, Arc<SignedCheckpoint>>,
    calls: u32,
}

impl CoordinatorPolicy for Rewinds {
    fn name(&self) -> &'static str {
        "rewound-log"
    }
    fn show_log(
        &mut self,
        _liar: &mut Liar<'_>,
        _to: TrusteeIndex,
        lane: LaneIndex,
        _next: u64,
        honest: LogPiece,
    ) -> LogPiece {
        self.calls += 1;
        let Some(checkpoint) = &honest.checkpoint else { return honest };
        let first = self.first.entry(lane).or_insert_with(|| checkpoint.clone()).clone();
        if self.calls.is_multiple_of(2) {
            return honest;
        }
        LogPiece { first: 0, ballots: Vec::new(), checkpoint: Some(first) }
    }
}

/// Adds a ballot of its own making, or the first one once more, to what trustees see.
pub(super) struct Stuffs;

impl CoordinatorPolicy for Stuffs {
    fn name(&self) -> &'static str {
        "stuffed-log"
    }
    fn show_log(
        &mut self,
        liar: &mut Liar<'_>,
        _to: TrusteeIndex,
        _lane: LaneIndex,
        _next: u64,
        mut honest: LogPiece,
    ) -> LogPiece {
        let Some(model) = honest.ballots.first().cloned() else { return honest };
        let forged: Arc<[u8]> = if crate::setup::chance(liar.rng, 500) {
            model
        } else {
            // Another credential under the same ciphertexts.
            let mut bytes = model.to_vec();
            bytes.iter_mut().skip(11).take(32).for_each(|byte| *byte ^= 0x55);
            bytes.into()
        };
        honest.ballots.push(forged);
        honest.checkpoint = None;
        honest
    }
}

/// Where a ballot's credential is.
const CREDENTIAL: std::ops::Range<usize> = 11..43;

/// Gives receipts for ballots that it then forgets.
pub(super) struct EmptyReceipts;

impl CoordinatorPolicy for EmptyReceipts {
    fn name(&self) -> &'static str {
        "receipts-without-entries"
    }
    fn cast(&mut self, liar: &mut Liar<'_>, ballot: &Arc<[u8]>) -> Intake {
        let (Some(key), Some(credential)) = (&liar.conspiracy.shard, ballot.get(CREDENTIAL)) else {
            return Intake::Honest;
        };
        let Ok(credential) = <[u8; 32]>::try_from(credential) else { return Intake::Honest };
        if !credential[0].is_multiple_of(4) {
            return Intake::Honest;
        }
        let credential = Credential(credential);
        let mut receipt = Receipt {
            election: liar.board.election(),
            lane: protocol::ballot_box::lane_of(&credential, liar.manifest.lanes),
            index: LeafIndex(0),
            leaf: leaf_hash(ballot),
            credential,
            shard: liar.manifest.home,
            signature: [0; 64],
        };
        receipt.signature = key.sign(&receipt.message()).to_bytes();
        Intake::Answer(Answer::Recorded(receipt))
    }
}

/// Does not hear some voters.
pub(super) struct Censors;

impl CoordinatorPolicy for Censors {
    fn name(&self) -> &'static str {
        "drops-ballots"
    }
    fn cast(&mut self, _liar: &mut Liar<'_>, ballot: &Arc<[u8]>) -> Intake {
        match ballot.get(CREDENTIAL.start) {
            Some(byte) if byte.is_multiple_of(4) => Intake::Drop,
            _ => Intake::Honest,
        }
    }
}

/// Tells voters that they are not recorded, or nothing.
pub(super) struct Denies {
    pub(super) silent: bool,
}

impl CoordinatorPolicy for Denies {
    fn name(&self) -> &'static str {
        if self.silent { "answers-nobody" } else { "denies-recording" }
    }
    fn answer(&mut self, liar: &mut Liar<'_>, honest: Answer) -> Option<Answer> {
        match honest {
            Answer::Recorded(_) if crate::setup::chance(liar.rng, 300) => (!self.silent).then_some(Answer::Unknown),
            honest => Some(honest),
        }
    }
}

/// Gives every voter the proof of somebody before.
#[derive(Default)]
pub(super) struct OthersProofs {
    last: Option<ProofFile>,
}

impl CoordinatorPolicy for OthersProofs {
    fn name(&self) -> &'static str {
        "proofs-of-others"
    }
    fn prove(&mut self, _liar: &mut Liar<'_>, honest: Option<ProofFile>) -> Option<ProofFile> {
        let shown = self.last.take();
        self.last = honest.clone();
        if shown.is_some() { shown } else { honest }
    }
}

/// Says of every anchor that it has landed, as soon as it could.
#[derive(Default)]
pub(super) struct FalseAnchors {
    said: Vec<Purpose>,
}

impl CoordinatorPolicy for FalseAnchors {
    fn name(&self) -> &'static str {
        "false-anchors"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let due = |purpose: &Purpose| match purpose {
            Purpose::Rehearsal | Purpose::CreateNonce => false,
            purpose => liar.board.rehearsed() && liar.board.memo(*purpose).is_some(),
        };
        let new: Vec<Purpose> =
            Purpose::ALL.into_iter().filter(due).filter(|purpose| !self.said.contains(purpose)).collect();
        self.said.extend(new.iter().copied());
        let anchored = |purpose| {
            let message = Bytes(b"nothing of the kind".to_vec());
            Anchored { purpose, attempt: Attempt(1), signature: [7; 64], slot: 1, message }
        };
        new.into_iter().map(|purpose| Said::all(liar.sign(anchored(purpose).into()))).collect()
    }
}

/// Speaks in the trustees' names.
#[derive(Default)]
pub(super) struct Impersonates {
    upto: usize,
}

impl CoordinatorPolicy for Impersonates {
    fn name(&self) -> &'static str {
        "impersonates"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let new: Vec<Arc<Envelope>> = liar.conspiracy.seen.iter().skip(self.upto).take(30).cloned().collect();
        self.upto += new.len();
        let n = liar.manifest.n();
        let forged = new.into_iter().filter_map(|envelope| {
            let protocol::signed::Sender::Trustee(from) = envelope.sender else { return None };
            let other = protocol::signed::Sender::Trustee(TrusteeIndex(from.0 % n + 1));
            Some(Said::all(Arc::new(Envelope { sender: other, ..(*envelope).clone() })))
        });
        forged.collect()
    }
}

/// Keeps every statement of one trustee off its board.
pub(super) struct Ignores;

impl CoordinatorPolicy for Ignores {
    fn name(&self) -> &'static str {
        "ignores-one"
    }
    fn take(&mut self, liar: &mut Liar<'_>, envelope: &Arc<Envelope>) -> bool {
        let first = protocol::signed::Sender::Trustee(TrusteeIndex(1));
        !(liar.board.opened() && envelope.sender == first)
    }
}
