//! A whole election in memory: the shipping cores of trustees and home shard, with nothing between them but a board.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

mod boxes;
#[cfg(feature = "bugs")]
mod bugs;
mod invariants;
mod secrets;
mod signers;
mod statements;
mod watching;
mod world;

use protocol::{
    agreement::messages::CloseRequest,
    board::{Board, Stage},
    chair::{Chair, ChairDuty, LedgerView, Need},
    evidence::{Verdict, Wrong},
    ids::TrusteeIndex,
    keeper::Decision,
    manifest::Quorums,
    signed::{Body, Refuse, Sender},
    signing::messages::Purpose,
};
use world::{Memos, World};

#[test]
fn an_election_of_four_counts_what_was_cast() {
    let mut world = World::new(4, Quorums::default_for(4), 1);
    world.open();
    let expected = world.vote();
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
    assert!(world.board.evidence().is_empty());
    let result = world.board.result().unwrap();
    assert_eq!((result.counted, result.logged), (12, 13));
}

#[test]
fn five_of_nine_with_the_explicit_setting_counts_what_was_cast() {
    let quorums = Quorums { f: 2, c: 0, t: 5, s: 5, q: 7, w: 7, one_aggregate_by_certificate: true };
    let mut world = World::new(9, quorums, 2);
    world.open();
    let expected = world.vote();
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
}

#[test]
fn every_trustee_may_restart_at_every_step_and_nothing_is_lost() {
    let mut world = World::new(4, Quorums::default_for(4), 3);
    let restart_all = |world: &mut World| {
        for at in 0..4 {
            world.keepers[at] = Some(world.start(at));
        }
    };
    for step in 0..400 {
        world.trustees_act();
        restart_all(&mut world);
        world.chair_acts();
        if world.board.stage() == Stage::Ready {
            break;
        }
        world.now.0 += 100;
        assert!(step < 399, "stuck at {}: {:?}", world.board.stage().name(), world.board.awaiting());
        // A restart between commitment and share burns the nonces; without a pause no signature would ever come.
        if step % 7 == 6 {
            world.trustees_act();
            world.chair_acts();
            world.trustees_act();
        }
    }
    world.open();
    let expected = world.vote();
    restart_all(&mut world);
    world.close();
    restart_all(&mut world);
    world.finish();
    assert_eq!(world.totals(), expected);
    assert!(world.board.evidence().is_empty(), "{:?}", world.board.evidence());
}

#[test]
fn a_signer_who_was_away_is_asked_again_when_another_is_gone_for_good() {
    let mut world = World::new(4, Quorums::default_for(4), 21);
    world.open();
    let expected = world.vote();
    let key_certificate = world.board.key_digest().unwrap();
    world.post(Sender::Official(1), CloseRequest { key_certificate }.into());
    while world.board.newest_request(Purpose::AnchorVoteSet).is_none() {
        world.trustees_act();
        world.chair_acts();
    }
    let asked = |world: &World| {
        let request = world.board.newest_request(Purpose::AnchorVoteSet).unwrap();
        (request.attempt.0, request.signers.clone())
    };
    let (attempt, signers) = asked(&world);
    let [away, gone] = [signers[0], signers[1]];
    assert_eq!(attempt, 1);
    for index in [away, gone] {
        world.keepers[usize::from(index.0) - 1] = None;
    }
    world.settle();
    // Both were silent; of those that are asked next one comes back only when the others have been given up.
    while world.board.certificate().is_some() && asked(&world).0 < 3 {
        world.now.0 += 5000;
        world.settle();
    }
    let back = usize::from(away.0) - 1;
    world.keepers[back] = Some(world.start(back));
    world.finish();
    let (attempt, signers) = asked(&world);
    assert!(attempt > 3 && signers.contains(&away) && !signers.contains(&gone), "{attempt}: {signers:?}");
    assert_eq!(world.totals(), expected);
}

#[test]
fn with_one_trustee_gone_after_the_opening_the_others_finish() {
    let mut world = World::new(4, Quorums::default_for(4), 4);
    world.open();
    let expected = world.vote();
    world.keepers[1] = None;
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
}

#[test]
fn a_wrong_partial_decryption_is_named_and_the_result_is_right() {
    let mut world = World::new(4, Quorums::default_for(4), 5);
    world.open();
    let expected = world.vote();
    world.bent = Some((2, |body| match body {
        Body::Partials(mut partials) => {
            partials.points.swap(0, 1);
            Body::Partials(partials)
        }
        other => other,
    }));
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
    let blamed: Vec<_> = world.board.evidence().iter().map(|evidence| (evidence.accused, evidence.wrong)).collect();
    assert_eq!(blamed, [(Sender::Trustee(TrusteeIndex(3)), Wrong::BadPartial)]);
}

