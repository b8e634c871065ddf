//! Tests of the manifest, and a sample for the other rooms' tests.

use super::*;
use alloc::{format, vec};

/// A valid manifest of `n` trustees with keys made from their indices; tests that sign replace the keys.
pub(crate) fn sample(n: u16) -> Manifest {
    let key = |role: u8, at: u16| {
        let mut bytes = [role; 32];
        bytes[..2].copy_from_slice(&at.to_be_bytes());
        bytes
    };
    Manifest {
        title: "Board election".into(),
        languages: vec!["en".into()],
        contests: vec![Contest {
            id: "chair".into(),
            title: "Who chairs the board?".into(),
            method: Method::SingleChoice,
            options: vec!["Ada".into(), "Emmy".into(), "Sofia".into()],
            min: 1,
            max: 1,
            blank: true,
            seats: 1,
            ties_by_lot: false,
        }],
        styles: vec![Style { id: "all".into(), contests: vec![ContestIndex(0)] }],
        roll: RollCommitment { voters: 10, weight_total: 10, digest: [7; 32] },
        revote: Revote::Last,
        opens_not_before: TimeMs(0),
        closes_not_before: TimeMs(0),
        trustees: (1..=n)
            .map(|at| TrusteeEntry {
                name: format!("trustee-{at}"),
                organisation: format!("organisation {at}"),
                region: "eu".into(),
                identity: IdentityKey(key(1, at)),
                tls_pin: key(2, at),
                address: format!("127.0.0.1:{}", 4000 + at),
            })
            .collect(),
        quorums: Quorums::default_for(n),
        shards: vec![ShardEntry {
            name: "shard-1".into(),
            identity: IdentityKey(key(3, 1)),
            tls_pin: key(4, 1),
            address: "127.0.0.1:5001".into(),
            public_address: "127.0.0.1:6001".into(),
        }],
        home: ShardIndex(1),
        officials: vec![OfficialEntry {
            name: "official".into(),
            identity: IdentityKey(key(5, 1)),
            tls_pin: key(6, 1),
        }],
        lanes: 1,
        chain: Chain { cluster: "local".into(), genesis: [9; 32] },
        tally_min: 1,
    }
}

#[test]
fn a_manifest_round_trips_and_its_id_depends_on_every_byte() {
    let manifest = sample(4);
    manifest.validate().unwrap();
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::open(&bytes).unwrap(), manifest);
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        if let Ok(other) = Manifest::open(&other) {
            assert_ne!(other.id(), manifest.id(), "byte {at}");
        }
    }
}

#[test]
fn the_quorum_table_of_the_design_holds() {
    for (n, f, q) in [(3, 0, 2), (4, 1, 3), (5, 1, 4), (6, 1, 4), (7, 2, 5), (9, 2, 6), (10, 3, 7), (13, 4, 9)] {
        let default = Quorums::default_for(n);
        assert_eq!((default.f, default.q), (f, q), "n = {n}");
        // n = 9 with q = 6: w + q must exceed n + f = 11, which 6 + 6 does.
        default.validate(n).unwrap();
    }
}

#[test]
fn every_quorum_rule_has_its_own_refusal() {
    let good = Quorums::default_for(4);
    let try_it = |change: fn(&mut Quorums), n: u16| {
        let mut quorums = if n == 4 { good } else { Quorums::default_for(n) };
        change(&mut quorums);
        quorums.validate(n).unwrap_err()
    };
    assert!(matches!(try_it(|q| q.q = 2, 4), QuorumRefusal::CertificateUnsafe { min: 3, .. }));
    assert!(matches!(try_it(|q| q.q = 4, 4), QuorumRefusal::CertificateStuck { max: 3, .. }));
    assert!(matches!(try_it(|q| q.f = 1, 3), QuorumRefusal::TooFewTrustees { min: 4, .. }));
    assert!(matches!(try_it(|q| q.w = 2, 4), QuorumRefusal::CheckpointSplit { min: 3, .. }));
    assert!(matches!(try_it(|q| q.w = 4, 4), QuorumRefusal::CheckpointStuck { max: 3, .. }));
    assert!(matches!(try_it(|q| q.t = 4, 4), QuorumRefusal::ThresholdTooHigh { symbol: "t", .. }));
    assert!(matches!(try_it(|q| q.s = 4, 4), QuorumRefusal::ThresholdTooHigh { symbol: "s", .. }));
    assert!(matches!(try_it(|q| q.t = 2, 7), QuorumRefusal::ThresholdTooLow { symbol: "t", min: 3, .. }));
    assert!(matches!(try_it(|q| q.t = 2, 4), QuorumRefusal::TwoAggregates { .. }));
    assert!(matches!(try_it(|q| q.s = 2, 4), QuorumRefusal::TwoAnchors { .. }));
    assert!(matches!(try_it(|q| q.t = 1, 4), QuorumRefusal::NoThreshold { .. }));
}

