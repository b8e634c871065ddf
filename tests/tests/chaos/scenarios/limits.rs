//! No room: full disks, no more open files.

use super::{Command, Duration, Election, Every, House, Instant, Pace, SECOND, TcpStream, thread};
use crate::house::Daemon;

/// Room that is left on a disk that is about to be full.
const LEFT: u64 = 160 << 10;
/// Connections of whoever wants all of a daemon's open files.
const FLOOD: usize = 80;

/// The home shard's disk is full in the middle of casting: it says so, takes nothing, and lives; with room again it goes on,
/// and nothing that it had promised is gone.
pub(crate) fn a_full_disk_of_a_shard(house: &mut House, seed: u64) {
    let election = house.open_election("full-shard", 240, 0, seed);
    house.shards[0].restart();
    house.fill_disk(&house.shards[0], LEFT);
    let mut full = None;
    let pace = Pace { batch: 10, patience: Duration::from_secs(100), ..Pace::default() };
    house.cast_while(&election, pace, |house, recorded| {
        let now = Instant::now();
        match full {
            None => {
                assert!(recorded < 240, "everything fits");
                let paused = |text: &String| text.contains("INTAKE_PAUSED");
                if house.look(&election).is_some_and(|status| status.troubles.iter().any(paused)) {
                    full = Some((now, recorded));
                }
                house.must_run();
            }
            Some((since, before)) if since + 2 * SECOND < now && since + 3 * SECOND > now => {
                assert!(recorded <= before + 30, "it goes on taking ballots: {before}, then {recorded}");
            }
            _ => {}
        }
        if full.is_some_and(|(since, _)| since + 3 * SECOND < now) && house.disk_is_filled(&house.shards[0]) {
            house.empty_disk(&house.shards[0]);
        }
    });
    assert!(full.is_some(), "the disk was never full");
    assert!(election.history.counts().contains_key("try later"), "{:?}", election.history.counts());
    super::finish(house, &election);
}

/// A trustee's disk is full in the middle of casting: it stops rather than promise what it cannot keep; the others finish. With
/// room again it comes back and catches up.
pub(crate) fn a_full_disk_of_a_trustee(house: &mut House, seed: u64) {
    let election = house.open_election("full-trustee", 120, 0, seed);
    house.trustees[3].restart();
    house.fill_disk(&house.trustees[3], 32 << 10);
    let (voters, ballots, casting) = house.begin_casting(&election, Pace::default());
    assert_eq!(casting.finish(), [], "ballots without a certain answer");
    house.cast_more(&election, &voters, &ballots);
    let status = house.trustees[3].ends(Duration::from_secs(30));
    assert_eq!(status.code(), Some(70), "stopped to keep a promise");
    assert!(house.trustees[3].log().contains("disk"), "and said why");
    for command in ["close", "tally", "anchor"] {
        house.run(&election, command, &[]);
    }
    house.empty_disk(&house.trustees[3]);
    house.trustees[3].come_back();
    let outcome = house.judge(&election);
    super::nobody_is_blamed(&outcome);
    super::caught_up(house, &election, 3);
}

/// Strangers take all the files that a shard, then a trustee, may open. Neither dies of it, neither loses anything, and when the
/// strangers have gone they go on.
pub(crate) fn few_open_files(house: &mut House, seed: u64) {
    let election = house.open_election("few-files", 120, 0, seed);
    let (voters, ballots, casting) = house.begin_casting(&election, Pace { pause: SECOND / 5, ..Pace::default() });
    besiege(house, &election, |house| &house.shards[0]);
    besiege(house, &election, |house| &house.trustees[2]);
    assert_eq!(casting.finish(), [], "ballots without a certain answer");
    house.cast_more(&election, &voters, &ballots);
    super::finish(house, &election);
    super::caught_up(house, &election, 2);
}

fn besiege(house: &House, election: &Election, of: impl Fn(&House) -> &Daemon) {
    let daemon = of(house);
    let before = daemon.log().matches("accept failed").count();
    let limit = |files: &str| {
        let pid = daemon.pid().to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status().unwrap();
        assert!(done.success(), "prlimit");
    };
    limit(&(daemon.open_files() + 12).to_string());
    let begun = Instant::now();
    let mut again = Every::new(SECOND / 4);
    let mut strangers = Vec::new();
    while begun.elapsed() < 3 * SECOND {
        if again.now() {
            strangers.extend((0..FLOOD / 4).filter_map(|_| TcpStream::connect(daemon.listens).ok()));
            let extra = strangers.len().saturating_sub(FLOOD);
            strangers.drain(..extra);
        }
        house.must_run();
        thread::sleep(SECOND / 50);
    }
    drop(strangers);
    let failed = daemon.log().matches("accept failed").count() - before;
    assert!(failed > 0, "{}: its files were never used up", daemon.name);
    assert!(failed < 200, "{}: it spins, {failed} accepts failed", daemon.name);
    limit("4096");
    house.until(election, "answering again", |_| true);
    house.must_run();
}
