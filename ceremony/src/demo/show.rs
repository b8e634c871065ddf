//! What the demo prints while it runs: stages with their times, and tables.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

/// Prints what happens, and keeps how long each stage took.
#[derive(Debug)]
pub(super) struct Show {
    begun: Instant,
    stage: Option<(&'static str, Instant)>,
    seconds: Vec<(&'static str, f64)>,
}

impl Show {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), stage: None, seconds: Vec::new() }
    }

    /// A stage begins; the one before it ends.
    pub(super) fn stage(&mut self, name: &'static str, what: &str) {
        self.end_stage();
        self.stage = Some((name, Instant::now()));
        say(&format!("\n{} {what}", self.clock()));
    }

    /// The stage ends here; what follows belongs to none.
    pub(super) fn end_stage(&mut self) {
        if let Some((name, begun)) = self.stage.take() {
            self.seconds.push((name, begun.elapsed().as_secs_f64()));
        }
    }

    /// A line of the stage.
    pub(super) fn line(&self, text: &str) {
        say(&format!("{}   {text}", self.clock()));
    }

    /// A time that overlaps the stages, such as from the first cast to the verdict.
    pub(super) fn also(&mut self, name: &'static str, seconds: f64) {
        self.seconds.push((name, seconds));
    }

    /// Names and seconds, in order.
    pub(super) fn seconds(&self) -> &[(&'static str, f64)] {
        &self.seconds
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn clock(&self) -> String {
        format!("[{:6.1} s]", self.begun.elapsed().as_secs_f64())
    }
}

/// A line to the standard output. Nobody listening any more (a closed pipe) is no reason to stop an election.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// A line across.
pub(super) fn rule() {
    say(&format!("\n{}\n", "=".repeat(72)));
}

/// A table: the first column to the left, the others to the right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell_width = |row: &[String], at: usize| row.get(at).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(at, name)| rows.iter().map(|row| cell_width(row, at)).fold(name.chars().count(), usize::max))
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        format!("  {}", padded.collect::<Vec<_>>().join("   ")).trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.push(format!("  {}", "-".repeat(widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1))));
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// `12345` as `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["Ada".into(), "12".into()], vec!["Emmy Noether".into(), "3".into()]];
        let text = table(&["option", "votes"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "  Ada               12");
        assert_eq!(lines[3], "  Emmy Noether       3");
    }

    #[test]
    fn a_stage_ends_where_the_next_begins() {
        let mut show = Show::new();
        show.stage("one", "first");
        show.stage("two", "second");
        show.end_stage();
        assert_eq!(show.seconds().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["one", "two"]);
    }
}
