use super::{identity, key, sign};
use crate::{
    encoding::{Canonical as _, DecodeError, Hash},
    ids::{Credential, ElectionId, LaneIndex, LeafIndex, LogSize, ShardIndex, TimeMs},
    log::{
        Checkpoint, Cosignature, InclusionProof, LogError, NoteError, NoteKey, ProofFile, Receipt, Rejection,
        SignedCheckpoint, Tree, leaf_hash, origin,
    },
    signed::{Body, Draft, Sender},
};
use alloc::{
    borrow::ToOwned as _,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

const ELECTION: ElectionId = ElectionId([0xcd; 32]);
const LANE: LaneIndex = LaneIndex(2);
const W: u16 = 3;

fn receipt(index: u64) -> Receipt {
    let leaf = leaf_hash(&index.to_be_bytes());
    let credential = Credential([9; 32]);
    let (index, shard) = (LeafIndex(index), ShardIndex(1));
    let receipt = Receipt { election: ELECTION, lane: LANE, index, leaf, credential, shard, signature: [0; 64] };
    let signature = sign(&key(100), &receipt.message());
    Receipt { signature, ..receipt }
}

fn rejection() -> Rejection {
    let (ballot, shard, time) = (leaf_hash(b"ballot"), ShardIndex(1), TimeMs(1_795_000_000_000));
    let rejection = Rejection { election: ELECTION, ballot, code: 7, shard, time, signature: [0; 64] };
    let signature = sign(&key(100), &rejection.message());
    Rejection { signature, ..rejection }
}

fn keys() -> Vec<NoteKey> {
    let log = NoteKey::log(&origin(&ELECTION, LANE), identity(&key(100))).unwrap();
    [log].into_iter().chain([1, 2, 3, 4].map(|seed| NoteKey::cosigner(identity(&key(seed))))).collect()
}

fn tree(size: u64) -> Tree {
    (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn final_checkpoint(tree: &Tree, trustees: &[u8]) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: origin(&ELECTION, LANE), size: tree.size(), root: tree.root() };
    let signature = sign(&key(100), &checkpoint.note_message());
    let note = SignedCheckpoint::by_log(checkpoint.clone(), &identity(&key(100)), &signature).unwrap();
    trustees.iter().fold(note, |note, seed| {
        let time_s = 1_795_000_000;
        let cosignature = Cosignature { time_s, signature: sign(&key(*seed), &checkpoint.cosignature_message(time_s)) };
        note.with_cosignature(&identity(&key(*seed)), &cosignature).unwrap()
    })
}

fn proof_file(index: u64, size: u64, trustees: &[u8]) -> ProofFile {
    let tree = tree(size);
    let proof = tree.inclusion(LeafIndex(index), LogSize(size)).unwrap();
    ProofFile { index: LeafIndex(index), proof, checkpoint: final_checkpoint(&tree, trustees) }
}

#[test]
fn a_receipt_holds_for_its_shard_alone() {
    let receipt = receipt(5);
    assert!(receipt.verify(&identity(&key(100))));
    assert!(!receipt.verify(&identity(&key(101))), "another shard's key");
    let forged = Receipt { signature: sign(&key(101), &receipt.message()), ..receipt.clone() };
    assert!(!forged.verify(&identity(&key(100))));
    assert_eq!(Receipt::from_bytes(&receipt.to_bytes()), Ok(receipt));
}

#[test]
fn no_field_of_a_receipt_or_rejection_can_be_changed() {
    let shard = identity(&key(100));
    let receipt = receipt(5);
    for place in 0..receipt.to_bytes().len() {
        let mut bytes = receipt.to_bytes();
        bytes[place] ^= 1;
        assert!(!Receipt::from_bytes(&bytes).unwrap().verify(&shard), "byte {place}");
    }
    let rejection = rejection();
    assert!(rejection.verify(&shard));
    for place in 0..rejection.to_bytes().len() {
        let mut bytes = rejection.to_bytes();
        bytes[place] ^= 1;
        assert!(!Rejection::from_bytes(&bytes).unwrap().verify(&shard), "byte {place}");
    }
    assert_eq!(Rejection::from_bytes(&rejection.to_bytes()), Ok(rejection.clone()));
    let mut bytes = rejection.to_bytes();
    bytes.push(0);
    assert_eq!(Rejection::from_bytes(&bytes), Err(DecodeError::Trailing { left: 1 }));
}

/// M08, P-LOG-6: the messages that one identity key signs start differently, whatever is in them.
#[test]
fn no_signed_message_is_the_start_of_another_kind() {
    let checkpoint = final_checkpoint(&tree(4), &[]).checkpoint().clone();
    let body = Body::Accept(crate::signed::Accept {});
    let messages = [
        receipt(1).message(),
        rejection().message(),
        checkpoint.note_message(),
        checkpoint.cosignature_message(1),
        Draft { election: ELECTION, sender: Sender::Shard(ShardIndex(1)), body }.message(),
    ];
    // 21 bytes reach past the longest label ("conclave/v1/" and "rejection").
    for (i, one) in messages.iter().enumerate() {
        for other in &messages[i + 1..] {
            assert_ne!(one[..21], other[..21]);
        }
    }
}

#[test]
fn a_final_receipt_is_checked_offline_from_its_text() {
    for (index, size) in [(0, 1), (0, 2), (5, 6), (5, 8), (5, 13), (12, 13)] {
        let file = proof_file(index, size, &[1, 2, 4]);
        let read: ProofFile = file.to_string().parse().unwrap();
        assert_eq!(read, file);
        let signers = read.verify(&leaf_hash(&index.to_be_bytes()), &origin(&ELECTION, LANE), &keys(), W).unwrap();
        assert_eq!(signers.cosigners.len(), 3);
        assert_eq!(read.confirms(&receipt(index), &keys(), W), Ok(signers));
        assert_eq!(ProofFile::from_bytes(&file.to_bytes()), Ok(file));
    }
}

#[test]
fn a_proof_file_is_the_text_that_c2sp_gives() {
    let file = proof_file(1, 3, &[1]);
    let tree = tree(3);
    let hash = |hash: Hash| STANDARD.encode(hash);
    let leaf = |i: u64| leaf_hash(&i.to_be_bytes());
    let expected = format!(
        "c2sp.org/tlog-proof@v1\nindex 1\n{}\n{}\n\nconclave/v1/{ELECTION}/2\n3\n{}\n\n\u{2014} conclave/v1/{ELECTION}/2 ",
        hash(leaf(0)),
        hash(leaf(2)),
        hash(tree.root())
    );
    assert!(file.to_string().starts_with(&expected), "{file}");
}

#[test]
fn a_receipt_is_not_final_without_w_cosigners_or_for_another_leaf() {
    let few = proof_file(5, 8, &[1, 2]);
    assert_eq!(few.confirms(&receipt(5), &keys(), W), Err(NoteError::TooFewCosigners { got: 2, needed: 3 }));
    let file = proof_file(5, 8, &[1, 2, 3]);
    assert_eq!(file.confirms(&receipt(4), &keys(), W), Err(NoteError::OtherLeaf { what: "index" }));
    let swapped = Receipt { leaf: leaf_hash(b"another ballot"), ..receipt(5) };
    assert_eq!(file.confirms(&swapped, &keys(), W), Err(LogError::NotIncluded.into()));
    let elsewhere = Receipt { lane: LaneIndex(3), ..receipt(5) };
    assert!(matches!(file.confirms(&elsewhere, &keys(), W), Err(NoteError::OtherOrigin { .. })));
    let beyond = ProofFile { index: LeafIndex(8), ..file.clone() };
    let leaf = leaf_hash(&5u64.to_be_bytes());
    assert_eq!(
        beyond.verify(&leaf, &origin(&ELECTION, LANE), &keys(), W),
        Err(LogError::NoLeaf { index: LeafIndex(8), size: LogSize(8) }.into())
    );
    let bare = ProofFile { proof: InclusionProof::default(), ..file };
    assert_eq!(
        bare.verify(&leaf, &origin(&ELECTION, LANE), &keys(), W),
        Err(LogError::ProofLength { expected: 3, got: 0 }.into())
    );
}

#[test]
fn every_other_spelling_of_a_proof_file_is_refused() {
    let good = proof_file(5, 8, &[1]).to_string();
    assert!(good.parse::<ProofFile>().is_ok());
    let swap = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from:?}");
        changed
    };
    let hash_line = good.lines().nth(2).unwrap().to_owned();
    let many: String = core::iter::repeat_n(format!("{hash_line}\n"), 65).collect();
    for bad in [
        swap("@v1", "@v2"),
        swap("c2sp.org", "C2SP.org"),
        swap("index 5", "index 05"),
        swap("index 5", "index +5"),
        swap("index 5", "index  5"),
        swap("index 5", "index"),
        swap("index 5", "Index 5"),
        swap("index 5", "index 5 "),
        swap("index 5\n", ""),
        swap("index 5", "extra QUJD\nindex 5"),
        swap("index 5", "index 5\nindex 5"),
        swap(&hash_line, hash_line.trim_end_matches('=')),
        swap(&hash_line, &format!("{hash_line} ")),
        swap(&hash_line, &STANDARD.encode([1; 31])),
        swap(&hash_line, "\n"),
        swap(&format!("{hash_line}\n"), &many),
        swap("\n\n", "\n"),
        swap("\n\n", "\n\n\n"),
        good.replace('\n', "\r\n"),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        format!(" {good}"),
        good.split_once("\n\n").unwrap().0.to_owned(),
        String::new(),
    ] {
        assert!(bad.parse::<ProofFile>().is_err(), "{bad:?}");
    }
}

/// The example of C2SP has abbreviated signatures and an extra line: refused here for both reasons, in this order.
#[test]
fn extra_data_is_refused_because_nobody_authenticates_it() {
    let good = proof_file(0, 1, &[1, 2, 3]).to_string();
    let with = good.replacen("index", "extra YWdl\nindex", 1);
    assert_eq!(with.parse::<ProofFile>(), Err(NoteError::Malformed { what: "proof file" }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_proof_file_never_confirms(place in any::<prop::sample::Index>(), with in "[ -~\n]") {
        let good = proof_file(5, 8, &[1, 2, 3]).to_string();
        let mut chars: Vec<char> = good.chars().collect();
        let at = place.index(chars.len());
        chars[at] = with.chars().next().unwrap();
        let changed: String = chars.into_iter().collect();
        let Ok(file) = changed.parse::<ProofFile>() else { return Ok(()) };
        prop_assert_eq!(file.to_string(), changed.to_owned());
        prop_assert_eq!(file.confirms(&receipt(5), &keys(), W).is_ok(), changed == good);
    }
}
