//! Strong Fiat-Shamir: a proof is good for one statement and no other. Copying and mauling. (B01-B04, B06)

use super::{cheat::simulate, *};
use crate::{
    ballot::{layout::Parsed, proof::Statement},
    group::encode_sum,
};

const REFUSED: BallotRefusal = BallotRefusal::ProofInvalid { contest: ContestIndex(0) };

/// The ballot's verdict under another form, with a signature that is good there.
fn verdict_under(other: &BallotForm, bytes: &[u8], key: &SigningKey) -> BallotRefusal {
    let mut bytes = bytes.to_vec();
    sign_again(other.election(), &mut bytes, key);
    other.verify(&bytes).unwrap_err()
}

#[test]
fn a_proof_is_bound_to_every_input_of_its_statement() {
    let (id, key) = (ElectionId([7; 32]), election_key(1).1);
    let rule = ContestRule { options: 5, min: 1, max: 2 };
    let make = |id, key, rules: &[ContestRule], styles: &[&[u16]]| {
        let styles = styles.iter().map(|style| style.iter().copied().map(ContestIndex).collect()).collect();
        BallotForm::new(id, key, rules.to_vec(), styles).unwrap()
    };
    let form = make(id, key, &[rule, rule], &[&[0], &[0]]);
    let voter = credential(1);
    let bytes = ballot(&form, &[3], &voter, &mut seeded(1));
    assert!(form.verify(&bytes).is_ok());

    // The whole id counts, not just the prefix that travels.
    let mut late = id;
    late.0[31] ^= 1;
    assert_eq!(verdict_under(&make(late, key, &[rule], &[&[0]]), &bytes, &voter), REFUSED);
    let other_key = election_key(2).1;
    assert_eq!(verdict_under(&make(id, other_key, &[rule], &[&[0]]), &bytes, &voter), REFUSED);
    let contest = verdict_under(&make(id, key, &[rule, rule], &[&[1]]), &bytes, &voter);
    assert_eq!(contest, BallotRefusal::ProofInvalid { contest: ContestIndex(1) });
    // Rules of the same length: 1 to 2, 2 to 3, 0 to 1.
    for (min, max) in [(2, 3), (0, 1)] {
        let rule = ContestRule { options: 5, min, max };
        assert_eq!(verdict_under(&make(id, key, &[rule], &[&[0]]), &bytes, &voter), REFUSED, "{rule:?}");
    }
    // One option more and one dummy less has another length, and is refused for it.
    let longer = make(id, key, &[ContestRule { options: 6, min: 1, max: 1 }], &[&[0]]);
    assert_eq!(verdict_under(&longer, &bytes, &voter).kind(), RefusalCode::Encoding);

    let mut style = bytes.clone();
    style[9..11].copy_from_slice(&1_u16.to_be_bytes());
    assert_eq!(verdict_under(&form, &style, &voter), REFUSED);
}

#[test]
fn a_copy_under_another_credential_is_refused() {
    let form = form(FIVE);
    let bytes = ballot(&form, &[3], &credential(1), &mut seeded(1));
    let thief = credential(2);
    let mut copy = bytes.clone();
    copy[11..43].copy_from_slice(thief.verifying_key().as_bytes());
    assert_eq!(form.verify(&copy), Err(BallotRefusal::SignatureInvalid));
    sign_again(form.election(), &mut copy, &thief);
    assert_eq!(form.verify(&copy), Err(REFUSED));
}

#[test]
fn a_ballot_for_another_election_names_both() {
    let form = form(FIVE);
    let bytes = ballot(&form, &[3], &credential(1), &mut seeded(1));
    let other = BallotForm::new(ElectionId([8; 32]), *form.key(), vec![FIVE], vec![vec![ContestIndex(0)]]).unwrap();
    let expected = BallotRefusal::WrongElection { expected: ElectionPrefix([8; 8]), got: ElectionPrefix([7; 8]) };
    assert_eq!(other.verify(&bytes), Err(expected.clone()));
    assert_eq!(other.peek(&bytes), Err(expected));
}

/// Rewrites the ballot's ciphertexts and signs it again; the proof stays.
fn mauled(change: impl FnOnce(&mut [(Point, Point)], &Point)) -> Result<CheckedBallot, BallotRefusal> {
    let form = form(FIVE);
    let key = credential(1);
    let mut bytes = ballot(&form, &[3], &key, &mut seeded(1));
    let checked = form.verify(&bytes).unwrap();
    let mut votes: Vec<_> = checked.contests().flat_map(|(_, votes)| votes).map(|vote| (vote.a, vote.b)).collect();
    change(&mut votes, form.key());
    for (j, (a, b)) in votes.iter().enumerate() {
        bytes[component(2 * j)].copy_from_slice(a.bytes());
        bytes[component(2 * j + 1)].copy_from_slice(b.bytes());
    }
    sign_again(form.election(), &mut bytes, &key);
    form.verify(&bytes)
}

fn sum(one: &Point, other: RawPoint) -> Point {
    Point::new(one.raw() + other).unwrap()
}

