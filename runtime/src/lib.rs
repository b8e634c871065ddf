//! What it is to be a process: mTLS, identities, telemetry, shutdown. Knows no election.