#[test]
fn a_receipt_that_could_be_left_out_is_refused_for_every_size() {
    // w + q > n + f follows from the two majorities for every n; the rule stays as a guard of its own.
    for n in 2..=100u16 {
        for f in 0..=n {
            for q in 1..=n {
                for w in 1..=n {
                    let quorums =
                        Quorums { f, c: 0, t: q.max(2), s: q.max(2), q, w, one_aggregate_by_certificate: true };
                    if quorums.validate(n).is_ok() {
                        assert!(u32::from(w) + u32::from(q) > u32::from(n) + u32::from(f));
                        assert!(2 * u32::from(q) > u32::from(n) + u32::from(f));
                    }
                }
            }
        }
        if n > 14 {
            break;
        }
    }
}

/// The rules once more, as mathematics has them, for every small choice of numbers: what is refused breaks the rule that is
/// named, by the bound that is named, and everything else is taken.
#[test]
fn quorums_are_taken_exactly_if_all_rules_hold() {
    let refused = |quorums: &Quorums, n: u16, refusal: &QuorumRefusal| {
        let Quorums { f, c, t, s, q, w, one_aggregate_by_certificate } = *quorums;
        let [nn, ff, cc, tt, ss, qq, ww] = [n, f, c, t, s, q, w].map(i64::from);
        let is_majority = |size: u16| 2 * i64::from(size) > nn + ff && 2 * (i64::from(size) - 1) <= nn + ff;
        match *refusal {
            QuorumRefusal::NoThreshold { .. } => nn < 2 || tt < 2 || ss < 2,
            QuorumRefusal::TooFewTrustees { min, .. } => ff > 0 && nn < 3 * ff + 1 && i64::from(min) == 3 * ff + 1,
            QuorumRefusal::CertificateUnsafe { min, .. } => 2 * qq <= nn + ff && is_majority(min),
            QuorumRefusal::CertificateStuck { max, .. } => qq > nn - ff && i64::from(max) == nn - ff,
            QuorumRefusal::CheckpointSplit { min, .. } => 2 * ww <= nn + ff && is_majority(min),
            QuorumRefusal::CheckpointStuck { max, .. } => ww > nn - ff && i64::from(max) == nn - ff,
            QuorumRefusal::ReceiptUnsafe { .. } => ww + qq <= nn + ff,
            QuorumRefusal::ThresholdTooLow { got, min, .. } => i64::from(got) <= ff && i64::from(min) == ff + 1,
            QuorumRefusal::ThresholdTooHigh { got, max, .. } => {
                i64::from(got) > nn - ff - cc && i64::from(max) == (nn - ff - cc).max(0)
            }
            QuorumRefusal::TwoAggregates { bound, .. } => {
                !one_aggregate_by_certificate && 2 * tt <= nn + ff && i64::from(bound) == nn + ff
            }
            QuorumRefusal::TwoAnchors { bound, .. } => {
                !one_aggregate_by_certificate && 2 * ss <= nn + ff && i64::from(bound) == nn + ff
            }
        }
    };
    let holds = |quorums: &Quorums, n: u16| {
        let Quorums { f, c, t, s, q, w, one_aggregate_by_certificate } = *quorums;
        let [n, f, c, t, s, q, w] = [n, f, c, t, s, q, w].map(i64::from);
        let sizes = n >= 2 && t >= 2 && s >= 2 && (f == 0 || n > 3 * f);
        let sets = 2 * q > n + f && q <= n - f && 2 * w > n + f && w <= n - f && w + q > n + f;
        let thresholds = t > f && s > f && t <= n - f - c && s <= n - f - c;
        sizes && sets && thresholds && (one_aggregate_by_certificate || 2 * t > n + f && 2 * s > n + f)
    };
    let (mut taken, mut all) = (0_u32, 0_u32);
    for n in 0..=7_u16 {
        let range = || 0..=n + 1;
        for (f, c) in range().flat_map(|f| range().map(move |c| (f, c))) {
            for (t, s) in range().flat_map(|t| range().map(move |s| (t, s))) {
                for (q, w) in range().flat_map(|q| range().map(move |w| (q, w))) {
                    for one_aggregate_by_certificate in [false, true] {
                        let quorums = Quorums { f, c, t, s, q, w, one_aggregate_by_certificate };
                        let verdict = quorums.validate(n);
                        assert_eq!(verdict.is_ok(), holds(&quorums, n), "n = {n}, {quorums:?}: {verdict:?}");
                        if let Err(refusal) = &verdict {
                            assert!(refused(&quorums, n, refusal), "n = {n}, {quorums:?}: {refusal:?}");
                        }
                        taken += u32::from(verdict.is_ok());
                        all += 1;
                    }
                }
            }
        }
    }
    assert!(taken > 100 && taken < all / 100, "{taken} of {all}");
}

