//! The key ceremony: from accepted terms to one certificate that all `n` trustees signed. (P-DKG)
//!
//! Terms -> Commit -> Reveal -> Shares -> Confirm -> Certified, or, from anywhere before, `GivenUp`.
//!
//! Two FROST key generations, one on Ed25519 (it signs on chain) and one on Ristretto255 (it decrypts), with separate
//! randomness and separate types, under one transcript. The channel is a board that an untrusted coordinator relays;
//! what is on it is signed, and this module judges contents only. Any number of trustees may lie: they can stop an
//! attempt, they cannot get a key certified of which an honest trustee lacks its share, and they cannot make an honest
//! trustee look guilty. Nothing here waits: who is silent is [`Judged::awaiting`], never a culprit.
//!
//! * What is public: [`Transcript`], judged by anybody with [`Transcript::judge`] into step, flaws, certificate.
//! * What is secret: [`Participant`], made from an [`AttemptSeed`]. It says what its trustee owes ([`Participant::duty`])
//!   and, once certified, holds its shares ([`Participant::key_shares`]).
//!
//! Several attempts: an attempt is begun only after an earlier one was given up on the board, a trustee that sent
//! [`messages::Terms`] of attempt `k + 1` does nothing more under attempt `k`, and the election's key is that of the highest
//! certified attempt. (P-DKG-7)

use crate::{
    encoding::{Hash, Writer, digest, label},
    ids::{Attempt, ElectionId, TrusteeIndex},
    manifest::Manifest,
};

mod certificate;
pub mod messages;
mod participant;
mod polynomial;
mod sealing;
mod seed;
#[cfg(test)]
mod tests;
mod transcript;

pub use certificate::{
    KeyCertificate, RehearsalCiphertext, UnusableCertificate, rehearsal_ciphertext, rehearsal_statement,
};
pub use participant::{CeremonyMessage, DutyRefusal, ElectionShare, KeyRefusal, KeyShares, Participant};
pub use seed::AttemptSeed;
pub use transcript::{CeremonyMemory, CeremonyStep, CheckedReveal, Dispute, Flaw, Judged, Transcript, judge_reveal};

use messages::{Reveal, Shares, Terms};

/// What a trustee agrees to: election (and with it the manifest), attempt, thresholds, participants in order. (P-DKG-1)
///
/// `digest("ceremony-terms", election || attempt || t || s || count || (index || identity)*)`.
#[must_use]
pub fn terms_digest(election: &ElectionId, attempt: Attempt, manifest: &Manifest) -> Hash {
    let mut out = Writer::new();
    out.value(election).value(&attempt).u16(manifest.quorums.t).u16(manifest.quorums.s).len(manifest.trustees.len());
    for (index, trustee) in (1..).zip(&manifest.trustees) {
        out.u16(index).value(&trustee.identity);
    }
    digest(label::CEREMONY_TERMS, out.as_bytes())
}

/// What is committed to before anything is revealed. It names party and session, so that a commitment copied from another
/// trustee, attempt or election can never be opened. (P-DKG-2, D09)
///
/// `digest("ceremony-commit", election || attempt || sender || reveal)`.
#[must_use]
pub fn commitment(election: &ElectionId, attempt: Attempt, sender: TrusteeIndex, reveal: &Reveal) -> Hash {
    let mut out = Writer::new();
    out.value(election).value(&attempt).value(&sender).value(reveal);
    digest(label::CEREMONY_COMMIT, out.as_bytes())
}

/// The three messages that decide whether a share is good: the recipient's terms (its sealing key), the sender's packages,
/// the sender's shares. Complaint and opening carry it, so that blame needs no more than five envelopes and never hits
/// somebody who was shown other messages. (P-DKG-5.3, D13)
///
/// `digest("ceremony-dispute", election || from || to || terms of to || reveal of from || shares of from)`.
#[must_use]
pub fn dispute_digest(
    election: &ElectionId,
    (from, reveal, shares): (TrusteeIndex, &Reveal, &Shares),
    (to, terms): (TrusteeIndex, &Terms),
) -> Hash {
    let mut out = Writer::new();
    out.value(election).value(&from).value(&to).value(terms).value(reveal).value(shares);
    digest(label::CEREMONY_DISPUTE, out.as_bytes())
}

/// The whole transcript: terms digest, then every trustee's terms, commit, reveal and shares, in index order. (P-DKG-6)
///
/// `digest("ceremony-transcript", election || terms digest || (index || terms || commit || reveal || shares)*)`. `None` until all
/// are there.
#[must_use]
pub fn transcript_digest(transcript: &Transcript<'_>) -> Option<Hash> {
    let Transcript { election, manifest, attempt, terms, commits, reveals, shares, .. } = transcript;
    let mut out = Writer::new();
    out.value(*election).raw(&terms_digest(election, *attempt, manifest));
    for index in manifest.trustee_indices() {
        out.value(&index).value(*terms.get(&index)?).value(*commits.get(&index)?);
        out.value(*reveals.get(&index)?).value(*shares.get(&index)?);
    }
    Some(digest(label::CEREMONY_TRANSCRIPT, out.as_bytes()))
}
