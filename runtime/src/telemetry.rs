//! What a process says about itself, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Why logging could not be started.
#[derive(Debug, Error)]
pub enum TelemetryTrouble {
    /// The filter cannot be read.
    #[error("the log level {got:?} cannot be read; write a level such as `info`, or `info,h2=warn`")]
    Level {
        /// What was asked for.
        got: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was started before, in this process.
    #[error("logging is started twice; call telemetry::init once, in main")]
    AlreadyStarted,
}

/// Starts logging to standard error: for people, or one JSON object per line.
///
/// `level` is a filter such as `info` or `info,coordinator=debug`; no environment variable changes it. Panics are
/// logged in the same form, so that a panic inside a task leaves a line where the operator looks.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn init(json: bool, level: &str) -> Result<(), TelemetryTrouble> {
    let filter =
        EnvFilter::try_new(level).map_err(|source| TelemetryTrouble::Level { got: level.to_owned(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!json && std::io::stderr().is_terminal());
    let started = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    started.map_err(|_| TelemetryTrouble::AlreadyStarted)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(place, panic = message, backtrace, "panic: this is a defect, please report it");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_level_is_refused() {
        let trouble = init(false, "conclave=loud").unwrap_err();
        assert!(matches!(trouble, TelemetryTrouble::Level { .. }));
    }
}
