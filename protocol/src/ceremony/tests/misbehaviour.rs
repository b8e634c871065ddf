//! One trustee bent: who is named, by which messages, and nobody else.

use super::*;
use crate::{
    ceremony::{
        polynomial::{Election, Polynomial, Signing},
        sealing::{Route, SealingKey, seal},
    },
    encoding::Bytes,
    evidence::Wrong,
    group,
};
use rand_core::{RngCore as _, SeedableRng as _};

const BENT: TrusteeIndex = TrusteeIndex(2);
const VICTIM: TrusteeIndex = TrusteeIndex(3);

impl World {
    fn body<T: Clone>(&self, of: TrusteeIndex, pick: impl Fn(&Body) -> Option<&T>) -> T {
        let of = |slot: &&Slot| slot.sender == Sender::Trustee(of);
        let mut bodies = self.board.iter().filter(|(slot, _)| of(slot)).filter_map(|(_, body)| pick(body));
        bodies.next().unwrap().clone()
    }

    fn reveal(&self, of: TrusteeIndex) -> Reveal {
        self.body(of, |body| if let Body::Reveal(reveal) = body { Some(reveal) } else { None })
    }
    fn shares(&self, of: TrusteeIndex) -> Shares {
        self.body(of, |body| if let Body::Shares(shares) = body { Some(shares) } else { None })
    }
    fn terms(&self, of: TrusteeIndex) -> Terms {
        self.body(of, |body| if let Body::Terms(terms) = body { Some(terms) } else { None })
    }

    fn about(&self, from: TrusteeIndex, to: TrusteeIndex) -> Hash {
        dispute_digest(&self.election, (from, &self.reveal(from), &self.shares(from)), (to, &self.terms(to)))
    }

    /// Exactly these flaws, each proved by its own messages alone, and no key.
    fn assert_only(&self, expected: &[(TrusteeIndex, Wrong)]) {
        let mut memory = CeremonyMemory::default();
        let judged = self.judged(&mut memory);
        let found: Vec<_> = judged.flaws().iter().map(|flaw| (flaw.culprit, flaw.wrong)).collect();
        assert_eq!(found, expected, "disputes: {:?}", judged.disputes());
        assert_eq!(judged.step(), CeremonyStep::GivenUp);
        for flaw in judged.flaws() {
            let culprit = Sender::Trustee(flaw.culprit);
            assert_eq!(flaw.proof.first().map(|slot| slot.sender), Some(culprit), "the culprit's own message leads");
            let mut evidence = Transcript::new(&self.election, &self.manifest, self.attempt);
            for slot in &flaw.proof {
                let Sender::Trustee(from) = slot.sender else { panic!("only trustees speak") };
                evidence.add(from, &self.board[slot]);
            }
            let judged = evidence.judge(&mut CeremonyMemory::default());
            assert!(judged.flaws().contains(flaw), "the proof alone proves it: {flaw:?}");
        }
        for me in self.seeds.keys().filter(|me| **me != BENT) {
            assert!(self.participant(*me).key_shares(&judged).is_err());
        }
    }
}

/// A ceremony in which the bent trustee commits to and reveals something else.
fn with_reveal(change: impl Fn(&World, &mut Reveal)) -> World {
    let mut honest = World::new(4, 3, 3);
    honest.run();
    let mut reveal = honest.reveal(BENT);
    change(&honest, &mut reveal);
    let commit =
        Commit { attempt: reveal.attempt, commitment: commitment(&honest.election, honest.attempt, BENT, &reveal) };
    revealing(commit, reveal)
}

/// The bent trustee says these two; everybody else answers as it must.
fn revealing(commit: Commit, reveal: Reveal) -> World {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, body| Some(if me == BENT && body.tag() == 11 { commit.clone().into() } else { body }));
    world.post(BENT, reveal.into());
    world.run();
    world
}

