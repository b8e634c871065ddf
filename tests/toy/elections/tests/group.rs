//! The toy group behaves as a group of prime order, and it is the one that the shipping code runs on here.
#![allow(clippy::unwrap_used, reason = "test code")]

use curve25519_dalek::{
    constants::{RISTRETTO_BASEPOINT_COMPRESSED, RISTRETTO_BASEPOINT_POINT, RISTRETTO_BASEPOINT_TABLE},
    edwards::EdwardsPoint,
    montgomery::MontgomeryPoint,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{Identity as _, IsIdentity as _, MultiscalarMul as _, VartimeMultiscalarMul as _},
};
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

fn scalar(bytes: [u8; 64]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&bytes)
}

#[test]
fn the_shipping_code_runs_on_the_toy_group_here() {
    // Over the curve the base point has another encoding.
    assert_eq!(protocol::group::Point::generator().bytes()[..2], [1, 0]);
    assert_eq!(RISTRETTO_BASEPOINT_COMPRESSED.decompress(), Some(RISTRETTO_BASEPOINT_POINT));
}

#[test]
fn only_canonical_bytes_are_an_element() {
    let largest = Scalar::ZERO - Scalar::ONE;
    assert!(CompressedRistretto(largest.to_bytes()).decompress().is_some());
    let mut order = largest.to_bytes();
    order[0] += 1;
    assert!(CompressedRistretto(order).decompress().is_none());
    assert!(protocol::group::Point::decode("p", &[0; 32]).is_err(), "the identity");
}

#[test]
fn an_identity_signature_holds_for_its_message_and_no_other() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let signature = key.sign(b"one");
    assert!(key.verifying_key().verify_strict(b"one", &signature).is_ok());
    assert!(key.verifying_key().verify_strict(b"two", &signature).is_err());
    let other = SigningKey::from_bytes(&[8; 32]);
    assert!(other.verifying_key().verify_strict(b"one", &signature).is_err());
}

proptest! {
    #[test]
    fn sums_and_products_agree(a in any::<[u8; 64]>().prop_map(scalar), b in any::<[u8; 64]>().prop_map(scalar),
                               p in any::<[u8; 64]>()) {
        let point = RistrettoPoint::from_uniform_bytes(&p);
        let g = RISTRETTO_BASEPOINT_POINT;
        prop_assert_eq!((a + b) * point, a * point + b * point);
        prop_assert_eq!(a * (b * point), (a * b) * point);
        prop_assert_eq!(&a * RISTRETTO_BASEPOINT_TABLE, a * g);
        prop_assert_eq!(point - point, RistrettoPoint::identity());
        prop_assert!((point + (-point)).is_identity());
        let sum = a * point + b * g;
        prop_assert_eq!(RistrettoPoint::vartime_double_scalar_mul_basepoint(&a, &point, &b), sum);
        prop_assert_eq!(RistrettoPoint::multiscalar_mul([a, b], [point, g]), sum);
        prop_assert_eq!(RistrettoPoint::vartime_multiscalar_mul([a, b], [point, g]), sum);
        let twice = RistrettoPoint::double_and_compress_batch(&[sum]);
        prop_assert_eq!(twice[0].decompress(), Some(sum + sum));
    }

    #[test]
    fn two_parties_agree_on_a_key(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        let of_a = EdwardsPoint::mul_base_clamped(a).to_montgomery();
        let of_b = MontgomeryPoint::mul_base_clamped(b);
        prop_assert_eq!(of_b.mul_clamped(a).to_bytes(), of_a.mul_clamped(b).to_bytes());
    }
}
