//! What goes wrong, one thing at a time, and what must come of it. Each scenario is a whole election with a right result:
//! what the checker of histories and the audit demand is demanded of each, what is said here comes on top.

use std::{
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    election::{Election, Outcome, rank},
    house::{Daemon, House},
    proxy::{Direction, Door, Weather, mixed},
    voters::Pace,
};

mod folders;
mod limits;
mod storm;

pub(crate) use folders::{
    a_cloned_trustee_is_found_out, an_old_data_folder_is_found_out, an_old_data_folder_of_a_shard_is_found_out,
};
pub(crate) use limits::{a_full_disk_of_a_shard, a_full_disk_of_a_trustee, few_open_files};
pub(crate) use storm::storm;

/// A scenario and its name.
pub(crate) type Scenario = (&'static str, fn(&mut House, u64));

/// All of them, and what a soak draws from.
pub(crate) const ALL: [Scenario; 20] = [
    ("nothing goes wrong", calm),
    ("shards are killed while ballots are cast", shards_killed_while_casting),
    ("a trustee is killed in each stage", trustees_killed_in_each_stage),
    ("everybody is killed at once", everybody_killed_at_once),
    ("a trustee is stopped and goes on", a_stopped_trustee),
    ("a shard is stopped and goes on", a_stopped_shard),
    ("latency and resets on every link", latency_and_resets_everywhere),
    ("a trustee in a black hole", a_trustee_in_a_black_hole),
    ("half-closed connections", half_closed_connections),
    ("a slow drip", a_slow_drip),
    ("one-way partitions", one_way_partitions),
    ("connections cut in the middle of messages", connections_cut_in_messages),
    ("the full disk of a shard", a_full_disk_of_a_shard),
    ("the full disk of a trustee", a_full_disk_of_a_trustee),
    ("few open files", few_open_files),
    ("an old data folder", an_old_data_folder_is_found_out),
    ("an old data folder of a shard", an_old_data_folder_of_a_shard_is_found_out),
    ("a cloned trustee", a_cloned_trustee_is_found_out),
    ("a shard killed between certificate and anchor", a_shard_killed_between_certificate_and_anchor),
    ("the ledger is away", the_ledger_is_away),
];

const SECOND: Duration = Duration::from_secs(1);
const BLACK_HOLE: Weather = weather(0, 0, None, true);

const fn weather(latency_ms: u64, jitter_ms: u64, bytes_per_second: Option<u64>, blackhole: bool) -> Weather {
    let (latency, jitter) = (Duration::from_millis(latency_ms), Duration::from_millis(jitter_ms));
    Weather { latency, jitter, bytes_per_second, blackhole, cut_after: None }
}

/// Nobody is accused of anything: crashes and bad networks are no wrongs. (invariant I04)
fn nobody_is_blamed(outcome: &Outcome) {
    assert_eq!(outcome.summary["evidence"], 0, "{:#}", outcome.summary);
}

/// The rest of an election, in which nobody is to be blamed.
fn finish(house: &mut House, election: &Election) -> Outcome {
    let outcome = house.finish_election(election);
    nobody_is_blamed(&outcome);
    outcome
}

/// The shards have heard of the last trustee that was away: it has caught up.
fn caught_up(house: &House, election: &Election, trustee: usize) {
    house.until(election, "followed by all", |status| {
        let there = &status.trustees[trustee];
        there.reachable && there.followed.iter().sum::<u64>() >= status.logged
    });
}

/// Does something again and again, with a pause between.
struct Every {
    pause: Duration,
    last: Instant,
    times: usize,
}

impl Every {
    fn new(pause: Duration) -> Self {
        Self { pause, last: Instant::now(), times: 0 }
    }

    fn now(&mut self) -> bool {
        let due = self.last.elapsed() >= self.pause;
        if due {
            self.last = Instant::now();
            self.times += 1;
        }
        due
    }
}

/// Nothing goes wrong.
pub(crate) fn calm(house: &mut House, seed: u64) {
    let election = house.open_election("calm", 60, 0, seed);
    house.cast_while(&election, Pace::default(), |_, _| {});
    finish(house, &election);
}

/// The home shard is killed four times, the other one once; every ballot is recorded once, every receipt is honoured.
pub(crate) fn shards_killed_while_casting(house: &mut House, seed: u64) {
    let election = house.open_election("killed-shards", 150, 0, seed);
    let mut kills = vec![(0, 90), (0, 70), (1, 50), (0, 30), (0, 10)];
    house.cast_while(&election, Pace::default(), |house, recorded| {
        if let Some((shard, _)) = kills.pop_if(|(_, after)| recorded >= *after) {
            house.shards[shard].kill();
            assert!(recorded < 150, "everything was cast before the kill");
            thread::sleep(SECOND / 5);
            house.shards[shard].come_back();
        }
    });
    assert!(kills.is_empty(), "{kills:?}");
    finish(house, &election);
}

/// A trustee is killed as soon as each stage has begun, and comes back a little later. Links are slow, so that a stage lasts.
pub(crate) fn trustees_killed_in_each_stage(house: &mut House, seed: u64) {
    house.to_trustees.iter().for_each(|proxy| proxy.set_both(weather(60, 20, None, false)));
    let election = house.announce("killed-trustees", 60, 0, seed);
    let mut seen = Vec::new();
    let mut kill = |house: &mut House, stage: &str, trustee: usize| {
        let stage = house.until_stage(&election, stage);
        house.trustees[trustee].kill();
        seen.push(stage);
        thread::sleep(SECOND / 2);
        house.trustees[trustee].start();
    };
    house.accept(&election);
    kill(house, "key-ceremony", 0);
    house.run(&election, "keys", &["--until", "certified"]);
    house.fund(&election);
    kill(house, "rehearsal", 1);
    house.run(&election, "keys", &["--until", "ready"]);
    house.run(&election, "open", &[]);
    let mut killed = false;
    house.cast_while(&election, Pace::default(), |house, recorded| {
        if recorded >= 20 && !killed {
            killed = true;
            kill(house, "open", 2);
        }
    });
    assert!(killed);
    house.run(&election, "close", &[]);
    kill(house, "closing", 3);
    let tally = house.begin(&election, "tally", &[]);
    kill(house, "tally", 0);
    kill(house, "anchoring", 1);
    house.finish(tally);
    house.run(&election, "anchor", &[]);
    for (at, stage) in ["key-ceremony", "rehearsal", "open"].iter().enumerate() {
        assert_eq!(seen[at], *stage, "{seen:?}");
    }
    assert!(rank(&seen[3]) <= rank("tally") && rank(&seen[5]) >= rank("anchoring"), "{seen:?}");
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    (0..4).for_each(|trustee| caught_up(house, &election, trustee));
}

/// The power fails, twice: while ballots are cast, and while the sums are opened.
pub(crate) fn everybody_killed_at_once(house: &mut House, seed: u64) {
    let power_cut = |house: &mut House| {
        house.shards.iter().chain(&house.trustees).for_each(Daemon::kill);
        thread::sleep(SECOND / 5);
        house.shards.iter_mut().chain(&mut house.trustees).for_each(Daemon::start);
        house.shards.iter().chain(&house.trustees).for_each(Daemon::ready);
    };
    let election = house.open_election("power-cut", 80, 1, seed);
    let mut cut = false;
    house.cast_while(&election, Pace::default(), |house, recorded| {
        if recorded >= 30 && !cut {
            cut = true;
            power_cut(house);
        }
    });
    assert!(cut);
    house.run(&election, "close", &[]);
    let tally = house.begin(&election, "tally", &[]);
    power_cut(house);
    house.finish(tally);
    house.run(&election, "anchor", &[]);
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
}

/// A trustee is stopped while ballots are cast and over the agreement; the others have the result without it; it goes on in
/// the middle of the anchoring and finds its way. (A08: nothing old is signed)
pub(crate) fn a_stopped_trustee(house: &mut House, seed: u64) {
    let election = house.open_election("stopped-trustee", 60, 0, seed);
    let mut stopped = false;
    house.cast_while(&election, Pace::default(), |house, recorded| {
        if recorded >= 20 && !stopped {
            stopped = true;
            house.trustees[0].stop();
        }
    });
    assert!(stopped);
    house.run(&election, "close", &[]);
    house.run(&election, "tally", &[]);
    house.trustees[0].go_on();
    house.run(&election, "anchor", &[]);
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    caught_up(house, &election, 0);
}

/// A shard is stopped for longer than a voter waits for an answer.
pub(crate) fn a_stopped_shard(house: &mut House, seed: u64) {
    let election = house.open_election("stopped-shard", 60, 0, seed);
    let mut stops = vec![(1, 35), (0, 10)];
    let pace = Pace { call: SECOND, ..Pace::default() };
    house.cast_while(&election, pace, |house, recorded| {
        if let Some((shard, _)) = stops.pop_if(|(_, after)| recorded >= *after) {
            house.shards[shard].stop();
            thread::sleep(2 * SECOND);
            house.shards[shard].go_on();
        }
    });
    assert!(stops.is_empty());
    assert!(election.history.counts().contains_key("no answer"), "the stop was noticed by nobody");
    finish(house, &election);
}

/// From the announcement to the end every link is slow and uneven, and all of them are reset again and again.
pub(crate) fn latency_and_resets_everywhere(house: &mut House, seed: u64) {
    house.weather(weather(15, 25, None, false));
    let mut resets = Every::new(SECOND);
    let mut reset = |house: &mut House| {
        if resets.now() {
            house.network().for_each(|proxy| proxy.reset_all());
        }
    };
    let election = house.announce("rough", 60, 1, seed);
    house.accept(&election);
    house.run_while(&election, "keys", &["--until", "certified"], &mut reset);
    house.fund(&election);
    house.run_while(&election, "keys", &["--until", "ready"], &mut reset);
    house.run_while(&election, "open", &[], &mut reset);
    house.cast_while(&election, Pace::default(), |house, _| reset(house));
    for command in ["close", "tally", "anchor"] {
        house.run_while(&election, command, &[], &mut reset);
    }
    house.network().for_each(|proxy| proxy.heal());
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    assert!(resets.times >= 5, "{} resets", resets.times);
}

/// Whatever is sent to one trustee and by it is lost, from the close to the last anchor: three of four finish.
pub(crate) fn a_trustee_in_a_black_hole(house: &mut House, seed: u64) {
    let election = house.open_election("black-hole", 60, 0, seed);
    house.cast_while(&election, Pace::default(), |_, _| {});
    house.to_trustees[1].set_both(BLACK_HOLE);
    let outcome = finish(house, &election);
    assert!(house.to_trustees[1].lost() > 0, "nothing was lost");
    let said = |what: &str| {
        outcome.audit["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["detail"].as_str().is_some_and(|text| text.contains(what)))
    };
    assert!(said("3 of 4 precommits"), "{:#}", outcome.audit);
    house.to_trustees[1].heal();
    caught_up(house, &election, 1);
}

/// Connections end in one direction only, again and again: on the way to trustees, to shards, and back.
pub(crate) fn half_closed_connections(house: &mut House, seed: u64) {
    let election = house.open_election("half-closed", 60, 0, seed);
    let mut ends = Every::new(SECOND / 2);
    let mut end = |house: &mut House| {
        if ends.now() {
            let direction = if ends.times.is_multiple_of(2) { Direction::ToServer } else { Direction::ToClient };
            house.network().for_each(|proxy| proxy.half_close(direction));
        }
    };
    house.cast_while(&election, Pace { pause: SECOND / 5, ..Pace::default() }, |house, _| end(house));
    for command in ["close", "tally", "anchor"] {
        house.run_while(&election, command, &[], &mut end);
    }
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    assert!(ends.times >= 4, "{} half-closes", ends.times);
}

/// One trustee's line is so slow that it is always behind, and so is the way from voters to a shard. Nobody waits for them.
pub(crate) fn a_slow_drip(house: &mut House, seed: u64) {
    let election = house.open_election("drip", 60, 0, seed);
    house.to_trustees[2].set_both(weather(0, 0, Some(3000), false));
    house.to_shards[1].set_both(weather(0, 0, Some(20_000), false));
    house.cast_while(&election, Pace::default(), |_, _| {});
    finish(house, &election);
    house.to_trustees[2].heal();
    caught_up(house, &election, 2);
}

/// One trustee hears everything and is not heard while ballots are cast; another is not reached and could speak while the vote
/// set is agreed on and opened.
pub(crate) fn one_way_partitions(house: &mut House, seed: u64) {
    let election = house.open_election("one-way", 60, 0, seed);
    house.to_trustees[0].set(Direction::ToClient, BLACK_HOLE);
    house.cast_while(&election, Pace::default(), |_, _| {});
    assert!(house.to_trustees[0].lost() > 0, "nothing was lost");
    house.to_trustees[0].heal();
    caught_up(house, &election, 0);
    house.to_trustees[3].set(Direction::ToServer, BLACK_HOLE);
    finish(house, &election);
    assert!(house.to_trustees[3].lost() > 0, "nothing was lost");
    house.to_trustees[3].heal();
    caught_up(house, &election, 3);
}

/// Every connection breaks after so many bytes, wherever in a message that is.
pub(crate) fn connections_cut_in_messages(house: &mut House, seed: u64) {
    let election = house.open_election("cut", 60, 0, seed);
    // Enough for a handshake and some calls; the first cuts come in the middle of a batch of ballots.
    let cut = |bytes| Weather { cut_after: Some(bytes), ..Weather::default() };
    house.to_shards.iter().for_each(|proxy| proxy.set_both(cut(12_000)));
    house.to_trustees.iter().zip([30_000, 40_000, 50_000, 60_000]).for_each(|(proxy, most)| proxy.set_both(cut(most)));
    let before: u64 = house.to_shards.iter().chain(&house.to_trustees).map(|proxy| proxy.connections()).sum();
    house.cast_while(&election, Pace::default(), |_, _| {});
    house.to_shards.iter().for_each(|proxy| proxy.heal());
    for command in ["close", "tally", "anchor"] {
        house.run(&election, command, &[]);
    }
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    let after: u64 = house.to_shards.iter().chain(&house.to_trustees).map(|proxy| proxy.connections()).sum();
    assert!(after > before + 10, "{before} connections, then {after}: hardly any was cut");
}

/// The home shard is killed once the vote set is certified and before it is anchored: it goes on where it was.
pub(crate) fn a_shard_killed_between_certificate_and_anchor(house: &mut House, seed: u64) {
    let election = house.open_election("between", 60, 1, seed);
    house.cast_while(&election, Pace::default(), |_, _| {});
    house.run(&election, "close", &[]);
    let anchored = |status: &proto::v1::Status| status.anchors.iter().any(|anchor| anchor.kind != "key");
    let status = house.until(&election, "certified", |status| !status.vote_set.is_empty());
    house.shards[1].kill();
    assert!(!anchored(&status), "{status:?}");
    let certified = status.vote_set;
    thread::sleep(SECOND / 2);
    house.shards[1].come_back();
    for command in ["tally", "anchor"] {
        house.run(&election, command, &[]);
    }
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    assert_eq!(outcome.status.vote_set, certified, "the vote set that was certified before the kill");
}

/// The ledger cannot be reached from the close on, first resetting, then silent: there is a result all the same; once it is
/// back, everything is anchored.
pub(crate) fn the_ledger_is_away(house: &mut House, seed: u64) {
    let election = house.open_election("no-ledger", 60, 0, seed);
    house.cast_while(&election, Pace::default(), |_, _| {});
    house.to_ledger.set_door(Door::Reset);
    house.to_ledger.reset_all();
    house.run(&election, "close", &[]);
    let told = house.run(&election, "tally", &[]);
    assert!(told["result"].as_str().is_some_and(|result| !result.is_empty()), "{told:#}");
    house.until(&election, "telling of its trouble", |status| !status.troubles.is_empty());
    house.to_ledger.set_door(Door::Open);
    house.to_ledger.set_both(BLACK_HOLE);
    thread::sleep(2 * SECOND);
    let status = house.until(&election, "waiting for the ledger", |_| true);
    assert_eq!((status.stage.as_str(), status.anchors.len()), ("anchoring", 1), "{status:?}");
    house.to_ledger.heal();
    house.run(&election, "anchor", &[]);
    let outcome = house.judge(&election);
    nobody_is_blamed(&outcome);
    assert!(outcome.status.troubles.is_empty(), "{:?}", outcome.status.troubles);
}
