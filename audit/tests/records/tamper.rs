//! One valid record and everything that can be done to it: none of it passes.

use crate::{
    folder::{Files, checkpoint, entries, listed},
    support::World,
};
use audit::{Report, Verdict};
use protocol::{
    agreement::messages::Precommit,
    ballot_box,
    encoding::Canonical as _,
    ids::{OptionIndex, Round, TrusteeIndex},
    manifest::{Quorums, Revote},
    signed::{Body, Envelope, Sender},
};
use std::{
    fs,
    sync::{LazyLock, Mutex},
};

const BOARD: &str = "conclave-board-1\n";
const LANE: &str = "conclave-lane-1\n";

/// An election in which trustee 3 decrypts wrongly, so that there is evidence as well.
static ELECTION: LazyLock<(Mutex<World>, Files)> = LazyLock::new(|| {
    // Whether trustee 3 is among the first to decrypt is drawn by lot.
    let mut worlds = (20..40).map(|seed| {
        let mut world = World::new(Quorums::default_for(4), 4, 12, Revote::Last, seed);
        world.bent = Some((2, |body, _| match body {
            Body::Partials(mut partials) => {
                partials.points.swap(0, 1);
                Body::Partials(partials)
            }
            other => other,
        }));
        world.hold();
        world
    });
    let world = worlds.find(|world| world.board.evidence().len() == 1).unwrap();
    let files = Files::of(&world);
    assert_eq!(files.verify().verdict, Verdict::Valid, "{}", files.verify().to_text());
    (Mutex::new(world), files)
});

fn world() -> std::sync::MutexGuard<'static, World> {
    ELECTION.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn good() -> Files {
    ELECTION.1.clone()
}

/// Refused by this check. The liar has brought the digests in the summary up to date.
fn refused_by(mut files: Files, check: u8, what: &str) -> Report {
    files.sum_up();
    let report = files.verify();
    let by = report.failure.as_ref().map(|(check, _)| *check);
    assert_eq!((report.verdict, by), (Verdict::Invalid, Some(check)), "{what}: {}", report.to_text());
    report
}

fn refused(files: &Files, what: &str) {
    let report = files.verify();
    assert_ne!(report.verdict, Verdict::Valid, "{what}");
    assert!(report.failure.is_some() && report.totals.is_empty(), "{what}");
}

fn board(files: &Files) -> Vec<Vec<u8>> {
    entries(BOARD, &files.0["board.bin"])
}

fn with_board(mut board: Vec<Vec<u8>>) -> Files {
    board.sort_by_key(|bytes| Envelope::from_bytes(bytes).map(|envelope| envelope.slot()).ok());
    with_board_as_it_is(board)
}

fn with_board_as_it_is(board: Vec<Vec<u8>>) -> Files {
    let mut files = good();
    files.0.insert("board.bin".into(), listed(BOARD, board));
    files
}

fn lane(files: &Files, lane: usize) -> Vec<Vec<u8>> {
    entries(LANE, &files.0[&format!("lanes/{lane}.log")])
}

fn with_lane(number: usize, leaves: Vec<Vec<u8>>) -> Files {
    let mut files = good();
    files.0.insert(format!("lanes/{number}.log"), listed(LANE, leaves));
    files
}

/// About so many places of a file, spread over all of it.
fn places(length: usize, about: usize) -> impl Iterator<Item = usize> {
    // A step that is no multiple of 32 meets every place of the fields.
    let step = (length / about).max(1) | 1;
    (0..length).step_by(step)
}

#[test]
fn a_changed_byte_in_any_file_is_refused() {
    for (name, bytes) in good().0 {
        for (at, flip) in places(bytes.len(), 60).zip([1, 0x80, 4].into_iter().cycle()) {
            let mut files = good();
            files.0.get_mut(&name).unwrap()[at] ^= flip;
            refused(&files, &format!("{name}, byte {at}"));
        }
    }
}

#[test]
fn a_changed_byte_is_refused_even_if_the_digests_are_brought_up_to_date() {
    for (name, bytes) in good().0 {
        // The summary is what is brought up to date; versions are nobody's claim.
        if name == "summary.json" || name == "versions.json" {
            continue;
        }
        for at in places(bytes.len(), 120) {
            let mut files = good();
            files.0.get_mut(&name).unwrap()[at] ^= 4;
            files.sum_up();
            refused(&files, &format!("{name}, byte {at}"));
        }
    }
}

