//! What nodes say to each other, and the way there.

use crate::{
    Dice,
    coverage::Coverage,
    ground::Ground,
    policy::{Answer, LogPiece, Said},
    profile::Profile,
    setup::{below, chance},
};
use protocol::{
    encoding::Hash,
    ids::LaneIndex,
    log::{Cosignature, ProofFile},
    signed::Envelope,
};
use std::{collections::BTreeMap, sync::Arc};

/// A place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A trustee, from 1.
    Trustee(u16),
    /// The home shard.
    Shard,
    /// The chain's RPC.
    Chain,
    /// The official who does the work.
    Official,
    /// A voter, from 0.
    Voter(u16),
}

impl Node {
    fn number(self) -> u64 {
        match self {
            Self::Trustee(index) => index.into(),
            Self::Shard => 1000,
            Self::Chain => 1001,
            Self::Official => 1002,
            Self::Voter(at) => 2000 + u64::from(at),
        }
    }
}

/// What an official, or a voter, sees of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Stage.
    pub stage: protocol::board::Stage,
    /// Digest of the certified key.
    pub key: Option<Hash>,
    /// Attempt of the key ceremony.
    pub attempt: u32,
    /// Whether that cannot be certified any more, and whether nobody owes an opening.
    pub given_up: (bool, bool),
    /// Whether it is on the board: announced, open request, close request.
    pub asked: (bool, bool, bool),
}

/// Everything that is sent.
#[derive(Debug, Clone)]
pub enum Message {
    /// The shard's board against a trustee's journal.
    Exchange { epoch: u64, first: u64, envelopes: Vec<Arc<Envelope>>, journal_from: u64, length: u64 },
    /// Its answer.
    Exchanged {
        board_next: u64,
        needs_roll: bool,
        journal_first: u64,
        journal: Vec<Said>,
        journal_len: u64,
        followed: Vec<u64>,
        wake_ms: u32,
    },
    /// The voter roll.
    Roll,
    /// It is taken.
    RollTaken,
    /// A piece of a lane.
    Follow { lane: LaneIndex, piece: LogPiece },
    /// Its answer.
    Followed { lane: LaneIndex, next: u64, cosigned: Option<Cosignature>, refusal: Refusal },
    /// A page of a trustee's own copy of a lane.
    GetLog { lane: LaneIndex, from: u64 },
    /// That page.
    LogPage { lane: LaneIndex, from: u64, ballots: Vec<Arc<[u8]>> },
    /// A ballot.
    Cast(Arc<[u8]>),
    /// What the voter is told.
    Answered(Answer),
    /// A voter asks for the proof of a leaf.
    Prove { lane: LaneIndex, index: u64 },
    /// The proof, once there is one.
    Proof(Option<ProofFile>),
    /// An official's statement.
    Post(Arc<Envelope>),
    /// It was dealt with.
    Posted,
    /// Where does the election stand?
    Look,
    /// There.
    Seen(Seen),
    /// To the chain.
    Ask(crate::chain::Question),
    /// From the chain.
    Told(crate::chain::Told),
}

/// Why a piece of log was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It was not.
    None,
    /// Not now.
    NotYet,
    /// Other leaves or another root than before.
    Fork,
    /// A leaf that breaks the rules.
    BadLeaf,
    /// A smaller checkpoint than was co-signed.
    Rollback,
}

