//! The gRPC service: who calls comes from the connection, every change runs to its end whether or not the caller waits.

use std::sync::Arc;

use proto::WIRE_VERSION;
use proto::v1::trustee_server::Trustee;
use proto::v1::{
    ExchangeReply, ExchangeRequest, FollowReply, FollowRequest, GetLogRequest, HelloReply, HelloRequest, LogPage,
    RollChunk, RollProgress,
};
use protocol::encoding::Hash;
use protocol::ids::ElectionId;
use runtime::authorise::{HEALTH_METHODS, REFLECTION_METHODS, Table};
use runtime::{Caller, caller, detached};
use tonic::{Request, Response, Status};

use crate::directory::Directory;
use crate::election::Election;
use crate::refused::Refused;

/// Methods that change or show an election: shards only.
const SHARD_METHODS: &[&str] = &[
    "/conclave.v1.Trustee/Exchange",
    "/conclave.v1.Trustee/Follow",
    "/conclave.v1.Trustee/PutRoll",
    "/conclave.v1.Trustee/GetLog",
];
const HELLO: &str = "/conclave.v1.Trustee/Hello";

/// Who may call what; the rest is refused. Inside, each election asks once more whether the shard is one of its own.
#[must_use]
pub fn table() -> Table {
    Table::new()
        .allow(HELLO, &["shard", "official"])
        .allow_all(SHARD_METHODS, &["shard"])
        .allow_all(HEALTH_METHODS, &["shard", "official"])
        .allow_all(REFLECTION_METHODS, &["shard", "official"])
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Service {
    name: Arc<str>,
    directory: Arc<Directory>,
}

impl Service {
    /// The service of one trustee.
    #[must_use]
    pub fn new(name: &str, directory: Arc<Directory>) -> Self {
        Self { name: name.into(), directory }
    }

    fn election(&self, bytes: &[u8]) -> Result<Arc<Election>, Refused> {
        let id = ElectionId(proto::fixed("election_id", bytes)?);
        self.directory.election(&id).ok_or(Refused::UnknownElection(id))
    }
}

/// A caller whose key is pinned.
#[derive(Debug, Clone)]
struct Shard {
    pin: Hash,
    name: String,
}

fn shard<T>(request: &Request<T>) -> Result<Shard, Status> {
    match caller(request) {
        Caller::Pinned { pin, peer } => Ok(Shard { pin: *pin.as_bytes(), name: peer.id.to_string() }),
        Caller::Anonymous => Err(Status::permission_denied("PERMISSION_DENIED: the caller's key is not pinned")),
    }
}

#[tonic::async_trait]
impl Trustee for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let got = request.into_inner().version;
        if got != WIRE_VERSION {
            return Err(Refused::Version { expected: WIRE_VERSION, got }.into());
        }
        Ok(Response::new(HelloReply {
            version: WIRE_VERSION,
            build: runtime::version::BUILD.to_owned(),
            name: self.name.to_string(),
            keystore: self.directory.ground().keystore.describe().to_string(),
        }))
    }

    async fn exchange(&self, request: Request<ExchangeRequest>) -> Result<Response<ExchangeReply>, Status> {
        let caller = shard(&request)?;
        let mut request = request.into_inner();
        let id = ElectionId(proto::fixed("election_id", &request.election_id).map_err(Refused::from)?);
        let manifest = std::mem::take(&mut request.manifest);
        let directory = self.directory.clone();
        let work = async move {
            let election = match directory.election(&id) {
                Some(election) => election,
                None if manifest.is_empty() => {
                    return Ok(ExchangeReply { needs_manifest: true, ..ExchangeReply::default() });
                }
                None => directory.take_up(id, &manifest, &caller.pin, &caller.name).await?,
            };
            election.exchange(&caller.pin, &caller.name, request).await
        };
        Ok(Response::new(detached::run(work).await?))
    }

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<FollowReply>, Status> {
        let caller = shard(&request)?;
        let request = request.into_inner();
        let election = self.election(&request.election_id)?;
        let work = async move { election.follow(&caller.pin, &caller.name, request).await };
        Ok(Response::new(detached::run(work).await?))
    }

    async fn put_roll(&self, request: Request<RollChunk>) -> Result<Response<RollProgress>, Status> {
        let caller = shard(&request)?;
        let chunk = request.into_inner();
        let election = self.election(&chunk.election_id)?;
        let work = async move { election.put_roll(&caller.pin, &caller.name, chunk).await };
        Ok(Response::new(detached::run(work).await?))
    }

    async fn get_log(&self, request: Request<GetLogRequest>) -> Result<Response<LogPage>, Status> {
        let caller = shard(&request)?;
        let request = request.into_inner();
        let election = self.election(&request.election_id)?;
        Ok(Response::new(election.log_page(&caller.pin, &caller.name, request).await?))
    }
}