#[test]
fn a_truncated_lengthened_empty_or_missing_file_is_refused() {
    for (name, bytes) in &good().0 {
        let name = name.as_str();
        let mut files = good();
        files.0.remove(name);
        refused(&files, &format!("{name} missing"));
        for tail in [&[0][..], b"\n", &[0, 0, 0, 0], &[0xff; 8]] {
            let mut files = good();
            files.0.get_mut(name).unwrap().extend(tail);
            files.sum_up();
            // A line feed more is still the same JSON, and versions are nobody's claim.
            if name != "summary.json" && (name, tail) != ("versions.json", b"\n") {
                refused(&files, &format!("{name} with {tail:?} behind it"));
            }
        }
        for length in places(bytes.len(), 25) {
            let mut files = good();
            files.0.get_mut(name).unwrap().truncate(length);
            files.sum_up();
            if files.0[name].trim_ascii_end() != bytes.trim_ascii_end() {
                refused(&files, &format!("{name} cut at {length}"));
            }
        }
    }
}

#[test]
fn garbage_in_any_file_is_refused_and_nothing_panics() {
    use rand_core::{RngCore as _, SeedableRng as _};
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(3);
    for (name, bytes) in good().0 {
        for _ in 0..15 {
            let mut files = good();
            let file = files.0.get_mut(&name).unwrap();
            let length = rng.next_u32() as usize % bytes.len();
            // Garbage behind a good beginning goes deeper than garbage alone.
            let keep = rng.next_u32() as usize % (length + 1);
            file.truncate(length);
            rng.fill_bytes(&mut file[keep..]);
            refused(&files, &format!("{name}: {length} bytes, {keep} of them good"));
        }
    }
}

#[test]
fn another_file_a_link_or_a_folder_in_place_of_a_file_is_refused() {
    let verify = |change: &dyn Fn(&std::path::Path)| {
        let folder = tempfile::tempdir().unwrap();
        good().write(folder.path());
        change(folder.path());
        audit::verify(folder.path(), &audit::Options::default()).verdict
    };
    assert_eq!(verify(&|_| ()), Verdict::Valid);
    assert_eq!(verify(&|root| fs::write(root.join("keys.bin"), [0]).unwrap()), Verdict::Invalid);
    assert_eq!(verify(&|root| fs::write(root.join("lanes/2.log"), LANE).unwrap()), Verdict::Invalid);
    assert_eq!(
        verify(&|root| {
            fs::rename(root.join("roll.bin"), root.join("lanes/roll")).unwrap();
            std::os::unix::fs::symlink("lanes/roll", root.join("roll.bin")).unwrap();
        }),
        Verdict::Invalid
    );
    assert_eq!(
        verify(&|root| {
            fs::remove_file(root.join("evidence.bin")).unwrap();
            fs::create_dir(root.join("evidence.bin")).unwrap();
        }),
        Verdict::Invalid
    );
}

#[test]
fn what_is_no_record_is_unreadable_and_not_invalid() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let report = audit::verify(&path, &audit::Options::default());
        assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Unreadable, 2));
        assert_eq!(report.failure.unwrap().0, 0);
    }
}

#[test]
fn a_removed_envelope_is_refused() {
    let all = board(&good());
    for at in 0..all.len() {
        let mut fewer = all.clone();
        let removed = Envelope::from_bytes(&fewer.remove(at)).unwrap();
        let mut files = with_board_as_it_is(fewer);
        refused(&files, &format!("without {:?}", removed.slot()));
        // With the digests brought up to date only what is more than enough may be missing: one of four agreements or
        // precommits where three do, prevotes, lots, the wrong decryption, the steps towards a signature that is there.
        files.sum_up();
        let surplus = match removed.body.tag() {
            21 | 23 | 31 | 32 | 33 => true,
            40 => removed.sender == Sender::Trustee(TrusteeIndex(3)),
            50..=53 => removed.slot().topic != 1,
            _ => false,
        };
        if !surplus {
            refused(&files, &format!("without {:?}, summed up", removed.slot()));
        }
    }
}

#[test]
fn doubled_or_swapped_envelopes_are_refused() {
    let all = board(&good());
    for at in 0..all.len() {
        let mut more = all.clone();
        more.insert(at, all[at].clone());
        refused_by(with_board_as_it_is(more), 1, "an envelope twice");
        if at > 0 {
            let mut swapped = all.clone();
            swapped.swap(at - 1, at);
            refused_by(with_board_as_it_is(swapped), 1, "two envelopes in another order");
        }
    }
}

