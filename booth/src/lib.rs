//! The voter: encrypt, prove, sign, cast, keep the receipt, prove inclusion.
//!
//! Nothing that a server says is taken on trust: the manifest must hash to the election asked for, the key must be certified
//! by every trustee of that manifest, a receipt must be signed by a shard of it for exactly the bytes that were sent, and
//! a receipt is final only with the trustees' co-signatures.

pub mod cast;
pub mod choices;
pub mod cli;
pub mod election;
pub mod receipts;
pub mod shelf;
