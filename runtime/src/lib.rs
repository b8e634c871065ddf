//! What it is to be a process: mTLS, identities, telemetry, shutdown, fail-stop. Knows no election.
//!
//! A daemon is put together like this:
//!
//! 1. [`telemetry::init`], [`shutdown::Shutdown::on_signals`];
//! 2. a key behind [`key::RemoteSigner`] (a token, or a [`key::FileKey`]) and its certificate make a [`tls::Identity`];
//! 3. [`tls::Peers`] says whose keys are whose: pins, not names in messages;
//! 4. [`serve::Listener`] accepts, [`authorise::Authorise`] decides by method and role, [`limits::Limits`] bound it all;
//! 5. [`selftest::requires_client_certificate`] tries the door before anything is said to be ready;
//! 6. [`connect::connect`] reaches the others.
//!
//! TLS 1.3 only, no session tickets, no resumption, no early data, no key log: `SSLKEYLOGFILE` has no effect.

pub mod authorise;
pub mod backoff;
pub mod clock;
pub mod connect;
pub mod detached;
pub mod entropy;
pub mod files;
pub mod key;
pub mod limits;
pub mod metrics;
pub mod pin;
pub mod pki;
pub mod secrecy;
pub mod selftest;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod version;

pub use serve::{Caller, caller};
pub use shutdown::{Shutdown, fail_stop};
