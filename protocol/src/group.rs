//! The only door to curve25519-dalek: points and scalars of Ristretto255, canonical and never the identity. (P-GRP)

use crate::encoding::{Canonical, DecodeError, Reader, Writer, wide_digest};
use alloc::{boxed::Box, vec::Vec};
use core::borrow::Borrow;
pub use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, RISTRETTO_BASEPOINT_TABLE},
    edwards::{CompressedEdwardsY, EdwardsPoint},
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    traits::{Identity as _, IsIdentity as _, MultiscalarMul as _, VartimeMultiscalarMul as _},
};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha512};

/// The group's points, as dalek has them. Decode with [`Point`].
pub use curve25519_dalek::ristretto::RistrettoPoint as RawPoint;

/// A decoded point together with its canonical bytes. Never the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point {
    raw: RistrettoPoint,
    bytes: [u8; 32],
}

impl Point {
    /// The standard generator `G`.
    #[must_use]
    pub fn generator() -> Self {
        Self::from_nonzero(curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT)
    }

    fn from_nonzero(raw: RistrettoPoint) -> Self {
        Self { raw, bytes: raw.compress().to_bytes() }
    }

    /// `None` for the identity.
    #[must_use]
    pub fn new(raw: RistrettoPoint) -> Option<Self> {
        if raw.is_identity() { None } else { Some(Self::from_nonzero(raw)) }
    }

    /// Decodes canonical bytes; refuses the identity. Costs one inverse square root, about 5 us.
    ///
    /// # Errors
    /// [`DecodeError::NotCanonical`] naming `what`.
    pub fn decode(what: &'static str, bytes: &[u8; 32]) -> Result<Self, DecodeError> {
        match CompressedRistretto(*bytes).decompress() {
            Some(raw) if !raw.is_identity() || bug!(IdentityPointAccepted) => Ok(Self { raw, bytes: *bytes }),
            _ => Err(DecodeError::NotCanonical { what }),
        }
    }

    /// Hashes to the group: a point whose logarithm nobody knows. (RFC 9496 one-way map, 64 uniform bytes)
    #[must_use]
    pub fn hash(label: &str, body: &[u8]) -> Self {
        Self::from_nonzero(RistrettoPoint::from_uniform_bytes(&wide_digest(label, body)))
    }

    /// The point.
    #[must_use]
    pub fn raw(&self) -> RistrettoPoint {
        self.raw
    }
    /// The point, borrowed: sums over thousands need not copy it.
    #[must_use]
    pub fn raw_ref(&self) -> &RistrettoPoint {
        &self.raw
    }
    /// The canonical encoding.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl core::fmt::Debug for Point {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Point({})", hex::encode(self.bytes))
    }
}

impl Canonical for Point {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.bytes);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode("point", &input.array()?)
    }
}

impl Canonical for Scalar {
    fn write(&self, out: &mut Writer) {
        out.raw(self.as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_scalar("scalar", &input.array()?)
    }
}

/// A canonical scalar.
///
/// # Errors
/// [`DecodeError::NotCanonical`] for a value not below the group order.
pub fn decode_scalar(what: &'static str, bytes: &[u8; 32]) -> Result<Scalar, DecodeError> {
    if bug!(NonCanonicalScalarAccepted) {
        return Ok(Scalar::from_bytes_mod_order(*bytes));
    }
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(DecodeError::NotCanonical { what })
}

/// A uniform scalar.
pub fn random_scalar(rng: &mut dyn CryptoRngCore) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// A challenge: 64 bytes of hash, reduced. (P-ENC-5)
#[must_use]
pub fn hash_scalar(label: &str, body: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&wide_digest(label, body))
}

/// `scalar * G`, constant time.
#[must_use]
pub fn base_mul(scalar: &Scalar) -> RistrettoPoint {
    scalar * RISTRETTO_BASEPOINT_TABLE
}

/// The identity, as a start of sums.
#[must_use]
pub fn identity() -> RistrettoPoint {
    RistrettoPoint::identity()
}

/// Whether a sum is the identity.
#[must_use]
pub fn is_identity(point: &RistrettoPoint) -> bool {
    point.is_identity()
}

/// Decodes the canonical bytes of a sum of points, which may be the identity.
///
/// # Errors
/// [`DecodeError::NotCanonical`] naming `what`.
pub fn decode_sum(what: &'static str, bytes: &[u8; 32]) -> Result<RistrettoPoint, DecodeError> {
    CompressedRistretto(*bytes).decompress().ok_or(DecodeError::NotCanonical { what })
}

