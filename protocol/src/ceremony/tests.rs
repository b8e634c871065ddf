//! Whole ceremonies in memory: honest, interrupted, and with one trustee bent.
#![allow(clippy::indexing_slicing, reason = "a test that is out of bounds should fail loudly")]

use super::*;
use crate::{
    encoding::Canonical,
    group::{Point, Scalar, base_mul},
    manifest::tests::sample,
    signed::{Body, Sender, Slot},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use messages::*;

mod misbehaviour;
mod vectors;

/// Everybody's seeds and the one board.
struct World {
    manifest: Manifest,
    election: ElectionId,
    attempt: Attempt,
    seeds: BTreeMap<TrusteeIndex, AttemptSeed>,
    board: BTreeMap<Slot, Body>,
    /// Whose messages were changed on the way: it does not know its own board any more.
    bent: BTreeSet<TrusteeIndex>,
}

fn manifest(n: u16, t: u16, s: u16) -> Manifest {
    let mut manifest = sample(n);
    manifest.quorums.t = t;
    manifest.quorums.s = s;
    manifest.quorums.one_aggregate_by_certificate = true;
    manifest.validate().unwrap();
    manifest
}

impl World {
    fn new(n: u16, t: u16, s: u16) -> Self {
        let manifest = manifest(n, t, s);
        let seeds = manifest.trustee_indices().map(|me| (me, AttemptSeed::new([u8::try_from(me.0).unwrap(); 32])));
        Self {
            election: manifest.id(),
            attempt: Attempt(1),
            seeds: seeds.collect(),
            board: BTreeMap::new(),
            bent: BTreeSet::new(),
            manifest,
        }
    }

    fn transcript(&self) -> Transcript<'_> {
        let mut transcript = Transcript::new(&self.election, &self.manifest, self.attempt);
        for (slot, body) in &self.board {
            let Sender::Trustee(from) = slot.sender else { continue };
            transcript.add(from, body);
        }
        transcript
    }

    fn judged<'a>(&'a self, memory: &mut CeremonyMemory) -> Judged<'a> {
        self.transcript().judge(memory)
    }

    fn participant(&self, me: TrusteeIndex) -> Participant {
        Participant::new(me, &self.seeds[&me], &self.manifest, self.attempt).unwrap()
    }

    fn participant_key(&self, of: TrusteeIndex) -> [u8; 32] {
        let empty = Transcript::new(&self.election, &self.manifest, self.attempt);
        let owed = self.participant(of).duty(&empty.judge(&mut CeremonyMemory::default())).unwrap();
        let [CeremonyMessage::Terms(terms)] = owed.as_slice() else { panic!("terms come first") };
        terms.sealing_key
    }

    fn post(&mut self, from: TrusteeIndex, body: Body) {
        let slot = slot(self.attempt, from, &body);
        self.board.insert(slot, body);
    }

    /// Everybody says what it owes, bent by `bend`, until nobody owes anything.
    fn run_bent(&mut self, bend: &mut dyn FnMut(TrusteeIndex, Body) -> Option<Body>) {
        let participants: Vec<_> = self.seeds.keys().map(|me| (*me, self.participant(*me))).collect();
        let mut memory = CeremonyMemory::default();
        let mut said = BTreeSet::new();
        loop {
            let mut new = Vec::new();
            for (me, participant) in &participants {
                let owed = participant.duty(&self.judged(&mut memory));
                let owed = if self.bent.contains(me) { owed.unwrap_or_default() } else { owed.unwrap() };
                for message in owed {
                    let body = Body::from(message);
                    if !said.insert(slot(self.attempt, *me, &body)) {
                        continue;
                    }
                    let changed = bend(*me, body.clone());
                    if changed.as_ref() != Some(&body) {
                        self.bent.insert(*me);
                    }
                    new.extend(changed.map(|body| (*me, body)));
                }
            }
            if new.is_empty() {
                return;
            }
            for (me, body) in new {
                self.post(me, body);
            }
        }
    }

    fn run(&mut self) {
        self.run_bent(&mut |_, body| Some(body));
    }

    fn key_shares(&self) -> Vec<KeyShares> {
        let mut memory = CeremonyMemory::default();
        let judged = self.judged(&mut memory);
        self.seeds.keys().map(|me| self.participant(*me).key_shares(&judged).unwrap()).collect()
    }
}

fn slot(attempt: Attempt, from: TrusteeIndex, body: &Body) -> Slot {
    let topic = match body {
        Body::Complaint(body) => body.against.0,
        Body::Opening(body) => body.to.0,
        _ => 0,
    };
    Slot { tag: body.tag(), number: attempt.0, topic, sender: Sender::Trustee(from) }
}

