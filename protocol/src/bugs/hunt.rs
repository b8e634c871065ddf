//! Runs named tests of this very program in processes that have a bug: there each has to fail, and without it to pass.

use std::{
    env,
    process::{Child, Command, Stdio},
    string::{String, ToString as _},
    thread,
    time::{Duration, Instant},
    vec::Vec,
};

/// A bug may keep a test from ending; that is found as well.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Did not end.
    Hung,
}

fn start(test: &str, bug: Option<&str>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored", "--test-threads", "1"]);
    command.env_remove("CONCLAVE_BUG").env("RUST_BACKTRACE", "0").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    // A finding is a finding: what proptest would write down about it belongs to no real defect.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    if let Some(bug) = bug {
        command.env("CONCLAVE_BUG", bug);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn finish(mut child: Child, test: &str) -> Outcome {
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return Outcome::Hung;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).to_string();
    assert!(said.contains("running 1 test\n"), "{test} is not a test of this program");
    if out.status.success() { Outcome::Passed } else { Outcome::Failed }
}

/// Each test fails under its bug and passes without, two at a time.
pub(crate) fn each_bug_fails_its_test(table: &[(&str, &str)]) {
    let mut tests: Vec<&str> = table.iter().map(|(_, test)| *test).collect();
    tests.sort_unstable();
    tests.dedup();
    let sound = tests.into_iter().map(|test| (None, test));
    let all: Vec<(Option<&str>, &str)> = sound.chain(table.iter().map(|(bug, test)| (Some(*bug), *test))).collect();
    let mut wrong = Vec::new();
    for pair in all.chunks(2) {
        let running: Vec<_> = pair.iter().map(|(bug, test)| (*bug, *test, start(test, *bug))).collect();
        for (bug, test, child) in running {
            let outcome = finish(child, test);
            let expected = bug.is_none() == (outcome == Outcome::Passed);
            if !expected {
                wrong.push((bug, test, outcome));
            }
        }
    }
    assert!(wrong.is_empty(), "not as the table says: {wrong:#?}");
}
