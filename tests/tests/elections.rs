//! Whole elections: real processes, a real ledger, kill -9, a stranger's audit. What `ceremony demo` does, and what it leaves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Our programs: `cargo build --workspace` puts them where the tests are.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.is_file(), "{} is missing: cargo build --workspace", path.display());
    path
}

fn ledger() -> String {
    std::env::var("CONCLAVE_LEDGER_BIN").expect("CONCLAVE_LEDGER_BIN=$(scripts/devnet/ledger.sh --build)")
}

/// A new, empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("ceremony"));
    command.args(["demo", "--json", "--ledger", &ledger()]).args(arguments);
    command
}

/// Runs a demo that has to succeed; gives its object.
fn successful(arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = demo(arguments).output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{arguments:?}: {status}\n{out}\n{err}");
    let object: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(object["ok"], true);
    object
}

fn audit(record: &Path) -> (Option<i32>, Value) {
    let output = Command::new(program("audit")).args(["verify", "--json"]).arg(record).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(text.lines().last().unwrap_or_default());
    (output.status.code(), report.unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr))))
}

/// One small demo with kills, which several tests look at.
fn kept() -> &'static (PathBuf, Value) {
    static KEPT: OnceLock<(PathBuf, Value)> = OnceLock::new();
    KEPT.get_or_init(|| {
        let path = folder("elections-kept");
        let object = successful(&["--limit", "40", "--keep", &path.display().to_string()]);
        (path, object)
    })
}