fn lagrange(at: &[u16], of: u16) -> Scalar {
    at.iter()
        .filter(|j| **j != of)
        .fold(Scalar::ONE, |product, j| product * Scalar::from(*j) * (Scalar::from(*j) - Scalar::from(of)).invert())
}

fn interpolate(shares: &[&KeyShares]) -> Scalar {
    let at: Vec<u16> = shares.iter().map(|share| share.me.0).collect();
    shares.iter().map(|share| lagrange(&at, share.me.0) * share.election.secret()).sum()
}

fn sign(signers: &[&KeyShares], certificate: &KeyCertificate, s: u16, message: &[u8]) -> [u8; 64] {
    let mut rng = rand_core::OsRng;
    let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
    for signer in signers {
        let (nonce, commitment) = frost_ed25519::round1::commit(signer.signing.signing_share(), &mut rng);
        nonces.insert(*signer.signing.identifier(), nonce);
        commitments.insert(*signer.signing.identifier(), commitment);
    }
    let package = frost_ed25519::SigningPackage::new(commitments, message);
    let shares = signers.iter().map(|signer| {
        let id = signer.signing.identifier();
        (*id, frost_ed25519::round2::sign(&package, &nonces[id], &signer.signing).unwrap())
    });
    let public = certificate.signing_keys(s).unwrap();
    let signature = frost_ed25519::aggregate(&package, &shares.collect(), &public).unwrap();
    signature.serialize().unwrap().try_into().unwrap()
}

fn combinations(all: &[KeyShares], count: usize) -> Vec<Vec<&KeyShares>> {
    let masks = (0u32..1 << all.len()).filter(|mask| mask.count_ones() as usize == count);
    masks
        .map(|mask| all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, share)| share).collect())
        .collect()
}

#[test]
fn any_threshold_of_shares_is_the_key_and_fewer_are_not() {
    for (n, t, s) in [(4, 3, 3), (4, 2, 3), (9, 5, 7)] {
        let mut world = World::new(n, t, s);
        world.run();
        let mut memory = CeremonyMemory::default();
        let judged = world.judged(&mut memory);
        assert_eq!(judged.step(), CeremonyStep::Certified, "{n} {t} {s}");
        assert!(judged.flaws().is_empty() && judged.disputes().is_empty() && judged.awaiting().is_empty());
        let certificate = judged.certificate().unwrap();
        let shares = world.key_shares();

        for some in combinations(&shares, t.into()) {
            assert_eq!(base_mul(&interpolate(&some)), certificate.election_key.raw(), "{n} {t} {s}");
        }
        for few in combinations(&shares, usize::from(t) - 1) {
            assert_ne!(base_mul(&interpolate(&few)), certificate.election_key.raw());
        }

        let statement = rehearsal_statement(certificate);
        let key = ed25519_dalek::VerifyingKey::from_bytes(&certificate.signing_key).unwrap();
        for signers in combinations(&shares, s.into()).into_iter().step_by(7) {
            let signature = sign(&signers, certificate, s, &statement);
            key.verify_strict(&statement, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
        }
    }
}

#[test]
fn the_two_keys_and_all_shares_are_different() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let certificate = judged.certificate().unwrap();
    let mut secrets = BTreeSet::new();
    for share in world.key_shares() {
        secrets.insert(share.election.secret().to_bytes().to_vec());
        secrets.insert(share.signing.signing_share().serialize());
        secrets.insert(share.lot.secret.to_bytes()[..32].to_vec());
    }
    assert_eq!(secrets.len(), 12, "no randomness is used twice");
    assert_ne!(&certificate.signing_key, certificate.election_key.bytes());
}

#[test]
fn the_rehearsal_is_decrypted_by_the_shares_and_can_be_no_transaction() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let certificate = judged.certificate().unwrap();
    let RehearsalCiphertext { a, b, m } = rehearsal_ciphertext(certificate);
    assert!((1..=256).contains(&m));
    let shares = world.key_shares();
    let secret = interpolate(&[&shares[0], &shares[2], &shares[3]]);
    assert_eq!(b.raw() - a.raw() * secret, base_mul(&Scalar::from(m)));

    let statement = rehearsal_statement(certificate);
    assert!(statement.starts_with(b"\xffsolana offchain"));
    let text = hex::encode(certificate.digest());
    assert!(statement.ends_with(text.as_bytes()), "it names the certificate");
}

#[test]
fn a_certificate_has_one_encoding() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let certificate = judged.certificate().unwrap();
    let bytes = certificate.to_bytes();
    let again = KeyCertificate::from_bytes(&bytes).unwrap();
    assert_eq!(&again, certificate);
    assert_eq!(again.digest(), certificate.digest());
    assert!(KeyCertificate::from_bytes(&[bytes, [0].to_vec()].concat()).is_err());
}