/// A ceremony in which the bent trustee sends other shares.
fn with_shares(change: impl Fn(&World, &mut Shares)) -> World {
    let mut honest = World::new(4, 3, 3);
    honest.run();
    let mut bent = honest.shares(BENT);
    change(&honest, &mut bent);
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, body| {
        Some(match body {
            Body::Shares(_) if me == BENT => bent.clone().into(),
            other => other,
        })
    });
    world
}

#[test]
fn a_reveal_other_than_the_commitment_is_named() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, mut body| {
        if let Body::Reveal(reveal) = &mut body
            && me == BENT
        {
            reveal.nonce[0] ^= 1;
        }
        Some(body)
    });
    world.assert_only(&[(BENT, Wrong::CommitmentBroken)]);
}

#[test]
fn a_reveal_of_another_attempt_or_election_or_trustee_breaks_the_commitment() {
    let mut honest = World::new(4, 3, 3);
    honest.run();
    let mut later = World::new(4, 3, 3);
    later.attempt = Attempt(2);
    later.run();
    let mut elsewhere = World::new(4, 3, 3);
    elsewhere.manifest.title = "Another election".into();
    elsewhere.election = elsewhere.manifest.id();
    elsewhere.run();
    let commits = |world: &World, of| world.body(of, |body| if let Body::Commit(c) = body { Some(c) } else { None });

    for (commit, mut reveal) in
        [(commits(&later, BENT), later.reveal(BENT)), (commits(&elsewhere, BENT), elsewhere.reveal(BENT))]
    {
        reveal.attempt = Attempt(1);
        let world = revealing(Commit { attempt: Attempt(1), ..commit }, reveal);
        world.assert_only(&[(BENT, Wrong::CommitmentBroken)]);
    }
    // Another trustee's commitment and reveal, word for word: neither opens under this name, nor is it its secret.
    let (commit, reveal) = (commits(&honest, VICTIM), honest.reveal(VICTIM));
    let world = revealing(commit, reveal);
    world.assert_only(&[(BENT, Wrong::CommitmentBroken), (BENT, Wrong::Copied)]);
}

#[test]
fn a_commitment_vector_of_another_length_is_named_in_either_key() {
    let changes: [fn(&World, &mut Reveal); 6] = [
        |_, reveal| {
            reveal.signing_commitments.pop();
        },
        |_, reveal| {
            reveal.election_commitments.pop();
        },
        |world, reveal| reveal.signing_commitments.push(world.reveal(VICTIM).signing_commitments[1]),
        |world, reveal| reveal.election_commitments.push(world.reveal(VICTIM).election_commitments[1]),
        |_, reveal| reveal.signing_commitments.clear(),
        |_, reveal| reveal.election_commitments.clear(),
    ];
    for change in changes {
        with_reveal(change).assert_only(&[(BENT, Wrong::CommitmentLength)]);
    }
}

/// Small order, mixed order, non-canonical.
fn bad_edwards() -> Vec<[u8; 32]> {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    let mut bad: Vec<_> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    bad.push((ED25519_BASEPOINT_POINT + EIGHT_TORSION[1]).compress().to_bytes());
    // y = p + 1, the identity written with a y that is not reduced; y = p + 3; y with all bits.
    for low in [0xee, 0xf0, 0xff] {
        let mut bytes = [0xff; 32];
        bytes[0] = low;
        bytes[31] = 0x7f;
        bad.push(bytes);
        bytes[31] = 0xff;
        bad.push(bytes);
    }
    bad
}

