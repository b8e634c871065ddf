//! Following the log: what is co-signed, and what never is.

use proto::v1::GetLogRequest;
use protocol::board::Stage;
use protocol::ids::{IdentityKey, LaneIndex};
use protocol::log::{NoteKey, origin};

use crate::support::{World, signing_key};

#[tokio::test(flavor = "multi_thread")]
async fn an_election_over_real_daemons_counts_what_was_cast() {
    let mut world = World::opened().await;
    let mut expected = [0_u64; 2];
    world.log.push(world.ballot(0, 1));
    for voter in 0..12 {
        // Voter 0 changes their mind.
        let option = u16::from(voter % 3 == 0);
        expected[usize::from(option)] += 1;
        let ballot = world.ballot(voter, option);
        world.log.push(ballot);
    }
    let cosigned = world.all_follow(0).await;
    let origin = origin(&world.id(), LaneIndex(0));
    let mut keys = vec![NoteKey::log(&origin, IdentityKey(world.shard.verifying_key().to_bytes())).unwrap()];
    keys.push(NoteKey::cosigner(world.manifest.trustees[1].identity));
    cosigned.verify_final(&origin, &keys, 1).unwrap();

    world.close();
    world.until(Stage::Agreement).await;
    world.finish().await;
    let totals: Vec<u64> = world.board.result().unwrap().contests[0].totals.clone();
    assert_eq!(totals, expected);
    assert!(world.board.evidence().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn following_can_be_repeated_and_the_cosignature_stays() {
    let mut world = World::opened().await;
    world.log = (0..3).map(|voter| world.ballot(voter, 0)).collect();
    let (log, checkpoint) = (world.log.clone(), world.checkpoint(&world.log));
    let first = world.follow(0, 0, &log, &checkpoint).await;
    assert_eq!((first.next, first.refusal.as_str()), (3, ""));
    for (from, ballots) in [(0, &log[..]), (1, &log[1..]), (3, &[])] {
        let again = world.follow(0, from, ballots, &checkpoint).await;
        assert_eq!(again, first);
    }
    // Beyond the end is a gap.
    let gap = world.follow(0, 4, &log[..1], "").await;
    assert_eq!(gap.next, 3);
    assert!(gap.refusal.contains("leaf 3 is the next one here"), "{}", gap.refusal);
    // The own copy is the log.
    let request = GetLogRequest { election_id: world.id().0.to_vec(), lane: 0, from: 1, count: 100 };
    let page = world.client(0).await.get_log(request).await.unwrap().into_inner();
    assert_eq!((page.first, page.total, &page.ballots[..]), (1, 3, &log[1..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_leaf_at_a_known_place_is_a_fork_and_kept_as_evidence() {
    let mut world = World::opened().await;
    world.log = (0..3).map(|voter| world.ballot(voter, 0)).collect();
    world.all_follow(0).await;
    let mut other = world.log.clone();
    other[1] = world.ballot(1, 1);
    let checkpoint = world.checkpoint(&other);
    let reply = world.follow(0, 1, &other[1..], &checkpoint).await;
    assert!(reply.refusal.starts_with("LOG_FORK: leaf 1"), "{}", reply.refusal);
    assert_eq!((reply.next, reply.cosigned.as_str()), (3, ""));
    // The same lie by checkpoint alone.
    let reply = world.follow(0, 3, &[], &checkpoint).await;
    assert!(reply.refusal.starts_with("LOG_FORK"), "{}", reply.refusal);
    let config = world.keepers[0].config();
    let views = trustee::view::View::open(&config).await.unwrap().elections(&config).await.unwrap();
    assert_eq!((views[0].forks, views[0].cosigned[0]), (1, 3));
}

/// M04: the coordinator's database was restored from a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_is_not_cosigned() {
    let mut world = World::opened().await;
    world.log = (0..5).map(|voter| world.ballot(voter, 0)).collect();
    world.all_follow(0).await;
    let back: Vec<_> = world.log[..2].to_vec();
    let reply = world.follow(0, 2, &[], &world.checkpoint(&back)).await;
    assert!(reply.refusal.starts_with("LOG_ROLLBACK: a checkpoint of 5"), "{}", reply.refusal);
    // It goes on from there with other ballots.
    let mut other = back;
    other.push(world.ballot(7, 1));
    let reply = world.follow(0, 2, &other[2..], &world.checkpoint(&other)).await;
    assert!(reply.refusal.starts_with("LOG_FORK: leaf 2"), "{}", reply.refusal);
    assert_eq!(reply.cosigned, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_leaf_is_refused_by_name_and_what_came_before_it_is_kept() {
    let mut world = World::opened().await;
    let mut bad = world.ballot(1, 0);
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let log = vec![world.ballot(0, 0), bad, world.ballot(2, 0)];
    let reply = world.follow(0, 0, &log, &world.checkpoint(&log)).await;
    assert!(reply.refusal.starts_with("BAD_LEAF: leaf 1 of lane 0"), "{}", reply.refusal);
    assert_eq!((reply.next, reply.cosigned.as_str()), (1, ""));
    let again = world.follow(0, 1, &log[1..], &world.checkpoint(&log)).await;
    assert_eq!(again, reply);
    let waiting = world.exchange(0).await.unwrap().waiting;
    assert!(waiting.contains("leaf 1 of lane 0 is refused"), "{waiting}");
    // The right leaf at that place is taken, and the complaint is over.
    let good = world.ballot(1, 0);
    assert_eq!(world.follow(0, 1, &[good], "").await.next, 2);
    assert_eq!(world.exchange(0).await.unwrap().waiting, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_ballots_and_copies_are_no_leaves() {
    let mut world = World::opened().await;
    let real = world.ballot(0, 0);
    world.voters[1] = signing_key();
    let stranger = world.ballot(1, 0);
    let reply = world.follow(0, 0, &[real.clone(), stranger], "").await;
    assert!(reply.refusal.contains("leaf 1"), "{}", reply.refusal);
    let reply = world.follow(0, 1, &[real], "").await;
    assert!(reply.refusal.contains("leaf 1"), "{}", reply.refusal);
    assert_eq!(reply.next, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_shards_checkpoint_of_this_log_at_its_head_is_cosigned() {
    let mut world = World::opened().await;
    world.log = (0..3).map(|voter| world.ballot(voter, 0)).collect();
    let log = world.log.clone();
    assert_eq!(world.follow(0, 0, &log[..2], "").await.next, 2);
    let ahead = world.checkpoint(&log);
    let behind = world.checkpoint(&log[..1]);
    let other_key = world.checkpoint_by(&signing_key(), &log[..2]);
    let good = world.checkpoint(&log[..2]);
    let other_lane = good.replacen("/0\n", "/1\n", 1);
    for (checkpoint, named) in [
        (ahead.as_str(), "the checkpoint has 3 leaves"),
        (&behind, "the checkpoint has 1 leaves"),
        (&other_key, "no shard of this election has signed it"),
        (&other_lane, "is of log"),
        ("nonsense", "malformed"),
    ] {
        let reply = world.follow(0, 2, &[], checkpoint).await;
        assert_eq!((reply.cosigned.as_str(), reply.next), ("", 2));
        assert!(reply.refusal.contains(named), "{}", reply.refusal);
    }
    assert_ne!(world.follow(0, 2, &[], &good).await.cosigned, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_followed_before_the_opening() {
    let mut world = World::started().await;
    world.exchange(0).await.unwrap();
    let reply = world.follow(0, 0, &[vec![1]], "").await;
    assert!(reply.refusal.contains("not open yet"), "{}", reply.refusal);
    assert_eq!(reply.next, 0);
}
