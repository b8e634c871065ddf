//! A trustee's side of joint signatures. (P-SIG)
//!
//! Nothing is signed but what this trustee derives itself: the request names a purpose, a chain nonce and who signs;
//! the message is rebuilt from the certified board. One content per purpose, attempts ascending, a nonce answered once.

use super::{Body, Keeper, Purpose};
use crate::{
    board::Transactions,
    signing::{
        self, SignerLocks,
        messages::{SignAbort, SignRequest},
    },
};
use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
    vec::Vec,
};
use rand_core::CryptoRngCore;

/// The same for the same request, whatever else happened; or the same for all attempts.
#[cfg(feature = "bugs")]
fn repeated_entropy(request: &SignRequest) -> rand_chacha::ChaCha20Rng {
    let attempt = if bug!(NonceRepeats) { 0 } else { request.attempt.0 };
    rand_core::SeedableRng::seed_from_u64(u64::from(attempt) << 8 | u64::from(request.purpose.tag()))
}

impl Keeper {
    /// Commitments, shares and aborts that are owed.
    pub(super) fn signing_duties(&mut self, rng: &mut dyn CryptoRngCore, tx: &dyn Transactions) -> Vec<Body> {
        let mut out = Vec::new();
        for purpose in Purpose::ALL {
            // Only the newest attempt is answered; an older one is dead.
            let Some(request) = self.board.newest_request(purpose).cloned() else { continue };
            self.nonces.retain(|(of, attempt), _| *of != purpose || *attempt >= request.attempt);
            out.extend(self.signing_duty(&request, rng, tx));
        }
        out
    }

    /// This trustee's promises, folded from its own statements on the board. (P-SIG-5)
    fn locks(&self, content: [u8; 32], purpose: Purpose) -> SignerLocks {
        let mut locks = SignerLocks::new();
        for body in self.board.said_by(self.me) {
            match body {
                Body::SignCommitment(body) if body.purpose == purpose => {
                    let own = self.contents.get(&purpose).copied().unwrap_or(content);
                    locks.committed(body, own);
                }
                Body::SignShare(body) if body.purpose == purpose => locks.answered(body),
                Body::SignAbort(body) if body.purpose == purpose => locks.aborted(body),
                _ => {}
            }
        }
        locks
    }

    fn signing_duty(
        &mut self,
        request: &SignRequest,
        rng: &mut dyn CryptoRngCore,
        tx: &dyn Transactions,
    ) -> Option<Body> {
        let (purpose, attempt) = (request.purpose, request.attempt);
        let view = self.board.signing(purpose, attempt)?;
        if !request.signers.contains(&self.me)
            || view.shares.contains_key(&self.me)
            || view.aborts.contains_key(&self.me)
            || self.board.anchored(purpose).is_some()
        {
            return None;
        }
        let abort = |reason: String| Some(SignAbort { purpose, attempt, reason }.into());
        let signable = match self.board.signable(request, tx) {
            Ok(signable) => signable,
            Err(refusal) if refusal.is_final() => return abort(refusal.to_string()),
            Err(_) => return None,
        };
        let shares = self.shares.as_ref()?;
        let locks = self.locks(signable.content, purpose);

        #[cfg(feature = "bugs")]
        let (mut repeated, content) = (repeated_entropy(request), signable.content);
        #[cfg(feature = "bugs")]
        let rng: &mut dyn CryptoRngCore =
            if bug!(NonceRepeats) || bug!(NonceSurvivesRestart) { &mut repeated } else { rng };
        #[cfg(feature = "bugs")]
        if bug!(NonceSurvivesRestart) && view.commitments.contains_key(&self.me) {
            let permit = SignerLocks::new().commit_permit(self.me, request, content).ok()?;
            let (nonce, _) = signing::commit(&shares.signing, permit, rng).ok()?;
            self.nonces.entry((purpose, attempt)).or_insert(nonce);
        }
        if !view.commitments.contains_key(&self.me) {
            let permit = match locks.commit_permit(self.me, request, signable.content) {
                Ok(permit) => permit,
                Err(refusal) => return abort(refusal.to_string()),
            };
            let (nonce, commitment) = signing::commit(&shares.signing, permit, rng).ok()?;
            self.nonces.insert((purpose, attempt), nonce);
            self.contents.entry(purpose).or_insert(signable.content);
            return Some(commitment.into());
        }
        // Committed, and the nonce is not in RAM: a restart has burned it. (S01)
        if !self.nonces.contains_key(&(purpose, attempt)) {
            return abort("the nonce was burned by a restart".to_string());
        }
        if !request.signers.iter().all(|signer| view.commitments.contains_key(signer)) {
            return None;
        }
        let commitments: BTreeMap<_, _> = view.commitments.clone();
        let nonce = self.nonces.remove(&(purpose, attempt))?;
        let share =
            locks.sign_permit(&nonce, signable.content).map_err(|refusal| refusal.to_string()).and_then(|permit| {
                signing::sign(nonce, permit, &shares.signing, request, &signable.message, &commitments)
                    .map_err(|refusal| refusal.to_string())
            });
        match share {
            Ok(share) => Some(share.into()),
            Err(reason) => abort(reason),
        }
    }
}
