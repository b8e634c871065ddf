//! Lies while the keys are made. Most are told in the first attempt only: whoever never stops lying is never let in.

use super::saying::bent;
use crate::{
    liar::Liar,
    policy::{Said, Speech, TrusteePolicy},
};
use protocol::{
    ceremony::{
        CeremonyMemory, CeremonyMessage, Participant, Transcript, commitment, dispute_digest,
        messages::{Abandon, Commit, Complaint, Reveal, ShareFlaw, Shares},
    },
    ids::{Attempt, TrusteeIndex},
    signed::{Body, Envelope, Refuse, Sender},
};
use std::sync::Arc;

/// Whether it is the attempt in which lies are told.
fn first(attempt: Attempt) -> bool {
    attempt.0 == 1
}

fn me(liar: &Liar<'_>) -> TrusteeIndex {
    liar.me.unwrap_or_default()
}

/// Digests other terms than everybody else.
pub(super) fn other_terms(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Terms(terms) = body else { return None };
    first(terms.attempt).then(|| {
        let mut terms = terms.clone();
        terms.digest = bent(terms.digest);
        terms.into()
    })
}

/// Reveals something else than it committed to.
pub(super) fn other_reveal(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Reveal(reveal) = body else { return None };
    first(reveal.attempt).then(|| {
        let mut reveal = reveal.clone();
        reveal.nonce = bent(reveal.nonce);
        reveal.into()
    })
}

/// Leaves one share out.
pub(super) fn missing_share(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Shares(shares) = body else { return None };
    first(shares.attempt).then(|| {
        let mut shares = shares.clone();
        shares.shares.pop();
        shares.into()
    })
}

/// Complains about a share that is right.
pub(super) fn false_complaint(liar: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Confirm(confirm) = body else { return None };
    let against = liar.honest().next()?;
    let judged = liar.board.ceremony(confirm.attempt);
    let board = judged.transcript();
    let about = dispute_digest(
        board.election,
        (against, board.reveals.get(&against)?, board.shares.get(&against)?),
        (me(liar), board.terms.get(&me(liar))?),
    );
    let complaint = Complaint { attempt: confirm.attempt, against, flaw: ShareFlaw::Signing, about };
    first(confirm.attempt).then(|| complaint.into())
}

/// Signs a certificate that does not follow from the transcript.
pub(super) fn other_certificate(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Confirm(confirm) = body else { return None };
    first(confirm.attempt).then(|| {
        let mut confirm = confirm.clone();
        confirm.certificate = bent(confirm.certificate);
        confirm.into()
    })
}

/// Signs for a transcript that nobody else has.
pub(super) fn other_transcript(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Confirm(confirm) = body else { return None };
    first(confirm.attempt).then(|| {
        let mut confirm = confirm.clone();
        confirm.transcript = bent(confirm.transcript);
        confirm.into()
    })
}

fn abandon(attempt: Attempt) -> Body {
    Abandon { attempt, reason: "it does not suit".into() }.into()
}

/// Gives the first attempt up for no reason.
pub(super) fn abandons_once(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Commit(commit) = body else { return None };
    first(commit.attempt).then(|| abandon(commit.attempt))
}

/// Gives every attempt up for no reason.
pub(super) fn abandons_always(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Commit(commit) = body else { return None };
    Some(abandon(commit.attempt))
}

/// Confirms the first attempt and gives it up.
pub(super) struct ConfirmsAndAbandons;

impl TrusteePolicy for ConfirmsAndAbandons {
    fn name(&self) -> &'static str {
        "confirms-and-abandons"
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Body::Confirm(confirm) = body else { return Speech::truth(truth) };
        if !first(confirm.attempt) {
            return Speech::truth(truth);
        }
        let gone = liar.sign(abandon(confirm.attempt));
        Speech { keep: Some(gone.clone()), say: vec![Said::all(truth), Said::all(gone)] }
    }
}

/// Accepts the manifest and refuses it.
pub(super) fn accepts_and_refuses(_: &Liar<'_>, body: &Body) -> Vec<Body> {
    match body {
        Body::Accept(_) => vec![Refuse { reason: "on second thoughts".into() }.into()],
        _ => Vec::new(),
    }
}

/// Decrypts the rehearsal wrongly.
pub(super) fn wrong_rehearsal(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Rehearsal(rehearsal) = body else { return None };
    let mut rehearsal = rehearsal.clone();
    rehearsal.proof = bent(rehearsal.proof);
    Some(rehearsal.into())
}

