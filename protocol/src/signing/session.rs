//! How far one attempt is, as anyone sees it from the board; and whom to ask next. (P-SIG-2, P-SIG-6)

use super::{
    ShareRefusal, SigningKeys, aggregate, check_commitment,
    messages::{SignAbort, SignCommitment, SignRequest, SignShare},
    package_hash, verify_share,
};
use crate::{encoding::Hash, evidence::Wrong, ids::TrusteeIndex};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// One attempt: a request and the message that it stands for, rebuilt by whoever looks.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The certificate's signing keys.
    pub keys: &'a SigningKeys,
    /// Who is asked, for what.
    pub request: &'a SignRequest,
    /// What is to be signed.
    pub message: &'a [u8],
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The first round is not complete.
    AwaitingCommitments {
        /// Whose are missing.
        missing: Vec<TrusteeIndex>,
    },
    /// The second round is not complete.
    AwaitingShares {
        /// Whose are missing.
        missing: Vec<TrusteeIndex>,
        /// [`package_hash`] that shares must name.
        package: Hash,
    },
    /// Done: verified, strict Ed25519.
    Signed([u8; 64]),
    /// Over without a signature. The next attempt leaves out `culprits`, and for now the others named here.
    Failed {
        /// Provably wrong messages.
        culprits: Vec<(TrusteeIndex, Wrong)>,
        /// Gave up: nobody's fault.
        aborted: Vec<TrusteeIndex>,
        /// Answered another package than the one seen here: nobody's proven fault.
        strayed: Vec<TrusteeIndex>,
    },
}

impl Session<'_> {
    /// What the messages of this attempt amount to. Those of strangers and of other purposes or attempts are ignored.
    ///
    /// A wrong or an abort ends the attempt at once: exactly the requested signers can finish it. Where all have answered the
    /// signature decides: two signers whose errors cancel have still signed, and each share on its own remains evidence.
    #[must_use]
    pub fn progress(
        &self,
        commitments: &BTreeMap<TrusteeIndex, &SignCommitment>,
        shares: &BTreeMap<TrusteeIndex, &SignShare>,
        aborts: &BTreeMap<TrusteeIndex, &SignAbort>,
    ) -> Progress {
        let place = (self.request.purpose, self.request.attempt);
        let commitments: BTreeMap<_, _> =
            self.of_signers(commitments).filter(|(_, c)| (c.purpose, c.attempt) == place).collect();
        let shares: BTreeMap<_, _> = self.of_signers(shares).filter(|(_, s)| (s.purpose, s.attempt) == place).collect();
        let aborted: Vec<TrusteeIndex> = self
            .of_signers(aborts)
            .filter(|(_, a)| (a.purpose, a.attempt) == place)
            .map(|(index, _)| index)
            // Whoever answered has nothing left to give up.
            .filter(|index| !shares.contains_key(index))
            .collect();

        let mut culprits: Vec<(TrusteeIndex, Wrong)> = commitments
            .iter()
            .filter_map(|(index, commitment)| check_commitment(commitment).err().map(|wrong| (*index, wrong)))
            .collect();
        if !culprits.is_empty() {
            return Progress::Failed { culprits, aborted, strayed: Vec::new() };
        }
        let missing: Vec<TrusteeIndex> =
            self.request.signers.iter().filter(|index| !commitments.contains_key(index)).copied().collect();
        if !missing.is_empty() {
            return if aborted.is_empty() {
                Progress::AwaitingCommitments { missing }
            } else {
                Progress::Failed { culprits, aborted, strayed: Vec::new() }
            };
        }

        let missing: Vec<TrusteeIndex> =
            self.request.signers.iter().filter(|index| !shares.contains_key(index)).copied().collect();
        if missing.is_empty() {
            // The common case costs one verification; blame is only asked for when it fails.
            if let Ok(signature) = aggregate(self.keys, self.message, &commitments, &shares) {
                return Progress::Signed(signature);
            }
        }
        let mut strayed = Vec::new();
        for (index, share) in &shares {
            match verify_share(self.keys, *index, self.message, &commitments, share) {
                Ok(()) | Err(ShareRefusal::NotASigner(_) | ShareRefusal::BadCommitment(_)) => {}
                Err(ShareRefusal::OtherPackage { .. }) => strayed.push(*index),
                Err(ShareRefusal::Wrong(wrong)) => culprits.push((*index, wrong)),
            }
        }
        if missing.is_empty() || !culprits.is_empty() || !strayed.is_empty() || !aborted.is_empty() {
            return Progress::Failed { culprits, aborted, strayed };
        }
        Progress::AwaitingShares { missing, package: package_hash(self.message, &commitments) }
    }

    fn of_signers<'m, T>(
        &self,
        messages: &BTreeMap<TrusteeIndex, &'m T>,
    ) -> impl Iterator<Item = (TrusteeIndex, &'m T)> {
        messages
            .iter()
            .filter(|(index, _)| self.request.signers.contains(index))
            .map(|(index, message)| (*index, *message))
    }
}

/// The first `signers` trustees in the order of the lots that are not left out, ascending as a request lists them; `None` if
/// too few are left. (P-SIG-2.1)
///
/// Leaving out is the caller's: culprits for ever, the silent and the aborted for some attempts.
#[must_use]
pub fn choose_signers(
    order: &[TrusteeIndex],
    signers: u16,
    excluded: &BTreeSet<TrusteeIndex>,
) -> Option<Vec<TrusteeIndex>> {
    let mut chosen = BTreeSet::new();
    for index in order.iter().filter(|index| !excluded.contains(index)) {
        if chosen.len() < usize::from(signers) {
            chosen.insert(*index);
        }
    }
    (chosen.len() == usize::from(signers) && signers > 0).then(|| chosen.into_iter().collect())
}
