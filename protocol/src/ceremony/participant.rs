//! One trustee's side of one attempt: what it owes, and in the end its shares. (P-DKG)

use super::{
    AttemptSeed, CeremonyStep, Judged, KeyCertificate, commitment, dispute_digest,
    messages::{Commit, Complaint, Confirm, Opening, Reveal, SealedShare, ShareFlaw, Shares, Terms},
    polynomial::{self, Election, Polynomial, Purpose as _, Signing},
    sealing::{self, Route, SealingKey},
    seed::SubSeeds,
    terms_digest,
};
use crate::{
    encoding::Bytes,
    group::{Scalar, decode_scalar},
    ids::{Attempt, ElectionId, TrusteeIndex},
    manifest::Manifest,
    signed::Body,
};
use alloc::{vec, vec::Vec};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// What a trustee says in a ceremony by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the message of that name")]
pub enum CeremonyMessage {
    Terms(Terms),
    Commit(Commit),
    Reveal(Reveal),
    Shares(Shares),
    Complaint(Complaint),
    Opening(Opening),
    Confirm(Confirm),
}

impl From<CeremonyMessage> for Body {
    fn from(message: CeremonyMessage) -> Self {
        match message {
            CeremonyMessage::Terms(body) => body.into(),
            CeremonyMessage::Commit(body) => body.into(),
            CeremonyMessage::Reveal(body) => body.into(),
            CeremonyMessage::Shares(body) => body.into(),
            CeremonyMessage::Complaint(body) => body.into(),
            CeremonyMessage::Opening(body) => body.into(),
            CeremonyMessage::Confirm(body) => body.into(),
        }
    }
}

/// Why this trustee says nothing more in the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DutyRefusal {
    /// Not in the manifest.
    #[error("trustee {me} is not one of the {n} trustees of the manifest")]
    NotATrustee {
        /// Who asked.
        me: TrusteeIndex,
        /// How many there are.
        n: u16,
    },
    /// Another election or attempt than this participant was made for.
    #[error("the transcript is of attempt {got}, this state is of attempt {expected}, or of another election")]
    OtherAttempt {
        /// This participant's.
        expected: Attempt,
        /// The transcript's.
        got: Attempt,
    },
    /// The board holds something that this seed does not make.
    #[error(
        "the board holds another {kind} of this trustee than its seed makes: the state was lost, restored from elsewhere or runs twice; abandon the attempt"
    )]
    SeedMismatch {
        /// Kind of message.
        kind: &'static str,
    },
    /// The suite's library failed where it cannot.
    #[error("a key could not be made from the seed; abandon the attempt")]
    Arithmetic,
}

/// Why there are no key shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Not yet certified by everybody: no key exists.
    #[error("the attempt is not certified: {confirmed} of {n} trustees confirmed it")]
    NotCertified {
        /// How many did.
        confirmed: usize,
        /// How many there are.
        n: u16,
    },
    /// Not this participant's transcript.
    #[error(transparent)]
    Duty(#[from] DutyRefusal),
    /// A share that was checked before does not check now.
    #[error("the share of trustee {from} does not open or match: the state does not belong to this board")]
    BadShare {
        /// Who sent it.
        from: TrusteeIndex,
    },
    /// The sum is not what the certificate says.
    #[error("the key shares do not match the key certificate: the state does not belong to this board")]
    CertificateMismatch,
}

/// One trustee in one attempt, with its secrets in memory; zeroized when dropped. Made again from the seed after a crash.
///
/// Terms, commit and reveal are functions of seed and manifest alone. Shares, complaints, openings and the confirmation
/// depend on others' messages too: what was signed is durable before it leaves, and the board that it was derived from is
/// never replaced by another.
pub struct Participant {
    me: TrusteeIndex,
    election: ElectionId,
    attempt: Attempt,
    s: u16,
    seeds: SubSeeds,
    sealing_key: SealingKey,
    lot_key: schnorrkel::Keypair,
    signing: Polynomial,
    election_polynomial: Polynomial,
    terms: Terms,
    commit: Commit,
    reveal: Reveal,
}

