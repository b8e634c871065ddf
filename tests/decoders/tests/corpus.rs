//! The fuzz targets without a fuzzer: every corpus file, and mutations of it from fixed seeds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

use decoders::{TARGETS, board};
use protocol::{
    encoding::Canonical as _,
    evidence::{Evidence, Wrong},
    ids::{LaneIndex, LeafIndex, LogSize, ShardIndex, TimeMs},
    log::{NoteKey, ProofFile, Receipt, Rejection, SignedCheckpoint, Tree, leaf_hash},
    signed::{Body, Envelope},
};
use std::{collections::BTreeSet, fs, path::Path};

/// SplitMix64: the same mutations on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn mutated(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(out.len() + 1);
        match dice.below(7) {
            0 if at < out.len() => out[at] ^= 1 << dice.below(8),
            1 if at < out.len() => out[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            2 => out.truncate(at),
            3 => out.insert(at, u8::try_from(dice.below(256)).unwrap()),
            4 => {
                let end = (at + dice.below(40)).min(out.len());
                out.drain(at..end);
            }
            5 => {
                let end = (at + dice.below(40)).min(out.len());
                let copy = out[at..end].to_vec();
                let to = dice.below(out.len() + 1);
                out.splice(to..to, copy);
            }
            // A length or a count that promises the world.
            _ => {
                let end = (at + 4).min(out.len());
                out[at..end].fill(0xff);
            }
        }
    }
    out
}

fn checkpoint() -> SignedCheckpoint {
    std::str::from_utf8(&board().files()["lanes/0.checkpoint"]).unwrap().parse().unwrap()
}

/// The messages that were anchored.
fn memos() -> Vec<Vec<u8>> {
    let envelopes = board().envelopes().iter().map(|bytes| Envelope::from_bytes(bytes).unwrap());
    let messages = envelopes.filter_map(|envelope| match envelope.body {
        Body::Anchored(anchored) => Some(anchored.message.0),
        _ => None,
    });
    messages.filter(|message| solana_anchor::MemoMessage::decode(message).is_ok()).collect()
}

