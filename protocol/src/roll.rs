//! The voter roll: who may vote, on which ballot style, with which public weight. (P-ROL)
//!
//! Canonical bytes: `u64` count, then 42 bytes an entry - credential, style, weight - in strictly ascending order of
//! credential. The manifest commits to their hash. A roll's order gives each voter a position, which the
//! [ballot box](crate::ballot_box) uses in place of the 32-byte credential.

use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer, label},
    ids::{Credential, StyleIndex, Weight},
    manifest::{Manifest, RollCommitment},
};
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 42;

/// One voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RollEntry {
    /// Signs the ballot.
    pub credential: Credential,
    /// Which contests.
    pub style: StyleIndex,
    /// Counts for how many.
    pub weight: Weight,
}

impl Canonical for RollEntry {
    fn write(&self, out: &mut Writer) {
        out.value(&self.credential).value(&self.style).value(&self.weight);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { credential: input.value()?, style: input.value()?, weight: input.value()? })
    }
}

/// Why a roll is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollRefusal {
    /// Not the canonical encoding.
    #[error("the voter roll is not canonically encoded: {0}")]
    Encoding(#[from] DecodeError),
    /// A voter twice, or out of order.
    #[error("voter roll entry {at}: credentials must be strictly ascending, and each voter occurs once")]
    Order {
        /// Position from 1.
        at: usize,
    },
    /// An unknown style, or a weight of 0.
    #[error("voter roll entry {at}: unknown ballot style {style} or weight {weight} not at least 1")]
    Entry {
        /// Position from 1.
        at: usize,
        /// Named.
        style: u16,
        /// Named.
        weight: u64,
    },
    /// The weights do not fit in 64 bits.
    #[error("the weights of the voter roll overflow")]
    Weight,
    /// Not the roll that the manifest commits to.
    #[error("this is not the manifest's voter roll: expected {} voters with digest {}, got {} with {}",
        expected.voters, hex::encode(expected.digest), got.voters, hex::encode(got.digest))]
    Mismatch {
        /// In the manifest.
        expected: RollCommitment,
        /// Of these bytes.
        got: RollCommitment,
    },
}

/// A checked roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    entries: Vec<RollEntry>,
    weight_total: u64,
}

impl Roll {
    /// Sorts and checks. Styles are checked against `styles`, the number of them.
    ///
    /// # Errors
    /// A voter twice, an unknown style, weight 0 or overflow.
    pub fn new(mut entries: Vec<RollEntry>, styles: usize) -> Result<Self, RollRefusal> {
        entries.sort_unstable();
        Self::checked(entries, styles)
    }

    fn checked(entries: Vec<RollEntry>, styles: usize) -> Result<Self, RollRefusal> {
        let mut weight_total: u64 = 0;
        let mut last: Option<Credential> = None;
        for (entry, at) in entries.iter().zip(1..) {
            if last.is_some_and(|last| last >= entry.credential) {
                return Err(RollRefusal::Order { at });
            }
            last = Some(entry.credential);
            if usize::from(entry.style.0) >= styles || entry.weight.0 == 0 {
                return Err(RollRefusal::Entry { at, style: entry.style.0, weight: entry.weight.0 });
            }
            weight_total = weight_total.checked_add(entry.weight.0).ok_or(RollRefusal::Weight)?;
        }
        Ok(Self { entries, weight_total })
    }

    /// Decodes the roll that `manifest` commits to. (P-ROL-2)
    ///
    /// # Errors
    /// [`RollRefusal`], in particular `Mismatch`.
    pub fn open(bytes: &[u8], manifest: &Manifest) -> Result<Self, RollRefusal> {
        let mut input = Reader::new(bytes);
        let count = input.u64()?;
        let expected_len = count.saturating_mul(ENTRY_BYTES as u64);
        if input.remaining() as u64 != expected_len {
            return Err(DecodeError::WrongLength {
                what: "voter roll",
                got: input.remaining(),
                expected: usize::try_from(expected_len).unwrap_or(usize::MAX),
            }
            .into());
        }
        let mut entries = Vec::with_capacity(input.remaining() / ENTRY_BYTES);
        for _ in 0..count {
            entries.push(input.value()?);
        }
        let roll = Self::checked(entries, manifest.styles.len())?;
        let got = roll.commitment();
        if got != manifest.roll {
            return Err(RollRefusal::Mismatch { expected: manifest.roll, got });
        }
        Ok(roll)
    }

    /// Canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(self.entries.len() as u64);
        for entry in &self.entries {
            out.value(entry);
        }
        out.finish()
    }

    /// What a manifest says of it. (P-ROL-1)
    #[must_use]
    pub fn commitment(&self) -> RollCommitment {
        let mut hash = Sha256::new();
        hash.update(b"conclave/v1/");
        hash.update(label::ROLL.as_bytes());
        hash.update([0]);
        hash.update((self.entries.len() as u64).to_be_bytes());
        for entry in &self.entries {
            hash.update(entry.to_bytes());
        }
        let digest: Hash = hash.finalize().into();
        RollCommitment { voters: self.entries.len() as u64, weight_total: self.weight_total, digest }
    }

    /// Voters, ascending.
    #[must_use]
    pub fn entries(&self) -> &[RollEntry] {
        &self.entries
    }

    /// A voter's position and entry.
    #[must_use]
    pub fn find(&self, credential: &Credential) -> Option<(usize, &RollEntry)> {
        let at = self.entries.binary_search_by_key(credential, |entry| entry.credential).ok()?;
        self.entries.get(at).map(|entry| (at, entry))
    }
}
