//! Who decides when. Each actor owns a core of `protocol` or a directory, and does three things: judge, have it stored,
//! take it in. Mailboxes are bounded; nobody waits for an actor while holding a connection of the store.

pub mod election;
pub mod intake;
pub mod shard;
pub mod workers;

use std::sync::Arc;

use protocol::encoding::Canonical as _;
use protocol::ids::{LaneIndex, LeafIndex, TimeMs};
use protocol::log::{Receipt, Rejection};
use protocol::signed::{Body, Draft, Envelope, Sender};
use runtime::Shutdown;
use runtime::key::RemoteSigner;
use runtime::limits::Limits;
use runtime::tls::Identity;

use crate::circle::Circle;
use crate::config::Tuning;
use crate::election::Election;
use crate::ledger::FindChain;
use crate::pool::Pool;
use crate::store::{KnownBallot, Store};

/// The process is ending: handle nothing more.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Stop;

/// What every actor and loop of this process shares.
pub struct Deps {
    /// What survives.
    pub store: Store,
    /// Arithmetic.
    pub pool: Pool,
    /// Signs receipts, checkpoints, envelopes.
    pub signer: Arc<dyn RemoteSigner>,
    /// TLS.
    pub identity: Identity,
    /// Bounds of connections.
    pub limits: Limits,
    /// Who may connect, where the others are.
    pub circle: Circle,
    /// Where anchors go.
    pub chains: Arc<dyn FindChain>,
    /// Bounds.
    pub tuning: Tuning,
    /// The end.
    pub shutdown: Shutdown,
}

impl Deps {
    /// Signs, or stops the process: a shard that cannot sign can keep no promise.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self.signer.sign(message) {
            Ok(signature) => signature,
            Err(trouble) => runtime::fail_stop(format_args!("the identity key does not sign: {trouble}")),
        }
    }

    /// An envelope by this shard.
    #[must_use]
    pub fn envelope(&self, election: &Election, body: Body) -> Envelope {
        let draft = Draft { election: election.id, sender: Sender::Shard(election.me), body };
        let signature = self.sign(&draft.message());
        draft.sign(signature)
    }

    /// The receipt of a ballot that is in the log. The same ballot has the same receipt, always: Ed25519 is
    /// deterministic.
    #[must_use]
    pub fn receipt(&self, election: &Election, ballot: &KnownBallot) -> Vec<u8> {
        let mut receipt = Receipt {
            election: election.id,
            lane: LaneIndex(ballot.lane),
            index: LeafIndex(ballot.index),
            leaf: ballot.leaf,
            credential: protocol::ids::Credential(ballot.credential),
            shard: election.me,
            signature: [0; 64],
        };
        receipt.signature = self.sign(&receipt.message());
        receipt.to_bytes()
    }

    /// A signed rejection.
    #[must_use]
    pub fn rejection(&self, election: &Election, ballot: [u8; 32], code: u16) -> Vec<u8> {
        let time = TimeMs(runtime::clock::now_ms());
        let mut rejection =
            Rejection { election: election.id, ballot, code, shard: election.me, time, signature: [0; 64] };
        rejection.signature = self.sign(&rejection.message());
        rejection.to_bytes()
    }
}

/// A panic leaves an actor between two states, and the others waiting for one that is gone: the process ends, and the
/// next one folds what is stored.
fn stop_if_panicking(who: &str) {
    if std::thread::panicking() {
        runtime::fail_stop(format_args!("{who} panicked"));
    }
}
