//! The end of a process: asked for, or forced.

use std::fmt::Display;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of [`fail_stop`] (`EX_SOFTWARE` of sysexits.h).
pub const FAIL_STOP_EXIT_CODE: i32 = 70;

/// A request to stop, shared by everything that has to hear it. Once made it cannot be taken back.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A request that has not been made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that SIGTERM or SIGINT makes. Call it inside a runtime, once per process.
    ///
    /// # Errors
    /// When the operating system refuses the signal handlers.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let request = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = request.requested() => return,
            };
            tracing::info!(signal = name, "shutdown requested");
            request.request();
        });
        Ok(shutdown)
    }

    /// Asks everybody to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when somebody asked; at once if that was before.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The same as [`Self::requested`], owned: for tonic's `serve_with_incoming_shutdown`.
    pub async fn into_requested(self) {
        self.token.cancelled_owned().await;
    }
}

/// Logs why and ends the process at once, without running destructors.
///
/// For what must not be continued past: a promise that could not be made durable, no entropy, a broken invariant. A
/// restart folds the durable state again; going on would act on a state that exists nowhere else.
pub fn fail_stop(reason: impl Display) -> ! {
    tracing::error!(%reason, "fail stop");
    // The log may have no subscriber, and a process that vanishes without a word is no use to its operator.
    if !tracing::event_enabled!(tracing::Level::ERROR) {
        eprintln!("fail stop: {reason}");
    }
    std::process::exit(FAIL_STOP_EXIT_CODE)
}
