//! The log: who voted, what counts, the sums, the tree, the checkpoints. (P-BOX, P-LOG)

use crate::{
    ballot::{Form, Head, seed},
    group::signed,
    manifest::{Manifest, Voter},
    parallel,
    record::{Lane, Record},
    report::{Finding, finding, must},
    wire::{Hash, digest, hex},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use curve25519_dalek::{ristretto::RistrettoPoint, traits::Identity as _};
use rand_core::{OsRng, RngCore as _};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Ballots that are summed together: their points must fit a cache.
const BATCH: usize = 256;

/// What the lanes amount to. (P-BOX-5)
pub(crate) struct Boxes {
    pub(crate) logged: u64,
    pub(crate) counted: u64,
    /// Per contest.
    pub(crate) weights: Vec<u64>,
    pub(crate) counted_digest: Hash,
    /// Per contest and option.
    pub(crate) sums: Vec<Vec<(RistrettoPoint, RistrettoPoint)>>,
}

impl Boxes {
    /// `digest("aggregate", ...)`: contests, options, `A` and `B` of each.
    pub(crate) fn aggregate_digest(&self) -> Hash {
        let mut body = crate::wire::length(self.sums.len()).to_vec();
        for contest in &self.sums {
            body.extend(u16::try_from(contest.len()).unwrap_or(u16::MAX).to_be_bytes());
            for (a, b) in contest {
                body.extend(a.compress().to_bytes());
                body.extend(b.compress().to_bytes());
            }
        }
        digest("aggregate", &[&body])
    }
}

/// Where a ballot is, in words.
fn place(lane: usize, leaf: usize) -> String {
    format!("lane {lane}, leaf {leaf}")
}

fn lane_of(credential: &[u8; 32], lanes: u16) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *credential;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_rem(lanes.into()).unwrap_or(0)
}

/// Applies the rules of the ballot box to one lane; gives for each leaf the weight with which it counts, 0 if it does not.
/// (P-BOX-1 to P-BOX-4)
fn admit(
    manifest: &Manifest,
    roll: &[Voter],
    form: &Form,
    number: usize,
    lane: &Lane,
) -> Result<(Vec<u64>, Vec<u16>), Finding> {
    let mut counts: Vec<u64> = Vec::new();
    let mut styles: Vec<u16> = Vec::new();
    let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
    let mut components: HashSet<[u8; 16]> = HashSet::new();
    for (leaf, bytes) in lane.leaves().enumerate() {
        let at = || place(number, leaf);
        let in_place = |found: Finding| finding(format!("{}: {}", at(), found.expected), found.found);
        let Head { style, credential, components: own } = form.head(bytes).map_err(in_place)?;
        let on_roll = roll.binary_search_by_key(&credential, |voter| voter.credential).ok();
        let Some((position, voter)) = on_roll.and_then(|position| Some((position, roll.get(position)?))) else {
            return Err(finding(format!("{}: a credential of the roll", at()), hex(&credential)));
        };
        must(voter.style == style, || format!("{}: ballot style {}", at(), voter.style), || style.to_string())?;
        let own_lane = lane_of(&credential, manifest.lanes);
        must(
            own_lane == number as u64,
            || format!("{}: a ballot of this lane", at()),
            || format!("of lane {own_lane}"),
        )?;
        for component in own {
            let new = components.insert(component);
            must(new, || format!("{}: a ciphertext of its own", at()), || "that of another leaf".into())?;
        }
        if let Some(earlier) = latest.insert(position, leaf) {
            must(
                manifest.revote_last,
                || format!("{}: one ballot for a credential", at()),
                || format!("another at leaf {earlier}"),
            )?;
            if let Some(count) = counts.get_mut(earlier) {
                *count = 0;
            }
        }
        counts.push(voter.weight);
        styles.push(style);
    }
    Ok((counts, styles))
}

/// Sums by bits of the weight: `sums[bit]` is doubled `bit` times in the end, so that no ballot costs a multiplication.
type Sums = Vec<Vec<Vec<(RistrettoPoint, RistrettoPoint)>>>;

fn empty(manifest: &Manifest) -> Vec<Vec<(RistrettoPoint, RistrettoPoint)>> {
    let zero = (RistrettoPoint::identity(), RistrettoPoint::identity());
    manifest.contests.iter().map(|contest| vec![zero; contest.options.len()]).collect()
}

fn merge(into: &mut [Vec<(RistrettoPoint, RistrettoPoint)>], from: &[Vec<(RistrettoPoint, RistrettoPoint)>]) {
    for ((a, b), (more_a, more_b)) in into.iter_mut().flatten().zip(from.iter().flatten()) {
        *a += more_a;
        *b += more_b;
    }
}