#[test]
fn every_step_waits_for_all_and_names_who_is_missing() {
    let mut world = World::new(4, 3, 3);
    let silent = TrusteeIndex(3);
    for (tag, step) in [
        (10, CeremonyStep::Terms),
        (11, CeremonyStep::Commit),
        (12, CeremonyStep::Reveal),
        (13, CeremonyStep::Shares),
        (16, CeremonyStep::Confirm),
    ] {
        world.run_bent(&mut |me, body| (me != silent || body.tag() != tag).then_some(body));
        let mut memory = CeremonyMemory::default();
        let judged = world.judged(&mut memory);
        assert_eq!(judged.step(), step);
        assert_eq!(judged.awaiting(), [silent]);
        assert!(judged.flaws().is_empty(), "silence is no fault");
        assert!(matches!(world.participant(silent).key_shares(&judged), Err(KeyRefusal::NotCertified { .. })));
    }
}

#[test]
fn a_trustee_that_crashes_at_any_point_says_the_same_again() {
    let mut calm = World::new(4, 3, 3);
    calm.run();
    // Everybody is made anew from its seed before each message, and judges with an empty memory.
    let mut crashing = World::new(4, 3, 3);
    loop {
        let mut new = Vec::new();
        for me in crashing.seeds.keys() {
            let say = || crashing.participant(*me).duty(&crashing.judged(&mut CeremonyMemory::default())).unwrap();
            let owed = say();
            assert_eq!(owed, say());
            new.extend(owed.into_iter().map(|message| (*me, Body::from(message))));
        }
        if new.is_empty() {
            break;
        }
        for (me, body) in new {
            crashing.post(me, body);
        }
    }
    assert_eq!(crashing.board, calm.board);
    for (one, other) in calm.key_shares().iter().zip(crashing.key_shares()) {
        assert_eq!(one.signing, other.signing);
        assert_eq!(one.election.secret(), other.election.secret());
    }
}

#[test]
fn another_seed_than_the_boards_says_nothing_more() {
    let mut world = World::new(4, 3, 3);
    world.run_bent(&mut |me, body| (me.0 != 2 || body.tag() < 12).then_some(body));
    world.seeds.insert(TrusteeIndex(2), AttemptSeed::new([99; 32]));
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let refusal = world.participant(TrusteeIndex(2)).duty(&judged);
    assert_eq!(refusal, Err(DutyRefusal::SeedMismatch { kind: "Terms" }));
}

#[test]
fn a_participant_of_another_attempt_or_election_or_no_trustee_is_refused() {
    let world = World::new(4, 3, 3);
    let seed = &world.seeds[&TrusteeIndex(1)];
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let later = Participant::new(TrusteeIndex(1), seed, &world.manifest, Attempt(2)).unwrap();
    assert!(matches!(later.duty(&judged), Err(DutyRefusal::OtherAttempt { .. })));
    let elsewhere = Participant::new(TrusteeIndex(1), seed, &manifest(4, 2, 3), Attempt(1)).unwrap();
    assert!(matches!(elsewhere.duty(&judged), Err(DutyRefusal::OtherAttempt { .. })));
    for stranger in [0, 5] {
        let refusal = Participant::new(TrusteeIndex(stranger), seed, &world.manifest, Attempt(1));
        assert!(matches!(refusal, Err(DutyRefusal::NotATrustee { .. })));
    }
}

#[test]
fn a_seed_used_twice_makes_no_key_twice() {
    // A cloned machine: two trustees, or two attempts, with one seed. (K13)
    let world = World::new(4, 3, 3);
    let seed = AttemptSeed::new([7; 32]);
    let make = |me, attempt| Participant::new(TrusteeIndex(me), &seed, &world.manifest, Attempt(attempt)).unwrap();
    let mut firsts = BTreeSet::new();
    for (me, attempt) in [(1, 1), (2, 1), (1, 2)] {
        let empty = Transcript::new(&world.election, &world.manifest, Attempt(attempt));
        let owed = make(me, attempt).duty(&empty.judge(&mut CeremonyMemory::default())).unwrap();
        let [CeremonyMessage::Terms(terms)] = owed.as_slice() else { panic!("terms come first") };
        firsts.extend([terms.sealing_key, terms.lot_key]);
    }
    assert_eq!(firsts.len(), 6);
}

