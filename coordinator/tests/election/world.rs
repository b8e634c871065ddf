//! A shard in a directory, four trustees, an official, voters, a chain in memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coordinator::config::{Config, RawConfig, RawLedger, RawLimits};
use coordinator::enrol;
use coordinator::ledger::{AnchorOnChain, FindChain, News};
use coordinator::run::{Running, start_with};
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use proto::v1::official_client::OfficialClient;
use proto::v1::public_record_client::PublicRecordClient;
use proto::v1::voting_client::VotingClient;
use proto::v1::{
    CastOutcome, CastRequest, CreateElectionRequest, ElectionRequest, GetCheckpointRequest, GetProofRequest, RollChunk,
    Status as ElectionStatus, SubmitRequest,
};
use protocol::agreement::messages::{CloseRequest, OpenRequest};
use protocol::ballot::BallotForm;
use protocol::ballot_box;
pub use protocol::board::Stage;
use protocol::encoding::{Canonical as _, Hash};
use protocol::ids::{
    ContestIndex, Credential, IdentityKey, LaneIndex, OptionIndex, ShardIndex, StyleIndex, TimeMs, TrusteeIndex, Weight,
};
use protocol::log::Receipt;
use protocol::manifest::{
    Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, ShardEntry, Style, TrusteeEntry,
};
use protocol::roll::{Roll, RollEntry};
use protocol::signed::{Announce, Body, Draft, Sender};
use protocol::tally::ElectionResult;
use rand_core::RngCore as _;
use runtime::Shutdown;
use runtime::connect::{connect, connect_public};
use runtime::entropy::OsEntropy;
use runtime::key::{FileKey, RemoteSigner as _};
use runtime::limits::Limits;
use runtime::tls::{Identity, Trust};
use solana_anchor::{AnchorError, AnchorIntent, Landed};
use tonic::transport::Channel;

use super::keeper::MiniTrustee;

const PATIENCE: Duration = Duration::from_secs(120);

/// A chain that takes what is signed.
#[derive(Default)]
pub struct MemoryChain {
    nonce: Mutex<Option<Hash>>,
    landed: Mutex<BTreeMap<[u8; 32], u64>>,
}

#[derive(Clone, Default)]
pub struct Chains(pub Arc<MemoryChain>);

impl FindChain for Chains {
    fn chain(&self, _: Hash) -> Result<Arc<dyn AnchorOnChain>, String> {
        Ok(self.0.clone())
    }
}

impl AnchorOnChain for MemoryChain {
    fn blockhash(&self) -> BoxFuture<'_, Result<News, AnchorError>> {
        Box::pin(async { Ok(News::Blockhash { hash: [7; 32], rent: 1_447_680 }) })
    }
    fn nonce(&self, _: [u8; 32], _: String) -> BoxFuture<'_, Result<News, AnchorError>> {
        Box::pin(async { Ok(News::Nonce(*self.nonce.lock().unwrap())) })
    }
    fn submit(&self, intent: AnchorIntent, signature: [u8; 64]) -> BoxFuture<'_, Result<Landed, AnchorError>> {
        Box::pin(async move {
            let message = intent.message()?;
            let group = ed25519_dalek::VerifyingKey::from_bytes(intent.group()).unwrap();
            group.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
            let mut nonce = self.nonce.lock().unwrap();
            let mut landed = self.landed.lock().unwrap();
            let slot = landed.len() as u64 + 1;
            let id = protocol::log::leaf_hash(&signature);
            if let Some(slot) = landed.get(&id) {
                return Ok(Landed { signature, slot: *slot });
            }
            if let AnchorIntent::Memo { nonce: signed, .. } = &intent
                && *nonce != Some(*signed)
            {
                return Err(AnchorError::NonceSpent { expected: String::new(), got: String::new() });
            }
            let mut next = [0; 32];
            OsEntropy.fill_bytes(&mut next);
            *nonce = Some(next);
            landed.insert(id, slot);
            Ok(Landed { signature, slot })
        })
    }
}

pub struct WorldSettings {
    pub lanes: u16,
    pub revote: Revote,
    pub voters: usize,
}

pub struct World {
    dir: tempfile::TempDir,
    pub config: Config,
    manifest: Arc<Manifest>,
    roll: Roll,
    voters: Vec<SigningKey>,
    official: FileKey,
    pub official_tls: Identity,
    pub shard_tls: Identity,
    chains: Chains,
    trustees: Vec<MiniTrustee>,
    trustees_shutdown: Shutdown,
    running: Option<(Running, Shutdown)>,
    second: Config,
    pub second_tls: Identity,
    pub trustee_tls: Identity,
    form: Option<BallotForm>,
}

pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub fn identity() -> Identity {
    enrol::self_signed(Arc::new(FileKey::generate(&mut OsEntropy)), "test", &["127.0.0.1:1"]).unwrap()
}

