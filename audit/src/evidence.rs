//! Every accusation in the record, proven again from its envelopes alone. (P-EVI)

use crate::{
    ceremony::{
        Curve, Election, Keys, PackageFlaw, Said, Signing, commitment, derive, evaluate, first_commitments, package,
        terms_digest, usable_keys, well_addressed,
    },
    chain::{bad_shares, purpose_name},
    dleq::{Claim, Flaw, Scope},
    group::{edwards_prime, halves, reduce, scalar},
    manifest::Manifest,
    messages::{Body, Envelope, Evidence, Role, Slot},
    record::Record,
    report::{Finding, finding},
    sealing::seal,
    tally::lot,
    wire::{Hash, digest, wide},
};
use curve25519_dalek::{constants::RISTRETTO_BASEPOINT_TABLE, ristretto::RistrettoPoint};

/// What accusations are judged against.
pub(crate) struct Court<'a> {
    pub(crate) record: &'a Record,
    pub(crate) keys: &'a Keys,
    pub(crate) vote_set: &'a Hash,
    pub(crate) result: &'a Hash,
    pub(crate) sums: &'a [(RistrettoPoint, RistrettoPoint)],
}

/// The sealed share's context. (P-DKG-4)
fn sealing_context(manifest: &Manifest, attempt: u32, from: u16, to: u16) -> Vec<u8> {
    let mut info = b"conclave/v1/ceremony-share\0".to_vec();
    info.extend(manifest.election);
    info.extend(attempt.to_be_bytes());
    info.extend(terms_digest(manifest, attempt));
    info.extend(from.to_be_bytes());
    info.extend(to.to_be_bytes());
    info
}

