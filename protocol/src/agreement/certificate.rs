//! The vote-set certificate, and what follows from two of them. (P-AGR-4, P-AGR-7)

use super::messages::{Precommit, VoteSet, Vouch};
use crate::{
    encoding::{Hash, message},
    evidence::{Evidence, Wrong},
    ids::{ElectionId, IdentityKey, Round, TrusteeIndex},
    manifest::Manifest,
    signed::{Body, Draft, Envelope, Sender, verify_identity},
};
use alloc::{vec, vec::Vec};

message! {
    /// `q` trustees have precommitted one vote set in one round. Portable: [`VoteSetCertificate::verify`].
    VoteSetCertificate {
        /// Round.
        round: Round,
        /// What was agreed on.
        value: VoteSet,
        /// The precommits, by strictly ascending trustee.
        vouches: Vec<Vouch>,
    }
}

/// Why a certificate certifies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// Too few trustees.
    #[error("{got} trustees signed, {expected} are needed")]
    TooFew {
        /// The quorum.
        expected: u16,
        /// Signatures.
        got: usize,
    },
    /// Somebody twice, or out of order.
    #[error("trustee {0} is listed twice or out of order")]
    Order(TrusteeIndex),
    /// Not a trustee of the manifest.
    #[error("trustee {0} is not in the manifest")]
    Stranger(TrusteeIndex),
    /// A signature that does not hold for this election, round and vote set.
    #[error("the signature of trustee {0} does not hold for this election, round and vote set")]
    Signature(TrusteeIndex),
}

impl VoteSetCertificate {
    /// The hash of what is certified: the same whichever quorum signed, in whichever round. Lots are drawn over it.
    #[must_use]
    pub fn hash(&self, election: &ElectionId) -> Hash {
        self.value.hash(election)
    }
    /// Who signed.
    pub fn signers(&self) -> impl Iterator<Item = TrusteeIndex> {
        self.vouches.iter().map(|vouch| vouch.trustee)
    }
    /// Checks it for an election: at least `q` distinct trustees of the manifest, each signature for this value.
    ///
    /// # Errors
    /// [`CertificateRefusal`].
    pub fn verify(&self, manifest: &Manifest) -> Result<(), CertificateRefusal> {
        let election = manifest.id();
        let keys: Vec<IdentityKey> = manifest.trustees.iter().map(|trustee| trustee.identity).collect();
        vouched(&election, &keys, manifest.quorums.q, &self.body(&election), &self.vouches)
    }
    /// The signed precommits.
    pub fn envelopes(&self, election: &ElectionId) -> impl Iterator<Item = Envelope> {
        let (election, body) = (*election, self.body(election));
        self.vouches.iter().map(move |vouch| Envelope {
            election,
            sender: Sender::Trustee(vouch.trustee),
            body: body.clone(),
            signature: vouch.signature,
        })
    }
    fn body(&self, election: &ElectionId) -> Body {
        Body::Precommit(Precommit { round: self.round, value: Some(self.hash(election)) })
    }
}

/// Checks that at least `q` distinct trustees signed `body`.
pub(super) fn vouched(
    election: &ElectionId,
    keys: &[IdentityKey],
    q: u16,
    body: &Body,
    vouches: &[Vouch],
) -> Result<(), CertificateRefusal> {
    // A quorum of zero would make the empty list a certificate; the manifest's rules exclude it.
    if vouches.is_empty() || vouches.len() < q.into() {
        return Err(CertificateRefusal::TooFew { expected: q, got: vouches.len() });
    }
    // Order first: after it there are at most n signatures to check, whatever the list's length.
    let mut last = TrusteeIndex(0);
    for Vouch { trustee, .. } in vouches {
        if *trustee <= last && !bug!(RepeatedSignersCounted) {
            return Err(CertificateRefusal::Order(*trustee));
        }
        if usize::from(trustee.0) > keys.len() {
            return Err(CertificateRefusal::Stranger(*trustee));
        }
        last = *trustee;
    }
    for Vouch { trustee, signature } in vouches {
        let key = usize::from(trustee.0).checked_sub(1).and_then(|at| keys.get(at));
        let key = key.ok_or(CertificateRefusal::Stranger(*trustee))?;
        let draft = Draft { election: *election, sender: Sender::Trustee(*trustee), body: body.clone() };
        if !verify_identity(key, &draft.message(), signature) {
            return Err(CertificateRefusal::Signature(*trustee));
        }
    }
    Ok(())
}

/// Two valid certificates for different vote sets. More than `f` trustees have lied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who signed both: more than `f`. In one round each of them is guilty. Across rounds each has let go of its lock,
    /// which an honest trustee does only on a quorum of prevotes that more than `f` liars must have made up.
    pub both: Vec<TrusteeIndex>,
    /// One proof of equivocation for each of them, where the two certificates are of one round.
    pub evidence: Vec<Evidence>,
}

/// What two certificates (each passed [`VoteSetCertificate::verify`]) prove together: `None` if they agree. (P-AGR-7)
#[must_use]
pub fn conflict(election: &ElectionId, one: &VoteSetCertificate, other: &VoteSetCertificate) -> Option<Conflict> {
    if one.value == other.value {
        return None;
    }
    let both: Vec<TrusteeIndex> = one.signers().filter(|signer| other.signers().any(|o| o == *signer)).collect();
    let mut evidence = Vec::new();
    if one.round == other.round {
        for first in one.envelopes(election) {
            if let Some(second) = other.envelopes(election).find(|second| second.sender == first.sender) {
                evidence.push(Evidence {
                    accused: first.sender,
                    wrong: Wrong::Equivocation,
                    envelopes: vec![first, second],
                });
            }
        }
    }
    Some(Conflict { both, evidence })
}

/// Whether two (verified) envelopes prove [`Wrong::Amnesia`]: a precommit for a value, and a later proposal by the same
/// trustee that claims no quorum of prevotes since. An honest proposer names one at least as late as its lock. (P-AGR-6)
#[must_use]
pub fn breaks_lock(precommit: &Envelope, proposal: &Envelope) -> bool {
    let (Body::Precommit(lock), Body::Proposal(later)) = (&precommit.body, &proposal.body) else { return false };
    precommit.election == proposal.election
        && precommit.sender == proposal.sender
        && lock.value.is_some()
        && lock.round < later.round
        && later.valid_round < Some(lock.round)
}
