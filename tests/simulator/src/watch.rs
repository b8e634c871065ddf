//! The invariants, as code. Nodes report what they do; every report is checked at once against what the simulator alone
//! knows: who lies, what was voted, what was promised, what is durable.
//!
//! What is reported here comes from outside the code that it judges: a receipt is looked for in the records that survive
//! a crash, a result is compared with votes in the clear.

use crate::{
    chain::Landing,
    policy::{Answer, Said},
    setup::{Setup, short},
    shard,
    trustee::{self, Process, TrusteeNode},
};
use protocol::{
    agreement::messages::VoteSet,
    ballot::BallotForm,
    ballot_box,
    board::{Board, ChainIntent, Stage},
    encoding::Hash,
    evidence::Wrong,
    ids::{Attempt, LaneIndex, LogSize, OptionIndex, TrusteeIndex},
    log::{ProofFile, Receipt, Tree},
    manifest::Revote,
    signed::{Body, Envelope, Sender},
    signing::messages::Purpose,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

mod count;
mod keys;
mod votes;

use count::Counted;

/// Envelopes on one board in one run, at most.
const BOARD_MAX: usize = 6000;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub id: &'static str,
    /// What was seen.
    pub text: String,
}

impl Violation {
    /// Of an invariant.
    #[must_use]
    pub fn new(id: &'static str, text: String) -> Self {
        Self { id, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.text)
    }
}

/// A good ballot, in the clear.
#[derive(Debug, Clone)]
struct Vote {
    voter: u16,
    choices: Vec<Vec<OptionIndex>>,
}

/// What a store durably holds, read on as it grows.
#[derive(Debug, Default)]
struct Durable {
    read: usize,
    envelopes: BTreeSet<[u8; 64]>,
    leaves: BTreeSet<Hash>,
    /// Resolved to co-sign.
    cosigned: BTreeSet<(LaneIndex, LogSize, Hash)>,
    /// A resolution that comes after one for more leaves.
    fallen: Option<(LaneIndex, LogSize)>,
}

/// How much of a board was looked at.
#[derive(Debug, Default, Clone, Copy)]
struct Looked {
    envelopes: usize,
    evidence: usize,
    certified: bool,
    counted: bool,
    result: bool,
}

