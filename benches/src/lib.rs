//! Numbers, side by side with peers.
