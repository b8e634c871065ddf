//! Casting: sealed ballots in, a receipt or a signed rejection for each out.
//!
//! Sealing is what makes a ballot: its bytes are made once, kept by the caller, and only ever sent again as they are. So
//! whatever is lost on the way, sending again gives the same receipt and never a second vote.

use crate::election::{Election, Server};
use ed25519_dalek::SigningKey;
use proto::v1::{CastOutcome, CastRequest, cast_outcome::Outcome as Wire};
use protocol::{
    ballot::{CheckedBallot, SealError},
    encoding::{Canonical as _, Hash},
    ids::{Credential, OptionIndex, StyleIndex},
    log::{Receipt, Rejection, leaf_hash},
};
use rand_core::CryptoRngCore;
use runtime::backoff::Backoff;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// A ballot, ready to be sent.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The voter's name in the caller's list.
    pub voter: String,
    /// The ballot.
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// Makes a ballot. About 0.7 ms for five options.
    ///
    /// # Errors
    /// Choices that the contests do not allow.
    pub fn new(
        election: &Election,
        voter: &str,
        style: StyleIndex,
        choices: &[Vec<OptionIndex>],
        key: &SigningKey,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, SealError> {
        let bytes = election.form.seal(style, choices, key, rng)?;
        Ok(Self { voter: voter.to_owned(), bytes })
    }

    /// The leaf that it becomes: what receipts and rejections name.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.bytes)
    }
}

/// What became of a ballot. The first two are certain.
#[derive(Debug, Clone)]
pub enum Fate {
    /// In the log, durably.
    Recorded(Box<Receipt>),
    /// Not in the log, and why.
    Rejected(Box<Rejection>),
    /// Not in the log: this server will not judge it.
    Refused(String),
    /// Nobody knows: cast the same bytes again later.
    Unknown(String),
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Ballots in one call.
    pub batch: usize,
    /// Calls at once.
    pub in_flight: usize,
    /// For how long a ballot is offered again and again.
    pub patience: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { batch: 256, in_flight: 4, patience: Duration::from_secs(120) }
    }
}

/// Casts all ballots and reports each fate as it becomes known. `servers` are alternatives: any shard takes a ballot.
///
/// Batch k begins with server k modulo their number and moves on to the next one when that fails.
pub async fn cast(
    election: &Arc<Election>,
    servers: &[Server],
    ballots: Vec<Sealed>,
    effort: Effort,
    mut report: impl FnMut(Sealed, Fate),
) {
    let mut waiting: VecDeque<Vec<Sealed>> = VecDeque::new();
    let mut ballots = ballots.into_iter().peekable();
    while ballots.peek().is_some() {
        waiting.push_back(ballots.by_ref().take(effort.batch.clamp(1, proto::CAST_BALLOTS_MAX)).collect());
    }
    let mut calls = JoinSet::new();
    let mut begun = 0usize;
    loop {
        while calls.len() < effort.in_flight.max(1)
            && let Some(batch) = waiting.pop_front()
        {
            calls.spawn(cast_batch(election.clone(), servers.to_vec(), begun, batch, effort.patience));
            begun = begun.wrapping_add(1);
        }
        match calls.join_next().await {
            Some(Ok(fates)) => fates.into_iter().for_each(|(sealed, fate)| report(sealed, fate)),
            // A defect of this program; the ballots' fates stay unknown to the caller, who keeps their bytes.
            Some(Err(_)) => {}
            None => return,
        }
    }
}

