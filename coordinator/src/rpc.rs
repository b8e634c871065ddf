//! Who may ask what. Two listeners, one table for each: what is not in it is refused.

mod cast;
mod official;
mod record;
mod remote;
mod shard;
mod voting;

use std::sync::Arc;

use actix::Addr;
use proto::v1::official_server::OfficialServer;
use proto::v1::public_record_server::PublicRecordServer;
use proto::v1::shard_server::ShardServer;
use proto::v1::voting_server::VotingServer;
use proto::v1::{HelloReply, HelloRequest};
use protocol::ids::ElectionId;
use runtime::authorise::{HEALTH_METHODS, PUBLIC_ROLE, REFLECTION_METHODS, Table};
use runtime::limits::Limits;
use runtime::with_message_limits;
use runtime::{Caller, caller};
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Status};

use crate::actors::Deps;
use crate::actors::shard::{Directory, Handle, ShardActor};
use crate::store::StoreTrouble;

pub use remote::Remotes;

/// Methods of the service `Official`.
pub const OFFICIAL: &[&str] = &[
    "/conclave.v1.Official/Hello",
    "/conclave.v1.Official/CreateElection",
    "/conclave.v1.Official/PutRoll",
    "/conclave.v1.Official/Submit",
    "/conclave.v1.Official/GetStatus",
    "/conclave.v1.Official/WatchStatus",
];
/// Methods of the service `Shard`.
pub const SHARD: &[&str] = &["/conclave.v1.Shard/Hello", "/conclave.v1.Shard/ForwardCast"];
/// Methods of the service `Voting`.
pub const VOTING: &[&str] =
    &["/conclave.v1.Voting/Cast", "/conclave.v1.Voting/FindBallot", "/conclave.v1.Voting/GetProof"];
/// Methods of `Voting` that a shard passes on to another; ballots go through `Shard/ForwardCast`.
const VOTING_PASSED_ON: &[&str] = &["/conclave.v1.Voting/FindBallot", "/conclave.v1.Voting/GetProof"];
/// Methods of the service `PublicRecord`.
pub const RECORD: &[&str] = &[
    "/conclave.v1.PublicRecord/ListElections",
    "/conclave.v1.PublicRecord/GetManifest",
    "/conclave.v1.PublicRecord/GetStatus",
    "/conclave.v1.PublicRecord/GetBoard",
    "/conclave.v1.PublicRecord/GetLog",
    "/conclave.v1.PublicRecord/GetCheckpoint",
    "/conclave.v1.PublicRecord/GetRoll",
    "/conclave.v1.PublicRecord/GetRejections",
    "/conclave.v1.PublicRecord/GetEvidence",
];

const INSIDERS: &[&str] = &["official", "shard"];

/// Who may call what on the internal listener. Trustees call nothing: they are called.
#[must_use]
pub fn internal_table() -> Table {
    Table::new()
        .allow_all(OFFICIAL, &["official"])
        .allow_all(SHARD, &["shard"])
        .allow_all(VOTING_PASSED_ON, &["shard"])
        .allow_all(RECORD, INSIDERS)
        .allow_all(HEALTH_METHODS, INSIDERS)
        .allow_all(REFLECTION_METHODS, INSIDERS)
}

/// Who may call what on the public listener: anybody, and not much.
#[must_use]
pub fn public_table() -> Table {
    let anybody = &[PUBLIC_ROLE];
    Table::new()
        .allow_all(VOTING, anybody)
        .allow_all(RECORD, anybody)
        .allow_all(HEALTH_METHODS, anybody)
        .allow_all(REFLECTION_METHODS, anybody)
}

/// What the handlers share. Clones share.
#[derive(Clone)]
pub struct Desk {
    /// Shared with the actors.
    pub deps: Arc<Deps>,
    /// The elections of this process.
    pub directory: Directory,
    /// Creates them.
    pub shard: Addr<ShardActor>,
    /// The elections of others.
    pub remotes: Arc<Remotes>,
    /// This shard's name.
    pub name: Arc<str>,
    /// Its own TLS pin: how it knows itself in the circle.
    pub pin: runtime::pin::SpkiPin,
}

/// Where an election is run.
enum Place {
    Here(Handle),
    There(remote::Peer),
}

impl Desk {
    /// An election that this shard runs.
    fn here(&self, id: &[u8]) -> Result<Handle, Status> {
        let id = election_id(id)?;
        self.directory.get(&id).ok_or_else(|| unknown(&id))
    }

    /// An election that this shard or another of the circle runs. A shard that asks is not sent on.
    async fn place<T>(&self, request: &Request<T>, id: &[u8]) -> Result<Place, Status> {
        let id = election_id(id)?;
        if let Some(handle) = self.directory.get(&id) {
            return Ok(Place::Here(handle));
        }
        if matches!(caller(request), Caller::Pinned { .. }) {
            return Err(unknown(&id));
        }
        self.remotes.find(&self.deps, self.pin, &id).await.map(Place::There).ok_or_else(|| unknown(&id))
    }

    fn hello(&self, request: &HelloRequest) -> Result<HelloReply, Status> {
        let version = proto::WIRE_VERSION;
        if request.version != version {
            return Err(Status::failed_precondition(format!(
                "VERSION_UNSUPPORTED: the caller speaks wire version {}, this shard {version}",
                request.version
            )));
        }
        Ok(HelloReply {
            version,
            build: runtime::version::BUILD.to_owned(),
            name: self.name.to_string(),
            keystore: String::new(),
        })
    }

    /// The services of the internal listener.
    #[must_use]
    pub fn internal_routes(&self, limits: &Limits) -> Routes {
        let mut routes = self.common_routes(limits);
        routes
            .add_service(with_message_limits!(OfficialServer::new(self.clone()), limits))
            .add_service(with_message_limits!(ShardServer::new(self.clone()), limits));
        routes.routes()
    }

    /// The services of the public listener.
    #[must_use]
    pub fn public_routes(&self, limits: &Limits) -> Routes {
        self.common_routes(limits).routes()
    }

    fn common_routes(&self, limits: &Limits) -> RoutesBuilder {
        let (_, health) = tonic_health::server::health_reporter();
        let mut routes = Routes::builder();
        routes
            .add_service(with_message_limits!(VotingServer::new(self.clone()), limits))
            .add_service(with_message_limits!(PublicRecordServer::new(self.clone()), limits))
            .add_service(with_message_limits!(health, limits));
        let descriptors = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        if let Ok(service) = descriptors().build_v1() {
            routes.add_service(service);
        }
        if let Ok(service) = descriptors().build_v1alpha() {
            routes.add_service(service);
        }
        routes
    }
}

fn election_id(bytes: &[u8]) -> Result<ElectionId, Status> {
    proto::fixed("election_id", bytes).map(ElectionId).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn unknown(id: &ElectionId) -> Status {
    Status::not_found(format!("ELECTION_UNKNOWN: no shard that answers runs election {id}"))
}

/// The only place where trouble with the store becomes an answer.
fn store_status(trouble: StoreTrouble) -> Status {
    match trouble {
        StoreTrouble::Full => Status::resource_exhausted(trouble.to_string()),
        StoreTrouble::Closed => Status::unavailable(trouble.to_string()),
    }
}
