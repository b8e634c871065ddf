use super::*;
use crate::group::{identity, random_scalar};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::vec;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([21; 32])
}

struct Case {
    context: Context,
    secret: Scalar,
    share: Point,
    bases: Vec<RawPoint>,
    made: Decryption,
}

impl Case {
    fn new(bases: usize) -> Self {
        let mut rng = rng();
        let context = Context {
            election: ElectionId([1; 32]),
            scope: Scope::Tally { vote_set: [2; 32] },
            trustee: TrusteeIndex(3),
        };
        let secret = random_scalar(&mut rng);
        let share = Point::new(base_mul(&secret)).unwrap();
        let bases: Vec<_> = (0..bases).map(|_| base_mul(&random_scalar(&mut rng))).collect();
        let made = prove(&context, &secret, &share, &bases, &mut rng).unwrap();
        Self { context, secret, share, bases, made }
    }
    fn judge(&self) -> Result<Vec<RawPoint>, Wrong> {
        verify(&self.context, &self.share, &self.bases, &self.made.points, &self.made.proof)
    }
}

fn other_point() -> RawPoint {
    base_mul(&random_scalar(&mut ChaCha20Rng::from_seed([77; 32])))
}

#[test]
fn an_honest_decryption_is_accepted_and_is_the_secret_times_each_base() {
    for count in [0, 1, 2, 10, 65] {
        let case = Case::new(count);
        let expected: Vec<_> = case.bases.iter().map(|base| base * case.secret).collect();
        assert_eq!(case.judge(), Ok(expected), "{count} bases");
    }
}

#[test]
fn every_field_of_the_context_is_in_the_statement() {
    let scopes = [
        Scope::Tally { vote_set: [9; 32] },
        // The same hash and, of all attempts, each one that the encoding could confuse.
        Scope::Rehearsal { attempt: Attempt(1), digest: [2; 32] },
        Scope::Rehearsal { attempt: Attempt(0x0202_0202), digest: [2; 32] },
    ];
    for scope in scopes {
        let mut case = Case::new(3);
        case.context.scope = scope;
        assert_eq!(case.judge(), Err(Wrong::BadPartial), "{scope:?}");
    }
    let mut case = Case::new(3);
    case.context.election = ElectionId([8; 32]);
    assert_eq!(case.judge(), Err(Wrong::BadPartial), "election");
    let mut case = Case::new(3);
    case.context.trustee = TrusteeIndex(4);
    assert_eq!(case.judge(), Err(Wrong::BadPartial), "trustee");
}

#[test]
fn a_rehearsal_proof_is_bound_to_attempt_and_digest_and_is_no_tally_proof() {
    let mut case = Case::new(1);
    let rehearsal = |attempt, digest| Scope::Rehearsal { attempt: Attempt(attempt), digest: [digest; 32] };
    case.context.scope = rehearsal(1, 2);
    case.made = prove(&case.context, &case.secret, &case.share, &case.bases, &mut rng()).unwrap();
    assert!(case.judge().is_ok());
    for scope in [rehearsal(2, 2), rehearsal(1, 3), Scope::Tally { vote_set: [2; 32] }] {
        case.context.scope = scope;
        assert_eq!(case.judge(), Err(Wrong::BadPartial), "{scope:?}");
    }
}

#[test]
fn another_trustees_share_is_refused() {
    let mut case = Case::new(3);
    case.share = Point::new(other_point()).unwrap();
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
}

#[test]
fn any_changed_base_or_partial_is_refused() {
    for at in 0..4 {
        let mut case = Case::new(4);
        case.bases[at] = other_point();
        assert_eq!(case.judge(), Err(Wrong::BadPartial), "base {at}");
        let mut case = Case::new(4);
        case.made.points[at] = encode_sum(&other_point());
        assert_eq!(case.judge(), Err(Wrong::BadPartial), "partial {at}");
    }
}