/// Changes what a sender says, and signs it with the sender's own key.
fn said_otherwise(change: impl Fn(&mut Envelope) -> bool) -> Files {
    let world = world();
    let mut changed = 0;
    let board = board(&good())
        .into_iter()
        .map(|bytes| {
            let mut envelope = Envelope::from_bytes(&bytes).unwrap();
            if changed == 0 && change(&mut envelope) {
                changed += 1;
                envelope = world.sign(envelope.sender, envelope.body);
            }
            envelope.to_bytes()
        })
        .collect();
    assert_eq!(changed, 1);
    drop(world);
    with_board(board)
}

#[test]
fn lies_signed_by_their_own_sender_are_refused_by_the_check_that_they_break() {
    macro_rules! lie {
        ($check:literal, $kind:ident, $body:ident, $change:expr) => {
            refused_by(
                said_otherwise(|envelope| {
                    let Body::$kind($body) = &mut envelope.body else { return false };
                    $change;
                    true
                }),
                $check,
                concat!(stringify!($kind), ": ", stringify!($change)),
            );
        };
    }
    lie!(5, Terms, body, body.digest[0] ^= 1);
    lie!(5, Terms, body, body.sealing_key[0] ^= 1);
    lie!(5, Terms, body, body.sealing_key = [0; 32]);
    lie!(5, Terms, body, body.lot_key[31] ^= 1);
    lie!(5, Commit, body, body.commitment[5] ^= 1);
    lie!(5, Reveal, body, body.signing_commitments[0][3] ^= 1);
    lie!(5, Reveal, body, body.signing_commitments[2][3] ^= 1);
    lie!(5, Reveal, body, body.signing_proof[40] ^= 1);
    lie!(5, Reveal, body, body.election_commitments[1] = [0; 32]);
    lie!(5, Reveal, body, body.election_commitments.truncate(2));
    lie!(5, Reveal, body, body.election_proof[40] ^= 1);
    lie!(5, Reveal, body, body.nonce[0] ^= 1);
    lie!(5, Shares, body, body.shares[0].sealed.0[50] ^= 1);
    lie!(5, Shares, body, body.shares[0].to.0 = 1);
    lie!(5, Shares, body, body.shares.truncate(2));
    lie!(5, Confirm, body, body.certificate[0] ^= 1);
    lie!(5, Confirm, body, body.transcript[0] ^= 1);
    lie!(6, Rehearsal, body, body.partial = body.proof[..32].try_into().unwrap());
    lie!(6, Rehearsal, body, body.proof[63] ^= 1);
    lie!(10, Sealed, body, body.lanes[0].size.0 += 1);
    lie!(10, Sealed, body, body.lanes[1].root[0] ^= 1);
    lie!(10, Sealed, body, body.lanes.truncate(1));
    lie!(10, Proposal, body, body.value.counted += 1);
    lie!(10, Proposal, body, body.value.aggregate[0] ^= 1);
    lie!(14, Anchored, body, body.signature[0] ^= 1);
    lie!(14, Anchored, body, body.message.0[10] ^= 1);
    lie!(14, Anchored, body, body.attempt.0 += 100);
    lie!(16, Anchored, body, body.slot += 1);
}

#[test]
fn one_more_wrong_decryption_than_can_be_spared_is_refused_and_named() {
    let files = said_otherwise(|envelope| match &mut envelope.body {
        Body::Partials(body) => {
            body.proof[0] ^= 1;
            true
        }
        _ => false,
    });
    let report = refused_by(files, 12, "two wrong decryptions of four");
    assert!(report.failure.unwrap().1.found.contains("[1, 3]"));
}

#[test]
fn a_statement_of_the_wrong_party_is_refused() {
    for (sender, like) in [
        (Sender::Official(1), 2_u16),
        (Sender::Trustee(TrusteeIndex(1)), 20),
        (Sender::Shard(protocol::ids::ShardIndex(2)), 24),
        (Sender::Trustee(TrusteeIndex(5)), 2),
    ] {
        let files = {
            let world = world();
            let mut board = board(&good());
            let body = world.board.of_kind(like).next().unwrap().body.clone();
            let body = Envelope { sender, ..world.sign(Sender::Official(1), body) };
            board.push(body.to_bytes());
            with_board(board)
        };
        refused_by(files, 4, "a statement of a party that may not make it");
    }
}

