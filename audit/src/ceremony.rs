//! The key ceremony, judged again from its public messages. (P-DKG-1 to P-DKG-7)

use crate::{
    group::{edwards_base, edwards_prime, halves, multiply, multiply_edwards, point, reduce, scalar},
    manifest::Manifest,
    messages::{Body, Envelope},
    record::Record,
    report::{Finding, finding, must},
    stages,
    wire::{Hash, digest, hex, length},
};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE,
    edwards::EdwardsPoint,
    montgomery::MontgomeryPoint,
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};
use sha2::{Digest as _, Sha512};
use std::{collections::BTreeMap, ops::Add};

/// Encapsulated key, 64 bytes, tag.
pub(crate) const SEALED: usize = 112;

/// One of the two key generations.
pub(crate) trait Curve {
    type Point: Copy + Eq + Identity + IsIdentity + Add<Output = Self::Point>;
    const CONTEXT: &'static str;
    fn decode(bytes: &[u8; 32]) -> Option<Self::Point>;
    fn encode(point: &Self::Point) -> [u8; 32];
    fn base(scalar: &Scalar) -> Self::Point;
    fn sum(scalars: &[Scalar], points: &[Self::Point]) -> Self::Point;
}

pub(crate) enum Signing {}
pub(crate) enum Election {}

impl Curve for Signing {
    type Point = EdwardsPoint;
    const CONTEXT: &'static str = "FROST-ED25519-SHA512-v1";
    fn decode(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
        edwards_prime(bytes)
    }
    fn encode(point: &EdwardsPoint) -> [u8; 32] {
        point.compress().to_bytes()
    }
    fn base(scalar: &Scalar) -> EdwardsPoint {
        edwards_base(scalar)
    }
    fn sum(scalars: &[Scalar], points: &[EdwardsPoint]) -> EdwardsPoint {
        multiply_edwards(scalars, points)
    }
}

impl Curve for Election {
    type Point = RistrettoPoint;
    const CONTEXT: &'static str = "FROST-RISTRETTO255-SHA512-v1";
    fn decode(bytes: &[u8; 32]) -> Option<RistrettoPoint> {
        point(bytes)
    }
    fn encode(point: &RistrettoPoint) -> [u8; 32] {
        point.compress().to_bytes()
    }
    fn base(scalar: &Scalar) -> RistrettoPoint {
        scalar * RISTRETTO_BASEPOINT_TABLE
    }
    fn sum(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
        multiply(scalars, points)
    }
}

/// What is wrong with a round-1 package; the tags of P-EVI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageFlaw {
    Length,
    Point,
    Proof,
}

impl PackageFlaw {
    fn words(self) -> &'static str {
        match self {
            Self::Length => "another number of them",
            Self::Point => "a point or number that is not canonical or not of prime order",
            Self::Proof => "a proof of knowledge that does not hold",
        }
    }
}

/// Exactly `threshold` points, all sound, and a proof of knowledge of the first one's logarithm. (P-DKG-3)
fn commitments<C: Curve>(
    from: u16,
    threshold: u16,
    commitments: &[[u8; 32]],
    proof: &[u8; 64],
) -> Result<Vec<C::Point>, PackageFlaw> {
    if commitments.len() != usize::from(threshold) {
        return Err(PackageFlaw::Length);
    }
    let points: Option<Vec<C::Point>> = commitments.iter().map(C::decode).collect();
    let points = points.ok_or(PackageFlaw::Point)?;
    let (r_bytes, mu_bytes) = halves(proof);
    let (r, mu) = C::decode(&r_bytes).zip(scalar(&mu_bytes)).ok_or(PackageFlaw::Point)?;
    let (first, first_bytes) = points.first().zip(commitments.first()).ok_or(PackageFlaw::Length)?;
    // > c = H(identifier, first commitment, R); R = mu G - c phi_0
    let mut hash = Sha512::new();
    hash.update(C::CONTEXT);
    hash.update("dkg");
    hash.update(Scalar::from(from).as_bytes());
    hash.update(first_bytes);
    hash.update(r_bytes);
    let c = reduce(&hash.finalize().into());
    if C::base(&mu) == r + C::sum(&[c], &[*first]) { Ok(points) } else { Err(PackageFlaw::Proof) }
}