#[test]
fn a_bad_signature_share_is_left_out_and_the_anchor_lands() {
    let mut world = World::new(4, Quorums::default_for(4), 6);
    world.open();
    world.vote();
    world.bent = Some((0, |body| match body {
        Body::SignShare(mut share) => {
            share.share[0] ^= 1;
            Body::SignShare(share)
        }
        other => other,
    }));
    world.close();
    world.finish();
    assert!(world.board.anchored(Purpose::AnchorResult).is_some());
}

#[test]
fn a_signer_that_aborts_every_attempt_is_left_out_and_the_anchors_land() {
    for seed in 60..64 {
        let mut world = World::new(4, Quorums::default_for(4), seed);
        world.bent = Some((usize::try_from(seed % 4).unwrap(), |body| match body {
            Body::SignCommitment(body) if body.purpose != Purpose::Rehearsal => {
                let reason = "the nonce was burned by a restart".into();
                protocol::signing::messages::SignAbort { purpose: body.purpose, attempt: body.attempt, reason }.into()
            }
            other => other,
        }));
        world.open();
        world.vote();
        world.close();
        world.finish();
        let attempts = world.board.of_kind(50).map(|request| request.slot().number).max();
        assert!(attempts <= Some(4), "{attempts:?} attempts");
    }
}

/// A liar gives an attempt up, confirms it all the same, and holds its confirmation of the next one back.
#[test]
fn keys_that_all_have_rehearsed_stay_whatever_is_certified_later() {
    let mut world = World::new(4, Quorums::default_for(4), 67);
    world.bent = Some((2, |body| match body {
        Body::Confirm(confirm) => {
            let reason = "it does not suit".into();
            protocol::ceremony::messages::Abandon { attempt: confirm.attempt, reason }.into()
        }
        other => other,
    }));
    world.settle();
    let attempt = protocol::ids::Attempt(2);
    world.post(Sender::Official(1), protocol::ceremony::messages::NextAttempt { attempt }.into());
    world.settle();
    let confirm = |world: &World, attempt: u32| {
        let judged = world.board.ceremony(protocol::ids::Attempt(attempt));
        let certificate = judged.certificate().unwrap();
        protocol::ceremony::messages::Confirm {
            attempt: certificate.attempt,
            transcript: certificate.transcript,
            certificate: certificate.digest(),
        }
    };
    let (first, second) = (confirm(&world, 1), confirm(&world, 2));
    world.bent = None;
    assert!(world.board.key_certificate().is_none());
    let liar = Sender::Trustee(TrusteeIndex(3));
    world.post(liar, first.into());
    world.open();
    assert_eq!(world.board.key_certificate().unwrap().attempt.0, 1);
    let expected = world.vote();
    world.post(liar, second.into());
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
    let blamed: Vec<_> = world.board.evidence().iter().map(|evidence| (evidence.accused, evidence.wrong)).collect();
    assert!(!blamed.is_empty() && blamed.iter().all(|one| *one == (liar, Wrong::ConfirmedAndAbandoned)), "{blamed:?}");
}

#[test]
fn a_request_that_nobody_signs_costs_one_attempt_and_not_the_election() {
    let mut world = World::new(4, Quorums::default_for(4), 65);
    let signers = [1, 2, 3].map(TrusteeIndex).to_vec();
    // The last attempt of all is no way to use up those before it.
    let last = protocol::signing::ATTEMPTS_MAX;
    let bad = [(Purpose::CreateNonce, u64::MAX, 1), (Purpose::AnchorKey, 1, 1), (Purpose::AnchorKey, 1, last)];
    for (purpose, lamports, attempt) in bad {
        let request = protocol::signing::messages::SignRequest {
            purpose,
            attempt: protocol::ids::Attempt(attempt),
            signers: signers.clone(),
            nonce: [1; 32],
            lamports,
        };
        world.post(Sender::Shard(protocol::ids::ShardIndex(1)), request.into());
    }
    world.open();
    world.vote();
    world.close();
    world.finish();
}

/// The end of the log is the home shard's word, and its slot is filled for ever.
#[test]
fn an_end_that_the_log_never_reaches_delays_the_agreement_and_does_not_stop_it() {
    let mut world = World::new(4, Quorums::default_for(4), 66);
    world.open();
    let expected = world.vote();
    let lanes = vec![protocol::agreement::messages::LaneEnd { size: protocol::ids::LogSize(1_000_000), root: [9; 32] }];
    world.post(Sender::Shard(protocol::ids::ShardIndex(1)), protocol::agreement::messages::Sealed { lanes }.into());
    world.close();
    world.finish();
    assert_eq!(world.totals(), expected);
}

