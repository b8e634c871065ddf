//! Checkpoints: a log's size and root, signed by the log and co-signed by trustees. (P-LOG-2)

use super::{
    ConsistencyProof, LogError, NOTE_BYTES_MAX, SIGNATURES_MAX, empty_root,
    note::{self, Line, NoteError, NoteKey, NoteKind},
    verify_consistency,
};
use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer, message},
    ids::{IdentityKey, LogSize},
    signed::verify_identity,
};
use alloc::{
    borrow::ToOwned as _,
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use core::{fmt, str::FromStr};

/// C2SP: a co-signature's time must not exceed 2^63 - 1.
const TIME_MAX: u64 = i64::MAX as u64;

/// What is signed: which log, how many leaves, which root. Displayed as the C2SP tlog-checkpoint text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; see [`super::origin`].
    pub origin: String,
    /// Leaves.
    pub size: LogSize,
    /// Root of that many leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// The bytes that the log's key signs: the text. (Type 0x01)
    #[must_use]
    pub fn note_message(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
    /// The bytes that a trustee's key signs to co-sign at `time_s`, in seconds since 1970. (Type 0x04)
    #[must_use]
    pub fn cosignature_message(&self, time_s: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {time_s}\n{self}").into_bytes()
    }
    /// Whether this checkpoint is of the same log as `older` and continues it. What a trustee asks before it co-signs.
    ///
    /// Every tree continues the empty one; there is nothing to prove then, and the proof must be empty.
    ///
    /// # Errors
    /// [`LogError::OtherLog`], [`LogError::EmptyRoot`], and as [`verify_consistency`], among them
    /// [`LogError::Rollback`] and [`LogError::Fork`].
    pub fn extends(&self, older: &Self, proof: &ConsistencyProof) -> Result<(), LogError> {
        if self.origin != older.origin {
            return Err(LogError::OtherLog);
        }
        if older.size.0 == 0 && older.root != empty_root() {
            return Err(LogError::EmptyRoot);
        }
        if older.size.0 == 0 && self.size.0 > 0 {
            let got = proof.0.len();
            return if got == 0 { Ok(()) } else { Err(LogError::ProofLength { expected: 0, got }) };
        }
        verify_consistency(older.size, &older.root, self.size, &self.root, proof)
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed { what: "checkpoint" };
        let mut lines = text.strip_suffix('\n').ok_or(malformed.clone())?.split('\n');
        // A fourth line would be an extension, which nobody audits.
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed);
        };
        note::check_name("origin", origin)?;
        let size = LogSize(note::parse_decimal("size of a log", size)?);
        let root = note::parse_hash("root hash", root)?;
        if size.0 == 0 && root != empty_root() {
            return Err(LogError::EmptyRoot.into());
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { what: "checkpoint", got: text.len(), max: NOTE_BYTES_MAX });
        }
        Self::parse(text)
    }
}

message! {
    /// A trustee's co-signature, as it travels: C2SP's `timestamped_signature`.
    Cosignature {
        /// Seconds since 1970, as the trustee's clock said.
        time_s: u64,
        /// Ed25519 over [`Checkpoint::cosignature_message`].
        signature: [u8; 64],
    }
}

impl Cosignature {
    /// Whether `key` has co-signed `checkpoint` with this.
    #[must_use]
    pub fn holds(&self, checkpoint: &Checkpoint, key: &IdentityKey) -> bool {
        self.time_s <= TIME_MAX && verify_identity(key, &checkpoint.cosignature_message(self.time_s), &self.signature)
    }
}

/// Whose signatures on a checkpoint hold. Each key once, however many lines or names it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signers {
    /// Keys that signed as the log.
    pub log: BTreeSet<IdentityKey>,
    /// Keys that co-signed, and when, in seconds since 1970 as each says.
    pub cosigners: BTreeMap<IdentityKey, u64>,
}

/// A checkpoint with its signature lines, of known and unknown keys. Displayed as the C2SP signed note.
///
/// Decoded and parsed values are well-formed; that signatures hold is only known after [`SignedCheckpoint::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    lines: Vec<Line>,
}

