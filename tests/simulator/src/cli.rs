//! The command: many seeds on all cores, one table, one verdict.

use crate::{
    both,
    coverage::Coverage,
    profile::{NAMES, Profile},
    run::{Outcome, Settings, run},
    watch::hex,
    world::Ending,
};
use clap::Parser;
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// With which arithmetic this program was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The real curves.
    Real,
    /// Numbers modulo the group's order: the same algebra, and no security.
    Toy,
}

/// Lines of the event log that are shown.
const LOG_LINES: usize = 200;
/// A fault point must have fired so often in a gate run.
const FAULTS_LEAST: u64 = 20;
/// From so many seeds on a run is a gate run.
const GATE_SEEDS: u64 = 1000;
/// Every so many seeds one runs twice.
const TWICE: u64 = 50;

/// Simulates whole elections under faults and liars, and checks the invariants after every event.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Seeds, first..end.
    #[arg(long, default_value = "0..100")]
    seeds: String,
    /// How hard a life: mixed, calm, bench, net, crash, disk, token, chain, liars, coordinator, restore, chaos.
    #[arg(long, default_value = "mixed")]
    profile: String,
    /// One seed again, with its events.
    #[arg(long)]
    replay: Option<u64>,
    /// For machines.
    #[arg(long)]
    json: bool,
    /// Go on with further seeds for so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Threads; else one for each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Switch each known bug on, one after the other, and look for it in these seeds; needs the feature `bugs`.
    #[arg(long)]
    bugs: bool,
    /// Only this known bug, by its name; may be given more than once.
    #[arg(long)]
    bug: Vec<String>,
    /// All seeds over the toy group first, by the program `simulate-toy`, and then a tenth of them over the real curves.
    #[arg(long)]
    both: bool,
    /// Report all failures, not only the first.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    complete: u64,
    stopped: u64,
    waits: u64,
    events: u64,
    virtual_ms: u64,
    profiles: BTreeMap<&'static str, u64>,
    coverage: Coverage,
    failures: Vec<Outcome>,
    /// Seeds whose second run differed.
    unlike: Vec<u64>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.virtual_ms += outcome.virtual_ms;
        *self.profiles.entry(outcome.profile).or_default() += 1;
        self.coverage.merge(&outcome.coverage);
        match &outcome.ending {
            Ok(Ending::Complete) => self.complete += 1,
            Ok(Ending::Stopped) => self.stopped += 1,
            Ok(Ending::Waits) => self.waits += 1,
            Err(_) => self.failures.push(outcome),
        }
    }
}

/// The command.
#[must_use]
pub fn main(group: Group) -> ExitCode {
    let arguments = Arguments::parse();
    if !NAMES.contains(&arguments.profile.as_str()) {
        eprintln!("no such profile: {}; there are {}", arguments.profile, NAMES.join(", "));
        return ExitCode::from(2);
    }
    if let Some(seed) = arguments.replay {
        return replay(seed, &arguments);
    }
    let bounds = arguments.seeds.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let Some((from, to)): Option<(u64, u64)> = bounds.filter(|(from, to)| from < to) else {
        eprintln!("--seeds takes first..end, as in 0..1000");
        return ExitCode::from(2);
    };
    if arguments.bugs || !arguments.bug.is_empty() {
        return hunt(from, to, &arguments);
    }
    let to = if arguments.both && group == Group::Real {
        if let Err(code) = both::toy() {
            return code;
        }
        both::tenth(from, to)
    } else {
        to
    };
    let begun = Instant::now();
    let sum = many(from, to, &arguments, begun);
    report(&sum, group, begun.elapsed(), &arguments, to - from)
}

#[cfg(feature = "bugs")]
fn hunt(from: u64, to: u64, arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    crate::hunt::main(&arguments.bug, from..to, &arguments.profile, jobs, arguments.json)
}

#[cfg(not(feature = "bugs"))]
fn hunt(_: u64, _: u64, _: &Arguments) -> ExitCode {
    eprintln!("this program was built without known bugs: build it with --features bugs");
    ExitCode::from(2)
}

fn settings(arguments: &Arguments, seed: u64, keep_lines: bool) -> Settings {
    Settings { profile: Profile::named(&arguments.profile, seed), cast: None, keep_lines }
}

