//! What a trustee keeps of its own: an identity key, a TLS key and a sealing key.
//!
//! | key | kind | used for |
//! |---|---|---|
//! | identity | Ed25519 | signs this trustee's envelopes |
//! | TLS | Ed25519 | proves this trustee in mTLS |
//! | seal | AES-256-GCM | shares and promises at rest |
//!
//! They live in a PKCS#11 token ([`pkcs11`]), from which no key can be taken out, or in a file under a
//! passphrase ([`file`]), which is **for trials**: whoever can read the daemon's memory, or the file and the
//! passphrase, has the keys.
//!
//! What a token cannot do: no PKCS#11 token speaks Ristretto255 or FROST. A share of an election key is
//! therefore sealed *by* the token and is in the daemon's memory while it is used.
//!
//! A [`Keystore`] blocks. The daemon puts it on a thread of its own behind a [`KeystoreHandle`], with a bounded
//! queue and a deadline for each call, so that a token that hangs stalls nobody else.

mod error;
pub mod file;
mod handle;
pub mod pkcs11;
mod secret;
mod tls;

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

pub use error::{Damage, KeystoreError, Operation, PinTries, PolicyFlaw};
pub use handle::{HandleLimits, KeystoreHandle};
pub use secret::{Secret, SecretSource};
pub use tls::TlsSigner;

/// Longest message that is signed, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest plaintext that is sealed, in bytes. Hardware tokens often take less in one call.
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 20;
/// Longest context of a seal, in bytes. The shortest is one byte.
pub const CONTEXT_BYTES_MAX: usize = 4096;
/// What sealing adds to the plaintext: the IV before it and the tag behind it.
pub const SEAL_OVERHEAD_BYTES: usize = IV_BYTES + TAG_BYTES;

const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The keys of one trustee. Every call may block for as long as the token takes.
pub trait Keystore: Send {
    /// Where the keys are, for the operator and for the election record.
    fn describe(&self) -> KeystoreKind;

    /// The public half of the identity key.
    fn identity_public(&self) -> [u8; 32];

    /// The public half of the TLS key.
    fn tls_public(&self) -> [u8; 32];

    /// Signs with the identity key. The signature has been verified when it is returned.
    ///
    /// # Errors
    /// [`KeystoreError::TooLong`], [`KeystoreError::Unavailable`], [`KeystoreError::SignatureFaulty`],
    /// [`KeystoreError::PinRejected`] or [`KeystoreError::PinLocked`] after a token came back.
    fn sign_identity(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError>;

    /// Signs with the TLS key. The signature has been verified when it is returned.
    ///
    /// # Errors
    /// As [`Keystore::sign_identity`].
    fn sign_tls(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError>;

    /// Seals `plaintext` so that it opens again only here and only with the same `context` (the AAD).
    /// Returns a fresh 12-byte IV, the ciphertext and its 16-byte tag.
    ///
    /// # Errors
    /// [`KeystoreError::TooLong`], [`KeystoreError::ContextEmpty`], [`KeystoreError::Unavailable`].
    fn seal(&mut self, context: &[u8], plaintext: &[u8], rng: &mut dyn CryptoRngCore)
    -> Result<Vec<u8>, KeystoreError>;

    /// Opens what [`Keystore::seal`] made.
    ///
    /// # Errors
    /// [`KeystoreError::SealBroken`] if it is not what was sealed under this context with this key; otherwise as
    /// [`Keystore::seal`].
    fn unseal(&mut self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError>;

    /// Randomness of the keystore's own, to be mixed with the system's: a cloned machine repeats the one, not the other.
    /// All zeros where it has none. (K13)
    ///
    /// # Errors
    /// [`KeystoreError::Unavailable`].
    fn random(&mut self) -> Result<Zeroizing<[u8; 32]>, KeystoreError>;

    /// A real signature by both keys and a real seal, each checked. A token that is gone may still answer
    /// every cheaper question.
    ///
    /// # Errors
    /// Whatever is wrong.
    fn health(&mut self) -> Result<(), KeystoreError>;
}

/// Where a trustee's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeystoreKind {
    /// In a PKCS#11 token.
    Token {
        /// The token's label.
        label: String,
        /// The token's serial number.
        serial: String,
        /// Who says to have made it.
        manufacturer: String,
        /// Whether it is known to be only software.
        software: bool,
    },
    /// In an encrypted file. For trials.
    File,
}

impl fmt::Display for KeystoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeystoreKind::Token { label, serial, manufacturer, software } => {
                let kind = if *software { "software token" } else { "token" };
                write!(f, "{kind} {label:?}, serial {serial}, of {manufacturer}")
            }
            KeystoreKind::File => f.write_str("encrypted file (for trials)"),
        }
    }
}

