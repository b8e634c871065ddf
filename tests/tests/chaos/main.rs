//! Whole elections of real processes while things go wrong: a network of our own between them, kill -9, SIGSTOP, full disks,
//! old and cloned data folders. What every client was told is compared with the record in the end, and `audit` has the last word.
//!
//! What goes wrong, and what must come of it, is in `scenarios.rs`. All scenarios share one house; each heals it before it begins.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

mod election;
mod history;
mod house;
mod processes;
mod proxy;
mod scenarios;
mod voters;

use house::{House, Programs};

const SEED: u64 = 20_261_121;

/// Elections of a soak in one house before the next is built.
const ELECTIONS_MAX: u32 = 60;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn build(name: &str, seed: u64) -> House {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(Path::parent).unwrap().to_owned();
    let ledger = variable("CONCLAVE_LEDGER_BIN").expect("CONCLAVE_LEDGER_BIN=$(scripts/devnet/ledger.sh --build)");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    House::build(&Programs { folder, ledger: PathBuf::from(ledger) }, &place, seed)
}

/// One for all scenarios; its processes end with this one, see `processes.rs`.
fn house() -> &'static Mutex<House> {
    static HOUSE: OnceLock<Mutex<House>> = OnceLock::new();
    HOUSE.get_or_init(|| Mutex::new(build("chaos", SEED)))
}

fn scenario(run: fn(&mut House, u64)) {
    let begun = Instant::now();
    // Another scenario's failure is no reason not to try this one.
    let mut house = house().lock().unwrap_or_else(PoisonError::into_inner);
    house.heal();
    run(&mut house, SEED);
    println!("  {:.1} s", begun.elapsed().as_secs_f64());
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "needs the ledger: scripts/test.sh runs it"]
            fn $name() {
                scenario(scenarios::$name);
            }
        )*
    };
}

scenarios! {
    calm
    shards_killed_while_casting
    trustees_killed_in_each_stage
    everybody_killed_at_once
    a_stopped_trustee
    a_stopped_shard
    latency_and_resets_everywhere
    a_trustee_in_a_black_hole
    half_closed_connections
    a_slow_drip
    one_way_partitions
    connections_cut_in_messages
    a_full_disk_of_a_shard
    a_full_disk_of_a_trustee
    few_open_files
    an_old_data_folder_is_found_out
    an_old_data_folder_of_a_shard_is_found_out
    a_cloned_trustee_is_found_out
    a_shard_killed_between_certificate_and_anchor
    the_ledger_is_away
}

/// Scenarios drawn by a seed until the time is over: `scripts/soak.sh --hours N`. Without that, one storm.
#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn soak() {
    let number = |name: &str, otherwise: &str| variable(name).unwrap_or_else(|| otherwise.to_owned());
    let hours: f64 = number("CONCLAVE_SOAK_HOURS", "0").parse().unwrap();
    let seed: u64 = number("CONCLAVE_SOAK_SEED", &SEED.to_string()).parse().unwrap();
    let end = Instant::now() + Duration::from_secs_f64(hours * 3600.0);
    let (mut state, mut held) = (seed, 0);
    let mut next = || {
        state = proxy::mixed(state);
        state
    };
    while held == 0 || Instant::now() < end {
        let mut house = build("soak", next());
        for _ in 0..ELECTIONS_MAX {
            let (drawn, seed) = (next(), next());
            // Half of all are storms.
            let at = usize::try_from(drawn % (2 * scenarios::ALL.len()) as u64).unwrap();
            let storm = ("storm", scenarios::storm as fn(&mut House, u64));
            let (name, run) = if hours > 0.0 { scenarios::ALL.get(at).copied().unwrap_or(storm) } else { storm };
            let too_late = name.starts_with("the full disk") && !house.disks_can_fill();
            let (name, run) = if too_late { storm } else { (name, run) };
            held += 1;
            println!("{held} seed {seed}: {name}");
            let begun = Instant::now();
            house.heal();
            run(&mut house, seed);
            println!("  right after {:.1} s", begun.elapsed().as_secs_f64());
            if Instant::now() >= end {
                break;
            }
        }
    }
    println!("{held} elections, all right; seed {seed}");
}
