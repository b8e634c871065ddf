//! The base point is 1, whichever way it is written.

use crate::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    montgomery::MontgomeryPoint,
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
};

const ONE: [u8; 32] = {
    let mut one = [0; 32];
    one[0] = 1;
    one
};

/// 1.
pub const ED25519_BASEPOINT_POINT: EdwardsPoint = EdwardsPoint(Scalar::ONE);
/// 1, encoded.
pub const ED25519_BASEPOINT_COMPRESSED: CompressedEdwardsY = CompressedEdwardsY(ONE);
/// 1, encoded.
pub const X25519_BASEPOINT: MontgomeryPoint = MontgomeryPoint(ONE);
/// 1.
pub const RISTRETTO_BASEPOINT_POINT: RistrettoPoint = RistrettoPoint(Scalar::ONE);
/// 1, encoded.
pub const RISTRETTO_BASEPOINT_COMPRESSED: CompressedRistretto = CompressedRistretto(ONE);
/// A table of nothing.
pub static RISTRETTO_BASEPOINT_TABLE: &RistrettoBasepointTable = &RistrettoBasepointTable(RISTRETTO_BASEPOINT_POINT);
