//! What a process watches by itself: it says nothing of an honest election, and names each invariant that breaks.

use crate::world::World;
use protocol::{
    board::{Board, Stage},
    evidence::Verdict,
    ids::{Attempt, LaneIndex, LogSize, TrusteeIndex},
    invariants::{WATCHED, Watch},
    manifest::Quorums,
    signed::{Body, Envelope, Sender},
    signing::messages::{Purpose, SignAbort, SignCommitment, SignShare},
};

const ME: TrusteeIndex = TrusteeIndex(1);

fn named(watch: &mut Watch, board: &Board) -> Vec<&'static str> {
    watch.look(board).into_iter().map(|broken| broken.id).collect()
}

fn absorb(board: &mut Board, envelope: &Envelope) {
    let Verdict::Valid(checked) = board.check(envelope) else { panic!("not taken") };
    board.absorb(checked);
}

/// An empty board with these statements of one's own.
fn with(world: &World, bodies: impl IntoIterator<Item = Body>) -> Board {
    let mut board = Board::new(world.board.manifest().clone());
    for body in bodies {
        absorb(&mut board, &world.sign(Sender::Trustee(ME), body));
    }
    board
}

fn finished(seed: u64) -> World {
    let mut world = World::new(4, Quorums::default_for(4), seed);
    world.open();
    world.vote();
    world.close();
    world.finish();
    world
}

#[test]
fn an_honest_election_breaks_none_at_any_point_of_it() {
    let world = finished(101);
    for me in [None, Some(ME), Some(TrusteeIndex(3))] {
        let mut watch = Watch::new(me);
        let mut board = Board::new(world.board.manifest().clone());
        // In the order of their making, as far as one trustee's journal tells it.
        for envelope in &world.journals[me.map_or(1, |me| usize::from(me.0) - 1)] {
            absorb(&mut board, envelope);
            assert_eq!(watch.look(&board), []);
        }
        assert!(board.certificate().is_some());
        assert_eq!(watch.look(&world.board), []);
        assert_eq!(world.board.stage(), Stage::Complete);
    }
}

#[test]
fn facts_that_become_others_are_named() {
    let (one, mut other) = (finished(102), finished(103));
    // A board that has not grown is not looked at.
    let abort = SignAbort { purpose: Purpose::Rehearsal, attempt: Attempt(9), reason: String::new() };
    other.post(Sender::Trustee(ME), abort.into());
    let mut watch = Watch::new(None);
    assert!(watch.look(&one.board).is_empty());
    assert_eq!(named(&mut watch, &other.board), ["I01", "I05", "I12"]);
    // Once is enough.
    assert!(watch.look(&one.board).is_empty() && watch.look(&other.board).is_empty());
    let mut watch = Watch::new(None);
    assert!(watch.look(&one.board).is_empty());
    assert_eq!(named(&mut watch, &Board::new(one.board.manifest().clone())), ["I01", "I05", "I12"]);
}

#[test]
fn partial_decryptions_that_are_early_or_of_something_else_are_named() {
    let mut world = finished(104);
    let decrypted = world.board.decrypted().next().unwrap();
    let own = world.board.get(40, 0, 0, Sender::Trustee(decrypted)).unwrap().clone();
    let mut early = Board::new(world.board.manifest().clone());
    absorb(&mut early, &own);
    assert_eq!(named(&mut Watch::new(Some(decrypted)), &early), ["I13"]);
    // Others' are not one's own.
    assert!(named(&mut Watch::new(Some(TrusteeIndex(decrypted.0 % 4 + 1))), &early).is_empty());

    let spare =
        world.board.manifest().trustee_indices().find(|index| !world.board.has(40, 0, 0, Sender::Trustee(*index)));
    let (spare, Body::Partials(mut partials)) = (spare.unwrap(), own.body) else { panic!("partials") };
    partials.vote_set[0] ^= 1;
    world.post(Sender::Trustee(spare), partials.into());
    assert_eq!(named(&mut Watch::new(Some(spare)), &world.board), ["I10"]);
}

#[test]
fn a_nonce_for_two_attempts_is_named() {
    let world = World::new(4, Quorums::default_for(4), 105);
    let commit = |attempt, hiding, binding| -> Body {
        SignCommitment { purpose: Purpose::Rehearsal, attempt: Attempt(attempt), hiding, binding }.into()
    };
    let board = with(&world, [commit(1, [1; 32], [2; 32]), commit(2, [3; 32], [4; 32])]);
    assert!(named(&mut Watch::new(Some(ME)), &board).is_empty());
    for (hiding, binding) in [([1; 32], [5; 32]), ([5; 32], [2; 32]), ([2; 32], [5; 32])] {
        let board = with(&world, [commit(1, [1; 32], [2; 32]), commit(2, hiding, binding)]);
        assert_eq!(named(&mut Watch::new(Some(ME)), &board), ["I14"]);
    }
}

#[test]
fn a_signature_with_keys_that_were_not_tried_is_named() {
    let world = World::new(4, Quorums::default_for(4), 106);
    let share =
        |purpose| -> Body { SignShare { purpose, attempt: Attempt(1), package: [1; 32], share: [2; 32] }.into() };
    assert!(named(&mut Watch::new(Some(ME)), &with(&world, [share(Purpose::Rehearsal)])).is_empty());
    assert_eq!(named(&mut Watch::new(Some(ME)), &with(&world, [share(Purpose::AnchorKey)])), ["I15"]);
}

#[test]
fn a_cosigned_log_that_shrinks_or_forks_is_named() {
    let (lane, other) = (LaneIndex(0), LaneIndex(1));
    for (size, root, good) in [(5, 1, true), (6, 2, true), (4, 1, false), (5, 2, false)] {
        let mut watch = Watch::new(Some(ME));
        assert_eq!(watch.cosigned(lane, LogSize(5), [1; 32]), None);
        assert_eq!(watch.cosigned(other, LogSize(1), [1; 32]), None);
        let broken = watch.cosigned(lane, LogSize(size), [root; 32]);
        assert_eq!(broken.map(|broken| broken.id), (!good).then_some("I08"), "{size} {root}");
    }
    assert!(WATCHED.is_sorted());
}
