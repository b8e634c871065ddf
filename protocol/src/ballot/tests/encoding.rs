//! Bytes from outside: one encoding, nothing else, and no panic. (B08, B12)

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static SAMPLE: LazyLock<(BallotForm, Vec<u8>)> = LazyLock::new(|| {
    let form = form_of(&[FIVE, ContestRule { options: 2, min: 0, max: 2 }], &[&[0], &[1, 0]]);
    let bytes = form.seal(StyleIndex(1), &[options(&[1]), options(&[2])], &credential(1), &mut seeded(1)).unwrap();
    (form, bytes)
});

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> BallotRefusal {
    let (form, bytes) = &*SAMPLE;
    let mut bytes = bytes.clone();
    change(&mut bytes);
    form.verify(&bytes).unwrap_err()
}

#[test]
fn header_faults_are_named_and_peek_names_the_same() {
    let (form, bytes) = &*SAMPLE;
    let peeked = form.peek(bytes).unwrap();
    assert_eq!(peeked, (StyleIndex(1), Credential(credential(1).verifying_key().to_bytes())));
    let unknown = DecodeError::UnknownTag { what: "ballot version", got: 2 };
    assert_eq!(refusal(|b| b[0] = 2), BallotRefusal::Encoding(unknown));
    let style = BallotRefusal::UnknownStyle { got: StyleIndex(2), last: StyleIndex(1) };
    assert_eq!(refusal(|b| b[10] = 2), style);
    let expected = bytes.len();
    let length = |got| BallotRefusal::Encoding(DecodeError::WrongLength { what: "ballot", got, expected });
    assert_eq!(refusal(|b| b.push(0)), length(expected + 1));
    assert_eq!(refusal(|b| b.truncate(expected - 1)), length(expected - 1));
    for cut in 0..bytes.len() {
        let (whole, peeked) = (form.verify(&bytes[..cut]).unwrap_err(), form.peek(&bytes[..cut]).unwrap_err());
        assert_eq!(whole, peeked, "cut at {cut}");
        assert_eq!(whole.kind(), RefusalCode::Encoding);
    }
}

#[test]
fn identity_and_non_canonical_points_are_refused_by_name() {
    // Contest 1 comes first in this style: two options, two dummies.
    let names = ["A", "B", "A", "B", "V", "S", "T_A", "T_B", "C_1", "C_0"];
    let contest = ContestIndex(1);
    // The identity; a field element with the wrong sign; one that is not below p; one that is on no curve point.
    let mut odd = [0; 32];
    odd[0] = 1;
    let mut over = [0xff; 32];
    over[31] = 0x7f;
    for (index, what) in names.into_iter().enumerate() {
        for bad in [[0; 32], odd, over, [0xff; 32]] {
            let got = refusal(|b| b[component(index)].copy_from_slice(&bad));
            assert_eq!(got, BallotRefusal::NotCanonical { contest, what });
        }
    }
    let names = ["f", "f", "f", "f", "z_V", "z_R", "z_C"];
    let mut order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    order[0] += 1;
    for (index, what) in (10..).zip(names) {
        for bad in [order, [0xff; 32]] {
            let got = refusal(|b| b[component(index)].copy_from_slice(&bad));
            assert_eq!(got, BallotRefusal::NotCanonical { contest, what });
        }
    }
}

#[test]
fn a_ballot_from_the_store_is_decoded_but_not_judged() {
    let (form, bytes) = &*SAMPLE;
    assert_eq!(form.trusted_from_store(bytes).unwrap(), form.verify(bytes).unwrap());
    let mut unsigned = bytes.clone();
    let last = unsigned.len() - 64;
    unsigned[last + 32] ^= 1;
    assert!(form.verify(&unsigned).is_err());
    assert!(form.trusted_from_store(&unsigned).is_ok());
    unsigned[component(0)].copy_from_slice(&[0; 32]);
    assert!(form.trusted_from_store(&unsigned).is_err());
}

#[test]
fn refusal_codes_are_fixed_and_come_back() {
    let codes: Vec<_> = RefusalCode::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9], "published rejections carry these");
    for kind in RefusalCode::ALL {
        assert_eq!(RefusalCode::from_code(kind.code()), Some(kind));
    }
    assert_eq!(BallotRefusal::from_code(0), None);
    assert_eq!(BallotRefusal::from_code(10), None);
    assert_eq!(refusal(|b| b[0] = 9).code(), RefusalCode::Encoding.code());
}

#[test]
fn refusals_say_what_to_do() {
    let text = refusal(|b| b[1] ^= 1).to_string();
    assert_eq!(
        text,
        "the ballot is for the election that begins 0607070707070707, this is 0707070707070707; \
         cast it there, or make one for this election"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_byte_is_refused(at: prop::sample::Index, mask in 1..=255_u8) {
        let (form, bytes) = &*SAMPLE;
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= mask;
        prop_assert!(form.verify(&changed).is_err());
    }

    #[test]
    fn any_changed_byte_of_the_body_is_refused_even_when_signed_again(at: prop::sample::Index, mask in 1..=255_u8) {
        let (form, bytes) = &*SAMPLE;
        let mut changed = bytes.clone();
        changed[at.index(bytes.len() - 64)] ^= mask;
        sign_again(form.election(), &mut changed, &credential(1));
        prop_assert!(form.verify(&changed).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        prop_assert!(SAMPLE.0.verify(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_behind_a_good_header_never_panic(
        tail in prop::collection::vec(any::<u8>(), 1200),
        keep in 43..1100_usize,
    ) {
        let (form, good) = &*SAMPLE;
        let keep = keep.min(good.len() - 65);
        let bytes: Vec<u8> = good[..keep].iter().chain(&tail).copied().take(good.len()).collect();
        prop_assume!(bytes != *good);
        prop_assert!(form.verify(&bytes).is_err());
        prop_assert_eq!(form.peek(&bytes).is_ok(), bytes.len() == good.len());
    }
}
