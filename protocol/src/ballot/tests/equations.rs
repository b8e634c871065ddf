//! One negative test for every term of every verification equation, and for every constraint of the statement.

use super::{cheat::Cheat, *};
use crate::{
    ballot::{
        equations::{EQUATIONS, ProofSum},
        layout::Parsed,
    },
    elgamal::Ciphertext,
};

/// Two to four of six: `D = 2`, so that there are dummy bits.
const RULE: ContestRule = ContestRule { options: 6, min: 2, max: 4 };

const BITS: usize = 1;
const RANDOMNESS: usize = 2;
const CIPHERTEXTS: usize = 3;
const PRODUCT: usize = 4;

/// Numbers of the equations that do not hold, each judged on its own.
fn broken(form: &BallotForm, parsed: &Parsed) -> Vec<usize> {
    let (proof, votes) = parsed.contests().next().unwrap();
    let fails = |equation: &usize| {
        let mut weights = [Scalar::ZERO; EQUATIONS];
        weights[equation - 1] = Scalar::ONE;
        let mut sum = ProofSum::new(form, 0);
        sum.add(proof, votes, &weights);
        !sum.vanishes()
    };
    (1..=EQUATIONS).filter(fails).collect()
}

fn shifted(point: Point) -> Point {
    Point::new(point.raw() + Point::generator().raw()).unwrap()
}

#[test]
fn changing_any_term_breaks_exactly_its_equations() {
    let form = form(RULE);
    let bytes = ballot(&form, &[0, 2, 5], &credential(1), &mut seeded(1));
    let g = Point::generator().raw();
    let good = || form.parse(&bytes).unwrap();
    assert_eq!(broken(&form, &good()), [0; 0]);

    let after = |change: &dyn Fn(&mut Parsed)| {
        let mut parsed = good();
        change(&mut parsed);
        broken(&form, &parsed)
    };
    assert_eq!(after(&|p| p.proofs[0].v += g), [BITS]);
    assert_eq!(after(&|p| p.proofs[0].s += g), [BITS]);
    assert_eq!(after(&|p| p.proofs[0].z_v += Scalar::ONE), [BITS]);
    assert_eq!(after(&|p| p.proofs[0].t_a += g), [RANDOMNESS]);
    assert_eq!(after(&|p| p.proofs[0].z_r += Scalar::ONE), [RANDOMNESS, CIPHERTEXTS]);
    assert_eq!(after(&|p| p.proofs[0].t_b += g), [CIPHERTEXTS]);
    assert_eq!(after(&|p| p.proofs[0].c_1 += g), [PRODUCT]);
    assert_eq!(after(&|p| p.proofs[0].c_0 += g), [PRODUCT]);
    assert_eq!(after(&|p| p.proofs[0].z_c += Scalar::ONE), [PRODUCT]);
    assert_eq!(after(&|p| p.proofs[0].challenges.y += Scalar::ONE), [PRODUCT]);
    assert_eq!(after(&|p| p.proofs[0].challenges.w += Scalar::ONE), [RANDOMNESS, CIPHERTEXTS]);
    assert_eq!(after(&|p| p.proofs[0].challenges.x += Scalar::ONE), [BITS, RANDOMNESS, CIPHERTEXTS, PRODUCT]);
    assert_eq!(after(&|p| p.proofs[0].rule.max += 1), [PRODUCT]);
    for j in 0..6 {
        let vote = |p: &mut Parsed, change: &dyn Fn(&mut Ciphertext)| change(&mut p.ballot.votes[j]);
        assert_eq!(after(&|p| vote(p, &|c| c.a = shifted(c.a))), [RANDOMNESS], "A_{j}");
        assert_eq!(after(&|p| vote(p, &|c| c.b = shifted(c.b))), [CIPHERTEXTS], "B_{j}");
        assert_eq!(after(&|p| p.proofs[0].f[j] += Scalar::ONE), [BITS, CIPHERTEXTS, PRODUCT], "f_{j}");
    }
    for d in 6..8 {
        assert_eq!(after(&|p| p.proofs[0].f[d] += Scalar::ONE), [BITS, PRODUCT], "f of a dummy bit");
    }
}

#[test]
fn every_generator_counts_in_its_equations() {
    let good = form(RULE);
    let bytes = ballot(&good, &[0, 2, 5], &credential(1), &mut seeded(1));
    let parsed = good.parse(&bytes).unwrap();
    let after = |change: &dyn Fn(&mut BallotForm)| {
        let mut form = good.clone();
        change(&mut form);
        broken(&form, &parsed)
    };
    assert_eq!(after(&|f| f.key = shifted(f.key)), [CIPHERTEXTS]);
    assert_eq!(after(&|f| f.g += f.g), [RANDOMNESS, CIPHERTEXTS]);
    assert_eq!(after(&|f| f.generators.q = shifted(f.generators.q)), [BITS, PRODUCT]);
    assert_eq!(after(&|f| f.generators.p_0 = shifted(f.generators.p_0)), [PRODUCT]);
    for j in 0..8 {
        assert_eq!(after(&|f| f.generators.p[j] += f.g), [BITS], "P_{}", j + 1);
    }
}

#[test]
fn changing_any_component_on_the_wire_is_refused_even_when_signed_again() {
    let form = form(RULE);
    let key = credential(1);
    let bytes = ballot(&form, &[0, 2, 5], &key, &mut seeded(1));
    let points = 2 * 6 + proof::PROOF_POINTS;
    let scalars = 8 + proof::PROOF_SCALARS;
    for index in 0..points + scalars {
        let mut changed = bytes.clone();
        let mut part = [0; 32];
        part.copy_from_slice(&changed[component(index)]);
        let part = if index < points {
            *shifted(Point::decode("p", &part).unwrap()).bytes()
        } else {
            (crate::group::decode_scalar("s", &part).unwrap() + Scalar::ONE).to_bytes()
        };
        changed[component(index)].copy_from_slice(&part);
        sign_again(form.election(), &mut changed, &key);
        let refusal = form.verify(&changed).unwrap_err();
        assert_eq!(refusal, BallotRefusal::ProofInvalid { contest: ContestIndex(0) }, "component {index}");
    }
}

