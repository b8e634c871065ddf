//! The wall clock. Nothing else in the workspace asks the operating system for the time: rules get it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, or 0 for a clock that stands before it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    now_ms() / 1000
}
