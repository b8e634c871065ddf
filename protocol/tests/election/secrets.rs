//! What must never happen twice, or too early, with a trustee's secrets. (P-SIG-5, P-TAL-1)

use crate::world::World;
use protocol::{
    board::{Board, Stage},
    evidence::Verdict,
    ids::{OptionIndex, TrusteeIndex},
    manifest::Quorums,
    signed::{Body, Sender},
};
use std::collections::BTreeSet;

const PARTIALS: u16 = 40;
const SIGN_COMMITMENT: u16 = 51;

/// Every pair of nonce commitments on the board, once or more often.
fn commitments(board: &Board) -> Vec<([u8; 32], [u8; 32])> {
    let bodies = board.of_kind(SIGN_COMMITMENT).map(|envelope| match &envelope.body {
        Body::SignCommitment(body) => (body.hiding, body.binding),
        other => panic!("{other:?}"),
    });
    bodies.collect()
}

#[test]
fn no_nonce_is_committed_to_twice() {
    let mut world = World::new(4, Quorums::default_for(4), 90);
    // A signer whose shares are bad: the others have to commit again, for the next attempt.
    world.bent = Some((0, |body| match body {
        Body::SignShare(mut share) => {
            share.share[0] ^= 1;
            Body::SignShare(share)
        }
        other => other,
    }));
    for _ in 0..40 {
        world.trustees_act();
        world.chair_acts();
        world.now.0 += 500;
    }
    let attempts: BTreeSet<_> = world.board.of_kind(SIGN_COMMITMENT).map(|e| e.slot().number).collect();
    assert!(attempts.len() > 1, "no second attempt");
    let all = commitments(&world.board);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn a_restart_burns_the_nonce_and_the_attempt_is_given_up() {
    let mut world = World::new(4, Quorums::default_for(4), 91);
    let me = Sender::Trustee(TrusteeIndex(1));
    let committed = |board: &Board| board.of_kind(SIGN_COMMITMENT).find(|e| e.sender == me).map(|e| e.slot());
    // The first to act commits, and cannot answer before the others have committed.
    let slot = loop {
        world.trustee_acts(0);
        if let Some(slot) = committed(&world.board) {
            break slot;
        }
        world.trustees_act();
        world.chair_acts();
    };
    world.keepers[0] = Some(world.start(0));
    world.trustees_act();
    let has = |tag| world.board.has(tag, slot.number, slot.topic, me);
    assert!(!has(52), "answered with a nonce that should be gone");
    assert!(has(53), "neither answered nor given up");
}

#[test]
fn sums_of_too_few_ballots_stay_closed() {
    let mut world = World::with(4, Quorums::default_for(4), 92, |manifest| manifest.tally_min = 3);
    world.open();
    for voter in [1, 3] {
        world.cast(voter, &[vec![OptionIndex(0)]]);
    }
    world.close();
    for _ in 0..40 {
        world.settle();
        world.now.0 += 500;
    }
    assert!(world.board.certificate().is_some());
    assert!(world.board.of_kind(PARTIALS).next().is_none());
    assert_eq!(world.board.stage(), Stage::Tally);
    assert!(world.board.awaiting()[0].what.starts_with("SMALL_TALLY: 2 ballots"), "{:?}", world.board.awaiting());
}

#[test]
fn only_the_certified_sums_are_opened() {
    let mut world = World::new(4, Quorums::default_for(4), 93);
    world.open();
    for voter in [1, 3, 5] {
        world.cast(voter, &[vec![OptionIndex(0)]]);
    }
    world.close();
    while world.board.certificate().is_none() {
        world.settle();
        world.now.0 += 500;
    }
    // Somebody who has summed up something else, and the same envelopes.
    let mut other = Board::new(world.manifest.clone());
    for envelope in world.board.envelopes() {
        if let Verdict::Valid(checked) = other.check(envelope) {
            other.absorb(checked);
        }
    }
    assert!(other.certificate().is_some());
    world.cast(7, &[vec![OptionIndex(0)]]);
    let key = world.board.key_certificate().unwrap().digest();
    let more = protocol::ballot_box::ClosedBox::of(&[world.lane.as_ref().unwrap()], key).unwrap().unwrap();
    assert!(!other.set_aggregate(&more));
    assert!(other.sums().is_none());
}

/// Its shares are gone, and the election with them; but nobody may call it a liar for it.
#[test]
fn a_seed_that_is_lost_after_the_confirmation_is_no_reason_to_take_it_back() {
    let mut world = World::new(4, Quorums::default_for(4), 95);
    let confirmed = |world: &World| world.journals[0].iter().any(|envelope| envelope.body.tag() == 16);
    let mut turn = 0;
    while !confirmed(&world) {
        world.trustee_acts(turn % 4);
        turn += 1;
    }
    assert!(world.board.key_certificate().is_none(), "too late to see anything");
    world.keepers[0] = None;
    world.disks[0].clear();
    world.keepers[0] = Some(world.start(0));
    world.settle();
    let me = Sender::Trustee(TrusteeIndex(1));
    assert!(!world.board.has(17, 1, 0, me) && world.board.evidence().is_empty(), "{:?}", world.board.evidence());
}
