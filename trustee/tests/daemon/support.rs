//! A small election: two real trustees, one shard (this test), one official, a few voters.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use proto::v1::trustee_client::TrusteeClient;
use proto::v1::{ExchangeReply, ExchangeRequest, FollowReply, FollowRequest, RollChunk};
use protocol::agreement::messages::{CloseRequest, LaneEnd, OpenRequest};
use protocol::ballot::BallotForm;
use protocol::ballot_box::{self, BallotBox, ClosedBox};
use protocol::board::{Board, Stage};
use protocol::chair::{Chair, ChairDuty, LedgerView, Need};
use protocol::encoding::{Bytes, Canonical as _};
use protocol::evidence::Verdict;
use protocol::ids::{
    ContestIndex, Credential, ElectionId, IdentityKey, LaneIndex, LeafIndex, LogSize, OptionIndex, ShardIndex,
    StyleIndex, TimeMs, Weight,
};
use protocol::keeper::Decision;
use protocol::log::{Checkpoint, SignedCheckpoint, Tree, leaf_hash, origin};
use protocol::manifest::{
    Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, ShardEntry, Style, TrusteeEntry,
};
use protocol::roll::{Roll, RollEntry};
use protocol::signed::{Announce, Body, Draft, Envelope, Sender};
use protocol::signing::messages::{Anchored, Purpose};
use rand_core::RngCore as _;
use runtime::Shutdown;
use runtime::clock::{now_ms, now_s};
use runtime::entropy::OsEntropy;
use runtime::files;
use runtime::key::FileKey;
use runtime::limits::Limits;
use runtime::pin::SpkiPin;
use runtime::pki::{self, Validity};
use runtime::tls::Identity;
use tempfile::TempDir;
use tonic::transport::Channel;
use trustee::chain::Solana;
use trustee::config::Config;
use trustee::daemon::{self, Daemon};
use trustee::decision;
use trustee::init::{self, CONFIG_FILE, Enrolment, NewKeys, NewTrustee};
use trustee::keystore::file::PassphraseCost;

pub(crate) const PASSPHRASE: &[u8] = b"correct horse battery staple\n";

pub(crate) type Client = TrusteeClient<Channel>;

pub(crate) fn signing_key() -> SigningKey {
    let mut seed = [0; 32];
    OsEntropy.fill_bytes(&mut seed);
    SigningKey::from_bytes(&seed)
}

/// A TLS identity of somebody who calls.
pub(crate) fn tls_identity() -> Identity {
    let key = Arc::new(FileKey::generate(&mut OsEntropy));
    let certificate = pki::self_signed(key.clone(), "caller", &["127.0.0.1".to_owned()], Validity::days(now_s(), 1));
    Identity::new(vec![certificate.unwrap()], key).unwrap()
}

/// A port that was free a moment ago; where there are many loopback addresses, on one that no other test has.
fn free_address() -> String {
    let [a, b, c, _] = OsEntropy.next_u32().to_be_bytes();
    let host =
        if cfg!(target_os = "linux") { format!("127.{a}.{b}.{}", c.clamp(2, 254)) } else { "127.0.0.1".to_owned() };
    std::net::TcpListener::bind(format!("{host}:0")).unwrap().local_addr().unwrap().to_string()
}

/// One trustee's folder, and its daemon while it runs in this process.
pub(crate) struct Keeper {
    pub(crate) folder: PathBuf,
    pub(crate) enrolment: Enrolment,
    pub(crate) running: Option<(Daemon, Shutdown)>,
    client: Option<Client>,
}

impl Keeper {
    pub(crate) fn new(at: &Path, name: &str) -> Self {
        let folder = at.join(name);
        let passphrase_file = at.join(format!("{name}.pass"));
        files::write_private(&passphrase_file, PASSPHRASE).unwrap();
        let enrolment = init::init(&NewTrustee {
            folder: folder.clone(),
            name: name.to_owned(),
            organisation: format!("{name}'s organisation"),
            region: "here".to_owned(),
            address: free_address(),
            listen: None,
            keys: NewKeys::File { passphrase_file, cost: PassphraseCost::LIGHT_FOR_TESTS },
        })
        .unwrap();
        Self { folder, enrolment, running: None, client: None }
    }

