//! What a trustee owes, stage by stage. (P-KEE-2)

use super::{Decision, Duty, Keeper, LOTS_WAIT_MS, STAND_BY_MS};
use crate::{
    agreement::{
        Backing, Judgement, judge,
        messages::{Close, Open, VoteSet},
    },
    board::{Stage, Transactions},
    ceremony::{
        AttemptSeed,
        messages::{Abandon, Rehearsal},
        rehearsal_ciphertext,
    },
    dleq,
    ids::TimeMs,
    lots,
    signed::{Accept, Body, Refuse, Sender},
    tally::messages::Partials,
};
use alloc::{
    format,
    string::{String, ToString as _},
    vec,
    vec::Vec,
};
use rand_core::CryptoRngCore;

impl Keeper {
    /// What this trustee owes now. To be called again after performing, until it is empty. (P-KEE-2)
    ///
    /// `rng` must be fresh entropy; `tx` builds the chain's transactions.
    pub fn duties(&mut self, now: TimeMs, rng: &mut dyn CryptoRngCore, tx: &dyn Transactions) -> Vec<Duty> {
        self.refresh();
        self.board.judge_shares(tx);
        if self.certified_at.is_none() && self.board.certificate().is_some() {
            self.certified_at = Some(now);
        }
        if let Some(duty) = self.manifest_duty() {
            return vec![duty];
        }
        if self.board.stage() == Stage::Stopped || !self.board.accepted() {
            return Vec::new();
        }
        if self.board.key_certificate().is_none() {
            return self.ceremony_duties(rng);
        }
        let mut duties = Vec::new();
        #[cfg(feature = "bugs")]
        duties.extend(self.early_partials(rng));
        duties.extend(self.rehearsal_duty(rng));
        duties.extend(self.signing_duties(rng, tx));
        duties.extend(self.voting_duties(now));
        duties.extend(self.agreement_duties(now));
        duties.extend(self.lot_duty(rng));
        duties.extend(self.partials_duty(now, rng));
        duties.into_iter().map(Duty::Post).collect()
    }

    fn has_said(&self, kind: u16, number: u32) -> bool {
        self.board.has(kind, number, 0, Sender::Trustee(self.me))
    }

    /// P-MAN-4: the operator's word, once.
    fn manifest_duty(&self) -> Option<Duty> {
        if !self.board.announced() || self.has_said(2, 0) || self.has_said(3, 0) {
            return None;
        }
        match self.decision.as_ref()? {
            Decision::Accept => Some(Duty::Post(Accept {}.into())),
            Decision::Refuse { reason } => Some(Duty::Post(Refuse { reason: reason.clone() }.into())),
        }
    }

    /// P-DKG: the current attempt, from its seed.
    fn ceremony_duties(&self, rng: &mut dyn CryptoRngCore) -> Vec<Duty> {
        let attempt = self.board.current_attempt();
        if self.board.has(17, attempt.0, 0, Sender::Trustee(self.me)) {
            return Vec::new();
        }
        // What was confirmed is never given up as well: that would be a wrong. (P-DKG-7)
        let give_up = |reason: String| match self.board.has(16, attempt.0, 0, Sender::Trustee(self.me)) {
            true => Vec::new(),
            false => vec![Duty::Post(Abandon { attempt, reason }.into())],
        };
        let Some(participant) = self.participants.get(&attempt) else {
            // Terms whose seed is gone cannot be kept.
            if self.board.has(10, attempt.0, 0, Sender::Trustee(self.me)) {
                return give_up("the sealed seed of this attempt is gone".to_string());
            }
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            return vec![Duty::Seal { attempt, seed: AttemptSeed::new(seed) }];
        };
        match participant.duty(&self.board.ceremony(attempt)) {
            Ok(messages) => messages.into_iter().map(|message| Duty::Post(message.into())).collect(),
            Err(refusal) => give_up(refusal.to_string()),
        }
    }

    /// P-DKG-8
    fn rehearsal_duty(&self, rng: &mut dyn CryptoRngCore) -> Option<Body> {
        let certificate = self.board.key_certificate()?;
        if self.has_said(19, certificate.attempt.0) {
            return None;
        }
        let shares = self.shares.as_ref()?;
        let scope = dleq::Scope::Rehearsal { attempt: certificate.attempt, digest: certificate.digest() };
        let context = dleq::Context { election: self.board.election(), scope, trustee: self.me };
        let share = certificate.election_share(self.me)?;
        let base = rehearsal_ciphertext(certificate).a.raw();
        let decryption = dleq::prove(&context, shares.election.secret(), share, &[base], rng).ok()?;
        let partial = *decryption.points.first()?;
        Some(Rehearsal { attempt: certificate.attempt, partial, proof: decryption.proof }.into())
    }

    /// P-VOT-2, P-VOT-4
    fn voting_duties(&self, now: TimeMs) -> Vec<Body> {
        let mut out = Vec::new();
        let Some(key_certificate) = self.board.key_digest() else {
            return out;
        };
        let manifest = self.board.manifest();
        if !self.has_said(21, 0)
            && self.board.open_requested()
            && self.board.ready()
            && self.roll.is_some()
            && now >= manifest.opens_not_before
        {
            out.push(Open { key_certificate }.into());
        }
        if !self.has_said(23, 0)
            && self.board.opened()
            && self.board.close_requested()
            && now >= manifest.closes_not_before
        {
            out.push(Close { key_certificate }.into());
        }
        out
    }

