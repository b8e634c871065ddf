//! In place of Ristretto255.

use crate::{point::group, scalar::Scalar, traits::*};
use alloc::vec::Vec;
use core::{
    array::TryFromSliceError,
    borrow::Borrow,
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign},
};
use digest::{Digest, generic_array::typenum::U64};
use rand_core::CryptoRngCore;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

group!(RistrettoPoint, CompressedRistretto);

impl RistrettoPoint {
    /// The encodings of `2 * point`.
    pub fn double_and_compress_batch<'a, I>(points: I) -> Vec<CompressedRistretto>
    where
        I: IntoIterator<Item = &'a Self>,
    {
        points.into_iter().map(|point| (point + point).compress()).collect()
    }
    /// Uniform.
    pub fn random<R: CryptoRngCore + ?Sized>(rng: &mut R) -> Self {
        let mut wide = [0; 64];
        rng.fill_bytes(&mut wide);
        Self::from_uniform_bytes(&wide)
    }
    /// Hashes to the group. Everybody knows the logarithm of what comes out.
    pub fn hash_from_bytes<D: Digest<OutputSize = U64> + Default>(input: &[u8]) -> Self {
        Self::from_hash(D::default().chain_update(input))
    }
    /// As [`RistrettoPoint::hash_from_bytes`], for a hash that has its input.
    pub fn from_hash<D: Digest<OutputSize = U64>>(hash: D) -> Self {
        Self::from_uniform_bytes(&hash.finalize().into())
    }
    /// Never the identity, which the curve's map gives once in 2^252.
    pub fn from_uniform_bytes(bytes: &[u8; 64]) -> Self {
        let scalar = Scalar::from_bytes_mod_order_wide(bytes);
        Self(if scalar == Scalar::ZERO { Scalar::ONE } else { scalar })
    }
}

/// Nothing is precomputed: a multiplication is one product as it is.
#[derive(Clone)]
pub struct RistrettoBasepointTable(pub(crate) RistrettoPoint);

impl RistrettoBasepointTable {
    /// For this point.
    pub fn create(basepoint: &RistrettoPoint) -> Self {
        Self(*basepoint)
    }
    /// The point.
    pub fn basepoint(&self) -> RistrettoPoint {
        self.0
    }
}

crate::point::operator!(Mul, mul, RistrettoBasepointTable, Scalar, RistrettoPoint, |a, b| RistrettoPoint(a.0.0 * b));
crate::point::operator!(Mul, mul, Scalar, RistrettoBasepointTable, RistrettoPoint, |a, b| RistrettoPoint(a * b.0.0));
