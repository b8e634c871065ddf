//! The only door to curve25519-dalek: points and scalars of Ristretto255, canonical and never the identity. (P-GRP)

use crate::encoding::{Canonical, DecodeError, Reader, Writer, wide_digest};
use alloc::vec::Vec;
pub use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_TABLE,
    ristretto::{CompressedRistretto, RistrettoPoint},
    traits::{Identity as _, IsIdentity as _},
};
use rand_core::CryptoRngCore;

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
            Some(raw) if !raw.is_identity() => Ok(Self { raw, bytes: *bytes }),
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