impl core::fmt::Debug for Participant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Participant").field("me", &self.me).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Participant {
    /// Draws everything from the seed: about 20 us per coefficient.
    ///
    /// # Errors
    /// [`DutyRefusal::NotATrustee`].
    pub fn new(
        me: TrusteeIndex,
        seed: &AttemptSeed,
        manifest: &Manifest,
        attempt: Attempt,
    ) -> Result<Self, DutyRefusal> {
        if manifest.trustee(me).is_none() {
            return Err(DutyRefusal::NotATrustee { me, n: manifest.n() });
        }
        let election = manifest.id();
        let seeds = SubSeeds::new(seed, election, attempt, me);
        let sealing_key = SealingKey::derive(&seeds.derive("sealing-key", me));
        let lot_key = schnorrkel::Keypair::generate_with(seeds.rng("lot-key"));
        let (t, s) = (manifest.quorums.t, manifest.quorums.s);
        let (t, s) = if bug!(ThresholdsSwapped) { (s, t) } else { (t, s) };
        let drawn = Polynomial::draw::<Signing>(me, s, &mut seeds.rng("signing"));
        let (signing, signing_package) = drawn.ok_or(DutyRefusal::Arithmetic)?;
        let drawn = Polynomial::draw::<Election>(me, t, &mut seeds.rng("election"));
        let (election_polynomial, election_package) = drawn.ok_or(DutyRefusal::Arithmetic)?;
        let reveal = Reveal {
            attempt,
            signing_commitments: signing_package.commitments,
            signing_proof: signing_package.proof,
            election_commitments: election_package.commitments,
            election_proof: election_package.proof,
            nonce: *seeds.derive("reveal-nonce", me),
        };
        Ok(Self {
            me,
            election,
            attempt,
            s,
            terms: Terms {
                attempt,
                digest: terms_digest(&election, attempt, manifest),
                sealing_key: *sealing_key.public(),
                lot_key: lot_key.public.to_bytes(),
            },
            commit: Commit { attempt, commitment: commitment(&election, attempt, me, &reveal) },
            reveal,
            seeds,
            sealing_key,
            lot_key,
            signing,
            election_polynomial,
        })
    }

    /// What this trustee owes now and has not said: the next message of an attempt in order, an opening that it was asked
    /// for, a complaint about a bad share. Asking again gives the same bytes. Costs about 0.2 ms per trustee where shares are
    /// made or checked, else nothing.
    ///
    /// # Errors
    /// [`DutyRefusal`]: say nothing in this attempt but [`crate::ceremony::messages::Abandon`].
    pub fn duty(&self, judged: &Judged<'_>) -> Result<Vec<CeremonyMessage>, DutyRefusal> {
        self.recognise(judged)?;
        let board = judged.transcript();
        Ok(match judged.step() {
            CeremonyStep::Terms if !board.terms.contains_key(&self.me) => {
                vec![CeremonyMessage::Terms(self.terms.clone())]
            }
            CeremonyStep::Commit if !board.commits.contains_key(&self.me) => {
                vec![CeremonyMessage::Commit(self.commit.clone())]
            }
            CeremonyStep::Reveal if !board.reveals.contains_key(&self.me) => {
                vec![CeremonyMessage::Reveal(self.reveal.clone())]
            }
            CeremonyStep::Shares if !board.shares.contains_key(&self.me) => {
                vec![CeremonyMessage::Shares(self.shares(judged)?)]
            }
            CeremonyStep::Confirm if !board.confirms.contains_key(&self.me) => self.verdict(judged),
            CeremonyStep::GivenUp => self.after_given_up(judged)?,
            _ => Vec::new(),
        })
    }

    /// This trustee's shares of the certified keys.
    ///
    /// # Errors
    /// [`KeyRefusal`]; before everybody confirmed there is no key.
    pub fn key_shares(&self, judged: &Judged<'_>) -> Result<KeyShares, KeyRefusal> {
        self.recognise(judged)?;
        let manifest = judged.transcript().manifest;
        let certificate = judged
            .certificate()
            .filter(|_| judged.certified())
            .ok_or(KeyRefusal::NotCertified { confirmed: judged.transcript().confirms.len(), n: manifest.n() })?;
        let mut signing = self.signing.at(self.me);
        let mut election = self.election_polynomial.at(self.me);
        for from in manifest.trustee_indices().filter(|from| *from != self.me) {
            // > Each `P_i` calculates their long-lived private signing share by computing `s_i = sum_l f_l(i)`.
            let share = self.received(judged, from).map_err(|_| KeyRefusal::BadShare { from })?;
            *signing += *share.signing;
            *election += *share.election;
        }
        KeyShares::new(self.me, self.s, signing, election, self.lot_key.clone(), certificate)
    }

    /// The board's messages of this trustee are those of this seed.
    fn recognise(&self, judged: &Judged<'_>) -> Result<(), DutyRefusal> {
        let board = judged.transcript();
        if *board.election != self.election || board.attempt != self.attempt {
            return Err(DutyRefusal::OtherAttempt { expected: self.attempt, got: board.attempt });
        }
        if board.terms.get(&self.me).is_some_and(|body| **body != self.terms) {
            return Err(DutyRefusal::SeedMismatch { kind: "Terms" });
        }
        if board.commits.get(&self.me).is_some_and(|body| **body != self.commit) {
            return Err(DutyRefusal::SeedMismatch { kind: "Commit" });
        }
        if board.reveals.get(&self.me).is_some_and(|body| **body != self.reveal) {
            return Err(DutyRefusal::SeedMismatch { kind: "Reveal" });
        }
        Ok(())
    }

    fn plaintext(&self, to: TrusteeIndex) -> Zeroizing<[u8; 64]> {
        let (signing, election) = (self.signing.at(to), self.election_polynomial.at(to));
        Zeroizing::new(polynomial::join(signing.as_bytes(), election.as_bytes()))
    }

    #[cfg(test)]
    pub(super) fn plaintext_for_test(&self, to: TrusteeIndex) -> Zeroizing<[u8; 64]> {
        self.plaintext(to)
    }

    fn route<'j>(&self, judged: &'j Judged<'_>, from: TrusteeIndex, to: TrusteeIndex) -> Route<'j> {
        let board = judged.transcript();
        Route { election: board.election, attempt: self.attempt, terms: judged.terms_digest(), from, to }
    }

    /// > Each `P_i` securely sends to each other participant `P_l` a secret share `(l, f_i(l))`.
    fn shares(&self, judged: &Judged<'_>) -> Result<Shares, DutyRefusal> {
        let board = judged.transcript();
        let mut shares = Vec::new();
        for (to, terms) in board.terms.iter().filter(|(to, _)| **to != self.me) {
            let seed = self.seeds.derive("sealing", *to);
            let route = self.route(judged, self.me, *to);
            let sealed = sealing::seal(&terms.sealing_key, &route, &seed, &self.plaintext(*to));
            shares.push(SealedShare { to: *to, sealed: Bytes(sealed.ok_or(DutyRefusal::Arithmetic)?) });
        }
        Ok(Shares { attempt: self.attempt, shares })
    }

    /// Confirms if every share that it was sent is good, else complains about each that is not.
    fn verdict(&self, judged: &Judged<'_>) -> Vec<CeremonyMessage> {
        let Some(certificate) = judged.certificate() else { return Vec::new() };
        let complaints = self.complaints(judged);
        if !complaints.is_empty() {
            return complaints;
        }
        vec![CeremonyMessage::Confirm(Confirm {
            attempt: self.attempt,
            transcript: certificate.transcript,
            certificate: certificate.digest(),
        })]
    }

    fn complaints(&self, judged: &Judged<'_>) -> Vec<CeremonyMessage> {
        let board = judged.transcript();
        let Some(terms) = board.terms.get(&self.me) else { return Vec::new() };
        let mut complaints = Vec::new();
        for (from, shares) in board.shares.iter().filter(|(from, _)| **from != self.me) {
            let Some(reveal) = board.reveals.get(from) else { continue };
            if let Err(flaw) = self.received(judged, *from)
                && !bug!(BadShareConfirmed)
            {
                let about = dispute_digest(board.election, (*from, reveal, shares), (self.me, terms));
                let complaint = Complaint { attempt: self.attempt, against: *from, flaw, about };
                complaints.push(CeremonyMessage::Complaint(complaint));
            }
        }
        complaints
    }

    /// Opens and checks the share that `from` sent.
    fn received(&self, judged: &Judged<'_>, from: TrusteeIndex) -> Result<Share, ShareFlaw> {
        let shares = judged.transcript().shares.get(&from).ok_or(ShareFlaw::Sealed)?;
        let posted = shares.shares.iter().find(|share| share.to == self.me).ok_or(ShareFlaw::Sealed)?;
        let checked = judged.sound(from).ok_or(ShareFlaw::Sealed)?;
        let route = self.route(judged, from, self.me);
        let plain = self.sealing_key.open(&route, &posted.sealed.0).ok_or(ShareFlaw::Sealed)?;
        let (signing, election) = polynomial::split(&plain);
        let (signing, election) = (Zeroizing::new(signing), Zeroizing::new(election));
        let signing = Zeroizing::new(decode_scalar("share", &signing).map_err(|_| ShareFlaw::Signing)?);
        let election = Zeroizing::new(decode_scalar("share", &election).map_err(|_| ShareFlaw::Election)?);
        if !checked.signing.share_matches(self.me, &signing) {
            return Err(ShareFlaw::Signing);
        }
        if !checked.election.share_matches(self.me, &election) {
            return Err(ShareFlaw::Election);
        }
        Ok(Share { signing, election })
    }

    /// The keys are never used: answer complaints, and finish complaining if that was what ended it.
    fn after_given_up(&self, judged: &Judged<'_>) -> Result<Vec<CeremonyMessage>, DutyRefusal> {
        let board = judged.transcript();
        let mut owed = Vec::new();
        for (by, _) in board.complaints.keys().filter(|(_, against)| *against == self.me) {
            if board.openings.contains_key(&(self.me, *by)) {
                continue;
            }
            let (Some(terms), Some(reveal), Some(shares)) =
                (board.terms.get(by), board.reveals.get(&self.me), board.shares.get(&self.me))
            else {
                continue;
            };
            // A share of another state would be opened wrongly, and its sender blamed for it.
            if **shares != self.shares(judged)? {
                return Err(DutyRefusal::SeedMismatch { kind: "Shares" });
            }
            owed.push(CeremonyMessage::Opening(Opening {
                attempt: self.attempt,
                to: *by,
                seed: *self.seeds.derive("sealing", *by),
                plaintext: *self.plaintext(*by),
                about: dispute_digest(board.election, (self.me, reveal, shares), (*by, terms)),
            }));
        }
        let started = board.complaints.keys().any(|(by, _)| *by == self.me);
        if started && !board.confirms.contains_key(&self.me) && judged.certificate().is_some() {
            let missing = |message: &CeremonyMessage| match message {
                CeremonyMessage::Complaint(body) => !board.complaints.contains_key(&(self.me, body.against)),
                _ => false,
            };
            owed.extend(self.complaints(judged).into_iter().filter(missing));
        }
        Ok(owed)
    }
}

