//! Data folders that are not what they should be: old ones, and two of one.

use std::{fs, path::Path, time::Instant};

use proto::v1::Status;

use super::{Election, Every, House, Outcome, Pace, SECOND};
use crate::house::{Daemon, copy};

/// How a trustee says that its folder is old, or that there are two of it.
const FOUND_OUT: [&str; 2] = ["STATE_ROLLBACK", "TWO_OF_ONE"];

fn is_found_out(text: &str) -> bool {
    FOUND_OUT.iter().any(|word| text.contains(word))
}

/// Whatever evidence there is accuses this trustee and nobody else.
fn only_it_is_blamed(house: &House, election: &Election, outcome: &Outcome, trustee: usize) {
    let status = house.ceremony(
        &format!("{}-evidence", election.name),
        &["status", "--election", &election.id],
        crate::house::COMMAND,
    );
    let evidence = status["evidence"].as_array().unwrap();
    let name = &house.trustees[trustee].name;
    assert!(
        evidence.iter().all(|wrong| wrong.as_str().is_some_and(|wrong| wrong.starts_with(name.as_str()))),
        "{status:#}"
    );
    assert!(outcome.summary["evidence"].as_u64().unwrap() >= evidence.len() as u64);
}

/// A trustee comes back with a copy of its data folder from before the opening. It finds out by itself, says so, and promises
/// nothing more; the others finish.
pub(crate) fn an_old_data_folder_is_found_out(house: &mut House, seed: u64) {
    let election = house.announce("old-folder", 60, 0, seed);
    house.accept(&election);
    house.make_keys(&election);
    let old = house.folder.join("old-folder-of-trustee-3");
    let trustee = &mut house.trustees[2];
    let data = trustee.data();
    trustee.kill();
    copy(&data, &old);
    trustee.come_back();
    house.run(&election, "open", &[]);
    house.until(&election, "opened by trustee 3 too", |status| {
        status.awaiting.is_empty() && status.trustees[2].reachable
    });
    let mut restored = false;
    house.cast_while(&election, Pace::default(), |house, recorded| {
        if recorded >= 20 && !restored {
            restored = true;
            super::caught_up(house, &election, 2);
            let trustee = &mut house.trustees[2];
            trustee.kill();
            fs::remove_dir_all(&data).unwrap();
            copy(&old, &data);
            trustee.come_back();
        }
    });
    assert!(restored);
    let status = house.until(&election, "found out", |status| is_found_out(&status.trustees[2].waiting));
    assert!(status.trustees[2].waiting.contains("STATE_ROLLBACK"), "{status:?}");
    let outcome = super::finish(house, &election);
    assert!(outcome.status.trustees[2].waiting.contains("STATE_ROLLBACK"), "{:?}", outcome.status);
    // And for good: another start does not make it forget.
    house.trustees[2].kill();
    house.trustees[2].come_back();
    house.until(&election, "found out still", |status| {
        status.trustees[2].reachable && status.trustees[2].waiting.contains("STATE_ROLLBACK")
    });
}

/// The home shard comes back with a copy of its data folder that lacks ballots for which receipts were given. The trustees have
/// them: the shard finds out, says so, and gives no receipt that it could not honour; with its own folder again it goes on.
pub(crate) fn an_old_data_folder_of_a_shard_is_found_out(house: &mut House, seed: u64) {
    let election = house.open_election("old-shard", 90, 1, seed);
    let data = house.shards[1].data();
    let copies = ["old", "new"].map(|name| house.folder.join(format!("{name}-folder-of-shard-2")));
    let mut step = 0;
    let mut since = Instant::now();
    let (mut said, mut before) = (false, 0);
    let pace = Pace { pause: SECOND / 5, ..Pace::default() };
    house.cast_while(&election, pace, |house, recorded| {
        let shard = &mut house.shards[1];
        match step {
            0 if recorded >= 15 => {
                shard.kill();
                copy(&data, &copies[0]);
                shard.come_back();
                step = 1;
            }
            1 if recorded >= 35 => {
                // The trustees have all of it.
                let all = |status: &Status| status.final_size >= status.logged && status.logged >= 30;
                house.until(&election, "final", all);
                exchange(&mut house.shards[1], &data, &copies[1], &copies[0]);
                before = election.history.recorded();
                step = 2;
            }
            2 => {
                let rollback = |text: &String| text.contains("LOG_ROLLBACK");
                let says = house.look(&election).is_some_and(|status| status.troubles.iter().any(rollback));
                if says && !said {
                    said = true;
                    since = Instant::now();
                }
                assert_eq!(recorded, before, "it promised what it cannot keep");
                if said && since.elapsed() > 3 * SECOND {
                    let shard = &mut house.shards[1];
                    shard.kill();
                    fs::remove_dir_all(&data).unwrap();
                    copy(&copies[1], &data);
                    shard.come_back();
                    step = 3;
                }
            }
            _ => {}
        }
    });
    assert_eq!((step, said), (3, true), "the shard did not notice");
    super::finish(house, &election);
}

/// While it does not run: its data go to `aside`, and these come in their place.
fn exchange(daemon: &mut Daemon, data: &Path, aside: &Path, instead: &Path) {
    daemon.kill();
    fs::rename(data, aside).unwrap();
    copy(instead, data);
    daemon.come_back();
}

/// Two daemons with one trustee's folder answer by turns, from the opening to the end. At least one finds out and stops; the
/// others finish; nobody else is blamed.
pub(crate) fn a_cloned_trustee_is_found_out(house: &mut House, seed: u64) {
    let election = house.announce("clone", 60, 0, seed);
    house.accept(&election);
    house.make_keys(&election);
    house.trustees[1].kill();
    let twin = house.clone_trustee(1);
    house.trustees[1].come_back();
    twin.ready();
    let heard_before = house.trustees[1].log().len();
    house.to_trustees[1].set_targets(vec![house.trustees[1].listens, twin.listens]);
    let mut turns = Every::new(SECOND * 2 / 5);
    let mut turn = |house: &mut House| {
        if turns.now() {
            house.to_trustees[1].reset_all();
        }
    };
    house.run_while(&election, "open", &[], &mut turn);
    house.cast_while(&election, Pace { pause: SECOND / 5, ..Pace::default() }, |house, _| turn(house));
    for command in ["close", "tally", "anchor"] {
        house.run_while(&election, command, &[], &mut turn);
    }
    let outcome = house.judge(&election);
    let own = house.trustees[1].log();
    let halted = [own[heard_before..].to_owned(), twin.log()].map(|log| is_found_out(&log));
    assert!(halted.contains(&true), "nobody found out");
    only_it_is_blamed(house, &election, &outcome, 1);
    end_of(house, &twin);
}

fn end_of(house: &mut House, twin: &Daemon) {
    twin.kill();
    house.to_trustees[1].set_targets(vec![house.trustees[1].listens]);
}
