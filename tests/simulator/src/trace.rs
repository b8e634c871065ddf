//! The run as a list of events: hashed always, kept as text only when somebody is going to read it.

use sha2::{Digest as _, Sha256};
use std::{collections::VecDeque, fmt};

/// Lines kept.
const LINES_MAX: usize = 4000;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Trace {
    hash: Sha256,
    events: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// `keep`: also as text.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self { hash: Sha256::new(), events: 0, lines: keep.then(VecDeque::new) }
    }

    /// One event: when, what, and numbers that tell it from others of its kind.
    pub fn event(&mut self, now: u64, kind: u8, numbers: [u64; 4]) {
        let mut bytes = [0u8; 41];
        let words = [now, numbers[0], numbers[1], numbers[2], numbers[3]];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes[40] = kind;
        self.hash.update(bytes);
        self.events += 1;
    }

    /// Bytes that the run depends on.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// A line for people; not made if nobody reads it.
    pub fn line(&mut self, now: u64, text: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{now:>8} {text}"));
        }
    }

    /// Whether lines are kept.
    #[must_use]
    pub fn keeps_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash over all events.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<String> {
        let Some(lines) = &self.lines else { return Vec::new() };
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// Writes a line into a run's trace.
#[macro_export]
macro_rules! note {
    ($ground:expr, $($arg:tt)*) => {
        if $ground.trace.keeps_lines() {
            let now = $ground.now;
            $ground.trace.line(now, format_args!($($arg)*));
        }
    };
}
