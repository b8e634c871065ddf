//! The chain and the RPC in front of it. Whatever lands, lands by the rules; what the RPC says about it need not be true.

use crate::{
    ground::Ground,
    setup::{below, chance, read_transaction},
    wire::{Message, Node, Packet},
};
use protocol::{
    board::ChainIntent,
    encoding::{Hash, digest},
    ids::IdentityKey,
    signed::verify_identity,
};
use rand_core::RngCore as _;

/// Milliseconds of a slot.
const SLOT_MS: u64 = 400;
/// How long a block hash is good, in milliseconds.
const BLOCKHASH_MS: u64 = 8000;
/// From landing to final, in milliseconds.
const FINAL_MS: u64 = 900;
/// What the nonce account costs.
const RENT: u64 = 1_447_680;

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// A recent block hash, and the rent of a nonce account.
    Blockhash,
    /// The durable nonce.
    Nonce,
    /// Send, wait until final, read back.
    Submit {
        /// Signed bytes.
        message: Vec<u8>,
        /// The group's signature.
        signature: [u8; 64],
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Hash and rent.
    Blockhash(Hash, u64),
    /// The nonce, or no account.
    Nonce(Option<Hash>),
    /// Final, in this slot.
    Landed(u64),
    /// It cannot land any more.
    NeverLands,
    /// Something else; the same may be tried again.
    Failed,
}

/// A transaction in the chain.
#[derive(Debug, Clone)]
pub struct Landing {
    /// What it does.
    pub intent: ChainIntent,
    /// Its bytes.
    pub message: Vec<u8>,
    /// Its id.
    pub signature: [u8; 64],
    /// Slot.
    pub slot: u64,
    /// When it cannot be rolled back any more.
    pub final_at: u64,
    /// The nonce before it.
    before: Option<Hash>,
}

#[derive(Debug)]
struct Waiting {
    packet: Packet,
    signature: [u8; 64],
    give_up: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct ChainNode {
    nonce: Option<Hash>,
    previous: Option<Hash>,
    advanced: u64,
    landings: Vec<Landing>,
    waiting: Vec<Waiting>,
    blockhashes: Vec<(Hash, u64)>,
    /// A landing was made up, so what is on the boards need not be on the chain.
    pub forged: bool,
}

impl ChainNode {
    /// Everything that is final.
    pub fn finalized(&self, now: u64) -> impl Iterator<Item = &Landing> {
        self.landings.iter().filter(move |landing| landing.final_at <= now)
    }

    /// A question arrives.
    pub fn asked(&mut self, ground: &mut Ground, packet: Packet) {
        let Message::Ask(question) = &packet.message else { return };
        let question = question.clone();
        let lies = ground.faulty && chance(&mut ground.dice, ground.setup.profile.chain);
        match question {
            Question::Blockhash => {
                if lies && chance(&mut ground.dice, 300) {
                    ground.coverage.fault("chain.silent");
                    return;
                }
                let mut hash = [0; 32];
                ground.dice.fill_bytes(&mut hash);
                let mut until = ground.now + BLOCKHASH_MS;
                if lies {
                    // A hash of a node that lags: good for a moment only.
                    ground.coverage.fault("chain.blockhash-expired");
                    until = ground.now + 20;
                }
                self.blockhashes.push((hash, until));
                Self::tell(ground, &packet, Told::Blockhash(hash, RENT), 0);
            }
            Question::Nonce => {
                let mut nonce = self.nonce;
                if lies {
                    match (below(&mut ground.dice, 4), self.nonce) {
                        (0, Some(_)) => {
                            ground.coverage.fault("chain.nonce-denied");
                            nonce = None;
                        }
                        (1, Some(_)) if self.previous.is_some() => {
                            ground.coverage.fault("chain.stale-nonce");
                            nonce = self.previous;
                        }
                        (2, None) => {
                            ground.coverage.fault("chain.nonce-invented");
                            let mut hash = [0; 32];
                            ground.dice.fill_bytes(&mut hash);
                            nonce = Some(hash);
                        }
                        _ => {
                            ground.coverage.fault("chain.slow");
                            Self::tell(ground, &packet, Told::Nonce(nonce), 2000);
                            return;
                        }
                    }
                }
                Self::tell(ground, &packet, Told::Nonce(nonce), 0);
            }
            Question::Submit { message, signature } => self.submitted(ground, packet, &message, signature, lies),
        }
    }

    fn tell(ground: &mut Ground, packet: &Packet, told: Told, after: u64) {
        let answer = Packet { from: Node::Chain, to: packet.from, call: packet.call, message: Message::Told(told) };
        if after == 0 {
            ground.send(answer);
        } else {
            ground.at(ground.now + after, crate::ground::Event::Arrives(answer));
        }
    }

