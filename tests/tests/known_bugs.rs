//! The table of known bugs in `docs/testing.md` is the list of the code, and names the tests that are run under each.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::{collections::BTreeMap, fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Everything between quotation marks in a line, in order.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// Name to (what, precedent), as in the code.
fn listed() -> BTreeMap<String, (String, String)> {
    let code = read("protocol/src/bugs.rs");
    let list = code.split_once("\nbugs! {\n").unwrap().1.split_once("\n}\n").unwrap().0.replace(",\n        ", ", ");
    let mut bugs = BTreeMap::new();
    for entry in list.split(";\n").map(str::trim).filter(|entry| entry.contains(" = ")) {
        let name = entry.trim_end_matches(';').split_once(" = ").unwrap().0.trim();
        let words = quoted(entry);
        let [what, precedent] = words[..] else { panic!("{entry}") };
        bugs.insert(name.to_owned(), (what.to_owned(), precedent.to_owned()));
    }
    bugs
}

/// Bug to test, from the tables that are run.
fn found_by() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in ["protocol/src/bugs/tests.rs", "protocol/tests/election/bugs.rs"] {
        let code = read(path);
        let table = code.split_once("FOUND_BY").unwrap().1.split_once("\n];").unwrap().0;
        for pair in quoted(table).chunks(2) {
            let [bug, test] = pair else { panic!("{path}: {pair:?}") };
            assert!(found.insert((*bug).to_owned(), (*test).to_owned()).is_none(), "{bug} twice");
        }
    }
    found
}

#[test]
fn every_known_bug_has_a_test_that_finds_it() {
    let (listed, found) = (listed(), found_by());
    assert!(listed.len() >= 35);
    let missing: Vec<&String> = listed.keys().filter(|bug| !found.contains_key(*bug)).collect();
    assert!(missing.is_empty(), "nothing finds {missing:?}");
    assert_eq!(found.len(), listed.len());
}

#[test]
fn the_table_of_known_bugs_is_what_is_run() {
    let (listed, found) = (listed(), found_by());
    let page = read("docs/testing.md");
    let page = page.split_once("\n## Known bugs\n").unwrap().1.split("\n## ").next().unwrap();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [bug, precedent, test, simulator] = cells[..] else { panic!("{line}") };
        let bug = bug.trim_matches('`');
        assert_eq!(precedent, listed.get(bug).unwrap_or_else(|| panic!("{bug} is not in the code")).1, "{bug}");
        assert_eq!(test.trim_matches('`'), found[bug], "{bug}");
        assert!(["not seen", "not hunted"].contains(&simulator) || simulator.contains(" after "), "{bug}: {simulator}");
        rows += 1;
    }
    assert_eq!(rows, listed.len(), "rows of docs/testing.md");
}
