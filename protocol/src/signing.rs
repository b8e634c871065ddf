//! Signing together: FROST(Ed25519, SHA-512) of RFC 9591, two rounds, by exactly the signers of a request. (P-SIG)
//!
//! AwaitingCommitments --all commitments--> AwaitingShares --all shares--> Signed, or Failed and a next attempt
//!
//! | step | who | function |
//! |---|---|---|
//! | 1 | home shard: picks `s` signers in the order of the lots, leaving out those who failed before | [`choose_signers`] |
//! | 2 | signer: may it? then fresh nonces | [`SignerLocks::commit_permit`], [`commit`] |
//! | 3 | signer: when all commitments are there | [`SignerLocks::sign_permit`], [`sign`] |
//! | 4 | anyone | [`Session::progress`], [`verify_share`], [`aggregate`] |
//!
//! All of FROST's arithmetic is `frost-ed25519`'s. What is ours is what the library leaves to its user:
//!
//! - A nonce ([`SigningNonce`]) is a value that [`sign`] consumes: it cannot be cloned, stored or used twice. It lives in
//!   memory only; a restart burns it, and [`SignerLocks::burned`] says which attempts must then be aborted.
//! - A signer signs one content for one purpose, for ever, and each attempt once: [`SignerLocks`]. The permits that [`commit`]
//!   and [`sign`] consume come from nowhere else.
//! - Identifiers are the manifest's indices, never a field of a message.
//! - The signature that comes out is checked once more as a plain Ed25519 signature, strictly, by another library.
//!
//! Whoever sends a share that does not verify is named; the next attempt goes on without.

pub mod messages;

mod locks;
mod memo;
mod round;
mod session;

pub use locks::{CommitPermit, LockRefusal, SignPermit, SignerLocks, content};
pub use memo::{ANCHOR_TEXT_BYTES_MAX, Anchor, AnchorTextError, nonce_seed};
pub use round::{
    AggregateRefusal, KeyRefusal, ShareRefusal, SigningKeys, SigningNonce, SigningRefusal, aggregate, check_commitment,
    commit, identifier, package_hash, sign, verify_share,
};
pub use session::{Progress, Session, choose_signers};

/// Attempts for one purpose, at most: numbers above are refused. Each dishonest or crashed signer costs one, so that
/// an honest coordinator needs far fewer.
pub const ATTEMPTS_MAX: u32 = 1024;

#[cfg(test)]
mod tests;
