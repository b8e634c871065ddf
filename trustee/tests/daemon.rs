//! Real daemons over real TLS, with this test as the shard that calls them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

#[path = "daemon/calls.rs"]
mod calls;
#[path = "daemon/life.rs"]
mod life;
#[path = "daemon/log.rs"]
mod log;
#[path = "daemon/process.rs"]
mod process;
#[path = "daemon/support.rs"]
mod support;
