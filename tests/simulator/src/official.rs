//! The official who announces, asks for another attempt, opens and closes; and asks again when nobody answers.

use crate::{
    ground::Ground,
    wire::{Message, Node, Packet, Seen},
};
use ed25519_dalek::Signer as _;
use protocol::{
    agreement::messages::{CloseRequest, OpenRequest},
    board::Stage,
    ceremony::messages::NextAttempt,
    ids::Attempt,
    signed::{Announce, Body, Draft, Sender},
};
use std::sync::Arc;

/// How often it looks.
const LOOK_MS: u64 = 250;
/// Attempts of the key ceremony that it asks for, at most.
const ATTEMPTS_MAX: u32 = 12;
/// How long it waits for openings before it asks for another attempt all the same.
const OPENINGS_MS: u64 = 2500;
/// How long voting lasts at most once it is open.
const VOTING_MS: u64 = 9000;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct OfficialNode {
    calls: u64,
    since: Option<(u32, u64)>,
    /// When it saw that voting is open.
    pub opened_at: Option<u64>,
    /// What it saw last.
    pub seen: Option<Seen>,
    /// All voters have cast, as far as anybody knows.
    pub all_cast: bool,
}

impl OfficialNode {
    /// Its timer.
    pub fn timer(&mut self, ground: &mut Ground) {
        self.calls += 1;
        ground.send(Packet { from: Node::Official, to: Node::Shard, call: self.calls, message: Message::Look });
        let over = matches!(&self.seen, Some(seen) if matches!(seen.stage, Stage::Complete | Stage::Stopped));
        let busy = matches!(&self.seen, Some(seen) if seen.stage > Stage::Open);
        let pause = if over || busy { LOOK_MS * 8 } else { LOOK_MS };
        ground.timer(pause, Node::Official, 0, 0);
    }

    /// An answer arrives.
    pub fn called(&mut self, ground: &mut Ground, packet: Packet) {
        let Message::Seen(seen) = packet.message else { return };
        if self.opened_at.is_none() && seen.stage == Stage::Open {
            self.opened_at = Some(ground.now);
        }
        if let Some(body) = self.owed(ground, &seen) {
            let draft = Draft { election: ground.setup.election, sender: Sender::Official(1), body };
            let signature = ground.setup.officials[0].sign(&draft.message()).to_bytes();
            let envelope = Arc::new(draft.sign(signature));
            ground.watch.official_signed(&envelope);
            self.calls += 1;
            let message = Message::Post(envelope);
            ground.send(Packet { from: Node::Official, to: Node::Shard, call: self.calls, message });
        }
        self.seen = Some(seen);
    }

    fn owed(&mut self, ground: &Ground, seen: &Seen) -> Option<Body> {
        let (announced, open_asked, close_asked) = seen.asked;
        match (seen.stage, seen.key) {
            (Stage::Created, _) if !announced => Some(Announce {}.into()),
            (Stage::KeyCeremony, _) if seen.given_up.0 && seen.attempt < ATTEMPTS_MAX => {
                let (attempt, since) = *self.since.get_or_insert((seen.attempt, ground.now));
                if attempt != seen.attempt {
                    self.since = Some((seen.attempt, ground.now));
                    return None;
                }
                let next = Attempt(seen.attempt + 1);
                let due = seen.given_up.1 || ground.now - since > OPENINGS_MS;
                due.then(|| NextAttempt { attempt: next }.into())
            }
            (Stage::Ready, Some(key_certificate)) if !open_asked => Some(OpenRequest { key_certificate }.into()),
            (Stage::Open, Some(key_certificate)) if !close_asked => {
                let lasted = self.opened_at.map_or(0, |at| ground.now - at);
                let due = lasted > VOTING_MS || (self.all_cast && lasted > 300);
                due.then(|| CloseRequest { key_certificate }.into())
            }
            _ => None,
        }
    }
}
