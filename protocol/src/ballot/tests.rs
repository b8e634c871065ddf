#![allow(clippy::indexing_slicing, reason = "a test that is out of bounds should fail loudly")]

use super::*;
use crate::{
    elgamal::Aggregate,
    ids::{OptionIndex, Weight},
};
use alloc::vec;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

#[test]
fn a_sealed_ballot_verifies_and_sums() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let key = Point::new(crate::group::base_mul(&crate::group::random_scalar(&mut rng))).unwrap();
    let rules = vec![ContestRule { options: 5, min: 1, max: 1 }, ContestRule { options: 4, min: 0, max: 3 }];
    let styles = vec![vec![ContestIndex(0)], vec![ContestIndex(1), ContestIndex(0)]];
    let form = BallotForm::new(ElectionId([7; 32]), key, rules, styles).unwrap();
    assert_eq!(form.ballot_len(StyleIndex(0)), Some(875));
    let credential = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let one = form.seal(StyleIndex(0), &[vec![OptionIndex(2)]], &credential, &mut rng).unwrap();
    let two = form.seal(StyleIndex(1), &[vec![], vec![OptionIndex(4)]], &credential, &mut rng).unwrap();
    let checked = form.verify(&one).unwrap();
    assert!(form.verify(&two).is_ok());
    let mut bad = one.clone();
    bad[874] ^= 1;
    let verdicts = form.verify_batch(&[&one, &two, &one, &bad, &one, &one], &mut rng);
    assert_eq!(verdicts.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false, true, true]);
    let mut aggregate = Aggregate::new(&form);
    aggregate.add(&checked, Weight(3)).unwrap();
    aggregate.remove(&checked, Weight(3)).unwrap();
    assert_eq!(aggregate, Aggregate::new(&form));
}
