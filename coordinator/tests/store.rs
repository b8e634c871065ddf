//! The store: its constraints decide, its transactions are whole.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

use coordinator::store::{Commit, Conflict, NewBallot, NewElection, NewRejection, Store, StoreTrouble};
use tokio::runtime::Handle;

fn hash(kind: u8, number: u32) -> [u8; 32] {
    let mut hash = [kind; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    hash
}

fn ballot(number: u32, credential: u32) -> NewBallot {
    NewBallot {
        digest: hash(1, number),
        credential: hash(2, credential),
        leaf: hash(3, number),
        components: vec![hash(4, number), hash(5, number)],
        bytes: vec![7; 700],
    }
}

async fn election(store: &Store) -> i64 {
    let new = NewElection { id: [1; 32], manifest: vec![1, 2, 3], board_epoch: 10, created_ms: 1 };
    let first = store.create_election(new.clone()).await.unwrap();
    assert!(store.create_election(new).await.unwrap().is_none(), "a second election with the same id");
    first.unwrap().key
}

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("data"), None, &Handle::current()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_tasks_that_cast_for_one_voter_one_gets_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let key = election(&store).await;
    let tasks = (0..64_u32).map(|number| {
        let store = store.clone();
        // Whoever is not first is told by a constraint: no look before it decides.
        tokio::spawn(async move {
            let place = if number == 0 { 0 } else { 1_000 + u64::from(number) };
            store.commit_ballots(key, 0, place, true, vec![ballot(number, 5)], Vec::new()).await.unwrap().0[0]
        })
    });
    let mut outcomes = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        outcomes.push(task.await.unwrap());
    }
    let recorded = outcomes.iter().filter(|outcome| matches!(outcome, Commit::Recorded(_))).count();
    let voted = outcomes.iter().filter(|outcome| **outcome == Commit::Conflict(Conflict::Voted)).count();
    assert_eq!((recorded, voted), (1, 63));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_collisions_keeps_the_others_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let key = election(&store).await;
    let first = store.commit_ballots(key, 0, 0, true, vec![ballot(1, 1), ballot(2, 2)], Vec::new()).await.unwrap().0;
    assert_eq!(first, [Commit::Recorded(0), Commit::Recorded(1)]);
    let mut copy = ballot(9, 9);
    copy.components[1] = hash(5, 2);
    let batch = vec![ballot(3, 3), ballot(4, 1), copy, ballot(2, 2), ballot(5, 5)];
    let outcomes = store.commit_ballots(key, 0, 2, true, batch, Vec::new()).await.unwrap().0;
    let conflict = Commit::Conflict;
    assert_eq!(
        outcomes,
        [
            Commit::Recorded(2),
            conflict(Conflict::Voted),
            conflict(Conflict::Component),
            conflict(Conflict::Known),
            Commit::Recorded(3)
        ]
    );
    let leaves: Vec<[u8; 32]> = store.leaves(key, 0, 0, 10).await.unwrap().into_iter().map(|(_, leaf)| leaf).collect();
    assert_eq!(leaves, [hash(3, 1), hash(3, 2), hash(3, 3), hash(3, 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_last_ballot_counts_a_second_one_is_logged_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let key = election(&store).await;
    for number in 0..3_u32 {
        let place = u64::from(number);
        let outcome = store.commit_ballots(key, 0, place, false, vec![ballot(number, 1)], Vec::new()).await.unwrap().0;
        assert_eq!(outcome, [Commit::Recorded(place)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let key = election(&store).await;
    let batch: Vec<NewBallot> = (0..1000).map(|number| ballot(number, number)).collect();
    let rejection = NewRejection { ballot: [8; 32], code: 7, bytes: vec![1] };
    let (outcomes, rejected) =
        store.commit_ballots(key, 3, 0, true, batch, vec![rejection.clone(), rejection]).await.unwrap();
    assert_eq!((outcomes.len(), rejected), (1000, 1), "the same rejection is on record once");
    store.append_board(key, 0, vec![(vec![1], vec![2]), (vec![3], vec![4])]).await.unwrap();
    store.keep_checkpoint(key, 3, 10, false, "ten".into()).await.unwrap();
    store.keep_checkpoint(key, 3, 20, true, "twenty".into()).await.unwrap();
    store.keep_checkpoint(key, 3, 30, false, "thirty".into()).await.unwrap();
    drop(store);

    let store = open(&dir).await;
    assert_eq!(store.elections().await.unwrap().len(), 1);
    assert_eq!(store.board(key).await.unwrap(), [vec![2], vec![4]]);
    assert_eq!(store.leaves(key, 3, 990, 100).await.unwrap().len(), 10);
    let found = store.find_ballots(key, vec![hash(1, 500), hash(1, 5000)]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1.lane, found[0].1.index), (3, 500));
    let checkpoints = store.checkpoints(key, 3).await.unwrap();
    assert_eq!(checkpoints, [(20, true, "twenty".to_owned()), (30, false, "thirty".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_says_so_and_loses_and_half_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let store = Store::open(&path, Some(1 << 20), &Handle::current()).await.unwrap();
    let key = election(&store).await;
    let mut size = 0_u64;
    let trouble = loop {
        let first = u32::try_from(size).unwrap();
        let batch: Vec<NewBallot> = (first..first + 100).map(|number| ballot(number, number)).collect();
        match store.commit_ballots(key, 0, size, true, batch, Vec::new()).await {
            Ok(_) => size += 100,
            Err(trouble) => break trouble,
        }
        assert!(size < 100_000, "never full");
    };
    assert_eq!(trouble, StoreTrouble::Full);
    assert!(size >= 100);
    assert_eq!(store.leaves(key, 0, 0, 1_000_000).await.unwrap().len() as u64, size, "whole batches only");
    drop(store);
    // With room again, the same goes in.
    let store = Store::open(&path, None, &Handle::current()).await.unwrap();
    let first = u32::try_from(size).unwrap();
    let outcome = store.commit_ballots(key, 0, size, true, vec![ballot(first, first)], Vec::new()).await.unwrap().0;
    assert_eq!(outcome, [Commit::Recorded(size)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_does_not_stop_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let key = election(&store).await;
    for number in 0..50_u32 {
        let writing = store.commit_ballots(key, 0, u64::from(number), true, vec![ballot(number, number)], Vec::new());
        // Polled a few times at most, then dropped, at another place each time.
        let dropped = tokio::time::timeout(std::time::Duration::from_micros(u64::from(number) * 20), writing).await;
        drop(dropped);
        // Whatever was handed over is done when this is.
        store.write(|_| Box::pin(async { Ok(()) })).await.unwrap();
        if store.leaves(key, 0, u64::from(number), 1).await.unwrap().is_empty() {
            // Dropped before it was handed over: nothing of it is in, and it goes in when it is sent again.
            let again = vec![ballot(number, number)];
            let outcome = store.commit_ballots(key, 0, u64::from(number), true, again, Vec::new()).await.unwrap().0;
            assert_eq!(outcome, [Commit::Recorded(number.into())]);
        }
    }
    assert_eq!(store.leaves(key, 0, 0, 100).await.unwrap().len(), 50);
}
