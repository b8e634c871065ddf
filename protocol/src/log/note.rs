//! C2SP signed notes: keys, key ids, signature lines. (P-LOG-2)

use super::{LogError, NAME_BYTES_MAX, NOTE_BYTES_MAX, SIGNATURES_MAX};
use crate::ids::IdentityKey;
use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{fmt, str::FromStr};
use sha2::{Digest as _, Sha256};

/// Why a text is no note of ours, or its signatures do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Over its bound.
    #[error("{what} is too long: {got}, at most {max} is allowed")]
    TooLong {
        /// What.
        what: &'static str,
        /// Found.
        got: usize,
        /// Bound.
        max: usize,
    },
    /// Not the text that the specification gives.
    #[error("{what} is malformed")]
    Malformed {
        /// The part at fault.
        what: &'static str,
    },
    /// A checkpoint of another log.
    #[error("the checkpoint is of log {got}, expected is {expected}")]
    OtherOrigin {
        /// Wanted.
        expected: String,
        /// In the checkpoint.
        got: String,
    },
    /// A known key's signature does not hold. The whole note is refused.
    #[error("the signature by {name} does not hold: discard the note")]
    InvalidSignature {
        /// Of the key.
        name: String,
    },
    /// Two lines by one known key. The whole note is refused.
    #[error("{name} has signed twice: discard the note")]
    RepeatedSigner {
        /// Of the key.
        name: String,
    },
    /// No known log key has signed.
    #[error("no known key of the log has signed the checkpoint")]
    NotByLog,
    /// Too few trustees have co-signed.
    #[error("{got} known trustees have co-signed, {needed} are needed: fetch a later checkpoint")]
    TooFewCosigners {
        /// Distinct keys.
        got: usize,
        /// `w`.
        needed: usize,
    },
    /// A quorum of none would make everything final.
    #[error("a quorum of 0 co-signatures is no quorum")]
    NoQuorum,
    /// The proof file is not about what the receipt is about.
    #[error("the proof is about another {what} than the receipt")]
    OtherLeaf {
        /// `leaf` or `index`.
        what: &'static str,
    },
    /// The two checkpoints do not contradict each other.
    #[error("the two checkpoints do not contradict each other")]
    NoFork,
    /// The tree does not hold.
    #[error(transparent)]
    Tree(#[from] LogError),
}

/// What a key signs notes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// Plain Ed25519 over the text: the log itself. (Type 0x01)
    Ed25519,
    /// Timestamped co-signature of a checkpoint: a trustee. (Type 0x04)
    CosignatureV1,
}

impl NoteKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureV1 => 4,
        }
    }
}

/// A key that may sign notes, under its name. Displayed as a C2SP verifier key (vkey).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    key: IdentityKey,
    kind: NoteKind,
}

impl NoteKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::TooLong`] for a name that C2SP does not allow.
    pub fn new(name: &str, key: IdentityKey, kind: NoteKind) -> Result<Self, NoteError> {
        check_name("key name", name)?;
        Ok(Self { name: name.to_owned(), key, kind })
    }
    /// A shard's key as the log of `origin`: key name = origin line.
    ///
    /// # Errors
    /// As [`NoteKey::new`]; never for [`super::origin`].
    pub fn log(origin: &str, key: IdentityKey) -> Result<Self, NoteError> {
        Self::new(origin, key, NoteKind::Ed25519)
    }
    /// A trustee's key as a cosigner: `conclave/v1/trustee/<hex key>`, the same in every log.
    #[must_use]
    pub fn cosigner(key: IdentityKey) -> Self {
        Self { name: format!("conclave/v1/trustee/{key}"), key, kind: NoteKind::CosignatureV1 }
    }
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The key.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        self.key
    }
    /// What it signs as.
    #[must_use]
    pub fn kind(&self) -> NoteKind {
        self.kind
    }
    /// `SHA-256(name || 0x0A || type || key)`, the first 4 bytes. Tells keys apart; proves nothing.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', self.kind.byte()]);
        hash.update(self.key.0);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [[self.kind.byte()].as_slice(), &self.key.0].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(material))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Malformed { what: "verifier key" };
        let (name, rest) = text.split_once('+').ok_or_else(malformed)?;
        let (_, material) = rest.split_once('+').ok_or_else(malformed)?;
        let bytes = STANDARD.decode(material).map_err(|_| malformed())?;
        let (kind, key) = bytes.split_first().ok_or_else(malformed)?;
        let kind = match kind {
            1 => NoteKind::Ed25519,
            4 => NoteKind::CosignatureV1,
            _ => return Err(malformed()),
        };
        let key = Self::new(name, IdentityKey(key.try_into().map_err(|_| malformed())?), kind)?;
        // Covers the id, its case and everything else that could be spelt in two ways.
        if format!("{key}") == text { Ok(key) } else { Err(malformed()) }
    }
}

/// One signature line. Its key may be unknown to us; then only its form is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) id: [u8; 4],
    pub(super) signature: Vec<u8>,
}

impl Line {
    pub(super) fn new(key: &NoteKey, signature: Vec<u8>) -> Self {
        Self { name: key.name.clone(), id: key.id(), signature }
    }
    pub(super) fn is_by(&self, key: &NoteKey) -> bool {
        self.name == key.name && self.id == key.id()
    }
    fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Malformed { what: "signature line" };
        let (name, encoded) = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' ')).ok_or_else(malformed)?;
        check_name("key name", name)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| malformed())?;
        let Some((id, signature @ [_, ..])) = bytes.split_first_chunk::<4>() else { return Err(malformed()) };
        Ok(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.signature].concat();
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// Splits a signed note into its text (with its last newline) and its lines.
pub(super) fn split(note: &str) -> Result<(&str, Vec<Line>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { what: "note", got: note.len(), max: NOTE_BYTES_MAX });
    }
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Malformed { what: "note" });
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed { what: "note" })?;
    // The blank line is not the text's; the newline before it is.
    let text = note.get(..text.len().saturating_add(1)).ok_or(NoteError::Malformed { what: "note" })?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed { what: "note" })?;
    let count = signatures.split('\n').count();
    if count > SIGNATURES_MAX {
        return Err(NoteError::TooLong { what: "list of signatures", got: count, max: SIGNATURES_MAX });
    }
    let lines = signatures.split('\n').map(Line::parse).collect::<Result<_, _>>()?;
    Ok((text, lines))
}

/// Non-empty, no Unicode space, no `+`, no control character.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), NoteError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(NoteError::TooLong { what, got: name.len(), max: NAME_BYTES_MAX });
    }
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(NoteError::Malformed { what });
    }
    Ok(())
}

/// ASCII decimal as C2SP has it: digits, no sign, no leading zero.
pub(super) fn parse_decimal(what: &'static str, text: &str) -> Result<u64, NoteError> {
    let malformed = NoteError::Malformed { what };
    if !text.bytes().all(|b| b.is_ascii_digit()) || (text.len() > 1 && text.starts_with('0')) {
        return Err(malformed);
    }
    text.parse().map_err(|_| malformed)
}

/// 32 bytes of canonical base64.
pub(super) fn parse_hash(what: &'static str, text: &str) -> Result<[u8; 32], NoteError> {
    let bytes = STANDARD.decode(text).map_err(|_| NoteError::Malformed { what })?;
    bytes.try_into().map_err(|_| NoteError::Malformed { what })
}
