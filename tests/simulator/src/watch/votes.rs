//! What an honest trustee may say, judged by counting statements on its board and not by the code that owed it.
//! (I02, I05, I13, I15)

use super::Watch;
use protocol::{
    agreement::VoteSetCertificate,
    board::Board,
    ids::{Round, TrusteeIndex},
    signed::{Body, Envelope, Sender},
    signing::messages::Purpose,
};
use std::collections::BTreeSet;

const REHEARSAL: u16 = 19;
const CLOSE: u16 = 23;
const PROPOSAL: u16 = 30;
const PREVOTE: u16 = 31;

fn speakers<'a>(envelopes: impl Iterator<Item = &'a Envelope>) -> usize {
    envelopes.map(|envelope| envelope.sender).collect::<BTreeSet<Sender>>().len()
}

impl Watch {
    /// I05: whoever holds a certificate holds a quorum's.
    pub(super) fn look_at_certificate(&mut self, owner: Sender, certificate: &VoteSetCertificate) {
        let signers = certificate.signers().collect::<BTreeSet<TrusteeIndex>>().len();
        if signers < usize::from(self.setup.manifest.quorums.q) {
            self.broken("I05", format_args!("{owner} holds a certificate that {signers} trustees signed"));
        }
    }

    /// Before an honest trustee's statement leaves.
    pub(super) fn look_at_statement(&mut self, me: TrusteeIndex, said: &Envelope, board: &Board) {
        if !self.is_honest(me) {
            return;
        }
        match &said.body {
            Body::Open(_) => {
                let attempt = board.key_certificate().map_or(0, |key| key.attempt.0);
                let tried = speakers(board.of_kind(REHEARSAL).filter(|one| one.slot().number == attempt));
                if tried < usize::from(self.setup.n()) {
                    self.broken("I02", format_args!("trustee {me} opens with keys that {tried} trustees have tried"));
                }
            }
            Body::SignShare(body) => {
                let there = match body.purpose {
                    Purpose::AnchorVoteSet => board.certificate().is_some(),
                    Purpose::AnchorResult => board.result().is_some(),
                    _ => true,
                };
                if !there {
                    let purpose = body.purpose.name();
                    self.broken("I15", format_args!("trustee {me} signs for {purpose} what is not certified"));
                }
            }
            Body::Proposal(body) => {
                self.look_at_close(me, board);
                if let Some((locked, _)) = self.locks.get(&me).copied()
                    && body.round.0 > locked
                    && body.valid_round < Some(Round(locked))
                {
                    self.broken("I05", format_args!("trustee {me} proposes as if it had not precommitted in {locked}"));
                }
            }
            Body::Prevote(body) => {
                self.look_at_close(me, board);
                let Some((locked, value)) = self.locks.get(&me).copied() else { return };
                if body.round.0 > locked && body.value.is_some_and(|voted| voted != value) {
                    let shown = board.of_kind(PROPOSAL).any(|one| match &one.body {
                        Body::Proposal(one) => one.round == body.round && one.valid_round >= Some(Round(locked)),
                        _ => false,
                    });
                    if !shown {
                        self.broken("I05", format_args!("trustee {me} votes against its lock of round {locked}"));
                    }
                }
            }
            Body::Precommit(body) if body.value.is_some() => {
                let prevoted = speakers(board.of_kind(PREVOTE).filter(|one| match &one.body {
                    Body::Prevote(one) => (one.round, one.value) == (body.round, body.value),
                    _ => false,
                }));
                // A later proposal may have shown the quorum's signatures.
                let shown = board.of_kind(PROPOSAL).any(|one| match &one.body {
                    Body::Proposal(one) => one.valid_round == Some(body.round),
                    _ => false,
                });
                if prevoted < usize::from(self.setup.manifest.quorums.q) && !shown {
                    let round = body.round;
                    self.broken("I05", format_args!("trustee {me} precommits in round {round} on {prevoted} prevotes"));
                }
            }
            _ => {}
        }
    }

    /// I13: nobody votes on what is still open.
    fn look_at_close(&mut self, me: TrusteeIndex, board: &Board) {
        let closed = speakers(board.of_kind(CLOSE));
        if closed < usize::from(self.setup.manifest.quorums.q) {
            self.broken("I13", format_args!("trustee {me} votes on the vote set when {closed} trustees have closed"));
        }
    }
}
