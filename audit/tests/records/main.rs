//! Records of elections that the programs' own cores held: valid as they are, refused with anything changed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "test code")]

mod chain;
mod folder;
mod honest;
mod support;
mod tamper;
mod wrongs;
