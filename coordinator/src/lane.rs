//! One lane's log as others see it: the tree, and the way of a checkpoint to its co-signatures.
//!
//! ```text
//! head (signed by this shard) --> target (all trustees are led exactly there) --w co-signatures--> final
//! ```
//!
//! A trustee co-signs only the head of its own replay, so a quorum needs all of them at one size: the *target*. It moves on
//! to the newest head when it is final, or when it has waited too long for somebody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::encoding::{Canonical, Hash};
use protocol::ids::{ElectionId, IdentityKey, LaneIndex, LeafIndex, LogSize, TrusteeIndex};
use protocol::log::{Checkpoint, Cosignature, LogError, NoteKey, ProofFile, SignedCheckpoint, Tree, origin};
use protocol::manifest::Manifest;
use thiserror::Error;
use tokio::sync::watch;

/// How long a target waits for its quorum when nobody comes nearer to it and there is a newer head.
const TARGET_PATIENCE: Duration = Duration::from_secs(3);

/// Why a trustee's answer is no co-signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CosignatureRefusal {
    /// Not a signed checkpoint, or of something else.
    #[error("the answer is not the checkpoint that was to be co-signed")]
    OtherCheckpoint,
    /// No valid line of this trustee.
    #[error("the answer has no valid co-signature by this trustee")]
    NoCosignature,
}

/// A checkpoint that trustees are led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// Signed by this shard, without co-signatures.
    pub note: SignedCheckpoint,
}

#[derive(Debug, Default)]
struct Signing {
    head: Option<Arc<Target>>,
    since: Option<Instant>,
    cosignatures: BTreeMap<TrusteeIndex, Cosignature>,
    /// The newest final one.
    confirmed: Option<SignedCheckpoint>,
    /// The certified end, once there is one: nothing longer is shown then.
    end: Option<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Lane {
    /// Which.
    pub index: LaneIndex,
    /// The origin line of its checkpoints.
    pub origin: String,
    quorum: usize,
    trustees: Vec<IdentityKey>,
    tree: RwLock<Tree>,
    signing: Mutex<Signing>,
    /// A trustee has leaves that this shard has lost: nothing may be put in their places. (M04)
    blocked: AtomicBool,
    target: watch::Sender<Option<Arc<Target>>>,
}

impl Lane {
    /// Empty.
    #[must_use]
    pub fn new(manifest: &Manifest, election: ElectionId, index: LaneIndex) -> Self {
        Self {
            index,
            origin: origin(&election, index),
            quorum: usize::from(manifest.quorums.w),
            trustees: manifest.trustees.iter().map(|trustee| trustee.identity).collect(),
            tree: RwLock::new(Tree::new()),
            signing: Mutex::new(Signing::default()),
            blocked: AtomicBool::new(false),
            target: watch::Sender::new(None),
        }
    }

    /// Appends leaves that are durable.
    pub fn append(&self, leaves: impl IntoIterator<Item = Hash>) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        for leaf in leaves {
            tree.append(leaf);
        }
    }

