//! Points, scalars and signatures of both groups. (P-GRP, P-ENV-5)

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_TABLE,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use sha2::{Digest as _, Sha512};

/// A canonical point that is not the identity.
pub(crate) fn point(bytes: &[u8; 32]) -> Option<RistrettoPoint> {
    sum_point(bytes).filter(|point| !point.is_identity())
}

/// A canonical point, the identity included: sums may be it.
pub(crate) fn sum_point(bytes: &[u8; 32]) -> Option<RistrettoPoint> {
    CompressedRistretto(*bytes).decompress()
}

/// A canonical scalar.
pub(crate) fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Option::from(Scalar::from_canonical_bytes(*bytes))
}

/// A scalar from a wide hash.
pub(crate) fn reduce(wide: &[u8; 64]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(wide)
}

/// `sum scalars_i points_i`. Both lists come from one loop; the shorter one decides.
pub(crate) fn multiply(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
    let terms = scalars.len().min(points.len());
    RistrettoPoint::vartime_multiscalar_mul(scalars.iter().take(terms), points.iter().take(terms))
}

/// The same on the curve of Ed25519.
pub(crate) fn multiply_edwards(scalars: &[Scalar], points: &[EdwardsPoint]) -> EdwardsPoint {
    let terms = scalars.len().min(points.len());
    EdwardsPoint::vartime_multiscalar_mul(scalars.iter().take(terms), points.iter().take(terms))
}

/// A point of Ed25519's curve in its canonical bytes, not of small order.
pub(crate) fn edwards(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (point.compress().to_bytes() == *bytes && !point.is_small_order()).then_some(point)
}

/// The same, and of prime order.
pub(crate) fn edwards_prime(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    edwards(bytes).filter(EdwardsPoint::is_torsion_free)
}

pub(crate) fn halves(both: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    let (a, b) = both.split_at(32);
    left.copy_from_slice(a);
    right.copy_from_slice(b);
    (left, right)
}

/// Ed25519, strictly: everything canonical, key and commitment not of small order, no cofactor. (P-ENV-5)
pub(crate) fn signed(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let (r_bytes, s_bytes) = halves(signature);
    let (Some(a), Some(_), Some(s)) = (edwards(key), edwards(&r_bytes), scalar(&s_bytes)) else { return false };
    let k = Sha512::new().chain_update(r_bytes).chain_update(key).chain_update(message).finalize();
    let k = Scalar::from_bytes_mod_order_wide(&k.into());
    // > s B - k A = R
    let r = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-k, &a, &s);
    r.compress().to_bytes() == r_bytes
}

/// `scalar B` on the curve of Ed25519.
pub(crate) fn edwards_base(scalar: &Scalar) -> EdwardsPoint {
    scalar * ED25519_BASEPOINT_TABLE
}

/// `prod_{j != at} j / (j - at)` over distinct indices from 1.
pub(crate) fn lagrange(at: u16, indices: &[u16]) -> Scalar {
    let x = Scalar::from(at);
    let (mut numerator, mut denominator) = (Scalar::ONE, Scalar::ONE);
    for other in indices.iter().filter(|other| **other != at) {
        numerator *= Scalar::from(*other);
        denominator *= Scalar::from(*other) - x;
    }
    numerator * denominator.invert()
}
