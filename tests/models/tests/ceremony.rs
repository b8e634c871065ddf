//! The key ceremony's outcome, searched completely. (P-DKG-6 to P-DKG-8; threats D01, D02, D17)
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use models::ceremony::{ATTEMPTS, KeyRule, Rules, State, Step};
use stateright::{Checker, HasDiscoveries, Model, Path, Property};
use std::{collections::BTreeMap, time::Instant};

struct Ceremony(Rules);

const ONE_KEY: &str = "nobody honest uses another key than anybody else";
const ONE_CERTIFICATE: &str = "an attempt has one certificate";
const STAYS: &str = "a key that was accepted stays";
const NEVER_STUCK: &str = "there is a key for all, or a proven liar";
const ACCEPTED: &str = "all have accepted a key";
const ACCEPTED_LATER: &str = "all have accepted a key that is not of the first attempt";
const TORN: &str = "two have rehearsed different keys";
const FAILURES: [&str; 4] = [ONE_KEY, ONE_CERTIFICATE, STAYS, NEVER_STUCK];

fn all_equal<T: PartialEq>(mut items: impl Iterator<Item = T>) -> bool {
    items.next().is_none_or(|first| items.all(|item| item == first))
}

impl Model for Ceremony {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }
    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.extend(self.0.steps(state));
    }
    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        Some(self.0.after(state, step))
    }
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_KEY, |model: &Self, state: &State| {
                all_equal(model.0.honest().filter_map(|who| state[who].accepted))
            }),
            Property::always(ONE_CERTIFICATE, |model: &Self, state: &State| {
                (0..ATTEMPTS).all(|at| all_equal(model.0.honest().filter_map(|who| state[who].certified[at])))
            }),
            Property::always(STAYS, |model: &Self, state: &State| {
                let moved =
                    |who: usize| state[who].accepted.is_some() && state[who].key(model.0.rule) != state[who].accepted;
                !model.0.honest().any(moved)
            }),
            Property::always(NEVER_STUCK, |model, state| !model.0.stuck(state) || model.0.proven(state)),
            Property::sometimes(ACCEPTED, |model, state| accepted_from(model, state, 0)),
            Property::sometimes(ACCEPTED_LATER, |model, state| accepted_from(model, state, 1)),
            Property::sometimes(TORN, |model: &Self, state: &State| {
                !all_equal(model.0.honest().filter_map(|who| state[who].rehearsed.first()))
            }),
        ]
    }
}

fn accepted_from(model: &Ceremony, state: &State, least: usize) -> bool {
    model.0.honest().all(|who| state[who].accepted.is_some_and(|(attempt, _)| attempt >= least))
}

/// As shipped: four trustees, of which one lies.
const FOUR: Rules = Rules {
    n: 4,
    liar: Some(3),
    attempts: if cfg!(debug_assertions) { 2 } else { 3 },
    needed: 4,
    rule: KeyRule::Rehearsed,
    locked: true,
    retracts: false,
};

type Found = BTreeMap<&'static str, Path<State, Step>>;

fn search(rules: Rules) -> Found {
    let begun = Instant::now();
    let checker = Ceremony(rules).checker().finish_when(HasDiscoveries::AnyOf(FAILURES.into())).spawn_bfs().join();
    println!("{} states, {:.1?}: {rules:?}", checker.unique_state_count(), begun.elapsed());
    checker.discoveries().into_iter().collect()
}

fn story(path: &Path<State, Step>) -> String {
    path.clone().into_actions().iter().map(|step| format!("\n  {step:?}")).collect()
}

fn holds(rules: Rules, wanted: &[&str]) {
    let found = search(rules);
    for failure in FAILURES {
        if let Some(path) = found.get(failure) {
            panic!("{failure}: not so: {}", story(path));
        }
    }
    for wanted in wanted {
        assert!(found.contains_key(wanted), "{wanted}: never");
    }
}

fn fails(rules: Rules, failure: &str) {
    let found = search(rules);
    let path = found.get(failure).unwrap_or_else(|| panic!("{failure}: was to fail, found {:?}", found.keys()));
    println!("{failure}: not so: {}", story(path));
}

#[test]
fn with_a_liar_all_get_one_key_or_the_liar_is_proven() {
    holds(FOUR, &[ACCEPTED, ACCEPTED_LATER, TORN]);
    holds(Rules { n: 3, liar: Some(2), needed: 3, attempts: 3, ..FOUR }, &[ACCEPTED, ACCEPTED_LATER, TORN]);
}

#[test]
fn without_a_liar_a_lying_coordinator_keeps_nobody_from_one_key() {
    for n in [3, 4] {
        holds(Rules { n, liar: None, needed: n, ..FOUR }, &[ACCEPTED, ACCEPTED_LATER]);
    }
}

#[test]
fn the_highest_key_would_change_under_an_election() {
    fails(Rules { rule: KeyRule::Highest, ..FOUR }, STAYS);
}

#[test]
fn rehearsals_of_two_keys_would_give_two_keys() {
    fails(Rules { locked: false, ..FOUR }, ONE_KEY);
}

#[test]
fn a_certificate_without_one_trustee_would_leave_it_behind() {
    fails(Rules { needed: 3, ..FOUR }, NEVER_STUCK);
}

#[test]
fn giving_up_what_was_confirmed_would_get_stuck_without_a_culprit() {
    fails(Rules { retracts: true, ..FOUR }, NEVER_STUCK);
}
