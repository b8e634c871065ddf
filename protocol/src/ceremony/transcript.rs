//! Judging the public messages of one attempt. (P-DKG-1 to P-DKG-6)
//!
//! Every flaw is decided by the messages that it names and the manifest, nothing else: [`Transcript::judge`] over those
//! messages alone finds it again. That is what makes it evidence, and what keeps an honest trustee out of it: where
//! messages only show that two trustees saw different boards, the result is a [`Dispute`], which names no culprit.

use super::{
    KeyCertificate, commitment, dispute_digest,
    messages::{Abandon, Commit, Complaint, Confirm, Opening, Reveal, Shares, Terms},
    polynomial::{self, CheckedCommitments, Election, Purpose as _, Signing},
    sealing::{self, Route, SEALED_BYTES},
    terms_digest, transcript_digest,
};
use crate::{
    encoding::Hash,
    evidence::Wrong,
    group::{Point, decode_scalar},
    ids::{Attempt, ElectionId, TrusteeIndex},
    manifest::Manifest,
    signed::{Body, Sender, Slot},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec,
    vec::Vec,
};

/// One attempt as the board has it: verified envelopes' bodies by sender. Entries of strangers or of another attempt are
/// ignored.
#[derive(Debug, Clone)]
pub struct Transcript<'a> {
    /// Election.
    pub election: &'a ElectionId,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Attempt.
    pub attempt: Attempt,
    /// By sender.
    pub terms: BTreeMap<TrusteeIndex, &'a Terms>,
    /// By sender.
    pub commits: BTreeMap<TrusteeIndex, &'a Commit>,
    /// By sender.
    pub reveals: BTreeMap<TrusteeIndex, &'a Reveal>,
    /// By sender.
    pub shares: BTreeMap<TrusteeIndex, &'a Shares>,
    /// By (who complains, about whom).
    pub complaints: BTreeMap<(TrusteeIndex, TrusteeIndex), &'a Complaint>,
    /// By (who opens, whose complaint).
    pub openings: BTreeMap<(TrusteeIndex, TrusteeIndex), &'a Opening>,
    /// By sender.
    pub confirms: BTreeMap<TrusteeIndex, &'a Confirm>,
    /// By sender.
    pub abandons: BTreeMap<TrusteeIndex, &'a Abandon>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CeremonyStep {
    /// Terms are awaited.
    Terms,
    /// Commitments are awaited.
    Commit,
    /// Packages are awaited.
    Reveal,
    /// Sealed shares are awaited.
    Shares,
    /// Signatures under the certificate are awaited.
    Confirm,
    /// All `n` signed: the keys exist.
    Certified,
    /// Somebody complained, abandoned, or did wrong: these keys are never used.
    GivenUp,
}

/// A provable wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Who did it.
    pub culprit: TrusteeIndex,
    /// What.
    pub wrong: Wrong,
    /// Slots of the messages that prove it, the culprit's own first.
    pub proof: Vec<Slot>,
}

/// The attempt cannot go on, and nobody is proven guilty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dispute {
    /// Configurations differ. (D14)
    #[error(
        "CONFIG_MISMATCH: trustee {trustee} agreed to other terms ({field}): its digest is {got:02x?}, here it is {expected:02x?}; compare manifest files and program versions"
    )]
    TermsMismatch {
        /// Who differs.
        trustee: TrusteeIndex,
        /// What can differ when election and attempt are the same.
        field: &'static str,
        /// As computed here.
        expected: Hash,
        /// In the message.
        got: Hash,
    },
    /// A certificate signed over another transcript. (D01)
    #[error(
        "DKG_TRANSCRIPT_MISMATCH: trustee {trustee} signed a certificate for another transcript: somebody showed different messages to different trustees; compare boards"
    )]
    TranscriptMismatch {
        /// Who signed it.
        trustee: TrusteeIndex,
        /// As computed here.
        expected: Hash,
        /// In the message.
        got: Hash,
    },
    /// Complaint and opening are about different messages. (D13)
    #[error(
        "DKG_DISPUTE: trustees {recipient} and {sender} dispute about different messages: somebody showed different messages to different trustees; compare boards"
    )]
    ViewsDiffer {
        /// Who complained.
        recipient: TrusteeIndex,
        /// Who opened.
        sender: TrusteeIndex,
    },
    /// The contributions cancel out. Happens by chance once in 2^252.
    #[error("the trustees' contributions add up to a key that cannot be used; begin another attempt")]
    DegenerateKey,
}

