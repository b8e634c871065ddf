//! A trustee: the shipping core behind the shipping wire, with memory for a disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::v1::trustee_server::{Trustee, TrusteeServer};
use proto::v1::{
    ExchangeReply, ExchangeRequest, FollowReply, FollowRequest, GetLogRequest, HelloReply, HelloRequest, LogPage,
    RollChunk, RollProgress,
};
use protocol::encoding::Canonical as _;
use protocol::evidence::Verdict;
use protocol::ids::{LaneIndex, LeafIndex, LogSize, TimeMs, TrusteeIndex};
use protocol::keeper::{Decision, Duty, Keeper};
use protocol::log::{Cosignature, SignedCheckpoint};
use protocol::manifest::Manifest;
use protocol::roll::Roll;
use protocol::signed::{Draft, Envelope, Sender};
use runtime::authorise::{Authorise, Table};
use runtime::entropy::OsEntropy;
use runtime::key::{FileKey, RemoteSigner as _};
use runtime::limits::Limits;
use runtime::serve::Listener;
use runtime::tls::{Identity, Peer, Peers};
use runtime::{Shutdown, with_message_limits};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use coordinator::ledger::Chain;

struct State {
    keeper: Option<Keeper>,
    journal: Vec<Vec<u8>>,
    epoch: u64,
    next: u64,
    roll: Vec<u8>,
    logs: BTreeMap<u16, Vec<Vec<u8>>>,
}

#[derive(Clone)]
pub struct MiniTrustee {
    me: TrusteeIndex,
    key: Arc<FileKey>,
    state: Arc<Mutex<State>>,
}

impl MiniTrustee {
    /// Serves until shutdown; calls come from whoever has `shard`'s key.
    pub async fn serve(
        me: TrusteeIndex,
        key: Arc<FileKey>,
        tls: &Identity,
        shard: &Identity,
        listener_address: std::net::SocketAddr,
        shutdown: &Shutdown,
    ) -> (Self, String) {
        let state =
            State { keeper: None, journal: Vec::new(), epoch: 0, next: 0, roll: Vec::new(), logs: BTreeMap::new() };
        let trustee = Self { me, key, state: Arc::new(Mutex::new(state)) };
        let peers = Peers::new([(shard.pin(), Peer::new("shard-1", "shard"))]).unwrap();
        let limits = Limits::default();
        let listener = Listener::internal(listener_address, tls, &peers, None, &limits).await.unwrap();
        let address = listener.address().to_string();
        let methods = ["Hello", "Exchange", "Follow", "PutRoll"].map(|method| format!("/conclave.v1.Trustee/{method}"));
        let table = methods.iter().fold(Table::new(), |table, method| table.allow(method, &["shard"]));
        let server = limits
            .server()
            .layer(Authorise::new(table))
            .add_service(with_message_limits!(TrusteeServer::new(trustee.clone()), limits))
            .serve_with_incoming_shutdown(listener.incoming(shutdown), shutdown.clone().into_requested());
        tokio::spawn(server);
        (trustee, address)
    }

    pub async fn with_keeper<T>(&self, look: impl FnOnce(&Keeper) -> T) -> Option<T> {
        self.state.lock().await.keeper.as_ref().map(look)
    }

    fn act(&self, state: &mut State) {
        let Some(keeper) = &mut state.keeper else { return };
        loop {
            let duties = keeper.duties(TimeMs(runtime::clock::now_ms()), &mut OsEntropy, &Chain);
            if duties.is_empty() {
                return;
            }
            for duty in duties {
                match duty {
                    Duty::Seal { attempt, seed } => keeper.restore_seed(attempt, &seed),
                    Duty::Post(body) => {
                        let draft =
                            Draft { election: keeper.board().election(), sender: Sender::Trustee(self.me), body };
                        let signature = self.key.sign(&draft.message()).unwrap();
                        let envelope = draft.sign(signature);
                        state.journal.push(envelope.to_bytes());
                        let Verdict::Valid(checked) = keeper.check(&envelope) else { panic!("own envelope refused") };
                        keeper.absorb(checked);
                    }
                }
            }
        }
    }
}

