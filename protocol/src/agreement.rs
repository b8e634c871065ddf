//! See docs/protocol.md.

pub mod messages;