/// `sum_k at^k phi_k`.
pub(crate) fn evaluate<C: Curve>(commitments: &[C::Point], at: u16) -> C::Point {
    let x = Scalar::from(at);
    let mut power = Scalar::ONE;
    let mut powers = Vec::with_capacity(commitments.len());
    for _ in commitments {
        powers.push(power);
        power *= x;
    }
    C::sum(&powers, commitments)
}

/// A package that is sound.
pub(crate) struct Package {
    pub(crate) signing: Vec<EdwardsPoint>,
    pub(crate) election: Vec<RistrettoPoint>,
}

pub(crate) fn package(from: u16, body: &Body, manifest: &Manifest) -> Result<Package, PackageFlaw> {
    let Body::Reveal { signing, signing_proof, election, election_proof } = body else {
        return Err(PackageFlaw::Length);
    };
    if signing.len() != usize::from(manifest.s) || election.len() != usize::from(manifest.t) {
        return Err(PackageFlaw::Length);
    }
    Ok(Package {
        signing: commitments::<Signing>(from, manifest.s, signing, signing_proof)?,
        election: commitments::<Election>(from, manifest.t, election, election_proof)?,
    })
}

/// First commitments, told apart by key generation.
pub(crate) fn first_commitments(reveal: &Body) -> Vec<(bool, [u8; 32])> {
    let Body::Reveal { signing, election, .. } = reveal else { return Vec::new() };
    let signing = signing.first().map(|first| (false, *first));
    signing.into_iter().chain(election.first().map(|first| (true, *first))).collect()
}

/// P-DKG-1.
pub(crate) fn terms_digest(manifest: &Manifest, attempt: u32) -> Hash {
    let mut body = Vec::new();
    body.extend(manifest.election);
    body.extend(attempt.to_be_bytes());
    body.extend(manifest.t.to_be_bytes());
    body.extend(manifest.s.to_be_bytes());
    body.extend(length(manifest.trustees.len()));
    for (index, trustee) in (1_u16..).zip(&manifest.trustees) {
        body.extend(index.to_be_bytes());
        body.extend(trustee.identity);
    }
    digest("ceremony-terms", &[&body])
}

/// P-DKG-2.
pub(crate) fn commitment(manifest: &Manifest, attempt: u32, from: u16, reveal: &Envelope) -> Hash {
    let parts: [&[u8]; 4] = [&manifest.election, &attempt.to_be_bytes(), &from.to_be_bytes(), reveal.fields()];
    digest("ceremony-commit", &parts)
}

/// Keys that shares can be sealed to and lots drawn under.
pub(crate) fn usable_keys(sealing_key: &[u8; 32], lot_key: &[u8; 32]) -> bool {
    let shared = MontgomeryPoint(*sealing_key).mul_clamped([1; 32]);
    shared.to_bytes() != [0; 32] && point(lot_key).is_some()
}

/// One share of the right size for every other trustee, ascending. (P-DKG-4)
pub(crate) fn well_addressed(manifest: &Manifest, from: u16, shares: &[(u16, Vec<u8>)]) -> bool {
    let expected = (1..=manifest.n()).filter(|to| *to != from);
    expected.eq(shares.iter().map(|(to, _)| *to)) && shares.iter().all(|(_, sealed)| sealed.len() == SEALED)
}

/// The keys of one attempt. (P-DKG-6)
pub(crate) struct Keys {
    pub(crate) attempt: u32,
    pub(crate) transcript: Hash,
    pub(crate) signing_key: [u8; 32],
    pub(crate) election_key: RistrettoPoint,
    /// By trustee, 1 first.
    pub(crate) election_shares: Vec<RistrettoPoint>,
    pub(crate) lot_keys: Vec<[u8; 32]>,
    /// By trustee, 1 first.
    pub(crate) signing_shares: Vec<EdwardsPoint>,
    /// Of the certificate.
    pub(crate) digest: Hash,
}

