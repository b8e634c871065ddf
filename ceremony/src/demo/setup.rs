//! Everything there has to be before an election can be announced: a ledger, keys for everybody, the circle, the voter rolls,
//! and daemons that run.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rand_core::RngCore as _;
use runtime::entropy::OsEntropy;
use serde_json::Value;

use super::{
    Args, DemoTrouble, Hsm,
    data::Input,
    processes::{ProcessTrouble, Processes, Running, free_ports},
    report::Memory,
    show::{Show, grouped},
};

/// Plenty for what takes a second, on a machine that is busy with something else.
pub(super) const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// How long a daemon may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);
const SHARDS: usize = 2;

/// A daemon that can be killed and started again.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) name: String,
    program: &'static str,
    arguments: Vec<String>,
    /// Where it answers; shards: voters and the public.
    pub(super) address: String,
    /// Pin of its TLS key.
    pub(super) pin: String,
    running: Running,
    /// On purpose, and not started again yet.
    killed: bool,
    peak_bytes: u64,
}

impl Daemon {
    fn start(
        processes: &Processes,
        name: String,
        program: &'static str,
        dir: &Path,
        config: &str,
        address: String,
    ) -> Result<Self, DemoTrouble> {
        let enrolment = dir.join("enrol.toml");
        let text = fs::read_to_string(&enrolment).map_err(|source| DemoTrouble::file(&enrolment, source))?;
        let enrolled: toml::Table = toml::from_str(&text).map_err(|_| no_pin(&enrolment))?;
        let pin = enrolled.get("tls_pin").and_then(toml::Value::as_str).ok_or_else(|| no_pin(&enrolment))?.to_owned();
        let arguments = vec!["run".into(), "--config".into(), shown(&dir.join(config))];
        let running = processes.start(&name, program, &arguments)?;
        Ok(Self { name, program, arguments, address, pin, running, killed: false, peak_bytes: 0 })
    }