/// See the [module](self).
pub struct Watch {
    setup: Arc<Setup>,
    /// The first that does not hold.
    pub violation: Option<Violation>,
    /// Envelopes that boards refused without blame.
    pub refused: u64,
    liars: BTreeSet<TrusteeIndex>,
    fallen: BTreeSet<TrusteeIndex>,
    coordinator_lies: bool,
    votes: BTreeMap<Hash, Vote>,
    ballots: Vec<Arc<[u8]>>,
    form: Option<Arc<BallotForm>>,
    closed: bool,
    /// Signatures of honest parties.
    signed: BTreeSet<[u8; 64]>,
    durable: BTreeMap<Sender, Durable>,
    looked: BTreeMap<Sender, Looked>,
    keys: BTreeMap<Attempt, Hash>,
    opened_with: Option<Hash>,
    vote_set: Option<(Hash, VoteSet)>,
    counted: Option<Counted>,
    finals: BTreeMap<(LaneIndex, LogSize), Hash>,
    receipts: Vec<Receipt>,
    promised: BTreeMap<Hash, Receipt>,
    cosigned: BTreeMap<(TrusteeIndex, LaneIndex), BTreeMap<LogSize, Hash>>,
    commitments: BTreeMap<[u8; 32], (TrusteeIndex, Purpose, Attempt, u32)>,
    /// In which life of the trustee.
    committed: BTreeMap<(TrusteeIndex, Purpose, Attempt), u32>,
    shares: BTreeMap<(TrusteeIndex, Purpose, Attempt), Hash>,
    partials: BTreeMap<TrusteeIndex, Hash>,
    locks: BTreeMap<TrusteeIndex, (u32, Hash)>,
    openings: BTreeSet<(Attempt, TrusteeIndex, TrusteeIndex)>,
    /// Rare situations that the watch has noticed.
    pub situations: Vec<&'static str>,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(setup: Arc<Setup>) -> Self {
        Self {
            setup,
            violation: None,
            refused: 0,
            liars: BTreeSet::new(),
            fallen: BTreeSet::new(),
            coordinator_lies: false,
            votes: BTreeMap::new(),
            ballots: Vec::new(),
            form: None,
            closed: false,
            signed: BTreeSet::new(),
            durable: BTreeMap::new(),
            looked: BTreeMap::new(),
            keys: BTreeMap::new(),
            opened_with: None,
            vote_set: None,
            counted: None,
            finals: BTreeMap::new(),
            receipts: Vec::new(),
            promised: BTreeMap::new(),
            cosigned: BTreeMap::new(),
            commitments: BTreeMap::new(),
            committed: BTreeMap::new(),
            shares: BTreeMap::new(),
            partials: BTreeMap::new(),
            locks: BTreeMap::new(),
            openings: BTreeSet::new(),
            situations: Vec::new(),
        }
    }

    /// An invariant does not hold. The first counts.
    pub fn broken(&mut self, id: &'static str, text: fmt::Arguments<'_>) {
        self.violation.get_or_insert_with(|| Violation::new(id, text.to_string()));
    }

    /// This trustee lies.
    pub fn lies(&mut self, index: TrusteeIndex) {
        self.liars.insert(index);
    }
    /// This trustee's folder was put back or cloned.
    pub fn falls(&mut self, index: TrusteeIndex) {
        self.fallen.insert(index);
        self.durable.remove(&Sender::Trustee(index));
    }
    /// The coordinator lies.
    pub fn coordinator_lies(&mut self) {
        self.coordinator_lies = true;
    }
    /// Whether a trustee is as it should be.
    #[must_use]
    pub fn is_honest(&self, index: TrusteeIndex) -> bool {
        !self.liars.contains(&index) && !self.fallen.contains(&index)
    }
    /// How many are not.
    #[must_use]
    pub fn faulty_trustees(&self) -> usize {
        self.liars.union(&self.fallen).count()
    }
    fn is_honest_sender(&self, sender: Sender) -> bool {
        match sender {
            Sender::Trustee(index) => self.is_honest(index),
            Sender::Shard(_) => !self.coordinator_lies,
            Sender::Official(_) => true,
        }
    }

    /// Whether the election was closed as far as anybody honest has seen.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }
    /// What ballots are made for, once somebody honest has it.
    #[must_use]
    pub fn form(&self) -> Option<Arc<BallotForm>> {
        self.form.clone()
    }
    /// Good ballots that were made so far.
    #[must_use]
    pub fn cast_ballots(&self) -> Vec<Arc<[u8]>> {
        self.ballots.clone()
    }
    /// A voter has made a good ballot.
    pub fn will_cast(&mut self, leaf: Hash, bytes: &Arc<[u8]>, voter: u16, choices: Vec<Vec<OptionIndex>>) {
        self.votes.insert(leaf, Vote { voter, choices });
        self.ballots.push(bytes.clone());
    }

    /// An honest official has signed.
    pub fn official_signed(&mut self, envelope: &Envelope) {
        self.signed.insert(envelope.signature);
    }
    /// The honest shard has signed.
    pub fn shard_signed(&mut self, envelope: &Envelope) {
        self.signed.insert(envelope.signature);
    }

    /// A trustee that does not lie has signed, and nothing has left yet.
    pub fn signed(&mut self, me: TrusteeIndex, life: u32, envelope: &Envelope, board: &Board) {
        self.signed.insert(envelope.signature);
        self.look_at_statement(me, envelope, board);
        match &envelope.body {
            Body::SignCommitment(body) => {
                let place = (me, body.purpose, body.attempt);
                for commitment in [body.hiding, body.binding] {
                    let made = (me, body.purpose, body.attempt, life);
                    if let Some(before) = self.commitments.insert(commitment, made) {
                        self.broken("I14", format_args!("trustee {me} uses one nonce for {before:?} and {made:?}"));
                    }
                }
                self.committed.insert(place, life);
            }
            Body::SignShare(body) => {
                let place = (me, body.purpose, body.attempt);
                if let Some(before) = self.shares.insert(place, body.package)
                    && before != body.package
                    && self.is_honest(me)
                {
                    self.broken("I14", format_args!("trustee {me} answers two packages in {place:?}"));
                }
                let made = self.committed.get(&place).copied();
                if made != Some(life) {
                    self.broken("I14", format_args!("trustee {me}: a nonce of life {made:?} is answered in {life}"));
                }
                let purpose = body.purpose;
                let early = !board.rehearsed() && purpose != Purpose::Rehearsal;
                if early {
                    self.broken("I15", format_args!("trustee {me} signs for {} before the rehearsal", purpose.name()));
                }
            }
            Body::SignAbort(body) if body.reason.contains("restart") => {
                self.situations.push("nonces burned by a restart");
            }
            Body::Partials(body) => {
                if !board.closed() || board.certificate().is_none() {
                    self.broken("I13", format_args!("trustee {me} decrypts before the close certificate"));
                }
                if board.vote_set() != Some(body.vote_set) {
                    self.broken("I10", format_args!("trustee {me} decrypts another vote set than the certified one"));
                }
                if let Some(before) = self.partials.insert(me, body.vote_set)
                    && before != body.vote_set
                {
                    self.broken("I11", format_args!("trustee {me} decrypts two vote sets"));
                }
                let threshold = usize::from(self.setup.manifest.quorums.t);
                let rank = board.lot_order().iter().position(|index| *index == me);
                if rank.is_some_and(|rank| rank >= threshold) {
                    self.situations.push("a stand-by decrypted");
                }
            }
            Body::Prevote(body) => {
                if let (Some((round, locked)), Some(value)) = (self.locks.get(&me), body.value)
                    && *locked == value
                    && body.round.0 > *round
                {
                    self.situations.push("lock kept over a round");
                }
                match body.round.0 {
                    1 => self.situations.push("second agreement round"),
                    2 => self.situations.push("third agreement round"),
                    _ => {}
                }
                let proposed = board.of_kind(30).find_map(|envelope| match &envelope.body {
                    Body::Proposal(proposal) if proposal.round == body.round => Some(&proposal.value),
                    _ => None,
                });
                let shorter = body.value.is_none()
                    && proposed.is_some_and(|value| {
                        let own = self.cosigned.range((me, LaneIndex(0))..=(me, LaneIndex(u16::MAX)));
                        let mut own = own.filter_map(|((_, lane), sizes)| Some((*lane, *sizes.keys().last()?)));
                        own.any(|(lane, size)| value.lanes.get(usize::from(lane.0)).is_some_and(|end| end.size < size))
                    });
                if shorter {
                    self.situations.push("a shorter vote set was refused");
                }
            }
            Body::Precommit(body) => {
                if let Some(value) = body.value {
                    self.locks.insert(me, (body.round.0, value));
                }
            }
            Body::Proposal(body) if body.valid_round.is_some() => {
                self.situations.push("proposal of what was prevoted before");
            }
            Body::Opening(body) => {
                self.situations.push("complaint opened");
                self.openings.insert((body.attempt, me, body.to));
            }
            Body::Terms(body) if body.attempt.0 > 1 => {
                self.situations.push("second attempt of the key ceremony");
            }
            _ => {}
        }
    }

    /// An honest trustee or the shard has taken statements in.
    pub fn heard(&mut self, envelopes: &[Arc<Envelope>]) {
        for envelope in envelopes {
            if self.is_honest_sender(envelope.sender) && !self.signed.contains(&envelope.signature) {
                let what = trustee::describe(envelope);
                self.broken("I17", format_args!("{what} is on a board, and that party never signed it"));
            }
        }
    }

    /// Statements leave a trustee: its own must be durable.
    pub fn leaves(&mut self, me: TrusteeIndex, journal: &[Said], records: &[trustee::Record]) {
        let sender = Sender::Trustee(me);
        if !journal.iter().any(|said| said.envelope.sender == sender) {
            return;
        }
        let durable = self.durable.entry(sender).or_default();
        durable.read_trustee(records);
        let lost = journal
            .iter()
            .find(|said| said.envelope.sender == sender && !durable.envelopes.contains(&said.envelope.signature));
        if let Some(lost) = lost {
            let what = trustee::describe(&lost.envelope);
            self.broken("I09", format_args!("{what} leaves before it is durable"));
        }
    }

    /// An honest trustee co-signs.
    pub fn cosigned(
        &mut self,
        me: TrusteeIndex,
        lane: LaneIndex,
        size: LogSize,
        root: Hash,
        records: &[trustee::Record],
    ) {
        let durable = self.durable.entry(Sender::Trustee(me)).or_default();
        durable.read_trustee(records);
        let (resolved, fallen) = (durable.cosigned.contains(&(lane, size, root)), durable.fallen.take());
        if !resolved {
            self.broken("I09", format_args!("trustee {me} co-signs {size} leaves of lane {lane} before it is durable"));
        }
        // What was resolved on may be signed late, after a restart. The resolutions themselves only grow.
        let before = self.cosigned.entry((me, lane)).or_default().insert(size, root);
        if before.is_some_and(|before| before != root) {
            self.broken("I08", format_args!("trustee {me} co-signs two roots at {size} leaves of lane {lane}"));
        }
        if let Some((lane, size)) = fallen {
            self.broken("I08", format_args!("trustee {me} co-signs {size} leaves of lane {lane} after more"));
        }
        if let Some((hash, vote_set)) = &self.vote_set
            && let Some(end) = vote_set.lanes.get(usize::from(lane.0))
            && size > end.size
            && before.is_none()
            && self.partials.contains_key(&me)
        {
            let text = format!("trustee {me} co-signs {size} leaves of lane {lane} after {}", short(hash));
            self.broken("I06", format_args!("{text}"));
        }
    }

    /// A checkpoint has its quorum, as the shard counts.
    pub fn finalised(&mut self, lane: LaneIndex, size: LogSize, root: Hash) {
        if let Some(before) = self.finals.insert((lane, size), root)
            && before != root
        {
            self.broken("I08", format_args!("two final roots at {size} leaves of lane {lane}"));
        }
    }

    /// A voter holds a final receipt, checked by the booth's own rules.
    pub fn final_receipt(&mut self, receipt: &Receipt, proof: &ProofFile, cosigners: usize) {
        if cosigners < usize::from(self.setup.manifest.quorums.w) {
            self.broken("I06", format_args!("a receipt is final with {cosigners} co-signatures"));
        }
        let checkpoint = proof.checkpoint.checkpoint();
        self.finalised(receipt.lane, checkpoint.size, checkpoint.root);
        if let Some(counted) = &self.counted
            && let Err(text) = counted.honours(receipt)
        {
            return self.broken("I06", format_args!("{text}"));
        }
        self.receipts.push(receipt.clone());
    }

    /// The shard answers a voter.
    pub fn answered(&mut self, bytes: &[u8], answer: &Answer, records: &[shard::Record]) {
        let home = Sender::Shard(self.setup.manifest.home);
        let durable = self.durable.entry(home).or_default();
        durable.read_shard(records);
        let leaf = protocol::log::leaf_hash(bytes);
        let there = durable.leaves.contains(&leaf);
        match answer {
            Answer::Recorded(receipt) => {
                if !there || receipt.leaf != leaf {
                    self.broken("I20", format_args!("a receipt for {} which is not durable", short(&leaf)));
                }
                if let Some(before) = self.promised.insert(leaf, receipt.clone())
                    && before != *receipt
                {
                    self.broken("I20", format_args!("two receipts for {}", short(&leaf)));
                }
            }
            Answer::Rejected(_) | Answer::Refused if there => {
                self.broken("I20", format_args!("{} is told that it is not recorded, and it is", short(&leaf)));
            }
            _ => {}
        }
    }

    /// A trustee promises nothing more.
    pub fn halted(&mut self, me: TrusteeIndex, reason: &str) {
        if self.is_honest(me) {
            self.broken("V06", format_args!("trustee {me} halts ({reason}), and nothing is wrong with it"));
        }
    }

    /// A board of somebody honest, whenever it may have grown.
    pub fn board(&mut self, owner: Sender, board: &Board) {
        let mut looked = self.looked.get(&owner).copied().unwrap_or_default();
        let grown = looked.envelopes != board.len();
        if looked.evidence > board.evidence().len() {
            looked.evidence = 0;
        }
        for evidence in board.evidence().iter().skip(looked.evidence) {
            self.situations.push("evidence recorded");
            self.judge_evidence(owner, evidence, board);
        }
        looked.evidence = board.evidence().len();
        if grown {
            looked.envelopes = board.len();
            if board.len() > BOARD_MAX {
                self.broken("I19", format_args!("{} envelopes on the board of {owner}", board.len()));
            }
            self.look_at_key(owner, board);
            self.closed |= board.closed();
            if !looked.certified && board.certificate().is_some() {
                looked.certified = true;
            }
            if looked.certified {
                for certificate in board.votes().certificates() {
                    self.look_at_certificate(owner, &certificate);
                    if certificate.round.0 > 0 {
                        self.situations.push("the vote set was certified in a later round");
                    }
                    let hash = certificate.value.hash(&self.setup.election);
                    match &self.vote_set {
                        None => self.vote_set = Some((hash, certificate.value)),
                        Some((known, _)) if *known == hash => {}
                        Some((known, _)) => {
                            let text = format!("{} and {} are both certified", short(known), short(&hash));
                            self.broken("I05", format_args!("{text}, as {owner} sees it"));
                        }
                    }
                }
            }
        }
        if !looked.result && board.result().is_some() {
            looked.result = self.look_at_result(owner, board);
        }
        self.looked.insert(owner, looked);
    }

    fn judge_evidence(&mut self, owner: Sender, evidence: &protocol::evidence::Evidence, board: &Board) {
        let accused = evidence.accused;
        if self.is_honest_sender(accused) {
            self.broken("I04", format_args!("{owner} holds evidence against {accused}: {}", evidence.wrong));
        }
        let mut envelopes = evidence.envelopes.iter();
        if envelopes.clone().next().is_none_or(|first| first.sender != accused)
            || envelopes.any(|one| one.verify(&self.setup.election, &self.setup.manifest).is_err())
        {
            self.broken("I04", format_args!("evidence against {accused} does not stand alone: {}", evidence.wrong));
        }
        if let Sender::Trustee(index) = accused {
            let used = match evidence.wrong {
                Wrong::BadPartial => board.decrypted().any(|one| one == index),
                Wrong::BadLot => board.lots().contains_key(&index),
                _ => false,
            };
            if used {
                self.broken("I18", format_args!("what {accused} did wrong is used: {}", evidence.wrong));
            }
        }
    }

    /// A trustee's process, after each call that it has answered.
    pub fn process(&mut self, me: TrusteeIndex, process: &Process) {
        self.board(Sender::Trustee(me), process.keeper.board());
        let counted = self.looked.get(&Sender::Trustee(me)).is_some_and(|looked| looked.counted);
        if counted || process.keeper.board().certificate().is_none() {
            return;
        }
        if self.look_at_count(me, process)
            && let Some(looked) = self.looked.get_mut(&Sender::Trustee(me))
        {
            looked.counted = true;
        }
    }

    /// A transaction has landed: the group's key has signed it, so what it says must be known.
    pub fn landed(&mut self, landing: Option<&Landing>) {
        let Some(landing) = landing else { return };
        let ChainIntent::Memo { text, .. } = &landing.intent else { return };
        let election = self.setup.election;
        let key = self.keys.values().any(|key| *text == format!("conclave/v1 key {election} {}", hex(key)));
        let votes = self.vote_set.as_ref().is_some_and(|(votes, _)| {
            *text == format!("conclave/v1 votes {election} {}", hex(votes))
                || text.starts_with(&format!("conclave/v1 result {election} {} ", hex(votes)))
        });
        if !key && !votes {
            self.broken("I15", format_args!("the group has signed \"{text}\", which is nothing that is certified"));
        }
    }

    /// At the end: what is final on the chain has one meaning.
    pub fn anchors<'a>(&mut self, landings: impl Iterator<Item = &'a Landing>) {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for landing in landings {
            let ChainIntent::Memo { text, .. } = &landing.intent else { continue };
            let kind: String = text.split(' ').take(2).collect();
            if let Some(before) = texts.insert(kind, text.clone())
                && before != *text
            {
                self.broken("I16", format_args!("two anchors: \"{before}\" and \"{text}\""));
            }
        }
    }

    /// At the end, for each honest trustee.
    pub fn end(&mut self, trustee: &TrusteeNode) {
        let Some(process) = &trustee.process else { return };
        // What was co-signed is what the log was, at every size.
        for (lane, log) in process.logs().iter().enumerate() {
            let lane = LaneIndex(u16::try_from(lane).unwrap_or(0));
            let mut tree = Tree::new();
            for bytes in log {
                tree.append(protocol::log::leaf_hash(bytes));
            }
            let cosigned = self.cosigned.get(&(trustee.me, lane)).cloned().unwrap_or_default();
            for (size, root) in cosigned {
                if tree.root_at(size) != Ok(root) {
                    self.broken("I08", format_args!("trustee {} co-signed {size} leaves of another log", trustee.me));
                }
            }
        }
    }

    /// At the end of an election that is complete: nobody honest is left behind who could be reached.
    #[must_use]
    pub fn stage_of(process: &Process) -> Stage {
        process.keeper.board().stage()
    }
}