#[test]
fn points_outside_the_group_are_named_wherever_they_stand() {
    for bad in bad_edwards() {
        for at in [0, 1, 2] {
            let world = with_reveal(|_, reveal| reveal.signing_commitments[at] = bad);
            world.assert_only(&[(BENT, Wrong::PointInvalid)]);
        }
        let world = with_reveal(|_, reveal| reveal.signing_proof[..32].copy_from_slice(&bad));
        world.assert_only(&[(BENT, Wrong::PointInvalid)]);
    }
    // The identity; a negative field element; one that is not reduced.
    let (mut negative, mut unreduced) = ([0; 32], [0xff; 32]);
    negative[0] = 1;
    unreduced[31] = 0x7f;
    for bad in [[0; 32], negative, unreduced] {
        for at in [0, 2] {
            let world = with_reveal(|_, reveal| reveal.election_commitments[at] = bad);
            world.assert_only(&[(BENT, Wrong::PointInvalid)]);
        }
        let world = with_reveal(|_, reveal| reveal.election_proof[..32].copy_from_slice(&bad));
        world.assert_only(&[(BENT, Wrong::PointInvalid)]);
    }
    // A response that is not reduced.
    let world = with_reveal(|_, reveal| reveal.signing_proof[32..].fill(0xff));
    world.assert_only(&[(BENT, Wrong::PointInvalid)]);
}

#[test]
fn a_proof_of_knowledge_that_does_not_hold_is_named_in_either_key() {
    let changes: [fn(&World, &mut Reveal); 4] = [
        |world, reveal| reveal.signing_proof = world.reveal(VICTIM).signing_proof,
        |world, reveal| reveal.election_proof = world.reveal(VICTIM).election_proof,
        // Without the secret: a rogue key, the difference to somebody else's.
        |world, reveal| {
            let own = Point::decode("own", &reveal.election_commitments[0]).unwrap();
            let other = Point::decode("other", &world.reveal(VICTIM).election_commitments[0]).unwrap();
            reveal.election_commitments[0] = *Point::new(own.raw() - other.raw()).unwrap().bytes();
        },
        // One key generation's proof in the other: they are separate.
        |_, reveal| reveal.signing_proof[32..].copy_from_slice(&Scalar::ONE.to_bytes()),
    ];
    for change in changes {
        with_reveal(change).assert_only(&[(BENT, Wrong::ProofOfKnowledge)]);
    }
}

#[test]
fn who_copies_a_commitment_is_named_and_whose_it_was_is_not() {
    let changes: [fn(&World, &mut Reveal); 4] = [
        |world, reveal| *reveal = world.reveal(VICTIM),
        |world, reveal| reveal.signing_commitments[0] = world.reveal(VICTIM).signing_commitments[0],
        |world, reveal| reveal.election_commitments[0] = world.reveal(VICTIM).election_commitments[0],
        |world, reveal| {
            reveal.election_commitments = world.reveal(VICTIM).election_commitments;
            reveal.election_proof = world.reveal(VICTIM).election_proof;
        },
    ];
    for change in changes {
        with_reveal(change).assert_only(&[(BENT, Wrong::Copied)]);
    }
}

#[test]
fn two_who_prove_to_know_one_secret_are_both_named() {
    let draw = |who| {
        let rng = || rand_chacha::ChaCha20Rng::from_seed([5; 32]);
        let (_, signing) = Polynomial::draw::<Signing>(who, 3, &mut rng()).unwrap();
        let (_, election) = Polynomial::draw::<Election>(who, 3, &mut rng()).unwrap();
        Reveal {
            attempt: Attempt(1),
            signing_commitments: signing.commitments,
            signing_proof: signing.proof,
            election_commitments: election.commitments,
            election_proof: election.proof,
            nonce: [0; 32],
        }
    };
    let reveals = BTreeMap::from([(BENT, draw(BENT)), (VICTIM, draw(VICTIM))]);
    let mut world = World::new(4, 3, 3);
    let election = world.election;
    world.run_bent(&mut |me, body| {
        let reveal = reveals.get(&me).filter(|_| body.tag() == 11);
        let commit = |reveal| Commit { attempt: Attempt(1), commitment: commitment(&election, Attempt(1), me, reveal) };
        Some(reveal.map_or(body, |reveal| commit(reveal).into()))
    });
    for (me, reveal) in reveals {
        world.post(me, reveal.into());
    }
    world.run();
    world.assert_only(&[(BENT, Wrong::Copied), (VICTIM, Wrong::Copied)]);
}