#[test]
fn two_partials_in_the_wrong_order_are_refused() {
    let mut case = Case::new(4);
    case.made.points.swap(1, 2);
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
    let mut case = Case::new(4);
    case.bases.swap(1, 2);
    case.made.points.swap(1, 2);
    assert_eq!(case.judge(), Err(Wrong::BadPartial), "both reordered");
}

#[test]
fn errors_that_cancel_in_a_plain_sum_do_not_cancel_in_the_fold() {
    let mut case = Case::new(2);
    let shift = other_point();
    let (one, two) = (case.bases[0] * case.secret + shift, case.bases[1] * case.secret - shift);
    case.made.points = vec![encode_sum(&one), encode_sum(&two)];
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
}

#[test]
fn a_missing_or_an_extra_partial_is_refused() {
    let mut case = Case::new(3);
    case.made.points.pop();
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
    let mut case = Case::new(3);
    case.made.points.push(encode_sum(&other_point()));
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
}

#[test]
fn any_changed_bit_of_the_proof_is_refused() {
    for bit in 0..512 {
        let mut case = Case::new(2);
        case.made.proof[bit / 8] ^= 1 << (bit % 8);
        let wrong = case.judge().unwrap_err();
        assert!(matches!(wrong, Wrong::BadPartial | Wrong::PointInvalid), "bit {bit}: {wrong:?}");
    }
}

#[test]
fn non_canonical_points_and_scalars_are_refused_as_such() {
    let mut case = Case::new(2);
    case.made.points[1] = [0xff; 32];
    assert_eq!(case.judge(), Err(Wrong::PointInvalid));
    // The same number, plus the group order: no second encoding of a challenge or response is taken.
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    for start in [0, 32] {
        let mut case = Case::new(2);
        let mut carry = 1_u16;
        for (at, low) in order.iter().enumerate() {
            let sum = u16::from(case.made.proof[start + at]) + u16::from(*low) + carry;
            case.made.proof[start + at] = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(case.judge(), Err(Wrong::PointInvalid), "half {start}");
    }
}

#[test]
fn the_identity_stands_exactly_where_nothing_was_summed() {
    let mut case = Case::new(3);
    case.bases[1] = identity();
    case.made = prove(&case.context, &case.secret, &case.share, &case.bases, &mut rng()).unwrap();
    assert_eq!(case.judge().map(|points| points[1]), Ok(identity()));

    let honest = case.made.clone();
    case.made.points[1] = encode_sum(&other_point());
    assert_eq!(case.judge(), Err(Wrong::BadPartial), "something from nothing");
    case.made = honest;
    case.made.points[0] = encode_sum(&identity());
    assert_eq!(case.judge(), Err(Wrong::BadPartial), "nothing from something");
}

#[test]
fn an_election_without_ballots_still_needs_the_share() {
    let mut case = Case::new(0);
    case.bases = vec![identity(); 3];
    case.made = prove(&case.context, &case.secret, &case.share, &case.bases, &mut rng()).unwrap();
    assert!(case.judge().is_ok());
    case.share = Point::new(other_point()).unwrap();
    assert_eq!(case.judge(), Err(Wrong::BadPartial));
}

#[test]
fn nobody_accuses_himself_with_a_share_that_is_not_the_certified_one() {
    let case = Case::new(1);
    let stale = Point::new(other_point()).unwrap();
    let made = prove(&case.context, &case.secret, &stale, &case.bases, &mut rng());
    assert_eq!(made, Err(ProveRefusal::WrongShare));
}

#[test]
fn a_stuck_source_of_entropy_does_not_repeat_a_nonce_for_two_statements() {
    let case = Case::new(1);
    let secret = &case.secret;
    let draw = |statement: &[u8]| *nonce(secret, statement, &mut rng());
    assert_ne!(draw(b"one"), draw(b"two"));
    assert_ne!(*nonce(secret, b"one", &mut rng()), *nonce(&(secret + Scalar::ONE), b"one", &mut rng()));
    let mut fresh = rng();
    assert_ne!(*nonce(secret, b"one", &mut fresh), *nonce(secret, b"one", &mut fresh));
}
