//! Who is blamed for each misbehaviour: that one, for what it did, and nobody else; and the election goes on where it can.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test code")]

use protocol::{
    agreement::proposer,
    board::Stage,
    evidence::Wrong,
    ids::{Round, TrusteeIndex},
    signed::Sender,
};
use simulator::{
    policies::{COORDINATORS, TRUSTEES},
    profile::Profile,
    run::{Outcome, Settings, run},
    setup::Setup,
    world::{Cast, Ending},
};
use std::collections::{BTreeMap, BTreeSet};

const CALM: Profile = Profile {
    name: "calm",
    trustees: Some(4),
    ballots: Some(8),
    odd_voters: 0,
    faults_from: None,
    faults_for: 0,
    loss: 0,
    duplicate: 0,
    slow: 0,
    partition: 0,
    crash: 0,
    disk: 0,
    token: 0,
    chain: 0,
    restore: 0,
    twin: 0,
    liars: 0,
    coordinator: 0,
    refusal: 0,
};

/// The first proposer of a seed: whoever lies there lies about everything in its turn.
fn first_proposer(seed: u64) -> TrusteeIndex {
    proposer(&Setup::new(seed, CALM).manifest, Round(0))
}

fn with_liar(name: &str, seed: u64, index: TrusteeIndex) -> Outcome {
    let cast = Cast::honest().with_trustee(name, index);
    run(seed, &Settings { profile: Some(CALM), cast: Some(cast), keep_lines: false })
}

use Wrong::*;

/// Nobody can prove it, or it is no wrong.
const NOTHING: &[Wrong] = &[];

fn expected() -> BTreeMap<&'static str, &'static [Wrong]> {
    BTreeMap::from([
        ("silent", NOTHING),
        ("equivocating-proposer", &[Equivocation]),
        ("accepts-and-refuses", &[AcceptedAndRefused]),
        ("other-terms", NOTHING),
        ("broken-commitment", &[CommitmentBroken]),
        ("short-commitment", &[CommitmentLength]),
        ("bad-point", &[PointInvalid]),
        ("no-knowledge", &[PointInvalid]),
        ("copied-commitment", &[CommitmentBroken, Copied]),
        ("bad-share", &[BadShare]),
        ("bad-share-unopened", NOTHING),
        ("missing-share", &[ShareAddressing]),
        ("false-complaint", &[FalseComplaint]),
        ("other-certificate", &[WrongCertificate]),
        ("other-transcript", NOTHING),
        ("confirms-and-abandons", &[ConfirmedAndAbandoned]),
        ("abandons-once", NOTHING),
        ("abandons-always", NOTHING),
        ("wrong-rehearsal", &[BadPartial]),
        ("hesitant", NOTHING),
        ("too-early", NOTHING),
        ("opens-another", NOTHING),
        ("silent-proposer", NOTHING),
        ("silent-voter", NOTHING),
        ("forged-count", NOTHING),
        ("forged-aggregate", NOTHING),
        ("unjustified-proposal", NOTHING),
        ("votes-for-nothing", NOTHING),
        ("votes-for-another", NOTHING),
        ("two-faced-votes", &[Equivocation]),
        ("premature-precommit", NOTHING),
        ("votes-ahead", NOTHING),
        ("planted-votes", &[Equivocation]),
        ("no-lot", NOTHING),
        ("bad-lot", &[BadLot]),
        ("other-lot", &[OtherVoteSet]),
        ("stolen-lot", &[BadLot]),
        ("two-lots", &[Equivocation]),
        ("no-partials", NOTHING),
        ("wrong-partials", &[BadPartial]),
        ("other-partials", &[OtherVoteSet]),
        ("silent-signer", NOTHING),
        ("never-commits", NOTHING),
        ("bad-signature-share", &[BadSignatureShare]),
        ("other-package", NOTHING),
        ("aborts-signatures", NOTHING),
        ("aborts-after-committing", NOTHING),
        ("same-nonces", NOTHING),
        ("forged-envelopes", NOTHING),
        ("cross-election", NOTHING),
        ("flood", NOTHING),
        ("replays", NOTHING),
        ("withholds-others", NOTHING),
        ("sluggish", NOTHING),
        ("cosigns-nothing", NOTHING),
        ("cosigns-anything", NOTHING),
        ("cosigns-rubbish", NOTHING),
        ("claims-more-leaves", NOTHING),
        ("claims-no-leaves", NOTHING),
    ])
}