impl Keys {
    pub(crate) fn election_share(&self, of: u16) -> Option<&RistrettoPoint> {
        self.election_shares.get(usize::from(of).checked_sub(1)?)
    }
    pub(crate) fn lot_key(&self, of: u16) -> Option<&[u8; 32]> {
        self.lot_keys.get(usize::from(of).checked_sub(1)?)
    }
}

/// The messages of one attempt by tag and trustee.
pub(crate) type Said<'a> = BTreeMap<(u16, u16), &'a Envelope>;

/// Judges terms, commitments, packages and shares of all trustees, and derives the keys. (P-DKG-1 to P-DKG-6)
pub(crate) fn derive(manifest: &Manifest, attempt: u32, said: &Said<'_>) -> Result<Keys, Finding> {
    let n = manifest.n();
    let terms = terms_digest(manifest, attempt);
    let mut transcript = Vec::new();
    transcript.extend(manifest.election);
    transcript.extend(terms);
    let (mut lot_keys, mut packages) = (Vec::new(), Vec::new());
    let mut firsts: BTreeMap<(bool, [u8; 32]), u16> = BTreeMap::new();
    for from in 1..=n {
        let get = |tag: u16, what: &str| {
            let there = said.get(&(tag, from)).copied();
            there.ok_or_else(|| finding(format!("{what} of trustee {from} in attempt {attempt}"), "none"))
        };
        let (term, commit) = (get(10, "terms")?, get(11, "a commitment")?);
        let (reveal, share) = (get(12, "packages")?, get(13, "shares")?);
        if let Body::Terms { digest, sealing_key, lot_key } = &term.body {
            must(*digest == terms, || format!("terms {} of trustee {from}", hex(&terms)), || hex(digest))?;
            must(usable_keys(sealing_key, lot_key), || format!("usable keys of trustee {from}"), || "others".into())?;
            lot_keys.push(*lot_key);
        }
        if let Body::Commit { commitment: got } = &commit.body {
            let expected = commitment(manifest, attempt, from, reveal);
            must(expected == *got, || format!("packages of trustee {from} as committed to"), || "others".into())?;
        }
        let judged = package(from, &reveal.body, manifest);
        let judged = judged.map_err(|flaw| finding(format!("key commitments of trustee {from}"), flaw.words()))?;
        for first in first_commitments(&reveal.body) {
            let before = firsts.insert(first, from);
            must(
                before.is_none(),
                || "a first commitment of its own from every trustee".into(),
                || format!("trustee {from} has that of trustee {}", before.unwrap_or(from)),
            )?;
        }
        packages.push(judged);
        if let Body::Shares { shares } = &share.body {
            must(
                well_addressed(manifest, from, shares),
                || format!("one sealed share of {SEALED} bytes from trustee {from} to every other, ascending"),
                || "others".into(),
            )?;
        }
        transcript.extend(from.to_be_bytes());
        for envelope in [term, commit, reveal, share] {
            transcript.extend(envelope.fields());
        }
    }
    let transcript = digest("ceremony-transcript", &[&transcript]);
    certificate(manifest, attempt, transcript, &packages, lot_keys)
}

fn joint<C: Curve>(all: impl Iterator<Item = Vec<C::Point>>) -> Vec<C::Point> {
    all.reduce(|sum, next| sum.into_iter().zip(next).map(|(a, b)| a + b).collect()).unwrap_or_default()
}

