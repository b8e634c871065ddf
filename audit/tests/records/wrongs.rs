//! Elections in which somebody does wrong: the record names it, the audit proves it again, and the result stands.

use crate::{
    folder::{Files, entries, listed},
    support::{Bend, World},
};
use audit::Verdict;
use protocol::{
    agreement::{self, messages::Proposal},
    board::{Board, Stage},
    ceremony::{
        dispute_digest,
        messages::{Abandon, Complaint, Confirm, NextAttempt, ShareFlaw},
    },
    encoding::Canonical as _,
    evidence::{Evidence, Wrong},
    ids::{Attempt, Round, TrusteeIndex},
    manifest::{Quorums, Revote},
    signed::{Body, Refuse, Sender},
    signing::messages::Purpose,
};

const LIAR: TrusteeIndex = TrusteeIndex(3);
const EVIDENCE: &str = "conclave-evidence-1\n";

/// Holds an election with a bent trustee, until one shows these wrongs: who decrypts is drawn by lot.
fn held(bend: Bend, wrongs: &[Wrong]) -> World {
    held_with(LIAR, bend, wrongs)
}

fn held_with(liar: TrusteeIndex, bend: Bend, wrongs: &[Wrong]) -> World {
    for seed in 50..60 {
        let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, seed);
        world.bent = Some((usize::from(liar.0) - 1, bend));
        world.hold();
        let named: Vec<_> = world.board.evidence().iter().map(|evidence| evidence.wrong).collect();
        assert!(world.board.evidence().iter().all(|evidence| evidence.accused == Sender::Trustee(liar)), "{named:?}");
        if wrongs.iter().all(|wrong| named.contains(wrong)) {
            return world;
        }
        assert!(named.is_empty(), "{named:?} where {wrongs:?} were to be seen");
    }
    panic!("no election showed {wrongs:?}");
}

/// The record is valid; and is not if the accused is somebody else, or any of the proof is missing or another's.
fn assert_proven(world: &World) {
    let files = Files::of(world);
    let report = files.verify();
    assert_eq!(report.verdict, Verdict::Valid, "{:?}\n{}", world.board.evidence(), report.to_text());
    let all = entries(EVIDENCE, &files.0["evidence.bin"]);
    for at in 0..all.len() {
        let evidence = Evidence::from_bytes(&all[at]).unwrap();
        let refused = |changed: Evidence, what: &str| {
            let mut files = files.clone();
            let mut all = all.clone();
            all[at] = changed.to_bytes();
            all.sort();
            files.0.insert("evidence.bin".into(), listed(EVIDENCE, all));
            files.sum_up();
            let report = files.verify();
            let by = report.failure.as_ref().map(|(check, _)| *check);
            // What somebody took back stands only if that one is named.
            let early = match evidence.wrong {
                Wrong::ConfirmedAndAbandoned => 5,
                Wrong::AcceptedAndRefused => 4,
                _ => 15,
            };
            let good = by == Some(15) || what == "of another" && by == Some(early);
            assert!(report.verdict == Verdict::Invalid && good, "{:?} {what}: {by:?}", evidence.wrong);
        };
        refused(Evidence { accused: Sender::Trustee(TrusteeIndex(1)), ..evidence.clone() }, "of another");
        for missing in 0..evidence.envelopes.len() {
            let mut envelopes = evidence.envelopes.clone();
            envelopes.remove(missing);
            refused(Evidence { envelopes, ..evidence.clone() }, &format!("without envelope {missing}"));
            let mut envelopes = evidence.envelopes.clone();
            envelopes[missing].signature[0] ^= 1;
            refused(Evidence { envelopes, ..evidence.clone() }, &format!("envelope {missing} not signed"));
        }
    }
}

macro_rules! bent {
    ($test:ident, [$($wrong:ident),*], $kind:ident, $body:ident, $when:expr, $change:expr) => {
        #[test]
        fn $test() {
            let world = held(
                |body, _| match body {
                    Body::$kind(mut $body) if $when => {
                        $change;
                        Body::$kind($body)
                    }
                    other => other,
                },
                &[$(Wrong::$wrong),*],
            );
            assert_proven(&world);
        }
    };
}

