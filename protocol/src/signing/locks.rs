//! What a signer must never do twice. (P-SIG-5)
//!
//! Everything here can be rebuilt from the signer's own journal: the same three calls that record what was done fold the
//! journal after a restart. Nonces cannot, and that is the point: an attempt that was committed to and neither answered nor
//! aborted has lost its nonce, and is [`SignerLocks::burned`].

use super::{
    ATTEMPTS_MAX, SigningNonce,
    messages::{Purpose, SignAbort, SignCommitment, SignRequest, SignShare},
};
use crate::{
    encoding::{Hash, Writer, digest, label},
    ids::{Attempt, ElectionId, TrusteeIndex},
};
use alloc::{collections::BTreeMap, vec::Vec};

/// Identity of what is signed for a purpose, without the chain's nonce: what may never change between attempts.
/// (P-SIG-1)
#[must_use]
pub fn content(election: &ElectionId, purpose: Purpose, intent: &[u8]) -> Hash {
    let mut out = Writer::new();
    out.value(election).value(&purpose).bytes(intent);
    digest(label::SIGNING_CONTENT, out.as_bytes())
}

/// Leave to commit once: only [`SignerLocks::commit_permit`] gives it, only [`super::commit`] takes it.
#[derive(Debug)]
#[must_use = "a permit that is not used means nothing"]
pub struct CommitPermit {
    purpose: Purpose,
    attempt: Attempt,
}

impl CommitPermit {
    pub(super) fn spend(self) -> (Purpose, Attempt) {
        (self.purpose, self.attempt)
    }
}

/// Leave to answer once: only [`SignerLocks::sign_permit`] gives it, only [`super::sign`] takes it.
#[derive(Debug)]
#[must_use = "a permit that is not used means nothing"]
pub struct SignPermit {
    purpose: Purpose,
    attempt: Attempt,
}

impl SignPermit {
    pub(super) fn spend(self) -> (Purpose, Attempt) {
        (self.purpose, self.attempt)
    }
}

/// Why a signer refuses. None of these is an error of the signer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockRefusal {
    /// Not among the request's signers, or these are not strictly ascending.
    #[error("this trustee is not one of the requested signers")]
    NotASigner,
    /// Attempt 0, or over the bound.
    #[error("attempt {got} is not between 1 and {ATTEMPTS_MAX}")]
    AttemptBound {
        /// In the request.
        got: Attempt,
    },
    /// Another content was signed, or committed to, for this purpose before.
    #[error("another content was taken on for the purpose {} before: at most one is ever signed", purpose.name())]
    OtherContent {
        /// What for.
        purpose: Purpose,
        /// Taken on.
        expected: Hash,
        /// Asked for now.
        got: Hash,
    },
    /// Attempts must ascend.
    #[error("attempt {got} is not after attempt {last}, which was begun before")]
    AttemptNotAscending {
        /// Begun last.
        last: Attempt,
        /// Asked for now.
        got: Attempt,
    },
    /// No commitment for this attempt is on the journal, or a later attempt was begun.
    #[error("attempt {got} is not the one that was committed to last")]
    NotCommitted {
        /// Asked for now.
        got: Attempt,
    },
    /// The nonce is used up: answered, or burned by an abort.
    #[error("the nonce of attempt {got} was used or burned already")]
    NonceConsumed {
        /// Asked for now.
        got: Attempt,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lock {
    content: Hash,
    attempt: Attempt,
    open: bool,
}

/// One signer's promises: one content per purpose for ever, attempts strictly ascending, a nonce answered once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignerLocks {
    purposes: BTreeMap<Purpose, Lock>,
}

impl SignerLocks {
    /// Nothing promised yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The own commitment is on the journal. `content` is what was locked with it: journalled beside it, or computed again
    /// from the same certified data.
    ///
    /// Folding a journal that this type has guarded never meets a second content; if it does, the first one stays.
    pub fn committed(&mut self, commitment: &SignCommitment, content: Hash) {
        let SignCommitment { purpose, attempt, .. } = *commitment;
        let lock = self.purposes.entry(purpose).or_insert(Lock { content, attempt, open: true });
        if attempt > lock.attempt {
            *lock = Lock { attempt, open: true, ..*lock };
        }
    }

    /// The own share is on the journal.
    pub fn answered(&mut self, share: &SignShare) {
        self.close(share.purpose, share.attempt);
    }

    /// The own abort is on the journal.
    pub fn aborted(&mut self, abort: &SignAbort) {
        self.close(abort.purpose, abort.attempt);
    }

    /// Whether this signer may commit to a request whose content it has computed itself. (P-SIG-5.1)
    ///
    /// # Errors
    /// [`LockRefusal`].
    pub fn commit_permit(
        &self,
        own: TrusteeIndex,
        request: &SignRequest,
        content: Hash,
    ) -> Result<CommitPermit, LockRefusal> {
        let SignRequest { purpose, attempt, .. } = *request;
        let ascending = request.signers.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !ascending || !request.signers.contains(&own) {
            return Err(LockRefusal::NotASigner);
        }
        if attempt.0 == 0 || attempt.0 > ATTEMPTS_MAX {
            return Err(LockRefusal::AttemptBound { got: attempt });
        }
        if let Some(lock) = self.purposes.get(&purpose) {
            if lock.content != content && !bug!(OtherContentSigned) {
                return Err(LockRefusal::OtherContent { purpose, expected: lock.content, got: content });
            }
            if attempt <= lock.attempt {
                return Err(LockRefusal::AttemptNotAscending { last: lock.attempt, got: attempt });
            }
        }
        Ok(CommitPermit { purpose, attempt })
    }

    /// Whether this signer may answer with this nonce. (P-SIG-5.2)
    ///
    /// # Errors
    /// [`LockRefusal`].
    pub fn sign_permit(&self, nonce: &SigningNonce, content: Hash) -> Result<SignPermit, LockRefusal> {
        let (purpose, attempt) = (nonce.purpose(), nonce.attempt());
        let not_committed = LockRefusal::NotCommitted { got: attempt };
        let lock = self.purposes.get(&purpose).ok_or(not_committed)?;
        if lock.content != content && !bug!(OtherContentSigned) {
            return Err(LockRefusal::OtherContent { purpose, expected: lock.content, got: content });
        }
        if lock.attempt != attempt {
            return Err(not_committed);
        }
        if !lock.open && !bug!(ShareTwice) {
            return Err(LockRefusal::NonceConsumed { got: attempt });
        }
        Ok(SignPermit { purpose, attempt })
    }

    /// Attempts that were committed to and neither answered nor aborted. After a restart their nonces are gone: each must be
    /// aborted, and never committed to again. (P-SIG-5.3)
    #[must_use]
    pub fn burned(&self) -> Vec<(Purpose, Attempt)> {
        self.purposes.iter().filter(|(_, lock)| lock.open).map(|(purpose, lock)| (*purpose, lock.attempt)).collect()
    }

    fn close(&mut self, purpose: Purpose, attempt: Attempt) {
        if let Some(lock) = self.purposes.get_mut(&purpose).filter(|lock| lock.attempt == attempt) {
            lock.open = false;
        }
    }
}