    fn submitted(&mut self, ground: &mut Ground, packet: Packet, message: &[u8], signature: [u8; 64], lies: bool) {
        if lies {
            match below(&mut ground.dice, 8) {
                0 => {
                    ground.coverage.fault("chain.false-expiry");
                    // And then it lands.
                    let _ = self.land(ground, message, signature);
                    return Self::tell(ground, &packet, Told::NeverLands, 0);
                }
                1 => {
                    ground.coverage.fault("chain.landed-but-reported-lost");
                    let _ = self.land(ground, message, signature);
                    return Self::tell(ground, &packet, Told::Failed, 0);
                }
                2 => {
                    ground.coverage.fault("chain.never-sent");
                    return Self::tell(ground, &packet, Told::Failed, 0);
                }
                3 => {
                    ground.coverage.fault("chain.silent");
                    return;
                }
                4 if chance(&mut ground.dice, 500) => {
                    ground.coverage.fault("chain.forged-landing");
                    self.forged = true;
                    return Self::tell(ground, &packet, Told::Landed(ground.now / SLOT_MS), 0);
                }
                5 => {
                    ground.coverage.fault("chain.fork");
                    if self.land(ground, message, signature).is_ok() {
                        self.roll_back(ground);
                    }
                    return Self::tell(ground, &packet, Told::Failed, FINAL_MS);
                }
                6 => {
                    ground.coverage.fault("chain.wrong-slot");
                    if self.land(ground, message, signature).is_ok() {
                        return Self::tell(ground, &packet, Told::Landed(7), FINAL_MS);
                    }
                }
                _ => ground.coverage.fault("chain.slow"),
            }
        }
        match self.land(ground, message, signature) {
            Ok(()) => {
                let give_up = ground.now + 20_000;
                self.waiting.push(Waiting { packet, signature, give_up });
                ground.timer(FINAL_MS + 1, Node::Chain, 0, 0);
            }
            Err(told) => Self::tell(ground, &packet, told, 0),
        }
    }

    /// What is final now is told to who waits for it.
    pub fn timer(&mut self, ground: &mut Ground) {
        let now = ground.now;
        let waiting = std::mem::take(&mut self.waiting);
        for one in waiting {
            match self.landings.iter().find(|landing| landing.signature == one.signature) {
                Some(landing) if landing.final_at <= now => {
                    Self::tell(ground, &one.packet, Told::Landed(landing.slot), 0);
                }
                Some(_) if one.give_up > now => {
                    self.waiting.push(one);
                    ground.timer(FINAL_MS, Node::Chain, 0, 0);
                }
                _ => Self::tell(ground, &one.packet, Told::Failed, 0),
            }
        }
    }

    /// By the rules of the chain. Landing twice is landing once.
    fn land(&mut self, ground: &mut Ground, message: &[u8], signature: [u8; 64]) -> Result<(), Told> {
        let now = ground.now;
        if self.landings.iter().any(|landing| landing.signature == signature) {
            ground.coverage.sometimes("a lost landing was found again");
            return Ok(());
        }
        let Some(intent) = read_transaction(message) else { return Err(Told::NeverLands) };
        let (ChainIntent::CreateNonce { group, .. } | ChainIntent::Memo { group, .. }) = &intent;
        if !verify_identity(&IdentityKey(*group), message, &signature) {
            return Err(Told::NeverLands);
        }
        let before = self.nonce;
        match &intent {
            ChainIntent::CreateNonce { recent_blockhash, .. } => {
                let good = self.blockhashes.iter().any(|(hash, until)| hash == recent_blockhash && *until >= now);
                if !good {
                    ground.coverage.sometimes("nonce expired");
                    return Err(Told::NeverLands);
                }
                if self.nonce.is_some() {
                    return Err(Told::NeverLands);
                }
                self.nonce = Some(self.next_nonce(&signature));
            }
            ChainIntent::Memo { nonce, .. } => {
                if self.nonce != Some(*nonce) {
                    ground.coverage.sometimes("nonce expired");
                    return Err(Told::NeverLands);
                }
                self.previous = self.nonce;
                self.nonce = Some(self.next_nonce(&signature));
            }
        }
        let final_at = now + FINAL_MS;
        crate::note!(ground, "chain: lands {:?}", intent);
        self.landings.push(Landing {
            intent,
            message: message.to_vec(),
            signature,
            slot: now / SLOT_MS,
            final_at,
            before,
        });
        ground.watch.landed(self.landings.last());
        Ok(())
    }

    fn next_nonce(&mut self, signature: &[u8; 64]) -> Hash {
        self.advanced += 1;
        let mut bytes = signature.to_vec();
        bytes.extend(self.advanced.to_be_bytes());
        digest("nonce", &bytes)
    }

    /// The newest landing was on the wrong fork.
    fn roll_back(&mut self, ground: &mut Ground) {
        if self.landings.last().is_some_and(|landing| landing.final_at > ground.now)
            && let Some(landing) = self.landings.pop()
        {
            self.nonce = landing.before;
            crate::note!(ground, "chain: a fork takes {:?} away", landing.intent);
        }
    }
}
