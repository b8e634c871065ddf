//! A trustee's side of joint signatures. (P-SIG)
//!
//! Nothing is signed but what this trustee derives itself: the request names a purpose, a chain nonce and who signs;
//! the message is rebuilt from the certified board. One content per purpose, attempts ascending, a nonce answered once.

use super::{Body, BTreeMap, CryptoRngCore, Keeper, Purpose, String, ToString as _, Transactions, Vec};
use crate::{
    ids::TrusteeIndex,
    signing::{
        self,
        messages::{SignAbort, SignCommitment, SignRequest},
    },
};

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
            || view.aborts.contains(&self.me)
            || self.board.anchored(purpose).is_some()
        {
            return None;
        }
        let abort = |reason: String| Some(SignAbort { purpose, attempt, reason }.into());
        let message = match self.board.signable(request, tx) {
            Ok(message) => message,
            Err(refusal) if refusal.is_final() => return abort(refusal.to_string()),
            Err(_) => return None,
        };
        let committed: Option<SignCommitment> = view.commitments.get(&self.me).map(|own| (*own).clone());
        let commitments: BTreeMap<TrusteeIndex, SignCommitment> =
            view.commitments.iter().map(|(index, commitment)| (*index, (*commitment).clone())).collect();
        let complete = request.signers.iter().all(|signer| commitments.contains_key(signer));
        let shares = self.shares.as_ref()?;

        if committed.is_none() {
            let (nonce, commitment) = signing::commit(shares.signing(), purpose, attempt, rng);
            self.nonces.insert((purpose, attempt), nonce);
            return Some(commitment.into());
        }
        // Answered a commitment already, and the nonce is not in RAM: a restart has burned it. (S01)
        if !self.nonces.contains_key(&(purpose, attempt)) {
            return abort("the nonce was burned by a restart".to_string());
        }
        if !complete {
            return None;
        }
        let nonce = self.nonces.remove(&(purpose, attempt))?;
        match signing::sign(nonce, shares.signing(), purpose, attempt, &message, &commitments) {
            Ok(share) => Some(share.into()),
            Err(refusal) => abort(refusal.to_string()),
        }
    }
}