#[tonic::async_trait]
impl Trustee for MiniTrustee {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply {
            version: proto::WIRE_VERSION,
            build: "test".to_owned(),
            name: format!("trustee-{}", self.me),
            keystore: "memory".to_owned(),
        }))
    }

    async fn exchange(&self, request: Request<ExchangeRequest>) -> Result<Response<ExchangeReply>, Status> {
        let request = request.into_inner();
        let mut state = self.state.lock().await;
        if state.keeper.is_none() {
            if request.manifest.is_empty() {
                return Ok(Response::new(ExchangeReply { needs_manifest: true, ..ExchangeReply::default() }));
            }
            let manifest = Arc::new(Manifest::open(&request.manifest).unwrap());
            let mut keeper = Keeper::new(self.me, manifest);
            keeper.decide(Decision::Accept);
            state.keeper = Some(keeper);
        }
        if state.epoch != request.board_epoch {
            (state.epoch, state.next) = (request.board_epoch, 0);
        }
        if request.board_first <= state.next {
            for (bytes, position) in request.envelopes.iter().zip(request.board_first..) {
                if position < state.next {
                    continue;
                }
                state.next = position + 1;
                let envelope = Envelope::from_bytes(bytes).unwrap();
                let keeper = state.keeper.as_mut().unwrap();
                if let Verdict::Valid(checked) = keeper.check(&envelope) {
                    keeper.absorb(checked);
                }
            }
        }
        self.act(&mut state);
        let keeper = state.keeper.as_ref().unwrap();
        let first = request.journal_from.min(state.journal.len() as u64);
        let lanes = keeper.board().manifest().lanes;
        Ok(Response::new(ExchangeReply {
            needs_manifest: false,
            needs_roll: !keeper.has_roll(),
            board_next: state.next,
            journal_first: first,
            envelopes: state.journal[usize::try_from(first).unwrap()..].to_vec(),
            journal_len: state.journal.len() as u64,
            followed: (0..lanes).map(|lane| keeper.lane_size(LaneIndex(lane)).0).collect(),
            waiting: keeper.waiting(TimeMs(runtime::clock::now_ms())),
            wake_after_ms: keeper.wake_after_ms(TimeMs(runtime::clock::now_ms())).unwrap_or(0),
            refusals: Vec::new(),
        }))
    }

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<FollowReply>, Status> {
        let request = request.into_inner();
        let lane = LaneIndex(u16::try_from(request.lane).unwrap());
        let mut state = self.state.lock().await;
        let State { keeper, logs, .. } = &mut *state;
        let Some(keeper) = keeper else { return Err(Status::not_found("no such election")) };
        let refuse =
            |next: u64, refusal: String| Ok(Response::new(FollowReply { next, cosigned: String::new(), refusal }));
        let size = keeper.lane_size(lane).0;
        let new_size = request.first + request.ballots.len() as u64;
        if let Err(refusal) = keeper.may_follow(lane, LogSize(new_size)) {
            return refuse(size, refusal.to_string());
        }
        if request.first > size {
            return refuse(size, "a gap".to_owned());
        }
        let form = keeper.form().unwrap();
        let log = logs.entry(lane.0).or_default();
        for bytes in request.ballots.into_iter().skip(usize::try_from(size - request.first).unwrap()) {
            let ballot = form.verify(&bytes).unwrap();
            let earlier = |leaf: LeafIndex| form.verify(log.get(usize::try_from(leaf.0).ok()?)?).ok();
            keeper.absorb_ballot(lane, &ballot, &earlier).unwrap();
            log.push(bytes);
        }
        keeper.followed();
        let next = keeper.lane_size(lane).0;
        if request.checkpoint.is_empty() {
            return refuse(next, String::new());
        }
        let note: SignedCheckpoint = request.checkpoint.parse().unwrap();
        if let Err(refusal) = keeper.cosign(lane, note.checkpoint()) {
            return refuse(next, refusal.to_string());
        }
        let time_s = runtime::clock::now_s();
        let signature = self.key.sign(&note.checkpoint().cosignature_message(time_s)).unwrap();
        let identity = protocol::ids::IdentityKey(self.key.public_key());
        let cosigned = note.with_cosignature(&identity, &Cosignature { time_s, signature }).unwrap().to_string();
        Ok(Response::new(FollowReply { next, cosigned, refusal: String::new() }))
    }

    async fn put_roll(&self, request: Request<RollChunk>) -> Result<Response<RollProgress>, Status> {
        let chunk = request.into_inner();
        let mut state = self.state.lock().await;
        if state.roll.len() as u64 == chunk.offset {
            state.roll.extend_from_slice(&chunk.bytes);
        }
        let complete = state.roll.len() as u64 == chunk.total;
        if complete {
            let State { keeper, roll, .. } = &mut *state;
            let keeper = keeper.as_mut().unwrap();
            let roll = Roll::open(roll, keeper.board().manifest()).unwrap();
            keeper.set_roll(Arc::new(roll));
        }
        Ok(Response::new(RollProgress { received: state.roll.len() as u64, complete }))
    }

    async fn get_log(&self, _: Request<GetLogRequest>) -> Result<Response<LogPage>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}
