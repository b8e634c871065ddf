//! One lane at the home shard: box, tree, and a checkpoint's way to its co-signatures. The rules are those of the shard.

use protocol::{
    ballot_box::BallotBox,
    encoding::Hash,
    ids::{IdentityKey, LaneIndex, LeafIndex, LogSize, TrusteeIndex},
    log::{Checkpoint, Cosignature, ProofFile, SignedCheckpoint, Tree},
};
use std::{collections::BTreeMap, sync::Arc};

/// How long a target waits for its quorum when nobody comes nearer to it and there is a newer head.
const TARGET_PATIENCE_MS: u64 = 3000;

/// See the [module](self).
pub(super) struct Lane {
    pub(super) index: LaneIndex,
    pub(super) origin: String,
    pub(super) ballots: BallotBox,
    pub(super) log: Vec<Arc<[u8]>>,
    pub(super) tree: Tree,
    pub(super) head: Option<Arc<SignedCheckpoint>>,
    pub(super) target: Option<Arc<SignedCheckpoint>>,
    since: u64,
    cosignatures: BTreeMap<TrusteeIndex, Cosignature>,
    pub(super) confirmed: Option<SignedCheckpoint>,
    pub(super) blocked: bool,
    /// The certified end, where the log here goes on.
    pub(super) end: Option<LogSize>,
    /// When the next checkpoint is made.
    pub(super) checkpoint_at: Option<u64>,
}

impl Lane {
    pub(super) fn new(index: LaneIndex, origin: String, ballots: BallotBox) -> Self {
        Self {
            index,
            origin,
            ballots,
            log: Vec::new(),
            tree: Tree::new(),
            head: None,
            target: None,
            since: 0,
            cosignatures: BTreeMap::new(),
            confirmed: None,
            blocked: false,
            end: None,
            checkpoint_at: None,
        }
    }

    pub(super) fn push(&mut self, bytes: Arc<[u8]>, leaf: Hash) {
        self.log.push(bytes);
        self.tree.append(leaf);
    }

    pub(super) fn size(&self) -> u64 {
        self.tree.size().0
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        let size = self.end.unwrap_or(self.tree.size());
        let root = self.tree.root_at(size).expect("the end is within the log");
        Checkpoint { origin: self.origin.clone(), size, root }
    }

    pub(super) fn set_head(&mut self, note: SignedCheckpoint, now: u64) {
        if self.target.as_ref().is_some_and(|target| target.checkpoint().size > note.checkpoint().size) {
            self.target = None;
        }
        self.head = Some(Arc::new(note));
        self.move_target(now);
    }

    pub(super) fn progressed(&mut self, target: &SignedCheckpoint, now: u64) {
        if self.target.as_deref() == Some(target) {
            self.since = now;
        }
    }

    pub(super) fn move_target(&mut self, now: u64) {
        let Some(head) = &self.head else { return };
        let stays = self.target.as_ref().is_some_and(|target| {
            let size = target.checkpoint().size;
            let confirmed = self.confirmed.as_ref().is_some_and(|note| note.checkpoint().size >= size);
            let waited = now.saturating_sub(self.since) >= TARGET_PATIENCE_MS;
            size >= head.checkpoint().size || !(confirmed || waited)
        });
        if !stays {
            self.cosignatures.clear();
            self.since = now;
            self.target = Some(head.clone());
        }
    }

    /// A trustee's answer. Gives the final checkpoint if this made it final; `None` for a signature that does not hold.
    pub(super) fn cosigned(
        &mut self,
        trustee: TrusteeIndex,
        keys: &[IdentityKey],
        target: &SignedCheckpoint,
        cosignature: Cosignature,
        quorum: u16,
        now: u64,
    ) -> Result<Option<SignedCheckpoint>, ()> {
        let key_of = |trustee: TrusteeIndex| keys.get(usize::from(trustee.0).checked_sub(1)?);
        let key = key_of(trustee).ok_or(())?;
        if !cosignature.holds(target.checkpoint(), key) {
            return Err(());
        }
        if self.target.as_deref() != Some(target) {
            return Ok(None);
        }
        self.cosignatures.insert(trustee, cosignature);
        let known = self.confirmed.as_ref().map(|note| note.checkpoint().size);
        if self.cosignatures.len() < usize::from(quorum) || known == Some(target.checkpoint().size) {
            return Ok(None);
        }
        let mut note = target.clone();
        for (trustee, cosignature) in &self.cosignatures {
            if let Some(key) = key_of(*trustee) {
                note = note.with_cosignature(key, cosignature).map_err(|_| ())?;
            }
        }
        self.confirmed = Some(note.clone());
        self.move_target(now);
        Ok(Some(note))
    }

    /// The proof of a leaf, if a final checkpoint covers it.
    pub(super) fn proof(&self, index: u64) -> Option<ProofFile> {
        let checkpoint = self.confirmed.clone()?;
        let proof = self.tree.inclusion(LeafIndex(index), checkpoint.checkpoint().size).ok()?;
        Some(ProofFile { index: LeafIndex(index), proof, checkpoint })
    }
}
