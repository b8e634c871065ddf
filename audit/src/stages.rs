//! Announcement, rehearsal, opening and closing. (P-MAN-3, P-MAN-4, P-DKG-8, P-VOT)

use crate::{
    ceremony::Keys,
    dleq::{Claim, Scope},
    group::{lagrange, multiply, reduce},
    messages::{Body, Role, Sender, Slot},
    record::Record,
    report::{Finding, finding, must},
    signing::aggregated,
    wire::{digest, hex, wide},
};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE, ristretto::RistrettoPoint, scalar::Scalar, traits::IsIdentity as _,
};
use std::collections::BTreeMap;

/// Every envelope is its sender's; one official announced; every trustee accepted and none refused. (P-ENV-3)
pub(crate) fn envelopes(record: &Record) -> Result<((), String), Finding> {
    let manifest = &record.manifest;
    let found = crate::parallel::first_failure(record.board.len(), 64, |at| match record.board.get(at) {
        Some(envelope) => envelope.judge(manifest),
        None => Ok(()),
    });
    found?;
    for envelope in &record.board {
        let Slot { tag, number, .. } = envelope.slot;
        let max = match tag {
            10..=19 | 30..=32 => 1000,
            50..=53 => 1024,
            _ => u32::MAX,
        };
        must(number <= max, || format!("attempts and rounds up to {max}"), || envelope.slot.to_string())?;
    }
    must(record.kind(1).next().is_some(), || "an official's announcement".into(), || "none".into())?;
    for refusal in record.kind(3) {
        let sender = refusal.slot.sender;
        // Who accepted cannot take it back, but has to be named for trying.
        let accepted = record.said(Slot { tag: 2, ..refusal.slot }).is_some();
        let named = record.evidence.iter().any(|evidence| evidence.accused == sender && evidence.wrong == 17);
        must(accepted && named, || "no refusal".into(), || format!("{sender} refused the manifest"))?;
    }
    let accepted = record.kind(2).count();
    must(
        accepted == manifest.trustees.len(),
        || format!("{} acceptances", manifest.trustees.len()),
        || accepted.to_string(),
    )?;
    Ok(((), format!("{} envelopes, {accepted} acceptances", record.board.len())))
}

/// The statement that is signed in the rehearsal: a Solana off-chain message. (P-DKG-8.2)
pub(crate) fn statement(keys: &Keys) -> Vec<u8> {
    let text = format!("Conclave key rehearsal, key certificate {}", hex(&keys.digest));
    let mut out = b"\xffsolana offchain\0".to_vec();
    out.extend(digest("rehearsal", &[&keys.digest]));
    out.extend([0, 1]);
    out.extend(keys.signing_key);
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.bytes());
    out
}

/// All `n` decrypted the ciphertext that everybody can make, and signed together. (P-DKG-8)
pub(crate) fn rehearsal(record: &Record, keys: &Keys) -> Result<((), String), Finding> {
    let manifest = &record.manifest;
    // > r = H('r' || digest), m = 1 + first byte of H('m' || digest); (A, B) = (r G, m G + r H)
    let r = reduce(&wide("rehearsal", &[b"r", &keys.digest]));
    let [first, ..] = digest("rehearsal", &[b"m", &keys.digest]);
    let m = Scalar::from(u64::from(first).saturating_add(1));
    let a = &r * RISTRETTO_BASEPOINT_TABLE;
    let b = &m * RISTRETTO_BASEPOINT_TABLE + keys.election_key * r;
    must(!a.is_identity() && !b.is_identity(), || "a test ciphertext".into(), || "the identity".into())?;

    let scope = Scope::Rehearsal { attempt: keys.attempt, certificate: keys.digest };
    let mut partials: BTreeMap<u16, RistrettoPoint> = BTreeMap::new();
    for trustee in 1..=manifest.n() {
        let sender = Sender { role: Role::Trustee, index: trustee };
        let said = record.said(Slot { tag: 19, number: keys.attempt, topic: 0, sender });
        let (Some(Body::Rehearsal { partial, proof }), Some(share)) =
            (said.map(|envelope| &envelope.body), keys.election_share(trustee))
        else {
            return Err(finding(format!("a rehearsal decryption of trustee {trustee}"), "none"));
        };
        let claim = Claim { election: &manifest.election, scope, trustee, share, bases: &[a] };
        match claim.judge(&[*partial], proof).map(|points| points.first().copied()) {
            Ok(Some(point)) => partials.insert(trustee, point),
            _ => return Err(finding(format!("a rehearsal proof of trustee {trustee} that holds"), "another")),
        };
    }
    let indices: Vec<u16> = partials.keys().copied().take(manifest.t.into()).collect();
    let coefficients: Vec<Scalar> = indices.iter().map(|index| lagrange(*index, &indices)).collect();
    let points: Vec<RistrettoPoint> = partials.values().copied().collect();
    let opened = b - multiply(&coefficients, &points);
    must(opened == &m * RISTRETTO_BASEPOINT_TABLE, || "the number that was encrypted".into(), || "another".into())?;

    let (message, all): (Vec<u8>, Vec<u16>) = (statement(keys), (1..=manifest.n()).collect());
    let signed = record.kind(50).filter(|envelope| envelope.slot.topic == 1).any(|envelope| match &envelope.body {
        Body::SignRequest { signers, .. } if *signers == all => {
            aggregated(record, keys, 1, envelope.slot.number, signers, &message).is_some()
        }
        _ => false,
    });
    must(signed, || "the rehearsal statement, signed by all trustees together".into(), || "no such signature".into())?;
    Ok(((), format!("{} decryptions, 1 signature", partials.len())))
}

/// `q` agreed to open and to close, at an official's request, with the certified key. (P-VOT)
pub(crate) fn voting(record: &Record, keys: &Keys) -> Result<((), String), Finding> {
    let q = usize::from(record.manifest.q);
    for (tag, what, needed) in [
        (20, "requests to open", 1),
        (21, "agreements to open", q),
        (22, "requests to close", 1),
        (23, "agreements to close", q),
    ] {
        let ours = |body: &Body| matches!(body, Body::Stage { key_certificate } if *key_certificate == keys.digest);
        let got = record.kind(tag).filter(|envelope| ours(&envelope.body)).count();
        must(got >= needed, || format!("at least {needed} {what} with the certified key"), || got.to_string())?;
    }
    must(
        record.kind(24).next().is_some(),
        || "the home shard's statement of the lanes' ends".into(),
        || "none".into(),
    )?;
    Ok(((), format!("opened and closed by at least {q} trustees")))
}