impl Message {
    /// For traces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exchange { .. } => "exchange",
            Self::Exchanged { .. } => "exchanged",
            Self::Roll => "roll",
            Self::RollTaken => "roll-taken",
            Self::Follow { .. } => "follow",
            Self::Followed { .. } => "followed",
            Self::GetLog { .. } => "get-log",
            Self::LogPage { .. } => "log-page",
            Self::Cast(_) => "cast",
            Self::Answered(_) => "answered",
            Self::Prove { .. } => "prove",
            Self::Proof(_) => "proof",
            Self::Post(_) => "post",
            Self::Posted => "posted",
            Self::Look => "look",
            Self::Seen(_) => "seen",
            Self::Ask(_) => "ask-chain",
            Self::Told(_) => "chain-told",
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Exchange { first, envelopes, .. } => first * 1000 + envelopes.len() as u64,
            Self::Exchanged { journal_len, board_next, .. } => (1 << 20) | (board_next * 1000 + journal_len),
            Self::Follow { piece, .. } => (1 << 21) | (piece.first * 1000 + piece.ballots.len() as u64),
            Self::Followed { next, cosigned, .. } => (1 << 22) | (next * 2 + u64::from(cosigned.is_some())),
            other => (1 << 23) | other.name().len() as u64,
        }
    }

    /// Fault point of its loss.
    fn loss(&self) -> &'static str {
        match self {
            Self::Exchange { .. } => "net.exchange-lost",
            Self::Exchanged { .. } => "net.exchange-answer-lost",
            Self::Follow { .. } | Self::GetLog { .. } => "net.follow-lost",
            Self::Followed { .. } | Self::LogPage { .. } => "net.follow-answer-lost",
            Self::Cast(_) => "net.cast-lost",
            Self::Answered(_) => "net.cast-answer-lost",
            Self::Post(_) | Self::Posted | Self::Look | Self::Seen(_) => "net.official-lost",
            Self::Ask(_) => "net.chain-lost",
            Self::Told(_) => "net.chain-answer-lost",
            Self::Prove { .. } | Self::Proof(_) => "net.proof-lost",
            Self::Roll | Self::RollTaken => "net.roll-lost",
        }
    }

    fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Exchanged { .. }
                | Self::RollTaken
                | Self::Followed { .. }
                | Self::LogPage { .. }
                | Self::Answered(_)
                | Self::Proof(_)
                | Self::Posted
                | Self::Seen(_)
                | Self::Told(_)
        )
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Packet {
    /// From.
    pub from: Node,
    /// To.
    pub to: Node,
    /// Which call it belongs to; the caller's number.
    pub call: u64,
    /// What.
    pub message: Message,
}

/// The network: which links are cut in which direction, and until when.
#[derive(Debug, Default)]
pub struct Network {
    cuts: BTreeMap<(Node, Node), u64>,
    /// When the newest message on a link arrives, to tell when one is overtaken.
    newest: BTreeMap<(Node, Node), u64>,
}

impl Network {
    /// Cuts a direction until a time.
    pub fn cut(&mut self, from: Node, to: Node, until: u64) {
        let end = self.cuts.entry((from, to)).or_default();
        *end = until.max(*end);
    }

    /// All links are whole again.
    pub fn heal(&mut self) -> bool {
        let had = !self.cuts.is_empty();
        self.cuts.clear();
        had
    }

    fn is_cut(&self, from: Node, to: Node, now: u64) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| *until > now)
    }

    /// When copies of a message arrive; none: it is lost.
    fn arrivals(
        &mut self,
        packet: &Packet,
        now: u64,
        profile: &Profile,
        faulty: bool,
        dice: &mut Dice,
        coverage: &mut Coverage,
    ) -> (Option<u64>, Option<u64>) {
        let Packet { from, to, message, .. } = packet;
        let base = 1 + below(dice, 8);
        if !faulty {
            return (Some(now + base), None);
        }
        if self.is_cut(*from, *to, now) {
            return (None, None);
        }
        if chance(dice, profile.loss) {
            coverage.fault(message.loss());
            return (None, None);
        }
        let mut at = now + base;
        if chance(dice, profile.slow) {
            coverage.fault("net.slow");
            at += below(dice, 1500);
        }
        let newest = self.newest.entry((*from, *to)).or_default();
        if at < *newest {
            coverage.fault("net.overtaken");
        }
        *newest = at.max(*newest);
        let again = chance(dice, profile.duplicate).then(|| {
            coverage.fault(if message.is_answer() { "net.duplicated-answer" } else { "net.duplicated" });
            at + below(dice, 800)
        });
        (Some(at), again)
    }
}

impl Ground {
    /// Sends a message: it arrives once, twice, late or never.
    pub fn send(&mut self, packet: Packet) {
        let numbers = [packet.from.number(), packet.to.number(), packet.call, packet.message.number()];
        self.trace.event(self.now, 1, numbers);
        let faulty = self.faulty;
        let (first, second) =
            self.network.arrivals(&packet, self.now, &self.setup.profile, faulty, &mut self.dice, &mut self.coverage);
        if first.is_none() {
            crate::note!(self, "{:?} -> {:?} {} is lost", packet.from, packet.to, packet.message.name());
        }
        if let Some(at) = second {
            self.at(at, crate::ground::Event::Arrives(packet.clone()));
        }
        if let Some(at) = first {
            self.at(at, crate::ground::Event::Arrives(packet));
        }
    }
}
