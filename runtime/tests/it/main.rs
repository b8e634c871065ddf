//! Real TLS on loopback, with tonic's health service in the place of ours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod authorise;
mod flood;
mod handshake;
mod limits;
mod process;
mod support;