    pub(crate) fn config(&self) -> Config {
        Config::read(&self.folder.join(CONFIG_FILE)).unwrap()
    }

    pub(crate) async fn start(&mut self) {
        self.try_start().await.unwrap();
    }

    pub(crate) async fn try_start(&mut self) -> Result<(), daemon::DaemonTrouble> {
        let (config, shutdown) = (self.config(), Shutdown::new());
        let keystore = daemon::open_keystore(&config)?;
        let daemon = Daemon::start(&config, keystore, &shutdown).await?;
        self.running = Some((daemon, shutdown));
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        self.client = None;
        let (daemon, shutdown) = self.running.take().unwrap();
        shutdown.request();
        daemon.ended().await.unwrap();
        // The store closes behind the last election.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    pub(crate) fn pin(&self) -> SpkiPin {
        self.enrolment.tls_pin.parse().unwrap()
    }

    pub(crate) async fn try_client(&self, caller: &Identity) -> Result<Client, runtime::connect::ConnectTrouble> {
        let limits = Limits::default();
        let channel = runtime::connect::connect(&self.enrolment.address, self.pin(), caller, &limits).await?;
        Ok(runtime::with_client_message_limits!(TrusteeClient::new(channel), limits))
    }

    pub(crate) async fn client(&self, caller: &Identity) -> Client {
        self.try_client(caller).await.unwrap()
    }

    pub(crate) fn accept(&self, election: &ElectionId) {
        decision::leave(&self.config().data, election, &Decision::Accept).unwrap();
    }
}

/// A member's lines of the circle file.
pub(crate) fn member(name: &str, role: &str, identity: &str, pin: &SpkiPin) -> String {
    format!("[[member]]\nname = {name:?}\nrole = {role:?}\nidentity = {identity:?}\ntls_pin = \"{pin}\"\n\n")
}

pub(crate) struct World {
    pub(crate) temp: TempDir,
    pub(crate) keepers: Vec<Keeper>,
    pub(crate) shard_tls: Identity,
    pub(crate) official_tls: Identity,
    pub(crate) shard: SigningKey,
    pub(crate) official: SigningKey,
    pub(crate) voters: Vec<SigningKey>,
    pub(crate) roll: Arc<Roll>,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) board: Board,
    /// The board in the order in which it grew, as a coordinator keeps it.
    pub(crate) order: Vec<Vec<u8>>,
    pub(crate) epoch: u64,
    pub(crate) next: Vec<u64>,
    pub(crate) journal: Vec<u64>,
    pub(crate) waiting: Vec<String>,
    chair: Chair,
    ledger: LedgerView,
    pub(crate) ends: Option<Vec<LaneEnd>>,
    pub(crate) form: Option<Arc<BallotForm>>,
    pub(crate) log: Vec<Vec<u8>>,
    lane: Option<BallotBox>,
}

impl World {
    /// Two trustees with folders and a circle, none of them running.
    pub(crate) fn new() -> Self {
        Self::with_voters(12)
    }

