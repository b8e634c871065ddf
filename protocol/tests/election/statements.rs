//! Whose statements count, and how many of them. (P-ENV-3, P-VOT-2, P-VOT-4)

use crate::world::World;
use protocol::{
    agreement::messages::{Close, CloseRequest, OpenRequest, Sealed},
    board::Stage,
    ceremony::messages::{Complaint, ShareFlaw},
    evidence::{Moot, Verdict},
    ids::{Attempt, ElectionId, ShardIndex, TrusteeIndex},
    manifest::Quorums,
    signed::{Accept, Announce, Body, Draft, Envelope, EnvelopeRefusal, Sender},
    signing::messages::{Purpose, SignAbort},
};

const CONFIRM: u16 = 16;

fn refusal(world: &World, envelope: &Envelope) -> EnvelopeRefusal {
    match world.board.check(envelope) {
        Verdict::Moot(Moot::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_statement_without_its_senders_signature_is_nobodys() {
    let world = World::new(4, Quorums::default_for(4), 71);
    let sender = Sender::Trustee(TrusteeIndex(2));
    let mut envelope = world.sign(sender, Accept {}.into());
    assert!(matches!(world.board.check(&envelope), Verdict::Valid(_)));
    envelope.signature[40] ^= 1;
    assert_eq!(refusal(&world, &envelope), EnvelopeRefusal::Signature(sender));
    let forged =
        Envelope { signature: world.sign(Sender::Trustee(TrusteeIndex(1)), Accept {}.into()).signature, ..envelope };
    assert_eq!(refusal(&world, &forged), EnvelopeRefusal::Signature(sender));
}

#[test]
fn a_statement_of_another_election_is_refused() {
    use ed25519_dalek::Signer as _;
    let world = World::new(4, Quorums::default_for(4), 72);
    let (election, sender) = (ElectionId([7; 32]), Sender::Trustee(TrusteeIndex(1)));
    let draft = Draft { election, sender, body: Accept {}.into() };
    let signature = world.trustees[0].sign(&draft.message()).to_bytes();
    let expected = world.board.election();
    assert_eq!(refusal(&world, &draft.sign(signature)), EnvelopeRefusal::WrongElection { expected, got: election });
}

#[test]
fn nobody_says_what_is_not_theirs_to_say() {
    let world = World::new(4, Quorums::default_for(4), 73);
    let key_certificate = [1; 32];
    let theirs: [(Sender, Body); 6] = [
        (Sender::Trustee(TrusteeIndex(1)), OpenRequest { key_certificate }.into()),
        (Sender::Trustee(TrusteeIndex(1)), CloseRequest { key_certificate }.into()),
        (Sender::Trustee(TrusteeIndex(1)), Sealed { lanes: vec![] }.into()),
        (Sender::Official(1), Close { key_certificate }.into()),
        (Sender::Shard(ShardIndex(1)), Close { key_certificate }.into()),
        (Sender::Shard(ShardIndex(1)), Announce {}.into()),
    ];
    for (sender, body) in theirs {
        let kind = body.name();
        let envelope = world.sign(sender, body);
        assert_eq!(refusal(&world, &envelope), EnvelopeRefusal::NotTheirs { sender, kind });
    }
}

#[test]
fn fewer_than_a_quorum_close_nothing() {
    let mut world = World::new(4, Quorums::default_for(4), 74);
    world.open();
    let key_certificate = world.board.key_certificate().unwrap().digest();
    for trustee in 1..=3 {
        assert_eq!(world.board.stage(), Stage::Open, "{} have closed", trustee - 1);
        world.post(Sender::Trustee(TrusteeIndex(trustee)), Close { key_certificate }.into());
    }
    assert!(world.board.closed());
}

#[test]
fn keys_that_somebody_has_not_tried_open_no_election() {
    let mut world = World::new(4, Quorums::default_for(4), 75);
    let silent = Sender::Trustee(TrusteeIndex(1));
    // It confirms before the others do, so that there is no certificate yet; then it is gone.
    while !world.board.has(CONFIRM, 1, 0, silent) {
        world.trustee_acts(1);
        world.trustee_acts(2);
        world.trustee_acts(3);
        world.trustee_acts(0);
    }
    assert!(world.board.key_certificate().is_none());
    world.keepers[0] = None;
    // Long enough for the home shard to ask others in its place.
    for _ in 0..20 {
        world.settle();
        world.now.0 += 5_000;
    }
    assert!(world.board.key_certificate().is_some());
    assert!(!world.board.ready());
    assert_eq!(world.board.stage(), Stage::Rehearsal);
}

/// A06: whoever says everything there is to say fills its own part of the board and nobody else's.
#[test]
fn nobody_fills_anothers_part_of_the_board() {
    let mut world = World::new(100, Quorums::default_for(100), 76);
    let liar = Sender::Trustee(TrusteeIndex(9));
    let abort =
        |attempt, purpose| -> Body { SignAbort { purpose, attempt: Attempt(attempt), reason: String::new() }.into() };
    let max = world.board.part_max();
    let before = world.board.len();
    let all = (1..=1024).flat_map(|attempt| [Purpose::Rehearsal, Purpose::AnchorKey].map(|purpose| (attempt, purpose)));
    let mut refused = 0;
    for (attempt, purpose) in all {
        let envelope = world.sign(liar, abort(attempt, purpose));
        match world.board.check(&envelope) {
            Verdict::Valid(checked) => world.board.absorb(checked),
            Verdict::Moot(Moot::Full { max: got }) => {
                assert_eq!(got, max);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((world.board.len() - before, refused), (max, 2048 - max));
    let others = world.sign(Sender::Trustee(TrusteeIndex(10)), abort(1, Purpose::Rehearsal));
    assert!(matches!(world.board.check(&others), Verdict::Valid(_)));
    let shards = world.sign(Sender::Shard(world.board.manifest().home), Sealed { lanes: vec![] }.into());
    assert!(matches!(world.board.check(&shards), Verdict::Valid(_)));
}

#[test]
fn complaints_are_about_another_trustee() {
    let world = World::new(4, Quorums::default_for(4), 77);
    for (against, good) in [(0, false), (1, true), (2, false), (4, true), (5, false), (u16::MAX, false)] {
        let complaint =
            Complaint { attempt: Attempt(1), against: TrusteeIndex(against), flaw: ShareFlaw::Signing, about: [0; 32] };
        let envelope = world.sign(Sender::Trustee(TrusteeIndex(2)), complaint.into());
        let verdict = world.board.check(&envelope);
        let taken = matches!(verdict, Verdict::Valid(_));
        assert_eq!(taken, good, "{against}: {verdict:?}");
        assert!(good || matches!(verdict, Verdict::Moot(Moot::NotATrustee { got }) if got == against));
    }
}