bent!(another_reveal_than_committed_to, [CommitmentBroken], Reveal, body, body.attempt.0 == 1, body.nonce[0] ^= 1);
bent!(
    a_short_commitment,
    [CommitmentBroken, CommitmentLength],
    Reveal,
    body,
    body.attempt.0 == 1,
    body.signing_commitments.truncate(2)
);
bent!(
    a_commitment_that_is_no_point,
    [CommitmentBroken, PointInvalid],
    Reveal,
    body,
    body.attempt.0 == 1,
    body.election_commitments[1] = [0xff; 32]
);
bent!(
    a_false_proof_of_knowledge,
    [CommitmentBroken, ProofOfKnowledge],
    Reveal,
    body,
    body.attempt.0 == 1,
    body.signing_proof[32] ^= 1
);
bent!(
    a_key_that_nothing_can_be_sealed_to,
    [PointInvalid],
    Terms,
    body,
    body.attempt.0 == 1,
    body.sealing_key = [0; 32]
);
bent!(a_share_missing, [ShareAddressing], Shares, body, body.attempt.0 == 1, body.shares.truncate(2));
bent!(another_certificate, [WrongCertificate], Confirm, body, body.attempt.0 == 1, body.certificate[0] ^= 1);
bent!(a_lot_whose_proof_fails, [BadLot], Lot, body, true, body.proof[32] ^= 1);
bent!(a_lot_over_another_vote_set, [OtherVoteSet], Lot, body, true, body.vote_set[0] ^= 1);
bent!(a_decryption_of_another_vote_set, [OtherVoteSet], Partials, body, true, body.vote_set[0] ^= 1);
bent!(a_decryption_that_is_no_point, [PointInvalid], Partials, body, true, body.points[0] = [0xff; 32]);
bent!(a_decryption_too_few, [BadPartial], Partials, body, true, body.points.truncate(3));

bent!(
    a_signature_share_that_does_not_hold,
    [BadSignatureShare],
    SignShare,
    body,
    body.purpose == Purpose::CreateNonce && body.attempt.0 == 1,
    body.share[3] ^= 1
);
bent!(
    a_share_of_the_results_signature_that_does_not_hold,
    [BadSignatureShare],
    SignShare,
    body,
    body.purpose == Purpose::AnchorResult,
    body.share[7] ^= 1
);
bent!(
    nonces_that_are_no_points,
    [PointInvalid],
    SignCommitment,
    body,
    body.purpose == Purpose::AnchorKey && body.attempt.0 == 1,
    body.hiding = [0xff; 32]
);

/// The board shows a bad share to whoever looks, also if nobody accuses.
#[test]
fn a_bad_signature_share_is_named_without_an_accusation() {
    let bend: Bend = |body, _| match body {
        Body::SignShare(mut body) if body.purpose == Purpose::AnchorVoteSet => {
            body.share[3] ^= 1;
            Body::SignShare(body)
        }
        other => other,
    };
    let reports = (50..60).map(|seed| {
        let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, seed);
        world.bent = Some((usize::from(LIAR.0) - 1, bend));
        world.blind = true;
        world.hold();
        assert!(world.board.evidence().is_empty());
        let report = Files::of(&world).verify();
        assert_eq!(report.verdict, Verdict::Valid, "{}", report.to_text());
        report.to_text()
    });
    // Who signs is drawn by lot.
    let named = reports.into_iter().any(|text| text.contains("trustee 3: bad signature share (vote-set, attempt 1)"));
    assert!(named, "no election named it");
}

fn of_another(board: &Board, tag: u16, attempt: Attempt, trustee: u16) -> Option<&Body> {
    board.get(tag, attempt.0, 0, Sender::Trustee(TrusteeIndex(trustee))).map(|envelope| &envelope.body)
}

#[test]
fn a_copied_key_commitment() {
    let copy: Bend = |body, board| match body {
        Body::Reveal(mut body) if body.attempt.0 == 1 => {
            if let Some(Body::Reveal(source)) = of_another(board, 12, body.attempt, 3) {
                body.election_commitments.clone_from(&source.election_commitments);
                body.election_proof = source.election_proof;
            }
            Body::Reveal(body)
        }
        other => other,
    };
    // Trustee 4 reveals after trustee 3 here.
    assert_proven(&held_with(TrusteeIndex(4), copy, &[Wrong::Copied]));
}

#[test]
fn a_share_that_does_not_open() {
    let bend: Bend = |body, board| match body {
        Body::Shares(mut body) if body.attempt.0 == 1 => {
            body.shares[0].sealed.0[50] ^= 1;
            Body::Shares(body)
        }
        // What it would have sealed, said to be what it sealed.
        Body::Opening(mut body) => {
            let (Some(Body::Reveal(reveal)), Some(Body::Shares(shares)), Some(Body::Terms(terms))) = (
                of_another(board, 12, body.attempt, 3),
                of_another(board, 13, body.attempt, 3),
                of_another(board, 10, body.attempt, body.to.0),
            ) else {
                panic!("no dispute yet")
            };
            body.about = dispute_digest(&board.election(), (LIAR, reveal, shares), (body.to, terms));
            Body::Opening(body)
        }
        other => other,
    };
    assert_proven(&held(bend, &[Wrong::BadShare]));
}

