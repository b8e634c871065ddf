//! What a booth keeps on disk: each ballot before it is sent, and what became of it.
//!
//! ```text
//! election         the id of the election that all of it belongs to
//! ballots.jsonl    {"voter": "...", "ballot": "<hex>"}, durable before the first byte of it leaves
//! receipts.jsonl   one line per answer: see `receipts::Line`
//! ```
//!
//! After a crash the same bytes are sent again, so that a voter never has two different ballots under way. A line that a
//! crash cut off was never sent, or never shown: it is dropped.

use crate::{cast::Sealed, receipts::Line};
use protocol::ids::ElectionId;
use runtime::files::{self, FileTrouble};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const FILE_BYTES_MAX: u64 = 1 << 34;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShelfTrouble {
    /// A file or directory.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// Reading or writing.
    #[error("{}: {source}; nothing that is not in this file was sent", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
    /// A line that is none.
    #[error("{}: line {line} is damaged: {reason}", .path.display())]
    Line {
        /// Where.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What.
        reason: String,
    },
    /// Another election's.
    #[error("{} holds ballots of election {was}, this is {now}: use another directory", .path.display())]
    OtherElection {
        /// Where.
        path: PathBuf,
        /// There.
        was: String,
        /// Asked for.
        now: String,
    },
    /// Somebody else is at it.
    #[error("{} is in use by another booth: wait for it, or use another directory", .path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BallotLine {
    voter: String,
    ballot: String,
}

/// A file of whole lines at whose end is written.
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens it and hands every line to `take`; what follows the last line feed is cut off.
    fn open(path: PathBuf, mut take: impl FnMut(&str) -> Result<(), String>) -> Result<Self, ShelfTrouble> {
        let io = |source| ShelfTrouble::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(io)?;
        let mut text = Vec::new();
        (&file).take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(io)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        text.truncate(whole);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let damaged = |reason| ShelfTrouble::Line { path: path.clone(), line: at.saturating_add(1), reason };
            let line = std::str::from_utf8(line).map_err(|error| damaged(error.to_string()))?;
            take(line).map_err(damaged)?;
        }
        Ok(Self { path, file })
    }

    fn append(&mut self, text: &str, durable: bool) -> Result<(), ShelfTrouble> {
        let io = |source| ShelfTrouble::Io { path: self.path.clone(), source };
        self.file.write_all(text.as_bytes()).map_err(io)?;
        if durable { self.file.sync_data().map_err(io) } else { Ok(()) }
    }
}

/// The directory of one booth for one election.
pub struct Shelf {
    ballots: Lines,
    receipts: Lines,
    sealed: BTreeMap<String, Vec<u8>>,
    last: BTreeMap<String, Line>,
}

impl Shelf {
    /// Opens or makes it. Only its owner may enter: it links names and ballots.
    ///
    /// # Errors
    /// [`ShelfTrouble`].
    pub fn open(dir: &Path, election: &ElectionId) -> Result<Self, ShelfTrouble> {
        files::create_private_dir(dir)?;
        let (marker, now) = (dir.join("election"), election.to_string());
        if marker.exists() {
            let was = String::from_utf8_lossy(&files::read_limited(&marker, 1000)?).trim().to_owned();
            if was != now {
                return Err(ShelfTrouble::OtherElection { path: dir.to_owned(), was, now });
            }
        } else {
            files::write_atomic(&marker, format!("{now}\n").as_bytes())?;
        }
        let (mut sealed, mut last) = (BTreeMap::new(), BTreeMap::new());
        let ballots = Lines::open(dir.join("ballots.jsonl"), |line| {
            let line: BallotLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let bytes = hex::decode(&line.ballot).map_err(|error| error.to_string())?;
            sealed.insert(line.voter, bytes);
            Ok(())
        })?;
        if ballots.file.try_lock().is_err() {
            return Err(ShelfTrouble::InUse { path: dir.to_owned() });
        }
        let receipts = Lines::open(dir.join("receipts.jsonl"), |line| {
            let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
            last.insert(line.voter.clone(), line);
            Ok(())
        })?;
        Ok(Self { ballots, receipts, sealed, last })
    }

