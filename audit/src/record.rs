//! The folder, read and taken apart. (P-REC)

use crate::{
    manifest::Manifest,
    messages::{Envelope, Evidence, Rejection},
    report::{Finding, finding, must},
    wire::{Hash, MESSAGE_MAX, entries},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::Path,
};

/// A ballot is at most this long.
pub(crate) const BALLOT_MAX: usize = 256 << 10;
/// A C2SP note is at most this long.
const NOTE_MAX: u64 = 128 << 10;
const ENVELOPES_MAX: usize = 200_000;

pub(crate) struct Lane {
    file: Vec<u8>,
    leaves: Vec<Range<usize>>,
    pub(crate) checkpoint: String,
}

impl Lane {
    pub(crate) fn size(&self) -> usize {
        self.leaves.len()
    }
    pub(crate) fn leaf(&self, at: usize) -> Option<&[u8]> {
        self.file.get(self.leaves.get(at)?.clone())
    }
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        self.leaves.iter().filter_map(|range| self.file.get(range.clone()))
    }
}

pub(crate) struct Record {
    pub(crate) manifest: Manifest,
    pub(crate) roll: Vec<u8>,
    /// Strictly ascending by slot.
    pub(crate) board: Vec<Envelope>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) rejections: Vec<Rejection>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) summary: Value,
    /// SHA-256 of every file but the summary.
    pub(crate) files: BTreeMap<String, Hash>,
}

/// No record, or a lie in it.
pub(crate) enum Stop {
    Unreadable(Finding),
    Lie(Finding),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Lie(finding)
    }
}

fn unreadable(expected: &str, path: &Path, error: &std::io::Error) -> Stop {
    Stop::Unreadable(finding(expected, format!("{}: {error}", path.display())))
}

/// A folder with a manifest in it is a record, perhaps a false one; anything else is nothing to judge.
pub(crate) fn is_there(folder: &Path) -> Result<(), Stop> {
    let kind = fs::symlink_metadata(folder.join("manifest.bin"))
        .map_err(|error| unreadable("a folder with an election record in it", folder, &error))?;
    if kind.is_file() {
        Ok(())
    } else {
        Err(Stop::Unreadable(finding("a file manifest.bin", "something else of that name")))
    }
}

struct Folder<'a> {
    root: &'a Path,
    files: BTreeMap<String, Hash>,
}

impl Folder<'_> {
    fn read(&mut self, name: &str, max: u64) -> Result<Vec<u8>, Stop> {
        let path = self.root.join(name);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => found,
            Ok(_) => return Err(finding(format!("a plain file {name}"), "something else of that name").into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(finding(format!("a file {name}"), "none").into());
            }
            Err(error) => return Err(unreadable("a readable file", &path, &error)),
        };
        let too_long = found.len() > max;
        must(!too_long, || format!("{name} of at most {max} bytes"), || format!("{} bytes", found.len()))?;
        let bytes = fs::read(&path).map_err(|error| unreadable("a readable file", &path, &error))?;
        self.files.insert(name.to_owned(), Sha256::digest(&bytes).into());
        Ok(bytes)
    }

    /// Nothing is there that nobody looks at.
    fn no_others(&self, known: &BTreeSet<String>) -> Result<(), Stop> {
        for (folder, prefix) in [(self.root.to_owned(), ""), (self.root.join("lanes"), "lanes/")] {
            let listed = fs::read_dir(&folder).map_err(|error| unreadable("a readable folder", &folder, &error))?;
            for entry in listed {
                let entry = entry.map_err(|error| unreadable("a readable folder", &folder, &error))?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                must(known.contains(&name) || name == "lanes", || "no other files".into(), || name.clone())?;
            }
        }
        Ok(())
    }
}

