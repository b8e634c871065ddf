//! The binary itself: killed, restarted, misconfigured, asked by its operator.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use protocol::board::Stage;

use crate::support::{Keeper, World};

/// A daemon that dies with the test.
struct Process(Child);

impl Process {
    fn start(keeper: &Keeper) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_trustee")), keeper)
    }

    /// One that cannot make a file longer than this; the system call fails, as on a full disk.
    fn start_on_full_disk(keeper: &Keeper, kib: u32) -> Self {
        let mut command = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_trustee")]);
        Self::spawn(command, keeper)
    }

    fn spawn(mut command: Command, keeper: &Keeper) -> Self {
        let mut child = command
            .args(["--json", "run", "--config"])
            .arg(keeper.folder.join("trustee.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"ready\":true"), "{line:?}");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn trustee(folder: &Path, arguments: &[&str]) -> Output {
    let config = folder.join("trustee.toml");
    Command::new(env!("CARGO_BIN_EXE_trustee")).arg("--config").arg(config).args(arguments).output().unwrap()
}

/// Exit code and everything that was printed.
fn outcome(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_trustee_says_again_exactly_what_it_said() {
    let mut world = World::new();
    world.keepers[1].start().await;
    let mut process = Process::start(&world.keepers[0]);
    for at in 0..2 {
        world.exchange(at).await.unwrap();
    }
    world.accept_all();
    let mut known: Vec<Vec<u8>> = Vec::new();
    for step in 0..200 {
        if world.board.stage() == Stage::Ready {
            break;
        }
        // Every fourth step, so that a joint signature fits between two deaths.
        if step % 4 == 3 {
            process.kill();
            process = Process::start(&world.keepers[0]);
            world.forget_client(0);
            world.next[0] = 0;
            let journal = world.whole_journal(0).await;
            assert!(journal.starts_with(&known), "the journal lost or changed something at step {step}");
            known = journal;
        }
        for _ in 0..3 {
            for at in 0..2 {
                world.exchange(at).await.unwrap();
            }
            world.chair_acts();
        }
        assert!(step < 199, "stuck at {}: {:?}", world.board.stage().name(), world.waiting);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(world.board.evidence().is_empty(), "{:?}", world.board.evidence());
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_commands_work_beside_a_running_daemon_and_say_so_without_one() {
    let mut world = World::new();
    let folder = world.keepers[0].folder.clone();
    let id = world.id().to_string();
    assert_eq!(outcome(&trustee(&folder, &["elections"])), (0, "No elections yet.\n".to_owned()));
    let (code, text) = outcome(&trustee(&folder, &["show", &id]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no election begins with"), "{text}");

    let process = Process::start(&world.keepers[0]);
    world.exchange(0).await.unwrap();
    let (code, text) = outcome(&trustee(&folder, &["show", &id[..8]]));
    assert_eq!(code, 0, "{text}");
    for shown in ["Which river?", "Oder", "<- THIS TRUSTEE", &id, "2 shares decrypt"] {
        assert!(text.contains(shown), "{shown} is missing: {text}");
    }
    assert!(!text.contains("DIFFERS"), "{text}");
    let (code, text) = outcome(&trustee(&folder, &["status"]));
    assert_eq!(code, 0);
    assert!(text.contains("the daemon runs") && text.contains("undecided"), "{text}");
    let accepted = trustee(&folder, &["--json", "accept", &id]);
    let answer: serde_json::Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!((&answer["decision"], &answer["taken"]), (&"accepted".into(), &true.into()));
    world.exchange(0).await.unwrap();
    // The word is on the record: again is fine, the opposite is not.
    assert_eq!(outcome(&trustee(&folder, &["accept", &id])).0, 0);
    let (code, text) = outcome(&trustee(&folder, &["refuse", &id, "--reason", "no"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("accepted the election already"), "{text}");
    assert_eq!(outcome(&trustee(&folder, &["refuse", &id])).0, 2);
    process.kill();
    let (_, text) = outcome(&trustee(&folder, &["status"]));
    assert!(text.contains("DOES NOT RUN"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_keys_is_said_and_exits_with_2() {
    let world = World::new();
    let folder = world.keepers[0].folder.clone();
    let (code, text) = outcome(&trustee(&folder, &["health"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("for trials"), "{text}");

    let passphrase = world.temp.path().join("Ada.pass");
    runtime::files::write_private(&passphrase, b"another passphrase\n").unwrap();
    for command in ["health", "run"] {
        let (code, text) = outcome(&trustee(&folder, &[command]));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("the passphrase does not open"), "{text}");
        assert!(!text.contains("another passphrase"), "{text}");
    }
    // Another trustee's keys.
    std::fs::copy(world.keepers[1].folder.join("keys.conclave"), folder.join("keys.conclave")).unwrap();
    runtime::files::write_private(&passphrase, crate::support::PASSPHRASE).unwrap();
    let (code, text) = outcome(&trustee(&folder, &["run"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("the wrong token or file was opened"), "{text}");
}

/// K03, K09: keys in a token.
#[test]
fn a_trustee_with_a_token_is_made_tried_and_kept_from_mistakes() {
    let temp = tempfile::tempdir().unwrap();
    let (tokens, pin) = (temp.path().join("tokens"), temp.path().join("pin"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/softhsm.sh");
    let made = Command::new("sh").arg(script).arg(&tokens).arg("ada").arg(&pin).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let module = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trustee"));
        outcome(&command.args(arguments).env("SOFTHSM2_CONF", tokens.join("softhsm2.conf")).output().unwrap())
    };
    let folder = temp.path().join("ada");
    let (folder_text, pin_text) = (folder.to_str().unwrap(), pin.to_str().unwrap());
    let init = |more: &[&str]| {
        let base = ["init", "--dir", folder_text, "--name", "Ada", "--organisation", "o", "--region", "r"];
        let token = ["--address", "127.0.0.1:1", "--module", &module, "--token-label", "ada", "--pin-file", pin_text];
        run(&[&base[..], &token[..], more].concat())
    };
    let (code, text) = init(&[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("is software"), "{text}");
    let (code, text) = init(&["--allow-software-token"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Send") && text.contains("enrol.toml"), "{text}");
    let (code, text) = init(&["--allow-software-token"]);
    assert_eq!(code, 1, "{text}");

    let config = folder.join("trustee.toml");
    let health = || run(&["health", "--config", config.to_str().unwrap()]);
    let (code, text) = health();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("software token \"ada\""), "{text}");
    runtime::files::write_private(&pin, b"000000\n").unwrap();
    let (code, text) = health();
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("refused the PIN") && !text.contains("000000"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_circle_or_configuration_says_what_to_do() {
    let world = World::new();
    let folder = &world.keepers[0].folder;
    std::fs::remove_file(folder.join("circle.toml")).unwrap();
    let (code, text) = outcome(&trustee(folder, &["run"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("get it from the official"), "{text}");
    let (code, text) = outcome(&trustee(world.temp.path(), &["status"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("`trustee init` makes one"), "{text}");
}

/// G05, G06: what was answered is there after the disk has failed; what was not stored was not promised.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_stops_the_process_and_loses_no_promise() {
    let mut world = World::opened().await;
    world.keepers[0].stop().await;
    let mut process = Process::start_on_full_disk(&world.keepers[0], 300);
    world.catch_up(0).await;
    world.log = (0..12).map(|voter| world.ballot(voter, 0)).collect();
    let (mut promised, mut stopped) = (0, false);
    'filling: for round in 0..20 {
        for voter in 0..12 {
            let ballot = world.ballot(voter, round % 2);
            world.log.push(ballot);
        }
        let checkpoint = world.checkpoint(&world.log);
        let request = proto::v1::FollowRequest {
            election_id: world.id().0.to_vec(),
            lane: 0,
            first: promised,
            ballots: world.log[promised as usize..].to_vec(),
            checkpoint,
        };
        match world.client(0).await.follow(request).await {
            Ok(reply) => promised = reply.into_inner().next,
            Err(_) => {
                stopped = true;
                break 'filling;
            }
        }
    }
    assert!(stopped && promised > 0, "{promised}");
    assert_eq!(process.0.wait().unwrap().code(), Some(70));
    world.forget_client(0);
    let process = Process::start(&world.keepers[0]);
    world.catch_up(0).await;
    let (log, checkpoint) = (world.log.clone(), world.checkpoint(&world.log[..promised as usize]));
    let reply = world.follow(0, 0, &log[..promised as usize], &checkpoint).await;
    assert_eq!((reply.next, reply.refusal.as_str()), (promised, ""));
    process.kill();
}

/// Resident memory of a process, in KiB.
fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_ballots_fit_into_150_mb() {
    const BALLOTS: usize = 10_000;
    let mut world = World::with_voters(BALLOTS);
    let mut process = Process::start(&world.keepers[0]);
    world.keepers[1].start().await;
    world.open().await;
    let mut followed = std::time::Duration::ZERO;
    for first in (0..BALLOTS).step_by(500) {
        let new: Vec<_> = (first..first + 500).map(|voter| world.ballot(voter, 0)).collect();
        world.log.extend(new.clone());
        let checkpoint = world.checkpoint(&world.log);
        let start = std::time::Instant::now();
        let reply = world.follow(0, first as u64, &new, &checkpoint).await;
        followed += start.elapsed();
        assert_eq!((reply.next, reply.refusal.as_str()), (world.log.len() as u64, ""));
        world.exchange(0).await.unwrap();
    }
    println!("followed {BALLOTS} in {followed:?}, {} KiB", resident_kib(&process));
    assert!(resident_kib(&process) < 150 * 1024);
    process.kill();
    let start = std::time::Instant::now();
    process = Process::start(&world.keepers[0]);
    println!("restarted in {:?}, {} KiB", start.elapsed(), resident_kib(&process));
    assert!(resident_kib(&process) < 150 * 1024);
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_signal_ends_it_with_0() {
    let world = World::new();
    let mut process = Process::start(&world.keepers[0]);
    let pid = process.0.id().to_string();
    // K12: no core dump may hold its secrets.
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
}
