//! From signed bytes to a final anchor that was read back.
//!
//! `sendTransaction`'s answer is not acceptance (a node without preflight answers a forged signature with
//! "sent"). What counts is the status of the signature, and in the end the transaction itself, byte for byte.

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use solana_client::{
    client_error::ClientErrorKind,
    rpc_request::{RpcError, RpcRequest, RpcResponseErrorData},
};

use super::{
    AnchorError, Ledger, Pace, Rpc,
    answers::{InContext, Landed as LandedAnswer, Stage, Status},
    printable,
};
use crate::{
    intent::{AnchorIntent, transaction},
    text::{address_text, signature_text},
};

/// One signature's fee.
const FEE_LAMPORTS: u64 = 5_000;
/// A node forgets what it could not place: the same bytes are sent again this often.
const SEND_AGAIN: Duration = Duration::from_secs(2);

/// A transaction that is final on the expected cluster, was read back, and is byte for byte what was signed.
/// There is no other way to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// Its signature: the transaction's name on the chain.
    pub signature: [u8; 64],
    /// The slot that holds it.
    pub slot: u64,
}

/// How far a submission is. Each is reported once, in this order; some may be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Handed to an RPC.
    Sent,
    /// In a block.
    Processed,
    /// Voted on by a majority of the cluster.
    Confirmed,
    /// Rooted: it stays.
    Finalized,
    /// Read back from every RPC and compared.
    ReadBack,
}

impl Ledger {
    /// Submits a signed intent and returns when it is final, read back and equal. Submitting the same again,
    /// after a crash or an error, is harmless: what has landed is found, and not sent a second time.
    ///
    /// # Errors
    /// See [`AnchorError`]; each says what to do.
    pub async fn submit_and_finalize(
        &self,
        intent: &AnchorIntent,
        signature: &[u8; 64],
        mut progress: impl FnMut(Progress),
    ) -> Result<Landed, AnchorError> {
        let message = intent.message()?;
        if !signed_by(intent.group(), &message, signature) {
            return Err(AnchorError::BadSignature { group: address_text(intent.group()) });
        }
        self.check_cluster().await?;
        let submission = Submission {
            ledger: self,
            intent,
            wire: transaction(&message, signature),
            signature: signature_text(signature),
            pace: Pace::start(self.deadlines.finalize, self.first.near),
        };
        let slot = submission.finalize(&mut progress).await?;
        progress(Progress::ReadBack);
        Ok(Landed { signature: *signature, slot })
    }

    /// Refuses if the group's address cannot pay for the intent.
    async fn check_funds(&self, intent: &AnchorIntent) -> Result<(), AnchorError> {
        let have = self.balance(intent.group()).await?;
        // An account that pays must keep the rent of an empty account, or the chain refuses.
        let mut need = FEE_LAMPORTS.saturating_add(self.rent(0).await?);
        if let AnchorIntent::CreateNonce { lamports, .. } = intent {
            need = need.saturating_add(*lamports);
        }
        if have < need {
            return Err(AnchorError::Unfunded { address: address_text(intent.group()), have, need });
        }
        Ok(())
    }

    /// The state of a transaction, also of one from long ago.
    async fn status(&self, signature: &str) -> Result<Option<Status>, AnchorError> {
        let params = json!([[signature], { "searchTransactionHistory": true }]);
        let answer: InContext<Vec<Option<Status>>> = self.first.call(RpcRequest::GetSignatureStatuses, params).await?;
        Ok(answer.value.into_iter().next().flatten())
    }

    /// Whether the transaction can never land any more, as its blockhash or nonce is out of use for good.
    async fn overtaken(&self, intent: &AnchorIntent) -> Result<Option<AnchorError>, AnchorError> {
        match intent {
            AnchorIntent::CreateNonce { recent_blockhash, .. } => {
                let params = json!([address_text(recent_blockhash), { "commitment": "confirmed" }]);
                let valid: InContext<bool> = self.first.call(RpcRequest::IsBlockhashValid, params).await?;
                Ok((!valid.value).then_some(AnchorError::BlockhashExpired))
            }
            AnchorIntent::Memo { group, nonce, .. } => {
                let account = intent.nonce_account()?;
                let confirmed = self.nonce_at(group, &account, "confirmed").await?;
                if confirmed == Some(*nonce) {
                    return Ok(None);
                }
                let Some(got) = confirmed else {
                    return Ok(Some(AnchorError::NotANonce {
                        address: address_text(&account),
                        authority: address_text(group),
                    }));
                };
                // Only a nonce that has moved on *for good* condemns the transaction.
                let rooted = self.nonce_at(group, &account, "finalized").await?;
                Ok((rooted == Some(got))
                    .then(|| AnchorError::NonceSpent { expected: address_text(nonce), got: address_text(&got) }))
            }
        }
    }
}

