//! A batch gives every ballot the verdict that it gets alone. (B14)

use super::{signatures::Twisted, *};
use proptest::prelude::*;
use std::sync::LazyLock;

/// One ballot of each kind: good ones, and every way to be bad that a batch could blur.
struct Pool {
    form: BallotForm,
    ballots: Vec<Vec<u8>>,
    verdicts: Vec<Result<CheckedBallot, BallotRefusal>>,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let rules = [FIVE, ContestRule { options: 3, min: 0, max: 2 }];
    let form = form_of(&rules, &[&[0], &[1, 0]]);
    let mut rng = seeded(11);
    let key = credential(1);
    let mut ballots: Vec<_> = (0..5).map(|j| ballot(&form, &[j], &credential(1), &mut rng)).collect();
    ballots.push(form.seal(StyleIndex(1), &[options(&[]), options(&[0])], &key, &mut rng).unwrap());
    ballots.push(form.seal(StyleIndex(1), &[options(&[0, 2]), options(&[4])], &key, &mut rng).unwrap());
    for (in_key, in_nonce) in [(0, 1), (1, 0), (2, 6), (4, 4)] {
        ballots.push(Twisted::new(in_key, in_nonce).ballot(&form, 3));
    }
    let good = ballots.clone();
    // A response that is another scalar; a commitment that is another point; in each contest.
    for (at, victim) in [(16, 0), (21, 1), (22, 2), (23, 3), (6 + 6, 5), (12 + 5 + 10 + 16, 5)] {
        let mut bytes = good[victim].clone();
        let range = component(at);
        bytes[range.start] ^= 1;
        sign_again(form.election(), &mut bytes, &key);
        ballots.push(bytes);
    }
    // Responses off by opposite amounts in two ballots: these cancel where weights are missing.
    for (victim, offset) in [(0, Scalar::ONE), (1, -Scalar::ONE)] {
        let mut bytes = good[victim].clone();
        for index in [21, 22, 23] {
            let mut part = [0; 32];
            part.copy_from_slice(&bytes[component(index)]);
            let moved = crate::group::decode_scalar("z", &part).unwrap() + offset;
            bytes[component(index)].copy_from_slice(moved.as_bytes());
        }
        sign_again(form.election(), &mut bytes, &key);
        ballots.push(bytes);
    }
    // Signatures off by opposite amounts.
    for (victim, offset) in [(2, Scalar::ONE), (3, -Scalar::ONE)] {
        let mut bytes = good[victim].clone();
        let mut part = [0; 32];
        part.copy_from_slice(&bytes[843..875]);
        let moved = crate::group::decode_scalar("s", &part).unwrap() + offset;
        bytes[843..875].copy_from_slice(moved.as_bytes());
        ballots.push(bytes);
    }
    // A signature of somebody else; a nonce of small order; no ballot at all.
    let mut stranger = good[4].clone();
    sign_again(form.election(), &mut stranger, &credential(2));
    let mut small = good[0].clone();
    small[811..843].copy_from_slice(&[0; 32]);
    let mut identity = good[0].clone();
    identity[component(3)].copy_from_slice(&[0; 32]);
    ballots.extend([stranger, small, identity, vec![], vec![1; 875], good[0][..874].to_vec()]);
    let verdicts = ballots.iter().map(|bytes| form.verify(bytes)).collect();
    Pool { form, ballots, verdicts }
});

#[test]
fn the_pool_holds_good_ballots_and_every_kind_of_bad_one() {
    let kinds: BTreeSet<_> =
        POOL.verdicts.iter().filter_map(|verdict| verdict.as_ref().err().map(BallotRefusal::kind)).collect();
    for kind in [
        RefusalCode::Encoding,
        RefusalCode::WrongElection,
        RefusalCode::NotCanonical,
        RefusalCode::SignatureNotCanonical,
        RefusalCode::SignatureInvalid,
        RefusalCode::ProofInvalid,
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    assert_eq!(POOL.verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 11);
    let second = BallotRefusal::ProofInvalid { contest: ContestIndex(1) };
    assert!(POOL.verdicts.contains(&Err(second)), "a fault in a later contest is named as such");
}

fn agrees(chosen: &[usize], seed: u64) {
    let batch: Vec<&[u8]> = chosen.iter().map(|i| POOL.ballots[*i].as_slice()).collect();
    let verdicts = POOL.form.verify_batch(&batch, &mut seeded(seed));
    assert_eq!(verdicts.len(), chosen.len());
    for (at, (verdict, pool)) in verdicts.iter().zip(chosen).enumerate() {
        assert_eq!(verdict, &POOL.verdicts[*pool], "ballot {at} of {chosen:?}");
    }
}

#[test]
fn an_empty_batch_has_no_verdicts() {
    agrees(&[], 1);
}

#[test]
fn each_kind_alone_in_a_batch_of_good_ones_is_found() {
    for bad in 0..POOL.ballots.len() {
        for at in [0, 6, 12] {
            let mut batch: Vec<_> = (0..12).map(|i| i % 11).collect();
            batch.insert(at, bad);
            agrees(&batch, bad as u64);
        }
    }
}

#[test]
fn faults_that_would_cancel_without_weights_are_found() {
    let count = POOL.ballots.len();
    // The pairs stand right after the six altered components that follow the good ones.
    for pair in [17, 19] {
        assert!(pair + 1 < count && POOL.verdicts[pair].is_err() && POOL.verdicts[pair + 1].is_err());
        agrees(&[pair, pair + 1], 1);
        agrees(&[0, pair, 1, 2, pair + 1, 3, 4, 5, 6], 2);
    }
}

#[test]
fn a_batch_of_nothing_but_bad_ballots_is_judged() {
    agrees(&(11..POOL.ballots.len()).collect::<Vec<_>>(), 3);
}

#[test]
fn a_batch_larger_than_one_sum_is_judged() {
    let mut batch = vec![0; 700];
    (batch[3], batch[511], batch[512], batch[699]) = (12, 13, 19, 22);
    agrees(&batch, 4);
}

#[test]
fn a_generator_of_randomness_that_is_stuck_changes_no_verdict() {
    struct Stuck;
    impl rand_core::RngCore for Stuck {
        fn next_u32(&mut self) -> u32 {
            0
        }
        fn next_u64(&mut self) -> u64 {
            0
        }
        fn fill_bytes(&mut self, dest: &mut [u8]) {
            dest.fill(0);
        }
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            dest.fill(0);
            Ok(())
        }
    }
    impl rand_core::CryptoRng for Stuck {}
    let batch: Vec<&[u8]> = POOL.ballots.iter().map(Vec::as_slice).collect();
    assert_eq!(POOL.form.verify_batch(&batch, &mut Stuck), POOL.verdicts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_mixture_gets_the_verdicts_of_single_checks(
        chosen in prop::collection::vec(prop_oneof![3 => 0..11_usize, 1 => 11..27_usize], 0..40),
        seed: u64,
    ) {
        agrees(&chosen, seed);
    }
}
