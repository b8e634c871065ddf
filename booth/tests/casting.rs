//! Casting against servers that are busy, away, wrong or lying, over real TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use booth::{
    cast::{self, Effort, Fate, Sealed},
    election::{Election, Server},
};
use ed25519_dalek::{Signer as _, SigningKey};
use proto::v1::{
    CastOutcome, CastReply, CastRequest, FindBallotRequest, GetProofReply, GetProofRequest,
    cast_outcome::Outcome,
    voting_server::{Voting, VotingServer},
};
use protocol::{
    ballot_box,
    encoding::{Canonical as _, Hash, digest, label},
    group::Point,
    ids::{ContestIndex, IdentityKey, LaneIndex, LeafIndex, OptionIndex, ShardIndex, StyleIndex, TimeMs},
    log::{Receipt, Rejection, leaf_hash},
    manifest::{
        Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, RollCommitment, ShardEntry, Style,
        TrusteeEntry,
    },
};
use runtime::{
    Shutdown, clock,
    entropy::OsEntropy,
    key::{FileKey, RemoteSigner},
    limits::Limits,
    pki::{Validity, self_signed},
    serve::Listener,
    tls::{Identity, Trust},
    with_message_limits,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

const SHARD: [u8; 32] = [50; 32];

fn manifest() -> Manifest {
    let key = |seed: u8| IdentityKey(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes());
    Manifest {
        title: "t".into(),
        languages: vec!["en".into()],
        contests: vec![Contest {
            id: "c".into(),
            title: "c".into(),
            method: Method::SingleChoice,
            options: vec!["a".into(), "b".into()],
            min: 1,
            max: 1,
            blank: true,
            seats: 1,
            ties_by_lot: false,
        }],
        styles: vec![Style { id: "all".into(), contests: vec![ContestIndex(0)] }],
        roll: RollCommitment { voters: 10, weight_total: 10, digest: [7; 32] },
        revote: Revote::Last,
        opens_not_before: TimeMs(0),
        closes_not_before: TimeMs(0),
        trustees: (1..=4)
            .map(|at| TrusteeEntry {
                name: format!("t{at}"),
                organisation: "o".into(),
                region: "r".into(),
                identity: key(at),
                tls_pin: [at; 32],
                address: "h:1".into(),
            })
            .collect(),
        quorums: Quorums::default_for(4),
        shards: vec![ShardEntry {
            name: "s".into(),
            identity: key(SHARD[0]),
            tls_pin: [50; 32],
            address: "h:2".into(),
            public_address: "h:3".into(),
        }],
        home: ShardIndex(1),
        officials: vec![OfficialEntry { name: "o".into(), identity: key(60), tls_pin: [60; 32] }],
        lanes: 1,
        chain: Chain { cluster: "local".into(), genesis: [9; 32] },
        tally_min: 1,
    }
}

fn election() -> Arc<Election> {
    let manifest = manifest();
    manifest.validate().unwrap();
    let form = ballot_box::form(&manifest, Point::hash("test", b"key")).unwrap();
    let id = manifest.id();
    Arc::new(Election { id, manifest: Arc::new(manifest), form: Arc::new(form), key_certificate: String::new() })
}

fn ballots(election: &Election, count: u8) -> Vec<Sealed> {
    let seal = |at: u8| {
        let key = SigningKey::from_bytes(&[at; 32]);
        let marks = [vec![OptionIndex(u16::from(at % 2))]];
        Sealed::new(election, &format!("v{at}"), StyleIndex(0), &marks, &key, &mut OsEntropy).unwrap()
    };
    (1..=count).map(seal).collect()
}

fn receipt(election: &Election, bytes: &[u8], signer: [u8; 32]) -> Outcome {
    let (_, credential) = election.form.peek(bytes).unwrap();
    let mut receipt = Receipt {
        election: election.id,
        lane: LaneIndex(0),
        index: LeafIndex(0),
        leaf: leaf_hash(bytes),
        credential,
        shard: ShardIndex(1),
        signature: [0; 64],
    };
    receipt.signature = SigningKey::from_bytes(&signer).sign(&receipt.message()).to_bytes();
    Outcome::Recorded(receipt.to_bytes())
}

fn rejection(election: &Election, bytes: &[u8], signer: [u8; 32]) -> Outcome {
    let mut rejection = Rejection {
        election: election.id,
        ballot: leaf_hash(bytes),
        code: 3,
        shard: ShardIndex(1),
        time: TimeMs(1),
        signature: [0; 64],
    };
    rejection.signature = SigningKey::from_bytes(&signer).sign(&rejection.message()).to_bytes();
    Outcome::Rejected(rejection.to_bytes())
}

/// What a server does with a ballot that it is shown for the n-th time.
#[derive(Clone, Copy)]
enum Does {
    Records,
    Rejects,
    SaysTryLater,
    SaysAskAgain,
    Refuses,
    ForgesReceipt,
    ForgesRejection,
    GivesAnothersReceipt,
    SaysNothing,
    /// Takes the call, keeps the ballots, and breaks off.
    RecordsAndBreaks,
}

struct Shown {
    times: BTreeMap<Hash, usize>,
    recorded: BTreeMap<Hash, Vec<u8>>,
    largest: usize,
}

#[derive(Clone)]
struct Fake {
    election: Arc<Election>,
    script: Vec<Does>,
    shown: Arc<Mutex<Shown>>,
}

#[tonic::async_trait]
impl Voting for Fake {
    async fn cast(&self, request: Request<CastRequest>) -> Result<Response<CastReply>, Status> {
        let ballots = request.into_inner().ballots;
        let mut shown = self.shown.lock().unwrap();
        shown.largest = shown.largest.max(ballots.len());
        let mut outcomes = Vec::new();
        for bytes in ballots {
            let leaf = leaf_hash(&bytes);
            let times = shown.times.entry(leaf).or_default();
            let does = self.script.get(*times).or(self.script.last()).copied().unwrap();
            *times += 1;
            let e = &self.election;
            let outcome = match does {
                Does::Records => {
                    shown.recorded.insert(leaf, bytes.clone());
                    Some(receipt(e, &bytes, SHARD))
                }
                Does::Rejects => Some(rejection(e, &bytes, SHARD)),
                Does::SaysTryLater => Some(Outcome::TryLaterMs(1)),
                Does::SaysAskAgain => Some(Outcome::AskAgain(leaf.to_vec())),
                Does::Refuses => Some(Outcome::Refused("ELECTION_CLOSED".into())),
                Does::ForgesReceipt => Some(receipt(e, &bytes, [1; 32])),
                Does::ForgesRejection => Some(rejection(e, &bytes, [1; 32])),
                Does::GivesAnothersReceipt => {
                    let other = ballots_of_another(e);
                    Some(receipt(e, &other, SHARD))
                }
                Does::SaysNothing => None,
                Does::RecordsAndBreaks => {
                    shown.recorded.insert(leaf, bytes.clone());
                    return Err(Status::unavailable("went away"));
                }
            };
            outcomes.push(CastOutcome { outcome });
        }
        Ok(Response::new(CastReply { outcomes }))
    }

    async fn find_ballot(&self, request: Request<FindBallotRequest>) -> Result<Response<CastOutcome>, Status> {
        let id: Hash = request.into_inner().ballot_id.try_into().unwrap();
        let shown = self.shown.lock().unwrap();
        // As a shard knows it: the ballot without its signature.
        let known = shown.recorded.values().find(|bytes| digest(label::BALLOT, &bytes[..bytes.len() - 64]) == id);
        let outcome = known.map(|bytes| receipt(&self.election, bytes, SHARD));
        Ok(Response::new(CastOutcome { outcome }))
    }

    async fn get_proof(&self, _: Request<GetProofRequest>) -> Result<Response<GetProofReply>, Status> {
        Ok(Response::new(GetProofReply::default()))
    }
}

fn ballots_of_another(election: &Election) -> Vec<u8> {
    let key = SigningKey::from_bytes(&[200; 32]);
    election.form.seal(StyleIndex(0), &[vec![]], &key, &mut OsEntropy).unwrap()
}

async fn serve(election: &Arc<Election>, script: &[Does]) -> (Server, Fake) {
    let tls: Arc<dyn RemoteSigner> = Arc::new(FileKey::generate(&mut OsEntropy));
    let certificate = self_signed(tls.clone(), "fake", &[], Validity::days(clock::now_s(), 1)).unwrap();
    let identity = Identity::new(vec![certificate], tls).unwrap();
    let limits = Limits::default();
    let listener = Listener::public("127.0.0.1:0".parse().unwrap(), &identity, &limits).await.unwrap();
    let server = Server::new(&listener.address().to_string(), Trust::Pin(identity.pin()));
    let shown = Shown { times: BTreeMap::new(), recorded: BTreeMap::new(), largest: 0 };
    let fake = Fake { election: election.clone(), script: script.to_vec(), shown: Arc::new(Mutex::new(shown)) };
    let service = with_message_limits!(VotingServer::new(fake.clone()), limits);
    let shutdown = Shutdown::new();
    let serving = limits.server().add_service(service).serve_with_incoming(listener.incoming(&shutdown));
    tokio::spawn(async move {
        let _kept = shutdown;
        serving.await.unwrap();
    });
    (server, fake)
}

fn nobody() -> Server {
    // Port 1 of the loopback: nothing listens there.
    Server::new("127.0.0.1:1", Trust::Pin(runtime::pin::SpkiPin::from_bytes([1; 32])))
}

async fn run(
    election: &Arc<Election>,
    servers: &[Server],
    ballots: Vec<Sealed>,
    patience: Duration,
) -> BTreeMap<String, Fate> {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(ballots).await.unwrap();
    drop(sender);
    let mut fates = BTreeMap::new();
    cast::cast(election, servers, receiver, Effort { in_flight: 2, patience }, |sealed, fate| {
        assert!(fates.insert(sealed.voter, fate).is_none(), "one fate for each");
    })
    .await;
    fates
}

const SHORT: Duration = Duration::from_millis(600);
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_busy_or_silent_server_is_asked_again_with_the_same_bytes() {
    let election = election();
    let script =
        [Does::SaysTryLater, Does::SaysAskAgain, Does::SaysNothing, Does::ForgesReceipt, Does::ForgesRejection];
    let script = [script.as_slice(), &[Does::Records]].concat();
    let (server, fake) = serve(&election, &script).await;
    let fates = run(&election, &[server], ballots(&election, 3), LONG).await;
    assert!(fates.values().all(|fate| matches!(fate, Fate::Recorded(_))), "{fates:?}");
    let shown = fake.shown.lock().unwrap();
    // Had other bytes been sent, there would be more leaves.
    assert_eq!(shown.times.len(), 3);
    assert!(shown.times.values().all(|times| *times == 6));
}

#[tokio::test]
async fn an_answer_that_does_not_verify_is_never_taken_for_one() {
    let election = election();
    for does in [Does::ForgesReceipt, Does::ForgesRejection, Does::GivesAnothersReceipt] {
        let (server, _) = serve(&election, &[does]).await;
        let fates = run(&election, &[server], ballots(&election, 1), SHORT).await;
        assert!(matches!(fates["v1"], Fate::Unknown(_)), "{fates:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_does_not_take_it_is_passed_over() {
    let election = election();
    let (good, _) = serve(&election, &[Does::Records]).await;
    let fates = run(&election, &[nobody(), good.clone()], ballots(&election, 2), LONG).await;
    assert!(fates.values().all(|fate| matches!(fate, Fate::Recorded(_))), "{fates:?}");
    let (refusing, _) = serve(&election, &[Does::Refuses]).await;
    let fates = run(&election, &[refusing, good], ballots(&election, 2), LONG).await;
    assert!(fates.values().all(|fate| matches!(fate, Fate::Recorded(_))), "{fates:?}");
}

#[tokio::test]
async fn what_all_servers_refuse_is_refused_and_a_signed_rejection_is_final() {
    let election = election();
    let (one, _) = serve(&election, &[Does::Refuses]).await;
    let (other, _) = serve(&election, &[Does::Refuses]).await;
    let fates = run(&election, &[one, other], ballots(&election, 1), LONG).await;
    assert!(matches!(&fates["v1"], Fate::Refused(why) if why == "ELECTION_CLOSED"), "{fates:?}");
    let (rejecting, _) = serve(&election, &[Does::Rejects]).await;
    let fates = run(&election, &[rejecting], ballots(&election, 1), LONG).await;
    assert!(matches!(&fates["v1"], Fate::Rejected(rejection) if rejection.code == 3), "{fates:?}");
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_looked_into() {
    let election = election();
    // Recorded, the answer lost, then closed: the ballot is in the log, and "refused" would be a lie.
    let (server, _) = serve(&election, &[Does::RecordsAndBreaks, Does::Refuses]).await;
    let fates = run(&election, &[server], ballots(&election, 1), LONG).await;
    assert!(matches!(fates["v1"], Fate::Recorded(_)), "{fates:?}");
    // The same, and nobody can say: unknown, not refused.
    let (server, fake) = serve(&election, &[Does::SaysAskAgain, Does::Refuses]).await;
    let fates = run(&election, &[server], ballots(&election, 1), LONG).await;
    assert!(matches!(fates["v1"], Fate::Unknown(_)), "{fates:?}");
    assert!(fake.shown.lock().unwrap().recorded.is_empty());
}

#[tokio::test]
async fn nobody_there_means_unknown_and_not_lost() {
    let election = election();
    let fates = run(&election, &[nobody()], ballots(&election, 2), SHORT).await;
    assert_eq!(fates.len(), 2);
    assert!(fates.values().all(|fate| matches!(fate, Fate::Unknown(_))), "{fates:?}");
}

#[tokio::test]
async fn no_call_has_more_ballots_than_the_wire_allows() {
    let election = election();
    let (server, fake) = serve(&election, &[Does::Records]).await;
    let one = ballots(&election, 1).remove(0);
    let many = (0..700).map(|at| Sealed { voter: format!("v{at}"), bytes: one.bytes.clone() }).collect();
    let fates = run(&election, &[server], many, LONG).await;
    assert_eq!(fates.len(), 700);
    assert_eq!(fake.shown.lock().unwrap().largest, proto::CAST_BALLOTS_MAX);
}
