//! A whole election through a real shard over real TLS: trustees are the shipping `Keeper` cores behind a small server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod authorisation;
mod forward;
mod keeper;
mod rate;
mod world;

use proto::v1::cast_outcome::Outcome;
use protocol::encoding::Canonical as _;
use protocol::evidence::Evidence;
use protocol::ids::LaneIndex;
use protocol::log::{NoteKey, ProofFile, Receipt, Rejection, SignedCheckpoint, origin};
use protocol::manifest::Revote;
use protocol::signed::Sender;
use world::{Stage, World, WorldSettings};

fn recorded(outcome: &proto::v1::CastOutcome) -> Receipt {
    match &outcome.outcome {
        Some(Outcome::Recorded(receipt)) => Receipt::from_bytes(receipt).unwrap(),
        other => panic!("expected a receipt, got {other:?}"),
    }
}

fn rejected(outcome: &proto::v1::CastOutcome) -> Rejection {
    match &outcome.outcome {
        Some(Outcome::Rejected(rejection)) => Rejection::from_bytes(rejection).unwrap(),
        other => panic!("expected a rejection, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_election_goes_from_announcement_to_anchored_result_and_survives_a_restart_of_the_shard() {
    let mut world = World::new(WorldSettings { lanes: 2, revote: Revote::Last, voters: 40 }).await;
    world.create().await;
    world.put_roll().await;
    world.until(Stage::Ready).await;
    world.request_open().await;
    world.until(Stage::Open).await;

    let ballots: Vec<Vec<u8>> = (0..40).map(|voter| world.ballot(voter, voter % 3)).collect();
    let first = world.cast(ballots[..20].to_vec()).await;
    let receipts: Vec<Receipt> = first.iter().map(recorded).collect();
    let key = world.manifest().home_shard().unwrap().identity;
    assert!(receipts.iter().all(|receipt| receipt.verify(&key)));

    world.restart().await;
    // The same bytes again: the same receipt. Then the others.
    let again = world.cast(ballots.clone()).await;
    for (receipt, outcome) in receipts.iter().zip(&again) {
        assert_eq!(recorded(outcome), *receipt);
    }
    let changed = world.ballot(0, 1);
    let receipt = recorded(&world.cast(vec![changed]).await[0]);

    let proof = world.proof(&receipt).await;
    let proof: ProofFile = proof.parse().unwrap();
    let id = world.manifest().id();
    let line = origin(&id, receipt.lane);
    let mut keys = vec![NoteKey::log(&line, key).unwrap()];
    keys.extend(world.manifest().trustees.iter().map(|trustee| NoteKey::cosigner(trustee.identity)));
    proof.confirms(&receipt, &keys, world.manifest().quorums.w).unwrap();

    world.request_close().await;
    world.until(Stage::Complete).await;
    let status = world.status().await;
    assert_eq!(status.logged, 41);
    assert_eq!(status.final_size, 41);
    assert_eq!(status.anchors.len(), 3);
    assert!(status.troubles.is_empty(), "{:?}", status.troubles);
    let result = world.result().await;
    assert_eq!((result.logged, result.counted), (41, 40));
    // Voter 0 changed from option 0 to 1.
    assert_eq!(result.contests[0].totals, [13, 14, 13]);

    // Whoever comes late and is in gets the receipt; nobody else gets in.
    let late = world.cast(vec![ballots[3].clone(), world.ballot(5, 2)]).await;
    assert_eq!(recorded(&late[0]), receipts[3]);
    assert!(matches!(&late[1].outcome, Some(Outcome::Refused(reason)) if reason.starts_with("ELECTION_CLOSED")));
    let mut leaves = 0;
    for lane in [LaneIndex(0), LaneIndex(1)] {
        let note: SignedCheckpoint = world.checkpoint(lane).await.parse().unwrap();
        let line = origin(&id, lane);
        let mut keys = vec![NoteKey::log(&line, key).unwrap()];
        keys.extend(world.manifest().trustees.iter().map(|trustee| NoteKey::cosigner(trustee.identity)));
        note.verify_final(&line, &keys, world.manifest().quorums.w).unwrap();
        leaves += note.checkpoint().size.0;
    }
    assert_eq!(leaves, 41);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_statements_for_one_slot_are_kept_as_evidence_for_anybody() {
    let mut world = World::new(WorldSettings { lanes: 1, revote: Revote::First, voters: 1 }).await;
    world.create().await;
    world.request_open_with([1; 32]).await.unwrap();
    assert!(world.evidence().await.is_empty());
    let refused = world.request_open_with([2; 32]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    world.restart().await;
    let evidence = world.evidence().await;
    assert_eq!(evidence.len(), 1);
    let evidence = Evidence::from_bytes(&evidence[0]).unwrap();
    assert!(evidence.proves_equivocation(world.manifest()));
    assert_eq!(evidence.accused, Sender::Official(1));
    // Nothing less is a proof.
    let mut other = evidence.clone();
    other.accused = Sender::Official(2);
    assert!(!other.proves_equivocation(world.manifest()));
    other = evidence.clone();
    other.envelopes[1] = other.envelopes[0].clone();
    assert!(!other.proves_equivocation(world.manifest()));
    other = evidence.clone();
    other.envelopes[1].signature[0] ^= 1;
    assert!(!other.proves_equivocation(world.manifest()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_ballots_get_signed_rejections_and_the_first_ballot_counts() {
    let mut world = World::new(WorldSettings { lanes: 1, revote: Revote::First, voters: 6 }).await;
    world.create().await;
    world.put_roll().await;
    assert!(matches!(
        world.cast(vec![vec![1; 900]]).await[0].outcome,
        Some(Outcome::Refused(ref reason)) if reason.starts_with("ELECTION_NOT_OPEN")
    ));
    world.until(Stage::Ready).await;
    world.request_open().await;
    world.until(Stage::Open).await;

    let good = world.ballot(0, 0);
    let twice = world.ballot(0, 1);
    let mut mauled = world.ballot(1, 0);
    mauled[200] ^= 1;
    let stranger = world.ballot_of_a_stranger();
    let mut elsewhere = world.ballot(3, 0);
    elsewhere[1] ^= 1;
    let answers = world.cast(vec![good.clone(), twice.clone(), mauled, stranger, vec![1, 2, 3], elsewhere]).await;
    let receipt = recorded(&answers[0]);
    let codes: Vec<u16> = answers[1..].iter().map(|answer| rejected(answer).code).collect();
    assert_eq!(codes[0], 103, "voted already");
    assert!((1..100).contains(&codes[1]), "bad point, proof or signature: {}", codes[1]);
    assert_eq!(codes[2], 100, "not on the roll");
    assert_eq!(codes[3], 1, "no ballot at all");
    assert_eq!(codes[4], 2, "another election's");
    let key = world.manifest().home_shard().unwrap().identity;
    assert!(answers[1..].iter().all(|answer| rejected(answer).verify(&key)));
    // Sixty-four connections at once with two ballots of one voter: one is in, always the same.
    let (one, other) = (world.ballot(2, 0), world.ballot(2, 1));
    let mut races = Vec::new();
    for turn in 0..64 {
        let (mut voting, ballot) = (world.voting().await, if turn % 2 == 0 { one.clone() } else { other.clone() });
        let id = world.manifest().id();
        races.push(tokio::spawn(async move {
            let request = proto::v1::CastRequest { election_id: id.0.to_vec(), ballots: vec![ballot] };
            voting.cast(request).await.unwrap().into_inner().outcomes.remove(0)
        }));
    }
    let mut leaves = std::collections::BTreeSet::new();
    let mut refused = 0;
    for race in races {
        match race.await.unwrap().outcome {
            Some(Outcome::Recorded(receipt)) => drop(leaves.insert(Receipt::from_bytes(&receipt).unwrap().index)),
            Some(Outcome::Rejected(rejection)) => {
                assert_eq!(Rejection::from_bytes(&rejection).unwrap().code, 103);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((leaves.len(), refused), (1, 32));
    let status = world.status().await;
    assert_eq!((status.logged, status.rejected), (2, 6));
    let again = world.cast(vec![good]).await;
    assert_eq!(recorded(&again[0]), receipt);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_pauses_intake_and_nothing_is_lost_when_there_is_room_again() {
    const VOTERS: usize = 1200;
    let mut world = World::new(WorldSettings { lanes: 1, revote: Revote::Last, voters: VOTERS }).await;
    world.create().await;
    world.put_roll().await;
    world.until(Stage::Ready).await;
    world.request_open().await;
    world.until(Stage::Open).await;
    world.limit_store(Some(1 << 20));
    world.restart().await;
    let ballots: Vec<Vec<u8>> = (0..VOTERS).map(|voter| world.ballot(voter, 0)).collect();
    let mut receipts = Vec::new();
    'full: for chunk in ballots.chunks(100) {
        for turn in 0.. {
            let outcomes = world.cast_once(chunk.to_vec()).await;
            if outcomes.iter().all(|outcome| matches!(outcome.outcome, Some(Outcome::Recorded(_)))) {
                receipts.extend(outcomes.iter().map(recorded));
                continue 'full;
            }
            assert!(
                outcomes.iter().all(|outcome| matches!(outcome.outcome, Some(Outcome::TryLaterMs(_)))),
                "recorded or not, never in between: {outcomes:?}"
            );
            // Just started, or full: the latter says so.
            let paused = world.status().await.troubles.iter().any(|text| text.contains("INTAKE_PAUSED{disk}"));
            if paused {
                break 'full;
            }
            assert!(turn < 100, "neither recorded nor full");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    assert!((100..VOTERS).contains(&receipts.len()), "{}", receipts.len());
    world.limit_store(None);
    world.restart().await;
    let mut again = Vec::new();
    for chunk in ballots.chunks(300) {
        again.extend(world.cast(chunk.to_vec()).await.iter().map(recorded));
    }
    assert_eq!(again[..receipts.len()], receipts);
    assert_eq!(world.status().await.logged, VOTERS as u64);
    world.stop().await;
}
