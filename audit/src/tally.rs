//! Lots, partial decryptions, result. (P-LOT, P-TAL)

use crate::{
    ceremony::Keys,
    dleq::{Claim, Scope},
    group::{lagrange, multiply},
    lanes::Boxes,
    manifest::{Contest, Manifest},
    messages::Body,
    record::Record,
    report::{Finding, finding, must},
    wire::{Hash, digest, hex, length, wide},
};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE,
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity as _, IsIdentity as _},
};
use schnorrkel::{
    PublicKey, signing_context,
    vrf::{VRFPreOut, VRFProof},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

const LOTS: &[u8] = b"conclave/v1/lots";

/// The number of a lot, if its proof holds. (P-LOT-1, P-LOT-2)
pub(crate) fn lot(
    (trustee, key): (u16, &[u8; 32]),
    election: &Hash,
    vote_set: &Hash,
    output: &[u8; 32],
    proof: &[u8; 64],
) -> Option<[u8; 32]> {
    let key = PublicKey::from_bytes(key).ok()?;
    let proof = VRFProof::from_bytes(proof).ok()?;
    let input = signing_context(LOTS).bytes(&[election.as_slice(), vote_set, &trustee.to_be_bytes()].concat());
    let (in_out, _) = key.vrf_verify(input, &VRFPreOut(*output), &proof).ok()?;
    Some(in_out.make_bytes(LOTS))
}

/// Every lot is judged; wrong ones are named, and change nothing but the order. (P-LOT-3)
pub(crate) fn lots(record: &Record, keys: &Keys, vote_set: &Hash) -> Result<((), String), Finding> {
    let mut drawn: BTreeMap<u16, [u8; 32]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for envelope in record.kind(33) {
        let Body::Lot { vote_set: over, output, proof } = &envelope.body else { continue };
        let trustee = envelope.slot.sender.index;
        let key = keys.lot_key(trustee).filter(|_| over == vote_set);
        match key.and_then(|key| lot((trustee, key), &record.manifest.election, vote_set, output, proof)) {
            Some(number) => drop(drawn.insert(trustee, number)),
            None => wrong.push(trustee),
        }
    }
    let mut order: Vec<u16> = (1..=record.manifest.n()).collect();
    order.sort_by_key(|trustee| (!drawn.contains_key(trustee), drawn.get(trustee).copied(), *trustee));
    let wrong = if wrong.is_empty() { String::new() } else { format!("; wrong: {wrong:?}") };
    Ok(((), format!("{} lots, order {order:?}{wrong}", drawn.len())))
}

/// The sums that are opened: the aggregate's in contest and option order, then the beacon. (P-LOT-4)
pub(crate) fn sums(manifest: &Manifest, boxes: &Boxes, vote_set: &Hash) -> Vec<(RistrettoPoint, RistrettoPoint)> {
    let mut sums: Vec<_> = boxes.sums.iter().flatten().copied().collect();
    let beacon = RistrettoPoint::from_uniform_bytes(&wide("beacon", &[&manifest.election, vote_set]));
    sums.push((beacon, RistrettoPoint::identity()));
    sums
}

/// Partial decryptions that hold, by trustee.
pub(crate) type Opened = BTreeMap<u16, Vec<RistrettoPoint>>;

/// At least `t` trustees decrypted rightly; who did not is named. (P-TAL-2)
pub(crate) fn partials(
    record: &Record,
    keys: &Keys,
    vote_set: &Hash,
    sums: &[(RistrettoPoint, RistrettoPoint)],
) -> Result<(Opened, String), Finding> {
    let manifest = &record.manifest;
    let bases: Vec<RistrettoPoint> = sums.iter().map(|(a, _)| *a).collect();
    let (mut opened, mut wrong) = (Opened::new(), Vec::new());
    for envelope in record.kind(40) {
        let Body::Partials { vote_set: of, points, proof } = &envelope.body else { continue };
        let trustee = envelope.slot.sender.index;
        let judged = keys.election_share(trustee).filter(|_| of == vote_set).and_then(|share| {
            let scope = Scope::Tally { vote_set: *vote_set };
            Claim { election: &manifest.election, scope, trustee, share, bases: &bases }.judge(points, proof).ok()
        });
        match judged {
            Some(points) => drop(opened.insert(trustee, points)),
            None => wrong.push(trustee),
        }
    }
    let (t, got) = (usize::from(manifest.t), opened.len());
    let named = if wrong.is_empty() { String::new() } else { format!("; wrong: trustees {wrong:?}") };
    must(got >= t, || format!("{t} partial decryptions whose proofs hold"), || format!("{got}{named}"))?;
    Ok((opened, format!("{got} of {} sums each{named}", sums.len())))
}

/// Multiples of `G`, to search small logarithms with. (P-TAL-4)
struct Logarithms {
    /// Encoding of twice a multiple, shortened, to the multiple.
    table: HashMap<u64, u32>,
    steps: u64,
}

/// Points that share one inversion.
const SHARED: u64 = 256;

/// Batches of encodings of `2 (start + i step)`; `work` stops them by `Some`.
fn walk<T>(
    start: RistrettoPoint,
    step: RistrettoPoint,
    count: u64,
    mut work: impl FnMut(u64, u64) -> Option<T>,
) -> Option<T> {
    let (mut here, mut done) = (start, 0_u64);
    while done < count {
        let points: Vec<RistrettoPoint> = (done..count.min(done.saturating_add(SHARED)))
            .map(|_| {
                let this = here;
                here += step;
                this
            })
            .collect();
        for encoding in RistrettoPoint::double_and_compress_batch(&points) {
            let [_, a, b, c, d, e, f, g, h, ..] = encoding.to_bytes();
            if let Some(found) = work(done, u64::from_le_bytes([a, b, c, d, e, f, g, h])) {
                return Some(found);
            }
            done = done.saturating_add(1);
        }
    }
    None
}

impl Logarithms {
    fn new(bound: u64, searches: usize) -> Self {
        let steps = bound.saturating_mul(searches as u64).isqrt().clamp(16, 1 << 21);
        let mut table = HashMap::new();
        let g = curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
        walk::<()>(g, g, steps, |done, short| {
            table.entry(short).or_insert_with(|| u32::try_from(done.saturating_add(1)).unwrap_or(0));
            None
        });
        Self { table, steps }
    }

    /// The `m` from 0 to `bound` with `point = m G`.
    fn find(&self, point: &RistrettoPoint, bound: u64) -> Option<u64> {
        if point.is_identity() {
            return Some(0);
        }
        let giants = bound.checked_div(self.steps)?.saturating_add(1);
        let back = -(&Scalar::from(self.steps) * RISTRETTO_BASEPOINT_TABLE);
        walk(*point, back, giants, |giant, short| {
            let small = self.table.get(&short)?;
            let m = giant.checked_mul(self.steps)?.checked_add(u64::from(*small))?;
            (m <= bound && &Scalar::from(m) * RISTRETTO_BASEPOINT_TABLE == *point).then_some(m)
        })
    }
}

pub(crate) struct Tie {
    pub(crate) seats: u64,
    pub(crate) options: Vec<u16>,
    pub(crate) lots: Option<Vec<u16>>,
}

pub(crate) struct Outcome {
    pub(crate) totals: Vec<u64>,
    pub(crate) weight: u64,
    pub(crate) blank: Option<u64>,
    pub(crate) winners: Vec<u16>,
    pub(crate) tie: Option<Tie>,
}

/// The result. (P-TAL-5)
pub(crate) struct Tally {
    pub(crate) contests: Vec<Outcome>,
    /// P-TAL-6.
    pub(crate) digest: Hash,
}

/// Combines `t` of the partial decryptions, finds totals, winners and ties.
pub(crate) fn count(
    manifest: &Manifest,
    boxes: &Boxes,
    vote_set: &Hash,
    sums: &[(RistrettoPoint, RistrettoPoint)],
    opened: &Opened,
) -> Result<(Tally, String), Finding> {
    let indices: Vec<u16> = opened.keys().copied().take(manifest.t.into()).collect();
    let coefficients: Vec<Scalar> = indices.iter().map(|index| lagrange(*index, &indices)).collect();
    let mut columns: Vec<_> = opened.values().take(indices.len()).map(|points| points.iter()).collect();
    // > m G = B - x A
    let mut opened: Vec<RistrettoPoint> = sums
        .iter()
        .map(|(_, b)| {
            let column: Vec<RistrettoPoint> = columns.iter_mut().filter_map(|points| points.next().copied()).collect();
            b - multiply(&coefficients, &column)
        })
        .collect();
    let beacon = opened.pop().unwrap_or_default();
    let bound = boxes.weights.iter().max().copied().unwrap_or(0);
    let logarithms = Logarithms::new(bound, opened.len());
    let mut points = opened.iter();
    let mut contests = Vec::new();
    for ((contest, weight), index) in manifest.contests.iter().zip(&boxes.weights).zip(0_u16..) {
        let mut totals = Vec::new();
        for (point, option) in points.by_ref().take(contest.options.len()).zip(&contest.options) {
            let total = logarithms.find(point, *weight).ok_or_else(|| {
                finding(format!("0 to {weight} votes for {option:?} in contest {}", contest.id), "another sum")
            })?;
            totals.push(total);
        }
        let marks = totals.iter().fold(0_u64, |sum, total| sum.saturating_add(*total));
        let least = weight.saturating_mul(contest.marks_min().into());
        let most = weight.saturating_mul(contest.max.into());
        must(
            (least..=most).contains(&marks),
            || format!("{least} to {most} marks in contest {}", contest.id),
            || marks.to_string(),
        )?;
        contests.push(outcome(contest, index, *weight, totals, marks, &beacon));
    }
    let digest = result_digest(manifest, boxes, vote_set, &contests);
    let ties = contests.iter().filter(|contest| contest.tie.is_some()).count();
    Ok((
        Tally { contests, digest },
        format!("{} contests, {ties} ties, digest {}", manifest.contests.len(), hex(&digest)),
    ))
}

/// Most votes win; nobody wins without a vote; a tie at the last seats goes by lot, or stays open.
fn outcome(
    contest: &Contest,
    index: u16,
    weight: u64,
    totals: Vec<u64>,
    marks: u64,
    beacon: &RistrettoPoint,
) -> Outcome {
    let blank = (contest.max == 1).then(|| weight.saturating_sub(marks));
    let mut ranked: Vec<(u64, u16)> = totals.iter().copied().zip(0_u16..).filter(|(total, _)| *total > 0).collect();
    ranked.sort_by_key(|(total, option)| (Reverse(*total), *option));
    let seats = usize::from(contest.seats);
    let threshold = seats.checked_sub(1).and_then(|last| ranked.get(last)).map_or(0, |(total, _)| *total);
    let options = |keep: &dyn Fn(u64) -> bool| -> Vec<u16> {
        ranked.iter().filter(|(total, _)| keep(*total)).map(|(_, option)| *option).collect()
    };
    if ranked.iter().filter(|(total, _)| *total >= threshold).count() <= seats {
        let winners = options(&|total| total >= threshold);
        return Outcome { totals, weight, blank, winners, tie: None };
    }
    // More options than seats have at least as many votes as the last seat's.
    let mut winners = options(&|total| total > threshold);
    let tied = options(&|total| total == threshold);
    let open = seats.saturating_sub(winners.len());
    let lots = contest.ties_by_lot.then(|| {
        let encoded = beacon.compress().to_bytes();
        let lot = |option: u16| digest("lots", &[&encoded, &index.to_be_bytes(), &option.to_be_bytes()]);
        let mut order = tied.clone();
        order.sort_by_key(|option| (lot(*option), *option));
        order
    });
    winners.extend(lots.iter().flatten().take(open));
    Outcome { totals, weight, blank, winners, tie: Some(Tie { seats: open as u64, options: tied, lots }) }
}

fn result_digest(manifest: &Manifest, boxes: &Boxes, vote_set: &Hash, contests: &[Outcome]) -> Hash {
    fn numbers(body: &mut Vec<u8>, list: &[u16]) {
        body.extend(length(list.len()));
        body.extend(list.iter().flat_map(|number| number.to_be_bytes()));
    }
    let mut body = Vec::new();
    body.extend(manifest.election);
    body.extend(vote_set);
    for number in [manifest.voters, manifest.weight_total, boxes.logged, boxes.counted] {
        body.extend(number.to_be_bytes());
    }
    body.extend(length(contests.len()));
    for Outcome { totals, weight, blank, winners, tie } in contests {
        body.extend(length(totals.len()));
        body.extend(totals.iter().flat_map(|total| total.to_be_bytes()));
        body.extend(weight.to_be_bytes());
        body.push(u8::from(blank.is_some()));
        body.extend(blank.iter().flat_map(|blank| blank.to_be_bytes()));
        numbers(&mut body, winners);
        body.push(u8::from(tie.is_some()));
        if let Some(Tie { seats, options, lots }) = tie {
            body.extend(seats.to_be_bytes());
            numbers(&mut body, options);
            body.push(u8::from(lots.is_some()));
            if let Some(lots) = lots {
                numbers(&mut body, lots);
            }
        }
    }
    digest("result", &[&body])
}
