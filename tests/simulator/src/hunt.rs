//! Switches each known bug of the core on and looks for the first seed in which an invariant sees it; then for the first
//! liar whom, alone, the core judges otherwise than without the bug.

use crate::{
    policies::{COORDINATORS, TRUSTEES},
    profile::Profile,
    run::{Outcome, Settings, run},
    setup::Setup,
    world::Cast,
};
use protocol::{
    agreement::proposer,
    board::Stage,
    bugs::{self, Bug},
    evidence::Wrong,
    ids::Round,
    signed::Sender,
};
use std::{
    collections::BTreeSet,
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
    tries: u64,
    seed: u64,
    profile: &'static str,
    what: String,
}

/// One run under a bug; `None`: the program ended itself.
fn under(bug: Option<Bug>, seed: u64, settings: &Settings) -> Option<Outcome> {
    bugs::set(bug);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, settings)));
    bugs::set(None);
    outcome.ok()
}

/// What is wrong with a seed under this bug; `None`: nothing.
fn wrong(bug: Option<Bug>, seed: u64, profile: &str) -> Option<Find> {
    let settings = Settings { profile: Profile::named(profile, seed), cast: None, keep_lines: false };
    match under(bug, seed, &settings) {
        Some(outcome) => {
            let what = outcome.ending.err()?.to_string();
            Some(Find { tries: 0, seed, profile: outcome.profile, what })
        }
        None => Some(Find { tries: 0, seed, profile: "", what: "the program ended itself".into() }),
    }
}

/// In so many seeds the judgement on a lone liar must differ: by chance one differs now and then.
const SEEDS_ALONE: u64 = 3;

/// What is made of a liar that is alone: how it ends, and who is blamed for what.
type Judgement = (String, BTreeSet<(Sender, Wrong)>);

fn judgement(bug: Option<Bug>, seed: u64, liar: usize) -> Judgement {
    let calm = Profile { trustees: Some(4), ballots: Some(8), ..Profile::named("calm", seed).unwrap_or_default() };
    let (profile, cast) = match TRUSTEES.get(liar) {
        Some(entry) => {
            let first = proposer(&Setup::new(seed, calm).manifest, Round(0));
            (calm, Cast::honest().with_trustee(entry.name, first))
        }
        None => {
            let healed = Profile { faults_from: Some(Stage::Created), faults_for: 12_000, ..calm };
            (healed, Cast::honest().with_coordinator(COORDINATORS[liar - TRUSTEES.len()].name))
        }
    };
    let settings = Settings { profile: Some(profile), cast: Some(cast), keep_lines: false };
    match under(bug, seed, &settings) {
        Some(outcome) => {
            let ending = outcome.ending.map_or_else(|violation| violation.id.into(), |ending| format!("{ending:?}"));
            (ending, outcome.blamed)
        }
        None => ("the program ended itself".into(), BTreeSet::new()),
    }
}

/// The judgements without a bug, by liar and seed.
fn judgements() -> Vec<Vec<Judgement>> {
    let of = |liar| (1..=SEEDS_ALONE).map(|seed| judgement(None, seed, liar)).collect();
    (0..TRUSTEES.len() + COORDINATORS.len()).map(of).collect()
}

/// The first liar who, alone, is judged otherwise under the bug, in every one of some seeds.
fn alone(bug: Bug, known: &[Vec<Judgement>]) -> Option<Find> {
    known.iter().enumerate().find_map(|(liar, known)| {
        let mut last = None;
        for (seed, known) in (1..).zip(known) {
            let got = judgement(Some(bug), seed, liar);
            if got == *known {
                return None;
            }
            last = Some((got, known));
        }
        let ((ending, blamed), (usual, others)) = last?;
        let name = TRUSTEES.get(liar).map_or_else(|| COORDINATORS[liar - TRUSTEES.len()].name, |entry| entry.name);
        let what = format!("{name} alone: {ending} and blame {blamed:?}, not {usual} and {others:?}");
        Some(Find { tries: liar as u64 + 1, seed: SEEDS_ALONE, profile: "calm", what })
    })
}

/// The first seed in which the bug is seen. A seed that is judged wrong without the bug finds nothing.
fn first(bug: Bug, seeds: Range<u64>, profile: &str) -> Option<Find> {
    let begin = seeds.start;
    seeds
        .into_iter()
        .filter_map(|seed| wrong(Some(bug), seed, profile))
        .find(|find| wrong(None, find.seed, profile).is_none())
        .map(|find| Find { tries: find.seed - begin + 1, ..find })
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
    let known = judgements();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(Bug, Option<Find>)>> = Mutex::default();
    let work = || {
        while let Some(bug) = prey.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let find = first(bug, seeds.clone(), profile).or_else(|| alone(bug, &known));
            if !json {
                match &find {
                    Some(Find { tries, seed, profile, what }) => {
                        println!("{:<28} after {tries:>4} tries, seed {seed} ({profile}): {what}", bug.name());
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
                serde_json::json!({ "seed": find.seed, "tries": find.tries, "profile": find.profile, "violation": find.what })
            });
            serde_json::json!({ "bug": bug.name(), "found": find })
        });
        println!("{}", serde_json::json!({ "bugs": rows.collect::<Vec<_>>(), "seen": seen, "of": found.len() }));
    } else {
        println!("{seen} of {} seen by an invariant", found.len());
    }
    ExitCode::SUCCESS
}