/// Real values of each kind: those of the record, and the files of the corpus.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let of_record = board();
    let mut out: Vec<Vec<u8>> = match target {
        "envelope" => {
            // One of each kind.
            let mut kinds = BTreeSet::new();
            let new = |bytes: &&Vec<u8>| kinds.insert(Envelope::from_bytes(bytes).unwrap().body.tag());
            of_record.envelopes().iter().filter(new).cloned().collect()
        }
        "manifest" => vec![of_record.files()["manifest.bin"].clone()],
        "roll" => vec![of_record.files()["roll.bin"].clone()],
        "ballot" => of_record.ballots()[..2].to_vec(),
        "signed_checkpoint" => vec![of_record.files()["lanes/0.checkpoint"].clone()],
        "evidence" => {
            let envelopes: Vec<Envelope> =
                of_record.envelopes()[..3].iter().map(|bytes| Envelope::from_bytes(bytes).unwrap()).collect();
            let evidence = |wrong| Evidence { accused: envelopes[0].sender, wrong, envelopes: envelopes.clone() };
            Wrong::ALL.into_iter().map(|wrong| evidence(wrong).to_bytes()).collect()
        }
        "receipt" => {
            let (election, ballot) = (of_record.manifest().id(), &of_record.ballots()[0]);
            let credential = of_record.form().peek(ballot).unwrap().1;
            let (lane, index, leaf) = (LaneIndex(0), LeafIndex(0), leaf_hash(ballot));
            let shard = ShardIndex(1);
            vec![Receipt { election, lane, index, leaf, credential, shard, signature: [9; 64] }.to_bytes()]
        }
        "rejection" => {
            let (election, ballot) = (of_record.manifest().id(), leaf_hash(&of_record.ballots()[0]));
            let (shard, time) = (ShardIndex(1), TimeMs(1));
            vec![Rejection { election, ballot, code: 103, shard, time, signature: [9; 64] }.to_bytes()]
        }
        "checkpoint" => vec![checkpoint().checkpoint().to_string().into_bytes()],
        "note_key" => {
            let trustees = of_record.manifest().trustees.iter();
            trustees.map(|trustee| NoteKey::cosigner(trustee.identity).to_string().into_bytes()).collect()
        }
        "proof_file" => {
            let mut tree = Tree::new();
            for ballot in of_record.ballots() {
                tree.append(leaf_hash(ballot));
            }
            let size = LogSize(of_record.ballots().len() as u64);
            let file = |index| {
                let proof = tree.inclusion(index, size).unwrap();
                ProofFile { index, proof, checkpoint: checkpoint() }.to_string().into_bytes()
            };
            vec![file(LeafIndex(0)), file(LeafIndex(5))]
        }
        "anchor_message" => memos(),
        "anchor_text" => {
            let text = |message: Vec<u8>| solana_anchor::MemoMessage::decode(&message).unwrap().text.into_bytes();
            memos().into_iter().map(text).collect()
        }
        "record" => (0..8).map(|file| vec![file, 0, 0, 0, 0, 40, 1]).collect(),
        _ => Vec::new(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    if target != "record" && folder.is_dir() {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        out.extend(files.into_iter().map(|file| fs::read(file).unwrap()));
    }
    out
}

#[test]
fn every_decoder_takes_what_was_written_and_nothing_else() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        assert!(!seeds.is_empty(), "{}: nothing to begin with", target.name);
        let mut dice = Dice(7);
        let mut refused = 0;
        for seed in &seeds {
            assert!((target.run)(seed), "{}: a real value is refused", target.name);
            for _ in 0..target.rounds / seeds.len() + 1 {
                let bytes = mutated(seed, &mut dice);
                refused += usize::from(!(target.run)(&bytes));
            }
        }
        // Mutations of a record are refused by an assertion in the target itself.
        assert!(refused > 0 || target.name == "record", "{}: nothing was refused", target.name);
        (target.run)(&[]);
        (target.run)(&vec![0xff; 2_000_000]);
    }
}

#[test]
fn the_record_of_the_corpus_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/record");
    let report = audit::verify(&folder, &audit::Options::default());
    assert_eq!(report.verdict, audit::Verdict::Valid, "{}", report.to_text());
}

#[test]
fn every_fuzz_target_has_its_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "fuzz/Cargo.toml: {}", target.name);
        let program = fs::read_to_string(root.join("targets").join(format!("{}.rs", target.name))).unwrap();
        assert!(program.contains(&format!("decoders::run(\"{}\"", target.name)));
    }
}

/// Files that people write: whatever is in them, there is an answer and no panic.
#[test]
fn files_that_people_write_never_end_in_a_panic() {
    let template = ceremony::election_file::TEMPLATE;
    ceremony::election_file::ElectionFile::parse(template).unwrap();
    let manifest = board().manifest();
    let choices = "voter,vote\nv1,Emily Buss\n";
    let (mut dice, mut refused) = (Dice(11), 0);
    for _ in 0..1500 {
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let toml = lossy(mutated(template.as_bytes(), &mut dice));
        refused += usize::from(ceremony::election_file::ElectionFile::parse(&toml).is_err());
        let csv = mutated(choices.as_bytes(), &mut dice);
        refused += usize::from(booth::choices::read_choices(manifest, csv.as_slice()).is_err());
        let roll = mutated(b"credential,style,weight\n00,all,1\n", &mut dice);
        refused += usize::from(ceremony::roll_file::read_roll(&["all".to_owned()], roll.as_slice()).is_err());
        let keys = mutated(b"voter,secret\nv1,00\n", &mut dice);
        refused += usize::from(booth::choices::read_keys(keys.as_slice()).is_err());
    }
    assert!(refused > 3000, "{refused}");
}
