//! The board: the one fold over envelopes, used live, after a restart and in tests. (P-BRD)
//!
//! A board is a set of verified envelopes, one for each [`Slot`], plus what follows from them: key certificate,
//! opening, vote-set certificate, lots, partial decryptions, result, joint signatures. What follows depends on the set
//! and not on the order of arrival, so two honest parties that hold the same envelopes think the same. A lying
//! coordinator can withhold envelopes; it cannot make one.

use crate::{
    agreement::{VoteSetCertificate, Votes},
    ballot_box::ClosedBox,
    ceremony::{self, CeremonyMemory, Judged, KeyCertificate, Transcript},
    dleq,
    encoding::Hash,
    evidence::{Evidence, Moot, Verdict, Wrong},
    group::RawPoint,
    ids::{Attempt, ElectionId, ShardIndex, TrusteeIndex},
    lots::{self, LotRefusal},
    manifest::Manifest,
    signed::{Body, Envelope, Sender, Slot},
    signing::{SigningKeys, messages::Purpose},
    tally::{self, ElectionResult},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

mod signing;
mod stage;
pub use signing::{ChainIntent, LAMPORTS_MAX, Signable, SignableRefusal, SigningView, Transactions};
pub use stage::{Awaited, Stage};

/// Envelopes on one board, at most; each sender has a part of them, which nobody else can fill.
pub const ENVELOPES_MAX: usize = 200_000;
/// Key-ceremony attempts, at most.
pub const CEREMONY_ATTEMPTS_MAX: u32 = 1000;
/// Proven wrongs on one board, at most.
pub const EVIDENCE_MAX: usize = 10_000;

/// An envelope whose signature holds and whose slot was free. Only [`Board::check`] makes one.
#[derive(Debug, Clone)]
pub struct CheckedEnvelope(Envelope);

impl CheckedEnvelope {
    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Board {
    election: ElectionId,
    manifest: Arc<Manifest>,
    slots: BTreeMap<Slot, Envelope>,
    /// How many are from whom.
    said: BTreeMap<Sender, usize>,
    evidence: Vec<Evidence>,
    memory: CeremonyMemory,
    key: Option<KeyCertificate>,
    /// Its digest, which nearly every question about a stage needs.
    key_digest: Option<Hash>,
    /// Every certified attempt: more than one if a trustee confirms what it gave up.
    certified: BTreeMap<Attempt, KeyCertificate>,
    signing_keys: Option<SigningKeys>,
    rehearsed: BTreeSet<TrusteeIndex>,
    rehearsal_signature: Option<[u8; 64]>,
    /// Rehearsals of this key that all have answered, and that are no signature.
    rehearsals_failed: BTreeSet<Attempt>,
    /// Signature shares that were checked, each on its own.
    shares_judged: BTreeSet<Slot>,
    votes: Votes,
    certificate: Option<VoteSetCertificate>,
    lots: BTreeMap<TrusteeIndex, Hash>,
    sums: Option<Vec<(RawPoint, RawPoint)>>,
    partials: BTreeMap<TrusteeIndex, Vec<RawPoint>>,
    result: Option<Result<ElectionResult, tally::TallyRefusal>>,
}

impl Board {
    /// Empty.
    #[must_use]
    pub fn new(manifest: Arc<Manifest>) -> Self {
        Self {
            election: manifest.id(),
            votes: Votes::new(&manifest),
            manifest,
            slots: BTreeMap::new(),
            said: BTreeMap::new(),
            evidence: Vec::new(),
            memory: CeremonyMemory::default(),
            key: None,
            key_digest: None,
            certified: BTreeMap::new(),
            signing_keys: None,
            rehearsed: BTreeSet::new(),
            rehearsal_signature: None,
            rehearsals_failed: BTreeSet::new(),
            shares_judged: BTreeSet::new(),
            certificate: None,
            lots: BTreeMap::new(),
            sums: None,
            partials: BTreeMap::new(),
            result: None,
        }
    }

    /// Judges an envelope: whose it is, whether its slot is free. Reads only; one signature check. (P-BRD-1)
    pub fn check(&self, envelope: &Envelope) -> Verdict<CheckedEnvelope> {
        if let Err(refusal) = envelope.verify(&self.election, &self.manifest) {
            return Verdict::Moot(Moot::Refused(refusal));
        }
        let slot = envelope.slot();
        if let Some(earlier) = self.slots.get(&slot) {
            if earlier.body == envelope.body {
                return Verdict::Moot(Moot::Repeat);
            }
            if bug!(EquivocationOverwrites) {
                return Verdict::Valid(CheckedEnvelope(envelope.clone()));
            }
            return Verdict::Fault(Evidence {
                accused: envelope.sender,
                wrong: Wrong::Equivocation,
                envelopes: alloc::vec![earlier.clone(), envelope.clone()],
            });
        }
        let max = self.part_max();
        if self.said.get(&self.account(envelope.sender)).is_some_and(|said| *said >= max) {
            return Verdict::Moot(Moot::Full { max });
        }
        let about_nobody =
            !(1..=self.manifest.n()).contains(&slot.topic) || Sender::Trustee(TrusteeIndex(slot.topic)) == slot.sender;
        if (14..=15).contains(&slot.tag) && about_nobody {
            return Verdict::Moot(Moot::NotATrustee { got: slot.topic });
        }
        let max = match slot.tag {
            10..=19 => CEREMONY_ATTEMPTS_MAX,
            30..=32 => crate::agreement::ROUNDS_MAX,
            50..=53 => crate::signing::ATTEMPTS_MAX,
            _ => u32::MAX,
        };
        if slot.number > max {
            return Verdict::Moot(Moot::TooFarAhead { got: slot.number, max });
        }
        Verdict::Valid(CheckedEnvelope(envelope.clone()))
    }

    /// Envelopes of one sender, at most: so many that all together fit. (P-BRD-4)
    #[must_use]
    pub fn part_max(&self) -> usize {
        // Shards that are not the home have one part together: they have nothing to say.
        let parts = usize::from(self.manifest.n()).saturating_add(self.manifest.officials.len()).saturating_add(2);
        ENVELOPES_MAX / parts
    }

    /// Whose part an envelope counts for.
    fn account(&self, sender: Sender) -> Sender {
        match sender {
            Sender::Shard(index) if index != self.manifest.home => Sender::Shard(ShardIndex(0)),
            other => other,
        }
    }

    /// Takes a checked envelope in, and draws the conclusions. Total and idempotent. (P-BRD-2)
    pub fn absorb(&mut self, envelope: CheckedEnvelope) {
        let CheckedEnvelope(envelope) = envelope;
        let slot = envelope.slot();
        if self.slots.contains_key(&slot) && !bug!(EquivocationOverwrites) {
            return;
        }
        if (30..=32).contains(&slot.tag) {
            // Votes refuse what is out of their bounds; the board keeps it as it keeps everything that was signed.
            let _ = self.votes.absorb(&envelope);
        }
        let said = self.said.entry(self.account(slot.sender)).or_default();
        *said = said.saturating_add(1);
        self.slots.insert(slot, envelope);
        self.conclude(slot);
    }

    fn conclude(&mut self, slot: Slot) {
        if slot.tag == 51 {
            self.conclude_commitment(slot);
        }
        match slot.tag {
            2 | 3 => self.conclude_manifest(slot.sender),
            10..=19 => {
                self.conclude_ceremony(Attempt(slot.number));
                self.conclude_rehearsal();
            }
            30..=32 if self.certificate.is_none() => {
                self.certificate = self.votes.certificate();
                let amnesia = self.votes.amnesia();
                for wrong in amnesia {
                    self.record_evidence(wrong);
                }
                self.conclude_tally();
            }
            33 | 40 => self.conclude_tally(),
            50..=53 if slot.topic == u16::from(Purpose::Rehearsal.tag()) && self.rehearsal_signature.is_none() => {
                self.rehearsal_signature = self.find_rehearsal_signature();
                if self.rehearsal_signature.is_none() && self.certified.len() > 1 {
                    self.choose_key();
                }
            }
            _ => {}
        }
    }

    /// P-MAN-4: one word from each trustee; who says both is named, and its acceptance stands.
    fn conclude_manifest(&mut self, trustee: Sender) {
        let said = [3, 2].map(|tag| self.get(tag, 0, 0, trustee).cloned());
        if let [Some(refused), Some(accepted)] = said {
            let envelopes = alloc::vec![refused, accepted];
            self.record_evidence(Evidence { accused: trustee, wrong: Wrong::AcceptedAndRefused, envelopes });
        }
    }

    /// P-DKG-6: the certificate of the highest attempt that all confirmed; wrongs that the transcript shows.
    fn conclude_ceremony(&mut self, attempt: Attempt) {
        let judged = transcript_of(&self.slots, &self.election, &self.manifest, attempt).judge(&mut self.memory);
        let flaws: Vec<Evidence> = judged
            .flaws()
            .iter()
            .map(|flaw| Evidence {
                accused: Sender::Trustee(flaw.culprit),
                wrong: flaw.wrong,
                envelopes: flaw.proof.iter().filter_map(|slot| self.slots.get(slot).cloned()).collect(),
            })
            .collect();
        let known = self.certified.contains_key(&attempt);
        let key = judged.certificate().filter(|_| !known && judged.certified()).cloned();
        for flaw in flaws {
            self.record_evidence(flaw);
        }
        if let Some(key) = key {
            self.certified.insert(attempt, key);
            self.choose_key();
        }
    }

    /// Of several certified attempts, which takes a trustee that confirms what it gave up, the one counts whose rehearsal all
    /// have signed, which no honest trustee does for two; else the highest. Not the order of arrival. (P-DKG-7)
    fn choose_key(&mut self) {
        let mut chosen = self.certified.last_key_value().map(|(attempt, _)| *attempt);
        if self.certified.len() > 1 {
            let attempts: Vec<Attempt> = self.certified.keys().copied().collect();
            let signed = |board: &mut Self, attempt: &Attempt| {
                board.take_key(*attempt);
                board.find_rehearsal_signature().is_some()
            };
            chosen = attempts.into_iter().find(|attempt| signed(self, attempt)).or(chosen);
        }
        if let Some(attempt) = chosen {
            self.take_key(attempt);
            self.conclude_rehearsal();
        }
    }

    fn take_key(&mut self, attempt: Attempt) {
        let Some(key) = self.certified.get(&attempt).cloned() else { return };
        if self.key.as_ref() == Some(&key) {
            return;
        }
        self.signing_keys = SigningKeys::new(&key.signing_key, &key.signing_shares, self.manifest.quorums.s).ok();
        self.key_digest = Some(key.digest());
        self.key = Some(key);
        self.rehearsed.clear();
        self.rehearsals_failed.clear();
        self.rehearsal_signature = self.find_rehearsal_signature();
    }

    /// P-DKG-8: who decrypted the rehearsal ciphertext rightly.
    fn conclude_rehearsal(&mut self) {
        let Some(key) = &self.key else { return };
        let digest = key.digest();
        let base = ceremony::rehearsal_ciphertext(key).a.raw();
        let mut rehearsed = BTreeSet::new();
        let mut wrongs = Vec::new();
        for envelope in self.of_kind(19) {
            let (Sender::Trustee(from), Body::Rehearsal(body)) = (envelope.sender, &envelope.body) else { continue };
            if body.attempt != key.attempt || self.rehearsed.contains(&from) {
                continue;
            }
            let Some(share) = key.election_share(from) else { continue };
            let scope = dleq::Scope::Rehearsal { attempt: key.attempt, digest };
            let context = dleq::Context { election: self.election, scope, trustee: from };
            match dleq::verify(&context, share, &[base], &[body.partial], &body.proof) {
                Ok(_) => {
                    rehearsed.insert(from);
                }
                Err(wrong) => {
                    wrongs.push(Evidence { accused: envelope.sender, wrong, envelopes: alloc::vec![envelope.clone()] })
                }
            }
        }
        self.rehearsed.extend(rehearsed);
        for wrong in wrongs {
            self.record_evidence(wrong);
        }
    }

    /// P-SIG-3.1: a commitment that is no pair of points is wrong in itself.
    fn conclude_commitment(&mut self, slot: Slot) {
        let Some(envelope) = self.slots.get(&slot) else { return };
        let Body::SignCommitment(commitment) = &envelope.body else { return };
        if let Err(wrong) = crate::signing::check_commitment(commitment) {
            let evidence = Evidence { accused: envelope.sender, wrong, envelopes: alloc::vec![envelope.clone()] };
            self.record_evidence(evidence);
        }
    }

    /// P-LOT-2, P-TAL: lots, partial decryptions, result.
    fn conclude_tally(&mut self) {
        let (Some(key), Some(vote_set)) = (&self.key, self.vote_set()) else { return };
        let (mut wrongs, mut drawn, mut opened) = (Vec::new(), Vec::new(), Vec::new());
        for envelope in self.of_kind(33) {
            let (Sender::Trustee(from), Body::Lot(body)) = (envelope.sender, &envelope.body) else { continue };
            if self.lots.contains_key(&from) {
                continue;
            }
            let Some(lot_key) = key.lot_key(from) else { continue };
            match lots::verify(lot_key, body, &self.election, &vote_set, from) {
                Ok(output) => drawn.push((from, output)),
                Err(refusal) => {
                    let wrong = if refusal == LotRefusal::OtherVoteSet { Wrong::OtherVoteSet } else { Wrong::BadLot };
                    wrongs.push((envelope.sender, wrong, envelope.clone()));
                }
            }
        }
        if let Some(sums) = &self.sums {
            for envelope in self.of_kind(40) {
                let (Sender::Trustee(from), Body::Partials(body)) = (envelope.sender, &envelope.body) else { continue };
                if self.partials.contains_key(&from) {
                    continue;
                }
                let Some(share) = key.election_share(from) else { continue };
                match tally::check_partials(self.election, from, vote_set, share, sums, body) {
                    Ok(points) => opened.push((from, points)),
                    Err(wrong) => wrongs.push((envelope.sender, wrong, envelope.clone())),
                }
            }
        }
        self.lots.extend(drawn);
        self.partials.extend(opened);
        for (accused, wrong, envelope) in wrongs {
            self.record_evidence(Evidence { accused, wrong, envelopes: alloc::vec![envelope] });
        }
        self.conclude_result(vote_set);
    }

    fn conclude_result(&mut self, vote_set: Hash) {
        let threshold = self.manifest.quorums.t;
        let threshold = if bug!(OneShareLess) { threshold.saturating_sub(1) } else { threshold };
        if self.result.is_some() || self.partials.len() < usize::from(threshold) {
            return;
        }
        let (Some(sums), Some(certificate)) = (&self.sums, &self.certificate) else { return };
        self.result = Some(tally::combine(threshold, &self.partials, sums).and_then(|mut messages| {
            // The last sum is the beacon: it encrypts nothing, and what comes out nobody could choose. (P-LOT-4)
            let beacon = messages.pop().unwrap_or_else(crate::group::identity);
            let lot = |contest, option| lots::tie_lot(&beacon, contest, option);
            ElectionResult::count(&self.manifest, &certificate.value, vote_set, &messages, &lot)
        }));
    }

    /// Shows the board what a trustee or the home shard has summed up itself. Taken if it is what was certified.
    pub fn set_aggregate(&mut self, closed: &ClosedBox) -> bool {
        if self.sums.is_some() {
            return true;
        }
        let certified = self
            .certificate
            .as_ref()
            .is_some_and(|certificate| certificate.value == closed.vote_set || bug!(AggregateNotCertified));
        if certified && let Some(vote_set) = self.vote_set() {
            self.sums = Some(lots::with_beacon(closed.sums(), &self.election, &vote_set));
            self.conclude_tally();
        }
        certified
    }

    /// Takes note of a proven wrong. `false` if it was noted before.
    pub fn record_evidence(&mut self, evidence: Evidence) -> bool {
        let known = self.evidence.iter().any(|known| {
            known.accused == evidence.accused
                && known.wrong == evidence.wrong
                && known.envelopes.first().map(Envelope::slot) == evidence.envelopes.first().map(Envelope::slot)
        });
        if let (Sender::Trustee(trustee), Wrong::Equivocation) = (evidence.accused, evidence.wrong) {
            self.votes.distrust(trustee);
        }
        if !known && self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(evidence);
        }
        !known
    }

    /// The key ceremony's public messages of one attempt, judged. (P-DKG)
    #[must_use]
    pub fn ceremony(&self, attempt: Attempt) -> Judged<'_> {
        let mut memory = self.memory.clone();
        transcript_of(&self.slots, &self.election, &self.manifest, attempt).judge(&mut memory)
    }

    /// The attempt that is being made: one more than the newest that a trustee gave up and an official asked to repeat.
    /// (P-DKG-7)
    #[must_use]
    pub fn current_attempt(&self) -> Attempt {
        let mut attempt = Attempt(1);
        let mut asked: Vec<u32> = self
            .of_kind(18)
            .filter_map(|envelope| match &envelope.body {
                Body::NextAttempt(body) => Some(body.attempt.0),
                _ => None,
            })
            .collect();
        asked.sort_unstable();
        for next in asked {
            if next == attempt.0.saturating_add(1) && self.given_up(attempt) {
                attempt = Attempt(next);
            }
        }
        attempt
    }

    /// Whether an attempt cannot be certified any more: a trustee has said that it will not confirm it, or what is on the
    /// board shows a wrong or a dispute.
    #[must_use]
    pub fn given_up(&self, attempt: Attempt) -> bool {
        let said = self.of_kind(14).chain(self.of_kind(17)).any(|envelope| envelope.slot().number == attempt.0);
        said || {
            let judged = self.ceremony(attempt);
            !judged.flaws().is_empty() || !judged.disputes().is_empty()
        }
    }

    /// Envelopes of one kind, in slot order.
    pub fn of_kind(&self, tag: u16) -> impl Iterator<Item = &Envelope> {
        self.slots.range(tag_range(tag, tag)).map(|(_, envelope)| envelope)
    }

    /// What is in a slot.
    #[must_use]
    pub fn get(&self, tag: u16, number: u32, topic: u16, sender: Sender) -> Option<&Envelope> {
        self.slots.get(&Slot { tag, number, topic, sender })
    }

    /// Whether a slot is filled.
    #[must_use]
    pub fn has(&self, tag: u16, number: u32, topic: u16, sender: Sender) -> bool {
        self.slots.contains_key(&Slot { tag, number, topic, sender })
    }

    /// Everything that a trustee has said.
    pub fn said_by(&self, trustee: TrusteeIndex) -> impl Iterator<Item = &Body> {
        let all = self.slots.values().filter(move |envelope| envelope.sender == Sender::Trustee(trustee));
        all.map(|envelope| &envelope.body)
    }

    /// All envelopes, in slot order.
    pub fn envelopes(&self) -> impl Iterator<Item = &Envelope> {
        self.slots.values()
    }
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
    /// The election.
    #[must_use]
    pub fn election(&self) -> ElectionId {
        self.election
    }
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }
    /// Proven wrongs, in the order in which they were noted.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }
    /// Whether an official has put the election forward.
    #[must_use]
    pub fn announced(&self) -> bool {
        self.of_kind(1).next().is_some()
    }
    /// Whether every trustee's operator has accepted the manifest.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.manifest.trustee_indices().all(|index| self.has(2, 0, 0, Sender::Trustee(index)))
    }
    /// Whether a trustee's operator has refused the manifest. Who had accepted it cannot take that back. (P-MAN-4)
    #[must_use]
    pub fn refused(&self) -> bool {
        let refused = |sender| self.has(3, 0, 0, sender) && !self.has(2, 0, 0, sender);
        self.manifest.trustee_indices().any(|index| refused(Sender::Trustee(index)))
    }
    /// The certified keys.
    #[must_use]
    pub fn key_certificate(&self) -> Option<&KeyCertificate> {
        self.key.as_ref()
    }
    /// Digest of the certified keys.
    #[must_use]
    pub fn key_digest(&self) -> Option<Hash> {
        self.key_digest
    }
    /// The certified signing keys, decoded.
    #[must_use]
    pub fn signing_keys(&self) -> Option<&SigningKeys> {
        self.signing_keys.as_ref()
    }
    /// Whether every trustee has decrypted the rehearsal ciphertext rightly.
    #[must_use]
    pub fn all_rehearsed(&self) -> bool {
        self.key.is_some() && self.rehearsed.len() == usize::from(self.manifest.n())
    }
    /// Whether both keys were tried by every trustee. (P-DKG-8)
    #[must_use]
    pub fn rehearsed(&self) -> bool {
        self.all_rehearsed() && self.rehearsal_signature.is_some() || (bug!(RehearsalSkipped) && self.key.is_some())
    }
    /// Whether the election may be opened: keys tried, and their certificate anchored. (P-VOT-2)
    #[must_use]
    pub fn ready(&self) -> bool {
        self.rehearsed() && self.anchored(Purpose::AnchorKey).is_some()
    }
    /// Whether an official has asked to open with the certified key.
    #[must_use]
    pub fn open_requested(&self) -> bool {
        self.names_our_key(20) > 0
    }
    /// Whether a quorum of trustees has opened the election.
    #[must_use]
    pub fn opened(&self) -> bool {
        self.names_our_key(21) >= usize::from(self.manifest.quorums.q)
    }
    /// Whether an official has asked to close.
    #[must_use]
    pub fn close_requested(&self) -> bool {
        self.names_our_key(22) > 0
    }
    /// Whether a quorum of trustees has closed the election.
    #[must_use]
    pub fn closed(&self) -> bool {
        let wanted = if bug!(OneTrusteeCloses) { 1 } else { self.manifest.quorums.q };
        self.opened() && self.names_our_key(23) >= usize::from(wanted)
    }

    /// How many envelopes of a kind name the certified key.
    fn names_our_key(&self, tag: u16) -> usize {
        let Some(ours) = self.key_digest else { return 0 };
        let named = self.of_kind(tag).filter(|envelope| match &envelope.body {
            Body::OpenRequest(body) => body.key_certificate == ours,
            Body::Open(body) => body.key_certificate == ours,
            Body::CloseRequest(body) => body.key_certificate == ours,
            Body::Close(body) => body.key_certificate == ours,
            _ => false,
        });
        named.count()
    }

    /// Where the home shard says that the log ends.
    #[must_use]
    pub fn sealed(&self) -> Option<&crate::agreement::messages::Sealed> {
        match &self.get(24, 0, 0, Sender::Shard(self.manifest.home))?.body {
            Body::Sealed(sealed) => Some(sealed),
            _ => None,
        }
    }
    /// The votes of the agreement.
    #[must_use]
    pub fn votes(&self) -> &Votes {
        &self.votes
    }
    /// The vote sets that a trustee has prevoted, as far as their proposals are here.
    pub fn prevoted_by(&self, trustee: TrusteeIndex) -> impl Iterator<Item = &crate::agreement::messages::VoteSet> {
        self.said_by(trustee).filter_map(|body| match body {
            Body::Prevote(prevote) => self.votes.value(prevote.value.as_ref()?),
            _ => None,
        })
    }
    /// The certified vote set.
    #[must_use]
    pub fn certificate(&self) -> Option<&VoteSetCertificate> {
        self.certificate.as_ref()
    }
    /// Hash of the certified vote set.
    #[must_use]
    pub fn vote_set(&self) -> Option<Hash> {
        self.certificate.as_ref().map(|certificate| certificate.value.hash(&self.election))
    }
    /// Verified lots.
    #[must_use]
    pub fn lots(&self) -> &BTreeMap<TrusteeIndex, Hash> {
        &self.lots
    }
    /// Trustees in the order in which they decrypt and sign first. (P-LOT-3)
    #[must_use]
    pub fn lot_order(&self) -> Vec<TrusteeIndex> {
        lots::order(self.manifest.n(), &self.lots)
    }
    /// Trustees whose partial decryptions hold.
    pub fn decrypted(&self) -> impl Iterator<Item = TrusteeIndex> {
        self.partials.keys().copied()
    }
    /// The result.
    #[must_use]
    pub fn result(&self) -> Option<&ElectionResult> {
        self.result.as_ref()?.as_ref().ok()
    }
    /// Why there is none though enough partial decryptions are there.
    #[must_use]
    pub fn tally_trouble(&self) -> Option<&tally::TallyRefusal> {
        self.result.as_ref()?.as_ref().err()
    }
    /// The sums that are decrypted: the aggregate in contest and option order, and the beacon.
    #[must_use]
    pub fn sums(&self) -> Option<&[(RawPoint, RawPoint)]> {
        self.sums.as_deref()
    }
}

fn transcript_of<'a>(
    slots: &'a BTreeMap<Slot, Envelope>,
    election: &'a ElectionId,
    manifest: &'a Manifest,
    attempt: Attempt,
) -> Transcript<'a> {
    let mut transcript = Transcript::new(election, manifest, attempt);
    for tag in 10..=17 {
        let place = |topic, sender| Slot { tag, number: attempt.0, topic, sender };
        let first = place(0, Sender::Trustee(TrusteeIndex(0)));
        for (_, envelope) in slots.range(first..=place(u16::MAX, Sender::Official(u16::MAX))) {
            if let Sender::Trustee(from) = envelope.sender {
                transcript.add(from, &envelope.body);
            }
        }
    }
    transcript
}

/// All slots whose tag is in a range.
fn tag_range(first: u16, last: u16) -> core::ops::RangeInclusive<Slot> {
    let from = Slot { tag: first, number: 0, topic: 0, sender: Sender::Trustee(TrusteeIndex(0)) };
    let to = Slot { tag: last, number: u32::MAX, topic: u16::MAX, sender: Sender::Official(u16::MAX) };
    from..=to
}
