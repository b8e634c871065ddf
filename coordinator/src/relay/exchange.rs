//! Board against journal with one trustee.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use proto::v1::trustee_client::TrusteeClient;
use proto::v1::{ExchangeReply, ExchangeRequest, RollChunk};
use protocol::board::Stage;
use protocol::encoding::Canonical as _;
use protocol::signed::{ENVELOPE_BYTES_MAX, Envelope};
use runtime::backoff::Backoff;
use runtime::entropy::OsEntropy;
use tonic::transport::Channel;

use super::link::{Link, LinkTrouble, in_time};
use crate::actors::Deps;
use crate::actors::election::{ElectionActor, Post};
use crate::election::Election;

/// Envelopes of one call.
const ENVELOPES_MAX: usize = 512;
/// Bytes of envelopes of one call.
const BYTES_MAX: usize = 4 << 20;
/// Bytes of a piece of the roll.
const ROLL_CHUNK: usize = 1 << 20;
/// Pause of an election in which nothing is owed any more.
const FINISHED: Duration = Duration::from_secs(2);
/// No trustee is called more often than this, whatever it wishes.
const PAUSE_MIN: Duration = Duration::from_millis(5);

struct Exchange {
    deps: Arc<Deps>,
    election: Arc<Election>,
    actor: Addr<ElectionActor>,
    link: Link,
    /// The trustee has the board up to here.
    pushed: u64,
    /// We have its journal up to here.
    taken: u64,
    needs_manifest: bool,
    asked_before: bool,
}

/// What to do after a call.
enum Next {
    /// There is more to say.
    Now,
    /// Nothing new on either side.
    After(Duration),
}