    /// Leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).size().0
    }

    /// The checkpoint of all leaves, not signed.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        Checkpoint { origin: self.origin.clone(), size: tree.size(), root: tree.root() }
    }

    /// The root when there were so many leaves.
    ///
    /// # Errors
    /// There never were.
    pub fn root_at(&self, size: u64) -> Result<Hash, LogError> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).root_at(LogSize(size))
    }

    /// Takes no more leaves, for good: this shard has lost some.
    pub fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Whether no leaves may be taken.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Leaves under the newest final checkpoint.
    #[must_use]
    pub fn final_size(&self) -> u64 {
        self.signing().confirmed.as_ref().map_or(0, |note| note.checkpoint().size.0)
    }

    /// The newest final checkpoint.
    #[must_use]
    pub fn confirmed(&self) -> Option<SignedCheckpoint> {
        self.signing().confirmed.clone()
    }

    /// The newest checkpoint that this shard has signed.
    #[must_use]
    pub fn head(&self) -> Option<Arc<Target>> {
        self.signing().head.clone()
    }

    /// Where trustees are led.
    #[must_use]
    pub fn target(&self) -> watch::Receiver<Option<Arc<Target>>> {
        self.target.subscribe()
    }

    fn signing(&self) -> MutexGuard<'_, Signing> {
        self.signing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A final checkpoint from the store, at the start of a process.
    pub fn restore_confirmed(&self, note: SignedCheckpoint) {
        self.signing().confirmed = Some(note);
    }

    /// The vote set is certified and ends here: trustees are led to this checkpoint, and to none of more leaves.
    pub fn set_end(&self, note: SignedCheckpoint) {
        let mut signing = self.signing();
        signing.end = Some(note.checkpoint().size.0);
        if self.target.borrow().as_ref().is_some_and(|target| target.checkpoint.size > note.checkpoint().size) {
            self.target.send_replace(None);
        }
        signing.head = Some(Arc::new(Target { checkpoint: note.checkpoint().clone(), note }));
        self.move_target(&mut signing);
    }

    /// Whether this is the last checkpoint that there will be.
    #[must_use]
    pub fn is_end(&self, size: u64) -> bool {
        self.signing().end == Some(size)
    }

    /// This shard has signed a new head, durably.
    pub fn set_head(&self, note: SignedCheckpoint) {
        let mut signing = self.signing();
        if signing.end.is_some_and(|end| note.checkpoint().size.0 != end) {
            return;
        }
        signing.head = Some(Arc::new(Target { checkpoint: note.checkpoint().clone(), note }));
        self.move_target(&mut signing);
    }

    /// To be called now and then: a target that waits in vain gives way.
    pub fn tick(&self) {
        let mut signing = self.signing();
        self.move_target(&mut signing);
    }

    /// A trustee has come nearer to the target: it is worth waiting for.
    pub fn progressed(&self, target: &Target) {
        let mut signing = self.signing();
        if self.target.borrow().as_deref() == Some(target) {
            signing.since = Some(Instant::now());
        }
    }

    fn move_target(&self, signing: &mut Signing) {
        let Some(head) = signing.head.clone() else { return };
        let current = self.target.borrow().clone();
        let stays = current.is_some_and(|target| {
            let size = target.checkpoint.size;
            let confirmed = signing.confirmed.as_ref().is_some_and(|note| note.checkpoint().size >= size);
            let waited = signing.since.is_some_and(|since| since.elapsed() >= TARGET_PATIENCE);
            size >= head.checkpoint.size || !(confirmed || waited)
        });
        if !stays {
            signing.cosignatures.clear();
            signing.since = Some(Instant::now());
            self.target.send_replace(Some(head));
        }
    }

    /// A trustee's answer. Gives the final checkpoint if this made it final.
    ///
    /// # Errors
    /// [`CosignatureRefusal`].
    pub fn cosigned(
        &self,
        trustee: TrusteeIndex,
        target: &Target,
        answer: &str,
    ) -> Result<Option<SignedCheckpoint>, CosignatureRefusal> {
        let key = usize::from(trustee.0).checked_sub(1).and_then(|at| self.trustees.get(at));
        let key = key.ok_or(CosignatureRefusal::NoCosignature)?;
        let cosignature = cosignature_of(answer, target, key)?;
        let mut signing = self.signing();
        if self.target.borrow().as_deref() != Some(target) {
            return Ok(None);
        }
        signing.cosignatures.insert(trustee, cosignature);
        let known = signing.confirmed.as_ref().map(|note| note.checkpoint().size);
        if signing.cosignatures.len() < self.quorum || known == Some(target.checkpoint.size) {
            return Ok(None);
        }
        let mut note = target.note.clone();
        for (trustee, cosignature) in &signing.cosignatures {
            let Some(key) = usize::from(trustee.0).checked_sub(1).and_then(|at| self.trustees.get(at)) else {
                continue;
            };
            note = note.with_cosignature(key, cosignature).map_err(|_| CosignatureRefusal::NoCosignature)?;
        }
        signing.confirmed = Some(note.clone());
        self.move_target(&mut signing);
        Ok(Some(note))
    }

    /// The proof file of a leaf, if a final checkpoint covers it.
    #[must_use]
    pub fn proof(&self, index: u64) -> Option<ProofFile> {
        let checkpoint = self.confirmed()?;
        let size = checkpoint.checkpoint().size;
        let tree = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        let proof = tree.inclusion(LeafIndex(index), size).ok()?;
        Some(ProofFile { index: LeafIndex(index), proof, checkpoint })
    }
}