#[test]
fn keys_that_nothing_can_be_sealed_to_or_drawn_with_are_named() {
    let mut small_order = [0; 32];
    small_order[0] = 1;
    for (sealing_key, lot_key) in
        [(Some([0; 32]), None), (Some(small_order), None), (None, Some([0; 32])), (None, Some([0xff; 32]))]
    {
        let mut world = World::new(4, 3, 3);
        world.run_bent(&mut |me, mut body| {
            if let Body::Terms(terms) = &mut body
                && me == BENT
            {
                terms.sealing_key = sealing_key.unwrap_or(terms.sealing_key);
                terms.lot_key = lot_key.unwrap_or(terms.lot_key);
            }
            Some(body)
        });
        world.assert_only(&[(BENT, Wrong::PointInvalid)]);
    }
}

#[test]
fn other_terms_stop_the_attempt_and_accuse_nobody() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, mut body| {
        if let Body::Terms(terms) = &mut body
            && me == BENT
        {
            terms.digest = terms_digest(&manifest(4, 2, 3).id(), Attempt(1), &manifest(4, 2, 3));
        }
        Some(body)
    });
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    assert!(judged.flaws().is_empty());
    assert!(matches!(judged.disputes(), [Dispute::TermsMismatch { trustee: BENT, .. }]));
    assert_eq!(judged.step(), CeremonyStep::GivenUp);
    assert!(alloc::format!("{}", judged.disputes()[0]).starts_with("CONFIG_MISMATCH"));
    assert!(!world.board.values().any(|body| matches!(body, Body::Commit(_))), "nobody goes on");
}

#[test]
fn terms_name_election_attempt_thresholds_and_participants() {
    let base = manifest(4, 3, 3);
    let digest =
        |election: &Manifest, attempt, manifest: &Manifest| terms_digest(&election.id(), Attempt(attempt), manifest);
    let mut other_people = base.clone();
    other_people.trustees.swap(0, 1);
    let all = [
        digest(&base, 1, &base),
        digest(&base, 2, &base),
        digest(&other_people, 1, &base),
        digest(&base, 1, &other_people),
        digest(&base, 1, &manifest(4, 2, 3)),
        digest(&base, 1, &manifest(4, 3, 2)),
    ];
    assert_eq!(BTreeSet::from(all).len(), all.len());
}

#[test]
fn shares_that_are_not_one_for_each_other_trustee_are_named() {
    let changes: [fn(&World, &mut Shares); 8] = [
        |_, shares| {
            shares.shares.pop();
        },
        |_, shares| shares.shares.clear(),
        |_, shares| shares.shares.swap(0, 1),
        |_, shares| shares.shares[0] = shares.shares[1].clone(),
        |_, shares| shares.shares[0].to = BENT,
        |_, shares| shares.shares[2].to = TrusteeIndex(5),
        |_, shares| shares.shares[0].to = TrusteeIndex(0),
        |_, shares| {
            shares.shares[1].sealed.0.pop();
        },
    ];
    for change in changes {
        with_shares(change).assert_only(&[(BENT, Wrong::ShareAddressing)]);
    }
}

type ChangeShare = fn(&mut [u8; 64]);

/// The bent trustee's share for the victim, sealed properly, but of other numbers.
fn reseal(world: &World, change: impl Fn(&mut [u8; 64])) -> (Bytes, [u8; 64]) {
    let mut plain = *world.participant(BENT).plaintext_for_test(VICTIM);
    change(&mut plain);
    let terms = terms_digest(&world.election, world.attempt, &world.manifest);
    let route = Route { election: &world.election, attempt: world.attempt, terms: &terms, from: BENT, to: VICTIM };
    (Bytes(seal(&world.terms(VICTIM).sealing_key, &route, &[9; 32], &plain).unwrap()), plain)
}

fn victims(shares: &mut Shares) -> &mut SealedShare {
    shares.shares.iter_mut().find(|share| share.to == VICTIM).unwrap()
}

