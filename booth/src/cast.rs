//! Casting: sealed ballots in, a receipt or a signed rejection for each out.
//!
//! Sealing is what makes a ballot: its bytes are made once, kept by the caller, and only ever sent again as they are. So
//! whatever is lost on the way, sending again gives the same receipt and never a second vote.

use crate::election::{Election, ElectionTrouble, Server};
use ed25519_dalek::SigningKey;
use proto::v1::{CastOutcome, CastRequest, FindBallotRequest, cast_outcome::Outcome as Wire};
use protocol::{
    ballot::{CheckedBallot, SealError},
    encoding::{Canonical as _, Hash, digest, label},
    ids::{Credential, OptionIndex, StyleIndex},
    log::{Receipt, Rejection, leaf_hash},
};
use rand_core::CryptoRngCore;
use runtime::backoff::Backoff;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};

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

    /// What servers find it by: everything but its signature.
    fn ballot_id(&self) -> Vec<u8> {
        let body = self.bytes.len().checked_sub(64).and_then(|body| self.bytes.get(..body));
        digest(label::BALLOT, body.unwrap_or(&[])).to_vec()
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
    /// Not in the log: no server will judge it.
    Refused(String),
    /// Nobody knows: cast the same bytes again later.
    Unknown(String),
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Calls at once.
    pub in_flight: usize,
    /// For how long a ballot is offered again and again.
    pub patience: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { in_flight: 4, patience: Duration::from_secs(120) }
    }
}

/// Casts what comes in, batch by batch, and reports each fate as it becomes known. `servers` are alternatives: any shard
/// takes a ballot. Batch k begins with server k modulo their number and moves on to the next one when that fails.
///
/// A batch is at most [`proto::CAST_BALLOTS_MAX`] ballots; a longer one is cut.
pub async fn cast(
    election: &Arc<Election>,
    servers: &[Server],
    mut batches: mpsc::Receiver<Vec<Sealed>>,
    effort: Effort,
    mut report: impl FnMut(Sealed, Fate),
) {
    let mut calls = JoinSet::new();
    let mut begun = 0usize;
    let mut waiting: VecDeque<Vec<Sealed>> = VecDeque::new();
    let mut more = true;
    loop {
        while calls.len() < effort.in_flight.max(1)
            && let Some(batch) = waiting.pop_front()
        {
            calls.spawn(cast_batch(election.clone(), servers.to_vec(), begun, batch, effort.patience));
            begun = begun.wrapping_add(1);
        }
        let room = calls.len() < effort.in_flight.max(1);
        tokio::select! {
            batch = batches.recv(), if more && room => match batch {
                Some(batch) => {
                    let mut batch = batch.into_iter().peekable();
                    while batch.peek().is_some() {
                        waiting.push_back(batch.by_ref().take(proto::CAST_BALLOTS_MAX).collect());
                    }
                }
                None => more = false,
            },
            Some(joined) = calls.join_next() => {
                // An error would be a defect of this program; those ballots' fates stay unknown to the caller, who keeps
                // their bytes.
                for (sealed, fate) in joined.unwrap_or_default() {
                    report(sealed, fate);
                }
            }
            else => return,
        }
    }
}

/// A ballot under way.
struct Pending {
    sealed: Sealed,
    /// Servers that said that they do not take it.
    refusals: usize,
    /// Whether some server may have recorded it without our knowing.
    uncertain: bool,
}

