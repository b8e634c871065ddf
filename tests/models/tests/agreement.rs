//! The agreement, searched completely. (P-AGR; threats A01, A02)
//!
//! With optimisation the bounds are those of `docs/testing.md`; without, smaller ones.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use models::agreement::{LockRule, Rules, Said, State, Step, Value};
use stateright::{Checker, HasDiscoveries, Model, Path, Property};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

struct Agreement(Rules);

impl Model for Agreement {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        self.0.beginnings()
    }
    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.extend(self.0.steps(state));
    }
    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        Some(self.0.after(state, step))
    }
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |model, state| model.0.certifiable(state) != [true, true]),
            Property::always(NEVER_STUCK, |model, state| !model.0.stuck(state)),
            Property::always(SIGNABLE, |model: &Self, state: &State| {
                let could = |value: Value| {
                    let free = |who: &usize| state.trustees[*who].lock.is_none_or(|(_, signed)| signed == value);
                    model.0.honest().filter(free).count() >= model.0.q
                };
                model.0.lock != LockRule::SignOnce
                    || Value::ALL.into_iter().any(could)
                    || model.0.certifiable(state) != [false, false]
            }),
            Property::sometimes(CERTIFIED, |model, state| model.0.certifiable(state) != [false, false]),
            Property::sometimes(LOCKS_DIFFER, |model: &Self, state: &State| {
                let locks = || model.0.honest().filter_map(|who| state.trustees[who].lock);
                locks().any(|(_, value)| value == Value::A) && locks().any(|(_, value)| value == Value::B)
            }),
        ]
    }
}

const ONE: &str = "one certificate";
const NEVER_STUCK: &str = "an honest coordinator finishes";
const SIGNABLE: &str = "some set can still get all the signatures that it needs";
const CERTIFIED: &str = "something is certified";
const LOCKS_DIFFER: &str = "two are locked on different values";

/// Four trustees, of which one lies.
const FOUR: Rules =
    Rules { n: 4, f: 1, q: 3, liar: Some(3), lock: LockRule::Locked, proven: true, longer: 3, rounds: 2, patience: 0 };

/// What a search found: failures, and situations that came about.
type Found = BTreeMap<&'static str, Path<State, Step>>;

fn search(rules: Rules) -> Found {
    let begun = Instant::now();
    let failure = HasDiscoveries::AnyOf([ONE, NEVER_STUCK, SIGNABLE].into());
    found(begun, rules, &Agreement(rules).checker().finish_when(failure).spawn_bfs().join())
}

/// Goes to the end of each path first: for failures that lie deep.
fn search_deep(rules: Rules) -> Found {
    let begun = Instant::now();
    let failure = HasDiscoveries::AnyOf([ONE, NEVER_STUCK, SIGNABLE].into());
    found(begun, rules, &Agreement(rules).checker().finish_when(failure).spawn_dfs().join())
}

fn found(begun: Instant, rules: Rules, checker: &impl Checker<Agreement>) -> Found {
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{states} states, depth {depth}, {:.1?}: {rules:?}", begun.elapsed());
    checker.discoveries().into_iter().collect()
}

/// Nothing failed, and the model is not so small that nothing could.
fn holds(rules: Rules, wanted: &[&str]) {
    let found = search(rules);
    for failure in [ONE, NEVER_STUCK, SIGNABLE] {
        if let Some(path) = found.get(failure) {
            panic!("{failure}: not so: {}", story(path));
        }
    }
    for wanted in wanted {
        assert!(found.contains_key(wanted), "{wanted}: never");
    }
}

fn story(path: &Path<State, Step>) -> String {
    path.clone().into_actions().iter().map(|step| format!("\n  {step:?}")).collect()
}

#[test]
fn with_four_and_one_liar_there_are_never_two_certificates() {
    for liar in if cfg!(debug_assertions) { 3..4 } else { 0..4 } {
        let rounds = if cfg!(debug_assertions) { 1 } else { 2 };
        holds(Rules { liar: Some(liar), rounds, ..FOUR }, &[CERTIFIED]);
    }
}