/// All policies from a first one on, every `step`-th: so many tests share the work.
fn every(first: usize, step: usize) {
    let expected = expected();
    let mut troubles = Vec::new();
    for entry in TRUSTEES.iter().skip(first).step_by(step) {
        let seed = 1;
        let liar = first_proposer(seed);
        let out = with_liar(entry.name, seed, liar);
        let blamed: BTreeSet<_> = out.blamed.iter().copied().collect();
        let wanted: Option<BTreeSet<_>> =
            expected.get(entry.name).map(|wrongs| wrongs.iter().map(|wrong| (Sender::Trustee(liar), *wrong)).collect());
        let ending = if entry.stops_ceremony { Ending::Waits } else { Ending::Complete };
        // Certified if its confirmation was the last, and then it does not rehearse; else there is another attempt.
        let either = entry.name == "confirms-and-abandons" && out.ending == Ok(Ending::Waits);
        if out.ending != Ok(ending) && !either || Some(&blamed) != wanted.as_ref() {
            troubles.push(format!(
                "{}: {:?} {blamed:?}, wanted {ending:?} {wanted:?}; {:?} {:?} {} ms",
                entry.name, out.ending, out.stage, out.awaiting, out.virtual_ms
            ));
        }
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

#[test]
fn every_liar_is_blamed_for_what_it_did_and_nobody_else_is_1() {
    every(0, 4);
}
#[test]
fn every_liar_is_blamed_for_what_it_did_and_nobody_else_is_2() {
    every(1, 4);
}
#[test]
fn every_liar_is_blamed_for_what_it_did_and_nobody_else_is_3() {
    every(2, 4);
}
#[test]
fn every_liar_is_blamed_for_what_it_did_and_nobody_else_is_4() {
    every(3, 4);
}

/// What a lying coordinator can be proven to have done, and whether an honest one with an empty store can finish.
fn expected_of_coordinators() -> BTreeMap<&'static str, &'static [Wrong]> {
    let mut all: BTreeMap<_, &'static [Wrong]> = COORDINATORS.iter().map(|entry| (entry.name, NOTHING)).collect();
    all.insert("two-ends", &[Equivocation]);
    all.insert("two-requests", &[Equivocation]);
    all
}

#[test]
fn a_lying_coordinator_is_blamed_for_two_statements_in_one_place_and_for_nothing_else() {
    let expected = expected_of_coordinators();
    let mut troubles = Vec::new();
    let healed = Profile { faults_from: Some(Stage::Created), faults_for: 12_000, ..CALM };
    for entry in COORDINATORS {
        let cast = Cast::honest().with_coordinator(entry.name);
        let out = run(1, &Settings { profile: Some(healed), cast: Some(cast), keep_lines: false });
        let wrongs: BTreeSet<Wrong> = out.blamed.iter().map(|(_, wrong)| *wrong).collect();
        let only_the_shard = out.blamed.iter().all(|(sender, _)| matches!(sender, Sender::Shard(_)));
        let wanted: BTreeSet<Wrong> = expected.get(entry.name).unwrap().iter().copied().collect();
        println!("{}: {:?} {wrongs:?} {:?} {} events", entry.name, out.ending, out.stage, out.events);
        if out.ending.is_err() || !only_the_shard || wrongs != wanted {
            troubles.push(format!(
                "{}: {:?} {:?}, wanted {wanted:?}; {:?} {:?}",
                entry.name, out.ending, out.blamed, out.stage, out.awaiting
            ));
        }
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

#[test]
fn every_policy_has_its_line_here() {
    let names: Vec<&str> = TRUSTEES.iter().map(|entry| entry.name).collect();
    assert_eq!(names.iter().copied().collect::<BTreeSet<_>>(), expected().keys().copied().collect());
    assert_eq!(names.len(), expected().len(), "no name twice");
    assert!(names.len() + COORDINATORS.len() >= 25);
    for entry in TRUSTEES {
        assert_eq!((entry.make)().name(), entry.name);
    }
    for entry in COORDINATORS {
        assert_eq!((entry.make)().name(), entry.name);
    }
}