fn add_one(half: &mut [u8]) {
    let scalar = group::decode_scalar("share", half.as_ref().try_into().unwrap()).unwrap() + Scalar::ONE;
    half.copy_from_slice(scalar.as_bytes());
}

#[test]
fn a_bad_share_to_one_trustee_ends_the_attempt_and_its_opening_names_the_sender() {
    let changes: [(ChangeShare, ShareFlaw); 4] = [
        (|plain| add_one(&mut plain[..32]), ShareFlaw::Signing),
        (|plain| add_one(&mut plain[32..]), ShareFlaw::Election),
        (|plain| plain[..32].fill(0xff), ShareFlaw::Signing),
        (|plain| plain[32..].fill(0xff), ShareFlaw::Election),
    ];
    for (change, flaw) in changes {
        let mut world = with_shares(|world, shares| victims(shares).sealed = reseal(world, change).0);
        let complaint = world.body(VICTIM, |body| if let Body::Complaint(c) = body { Some(c) } else { None });
        assert_eq!((complaint.against, complaint.flaw), (BENT, flaw));
        {
            let mut memory = CeremonyMemory::default();
            let judged = world.judged(&mut memory);
            assert_eq!(judged.step(), CeremonyStep::GivenUp);
            assert_eq!(judged.awaiting(), [BENT], "the opening is owed");
            assert!(judged.flaws().is_empty(), "a complaint alone proves nothing");
        }
        let (_, plaintext) = reseal(&world, change);
        let about = world.about(BENT, VICTIM);
        world.post(BENT, Opening { attempt: Attempt(1), to: VICTIM, seed: [9; 32], plaintext, about }.into());
        world.assert_only(&[(BENT, Wrong::BadShare)]);
    }
}

#[test]
fn a_ciphertext_that_its_sender_cannot_make_again_is_its_fault() {
    let mut world = with_shares(|_, shares| victims(shares).sealed.0[50] ^= 1);
    let complaint = world.body(VICTIM, |body| if let Body::Complaint(c) = body { Some(c) } else { None });
    assert_eq!(complaint.flaw, ShareFlaw::Sealed);
    // A good share, but not what was sent: wrong seed, or a ciphertext that was changed afterwards.
    for seed in [[9; 32], [8; 32]] {
        let (_, plaintext) = reseal(&world, |_| {});
        let about = world.about(BENT, VICTIM);
        world.post(BENT, Opening { attempt: Attempt(1), to: VICTIM, seed, plaintext, about }.into());
        world.assert_only(&[(BENT, Wrong::BadShare)]);
    }
}

fn false_complaint(about: impl Fn(&World) -> Hash) -> World {
    let mut honest = World::new(4, 3, 3);
    honest.run();
    let about = about(&honest);
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, body| {
        Some(match body {
            Body::Confirm(_) if me == BENT => {
                Complaint { attempt: Attempt(1), against: VICTIM, flaw: ShareFlaw::Signing, about }.into()
            }
            other => other,
        })
    });
    world
}

#[test]
fn a_false_complaint_is_opened_and_named() {
    let world = false_complaint(|honest| honest.about(VICTIM, BENT));
    assert!(world.board.values().any(|body| matches!(body, Body::Opening(_))), "the accused opens without being told");
    world.assert_only(&[(BENT, Wrong::FalseComplaint)]);
}

#[test]
fn who_complains_about_messages_that_others_did_not_see_is_not_called_a_liar() {
    // The sender may have shown it other shares: only comparing boards can tell.
    let world = false_complaint(|_| [1; 32]);
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    assert!(judged.flaws().is_empty());
    assert_eq!(judged.disputes(), [Dispute::ViewsDiffer { recipient: BENT, sender: VICTIM }]);
    assert_eq!(judged.step(), CeremonyStep::GivenUp);
}

