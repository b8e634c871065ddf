//! The voter roll, in pieces, and the trustee's own copy of the log, in pages.

use std::sync::Arc;

use proto::v1::{GetLogRequest, LogPage, RollChunk, RollProgress};
use protocol::encoding::Hash;
use protocol::ids::LaneIndex;
use protocol::roll::{ENTRY_BYTES, Roll};

use super::{Election, State, heavy};
use crate::refused::Refused;
use crate::store::durable;

/// Bytes of one page of the log.
const PAGE_BYTES_MAX: usize = 2 << 20;

impl Election {
    /// Takes the next piece of the voter roll. A piece that is known already changes nothing.
    ///
    /// # Errors
    /// Pieces that do not fit; a roll that is not the manifest's, which is thrown away.
    pub async fn put_roll(&self, caller: &Hash, caller_name: &str, chunk: RollChunk) -> Result<RollProgress, Refused> {
        self.authorise(caller, caller_name)?;
        let mut state = self.state.lock().await;
        let total = roll_bytes(&self.manifest);
        if chunk.total != total {
            return Err(Refused::RollLength { expected: total, got: chunk.total });
        }
        if state.keeper.has_roll() {
            return Ok(RollProgress { received: total, complete: true });
        }
        let end = chunk.offset.saturating_add(chunk.bytes.len() as u64);
        if end > total {
            return Err(Refused::RollPiece { offset: chunk.offset, got: chunk.bytes.len(), total });
        }
        if chunk.offset == state.roll_received && !chunk.bytes.is_empty() {
            durable(self.ground.store.put_roll(self.id, (chunk.offset, chunk.bytes)).await);
            state.roll_received = end;
        }
        if state.roll_received == total {
            self.open_roll(&mut state).await.map_err(Refused::Roll)?;
        }
        Ok(RollProgress { received: state.roll_received, complete: state.keeper.has_roll() })
    }

    /// Opens the roll that has come whole.
    pub(super) async fn open_roll(&self, state: &mut State) -> Result<(), protocol::roll::RollRefusal> {
        let bytes = durable(self.ground.store.roll(self.id).await);
        match heavy(|| Roll::open(&bytes, &self.manifest)) {
            Ok(roll) => {
                tracing::info!(election = %self.id, voters = roll.entries().len(), "voter roll complete");
                state.keeper.set_roll(Arc::new(roll));
                Ok(())
            }
            Err(refusal) => {
                durable(self.ground.store.drop_roll(self.id).await);
                state.roll_received = 0;
                Err(refusal)
            }
        }
    }

    /// A page of this trustee's own copy of a lane's log.
    ///
    /// # Errors
    /// A lane that no election has.
    pub async fn log_page(&self, caller: &Hash, caller_name: &str, request: GetLogRequest) -> Result<LogPage, Refused> {
        self.authorise(caller, caller_name)?;
        let lane = self.lane(request.lane)?;
        let total = self.state.lock().await.keeper.lane_size(lane).0;
        let (store, from, count) = (&self.ground.store, request.from, u64::from(request.count));
        let count = count.min(total.saturating_sub(from));
        let ballots = match count {
            0 => Vec::new(),
            count => durable(store.ballots(self.id, lane, from, count, PAGE_BYTES_MAX).await),
        };
        Ok(LogPage { first: from, ballots, total })
    }

    /// A lane of this election.
    pub(super) fn lane(&self, got: u32) -> Result<LaneIndex, Refused> {
        let last = self.manifest.lanes.saturating_sub(1);
        match u16::try_from(got) {
            Ok(lane) if lane <= last => Ok(LaneIndex(lane)),
            _ => Err(Refused::TooLarge { field: "lane", got: got.into(), max: last.into() }),
        }
    }
}

/// Length of the manifest's roll.
pub(super) fn roll_bytes(manifest: &protocol::manifest::Manifest) -> u64 {
    manifest.roll.voters.saturating_mul(ENTRY_BYTES as u64).saturating_add(8)
}
