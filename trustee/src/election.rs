//! One election, as this trustee lives it: a [`Keeper`] and what keeps it alive across crashes.
//!
//! Everything that the keeper is told is in the store before anything follows from it; everything that it says is in
//! the store before it leaves. Memory is ahead of the disk only while the state is locked, and a write that fails, or a
//! panic in between, ends the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::encoding::{Canonical as _, Hash, digest};
use protocol::evidence::Evidence;
use protocol::ids::{ElectionId, IdentityKey, LaneIndex, LogSize, TrusteeIndex};
use protocol::invariants::{Broken, Watch};
use protocol::keeper::{Decision, Duty, Keeper};
use protocol::log::Cosignature;
use protocol::manifest::Manifest;
use protocol::signed::Sender;
use tokio::sync::{Mutex, Semaphore};
use zeroize::Zeroizing;

use crate::keystore::KeystoreHandle;
use crate::refused::Refused;
use crate::store::{Store, durable};

mod duties;
mod exchange;
mod follow;
mod restore;
mod roll;

pub use restore::{RestoreTrouble, refold};

/// What all elections of a daemon share.
#[derive(Debug)]
pub struct Ground {
    /// The keys.
    pub keystore: KeystoreHandle,
    /// The disk.
    pub store: Store,
    /// Places for the checking of ballots: one for each core.
    pub checkers: Arc<Semaphore>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Election {
    id: ElectionId,
    manifest: Arc<Manifest>,
    me: TrusteeIndex,
    ground: Arc<Ground>,
    state: Mutex<State>,
    /// One call at a time follows a lane; the state stays free while ballots are checked.
    lanes: Vec<Mutex<()>>,
}

#[derive(Debug)]
struct State {
    keeper: Keeper,
    journal_len: u64,
    /// How much of each caller's board has been looked at, by the caller's pin. In memory only: after a restart the
    /// board comes again, and what is known is skipped.
    cursors: BTreeMap<Hash, Cursor>,
    /// Whether a shard's whole board was here since this process began.
    caught_up: bool,
    /// Duties that the keeper has named and that could not be performed yet, because the keystore is away. (K01)
    pending: VecDeque<Duty>,
    /// Randomness of the keystore for the next duties, until some have used it.
    spice: Option<Zeroizing<[u8; 32]>>,
    keystore_trouble: Option<String>,
    halted: Option<String>,
    /// A leaf in a lane's log that this trustee refuses.
    refused_leaves: BTreeMap<LaneIndex, RefusedLeaf>,
    /// The newest checkpoint co-signed in each lane.
    newest: BTreeMap<LaneIndex, (LogSize, Hash, Option<Cosignature>)>,
    roll_received: u64,
    watch: Watch,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    epoch: u64,
    next: u64,
}

#[derive(Debug, Clone)]
struct RefusedLeaf {
    index: u64,
    leaf: Hash,
    why: String,
}

impl Election {
    fn new(id: ElectionId, manifest: Arc<Manifest>, me: TrusteeIndex, ground: Arc<Ground>) -> Self {
        let lanes = (0..manifest.lanes).map(|_| Mutex::new(())).collect();
        let state = State {
            keeper: Keeper::new(me, manifest.clone()),
            journal_len: 0,
            cursors: BTreeMap::new(),
            caught_up: false,
            pending: VecDeque::new(),
            spice: None,
            keystore_trouble: None,
            halted: None,
            refused_leaves: BTreeMap::new(),
            newest: BTreeMap::new(),
            roll_received: 0,
            watch: Watch::new(Some(me)),
        };
        Self { id, manifest, me, ground, state: Mutex::new(state), lanes }
    }

    /// Takes part in a new election: judges the manifest and keeps it.
    ///
    /// # Errors
    /// A manifest that is not this election's, or in which this trustee is not what it is.
    pub async fn take_up(
        id: ElectionId,
        bytes: &[u8],
        ground: &Arc<Ground>,
        caller: &Hash,
        caller_name: &str,
    ) -> Result<Self, Refused> {
        let manifest = Manifest::open(bytes)?;
        let got = manifest.id();
        if got != id {
            return Err(Refused::OtherManifest { expected: id, got });
        }
        let me = place_in(&manifest, &ground.keystore)?;
        let election = Self::new(id, Arc::new(manifest), me, ground.clone());
        election.authorise(caller, caller_name)?;
        durable(ground.store.add_election(id, bytes.to_vec(), runtime::clock::now_ms()).await);
        tracing::info!(election = %id, trustee = me.0, "manifest taken; its operator must accept or refuse it");
        Ok(election)
    }

