//! Joint signatures as the board shows them: what may be signed, and how far each attempt is. (P-SIG-1, P-ANC-1)

use super::{Board, Purpose};
use crate::{
    ceremony,
    encoding::Hash,
    evidence::Evidence,
    ids::{Attempt, TrusteeIndex},
    signed::{Body, Envelope, Sender, Slot},
    signing::{
        ATTEMPTS_MAX, Anchor, Progress, Session, content,
        messages::{Anchored, SignAbort, SignCommitment, SignRequest, SignShare},
        nonce_seed, verify_share,
    },
};
use alloc::{collections::BTreeMap, string::String, vec::Vec};

/// A transaction, decoded. The shells turn it into bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainIntent {
    /// Creation of the durable nonce account: base, payer and authority are all the group key.
    CreateNonce {
        /// The group key, which is the fee payer.
        group: [u8; 32],
        /// Seed of the account's address.
        seed: String,
        /// Rent.
        lamports: u64,
        /// A recent block hash.
        recent_blockhash: Hash,
    },
    /// A memo in a transaction with the durable nonce.
    Memo {
        /// The group key, which is fee payer and signer.
        group: [u8; 32],
        /// Seed of the nonce account's address.
        seed: String,
        /// The durable nonce's value.
        nonce: Hash,
        /// What is anchored.
        text: String,
    },
}

/// Builds the exact bytes of a transaction's message.
pub trait Transactions {
    /// `None` if the intent is outside the chain's limits.
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>>;
}

/// The most rent that trustees sign away, in lamports. The real rent is 1,447,680.
pub const LAMPORTS_MAX: u64 = 10_000_000;

/// Why a request's message is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignableRefusal {
    /// What it would anchor does not exist yet on this board.
    #[error("TX_NOT_EXPECTED: what this would sign is not certified here yet")]
    NotYet,
    /// Another set of signers than the purpose takes, or too few.
    #[error("TX_NOT_EXPECTED: the request names the wrong signers")]
    Signers,
    /// More rent than any nonce account needs.
    #[error("TX_NOT_EXPECTED: {got} lamports of rent; at most {LAMPORTS_MAX} are signed away")]
    Lamports {
        /// In the request.
        got: u64,
    },
    /// Parameters that this purpose does not have.
    #[error("TX_NOT_EXPECTED: the request has parameters that its purpose does not take")]
    Parameters,
    /// Over the chain's limits.
    #[error("TX_NOT_EXPECTED: no such transaction can be built")]
    Unbuildable,
}

impl SignableRefusal {
    /// Whether waiting cannot help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        *self != Self::NotYet
    }
}

/// What a request asks to sign, rebuilt from one's own board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signable {
    /// The exact bytes.
    pub message: Vec<u8>,
    /// What may never change between attempts of one purpose: the message without the chain's nonce.
    pub content: Hash,
}

/// One attempt at one joint signature.
#[derive(Debug, Clone)]
pub struct SigningView<'a> {
    /// What was asked.
    pub request: &'a SignRequest,
    /// By signer.
    pub commitments: BTreeMap<TrusteeIndex, &'a SignCommitment>,
    /// By signer.
    pub shares: BTreeMap<TrusteeIndex, &'a SignShare>,
    /// By signer.
    pub aborts: BTreeMap<TrusteeIndex, &'a SignAbort>,
}

impl SigningView<'_> {
    /// Who has not done what the attempt waits for now.
    #[must_use]
    pub fn missing(&self) -> Vec<TrusteeIndex> {
        let lacks = |there: &dyn Fn(&TrusteeIndex) -> bool| -> Vec<TrusteeIndex> {
            self.request.signers.iter().filter(|signer| !there(signer)).copied().collect()
        };
        let missing = lacks(&|signer| self.commitments.contains_key(signer));
        if missing.is_empty() { lacks(&|signer| self.shares.contains_key(signer)) } else { missing }
    }
}

impl Board {
    /// The newest request for a purpose of those that follow on each other from attempt 1: who held the shard's key before
    /// cannot use attempts up by asking for the last.
    #[must_use]
    pub fn newest_request(&self, purpose: Purpose) -> Option<&SignRequest> {
        let home = Sender::Shard(self.manifest.home);
        let asked = (1..=ATTEMPTS_MAX).map_while(|attempt| {
            match &self.get(50, attempt, u16::from(purpose.tag()), home)?.body {
                Body::SignRequest(request) => Some(request),
                _ => None,
            }
        });
        asked.last()
    }