#[test]
fn a_refusal_stops_the_election_before_any_key_is_made() {
    let mut world = World::new(4, Quorums::default_for(4), 7);
    world.keepers[3].as_mut().unwrap().decide(Decision::Refuse { reason: "wrong dates".into() });
    world.settle();
    assert_eq!(world.board.stage(), Stage::Stopped);
    assert!(world.board.of_kind(11).next().is_none());
}

#[test]
fn a_refusal_after_acceptance_is_evidence_and_stops_nothing() {
    let mut world = World::new(4, Quorums::default_for(4), 15);
    world.settle();
    let liar = Sender::Trustee(TrusteeIndex(2));
    world.post(liar, Refuse { reason: "on second thoughts".into() }.into());
    assert_eq!(world.board.stage(), Stage::Ready);
    let [evidence] = world.board.evidence() else { panic!("{:?}", world.board.evidence()) };
    assert_eq!((evidence.accused, evidence.wrong), (liar, Wrong::AcceptedAndRefused));
}

#[test]
fn a_nonce_account_whose_creation_was_given_up_is_found_again() {
    let mut world = World::new(4, Quorums::default_for(4), 16);
    world.belie = true;
    world.settle();
    assert_eq!(world.board.stage(), Stage::Ready);
    let first = world.board.anchored(Purpose::CreateNonce).unwrap().attempt;
    assert_eq!(Some(first), world.belied);
}

#[test]
fn two_messages_for_one_slot_are_evidence() {
    let mut world = World::new(4, Quorums::default_for(4), 8);
    world.open();
    let key_certificate = [9; 32];
    let envelope =
        world.sign(Sender::Trustee(TrusteeIndex(2)), protocol::agreement::messages::Open { key_certificate }.into());
    let Verdict::Fault(evidence) = world.board.check(&envelope) else { panic!("not a fault") };
    assert_eq!((evidence.accused, evidence.wrong), (Sender::Trustee(TrusteeIndex(2)), Wrong::Equivocation));
    assert_eq!(evidence.envelopes.len(), 2);
}

#[test]
fn no_tally_message_is_owed_before_the_election_is_closed() {
    let mut world = World::new(4, Quorums::default_for(4), 9);
    world.open();
    world.vote();
    world.now.0 += 1_000_000;
    world.settle();
    assert!(world.board.of_kind(40).next().is_none());
    assert!(world.board.of_kind(30).next().is_none());
}

/// Figures, not a claim: run with `--release --ignored --nocapture`.
#[test]
#[ignore = "measures, does not check"]
fn measure() {
    let elections: u32 = 20;
    let start = std::time::Instant::now();
    for seed in 100..100 + u64::from(elections) {
        let mut world = World::new(4, Quorums::default_for(4), seed);
        world.open();
        world.vote();
        world.close();
        world.finish();
    }
    println!("{:.1} elections of 13 ballots per second", f64::from(elections) / start.elapsed().as_secs_f64());
}

#[test]
fn a_nonce_account_that_nobody_can_have_made_is_asked_for_again() {
    let mut world = World::new(4, Quorums::default_for(4), 22);
    let mut chair = Chair::new();
    world.settle();
    // A second chair, over the board as it was before the account was made, with one request that nobody has signed.
    let mut board = Board::new(world.manifest.clone());
    for envelope in world.board.envelopes() {
        let purpose = match &envelope.body {
            Body::SignRequest(body) => body.purpose,
            Body::SignCommitment(body) => body.purpose,
            Body::SignShare(_) | Body::Anchored(_) => Purpose::AnchorKey,
            _ => Purpose::Rehearsal,
        };
        let rehearsal = matches!(&envelope.body, Body::SignShare(body) if body.purpose == Purpose::Rehearsal);
        if purpose <= Purpose::CreateNonce || rehearsal {
            let Verdict::Valid(checked) = board.check(envelope) else { panic!("it was on a board") };
            board.absorb(checked);
        }
    }
    assert!(board.rehearsed() && board.newest_request(Purpose::CreateNonce).is_some());
    let invented = LedgerView { nonce: Some([7; 32]), ..LedgerView::default() };
    let duties = chair.duties(&board, world.now, None, &invented, &Memos);
    assert_eq!(duties, [ChairDuty::Fetch(Need::Nonce)]);
}
