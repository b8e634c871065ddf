//! The operator's word on its way to the daemon: a small file, written whole or not at all.
//!
//! The daemon looks for such files five times a second, keeps the word in its database, and removes the file. So
//! `trustee accept` works whether or not the daemon runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::ElectionId;
use protocol::keeper::Decision;
use runtime::Shutdown;
use runtime::files::{self, FileTrouble};
use serde::{Deserialize, Serialize};

use crate::directory::Directory;

/// Folder of the files, inside the data folder.
const FOLDER: &str = "decisions";
/// How often the daemon looks.
const LOOK: Duration = Duration::from_millis(100);
/// Largest file, in bytes.
const BYTES_MAX: u64 = 64 << 10;
/// Longest reason, in bytes: it goes into a public record.
pub const REASON_BYTES_MAX: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    accept: bool,
    #[serde(default)]
    reason: String,
}

fn path_of(data: &Path, election: &ElectionId) -> PathBuf {
    data.join(FOLDER).join(format!("{election}.toml"))
}

/// Leaves the word for the daemon.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn leave(data: &Path, election: &ElectionId, decision: &Decision) -> Result<(), FileTrouble> {
    files::create_private_dir(&data.join(FOLDER))?;
    let (accept, reason) = match decision {
        Decision::Accept => (true, ""),
        Decision::Refuse { reason } => (false, reason.as_str()),
    };
    // Two lines of text; `toml` could refuse to write them only if they were tables.
    let text = format!("accept = {accept}\nreason = {}\n", toml::Value::String(reason.to_owned()));
    files::write_private(&path_of(data, election), text.as_bytes())
}

/// Whether a word waits for the daemon.
#[must_use]
pub fn waits(data: &Path, election: &ElectionId) -> bool {
    path_of(data, election).exists()
}

/// Reads a word that was left.
fn read(path: &Path) -> Result<(ElectionId, Decision), String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let election: ElectionId = stem.parse().map_err(|_| "its name is no election id".to_owned())?;
    let bytes = files::read_private(path, BYTES_MAX).map_err(|error| error.to_string())?;
    let written: Written = toml::from_slice(&bytes).map_err(|error| error.to_string())?;
    match written {
        Written { accept: true, .. } => Ok((election, Decision::Accept)),
        Written { reason, .. } => Ok((election, Decision::Refuse { reason })),
    }
}

/// Picks up words until the daemon stops.
pub async fn watch(data: PathBuf, directory: Arc<Directory>, shutdown: Shutdown) {
    loop {
        pick_up(&data, &directory).await;
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn pick_up(data: &Path, directory: &Directory) {
    let Ok(entries) = std::fs::read_dir(data.join(FOLDER)) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml"))
    {
        match read(&path) {
            Ok((id, decision)) => match directory.election(&id) {
                Some(election) => {
                    election.decide(decision).await;
                    remove(&path);
                }
                // Its manifest may still be on its way.
                None => tracing::debug!(election = %id, "a decision waits for its election"),
            },
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "a decision that cannot be read is put aside");
                if std::fs::rename(&path, path.with_extension("unreadable")).is_err() {
                    remove(&path);
                }
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a decision that was taken cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_reads_back_as_left() {
        let folder = tempfile::tempdir().unwrap();
        let election = ElectionId([7; 32]);
        for decision in [Decision::Accept, Decision::Refuse { reason: "the \"roll\" = wrong\\".to_owned() }] {
            leave(folder.path(), &election, &decision).unwrap();
            assert!(waits(folder.path(), &election));
            assert_eq!(read(&path_of(folder.path(), &election)), Ok((election, decision)));
        }
    }

    #[test]
    fn a_file_that_is_no_decision_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        files::create_private_dir(&folder.path().join(FOLDER)).unwrap();
        let path = path_of(folder.path(), &ElectionId([7; 32]));
        for text in ["", "accept = \"yes\"", "accept = true\nforce = true"] {
            files::write_private(&path, text.as_bytes()).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
        let elsewhere = path.with_file_name("x.toml");
        files::write_private(&elsewhere, b"accept = true").unwrap();
        assert!(read(&elsewhere).is_err());
    }
}