#[test]
fn a_refusal_is_the_end_even_behind_an_acceptance() {
    let files = {
        let refuse = protocol::signed::Refuse { reason: "no".into() };
        let refusal = world().sign(Sender::Trustee(TrusteeIndex(2)), refuse.into());
        let mut board = board(&good());
        board.push(refusal.to_bytes());
        with_board(board)
    };
    refused_by(files, 4, "a refusal");
}

#[test]
fn a_second_certificate_for_another_vote_set_is_refused() {
    let files = {
        let world = world();
        let mut board = board(&good());
        for index in 1..=3 {
            let precommit = Precommit { round: Round(77), value: Some([7; 32]) };
            board.push(world.sign(Sender::Trustee(TrusteeIndex(index)), precommit.into()).to_bytes());
        }
        with_board(board)
    };
    refused_by(files, 10, "two certificates");
}

#[test]
fn precommits_of_different_rounds_do_not_add_up() {
    let files = said_otherwise(|envelope| match &mut envelope.body {
        Body::Precommit(body) if envelope.sender == Sender::Trustee(TrusteeIndex(4)) => {
            body.round.0 += 1;
            true
        }
        _ => false,
    });
    let mut board = board(&files);
    let at = board.iter().position(|bytes| {
        let envelope = Envelope::from_bytes(bytes).unwrap();
        envelope.body.tag() == 32 && envelope.sender == Sender::Trustee(TrusteeIndex(1))
    });
    board.remove(at.unwrap());
    refused_by(with_board(board), 10, "three precommits, one of another round");
}

#[test]
fn swapped_removed_doubled_moved_and_new_ballots_are_refused() {
    for number in 0..2 {
        let leaves = lane(&good(), number);
        for at in 1..leaves.len() {
            let mut swapped = leaves.clone();
            swapped.swap(at - 1, at);
            refused_by(with_lane(number, swapped), 9, "two ballots in another order");
        }
        for at in 0..leaves.len() {
            let mut fewer = leaves.clone();
            let leaf = fewer.remove(at);
            refused_by(with_lane(number, fewer), 9, "a ballot less");
            let mut more = leaves.clone();
            more.push(leaf.clone());
            refused_by(with_lane(number, more), 8, "a ballot twice");
            let mut moved = lane(&good(), 1 - number);
            moved.push(leaf);
            refused_by(with_lane(1 - number, moved), 8, "a ballot in another lane");
        }
    }
}

/// A ballot of the first voter, made anew, and its lane.
fn another_ballot() -> (usize, Vec<u8>) {
    let mut world = world();
    let form = world.form();
    let bytes = world.seal(&form, 0, &[vec![OptionIndex(1)], vec![OptionIndex(1)]]);
    let lane = ballot_box::lane_of(&form.verify(&bytes).unwrap().credential(), 2);
    (lane.0.into(), bytes)
}

#[test]
fn a_ballot_that_its_voter_made_but_that_was_not_logged_is_refused() {
    let (number, bytes) = another_ballot();
    let mut more = lane(&good(), number);
    more.push(bytes);
    refused_by(with_lane(number, more), 9, "a ballot stuffed by the voter");
}

#[test]
fn a_coordinator_that_signs_a_checkpoint_over_stuffed_ballots_has_no_cosignatures() {
    let (number, bytes) = another_ballot();
    let mut more = lane(&good(), number);
    more.push(bytes);
    let mut tree = protocol::log::Tree::new();
    for leaf in &more {
        tree.append(protocol::log::leaf_hash(leaf));
    }
    for (cosigners, check) in [(0, 9), (2, 9), (3, 10)] {
        let mut files = with_lane(number, more.clone());
        let text = checkpoint(&world(), number as u16, tree.size().0, tree.root(), cosigners);
        files.0.insert(format!("lanes/{number}.checkpoint"), text.into_bytes());
        // Three of four would be all that is needed; then it is the certificate that does not fit.
        refused_by(files, check, &format!("{cosigners} co-signatures"));
    }
}