/// Below the ports that the operating system gives away by itself: nobody takes it before it is used.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 1000).unwrap() * 12;
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, base + NEXT.fetch_add(1, Ordering::Relaxed)));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn voter() -> SigningKey {
    let mut seed = [0; 32];
    OsEntropy.fill_bytes(&mut seed);
    SigningKey::from_bytes(&seed)
}

impl World {
    pub async fn new(settings: WorldSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("shard-1");
        let (internal, public) = (free_port(), free_port());
        let enrolment = enrol::init(&enrol::NewShard {
            dir: home.clone(),
            name: "shard-1".to_owned(),
            address: internal.to_string(),
            public_address: public.to_string(),
            circle: "../circle.toml".into(),
            rpc: Vec::new(),
        })
        .unwrap();
        let shard_key = Arc::new(FileKey::load(&home.join("tls.key")).unwrap());
        let shard_tls = enrol::self_signed(shard_key, "shard-1", &["127.0.0.1:1"]).unwrap();
        let official = FileKey::generate(&mut OsEntropy);
        let official_tls = identity();
        let trustees_shutdown = Shutdown::new();
        let (mut trustees, mut entries) = (Vec::new(), Vec::new());
        for at in 1..=4_u16 {
            let (key, tls) = (Arc::new(FileKey::generate(&mut OsEntropy)), identity());
            let identity = IdentityKey(key.public_key());
            let (trustee, address) =
                MiniTrustee::serve(TrusteeIndex(at), key, &tls, &shard_tls, ANY_PORT, &trustees_shutdown).await;
            trustees.push(trustee);
            entries.push(TrusteeEntry {
                name: format!("trustee-{at}"),
                organisation: "o".into(),
                region: "r".into(),
                identity,
                tls_pin: *tls.pin().as_bytes(),
                address,
            });
        }
        let second_home = dir.path().join("shard-2");
        let (second_internal, second_public) = (free_port(), free_port());
        let second = enrol::init(&enrol::NewShard {
            dir: second_home.clone(),
            name: "shard-2".to_owned(),
            address: second_internal.to_string(),
            public_address: second_public.to_string(),
            circle: "../circle.toml".into(),
            rpc: Vec::new(),
        })
        .unwrap();
        let second_key = Arc::new(FileKey::load(&second_home.join("tls.key")).unwrap());
        let second_tls = enrol::self_signed(second_key, "shard-2", &["127.0.0.1:1"]).unwrap();
        let trustee_tls = identity();
        let member = |name: &str, role: &str, pin: String, address: String| {
            let identity = "00".repeat(32);
            format!(
                "[[member]]\nname = \"{name}\"\nrole = \"{role}\"\nidentity = \"{identity}\"\ntls_pin = \"{pin}\"\n\
                 address = \"{address}\"\npublic_address = \"\"\n"
            )
        };
        let circle = [
            member("official", "official", official_tls.pin().to_string(), String::new()),
            member("trustee", "trustee", trustee_tls.pin().to_string(), String::new()),
            member("shard-1", "shard", enrolment.tls_pin.clone(), internal.to_string()),
            member("shard-2", "shard", second.tls_pin.clone(), second_internal.to_string()),
        ];
        std::fs::write(dir.path().join("circle.toml"), circle.concat()).unwrap();
        let voters: Vec<SigningKey> = (0..settings.voters).map(|_| voter()).collect();
        let entry = |voter: &SigningKey| RollEntry {
            credential: Credential(voter.verifying_key().to_bytes()),
            style: StyleIndex(0),
            weight: Weight(1),
        };
        let roll = Roll::new(voters.iter().map(entry).collect(), 1).unwrap();
        let manifest = Manifest {
            title: "Through a shard".into(),
            languages: vec!["en".into()],
            contests: vec![Contest {
                id: "chair".into(),
                title: "Chair".into(),
                method: Method::SingleChoice,
                options: vec!["Ada".into(), "Emmy".into(), "Sofia".into()],
                min: 1,
                max: 1,
                blank: true,
                seats: 1,
                ties_by_lot: true,
            }],
            styles: vec![Style { id: "all".into(), contests: vec![ContestIndex(0)] }],
            roll: roll.commitment(),
            revote: settings.revote,
            opens_not_before: TimeMs(0),
            closes_not_before: TimeMs(0),
            trustees: entries,
            quorums: Quorums::default_for(4),
            shards: vec![ShardEntry {
                name: "shard-1".into(),
                identity: IdentityKey(proto::fixed("identity", &hex::decode(&enrolment.identity).unwrap()).unwrap()),
                tls_pin: *shard_tls.pin().as_bytes(),
                address: internal.to_string(),
                public_address: public.to_string(),
            }],
            home: ShardIndex(1),
            officials: vec![OfficialEntry {
                name: "official".into(),
                identity: IdentityKey(official.public_key()),
                tls_pin: *official_tls.pin().as_bytes(),
            }],
            lanes: settings.lanes,
            chain: Chain { cluster: "memory".into(), genesis: [1; 32] },
            tally_min: 1,
        };
        manifest.validate().unwrap();
        let config = config("shard-1", &home, internal, public);
        let second = config_of_second(&second_home, second_internal, second_public);
        let mut world = Self {
            dir,
            config,
            manifest: Arc::new(manifest),
            roll,
            voters,
            official,
            official_tls,
            shard_tls,
            chains: Chains::default(),
            trustees,
            trustees_shutdown,
            running: None,
            second,
            second_tls,
            trustee_tls,
            form: None,
        };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        let shutdown = Shutdown::new();
        let running = start_with(&self.config, &shutdown, Arc::new(self.chains.clone())).await.unwrap();
        self.running = Some((running, shutdown));
    }

