//! The public record: everything that `audit` needs, in pages.

use proto::v1::public_record_client::PublicRecordClient;
use proto::v1::public_record_server::PublicRecord;
use proto::v1::{
    BoardPage, ElectionRequest, ElectionSummary, EvidenceList, GetBoardRequest, GetCheckpointReply,
    GetCheckpointRequest, GetLogRequest, GetManifestReply, GetRejectionsRequest, GetRollRequest, ListElectionsReply,
    ListElectionsRequest, LogPage, RejectionsPage, RollChunk, Status as ElectionStatus,
};
use runtime::{Caller, caller, with_client_message_limits};
use tonic::{Request, Response, Status};

use super::{Desk, Place, store_status};

/// Bytes of a page, at most.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Envelopes of a page, at most.
const ENVELOPES_MAX: usize = 1024;
/// Ballots of a page, at most.
const BALLOTS_MAX: u64 = 1024;
/// Rejections of a page, at most.
const REJECTIONS_MAX: u64 = 1024;
const ROLL_CHUNK: usize = 1 << 20;

/// Asks the shard that runs the election, if it is not this one.
macro_rules! here_or_there {
    ($desk:ident, $request:ident, $method:ident) => {
        match $desk.place(&$request, &$request.get_ref().election_id).await? {
            Place::Here(handle) => handle,
            Place::There(peer) => {
                let channel = peer.channel(&$desk.deps, &$desk.remotes).await?;
                let mut client = with_client_message_limits!(PublicRecordClient::new(channel), $desk.deps.limits);
                return client.$method($request.into_inner()).await;
            }
        }
    };
}

/// As many as fit into a page, at least one.
fn fitting(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut bytes = 0_usize;
    let page = items.into_iter().take_while(|item| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(item.len());
        first || bytes <= PAGE_BYTES_MAX
    });
    page.collect()
}

#[tonic::async_trait]
impl PublicRecord for Desk {
    async fn list_elections(
        &self,
        request: Request<ListElectionsRequest>,
    ) -> Result<Response<ListElectionsReply>, Status> {
        let own = self.directory.all().into_iter().map(|handle| {
            let home = handle.election.manifest.home_shard();
            ElectionSummary {
                election_id: handle.election.id.0.to_vec(),
                title: handle.election.manifest.title.clone(),
                stage: handle.election.view().stage.name().to_owned(),
                public_address: home.map(|shard| shard.public_address.clone()).unwrap_or_default(),
            }
        });
        let mut elections: Vec<ElectionSummary> = own.collect();
        // Shards and officials ask each shard for its own: nobody asks in circles.
        if matches!(caller(&request), Caller::Anonymous) {
            elections.extend(self.remotes.all(&self.deps, self.pin).await);
        }
        Ok(Response::new(ListElectionsReply { elections }))
    }

    async fn get_manifest(&self, request: Request<ElectionRequest>) -> Result<Response<GetManifestReply>, Status> {
        let handle = here_or_there!(self, request, get_manifest);
        Ok(Response::new(GetManifestReply {
            manifest: handle.election.manifest_bytes.clone(),
            key_certificate: handle.election.view().key_certificate.clone(),
        }))
    }

    async fn get_status(&self, request: Request<ElectionRequest>) -> Result<Response<ElectionStatus>, Status> {
        let handle = here_or_there!(self, request, get_status);
        Ok(Response::new(handle.election.status()))
    }

    async fn get_board(&self, request: Request<GetBoardRequest>) -> Result<Response<BoardPage>, Status> {
        let handle = here_or_there!(self, request, get_board);
        let first = request.get_ref().from;
        let (envelopes, total) = handle.election.board_from(first, ENVELOPES_MAX, PAGE_BYTES_MAX);
        let envelopes = envelopes.iter().map(|envelope| envelope.to_vec()).collect();
        Ok(Response::new(BoardPage { first, envelopes, total }))
    }

    async fn get_log(&self, request: Request<GetLogRequest>) -> Result<Response<LogPage>, Status> {
        let handle = here_or_there!(self, request, get_log);
        let GetLogRequest { lane, from, count, .. } = request.into_inner();
        let lane = lane_of(&handle.election, lane)?;
        let count = if count == 0 { BALLOTS_MAX } else { u64::from(count).min(BALLOTS_MAX) };
        // Leaves that are in the store and not in the tree yet have no receipt: they are not shown.
        let total = lane.size();
        let count = count.min(total.saturating_sub(from));
        let leaves =
            self.deps.store.leaves(handle.election.key, lane.index.0, from, count).await.map_err(store_status)?;
        let ballots = fitting(leaves.into_iter().map(|(bytes, _)| bytes));
        Ok(Response::new(LogPage { first: from, ballots, total }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointReply>, Status> {
        let handle = here_or_there!(self, request, get_checkpoint);
        let GetCheckpointRequest { lane, size, .. } = request.into_inner();
        let lane = lane_of(&handle.election, lane)?;
        if let Some(newest) = lane.confirmed()
            && (size == 0 || newest.checkpoint().size.0 == size)
        {
            return Ok(Response::new(GetCheckpointReply { checkpoint: newest.to_string() }));
        }
        let stored = self.deps.store.checkpoints(handle.election.key, lane.index.0).await.map_err(store_status)?;
        let found = stored.into_iter().find(|(stored, _, _)| size != 0 && *stored == size);
        let checkpoint = found.map(|(_, _, note)| note).unwrap_or_default();
        Ok(Response::new(GetCheckpointReply { checkpoint }))
    }

    async fn get_roll(&self, request: Request<GetRollRequest>) -> Result<Response<RollChunk>, Status> {
        let handle = here_or_there!(self, request, get_roll);
        let GetRollRequest { election_id, offset } = request.into_inner();
        let roll = handle.election.roll_bytes.get();
        let roll = roll.ok_or_else(|| Status::not_found("ROLL_UNKNOWN: the voter roll has not arrived yet"))?;
        let rest = usize::try_from(offset).ok().and_then(|offset| roll.get(offset..)).unwrap_or(&[]);
        let bytes = rest.get(..rest.len().min(ROLL_CHUNK)).unwrap_or(&[]).to_vec();
        Ok(Response::new(RollChunk { election_id, offset, bytes, total: roll.len() as u64 }))
    }

    async fn get_rejections(&self, request: Request<GetRejectionsRequest>) -> Result<Response<RejectionsPage>, Status> {
        let handle = here_or_there!(self, request, get_rejections);
        let first = request.get_ref().from;
        let stored = self.deps.store.rejections(handle.election.key, first, REJECTIONS_MAX).await;
        let (rejections, total) = stored.map_err(store_status)?;
        Ok(Response::new(RejectionsPage { first, rejections, total }))
    }

    async fn get_evidence(&self, request: Request<ElectionRequest>) -> Result<Response<EvidenceList>, Status> {
        let handle = here_or_there!(self, request, get_evidence);
        let stored = self.deps.store.evidence(handle.election.key).await.map_err(store_status)?;
        let total = stored.len() as u64;
        Ok(Response::new(EvidenceList { evidence: fitting(stored), total }))
    }
}

fn lane_of(election: &crate::election::Election, lane: u32) -> Result<&crate::lane::Lane, Status> {
    let found = usize::try_from(lane).ok().and_then(|at| election.lanes.get(at));
    found.map(AsRef::as_ref).ok_or_else(|| Status::not_found(format!("LANE_UNKNOWN: there is no lane {lane}")))
}