/// The canonical bytes of a sum of points.
#[must_use]
pub fn encode_sum(point: &RistrettoPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

/// Multiples of one fixed point, precomputed (30 KB): a constant-time multiplication costs a third of the plain one.
#[derive(Clone)]
pub struct FixedBase(Box<RistrettoBasepointTable>);

impl FixedBase {
    /// Builds the table; costs about as much as three plain multiplications.
    #[must_use]
    pub fn new(point: &Point) -> Self {
        Self(Box::new(RistrettoBasepointTable::create(&point.raw)))
    }
    /// `scalar * point`, constant time.
    #[must_use]
    pub fn mul(&self, scalar: &Scalar) -> RistrettoPoint {
        &*self.0 * scalar
    }
}

impl core::fmt::Debug for FixedBase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FixedBase")
    }
}

/// Two challenges of one statement: the 64-byte hashes of `body || 0x01` and `body || 0x02`, each reduced. (P-ENC-5)
#[must_use]
pub fn hash_scalar_pair(label: &str, body: &[u8]) -> (Scalar, Scalar) {
    let mut hash = Sha512::new();
    hash.update(b"conclave/v1/");
    hash.update(label.as_bytes());
    hash.update([0]);
    hash.update(body);
    let finish = |mut hash: Sha512, tag: u8| {
        hash.update([tag]);
        Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
    };
    (finish(hash.clone(), 1), finish(hash, 2))
}

/// `sum scalars_i * points_i` in variable time: for public values only. Both slices must have one length; what is
/// longer is ignored.
#[must_use]
pub fn public_sum<P: Borrow<RistrettoPoint>>(scalars: &[Scalar], points: &[P]) -> RistrettoPoint {
    // Zipped before dalek sees them: it asserts equal lengths, and it chooses its algorithm by the exact size hint.
    let terms = scalars.len().min(points.len());
    RistrettoPoint::vartime_multiscalar_mul(scalars.iter().take(terms), points.iter().take(terms).map(P::borrow))
}

/// `sum scalars_i * points_i` in constant time: for secret scalars.
#[must_use]
pub fn secret_sum(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
    let terms = scalars.len().min(points.len());
    RistrettoPoint::multiscalar_mul(scalars.iter().take(terms), points.iter().take(terms))
}

/// A point of the Edwards curve of Ed25519 as a signature or a key may hold it: canonical bytes, not of small order.
/// It may still have a component of small order; equations over such points are judged after multiplying by 8.
#[derive(Clone, Copy, Debug)]
pub struct SignaturePoint(EdwardsPoint);

impl SignaturePoint {
    /// The standard generator `B`.
    #[must_use]
    pub fn generator() -> Self {
        Self(ED25519_BASEPOINT_POINT)
    }

    /// `None` unless `y` is below the field order, the point is on the curve, and its order is not 1, 2, 4 or 8.
    ///
    /// That leaves one encoding for each point: the other non-canonical form, a sign bit on `x = 0`, exists only for
    /// points of order 1 and 2.
    #[must_use]
    pub fn decode(bytes: &[u8; 32]) -> Option<Self> {
        let [low, middle @ .., high] = bytes;
        let over = *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high & 0x7f == 0x7f;
        if over {
            return None;
        }
        let point = CompressedEdwardsY(*bytes).decompress()?;
        if point.is_small_order() { None } else { Some(Self(point)) }
    }

    /// Whether `8 * sum scalars_i * points_i` is the identity; variable time, for public values only.
    #[must_use]
    pub fn cofactored_sum_is_identity(scalars: &[Scalar], points: &[&Self]) -> bool {
        let terms = scalars.len().min(points.len());
        EdwardsPoint::vartime_multiscalar_mul(
            scalars.iter().take(terms),
            points.iter().take(terms).map(|point| point.0),
        )
        .mul_by_cofactor()
        .is_identity()
    }
}

/// Encodes many points at once (one shared inversion); returns `encode(2 * point)` for each.
#[must_use]
pub fn double_and_encode_batch(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    RistrettoPoint::double_and_compress_batch(points).into_iter().map(|c| c.to_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_and_non_canonical_bytes_are_refused() {
        assert!(Point::decode("p", &[0; 32]).is_err());
        assert!(Point::decode("p", &[0xff; 32]).is_err());
        let mut order = Scalar::ZERO - Scalar::ONE;
        order += Scalar::ZERO;
        let mut bytes = order.to_bytes();
        bytes[0] = bytes[0].wrapping_add(1);
        assert!(decode_scalar("s", &bytes).is_err(), "the group order itself");
    }
}
