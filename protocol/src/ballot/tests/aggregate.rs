//! Sums of ballots.

use super::*;
use crate::{
    elgamal::{Aggregate, AggregateError},
    group::{RawPoint, identity},
    ids::Weight,
};

fn two_contests() -> (BallotForm, Vec<CheckedBallot>) {
    let form = form_of(&[FIVE, ContestRule { options: 3, min: 0, max: 2 }], &[&[0], &[1, 0]]);
    let mut rng = seeded(1);
    let mut checked = |style: u16, choices: &[&[u16]]| {
        let choices: Vec<_> = choices.iter().map(|chosen| options(chosen)).collect();
        form.verify(&form.seal(StyleIndex(style), &choices, &credential(1), &mut rng).unwrap()).unwrap()
    };
    let ballots = vec![checked(0, &[&[2]]), checked(1, &[&[0, 2], &[2]]), checked(1, &[&[], &[4]])];
    (form, ballots)
}

fn opened(aggregate: &Aggregate) -> Vec<Vec<RawPoint>> {
    let secret = election_key(1).0;
    aggregate.sums().map(|sums| sums.iter().map(|(a, b)| b - secret * a).collect()).collect()
}

#[test]
fn sums_open_to_weighted_counts() {
    let (form, ballots) = two_contests();
    let mut aggregate = Aggregate::new(&form);
    for (ballot, weight) in ballots.iter().zip([1, 10, 100]) {
        aggregate.add(ballot, Weight(weight)).unwrap();
    }
    let count = |n: u64| base_mul(&Scalar::from(n));
    let expected = vec![[0, 0, 11, 0, 100].map(count).to_vec(), [10, 0, 10].map(count).to_vec()];
    assert_eq!(opened(&aggregate), expected);
    assert_eq!(aggregate.contest(ContestIndex(1)).unwrap().len(), 3);
    assert!(aggregate.contest(ContestIndex(2)).is_none());
}

#[test]
fn removing_undoes_adding_in_any_order() {
    let (form, ballots) = two_contests();
    let empty = Aggregate::new(&form);
    let mut aggregate = empty.clone();
    aggregate.add(&ballots[0], Weight(1)).unwrap();
    let first = aggregate.clone();
    aggregate.add(&ballots[1], Weight(7)).unwrap();
    aggregate.add(&ballots[2], Weight(u64::MAX)).unwrap();
    aggregate.remove(&ballots[1], Weight(7)).unwrap();
    aggregate.remove(&ballots[2], Weight(u64::MAX)).unwrap();
    assert_eq!((&aggregate, aggregate.digest()), (&first, first.digest()));
    aggregate.remove(&ballots[0], Weight(1)).unwrap();
    assert_eq!(aggregate, empty);
    assert!(aggregate.sums().flatten().all(|(a, b)| *a == identity() && *b == identity()));
}

#[test]
fn merging_is_adding() {
    let (form, ballots) = two_contests();
    let (mut whole, mut left, mut right) = (Aggregate::new(&form), Aggregate::new(&form), Aggregate::new(&form));
    for ballot in &ballots {
        whole.add(ballot, Weight(2)).unwrap();
    }
    left.add(&ballots[0], Weight(2)).unwrap();
    right.add(&ballots[1], Weight(2)).unwrap();
    right.add(&ballots[2], Weight(2)).unwrap();
    left.merge(&right).unwrap();
    assert_eq!(left, whole);
}

#[test]
fn an_aggregate_has_one_encoding() {
    let (form, ballots) = two_contests();
    let mut aggregate = Aggregate::new(&form);
    let empty = aggregate.to_bytes();
    assert_eq!(empty.len(), 4 + 2 * 2 + 64 * 8);
    assert_eq!(Aggregate::from_bytes(&empty).unwrap(), aggregate);
    aggregate.add(&ballots[1], Weight(3)).unwrap();
    let bytes = aggregate.to_bytes();
    assert_eq!(Aggregate::from_bytes(&bytes).unwrap(), aggregate);
    assert_ne!(aggregate.digest(), Aggregate::new(&form).digest());
    for (at, value) in [(3, 3), (5, 4), (6, bytes[6] ^ 1), (37, 0xff)] {
        let mut changed = bytes.clone();
        changed[at] = value;
        assert!(Aggregate::from_bytes(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn ballots_and_sums_of_another_shape_are_refused_and_change_nothing() {
    let (form, ballots) = two_contests();
    let mut small = Aggregate::new(&super::form(FIVE));
    let before = small.clone();
    let contest = ContestIndex(1);
    assert_eq!(small.add(&ballots[1], Weight(1)), Err(AggregateError::UnknownContest { contest }));
    assert_eq!(small.merge(&Aggregate::new(&form)), Err(AggregateError::Contests { expected: 1, got: 2 }));
    let mut other = Aggregate::new(&super::form(ContestRule { options: 4, min: 1, max: 1 }));
    let contest = ContestIndex(0);
    let options = AggregateError::Options { contest, expected: 4, got: 5 };
    assert_eq!(other.add(&ballots[0], Weight(1)), Err(options));
    assert_eq!(other.merge(&before), Err(options));
    assert_eq!(small, before);
}
