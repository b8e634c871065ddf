//! What only a whole process can show: each test runs this binary again with one of the ignored tests below.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use runtime::shutdown::Shutdown;
use runtime::telemetry;

use crate::support::*;

/// Set in the processes that the tests start: whoever runs all ignored tests must not end in `fail_stop`.
pub(crate) const CHILD: &str = "CONCLAVE_TEST_CHILD";

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", name]).env(CHILD, "yes");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
}

#[test]
fn fail_stop_says_why_in_a_json_line_and_exits_70() {
    let output = child("process::stops").output().unwrap();
    assert_eq!(output.status.code(), Some(runtime::shutdown::FAIL_STOP_EXIT_CODE));
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert_eq!(lines[0]["message"], "fail stop");
    assert_eq!(lines[0]["reason"], "the journal of trustee-3 could not be synced");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn stops() {
    if !is_child() {
        return;
    }
    telemetry::init(true, "info").unwrap();
    tracing_is_not_started_twice();
    runtime::fail_stop(format_args!("the journal of {} could not be synced", "trustee-3"));
}

fn tracing_is_not_started_twice() {
    assert!(matches!(telemetry::init(true, "info"), Err(telemetry::TelemetryTrouble::AlreadyStarted)));
}

#[test]
fn fail_stop_is_heard_without_a_log() {
    let output = child("process::stops_without_a_log").output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "fail stop: no log yet\n");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn stops_without_a_log() {
    if !is_child() {
        return;
    }
    runtime::fail_stop("no log yet");
}

#[test]
fn a_panic_in_a_task_is_a_json_line() {
    let output = child("process::panics").output().unwrap();
    assert!(output.status.success());
    let lines = lines(&output);
    assert_eq!(lines[0]["panic"], "poison");
    assert!(lines[0]["place"].as_str().unwrap().contains("process.rs"), "{lines:?}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn panics() {
    if !is_child() {
        return;
    }
    telemetry::init(true, "info").unwrap();
    assert!(tokio::spawn(async { panic!("poison") }).await.is_err());
}

#[test]
fn sigterm_and_sigint_ask_for_shutdown() {
    for signal in ["-TERM", "-INT"] {
        let mut running = child("process::waits").spawn().unwrap();
        // The child says when its handlers are there; before that a signal would kill it.
        let mut said = BufReader::new(running.stdout.as_mut().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains(READY)), "{signal}");
        let pid = running.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = running.wait_with_output().unwrap();
        assert!(output.status.success(), "{signal}: {output:?}");
    }
}

const READY: &str = "ready for signals";

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn waits() {
    if !is_child() {
        return;
    }
    let shutdown = Shutdown::on_signals().unwrap();
    assert!(!shutdown.is_requested());
    println!("{READY}");
    let asked = tokio::time::timeout(Duration::from_secs(20), shutdown.clone().into_requested()).await;
    asked.unwrap();
    assert!(shutdown.is_requested());
}

#[test]
fn no_key_log_is_written_whatever_the_environment_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.log");
    let output = child("process::talks").env("SSLKEYLOGFILE", &path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert!(!path.exists());
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn talks() {
    if !is_child() {
        return;
    }
    let peer = identity();
    let server = TestServer::internal(&shard(&peer)).await;
    check(&server.connect(&peer).await).await.unwrap();
}
