//! An election after a restart, or when it is new: the same fold, over what is stored.

use std::sync::Arc;

use actix::prelude::*;
use protocol::board::Board;
use protocol::encoding::{Canonical as _, DecodeError};
use protocol::evidence::{Evidence, Verdict};
use protocol::ids::ShardIndex;
use protocol::manifest::{Manifest, ManifestRefusal};
use protocol::roll::{Roll, RollRefusal};
use protocol::signed::Envelope;
use thiserror::Error;

use super::ElectionActor;
use crate::actors::Deps;
use crate::actors::shard::Handle;
use crate::actors::workers::Workers;
use crate::election::Election;
use crate::store::{StoreTrouble, StoredElection};

/// Why a stored election cannot be taken up. Restore the store, or rebuild it from the trustees.
#[derive(Debug, Error)]
pub enum OpenTrouble {
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// The manifest.
    #[error("STORE_CORRUPT: a stored manifest: {0}")]
    Manifest(#[from] ManifestRefusal),
    /// This shard is not in it under its present key.
    #[error(
        "this shard's identity key is not the one of the stored election {election}'s home shard; was it replaced?"
    )]
    NotHome {
        /// Which.
        election: String,
    },
    /// An envelope.
    #[error("STORE_CORRUPT: envelope {seq} of the board cannot be read: {source}")]
    Envelope {
        /// Place.
        seq: usize,
        /// What is wrong.
        source: DecodeError,
    },
    /// An envelope that was on the board is refused.
    #[error("STORE_CORRUPT: envelope {seq} of the board does not hold")]
    Refused {
        /// Place.
        seq: usize,
    },
    /// The roll.
    #[error("STORE_CORRUPT: the voter roll: {0}")]
    Roll(#[from] RollRefusal),
    /// A defect, or the end of the process.
    #[error("the fold over a stored board did not end")]
    Panic,
}

/// Which shard of a manifest this is, if it is the home shard.
#[must_use]
pub fn home_of(deps: &Deps, manifest: &Manifest) -> Option<ShardIndex> {
    let home = manifest.home_shard()?;
    let me = home.identity.0 == deps.signer.public_key() && home.tls_pin == *deps.identity.pin().as_bytes();
    me.then_some(manifest.home)
}

/// Takes up a stored election: folds its board, starts its actor.
///
/// # Errors
/// [`OpenTrouble`].
pub async fn open(deps: &Arc<Deps>, workers: &Workers, stored: StoredElection) -> Result<Handle, OpenTrouble> {
    let manifest = Arc::new(Manifest::open(&stored.manifest)?);
    let me = home_of(deps, &manifest);
    let me = me.ok_or_else(|| OpenTrouble::NotHome { election: manifest.id().to_string() })?;
    let envelopes = deps.store.board(stored.key).await?;
    let evidence = deps.store.evidence(stored.key).await?;
    let times = deps.store.stage_times(stored.key).await?;
    let roll = deps.store.roll(stored.key).await?;

    let of = Arc::clone(&manifest);
    let folded = deps.pool.run(move || fold(&of, &envelopes, &evidence).map(|board| (board, envelopes))).await;
    let (board, envelopes) = folded.ok_or(OpenTrouble::Panic)??;

    let election = Arc::new(Election::new(stored.key, stored.board_epoch, me, Arc::clone(&manifest), stored.manifest));
    election.publish(envelopes.into_iter().map(Arc::from));
    if let Some(bytes) = roll {
        let roll = Roll::open(&bytes, &manifest)?;
        drop(election.roll.set(Arc::new(roll)));
        drop(election.roll_bytes.set(Arc::new(bytes)));
    }
    tracing::info!(election = %election.id, envelopes = board.len(), stage = board.stage().name(), "election taken up");
    let (sharing, of) = (Arc::clone(deps), Arc::clone(&election));
    let key = stored.key.unsigned_abs();
    let actor = workers.run(key, move || ElectionActor::new(sharing, of, board, times).start()).await;
    Ok(Handle { election, actor: actor.ok_or(OpenTrouble::Panic)? })
}

fn fold(manifest: &Arc<Manifest>, envelopes: &[Vec<u8>], evidence: &[Vec<u8>]) -> Result<Board, OpenTrouble> {
    let mut board = Board::new(Arc::clone(manifest));
    for (seq, bytes) in envelopes.iter().enumerate() {
        let envelope = Envelope::from_bytes(bytes).map_err(|source| OpenTrouble::Envelope { seq, source })?;
        match board.check(&envelope) {
            Verdict::Valid(checked) => board.absorb(checked),
            Verdict::Moot(_) | Verdict::Fault(_) => return Err(OpenTrouble::Refused { seq }),
        }
    }
    for bytes in evidence {
        match Evidence::from_bytes(bytes) {
            Ok(evidence) => drop(board.record_evidence(evidence)),
            Err(error) => tracing::warn!(%error, "a stored piece of evidence cannot be read"),
        }
    }
    Ok(board)
}
