//! What can go wrong with a keystore, and what the operator can do about it.

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::pkcs11::TokenSelector;
use super::{KeyRole, PublicKey};

/// Why a keystore could not be made, opened or used.
#[derive(Debug, Error)]
pub enum KeystoreError {
    /// The PKCS#11 module cannot be loaded or started.
    #[error("cannot start the PKCS#11 module {}: install it, correct its path, or set up its configuration", .path.display())]
    ModuleUnusable {
        /// The module.
        path: PathBuf,
        /// What it said.
        source: cryptoki::error::Error,
    },
    /// No token answers to the label or serial number.
    #[error("no token with {wanted}: insert it, or correct the configuration (tokens present: {})", list(.seen))]
    TokenNotFound {
        /// What was looked for.
        wanted: TokenSelector,
        /// The labels that are there.
        seen: Vec<String>,
    },
    /// More than one token answers.
    #[error("{count} tokens have {wanted}: name the token by its serial number")]
    TokenAmbiguous {
        /// What was looked for.
        wanted: TokenSelector,
        /// How many answer to it.
        count: usize,
    },
    /// The token is software, and nobody said that this is wanted. (K09)
    #[error(
        "token {label:?} is software ({manufacturer}, {model}), which protects no keys: use a hardware token, or allow software tokens for a trial"
    )]
    SoftwareToken {
        /// The token's label.
        label: String,
        /// Its manufacturer.
        manufacturer: String,
        /// Its model.
        model: String,
    },
    /// The token lacks a mechanism that a trustee needs.
    #[error("token {label:?} has no {mechanism}: a trustee needs Ed25519 signatures and AES-GCM")]
    Incapable {
        /// The token's label.
        label: String,
        /// What it lacks.
        mechanism: &'static str,
    },
    /// Keys are there already; they are never overwritten.
    #[error("{role} exists already in {place}: open it, or remove it by hand if it is truly not wanted")]
    KeyExists {
        /// The key.
        role: KeyRole,
        /// The token's label or the file's path.
        place: String,
    },
    /// A key is not there.
    #[error("{role} is not in token {token:?}: make the keys first, or correct the configuration")]
    KeyMissing {
        /// The key.
        role: KeyRole,
        /// The token's label.
        token: String,
    },
    /// A label names several keys.
    #[error("{count} objects in token {token:?} are called {role}: remove the wrong ones by hand")]
    KeyAmbiguous {
        /// The key.
        role: KeyRole,
        /// The token's label.
        token: String,
        /// How many objects there are.
        count: usize,
    },
    /// A key's attributes allow what must not be possible. (K04)
    #[error("{role} is not safe to use: {flaw}; make new keys in a clean token")]
    Policy {
        /// The key.
        role: KeyRole,
        /// What is wrong with it.
        flaw: PolicyFlaw,
    },
    /// The public key is not the pinned one. (K08)
    #[error("{role} is {got}, but {expected} is pinned: the wrong token or file was opened")]
    WrongKey {
        /// The key.
        role: KeyRole,
        /// The pinned public key.
        expected: PublicKey,
        /// The public key that is there.
        got: PublicKey,
    },
    /// The token refused the PIN. It is not tried again. (K03)
    #[error("the token refused the PIN ({tries}): it is not tried again; correct the PIN and restart")]
    PinRejected {
        /// What the token says about the tries that are left.
        tries: PinTries,
    },
    /// One more wrong PIN would lock the token, so none is sent. (K03)
    #[error("one more wrong PIN locks the token, so it is not tried: log in once with the maker's tool, then restart")]
    PinLastTry,
    /// The token has locked its PIN.
    #[error("the token has locked its PIN: its security officer must set a new one")]
    PinLocked,
    /// The passphrase does not open the file.
    #[error("the passphrase does not open {}: correct it (or somebody has altered the file on purpose)", .path.display())]
    PassphraseRejected {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is too short to protect anything.
    #[error("a passphrase needs at least {min} bytes, this one has {got}")]
    PassphraseTooShort {
        /// The fewest bytes allowed.
        min: usize,
        /// How many it has.
        got: usize,
    },
    /// The file is not, or no longer, a keystore.
    #[error("{} is damaged: {damage}; restore it from its backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The cost of the passphrase function is outside its limits.
    #[error("the {parameter} of the passphrase function must be {min} to {max}, not {got}")]
    CostOutOfRange {
        /// Which parameter.
        parameter: &'static str,
        /// The least allowed.
        min: u32,
        /// The most allowed.
        max: u32,
        /// What was asked for.
        got: u32,
    },
    /// A file with a secret can be read by others.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it, and replace the secret if it may have been seen", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret is empty, too long, or not text.
    #[error("the secret in {source_name} is unusable: it must be one line of UTF-8 text, 1 to {max} bytes")]
    SecretUnusable {
        /// Where it was read.
        source_name: String,
        /// The most bytes allowed.
        max: usize,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The sealed value does not open: other bytes, another context or another key.
    #[error("the sealed value does not open: it was altered, or sealed for something else or by another key")]
    SealBroken,
    /// Something is longer than its limit.
    #[error("a {what} may have at most {max} bytes, this one has {got}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// The most bytes allowed.
        max: usize,
        /// How many it has.
        got: usize,
    },
    /// A seal without context would open anywhere.
    #[error("a seal needs a context that says what it is for")]
    ContextEmpty,
    /// A signature came back that does not verify; it has not been let out.
    #[error("{role} gave a signature that does not verify: the token is faulty or holds mismatched keys")]
    SignatureFaulty {
        /// The key.
        role: KeyRole,
    },
    /// A call to the token failed.
    #[error("the token failed to {operation}")]
    Token {
        /// What was being done.
        operation: Operation,
        /// What the module said.
        source: cryptoki::error::Error,
    },
    /// The module was re-started beneath this call, or could not be re-started.
    #[error("the PKCS#11 module is being re-started")]
    ModuleRestarting,
    /// The token does not come back. The trustee goes on without it and asks again at the next call. (K01)
    #[error("the token is unavailable, {attempts} attempts to {operation} failed: look at the device; nothing is lost")]
    Unavailable {
        /// What was being done.
        operation: Operation,
        /// How many times it was tried.
        attempts: u32,
        /// How the last attempt failed.
        source: Box<KeystoreError>,
    },
    /// The keystore did not answer in time. (K11)
    #[error("the keystore did not {operation} within {} ms: look at the device", .after.as_millis())]
    TimedOut {
        /// What was asked.
        operation: Operation,
        /// The deadline.
        after: Duration,
    },
    /// The queue before the keystore is full.
    #[error("{waiting_max} calls wait for the keystore already: try again later")]
    Busy {
        /// The length of the queue.
        waiting_max: usize,
    },
    /// The keystore's thread cannot be started, or has ended.
    #[error("the keystore's thread has ended: restart the daemon")]
    Stopped,
}