/// A cheat follows the protocol for whatever it claims; what stops it must be the named equation and no other.
fn caught_by(rule: ContestRule, cheat: &Cheat) -> Vec<usize> {
    let form = form(rule);
    let bytes = cheat.ballot(&form, &credential(1), &mut seeded(5));
    assert!(form.verify(&bytes).is_err());
    broken(&form, &form.parse(&bytes).unwrap())
}

fn values(values: &[i64]) -> Vec<Scalar> {
    let scalar = |value: &i64| {
        let size = Scalar::from(value.unsigned_abs());
        if *value < 0 { -size } else { size }
    };
    values.iter().map(scalar).collect()
}

#[test]
fn the_cheating_prover_is_honest_for_an_honest_choice() {
    let form = form(RULE);
    let bits = values(&[1, 0, 1, 0, 0, 1, 1, 0]);
    let bytes = Cheat::of(&bits).ballot(&form, &credential(1), &mut seeded(5));
    assert!(form.verify(&bytes).is_ok(), "otherwise the tests below show nothing");
}

#[test]
fn an_over_vote_is_refused() {
    let one = ContestRule { options: 3, min: 1, max: 1 };
    assert_eq!(caught_by(one, &Cheat::of(&values(&[1, 1, 0]))), [PRODUCT]);
    assert_eq!(caught_by(RULE, &Cheat::of(&values(&[1, 1, 1, 1, 1, 0, 0, 0]))), [PRODUCT]);
}

#[test]
fn an_under_vote_is_refused() {
    let one = ContestRule { options: 3, min: 1, max: 1 };
    assert_eq!(caught_by(one, &Cheat::of(&values(&[0, 0, 0]))), [PRODUCT]);
    assert_eq!(caught_by(RULE, &Cheat::of(&values(&[1, 0, 0, 0, 0, 0, 1, 1]))), [PRODUCT]);
}

#[test]
fn a_value_other_than_0_and_1_is_refused_though_the_sum_is_right() {
    let one = ContestRule { options: 3, min: 1, max: 1 };
    for cheat in [[2, -1, 0], [-1, 1, 1], [1_000_000, -999_999, 0]] {
        assert_eq!(caught_by(one, &Cheat::of(&values(&cheat))), [PRODUCT], "{cheat:?}");
    }
    let half = Scalar::from(2_u8).invert();
    assert_eq!(caught_by(one, &Cheat::of(&[half, half, Scalar::ZERO])), [PRODUCT]);
}

#[test]
fn a_dummy_bit_other_than_0_and_1_is_refused() {
    // Six votes where four are the most, with dummies of -1; and one vote where two are the least.
    assert_eq!(caught_by(RULE, &Cheat::of(&values(&[1, 1, 1, 1, 1, 1, -1, -1]))), [PRODUCT]);
    assert_eq!(caught_by(RULE, &Cheat::of(&values(&[1, 0, 0, 0, 0, 0, 1, 2]))), [PRODUCT]);
}

#[test]
fn faults_that_cancel_without_the_powers_of_y_are_refused() {
    // Bit terms b (1 - b) sum to -2 for (2, 1, 0), and its sum is 2 over.
    let one = ContestRule { options: 3, min: 1, max: 1 };
    assert_eq!(caught_by(one, &Cheat::of(&values(&[2, 1, 0]))), [PRODUCT]);
    // Fifths (2, 6, 3, -1): the bit terms cancel in pairs, and the sum is the right one.
    let two = ContestRule { options: 4, min: 2, max: 2 };
    let fifth = Scalar::from(5_u8).invert();
    let bits: Vec<_> = values(&[2, 6, 3, -1]).iter().map(|value| value * fifth).collect();
    assert_eq!(bits.iter().map(|b| b * (Scalar::ONE - b)).sum::<Scalar>(), Scalar::ZERO);
    assert_eq!(bits.iter().sum::<Scalar>(), Scalar::from(2_u8));
    assert_eq!(caught_by(two, &Cheat::of(&bits)), [PRODUCT]);
}

#[test]
fn faults_that_cancel_without_the_powers_of_w_are_refused() {
    // What is encrypted is a permutation of what is committed: without powers the sums agree.
    let one = ContestRule { options: 3, min: 1, max: 1 };
    let cheat = Cheat { encrypted: values(&[2, 0, -1]), ..Cheat::of(&values(&[0, 1, 0])) };
    assert_eq!(caught_by(one, &cheat), [CIPHERTEXTS]);
}

#[test]
fn encrypting_something_else_than_what_is_committed_is_refused() {
    let one = ContestRule { options: 3, min: 1, max: 1 };
    let committed = values(&[0, 1, 0]);
    for encrypted in [[1, 0, 0], [0, 1_000, 0], [0, 0, 0], [1, 1, -1], [-1, 2, 0]] {
        let cheat = Cheat { encrypted: values(&encrypted), ..Cheat::of(&committed) };
        assert_eq!(caught_by(one, &cheat), [CIPHERTEXTS], "{encrypted:?}");
    }
}

#[test]
fn different_randomness_in_a_and_b_is_refused() {
    let one = ContestRule { options: 3, min: 1, max: 1 };
    let cheat = Cheat { a_offset: Scalar::ONE, ..Cheat::of(&values(&[0, 1, 0])) };
    assert_eq!(caught_by(one, &cheat), [RANDOMNESS]);
}