#[test]
fn five_of_nine_needs_the_explicit_setting() {
    let mut quorums = Quorums { f: 2, c: 0, t: 5, s: 5, q: 7, w: 7, one_aggregate_by_certificate: false };
    assert!(matches!(quorums.validate(9), Err(QuorumRefusal::TwoAggregates { .. })));
    quorums.one_aggregate_by_certificate = true;
    quorums.validate(9).unwrap();
}

#[test]
fn every_manifest_rule_has_its_own_refusal() {
    let broken = |change: fn(&mut Manifest)| {
        let mut manifest = sample(4);
        change(&mut manifest);
        let by_value = manifest.validate().unwrap_err();
        assert!(Manifest::open(&manifest.to_bytes()).is_err(), "{by_value}");
        by_value
    };
    assert!(matches!(broken(|m| m.title = String::new()), ManifestRefusal::Text { what: "the title", .. }));
    assert!(matches!(broken(|m| m.contests.clear()), ManifestRefusal::Count { what: "contests", .. }));
    assert!(matches!(broken(|m| m.contests[0].max = 0), ManifestRefusal::Marks { contest: 1, .. }));
    assert!(matches!(broken(|m| m.contests[0].max = 2), ManifestRefusal::SingleChoice { contest: 1 }));
    assert!(matches!(
        broken(|m| {
            m.contests[0].method = Method::Approval;
            m.contests[0].min = 2;
            m.contests[0].max = 2;
        }),
        ManifestRefusal::BlankWithMin { .. }
    ));
    assert!(matches!(
        broken(|m| m.contests[0].options[1] = "Ada".into()),
        ManifestRefusal::Duplicate { what: "option", .. }
    ));
    assert!(matches!(broken(|m| m.styles[0].contests = vec![ContestIndex(1)]), ManifestRefusal::Style { style: 1 }));
    assert!(matches!(
        broken(|m| {
            let mut other = m.contests[0].clone();
            other.id = "other".into();
            m.contests.push(other);
        }),
        ManifestRefusal::Orphan { contest: 2 }
    ));
    assert!(matches!(broken(|m| m.opens_not_before = TimeMs(1)), ManifestRefusal::Times));
    assert!(matches!(broken(|m| m.roll.voters = 0), ManifestRefusal::Roll { .. }));
    assert!(matches!(broken(|m| m.roll.weight_total = 1 << 41), ManifestRefusal::Roll { .. }));
    assert!(matches!(broken(|m| m.home = ShardIndex(2)), ManifestRefusal::Home { .. }));
    assert!(matches!(
        broken(|m| m.trustees[1].identity = m.trustees[0].identity),
        ManifestRefusal::Duplicate { what: "identity key", second: 2 }
    ));
    assert!(matches!(
        broken(|m| m.trustees[1].tls_pin = m.shards[0].tls_pin),
        ManifestRefusal::Duplicate { what: "TLS pin", .. }
    ));
    assert!(matches!(broken(|m| m.quorums.q = 2), ManifestRefusal::Quorum(_)));
}
