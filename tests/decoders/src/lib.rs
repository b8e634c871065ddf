//! What may be said about every decoder, whatever bytes it is given. The same functions are the targets of `cargo fuzz`
//! (`fuzz/`) and run as plain tests over the committed corpus and over mutations of it.
//!
//! A target panics when a claim fails: that is what a fuzzer looks for.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic here is the finding")]

mod record;

pub use record::{Board, board};

use protocol::{
    ballot::BallotForm,
    ballot_box::{self, BallotBox},
    encoding::Canonical,
    evidence::Evidence,
    ids::LaneIndex,
    log::{Checkpoint, NoteKey, ProofFile, Receipt, Rejection, SignedCheckpoint},
    manifest::Manifest,
    roll::Roll,
    signed::Envelope,
    signing::Anchor,
};
use std::{fmt::Display, str::FromStr};

/// One target: what `cargo fuzz run NAME` calls.
pub struct Target {
    /// Name of the fuzz target and of its folder in the corpus.
    pub name: &'static str,
    /// Panics if a claim fails. Says whether the bytes were taken for something.
    pub run: fn(&[u8]) -> bool,
    /// Mutations of each corpus file in the plain test: fewer where one costs much.
    pub rounds: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "envelope", run: canonical::<Envelope>, rounds: 3000 },
    Target { name: "manifest", run: manifest, rounds: 3000 },
    Target { name: "roll", run: roll, rounds: 3000 },
    Target { name: "evidence", run: canonical::<Evidence>, rounds: 2000 },
    Target { name: "receipt", run: canonical::<Receipt>, rounds: 3000 },
    Target { name: "rejection", run: canonical::<Rejection>, rounds: 3000 },
    Target { name: "ballot", run: ballot, rounds: 60 },
    Target { name: "checkpoint", run: text::<Checkpoint>, rounds: 3000 },
    Target { name: "signed_checkpoint", run: text::<SignedCheckpoint>, rounds: 3000 },
    Target { name: "proof_file", run: text::<ProofFile>, rounds: 3000 },
    Target { name: "note_key", run: text::<NoteKey>, rounds: 3000 },
    Target { name: "anchor_text", run: anchor_text, rounds: 3000 },
    Target { name: "anchor_message", run: anchor_message, rounds: 3000 },
    Target { name: "record", run: record::judge, rounds: 40 },
];

/// Runs one target by name.
///
/// # Panics
/// If a claim fails, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target {name}")).run)(bytes)
}

/// One value, one spelling: what decodes is what would be written.
fn canonical<T: Canonical>(bytes: &[u8]) -> bool {
    let Ok(value) = T::from_bytes(bytes) else { return false };
    assert!(value.to_bytes() == bytes, "two spellings of one value");
    true
}

/// The same for what is text.
fn text<T: FromStr + Display>(bytes: &[u8]) -> bool {
    let Ok(written) = std::str::from_utf8(bytes) else { return false };
    let Ok(value) = T::from_str(written) else { return false };
    assert_eq!(value.to_string(), written, "two spellings of one value");
    true
}

fn manifest(bytes: &[u8]) -> bool {
    let taken = canonical::<Manifest>(bytes);
    let Ok(manifest) = Manifest::open(bytes) else { return taken };
    // What is opened may be used everywhere: these must not panic either.
    let _ = (manifest.id(), ballot_box::form(&manifest, board().key().election_key));
    true
}

/// The only roll that a manifest opens is the one that it commits to.
fn roll(bytes: &[u8]) -> bool {
    let Ok(roll) = Roll::open(bytes, board().manifest()) else { return false };
    assert!(roll.to_bytes() == bytes, "another roll with the same commitment");
    true
}

/// A ballot that verifies is one of the record's; another would be a forgery.
fn ballot(bytes: &[u8]) -> bool {
    let form: &BallotForm = board().form();
    let _ = form.peek(bytes);
    let stored = form.trusted_from_store(bytes);
    let Ok(ballot) = form.verify(bytes) else { return false };
    assert!(stored.is_ok(), "verified, but not readable from the store");
    assert!(board().ballots().iter().any(|known| known == bytes), "a ballot was forged");
    let mut lane = BallotBox::new(board().manifest(), form, board().roll(), LaneIndex(0));
    assert!(lane.absorb(&ballot, &|_| None).is_ok());
    true
}

fn anchor_text(bytes: &[u8]) -> bool {
    let Ok(written) = std::str::from_utf8(bytes) else { return false };
    let Ok(anchor) = Anchor::parse(written) else { return false };
    assert_eq!(anchor.text(), written);
    true
}

fn anchor_message(bytes: &[u8]) -> bool {
    let Ok(memo) = solana_anchor::MemoMessage::decode(bytes) else { return false };
    assert!(!memo.text.is_empty());
    true
}