    /// Waits until it takes connections.
    pub(super) fn ready(&self) -> Result<(), DemoTrouble> {
        let begun = Instant::now();
        loop {
            self.running.must_run()?;
            if TcpStream::connect(&self.address).is_ok() {
                return Ok(());
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(DemoTrouble::NotReady {
                    name: self.name.clone(),
                    address: self.address.clone(),
                    log: self.running.log.clone(),
                    tail: self.running.tail(),
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.measure();
        self.killed = true;
        self.running.kill();
    }

    /// Starts it again, with the same folder.
    pub(super) fn restart(&mut self, processes: &Processes) -> Result<(), ProcessTrouble> {
        self.running = processes.start(&self.name, self.program, &self.arguments)?;
        self.killed = false;
        Ok(())
    }

    /// Has not ended by itself.
    fn must_run(&self) -> Result<(), ProcessTrouble> {
        if self.killed { Ok(()) } else { self.running.must_run() }
    }

    /// The most memory it has had, restarts included.
    pub(super) fn measure(&mut self) -> u64 {
        self.peak_bytes = self.peak_bytes.max(self.running.peak_memory_bytes().unwrap_or(0));
        self.peak_bytes
    }
}

/// One election, once its manifest is made.
#[derive(Debug)]
pub(super) struct Election {
    pub(super) input: Input,
    pub(super) id: String,
    /// Index of its home shard.
    pub(super) home: usize,
    /// Voters' secret keys.
    pub(super) keys: PathBuf,
    /// Its files.
    pub(super) folder: PathBuf,
}

/// Everything that is running, and where it is.
#[derive(Debug)]
pub(super) struct House {
    pub(super) processes: Processes,
    pub(super) folder: PathBuf,
    pub(super) project: PathBuf,
    pub(super) rpc: String,
    pub(super) ledger: Running,
    pub(super) shards: Vec<Daemon>,
    pub(super) trustees: Vec<Daemon>,
    pub(super) elections: Vec<Election>,
}

impl House {
    /// Runs a command of the official and reads its answer.
    pub(super) fn ceremony(&self, name: &str, arguments: &[&str], within: Duration) -> Result<Value, ProcessTrouble> {
        self.start_ceremony(name, arguments)?.answer(within)
    }

    pub(super) fn start_ceremony(&self, name: &str, arguments: &[&str]) -> Result<Running, ProcessTrouble> {
        start_ceremony(&self.processes, &self.project, name, arguments)
    }

    pub(super) fn anchor_tool(&self, name: &str, arguments: &[&str]) -> Result<Value, ProcessTrouble> {
        anchor_tool(&self.processes, &self.rpc, name, arguments)
    }

    /// All daemons have to be there.
    pub(super) fn must_run(&self) -> Result<(), ProcessTrouble> {
        self.ledger.must_run()?;
        self.shards.iter().chain(&self.trustees).try_for_each(Daemon::must_run)
    }

    pub(super) fn memory(&mut self) -> Memory {
        let mut memory = Memory::new();
        for (kind, daemons) in [("coordinator", &mut self.shards), ("trustee", &mut self.trustees)] {
            for daemon in daemons {
                let peak = daemon.measure();
                if peak > 0 {
                    memory.insert(format!("{kind} {}", daemon.name), peak);
                }
            }
        }
        memory
    }
}

fn no_pin(enrolment: &Path) -> DemoTrouble {
    DemoTrouble::NoField { whose: shown(enrolment), key: "tls_pin".into() }
}

fn start_ceremony(
    processes: &Processes,
    project: &Path,
    name: &str,
    arguments: &[&str],
) -> Result<Running, ProcessTrouble> {
    let own = std::env::current_exe().map_err(|source| ProcessTrouble::Start { name: name.into(), source })?;
    let project = project.display().to_string();
    let common = ["--json", "--project", &project];
    processes.start_path(name, &own, common.iter().chain(arguments))
}

fn anchor_tool(processes: &Processes, rpc: &str, name: &str, arguments: &[&str]) -> Result<Value, ProcessTrouble> {
    processes.ask(name, "anchor-tool", ["--json", "--url", rpc].iter().chain(arguments), COMMAND_WITHIN)
}

/// Builds the house.
pub(super) fn setup(
    args: &Args,
    processes: &Processes,
    folder: &Path,
    inputs: Vec<Input>,
    show: &mut Show,
) -> Result<House, DemoTrouble> {
    show.stage("ledger", "A local Solana ledger starts.");
    let trustee_count = usize::from(args.trustees);
    let mut ports = free_ports(2 + 2 * SHARDS + trustee_count)?.into_iter();
    let mut port = || ports.next().unwrap_or(0);
    let (ledger, rpc) = start_ledger(args, processes, folder, port(), port())?;
    let genesis = anchor_tool(processes, &rpc, "genesis", &["genesis"])?;
    let genesis = text_at(&genesis, "genesis", "anchor-tool genesis")?;
    show.line(&format!("{rpc}, genesis {genesis}"));

    show.stage("setup", "Everybody makes keys; the official collects them.");
    let project = folder.join("official");
    start_ceremony(processes, folder, "ceremony-init", &["init", &shown(&project), "--name", "official"])?
        .answer(COMMAND_WITHIN)?;
    let circle = project.join("circle.toml");
    let mut shards = Vec::new();
    for at in 1..=SHARDS {
        let (name, dir) = (format!("shard-{at}"), folder.join(format!("shard-{at}")));
        let (address, public) = (format!("127.0.0.1:{}", port()), format!("127.0.0.1:{}", port()));
        let arguments = [
            "init",
            "--dir",
            &shown(&dir),
            "--name",
            &name,
            "--address",
            &address,
            "--public-address",
            &public,
            "--circle",
            &shown(&circle),
            "--rpc",
            &rpc,
        ];
        processes.start(&format!("{name}-init"), "coordinator", arguments)?.wait_well(COMMAND_WITHIN)?;
        shards.push((name, dir, public));
    }
    let module = match args.hsm {
        Some(Hsm::Softhsm) => Some(Token::prepare(folder)?),
        None => None,
    };
    let mut trustees = Vec::new();
    let mut making = Vec::new();
    for at in 1..=trustee_count {
        let (name, dir) = (format!("trustee-{at}"), folder.join(format!("trustee-{at}")));
        let address = format!("127.0.0.1:{}", port());
        let mut arguments: Vec<String> =
            ["init", "--dir", &shown(&dir), "--name", &name, "--address", &address].map(str::to_owned).into();
        arguments.extend(["--organisation".into(), format!("Organisation {at}")]);
        arguments.extend(["--region".into(), format!("Region {at}")]);
        arguments.extend(keystore_arguments(module.as_ref(), processes, folder, &name)?);
        making.push(processes.start(&format!("{name}-init"), "trustee", &arguments)?);
        trustees.push((name, dir, address));
    }
    for running in making {
        running.wait_well(COMMAND_WITHIN)?;
    }
    let enrolments: Vec<String> =
        shards.iter().chain(&trustees).map(|(_, dir, _)| shown(&dir.join("enrol.toml"))).collect();
    let enrol: Vec<&str> = ["enrol"].into_iter().chain(enrolments.iter().map(String::as_str)).collect();
    start_ceremony(processes, &project, "ceremony-enrol", &enrol)?.answer(COMMAND_WITHIN)?;
    for (_, dir, _) in shards.iter().chain(&trustees) {
        copy(&circle, &dir.join("circle.toml"))?;
    }
    show.line(&format!(
        "{trustee_count} trustees ({}), {SHARDS} coordinator shards, 1 official",
        if module.is_some() { "keys in SoftHSM tokens" } else { "keys in encrypted files" }
    ));

    show.stage("elections", "The registrar makes voter rolls, the official the elections.");
    let mut elections = Vec::new();
    for (at, input) in inputs.into_iter().enumerate() {
        let home = at % SHARDS;
        let election =
            new_election(args, processes, folder, &project, &genesis, &format!("shard-{}", home + 1), input)?;
        let Election { input, id, .. } = &election;
        show.line(&format!(
            "{}: {} voters, {} contest(s), at home on shard-{}",
            input.title,
            grouped(input.ballots.len() as u64),
            input.contests.len(),
            home + 1
        ));
        show.line(&format!("  election {id}"));
        elections.push(Election { home, ..election });
    }

    show.stage("daemons", "All daemons start.");
    let shards = shards
        .into_iter()
        .map(|(name, dir, address)| Daemon::start(processes, name, "coordinator", &dir, "shard.toml", address));
    let shards: Vec<Daemon> = shards.collect::<Result<_, _>>()?;
    let trustees = trustees
        .into_iter()
        .map(|(name, dir, address)| Daemon::start(processes, name, "trustee", &dir, "trustee.toml", address));
    let trustees: Vec<Daemon> = trustees.collect::<Result<_, _>>()?;
    shards.iter().chain(&trustees).try_for_each(Daemon::ready)?;
    show.line("mutual TLS 1.3 between all of them, keys pinned");
    let (processes, folder) = (processes.clone(), folder.to_owned());
    Ok(House { processes, folder, project, rpc, ledger, shards, trustees, elections })
}

fn start_ledger(
    args: &Args,
    processes: &Processes,
    folder: &Path,
    rpc_port: u16,
    ws_port: u16,
) -> Result<(Running, String), DemoTrouble> {
    let program = match &args.ledger {
        Some(path) => path.clone(),
        None => processes.program("ledger").map_err(|_| DemoTrouble::NoLedger)?,
    };
    if !program.is_file() {
        return Err(DemoTrouble::NoLedger);
    }
    let arguments = [
        "--rpc-port",
        &rpc_port.to_string(),
        "--ws-port",
        &ws_port.to_string(),
        "--slot-ms",
        "50",
        "--data",
        &shown(&folder.join("ledger")),
    ];
    let running = processes.start_path("ledger", &program, arguments)?;
    let rpc = running.says("ready rpc=", READY_WITHIN)?;
    Ok((running, rpc))
}

/// Makes throw-away SoftHSM tokens.
struct Token {
    script: PathBuf,
    folder: PathBuf,
}

impl Token {
    fn prepare(folder: &Path) -> Result<Self, DemoTrouble> {
        let script = folder.join("softhsm.sh");
        write(&script, include_bytes!("../../../scripts/softhsm.sh"))?;
        Ok(Self { script, folder: folder.join("softhsm") })
    }

    /// Makes a token and gives the module that reaches it, and the file with its PIN. Each token has a folder of its own:
    /// SoftHSM stops the process that finds two tokens of which others are just writing.
    fn make(&self, processes: &Processes, label: &str) -> Result<(String, PathBuf), DemoTrouble> {
        let dir = self.folder.join(label);
        fs::create_dir_all(&dir).map_err(|source| DemoTrouble::file(&dir, source))?;
        processes.set_environment(label, "SOFTHSM2_CONF", dir.join("softhsm2.conf").as_os_str());
        let pin = dir.join("pin");
        let name = format!("{label}-token");
        let arguments = [shown(&self.script), shown(&dir), label.into(), shown(&pin)];
        let running = processes.start_path(&name, Path::new("/bin/sh"), &arguments)?;
        running.wait_well(COMMAND_WITHIN)?;
        Ok((running.says("/", Duration::ZERO).map(|rest| format!("/{rest}"))?, pin))
    }
}

fn keystore_arguments(
    token: Option<&Token>,
    processes: &Processes,
    folder: &Path,
    name: &str,
) -> Result<Vec<String>, DemoTrouble> {
    if let Some(token) = token {
        let (module, pin) = token.make(processes, name)?;
        let arguments =
            ["--token-label", name, "--module", &module, "--pin-file", &shown(&pin), "--allow-software-token"];
        return Ok(arguments.map(str::to_owned).into());
    }
    let passphrase = folder.join(format!("{name}.passphrase"));
    let mut secret = [0; 16];
    OsEntropy.fill_bytes(&mut secret);
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    runtime::files::write_private(&passphrase, hex.as_bytes()).map_err(DemoTrouble::PrivateFile)?;
    Ok(vec!["--file-keystore".into(), "--passphrase-file".into(), shown(&passphrase)])
}

fn new_election(
    args: &Args,
    processes: &Processes,
    folder: &Path,
    project: &Path,
    genesis: &str,
    home: &str,
    input: Input,
) -> Result<Election, DemoTrouble> {
    let dir = folder.join(&input.key);
    fs::create_dir_all(&dir).map_err(|source| DemoTrouble::file(&dir, source))?;
    let (voters, registry) = (dir.join("voters.csv"), dir.join("registrar"));
    let (roll, keys) = (registry.join("roll.csv"), registry.join("keys.csv"));
    write(&voters, input.voters_csv().as_bytes())?;
    let registrar = ["registrar", "keys", "--voters", &shown(&voters), "--out", &shown(&registry)];
    start_ceremony(processes, project, &format!("{}-registrar", input.key), &registrar)?.answer(COMMAND_WITHIN)?;
    let file = dir.join("election.toml");
    let text = toml::to_string(&election_toml(args, &input, genesis, home)).map_err(DemoTrouble::Toml)?;
    write(&file, text.as_bytes())?;
    let new = ["new", &shown(&file), "--roll", &shown(&roll)];
    let made = start_ceremony(processes, project, &format!("{}-new", input.key), &new)?.answer(COMMAND_WITHIN)?;
    let id = text_at(&made, "election_id", "ceremony new")?;
    Ok(Election { input, id, home: 0, keys, folder: dir })
}

/// The election as an official would write it.
fn election_toml(args: &Args, input: &Input, genesis: &str, home: &str) -> toml::Table {
    let mut chain = toml::Table::new();
    chain.insert("cluster".into(), "local".into());
    chain.insert("genesis".into(), genesis.into());
    let contests = input.contests.iter().map(|contest| {
        let mut table = toml::Table::new();
        table.insert("id".into(), contest.id.clone().into());
        table.insert("title".into(), contest.title.clone().into());
        table.insert("method".into(), if contest.approval { "approval" } else { "single-choice" }.into());
        table.insert("options".into(), contest.options.clone().into());
        if contest.approval {
            table.insert("min".into(), 1.into());
            table.insert("max".into(), i64::try_from(contest.options.len()).unwrap_or(1).into());
        }
        table.insert("blank".into(), input.has_blanks(&contest.id).into());
        toml::Value::Table(table)
    });
    let styles = input.styles.iter().map(|style| {
        let ids = style.contests.iter().filter_map(|at| input.contests.get(*at)).map(|contest| contest.id.clone());
        let mut table = toml::Table::new();
        table.insert("id".into(), style.id.clone().into());
        table.insert("contests".into(), ids.collect::<Vec<_>>().into());
        toml::Value::Table(table)
    });
    let mut table = toml::Table::new();
    table.insert("title".into(), input.title.clone().into());
    table.insert("home".into(), home.into());
    table.insert("chain".into(), chain.into());
    table.insert("quorums".into(), quorums(args.trustees, args.threshold).into());
    table.insert("contest".into(), toml::Value::Array(contests.collect()));
    table.insert("style".into(), toml::Value::Array(styles.collect()));
    table
}

/// Quorums for n trustees of whom any `threshold` decrypt and sign; as many liars as the rules of the manifest allow then.
fn quorums(trustees: u16, threshold: Option<u16>) -> toml::Table {
    let mut table = toml::Table::new();
    let Some(threshold) = threshold else { return table };
    let most = trustees.saturating_sub(1) / 3;
    let liars = most.min(threshold.saturating_sub(1)).min(trustees.saturating_sub(threshold));
    let quorum = (trustees + liars) / 2 + 1;
    for (name, size) in [("f", liars), ("t", threshold), ("s", threshold), ("q", quorum), ("w", quorum)] {
        table.insert(name.into(), i64::from(size).into());
    }
    if 2 * threshold <= trustees + liars {
        table.insert("one_aggregate".into(), "certificate".into());
    }
    table
}

impl Running {
    /// Waits for success; what it printed does not matter.
    pub(super) fn wait_well(&self, within: Duration) -> Result<(), ProcessTrouble> {
        let status = self.wait(within)?;
        if status.success() {
            return Ok(());
        }
        let (name, log, tail) = (self.name.clone(), self.log.clone(), self.tail());
        Err(ProcessTrouble::Failed { name, status, log, tail })
    }
}

/// A text in an answer.
pub(super) fn text_at(answer: &Value, key: &str, whose: &str) -> Result<String, DemoTrouble> {
    let text = answer[key].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| DemoTrouble::NoField { whose: whose.into(), key: key.into() })
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoTrouble> {
    fs::write(path, bytes).map_err(|source| DemoTrouble::file(path, source))
}

fn copy(from: &Path, to: &Path) -> Result<(), DemoTrouble> {
    fs::copy(from, to).map(|_| ()).map_err(|source| DemoTrouble::file(to, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_keep_the_rules_of_the_manifest() {
        for n in 2..=20u16 {
            for t in 2..=n {
                let table = quorums(n, Some(t));
                let get = |key: &str| u16::try_from(table[key].as_integer().unwrap()).unwrap();
                let (f, q, w) = (get("f"), get("q"), get("w"));
                let one_aggregate_by_certificate = table.contains_key("one_aggregate");
                let made = protocol::manifest::Quorums { f, c: 0, t, s: t, q, w, one_aggregate_by_certificate };
                assert!(made.validate(n).is_ok(), "{n} trustees, threshold {t}: {:?}", made.validate(n));
            }
        }
        assert!(quorums(4, None).is_empty());
    }
}