#[test]
fn who_sealed_to_a_key_that_others_did_not_see_is_not_called_a_liar() {
    // The bent recipient shows two sealing keys. The sender sealed to the first; this board has the second.
    let mut world = false_complaint(|honest| honest.about(VICTIM, BENT));
    let other = SealingKey::derive(&[3; 32]);
    let first = world.participant_key(BENT);
    for body in world.board.values_mut() {
        if let Body::Terms(terms) = body
            && terms.sealing_key == first
        {
            terms.sealing_key = *other.public();
        }
    }
    let about = world.about(VICTIM, BENT);
    for body in world.board.values_mut() {
        if let Body::Complaint(complaint) = body {
            complaint.about = about;
        }
    }
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    assert!(judged.flaws().is_empty(), "{:?}", judged.flaws());
    assert!(judged.disputes().contains(&Dispute::ViewsDiffer { recipient: BENT, sender: VICTIM }));
}

#[test]
fn a_wrong_certificate_for_the_right_transcript_is_named() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, mut body| {
        if let Body::Confirm(confirm) = &mut body
            && me == BENT
        {
            confirm.certificate[0] ^= 1;
        }
        Some(body)
    });
    world.assert_only(&[(BENT, Wrong::WrongCertificate)]);
}

#[test]
fn a_confirmation_of_another_transcript_stops_the_attempt_and_accuses_nobody() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, mut body| {
        if let Body::Confirm(confirm) = &mut body
            && me == BENT
        {
            confirm.transcript[0] ^= 1;
        }
        Some(body)
    });
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    assert!(judged.flaws().is_empty() && !judged.certified());
    assert!(matches!(judged.disputes(), [Dispute::TranscriptMismatch { trustee: BENT, .. }]));
    assert_eq!(judged.step(), CeremonyStep::GivenUp);
}

#[test]
fn who_confirms_and_gives_up_is_named_but_a_certificate_stays() {
    let abandon = || Body::from(Abandon { attempt: Attempt(1), reason: "second thoughts".into() });
    let complaint =
        || Body::from(Complaint { attempt: Attempt(1), against: VICTIM, flaw: ShareFlaw::Sealed, about: [0; 32] });
    for gave_up in [abandon(), complaint()] {
        let mut world = World::new(4, 3, 3);
        world.run_bent(&mut |me, body| (me.0 != 4 || body.tag() != 16).then_some(body));
        world.post(BENT, gave_up.clone());
        world.assert_only(&[(BENT, Wrong::ConfirmedAndAbandoned)]);

        let mut world = World::new(4, 3, 3);
        world.run();
        world.post(BENT, gave_up);
        let mut memory = CeremonyMemory::default();
        let judged = world.judged(&mut memory);
        let found: Vec<_> = judged.flaws().iter().map(|flaw| (flaw.culprit, flaw.wrong)).collect();
        assert_eq!(found, [(BENT, Wrong::ConfirmedAndAbandoned)]);
        assert_eq!(judged.step(), CeremonyStep::Certified, "n signatures are success, whatever is said later");
        assert_eq!(world.key_shares().len(), 4);
    }
}

#[test]
fn an_honest_trustee_never_confirms_what_was_given_up() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |_, body| (body.tag() != 16).then_some(body));
    world.post(BENT, Abandon { attempt: Attempt(1), reason: "state lost".into() }.into());
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    assert_eq!(judged.step(), CeremonyStep::GivenUp);
    assert!(judged.flaws().is_empty(), "giving up is no fault");
    for me in world.seeds.keys() {
        assert!(world.participant(*me).duty(&judged).unwrap().is_empty());
    }
}