/// Every ballot of every lane: rules, proofs, signature; and the weighted sums of those that count.
pub(crate) fn ballots(record: &Record, roll: &[Voter], key: RistrettoPoint) -> Result<(Boxes, String), Finding> {
    let manifest = &record.manifest;
    let form = Form::new(manifest, key)?;
    let mut weights = vec![0_u64; manifest.contests.len()];
    let (mut logged, mut counted, mut bitmaps) = (0_u64, 0_u64, Vec::new());
    // Where each ballot is, and the weight with which it counts.
    let mut all: Vec<(usize, usize, u64)> = Vec::new();
    for (number, lane) in record.lanes.iter().enumerate() {
        let (counts, styles) = admit(manifest, roll, &form, number, lane)?;
        logged = logged.saturating_add(lane.size() as u64);
        bitmaps.extend(u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
        bitmaps.extend((lane.size() as u64).to_be_bytes());
        for eight in counts.chunks(8) {
            bitmaps.push(eight.iter().rev().fold(0_u8, |byte, count| (byte << 1) | u8::from(*count > 0)));
        }
        for ((leaf, weight), style) in counts.iter().enumerate().zip(&styles) {
            all.push((number, leaf, *weight));
            counted = counted.saturating_add(u64::from(*weight > 0));
            for contest in manifest.styles.get(usize::from(*style)).map_or(&[][..], |(_, contests)| contests.as_slice())
            {
                if let Some(sum) = weights.get_mut(usize::from(*contest)) {
                    *sum = sum.saturating_add(*weight);
                }
            }
        }
    }
    let mut entropy = [0; 32];
    OsRng.fill_bytes(&mut entropy);
    let judge = |own: &mut Sums, range: std::ops::Range<usize>| {
        let start = range.start;
        let places = all.get(range).unwrap_or(&[]);
        let bytes = || places.iter().filter_map(|(lane, leaf, _)| record.lanes.get(*lane)?.leaf(*leaf));
        let in_place = |at: usize, found: Finding| {
            let (lane, leaf, _) = places.get(at).copied().unwrap_or_default();
            (start.saturating_add(at), finding(format!("{}: {}", place(lane, leaf), found.expected), found.found))
        };
        let mut decoded = Vec::with_capacity(places.len());
        let mut broken = None;
        for (at, bytes) in bytes().enumerate() {
            match form.decode(bytes) {
                Ok(ballot) => decoded.push(ballot),
                Err(found) => {
                    broken = Some((at, found));
                    break;
                }
            }
        }
        form.judge(&decoded, &seed(&entropy, bytes())).map_err(|(at, found)| in_place(at, found))?;
        if let Some((at, found)) = broken {
            return Err(in_place(at, found));
        }
        for (ballot, (_, _, weight)) in decoded.iter().zip(places) {
            for bit in (0..u64::BITS).filter(|bit| (weight >> bit) & 1 == 1) {
                let bit = usize::try_from(bit).unwrap_or(0);
                while own.len() <= bit {
                    own.push(empty(manifest));
                }
                for (contest, votes) in ballot.votes() {
                    let sums = own.get_mut(bit).and_then(|sums| sums.get_mut(usize::from(contest)));
                    for ((a, b), (more_a, more_b)) in sums.into_iter().flatten().zip(votes) {
                        *a += more_a;
                        *b += more_b;
                    }
                }
            }
        }
        Ok(())
    };
    let parts = parallel::chunks(all.len(), BATCH, Sums::new, judge)?;
    let mut sums = empty(manifest);
    let bits = parts.iter().map(Vec::len).max().unwrap_or(0);
    for bit in (0..bits).rev() {
        for (a, b) in sums.iter_mut().flatten() {
            *a = *a + *a;
            *b = *b + *b;
        }
        for part in parts.iter().filter_map(|part| part.get(bit)) {
            merge(&mut sums, part);
        }
    }
    let boxes = Boxes { logged, counted, weights, counted_digest: digest("counted-set", &[&bitmaps]), sums };
    let detail = format!("{logged} ballots, {counted} count");
    Ok((boxes, detail))
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of RFC 6962: leaves folded level by level, an odd one carried up as it is.
pub(crate) fn root<'a>(leaves: impl Iterator<Item = &'a [u8]>) -> Hash {
    let mut level: Vec<Hash> =
        leaves.map(|leaf| Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()).collect();
    if level.is_empty() {
        return Sha256::digest([]).into();
    }
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node(left, right)),
                [odd] => Some(*odd),
                _ => None,
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}

