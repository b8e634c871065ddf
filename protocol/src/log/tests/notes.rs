use super::{identity, key, sign};
use crate::{
    encoding::{Canonical as _, DecodeError, Hash},
    ids::{ElectionId, IdentityKey, LaneIndex, LogSize},
    log::{
        Checkpoint, Cosignature, Fork, NOTE_BYTES_MAX, NoteError, NoteKey, NoteKind, SIGNATURES_MAX, SignedCheckpoint,
        empty_root, leaf_hash, note, origin,
    },
    signed::verify_identity,
};
use alloc::{
    borrow::ToOwned as _,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::Value;

const TIME: u64 = 1_795_000_000;

fn lane(lane: u16) -> String {
    origin(&ElectionId([0xab; 32]), LaneIndex(lane))
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: lane(3), size: LogSize(42), root: leaf_hash(b"root") }
}

fn cosignature(checkpoint: &Checkpoint, seed: u8) -> Cosignature {
    Cosignature { time_s: TIME, signature: sign(&key(seed), &checkpoint.cosignature_message(TIME)) }
}

fn by_log(checkpoint: &Checkpoint, seed: u8) -> SignedCheckpoint {
    let signature = sign(&key(seed), &checkpoint.note_message());
    SignedCheckpoint::by_log(checkpoint.clone(), &identity(&key(seed)), &signature).unwrap()
}

/// Signed by the shard 100 and co-signed by the trustees.
fn signed(checkpoint: &Checkpoint, trustees: &[u8]) -> SignedCheckpoint {
    trustees.iter().fold(by_log(checkpoint, 100), |note, seed| {
        note.with_cosignature(&identity(&key(*seed)), &cosignature(checkpoint, *seed)).unwrap()
    })
}

/// What the manifest gives for lane 3: shards 100 and 101, trustees 1 to 4.
fn keys() -> Vec<NoteKey> {
    let shards = [100, 101].map(|seed| NoteKey::log(&lane(3), identity(&key(seed))).unwrap());
    shards.into_iter().chain([1, 2, 3, 4].map(|seed| NoteKey::cosigner(identity(&key(seed))))).collect()
}

fn line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    format!("\u{2014} {name} {}\n", STANDARD.encode([&id, signature].concat()))
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/notes.json")).unwrap()
}

fn parse_hex_id(vkey: &str) -> [u8; 4] {
    hex::decode(vkey.split('+').nth(1).unwrap()).unwrap().try_into().unwrap()
}

#[test]
fn c2sp_and_sumdb_notes_verify_under_their_keys() {
    let vectors = vectors();
    for name in ["signed_note_spec_example", "sumdb_note_doc"] {
        let (vkey, text) = (vectors[name]["vkey"].as_str().unwrap(), vectors[name]["note"].as_str().unwrap());
        let key: NoteKey = vkey.parse().unwrap();
        assert_eq!(key.id(), parse_hex_id(vkey));
        assert_eq!(key.to_string(), vkey);
        let (body, lines) = note::split(text).unwrap();
        let [line] = lines.as_slice() else { panic!("one signature") };
        assert!(line.is_by(&key));
        assert_eq!(format!("{body}\n{line}"), text);
        let signature = line.signature.as_slice().try_into().unwrap();
        assert!(verify_identity(&key.key(), body.as_bytes(), signature), "{name}");
        assert!(!verify_identity(&key.key(), &body.as_bytes()[1..], signature), "{name}");
    }
}

#[test]
fn c2sp_checkpoints_are_read_and_written_byte_for_byte() {
    let vectors = vectors();
    for text in [&vectors["checkpoint_examples"][0], &vectors["cosignature_proof_witness_examples"][0]] {
        let text = text.as_str().unwrap();
        let note: SignedCheckpoint = text.parse().unwrap();
        assert_eq!(note.to_string(), text);
        assert_eq!(note.checkpoint().origin, "example.com/behind-the-sofa");
        assert_eq!(note.checkpoint().size, LogSize(20_852_163));
        assert_eq!(SignedCheckpoint::from_bytes(&note.to_bytes()), Ok(note));
    }
}