    /// A voter's ballot, if it was sealed before.
    #[must_use]
    pub fn sealed(&self, voter: &str) -> Option<Sealed> {
        self.sealed.get(voter).map(|bytes| Sealed { voter: voter.to_owned(), bytes: bytes.clone() })
    }

    /// What is certain about a voter's ballot.
    #[must_use]
    pub fn settled(&self, voter: &str) -> Option<&Line> {
        self.last.get(voter).filter(|line| line.fate == "recorded" || line.fate == "rejected")
    }

    /// The last answer for each voter.
    pub fn answers(&self) -> impl Iterator<Item = &Line> {
        self.last.values()
    }

    /// Voters whose ballots were sealed and have no certain answer.
    pub fn unsettled(&self) -> impl Iterator<Item = &str> {
        self.sealed.keys().map(String::as_str).filter(|voter| self.settled(voter).is_none())
    }

    /// How many ballots were sealed.
    #[must_use]
    pub fn sealed_count(&self) -> usize {
        self.sealed.len()
    }

    /// Keeps ballots durably. Only then may they leave.
    ///
    /// # Errors
    /// [`ShelfTrouble`]; then they must not leave.
    pub fn keep(&mut self, ballots: &[Sealed]) -> Result<(), ShelfTrouble> {
        let mut text = String::new();
        for sealed in ballots {
            let line = BallotLine { voter: sealed.voter.clone(), ballot: hex::encode(&sealed.bytes) };
            text += &to_json(&line, &self.ballots.path)?;
        }
        self.ballots.append(&text, true)?;
        self.sealed.extend(ballots.iter().map(|sealed| (sealed.voter.clone(), sealed.bytes.clone())));
        Ok(())
    }

    /// Notes an answer.
    ///
    /// # Errors
    /// [`ShelfTrouble`].
    pub fn note(&mut self, line: Line) -> Result<(), ShelfTrouble> {
        let text = to_json(&line, &self.receipts.path)?;
        self.receipts.append(&text, false)?;
        self.last.insert(line.voter.clone(), line);
        Ok(())
    }
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<String, ShelfTrouble> {
    let json = serde_json::to_string(value);
    json.map(|line| line + "\n").map_err(|error| ShelfTrouble::Io { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ElectionId = ElectionId([1; 32]);

    fn sealed(voter: &str, byte: u8) -> Sealed {
        Sealed { voter: voter.into(), bytes: vec![byte; 4] }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_a_cut_line_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shelf");
        let mut shelf = Shelf::open(&path, &ID).unwrap();
        shelf.keep(&[sealed("a", 1), sealed("b", 2)]).unwrap();
        assert!(matches!(Shelf::open(&path, &ID), Err(ShelfTrouble::InUse { .. })));
        drop(shelf);
        let file = path.join("ballots.jsonl");
        let mut bytes = std::fs::read(&file).unwrap();
        let whole = bytes.len();
        bytes.extend(b"{\"voter\":\"c\",\"bal");
        std::fs::write(&file, &bytes).unwrap();
        let mut shelf = Shelf::open(&path, &ID).unwrap();
        assert_eq!(shelf.sealed("a").unwrap().bytes, [1; 4]);
        assert!(shelf.sealed("c").is_none());
        assert_eq!(std::fs::metadata(&file).unwrap().len(), whole as u64);
        shelf.keep(&[sealed("c", 3)]).unwrap();
        drop(shelf);
        assert_eq!(Shelf::open(&path, &ID).unwrap().sealed("c").unwrap().bytes, [3; 4]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shelf");
        Shelf::open(&path, &ID).unwrap();
        std::fs::write(path.join("receipts.jsonl"), "{}\n").unwrap();
        assert!(matches!(Shelf::open(&path, &ID), Err(ShelfTrouble::Line { line: 1, .. })));
    }

    #[test]
    fn the_ballots_of_another_election_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shelf");
        Shelf::open(&path, &ID).unwrap().keep(&[sealed("a", 1)]).unwrap();
        let refused = Shelf::open(&path, &ElectionId([2; 32]));
        assert!(matches!(refused, Err(ShelfTrouble::OtherElection { .. })));
        assert!(Shelf::open(&path, &ID).unwrap().sealed("a").is_some());
    }
}
