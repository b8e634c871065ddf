//! Switches each known bug of the core on and looks for the first seed in which an invariant sees it.

use crate::{
    profile::Profile,
    run::{Settings, run},
};
use protocol::bugs::{self, Bug};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How a bug showed itself.
#[derive(Debug, Clone)]
struct Find {
    seed: u64,
    profile: &'static str,
    what: String,
}

/// What is wrong with a seed under this bug; `None`: nothing.
fn wrong(bug: Option<Bug>, seed: u64, profile: &str) -> Option<Find> {
    bugs::set(bug);
    let settings = Settings { profile: Profile::named(profile, seed), cast: None, keep_lines: false };
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, &settings)));
    bugs::set(None);
    match outcome {
        Ok(outcome) => {
            outcome.ending.err().map(|violation| Find { seed, profile: outcome.profile, what: violation.to_string() })
        }
        Err(_) => Some(Find { seed, profile: "", what: "the program ended itself".into() }),
    }
}

/// The first seed in which the bug is seen. A seed that is judged wrong without the bug finds nothing.
fn first(bug: Bug, seeds: Range<u64>, profile: &str) -> Option<Find> {
    seeds
        .into_iter()
        .filter_map(|seed| wrong(Some(bug), seed, profile))
        .find(|find| wrong(None, find.seed, profile).is_none())
}

/// Hunts these bugs, or all where none is named, and prints the table.
#[must_use]
pub fn main(names: &[String], seeds: Range<u64>, profile: &str, jobs: usize, json: bool) -> ExitCode {
    let wanted = |bug: &Bug| names.is_empty() || names.iter().any(|name| name == bug.name());
    let prey: Vec<Bug> = Bug::ALL.iter().copied().filter(wanted).collect();
    if let Some(unknown) = names.iter().find(|name| Bug::ALL.iter().all(|bug| bug.name() != *name)) {
        eprintln!("{unknown} is no known bug");
        return ExitCode::from(2);
    }
    // What a bug makes the program say while it dies is of no interest.
    std::panic::set_hook(Box::new(|_| ()));
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(Bug, Option<Find>)>> = Mutex::default();
    let work = || {
        while let Some(bug) = prey.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let find = first(bug, seeds.clone(), profile);
            if !json {
                match &find {
                    Some(Find { seed, profile, what }) => {
                        let tries = seed - seeds.start + 1;
                        println!("{:<28} after {tries:>4} seeds, seed {seed} ({profile}): {what}", bug.name());
                    }
                    None => println!("{:<28} not seen in {} seeds", bug.name(), seeds.end - seeds.start),
                }
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).push((bug, find));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(bug, _)| *bug);
    let seen = found.iter().filter(|(_, find)| find.is_some()).count();
    if json {
        let rows = found.iter().map(|(bug, find)| {
            let find = find.as_ref().map(|find| {
                let tries = find.seed - seeds.start + 1;
                serde_json::json!({ "seed": find.seed, "tries": tries, "profile": find.profile, "violation": find.what })
            });
            serde_json::json!({ "bug": bug.name(), "found": find })
        });
        println!("{}", serde_json::json!({ "bugs": rows.collect::<Vec<_>>(), "seen": seen, "of": found.len() }));
    } else {
        println!("{seen} of {} seen by an invariant", found.len());
    }
    ExitCode::SUCCESS
}
