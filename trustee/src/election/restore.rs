//! After a restart: the same fold over the journal, the same log, and whether they are what was promised. (M11, K06)

use std::sync::Arc;

use protocol::ballot::{BallotForm, CheckedBallot};
use protocol::ceremony::AttemptSeed;
use protocol::encoding::{Canonical as _, DecodeError};
use protocol::evidence::{Evidence, Verdict};
use protocol::ids::{Attempt, ElectionId, LaneIndex, LogSize};
use protocol::manifest::{Manifest, ManifestRefusal};
use protocol::signed::Envelope;

use super::roll::roll_bytes;
use super::{Election, Ground, State, heavy, place_in};
use crate::keystore::KeystoreError;
use crate::refused::Refused;
use crate::store::{Cosigned, Store, StoreTrouble, StoredDecision};

/// Bytes of the journal or the log that are read at a time.
const PAGE_BYTES: usize = 4 << 20;
/// Leaves that are read at a time.
const PAGE_LEAVES: u64 = 1024;

/// Why an election cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RestoreTrouble {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// The manifest on the disk.
    #[error("STORE_CORRUPT: election {election}: the stored manifest: {source}")]
    Manifest {
        /// The election.
        election: ElectionId,
        /// What is wrong with it.
        source: ManifestRefusal,
    },
    /// The manifest is not about this trustee as it is now.
    #[error("election {election}: {source}")]
    Place {
        /// The election.
        election: ElectionId,
        /// What differs.
        source: Refused,
    },
    /// An envelope that cannot be decoded.
    #[error("STORE_CORRUPT: election {election}: journal entry {seq}: {source}")]
    Entry {
        /// The election.
        election: ElectionId,
        /// Position.
        seq: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// An envelope that the board does not take.
    #[error("STORE_CORRUPT: election {election}: journal entry {seq} is refused: {why}")]
    Refused {
        /// The election.
        election: ElectionId,
        /// Position.
        seq: u64,
        /// For people.
        why: String,
    },
    /// A seed does not open.
    #[error("STORE_CORRUPT: election {election}: the sealed seed of attempt {attempt}: {source}")]
    Seed {
        /// The election.
        election: ElectionId,
        /// Attempt.
        attempt: Attempt,
        /// What the keystore says.
        source: KeystoreError,
    },
    /// A leaf that the rules refuse now.
    #[error("STORE_CORRUPT: election {election}: leaf {leaf} of lane {lane}: {why}")]
    Leaf {
        /// The election.
        election: ElectionId,
        /// Lane.
        lane: LaneIndex,
        /// Place.
        leaf: u64,
        /// For people.
        why: String,
    },
    /// The log is not what was co-signed.
    #[error(
        "STORE_CORRUPT: election {election}: lane {lane} was co-signed at {size} leaves with root {expected}, the \
         stored log has {got}: do not go on with this data folder"
    )]
    Root {
        /// The election.
        election: ElectionId,
        /// Lane.
        lane: LaneIndex,
        /// Size that was co-signed.
        size: LogSize,
        /// Root that was co-signed.
        expected: String,
        /// What the log has.
        got: String,
    },
}

impl Election {
    /// The election as it was when the process ended, however it ended.
    ///
    /// # Errors
    /// [`RestoreTrouble`]: a store that contradicts itself, the keystore or what was promised.
    pub async fn restore(id: ElectionId, bytes: &[u8], ground: &Arc<Ground>) -> Result<Self, RestoreTrouble> {
        let manifest = Manifest::open(bytes).map_err(|source| RestoreTrouble::Manifest { election: id, source })?;
        let place = |source| RestoreTrouble::Place { election: id, source };
        let got = manifest.id();
        if got != id {
            return Err(place(Refused::OtherManifest { expected: id, got }));
        }
        let me = place_in(&manifest, &ground.keystore).map_err(place)?;
        let election = Self::new(id, Arc::new(manifest), me, ground.clone());
        {
            let mut state = election.state.lock().await;
            let store = &ground.store;
            if let Some(StoredDecision(decision)) = store.decision(id).await? {
                state.keeper.decide(decision);
            }
            state.halted = store.halt(id).await?;
            state.journal_len = refold(&mut state.keeper, store, id).await?;
            for bytes in store.evidence(id, "wrong").await? {
                if let Ok(evidence) = Evidence::from_bytes(&bytes) {
                    state.keeper.record_evidence(evidence);
                }
            }
            election.restore_seeds(&mut state).await?;
            let roll = store.roll(id).await?;
            state.roll_received = roll.len() as u64;
            drop(roll);
            if state.roll_received == roll_bytes(&election.manifest)
                && let Err(refusal) = election.open_roll(&mut state).await
            {
                tracing::warn!(election = %id, %refusal, "the stored voter roll is not the manifest's; it is asked for again");
            }
            election.replay_log(&mut state).await?;
        }
        Ok(election)
    }