async fn cast_batch(
    election: Arc<Election>,
    servers: Vec<Server>,
    first_server: usize,
    batch: Vec<Sealed>,
    patience: Duration,
) -> Vec<(Sealed, Fate)> {
    let mut done = Vec::with_capacity(batch.len());
    let mut open: Vec<Pending> =
        batch.into_iter().map(|sealed| Pending { sealed, refusals: 0, uncertain: false }).collect();
    let mut backoff = Backoff::between_peers(&mut runtime::entropy::OsEntropy);
    let give_up = tokio::time::Instant::now() + patience;
    let mut server = first_server;
    let mut last = String::from("no server was given");
    while !open.is_empty() {
        let chosen = server.checked_rem(servers.len()).and_then(|at| servers.get(at));
        let Some(chosen) = chosen else { break };
        server = server.wrapping_add(1);
        match offer(&election, chosen, &open).await {
            Ok(outcomes) => {
                backoff.reset();
                let mut pause = Duration::ZERO;
                let nothing = std::iter::repeat_with(|| CastOutcome { outcome: None });
                let sent = std::mem::take(&mut open);
                for (mut pending, outcome) in sent.into_iter().zip(outcomes.into_iter().chain(nothing)) {
                    match judge(&election, &pending.sealed, outcome) {
                        Answer::Final(fate) => done.push((pending.sealed, fate)),
                        Answer::Refused(why) => {
                            pending.refusals = pending.refusals.saturating_add(1);
                            if pending.refusals < servers.len() {
                                open.push(pending);
                            } else {
                                let fate = refused(&election, &servers, &pending, why).await;
                                done.push((pending.sealed, fate));
                            }
                        }
                        Answer::Later { after, why, uncertain } => {
                            pause = pause.max(after);
                            last = format!("{}: {why}", chosen.address);
                            pending.uncertain |= uncertain;
                            open.push(pending);
                        }
                    }
                }
                if tokio::time::Instant::now() >= give_up {
                    break;
                }
                if !open.is_empty() {
                    tokio::time::sleep(pause.clamp(Duration::from_millis(20), Duration::from_secs(5))).await;
                }
            }
            Err(trouble) => {
                last = format!("{}: {}", chosen.address, trouble.why);
                open.iter_mut().for_each(|pending| pending.uncertain |= trouble.sent);
                if tokio::time::Instant::now() >= give_up {
                    break;
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
    done.extend(open.into_iter().map(|pending| (pending.sealed, Fate::Unknown(last.clone()))));
    done
}

/// A call that brought no answer.
struct CallTrouble {
    /// Whether the ballots may have arrived.
    sent: bool,
    why: String,
}

async fn offer(election: &Election, server: &Server, open: &[Pending]) -> Result<Vec<CastOutcome>, CallTrouble> {
    let client = server.voting().await;
    let mut client = client.map_err(|trouble| CallTrouble { sent: false, why: trouble.to_string() })?;
    let request = CastRequest {
        election_id: election.id.0.to_vec(),
        ballots: open.iter().map(|pending| pending.sealed.bytes.clone()).collect(),
    };
    let reply = client.cast(request).await;
    reply
        .map(|reply| reply.into_inner().outcomes)
        .map_err(|status| CallTrouble { sent: true, why: status.message().to_owned() })
}

/// Every server refused. If one may have recorded it before that, only its word that it did not makes this certain.
async fn refused(election: &Election, servers: &[Server], pending: &Pending, why: String) -> Fate {
    if !pending.uncertain {
        return Fate::Refused(why);
    }
    for server in servers {
        if let Ok(Some(fate)) = find(election, server, &pending.sealed).await {
            return fate;
        }
    }
    Fate::Unknown(format!("{why}, after a call without an answer"))
}

/// Asks a server what became of a ballot. `None`: it does not say.
///
/// # Errors
/// No answer.
pub async fn find(election: &Election, server: &Server, sealed: &Sealed) -> Result<Option<Fate>, ElectionTrouble> {
    let request = FindBallotRequest { election_id: election.id.0.to_vec(), ballot_id: sealed.ballot_id() };
    let outcome = server.voting().await?.find_ballot(request).await?.into_inner();
    Ok(match judge(election, sealed, outcome) {
        Answer::Final(fate) => Some(fate),
        Answer::Refused(_) | Answer::Later { .. } => None,
    })
}

enum Answer {
    Final(Fate),
    Refused(String),
    Later { after: Duration, why: String, uncertain: bool },
}

/// What a server's answer is worth. A receipt or rejection that does not verify is worth nothing.
fn judge(election: &Election, sealed: &Sealed, outcome: CastOutcome) -> Answer {
    let later = |after_ms: u64, why: &str| Answer::Later {
        after: Duration::from_millis(after_ms),
        why: why.into(),
        uncertain: true,
    };
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
        Some(Wire::TryLaterMs(after)) => Answer::Later {
            after: Duration::from_millis(after.into()),
            why: "the server is busy".into(),
            uncertain: false,
        },
        Some(Wire::AskAgain(_)) => later(200, "the server does not know yet whether it was recorded"),
        Some(Wire::Refused(why)) => Answer::Refused(why),
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
