//! Whole elections in virtual time. The shipping core of trustees, home shard and booths runs under faults of network,
//! disk, token, chain and process life, and under liars; what must always hold is checked after every event.
//!
//! One `u64` decides everything: the same seed and the same build give the same events, and the same hash over them.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a test's machinery: it may end itself where it is wrong")]

pub mod both;
pub mod chain;
pub mod cli;
pub mod coverage;
pub mod disk;
pub mod ground;
#[cfg(feature = "bugs")]
pub mod hunt;
pub mod liar;
pub mod memo;
pub mod official;
pub mod policies;
pub mod policy;
pub mod profile;
pub mod run;
pub mod setup;
pub mod shard;
pub mod trace;
pub mod trustee;
pub mod voter;
pub mod watch;
pub mod wire;
pub mod world;

/// The one source of chance.
pub type Dice = rand_chacha::ChaCha8Rng;

/// For those who use the simulator: the core that it simulates.
pub use protocol;