/// What a participant will reveal: asked of it with a board on which everybody has spoken.
fn to_be_revealed(liar: &Liar<'_>, participant: &Participant, attempt: Attempt) -> Option<Reveal> {
    let election = liar.board.election();
    let mut said: Vec<Body> = Vec::new();
    for _ in 0..3 {
        let mut board = Transcript::new(&election, liar.manifest, attempt);
        for body in &said {
            liar.manifest.trustee_indices().for_each(|from| board.add(from, body));
        }
        let judged = board.judge(&mut CeremonyMemory::default());
        match participant.duty(&judged).ok()?.into_iter().next()? {
            CeremonyMessage::Reveal(reveal) => return Some(reveal),
            other => said.push(other.into()),
        }
    }
    None
}

/// Reveals bad packages, and has committed to exactly those.
pub(super) struct BentReveal {
    pub(super) name: &'static str,
    pub(super) bend: fn(&mut Reveal),
}

impl TrusteePolicy for BentReveal {
    fn name(&self) -> &'static str {
        self.name
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let lie: Option<Body> = match body {
            Body::Commit(Commit { attempt, .. }) if first(*attempt) => {
                let participant = liar.participant(me(liar), *attempt);
                let revealed = participant.and_then(|participant| to_be_revealed(liar, &participant, *attempt));
                revealed.map(|mut reveal| {
                    (self.bend)(&mut reveal);
                    let commitment = commitment(&liar.board.election(), *attempt, me(liar), &reveal);
                    Commit { attempt: *attempt, commitment }.into()
                })
            }
            Body::Reveal(reveal) if first(reveal.attempt) => {
                let mut reveal = reveal.clone();
                (self.bend)(&mut reveal);
                Some(reveal.into())
            }
            _ => None,
        };
        match (lie, body) {
            (None, _) => Speech::truth(truth),
            // Once it is out, its core gives the attempt up like everybody else.
            (Some(lie), Body::Reveal(_)) => Speech::other(liar.sign(lie)),
            (Some(lie), _) => Speech::instead(truth, liar.sign(lie)),
        }
    }
}

/// Waits for another's packages, and reveals the same.
pub(super) struct Copycat;

impl TrusteePolicy for Copycat {
    fn name(&self) -> &'static str {
        "copied-commitment"
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Body::Reveal(reveal) = body else { return Speech::truth(truth) };
        if !first(reveal.attempt) {
            return Speech::truth(truth);
        }
        let others = liar.board.of_kind(12).filter(|other| other.slot().number == reveal.attempt.0);
        let copied = others.filter(|other| other.sender != Sender::Trustee(me(liar))).map(|other| &other.body).next();
        match copied {
            Some(copied) => Speech::other(liar.sign(copied.clone())),
            None => Speech { keep: None, say: Vec::new() },
        }
    }
}

/// Seals rubbish for one honest trustee.
pub(super) struct BadShare {
    /// Whether it opens it when asked; else it keeps silent.
    pub(super) opens: bool,
    pub(super) posted: Option<Shares>,
}

impl TrusteePolicy for BadShare {
    fn name(&self) -> &'static str {
        if self.opens { "bad-share" } else { "bad-share-unopened" }
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        match body {
            Body::Shares(shares) if first(shares.attempt) => {
                let victim = liar.honest().next();
                let mut posted = shares.clone();
                let theirs = posted.shares.iter_mut().find(|share| Some(share.to) == victim);
                if let Some(last) = theirs.and_then(|share| share.sealed.0.last_mut()) {
                    *last ^= 1;
                }
                self.posted = Some(posted.clone());
                Speech::instead(truth, liar.sign(posted.into()))
            }
            Body::Opening(opening) if first(opening.attempt) => {
                if !self.opens {
                    return Speech::silence(truth);
                }
                let judged = liar.board.ceremony(opening.attempt);
                let board = judged.transcript();
                let own = (board.reveals.get(&me(liar)), &self.posted, board.terms.get(&opening.to));
                let (Some(reveal), Some(posted), Some(terms)) = own else { return Speech::truth(truth) };
                let mut opening = opening.clone();
                opening.about = dispute_digest(board.election, (me(liar), reveal, posted), (opening.to, terms));
                Speech::instead(truth, liar.sign(opening.into()))
            }
            _ => Speech::truth(truth),
        }
    }
}

/// Shows its own commitment to nobody but half of the others for a while: an attempt that seems to hang, then goes on.
#[derive(Default)]
pub(super) struct Hesitant {
    held: Vec<Said>,
    calls: u32,
}

impl TrusteePolicy for Hesitant {
    fn name(&self) -> &'static str {
        "hesitant"
    }
    fn speak(&mut self, _liar: &mut Liar<'_>, _body: &Body, truth: Arc<Envelope>) -> Speech {
        self.held.push(Said::all(truth.clone()));
        Speech::silence(truth)
    }
    fn unprompted(&mut self, _liar: &mut Liar<'_>) -> Vec<Said> {
        self.calls += 1;
        if self.calls % 3 == 0 { std::mem::take(&mut self.held) } else { Vec::new() }
    }
}