/// What a node says to a transaction that it does not refuse outright.
enum Answer {
    /// Passed on, or known already. Not more than a word.
    Taken,
    /// Blockhash or nonce not valid *here and now*: spent, or not seen yet by this node.
    OutOfUse,
}

struct Submission<'a> {
    ledger: &'a Ledger,
    intent: &'a AnchorIntent,
    wire: Vec<u8>,
    signature: String,
    pace: Pace,
}

impl Submission<'_> {
    async fn finalize(mut self, progress: &mut impl FnMut(Progress)) -> Result<u64, AnchorError> {
        let mut report = Report { last: None, progress };
        let slot = self.wait_final(&mut report).await?;
        report.reach(Progress::Finalized);
        for rpc in self.ledger.rpcs() {
            let got = read_back(rpc, &self.signature, &self.wire, &mut self.pace).await?;
            if got != slot {
                // The first RPC contradicting itself shows here, too.
                return Err(AnchorError::RpcsDisagree {
                    first: self.ledger.first.name.clone(),
                    second: rpc.name.clone(),
                    what: "the slot of the transaction",
                });
            }
        }
        Ok(slot)
    }

    async fn wait_final<F: FnMut(Progress)>(&mut self, report: &mut Report<'_, F>) -> Result<u64, AnchorError> {
        // Known already: an earlier attempt landed. Then nothing is sent, and nothing needs to be paid.
        let known = self.ledger.status(&self.signature).await?;
        if known.is_none() {
            self.ledger.check_funds(self.intent).await?;
        }
        let mut known = Some(known);
        let mut sent_at: Option<Instant> = None;
        let mut trouble = None;
        while self.pace.next().await {
            match self.step(known.take(), &mut sent_at, report).await {
                Ok(Some(slot)) => return Ok(slot),
                Ok(None) => trouble = None,
                // A node that is away for a moment may well have passed the bytes on before: keep asking.
                Err(error @ AnchorError::Unreachable { .. }) => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(trouble.unwrap_or_else(|| AnchorError::NotFinal {
            signature: self.signature.clone(),
            seconds: self.ledger.deadlines.finalize.as_secs(),
            seen: report.seen(),
        }))
    }

    /// Looks once; sends if nobody knows the transaction. Gives the slot if it is final.
    async fn step<F: FnMut(Progress)>(
        &self,
        known: Option<Option<Status>>,
        sent_at: &mut Option<Instant>,
        report: &mut Report<'_, F>,
    ) -> Result<Option<u64>, AnchorError> {
        let status = match known {
            Some(status) => status,
            None => self.ledger.status(&self.signature).await?,
        };
        if let Some(status) = status {
            return self.judge(&status, report);
        }
        if let Some(at) = *sent_at {
            if at.elapsed() < SEND_AGAIN {
                return Ok(None);
            }
            self.still_possible().await?;
        }
        *sent_at = Some(Instant::now());
        match self.send().await {
            Ok(Answer::Taken) => report.reach(Progress::Sent),
            Ok(Answer::OutOfUse) => self.still_possible().await?,
            // It may have landed in the meantime, and be refused for that.
            Err(refusal @ AnchorError::NotAccepted { .. }) => {
                if self.ledger.status(&self.signature).await?.is_none() {
                    return Err(refusal);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The slot, if the transaction is final; an error, if it has failed.
    fn judge<F: FnMut(Progress)>(
        &self,
        status: &Status,
        report: &mut Report<'_, F>,
    ) -> Result<Option<u64>, AnchorError> {
        let stage = status.confirmation_status.unwrap_or(Stage::Processed);
        match (&status.err, stage) {
            // A failure in a block that may still be dropped is no failure yet.
            (Some(_), Stage::Processed) => Ok(None),
            (Some(error), _) => Err(self.landed_with_error(status.slot, error)),
            (None, Stage::Finalized) => Ok(Some(status.slot)),
            (None, Stage::Confirmed) => {
                report.reach(Progress::Confirmed);
                Ok(None)
            }
            (None, Stage::Processed) => {
                report.reach(Progress::Processed);
                Ok(None)
            }
        }
    }

    fn landed_with_error(&self, slot: u64, error: &Value) -> AnchorError {
        let reason = printable(&error.to_string(), 300);
        AnchorError::LandedWithError { signature: self.signature.clone(), slot, reason }
    }

    /// Fails if blockhash or nonce is out of use and the transaction is still not known: asked in this order,
    /// so that one which has just landed is not taken for lost.
    async fn still_possible(&self) -> Result<(), AnchorError> {
        match self.ledger.overtaken(self.intent).await? {
            Some(verdict) if self.ledger.status(&self.signature).await?.is_none() => Err(verdict),
            _ => Ok(()),
        }
    }

    /// Hands the bytes over. An answer of "yes" means nothing; a "no" may mean "landed already" or "not yet".
    async fn send(&self) -> Result<Answer, AnchorError> {
        let rpc = &self.ledger.first;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.wire);
        let request = RpcRequest::SendTransaction;
        let params = json!([text, { "encoding": "base64", "preflightCommitment": "confirmed" }]);
        let Err(error) = rpc.client.send::<Value>(request, params).await else { return Ok(Answer::Taken) };
        let ClientErrorKind::RpcError(RpcError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(simulation),
            message,
            ..
        }) = error.kind()
        else {
            return Err(rpc.failure(request, &error));
        };
        let reason = simulation.err.as_ref().map_or_else(|| message.clone(), |error| format!("{error:?}"));
        if reason.contains("AlreadyProcessed") {
            return Ok(Answer::Taken);
        }
        if reason.contains("BlockhashNotFound") {
            return Ok(Answer::OutOfUse);
        }
        Err(AnchorError::NotAccepted { reason: printable(&reason, 300) })
    }
}

/// Reads a final transaction and compares every byte. Gives its slot.
async fn read_back(rpc: &Rpc, signature: &str, wire: &[u8], pace: &mut Pace) -> Result<u64, AnchorError> {
    loop {
        let trouble = match final_transaction(rpc, signature).await {
            Ok(Some(landed)) => {
                let mismatch =
                    |what| AnchorError::Mismatch { url: rpc.name.clone(), signature: signature.into(), what };
                if landed.wire().as_deref() != Some(wire) {
                    return Err(mismatch("the bytes"));
                }
                if landed.error().is_some() {
                    return Err(mismatch("success or failure"));
                }
                return Ok(landed.slot);
            }
            Ok(None) => None,
            Err(error @ AnchorError::Unreachable { .. }) => Some(error),
            Err(error) => return Err(error),
        };
        if !pace.next().await {
            return Err(
                trouble.unwrap_or_else(|| AnchorError::NotFound { url: rpc.name.clone(), signature: signature.into() })
            );
        }
    }
}

/// A final transaction by its signature, if the RPC's history has it (it can be half a minute late).
pub(super) async fn final_transaction(rpc: &Rpc, signature: &str) -> Result<Option<LandedAnswer>, AnchorError> {
    let options = json!({ "encoding": "base64", "commitment": "finalized", "maxSupportedTransactionVersion": 0 });
    rpc.call(RpcRequest::GetTransaction, json!([signature, options])).await
}

/// Strict Ed25519: no small-order key, no non-canonical encoding.
pub(super) fn signed_by(group: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    ed25519_dalek::VerifyingKey::from_bytes(group)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

/// Passes each step on once.
struct Report<'a, F> {
    last: Option<Progress>,
    progress: &'a mut F,
}

impl<F: FnMut(Progress)> Report<'_, F> {
    fn reach(&mut self, step: Progress) {
        if self.last.is_none_or(|last| (last as u8) < (step as u8)) {
            self.last = Some(step);
            (self.progress)(step);
        }
    }

    fn seen(&self) -> &'static str {
        match self.last {
            None => "not sent",
            Some(Progress::Sent) => "sent",
            Some(Progress::Processed) => "processed",
            Some(Progress::Confirmed) => "confirmed",
            Some(Progress::Finalized | Progress::ReadBack) => "finalized",
        }
    }
}
