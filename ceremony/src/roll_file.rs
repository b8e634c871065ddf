//! The voter roll as CSV, and the registrar's keys.
//!
//! Roll: `voter,style,weight,key`; `weight` may be left out (1), `style` too where the election has one style; `key` is the
//! voter's Ed25519 public key as 64 hex digits. The names in it stay with the registrar: the canonical roll has only keys.

use booth::choices::{self, FileRefusal};
use ed25519_dalek::SigningKey;
use protocol::{
    ids::{Credential, StyleIndex, Weight},
    roll::{Roll, RollEntry, RollRefusal},
};
use rand_core::{CryptoRng, RngCore};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Read,
};

/// Rows of one file, at most.
const ROWS_MAX: usize = 5_000_000;

/// Why a roll is refused. Lines count from 1, the header being line 1.
#[derive(Debug, thiserror::Error)]
pub enum RollFileRefusal {
    /// Not CSV.
    #[error("not a CSV file: {0}")]
    Csv(#[from] csv::Error),
    /// A column is missing.
    #[error("the header has no column {expected:?}; it has: {got}")]
    Column {
        /// Wanted.
        expected: &'static str,
        /// There.
        got: String,
    },
    /// A column that means nothing here.
    #[error("the header's column {got:?} is unknown; expected voter, style, weight, key")]
    UnknownColumn {
        /// There.
        got: String,
    },
    /// An unknown style.
    #[error("line {line}: ballot style {got:?} is none of this election's: {known}")]
    Style {
        /// Where.
        line: u64,
        /// In the file.
        got: String,
        /// There are.
        known: String,
    },
    /// Not a weight.
    #[error("line {line}: {got:?} is no weight; expected a whole number of at least 1")]
    Weight {
        /// Where.
        line: u64,
        /// In the file.
        got: String,
    },
    /// Not a key.
    #[error("line {line}: {got:?} is no public key; expected 64 hex digits of an Ed25519 key")]
    Key {
        /// Where.
        line: u64,
        /// In the file.
        got: String,
    },
    /// A voter or key twice.
    #[error("line {line}: {what} {got:?} occurs twice, first in line {first}")]
    Twice {
        /// Where.
        line: u64,
        /// Voter or key.
        what: &'static str,
        /// In the file.
        got: String,
        /// Where before.
        first: u64,
    },
    /// Nobody.
    #[error("the file has no voter")]
    Empty,
    /// Too long.
    #[error("the file has more than {max} rows")]
    TooLong {
        /// Bound.
        max: usize,
    },
    /// Together they are no roll.
    #[error(transparent)]
    Roll(#[from] RollRefusal),
    /// The keys that are there already.
    #[error("the keys that are there already: {0}")]
    Keys(#[from] FileRefusal),
}

struct Row {
    line: u64,
    voter: String,
    style: Option<String>,
    weight: u64,
    key: Option<String>,
}

fn rows(input: impl Read, keys: bool) -> Result<Vec<Row>, RollFileRefusal> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers()?.clone();
    if let Some(got) = header.iter().find(|name| !matches!(*name, "voter" | "style" | "weight" | "key")) {
        return Err(RollFileRefusal::UnknownColumn { got: got.to_owned() });
    }
    let at = |name: &str| header.iter().position(|column| column == name);
    let missing = |expected| RollFileRefusal::Column { expected, got: header.iter().collect::<Vec<_>>().join(", ") };
    let voter_at = at("voter").ok_or_else(|| missing("voter"))?;
    let key_at = if keys { Some(at("key").ok_or_else(|| missing("key"))?) } else { None };
    let (style_at, weight_at) = (at("style"), at("weight"));
    let mut seen = BTreeMap::new();
    let mut out = Vec::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        if out.len() >= ROWS_MAX {
            return Err(RollFileRefusal::TooLong { max: ROWS_MAX });
        }
        let voter = row.get(voter_at).unwrap_or_default().to_owned();
        if let Some(first) = seen.insert(voter.clone(), line) {
            return Err(RollFileRefusal::Twice { line, what: "voter", got: voter, first });
        }
        let weight = match weight_at.and_then(|at| row.get(at)) {
            None | Some("") => 1,
            Some(text) => match text.parse() {
                Ok(weight) if weight > 0 => weight,
                _ => return Err(RollFileRefusal::Weight { line, got: text.to_owned() }),
            },
        };
        let text = |at: Option<usize>| at.and_then(|at| row.get(at)).map(str::to_owned);
        out.push(Row { line, voter, style: text(style_at), weight, key: text(key_at) });
    }
    if out.is_empty() { Err(RollFileRefusal::Empty) } else { Ok(out) }
}

/// Reads a roll for an election with these ballot styles.
///
/// # Errors
/// [`RollFileRefusal`], naming the line.
pub fn read_roll(styles: &[String], input: impl Read) -> Result<Roll, RollFileRefusal> {
    let mut entries = Vec::new();
    let mut seen: BTreeMap<Credential, u64> = BTreeMap::new();
    for row in rows(input, true)? {
        let line = row.line;
        let style = match row.style.as_deref() {
            None | Some("") if styles.len() == 1 => Some(0),
            named => styles.iter().position(|style| Some(style.as_str()) == named),
        };
        let style = style.and_then(|at| u16::try_from(at).ok()).ok_or_else(|| RollFileRefusal::Style {
            line,
            got: row.style.unwrap_or_default(),
            known: styles.join(", "),
        })?;
        let got = row.key.unwrap_or_default();
        let mut key = [0; 32];
        let decoded = hex::decode_to_slice(&got, &mut key).is_ok();
        if !decoded || ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok_and(|key| key.is_weak()) {
            return Err(RollFileRefusal::Key { line, got });
        }
        if ed25519_dalek::VerifyingKey::from_bytes(&key).is_err() {
            return Err(RollFileRefusal::Key { line, got });
        }
        if let Some(first) = seen.insert(Credential(key), line) {
            return Err(RollFileRefusal::Twice { line, what: "key", got, first });
        }
        entries.push(RollEntry { credential: Credential(key), style: StyleIndex(style), weight: Weight(row.weight) });
    }
    Ok(Roll::new(entries, styles.len())?)
}

/// What a registrar hands out and keeps.
pub struct Registered {
    /// `voter,secret`: to the voters, and to nobody else.
    pub keys: zeroize::Zeroizing<String>,
    /// `voter,style,weight,key`: to the official.
    pub roll: String,
    /// Voters.
    pub voters: usize,
    /// Keys that are new.
    pub new: usize,
}

/// Makes a key for each voter of `voter,style,weight`; keys that are there already stay.
///
/// # Errors
/// [`RollFileRefusal`], naming the line.
pub fn register(
    voters: impl Read,
    existing: Option<&[u8]>,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Registered, RollFileRefusal> {
    let mut known = match existing {
        Some(bytes) => choices::read_keys(bytes)?,
        None => BTreeMap::new(),
    };
    let mut keys = zeroize::Zeroizing::new(String::from("voter,secret\n"));
    let mut roll = String::from("voter,style,weight,key\n");
    let mut new = 0;
    let rows = rows(voters, false)?;
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.voter.as_str()).collect();
    let gone: Vec<String> = known.keys().filter(|voter| !listed.contains(voter.as_str())).cloned().collect();
    for row in &rows {
        let key = known.remove(&row.voter).unwrap_or_else(|| {
            new += 1;
            let mut seed = zeroize::Zeroizing::new([0; 32]);
            rng.fill_bytes(seed.as_mut_slice());
            SigningKey::from_bytes(&seed)
        });
        let voter = quoted(&row.voter);
        let secret = zeroize::Zeroizing::new(hex::encode(key.as_bytes()));
        // Writing to a string does not fail.
        let _ = writeln!(keys, "{voter},{}", secret.as_str());
        let style = quoted(row.style.as_deref().unwrap_or_default());
        let _ = writeln!(roll, "{voter},{style},{},{}", row.weight, hex::encode(key.verifying_key().as_bytes()));
    }
    // Keys of voters who are no longer listed are kept: a key that was handed out is not thrown away by a typing error.
    for voter in gone {
        if let Some(key) = known.remove(&voter) {
            let secret = zeroize::Zeroizing::new(hex::encode(key.as_bytes()));
            let _ = writeln!(keys, "{},{}", quoted(&voter), secret.as_str());
        }
    }
    Ok(Registered { keys, roll, voters: rows.len(), new })
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::entropy::OsEntropy;

    fn styles() -> Vec<String> {
        vec!["north".into(), "south".into()]
    }

    fn key(seed: u8) -> String {
        hex::encode(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes())
    }

    fn refused(text: &str) -> RollFileRefusal {
        read_roll(&styles(), text.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_roll_is_read_and_what_is_left_out_has_its_default() {
        let text = format!("key,voter,style,weight\n{},a,south,3\n{},b,north,\n", key(1), key(2));
        let roll = read_roll(&styles(), text.as_bytes()).unwrap();
        assert_eq!((roll.commitment().voters, roll.commitment().weight_total), (2, 4));
        let (_, entry) = roll.find(&Credential(SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes())).unwrap();
        assert_eq!((entry.style, entry.weight), (StyleIndex(1), Weight(3)));
        let one = read_roll(&styles()[..1], format!("voter,key\na,{}\n", key(1)).as_bytes()).unwrap();
        assert_eq!(one.entries().len(), 1);
    }

    #[test]
    fn every_bad_roll_is_refused_with_its_line() {
        let row = |text: &str| format!("voter,style,weight,key\nx,north,1,{}\n{text}\n", key(9));
        assert!(matches!(refused("voter,style\na,north\n"), RollFileRefusal::Column { expected: "key", .. }));
        assert!(matches!(refused("voter,key,age\n"), RollFileRefusal::UnknownColumn { .. }));
        assert!(matches!(refused("voter,style,key\n"), RollFileRefusal::Empty));
        assert!(matches!(refused(&row(&format!("a,west,1,{}", key(1)))), RollFileRefusal::Style { line: 3, .. }));
        assert!(matches!(refused(&row(&format!("a,,1,{}", key(1)))), RollFileRefusal::Style { line: 3, .. }));
        assert!(matches!(refused(&row(&format!("a,north,0,{}", key(1)))), RollFileRefusal::Weight { line: 3, .. }));
        assert!(matches!(refused(&row(&format!("a,north,-1,{}", key(1)))), RollFileRefusal::Weight { line: 3, .. }));
        assert!(matches!(refused(&row("a,north,1,xyz")), RollFileRefusal::Key { line: 3, .. }));
        let small_order = format!("a,north,1,01{}", "00".repeat(31));
        assert!(matches!(refused(&row(&small_order)), RollFileRefusal::Key { line: 3, .. }));
        let again = refused(&row(&format!("x,north,1,{}", key(1))));
        assert!(matches!(again, RollFileRefusal::Twice { line: 3, what: "voter", first: 2, .. }), "{again}");
        let again = refused(&row(&format!("a,north,1,{}", key(9))));
        assert!(matches!(again, RollFileRefusal::Twice { line: 3, what: "key", first: 2, .. }), "{again}");
        assert!(matches!(refused(&row("a,north")), RollFileRefusal::Csv(_)));
    }

    #[test]
    fn a_registrar_keeps_the_keys_that_were_handed_out() {
        let first = register("voter,style\na,north\n\"b, c\",south\n".as_bytes(), None, &mut OsEntropy).unwrap();
        assert_eq!((first.voters, first.new), (2, 2));
        let voters = "voter,style\nd,north\na,north\n";
        let second = register(voters.as_bytes(), Some(first.keys.as_bytes()), &mut OsEntropy).unwrap();
        assert_eq!((second.voters, second.new), (2, 1));
        let (before, after) =
            (choices::read_keys(first.keys.as_bytes()).unwrap(), choices::read_keys(second.keys.as_bytes()).unwrap());
        assert_eq!(before["a"].as_bytes(), after["a"].as_bytes());
        assert_eq!(before["b, c"].as_bytes(), after["b, c"].as_bytes());
        assert_eq!(read_roll(&styles(), second.roll.as_bytes()).unwrap().entries().len(), 2);
    }
}
