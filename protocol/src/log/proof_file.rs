//! A final receipt: one file that shows offline that a leaf is in the log that the trustees saw. (P-LOG-3.2)

use super::{
    InclusionProof, NOTE_BYTES_MAX, NoteKey, SignedCheckpoint, Signers,
    note::{self, NoteError},
    origin,
    receipt::Receipt,
    verify_inclusion,
};
use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer},
    ids::LeafIndex,
};
use alloc::{string::ToString as _, vec::Vec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{fmt, str::FromStr};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// More hash lines than any tree of at most 2^64 leaves needs.
const HASHES_MAX: usize = 64;

/// A C2SP tlog-proof, without extra data. Displayed as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// Where the leaf is.
    pub index: LeafIndex,
    /// From the leaf to the checkpoint's root.
    pub proof: InclusionProof,
    /// Signed and co-signed.
    pub checkpoint: SignedCheckpoint,
}

impl ProofFile {
    /// Whether the leaf with this hash is in the log `origin`, under a final checkpoint. (P-LOG-3.2)
    ///
    /// # Errors
    /// As [`SignedCheckpoint::verify_final`] and [`verify_inclusion`].
    pub fn verify(&self, leaf: &Hash, origin: &str, keys: &[NoteKey], w: u16) -> Result<Signers, NoteError> {
        let signers = self.checkpoint.verify_final(origin, keys, w)?;
        let checkpoint = self.checkpoint.checkpoint();
        verify_inclusion(self.index, checkpoint.size, leaf, &self.proof, &checkpoint.root)?;
        Ok(signers)
    }
    /// Whether this makes `receipt` final: its lane, its index, its leaf. The receipt's own signature is not looked at.
    ///
    /// # Errors
    /// [`NoteError::OtherLeaf`], and as [`ProofFile::verify`].
    pub fn confirms(&self, receipt: &Receipt, keys: &[NoteKey], w: u16) -> Result<Signers, NoteError> {
        if self.index != receipt.index {
            return Err(NoteError::OtherLeaf { what: "index" });
        }
        self.verify(&receipt.leaf, &origin(&receipt.election, receipt.lane), keys, w)
    }
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.proof.0 {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for ProofFile {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed { what: "proof file" };
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { what: "proof file", got: text.len(), max: NOTE_BYTES_MAX });
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed.clone())?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed);
        }
        // An `extra` line here would be unauthenticated: refused.
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(malformed)?;
        let index = LeafIndex(note::parse_decimal("index", index)?);
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() >= HASHES_MAX {
                let got = hashes.len().saturating_add(1);
                return Err(NoteError::TooLong { what: "inclusion proof", got, max: HASHES_MAX });
            }
            hashes.push(note::parse_hash("inclusion proof", line)?);
        }
        Ok(Self { index, proof: InclusionProof(hashes), checkpoint: checkpoint.parse()? })
    }
}

/// The file, as text.
impl Canonical for ProofFile {
    fn write(&self, out: &mut Writer) {
        out.text(&self.to_string());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = input.text("proof file", NOTE_BYTES_MAX)?;
        text.parse().map_err(|_| DecodeError::Text { what: "proof file" })
    }
}