/// Runs until shutdown.
pub(super) async fn run(deps: Arc<Deps>, election: Arc<Election>, actor: Addr<ElectionActor>, link: Link) {
    let shutdown = deps.shutdown.clone();
    let mut grown = election.grown();
    let mut backoff = Backoff::between_peers(&mut OsEntropy);
    let mut exchange =
        Exchange { deps, election, actor, link, pushed: 0, taken: 0, needs_manifest: false, asked_before: false };
    while !shutdown.is_requested() {
        grown.mark_unchanged();
        let pause = match exchange.once().await {
            Ok(next) => {
                backoff.reset();
                match next {
                    Next::Now => continue,
                    Next::After(pause) => pause,
                }
            }
            Err(trouble) => {
                exchange.link.drop_connection();
                let text = trouble.to_string();
                exchange.election.note_trustee(exchange.link.trustee, |view| {
                    view.reachable = false;
                    view.error = text;
                });
                let pause = backoff.next_delay();
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => return,
            _ = grown.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Exchange {
    async fn once(&mut self) -> Result<Next, LinkTrouble> {
        let (mut client, hello) = self.link.client().await?;
        if let Some(hello) = hello {
            self.election.note_trustee(self.link.trustee, |view| {
                view.build = hello.build;
                view.keystore = hello.keystore;
            });
        }
        // The first call only asks how far the trustee is: after a restart it has most of it.
        let (envelopes, total) = if self.asked_before {
            self.election.board_from(self.pushed, ENVELOPES_MAX, BYTES_MAX)
        } else {
            self.election.board_from(u64::MAX, 0, 0)
        };
        let count = envelopes.len() as u64;
        let manifest = if self.needs_manifest { self.election.manifest_bytes.clone() } else { Vec::new() };
        let request = ExchangeRequest {
            election_id: self.election.id.0.to_vec(),
            manifest,
            board_epoch: self.election.epoch,
            board_first: self.pushed,
            envelopes: envelopes.iter().map(|envelope| envelope.to_vec()).collect(),
            journal_from: self.taken,
            board_length: total,
        };
        let reply = in_time(client.exchange(request)).await?.into_inner();
        for refusal in &reply.refusals {
            tracing::debug!(
                trustee = self.link.trustee.0,
                position = refusal.position,
                reason = refusal.reason,
                "not taken"
            );
        }
        let was_asked = std::mem::replace(&mut self.asked_before, true);
        self.note(&reply);
        let knew_manifest = !self.needs_manifest;
        self.needs_manifest = reply.needs_manifest;
        if reply.needs_manifest {
            // Shown once and still wanted: it was refused. Not again before the tick.
            return Ok(if knew_manifest { Next::Now } else { Next::After(self.deps.tuning.exchange) });
        }
        let before = self.pushed;
        self.pushed = reply.board_next.min(total);
        let moved = self.pushed > before || count == 0;
        let journal = self.take_journal(&reply).await?;
        if reply.needs_roll {
            self.send_roll(&mut client).await?;
        }
        let more = journal || (self.pushed < total && moved) || !was_asked;
        if more {
            return Ok(Next::Now);
        }
        let wish = Duration::from_millis(reply.wake_after_ms.into());
        let tick = self.deps.tuning.exchange;
        if matches!(self.election.view().stage, Stage::Complete | Stage::Stopped) {
            return Ok(Next::After(FINISHED.max(tick)));
        }
        Ok(Next::After(if wish.is_zero() { tick } else { wish.clamp(PAUSE_MIN, tick) }))
    }

    fn note(&self, reply: &ExchangeReply) {
        self.election.note_trustee(self.link.trustee, |view| {
            view.reachable = true;
            view.error.clear();
            view.waiting.clone_from(&reply.waiting);
            view.followed.clone_from(&reply.followed);
        });
    }

    /// Takes what is new in the journal. Whether there was anything.
    async fn take_journal(&mut self, reply: &ExchangeReply) -> Result<bool, LinkTrouble> {
        let topic = format!("journal-{}", self.link.trustee);
        let name = self.election.manifest.trustee(self.link.trustee).map_or("", |entry| entry.name.as_str());
        if reply.journal_len < self.taken {
            let (had, have) = (self.taken, reply.journal_len);
            let text = format!("JOURNAL_ROLLBACK: {name} had {had} statements in its journal and now has {have}");
            self.election.troubles.set(topic, text);
            // From its beginning: what it repeats is known, what it contradicts is evidence.
            self.taken = 0;
            return Ok(true);
        }
        if reply.journal_first != self.taken || reply.envelopes.is_empty() {
            return Ok(false);
        }
        let mut envelopes = Vec::new();
        for bytes in &reply.envelopes {
            let readable = bytes.len() <= ENVELOPE_BYTES_MAX;
            match Envelope::from_bytes(if readable { bytes } else { &[] }) {
                Ok(envelope) => envelopes.push(envelope),
                Err(error) => {
                    self.election
                        .troubles
                        .set(topic.clone(), format!("{name} sent a statement that cannot be read: {error}"));
                    break;
                }
            }
        }
        let mut rest = envelopes;
        let mut handled = 0_u64;
        while !rest.is_empty() {
            let batch = rest.clone();
            let Ok(Ok(taken)) = self.actor.send(Post(batch)).await else {
                // Not stored: the same again, later.
                tokio::time::sleep(self.deps.tuning.exchange).await;
                break;
            };
            for (_, reason) in &taken.refusals {
                tracing::warn!(trustee = self.link.trustee.0, reason, "statement refused");
            }
            handled = handled.saturating_add(taken.handled as u64);
            rest.drain(..taken.handled.min(rest.len()));
            if taken.handled == 0 {
                break;
            }
        }
        self.taken = self.taken.saturating_add(handled);
        Ok(handled > 0)
    }

    async fn send_roll(&self, client: &mut TrusteeClient<Channel>) -> Result<(), LinkTrouble> {
        let Some(roll) = self.election.roll_bytes.get() else { return Ok(()) };
        for (chunk, number) in roll.chunks(ROLL_CHUNK).zip(0_u64..) {
            let request = RollChunk {
                election_id: self.election.id.0.to_vec(),
                offset: number.saturating_mul(ROLL_CHUNK as u64),
                bytes: chunk.to_vec(),
                total: roll.len() as u64,
            };
            let progress = in_time(client.put_roll(request)).await?.into_inner();
            if progress.complete {
                break;
            }
        }
        Ok(())
    }
}
