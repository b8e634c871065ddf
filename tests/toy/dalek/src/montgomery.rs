//! In place of X25519: the coordinate is the element itself, and any 32 bytes stand for one, as over the curve.

use crate::{
    scalar::{Scalar, clamp_integer},
    traits::Identity,
};
use core::hash::{Hash, Hasher};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

/// An element, not necessarily in its canonical encoding.
#[derive(Copy, Clone, Debug, Default)]
pub struct MontgomeryPoint(pub [u8; 32]);

impl MontgomeryPoint {
    fn reduced(&self) -> Scalar {
        Scalar::from_bytes_mod_order(self.0)
    }
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// The bytes.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0
    }
    /// `scalar * 1`.
    pub fn mul_base(scalar: &Scalar) -> Self {
        Self(scalar.to_bytes())
    }
    /// Times a clamped integer.
    pub fn mul_clamped(self, bytes: [u8; 32]) -> Self {
        Self((self.reduced() * Scalar::from_bytes_mod_order(clamp_integer(bytes))).to_bytes())
    }
    /// The base point times a clamped integer.
    pub fn mul_base_clamped(bytes: [u8; 32]) -> Self {
        Self(Scalar::from_bytes_mod_order(clamp_integer(bytes)).to_bytes())
    }
}

impl ConstantTimeEq for MontgomeryPoint {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.reduced().ct_eq(&other.reduced())
    }
}
impl PartialEq for MontgomeryPoint {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}
impl Eq for MontgomeryPoint {}
impl Hash for MontgomeryPoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reduced().as_bytes().hash(state);
    }
}
impl Identity for MontgomeryPoint {
    fn identity() -> Self {
        Self([0; 32])
    }
}
impl Zeroize for MontgomeryPoint {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}