#[test]
fn another_checkpoint_is_refused() {
    let (first, second) = {
        let world = world();
        let ends: Vec<_> = world.lanes.iter().map(|lane| (lane.size().0, lane.root())).collect();
        let other = checkpoint(&world, 0, ends[1].0, ends[1].1, 3);
        let of_lane_1 = checkpoint(&world, 1, ends[1].0, ends[1].1, 3);
        let mut earlier = protocol::log::Tree::new();
        for leaf in world.logs[0].iter().take(2) {
            earlier.append(protocol::log::leaf_hash(leaf));
        }
        let earlier = checkpoint(&world, 0, 2, earlier.root(), 4);
        ([other, of_lane_1, earlier], checkpoint(&world, 0, ends[0].0, ends[0].1, 2))
    };
    for text in first.into_iter().chain([second.clone()]) {
        let mut files = good();
        files.0.insert("lanes/0.checkpoint".into(), text.into_bytes());
        refused_by(files, 9, "another checkpoint");
    }
    // A line said twice is not two trustees.
    let last = second.lines().last().unwrap().to_owned();
    let mut files = good();
    files.0.insert("lanes/0.checkpoint".into(), format!("{second}{last}\n").into_bytes());
    refused_by(files, 9, "a line twice");
}

/// Every value in a JSON document, by pointer.
fn pointers(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
}

#[test]
fn every_changed_removed_or_added_field_of_the_summary_is_refused() {
    use serde_json::Value;
    let summary: Value = serde_json::from_slice(&good().0["summary.json"]).unwrap();
    let mut all = Vec::new();
    pointers(&summary, "", &mut all);
    let refused_with = |value: &Value, what: &str| {
        let mut files = good();
        let mut bytes = serde_json::to_vec_pretty(value).unwrap();
        bytes.push(b'\n');
        files.0.insert("summary.json".into(), bytes);
        let report = files.verify();
        assert_eq!(report.verdict, Verdict::Invalid, "{what}");
        assert!(matches!(report.failure, Some((1 | 16, _))), "{what}");
    };
    for pointer in &all {
        let mut changed = summary.clone();
        let place = changed.pointer_mut(pointer).unwrap();
        *place = match place.take() {
            Value::Null => 0.into(),
            Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
            Value::String(text) => format!("{text} ").into(),
            Value::Array(mut items) => {
                items.push(Value::Null);
                items.into()
            }
            Value::Object(mut fields) => {
                fields.insert("more".into(), Value::Null);
                fields.into()
            }
            Value::Bool(flag) => (!flag).into(),
        };
        refused_with(&changed, &format!("{pointer} changed"));
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
        let mut changed = summary.clone();
        if let Some(Value::Object(fields)) = changed.pointer_mut(parent)
            && !pointer.is_empty()
        {
            fields.remove(&key.replace("~1", "/").replace("~0", "~")).unwrap();
            refused_with(&changed, &format!("{pointer} removed"));
        }
    }
    // A repeated key could show people one value and this program another.
    let text = String::from_utf8(good().0["summary.json"].clone()).unwrap();
    let mut files = good();
    let twice = text.replacen("  \"counted\":", "  \"counted\": 99,\n  \"counted\":", 1);
    assert_ne!(twice, text);
    files.0.insert("summary.json".into(), twice.into_bytes());
    refused(&files, "a key twice");
}

#[test]
fn evidence_against_somebody_else_or_for_something_else_is_refused() {
    use protocol::evidence::{Evidence, Wrong};
    let magic = "conclave-evidence-1\n";
    let evidence = Evidence::from_bytes(&entries(magic, &good().0["evidence.bin"])[0]).unwrap();
    let with = |evidence: Evidence| {
        let mut files = good();
        files.0.insert("evidence.bin".into(), listed(magic, [evidence.to_bytes()]));
        files
    };
    let accused = Sender::Trustee(TrusteeIndex(1));
    refused_by(with(Evidence { accused, ..evidence.clone() }), 15, "another accused");
    refused_by(with(Evidence { envelopes: Vec::new(), ..evidence.clone() }), 15, "no envelopes");
    for wrong in Wrong::ALL.into_iter().filter(|wrong| *wrong != Wrong::BadPartial) {
        refused_by(with(Evidence { wrong, ..evidence.clone() }), 15, &format!("{wrong:?}"));
    }
    // An honest trustee's decryption proves nothing.
    let honest = world().board.of_kind(40).next().unwrap().clone();
    let against = Evidence { accused: honest.sender, wrong: Wrong::BadPartial, envelopes: vec![honest] };
    refused_by(with(against), 15, "a right decryption");
}

#[test]
fn removed_rejections_and_evidence_are_missed() {
    for (name, magic) in [("rejections.bin", "conclave-rejections-1\n"), ("evidence.bin", "conclave-evidence-1\n")] {
        let mut files = good();
        let mut all = entries(magic, &files.0[name]);
        all.pop();
        files.0.insert(name.into(), listed(magic, all));
        refused_by(files, 16, name);
    }
}
