//! Whom the home shard asks to sign, when some are away and some give up. (P-CHA-1)

use crate::world::World;
use protocol::{
    ids::TrusteeIndex,
    manifest::Quorums,
    signed::Body,
    signing::messages::{Purpose, SignAbort},
};

const ANCHOR: Purpose = Purpose::AnchorKey;

/// Acts until the key is anchored, with one trustee away at each step; `false` if that does not happen.
fn is_anchored(world: &mut World, steps: u32, mut away: impl FnMut(&World) -> Option<TrusteeIndex>) -> bool {
    for _ in 0..steps {
        let away = away(world).map(|index| usize::from(index.0) - 1);
        let held = away.and_then(|at| world.keepers[at].take());
        world.trustees_act();
        world.chair_acts();
        if let (Some(at), Some(keeper)) = (away, held) {
            world.keepers[at] = Some(keeper);
        }
        if world.board.anchored(ANCHOR).is_some() {
            return true;
        }
        world.now.0 += 1_000;
    }
    false
}

#[test]
fn who_was_away_for_a_while_is_asked_again_before_who_is_away_for_good() {
    let mut world = World::new(4, Quorums::default_for(4), 95);
    // One after the other is away for an attempt, and then the first by lot for good.
    let anchored = is_anchored(&mut world, 120, |world| {
        let request = world.board.newest_request(ANCHOR)?;
        let gone = *world.board.lot_order().first().unwrap();
        if request.attempt.0 <= 3 { request.signers.last().copied() } else { Some(gone) }
    });
    assert!(anchored, "asked in vain: {:?}", world.board.newest_request(ANCHOR));
    assert!(world.board.newest_request(ANCHOR).unwrap().attempt.0 > 3);
}

#[test]
fn who_gives_up_every_time_is_left_out() {
    let mut world = World::new(4, Quorums::default_for(4), 96);
    world.bent = Some((0, |body| match body {
        Body::SignShare(share) if share.purpose == ANCHOR => {
            let (purpose, attempt) = (share.purpose, share.attempt);
            SignAbort { purpose, attempt, reason: "not today".into() }.into()
        }
        other => other,
    }));
    assert!(is_anchored(&mut world, 30, |_| None), "asked in vain: {:?}", world.board.newest_request(ANCHOR));
    assert!(!world.board.newest_request(ANCHOR).unwrap().signers.contains(&TrusteeIndex(1)));
}

/// All are needed for the rehearsal, so a liar can spoil each: it is asked again slowly, and if it stops lying, all goes on.
#[test]
fn a_liar_that_spoils_every_rehearsal_uses_up_neither_attempts_nor_time() {
    let mut world = World::new(4, Quorums::default_for(4), 98);
    world.bent = Some((3, |body| match body {
        Body::SignShare(mut share) if share.purpose == Purpose::Rehearsal => {
            share.share[5] ^= 1;
            Body::SignShare(share)
        }
        other => other,
    }));
    for _ in 0..200 {
        world.settle();
        world.now.0 += 500;
    }
    let asked = world.board.newest_request(Purpose::Rehearsal).unwrap().attempt.0;
    assert!((5..=14).contains(&asked), "{asked} attempts in 100 s");
    world.bent = None;
    for _ in 0..60 {
        world.settle();
        world.now.0 += 500;
    }
    assert_eq!(world.board.stage(), protocol::board::Stage::Ready);
}
