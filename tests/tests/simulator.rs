//! The simulator in every test run: seeds that once failed, a few fresh profiles, and that a seed is a run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use simulator::{
    coverage::{Coverage, FAULTS},
    profile::Profile,
    protocol::{agreement::proposer, evidence::Wrong, ids::Round, signed::Sender},
    run::{Outcome, Settings, run},
    setup::Setup,
    world::{Cast, Ending},
};
use std::collections::BTreeSet;

fn simulate(profile: &str, seed: u64) -> Outcome {
    let profile = Profile::named(profile, seed).unwrap_or_else(|| panic!("no profile {profile}"));
    run(seed, &Settings { profile: Some(profile), cast: None, keep_lines: false })
}

fn holds(profile: &str, seed: u64) -> Outcome {
    let outcome = simulate(profile, seed);
    if let Err(violation) = &outcome.ending {
        panic!(
            "profile {profile}, seed {seed}: {violation}; simulate --profile {profile} --replay {seed} shows the events"
        );
    }
    outcome
}

#[test]
fn seeds_that_once_failed_hold() {
    let seeds = include_str!("../simulator/seeds.txt");
    let mut ran = 0;
    for line in seeds.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [_, profile, seed] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("not a seed: {line}") };
        holds(profile, seed.parse().unwrap());
        ran += 1;
    }
    assert!(ran >= 10, "{ran} seeds");
}

#[test]
fn one_seed_is_one_run() {
    for (profile, seed) in [("chaos", 1), ("coordinator", 2), ("restore", 3), ("calm", 4)] {
        let (one, other) = (simulate(profile, seed), simulate(profile, seed));
        assert_eq!(one.hash, other.hash, "{profile} {seed}");
        assert_eq!(one, other, "{profile} {seed}");
        assert_ne!(one.hash, simulate(profile, seed + 100).hash, "{profile}: another seed, another run");
    }
}

#[test]
fn an_honest_election_is_complete_and_blames_nobody() {
    for seed in 0..4 {
        let outcome = holds("calm", seed);
        assert_eq!(outcome.ending, Ok(Ending::Complete));
        assert!(outcome.blamed.is_empty(), "{:?}", outcome.blamed);
        assert!(
            outcome.coverage.faults.keys().all(|fault| fault.starts_with("voter.")),
            "{:?}",
            outcome.coverage.faults
        );
    }
}

#[test]
fn whatever_goes_wrong_elections_end() {
    let mut coverage = Coverage::default();
    let mut complete = 0;
    for profile in ["net", "crash", "disk", "token", "chain", "liars", "coordinator", "restore", "chaos"] {
        for seed in 500..504 {
            let outcome = holds(profile, seed);
            complete += u32::from(outcome.ending == Ok(Ending::Complete));
            coverage.merge(&outcome.coverage);
        }
    }
    assert!(complete >= 20, "only {complete} of 36 elections are complete");
    assert!(coverage.faults.len() >= 40, "only these of {} fault points: {:?}", FAULTS.len(), coverage.faults.keys());
}

#[test]
fn an_equivocating_proposer_is_named_and_nobody_else() {
    for seed in 0..3 {
        let profile = Profile { trustees: Some(4), ..Profile::named("calm", seed).unwrap() };
        let first = proposer(&Setup::new(seed, profile).manifest, Round(0));
        let cast = Cast::honest().with_trustee("equivocating-proposer", first);
        let outcome = run(seed, &Settings { profile: Some(profile), cast: Some(cast), keep_lines: false });
        assert_eq!(outcome.ending, Ok(Ending::Complete), "seed {seed}");
        let named = BTreeSet::from([(Sender::Trustee(first), Wrong::Equivocation)]);
        assert_eq!(outcome.blamed, named, "seed {seed}");
    }
}