    /// From the next restart on the store may have so many bytes.
    pub fn limit_store(&mut self, bytes: Option<u64>) {
        self.config.tuning.store_bytes_max = bytes;
    }

    /// The shard ends, and begins again on the same store.
    pub async fn restart(&mut self) {
        self.end_shard().await;
        self.start().await;
    }

    /// Another shard of the circle, which runs no election. Gives its public client.
    pub async fn start_second(&self) -> (VotingClient<Channel>, PublicRecordClient<Channel>, Shutdown) {
        let shutdown = Shutdown::new();
        let running = start_with(&self.second, &shutdown, Arc::new(self.chains.clone())).await.unwrap();
        let address = running.public.to_string();
        tokio::spawn(running.ended());
        let trust = Trust::Pin(self.second_tls.pin());
        let channel = connect_public(&address, &trust, &Limits::default()).await.unwrap();
        (VotingClient::new(channel.clone()), PublicRecordClient::new(channel), shutdown)
    }

    pub async fn end_shard(&mut self) {
        let (running, shutdown) = self.running.take().unwrap();
        shutdown.request();
        running.ended().await.unwrap();
    }

    pub async fn stop(mut self) {
        self.end_shard().await;
        self.trustees_shutdown.request();
        assert!(self.dir.path().exists());
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    async fn official_channel(&self) -> Channel {
        let address = self.config.listen.to_string();
        connect(&address, self.shard_tls.pin(), &self.official_tls, &Limits::default()).await.unwrap()
    }

    async fn official(&self) -> OfficialClient<Channel> {
        OfficialClient::new(self.official_channel().await)
    }

    async fn public_channel(&self) -> Channel {
        let address = self.config.public_listen.to_string();
        connect_public(&address, &Trust::Pin(self.shard_tls.pin()), &Limits::default()).await.unwrap()
    }

    pub async fn voting(&self) -> VotingClient<Channel> {
        VotingClient::new(self.public_channel().await)
    }

    pub async fn record(&self) -> PublicRecordClient<Channel> {
        PublicRecordClient::new(self.public_channel().await)
    }

    fn signed(&self, body: Body) -> Vec<u8> {
        let draft = Draft { election: self.manifest.id(), sender: Sender::Official(1), body };
        let signature = self.official.sign(&draft.message()).unwrap();
        draft.sign(signature).to_bytes()
    }

    pub async fn create(&self) {
        let request =
            || CreateElectionRequest { manifest: self.manifest.to_bytes(), announce: self.signed(Announce {}.into()) };
        let mut official = self.official().await;
        assert!(!official.create_election(request()).await.unwrap().into_inner().existed);
        assert!(official.create_election(request()).await.unwrap().into_inner().existed);
    }

    pub async fn put_roll(&self) {
        let bytes = self.roll.to_bytes();
        let mut official = self.official().await;
        let half = bytes.len() / 2;
        for (offset, piece) in [(0, &bytes[..half]), (half, &bytes[half..])] {
            let chunk = RollChunk {
                election_id: self.manifest.id().0.to_vec(),
                offset: offset as u64,
                bytes: piece.to_vec(),
                total: bytes.len() as u64,
            };
            let progress = official.put_roll(chunk).await.unwrap().into_inner();
            assert_eq!(progress.complete, offset > 0);
        }
    }

    pub async fn status(&self) -> ElectionStatus {
        let request = ElectionRequest { election_id: self.manifest.id().0.to_vec() };
        self.official().await.get_status(request).await.unwrap().into_inner()
    }

    pub async fn until(&mut self, stage: Stage) {
        let started = Instant::now();
        loop {
            let status = self.status().await;
            if status.stage == stage.name() {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "stuck: {status:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if self.form.is_none() && stage == Stage::Ready {
            let key = self.trustees[0]
                .with_keeper(|keeper| keeper.board().key_certificate().map(|certificate| certificate.election_key));
            self.form = Some(ballot_box::form(&self.manifest, key.await.flatten().unwrap()).unwrap());
        }
    }

    async fn key_certificate(&self) -> Hash {
        let status = self.status().await;
        proto::fixed("key certificate", &hex::decode(status.key_certificate).unwrap()).unwrap()
    }

    pub async fn request_open(&self) {
        let body = OpenRequest { key_certificate: self.key_certificate().await }.into();
        self.submit(body).await;
    }

    /// Asks to open with a key that does not exist.
    pub async fn request_open_with(&self, key_certificate: Hash) -> Result<(), tonic::Status> {
        let request = SubmitRequest { envelope: self.signed(OpenRequest { key_certificate }.into()) };
        self.official().await.submit(request).await.map(drop)
    }

    pub async fn evidence(&self) -> Vec<Vec<u8>> {
        let request = ElectionRequest { election_id: self.manifest.id().0.to_vec() };
        self.record().await.get_evidence(request).await.unwrap().into_inner().evidence
    }

    pub async fn request_close(&self) {
        let body = CloseRequest { key_certificate: self.key_certificate().await }.into();
        self.submit(body).await;
    }

    async fn submit(&self, body: Body) {
        let request = || SubmitRequest { envelope: self.signed(body.clone()) };
        let mut official = self.official().await;
        assert!(!official.submit(request()).await.unwrap().into_inner().repeated);
        assert!(official.submit(request()).await.unwrap().into_inner().repeated);
    }

    pub fn ballot(&self, voter: usize, option: usize) -> Vec<u8> {
        self.sealed(&self.voters[voter], option)
    }

    pub fn ballot_of_a_stranger(&self) -> Vec<u8> {
        self.sealed(&voter(), 0)
    }

    fn sealed(&self, key: &SigningKey, option: usize) -> Vec<u8> {
        let choices = vec![vec![OptionIndex(u16::try_from(option).unwrap())]];
        self.form.as_ref().unwrap().seal(StyleIndex(0), &choices, key, &mut OsEntropy).unwrap()
    }

    /// As the shard answers, `try later` included.
    pub async fn cast_once(&self, ballots: Vec<Vec<u8>>) -> Vec<CastOutcome> {
        let request = CastRequest { election_id: self.manifest.id().0.to_vec(), ballots };
        self.voting().await.cast(request).await.unwrap().into_inner().outcomes
    }

    pub async fn cast(&self, ballots: Vec<Vec<u8>>) -> Vec<CastOutcome> {
        let request = CastRequest { election_id: self.manifest.id().0.to_vec(), ballots };
        let started = Instant::now();
        loop {
            let reply = self.voting().await.cast(request.clone()).await.unwrap().into_inner();
            let later = |outcome: &CastOutcome| {
                matches!(outcome.outcome, Some(proto::v1::cast_outcome::Outcome::TryLaterMs(_)))
            };
            if !reply.outcomes.iter().any(later) {
                return reply.outcomes;
            }
            assert!(started.elapsed() < PATIENCE, "try later for ever");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The proof file of a receipt, once there is one.
    pub async fn proof(&self, receipt: &Receipt) -> String {
        let request = GetProofRequest {
            election_id: self.manifest.id().0.to_vec(),
            lane: receipt.lane.0.into(),
            index: receipt.index.0,
        };
        let started = Instant::now();
        loop {
            let proof = self.voting().await.get_proof(request.clone()).await.unwrap().into_inner().proof;
            if !proof.is_empty() {
                return proof;
            }
            assert!(started.elapsed() < PATIENCE, "never final: {:#?}", self.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn checkpoint(&self, lane: LaneIndex) -> String {
        let request = GetCheckpointRequest { election_id: self.manifest.id().0.to_vec(), lane: lane.0.into(), size: 0 };
        self.record().await.get_checkpoint(request).await.unwrap().into_inner().checkpoint
    }

    /// The result, as a trustee computed it.
    pub async fn result(&self) -> ElectionResult {
        self.trustees[0].with_keeper(|keeper| keeper.board().result().cloned()).await.flatten().unwrap()
    }
}

fn config_of_second(home: &std::path::Path, internal: SocketAddr, public: SocketAddr) -> Config {
    config("shard-2", home, internal, public)
}

fn config(name: &str, home: &std::path::Path, internal: SocketAddr, public: SocketAddr) -> Config {
    let raw = RawConfig {
        name: name.to_owned(),
        data: PathBuf::from("data"),
        listen: internal,
        public_listen: public,
        identity_key: "identity.key".into(),
        tls_key: "tls.key".into(),
        circle: "../circle.toml".into(),
        certificate: None,
        metrics: None,
        certificate_key: None,
        ledger: RawLedger::default(),
        limits: RawLimits { exchange_ms: 20, ..RawLimits::default() },
    };
    Config::from_raw(raw, home).unwrap()
}
