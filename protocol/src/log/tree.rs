//! The Merkle tree of RFC 6962, kept whole ([`Tree`]) or as its peaks ([`Frontier`]). (P-LOG-1)

use super::{ConsistencyProof, InclusionProof, LEAVES_MAX, LogError};
use crate::{
    encoding::{Canonical, DecodeError, Hash, Reader, Writer},
    ids::{LeafIndex, LogSize},
};
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// `SHA-256(0x00 || bytes)`.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([u8::from(bug!(LeafLikeNode))]);
    hash.update(bytes);
    hash.finalize().into()
}

/// `SHA-256(0x01 || left || right)`.
pub(super) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// Root of a tree without leaves: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The peaks of a tree: all that is needed to append and to know the root. At most 40 hashes.
///
/// Encoding: the size, then the peaks, largest first; their number is the number of ones in the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a leaf by its hash. Amortised two hashes.
    pub fn append(&mut self, leaf: Hash) -> LeafIndex {
        let index = self.size;
        let (mut carry, mut ones) = (leaf, index);
        while ones & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            carry = node_hash(&left, &carry);
            ones >>= 1;
        }
        self.peaks.push(carry);
        // Decoded sizes are at most LEAVES_MAX and this adds one at a time: 2^64 is out of anybody's reach.
        self.size = index.saturating_add(1);
        LeafIndex(index)
    }
    /// How many leaves.
    #[must_use]
    pub fn size(&self) -> LogSize {
        LogSize(self.size)
    }
    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return empty_root() };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

impl Canonical for Frontier {
    fn write(&self, out: &mut Writer) {
        out.u64(self.size);
        for peak in &self.peaks {
            out.raw(peak);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let size = input.u64()?;
        if size > LEAVES_MAX {
            return Err(DecodeError::OutOfRange { what: "size of a log", got: size });
        }
        let mut peaks = Vec::new();
        for _ in 0..size.count_ones() {
            peaks.push(input.array()?);
        }
        Ok(Self { size, peaks })
    }
}

/// A whole tree in memory: every leaf hash and every complete inner node, 64 bytes a leaf. Proofs take `O(log n)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// `levels[k][i]` is the root of the complete subtree of leaves `i * 2^k .. (i + 1) * 2^k`.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a leaf by its hash. Amortised one inner hash.
    pub fn append(&mut self, leaf: Hash) -> LeafIndex {
        let index = self.size();
        let mut carry = leaf;
        for level in &mut self.levels {
            level.push(carry);
            match level.as_slice() {
                [.., left, right] if level.len() % 2 == 0 => carry = node_hash(left, right),
                _ => return LeafIndex(index.0),
            }
        }
        self.levels.push(Vec::from([carry]));
        LeafIndex(index.0)
    }
    /// How many leaves.
    #[must_use]
    pub fn size(&self) -> LogSize {
        LogSize(self.levels.first().map_or(0, |leaves| leaves.len() as u64))
    }
    /// The hash of a leaf.
    #[must_use]
    pub fn leaf(&self, index: LeafIndex) -> Option<Hash> {
        self.complete(0, index.0)
    }
    /// The root of all that is there.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier().root()
    }
    /// The peaks.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        // A level of odd length ends in a node without a sibling: a peak.
        let peaks = self.levels.iter().rev().filter(|level| level.len() % 2 == 1).filter_map(|level| level.last());
        Frontier { size: self.size().0, peaks: peaks.copied().collect() }
    }
    /// The root when there were `size` leaves.
    ///
    /// # Errors
    /// [`LogError::NoSize`].
    pub fn root_at(&self, size: LogSize) -> Result<Hash, LogError> {
        if size.0 == 0 {
            return Ok(empty_root());
        }
        self.range(0, size.0).ok_or(LogError::NoSize { asked: size, size: self.size() })
    }
    /// Proof that leaf `index` is in the tree of `size` leaves. (RFC 6962, 2.1.1)
    ///
    /// # Errors
    /// [`LogError::NoSize`], [`LogError::NoLeaf`].
    pub fn inclusion(&self, index: LeafIndex, size: LogSize) -> Result<InclusionProof, LogError> {
        let missing = LogError::NoSize { asked: size, size: self.size() };
        if size > self.size() {
            return Err(missing);
        }
        if index.0 >= size.0 {
            return Err(LogError::NoLeaf { index, size });
        }
        // > PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k; PATH(m - k, D[k:n]) : MTH(D[0:k]) for m >= k
        let (mut low, mut high, mut path) = (0, size.0, Vec::new());
        while high - low > 1 {
            let middle = low + split(high - low);
            let sibling = if index.0 < middle {
                let sibling = self.range(middle, high);
                high = middle;
                sibling
            } else {
                let sibling = self.range(low, middle);
                low = middle;
                sibling
            };
            path.push(sibling.ok_or(missing)?);
        }
        path.reverse();
        Ok(InclusionProof(path))
    }
    /// Proof that the tree of `new` leaves starts with the tree of `old` leaves. (RFC 6962, 2.1.2)
    ///
    /// # Errors
    /// [`LogError::NoSize`], [`LogError::FromEmpty`] for `old` = 0 < `new`.
    pub fn consistency(&self, old: LogSize, new: LogSize) -> Result<ConsistencyProof, LogError> {
        let missing = LogError::NoSize { asked: new, size: self.size() };
        if new > self.size() {
            return Err(missing);
        }
        if old > new {
            return Err(LogError::NoSize { asked: old, size: new });
        }
        if old == new {
            return Ok(ConsistencyProof(Vec::new()));
        }
        if old.0 == 0 {
            return Err(LogError::FromEmpty);
        }
        // > SUBPROOF(m, D[n], b) = SUBPROOF(m, D[0:k], b) : MTH(D[k:n])         for m <= k
        // > SUBPROOF(m, D[n], b) = SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k]) for m > k
        let (mut low, mut high, mut path) = (0, new.0, Vec::new());
        while old.0 < high {
            let middle = low + split(high - low);
            let sibling = if old.0 <= middle {
                let sibling = self.range(middle, high);
                high = middle;
                sibling
            } else {
                let sibling = self.range(low, middle);
                low = middle;
                sibling
            };
            path.push(sibling.ok_or(missing)?);
        }
        // > SUBPROOF(m, D[m], true) = {} and SUBPROOF(m, D[m], false) = {MTH(D[m])}
        if low > 0 {
            path.push(self.range(low, high).ok_or(missing)?);
        }
        path.reverse();
        Ok(ConsistencyProof(path))
    }

    fn complete(&self, level: u32, index: u64) -> Option<Hash> {
        self.levels.get(level as usize)?.get(usize::try_from(index).ok()?).copied()
    }
    /// `MTH(D[low:high])` for the ranges of the RFC's recursion, where `low` is a multiple of the left part's size.
    fn range(&self, low: u64, high: u64) -> Option<Hash> {
        let count = high.checked_sub(low)?;
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            return self.complete(level, low >> level);
        }
        if count == 0 {
            return None;
        }
        let middle = low + split(count);
        Some(node_hash(&self.range(low, middle)?, &self.range(middle, high)?))
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count.max(2) - 1).ilog2()
}
