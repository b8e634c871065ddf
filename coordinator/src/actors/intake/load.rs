//! A lane after a restart: the fold over what is stored, compared with what was signed. (M04, M11, G02)

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ballot::{BallotForm, BallotRefusal, CheckedBallot};
use protocol::ballot_box::{BallotBox, BoxTrouble};
use protocol::ids::LeafIndex;
use protocol::log::{NoteError, SignedCheckpoint, leaf_hash};
use protocol::roll::Roll;
use thiserror::Error;

use crate::actors::Deps;
use crate::election::Election;
use crate::lane::Lane;
use crate::store::StoreTrouble;

const PAGE: u64 = 512;

/// Why a lane cannot be taken up again. None of these heals by itself: rebuild the store from a trustee's copy.
#[derive(Debug, Error)]
pub enum LoadTrouble {
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// A leaf's bytes are not what was stored.
    #[error("STORE_CORRUPT: lane {lane}, leaf {leaf}: the bytes do not have the hash that was stored with them")]
    Leaf {
        /// Lane.
        lane: u16,
        /// Place.
        leaf: u64,
    },
    /// A leaf is no ballot.
    #[error("STORE_CORRUPT: lane {lane}: a leaf is no ballot: {source}")]
    Ballot {
        /// Lane.
        lane: u16,
        /// What is wrong.
        source: BallotRefusal,
    },
    /// The leaves break the rules.
    #[error("STORE_CORRUPT: lane {lane}: {source}")]
    Box {
        /// Lane.
        lane: u16,
        /// What is wrong.
        source: BoxTrouble,
    },
    /// A checkpoint is none.
    #[error("STORE_CORRUPT: lane {lane}: a stored checkpoint cannot be read: {source}")]
    Note {
        /// Lane.
        lane: u16,
        /// What is wrong.
        source: NoteError,
    },
    /// The store is older than what was signed with its content.
    #[error("LOG_ROLLBACK: lane {lane} has {have} leaves, and a checkpoint of {had} was signed: it was restored")]
    Rollback {
        /// Lane.
        lane: u16,
        /// Signed.
        had: u64,
        /// In the store.
        have: u64,
    },
    /// The store has other leaves than what was signed.
    #[error("STORE_CORRUPT: lane {lane}: the leaves do not have the root that was signed for {size} of them")]
    Root {
        /// Lane.
        lane: u16,
        /// Leaves.
        size: u64,
    },
    /// A defect.
    #[error("the fold over lane {lane} panicked")]
    Panic {
        /// Lane.
        lane: u16,
    },
}

/// Folds the stored leaves of a lane, and fills its published log.
///
/// # Errors
/// [`LoadTrouble`].
pub async fn load(
    deps: &Deps,
    election: &Election,
    lane: &Lane,
    form: &Arc<BallotForm>,
    roll: Arc<Roll>,
) -> Result<BallotBox, LoadTrouble> {
    let ballots = refold(deps, election, lane, form, roll, u64::MAX, |leaves| lane.append(leaves)).await?;
    compare(deps, election, lane).await?;
    Ok(ballots)
}

/// The lane's box as it was when it had so many leaves.
///
/// # Errors
/// [`LoadTrouble`].
pub async fn load_until(
    deps: &Deps,
    election: &Election,
    lane: &Lane,
    form: &Arc<BallotForm>,
    roll: Arc<Roll>,
    end: u64,
) -> Result<BallotBox, LoadTrouble> {
    refold(deps, election, lane, form, roll, end, drop).await
}

async fn refold(
    deps: &Deps,
    election: &Election,
    lane: &Lane,
    form: &Arc<BallotForm>,
    roll: Arc<Roll>,
    end: u64,
    mut each: impl FnMut(Vec<[u8; 32]>),
) -> Result<BallotBox, LoadTrouble> {
    let number = lane.index.0;
    let mut ballots = BallotBox::new(&election.manifest, form, roll, lane.index);
    loop {
        let first = ballots.size().0;
        let page = deps.store.leaves(election.key, number, first, PAGE.min(end.saturating_sub(first))).await?;
        if page.is_empty() {
            break;
        }
        let parsing = Arc::clone(form);
        let parsed = deps.pool.run(move || parse(&parsing, number, first, page)).await;
        let parsed = parsed.ok_or(LoadTrouble::Panic { lane: number })??;
        let mut olds = BTreeMap::new();
        for old in parsed.iter().filter_map(|ballot| ballots.leaf_of(&ballot.credential())) {
            for (bytes, _) in deps.store.leaves(election.key, number, old.0, 1).await? {
                let ballot = form.trusted_from_store(&bytes);
                olds.insert(old, ballot.map_err(|source| LoadTrouble::Ballot { lane: number, source })?);
            }
        }
        let folded = deps.pool.run(move || fold(ballots, number, first, &parsed, &olds)).await;
        let (folded, leaves) = folded.ok_or(LoadTrouble::Panic { lane: number })??;
        ballots = folded;
        each(leaves);
    }
    Ok(ballots)
}

type Page = Vec<(Vec<u8>, [u8; 32])>;

fn parse(form: &BallotForm, lane: u16, first: u64, page: Page) -> Result<Vec<CheckedBallot>, LoadTrouble> {
    let mut parsed = Vec::with_capacity(page.len());
    for ((bytes, hash), leaf) in page.into_iter().zip(first..) {
        if leaf_hash(&bytes) != hash {
            return Err(LoadTrouble::Leaf { lane, leaf });
        }
        parsed.push(form.trusted_from_store(&bytes).map_err(|source| LoadTrouble::Ballot { lane, source })?);
    }
    Ok(parsed)
}

type Folded = Result<(BallotBox, Vec<[u8; 32]>), LoadTrouble>;

fn fold(
    mut ballots: BallotBox,
    lane: u16,
    first: u64,
    page: &[CheckedBallot],
    olds: &BTreeMap<LeafIndex, CheckedBallot>,
) -> Folded {
    let earlier = |leaf: LeafIndex| match leaf.0.checked_sub(first) {
        Some(at) => page.get(usize::try_from(at).ok()?).cloned(),
        None => olds.get(&leaf).cloned(),
    };
    let mut leaves = Vec::with_capacity(page.len());
    for ballot in page {
        ballots.absorb(ballot, &earlier).map_err(|source| LoadTrouble::Box { lane, source })?;
        leaves.push(leaf_hash(ballot.bytes()));
    }
    Ok((ballots, leaves))
}

/// Every stored checkpoint must be one of this log.
async fn compare(deps: &Deps, election: &Election, lane: &Lane) -> Result<(), LoadTrouble> {
    let number = lane.index.0;
    for (size, is_final, text) in deps.store.checkpoints(election.key, number).await? {
        let note: SignedCheckpoint = text.parse().map_err(|source| LoadTrouble::Note { lane: number, source })?;
        let root =
            lane.root_at(size).map_err(|_| LoadTrouble::Rollback { lane: number, had: size, have: lane.size() })?;
        if note.checkpoint().size.0 != size || note.checkpoint().root != root {
            return Err(LoadTrouble::Root { lane: number, size });
        }
        if is_final {
            lane.restore_confirmed(note);
        }
    }
    Ok(())
}
