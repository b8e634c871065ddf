//! The notary: a statement onto the chain, and found again.
//!
//! An anchor is an SPL Memo in a transaction whose only signer and fee payer is a *group key*: an Ed25519
//! key that exists in shares and signs by FROST. A durable nonce account under the same key keeps the bytes
//! valid however long the signing takes, and makes each of them land once or never.
//!
//! [`AnchorIntent`] says in words what is to be signed and gives the exact bytes; whoever is asked to sign
//! rebuilds them from the intent and signs nothing else. With the feature `rpc`, [`Ledger`] submits them,
//! waits until they are final, reads them back and compares.
//!
//! Who is trusted: nobody but the arithmetic. An RPC server can be silent or late; what it says about an
//! anchor counts only if signature and bytes hold. That a transaction is *final* is the RPC's word, and
//! a second RPC can be required to say the same.

mod intent;
mod text;

#[cfg(feature = "rpc")]
mod ledger;

pub use intent::{
    AnchorIntent, IntentError, MemoMessage, NONCE_ACCOUNT_BYTES, NotAnAnchor, SEED_BYTES_MAX, TEXT_BYTES_MAX,
    nonce_address, transaction,
};
#[cfg(feature = "rpc")]
pub use ledger::{AnchorError, Deadlines, FoundAnchor, Landed, Ledger, LedgerConfig, Progress};
pub use text::{AddressError, DEVNET_GENESIS, address_text, parse_address, parse_signature, signature_text};