    /// P-AGR
    fn agreement_duties(&mut self, now: TimeMs) -> Vec<Body> {
        // A trustee that holds a certificate goes on answering: another, which a liar kept in a later round, needs it.
        if !self.board.closed() {
            return Vec::new();
        }
        self.wait_for_ends(now);
        let snapshots = &self.snapshots;
        let own_at = |value: &VoteSet| {
            let ends = || value.lanes.iter().map(|end| end.size);
            let same = snapshots.iter().find(|closed| closed.vote_set.lanes.iter().map(|end| end.size).eq(ends()));
            same.map(|closed| closed.vote_set.clone())
        };
        let cosigned = &self.cosigned;
        let sealed = self.board.sealed();
        let waits = !self.waited;
        let judge = |value: &VoteSet, backing: Backing| {
            let short = sealed.is_some_and(|sealed| !sealed.is_reached_by(value));
            if waits && short && backing == Backing::Proposed {
                return Judgement::Invalid;
            }
            judge(value, backing, cosigned, own_at)
        };
        let own = self.proposal().cloned();
        let message = self.voter.duty(now, self.board.votes(), &judge, own.as_ref());
        message.into_iter().map(Into::into).collect()
    }

    /// P-LOT-1
    fn lot_duty(&self, rng: &mut dyn CryptoRngCore) -> Option<Body> {
        let vote_set = self.board.vote_set()?;
        if self.has_said(33, 0) {
            return None;
        }
        let shares = self.shares.as_ref()?;
        let mut rng = rng;
        Some(lots::lot(&shares.lot, &self.board.election(), &vote_set, self.me, &mut rng).into())
    }

    /// P-TAL-1: of the certified aggregate that this trustee recomputed itself, once, and in its turn.
    fn partials_duty(&self, now: TimeMs, rng: &mut dyn CryptoRngCore) -> Option<Body> {
        let vote_set = self.board.vote_set()?;
        if self.has_said(40, 0) || self.board.result().is_some() || !self.turn_to_decrypt(now) {
            return None;
        }
        if self.board.small_tally() && !bug!(SmallTallyOpened) {
            return None;
        }
        // The board took these sums because they are the certified ones and were summed up here.
        let sums = self.board.sums()?;
        let shares = self.shares.as_ref()?;
        let share = self.board.key_certificate()?.election_share(self.me)?;
        let secret = shares.election.secret();
        let partials = crate::tally::partials(self.board.election(), self.me, vote_set, secret, share, sums, rng);
        let partials: Option<Partials> = partials.ok();
        partials.map(Into::into)
    }

    /// [`crate::bugs::Bug::TallyBeforeClose`]
    #[cfg(feature = "bugs")]
    fn early_partials(&self, rng: &mut dyn CryptoRngCore) -> Option<Body> {
        let key = self.board.key_certificate()?;
        let logged = self.boxes.iter().any(|lane| lane.size().0 > 0);
        if !bug!(TallyBeforeClose) || !logged || self.board.closed() || self.has_said(40, 0) {
            return None;
        }
        let lanes: Vec<_> = self.boxes.iter().collect();
        let closed = crate::ballot_box::ClosedBox::of(&lanes, key.digest()).ok()??;
        let (election, secret) = (self.board.election(), self.shares.as_ref()?.election.secret());
        let (vote_set, share) = (closed.vote_set.hash(&election), key.election_share(self.me)?);
        let sums = lots::with_beacon(closed.sums(), &election, &vote_set);
        crate::tally::partials(election, self.me, vote_set, secret, share, &sums, rng).ok().map(Into::into)
    }

    /// Rank among the lots: the first `t` at once, the others when those before them keep silent. (P-LOT-3)
    fn turn_to_decrypt(&self, now: TimeMs) -> bool {
        let Some(since) = self.certified_at else { return false };
        let waited = now.0.saturating_sub(since.0);
        let all_lots = self.board.lots().len() == usize::from(self.board.manifest().n());
        if !all_lots && waited < LOTS_WAIT_MS {
            return false;
        }
        let rank = self.board.lot_order().iter().position(|index| *index == self.me).unwrap_or(usize::MAX);
        let threshold = usize::from(self.board.manifest().quorums.t);
        let behind = u64::try_from(rank.saturating_sub(threshold).saturating_add(1)).unwrap_or(u64::MAX);
        rank < threshold || waited >= LOTS_WAIT_MS.saturating_add(STAND_BY_MS.saturating_mul(behind))
    }

    /// When to be called again, in milliseconds from now, if time alone can make a duty due.
    #[must_use]
    pub fn wake_after_ms(&self, now: TimeMs) -> Option<u32> {
        let waits_for_time = match self.board.stage() {
            Stage::Ready => now < self.board.manifest().opens_not_before,
            Stage::Agreement | Stage::Tally | Stage::Closing => true,
            _ => false,
        };
        waits_for_time.then_some(200)
    }

    /// What this trustee waits for, in plain language; empty when for nothing.
    #[must_use]
    pub fn waiting(&self, now: TimeMs) -> String {
        if !self.board.announced() {
            return "the official's announcement".to_string();
        }
        if !self.decided() {
            return format!("its operator: run `trustee show {0}`, then `trustee accept {0}`", self.board.election());
        }
        if self.roll.is_none() {
            return "the voter roll".to_string();
        }
        let manifest = self.board.manifest();
        match self.board.stage() {
            Stage::Ready if self.board.open_requested() && now < manifest.opens_not_before => {
                "the opening time of the manifest".to_string()
            }
            Stage::Open if self.board.close_requested() && now < manifest.closes_not_before => {
                "the closing time of the manifest".to_string()
            }
            Stage::Agreement if self.proposal().is_none() => "the rest of the log".to_string(),
            Stage::Tally if self.board.small_tally() => format!(
                "SMALL_TALLY: fewer than {} ballots count; opening them could reveal votes. A new manifest with a lower \
                 tally_min is the consent that is needed",
                manifest.tally_min
            ),
            _ => String::new(),
        }
    }
}
