//! Honest records, of many kinds.

use crate::{folder::Files, support::World};
use audit::{Outcome, Report, Verdict};
use protocol::manifest::{Quorums, Revote};

fn assert_valid(report: &Report) {
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.to_text());
    assert_eq!(report.checks.len(), audit::STEPS.len());
    assert!(report.failure.is_none());
}

fn totals(report: &Report) -> Vec<Vec<u64>> {
    report.totals.iter().map(|contest| contest.votes.iter().map(|(_, votes)| *votes).collect()).collect()
}

#[test]
fn a_record_of_four_trustees_is_valid_and_shows_the_totals_that_were_cast() {
    let mut world = World::new(Quorums::default_for(4), 4, 12, Revote::Last, 1);
    let cast = world.hold();
    let report = Files::of(&world).verify();
    assert_valid(&report);
    assert_eq!(totals(&report), cast);
    let (last, others) = report.checks.split_last().unwrap();
    assert_eq!(last.outcome, Outcome::NotAsked, "nobody asked the chain");
    assert!(others.iter().all(|check| check.outcome == Outcome::Passed));
}

#[test]
fn five_of_nine_where_the_first_ballot_counts_is_valid() {
    let quorums = Quorums { f: 2, c: 0, t: 5, s: 5, q: 7, w: 7, one_aggregate_by_certificate: true };
    let mut world = World::new(quorums, 9, 9, Revote::First, 2);
    let cast = world.hold();
    let report = Files::of(&world).verify();
    assert_valid(&report);
    assert_eq!(totals(&report), cast);
}

#[test]
fn an_election_without_ballots_in_one_contest_and_lane_is_valid() {
    // Voter 1 has the style with one contest only.
    let mut world = World::new(Quorums::default_for(4), 4, 2, Revote::First, 3);
    world.open();
    let form = world.form();
    world.cast(&form, 1, &[vec![protocol::ids::OptionIndex(1)]]);
    world.follow();
    world.close();
    world.finish();
    assert_valid(&Files::of(&world).verify());
}

#[test]
fn ties_are_recomputed_by_lot_and_shown_as_open() {
    let mut world = World::new(Quorums::default_for(4), 4, 5, Revote::First, 30);
    world.open();
    let form = world.form();
    // Weights are 1 2 3 1 2; voters 0, 2 and 4 have both contests.
    let option = |index| vec![protocol::ids::OptionIndex(index)];
    world.cast(&form, 0, &[option(0), option(1)]);
    world.cast(&form, 1, &[option(2)]);
    world.cast(&form, 2, &[option(1), option(0)]);
    world.cast(&form, 3, &[option(2)]);
    world.cast(&form, 4, &[option(0), option(1)]);
    world.follow();
    world.close();
    world.finish();
    let ties: Vec<_> =
        world.board.result().unwrap().contests.iter().map(|contest| contest.tie.clone().unwrap()).collect();
    assert_eq!((ties[0].seats, ties[0].options.len(), ties[0].lots.is_some()), (1, 2, true));
    assert_eq!((ties[1].seats, ties[1].options.len(), ties[1].lots.is_some()), (2, 3, false));
    assert_valid(&Files::of(&world).verify());
}

/// `cargo test -p audit --release --test records -- --ignored --nocapture`
#[test]
#[ignore = "a measurement; takes a minute"]
fn twenty_thousand_ballots_are_judged_in_15_seconds() {
    let mut world = World::new(Quorums::default_for(4), 4, 20_000, Revote::First, 40);
    world.hold();
    let files = Files::of(&world);
    let start = std::time::Instant::now();
    let report = files.verify();
    let seconds = start.elapsed().as_secs_f64();
    println!("{}{seconds:.2} s", report.to_text());
    assert_valid(&report);
    assert!(seconds < 15.0);
}

#[test]
fn the_report_is_one_object_with_all_checks() {
    let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, 4);
    world.hold();
    let files = Files::of(&world);
    let json = files.verify().to_json();
    assert_eq!(json["verdict"], "valid");
    assert_eq!(json["election_id"], world.manifest.id().to_string());
    assert_eq!(json["checks"].as_array().unwrap().len(), 17);
    assert_eq!(json["checks"][16]["ok"], serde_json::Value::Null);
    assert_eq!(json["checks"][7]["ok"], true);
    assert_eq!(json["failure"], serde_json::Value::Null);
    assert_eq!(json["totals"][0]["id"], "chair");

    let mut broken = files;
    broken.0.get_mut("lanes/0.checkpoint").unwrap()[100] ^= 1;
    let json = broken.verify().to_json();
    assert_eq!((json["verdict"].as_str(), json["failure"]["check"].as_u64()), (Some("invalid"), Some(9)));
    assert_eq!(json["checks"].as_array().unwrap().len(), 9, "nothing is checked after the first lie");
}
