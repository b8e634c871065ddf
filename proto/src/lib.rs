//! The wire: protobuf messages, generated gRPC code and conversions. Shape checks only; every rule of the election is
//! in `protocol`.

/// Version of the wire, compared in `Hello`. Another version is refused.
pub const WIRE_VERSION: u32 = 1;

/// Ballots in one `Cast` call, at most.
pub const CAST_BALLOTS_MAX: usize = 512;

/// Encoded file descriptors, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/conclave.bin"));

/// Generated code of `conclave.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the documentation is in the .proto file"
)]
pub mod v1 {
    tonic::include_proto!("conclave.v1");
}

/// A field has another length than the protocol gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected} bytes, got {got}")]
pub struct WrongLength {
    /// Field.
    pub field: &'static str,
    /// Bytes wanted.
    pub expected: usize,
    /// Bytes found.
    pub got: usize,
}

/// A fixed-size `bytes` field.
///
/// # Errors
/// [`WrongLength`].
pub fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], WrongLength> {
    bytes.try_into().map_err(|_| WrongLength { field, expected: N, got: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_wrong_length_is_refused() {
        assert_eq!(fixed::<4>("x", &[1, 2, 3]), Err(WrongLength { field: "x", expected: 4, got: 3 }));
        assert_eq!(fixed::<3>("x", &[1, 2, 3]), Ok([1, 2, 3]));
    }
}