/// Finds the line of one trustee in a note, and checks it.
fn cosignature_of(answer: &str, target: &Target, key: &IdentityKey) -> Result<Cosignature, CosignatureRefusal> {
    let note: SignedCheckpoint = answer.parse().map_err(|_| CosignatureRefusal::OtherCheckpoint)?;
    if note.checkpoint() != &target.checkpoint {
        return Err(CosignatureRefusal::OtherCheckpoint);
    }
    let start = format!("\u{2014} {} ", NoteKey::cosigner(*key).name());
    let lines = answer.lines().filter_map(|line| line.strip_prefix(&start));
    let decoded = lines.filter_map(|line| STANDARD.decode(line).ok());
    // Four bytes of key id come first: `holds` decides, they prove nothing.
    let mut found = decoded.filter_map(|bytes| Cosignature::from_bytes(bytes.get(4..)?).ok());
    found.find(|cosignature| cosignature.holds(&target.checkpoint, key)).ok_or(CosignatureRefusal::NoCosignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::log::leaf_hash;
    use runtime::entropy::OsEntropy;
    use runtime::key::{FileKey, RemoteSigner as _};

    struct Signers {
        shard: FileKey,
        trustees: Vec<FileKey>,
    }

    fn lane(quorum: usize) -> (Lane, Signers) {
        let trustees: Vec<FileKey> = (0..4).map(|_| FileKey::generate(&mut OsEntropy)).collect();
        let lane = Lane {
            index: LaneIndex(0),
            origin: origin(&ElectionId([1; 32]), LaneIndex(0)),
            quorum,
            trustees: trustees.iter().map(|key| IdentityKey(key.public_key())).collect(),
            tree: RwLock::new(Tree::new()),
            signing: Mutex::new(Signing::default()),
            blocked: AtomicBool::new(false),
            target: watch::Sender::new(None),
        };
        (lane, Signers { shard: FileKey::generate(&mut OsEntropy), trustees })
    }

    /// One more leaf, and a signed head. Gives the target of now.
    fn grow(lane: &Lane, signers: &Signers) -> Arc<Target> {
        lane.append([leaf_hash(&lane.size().to_be_bytes())]);
        let checkpoint = lane.checkpoint();
        let signature = signers.shard.sign(&checkpoint.note_message()).unwrap();
        let key = IdentityKey(signers.shard.public_key());
        lane.set_head(SignedCheckpoint::by_log(checkpoint, &key, &signature).unwrap());
        lane.target().borrow().clone().unwrap()
    }

    fn cosigned(target: &Target, key: &FileKey) -> String {
        let signature = key.sign(&target.checkpoint.cosignature_message(5)).unwrap();
        let cosignature = Cosignature { time_s: 5, signature };
        let identity = IdentityKey(key.public_key());
        target.note.clone().with_cosignature(&identity, &cosignature).unwrap().to_string()
    }

    #[test]
    fn a_checkpoint_is_final_with_a_quorum_of_different_trustees_and_the_target_moves_on_then() {
        let (lane, signers) = lane(2);
        let first = grow(&lane, &signers);
        assert_eq!(grow(&lane, &signers), first, "the target stays while it is not final");
        let answer = cosigned(&first, &signers.trustees[0]);
        assert_eq!(lane.cosigned(TrusteeIndex(1), &first, &answer), Ok(None));
        assert_eq!(lane.cosigned(TrusteeIndex(1), &first, &answer), Ok(None), "one trustee counts once");
        assert!(lane.proof(0).is_none());
        let answer = cosigned(&first, &signers.trustees[1]);
        let note = lane.cosigned(TrusteeIndex(2), &first, &answer).unwrap().unwrap();
        let keys: Vec<NoteKey> = lane.trustees.iter().map(|key| NoteKey::cosigner(*key)).collect();
        assert_eq!(note.verify(&lane.origin, &keys).unwrap().cosigners.len(), 2);
        assert_eq!(lane.final_size(), 1);
        assert!(lane.proof(0).is_some() && lane.proof(1).is_none());
        assert_eq!(lane.target().borrow().as_ref().unwrap().checkpoint.size.0, 2);
        // Too late for the first, and no vote for the second.
        let answer = cosigned(&first, &signers.trustees[2]);
        assert_eq!(lane.cosigned(TrusteeIndex(3), &first, &answer), Ok(None));
        assert_eq!(lane.final_size(), 1);
    }

    #[test]
    fn an_answer_of_another_key_or_for_another_checkpoint_is_no_cosignature() {
        let (lane, signers) = lane(1);
        let target = grow(&lane, &signers);
        let others = cosigned(&target, &signers.trustees[1]);
        assert_eq!(lane.cosigned(TrusteeIndex(1), &target, &others), Err(CosignatureRefusal::NoCosignature));
        assert_eq!(lane.cosigned(TrusteeIndex(9), &target, &others), Err(CosignatureRefusal::NoCosignature));
        assert_eq!(lane.cosigned(TrusteeIndex(1), &target, "rubbish"), Err(CosignatureRefusal::OtherCheckpoint));
        let bare = target.note.to_string();
        assert_eq!(lane.cosigned(TrusteeIndex(1), &target, &bare), Err(CosignatureRefusal::NoCosignature));
        let mut bent = (*target).clone();
        bent.checkpoint.root = [9; 32];
        let answer = cosigned(&target, &signers.trustees[0]);
        assert_eq!(lane.cosigned(TrusteeIndex(1), &bent, &answer), Err(CosignatureRefusal::OtherCheckpoint));
        assert_eq!(lane.final_size(), 0);
    }
}