#[test]
fn a_complaint_about_a_good_share() {
    let complain: Bend = |body, board| match body {
        Body::Confirm(body) if body.attempt.0 == 1 => {
            let (Some(Body::Reveal(reveal)), Some(Body::Shares(shares)), Some(Body::Terms(terms))) = (
                of_another(board, 12, body.attempt, 1),
                of_another(board, 13, body.attempt, 1),
                of_another(board, 10, body.attempt, 3),
            ) else {
                panic!("no dispute yet")
            };
            let against = TrusteeIndex(1);
            let about = dispute_digest(&board.election(), (against, reveal, shares), (LIAR, terms));
            Complaint { attempt: body.attempt, against, flaw: ShareFlaw::Signing, about }.into()
        }
        other => other,
    };
    assert_proven(&held(complain, &[Wrong::FalseComplaint]));
}

fn honest() -> World {
    let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, 71);
    world.hold();
    world
}

#[test]
fn two_statements_for_one_slot() {
    let mut world = honest();
    world.post(Sender::Trustee(LIAR), agreement::messages::Open { key_certificate: [9; 32] }.into());
    assert_eq!(world.board.evidence().len(), 1);
    assert_proven(&world);
}

#[test]
fn keys_given_up_after_they_were_confirmed_stand_if_the_liar_is_named() {
    let mut world = honest();
    let attempt = world.board.key_certificate().unwrap().attempt;
    world.post(Sender::Trustee(LIAR), Abandon { attempt, reason: "no".into() }.into());
    assert_eq!(world.board.evidence()[0].wrong, Wrong::ConfirmedAndAbandoned);
    assert_proven(&world);
    let mut files = Files::of(&world);
    files.0.insert("evidence.bin".into(), listed(EVIDENCE, []));
    files.sum_up();
    assert_eq!(files.verify().failure.map(|(check, _)| check), Some(5));
}

/// A liar gives an attempt up, another the next; the first is certified all the same, the second once that is in use.
#[test]
fn of_two_certified_attempts_the_rehearsed_one_counts() {
    let bend: Bend = |body, _| match body {
        Body::Confirm(confirm) => Abandon { attempt: confirm.attempt, reason: "no".into() }.into(),
        other => other,
    };
    let mut world = World::new(Quorums::default_for(4), 4, 4, Revote::Last, 72);
    let liars = [LIAR, TrusteeIndex(4)];
    world.bent = Some((usize::from(liars[0].0) - 1, bend));
    world.settle();
    world.post(Sender::Official(1), NextAttempt { attempt: Attempt(2) }.into());
    world.bent = Some((usize::from(liars[1].0) - 1, bend));
    world.settle();
    let confirm = |world: &World, attempt: u32| -> Body {
        let judged = world.board.ceremony(Attempt(attempt));
        let certificate = judged.certificate().unwrap();
        let (transcript, certificate) = (certificate.transcript, certificate.digest());
        Confirm { attempt: Attempt(attempt), transcript, certificate }.into()
    };
    let (first, second) = (confirm(&world, 1), confirm(&world, 2));
    world.bent = None;
    world.post(Sender::Trustee(liars[0]), first);
    world.hold();
    assert_proven(&world);
    world.post(Sender::Trustee(liars[1]), second);
    assert!(world.board.ceremony(Attempt(1)).certified() && world.board.ceremony(Attempt(2)).certified());
    assert_eq!(world.board.key_certificate().unwrap().attempt, Attempt(1));
    assert_proven(&world);
}

#[test]
fn a_refusal_after_acceptance_stops_nothing_if_the_liar_is_named() {
    let mut world = honest();
    world.post(Sender::Trustee(LIAR), Refuse { reason: "no".into() }.into());
    assert_eq!(world.board.stage(), Stage::Complete);
    assert_eq!(world.board.evidence()[0].wrong, Wrong::AcceptedAndRefused);
    assert_proven(&world);
    let mut files = Files::of(&world);
    files.0.insert("evidence.bin".into(), listed(EVIDENCE, []));
    files.sum_up();
    assert_eq!(files.verify().failure.map(|(check, _)| check), Some(4));
}

#[test]
fn a_proposal_against_ones_own_lock() {
    let mut world = honest();
    let certificate = world.board.certificate().unwrap().clone();
    let round = (1..).map(Round).find(|round| agreement::proposer(&world.manifest, *round) == LIAR).unwrap();
    let proposal = Proposal { round, value: certificate.value, valid_round: None, justification: Vec::new() };
    let sender = Sender::Trustee(LIAR);
    let precommit = world.board.get(32, certificate.round.0, 0, sender).unwrap().clone();
    let envelopes = vec![precommit, world.sign(sender, proposal.into())];
    assert!(round > certificate.round && agreement::breaks_lock(&envelopes[0], &envelopes[1]));
    world.board.record_evidence(Evidence { accused: sender, wrong: Wrong::Amnesia, envelopes });
    assert_proven(&world);
}
