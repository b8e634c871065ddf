//! **This is not cryptography and has no security at all.** It is for the simulator only.
//!
//! The interface of curve25519-dalek 4.1.3 as far as this repository uses it, over a group in which discrete logarithms
//! are written on every element: the integers modulo the prime order `l` of Curve25519's large subgroup, under addition. A
//! point is a scalar, the base point is 1, and `s * P` is a product of scalars. Scalars are the real ones (the published
//! crate, one version back).
//!
//! It is a cyclic group of the same prime order, and all that the protocol's proofs, key generations, signatures, lots and
//! sealed shares need to be *correct* is that. So the shipping code runs on it unchanged, every equation that holds or
//! fails over the curve holds or fails here, and one operation costs some dozen nanoseconds in place of as many
//! microseconds: the simulator tries many more elections in the same time. What it cannot show is secrecy and
//! unforgeability: here every ballot can be read and every signature forged. The simulated liars do neither, by agreement.
//!
//! No package of the main workspace can reach it: this is a nested workspace with its own lock file, which a test of the main
//! one watches over.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod point;

pub mod constants;
pub mod edwards;
pub mod montgomery;
pub mod ristretto;

pub use digest;
pub use real::{scalar, traits};

pub use edwards::EdwardsPoint;
pub use montgomery::MontgomeryPoint;
pub use ristretto::RistrettoPoint;
pub use scalar::Scalar;