#[test]
fn with_three_that_are_honest_there_are_never_two_certificates_and_an_honest_coordinator_finishes() {
    for q in [2, 3] {
        let wanted: &[&str] = if q == 2 { &[CERTIFIED, LOCKS_DIFFER] } else { &[CERTIFIED] };
        let (rounds, patience) = if cfg!(debug_assertions) { (1, 4) } else { (2, 4) };
        let wanted = if cfg!(debug_assertions) { &[CERTIFIED] } else { wanted };
        holds(Rules { n: 3, f: 0, q, liar: None, rounds, patience, ..FOUR }, wanted);
    }
}

#[test]
fn with_three_and_a_liar_a_quorum_of_all_is_safe_and_stops_and_one_of_two_certifies_twice() {
    let three = Rules { n: 3, f: 0, q: 3, liar: Some(2), ..FOUR };
    holds(three, &[CERTIFIED]);
    assert!(search(Rules { rounds: 1, patience: 2, ..three }).contains_key(NEVER_STUCK), "one is enough to stop it");
    assert!(search(Rules { q: 2, ..three }).contains_key(ONE), "the manifest's rules refuse f = 1 here for this");
}

#[test]
fn an_honest_coordinator_finishes_whatever_the_one_before_did() {
    for liar in if cfg!(debug_assertions) { 3..4 } else { 0..4 } {
        let (patience, longer) = (8, u32::from(!cfg!(debug_assertions) && liar == 3));
        holds(Rules { liar: Some(liar), rounds: 1, patience, longer, ..FOUR }, &[CERTIFIED]);
    }
}

/// As many rounds more as the honest need at most with the rule, and again as many.
#[test]
fn votes_planted_for_rounds_to_come_would_stop_trustees_that_count_them_after_the_proof() {
    let found = search_deep(Rules { rounds: 1, patience: 16, longer: 0, proven: false, ..FOUR });
    let path = found.get(NEVER_STUCK).expect("the liar keeps them apart");
    assert!(!FOUR.finished(path.last_state()));
}

/// Threat A02, section "Why signing once is not enough": two sign A, one signs B, the fourth is silent.
#[test]
fn signing_once_deadlocks_after_three_signatures_and_locked_rounds_do_not() {
    let once = Rules { lock: LockRule::SignOnce, liar: Some(0), rounds: 1, longer: 0, ..FOUR };
    let found = search(once);
    let path = found.get(SIGNABLE).expect("the deadlock is found");
    println!("the deadlock:{}", story(path));
    let mut signed: Vec<(usize, Value)> = Vec::new();
    for step in path.clone().into_actions() {
        match step {
            Step::Say { who, said: Said::Prevote(Some(value)), .. } => signed.push((who, value)),
            // With the liar silent there was no quorum of first votes.
            Step::Say { said: Said::Precommit(None), .. } => {}
            _ => panic!("{}", story(path)),
        }
    }
    assert_eq!(signed.iter().map(|(who, _)| *who).collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
    let for_a = signed.iter().filter(|(_, value)| *value == Value::A).count();
    assert!(signed.len() == 3 && [1, 2].contains(&for_a), "{}", story(path));
    // The same past under the rule that ships, and whatever follows.
    holds(Rules { lock: LockRule::Locked, patience: 8, ..once }, &[CERTIFIED]);
}

#[test]
fn without_locks_there_are_two_certificates() {
    let found = search(Rules { lock: LockRule::NoLock, ..FOUR });
    println!("two certificates:{}", story(&found[ONE]));
}

#[test]
fn with_a_quorum_of_one_less_there_are_two_certificates() {
    let found = search(Rules { q: FOUR.q - 1, ..FOUR });
    println!("two certificates:{}", story(&found[ONE]));
}
