//! One lane's log to one trustee, and its co-signatures back.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{FollowReply, FollowRequest};
use runtime::backoff::Backoff;
use runtime::entropy::OsEntropy;

use super::link::{Link, LinkTrouble, in_time};
use crate::actors::Deps;
use crate::election::Election;
use crate::lane::{Lane, Target};

/// Ballots of one call.
const BALLOTS_MAX: u64 = 1024;
/// Bytes of ballots of one call.
const BYTES_MAX: usize = 2 << 20;
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// After a refusal: the trustee waits for something on the board.
const REFUSED: Duration = Duration::from_millis(150);

struct Follow {
    deps: Arc<Deps>,
    election: Arc<Election>,
    lane: Arc<Lane>,
    link: Link,
    /// The trustee has the lane's log up to here; unknown before its first answer.
    cursor: Option<u64>,
    /// It has co-signed this size.
    cosigned: Option<u64>,
}

/// Runs until shutdown.
pub(super) async fn run(deps: Arc<Deps>, election: Arc<Election>, lane: Arc<Lane>, link: Link) {
    let shutdown = deps.shutdown.clone();
    let mut targets = lane.target();
    let mut backoff = Backoff::between_peers(&mut OsEntropy);
    let mut follow = Follow { deps, election, lane, link, cursor: None, cosigned: None };
    while !shutdown.is_requested() {
        let target = targets.borrow_and_update().clone();
        let pause = match target {
            Some(target) if follow.wants(&target) => match follow.once(&target).await {
                Ok(pause) => {
                    backoff.reset();
                    pause
                }
                Err(trouble) => {
                    tracing::debug!(trustee = follow.link.trustee.0, lane = follow.lane.index.0, %trouble, "not followed");
                    follow.link.drop_connection();
                    follow.cursor = None;
                    backoff.next_delay()
                }
            },
            _ => LOOK_AGAIN,
        };
        if pause.is_zero() {
            continue;
        }
        tokio::select! {
            () = shutdown.requested() => return,
            _ = targets.changed() => {}
            () = tokio::time::sleep(pause) => follow.lane.tick(),
        }
    }
}

impl Follow {
    fn wants(&self, target: &Target) -> bool {
        let size = target.checkpoint.size.0;
        self.cursor.is_none_or(|cursor| cursor < size) || self.cosigned.is_none_or(|cosigned| cosigned < size)
    }

    /// One call. Gives how long to wait before the next.
    async fn once(&mut self, target: &Target) -> Result<Duration, LinkTrouble> {
        let size = target.checkpoint.size.0;
        let first = self.cursor.unwrap_or_else(|| self.known_cursor());
        // Whoever is further can still co-sign the certified end.
        let is_end = self.lane.is_end(size);
        if first > size && !is_end {
            return Ok(self.ahead(first));
        }
        let first = first.min(size);
        let mut ballots = Vec::new();
        let (mut bytes, mut next) = (0_usize, first);
        if self.cursor.is_some() && first < size {
            let count = size.saturating_sub(first).min(BALLOTS_MAX);
            let leaves = self.deps.store.leaves(self.election.key, self.lane.index.0, first, count).await;
            for (ballot, _) in leaves.unwrap_or_default() {
                bytes = bytes.saturating_add(ballot.len());
                if bytes > BYTES_MAX && !ballots.is_empty() {
                    break;
                }
                ballots.push(ballot);
                next = next.saturating_add(1);
            }
        }
        let checkpoint = if next == size && self.cursor.is_some() { target.note.to_string() } else { String::new() };
        let request = FollowRequest {
            election_id: self.election.id.0.to_vec(),
            lane: self.lane.index.0.into(),
            first,
            ballots,
            checkpoint,
        };
        let (mut client, _) = self.link.client().await?;
        let reply = in_time(client.follow(request)).await?.into_inner();
        Ok(self.hear(target, &reply).await)
    }

    /// What the trustee said when the boards were exchanged.
    fn known_cursor(&self) -> u64 {
        let trustees = self.election.trustees();
        let view = usize::from(self.link.trustee.0).checked_sub(1).and_then(|at| trustees.get(at));
        view.and_then(|view| view.followed.get(usize::from(self.lane.index.0))).copied().unwrap_or(0)
    }

    async fn hear(&mut self, target: &Target, reply: &FollowReply) -> Duration {
        let moved = self.cursor != Some(reply.next);
        self.cursor = Some(reply.next);
        if moved {
            self.lane.progressed(target);
        }
        if reply.next > target.checkpoint.size.0 && reply.cosigned.is_empty() {
            return self.ahead(reply.next);
        }
        if !reply.cosigned.is_empty() {
            match self.lane.cosigned(self.link.trustee, target, &reply.cosigned) {
                Ok(confirmed) => {
                    self.cosigned = Some(target.checkpoint.size.0);
                    if let Some(note) = confirmed {
                        let (size, lane) = (note.checkpoint().size.0, self.lane.index.0);
                        // Not stored: the next one will be, and co-signatures can be asked for again.
                        let _ = self
                            .deps
                            .store
                            .keep_checkpoint(self.election.key, lane, size, true, note.to_string())
                            .await;
                    }
                }
                Err(refusal) => {
                    tracing::warn!(trustee = self.link.trustee.0, %refusal, "no co-signature");
                    return LOOK_AGAIN;
                }
            }
        }
        if reply.refusal.is_empty() || moved {
            return if moved || !reply.cosigned.is_empty() { Duration::ZERO } else { REFUSED };
        }
        if reply.refusal.contains("LOG_FORK") {
            let name = self.election.manifest.trustee(self.link.trustee).map_or("", |entry| entry.name.as_str());
            self.election.troubles.set(format!("fork-{name}"), format!("{name}: {}", reply.refusal));
        }
        tracing::debug!(
            trustee = self.link.trustee.0,
            lane = self.lane.index.0,
            refusal = reply.refusal,
            "not followed"
        );
        REFUSED
    }

    /// The trustee has more than it is to be led to: it was fast, or this shard has lost leaves.
    fn ahead(&mut self, theirs: u64) -> Duration {
        let (have, lane) = (self.lane.size(), self.lane.index);
        if theirs > have {
            let name = self.election.manifest.trustee(self.link.trustee).map_or("", |entry| entry.name.as_str());
            let text =
                format!("LOG_ROLLBACK: {name} has {theirs} leaves of lane {lane}, this shard {have}: it lost some");
            self.election.troubles.set(format!("rollback-{lane}"), text);
            self.lane.block();
        }
        LOOK_AGAIN
    }
}