fn record() -> PathBuf {
    kept().0.join("records/minneapolis")
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn two_elections_survive_kills_and_come_out_as_they_were_voted() {
    let (folder, object) = kept();
    let elections = object["elections"].as_array().unwrap();
    assert_eq!(elections.len(), 2);
    for election in elections {
        assert_eq!((&election["cast"], &election["counted"]), (&Value::from(40), &Value::from(40)), "{election}");
        assert_eq!(election["rejected"], 0);
        assert_eq!(election["election_id"].as_str().unwrap().len(), 64);
        assert_eq!(election["key_certificate"].as_str().unwrap().len(), 64);
        assert_eq!(election["vote_set"]["size"], 40);
        assert_eq!(election["vote_set"]["root"].as_str().unwrap().len(), 64);
        assert_eq!(election["audit"]["verdict"], "valid");
        assert!(election["audit"]["checks"].as_array().unwrap().len() >= 15);
        let anchors = election["anchors"].as_array().unwrap();
        assert_eq!(anchors.iter().map(|anchor| &anchor["kind"]).collect::<Vec<_>>(), ["key", "vote-set", "result"]);
        for anchor in anchors {
            assert_eq!(anchor["finalized"], true);
            assert!(anchor["slot"].as_u64().unwrap() > 0 && anchor["signature"].as_str().unwrap().len() > 80);
        }
        for contest in election["contests"].as_array().unwrap() {
            assert_eq!(contest["totals"], contest["input"]["totals"], "{contest}");
        }
        assert_eq!(election["receipts_proven"], 40);
    }
    let styles = elections[0]["contests"].as_array().unwrap();
    assert_eq!(styles.iter().map(|contest| &contest["id"]).collect::<Vec<_>>(), ["ward-5", "ward-9", "ward-13"]);
    for stage in ["key_ceremony", "cast", "tally", "anchor", "audit", "first_cast_to_verdict", "total"] {
        assert!(object["seconds"][stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    let memory = object["memory_peak_bytes"].as_object().unwrap();
    assert_eq!(memory.len(), 6, "{memory:?}");
    for (process, bytes) in memory {
        let bound = if process.starts_with("trustee") { 150 } else { 300 };
        assert!(bytes.as_u64().unwrap() < bound * 1_000_000, "{process}: {bytes} bytes");
    }

    for name in ["minneapolis", "utah"] {
        let (code, report) = audit(&folder.join("records").join(name));
        assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("valid")), "{name}, offline: {report}");
    }
}

type Bend = fn(&Path);

/// One byte of a file, somewhere in the middle, becomes another.
fn flip(record: &Path, file: &str) {
    let path = record.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The entries of a file of `u32`-prefixed entries, after its first line.
fn entries(path: &Path) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = fs::read(path).unwrap();
    let magic = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (magic, mut rest) = bytes.split_at(magic);
    let mut entries = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (entry, after) = more.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = after;
    }
    (magic.to_vec(), entries)
}

fn rewrite(record: &Path, file: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = record.join(file);
    let (mut bytes, mut all) = entries(&path);
    change(&mut all);
    for entry in all {
        bytes.extend(u32::try_from(entry.len()).unwrap().to_be_bytes());
        bytes.extend(entry);
    }
    fs::write(path, bytes).unwrap();
}

fn summary(record: &Path, change: impl FnOnce(&mut Value)) {
    let path = record.join("summary.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let before = value.clone();
    change(&mut value);
    assert_ne!(value, before);
    fs::write(path, serde_json::to_string_pretty(&value).unwrap() + "\n").unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn a_record_changed_in_any_of_these_ways_is_refused() {
    let ways: [(&str, Bend); 14] = [
        ("a bit of the manifest", |r| flip(r, "manifest.bin")),
        ("a bit of the roll", |r| flip(r, "roll.bin")),
        ("a bit of the board", |r| flip(r, "board.bin")),
        ("a bit of a ballot", |r| flip(r, "lanes/0.log")),
        ("a bit of the checkpoint", |r| flip(r, "lanes/0.checkpoint")),
        ("the last envelope left out", |r| rewrite(r, "board.bin", |all| drop(all.pop()))),
        ("the first envelope left out", |r| rewrite(r, "board.bin", |all| drop(all.remove(0)))),
        ("two envelopes exchanged", |r| rewrite(r, "board.bin", |all| all.swap(3, 4))),
        ("a ballot left out", |r| rewrite(r, "lanes/0.log", |all| drop(all.pop()))),
        ("two ballots exchanged", |r| rewrite(r, "lanes/0.log", |all| all.swap(0, 1))),
        ("a ballot twice", |r| rewrite(r, "lanes/0.log", |all| all.push(all[0].clone()))),
        ("another total in the summary", |r| summary(r, |s| s["counted"] = 41.into())),
        ("another anchor in the summary", |r| summary(r, |s| s["anchors"][0]["slot"] = 1.into())),
        ("a file that does not belong", |r| fs::write(r.join("note.txt"), "trust me").unwrap()),
    ];
    let whole = record();
    assert_eq!(audit(&whole).0, Some(0), "the record as it was");
    for (way, bend) in ways {
        let bent = folder("elections-bent");
        copy(&whole, &bent);
        bend(&bent);
        let (code, report) = audit(&bent);
        assert_eq!((code, &report["verdict"]), (Some(1), &Value::from("invalid")), "{way}: {report}");
        assert!(report["failure"]["check"].as_u64().is_some(), "{way}: {report}");
    }
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn the_record_of_one_election_does_not_vouch_for_another() {
    let bent = folder("elections-crossed");
    copy(&record(), &bent);
    fs::copy(kept().0.join("records/utah/board.bin"), bent.join("board.bin")).unwrap();
    assert_eq!(audit(&bent).0, Some(1));
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn trustees_may_keep_their_keys_in_tokens() {
    let object = successful(&["--limit", "12", "--hsm", "softhsm"]);
    assert_eq!(object["elections"][1]["counted"], 12);
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn five_of_seven_trustees_open_and_sign() {
    let object = successful(&["--limit", "12", "--trustees", "7", "--threshold", "5", "--calm"]);
    assert_eq!(object["trustees"], 7);
    let seconds = object["seconds"]["key_ceremony"].as_f64().unwrap();
    assert!(seconds < 60.0, "two key ceremonies 5 of 7 took {seconds} s");
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn ones_own_ballots_make_ones_own_election() {
    let folder = folder("elections-own");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("club.csv");
    fs::write(&path, "chair,board members,count\nAda,Ada|Emmy,3\n,Emmy,2\nEmmy,,1\n").unwrap();
    let object = successful(&["--ballots", &path.display().to_string(), "--calm"]);
    let contests = &object["elections"][0]["contests"];
    assert_eq!(contests[0]["totals"], serde_json::json!({ "Ada": 3, "Emmy": 1 }));
    assert_eq!(contests[0]["blank"], 2);
    assert_eq!(contests[1]["totals"], serde_json::json!({ "Ada": 3, "Emmy": 5 }));
}

/// Processes whose command line has this text.
fn processes_of(text: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

fn wait(child: &mut Child, within: Duration) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < within {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("still running after {within:?}");
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn an_interrupted_demo_leaves_no_process_behind() {
    let folder = folder("elections-interrupted");
    let path = folder.display().to_string();
    let mut child =
        demo(&["--limit", "40", "--keep", &path]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    // All daemons have begun once the last one has a log.
    while !folder.join("logs/trustee-4.log").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(20));
    }
    assert!(processes_of(&path).len() >= 7, "{:?}", processes_of(&path));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(wait(&mut child, Duration::from_secs(20)), Some(130));
    assert_eq!(processes_of(&path), Vec::<String>::new());
}

#[test]
#[ignore = "needs the ledger: scripts/test.sh runs it"]
fn what_cannot_be_is_refused_before_anything_starts() {
    let folder = folder("elections-refused");
    fs::create_dir_all(&folder).unwrap();
    let bad = folder.join("bad.csv");
    fs::write(&bad, "chair,count\nAda,many\n").unwrap();
    let (folder, bad) = (folder.display().to_string(), bad.display().to_string());
    for (arguments, says) in [
        (["--ballots", "no-such-file.csv"], "no-such-file.csv"),
        (["--ballots", &bad], "line 2"),
        (["--keep", &folder], "not empty"),
        (["--threshold", "9"], "at most the number of trustees"),
    ] {
        let output = demo(&arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
        let object = String::from_utf8(output.stdout).unwrap();
        let object: Value = serde_json::from_str(object.lines().last().unwrap()).unwrap();
        assert_eq!(object["ok"], false);
    }
}
