//! Voters' choices and keys from CSV files.
//!
//! Choices: `voter,style,<contest id>,...`; a cell names one option, several separated by `|`, or nothing for a blank; the
//! cells of contests that the style does not have stay empty. Keys: `voter,secret` with 32 bytes of hex.

use ed25519_dalek::SigningKey;
use protocol::{
    ids::{OptionIndex, StyleIndex},
    manifest::Manifest,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one file, at most.
const ROWS_MAX: usize = 5_000_000;

/// One voter's choices, in the order of the style's contests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// The voter's name in this file.
    pub voter: String,
    /// Ballot style.
    pub style: StyleIndex,
    /// Marks per contest of the style.
    pub marks: Vec<Vec<OptionIndex>>,
}

/// What is wrong with a file. Lines count from 1, the header being line 1.
#[derive(Debug, thiserror::Error)]
pub enum FileRefusal {
    /// Not CSV.
    #[error("not a CSV file: {0}")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("the header has no column {expected:?}; it has: {got}")]
    Column {
        /// Wanted.
        expected: String,
        /// There.
        got: String,
    },
    /// A column that no contest has.
    #[error("the header's column {got:?} is no contest of this election; they are: {expected}")]
    Contest {
        /// There are.
        expected: String,
        /// In the header.
        got: String,
    },
    /// An unknown style.
    #[error("line {line}: ballot style {got:?} is none of this election's")]
    Style {
        /// Where.
        line: u64,
        /// In the file.
        got: String,
    },
    /// An unknown option.
    #[error("line {line}: contest {contest} has no option {got:?}")]
    Option {
        /// Where.
        line: u64,
        /// Contest.
        contest: String,
        /// In the file.
        got: String,
    },
    /// A mark in a contest that the voter does not have.
    #[error("line {line}: this voter's ballot style has no contest {contest}")]
    NotTheirs {
        /// Where.
        line: u64,
        /// Contest.
        contest: String,
    },
    /// Not a key.
    #[error("line {line}: a key is 64 hex digits")]
    Key {
        /// Where.
        line: u64,
    },
    /// A voter twice.
    #[error("line {line}: voter {voter:?} occurs twice")]
    Twice {
        /// Where.
        line: u64,
        /// Who.
        voter: String,
    },
    /// Too long.
    #[error("the file has more than {max} rows")]
    TooLong {
        /// Bound.
        max: usize,
    },
}

/// Reads choices.
///
/// # Errors
/// [`FileRefusal`], naming the line.
pub fn read_choices(manifest: &Manifest, input: impl std::io::Read) -> Result<Vec<Choices>, FileRefusal> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        let got = || header.iter().collect::<Vec<_>>().join(", ");
        header.iter().position(|at| at == name).ok_or_else(|| FileRefusal::Column { expected: name.into(), got: got() })
    };
    let (voter_at, style_at) = (column("voter")?, column("style")?);
    let ids: Vec<&str> = manifest.contests.iter().map(|contest| contest.id.as_str()).collect();
    let mut columns = Vec::new();
    for (at, name) in header.iter().enumerate().filter(|(at, _)| *at != voter_at && *at != style_at) {
        let contest = ids.iter().position(|id| *id == name);
        let contest = contest.ok_or_else(|| FileRefusal::Contest { expected: ids.join(", "), got: name.into() })?;
        columns.push((at, contest));
    }
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        if out.len() >= ROWS_MAX {
            return Err(FileRefusal::TooLong { max: ROWS_MAX });
        }
        let voter = row.get(voter_at).unwrap_or_default();
        if !seen.insert(voter.to_owned()) {
            return Err(FileRefusal::Twice { line, voter: voter.to_owned() });
        }
        let style_id = row.get(style_at).unwrap_or_default();
        let style = manifest.style_named(style_id);
        let style = style.ok_or_else(|| FileRefusal::Style { line, got: style_id.into() })?;
        let contests = manifest.style(style).map(|style| style.contests.clone()).unwrap_or_default();
        let mut marks = vec![Vec::new(); contests.len()];
        for (at, contest) in &columns {
            let cell = row.get(*at).unwrap_or_default();
            let Some(entry) = manifest.contests.get(*contest) else { continue };
            let place = contests.iter().position(|index| usize::from(index.0) == *contest);
            for text in cell.split('|').map(str::trim).filter(|text| !text.is_empty()) {
                let Some(place) = place.and_then(|place| marks.get_mut(place)) else {
                    return Err(FileRefusal::NotTheirs { line, contest: entry.id.clone() });
                };
                let option = entry.option(text);
                place.push(option.ok_or_else(|| FileRefusal::Option {
                    line,
                    contest: entry.id.clone(),
                    got: text.into(),
                })?);
            }
        }
        out.push(Choices { voter: voter.to_owned(), style, marks });
    }
    Ok(out)
}

/// Reads keys.
///
/// # Errors
/// [`FileRefusal`], naming the line and never the key.
pub fn read_keys(input: impl std::io::Read) -> Result<BTreeMap<String, SigningKey>, FileRefusal> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        let got = || header.iter().collect::<Vec<_>>().join(", ");
        header.iter().position(|at| at == name).ok_or_else(|| FileRefusal::Column { expected: name.into(), got: got() })
    };
    let (voter_at, secret_at) = (column("voter")?, column("secret")?);
    let mut out = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        if out.len() >= ROWS_MAX {
            return Err(FileRefusal::TooLong { max: ROWS_MAX });
        }
        let mut secret = [0; 32];
        hex::decode_to_slice(row.get(secret_at).unwrap_or_default(), &mut secret)
            .map_err(|_| FileRefusal::Key { line })?;
        let voter = row.get(voter_at).unwrap_or_default().to_owned();
        if out.insert(voter.clone(), SigningKey::from_bytes(&secret)).is_some() {
            return Err(FileRefusal::Twice { line, voter });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