#[test]
fn mauling_the_ciphertexts_is_refused() {
    assert!(mauled(|_, _| ()).is_ok(), "otherwise the lines below show nothing");
    let g = Point::generator();
    let rerandomised = mauled(|votes, h| {
        for (a, b) in votes {
            let s = Scalar::from(5_u8);
            (*a, *b) = (sum(a, base_mul(&s)), sum(b, s * h.raw()));
        }
    });
    assert_eq!(rerandomised.unwrap_err(), REFUSED);
    let negated = mauled(|votes, _| {
        for (a, b) in votes {
            (*a, *b) = (Point::new(-a.raw()).unwrap(), sum(&g, -b.raw()));
        }
    });
    assert_eq!(negated.unwrap_err(), REFUSED);
    assert_eq!(mauled(|votes, _| votes.swap(0, 3)).unwrap_err(), REFUSED);
    assert_eq!(mauled(|votes, _| votes.reverse()).unwrap_err(), REFUSED);
    let moved = mauled(|votes, _| {
        votes[0].1 = sum(&votes[0].1, g.raw());
        votes[3].1 = sum(&votes[3].1, -g.raw());
    });
    assert_eq!(moved.unwrap_err(), REFUSED);
    let repeated = mauled(|votes, _| votes[1] = votes[0]);
    assert_eq!(repeated.unwrap_err(), BallotRefusal::RepeatedComponent { contest: ContestIndex(0) });
}

#[test]
fn a_repeated_component_names_the_contest_in_which_it_comes_again() {
    let form = form_of(&[FIVE, FIVE], &[&[0, 1]]);
    let key = credential(1);
    let bytes = form.seal(StyleIndex(0), &[options(&[0]), options(&[1])], &key, &mut seeded(1)).unwrap();
    let other = FIVE.contest_len();
    for (from, to) in [(0, 0), (1, 2), (0, 9), (9, 0)] {
        let mut changed = bytes.clone();
        let first = changed[component(from)].to_vec();
        let target = component(to);
        changed[target.start + other..target.end + other].copy_from_slice(&first);
        sign_again(form.election(), &mut changed, &key);
        assert_eq!(form.verify(&changed), Err(BallotRefusal::RepeatedComponent { contest: ContestIndex(1) }));
    }
}

#[test]
fn a_simulated_proof_holds_for_its_own_challenges_and_never_for_the_hash() {
    // Weak Fiat-Shamir would let the challenges be chosen before the commitments. Encrypt a million votes, simulate a
    // proof for the challenges of some earlier commitments: the equations hold, and the ballot is refused.
    let form = form(FIVE);
    let key = credential(1);
    let mut rng = seeded(9);
    let bytes = ballot(&form, &[3], &key, &mut rng);
    let mut parsed: Parsed = form.parse(&bytes).unwrap();
    let million = sum(&parsed.ballot.votes[3].b, base_mul(&Scalar::from(1_000_000_u32)));
    parsed.ballot.votes[3].b = million;
    simulate(&form, &mut parsed, &mut rng);
    {
        let (proof, votes) = parsed.contests().next().unwrap();
        assert_eq!(form.broken_equation(proof, votes), None, "the simulator satisfies all four equations");
    }
    let mut forged = bytes;
    forged[component(7)].copy_from_slice(million.bytes());
    let proof = &parsed.proofs[0];
    for (index, point) in (11..).zip([proof.s, proof.t_a, proof.t_b, proof.c_1, proof.c_0]) {
        forged[component(index)].copy_from_slice(&encode_sum(&point));
    }
    for (index, scalar) in (16..).zip(proof.f.iter().chain([&proof.z_v, &proof.z_r, &proof.z_c])) {
        forged[component(index)].copy_from_slice(scalar.as_bytes());
    }
    sign_again(form.election(), &mut forged, &key);
    assert_eq!(form.verify(&forged), Err(REFUSED));
}

#[test]
fn each_challenge_depends_on_everything_before_it() {
    let form = form(FIVE);
    let statement = Statement {
        form: &form,
        style: StyleIndex(0),
        credential: Credential([3; 32]),
        contest: ContestIndex(0),
        rule: &FIVE,
    };
    let points = vec![1; 32 * 16];
    let base = statement.challenges(&points);
    for index in 0..16 {
        let mut changed = points.clone();
        changed[32 * index] ^= 1;
        let got = statement.challenges(&changed);
        // `A_j, B_j, V` come before `y, w`; the five commitments only before `x`.
        assert_eq!(got.y != base.y, index < 11, "y, point {index}");
        assert_eq!(got.w != base.w, index < 11, "w, point {index}");
        assert_ne!(got.x, base.x, "x, point {index}");
    }
    assert_ne!(base.y, base.w);
    let other_form = super::form(ContestRule { options: 5, min: 1, max: 2 });
    let rule = ContestRule { options: 5, min: 2, max: 2 };
    let other_key = BallotForm { key: election_key(2).1, ..form.clone() };
    let other_election = BallotForm { election: ElectionId([8; 32]), ..form.clone() };
    assert_eq!(other_form.election(), form.election());
    for changed in [
        Statement { form: &other_key, ..statement },
        Statement { form: &other_election, ..statement },
        Statement { style: StyleIndex(1), ..statement },
        Statement { credential: Credential([4; 32]), ..statement },
        Statement { contest: ContestIndex(1), ..statement },
        Statement { rule: &rule, ..statement },
    ] {
        let got = changed.challenges(&points);
        assert!(got.y != base.y && got.w != base.w && got.x != base.x);
    }
}
