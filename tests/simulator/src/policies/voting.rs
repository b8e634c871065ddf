//! Lies about opening, closing, the vote set, the lots and the tally.

use super::saying::{bent, halves};
use crate::{
    liar::Liar,
    policy::{Said, TrusteePolicy},
};
use protocol::{
    agreement::messages::{Close, Lot, Open, Precommit, Prevote},
    board::Stage,
    ids::Round,
    signed::{Body, Sender},
};

/// Votes for nothing, whatever is proposed.
pub(super) fn nothing(_: &Liar<'_>, body: &Body) -> Option<Body> {
    match body {
        Body::Prevote(vote) if vote.value.is_some() => Some(Prevote { round: vote.round, value: None }.into()),
        Body::Precommit(vote) if vote.value.is_some() => Some(Precommit { round: vote.round, value: None }.into()),
        _ => None,
    }
}

/// Votes for a set that nobody has.
pub(super) fn another(_: &Liar<'_>, body: &Body) -> Option<Body> {
    match body {
        Body::Prevote(vote) => Some(Prevote { round: vote.round, value: vote.value.map(bent) }.into()),
        Body::Precommit(vote) => Some(Precommit { round: vote.round, value: vote.value.map(bent) }.into()),
        _ => None,
    }
}

/// Proposes a set with one ballot more than there are.
pub(super) fn forged_count(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Proposal(proposal) = body else { return None };
    let mut proposal = proposal.clone();
    proposal.value.counted += 1;
    Some(proposal.into())
}

/// Proposes another aggregate.
pub(super) fn forged_aggregate(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Proposal(proposal) = body else { return None };
    let mut proposal = proposal.clone();
    proposal.value.aggregate = bent(proposal.value.aggregate);
    Some(proposal.into())
}

/// Claims that its proposal was prevoted before, and shows no quorum.
pub(super) fn unjustified(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Proposal(proposal) = body else { return None };
    let mut proposal = proposal.clone();
    proposal.valid_round = Some(Round(0));
    proposal.justification.clear();
    Some(proposal.into())
}

/// Agrees to open with a key that nobody has.
pub(super) fn opens_another(_: &Liar<'_>, body: &Body) -> Option<Body> {
    match body {
        Body::Open(open) => Some(Open { key_certificate: bent(open.key_certificate) }.into()),
        Body::Close(close) => Some(Close { key_certificate: bent(close.key_certificate) }.into()),
        _ => None,
    }
}

/// Agrees to open before anybody asks, and to close as soon as it has agreed to open.
pub(super) fn too_early(liar: &Liar<'_>, body: &Body) -> Vec<Body> {
    let Some(key_certificate) = liar.board.key_certificate().map(protocol::ceremony::KeyCertificate::digest) else {
        return Vec::new();
    };
    match body {
        Body::Rehearsal(_) => vec![Open { key_certificate }.into(), Close { key_certificate }.into()],
        _ => Vec::new(),
    }
}

/// A lot whose proof does not hold.
pub(super) fn bad_lot(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Lot(lot) = body else { return None };
    Some(Lot { proof: bent(lot.proof), ..lot.clone() }.into())
}

/// A lot for another vote set.
pub(super) fn other_lot(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Lot(lot) = body else { return None };
    Some(Lot { vote_set: bent(lot.vote_set), ..lot.clone() }.into())
}

/// Two lots.
pub(super) fn two_lots(_: &Liar<'_>, body: &Body) -> Vec<Body> {
    match body {
        Body::Lot(lot) => vec![Lot { output: bent(lot.output), ..lot.clone() }.into()],
        _ => Vec::new(),
    }
}

/// A lot made with the key of the trustee's neighbour, if that one lies too; else a copy of somebody's lot.
pub(super) fn stolen_lot(liar: &Liar<'_>, body: &Body) -> Option<Body> {
    let (Body::Lot(own), Some(me)) = (body, liar.me) else { return None };
    let other = liar.liars().find(|other| *other != me);
    if let Some(shares) = other.and_then(|other| liar.shares(other)) {
        let mut rng = <crate::Dice as rand_core::SeedableRng>::seed_from_u64(1);
        return Some(protocol::lots::lot(&shares.lot, &liar.board.election(), &own.vote_set, me, &mut rng).into());
    }
    let somebody = liar.board.of_kind(33).find(|other| other.sender != Sender::Trustee(me));
    Some(somebody.map_or_else(|| Lot { output: bent(own.output), ..own.clone() }.into(), |other| other.body.clone()))
}

/// Partial decryptions whose proof does not hold.
pub(super) fn wrong_partials(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Partials(partials) = body else { return None };
    let mut partials = partials.clone();
    partials.points.rotate_left(1);
    partials.proof = bent(partials.proof);
    Some(partials.into())
}

/// Partial decryptions of another vote set.
pub(super) fn other_partials(_: &Liar<'_>, body: &Body) -> Option<Body> {
    let Body::Partials(partials) = body else { return None };
    let mut partials = partials.clone();
    partials.vote_set = bent(partials.vote_set);
    Some(partials.into())
}

/// Precommits a set before anybody has prevoted, and again what its core then finds: nothing unusual, if it guessed right.
#[derive(Default)]
pub(super) struct Premature {
    done: bool,
}

impl TrusteePolicy for Premature {
    fn name(&self) -> &'static str {
        "premature-precommit"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let proposed = liar.board.of_kind(30).find_map(|envelope| match &envelope.body {
            Body::Proposal(proposal) if proposal.round == Round(0) => Some(proposal.value.hash(&envelope.election)),
            _ => None,
        });
        if self.done || proposed.is_none() {
            return Vec::new();
        }
        self.done = true;
        vec![Said::all(liar.sign(Precommit { round: Round(0), value: proposed }.into()))]
    }
}

/// Votes for rounds to come, and claims to be far ahead.
#[derive(Default)]
pub(super) struct Ahead {
    done: bool,
}

impl TrusteePolicy for Ahead {
    fn name(&self) -> &'static str {
        "votes-ahead"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        if self.done || liar.board.stage() < Stage::Closing {
            return Vec::new();
        }
        self.done = true;
        let rounds = (200..230).chain([999, 1000, 1001]).map(Round);
        let votes = rounds.flat_map(|round| -> [Body; 2] {
            [Prevote { round, value: Some([9; 32]) }.into(), Precommit { round, value: Some([9; 32]) }.into()]
        });
        votes.map(|vote| Said::all(liar.sign(vote))).collect()
    }
}

/// Gives each half of the trustees other prevotes for many rounds to come, as soon as there is a proposal.
#[derive(Default)]
pub(super) struct Planted {
    done: bool,
}

impl TrusteePolicy for Planted {
    fn name(&self) -> &'static str {
        "planted-votes"
    }
    fn unprompted(&mut self, liar: &mut Liar<'_>) -> Vec<Said> {
        let proposed = liar.board.of_kind(30).find_map(|envelope| match &envelope.body {
            Body::Proposal(proposal) => Some(proposal.value.hash(&envelope.election)),
            _ => None,
        });
        if self.done || proposed.is_none() {
            return Vec::new();
        }
        self.done = true;
        let (first, second) = halves(liar);
        let mut said = Vec::new();
        for round in (1..40).map(Round) {
            said.push(Said::only(liar.sign(Prevote { round, value: proposed }.into()), first.clone()));
            said.push(Said::only(liar.sign(Prevote { round, value: None }.into()), second.clone()));
        }
        said
    }
}
