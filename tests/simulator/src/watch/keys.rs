//! Keys: one for everybody, certified by all, usable by any `t`, known to nobody. (I01, I02, I03)

use super::{Watch, form_of};
use crate::{setup::short, trustee::TrusteeNode};
use protocol::{
    board::Board,
    ceremony::{AttemptSeed, KeyCertificate, Participant},
    group::{RawPoint, Scalar, base_mul},
    ids::{Attempt, TrusteeIndex},
    signed::{Body, Sender},
};
use std::collections::BTreeSet;

impl Watch {
    /// I01, I02: whoever holds a key holds the same one, and all `n` signatures under it.
    pub(super) fn look_at_key(&mut self, owner: Sender, board: &Board) {
        let Some(certificate) = board.key_certificate() else { return };
        let (attempt, digest) = (certificate.attempt, certificate.digest());
        match self.keys.insert(attempt, digest) {
            None => {
                let signed = board.of_kind(16).filter(|envelope| {
                    matches!(&envelope.body, Body::Confirm(body) if body.attempt == attempt && body.certificate == digest)
                });
                let signed: BTreeSet<Sender> = signed.map(|envelope| envelope.sender).collect();
                if signed.len() != usize::from(self.setup.n()) {
                    self.broken("I02", format_args!("{owner} holds a key that {} trustees confirmed", signed.len()));
                }
                self.form = form_of(&self.setup, board);
            }
            Some(before) if before == digest => {}
            Some(before) => {
                let text = format!("{} and {} of attempt {attempt}", short(&before), short(&digest));
                self.broken("I01", format_args!("{owner} holds another key than others: {text}"));
            }
        }
        if board.opened() {
            let with = *self.opened_with.get_or_insert(digest);
            if with != digest {
                self.broken("I01", format_args!("the election is open with {} and {}", short(&with), short(&digest)));
            }
        }
    }

    /// At the end, I02 and I03: `t` honest shares make the key; the liars have fewer, and nobody opened others to them.
    pub fn shares(&mut self, trustees: &[TrusteeNode], board: &Board) {
        let Some(certificate) = board.key_certificate() else { return };
        let attempt = certificate.attempt;
        let mut shares = Vec::new();
        for trustee in trustees.iter().filter(|trustee| trustee.is_honest()) {
            let judged = board.ceremony(attempt);
            let seed = trustee.seed(attempt).map(AttemptSeed::new);
            let participant =
                seed.and_then(|seed| Participant::new(trustee.me, &seed, &self.setup.manifest, attempt).ok());
            match participant.and_then(|participant| participant.key_shares(&judged).ok()) {
                Some(keys) => shares.push((trustee.me, *keys.election.secret())),
                None => self.broken("I02", format_args!("trustee {} has no share of the certified key", trustee.me)),
            }
        }
        let threshold = usize::from(self.setup.manifest.quorums.t);
        if shares.len() >= threshold && !reconstructs(certificate, shares.get(..threshold).unwrap_or(&[])) {
            self.broken("I02", format_args!("{threshold} honest shares do not make the election key"));
        }
        self.secrecy(attempt, threshold);
    }

    /// What the liars can know: their own shares, and those of whom every honest dealer has opened.
    fn secrecy(&mut self, attempt: Attempt, threshold: usize) {
        let all: Vec<TrusteeIndex> = self.setup.manifest.trustee_indices().collect();
        let known = all.iter().filter(|recipient| {
            self.liars.contains(recipient)
                || all
                    .iter()
                    .filter(|dealer| *dealer != *recipient && !self.liars.contains(dealer))
                    .all(|dealer| self.openings.contains(&(attempt, *dealer, **recipient)))
        });
        let known = known.count();
        if known >= threshold {
            self.broken("I03", format_args!("the liars know {known} shares of the election key"));
        }
    }
}

fn reconstructs(certificate: &KeyCertificate, shares: &[(TrusteeIndex, Scalar)]) -> bool {
    let mut secret = Scalar::ZERO;
    for (index, share) in shares {
        let x = Scalar::from(u64::from(index.0));
        let others =
            shares.iter().filter(|(other, _)| other != index).map(|(other, _)| Scalar::from(u64::from(other.0)));
        let lagrange = others.fold(Scalar::ONE, |product, other| product * other * (other - x).invert());
        secret += lagrange * share;
    }
    let expected: RawPoint = certificate.election_key.raw();
    base_mul(&secret) == expected
}
