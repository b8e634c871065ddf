//! Exchange: what is new on the caller's board comes in, what is owed is done, what is new in the journal goes out.

use proto::v1::{ExchangeReply, ExchangeRequest, Refusal};
use protocol::encoding::{Canonical as _, Hash};
use protocol::evidence::Verdict;
use protocol::ids::{LaneIndex, TimeMs};
use protocol::signed::{ENVELOPE_BYTES_MAX, Envelope, Sender};

use super::{Cursor, Election, State, Whole, heavy};
use crate::refused::Refused;
use crate::store::durable;

/// Journal bytes of one reply.
const REPLY_BYTES_MAX: usize = 2 << 20;
/// What a trustee waits for that has just started.
pub(super) const NOT_CAUGHT_UP: &str = "the rest of the record, before it promises anything";
/// Refusals of one reply; the caller's log needs no more.
const REFUSALS_MAX: usize = 100;

impl Election {
    /// Takes the caller's envelopes, performs what is owed, and answers with the journal.
    ///
    /// # Errors
    /// A caller that is not a shard of this election.
    pub async fn exchange(
        &self,
        caller: &Hash,
        caller_name: &str,
        request: ExchangeRequest,
    ) -> Result<ExchangeReply, Refused> {
        self.authorise(caller, caller_name)?;
        let mut state = self.state.lock().await;
        let mut reply = ExchangeReply::default();
        let mut cursor = state.cursors.get(caller).copied().unwrap_or_default();
        if cursor.epoch != request.board_epoch {
            // A board that was made anew: everything on it may be new.
            cursor = Cursor { epoch: request.board_epoch, next: 0 };
        }
        if request.board_first <= cursor.next {
            // What overlaps is judged too: the caller's store may have gone back and grown again under the same epoch.
            let end = request.board_first.saturating_add(request.envelopes.len() as u64);
            let envelopes = (request.board_first..).zip(request.envelopes);
            self.take_in(&mut state, envelopes, &mut reply.refusals).await;
            cursor.next = cursor.next.max(end);
        }
        state.cursors.insert(*caller, cursor);
        // Who has just started may have an old folder, and have said on that board what it knows nothing of. (K06)
        state.caught_up |= cursor.next >= request.board_length;
        if state.caught_up {
            self.perform_duties(&mut state).await;
        }
        let State { keeper, watch, .. } = &mut *state;
        for broken in watch.look(keeper.board()) {
            self.broken(&mut state, Some(broken)).await;
        }

        let now = TimeMs(runtime::clock::now_ms());
        reply.board_next = cursor.next;
        reply.needs_roll = !state.keeper.has_roll();
        reply.journal_len = state.journal_len;
        reply.journal_first = request.journal_from.min(state.journal_len);
        if reply.journal_first < state.journal_len {
            reply.envelopes = durable(self.ground.store.journal(self.id, reply.journal_first, REPLY_BYTES_MAX).await);
        }
        reply.followed = (0..self.manifest.lanes).map(|lane| state.keeper.lane_size(LaneIndex(lane)).0).collect();
        reply.waiting = state.waiting(now);
        reply.wake_after_ms = state.keeper.wake_after_ms(now).unwrap_or(0);
        Ok(reply)
    }

    /// Judges each envelope, takes the good ones in, and journals them in one commit before anything follows.
    async fn take_in(
        &self,
        state: &mut State,
        envelopes: impl Iterator<Item = (u64, Vec<u8>)>,
        refusals: &mut Vec<Refusal>,
    ) {
        let whole = Whole;
        let mut rows = Vec::new();
        let mut faults = Vec::new();
        let mut stolen = None;
        heavy(|| {
            for (position, bytes) in envelopes {
                let mut refuse = |reason: String| {
                    if refusals.len() < REFUSALS_MAX {
                        refusals.push(Refusal { position, reason });
                    }
                };
                if bytes.len() > ENVELOPE_BYTES_MAX {
                    refuse(format!("an envelope has at most {ENVELOPE_BYTES_MAX} bytes"));
                    continue;
                }
                let envelope = match Envelope::from_bytes(&bytes) {
                    Ok(envelope) => envelope,
                    Err(error) => {
                        refuse(error.to_string());
                        continue;
                    }
                };
                let slot = envelope.slot();
                let board = state.keeper.board();
                // After a restart the whole board comes again: what is known to the last byte is not judged again.
                if board.get(slot.tag, slot.number, slot.topic, slot.sender) == Some(&envelope) {
                    continue;
                }
                match state.keeper.check(&envelope) {
                    Verdict::Valid(_) if slot.sender == Sender::Trustee(self.me) => {
                        refuse("signed by this trustee, but not in its journal".to_owned());
                        stolen.get_or_insert(envelope.body.name());
                    }
                    Verdict::Valid(checked) => {
                        state.keeper.absorb(checked);
                        rows.push((slot, bytes));
                    }
                    Verdict::Moot(protocol::evidence::Moot::Repeat) => {}
                    Verdict::Moot(moot) => refuse(moot.to_string()),
                    Verdict::Fault(evidence) => {
                        refuse(evidence.wrong.to_string());
                        faults.push(evidence);
                    }
                }
            }
        });
        let count = rows.len() as u64;
        if count > 0 {
            durable(self.ground.store.append(self.id, state.journal_len, rows).await);
            state.journal_len = state.journal_len.saturating_add(count);
        }
        drop(whole);
        for evidence in faults {
            self.take_evidence(state, evidence).await;
        }
        if let Some(kind) = stolen {
            // What was signed after the state on this disk is not known here: any further word could contradict it.
            let reason = format!(
                "STATE_ROLLBACK: the record has a {kind} message signed by this trustee that its journal lacks: the \
                 data folder was restored from a backup, or another daemon has the same keys"
            );
            self.halt(state, reason).await;
        }
    }
}

impl State {
    /// What this trustee waits for, in plain language.
    pub(super) fn waiting(&self, now: TimeMs) -> String {
        if let Some(reason) = &self.halted {
            return reason.clone();
        }
        if !self.caught_up {
            return NOT_CAUGHT_UP.to_owned();
        }
        if let Some(trouble) = &self.keystore_trouble {
            return format!("its keystore: {trouble}");
        }
        if let Some((lane, refused)) = self.refused_leaves.first_key_value() {
            return format!("another log: leaf {} of lane {lane} is refused: {}", refused.index, refused.why);
        }
        self.keeper.waiting(now)
    }
}