/// A signature line of a note: name, key id, signature.
struct Line<'a> {
    name: &'a str,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// A C2SP signed note, in the one form that this protocol has. (P-LOG-2)
fn note(text: &str) -> Option<(&str, Vec<Line<'_>>)> {
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return None;
    }
    let (body, lines) = text.rsplit_once("\n\n")?;
    let body = text.get(..body.len().saturating_add(1))?;
    let lines: Option<Vec<Line<'_>>> = lines
        .strip_suffix('\n')?
        .split('\n')
        .map(|line| {
            let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let bytes = STANDARD.decode(encoded).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            let clean = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+');
            (clean && !signature.is_empty()).then(|| Line { name, id: *id, signature: signature.to_vec() })
        })
        .collect();
    lines.filter(|lines| lines.len() <= 256).map(|lines| (body, lines))
}

fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let hash: Hash = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key).finalize().into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

/// Whether a trustee's line is its co-signature: time, then the signature over time and body.
fn cosigned(body: &str, key: &[u8; 32], signature: &[u8]) -> bool {
    let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
    let time = u64::from_be_bytes(*time);
    let message = format!("cosignature/v1\ntime {time}\n{body}");
    let limit = u64::try_from(i64::MAX).unwrap_or(u64::MAX);
    time <= limit && signature.try_into().is_ok_and(|signature| signed(key, message.as_bytes(), signature))
}

/// Each lane's tree has the root of its checkpoint, which a shard and at least `w` trustees signed. (P-LOG-1, P-LOG-2)
pub(crate) fn checkpoints(record: &Record) -> Result<(Vec<(u64, Hash)>, String), Finding> {
    let mut ends = Vec::new();
    let mut fewest = usize::MAX;
    for (number, lane) in record.lanes.iter().enumerate() {
        let end = (lane.size() as u64, root(lane.leaves()));
        let signers = checkpoint(&record.manifest, number, &lane.checkpoint, end)?;
        fewest = fewest.min(signers);
        ends.push(end);
    }
    let detail = format!("{} lanes, at least {fewest} co-signatures on each", ends.len());
    Ok((ends, detail))
}

fn checkpoint(manifest: &Manifest, lane: usize, text: &str, (size, root): (u64, Hash)) -> Result<usize, Finding> {
    let Some((body, lines)) = note(text) else {
        return Err(finding(format!("lane {lane}: a signed checkpoint"), "another text"));
    };
    let origin = format!("conclave/v1/{}/{lane}", hex(&manifest.election));
    let expected = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root));
    must(body == expected, || format!("lane {lane}: the checkpoint {expected:?}"), || format!("{body:?}"))?;
    let bad = |line: &Line<'_>| {
        finding(format!("lane {lane}: signatures that hold"), format!("one of {} does not", line.name))
    };
    let (mut by_shard, mut cosigners) = (0_usize, BTreeSet::new());
    for line in &lines {
        let shards = manifest
            .shards
            .iter()
            .filter(|shard| line.name == origin && line.id == key_id(&origin, 1, &shard.identity));
        let mut candidates = shards.peekable();
        if candidates.peek().is_some() {
            let holds = candidates.any(|shard| {
                let signature = line.signature.as_slice().try_into();
                signature.is_ok_and(|signature| signed(&shard.identity, body.as_bytes(), signature))
            });
            if !holds {
                return Err(bad(line));
            }
            by_shard = by_shard.saturating_add(1);
            continue;
        }
        let trustee = manifest.trustees.iter().find(|trustee| {
            let name = format!("conclave/v1/trustee/{}", hex(&trustee.identity));
            line.name == name && line.id == key_id(&name, 4, &trustee.identity)
        });
        // Lines of unknown keys say nothing, as in C2SP.
        let Some(trustee) = trustee else { continue };
        if !cosigned(body, &trustee.identity, &line.signature) {
            return Err(bad(line));
        }
        must(
            cosigners.insert(trustee.identity),
            || format!("lane {lane}: one line for a trustee"),
            || format!("{} twice", trustee.name()),
        )?;
    }
    must(by_shard >= 1, || format!("lane {lane}: a signature of a shard as the log"), || "none".into())?;
    let (w, got) = (usize::from(manifest.w), cosigners.len());
    must(got >= w, || format!("lane {lane}: at least {w} co-signatures of trustees"), || got.to_string())?;
    Ok(got)
}

#[cfg(test)]
mod tests;
