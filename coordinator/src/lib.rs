//! The chair: orders, relays, batches, records; holds nothing that opens a ballot.
