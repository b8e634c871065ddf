//! The law of the house, each rule a test of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

const ROOMS: [&str; 14] = [
    "protocol",
    "proto",
    "runtime",
    "coordinator",
    "trustee",
    "ceremony",
    "solana-anchor",
    "audit",
    "booth",
    "tests",
    "simulator",
    "decoders",
    "models",
    "benches",
];

/// What git tracks or would track, with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut files: Vec<PathBuf> = listed
        .lines()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .map(|path| root().join(path))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Direct normal dependencies of each room.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        let normal =
            package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
        all.insert(name, normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect());
    }
    all
}

#[test]
fn rooms_touch_only_what_the_table_allows() {
    let ours: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", &[][..]),
        ("proto", &["protocol"]),
        ("audit", &[]),
        ("solana-anchor", &[]),
        ("runtime", &[]),
        ("booth", &["protocol", "proto", "runtime"]),
        ("ceremony", &["protocol", "proto", "runtime", "booth"]),
        ("trustee", &["protocol", "proto", "runtime", "solana-anchor"]),
        ("coordinator", &["protocol", "proto", "runtime", "solana-anchor"]),
        ("tests", &ROOMS),
        ("simulator", &["protocol"]),
        ("decoders", &["protocol", "solana-anchor", "audit"]),
        ("models", &[]),
        ("benches", &ROOMS),
    ]);
    let never: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", &["tokio", "actix", "tonic", "prost", "sqlx", "tracing", "rand", "getrandom"][..]),
        ("runtime", &["actix", "sqlx"]),
        ("booth", &["actix", "sqlx", "curve25519-dalek"]),
        ("ceremony", &["actix", "sqlx", "curve25519-dalek"]),
        ("trustee", &["actix", "curve25519-dalek"]),
        ("coordinator", &["curve25519-dalek"]),
        ("audit", &["tokio", "tonic", "prost", "frost-core", "frost-ed25519", "frost-ristretto255"]),
    ]);
    let all = dependencies();
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(ROOMS));
    for (room, dependencies) in &all {
        for dependency in dependencies {
            if ROOMS.contains(&dependency.as_str()) {
                assert!(ours[room.as_str()].contains(&dependency.as_str()), "{room} may not use {dependency}");
            }
            let solana = dependency.starts_with("solana-") || dependency.starts_with("spl-");
            let may_solana = room == "solana-anchor" || dependency == "solana-anchor";
            assert!(!solana || may_solana, "{room} may not use {dependency}: only solana-anchor knows Solana");
            let banned = never.get(room.as_str()).is_some_and(|never| never.contains(&dependency.as_str()));
            assert!(!banned, "{room} may never use {dependency}");
        }
    }
}

#[test]
fn one_curve25519_dalek() {
    let lock = read(&root().join("Cargo.lock"));
    let versions: BTreeSet<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"curve25519-dalek\"\n"))
        .filter_map(|package| package.lines().find(|line| line.starts_with("version")))
        .collect();
    assert!(versions.contains("version = \"4.1.3\""), "{versions:?}");
    let direct = dependencies();
    for room in ["coordinator", "trustee", "booth", "ceremony", "runtime", "proto"] {
        assert!(!direct[room].contains("curve25519-dalek"), "{room} reaches past protocol::group");
    }
}

#[test]
fn every_crate_inherits_lints() {
    for room in ROOMS {
        // The proving ground has rooms of its own.
        let folder = [root().join(room), root().join("tests").join(room)].into_iter().find(|folder| folder.is_dir());
        let manifest = read(&folder.unwrap().join("Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room}/Cargo.toml");
    }
}

#[test]
fn files_fit() {
    for path in files(&[".rs"]) {
        let text = read(&path);
        let name = shown(&path);
        let bound = if name.contains("tests") { 1500 } else { 1000 };
        let lines = text.lines().count();
        assert!(lines <= bound, "{name} has {lines} lines, at most {bound} fit");
        assert!(!name.ends_with("/mod.rs"), "{name}: foo.rs and foo/, never mod.rs");
    }
}

#[test]
fn no_leftovers() {
    let marks = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", concat!("X", "XX")];
    for path in files(&[".rs", ".sh", ".proto"]) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        let text = read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{} has {mark}", shown(&path));
        }
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let machine = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("shared", "/design")];
    for path in files(&[".rs", ".sh", ".md", ".toml", ".proto", ".yml"]) {
        let text = read(&path);
        for place in machine {
            assert!(!text.contains(place), "{} names {place}", shown(&path));
        }
    }
}

fn labels(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let mut out = BTreeSet::new();
    for (at, _) in text.match_indices("P-") {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            continue;
        }
        let rest = &text[at + 2..];
        let stage: String = rest.chars().take(3).collect();
        if stage.len() != 3 || !stage.chars().all(|c| c.is_ascii_uppercase()) {
            continue;
        }
        let tail = &rest[3..];
        let mut label = format!("P-{stage}");
        if let Some(number) = tail.strip_prefix('-') {
            let number: String = number.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let number = number.trim_end_matches('.');
            if !number.is_empty() {
                label = format!("{label}-{number}");
            }
        }
        out.insert(label);
    }
    out
}

#[test]
fn spec_labels_agree() {
    let spec = labels(&read(&root().join("docs/protocol.md")));
    assert!(spec.len() > 60, "the label scanner sees {} labels", spec.len());
    let mut cited = BTreeSet::new();
    for path in files(&[".rs"]) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for label in labels(&read(&path)) {
            assert!(spec.contains(&label), "{} cites {label}, which docs/protocol.md does not have", shown(&path));
            cited.insert(label);
        }
    }
    let stages: BTreeSet<String> = spec.iter().map(|label| label.chars().take(5).collect()).collect();
    let cited: BTreeSet<String> = cited.iter().map(|label| label.chars().take(5).collect()).collect();
    let silent: Vec<_> = stages.difference(&cited).collect();
    assert!(silent.is_empty(), "no code cites {silent:?}");
}

#[test]
fn invariants_are_held_and_tried() {
    let table = read(&root().join("INVARIANTS.md"));
    let sources: String = files(&[".rs"]).iter().map(|path| read(path)).collect();
    let mut ids = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| I") || line.starts_with("| V")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "id, sentence, held by, watched by, tried by: {row}");
        ids.insert(cells[0].to_owned());
        for name in cells[4].split(',').map(|name| name.trim().trim_matches('`')) {
            let open = name.is_empty() || name == "-" || name.starts_with("not yet");
            assert!(open || sources.contains(&format!("fn {name}(")), "{}: there is no test {name}", cells[0]);
        }
    }
    let safety = (1..=22).map(|at| format!("I{at:02}"));
    let liveness = (1..=8).map(|at| format!("V{at:02}"));
    for id in safety.chain(liveness) {
        assert!(ids.contains(&id), "INVARIANTS.md has no row {id}");
    }
}

#[test]
fn actors_keep_to_the_rules() {
    for path in files(&[".rs"]) {
        let name = shown(&path);
        if !name.starts_with("coordinator/src") {
            continue;
        }
        let text = read(&path);
        for banned in [".do_send(", "SyncArbiter", "SystemService", "Supervisor", "ResponseActFuture"] {
            assert!(!text.contains(banned), "{name} uses {banned}");
        }
    }
}

#[test]
fn bundled_data_names_its_source_and_licence() {
    for path in files(&["SOURCES.md"]) {
        let text = read(&path).to_lowercase();
        let licence = ["licence", "license", "mit", "apache", "unlicense", "cc", "bsd", "ietf"];
        assert!(licence.iter().any(|word| text.contains(word)), "{} names no licence", shown(&path));
    }
}