#[test]
fn messages_of_strangers_and_other_attempts_change_nothing() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut other = World::new(4, 3, 3);
    other.attempt = Attempt(2);
    other.run();
    let mut memory = CeremonyMemory::default();
    let expected = world.judged(&mut memory).certificate().cloned();
    let mut transcript = world.transcript();
    for (slot, body) in &other.board {
        let Sender::Trustee(TrusteeIndex(from)) = slot.sender else { continue };
        for stranger in [0, from + 4, u16::MAX] {
            transcript.add(TrusteeIndex(stranger), body);
        }
    }
    let confused = Abandon { attempt: Attempt(2), reason: "old".into() };
    transcript.abandons.insert(BENT, &confused);
    let judged = transcript.judge(&mut CeremonyMemory::default());
    assert_eq!(judged.step(), CeremonyStep::Certified);
    assert_eq!(judged.certificate().cloned(), expected);
}

#[test]
fn a_sealed_share_opens_only_on_its_own_route() {
    let (election, other) = (ElectionId([1; 32]), ElectionId([2; 32]));
    let (terms, other_terms) = ([3; 32], [4; 32]);
    let key = SealingKey::derive(&[5; 32]);
    let route = Route { election: &election, attempt: Attempt(1), terms: &terms, from: BENT, to: VICTIM };
    let sealed = seal(key.public(), &route, &[6; 32], &[7; 64]).unwrap();
    assert_eq!(sealed, seal(key.public(), &route, &[6; 32], &[7; 64]).unwrap(), "the same again");
    assert_eq!(key.open(&route, &sealed).map(|plain| *plain), Some([7; 64]));

    for wrong in [
        Route { election: &other, ..copy(&route) },
        Route { attempt: Attempt(2), ..copy(&route) },
        Route { terms: &other_terms, ..copy(&route) },
        Route { from: TrusteeIndex(1), ..copy(&route) },
        Route { to: TrusteeIndex(1), ..copy(&route) },
    ] {
        assert!(key.open(&wrong, &sealed).is_none());
    }
    assert!(SealingKey::derive(&[6; 32]).open(&route, &sealed).is_none(), "another key");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        // X25519 ignores the top bit of a point, but the encapsulated key is bound as it was sent.
        assert!(key.open(&route, &changed).is_none(), "byte {at}");
    }
    assert!(key.open(&route, &sealed[..111]).is_none());
    assert!(key.open(&route, &[&sealed[..], &[0]].concat()).is_none());
    assert!(seal(&[0; 32], &route, &[6; 32], &[7; 64]).is_none(), "a key of small order");
}

fn copy<'a>(route: &Route<'a>) -> Route<'a> {
    Route { election: route.election, attempt: route.attempt, terms: route.terms, from: route.from, to: route.to }
}

#[test]
fn whatever_one_trustee_says_nobody_else_is_named() {
    // One byte of one message changed, any message, any byte that still decodes; the others answer as they must.
    let mut honest = World::new(4, 3, 3);
    honest.run();
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([11; 32]);
    let (mut tried, mut named) = (0, 0);
    while tried < 120 {
        let tag = [10, 11, 12, 13, 16][rng.next_u32() as usize % 5];
        let mut bytes = {
            let slot = Slot { tag, number: 1, topic: 0, sender: Sender::Trustee(BENT) };
            honest.board[&slot].to_bytes()
        };
        let at = rng.next_u32() as usize % bytes.len();
        bytes[at] ^= 1 << (rng.next_u32() % 8);
        let Ok(bent) = Body::from_bytes(&bytes) else { continue };
        if bent.tag() != tag || matches!(&bent, Body::Terms(terms) if terms.attempt != Attempt(1)) {
            continue;
        }
        tried += 1;
        let mut world = World::new(4, 3, 3);
        world.run_bent(&mut |me, body| Some(if me == BENT && body.tag() == tag { bent.clone() } else { body }));
        let mut memory = CeremonyMemory::default();
        let judged = world.judged(&mut memory);
        assert!(!judged.certified(), "byte {at} of message {tag}");
        assert!(
            judged.flaws().iter().all(|flaw| flaw.culprit == BENT),
            "byte {at} of message {tag}: {:?}",
            judged.flaws()
        );
        named += judged.flaws().len();
    }
    assert!(named > tried / 3, "the test would miss what it looks for: {named} of {tried}");
}