#[test]
fn no_public_message_contains_a_share() {
    let mut world = World::new(9, 5, 7);
    world.run();
    let public: Vec<u8> = world.board.values().flat_map(Canonical::to_bytes).collect();
    let windows: BTreeSet<&[u8]> = public.windows(16).collect();
    let shown = |secret: &[u8]| windows.contains(&secret[..16]) || windows.contains(&secret[16..32]);
    for share in world.key_shares() {
        assert!(!shown(&share.election.secret().to_bytes()));
        assert!(!shown(&share.signing.signing_share().serialize()));
        assert!(!shown(&share.lot.secret.to_bytes()));
    }
    for (me, seed) in &world.seeds {
        assert!(!shown(seed.secret_bytes()), "the seed of {me}");
        let participant = world.participant(*me);
        for to in world.manifest.trustee_indices() {
            let pair = participant.plaintext_for_test(to);
            assert!(!shown(&pair[..32]) && !shown(&pair[32..]), "the share of {me} for {to}");
        }
    }
    // The search finds what is there.
    let terms = world.board.values().find_map(|body| match body {
        Body::Terms(terms) => Some(terms.lot_key),
        _ => None,
    });
    assert!(shown(&terms.unwrap()));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let shares = &world.key_shares()[0];
    let text = alloc::format!(
        "{:?} {:?} {:?} {:?} {:?}",
        shares,
        shares.election,
        world.seeds[&TrusteeIndex(1)],
        world.participant(TrusteeIndex(1)),
        shares.signing
    );
    for secret in [shares.election.secret().to_bytes().to_vec(), shares.signing.signing_share().serialize()] {
        assert!(!text.contains(&hex::encode(secret)));
    }
    assert!(text.contains("AttemptSeed(redacted)") && text.contains("ElectionShare(redacted)"));
}

#[test]
fn tags_are_those_of_the_envelopes() {
    let mut world = World::new(4, 3, 3);
    world.run();
    for (slot, body) in &world.board {
        let Sender::Trustee(from) = slot.sender else { panic!("only trustees speak") };
        let draft =
            crate::signed::Draft { election: world.election, sender: Sender::Trustee(from), body: body.clone() };
        assert_eq!(draft.sign([0; 64]).slot(), *slot);
    }
    let names: BTreeMap<u16, &str> = world.board.values().map(|body| (body.tag(), body.name())).collect();
    assert_eq!(names[&transcript::TERMS], "Terms");
    assert_eq!(names[&transcript::COMMIT], "Commit");
    assert_eq!(names[&transcript::REVEAL], "Reveal");
    assert_eq!(names[&transcript::SHARES], "Shares");
    assert_eq!(names[&transcript::CONFIRM], "Confirm");
}

#[test]
fn the_memory_changes_nothing_but_the_time() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut warm = CeremonyMemory::default();
    drop(world.judged(&mut warm));
    let (warm, cold) = (world.judged(&mut warm).certificate().cloned(), {
        let mut memory = CeremonyMemory::default();
        world.judged(&mut memory).certificate().cloned()
    });
    assert_eq!(warm, cold);
    // A memory that saw one board does not vouch for another.
    let mut memory = CeremonyMemory::default();
    drop(world.judged(&mut memory));
    for body in world.board.values_mut() {
        if let Body::Reveal(reveal) = body {
            reveal.signing_proof[40] ^= 1;
        }
    }
    assert!(world.judged(&mut memory).certificate().is_none());
}

/// The whole ceremony's cost, for all trustees together. `cargo test --release -p protocol ceremony_cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stderr, reason = "a measurement")]
fn ceremony_cost() {
    for (n, t, s) in [(4, 3, 3), (9, 7, 7), (9, 5, 7), (30, 21, 21)] {
        let mut world = World::new(n, t, s);
        world.manifest.quorums.t = t;
        let start = std::time::Instant::now();
        // As in real life: every trustee judges with a memory of its own, after every message of every trustee.
        let participants: Vec<_> = world.seeds.keys().map(|me| (*me, world.participant(*me))).collect();
        let mut memories: Vec<_> = participants.iter().map(|_| CeremonyMemory::default()).collect();
        loop {
            let mut new = Vec::new();
            for ((me, participant), memory) in participants.iter().zip(&mut memories) {
                let owed = participant.duty(&world.judged(memory)).unwrap();
                new.extend(owed.into_iter().map(|message| (*me, Body::from(message))));
            }
            if new.is_empty() {
                break;
            }
            for (me, body) in new {
                world.post(me, body);
                for memory in &mut memories {
                    drop(world.judged(memory));
                }
            }
        }
        let keys = world.key_shares().len();
        std::eprintln!("{t}/{s} of {n}: {:?} for {keys} trustees, judged after every message", start.elapsed());
    }
}
