//! How fast ballots go in. Not run by default: `cargo test -p coordinator --test election --release -- --ignored rate`.

use std::time::Instant;

use protocol::manifest::Revote;

use crate::recorded;
use crate::world::{Stage, World, WorldSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it alone, in release"]
async fn rate_of_intake_with_four_trustees_following() {
    const BALLOTS: usize = 4096;
    let mut world = World::new(WorldSettings { lanes: 2, revote: Revote::Last, voters: BALLOTS }).await;
    world.create().await;
    world.put_roll().await;
    world.until(Stage::Ready).await;
    world.request_open().await;
    world.until(Stage::Open).await;
    let ballots: Vec<Vec<u8>> = (0..BALLOTS).map(|voter| world.ballot(voter, voter % 3)).collect();
    let started = Instant::now();
    let casts = ballots.chunks(512).map(|chunk| world.cast(chunk.to_vec()));
    let outcomes = futures::future::join_all(casts).await.concat();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(outcomes.iter().map(recorded).count(), BALLOTS);
    println!("{BALLOTS} ballots recorded in {seconds:.2} s: {:.0} a second", BALLOTS as f64 / seconds);
    let started = Instant::now();
    while world.status().await.final_size < BALLOTS as u64 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    println!("all final {:.2} s later", started.elapsed().as_secs_f64());
    world.stop().await;
}