    pub(crate) fn with_voters(voters: usize) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let keepers: Vec<_> = ["Ada", "Emmy"].iter().map(|name| Keeper::new(temp.path(), name)).collect();
        let (shard_tls, official_tls) = (tls_identity(), tls_identity());
        let (shard, official) = (signing_key(), signing_key());
        let voters: Vec<_> = (0..voters).map(|_| signing_key()).collect();
        let hex = |key: &SigningKey| hex::encode(key.verifying_key().to_bytes());
        let mut circle = member("shard-1", "shard", &hex(&shard), &shard_tls.pin())
            + &member("official", "official", &hex(&official), &official_tls.pin());
        for keeper in &keepers {
            circle += &member(&keeper.enrolment.name, "trustee", &keeper.enrolment.identity, &keeper.pin());
        }
        for keeper in &keepers {
            std::fs::write(keeper.folder.join("circle.toml"), &circle).unwrap();
        }
        let entry = |voter: &SigningKey| RollEntry {
            credential: Credential(voter.verifying_key().to_bytes()),
            style: StyleIndex(0),
            weight: Weight(1),
        };
        let roll = Arc::new(Roll::new(voters.iter().map(entry).collect(), 1).unwrap());
        let mut manifest = Manifest {
            title: "Which river?".into(),
            languages: vec!["en".into()],
            contests: vec![Contest {
                id: "river".into(),
                title: "Which river?".into(),
                method: Method::SingleChoice,
                options: vec!["Oder".into(), "Bug".into()],
                min: 1,
                max: 1,
                blank: true,
                seats: 1,
                ties_by_lot: false,
            }],
            styles: vec![Style { id: "all".into(), contests: vec![ContestIndex(0)] }],
            roll: roll.commitment(),
            revote: Revote::Last,
            opens_not_before: TimeMs(0),
            closes_not_before: TimeMs(0),
            trustees: Vec::new(),
            quorums: Quorums { f: 0, c: 0, t: 2, s: 2, q: 2, w: 2, one_aggregate_by_certificate: false },
            shards: vec![ShardEntry {
                name: "shard-1".into(),
                identity: IdentityKey(shard.verifying_key().to_bytes()),
                tls_pin: *shard_tls.pin().as_bytes(),
                address: "127.0.0.1:1".into(),
                public_address: "127.0.0.1:2".into(),
            }],
            home: ShardIndex(1),
            officials: vec![OfficialEntry {
                name: "official".into(),
                identity: IdentityKey(official.verifying_key().to_bytes()),
                tls_pin: *official_tls.pin().as_bytes(),
            }],
            lanes: 1,
            chain: Chain { cluster: "local".into(), genesis: [1; 32] },
            tally_min: 1,
        };
        for keeper in &keepers {
            manifest.trustees.push(TrusteeEntry {
                name: keeper.enrolment.name.clone(),
                organisation: keeper.enrolment.organisation.clone(),
                region: keeper.enrolment.region.clone(),
                identity: keeper.enrolment.identity.parse().unwrap(),
                tls_pin: *keeper.pin().as_bytes(),
                address: keeper.enrolment.address.clone(),
            });
        }
        manifest.validate().unwrap();
        let manifest = Arc::new(manifest);
        let mut world = Self {
            temp,
            next: vec![0; keepers.len()],
            journal: vec![0; keepers.len()],
            waiting: vec![String::new(); keepers.len()],
            keepers,
            shard_tls,
            official_tls,
            shard,
            official,
            voters,
            roll,
            board: Board::new(manifest.clone()),
            manifest,
            order: Vec::new(),
            epoch: 1,
            chair: Chair::new(),
            ledger: LedgerView::default(),
            ends: None,
            form: None,
            log: Vec::new(),
            lane: None,
        };
        world.post(Sender::Official(1), Announce {}.into());
        world
    }

    pub(crate) async fn started() -> Self {
        let mut world = Self::new();
        for keeper in &mut world.keepers {
            keeper.start().await;
        }
        world
    }

    /// Up to the opening, with both trustees' consent.
    pub(crate) async fn opened() -> Self {
        let mut world = Self::started().await;
        world.open().await;
        world
    }

    pub(crate) fn id(&self) -> ElectionId {
        self.manifest.id()
    }

    pub(crate) fn sign(&self, sender: Sender, body: Body) -> Envelope {
        let draft = Draft { election: self.id(), sender, body };
        let key = match sender {
            Sender::Official(_) => &self.official,
            _ => &self.shard,
        };
        let signature = key.sign(&draft.message()).to_bytes();
        draft.sign(signature)
    }

    pub(crate) fn post(&mut self, sender: Sender, body: Body) {
        let envelope = self.sign(sender, body);
        self.publish(&envelope.to_bytes());
    }

    fn publish(&mut self, bytes: &[u8]) {
        match self.board.check(&Envelope::from_bytes(bytes).unwrap()) {
            Verdict::Valid(checked) => {
                self.board.absorb(checked);
                self.order.push(bytes.to_vec());
            }
            Verdict::Moot(_) => {}
            Verdict::Fault(evidence) => {
                self.board.record_evidence(evidence);
            }
        }
    }

    pub(crate) async fn client(&mut self, at: usize) -> Client {
        if self.keepers[at].client.is_none() {
            self.keepers[at].client = Some(self.keepers[at].client(&self.shard_tls).await);
        }
        self.keepers[at].client.clone().unwrap()
    }

    pub(crate) fn forget_client(&mut self, at: usize) {
        self.keepers[at].client = None;
    }

    /// One exchange, as a coordinator would make it.
    pub(crate) fn request(&self, at: usize) -> ExchangeRequest {
        let first = self.next[at].min(self.order.len() as u64);
        ExchangeRequest {
            election_id: self.id().0.to_vec(),
            manifest: Vec::new(),
            board_epoch: self.epoch,
            board_first: first,
            envelopes: self.order[first as usize..].to_vec(),
            journal_from: self.journal[at],
            board_length: self.order.len() as u64,
        }
    }

    pub(crate) async fn exchange(&mut self, at: usize) -> Result<ExchangeReply, tonic::Status> {
        let mut client = self.client(at).await;
        let mut request = self.request(at);
        let mut reply = client.exchange(request.clone()).await?.into_inner();
        if reply.needs_manifest {
            request.manifest = self.manifest.to_bytes();
            reply = client.exchange(request).await?.into_inner();
        }
        if reply.needs_roll {
            self.put_roll(at).await;
        }
        self.next[at] = reply.board_next;
        for bytes in &reply.envelopes {
            self.publish(bytes);
        }
        self.journal[at] = reply.journal_first + reply.envelopes.len() as u64;
        self.waiting[at] = reply.waiting.clone();
        Ok(reply)
    }

    /// After a restart: the whole board again, before which a trustee promises nothing.
    pub(crate) async fn catch_up(&mut self, at: usize) {
        self.next[at] = 0;
        self.exchange(at).await.unwrap();
    }

    pub(crate) async fn put_roll(&mut self, at: usize) {
        let bytes = self.roll.to_bytes();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (offset, piece) in [(0, first), (first.len(), second)] {
            let chunk = RollChunk {
                election_id: self.id().0.to_vec(),
                offset: offset as u64,
                bytes: piece.to_vec(),
                total: bytes.len() as u64,
            };
            self.client(at).await.put_roll(chunk).await.unwrap();
        }
    }

    pub(crate) fn chair_acts(&mut self) {
        let now = TimeMs(now_ms());
        for duty in self.chair.duties(&self.board, now, self.ends.clone(), &self.ledger, &Solana) {
            match duty {
                ChairDuty::Post(body) => self.post(Sender::Shard(ShardIndex(1)), body),
                ChairDuty::Fetch(Need::Blockhash) => {
                    self.ledger.blockhash = Some([3; 32]);
                    self.ledger.nonce_rent = 1_447_680;
                }
                ChairDuty::Fetch(Need::Nonce) if self.board.anchored(Purpose::CreateNonce).is_none() => {
                    self.ledger.nonce_missing = true;
                }
                ChairDuty::Fetch(Need::Nonce) => {
                    let mut nonce = [0; 32];
                    OsEntropy.fill_bytes(&mut nonce);
                    self.ledger.nonce = Some(nonce);
                }
                ChairDuty::Submit { purpose, attempt, message, signature } => {
                    let group = self.board.key_certificate().unwrap().signing_key;
                    let group = ed25519_dalek::VerifyingKey::from_bytes(&group).unwrap();
                    group.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
                    self.ledger.nonce = None;
                    let anchored = Anchored { purpose, attempt, signature, slot: 7, message: Bytes(message) };
                    self.post(Sender::Shard(ShardIndex(1)), anchored.into());
                }
            }
        }
    }

    /// Exchanges with everybody until a stage is reached.
    pub(crate) async fn until(&mut self, stage: Stage) {
        for _ in 0..600 {
            for at in 0..self.keepers.len() {
                self.exchange(at).await.unwrap();
            }
            self.chair_acts();
            if self.board.stage() == stage {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("stuck at {}: {:?}; {:?}", self.board.stage().name(), self.board.awaiting(), self.waiting);
    }

    pub(crate) fn accept_all(&self) {
        for keeper in &self.keepers {
            keeper.accept(&self.id());
        }
    }

    pub(crate) async fn open(&mut self) {
        self.accept_all();
        self.until(Stage::Ready).await;
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), OpenRequest { key_certificate }.into());
        self.until(Stage::Open).await;
        // Both have to have seen that both opened.
        for at in 0..self.keepers.len() {
            self.exchange(at).await.unwrap();
        }
        let key = self.board.key_certificate().unwrap().election_key;
        self.form = Some(Arc::new(ballot_box::form(&self.manifest, key).unwrap()));
    }

    pub(crate) fn ballot(&self, voter: usize, option: u16) -> Vec<u8> {
        let form = self.form.as_ref().unwrap();
        form.seal(StyleIndex(0), &[vec![OptionIndex(option)]], &self.voters[voter], &mut OsEntropy).unwrap()
    }

    /// A checkpoint by the shard over these leaves.
    pub(crate) fn checkpoint(&self, leaves: &[Vec<u8>]) -> String {
        self.checkpoint_by(&self.shard, leaves)
    }

    pub(crate) fn checkpoint_by(&self, key: &SigningKey, leaves: &[Vec<u8>]) -> String {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.append(leaf_hash(leaf));
        }
        let checkpoint = Checkpoint {
            origin: origin(&self.id(), LaneIndex(0)),
            size: LogSize(leaves.len() as u64),
            root: tree.root(),
        };
        let signature = key.sign(&checkpoint.note_message()).to_bytes();
        let identity = IdentityKey(key.verifying_key().to_bytes());
        SignedCheckpoint::by_log(checkpoint, &identity, &signature).unwrap().to_string()
    }

    pub(crate) async fn follow(&mut self, at: usize, first: u64, ballots: &[Vec<u8>], checkpoint: &str) -> FollowReply {
        let request = FollowRequest {
            election_id: self.id().0.to_vec(),
            lane: 0,
            first,
            ballots: ballots.to_vec(),
            checkpoint: checkpoint.to_owned(),
        };
        self.client(at).await.follow(request).await.unwrap().into_inner()
    }

    /// Everybody follows the whole log and co-signs it.
    pub(crate) async fn all_follow(&mut self, first: u64) -> SignedCheckpoint {
        let checkpoint = self.checkpoint(&self.log);
        let new = self.log[first as usize..].to_vec();
        let mut last = None;
        for at in 0..self.keepers.len() {
            let reply = self.follow(at, first, &new, &checkpoint).await;
            assert_eq!((reply.next, reply.refusal.as_str()), (self.log.len() as u64, ""));
            last = Some(reply.cosigned.parse().unwrap());
        }
        last.unwrap()
    }

    pub(crate) fn close(&mut self) {
        let key_certificate = self.board.key_certificate().unwrap().digest();
        self.post(Sender::Official(1), CloseRequest { key_certificate }.into());
        let mut lane = BallotBox::new(&self.manifest, self.form.as_ref().unwrap(), self.roll.clone(), LaneIndex(0));
        let form = self.form.clone().unwrap();
        let earlier = |leaf: LeafIndex| form.verify(self.log.get(leaf.0 as usize)?).ok();
        for bytes in &self.log {
            lane.absorb(&form.verify(bytes).unwrap(), &earlier).unwrap();
        }
        self.ends = Some(vec![LaneEnd { size: lane.size(), root: lane.root() }]);
        self.lane = Some(lane);
    }

    pub(crate) async fn finish(&mut self) {
        for _ in 0..100 {
            if let Some(lane) = &self.lane
                && let Ok(Some(closed)) = ClosedBox::of(&[lane], self.board.key_certificate().unwrap().digest())
            {
                self.board.set_aggregate(&closed);
            }
            for at in 0..self.keepers.len() {
                self.exchange(at).await.unwrap();
            }
            self.chair_acts();
            if self.board.stage() == Stage::Complete {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("stuck at {}: {:?}; {:?}", self.board.stage().name(), self.board.awaiting(), self.waiting);
    }

    /// The whole journal of a trustee, byte for byte.
    pub(crate) async fn whole_journal(&mut self, at: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut client = self.client(at).await;
        loop {
            let request = ExchangeRequest { journal_from: out.len() as u64, envelopes: Vec::new(), ..self.request(at) };
            let reply = client.exchange(request).await.unwrap().into_inner();
            out.extend(reply.envelopes);
            if out.len() as u64 >= reply.journal_len {
                return out;
            }
        }
    }
}