    /// Only shards of this election may speak about it.
    ///
    /// # Errors
    /// [`Refused::NotItsShard`].
    pub fn authorise(&self, caller: &Hash, caller_name: &str) -> Result<(), Refused> {
        if self.manifest.shards.iter().any(|shard| shard.tls_pin == *caller) {
            return Ok(());
        }
        Err(Refused::NotItsShard { caller: caller_name.to_owned(), election: self.id })
    }

    /// The election's id.
    #[must_use]
    pub fn id(&self) -> ElectionId {
        self.id
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The operator's word: kept, then acted on at the next exchange. What is on the record already stays there.
    pub async fn decide(&self, decision: Decision) {
        let mut state = self.state.lock().await;
        let said = [2, 3].iter().any(|kind| state.keeper.board().has(*kind, 0, 0, Sender::Trustee(self.me)));
        if said {
            tracing::warn!(election = %self.id, "the operator has decided before, and it is on the record: ignored");
            return;
        }
        let now_ms = runtime::clock::now_ms();
        durable(self.ground.store.put_decision(self.id, decision.clone(), now_ms).await);
        tracing::info!(election = %self.id, ?decision, "the operator has decided");
        state.keeper.decide(decision);
    }

    fn identity(&self) -> IdentityKey {
        IdentityKey(self.ground.keystore.identity_public())
    }

    /// Promises nothing more in this election, for good.
    async fn halt(&self, state: &mut State, reason: String) {
        tracing::error!(election = %self.id, reason, "halted: nothing more is promised in this election");
        durable(self.ground.store.put_halt(self.id, reason.clone()).await);
        state.pending.clear();
        state.halted.get_or_insert(reason);
    }

    /// A promise that must never have been made: counted, and the last.
    async fn broken(&self, state: &mut State, broken: Option<Broken>) {
        if let Some(broken) = broken {
            runtime::metrics::invariant_broken(broken.id);
            self.halt(state, format!("{broken}: a defect of this program, or damaged memory")).await;
        }
    }

    /// Keeps a proven wrong. One by this trustee itself means that somebody else acts with its key. (K06, K07)
    async fn take_evidence(&self, state: &mut State, evidence: Evidence) {
        let bytes = evidence.to_bytes();
        let digest = digest("evidence", &bytes);
        let (accused, wrong) = (evidence.accused, evidence.wrong);
        if state.keeper.record_evidence(evidence) {
            tracing::warn!(election = %self.id, %accused, %wrong, "evidence of a wrong");
            durable(self.ground.store.put_evidence(self.id, digest, "wrong", bytes).await);
        }
        if accused == Sender::Trustee(self.me) {
            let reason = format!(
                "TWO_OF_ONE: somebody else signs with this trustee's key ({wrong}): stop the other daemon, keep both \
                 data folders as evidence"
            );
            self.halt(state, reason).await;
        }
    }
}

/// Which trustee of the manifest this is: by its key, and with the pin that goes with it. (D14)
fn place_in(manifest: &Manifest, keystore: &KeystoreHandle) -> Result<TrusteeIndex, Refused> {
    let identity = IdentityKey(keystore.identity_public());
    let not_there = || Refused::NotInManifest { identity: identity.to_string() };
    let me = manifest.trustee_with_key(&identity).ok_or_else(not_there)?;
    let entry = manifest.trustee(me).ok_or_else(not_there)?;
    let pin = runtime::pin::SpkiPin::of_ed25519(&keystore.tls_public());
    if entry.tls_pin != *pin.as_bytes() {
        let (expected, got) = (pin.to_string(), hex::encode(entry.tls_pin));
        return Err(Refused::OtherPin { name: entry.name.clone(), expected, got });
    }
    Ok(me)
}

/// Ends the process if it is dropped by a panic: the state that it guards may be ahead of the disk.
struct Whole;

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            runtime::fail_stop("a panic left an election ahead of its journal");
        }
    }
}

/// Runs something that may take long without holding up the other tasks of this thread.
fn heavy<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
