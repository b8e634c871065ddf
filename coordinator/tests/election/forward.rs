//! Ballots that arrive at another shard than the one that runs the election.

use proto::v1::cast_outcome::Outcome;
use proto::v1::{CastRequest, ElectionRequest, FindBallotRequest, GetProofRequest, ListElectionsRequest};
use protocol::encoding::{Canonical as _, digest, label};
use protocol::manifest::Revote;

use crate::recorded;
use crate::world::{Stage, World, WorldSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_shard_takes_a_ballot_and_an_owner_that_is_away_is_said_honestly() {
    let mut world = World::new(WorldSettings { lanes: 1, revote: Revote::Last, voters: 3 }).await;
    world.create().await;
    world.put_roll().await;
    world.until(Stage::Ready).await;
    world.request_open().await;
    world.until(Stage::Open).await;
    let (mut voting, mut record, second) = world.start_second().await;
    let election_id = world.manifest().id().0.to_vec();

    let ballot = world.ballot(0, 1);
    let cast = CastRequest { election_id: election_id.clone(), ballots: vec![ballot.clone()] };
    let through = voting.cast(cast.clone()).await.unwrap().into_inner().outcomes.remove(0);
    let receipt = recorded(&through);
    assert_eq!(recorded(&world.cast(vec![ballot.clone()]).await[0]), receipt);
    let ballot_id = digest(label::BALLOT, &ballot[..ballot.len() - 64]).to_vec();
    let find = FindBallotRequest { election_id: election_id.clone(), ballot_id };
    assert_eq!(recorded(&voting.find_ballot(find.clone()).await.unwrap().into_inner()), receipt);
    let listed = record.list_elections(ListElectionsRequest {}).await.unwrap().into_inner().elections;
    assert!(listed.iter().any(|summary| summary.election_id == election_id), "{listed:?}");
    let manifest =
        record.get_manifest(ElectionRequest { election_id: election_id.clone() }).await.unwrap().into_inner();
    assert_eq!(manifest.manifest, world.manifest().to_bytes());
    let proof = GetProofRequest { election_id: election_id.clone(), lane: 0, index: receipt.index.0 };
    world.proof(&receipt).await;
    assert!(!voting.get_proof(proof).await.unwrap().into_inner().proof.is_empty());

    // Nobody runs such an election.
    let unknown = CastRequest { election_id: vec![9; 32], ballots: vec![ballot.clone()] };
    assert_eq!(voting.cast(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

    world.end_shard().await;
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(voting.cast(cast.clone()).await.unwrap().into_inner().outcomes.remove(0).outcome.unwrap());
    }
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Outcome::TryLaterMs(_) | Outcome::AskAgain(_))),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[2], Outcome::TryLaterMs(_)), "not even sent: {outcomes:?}");
    second.request();
}