struct Share {
    signing: Zeroizing<Scalar>,
    election: Zeroizing<Scalar>,
}

/// A share of the election key. Zeroized when dropped. It cannot sign: FROST wants another type. (D10)
#[derive(Clone, ZeroizeOnDrop)]
pub struct ElectionShare(Scalar);

impl ElectionShare {
    /// `x_i`, for partial decryptions and nothing else.
    #[must_use]
    pub fn secret(&self) -> &Scalar {
        &self.0
    }
}

impl core::fmt::Debug for ElectionShare {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ElectionShare(redacted)")
    }
}

/// One trustee's secrets under a certificate. Only [`Participant::key_shares`] makes them, after checking them against it.
#[derive(Clone)]
pub struct KeyShares {
    /// Whose.
    pub me: TrusteeIndex,
    /// Signs on chain; zeroized when dropped.
    pub signing: frost_ed25519::keys::KeyPackage,
    /// Decrypts.
    pub election: ElectionShare,
    /// Draws lots; zeroized when dropped.
    pub lot: schnorrkel::Keypair,
}

impl core::fmt::Debug for KeyShares {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyShares").field("me", &self.me).finish_non_exhaustive()
    }
}

impl KeyShares {
    fn new(
        me: TrusteeIndex,
        s: u16,
        signing: Zeroizing<Scalar>,
        election: Zeroizing<Scalar>,
        lot: schnorrkel::Keypair,
        certificate: &KeyCertificate,
    ) -> Result<Self, KeyRefusal> {
        let public = Signing::encode(&Signing::base_mul(&signing));
        let matches = certificate.signing_share(me) == Some(&public)
            && certificate.election_share(me).is_some_and(|share| share.raw() == Election::base_mul(&election))
            && certificate.lot_key(me) == Some(&lot.public.to_bytes());
        if !matches {
            return Err(KeyRefusal::CertificateMismatch);
        }
        let frost = || {
            Some(frost_ed25519::keys::KeyPackage::new(
                frost_ed25519::Identifier::try_from(me.0).ok()?,
                frost_ed25519::keys::SigningShare::deserialize(signing.as_bytes()).ok()?,
                frost_ed25519::keys::VerifyingShare::deserialize(&public).ok()?,
                frost_ed25519::VerifyingKey::deserialize(&certificate.signing_key).ok()?,
                s,
            ))
        };
        let signing = frost().ok_or(KeyRefusal::CertificateMismatch)?;
        Ok(Self { me, signing, election: ElectionShare(*election), lot })
    }
}
