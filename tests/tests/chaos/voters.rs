//! Voters: they seal once, cast the same bytes until they know, and write down everything that they are told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use booth::{
    cast::{Sealed, receipt_holds},
    choices::read_keys,
    election::{Election, Server},
};
use ed25519_dalek::SigningKey;
use proto::v1::{CastOutcome, CastRequest, FindBallotRequest, cast_outcome::Outcome};
use protocol::{
    encoding::{Canonical as _, Hash, digest, label},
    ids::{OptionIndex, StyleIndex},
    log::{Receipt, Rejection},
};
use runtime::entropy::OsEntropy;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    history::{Asked, Ballot, CONTESTS, Call, History, Marks, Said},
    proxy::mixed,
};

/// How voters go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Ballots of one call.
    pub(crate) batch: usize,
    /// Calls at once.
    pub(crate) in_flight: usize,
    /// After each call.
    pub(crate) pause: Duration,
    /// A call without an answer is given up after so long.
    pub(crate) call: Duration,
    /// A ballot without a certain answer is given up after so long.
    pub(crate) patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch: 4,
            in_flight: 2,
            pause: Duration::from_millis(150),
            call: Duration::from_secs(6),
            patience: Duration::from_secs(60),
        }
    }
}

/// What one election's voters need.
#[derive(Debug, Clone)]
pub(crate) struct Voters {
    /// As a booth sees it.
    pub(crate) election: Arc<Election>,
    /// The shards, past nothing.
    pub(crate) servers: Vec<Server>,
    /// What they are told.
    pub(crate) history: Arc<History>,
}

/// Ballots on their way.
#[derive(Debug)]
pub(crate) struct Casting {
    handle: Handle,
    task: JoinHandle<Vec<Ballot>>,
}

impl Casting {
    /// Whether every ballot has its answer, or was given up.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end; gives the ballots whose fate nobody knows.
    #[must_use]
    pub(crate) fn finish(self) -> Vec<Ballot> {
        self.handle.block_on(self.task).unwrap()
    }
}

/// Random marks, as the contests allow them.
fn marks(state: &mut u64) -> Marks {
    let mut draw = |below: u64| {
        *state = mixed(*state);
        u16::try_from(*state % below).unwrap()
    };
    // The first contest may be left blank, the second has one mark or two.
    let chair = draw(4);
    let (one, other) = (draw(4), draw(4));
    let mut members = vec![one, other];
    members.sort_unstable();
    members.dedup();
    vec![if chair == 3 { Vec::new() } else { vec![chair] }, members]
}

impl Voters {
    /// Seals a ballot for everybody in `keys` (`voter,secret`), by the seed.
    #[must_use]
    pub(crate) fn seal_all(&self, keys: &[u8], seed: u64) -> Vec<Ballot> {
        let keys: BTreeMap<String, SigningKey> = read_keys(keys).unwrap();
        let mut state = seed;
        let sealed = keys.values().enumerate().map(|(voter, key)| {
            let marks = marks(&mut state);
            let bytes = self.seal(voter, &marks, key);
            Ballot { voter, marks: Some(marks), bytes }
        });
        sealed.collect()
    }

    /// What no election takes: ballots of strangers, and one with a bit turned.
    #[must_use]
    pub(crate) fn rubbish(&self, of: &Ballot, seed: u64) -> Vec<Ballot> {
        let mut state = seed ^ 0xbad;
        let strangers = (1000..1002).map(|voter| {
            let mut secret = [0; 32];
            secret.chunks_mut(8).for_each(|chunk| {
                state = mixed(state);
                chunk.copy_from_slice(&state.to_be_bytes());
            });
            let bytes = self.seal(voter, &marks(&mut state), &SigningKey::from_bytes(&secret));
            Ballot { voter, marks: None, bytes }
        });
        let mut rubbish: Vec<Ballot> = strangers.collect();
        let mut bytes = of.bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        rubbish.push(Ballot { voter: of.voter, marks: None, bytes });
        rubbish
    }

    fn seal(&self, voter: usize, marks: &Marks, key: &SigningKey) -> Vec<u8> {
        assert_eq!(marks.len(), CONTESTS.len());
        let choices: Vec<Vec<OptionIndex>> =
            marks.iter().map(|marks| marks.iter().map(|mark| OptionIndex(*mark)).collect()).collect();
        let voter = format!("voter {voter}");
        Sealed::new(&self.election, &voter, StyleIndex(0), &choices, key, &mut OsEntropy).unwrap().bytes
    }

    /// Casts ballots, in the background.
    #[must_use]
    pub(crate) fn cast(&self, handle: &Handle, ballots: Vec<Ballot>, pace: Pace) -> Casting {
        for ballot in &ballots {
            self.history.made(ballot.clone());
        }
        let voters = self.clone();
        let task = handle.spawn(async move {
            let mut unknown = Vec::new();
            let mut calls = JoinSet::new();
            for (number, batch) in ballots.chunks(pace.batch).enumerate() {
                while calls.len() >= pace.in_flight {
                    unknown.extend(calls.join_next().await.unwrap().unwrap());
                }
                let (voters, batch) = (voters.clone(), batch.to_vec());
                calls.spawn(async move { voters.cast_batch(batch, number, pace).await });
            }
            while let Some(rest) = calls.join_next().await {
                unknown.extend(rest.unwrap());
            }
            unknown
        });
        Casting { handle: handle.clone(), task }
    }