impl Court<'_> {
    /// Rejections are a shard's; accusations are proven.
    pub(crate) fn judge(&self) -> Result<((), String), Finding> {
        for rejection in &self.record.rejections {
            rejection.judge(&self.record.manifest)?;
        }
        let mut named = Vec::new();
        for evidence in &self.record.evidence {
            for envelope in &evidence.envelopes {
                envelope.judge(&self.record.manifest)?;
            }
            let first = evidence.envelopes.first();
            let by_accused = first.is_some_and(|envelope| envelope.slot.sender == evidence.accused);
            if !by_accused || !self.proven(evidence).unwrap_or(false) {
                let expected = format!("evidence that proves {} against {}", evidence.name(), evidence.accused);
                return Err(finding(expected, "envelopes that do not"));
            }
            named.push(format!("{}: {}", evidence.accused, evidence.name()));
        }
        // Nobody has to accuse here: the board shows it, to whoever rebuilds what was to be signed.
        let bad = bad_shares(self.record, self.keys, self.vote_set, self.result);
        named.extend(bad.iter().map(|(trustee, purpose, attempt)| {
            format!("trustee {trustee}: bad signature share ({}, attempt {attempt})", purpose_name(*purpose))
        }));
        let wrongs = if named.is_empty() { "no wrongs".into() } else { named.join(", ") };
        Ok(((), format!("{} rejections; {wrongs}", self.record.rejections.len())))
    }

    fn proven(&self, evidence: &Evidence) -> Option<bool> {
        let manifest = &self.record.manifest;
        let envelopes = evidence.envelopes.as_slice();
        let [first, rest @ ..] = envelopes else { return None };
        let accused = evidence.accused.index;
        // What another envelope answers to has to be of the same attempt.
        let find = |tag: u16, sender: u16| {
            rest.iter().find(|other| {
                let slot = other.slot;
                slot.tag == tag
                    && slot.sender.index == sender
                    && slot.sender.role == Role::Trustee
                    && slot.number == first.slot.number
            })
        };
        let flaw = || package(accused, &first.body, manifest).err();
        let is_reveal = first.slot.tag == 12;
        Some(match evidence.wrong {
            1 => matches!(rest, [other] if other.slot == first.slot && !other.same_statement(first)),
            2 => {
                let Body::Commit { commitment: made } = find(11, accused)?.body else { return None };
                is_reveal && commitment(manifest, first.slot.number, accused, first) != made
            }
            3 => is_reveal && flaw() == Some(PackageFlaw::Length),
            4 => self.not_canonical(first)?,
            5 => is_reveal && flaw() == Some(PackageFlaw::Proof),
            6 => {
                let source = rest.iter().find(|other| {
                    (other.slot.tag, other.slot.number) == (12, first.slot.number) && other.slot.sender.index != accused
                })?;
                let own = first_commitments(&first.body);
                let shared = first_commitments(&source.body).iter().any(|commitment| own.contains(commitment));
                let may_be_a_copy = matches!(flaw(), None | Some(PackageFlaw::Proof));
                is_reveal
                    && shared
                    && may_be_a_copy
                    && package(source.slot.sender.index, &source.body, manifest).is_ok()
            }
            7 => matches!(&first.body, Body::Shares { shares } if !well_addressed(manifest, accused, shares)),
            8 => {
                let Body::Opening { to, about, .. } = &first.body else { return None };
                let (good, actual) = self.opened(first, find(13, accused)?, find(12, accused)?, find(10, *to)?)?;
                !good && *about == actual
            }
            9 => {
                let Body::Complaint { against, about, .. } = &first.body else { return None };
                let opening = rest.iter().find(|other| {
                    (other.slot.tag, other.slot.number, other.slot.topic) == (15, first.slot.number, accused)
                        && other.slot.sender.index == *against
                })?;
                let (good, actual) =
                    self.opened(opening, find(13, *against)?, find(12, *against)?, find(10, accused)?)?;
                good && *about == actual
            }
            10 => {
                let Body::Confirm { transcript, certificate } = &first.body else { return None };
                let said: Said<'_> = rest
                    .iter()
                    .filter(|other| other.slot.number == first.slot.number && (10..=13).contains(&other.slot.tag))
                    .map(|other| ((other.slot.tag, other.slot.sender.index), other))
                    .collect();
                let keys = derive(manifest, first.slot.number, &said).ok()?;
                *transcript == keys.transcript && *certificate != keys.digest
            }
            11 => {
                let gave_up = |other: &Envelope| {
                    matches!(other.slot.tag, 14 | 17)
                        && other.slot.number == first.slot.number
                        && other.slot.sender == evidence.accused
                };
                first.slot.tag == 16 && rest.iter().any(gave_up)
            }
            12 => self.partial_flaw(first)? == Flaw::Proof,
            13 => {
                let Body::Lot { vote_set, output, proof } = &first.body else { return None };
                let key = self.keys.lot_key(accused)?;
                vote_set == self.vote_set && lot((accused, key), &manifest.election, vote_set, output, proof).is_none()
            }
            15 => match &first.body {
                Body::Lot { vote_set, .. } | Body::Partials { vote_set, .. } => vote_set != self.vote_set,
                _ => false,
            },
            16 => {
                let [proposal] = rest else { return None };
                let (Body::Vote { value: Some(_) }, Body::Proposal { valid_round, .. }) = (&first.body, &proposal.body)
                else {
                    return None;
                };
                first.slot.tag == 32
                    && proposal.slot.sender == evidence.accused
                    && first.slot.number < proposal.slot.number
                    && *valid_round < Some(first.slot.number)
            }
            17 => {
                let [other] = rest else { return None };
                first.slot.tag == 3 && other.slot.tag == 2 && other.slot.sender == evidence.accused
            }
            14 => {
                let bad = bad_shares(self.record, self.keys, self.vote_set, self.result);
                let named = bad.contains(&(accused, first.slot.topic, first.slot.number));
                // The share, the request and every commitment, as they are on the board.
                let on_board = |envelope: &Envelope| {
                    self.record.said(envelope.slot).is_some_and(|own| own.same_statement(envelope))
                };
                let (requests, commitments): (Vec<&Envelope>, Vec<&Envelope>) =
                    rest.iter().partition(|other| other.slot.tag == 50);
                let [request] = requests.as_slice() else { return None };
                let Body::SignRequest { signers, .. } = &request.body else { return None };
                let place = |slot: Slot| (slot.number, slot.topic) == (first.slot.number, first.slot.topic);
                let committed = commitments.iter().map(|other| other.slot.sender.index).eq(signers.iter().copied());
                named
                    && first.slot.tag == 52
                    && committed
                    && commitments.iter().all(|other| other.slot.tag == 51)
                    && envelopes.iter().all(|envelope| place(envelope.slot) && on_board(envelope))
            }
            _ => false,
        })
    }

    /// A message with bytes in it that are no canonical point or number.
    fn not_canonical(&self, envelope: &Envelope) -> Option<bool> {
        let manifest = &self.record.manifest;
        let index = envelope.slot.sender.index;
        Some(match &envelope.body {
            Body::Terms { sealing_key, lot_key, .. } => !usable_keys(sealing_key, lot_key),
            Body::Reveal { .. } => package(index, &envelope.body, manifest).err() == Some(PackageFlaw::Point),
            Body::Rehearsal { .. } | Body::Partials { .. } => self.partial_flaw(envelope)? == Flaw::Encoding,
            Body::SignCommitment { hiding, binding } => {
                edwards_prime(hiding).is_none() || edwards_prime(binding).is_none()
            }
            Body::SignShare { share, .. } => scalar(share).is_none(),
            _ => false,
        })
    }

    /// What is wrong with a partial decryption, of the rehearsal or of the tally.
    fn partial_flaw(&self, envelope: &Envelope) -> Option<Flaw> {
        let (keys, trustee) = (self.keys, envelope.slot.sender.index);
        let share = keys.election_share(trustee)?;
        let election = &self.record.manifest.election;
        match &envelope.body {
            Body::Rehearsal { partial, proof } if envelope.slot.number == keys.attempt => {
                let r = reduce(&wide("rehearsal", &[b"r", &keys.digest]));
                let bases = [&r * RISTRETTO_BASEPOINT_TABLE];
                let scope = Scope::Rehearsal { attempt: keys.attempt, certificate: keys.digest };
                Claim { election, scope, trustee, share, bases: &bases }.judge(&[*partial], proof).err()
            }
            Body::Partials { vote_set, points, proof } if vote_set == self.vote_set => {
                let bases: Vec<RistrettoPoint> = self.sums.iter().map(|(a, _)| *a).collect();
                let scope = Scope::Tally { vote_set: *vote_set };
                Claim { election, scope, trustee, share, bases: &bases }.judge(points, proof).err()
            }
            _ => None,
        }
    }

    /// Whether an opened share is the posted ciphertext and matches its commitments, and what the dispute is about. (P-DKG-5)
    fn opened(
        &self,
        opening: &Envelope,
        shares: &Envelope,
        reveal: &Envelope,
        terms: &Envelope,
    ) -> Option<(bool, Hash)> {
        let manifest = &self.record.manifest;
        let (from, attempt) = (opening.slot.sender.index, opening.slot.number);
        let (
            Body::Opening { to, seed, plaintext, .. },
            Body::Shares { shares: posted },
            Body::Terms { sealing_key, .. },
        ) = (&opening.body, &shares.body, &terms.body)
        else {
            return None;
        };
        let checked = package(from, &reveal.body, manifest).ok()?;
        let (_, posted) = posted.iter().find(|(recipient, _)| recipient == to)?;
        let sealed = seal(sealing_key, &sealing_context(manifest, attempt, from, *to), seed, plaintext);
        let (signing, election) = halves(plaintext);
        let matches = scalar(&signing)
            .is_some_and(|share| Signing::base(&share) == evaluate::<Signing>(&checked.signing, *to))
            && scalar(&election)
                .is_some_and(|share| Election::base(&share) == evaluate::<Election>(&checked.election, *to));
        let about: [&[u8]; 6] = [
            &manifest.election,
            &from.to_be_bytes(),
            &to.to_be_bytes(),
            terms.fields(),
            reveal.fields(),
            shares.fields(),
        ];
        let good = matches && sealed.is_some_and(|sealed| sealed == *posted);
        Some((good, digest("ceremony-dispute", &about)))
    }
}
