//! Claims about the log, by vectors of others and by properties.
#![allow(clippy::indexing_slicing, reason = "a test that panics has failed, which is its office")]

mod notes;
mod receipts;
mod tree;

use crate::ids::IdentityKey;
use ed25519_dalek::{Signer as _, SigningKey};

/// A signing key that is the same in every run.
fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn identity(key: &SigningKey) -> IdentityKey {
    IdentityKey(key.verifying_key().to_bytes())
}

fn sign(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    key.sign(message).to_bytes()
}
