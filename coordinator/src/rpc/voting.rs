//! The service of voters.

use proto::v1::cast_outcome::Outcome as Wire;
use proto::v1::shard_client::ShardClient;
use proto::v1::voting_client::VotingClient;
use proto::v1::voting_server::Voting;
use proto::v1::{CastOutcome, CastReply, CastRequest, FindBallotRequest, GetProofReply, GetProofRequest};
use protocol::encoding::Hash;
use runtime::with_client_message_limits;
use tonic::{Request, Response, Status};

use super::cast::{ask_again, cast, outcome};
use super::{Desk, Place, store_status};

/// What a voter is told when the shard that runs the election cannot be reached.
const UNREACHABLE_MS: u32 = 2000;

fn check_count(ballots: &[Vec<u8>]) -> Result<(), Status> {
    let (got, max) = (ballots.len(), proto::CAST_BALLOTS_MAX);
    if (1..=max).contains(&got) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("a call casts 1 to {max} ballots, got {got}")))
}

#[tonic::async_trait]
impl Voting for Desk {
    async fn cast(&self, request: Request<CastRequest>) -> Result<Response<CastReply>, Status> {
        check_count(&request.get_ref().ballots)?;
        let place = self.place(&request, &request.get_ref().election_id).await?;
        let request = request.into_inner();
        let handle = match place {
            Place::Here(handle) => handle,
            Place::There(peer) => return Ok(Response::new(self.forward(peer, request).await)),
        };
        let outcomes = cast(&self.deps, &handle.election, request.ballots).await;
        Ok(Response::new(CastReply { outcomes }))
    }

    async fn find_ballot(&self, request: Request<FindBallotRequest>) -> Result<Response<CastOutcome>, Status> {
        let place = self.place(&request, &request.get_ref().election_id).await?;
        let request = request.into_inner();
        let handle = match place {
            Place::Here(handle) => handle,
            Place::There(peer) => {
                let channel = peer.channel(&self.deps, &self.remotes).await?;
                return with_client_message_limits!(VotingClient::new(channel), self.deps.limits)
                    .find_ballot(request)
                    .await;
            }
        };
        let id: Hash = proto::fixed("ballot_id", &request.ballot_id)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let found = self.deps.store.find_ballots(handle.election.key, vec![id]).await.map_err(store_status)?;
        let answer = match found.first() {
            Some((_, known)) => Wire::Recorded(self.deps.receipt(&handle.election, known)),
            None => Wire::Refused("BALLOT_UNKNOWN: no such ballot is in the log; it may be cast again".to_owned()),
        };
        Ok(Response::new(outcome(answer)))
    }

    async fn get_proof(&self, request: Request<GetProofRequest>) -> Result<Response<GetProofReply>, Status> {
        let place = self.place(&request, &request.get_ref().election_id).await?;
        let request = request.into_inner();
        let handle = match place {
            Place::Here(handle) => handle,
            Place::There(peer) => {
                let channel = peer.channel(&self.deps, &self.remotes).await?;
                return with_client_message_limits!(VotingClient::new(channel), self.deps.limits)
                    .get_proof(request)
                    .await;
            }
        };
        let lane = usize::try_from(request.lane).ok().and_then(|at| handle.election.lanes.get(at));
        let lane = lane.ok_or_else(|| Status::not_found(format!("LANE_UNKNOWN: there is no lane {}", request.lane)))?;
        if request.index >= lane.size() {
            return Err(Status::not_found(format!("LEAF_UNKNOWN: lane {} has {} leaves", request.lane, lane.size())));
        }
        let proof = lane.proof(request.index).map(|proof| proof.to_string()).unwrap_or_default();
        Ok(Response::new(GetProofReply { proof }))
    }
}

impl Desk {
    /// Passes ballots on to the shard that runs the election. What was not sent is not recorded; what was sent and not
    /// answered is not known.
    async fn forward(&self, peer: super::remote::Peer, request: CastRequest) -> CastReply {
        let ballots = request.ballots.clone();
        let Ok(channel) = peer.channel(&self.deps, &self.remotes).await else {
            let later = |_| outcome(Wire::TryLaterMs(UNREACHABLE_MS));
            return CastReply { outcomes: ballots.iter().map(later).collect() };
        };
        let mut client = with_client_message_limits!(ShardClient::new(channel), self.deps.limits);
        match client.forward_cast(request).await {
            Ok(reply) if reply.get_ref().outcomes.len() == ballots.len() => reply.into_inner(),
            Ok(_) => CastReply { outcomes: ballots.iter().map(|bytes| ask_again(bytes)).collect() },
            Err(status) => {
                tracing::warn!(code = ?status.code(), "ballots passed on without an answer");
                peer.forget(&self.remotes);
                CastReply { outcomes: ballots.iter().map(|bytes| ask_again(bytes)).collect() }
            }
        }
    }
}
