//! Stands in for OpenSSL in the local ledger, so that no C library, no perl and no make are needed.
//!
//! Solana uses OpenSSL for one thing, the secp256r1 signature program (passkeys). Conclave has no such
//! signatures. Here every way to make a key, a number or a signature fails, so that this program refuses all
//! of them: the types have no values, and what can be done with a value needs no code.

use std::fmt;

/// The only answer.
#[derive(Debug)]
pub struct Absent;

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this ledger is built without OpenSSL: no secp256r1")
    }
}

impl std::error::Error for Absent {}

/// Numbers.
pub mod bn {
    use super::Absent;

    /// A number that cannot be made.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    pub enum BigNum {}

    impl BigNum {
        /// Fails.
        pub fn new() -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Fails.
        pub fn from_slice(_: &[u8]) -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Fails.
        pub fn from_u32(_: u32) -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Cannot be called.
        pub fn checked_sub(&mut self, _: &Self, _: &Self) -> Result<(), Absent> {
            match *self {}
        }
        /// Cannot be called.
        pub fn to_vec(&self) -> Vec<u8> {
            match *self {}
        }
    }

    /// Scratch space that cannot be made.
    pub enum BigNumContext {}

    impl BigNumContext {
        /// Fails.
        pub fn new() -> Result<Self, Absent> {
            Err(Absent)
        }
    }
}

/// Names of curves.
pub mod nid {
    /// A curve's name.
    #[derive(PartialEq, Eq, Clone, Copy)]
    pub struct Nid;

    impl Nid {
        /// secp256r1.
        pub const X9_62_PRIME256V1: Self = Self;
    }
}

/// Curves.
pub mod ec {
    use super::{Absent, bn::BigNumContext, nid::Nid};

    /// A curve that cannot be made.
    pub enum EcGroup {}

    impl EcGroup {
        /// Fails.
        pub fn from_curve_name(_: Nid) -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Cannot be called.
        pub fn curve_name(&self) -> Option<Nid> {
            match *self {}
        }
    }

    /// A point that cannot be made.
    pub enum EcPoint {}

    impl EcPoint {
        /// Cannot be called.
        pub fn from_bytes(group: &EcGroup, _: &[u8], _: &mut BigNumContext) -> Result<Self, Absent> {
            match *group {}
        }
    }

    /// A key that cannot be made.
    pub enum EcKey {}

    impl EcKey {
        /// Cannot be called.
        pub fn from_public_key(group: &EcGroup, _: &EcPoint) -> Result<Self, Absent> {
            match *group {}
        }
        /// Fails.
        pub fn private_key_from_der(_: &[u8]) -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Cannot be called.
        pub fn group(&self) -> &EcGroup {
            match *self {}
        }
    }
}

/// Keys of any kind.
pub mod pkey {
    use super::{Absent, ec::EcKey};

    /// A key that cannot be made.
    pub enum PKey {}

    impl PKey {
        /// Cannot be called.
        pub fn from_ec_key(key: EcKey) -> Result<Self, Absent> {
            match key {}
        }
    }
}

/// Signatures.
pub mod ecdsa {
    use super::{Absent, bn::BigNum};

    /// A signature that cannot be made.
    pub enum EcdsaSig {}

    impl EcdsaSig {
        /// Cannot be called.
        pub fn from_private_components(r: BigNum, _: BigNum) -> Result<Self, Absent> {
            match r {}
        }
        /// Fails.
        pub fn from_der(_: &[u8]) -> Result<Self, Absent> {
            Err(Absent)
        }
        /// Cannot be called.
        pub fn to_der(&self) -> Result<Vec<u8>, Absent> {
            match *self {}
        }
        /// Cannot be called.
        pub fn r(&self) -> &BigNum {
            match *self {}
        }
        /// Cannot be called.
        pub fn s(&self) -> &BigNum {
            match *self {}
        }
    }
}

/// Names of hashes.
pub mod hash {
    /// A hash's name.
    #[derive(Clone, Copy)]
    pub struct MessageDigest;

    impl MessageDigest {
        /// SHA-256.
        pub fn sha256() -> Self {
            Self
        }
    }
}

/// Signing and verifying.
pub mod sign {
    use super::{Absent, hash::MessageDigest, pkey::PKey};

    /// A signer that cannot be made.
    pub enum Signer {}

    impl Signer {
        /// Cannot be called.
        pub fn new(_: MessageDigest, key: &PKey) -> Result<Self, Absent> {
            match *key {}
        }
        /// Cannot be called.
        pub fn update(&mut self, _: &[u8]) -> Result<(), Absent> {
            match *self {}
        }
        /// Cannot be called.
        pub fn sign_to_vec(&self) -> Result<Vec<u8>, Absent> {
            match *self {}
        }
    }

    /// A verifier that cannot be made.
    pub enum Verifier {}

    impl Verifier {
        /// Cannot be called.
        pub fn new(_: MessageDigest, key: &PKey) -> Result<Self, Absent> {
            match *key {}
        }
        /// Cannot be called.
        pub fn update(&mut self, _: &[u8]) -> Result<(), Absent> {
            match *self {}
        }
        /// Cannot be called.
        pub fn verify(&self, _: &[u8]) -> Result<bool, Absent> {
            match *self {}
        }
    }
}