    async fn restore_seeds(&self, state: &mut State) -> Result<(), RestoreTrouble> {
        for (attempt, sealed) in self.ground.store.seeds(self.id).await? {
            let context = state.keeper.seal_context(attempt);
            let trouble = |source| RestoreTrouble::Seed { election: self.id, attempt, source };
            let opened = self.ground.keystore.unseal(&context, &sealed).await.map_err(trouble)?;
            let seed = opened.as_slice().try_into().map_err(|_| trouble(KeystoreError::SealBroken))?;
            state.keeper.restore_seed(attempt, &AttemptSeed::new(seed));
        }
        Ok(())
    }

    /// Replays the stored leaves, and compares the tree with every checkpoint that was co-signed.
    async fn replay_log(&self, state: &mut State) -> Result<(), RestoreTrouble> {
        let cosigned = self.ground.store.cosigned(self.id).await?;
        let sizes = self.ground.store.lane_sizes(self.id).await?;
        if let Some(form) = state.keeper.form() {
            for (lane, end) in sizes {
                let promised: Vec<&Cosigned> = cosigned.iter().filter(|cosigned| cosigned.lane == lane).collect();
                self.replay_lane(state, &form, lane, end, &promised).await?;
            }
        }
        for cosigned in &cosigned {
            let Cosigned { lane, size, root } = *cosigned;
            let own = state.keeper.lane_size(lane);
            if own < size {
                return Err(self.other_root(cosigned, format!("only {own} leaves")));
            }
            state.keeper.restore_cosigned(lane, size);
            state.newest.insert(lane, (size, root, None));
        }
        let keeper = &mut state.keeper;
        heavy(|| keeper.followed());
        Ok(())
    }

    async fn replay_lane(
        &self,
        state: &mut State,
        form: &Arc<BallotForm>,
        lane: LaneIndex,
        end: LogSize,
        promised: &[&Cosigned],
    ) -> Result<(), RestoreTrouble> {
        let mut promised = promised.iter().peekable();
        let mut next = 0_u64;
        while next < end.0 {
            let page = self.ground.store.ballots(self.id, lane, next, PAGE_LEAVES, PAGE_BYTES).await?;
            let leaf = |why: String| RestoreTrouble::Leaf { election: self.id, lane, leaf: next, why };
            if page.is_empty() {
                return Err(leaf("it is not there".to_owned()));
            }
            let ballots: Vec<Result<CheckedBallot, _>> =
                heavy(|| page.iter().map(|bytes| form.trusted_from_store(bytes)).collect());
            for ballot in ballots {
                let leaf = |why: String| RestoreTrouble::Leaf { election: self.id, lane, leaf: next, why };
                let ballot = ballot.map_err(|refusal| leaf(refusal.to_string()))?;
                self.absorb_again(&mut state.keeper, form, lane, &ballot).await.map_err(leaf)?;
                next = next.saturating_add(1);
                if let Some(cosigned) = promised.next_if(|cosigned| cosigned.size.0 == next) {
                    let root = state.keeper.lane_root(lane);
                    if root != Some(cosigned.root) {
                        return Err(self.other_root(cosigned, root.map_or_else(String::new, hex::encode)));
                    }
                }
            }
        }
        Ok(())
    }

    fn other_root(&self, cosigned: &Cosigned, got: String) -> RestoreTrouble {
        let Cosigned { lane, size, root } = *cosigned;
        RestoreTrouble::Root { election: self.id, lane, size, expected: hex::encode(root), got }
    }
}

/// Folds a journal into a keeper. Returns its length.
///
/// # Errors
/// [`RestoreTrouble`]: an entry that is not what was written.
pub async fn refold(
    keeper: &mut protocol::keeper::Keeper,
    store: &Store,
    election: ElectionId,
) -> Result<u64, RestoreTrouble> {
    let len = store.journal_len(election).await?;
    let mut seq = 0_u64;
    while seq < len {
        let page = store.journal(election, seq, PAGE_BYTES).await?;
        if page.is_empty() {
            return Err(RestoreTrouble::Refused { election, seq, why: "it is not there".to_owned() });
        }
        for bytes in page {
            let envelope =
                Envelope::from_bytes(&bytes).map_err(|source| RestoreTrouble::Entry { election, seq, source })?;
            match keeper.check(&envelope) {
                Verdict::Valid(checked) => heavy(|| keeper.absorb(checked)),
                Verdict::Moot(moot) => {
                    return Err(RestoreTrouble::Refused { election, seq, why: moot.to_string() });
                }
                Verdict::Fault(evidence) => {
                    return Err(RestoreTrouble::Refused { election, seq, why: evidence.wrong.to_string() });
                }
            }
            seq = seq.saturating_add(1);
        }
    }
    Ok(len)
}
