//! The service of other shards.

use proto::v1::shard_server::Shard;
use proto::v1::{CastReply, CastRequest, HelloReply, HelloRequest};
use tonic::{Request, Response, Status};

use super::Desk;
use super::cast::cast;

#[tonic::async_trait]
impl Shard for Desk {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Desk::hello(self, request.get_ref()).map(Response::new)
    }

    async fn forward_cast(&self, request: Request<CastRequest>) -> Result<Response<CastReply>, Status> {
        let request = request.into_inner();
        let (got, max) = (request.ballots.len(), proto::CAST_BALLOTS_MAX);
        if !(1..=max).contains(&got) {
            return Err(Status::invalid_argument(format!("a call casts 1 to {max} ballots, got {got}")));
        }
        let handle = self.here(&request.election_id)?;
        let outcomes = cast(&self.deps, &handle.election, request.ballots).await;
        Ok(Response::new(CastReply { outcomes }))
    }
}
