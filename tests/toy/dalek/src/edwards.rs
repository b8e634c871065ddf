//! In place of the points of Ed25519. Every element is of prime order: there is no torsion here.

use crate::{montgomery::MontgomeryPoint, point::group, scalar::Scalar, scalar::clamp_integer, traits::*};
use core::{
    array::TryFromSliceError,
    borrow::Borrow,
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign},
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

group!(EdwardsPoint, CompressedEdwardsY);

impl EdwardsPoint {
    /// As the key agreement has it.
    pub fn to_montgomery(&self) -> MontgomeryPoint {
        MontgomeryPoint(self.0.to_bytes())
    }
    /// Times a clamped integer.
    pub fn mul_clamped(self, bytes: [u8; 32]) -> Self {
        Self(self.0 * Scalar::from_bytes_mod_order(clamp_integer(bytes)))
    }
    /// The base point times a clamped integer.
    pub fn mul_base_clamped(bytes: [u8; 32]) -> Self {
        Self(Scalar::from_bytes_mod_order(clamp_integer(bytes)))
    }
    /// Times 8.
    pub fn mul_by_cofactor(&self) -> Self {
        Self(self.0 * Scalar::from(8_u8))
    }
    /// Only the identity is.
    pub fn is_small_order(&self) -> bool {
        self.0 == Scalar::ZERO
    }
    /// Always.
    pub fn is_torsion_free(&self) -> bool {
        true
    }
}