fn certificate(
    manifest: &Manifest,
    attempt: u32,
    transcript: Hash,
    packages: &[Package],
    lot_keys: Vec<[u8; 32]>,
) -> Result<Keys, Finding> {
    let signing = joint::<Signing>(packages.iter().map(|package| package.signing.clone()));
    let election = joint::<Election>(packages.iter().map(|package| package.election.clone()));
    let unusable = || finding("joint keys that can be used", "the identity");
    let usable = |point: &RistrettoPoint| !point.is_identity();
    let signing_point = signing.first().filter(|key| !key.is_identity()).ok_or_else(unusable)?;
    let election_key = *election.first().filter(|key| usable(key)).ok_or_else(unusable)?;
    let all = 1..=manifest.n();
    let signing_points: Vec<_> = all.clone().map(|index| evaluate::<Signing>(&signing, index)).collect();
    let election_shares: Vec<_> = all.map(|index| evaluate::<Election>(&election, index)).collect();
    if signing_points.iter().any(IsIdentity::is_identity) || !election_shares.iter().all(usable) {
        return Err(unusable());
    }
    let signing_key = Signing::encode(signing_point);
    let signing_shares: Vec<[u8; 32]> = signing_points.iter().map(Signing::encode).collect();

    let mut body = Vec::new();
    body.extend(attempt.to_be_bytes());
    body.extend(transcript);
    body.extend(signing_key);
    body.extend(election_key.compress().to_bytes());
    let election_bytes: Vec<[u8; 32]> = election_shares.iter().map(Election::encode).collect();
    for list in [&signing_shares, &election_bytes, &lot_keys] {
        body.extend(length(list.len()));
        body.extend(list.iter().flatten());
    }
    let digest = digest("key-certificate", &[&body]);
    Ok(Keys {
        attempt,
        transcript,
        signing_key,
        election_key,
        election_shares,
        lot_keys,
        signing_shares: signing_points,
        digest,
    })
}

/// The keys of one attempt, if all trustees confirmed exactly them.
fn certified(record: &Record, attempt: u32) -> Result<Keys, Finding> {
    let mut said = Said::new();
    for envelope in (10..=13).flat_map(|tag| record.kind(tag)) {
        if envelope.slot.number == attempt {
            said.insert((envelope.slot.tag, envelope.slot.sender.index), envelope);
        }
    }
    let keys = derive(&record.manifest, attempt, &said)?;
    for envelope in record.kind(16).filter(|envelope| envelope.slot.number == attempt) {
        if let Body::Confirm { transcript, certificate } = &envelope.body {
            let sender = envelope.slot.sender;
            must(
                *transcript == keys.transcript && *certificate == keys.digest,
                || format!("{sender} confirming certificate {}", hex(&keys.digest)),
                || format!("certificate {}, transcript {}", hex(certificate), hex(transcript)),
            )?;
        }
    }
    Ok(keys)
}

/// The keys that all trustees have confirmed; of several attempts, which takes a trustee that confirmed what it gave up,
/// those that all have rehearsed. (P-DKG-6, P-DKG-7)
pub(crate) fn judge(record: &Record) -> Result<(Keys, String), Finding> {
    let n = usize::from(record.manifest.n());
    let mut confirmed: BTreeMap<u32, usize> = BTreeMap::new();
    for envelope in record.kind(16) {
        let count = confirmed.entry(envelope.slot.number).or_default();
        *count = count.saturating_add(1);
    }
    // An attempt that somebody spoilt, with a false confirmation at the latest, is none.
    let complete = confirmed.iter().filter(|(_, count)| **count == n);
    let judged: Vec<Result<Keys, Finding>> = complete.map(|(attempt, _)| certified(record, *attempt)).collect();
    let (good, bad): (Vec<_>, Vec<_>) = judged.into_iter().partition(Result::is_ok);
    let mut good: Vec<Keys> = good.into_iter().flatten().collect();
    let rehearsed = good.iter().position(|keys| good.len() > 1 && stages::rehearsal(record, keys).is_ok());
    let chosen = rehearsed.map(|at| good.swap_remove(at)).or_else(|| good.pop());
    let Some(keys) = chosen else {
        let none = || finding(format!("keys of one attempt, confirmed by all {n} trustees"), "none");
        return Err(bad.into_iter().find_map(Result::err).unwrap_or_else(none));
    };
    let attempt = keys.attempt;
    // Who confirmed and gave up as well is a liar, and has to be named as one; the keys stand.
    for envelope in record.kind(14).chain(record.kind(17)).filter(|envelope| envelope.slot.number == attempt) {
        let sender = envelope.slot.sender;
        let named = record.evidence.iter().any(|evidence| evidence.accused == sender && evidence.wrong == 11);
        must(
            named,
            || format!("keys of an attempt that nobody gave up, attempt {attempt}"),
            || format!("{sender} gave it up, and is not named for it"),
        )?;
    }
    let earlier = attempt.saturating_sub(1);
    let detail = format!("attempt {attempt} ({earlier} before it), certificate {}", hex(&keys.digest));
    Ok((keys, detail))
}

#[cfg(test)]
mod tests;