    /// One attempt.
    #[must_use]
    pub fn signing(&self, purpose: Purpose, attempt: Attempt) -> Option<SigningView<'_>> {
        let topic = u16::from(purpose.tag());
        let Body::SignRequest(request) = &self.get(50, attempt.0, topic, Sender::Shard(self.manifest.home))?.body
        else {
            return None;
        };
        let mut view =
            SigningView { request, commitments: BTreeMap::new(), shares: BTreeMap::new(), aborts: BTreeMap::new() };
        for signer in &request.signers {
            let sender = Sender::Trustee(*signer);
            if let Some(Body::SignCommitment(body)) = self.get(51, attempt.0, topic, sender).map(|e| &e.body) {
                view.commitments.insert(*signer, body);
            }
            if let Some(Body::SignShare(body)) = self.get(52, attempt.0, topic, sender).map(|e| &e.body) {
                view.shares.insert(*signer, body);
            }
            if let Some(Body::SignAbort(body)) = self.get(53, attempt.0, topic, sender).map(|e| &e.body) {
                view.aborts.insert(*signer, body);
            }
        }
        Some(view)
    }

    /// The bytes that a request asks to sign, rebuilt from this board alone: no blind signing. (P-SIG-1)
    ///
    /// # Errors
    /// [`SignableRefusal`].
    pub fn signable(&self, request: &SignRequest, tx: &dyn Transactions) -> Result<Signable, SignableRefusal> {
        let key = self.key.as_ref().ok_or(SignableRefusal::NotYet)?;
        let n = self.manifest.n();
        let ascending = request.signers.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let known = request.signers.iter().all(|index| (1..=n).contains(&index.0));
        let wanted = if request.purpose == Purpose::Rehearsal { n } else { self.manifest.quorums.s };
        if !ascending || !known || request.signers.len() != usize::from(wanted) {
            return Err(SignableRefusal::Signers);
        }
        if request.purpose != Purpose::CreateNonce && request.lamports != 0 {
            return Err(SignableRefusal::Parameters);
        }
        if request.purpose == Purpose::Rehearsal {
            if request.nonce != [0; 32] {
                return Err(SignableRefusal::Parameters);
            }
            let message = ceremony::rehearsal_statement(key);
            let content = content(&self.election, request.purpose, &message);
            return Ok(Signable { message, content });
        }
        if !self.rehearsed() {
            return Err(SignableRefusal::NotYet);
        }
        let group = key.signing_key;
        let seed = nonce_seed(&self.election);
        let (intent, fixed) = match request.purpose {
            Purpose::CreateNonce if request.lamports > LAMPORTS_MAX && !bug!(RentUnbounded) => {
                return Err(SignableRefusal::Lamports { got: request.lamports });
            }
            Purpose::CreateNonce => {
                let fixed = seed.clone();
                let (lamports, recent_blockhash) = (request.lamports, request.nonce);
                (ChainIntent::CreateNonce { group, seed, lamports, recent_blockhash }, fixed)
            }
            purpose => {
                let text = self.memo(purpose).ok_or(SignableRefusal::NotYet)?;
                let fixed = text.clone();
                (ChainIntent::Memo { group, seed, nonce: request.nonce, text }, fixed)
            }
        };
        let message = tx.message(&intent).ok_or(SignableRefusal::Unbuildable)?;
        Ok(Signable { message, content: content(&self.election, request.purpose, fixed.as_bytes()) })
    }

    /// What a purpose anchors, once it is certified here. (P-ANC-1)
    #[must_use]
    pub fn memo(&self, purpose: Purpose) -> Option<String> {
        let election = self.election;
        let anchor = match purpose {
            Purpose::AnchorKey => Anchor::Key { election, certificate: self.key_digest? },
            Purpose::AnchorVoteSet => {
                let proposed = || if bug!(UncertifiedAnchored) { self.votes.any_value() } else { None };
                Anchor::VoteSet { election, vote_set: self.vote_set().or_else(proposed)? }
            }
            Purpose::AnchorResult => {
                Anchor::Result { election, vote_set: self.vote_set()?, result: self.result()?.digest() }
            }
            Purpose::Rehearsal | Purpose::CreateNonce => return None,
        };
        Some(anchor.text())
    }

    /// What the home shard says of an anchor.
    #[must_use]
    pub fn anchored(&self, purpose: Purpose) -> Option<&Anchored> {
        match &self.get(54, 0, purpose.tag().into(), Sender::Shard(self.manifest.home))?.body {
            Body::Anchored(anchored) => Some(anchored),
            _ => None,
        }
    }

    /// Checks the signature shares of attempts that another one has followed, and takes note of the wrong ones with their
    /// packages. Whether anything was found. (P-SIG-6.2)
    ///
    /// Cost: some 0.2 ms for each such share, once.
    pub fn judge_shares(&mut self, tx: &dyn Transactions) -> bool {
        let followed =
            |slot: &Slot| self.has(50, slot.number.saturating_add(1), slot.topic, Sender::Shard(self.manifest.home));
        let new = self.of_kind(52).map(Envelope::slot);
        let new = new.filter(|slot| !self.shares_judged.contains(slot) && followed(slot));
        let judged: Vec<(Slot, Option<Evidence>)> =
            new.filter_map(|slot| self.judge_share(slot, tx).map(|found| (slot, found))).collect();
        let mut found = false;
        for (slot, evidence) in judged {
            self.shares_judged.insert(slot);
            found |= evidence.is_some_and(|evidence| self.record_evidence(evidence));
        }
        found
    }

    /// `None` while something is missing that the share answers to.
    fn judge_share(&self, slot: Slot, tx: &dyn Transactions) -> Option<Option<Evidence>> {
        let envelope = self.slots.get(&slot)?;
        let (Sender::Trustee(from), Body::SignShare(share)) = (envelope.sender, &envelope.body) else { return None };
        let keys = self.signing_keys.as_ref()?;
        let view = self.signing(share.purpose, share.attempt)?;
        if !view.request.signers.contains(&from) {
            return Some(None);
        }
        if view.commitments.len() < view.request.signers.len() {
            return None;
        }
        let message = match self.signable(view.request, tx) {
            Ok(signable) => signable.message,
            Err(refusal) if refusal.is_final() => return Some(None),
            Err(_) => return None,
        };
        let Err(refusal) = verify_share(keys, from, &message, &view.commitments, share) else { return Some(None) };
        let Some(wrong) = refusal.wrong() else { return Some(None) };
        let place = |tag, sender| Slot { tag, sender, ..slot };
        let request = place(50, Sender::Shard(self.manifest.home));
        let committed = view.request.signers.iter().map(|signer| place(51, Sender::Trustee(*signer)));
        let answered = core::iter::once(request).chain(committed).filter_map(|slot| self.slots.get(&slot).cloned());
        let envelopes = core::iter::once(envelope.clone()).chain(answered).collect();
        Some(Some(Evidence { accused: envelope.sender, wrong, envelopes }))
    }

    /// How far an attempt is, for a message that was rebuilt with [`Board::signable`].
    #[must_use]
    pub fn progress(&self, purpose: Purpose, attempt: Attempt, message: &[u8]) -> Option<Progress> {
        let view = self.signing(purpose, attempt)?;
        let keys = self.signing_keys.as_ref()?;
        let session = Session { keys, request: view.request, message };
        Some(session.progress(&view.commitments, &view.shares, &view.aborts))
    }

    /// The joint signature of the rehearsal statement, in which every trustee's share took part.
    #[must_use]
    pub fn rehearsal_signature(&self) -> Option<[u8; 64]> {
        self.rehearsal_signature
    }

    /// Looks for it on the board: the first attempt that everybody has answered rightly, also where a later one was asked
    /// for in the meantime, so that the order of arrival makes no difference. (P-BRD-2)
    pub(super) fn find_rehearsal_signature(&mut self) -> Option<[u8; 64]> {
        let message = ceremony::rehearsal_statement(self.key.as_ref()?);
        let newest = self.newest_request(Purpose::Rehearsal)?.attempt;
        for attempt in (1..=newest.0).map(Attempt) {
            // Before everybody has answered there is nothing to add up, and looking costs curve arithmetic. Once all slots are
            // filled, what was no signature will be none: a liar that spoils every attempt costs each a single look.
            let answered = |view: &SigningView<'_>| view.shares.len() == view.request.signers.len();
            if self.rehearsals_failed.contains(&attempt)
                || !self.signing(Purpose::Rehearsal, attempt).is_some_and(|view| answered(&view))
            {
                continue;
            }
            match self.progress(Purpose::Rehearsal, attempt, &message) {
                Some(Progress::Signed(signature)) => return Some(signature),
                Some(Progress::Failed { .. }) => {
                    self.rehearsals_failed.insert(attempt);
                }
                _ => {}
            }
        }
        None
    }
}