#[test]
fn the_cosigned_message_is_the_one_printed_in_c2sp() {
    let vectors = vectors();
    let text = vectors["cosignature_proof_witness_examples"][0].as_str().unwrap();
    let (_, lines) = note::split(text).unwrap();
    let cosignature = Cosignature::from_bytes(&lines[1].signature).unwrap();
    let note: SignedCheckpoint = text.parse().unwrap();
    assert_eq!(
        String::from_utf8(note.checkpoint().cosignature_message(cosignature.time_s)).unwrap(),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn a_final_checkpoint_names_its_signers_and_survives_its_text() {
    let note = signed(&checkpoint(), &[1, 2, 4]);
    let read: SignedCheckpoint = note.to_string().parse().unwrap();
    assert_eq!(read, note);
    assert_eq!(SignedCheckpoint::from_bytes(&note.to_bytes()), Ok(note));
    let signers = read.verify_final(&lane(3), &keys(), 3).unwrap();
    assert!(signers.log.iter().eq([&identity(&key(100))]));
    let mut expected: Vec<_> = [1, 2, 4].map(|seed| (identity(&key(seed)), TIME)).into();
    expected.sort();
    assert_eq!(signers.cosigners.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn any_shard_may_sign_as_the_log_but_a_trustee_may_not() {
    assert!(by_log(&checkpoint(), 101).verify(&lane(3), &keys()).unwrap().log.contains(&identity(&key(101))));
    assert!(by_log(&checkpoint(), 1).verify(&lane(3), &keys()).unwrap().log.is_empty());
}

#[test]
fn fewer_than_w_distinct_cosigners_are_not_final() {
    let note = signed(&checkpoint(), &[1, 2]);
    assert_eq!(note.verify_final(&lane(3), &keys(), 3), Err(NoteError::TooFewCosigners { got: 2, needed: 3 }));
    assert_eq!(note.verify_final(&lane(3), &keys(), 0), Err(NoteError::NoQuorum));
    // The same trustee listed twice among the keys is still one.
    let twice = [keys(), keys()].concat();
    assert_eq!(note.verify_final(&lane(3), &twice, 3), Err(NoteError::TooFewCosigners { got: 2, needed: 3 }));
    assert!(note.verify_final(&lane(3), &twice, 2).is_ok());
    // Strangers' co-signatures are ignored, not counted.
    let strangers = signed(&checkpoint(), &[1, 2, 50, 51, 52]);
    assert_eq!(strangers.verify_final(&lane(3), &keys(), 3), Err(NoteError::TooFewCosigners { got: 2, needed: 3 }));
}

#[test]
fn one_key_under_two_names_is_one_cosigner() {
    let (checkpoint, trustee) = (checkpoint(), key(1));
    let alias = NoteKey::new("another.example/name", identity(&trustee), NoteKind::CosignatureV1).unwrap();
    let cosignature = cosignature(&checkpoint, 1).to_bytes();
    let text = format!("{}{}", signed(&checkpoint, &[1]), line(alias.name(), alias.id(), &cosignature));
    let keys = [keys(), Vec::from([alias])].concat();
    let note: SignedCheckpoint = text.parse().unwrap();
    let verdict = note.verify_final(&lane(3), &keys, 2);
    assert_eq!(verdict, Err(NoteError::RepeatedSigner { name: "another.example/name".into() }));
}

#[test]
fn a_line_twice_refuses_the_note() {
    let trustee = NoteKey::cosigner(identity(&key(1)));
    let note = signed(&checkpoint(), &[1]);
    let again = note.clone().with_cosignature(&identity(&key(1)), &cosignature(&checkpoint(), 1));
    assert_eq!(again, Err(NoteError::RepeatedSigner { name: trustee.name().to_owned() }));
    let text = format!("{note}{}", line(trustee.name(), trustee.id(), &cosignature(&checkpoint(), 1).to_bytes()));
    let verdict = text.parse::<SignedCheckpoint>().unwrap().verify(&lane(3), &keys());
    assert_eq!(verdict, Err(NoteError::RepeatedSigner { name: trustee.name().to_owned() }));
    // The log's line twice, too.
    let log = NoteKey::log(&lane(3), identity(&key(100))).unwrap();
    let text = format!("{note}{}", line(log.name(), log.id(), &sign(&key(100), &checkpoint().note_message())));
    let verdict = text.parse::<SignedCheckpoint>().unwrap().verify(&lane(3), &keys());
    assert_eq!(verdict, Err(NoteError::RepeatedSigner { name: lane(3) }));
}

#[test]
fn an_invalid_signature_by_a_known_key_refuses_the_whole_note() {
    let trustee = NoteKey::cosigner(identity(&key(4)));
    let mut forged = cosignature(&checkpoint(), 4);
    forged.signature[5] ^= 1;
    let refused = NoteError::InvalidSignature { name: trustee.name().to_owned() };
    let note = signed(&checkpoint(), &[1, 2, 3]);
    assert_eq!(note.clone().with_cosignature(&identity(&key(4)), &forged), Err(refused.clone()));
    for bytes in [forged.to_bytes(), forged.to_bytes()[..71].to_vec(), [0].repeat(73), [0].to_vec()] {
        let text = format!("{note}{}", line(trustee.name(), trustee.id(), &bytes));
        let verdict = text.parse::<SignedCheckpoint>().unwrap().verify_final(&lane(3), &keys(), 3);
        assert_eq!(verdict, Err(refused.clone()));
    }
    // By an unknown key it is nobody's business.
    let text = format!("{note}{}", line("stranger.example", [1, 2, 3, 4], &[9; 72]));
    assert!(text.parse::<SignedCheckpoint>().unwrap().verify_final(&lane(3), &keys(), 3).is_ok());
}

#[test]
fn the_time_of_a_cosignature_is_signed_and_bounded() {
    let checkpoint = checkpoint();
    let mut late = cosignature(&checkpoint, 1);
    late.time_s += 1;
    assert!(!late.holds(&checkpoint, &identity(&key(1))));
    let time_s = 1 << 63;
    let far = Cosignature { time_s, signature: sign(&key(1), &checkpoint.cosignature_message(time_s)) };
    assert!(!far.holds(&checkpoint, &identity(&key(1))), "C2SP: at most 2^63 - 1");
}

/// M08: what is signed as one thing is never accepted as another.
#[test]
fn a_signature_of_the_other_kind_is_refused() {
    let (checkpoint, trustee) = (checkpoint(), NoteKey::cosigner(identity(&key(1))));
    // A trustee's key over the bare checkpoint, presented as a co-signature.
    let signature = sign(&key(1), &checkpoint.note_message());
    let bare = Cosignature { time_s: TIME, signature };
    assert!(!bare.holds(&checkpoint, &identity(&key(1))));
    // A shard's co-signature, presented as the log's signature.
    let cosigned = cosignature(&checkpoint, 100).signature;
    let verdict = SignedCheckpoint::by_log(checkpoint.clone(), &identity(&key(100)), &cosigned);
    assert_eq!(verdict, Err(NoteError::InvalidSignature { name: lane(3) }));
    // The same key and name under the other type has another id: unknown, and not counted.
    let typed = NoteKey::new(trustee.name(), trustee.key(), NoteKind::Ed25519).unwrap();
    assert_ne!(typed.id(), trustee.id());
    let text = format!("{}{}", by_log(&checkpoint, 100), line(typed.name(), typed.id(), &signature));
    let signers = text.parse::<SignedCheckpoint>().unwrap().verify(&lane(3), &keys()).unwrap();
    assert!(signers.cosigners.is_empty());
    // Even a verifier that was given that key does not take it for the log's: its name is not the origin.
    let keys = [keys(), Vec::from([typed])].concat();
    let signers = text.parse::<SignedCheckpoint>().unwrap().verify(&lane(3), &keys).unwrap();
    assert!(signers.log.iter().eq([&identity(&key(100))]));
}

#[test]
fn another_lanes_checkpoint_is_refused_and_its_signatures_do_not_carry_over() {
    let other = Checkpoint { origin: lane(4), ..checkpoint() };
    let note = signed(&other, &[1, 2, 3]);
    let refused = NoteError::OtherOrigin { expected: lane(3), got: lane(4) };
    assert_eq!(note.verify_final(&lane(3), &keys(), 3), Err(refused));
    // The trustees' names are the same in lane 4, the shards' keys are not known under its name.
    assert_eq!(note.verify_final(&lane(4), &keys(), 3), Err(NoteError::NotByLog));
    let moved = note.to_string().replace(&lane(4), &lane(3)).parse::<SignedCheckpoint>().unwrap();
    let verdict = moved.verify_final(&lane(3), &keys(), 3);
    assert!(matches!(verdict, Err(NoteError::InvalidSignature { .. })), "{verdict:?}");
}

#[test]
fn cosignatures_without_the_log_are_not_final() {
    let note = by_log(&checkpoint(), 60);
    let note = [1, 2, 3].iter().fold(note, |note, seed| {
        note.with_cosignature(&identity(&key(*seed)), &cosignature(&checkpoint(), *seed)).unwrap()
    });
    assert_eq!(note.verify_final(&lane(3), &keys(), 3), Err(NoteError::NotByLog));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    let weak = NoteKey::log(&lane(3), IdentityKey([0; 32])).unwrap();
    let text = format!("{}{}", signed(&checkpoint(), &[1]), line(weak.name(), weak.id(), &[0; 64]));
    let keys = [keys(), Vec::from([weak])].concat();
    let verdict = text.parse::<SignedCheckpoint>().unwrap().verify(&lane(3), &keys);
    assert_eq!(verdict, Err(NoteError::InvalidSignature { name: lane(3) }));
}

#[test]
fn a_fork_convicts_who_signed_both_trees() {
    let (one, other) = (checkpoint(), Checkpoint { root: leaf_hash(b"other"), ..checkpoint() });
    let fork = Fork { one: signed(&one, &[1, 2]), other: signed(&other, &[2, 3]) };
    let culprits = fork.culprits(&lane(3), &keys()).unwrap();
    let mut expected = [identity(&key(100)), identity(&key(2))];
    expected.sort();
    assert!(culprits.iter().eq(&expected));
    assert_eq!(Fork::from_bytes(&fork.to_bytes()), Ok(fork));
    let same = Fork { one: signed(&one, &[1]), other: signed(&one, &[1, 2]) };
    assert_eq!(same.culprits(&lane(3), &keys()), Err(NoteError::NoFork));
    let grown = Checkpoint { size: LogSize(43), ..other.clone() };
    let grown = Fork { one: signed(&one, &[1]), other: signed(&grown, &[1]) };
    assert_eq!(grown.culprits(&lane(3), &keys()), Err(NoteError::NoFork));
    let strangers = Fork { one: by_log(&one, 100), other: by_log(&other, 101) };
    assert_eq!(strangers.culprits(&lane(3), &keys()), Err(NoteError::NoFork));
}

#[test]
fn every_other_spelling_of_a_checkpoint_is_refused() {
    let good = signed(&checkpoint(), &[1]).to_string();
    assert!(good.parse::<SignedCheckpoint>().is_ok());
    let root = STANDARD.encode(checkpoint().root);
    let swap = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from:?}");
        changed
    };
    let unpadded = root.trim_end_matches('=').to_owned();
    // The last character before the padding carries two bits that must be 0.
    let last = unpadded.chars().last().unwrap();
    let sloppy = format!("{}{}=", &unpadded[..42], char::from(last as u8 + 1));
    let bad = [
        swap("\n42\n", "\n042\n"),
        swap("\n42\n", "\n+42\n"),
        swap("\n42\n", "\n-42\n"),
        swap("\n42\n", "\n42 \n"),
        swap("\n42\n", "\n\n"),
        swap("\n42\n", "\n42.0\n"),
        swap("\n42\n", "\n0x2a\n"),
        swap("\n42\n", "\n\u{0664}\u{0662}\n"),
        swap("\n42\n", "\n18446744073709551616\n"),
        swap("\n42\n", "\n0\n"),
        swap(&root, &unpadded),
        swap(&root, &sloppy),
        swap(&root, &format!("{root}=")),
        swap(&root, &format!(" {root}")),
        swap(&root, &root.to_ascii_lowercase().replace('=', "")),
        swap(&root, &STANDARD.encode([1; 31])),
        swap(&root, &STANDARD.encode([1; 33])),
        swap(&root, &format!("{root}\nextension")),
        swap(&root, &format!("{root}\n")),
        swap(&root, ""),
        swap("conclave/", "con clave/"),
        swap("conclave/", "con+clave/"),
        swap("conclave/", "con\u{a0}clave/"),
        swap("conclave/", "con\tclave/"),
        swap(&lane(3), ""),
        swap("\u{2014} ", "- "),
        swap("\u{2014} ", "\u{2014}"),
        swap("\u{2014} ", "\u{2014}  "),
        swap("\u{2014} ", " \u{2014} "),
        swap("\n\n", "\n"),
        swap("\n\n", "\r\n\r\n"),
        swap("\n\n", "\n \n"),
        format!("\n{good}"),
        format!("\u{feff}\n{good}"),
        format!("{good}\n"),
        format!("{good}x"),
        good.replace('\n', "\r\n"),
        good.trim_end().to_owned(),
        good.split_once("\n\n").unwrap().0.to_owned(),
        format!("{}\n\n", good.split_once("\n\n").unwrap().0),
        format!("{good}\u{2014} a b\n"),
        format!("{good}\u{2014} a AAAA\n"),
        format!("{good}\u{2014} a AAAAAA==\n"),
        format!("{good}\u{2014} a AAAAAAB=\n"),
        format!("{good}\u{2014} a+b AAAAAAA=\n"),
        format!("{good}\u{2014}  AAAAAAA=\n"),
        format!("{good}\u{2014} a AAAAAAA= \n"),
        String::new(),
        "\n\n".to_owned(),
    ];
    for text in bad {
        let verdict = text.parse::<SignedCheckpoint>();
        assert!(verdict.is_err(), "{text:?}");
    }
    // What the last signature lines of that list vary is fine as such.
    assert!(format!("{good}\u{2014} a AAAAAAA=\n").parse::<SignedCheckpoint>().is_ok());
}

#[test]
fn the_empty_log_has_a_checkpoint_with_one_root() {
    let empty = Checkpoint { origin: lane(3), size: LogSize(0), root: empty_root() };
    let text = by_log(&empty, 100).to_string();
    assert!(text.contains("\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"));
    assert_eq!(text.parse::<SignedCheckpoint>().unwrap().checkpoint(), &empty);
    let lie = Checkpoint { root: [1; 32], ..empty };
    let signature = sign(&key(100), &lie.note_message());
    assert!(SignedCheckpoint::by_log(lie, &identity(&key(100)), &signature).is_err());
}

#[test]
fn a_note_over_its_bounds_is_refused() {
    let good = signed(&checkpoint(), &[]).to_string();
    let more = |count: usize| format!("{good}{}", "\u{2014} a AAAAAAA=\n".repeat(count));
    assert!(more(SIGNATURES_MAX - 1).parse::<SignedCheckpoint>().is_ok());
    assert_eq!(
        more(SIGNATURES_MAX).parse::<SignedCheckpoint>(),
        Err(NoteError::TooLong { what: "list of signatures", got: SIGNATURES_MAX + 1, max: SIGNATURES_MAX })
    );
    let full: SignedCheckpoint = more(SIGNATURES_MAX - 1).parse().unwrap();
    let verdict = full.with_cosignature(&identity(&key(1)), &cosignature(&checkpoint(), 1));
    assert!(matches!(verdict, Err(NoteError::TooLong { .. })));
    let long = format!("{good}\u{2014} a {}\n", "A".repeat(NOTE_BYTES_MAX));
    assert!(matches!(long.parse::<SignedCheckpoint>(), Err(NoteError::TooLong { what: "note", .. })));
    let name = "x".repeat(256);
    assert!(matches!(NoteKey::log(&name, identity(&key(1))), Err(NoteError::TooLong { .. })));
    let mut bytes = signed(&checkpoint(), &[1]).to_bytes();
    bytes.push(0);
    assert_eq!(SignedCheckpoint::from_bytes(&bytes), Err(DecodeError::Trailing { left: 1 }));
}

#[test]
fn a_hundred_trustees_fit_into_a_note() {
    let trustees: Vec<u8> = (1..=99).chain([101]).collect();
    let note = signed(&checkpoint(), &trustees);
    let keys: Vec<_> = trustees.iter().map(|seed| NoteKey::cosigner(identity(&key(*seed)))).collect();
    let log = NoteKey::log(&lane(3), identity(&key(100))).unwrap();
    let keys = [keys, Vec::from([log])].concat();
    let read: SignedCheckpoint = note.to_string().parse().unwrap();
    assert_eq!(read.verify_final(&lane(3), &keys, 100).unwrap().cosigners.len(), 100);
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let key = NoteKey::cosigner(identity(&key(1)));
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    let id = hex::encode(key.id());
    for bad in [
        text.replace(&id, &id.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
        text.replace(&id, "00000000"),
        text.replace(&id, &format!("0{id}")),
        text[..text.len() - 1].to_owned(),
        format!("{text}="),
        format!("{text}+"),
        format!(" {text}"),
        format!("a+00000000+{}", STANDARD.encode([[6].as_slice(), &[0; 32]].concat())),
        format!("a+00000000+{}", STANDARD.encode([1; 32])),
        "a+00000000+".to_owned(),
        "a".to_owned(),
    ] {
        assert!(bad.parse::<NoteKey>().is_err(), "{bad}");
    }
}

#[test]
fn names_are_what_c2sp_allows() {
    let trustee = NoteKey::cosigner(identity(&key(1)));
    let origin = lane(3);
    assert_eq!(origin, format!("conclave/v1/{}/3", "ab".repeat(32)));
    for name in [trustee.name(), &origin] {
        assert!(NoteKey::new(name, trustee.key(), NoteKind::Ed25519).is_ok());
    }
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb", "a\u{7f}b"] {
        let verdict = NoteKey::new(name, trustee.key(), NoteKind::Ed25519);
        assert_eq!(verdict, Err(NoteError::Malformed { what: "key name" }), "{name:?}");
    }
}

fn mutate(text: &str, place: prop::sample::Index, with: &str, delete: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = place.index(chars.len());
    let skip = usize::from(delete);
    chars[..at].iter().copied().chain(with.chars()).chain(chars[at + skip..].iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_the_same_and_a_changed_note_never_gains(
        place in any::<prop::sample::Index>(), with in "[ -~\n\u{2014}\r]{0,2}", delete in any::<bool>(),
    ) {
        let good = signed(&checkpoint(), &[1, 2, 3]).to_string();
        let changed = mutate(&good, place, &with, delete);
        let Ok(note) = changed.parse::<SignedCheckpoint>() else { return Ok(()) };
        prop_assert_eq!(note.to_string(), changed.clone());
        if changed != good {
            prop_assert!(note.verify_final(&lane(3), &keys(), 3).is_err(), "{}", changed);
        }
    }

    #[test]
    fn any_checkpoint_survives_its_text(size in 1u64.., root in any::<Hash>(), lane in any::<u16>(), id in any::<Hash>()) {
        let origin = origin(&ElectionId(id), LaneIndex(lane));
        let checkpoint = Checkpoint { origin, size: LogSize(size), root };
        prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint.clone()));
    }
}
