//! Doing what the keeper owes: seal, sign, journal, and only then let it be known.

use protocol::encoding::Canonical as _;
use protocol::evidence::Verdict;
use protocol::ids::TimeMs;
use protocol::keeper::Duty;
use protocol::signed::{Draft, Envelope, Sender};
use runtime::entropy::Stirred;

use super::{Election, State, Whole, heavy};
use crate::chain::Solana;
use crate::keystore::KeystoreError;
use crate::store::durable;

/// Times that the keeper is asked before the caller is answered; the next call goes on.
const PASSES_MAX: usize = 32;

impl Election {
    /// Performs duties until none is left, or the keystore is away: then the rest waits, unchanged. (K01)
    pub(super) async fn perform_duties(&self, state: &mut State) {
        for _ in 0..PASSES_MAX {
            if state.halted.is_some() {
                return;
            }
            if state.pending.is_empty() {
                let spice = match state.spice.take() {
                    Some(spice) => spice,
                    None => match self.ground.keystore.random().await {
                        Ok(spice) => spice,
                        Err(trouble) => return self.wait_for_keystore(state, &trouble),
                    },
                };
                let now = TimeMs(runtime::clock::now_ms());
                let (keeper, mut rng) = (&mut state.keeper, Stirred::new(&spice));
                state.pending = heavy(|| keeper.duties(now, &mut rng, &Solana)).into();
                if state.pending.is_empty() {
                    // What nobody used is good for the next time.
                    state.spice = (!rng.used()).then_some(spice);
                    return;
                }
            }
            if let Err(trouble) = self.perform_pending(state).await {
                return self.wait_for_keystore(state, &trouble);
            }
            state.keystore_trouble = None;
        }
        tracing::warn!(election = %self.id, passes = PASSES_MAX, "duties go on at the next call");
    }

    fn wait_for_keystore(&self, state: &mut State, trouble: &KeystoreError) {
        tracing::warn!(election = %self.id, %trouble, "the keystore is away: duties wait");
        state.keystore_trouble = Some(trouble.to_string());
    }

    async fn perform_pending(&self, state: &mut State) -> Result<(), KeystoreError> {
        while let Some(duty) = state.pending.front() {
            match duty {
                Duty::Seal { attempt, seed } => {
                    let context = state.keeper.seal_context(*attempt);
                    let sealed = self.ground.keystore.seal(&context, seed.secret_bytes()).await?;
                    durable(self.ground.store.put_seed(self.id, *attempt, sealed).await);
                    state.keeper.restore_seed(*attempt, seed);
                    state.pending.pop_front();
                }
                Duty::Post(_) => self.post(state).await?,
            }
        }
        Ok(())
    }

    /// Signs the messages at the head of the list, journals them in one commit, and then takes them in.
    async fn post(&self, state: &mut State) -> Result<(), KeystoreError> {
        let mut signed: Vec<Envelope> = Vec::new();
        let mut trouble = None;
        for duty in &state.pending {
            let Duty::Post(body) = duty else { break };
            let draft = Draft { election: self.id, sender: Sender::Trustee(self.me), body: body.clone() };
            match self.ground.keystore.sign_identity(&draft.message()).await {
                Ok(signature) => signed.push(draft.sign(signature)),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        let mut checked = Vec::new();
        for envelope in signed {
            // The board may have changed while the keystore was away: what it does not take any more is not said.
            match state.keeper.check(&envelope) {
                Verdict::Valid(envelope) => checked.push(envelope),
                Verdict::Moot(moot) => tracing::info!(election = %self.id, %moot, "a message of our own is moot"),
                Verdict::Fault(evidence) => {
                    self.take_evidence(state, evidence).await;
                    return Ok(());
                }
            }
            state.pending.pop_front();
        }
        let whole = Whole;
        let rows: Vec<_> =
            checked.iter().map(|checked| (checked.envelope().slot(), checked.envelope().to_bytes())).collect();
        let count = rows.len() as u64;
        if count > 0 {
            for checked in &checked {
                tracing::debug!(election = %self.id, kind = checked.envelope().body.name(), "posted");
            }
            durable(self.ground.store.append(self.id, state.journal_len, rows).await);
            state.journal_len = state.journal_len.saturating_add(count);
            let keeper = &mut state.keeper;
            heavy(|| checked.into_iter().for_each(|checked| keeper.absorb(checked)));
        }
        drop(whole);
        trouble.map_or(Ok(()), Err)
    }
}