    /// The same bytes again and again, until all is certain or patience ends; gives what is not certain.
    async fn cast_batch(&self, mut open: Vec<Ballot>, first: usize, pace: Pace) -> Vec<Ballot> {
        let give_up = Instant::now() + pace.patience;
        let mut shard = first;
        while !open.is_empty() && Instant::now() < give_up {
            shard = (shard + 1) % self.servers.len();
            let begun_ms = self.history.now_ms();
            let answers = timeout(pace.call, self.call(shard, &open)).await;
            let answers = answers.unwrap_or_else(|_| nothing(open.len(), true, "no answer in time"));
            let ended_ms = self.history.now_ms();
            let mut rest = Vec::new();
            let mut unsure = false;
            for (ballot, said) in open.into_iter().zip(answers) {
                let certain = match &said {
                    Said::Recorded(_) | Said::Rejected(_) => true,
                    Said::Refused(why) => why.contains("ELECTION_CLOSED"),
                    Said::AskAgain | Said::Nothing { sent: true, .. } => {
                        unsure = true;
                        false
                    }
                    Said::TryLater | Said::Nothing { .. } => false,
                };
                self.history.told(Call { ballot: ballot.leaf(), asked: Asked::Cast, shard, begun_ms, ended_ms, said });
                if !certain {
                    rest.push(ballot);
                }
            }
            open = rest;
            if unsure && let Some(ballot) = open.first() {
                self.find(ballot, shard, pace.call).await;
            }
            sleep(pace.pause).await;
            if !open.is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        open
    }

    async fn call(&self, shard: usize, ballots: &[Ballot]) -> Vec<Said> {
        let mut client = match self.servers[shard].voting().await {
            Ok(client) => client,
            Err(trouble) => return nothing(ballots.len(), false, &trouble.to_string()),
        };
        let request = CastRequest {
            election_id: self.election.id.0.to_vec(),
            ballots: ballots.iter().map(|ballot| ballot.bytes.clone()).collect(),
        };
        match client.cast(request).await {
            Ok(reply) => {
                let outcomes = reply.into_inner().outcomes;
                assert_eq!(outcomes.len(), ballots.len(), "one answer for each ballot");
                ballots.iter().zip(outcomes).map(|(ballot, outcome)| self.judge(ballot, outcome)).collect()
            }
            Err(status) => nothing(ballots.len(), true, &format!("{:?}: {}", status.code(), status.message())),
        }
    }

    /// Asks once what became of a ballot. Gives what is said.
    pub(crate) async fn find(&self, ballot: &Ballot, shard: usize, within: Duration) -> Said {
        let begun_ms = self.history.now_ms();
        let asked = timeout(within, async {
            let request =
                FindBallotRequest { election_id: self.election.id.0.to_vec(), ballot_id: ballot_id(&ballot.bytes) };
            match self.servers[shard].voting().await {
                Ok(mut client) => match client.find_ballot(request).await {
                    Ok(reply) => self.judge(ballot, reply.into_inner()),
                    Err(status) => Said::Nothing { sent: false, why: status.message().to_owned() },
                },
                Err(trouble) => Said::Nothing { sent: false, why: trouble.to_string() },
            }
        });
        let silence = Said::Nothing { sent: false, why: "no answer in time".to_owned() };
        let said = asked.await.unwrap_or(silence);
        let ended_ms = self.history.now_ms();
        let ballot = ballot.leaf();
        self.history.told(Call { ballot, asked: Asked::Find, shard, begun_ms, ended_ms, said: said.clone() });
        said
    }

    /// What an answer is worth. Nobody here lies: a signature that does not hold is a defect.
    fn judge(&self, ballot: &Ballot, outcome: CastOutcome) -> Said {
        match outcome.outcome {
            Some(Outcome::Recorded(bytes)) => {
                let receipt = Receipt::from_bytes(&bytes).unwrap();
                let sealed = Sealed { voter: String::new(), bytes: ballot.bytes.clone() };
                assert!(receipt_holds(&self.election, &sealed, &receipt), "a receipt that does not hold: {receipt:?}");
                Said::Recorded(receipt)
            }
            Some(Outcome::Rejected(bytes)) => {
                let rejection = Rejection::from_bytes(&bytes).unwrap();
                let shard = self.election.manifest.shard(rejection.shard).unwrap();
                let id: Hash = ballot.leaf();
                let holds = (rejection.election, rejection.ballot) == (self.election.id, id);
                assert!(holds && rejection.verify(&shard.identity), "a rejection that does not hold: {rejection:?}");
                Said::Rejected(rejection)
            }
            Some(Outcome::TryLaterMs(_)) => Said::TryLater,
            Some(Outcome::AskAgain(_)) => Said::AskAgain,
            Some(Outcome::Refused(why)) => Said::Refused(why),
            None => panic!("an outcome without an answer"),
        }
    }
}

/// What shards find a ballot by: everything but its signature.
fn ballot_id(bytes: &[u8]) -> Vec<u8> {
    digest(label::BALLOT, &bytes[..bytes.len() - 64]).to_vec()
}

fn nothing(count: usize, sent: bool, why: &str) -> Vec<Said> {
    vec![Said::Nothing { sent, why: why.to_owned() }; count]
}