impl Record {
    pub(crate) fn load(root: &Path) -> Result<Self, Stop> {
        let mut folder = Folder { root, files: BTreeMap::new() };
        let manifest = Manifest::decode(&folder.read("manifest.bin", MESSAGE_MAX as u64)?)?;
        let roll = folder.read("roll.bin", 4 << 30)?;
        let board = board(&folder.read("board.bin", 4 << 30)?)?;
        let rejections = folder.read("rejections.bin", 1 << 30)?;
        let rejections = listed("rejections.bin", b"conclave-rejections-1\n", &rejections, 256, Rejection::decode)?;
        let evidence = folder.read("evidence.bin", 1 << 30)?;
        let evidence = listed("evidence.bin", b"conclave-evidence-1\n", &evidence, MESSAGE_MAX, Evidence::decode)?;
        let mut lanes = Vec::new();
        for lane in 0..manifest.lanes {
            let file = folder.read(&format!("lanes/{lane}.log"), 64 << 30)?;
            let leaves = entries("lane", b"conclave-lane-1\n", &file, BALLOT_MAX)?;
            let checkpoint = folder.read(&format!("lanes/{lane}.checkpoint"), NOTE_MAX)?;
            let checkpoint = String::from_utf8(checkpoint)
                .map_err(|_| finding("a checkpoint that is text", format!("other bytes in that of lane {lane}")))?;
            lanes.push(Lane { file, leaves, checkpoint });
        }
        // Somebody's word about software, which says nothing about the election: any object will do.
        let versions = folder.read("versions.json", 64 << 10)?;
        let versions: Option<Value> = serde_json::from_slice(&versions).ok();
        must(
            versions.is_some_and(|value| value.is_object()),
            || "a JSON object in versions.json".into(),
            || "other bytes".into(),
        )?;
        let mut known: BTreeSet<String> = folder.files.keys().cloned().collect();
        let files = folder.files.clone();
        let summary = json("summary.json", &folder.read("summary.json", 64 << 20)?)?;
        known.insert("summary.json".into());
        folder.no_others(&known)?;
        Ok(Self { manifest, roll, board, lanes, rejections, evidence, summary, files })
    }

    /// What was said in a slot.
    pub(crate) fn said(&self, slot: crate::messages::Slot) -> Option<&Envelope> {
        let at = self.board.binary_search_by_key(&slot, |envelope| envelope.slot).ok()?;
        self.board.get(at)
    }
    /// Everything of one kind.
    pub(crate) fn kind(&self, tag: u16) -> impl Iterator<Item = &Envelope> {
        let start = self.board.partition_point(|envelope| envelope.slot.tag < tag);
        let end = self.board.partition_point(|envelope| envelope.slot.tag <= tag);
        self.board.get(start..end).unwrap_or(&[]).iter()
    }
}

fn board(file: &[u8]) -> Result<Vec<Envelope>, Finding> {
    let ranges = entries("board.bin", b"conclave-board-1\n", file, MESSAGE_MAX)?;
    must(ranges.len() <= ENVELOPES_MAX, || format!("at most {ENVELOPES_MAX} envelopes"), || ranges.len().to_string())?;
    let mut board: Vec<Envelope> = Vec::new();
    for range in ranges {
        let envelope = Envelope::decode(file.get(range).unwrap_or(&[]))?;
        if let Some(last) = board.last() {
            let (last, next) = (last.slot, envelope.slot);
            must(last < next, || "slots in strictly ascending order".into(), || format!("{next} after {last}"))?;
        }
        board.push(envelope);
    }
    Ok(board)
}

fn listed<T>(
    what: &'static str,
    magic: &[u8],
    file: &[u8],
    max: usize,
    decode: impl Fn(&[u8]) -> Result<T, Finding>,
) -> Result<Vec<T>, Finding> {
    let ranges = entries(what, magic, file, max)?;
    let entries: Vec<&[u8]> = ranges.into_iter().map(|range| file.get(range).unwrap_or(&[])).collect();
    let ascending = entries.is_sorted_by(|a, b| a < b);
    must(ascending, || format!("entries of {what} in strictly ascending order"), || "another order".into())?;
    entries.into_iter().map(decode).collect()
}

/// A JSON object in the one form that a record has it: anything else could hide a second meaning, such as a repeated key.
fn json(name: &str, bytes: &[u8]) -> Result<Value, Finding> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| finding(format!("JSON in {name}"), format!("other bytes ({error})")))?;
    must(value.is_object(), || format!("an object in {name}"), || "another value".into())?;
    let mut again = serde_json::to_vec_pretty(&value)
        .map_err(|error| finding(format!("JSON in {name}"), format!("other bytes ({error})")))?;
    again.push(b'\n');
    let first = again.iter().zip(bytes).position(|(a, b)| a != b);
    must(
        again == bytes,
        || format!("{name} with ascending keys, two spaces of indentation, a final line feed"),
        || format!("another form, from byte {}", first.unwrap_or(again.len().min(bytes.len()))),
    )?;
    Ok(value)
}
