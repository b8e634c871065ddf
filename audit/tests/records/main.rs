//! Records of elections that the programs' own cores held are valid.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

mod folder;
mod support;

use audit::{Report, Verdict};
use folder::Files;
use protocol::manifest::{Quorums, Revote};
use support::World;

fn assert_valid(report: &Report) {
    assert_eq!(report.verdict, Verdict::Valid, "{}", report.to_text());
    assert_eq!(report.checks.len(), audit::STEPS.len());
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
}