/// A trustee's round-1 packages, found sound. Costs about 0.2 ms per point to make: [`CeremonyMemory`] keeps it.
pub struct CheckedReveal {
    pub(super) signing: CheckedCommitments<Signing>,
    pub(super) election: CheckedCommitments<Election>,
}

impl core::fmt::Debug for CheckedReveal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CheckedReveal")
    }
}

/// Judges packages alone: lengths, points, proofs of knowledge. (P-DKG-3)
///
/// # Errors
/// [`Wrong::CommitmentLength`], [`Wrong::PointInvalid`], [`Wrong::ProofOfKnowledge`].
pub fn judge_reveal(from: TrusteeIndex, reveal: &Reveal, manifest: &Manifest) -> Result<CheckedReveal, Wrong> {
    let (s, t) = (manifest.quorums.s, manifest.quorums.t);
    let Reveal { attempt: _, signing_commitments, signing_proof, election_commitments, election_proof, nonce: _ } =
        reveal;
    // Lengths first: they cost nothing, and bound what is decoded.
    let lengths = signing_commitments.len() == usize::from(s) && election_commitments.len() == usize::from(t);
    if !lengths && !bug!(CommitmentLengthUnchecked) {
        return Err(Wrong::CommitmentLength);
    }
    Ok(CheckedReveal {
        signing: CheckedCommitments::judge(from, s, signing_commitments, signing_proof)?,
        election: CheckedCommitments::judge(from, t, election_commitments, election_proof)?,
    })
}

/// Remembers what is costly to judge, by content: never wrong, and empty it is only slow. Keep one per election beside the
/// board and pass it to every [`Transcript::judge`]; it holds what the last judged transcript held.
#[derive(Clone, Debug, Default)]
pub struct CeremonyMemory {
    /// By [`commitment`], which names election, attempt, sender and content.
    reveals: BTreeMap<Hash, Result<Arc<CheckedReveal>, Wrong>>,
    /// By (sealing key, lot key).
    keys: BTreeMap<([u8; 32], [u8; 32]), bool>,
    /// The last one, by transcript.
    certificate: Option<(Hash, Arc<KeyCertificate>)>,
}

/// A judged attempt.
#[derive(Debug)]
pub struct Judged<'a> {
    transcript: Transcript<'a>,
    terms: Hash,
    sound: BTreeMap<TrusteeIndex, Arc<CheckedReveal>>,
    flaws: Vec<Flaw>,
    disputes: Vec<Dispute>,
    certificate: Option<Arc<KeyCertificate>>,
    confirmed: BTreeSet<TrusteeIndex>,
}

impl<'a> Transcript<'a> {
    /// An attempt of which nothing is on the board.
    #[must_use]
    pub fn new(election: &'a ElectionId, manifest: &'a Manifest, attempt: Attempt) -> Self {
        Self {
            election,
            manifest,
            attempt,
            terms: BTreeMap::new(),
            commits: BTreeMap::new(),
            reveals: BTreeMap::new(),
            shares: BTreeMap::new(),
            complaints: BTreeMap::new(),
            openings: BTreeMap::new(),
            confirms: BTreeMap::new(),
            abandons: BTreeMap::new(),
        }
    }

    /// Puts a message of a trustee in its place; what is no ceremony message of this attempt is ignored.
    pub fn add(&mut self, from: TrusteeIndex, body: &'a Body) {
        match body {
            Body::Terms(body) => {
                self.terms.insert(from, body);
            }
            Body::Commit(body) => {
                self.commits.insert(from, body);
            }
            Body::Reveal(body) => {
                self.reveals.insert(from, body);
            }
            Body::Shares(body) => {
                self.shares.insert(from, body);
            }
            Body::Complaint(body) => {
                self.complaints.insert((from, body.against), body);
            }
            Body::Opening(body) => {
                self.openings.insert((from, body.to), body);
            }
            Body::Confirm(body) => {
                self.confirms.insert(from, body);
            }
            Body::Abandon(body) => {
                self.abandons.insert(from, body);
            }
            _ => {}
        }
    }