fn list(labels: &[String]) -> String {
    if labels.is_empty() { "none".to_owned() } else { labels.join(", ") }
}

/// What was asked of a keystore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Find the token.
    FindToken,
    /// Open a session.
    OpenSession,
    /// Log in.
    LogIn,
    /// Find and inspect the keys.
    FindKeys,
    /// Generate the keys.
    GenerateKeys,
    /// Sign with the identity key.
    SignIdentity,
    /// Sign with the TLS key.
    SignTls,
    /// Draw randomness.
    Random,
    /// Seal a value.
    Seal,
    /// Open a sealed value.
    Unseal,
    /// Prove that all of it works.
    Health,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::FindToken => "find the token",
            Operation::OpenSession => "open a session",
            Operation::LogIn => "log in",
            Operation::FindKeys => "find the keys",
            Operation::GenerateKeys => "generate the keys",
            Operation::SignIdentity => "sign with the identity key",
            Operation::SignTls => "sign with the TLS key",
            Operation::Random => "draw randomness",
            Operation::Seal => "seal a value",
            Operation::Unseal => "open a sealed value",
            Operation::Health => "prove its health",
        })
    }
}

/// What a token says about the PIN tries that are left. PKCS#11 gives no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinTries {
    /// It does not say.
    Unknown,
    /// At least one wrong PIN has been counted.
    Low,
    /// The next wrong one locks it.
    Last,
}

impl fmt::Display for PinTries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PinTries::Unknown => "tries left: unknown",
            PinTries::Low => "the token counts wrong tries",
            PinTries::Last => "the next wrong PIN locks the token",
        })
    }
}

/// Why a key in a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFlaw {
    /// An attribute has the wrong value.
    Attribute {
        /// The attribute, as PKCS#11 calls it.
        name: &'static str,
        /// What it must be.
        expected: bool,
        /// What it is.
        got: bool,
    },
    /// The token does not say what an attribute is.
    Unreported {
        /// The attribute, as PKCS#11 calls it.
        name: &'static str,
    },
    /// It is of another type, curve or length.
    WrongType,
    /// Its public half cannot be read as an Ed25519 key.
    PublicKeyMalformed,
}

impl fmt::Display for PolicyFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyFlaw::Attribute { name, expected, got } => {
                write!(f, "{name} must be {expected}, it is {got}")
            }
            PolicyFlaw::Unreported { name } => write!(f, "the token does not report {name}"),
            PolicyFlaw::WrongType => f.write_str("it is a key of another type or size"),
            PolicyFlaw::PublicKeyMalformed => f.write_str("its public half is not an Ed25519 public key"),
        }
    }
}

/// How a keystore file is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is longer or shorter than a keystore file.
    Length {
        /// The length of every keystore file of this version, in bytes.
        expected: u64,
        /// The length of this one.
        got: u64,
    },
    /// It does not start like a keystore file.
    NotAKeystore,
    /// Its format version is unknown.
    Version {
        /// The version that this program reads.
        expected: u16,
        /// The version of the file.
        got: u16,
    },
    /// Its checksum does not match its content.
    Checksum,
    /// A parameter of its passphrase function is outside the limits.
    Cost {
        /// Which parameter.
        parameter: &'static str,
        /// The least allowed.
        min: u32,
        /// The most allowed.
        max: u32,
        /// What the file asks for.
        got: u32,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Length { expected, got } => {
                write!(f, "it should have {expected} bytes and has {got}")
            }
            Damage::NotAKeystore => f.write_str("it does not start like a keystore file"),
            Damage::Version { expected, got } => {
                write!(f, "it is of format version {got}, this program reads {expected}")
            }
            Damage::Checksum => f.write_str("its checksum does not match"),
            Damage::Cost { parameter, min, max, got } => {
                write!(f, "the {parameter} of its passphrase function is {got}, allowed are {min} to {max}")
            }
        }
    }
}