async fn cast_batch(
    election: Arc<Election>,
    servers: Vec<Server>,
    first_server: usize,
    batch: Vec<Sealed>,
    patience: Duration,
) -> Vec<(Sealed, Fate)> {
    let mut done = Vec::with_capacity(batch.len());
    let mut open = batch;
    let mut backoff = Backoff::between_peers(&mut runtime::entropy::OsEntropy);
    let give_up = tokio::time::Instant::now() + patience;
    let mut server = first_server;
    let mut last = String::from("no server was given");
    while !open.is_empty() && tokio::time::Instant::now() < give_up {
        let Some(at) = server.checked_rem(servers.len()) else { break };
        let Some(chosen) = servers.get(at) else { break };
        let request = CastRequest {
            election_id: election.id.0.to_vec(),
            ballots: open.iter().map(|sealed| sealed.bytes.clone()).collect(),
        };
        match chosen.voting().cast(request).await {
            Ok(reply) => {
                let outcomes = reply.into_inner().outcomes;
                let mut pause = Duration::ZERO;
                let mut again = Vec::new();
                let missing = open.len().saturating_sub(outcomes.len());
                let nothing = std::iter::repeat_n(CastOutcome { outcome: None }, missing);
                let sent = std::mem::take(&mut open);
                for (sealed, outcome) in sent.into_iter().zip(outcomes.into_iter().chain(nothing)) {
                    match judge(&election, &sealed, outcome) {
                        Answer::Final(fate) => done.push((sealed, fate)),
                        Answer::Later { after, why } => {
                            pause = pause.max(after);
                            last = why;
                            again.push(sealed);
                        }
                    }
                }
                open = again;
                if open.is_empty() {
                    break;
                }
                server = server.wrapping_add(1);
                tokio::time::sleep(pause.clamp(Duration::from_millis(20), Duration::from_secs(5))).await;
            }
            Err(status) => {
                last = format!("{}: {}", chosen.address, status.message());
                server = server.wrapping_add(1);
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
    done.extend(open.into_iter().map(|sealed| (sealed, Fate::Unknown(last.clone()))));
    done
}

enum Answer {
    Final(Fate),
    Later { after: Duration, why: String },
}

/// What a server's answer is worth. A receipt or rejection that does not verify is worth nothing.
fn judge(election: &Election, sealed: &Sealed, outcome: CastOutcome) -> Answer {
    let later = |after_ms: u64, why: &str| Answer::Later { after: Duration::from_millis(after_ms), why: why.into() };
    match outcome.outcome {
        Some(Wire::Recorded(bytes)) => match Receipt::from_bytes(&bytes) {
            Ok(receipt) if receipt_holds(election, sealed, &receipt) => {
                Answer::Final(Fate::Recorded(Box::new(receipt)))
            }
            _ => later(200, "the server's receipt does not verify"),
        },
        Some(Wire::Rejected(bytes)) => match Rejection::from_bytes(&bytes) {
            Ok(rejection) if rejection_holds(election, sealed, &rejection) => {
                Answer::Final(Fate::Rejected(Box::new(rejection)))
            }
            _ => later(200, "the server's rejection does not verify"),
        },
        Some(Wire::TryLaterMs(after)) => later(after.into(), "the server is busy"),
        Some(Wire::AskAgain(_)) => later(200, "the server does not know yet whether it was recorded"),
        Some(Wire::Refused(why)) => Answer::Final(Fate::Refused(why)),
        None => later(200, "the server left the ballot without an answer"),
    }
}

/// Whether a receipt is for exactly these bytes, signed by a shard of the manifest. (P-LOG-3)
#[must_use]
pub fn receipt_holds(election: &Election, sealed: &Sealed, receipt: &Receipt) -> bool {
    receipt.election == election.id
        && receipt.leaf == sealed.leaf()
        && credential_of(election, sealed) == Some(receipt.credential)
        && election.manifest.shard(receipt.shard).is_some_and(|shard| receipt.verify(&shard.identity))
}

fn rejection_holds(election: &Election, sealed: &Sealed, rejection: &Rejection) -> bool {
    rejection.election == election.id
        && rejection.ballot == sealed.leaf()
        && election.manifest.shard(rejection.shard).is_some_and(|shard| rejection.verify(&shard.identity))
}

fn credential_of(election: &Election, sealed: &Sealed) -> Option<Credential> {
    election.form.peek(&sealed.bytes).ok().map(|(_, credential)| credential)
}

/// Checks a ballot that was read back from a file before it is sent again.
///
/// # Errors
/// The rule that it breaks.
pub fn recheck(election: &Election, bytes: &[u8]) -> Result<CheckedBallot, protocol::ballot::BallotRefusal> {
    election.form.verify(bytes)
}
