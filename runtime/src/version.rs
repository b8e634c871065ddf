//! Which software this is.

/// The crate's version and, where the source was a git checkout, its revision: `0.1.0+6e42bf4a1b2c`.
/// A development build ends in `.dev`, because its revision may be older than its code.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), env!("CONCLAVE_REVISION"));
