//! Verification of a ballot is a function of its bytes and the election's key: once in a run is enough.

use protocol::{
    ballot::{BallotForm, BallotRefusal, CheckedBallot},
    encoding::Hash,
    log::leaf_hash,
};
use std::{collections::BTreeMap, sync::Arc};

type Verdict = Result<Arc<CheckedBallot>, BallotRefusal>;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Memo {
    /// By key and leaf.
    verified: BTreeMap<([u8; 32], Hash), Verdict>,
    /// By address of the bytes, which the memo keeps alive: looked up, never listed.
    leaves: BTreeMap<usize, (Arc<[u8]>, Hash)>,
}

impl Memo {
    /// The leaf hash of shared bytes.
    pub fn leaf(&mut self, bytes: &Arc<[u8]>) -> Hash {
        let address = bytes.as_ptr().addr();
        if let Some((_, leaf)) = self.leaves.get(&address) {
            return *leaf;
        }
        let leaf = leaf_hash(bytes);
        self.leaves.insert(address, (bytes.clone(), leaf));
        leaf
    }

    /// What [`BallotForm::verify`] says.
    ///
    /// # Errors
    /// What that says.
    pub fn verify(&mut self, form: &BallotForm, bytes: &Arc<[u8]>) -> Verdict {
        let leaf = self.leaf(bytes);
        let known = self.verified.entry((*form.key().bytes(), leaf));
        known.or_insert_with(|| form.verify(bytes).map(Arc::new)).clone()
    }
}