fn replay(seed: u64, arguments: &Arguments) -> ExitCode {
    let outcome = run(seed, &settings(arguments, seed, true));
    for line in outcome.log.iter().skip(outcome.log.len().saturating_sub(4 * LOG_LINES)) {
        println!("{line}");
    }
    println!("seed {seed}, profile {}, event hash {}", outcome.profile, hex(&outcome.hash));
    match outcome.ending {
        Ok(ending) => {
            println!("{ending:?} after {} virtual ms, {} messages", outcome.virtual_ms, outcome.events);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("VIOLATED {violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, to: u64, arguments: &Arguments, begun: Instant) -> Sum {
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let until = arguments.minutes.map(|minutes| begun + Duration::from_secs(60 * minutes));
    let sum = Mutex::new(Sum::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let in_time = until.is_some_and(|until| Instant::now() < until);
            if seed >= to && !in_time {
                return;
            }
            let settings = settings(arguments, seed, false);
            let outcome = run(seed, &settings);
            let again = (seed % TWICE == 0).then(|| run(seed, &settings).hash);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            if again.is_some_and(|again| again != outcome.hash) {
                sum.unlike.push(seed);
            }
            sum.add(outcome);
            let failed = !sum.failures.is_empty() || !sum.unlike.is_empty();
            if failed && !arguments.keep_going {
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.unwrap_or(cores).max(1) {
            scope.spawn(work);
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn report(sum: &Sum, group: Group, took: Duration, arguments: &Arguments, asked: u64) -> ExitCode {
    let rate = sum.runs as f64 / took.as_secs_f64();
    let (rare, never) = (sum.coverage.rare_faults(FAULTS_LEAST), sum.coverage.never());
    if arguments.json {
        let failures = sum.failures.iter().map(|outcome| {
            let violation = outcome.ending.as_ref().err().map(ToString::to_string);
            serde_json::json!({ "seed": outcome.seed, "profile": outcome.profile, "violation": violation })
        });
        let text = serde_json::json!({
            "group": format!("{group:?}").to_lowercase(),
            "elections": sum.runs,
            "elections_per_second": rate,
            "complete": sum.complete,
            "stopped": sum.stopped,
            "waits": sum.waits,
            "messages": sum.events,
            "virtual_ms": sum.virtual_ms,
            "profiles": sum.profiles,
            "faults": sum.coverage.faults,
            "sometimes": sum.coverage.sometimes,
            "policies": sum.coverage.policies,
            "failures": failures.collect::<Vec<_>>(),
            "not_repeated": sum.unlike,
        });
        println!("{text}");
    } else {
        println!(
            "{} elections in {:.1} s, {rate:.1}/s ({group:?} group): {} complete, {} stopped, {} wait rightly; {} messages",
            sum.runs,
            took.as_secs_f64(),
            sum.complete,
            sum.stopped,
            sum.waits,
            sum.events
        );
        for (title, table) in [
            ("profiles", &sum.profiles),
            ("fault points", &sum.coverage.faults),
            ("situations", &sum.coverage.sometimes),
            ("policies", &sum.coverage.policies),
        ] {
            println!("{title}:");
            for (name, count) in table {
                println!("  {count:>9} {name}");
            }
        }
    }
    for seed in &sum.unlike {
        eprintln!("seed {seed}: two runs gave two event hashes (I22)");
    }
    let mut failures: Vec<&Outcome> = sum.failures.iter().collect();
    failures.sort_by_key(|outcome| outcome.seed);
    for outcome in &failures {
        if let Err(violation) = &outcome.ending {
            eprintln!("seed {}, profile {}: VIOLATED {violation}", outcome.seed, outcome.profile);
        }
    }
    if let Some(first) = failures.first()
        && !arguments.json
    {
        let again = run(first.seed, &settings(arguments, first.seed, true));
        eprintln!("the last events of seed {}:", first.seed);
        for line in again.log.iter().skip(again.log.len().saturating_sub(LOG_LINES)) {
            eprintln!("{line}");
        }
    }
    if !failures.is_empty() || !sum.unlike.is_empty() {
        return ExitCode::FAILURE;
    }
    let gate = asked >= GATE_SEEDS && arguments.profile == "mixed";
    if gate && !(rare.is_empty() && never.is_empty()) {
        for (name, count) in rare {
            eprintln!("void: fault point {name} fired {count} times, less than {FAULTS_LEAST}");
        }
        for name in never {
            eprintln!("void: never seen: {name}");
        }
        return ExitCode::from(3);
    }
    ExitCode::SUCCESS
}
