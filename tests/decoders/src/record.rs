//! The record in the corpus: what other targets are judged against, and a target itself.

use audit::{Options, Verdict};
use protocol::{
    ballot::BallotForm, ballot_box, board::Board as Fold, ceremony::KeyCertificate, encoding::Canonical as _,
    evidence::Verdict as Judged, manifest::Manifest, roll::Roll, signed::Envelope,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// The election of the corpus, folded.
pub struct Board {
    manifest: Arc<Manifest>,
    roll: Arc<Roll>,
    key: KeyCertificate,
    form: BallotForm,
    envelopes: Vec<Vec<u8>>,
    ballots: Vec<Vec<u8>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Board {
    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    /// Its voters.
    #[must_use]
    pub fn roll(&self) -> Arc<Roll> {
        self.roll.clone()
    }
    /// Its keys.
    #[must_use]
    pub fn key(&self) -> &KeyCertificate {
        &self.key
    }
    /// What its ballots are judged against.
    #[must_use]
    pub fn form(&self) -> &BallotForm {
        &self.form
    }
    /// Everything that was said.
    #[must_use]
    pub fn envelopes(&self) -> &[Vec<u8>] {
        &self.envelopes
    }
    /// Everything that was cast.
    #[must_use]
    pub fn ballots(&self) -> &[Vec<u8>] {
        &self.ballots
    }
    /// The record's files by name.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }
}

/// Where the record lies.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/record")
}

/// Behind the first line: `u32` length and bytes, again and again.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let start = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut rest = &file[start..];
    let mut out = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
        out.push(behind[..length].to_vec());
        rest = &behind[length..];
    }
    out
}

/// The election of the corpus; folded once.
pub fn board() -> &'static Board {
    static BOARD: OnceLock<Board> = OnceLock::new();
    BOARD.get_or_init(|| {
        let mut files = BTreeMap::new();
        for place in ["", "lanes"] {
            for entry in fs::read_dir(folder().join(place)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        let manifest = Arc::new(Manifest::open(&files["manifest.bin"]).unwrap());
        let roll = Arc::new(Roll::open(&files["roll.bin"], &manifest).unwrap());
        let envelopes = frames(&files["board.bin"]);
        let mut fold = Fold::new(manifest.clone());
        for bytes in &envelopes {
            let Judged::Valid(checked) = fold.check(&Envelope::from_bytes(bytes).unwrap()) else {
                panic!("the record's board is not one")
            };
            fold.absorb(checked);
        }
        let key = fold.key_certificate().unwrap().clone();
        let form = ballot_box::form(&manifest, key.election_key).unwrap();
        let ballots = frames(&files["lanes/0.log"]);
        Board { manifest, roll, key, form, envelopes, ballots, files }
    })
}

/// A patch to the record from arbitrary bytes: file, place, what to do there, with what. `None` if it changes nothing.
fn patched(bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let ([which, how, place @ ..], payload) = bytes.split_first_chunk::<6>()?;
    let mut files = board().files.clone();
    // What is only claimed is not judged; its digest is, in the summary.
    let names: Vec<String> = files.keys().filter(|name| *name != "versions.json").cloned().collect();
    let name = names.get(usize::from(*which) % names.len())?;
    let file = files.get_mut(name)?;
    let before = file.clone();
    let at = usize::try_from(u32::from_be_bytes(*place)).ok()? % (file.len() + 1);
    match how % 4 {
        0 => payload.iter().zip(&mut file[at..]).for_each(|(byte, own)| *own ^= byte),
        1 => file.truncate(at),
        2 => drop(file.splice(at..at, payload.iter().copied())),
        _ => {
            let end = (at + payload.len()).min(file.len());
            drop(file.drain(at..end));
        }
    }
    (*file != before).then_some(files)
}

/// The stranger's verdict on a patched record: never valid, and never a panic.
///
/// # Panics
/// If the audit takes it.
pub(crate) fn judge(bytes: &[u8]) -> bool {
    let Some(files) = patched(bytes) else { return false };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lanes")).unwrap();
    for (name, content) in &files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let report = audit::verify(folder.path(), &Options::default());
    assert!(report.verdict != Verdict::Valid, "the audit took a changed record");
    assert!(report.failure.is_some(), "it said nothing about why not");
    true
}
