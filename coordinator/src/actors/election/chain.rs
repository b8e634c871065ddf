//! The chair's errands on the chain. Nothing is lost by a failure: the same bytes are submitted again.

use actix::prelude::*;
use protocol::chair::Need;
use protocol::encoding::Bytes;
use protocol::ids::Attempt;
use protocol::signing::messages::{Anchored, Purpose};
use solana_anchor::Landed;

use super::ElectionActor;
use crate::ledger::{Verdict, intent_of, verdict};

/// Topic of troubles with the chain.
const LEDGER: &str = "ledger";

impl ElectionActor {
    /// Asks the chain for what the next request needs. One question at a time; after a failure, not at once.
    pub(super) fn fetch(&mut self, need: Need, ctx: &mut Context<Self>) {
        let Some(key) = self.board.key_certificate().map(|certificate| certificate.signing_key) else { return };
        if !self.notary.may_ask() {
            return;
        }
        let ledger = match self.notary.ledger() {
            Ok(ledger) => ledger,
            Err(text) => return self.election.troubles.set(LEDGER, text),
        };
        self.notary.asking = true;
        let seed = protocol::signing::nonce_seed(&self.election.id);
        let asking = self.deps.pool.handle().spawn(async move {
            match need {
                Need::Blockhash => ledger.blockhash().await,
                Need::Nonce => ledger.nonce(key, seed).await,
            }
        });
        ctx.spawn(asking.into_actor(self).map(|answer, act, ctx| {
            act.notary.asking = false;
            match answer {
                Ok(Ok(news)) => {
                    act.election.troubles.clear(LEDGER);
                    act.notary.hear(news);
                    act.perform_duties(ctx);
                }
                Ok(Err(error)) => {
                    act.notary.wait();
                    act.election.troubles.set(LEDGER, error.to_string());
                }
                Err(_) => drop(act.notary.wait()),
            }
        }));
    }

    /// Sends a signed transaction and waits until it is final and was read back.
    pub(super) fn submit(
        &mut self,
        purpose: Purpose,
        attempt: Attempt,
        message: Vec<u8>,
        signature: [u8; 64],
        ctx: &mut Context<Self>,
    ) {
        let intent = intent_of(&self.board, purpose, attempt);
        let Some(intent) = intent.filter(|intent| intent.message().as_ref() == Ok(&message)) else {
            tracing::error!(purpose = purpose.name(), attempt = attempt.0, "signed bytes are not the intent's");
            return self.chair.submission_failed(purpose, attempt);
        };
        let ledger = match self.notary.ledger() {
            Ok(ledger) => ledger,
            Err(text) => {
                self.election.troubles.set(LEDGER, text);
                return self.submit_later(purpose, attempt, ctx);
            }
        };
        tracing::info!(election = %self.election.id, purpose = purpose.name(), attempt = attempt.0, "submitting");
        let submitting = self.deps.pool.handle().spawn(async move { ledger.submit(intent, signature).await });
        ctx.spawn(submitting.into_actor(self).map(move |landed, act, ctx| match landed {
            Ok(Ok(landed)) => act.landed(purpose, attempt, message, landed, ctx),
            Ok(Err(error)) => match verdict(&error) {
                Verdict::NeverLands => {
                    tracing::info!(purpose = purpose.name(), attempt = attempt.0, %error, "signing again");
                    act.chair.submission_failed(purpose, attempt);
                    act.notary.forget();
                    act.perform_duties(ctx);
                }
                Verdict::TryAgain => {
                    act.election.troubles.set(LEDGER, error.to_string());
                    act.submit_later(purpose, attempt, ctx);
                }
            },
            Err(_) => act.submit_later(purpose, attempt, ctx),
        }));
    }

    fn submit_later(&mut self, purpose: Purpose, attempt: Attempt, ctx: &mut Context<Self>) {
        let pause = self.notary.wait();
        ctx.run_later(pause, move |act, ctx| {
            act.chair.submit_again(purpose, attempt);
            act.perform_duties(ctx);
        });
    }

    fn landed(
        &mut self,
        purpose: Purpose,
        attempt: Attempt,
        message: Vec<u8>,
        landed: Landed,
        ctx: &mut Context<Self>,
    ) {
        tracing::info!(election = %self.election.id, purpose = purpose.name(), slot = landed.slot, "anchored");
        self.election.troubles.clear(LEDGER);
        self.notary.forget();
        let Landed { signature, slot } = landed;
        self.outbox.push_back(Anchored { purpose, attempt, signature, slot, message: Bytes(message) }.into());
        self.perform_duties(ctx);
    }
}
