//! What a person sees while a command runs: lines and bars on the standard error, results on the standard output.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, Write as _},
    time::Duration,
};

/// Where progress goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tell {
    /// Results as JSON.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
}

impl Tell {
    /// A line of progress.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// An object for programs, on the standard output.
    pub fn object(&self, object: &serde_json::Value) {
        let _ = writeln!(io::stdout(), "{object}");
    }

    /// A bar for what may take longer than a second. Hidden where nobody looks at a terminal.
    #[must_use]
    pub fn bar(&self, what: &'static str, total: u64) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {per_sec} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }

    /// A spinner for waiting.
    #[must_use]
    pub fn spinner(&self) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
