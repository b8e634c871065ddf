//! The election record: gathered from a shard's public record, checked as a whole, written as a directory. (P-REC)
//!
//! Nothing that is exported rests on the shard's word: the board is folded here, the logs must have the certified roots, and the
//! aggregate is computed anew. `audit` then checks it all again, without this code.

use crate::{home::passes, tell::Tell};
use booth::election::{BoardReader, ElectionTrouble, Server, fetch_manifest, note_keys};
use proto::v1::{ElectionRequest, GetCheckpointRequest, GetLogRequest, GetRejectionsRequest, GetRollRequest, Status};
use protocol::{
    ballot_box::{self, BallotBox, BoxTrouble, ClosedBox},
    board::Board,
    encoding::{Canonical as _, Hash},
    evidence::Evidence,
    ids::{ElectionId, LaneIndex, LeafIndex},
    log::{NoteError, Rejection, SignedCheckpoint},
    manifest::Manifest,
    roll::{Roll, RollRefusal},
};
use std::{path::PathBuf, sync::Arc};

mod summary;
mod write;

pub use summary::Summary;
pub use write::WriteTrouble;

/// Entries asked for at once.
const PAGE: u32 = 1000;
const ROLL_BYTES_MAX: u64 = 1 << 32;
const REJECTIONS_MAX: u64 = 10_000_000;

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordTrouble {
    /// The server, or what it sent.
    #[error(transparent)]
    Election(#[from] ElectionTrouble),
    /// Not done yet.
    #[error("the election is at stage {stage}: {missing} is still missing; `ceremony anchor` waits for the end")]
    NotYet {
        /// Where it stands.
        stage: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// The roll.
    #[error("the server's voter roll: {0}")]
    Roll(#[from] RollRefusal),
    /// A page that leads nowhere.
    #[error("the server gave {got} of {expected} {what} and then nothing more: try again, or another server")]
    Short {
        /// What.
        what: &'static str,
        /// Wanted.
        expected: u64,
        /// There.
        got: u64,
    },
    /// Too much.
    #[error("the server states {got} {what}; at most {max} are taken")]
    TooMuch {
        /// What.
        what: &'static str,
        /// Stated.
        got: u64,
        /// Bound.
        max: u64,
    },
    /// A ballot in the log that cannot be one.
    #[error("lane {lane}, leaf {leaf}: {source}: the server's log is not the certified one")]
    Ballot {
        /// Lane.
        lane: LaneIndex,
        /// Leaf.
        leaf: u64,
        /// What.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another log.
    #[error("lane {lane}: the server's log has root {got}, certified is {expected}")]
    Root {
        /// Lane.
        lane: LaneIndex,
        /// Certified.
        expected: String,
        /// Computed.
        got: String,
    },
    /// A checkpoint that is none.
    #[error("lane {lane}: the checkpoint of size {size} is not final: {source}")]
    Checkpoint {
        /// Lane.
        lane: LaneIndex,
        /// Size.
        size: u64,
        /// What.
        source: NoteError,
    },
    /// The checkpoint of another size or root.
    #[error("lane {lane}: the server gave a checkpoint of size {got}, certified is {expected}")]
    OtherCheckpoint {
        /// Lane.
        lane: LaneIndex,
        /// Certified.
        expected: u64,
        /// Given.
        got: u64,
    },
    /// A rejection that nobody signed.
    #[error("rejection {at} is not signed by a shard of this election")]
    Rejection {
        /// Place.
        at: u64,
    },
    /// The sums are others than certified.
    #[error("the aggregate of the logs is not the certified one")]
    Aggregate,
    /// The result cannot be computed.
    #[error("no result: {0}")]
    Tally(String),
    /// Writing.
    #[error(transparent)]
    Write(#[from] WriteTrouble),
    /// Already there, and another.
    #[error("{} exists and is another record: choose another directory", .path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
}

impl RecordTrouble {
    /// Whether the same may go well a moment later.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Election(trouble) => passes(trouble),
            Self::Short { .. } | Self::Checkpoint { .. } | Self::OtherCheckpoint { .. } => true,
            _ => false,
        }
    }
}

impl From<tonic::Status> for RecordTrouble {
    fn from(status: tonic::Status) -> Self {
        Self::Election(status.into())
    }
}

/// One lane of the log, whole.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    ballots: Vec<Vec<u8>>,
    checkpoint: String,
    root: Hash,
}

/// Everything that is public about an election that has a result.
#[derive(Debug, Clone)]
pub struct Record {
    manifest: Arc<Manifest>,
    roll: Vec<u8>,
    board: Board,
    lanes: Vec<Lane>,
    rejections: Vec<Vec<u8>>,
    evidence: Vec<Vec<u8>>,
    status: Status,
}

impl Record {
    /// Fetches and checks it.
    ///
    /// # Errors
    /// [`RecordTrouble`].
    pub async fn gather(server: &Server, id: ElectionId, tell: Tell) -> Result<Self, RecordTrouble> {
        let manifest = fetch_manifest(server, id).await?;
        let roll = fetch_roll(server, &manifest).await?;
        let mut reader = BoardReader::new(manifest.clone());
        reader.advance(server).await?;
        let request = ElectionRequest { election_id: id.0.to_vec() };
        let status = server.record().await?.get_status(request).await?.into_inner();
        let mut board = reader.board().clone();
        let not_yet = |board: &Board, missing| RecordTrouble::NotYet { stage: board.stage().name(), missing };
        let certificate = board.certificate().ok_or_else(|| not_yet(&board, "the certified vote set"))?.clone();
        let key = board.key_certificate().ok_or_else(|| not_yet(&board, "the certified key"))?.clone();
        let form =
            ballot_box::form(&manifest, key.election_key).map_err(|error| RecordTrouble::Tally(error.to_string()))?;

        let total = certificate.value.lanes.iter().map(|end| end.size.0).fold(0, u64::saturating_add);
        let bar = tell.bar("log", total);
        let checked_roll = Arc::new(Roll::open(&roll, &manifest)?);
        let mut lanes = Vec::new();
        let mut boxes = Vec::new();
        for (lane, end) in (0..).map(LaneIndex).zip(&certificate.value.lanes) {
            let ballots = fetch_log(server, id, lane, end.size.0, |new| bar.inc(new)).await?;
            let ballot_box = replay(&manifest, &form, checked_roll.clone(), lane, &ballots)?;
            if ballot_box.root() != end.root {
                let (expected, got) = (hex::encode(end.root), hex::encode(ballot_box.root()));
                return Err(RecordTrouble::Root { lane, expected, got });
            }
            let checkpoint = fetch_checkpoint(server, &manifest, lane, end.size.0, &end.root).await?;
            boxes.push(ballot_box);
            lanes.push(Lane { ballots, checkpoint, root: end.root });
        }
        bar.finish_and_clear();
        let closed = ClosedBox::of(&boxes.iter().collect::<Vec<_>>(), key.digest());
        let closed = closed.map_err(|error| RecordTrouble::Tally(error.to_string()))?;
        let closed = closed.ok_or(RecordTrouble::Aggregate)?;
        if !board.set_aggregate(&closed) {
            return Err(RecordTrouble::Aggregate);
        }
        let rejections = fetch_rejections(server, &manifest).await?;
        fetch_evidence(server, &manifest, &mut board).await?;
        let mut evidence: Vec<Vec<u8>> = board.evidence().iter().map(protocol::encoding::Canonical::to_bytes).collect();
        evidence.sort();
        evidence.dedup();
        Ok(Self { manifest, roll, board, lanes, rejections, evidence, status })
    }

    /// The board, with the result.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }
}

fn replay(
    manifest: &Manifest,
    form: &protocol::ballot::BallotForm,
    roll: Arc<Roll>,
    lane: LaneIndex,
    ballots: &[Vec<u8>],
) -> Result<BallotBox, RecordTrouble> {
    let mut ballot_box = BallotBox::new(manifest, form, roll, lane);
    // Proofs are the audit's to check; the certified aggregate, compared afterwards, says that these are the ballots.
    let parsed = |at: u64| -> Option<protocol::ballot::CheckedBallot> {
        form.trusted_from_store(ballots.get(usize::try_from(at).ok()?)?).ok()
    };
    for (leaf, bytes) in (0_u64..).zip(ballots) {
        let refused = |source| RecordTrouble::Ballot { lane, leaf, source };
        let ballot = form.trusted_from_store(bytes).map_err(|error| refused(Box::new(error)))?;
        let earlier = |index: LeafIndex| parsed(index.0);
        ballot_box.absorb(&ballot, &earlier).map_err(|error: BoxTrouble| refused(Box::new(error)))?;
    }
    Ok(ballot_box)
}

async fn fetch_roll(server: &Server, manifest: &Manifest) -> Result<Vec<u8>, RecordTrouble> {
    let mut client = server.record().await?;
    let mut roll = Vec::new();
    loop {
        let request = GetRollRequest { election_id: manifest.id().0.to_vec(), offset: roll.len() as u64 };
        let chunk = client.get_roll(request).await?.into_inner();
        if chunk.total > ROLL_BYTES_MAX {
            return Err(RecordTrouble::TooMuch { what: "bytes of voter roll", got: chunk.total, max: ROLL_BYTES_MAX });
        }
        let got = roll.len() as u64;
        if chunk.bytes.is_empty() || chunk.offset != got {
            return Err(RecordTrouble::Short { what: "bytes of voter roll", expected: chunk.total, got });
        }
        roll.extend(chunk.bytes);
        if roll.len() as u64 >= chunk.total {
            Roll::open(&roll, manifest)?;
            return Ok(roll);
        }
    }
}

async fn fetch_log(
    server: &Server,
    id: ElectionId,
    lane: LaneIndex,
    size: u64,
    mut fetched: impl FnMut(u64),
) -> Result<Vec<Vec<u8>>, RecordTrouble> {
    let mut client = server.record().await?;
    let mut ballots: Vec<Vec<u8>> = Vec::new();
    while (ballots.len() as u64) < size {
        let from = ballots.len() as u64;
        let count = u32::try_from(size.saturating_sub(from)).unwrap_or(PAGE).min(PAGE);
        let request = GetLogRequest { election_id: id.0.to_vec(), lane: lane.0.into(), from, count };
        let page = client.get_log(request).await?.into_inner();
        if page.ballots.is_empty() || page.first != from {
            return Err(RecordTrouble::Short { what: "ballots", expected: size, got: from });
        }
        fetched(page.ballots.len() as u64);
        let room = usize::try_from(size.saturating_sub(from)).unwrap_or(usize::MAX);
        ballots.extend(page.ballots.into_iter().take(room));
    }
    Ok(ballots)
}

async fn fetch_checkpoint(
    server: &Server,
    manifest: &Manifest,
    lane: LaneIndex,
    size: u64,
    root: &Hash,
) -> Result<String, RecordTrouble> {
    let request = GetCheckpointRequest { election_id: manifest.id().0.to_vec(), lane: lane.0.into(), size };
    let text = server.record().await?.get_checkpoint(request).await?.into_inner().checkpoint;
    let refused = |source| RecordTrouble::Checkpoint { lane, size, source };
    let signed: SignedCheckpoint = text.parse().map_err(refused)?;
    let origin = protocol::log::origin(&manifest.id(), lane);
    signed.verify_final(&origin, &note_keys(manifest, lane), manifest.quorums.w).map_err(refused)?;
    let checkpoint = signed.checkpoint();
    if checkpoint.size.0 != size || checkpoint.root != *root {
        return Err(RecordTrouble::OtherCheckpoint { lane, expected: size, got: checkpoint.size.0 });
    }
    Ok(text)
}

/// Takes note of what the board cannot show by itself: two messages for one slot. (P-EVI)
async fn fetch_evidence(server: &Server, manifest: &Manifest, board: &mut Board) -> Result<(), RecordTrouble> {
    let request = ElectionRequest { election_id: manifest.id().0.to_vec() };
    let list = server.record().await?.get_evidence(request).await?.into_inner();
    for bytes in list.evidence {
        // What proves nothing accuses nobody: it is left out.
        if let Ok(evidence) = Evidence::from_bytes(&bytes)
            && evidence.proves_equivocation(manifest)
        {
            board.record_evidence(evidence);
        }
    }
    Ok(())
}

async fn fetch_rejections(server: &Server, manifest: &Manifest) -> Result<Vec<Vec<u8>>, RecordTrouble> {
    let mut client = server.record().await?;
    let mut out = Vec::new();
    let mut from = 0;
    loop {
        let request = GetRejectionsRequest { election_id: manifest.id().0.to_vec(), from };
        let page = client.get_rejections(request).await?.into_inner();
        if page.total > REJECTIONS_MAX {
            return Err(RecordTrouble::TooMuch { what: "rejections", got: page.total, max: REJECTIONS_MAX });
        }
        let count = page.rejections.len() as u64;
        for bytes in page.rejections {
            let holds = Rejection::from_bytes(&bytes).is_ok_and(|rejection| {
                let key = manifest.shard(rejection.shard).map(|shard| shard.identity);
                rejection.election == manifest.id() && key.is_some_and(|key| rejection.verify(&key))
            });
            if !holds {
                return Err(RecordTrouble::Rejection { at: from.saturating_add(out.len() as u64) });
            }
            out.push(bytes);
        }
        from = from.saturating_add(count);
        if from >= page.total {
            break;
        }
        if count == 0 {
            return Err(RecordTrouble::Short { what: "rejections", expected: page.total, got: from });
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}