impl Durable {
    fn read_trustee(&mut self, records: &[trustee::Record]) {
        if records.len() < self.read {
            *self = Self::default();
        }
        for record in records.get(self.read..).unwrap_or(&[]) {
            match record {
                trustee::Record::Journal(envelopes) => {
                    self.envelopes.extend(envelopes.iter().map(|envelope| envelope.signature));
                }
                trustee::Record::Ballots { lane, cosigned: Some((size, root)), .. } => {
                    let higher =
                        (*lane, LogSize(size.0.saturating_add(1)), [0; 32])..=(*lane, LogSize(u64::MAX), [255; 32]);
                    if self.cosigned.range(higher).next().is_some() {
                        self.fallen = Some((*lane, *size));
                    }
                    self.cosigned.insert((*lane, *size, *root));
                }
                _ => {}
            }
        }
        self.read = records.len();
    }

    fn read_shard(&mut self, records: &[shard::Record]) {
        if records.len() < self.read {
            *self = Self::default();
        }
        for record in records.get(self.read..).unwrap_or(&[]) {
            if let shard::Record::Ballots(_, ballots) = record {
                self.leaves.extend(ballots.iter().map(|bytes| protocol::log::leaf_hash(bytes)));
            }
        }
        self.read = records.len();
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lane of a credential, and whether a later ballot replaces the earlier.
fn revotes(setup: &Setup) -> bool {
    setup.manifest.revote == Revote::Last
}

/// What ballots are judged against.
fn form_of(setup: &Setup, board: &Board) -> Option<Arc<BallotForm>> {
    let key = board.key_certificate()?.election_key;
    ballot_box::form(&setup.manifest, key).ok().map(Arc::new)
}
