//! Rules and mathematics of a threshold-decrypted election. Decides; never does.
//!
//! No clock, no entropy source, no I/O: time and randomness arrive as arguments, what is to be done leaves as
//! values. Labels such as `P-ENC-1` are sections of `docs/protocol.md`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
extern crate alloc;
#[cfg(any(test, feature = "bugs"))]
extern crate std;

#[cfg(feature = "bugs")]
#[macro_use]
pub mod bugs;

/// No guard is ever left out: see the feature `bugs`.
#[cfg(not(feature = "bugs"))]
macro_rules! bug {
    ($name:ident) => {
        false
    };
}

pub mod agreement;
pub mod ballot;
pub mod ballot_box;
pub mod board;
pub mod ceremony;
pub mod chair;
pub mod dleq;
pub mod elgamal;
pub mod encoding;
pub mod evidence;
pub mod group;
pub mod ids;
pub mod invariants;
pub mod keeper;
pub mod log;
pub mod lots;
pub mod manifest;
pub mod roll;
pub mod signed;
pub mod signing;
pub mod tally;
