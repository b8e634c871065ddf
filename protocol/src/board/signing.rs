//! Joint signatures as the board shows them: what may be signed, and how far each attempt is. (P-SIG-1, P-ANC-1)

use super::{BTreeMap, BTreeSet, Board, Hash, Purpose, String, TrusteeIndex, Vec};
use crate::{
    ceremony,
    ids::Attempt,
    signed::{Body, Sender},
    signing::{
        self, Progress, anchor_text,
        messages::{Anchored, SignCommitment, SignRequest, SignShare},
        nonce_seed,
    },
};

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

/// One attempt at one joint signature.
#[derive(Debug, Clone)]
pub struct SigningView<'a> {
    /// What was asked.
    pub request: &'a SignRequest,
    /// By signer.
    pub commitments: BTreeMap<TrusteeIndex, &'a SignCommitment>,
    /// By signer.
    pub shares: BTreeMap<TrusteeIndex, &'a SignShare>,
    /// Who gave up.
    pub aborts: BTreeSet<TrusteeIndex>,
}

impl SigningView<'_> {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        signing::progress(&self.request.signers, &self.commitments, &self.shares, &self.aborts)
    }
}

impl Board {
    /// The newest request for a purpose.
    #[must_use]
    pub fn newest_request(&self, purpose: Purpose) -> Option<&SignRequest> {
        let newest = self.of_kind(50).filter_map(|envelope| match &envelope.body {
            Body::SignRequest(request) if request.purpose == purpose => Some(request),
            _ => None,
        });
        newest.max_by_key(|request| request.attempt)
    }

    /// One attempt.
    #[must_use]
    pub fn signing(&self, purpose: Purpose, attempt: Attempt) -> Option<SigningView<'_>> {
        let topic = u16::from(purpose.tag());
        let Body::SignRequest(request) = &self.get(50, attempt.0, topic, Sender::Shard(self.manifest.home))?.body else {
            return None;
        };
        let mut view = SigningView {
            request,
            commitments: BTreeMap::new(),
            shares: BTreeMap::new(),
            aborts: BTreeSet::new(),
        };
        for signer in &request.signers {
            let sender = Sender::Trustee(*signer);
            if let Some(Body::SignCommitment(body)) = self.get(51, attempt.0, topic, sender).map(|e| &e.body) {
                view.commitments.insert(*signer, body);
            }
            if let Some(Body::SignShare(body)) = self.get(52, attempt.0, topic, sender).map(|e| &e.body) {
                view.shares.insert(*signer, body);
            }
            if self.has(53, attempt.0, topic, sender) {
                view.aborts.insert(*signer);
            }
        }
        Some(view)
    }

    /// The bytes that a request asks to sign, rebuilt from this board alone: no blind signing. (P-SIG-1)
    ///
    /// # Errors
    /// [`SignableRefusal`].
    pub fn signable(
        &self,
        request: &SignRequest,
        tx: &dyn super::Transactions,
    ) -> Result<Vec<u8>, SignableRefusal> {
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
            return Ok(ceremony::rehearsal_statement(key));
        }
        if !self.rehearsed() {
            return Err(SignableRefusal::NotYet);
        }
        let group = key.signing_key;
        let seed = nonce_seed(&self.election);
        let intent = match request.purpose {
            Purpose::CreateNonce if request.lamports > LAMPORTS_MAX => {
                return Err(SignableRefusal::Lamports { got: request.lamports });
            }
            Purpose::CreateNonce => {
                ChainIntent::CreateNonce { group, seed, lamports: request.lamports, recent_blockhash: request.nonce }
            }
            purpose => {
                let text = self.memo(purpose).ok_or(SignableRefusal::NotYet)?;
                ChainIntent::Memo { group, seed, nonce: request.nonce, text }
            }
        };
        tx.message(&intent).ok_or(SignableRefusal::Unbuildable)
    }

    /// What a purpose anchors, once it is certified here. (P-ANC-1)
    #[must_use]
    pub fn memo(&self, purpose: Purpose) -> Option<String> {
        let digests: Vec<Hash> = match purpose {
            Purpose::AnchorKey => alloc::vec![self.key.as_ref()?.digest()],
            Purpose::AnchorVoteSet => alloc::vec![self.vote_set()?],
            Purpose::AnchorResult => alloc::vec![self.vote_set()?, self.result()?.digest()],
            Purpose::Rehearsal | Purpose::CreateNonce => return None,
        };
        anchor_text(purpose, &self.election, &digests)
    }

    /// What the home shard says of an anchor.
    #[must_use]
    pub fn anchored(&self, purpose: Purpose) -> Option<&Anchored> {
        match &self.get(54, 0, purpose.tag().into(), Sender::Shard(self.manifest.home))?.body {
            Body::Anchored(anchored) => Some(anchored),
            _ => None,
        }
    }

    /// The joint signature of an attempt, if all its shares are there and sound.
    ///
    /// # Errors
    /// Whose shares are not sound.
    pub fn joint_signature(
        &self,
        purpose: Purpose,
        attempt: Attempt,
        message: &[u8],
    ) -> Option<Result<[u8; 64], signing::AggregateRefusal>> {
        let view = self.signing(purpose, attempt)?;
        if !matches!(view.progress(), Progress::Complete) {
            return None;
        }
        let key = self.key.as_ref()?;
        Some(signing::aggregate(message, &view.commitments, &view.shares, &key.signing_key, &key.signing_shares))
    }

    /// The joint signature of the rehearsal statement: every trustee's share took part.
    #[must_use]
    pub fn rehearsal_signature(&self) -> Option<[u8; 64]> {
        let key = self.key.as_ref()?;
        let message = ceremony::rehearsal_statement(key);
        let requests = self.of_kind(50).filter_map(|envelope| match &envelope.body {
            Body::SignRequest(request) if request.purpose == Purpose::Rehearsal => Some(request.attempt),
            _ => None,
        });
        requests.into_iter().find_map(|attempt| self.joint_signature(Purpose::Rehearsal, attempt, &message)?.ok())
    }
}
