//! Inclusion and consistency proofs, and their verification after RFC 9162. (P-LOG-1.2, P-LOG-1.3)

use super::{
    LogError,
    tree::{empty_root, node_hash},
};
use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer},
    ids::{LeafIndex, LogSize},
};
use alloc::vec::Vec;

/// More hashes than any proof about 2^64 leaves has.
const HASHES_MAX: usize = 65;

/// Sibling hashes from a leaf up to the root's child.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InclusionProof(pub Vec<Hash>);

/// The nodes that connect an older root with a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsistencyProof(pub Vec<Hash>);

impl Canonical for InclusionProof {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.list("inclusion proof", HASHES_MAX).map(Self)
    }
}

impl Canonical for ConsistencyProof {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.list("consistency proof", HASHES_MAX).map(Self)
    }
}

/// How many hashes a path from leaf `index` to the root of `size` leaves has; `index < size`.
///
/// Below the bit where `index` and the last leaf part, every level has a sibling; above it only where `index` has a one.
fn path_len(index: u64, size: u64) -> u32 {
    let inner = 64 - (index ^ size.saturating_sub(1)).leading_zeros();
    inner + index.checked_shr(inner).unwrap_or(0).count_ones()
}

fn check_len(expected: u32, proof: &[Hash]) -> Result<(), LogError> {
    let expected = expected as usize;
    if proof.len() == expected { Ok(()) } else { Err(LogError::ProofLength { expected, got: proof.len() }) }
}

/// Whether `leaf` (a leaf's hash) is at `index` in the tree of `size` leaves with this root. (P-LOG-1.2)
///
/// # Errors
/// [`LogError::NoLeaf`], [`LogError::ProofLength`], [`LogError::NotIncluded`].
pub fn verify_inclusion(
    index: LeafIndex,
    size: LogSize,
    leaf: &Hash,
    proof: &InclusionProof,
    root: &Hash,
) -> Result<(), LogError> {
    if index.0 >= size.0 {
        return Err(LogError::NoLeaf { index, size });
    }
    check_len(path_len(index.0, size.0), &proof.0)?;
    // RFC 9162, 2.1.3.2: `at` and `last` are the places of this node and of the last one on the same level.
    let (mut at, mut last, mut hash) = (index.0, size.0 - 1, *leaf);
    for sibling in &proof.0 {
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(LogError::NotIncluded) }
}

/// Whether the tree of `new_size` leaves starts with the tree of `old_size` leaves. (P-LOG-1.3)
///
/// Equal sizes: equal roots and no hashes. From 0 leaves to more there is no such proof: it could only be accepted
/// vacuously ([`super::Checkpoint::extends`] has the rule for a log's beginning).
///
/// # Errors
/// [`LogError::Rollback`], [`LogError::Fork`], [`LogError::EmptyRoot`], [`LogError::FromEmpty`],
/// [`LogError::ProofLength`], [`LogError::NotConsistent`].
pub fn verify_consistency(
    old_size: LogSize,
    old_root: &Hash,
    new_size: LogSize,
    new_root: &Hash,
    proof: &ConsistencyProof,
) -> Result<(), LogError> {
    let (old, new) = (old_size.0, new_size.0);
    if bug!(ConsistencyUnchecked) {
        return Ok(());
    }
    if old > new {
        return Err(LogError::Rollback { had: old_size, got: new_size });
    }
    if old == new {
        check_len(0, &proof.0)?;
        if old_root != new_root {
            return Err(LogError::Fork { size: old_size, ours: *old_root, theirs: *new_root });
        }
        return if old == 0 && *old_root != empty_root() { Err(LogError::EmptyRoot) } else { Ok(()) };
    }
    if old == 0 {
        return Err(LogError::FromEmpty);
    }
    // The path is that of the last complete subtree of the old tree; its own hash leads, unless it is the old root.
    let level = old.trailing_zeros();
    let seeded = u32::from(!old.is_power_of_two());
    check_len(path_len(old - 1, new).saturating_sub(level) + seeded, &proof.0)?;

    let failed = LogError::NotConsistent { old: old_size, new: new_size };
    let (seed, path) = match proof.0.split_first() {
        _ if seeded == 0 => (*old_root, proof.0.as_slice()),
        Some((seed, path)) => (*seed, path),
        None => return Err(failed),
    };
    // RFC 9162, 2.1.4.2.
    let (mut at, mut last) = ((old - 1) >> level, (new - 1) >> level);
    let (mut old_hash, mut new_hash) = (seed, seed);
    for sibling in path {
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(failed) }
}
