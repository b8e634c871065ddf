//! Whole elections in virtual time. The shipping core of trustees, home shard and booths runs under faults of network,
//! disk, token, chain and process life, and under liars; what must always hold is checked after every event.
//!
//! One `u64` decides everything: the same seed and the same build give the same events, and the same hash over them.

pub mod liar;
pub mod policies;
pub mod policy;
