//! Three to begin with: silence, two proposals for one round, a coordinator that shows two boards.

use crate::{
    liar::Liar,
    policy::{CoordinatorPolicy, Said, Speech, TrusteePolicy},
};
use protocol::{
    ids::TrusteeIndex,
    signed::{Body, Envelope},
};
use std::sync::Arc;

/// Answers nobody.
pub(super) struct Silent;

impl TrusteePolicy for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }
    fn answers(&mut self, _liar: &mut Liar<'_>) -> bool {
        false
    }
}

/// In its turn it proposes two vote sets: its own to the first half of the trustees, one with a forged count to the others.
pub(super) struct EquivocatingProposer;

impl TrusteePolicy for EquivocatingProposer {
    fn name(&self) -> &'static str {
        "equivocating-proposer"
    }
    fn speak(&mut self, liar: &mut Liar<'_>, body: &Body, truth: Arc<Envelope>) -> Speech {
        let Body::Proposal(proposal) = body else { return Speech::truth(truth) };
        if proposal.valid_round.is_some() {
            return Speech::truth(truth);
        }
        let mut other = proposal.clone();
        other.value.counted += 1;
        let other = liar.sign(other.into());
        let everybody: Vec<TrusteeIndex> = liar.manifest.trustee_indices().collect();
        let (first, second) = everybody.split_at(everybody.len() / 2);
        let say = vec![Said::only(truth.clone(), first.to_vec()), Said::only(other, second.to_vec())];
        Speech { keep: Some(truth), say }
    }
}

/// Shows agreement votes of a trustee only to those of its own half: two boards that disagree about who has voted.
#[derive(Default)]
pub(super) struct TwoBoards;

impl CoordinatorPolicy for TwoBoards {
    fn name(&self) -> &'static str {
        "two-boards"
    }
    fn show_board(&mut self, liar: &mut Liar<'_>, to: TrusteeIndex, new: Vec<Arc<Envelope>>) -> Vec<Arc<Envelope>> {
        let half = liar.manifest.n() / 2;
        let side = |index: TrusteeIndex| index.0 <= half;
        let shown = |envelope: &Arc<Envelope>| match (&envelope.body, envelope.sender) {
            (Body::Proposal(_) | Body::Prevote(_) | Body::Precommit(_), protocol::signed::Sender::Trustee(from)) => {
                side(from) == side(to)
            }
            _ => true,
        };
        new.into_iter().filter(shown).collect()
    }
}
