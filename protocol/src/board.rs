//! The board: the one fold over envelopes, used live, after a restart and in tests. (P-BRD)
//!
//! A board is a set of verified envelopes, one for each [`Slot`], plus what follows from them: key certificate,
//! opening, vote-set certificate, lots, partial decryptions, result, joint signatures. What follows depends on the set
//! and not on the order of arrival, so two honest parties that hold the same envelopes think the same. A lying
//! coordinator can withhold envelopes; it cannot make one.

use crate::{
    agreement::{VoteSetCertificate, Votes},
    ceremony::{CheckedReveals, KeyCertificate, Transcript},
    dleq,
    elgamal::Aggregate,
    encoding::{Canonical as _, Hash},
    evidence::{Evidence, Moot, Verdict, Wrong},
    group::RawPoint,
    ids::{Attempt, ElectionId, Round, TrusteeIndex},
    lots,
    manifest::Manifest,
    signed::{Body, Envelope, Sender, Slot},
    signing::messages::Purpose,
    tally::ElectionResult,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

mod signing;
mod stage;
pub use signing::{ChainIntent, SigningView, Transactions};
pub use stage::{Awaited, Stage};

/// Envelopes on one board, at most.
pub const ENVELOPES_MAX: usize = 200_000;
/// Key-ceremony attempts, at most.
pub const CEREMONY_ATTEMPTS_MAX: u32 = 1000;
/// Rounds of agreement, at most.
pub const ROUNDS_MAX: u32 = 10_000;

/// An envelope whose signature holds and whose slot was free. Only [`Board::check`] makes one.
#[derive(Debug, Clone)]
pub struct CheckedEnvelope(Envelope);

impl CheckedEnvelope {
    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Board {
    election: ElectionId,
    manifest: Arc<Manifest>,
    slots: BTreeMap<Slot, Envelope>,
    evidence: Vec<Evidence>,
    reveals: BTreeMap<Attempt, CheckedReveals>,
    key: Option<KeyCertificate>,
    rehearsed: BTreeSet<TrusteeIndex>,
    votes: Votes,
    certificate: Option<VoteSetCertificate>,
    lots: BTreeMap<TrusteeIndex, Hash>,
    aggregate: Option<Aggregate>,
    partials: BTreeMap<TrusteeIndex, Vec<RawPoint>>,
    result: Option<Result<ElectionResult, crate::tally::TallyRefusal>>,
}
