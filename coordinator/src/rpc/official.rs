//! The service of officials. Each call is by an official of the election that it is about.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::v1::official_server::Official;
use proto::v1::{
    CreateElectionReply, CreateElectionRequest, ElectionRequest, HelloReply, HelloRequest, RollChunk, RollProgress,
    Status as ElectionStatus, SubmitReply, SubmitRequest,
};
use protocol::encoding::Canonical as _;
use protocol::roll::{ENTRY_BYTES, Roll};
use protocol::signed::{ENVELOPE_BYTES_MAX, Envelope, Sender};
use runtime::pin::SpkiPin;
use runtime::{Caller, caller};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Desk, store_status};
use crate::actors::election::{Nudge, Post};
use crate::actors::shard::{Create, CreateRefusal, Handle};

/// How often a watched status is looked at.
const WATCH: Duration = Duration::from_millis(200);
/// Largest piece of a roll.
const ROLL_CHUNK_MAX: usize = 2 << 20;

fn pin_of<T>(request: &Request<T>) -> Result<SpkiPin, Status> {
    match caller(request) {
        Caller::Pinned { pin, .. } => Ok(pin),
        Caller::Anonymous => Err(Status::permission_denied("PERMISSION_DENIED: the caller has no pinned key")),
    }
}

/// The map from refusals to the wire.
fn refused(refusal: CreateRefusal) -> Status {
    let text = refusal.to_string();
    tracing::warn!(%refusal, "election not created");
    match refusal {
        CreateRefusal::NotOfficial => Status::permission_denied(text),
        CreateRefusal::NotHome { .. } => Status::failed_precondition(text),
        CreateRefusal::Manifest(_)
        | CreateRefusal::Encoding(_)
        | CreateRefusal::Envelope(_)
        | CreateRefusal::NotAnnounce { .. } => Status::invalid_argument(text),
        CreateRefusal::Store(trouble) => store_status(trouble),
        CreateRefusal::Open(_) => Status::internal(text),
        CreateRefusal::Closing => Status::unavailable(text),
    }
}

impl Desk {
    fn for_official<T>(&self, request: &Request<T>, id: &[u8]) -> Result<Handle, Status> {
        let pin = pin_of(request)?;
        let handle = self.here(id)?;
        if handle.election.is_official(&pin) {
            return Ok(handle);
        }
        Err(Status::permission_denied("PERMISSION_DENIED: the caller is not an official of this election"))
    }
}

#[tonic::async_trait]
impl Official for Desk {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Desk::hello(self, request.get_ref()).map(Response::new)
    }

    async fn create_election(
        &self,
        request: Request<CreateElectionRequest>,
    ) -> Result<Response<CreateElectionReply>, Status> {
        let caller = pin_of(&request)?;
        let CreateElectionRequest { manifest, announce } = request.into_inner();
        let created = self.shard.send(Create { manifest, announce, caller }).await;
        let (id, existed) =
            created.map_err(|_| Status::unavailable("the shard is busy, try again"))?.map_err(refused)?;
        Ok(Response::new(CreateElectionReply { election_id: id.0.to_vec(), existed }))
    }

    async fn put_roll(&self, request: Request<RollChunk>) -> Result<Response<RollProgress>, Status> {
        let handle = self.for_official(&request, &request.get_ref().election_id)?;
        let chunk = request.into_inner();
        let election = Arc::clone(&handle.election);
        let expected = 8 + election.manifest.roll.voters.saturating_mul(ENTRY_BYTES as u64);
        if chunk.total != expected || chunk.bytes.len() > ROLL_CHUNK_MAX {
            return Err(Status::invalid_argument(format!(
                "ROLL_MISMATCH: the manifest's roll has {expected} bytes, in pieces of at most {ROLL_CHUNK_MAX}; got {} in one of {}",
                chunk.total,
                chunk.bytes.len()
            )));
        }
        if election.roll.get().is_some() {
            return Ok(Response::new(RollProgress { received: expected, complete: true }));
        }
        let received = election.receive_roll(chunk.offset, &chunk.bytes);
        if received < expected {
            return Ok(Response::new(RollProgress { received, complete: false }));
        }
        let (bytes, manifest) = (election.received_roll(), Arc::clone(&election.manifest));
        let parsed = self.deps.pool.run(move || Roll::open(&bytes, &manifest).map(|roll| (roll, bytes))).await;
        let parsed = parsed.ok_or_else(|| Status::internal("the roll could not be read"))?;
        let (roll, bytes) = parsed.map_err(|refusal| {
            election.drop_received_roll();
            Status::invalid_argument(format!("ROLL_MISMATCH: {refusal}"))
        })?;
        self.deps.store.keep_roll(election.key, bytes.clone()).await.map_err(store_status)?;
        drop(election.roll_bytes.set(Arc::new(bytes)));
        drop(election.roll.set(Arc::new(roll)));
        election.drop_received_roll();
        // A full mailbox: the tick comes by anyway.
        drop(handle.actor.try_send(Nudge));
        Ok(Response::new(RollProgress { received: expected, complete: true }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        let pin = pin_of(&request)?;
        let bytes = request.into_inner().envelope;
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(Status::invalid_argument("the envelope is too long"));
        }
        let envelope = Envelope::from_bytes(&bytes).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let handle = self.here(&envelope.election.0)?;
        if !handle.election.is_official(&pin) {
            return Err(Status::permission_denied("PERMISSION_DENIED: the caller is not an official of this election"));
        }
        if !matches!(envelope.sender, Sender::Official(_)) {
            return Err(Status::permission_denied("PERMISSION_DENIED: only officials' statements are taken here"));
        }
        let taken = handle.actor.send(Post(vec![envelope])).await;
        let taken = taken.map_err(|_| Status::unavailable("the shard is busy, try again"))?.map_err(store_status)?;
        if let Some((_, reason)) = taken.refusals.first() {
            return Err(Status::failed_precondition(format!("ENVELOPE_REFUSED: {reason}")));
        }
        Ok(Response::new(SubmitReply { repeated: taken.repeated > 0 }))
    }

    async fn get_status(&self, request: Request<ElectionRequest>) -> Result<Response<ElectionStatus>, Status> {
        let handle = self.for_official(&request, &request.get_ref().election_id)?;
        Ok(Response::new(handle.election.status()))
    }

    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<ElectionStatus, Status>> + Send>>;

    async fn watch_status(
        &self,
        request: Request<ElectionRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let handle = self.for_official(&request, &request.get_ref().election_id)?;
        let (sender, receiver) = mpsc::channel(4);
        let shutdown = self.deps.shutdown.clone();
        tokio::spawn(async move {
            let mut last = None;
            while !shutdown.is_requested() {
                let status = handle.election.status();
                if last.as_ref() != Some(&status) {
                    last = Some(status.clone());
                    if sender.send(Ok(status)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = sender.closed() => return,
                    () = tokio::time::sleep(WATCH) => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