/// One of a trustee's three keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRole {
    /// Signs envelopes.
    Identity,
    /// Proves this trustee in mTLS.
    Tls,
    /// Seals what is kept on disk.
    Seal,
}

impl KeyRole {
    /// All of them, in the order in which they are made.
    pub const ALL: [KeyRole; 3] = [KeyRole::Identity, KeyRole::Tls, KeyRole::Seal];

    /// The label of this key in a token.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            KeyRole::Identity => "conclave-identity",
            KeyRole::Tls => "conclave-tls",
            KeyRole::Seal => "conclave-seal",
        }
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// An Ed25519 public key, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The public keys that the manifest or the configuration pins, where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectedKeys {
    /// The identity key.
    pub identity: Option<[u8; 32]>,
    /// The TLS key.
    pub tls: Option<[u8; 32]>,
}

impl ExpectedKeys {
    /// Refuses keys other than the pinned ones: the wrong slot, token or file was opened.
    fn check(&self, identity: [u8; 32], tls: [u8; 32]) -> Result<(), KeystoreError> {
        for (role, expected, got) in [(KeyRole::Identity, self.identity, identity), (KeyRole::Tls, self.tls, tls)] {
            match expected {
                Some(expected) if expected != got => {
                    return Err(KeystoreError::WrongKey { role, expected: PublicKey(expected), got: PublicKey(got) });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Health checks sign and seal these: no envelope and no TLS transcript starts so.
const PROBE_MESSAGE: &[u8] = b"conclave keystore health check, signs nothing else";
const PROBE_CONTEXT: &[u8] = b"conclave keystore health check";

/// Lets a signature out only if it holds: one made by a failing device can give the key away, and one made by
/// another key would be laid at this trustee's door.
fn verified(role: KeyRole, public: &[u8; 32], message: &[u8], signature: &[u8]) -> Result<[u8; 64], KeystoreError> {
    let faulty = || KeystoreError::SignatureFaulty { role };
    let bytes: [u8; 64] = signature.try_into().map_err(|_| faulty())?;
    let key = VerifyingKey::from_bytes(public).map_err(|_| faulty())?;
    key.verify_strict(message, &Signature::from_bytes(&bytes)).map_err(|_| faulty())?;
    Ok(bytes)
}

fn check_message(message: &[u8]) -> Result<(), KeystoreError> {
    check_length("message", message.len(), MESSAGE_BYTES_MAX)
}

fn check_context(context: &[u8]) -> Result<(), KeystoreError> {
    if context.is_empty() {
        return Err(KeystoreError::ContextEmpty);
    }
    check_length("context", context.len(), CONTEXT_BYTES_MAX)
}

fn check_plaintext(plaintext: &[u8]) -> Result<(), KeystoreError> {
    check_length("plaintext", plaintext.len(), PLAINTEXT_BYTES_MAX)
}

/// Splits a sealed value into IV and ciphertext.
fn split_sealed(sealed: &[u8]) -> Result<([u8; IV_BYTES], &[u8]), KeystoreError> {
    check_length("sealed value", sealed.len(), PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES)?;
    match sealed.split_first_chunk::<IV_BYTES>() {
        Some((iv, rest)) if rest.len() >= TAG_BYTES => Ok((*iv, rest)),
        _ => Err(KeystoreError::SealBroken),
    }
}

fn check_length(what: &'static str, got: usize, max: usize) -> Result<(), KeystoreError> {
    if got > max { Err(KeystoreError::TooLong { what, max, got }) } else { Ok(()) }
}