impl SignedCheckpoint {
    /// Signed by the log: `signature` is `key`'s over [`Checkpoint::note_message`].
    ///
    /// # Errors
    /// [`NoteError::InvalidSignature`], or an origin that cannot be a name.
    pub fn by_log(checkpoint: Checkpoint, key: &IdentityKey, signature: &[u8; 64]) -> Result<Self, NoteError> {
        let key = NoteKey::log(&checkpoint.origin, *key)?;
        // What this makes must be what the parser takes.
        let checkpoint = Checkpoint::parse(&checkpoint.to_string())?;
        if !verify_identity(&key.key(), &checkpoint.note_message(), signature) {
            return Err(NoteError::InvalidSignature { name: key.name().to_owned() });
        }
        Ok(Self { checkpoint, lines: Vec::from([Line::new(&key, signature.to_vec())]) })
    }
    /// Adds a trustee's co-signature, once it holds.
    ///
    /// # Errors
    /// [`NoteError::InvalidSignature`], [`NoteError::RepeatedSigner`] if there is one by this key already,
    /// [`NoteError::TooLong`].
    pub fn with_cosignature(mut self, key: &IdentityKey, cosignature: &Cosignature) -> Result<Self, NoteError> {
        let key = NoteKey::cosigner(*key);
        if !cosignature.holds(&self.checkpoint, &key.key()) {
            return Err(NoteError::InvalidSignature { name: key.name().to_owned() });
        }
        if self.lines.iter().any(|line| line.is_by(&key)) {
            return Err(NoteError::RepeatedSigner { name: key.name().to_owned() });
        }
        if self.lines.len() >= SIGNATURES_MAX {
            let got = self.lines.len().saturating_add(1);
            return Err(NoteError::TooLong { what: "list of signatures", got, max: SIGNATURES_MAX });
        }
        self.lines.push(Line::new(&key, cosignature.to_bytes()));
        Ok(self)
    }
    /// What is signed. Not to be believed before [`SignedCheckpoint::verify`].
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
    /// Whose signatures hold, if the checkpoint is of `origin`. (P-LOG-2.3)
    ///
    /// Keys of kind [`NoteKind::Ed25519`] count as the log's, only under the name `origin`; the others as cosigners.
    /// Lines of unknown keys are ignored. The result may be empty: [`SignedCheckpoint::verify_final`] has the rule.
    ///
    /// # Errors
    /// [`NoteError::OtherOrigin`]; [`NoteError::InvalidSignature`], [`NoteError::RepeatedSigner`] for a known key.
    pub fn verify(&self, origin: &str, keys: &[NoteKey]) -> Result<Signers, NoteError> {
        if self.checkpoint.origin != origin {
            let (expected, got) = (origin.to_owned(), self.checkpoint.origin.clone());
            return Err(NoteError::OtherOrigin { expected, got });
        }
        let mut signers = Signers::default();
        for line in &self.lines {
            // Two known keys may share name and id (it has 32 bits and can be sought): a line is one's if it holds.
            let mut known = keys
                .iter()
                .filter(|key| line.is_by(key) && (key.kind() == NoteKind::CosignatureV1 || key.name() == origin))
                .peekable();
            if known.peek().is_none() {
                continue;
            }
            let Some((key, time_s)) = known.find_map(|key| Some((key, self.holds(line, key)?))) else {
                return Err(NoteError::InvalidSignature { name: line.name.clone() });
            };
            let new = match key.kind() {
                NoteKind::Ed25519 => signers.log.insert(key.key()),
                NoteKind::CosignatureV1 => signers.cosigners.insert(key.key(), time_s).is_none(),
            };
            if !new {
                return Err(NoteError::RepeatedSigner { name: line.name.clone() });
            }
        }
        Ok(signers)
    }
    /// As [`SignedCheckpoint::verify`], and final: the log has signed and so have at least `w` distinct cosigners.
    /// (P-LOG-2.4)
    ///
    /// # Errors
    /// Also [`NoteError::NotByLog`], [`NoteError::TooFewCosigners`], [`NoteError::NoQuorum`].
    pub fn verify_final(&self, origin: &str, keys: &[NoteKey], w: u16) -> Result<Signers, NoteError> {
        if w == 0 {
            return Err(NoteError::NoQuorum);
        }
        let signers = self.verify(origin, keys)?;
        if signers.log.is_empty() && !bug!(LogSignatureNotNeeded) {
            return Err(NoteError::NotByLog);
        }
        let (got, needed) = (signers.cosigners.len(), usize::from(w));
        let needed = if bug!(FinalWithOneLess) { needed.saturating_sub(1) } else { needed };
        if got < needed { Err(NoteError::TooFewCosigners { got, needed }) } else { Ok(signers) }
    }

    /// The time of the signature if it holds (0 for the log's, which has none).
    fn holds(&self, line: &Line, key: &NoteKey) -> Option<u64> {
        match key.kind() {
            NoteKind::Ed25519 => {
                let signature = line.signature.as_slice().try_into().ok()?;
                verify_identity(&key.key(), &self.checkpoint.note_message(), signature).then_some(0)
            }
            NoteKind::CosignatureV1 => {
                let cosignature = Cosignature::from_bytes(&line.signature).ok()?;
                cosignature.holds(&self.checkpoint, &key.key()).then_some(cosignature.time_s)
            }
        }
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint)?;
        self.lines.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

impl FromStr for SignedCheckpoint {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (body, lines) = note::split(text)?;
        Ok(Self { checkpoint: Checkpoint::parse(body)?, lines })
    }
}

/// The note, as text.
impl Canonical for SignedCheckpoint {
    fn write(&self, out: &mut Writer) {
        out.text(&self.to_string());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = input.text("signed checkpoint", NOTE_BYTES_MAX)?;
        text.parse().map_err(|_| DecodeError::Text { what: "signed checkpoint" })
    }
}

message! {
    /// Proof that a log showed two trees of one size: two checkpoints, both signed by one key of the log. (M03)
    Fork {
        /// One.
        one: SignedCheckpoint,
        /// The other.
        other: SignedCheckpoint,
    }
}

impl Fork {
    /// Who is proven to have signed both: log keys and, which is worse, cosigners.
    ///
    /// # Errors
    /// [`NoteError::NoFork`] if sizes differ, roots agree or nobody signed both; and as [`SignedCheckpoint::verify`].
    pub fn culprits(&self, origin: &str, keys: &[NoteKey]) -> Result<BTreeSet<IdentityKey>, NoteError> {
        let (one, other) = (self.one.verify(origin, keys)?, self.other.verify(origin, keys)?);
        let (a, b) = (&self.one.checkpoint, &self.other.checkpoint);
        let mut both: BTreeSet<_> = one.log.intersection(&other.log).copied().collect();
        both.extend(one.cosigners.keys().filter(|key| other.cosigners.contains_key(key)));
        if a.size != b.size || a.root == b.root || both.is_empty() { Err(NoteError::NoFork) } else { Ok(both) }
    }
}
