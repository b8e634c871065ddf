//! The record as files. Pure up to [`Record::write`]: the same record gives the same bytes. (P-REC)

use super::{Record, RecordTrouble};
use protocol::{board::Stage, encoding::Canonical as _, signing::messages::Purpose};
use runtime::files::{self, FileTrouble};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const VERSIONS: &str = "versions.json";
const SUMMARY: &str = "summary.json";

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteTrouble {
    /// A file.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// A directory.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        source: io::Error,
    },
    /// Cannot happen for these values.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Magic, then each entry behind its length.
pub(crate) fn framed<'a>(magic: &str, entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = magic.as_bytes().to_vec();
    for entry in entries {
        // An entry is a ballot, envelope or rejection, all far below 4 GiB.
        out.extend(u32::try_from(entry.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(entry);
    }
    out
}

impl Record {
    /// All files, by path.
    ///
    /// # Errors
    /// There is no result yet, or not all anchors.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, RecordTrouble> {
        let missing = |missing| RecordTrouble::NotYet { stage: self.board.stage().name(), missing };
        for (purpose, what) in [
            (Purpose::AnchorKey, "the key's anchor"),
            (Purpose::AnchorVoteSet, "the vote set's anchor"),
            (Purpose::AnchorResult, "the result's anchor"),
        ] {
            if self.board.anchored(purpose).is_none() {
                return Err(missing(what));
            }
        }
        if self.board.stage() != Stage::Complete {
            return Err(missing("the result"));
        }
        let envelopes: Vec<Vec<u8>> = self.board.envelopes().map(protocol::encoding::Canonical::to_bytes).collect();
        let entries = |list: &'_ [Vec<u8>], magic: &str| framed(magic, list.iter().map(Vec::as_slice));
        let mut files = BTreeMap::from([
            ("manifest.bin".to_owned(), self.manifest.to_bytes()),
            ("roll.bin".to_owned(), self.roll.clone()),
            ("board.bin".to_owned(), entries(&envelopes, "conclave-board-1\n")),
            ("rejections.bin".to_owned(), entries(&self.rejections, "conclave-rejections-1\n")),
            ("evidence.bin".to_owned(), entries(&self.evidence, "conclave-evidence-1\n")),
            (VERSIONS.to_owned(), self.versions()?),
        ]);
        for (lane, content) in self.lanes.iter().enumerate() {
            files.insert(format!("lanes/{lane}.log"), entries(&content.ballots, "conclave-lane-1\n"));
            files.insert(format!("lanes/{lane}.checkpoint"), content.checkpoint.clone().into_bytes());
        }
        let mut summary = self.summary()?;
        summary.files = files.iter().map(|(name, bytes)| (name.clone(), hex::encode(Sha256::digest(bytes)))).collect();
        let summary = serde_json::to_string_pretty(&summary).map_err(WriteTrouble::Json)? + "\n";
        files.insert(SUMMARY.to_owned(), summary.into_bytes());
        Ok(files)
    }

    /// Who said to run what.
    fn versions(&self) -> Result<Vec<u8>, WriteTrouble> {
        let trustees = self.status.trustees.iter();
        let trustees = trustees.map(|t| json!({ "name": t.name, "build": t.build, "keystore": t.keystore }));
        let versions = json!({
            "exported_by": format!("ceremony {}", env!("CARGO_PKG_VERSION")),
            "trustees": trustees.collect::<Vec<_>>(),
        });
        Ok((serde_json::to_string_pretty(&versions)? + "\n").into_bytes())
    }

    /// Writes the directory: whole, or not at all. One that is there already with the same content stays: `false`.
    ///
    /// # Errors
    /// [`RecordTrouble`].
    pub fn write(&self, dir: &Path) -> Result<bool, RecordTrouble> {
        let files = self.files()?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteTrouble::Io { path, source }
        };
        if dir.exists() {
            // Versions are what daemons said when they were asked, and may be another set today.
            let mut same = files.iter().filter(|(name, _)| *name != VERSIONS && *name != SUMMARY);
            let same = same.all(|(name, bytes)| fs::read(dir.join(name)).is_ok_and(|found| found == *bytes));
            if same {
                return Ok(false);
            }
            let empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
            if !empty {
                return Err(RecordTrouble::Exists { path: dir.to_owned() });
            }
        }
        let name = dir.file_name().map_or_else(|| "record".into(), |name| name.to_string_lossy().into_owned());
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let partial = parent.join(format!(".{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io(&partial))?;
        }
        fs::create_dir_all(partial.join("lanes")).map_err(io(&partial))?;
        for (name, bytes) in &files {
            files::write_atomic(&partial.join(name), bytes).map_err(WriteTrouble::File)?;
        }
        fs::rename(&partial, dir).map_err(io(dir))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_length_and_bytes_behind_the_magic() {
        let got = framed("conclave-lane-1\n", [b"ab".as_slice(), b""]);
        assert_eq!(got, b"conclave-lane-1\n\0\0\0\x02ab\0\0\0\0");
        assert_eq!(framed("conclave-board-1\n", []), b"conclave-board-1\n");
    }
}