    /// Judges everything that is there. With a warm memory it costs hashing; a new reveal costs about 0.2 ms per point, the
    /// first complete transcript `n * (t + s)` evaluations of about 2 us.
    pub fn judge(mut self, memory: &mut CeremonyMemory) -> Judged<'a> {
        self.drop_foreign();
        let mut judged = Judged {
            terms: terms_digest(self.election, self.attempt, self.manifest),
            transcript: self,
            sound: BTreeMap::new(),
            flaws: Vec::new(),
            disputes: Vec::new(),
            certificate: None,
            confirmed: BTreeSet::new(),
        };
        judged.judge_terms(memory);
        judged.judge_reveals(memory);
        judged.judge_addressing();
        judged.derive_certificate(memory);
        judged.judge_disputed_shares();
        judged.judge_confirms();
        judged
    }

    fn drop_foreign(&mut self) {
        let (n, now) = (self.manifest.n(), self.attempt);
        let known = |index: &TrusteeIndex| (1..=n).contains(&index.0);
        self.terms.retain(|from, body| known(from) && body.attempt == now);
        self.commits.retain(|from, body| known(from) && body.attempt == now);
        self.reveals.retain(|from, body| known(from) && body.attempt == now);
        self.shares.retain(|from, body| known(from) && body.attempt == now);
        self.complaints.retain(|(from, against), body| {
            known(from) && known(against) && from != against && body.against == *against && body.attempt == now
        });
        self.openings
            .retain(|(from, to), body| known(from) && known(to) && from != to && body.to == *to && body.attempt == now);
        self.confirms.retain(|from, body| known(from) && body.attempt == now);
        self.abandons.retain(|from, body| known(from) && body.attempt == now);
    }

    fn slot(&self, tag: u16, from: TrusteeIndex, topic: u16) -> Slot {
        Slot { tag, number: self.attempt.0, topic, sender: Sender::Trustee(from) }
    }
}

// Tags of the messages, as `Body` numbers them; a test compares.
pub(super) const TERMS: u16 = 10;
pub(super) const COMMIT: u16 = 11;
pub(super) const REVEAL: u16 = 12;
pub(super) const SHARES: u16 = 13;
pub(super) const COMPLAINT: u16 = 14;
pub(super) const OPENING: u16 = 15;
pub(super) const CONFIRM: u16 = 16;
pub(super) const ABANDON: u16 = 17;

impl<'a> Judged<'a> {
    /// Where the attempt stands. Certified wins over everything that a liar may say later.
    #[must_use]
    pub fn step(&self) -> CeremonyStep {
        let Transcript { terms, commits, reveals, shares, complaints, abandons, manifest, .. } = &self.transcript;
        let n = manifest.trustees.len();
        if self.certified() {
            CeremonyStep::Certified
        } else if bug!(ComplaintIgnored) && abandons.is_empty() && self.flaws.is_empty() && self.disputes.is_empty() {
            if shares.len() < n { CeremonyStep::Shares } else { CeremonyStep::Confirm }
        } else if !(complaints.is_empty() && abandons.is_empty() && self.flaws.is_empty() && self.disputes.is_empty()) {
            CeremonyStep::GivenUp
        } else if terms.len() < n {
            CeremonyStep::Terms
        } else if commits.len() < n {
            CeremonyStep::Commit
        } else if reveals.len() < n {
            CeremonyStep::Reveal
        } else if shares.len() < n {
            CeremonyStep::Shares
        } else {
            CeremonyStep::Confirm
        }
    }

    /// Who is waited for. Not an accusation: an attempt that was given up waits for openings that are still owed. (D16)
    #[must_use]
    pub fn awaiting(&self) -> Vec<TrusteeIndex> {
        let Transcript { terms, commits, reveals, shares, complaints, openings, manifest, .. } = &self.transcript;
        let without = |there: &dyn Fn(&TrusteeIndex) -> bool| {
            manifest.trustee_indices().filter(|index| !there(index)).collect::<Vec<_>>()
        };
        match self.step() {
            CeremonyStep::Terms => without(&|index| terms.contains_key(index)),
            CeremonyStep::Commit => without(&|index| commits.contains_key(index)),
            CeremonyStep::Reveal => without(&|index| reveals.contains_key(index)),
            CeremonyStep::Shares => without(&|index| shares.contains_key(index)),
            CeremonyStep::Confirm => without(&|index| self.confirmed.contains(index)),
            CeremonyStep::Certified => Vec::new(),
            CeremonyStep::GivenUp => {
                let owed = complaints.keys().filter(|(by, against)| !openings.contains_key(&(*against, *by)));
                owed.map(|(_, against)| *against).collect::<BTreeSet<_>>().into_iter().collect()
            }
        }
    }

