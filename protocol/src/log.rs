//! The log of one lane: an RFC 6962 tree, its C2SP checkpoints, and what a voter keeps. (P-LOG)
//!
//! Who trusts whom: a shard appends leaves and signs checkpoints; it is believed about nothing. Trustees rebuild the
//! tree themselves and co-sign. A checkpoint with the log's signature and `w` distinct co-signatures is *final*: with
//! the quorum rules of the manifest no second one of the same size can be. No vote is secret from this module and
//! nothing here is: it need not be constant-time.
//!
//! # The tree (P-LOG-1)
//!
//! Leaf: `SHA-256(0x00 || bytes)`; inner node: `SHA-256(0x01 || left || right)`, so that neither passes for the other;
//! the left part is the largest power of two below the size and nothing is ever duplicated to fill a level. The empty
//! tree's root is `SHA-256("")`. A proof's length follows from the sizes and is checked before anything is hashed.
//!
//! # Notes (P-LOG-2), as C2SP has them
//!
//! | text | of | choice made here |
//! |---|---|---|
//! | signed-note | form | at most [`SIGNATURES_MAX`] lines, [`NOTE_BYTES_MAX`] bytes; one encoding only (canonical base64, no CR) |
//! | tlog-checkpoint | body | origin `conclave/v1/<hex election id>/<lane>`; extension lines refused (nobody would audit them) |
//! | log's signature | type 0x01 | key name = origin, any shard's key (a lane may move); signs the body |
//! | tlog-cosignature | type 0x04 | signs `cosignature/v1`, `time <seconds>`, body; time at most 2^63 - 1 |
//! | tlog-proof | file | `extra` line refused: it is not authenticated |
//!
//! A cosigner's key name is `conclave/v1/trustee/<hex key>`. The Ed25519 co-signature does not commit to the cosigner's
//! name, and the specification therefore wants one cosigner, one name, one key: a name with lane or election in it
//! would give one identity key many. Which log is meant is in the signed body, where the origin is. Names may hold
//! neither spaces nor `+`; these hold neither.
//!
//! Reading a note: lines of unknown keys are ignored; an invalid signature by a known key, and two lines by one known
//! key, refuse the whole note. Signers are counted by key, never by line or by name. The origin expected is an argument
//! of every verification, because the cosigners' names do not tell lanes apart.
//!
//! The same identity keys sign envelopes, receipts and rejections. No two of these begin alike (P-LOG-6): a
//! co-signature starts with `cosignature/v1\n`, the rest with `conclave/v1/`, then a label and a zero byte, or, in a
//! checkpoint, 64 hex digits.
//!
//! # Receipts (P-LOG-3)
//!
//! A [`Receipt`] is the shard's signed word that a leaf is in the log at an index, given after it is. It becomes *final*
//! as a [`ProofFile`], checkable offline. A shard that cannot produce one for its receipt is proven wrong by the receipt.
//! A ballot not taken gets a [`Rejection`].

mod checkpoint;
mod note;
mod proof_file;
mod proofs;
mod receipt;
mod tree;

pub use checkpoint::{Checkpoint, Cosignature, Fork, SignedCheckpoint, Signers};
pub use note::{NoteError, NoteKey, NoteKind};
pub use proof_file::ProofFile;
pub use proofs::{ConsistencyProof, InclusionProof, verify_consistency, verify_inclusion};
pub use receipt::{Receipt, Rejection};
pub use tree::{Frontier, Tree, empty_root, leaf_hash};

use crate::{
    encoding::Hash,
    ids::{ElectionId, LaneIndex, LeafIndex, LogSize},
};
use alloc::{format, string::String};

/// Leaves of one lane's log. Far above any election; keeps every sum of sizes in range.
pub const LEAVES_MAX: u64 = 1 << 40;
/// Signature lines in a note: all trustees, the log, and some that we do not know. (C2SP asks for at least 16.)
pub const SIGNATURES_MAX: usize = 256;
/// Bytes of a note or a proof file.
pub const NOTE_BYTES_MAX: usize = 128 << 10;
/// Bytes of an origin or key name.
pub const NAME_BYTES_MAX: usize = 255;

/// The origin line of a lane's checkpoints, and the name of the keys that sign as its log. (P-LOG-2.1)
#[must_use]
pub fn origin(election: &ElectionId, lane: LaneIndex) -> String {
    format!("conclave/v1/{election}/{lane}")
}

/// Why a statement about a tree does not hold, or a question about it has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// There is no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoLeaf {
        /// Asked for.
        index: LeafIndex,
        /// Leaves there are.
        size: LogSize,
    },
    /// There is no tree of that size yet.
    #[error("a tree of {asked} leaves is asked for, the log has {size}")]
    NoSize {
        /// Asked for.
        asked: LogSize,
        /// Leaves there are.
        size: LogSize,
    },
    /// The proof has another number of hashes than the sizes demand.
    #[error("the proof has {got} hashes, exactly {expected} belong to these sizes")]
    ProofLength {
        /// From the sizes.
        expected: usize,
        /// In the proof.
        got: usize,
    },
    /// The path leads to another root.
    #[error("the inclusion proof leads to another root: the leaf is not shown to be in this tree")]
    NotIncluded,
    /// The path does not connect the two roots.
    #[error(
        "the consistency proof does not connect {old} leaves with {new}: ask for a new proof, keep both checkpoints"
    )]
    NotConsistent {
        /// Size of the older tree.
        old: LogSize,
        /// Size of the newer tree.
        new: LogSize,
    },
    /// A consistency proof from the empty tree says nothing.
    #[error("a proof from the empty tree proves nothing; start from the first checkpoint that has leaves")]
    FromEmpty,
    /// The root of no leaves is fixed.
    #[error("a tree of 0 leaves has the root of the empty tree and no other")]
    EmptyRoot,
    /// The newer tree is smaller. (LOG_ROLLBACK)
    #[error("the log went back from {had} leaves to {got}: it was restored from a backup or is lying; do not continue")]
    Rollback {
        /// Size known.
        had: LogSize,
        /// Size shown.
        got: LogSize,
    },
    /// Two trees of one size. (LOG_FORK)
    #[error("two different trees of {size} leaves: keep both signed checkpoints, they are evidence")]
    Fork {
        /// Of both.
        size: LogSize,
        /// Root known.
        ours: Hash,
        /// Root shown.
        theirs: Hash,
    },
    /// The checkpoints are of different logs.
    #[error("the checkpoints are of different logs (different origin lines)")]
    OtherLog,
}

#[cfg(test)]
mod tests;
