//! The chair: orders, relays, batches, records; holds nothing that opens a ballot.
//!
//! One process is one *shard*. It is trusted with nothing but availability: what it says about an election is signed and
//! checked by others, what it is told is checked here.
//!
//! | part | what |
//! |---|---|
//! | [`actors`] | who decides when: `shard` (directory), `election` (board and chair), `intake` (one lane of a log) |
//! | [`store`] | what survives: one SQLite file, one task that owns the writing connection |
//! | [`relay`] | the loops that talk to trustees: board and journal, log and co-signatures |
//! | [`rpc`] | who may ask what: two listeners, one table |
//!
//! Order of things, everywhere: judge, store durably, take into memory, answer.

pub mod actors;
pub mod circle;
pub mod config;
pub mod election;
pub mod enrol;
pub mod lane;
pub mod ledger;
pub mod pool;
pub mod relay;
pub mod rpc;
pub mod run;
pub mod store;
pub mod trouble;