    /// Every provable wrong.
    #[must_use]
    pub fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }
    /// What stops the attempt without a proven culprit.
    #[must_use]
    pub fn disputes(&self) -> &[Dispute] {
        &self.disputes
    }
    /// The keys of this transcript, from public messages alone: there once all terms, commits, reveals and shares are, and
    /// are sound. **Not** a reason to use them: [`Judged::certified`] is.
    #[must_use]
    pub fn certificate(&self) -> Option<&KeyCertificate> {
        self.certificate.as_deref()
    }
    /// Whether all `n` trustees signed exactly [`Judged::certificate`].
    #[must_use]
    pub fn certified(&self) -> bool {
        let n = self.transcript.manifest.trustees.len();
        let wanted = if bug!(CertificateWithoutOne) { n.saturating_sub(1) } else { n };
        self.certificate.is_some() && self.confirmed.len() >= wanted
    }
    /// What was judged, without entries of strangers and other attempts.
    #[must_use]
    pub fn transcript(&self) -> &Transcript<'a> {
        &self.transcript
    }

    pub(super) fn terms_digest(&self) -> &Hash {
        &self.terms
    }
    pub(super) fn sound(&self, from: TrusteeIndex) -> Option<&CheckedReveal> {
        self.sound.get(&from).map(Arc::as_ref)
    }

    fn blame(&mut self, culprit: TrusteeIndex, wrong: Wrong, proof: Vec<Slot>) {
        if bug!(FlawlessDespiteProof) {
            return;
        }
        self.flaws.push(Flaw { culprit, wrong, proof });
    }

    /// P-DKG-1: the same terms, and keys that can be used.
    fn judge_terms(&mut self, memory: &mut CeremonyMemory) {
        let mut keys = BTreeMap::new();
        for (from, body) in self.transcript.terms.clone() {
            if body.digest != self.terms && !bug!(TermsUnchecked) {
                self.disputes.push(Dispute::TermsMismatch {
                    trustee: from,
                    field: "thresholds, participants or this program's rules",
                    expected: self.terms,
                    got: body.digest,
                });
            }
            let pair = (body.sealing_key, body.lot_key);
            let usable = memory.keys.get(&pair).copied().unwrap_or_else(|| {
                sealing::is_usable(&body.sealing_key) && Point::decode("lot key", &body.lot_key).is_ok()
            });
            keys.insert(pair, usable);
            if !usable {
                self.blame(from, Wrong::PointInvalid, vec![self.transcript.slot(TERMS, from, 0)]);
            }
        }
        memory.keys = keys;
    }

    /// P-DKG-2, P-DKG-3: opened as committed, right lengths, points, proofs, nobody's copy.
    fn judge_reveals(&mut self, memory: &mut CeremonyMemory) {
        let mut reveals = BTreeMap::new();
        let mut verdicts = BTreeMap::new();
        for (from, body) in self.transcript.reveals.clone() {
            let content = commitment(self.transcript.election, self.transcript.attempt, from, body);
            let slot = self.transcript.slot(REVEAL, from, 0);
            let broken = self.transcript.commits.get(&from).is_some_and(|commit| commit.commitment != content);
            if broken && !bug!(RevealNotAsCommitted) {
                let commit = self.transcript.slot(COMMIT, from, 0);
                self.blame(from, Wrong::CommitmentBroken, vec![slot, commit]);
            }
            let verdict = memory
                .reveals
                .get(&content)
                .cloned()
                .unwrap_or_else(|| judge_reveal(from, body, self.transcript.manifest).map(Arc::new));
            reveals.insert(content, verdict.clone());
            match &verdict {
                Ok(checked) => {
                    self.sound.insert(from, checked.clone());
                }
                Err(Wrong::ProofOfKnowledge) => {}
                Err(wrong) => self.blame(from, *wrong, vec![slot]),
            }
            verdicts.insert(from, verdict);
        }
        memory.reveals = reveals;
        self.judge_copies(&verdicts);
    }

    /// Who copied whom. (D09)
    ///
    /// The proof of knowledge names its maker, so a copied first commitment comes with a proof that does not hold: that
    /// one copied, the one whose proof holds did not. If both hold, both know the same secret, which an honest trustee
    /// shares with nobody, so both are named. Equal later coefficients are no gain and no proof of anything.
    fn judge_copies(&mut self, verdicts: &BTreeMap<TrusteeIndex, Result<Arc<CheckedReveal>, Wrong>>) {
        let mut owners: BTreeMap<(bool, [u8; 32]), Vec<TrusteeIndex>> = BTreeMap::new();
        for from in self.sound.keys() {
            for first in firsts(self.transcript.reveals.get(from).copied()) {
                owners.entry(first).or_default().push(*from);
            }
        }
        for (from, verdict) in verdicts {
            if !matches!(verdict, Ok(_) | Err(Wrong::ProofOfKnowledge)) {
                continue;
            }
            let mut sources = firsts(self.transcript.reveals.get(from).copied()).into_iter();
            let source = sources.find_map(|first| owners.get(&first)?.iter().find(|owner| *owner != from).copied());
            let slot = self.transcript.slot(REVEAL, *from, 0);
            match (source, verdict) {
                (Some(_), _) if bug!(CopiedCommitmentAccepted) => {}
                (Some(source), _) => {
                    let source = self.transcript.slot(REVEAL, source, 0);
                    self.blame(*from, Wrong::Copied, vec![slot, source]);
                }
                (None, Err(wrong)) => self.blame(*from, *wrong, vec![slot]),
                (None, Ok(_)) => {}
            }
        }
    }

    /// P-DKG-4: one share of the right size for every other trustee, ascending.
    fn judge_addressing(&mut self) {
        for (from, body) in self.transcript.shares.clone() {
            let expected = self.transcript.manifest.trustee_indices().filter(|to| *to != from);
            let sound = expected.eq(body.shares.iter().map(|share| share.to))
                && body.shares.iter().all(|share| share.sealed.0.len() == SEALED_BYTES);
            if !sound && !bug!(ShareAddressingUnchecked) {
                self.blame(from, Wrong::ShareAddressing, vec![self.transcript.slot(SHARES, from, 0)]);
            }
        }
    }

    /// P-DKG-5: what an opened share shows.
    fn judge_disputed_shares(&mut self) {
        for ((sender, recipient), opening) in self.transcript.openings.clone() {
            let Some(opened) = self.opened(sender, recipient, opening) else { continue };
            let transcript = &self.transcript;
            let about = [
                transcript.slot(SHARES, sender, 0),
                transcript.slot(REVEAL, sender, 0),
                transcript.slot(TERMS, recipient, 0),
            ];
            let complaint = transcript.complaints.get(&(recipient, sender)).copied();
            let (opening_slot, complaint_slot) =
                (transcript.slot(OPENING, sender, recipient.0), transcript.slot(COMPLAINT, recipient, sender.0));
            if !opened.good && (opening.about == opened.about || bug!(BlameWithoutProof)) {
                // The sender itself says that this is what it sealed, or cannot show what it sealed.
                let mut proof = vec![opening_slot];
                proof.extend(about);
                self.blame(sender, Wrong::BadShare, proof);
            } else if opened.good
                && complaint.is_some_and(|complaint| complaint.about == opened.about || bug!(BlameWithoutProof))
            {
                let mut proof = vec![complaint_slot, opening_slot];
                proof.extend(about);
                self.blame(recipient, Wrong::FalseComplaint, proof);
            } else if complaint.is_some() {
                self.disputes.push(Dispute::ViewsDiffer { recipient, sender });
            }
        }
    }

    fn opened(&self, sender: TrusteeIndex, recipient: TrusteeIndex, opening: &Opening) -> Option<Opened> {
        let Transcript { terms, reveals, shares, election, attempt, .. } = &self.transcript;
        let (terms, reveal, shares) = (*terms.get(&recipient)?, *reveals.get(&sender)?, *shares.get(&sender)?);
        let posted = shares.shares.iter().find(|share| share.to == recipient)?;
        let checked = self.sound(sender)?;
        let route = Route { election, attempt: *attempt, terms: &self.terms, from: sender, to: recipient };
        let sealed = sealing::seal(&terms.sealing_key, &route, &opening.seed, &opening.plaintext);
        let (signing, election_share) = polynomial::split(&opening.plaintext);
        let matches = |signing: &[u8; 32], election: &[u8; 32]| {
            let (Ok(signing), Ok(election)) = (decode_scalar("share", signing), decode_scalar("share", election))
            else {
                return false;
            };
            checked.signing.share_matches(recipient, &signing) && checked.election.share_matches(recipient, &election)
        };
        Some(Opened {
            good: sealed.is_some_and(|sealed| sealed == posted.sealed.0) && matches(&signing, &election_share),
            about: dispute_digest(election, (sender, reveal, shares), (recipient, terms)),
        })
    }

    /// P-DKG-6: both keys, all shares, from public messages.
    fn derive_certificate(&mut self, memory: &mut CeremonyMemory) {
        let Transcript { terms, commits, manifest, attempt, .. } = &self.transcript;
        let n = manifest.trustees.len();
        let spoilt = !self.flaws.is_empty() || !self.disputes.is_empty();
        if spoilt || terms.len() < n || commits.len() < n || self.sound.len() < n {
            return;
        }
        let Some(transcript) = transcript_digest(&self.transcript) else { return };
        if let Some((of, certificate)) = &memory.certificate
            && *of == transcript
        {
            self.certificate = Some(certificate.clone());
            return;
        }
        let signing = polynomial::sum(self.sound.values().map(|checked| &checked.signing));
        let election = polynomial::sum(self.sound.values().map(|checked| &checked.election));
        let (Some(signing_key), Some(election_key)) = (signing.first(), election.first()) else { return };
        let usable = |share: &_| Point::new(*share);
        let signing_shares: Vec<_> =
            manifest.trustee_indices().map(|index| polynomial::evaluate::<Signing>(&signing, index)).collect();
        let election_shares: Option<Vec<_>> = manifest
            .trustee_indices()
            .map(|index| usable(&polynomial::evaluate::<Election>(&election, index)))
            .collect();
        let degenerate =
            signing_shares.iter().chain([signing_key]).any(curve25519_dalek::traits::IsIdentity::is_identity);
        let (false, Some(election_key), Some(election_shares)) = (degenerate, usable(election_key), election_shares)
        else {
            self.disputes.push(Dispute::DegenerateKey);
            return;
        };
        let certificate = Arc::new(KeyCertificate {
            attempt: *attempt,
            transcript,
            signing_key: Signing::encode(signing_key),
            election_key,
            signing_shares: signing_shares.iter().map(Signing::encode).collect(),
            election_shares,
            lot_keys: terms.values().map(|terms| terms.lot_key).collect(),
        });
        memory.certificate = Some((transcript, certificate.clone()));
        self.certificate = Some(certificate);
    }

    /// P-DKG-6: signed the right certificate; P-DKG-7: and did not give the attempt up as well.
    fn judge_confirms(&mut self) {
        let certificate = self.certificate.as_ref().map(|certificate| (certificate.transcript, certificate.digest()));
        for (from, body) in self.transcript.confirms.clone() {
            let transcript = &self.transcript;
            let slot = transcript.slot(CONFIRM, from, 0);
            let complained = transcript.complaints.keys().find(|(by, _)| *by == from);
            let gave_up = match complained {
                Some((_, against)) => Some(transcript.slot(COMPLAINT, from, against.0)),
                None => transcript.abandons.contains_key(&from).then(|| transcript.slot(ABANDON, from, 0)),
            };
            if let Some(gave_up) = gave_up {
                self.blame(from, Wrong::ConfirmedAndAbandoned, vec![slot, gave_up]);
            }
            match certificate {
                Some((expected, digest)) if body.transcript == expected => {
                    if body.certificate == digest {
                        self.confirmed.insert(from);
                    } else {
                        let mut proof = vec![slot];
                        for index in self.transcript.manifest.trustee_indices() {
                            proof
                                .extend([TERMS, COMMIT, REVEAL, SHARES].map(|tag| self.transcript.slot(tag, index, 0)));
                        }
                        self.blame(from, Wrong::WrongCertificate, proof);
                    }
                }
                Some((expected, _)) => {
                    let got = body.transcript;
                    self.disputes.push(Dispute::TranscriptMismatch { trustee: from, expected, got });
                }
                // Too early to tell.
                None => {}
            }
        }
    }
}

struct Opened {
    /// The opening makes the posted ciphertext, and its shares match.
    good: bool,
    /// What it would have to be about.
    about: Hash,
}

/// First commitments, told apart by key generation.
fn firsts(reveal: Option<&Reveal>) -> Vec<(bool, [u8; 32])> {
    let Some(reveal) = reveal else { return Vec::new() };
    let signing = reveal.signing_commitments.first().map(|first| (false, *first));
    let election = reveal.election_commitments.first().map(|first| (true, *first));
    signing.into_iter().chain(election).collect()
}
