//! Everything that elections need, running: a ledger, four trustees, two shards, and a [`Proxy`] on every way between them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use booth::election::Server;
use runtime::{pin::SpkiPin, tls::Trust};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    processes::{Processes, Running, free_ports},
    proxy::{Proxy, Weather},
};

/// Plenty for what takes a second.
pub(crate) const COMMAND: Duration = Duration::from_secs(90);
/// How long a daemon may take until it answers.
const READY: Duration = Duration::from_secs(60);
/// How many trustees.
pub(crate) const TRUSTEES: usize = 4;
const SHARDS: usize = 2;
/// Of the disks that a scenario may fill.
const DISK_BYTES: u64 = 64 << 20;
/// The daemons whose data are on disks of their own: shard 1 and trustee 4.
const ON_A_DISK: [&str; 2] = ["shard-1", "trustee-4"];

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Folder of ours.
    pub(crate) folder: PathBuf,
    /// The local ledger.
    pub(crate) ledger: PathBuf,
}

/// A daemon that can be killed, stopped, restored, cloned, and started again.
#[derive(Debug)]
pub(crate) struct Daemon {
    processes: Processes,
    /// `trustee-1`.
    pub(crate) name: String,
    program: &'static str,
    /// Its folder.
    pub(crate) folder: PathBuf,
    config: PathBuf,
    /// Where it really listens, past all proxies.
    pub(crate) listens: SocketAddr,
    /// Pin of its TLS key.
    pub(crate) pin: SpkiPin,
    running: Running,
}

impl Daemon {
    /// A daemon of this configuration; `before` it, such as `prlimit`, what it is started with.
    fn begin(
        processes: &Processes,
        name: &str,
        program: &'static str,
        config: &Path,
        before: &[&str],
        listens: SocketAddr,
    ) -> Self {
        let folder = config.parent().unwrap().to_owned();
        let enrolment: toml::Table = toml::from_str(&fs::read_to_string(folder.join("enrol.toml")).unwrap()).unwrap();
        let pin = enrolment["tls_pin"].as_str().unwrap().parse().unwrap();
        let running = start(processes, name, program, config, before);
        let (name, config) = (name.to_owned(), config.to_owned());
        Self { processes: processes.clone(), name, program, folder, config, listens, pin, running }
    }

    /// Its data.
    #[must_use]
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        self.running.kill();
    }

    /// Ends it as its operator would, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.running.signal("TERM");
        let status = self.running.wait(READY);
        assert!(status.success(), "{}: {status}\n{}", self.name, self.running.tail());
        self.come_back();
    }

    /// Starts it again, if it does not run.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts it again, if it does not run, by way of another program.
    pub(crate) fn start_with(&mut self, before: &[&str]) {
        if self.running.ended().is_some() {
            self.running = start(&self.processes, &self.name, self.program, &self.config, before);
        }
    }

    /// Starts it again and waits until it can be reached.
    pub(crate) fn come_back(&mut self) {
        self.start();
        self.ready();
    }

    /// Waits until it takes connections.
    pub(crate) fn ready(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.listens).is_err() {
            let ended = self.running.ended();
            assert!(ended.is_none() && begun.elapsed() < READY, "{}: {ended:?}\n{}", self.name, self.running.tail());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self) {
        self.running.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.running.signal("CONT");
    }

    /// How it ended, if it has.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.running.ended()
    }

    /// Waits until it has ended by itself.
    #[must_use]
    pub(crate) fn ends(&self, within: Duration) -> ExitStatus {
        self.running.wait(within)
    }

    /// Its log, of all its lives.
    #[must_use]
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    /// Number of its process.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Open files of its process.
    #[must_use]
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.running.pid())).map_or(0, Iterator::count)
    }
}

fn start(processes: &Processes, name: &str, program: &str, config: &Path, before: &[&str]) -> Running {
    let program = processes.program(program).display().to_string();
    let config = config.display().to_string();
    let line: Vec<&str> = before.iter().copied().chain([program.as_str(), "run", "--config", &config]).collect();
    processes.start(name, Path::new(line[0]), &line[1..])
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct House {
    /// Starts and ends processes.
    pub(crate) processes: Processes,
    /// Everything is in it.
    pub(crate) folder: PathBuf,
    pub(super) runtime: Runtime,
    /// The official's project.
    project: PathBuf,
    /// The ledger, past its proxy.
    rpc: String,
    genesis: String,
    ledger: Running,
    /// Trustees.
    pub(crate) trustees: Vec<Daemon>,
    /// Shards.
    pub(crate) shards: Vec<Daemon>,
    /// Between the shards and each trustee.
    pub(crate) to_trustees: Vec<Proxy>,
    /// Between voters and each shard.
    pub(crate) to_shards: Vec<Proxy>,
    /// Between officials, the other shard, and each shard.
    pub(crate) inside: Vec<Proxy>,
    /// Between the shards and the ledger.
    pub(crate) to_ledger: Proxy,
    /// Each election has another.
    pub(super) elections: usize,
    disks: Vec<PathBuf>,
}

impl Drop for House {
    fn drop(&mut self) {
        for daemon in self.trustees.iter().chain(&self.shards) {
            daemon.kill();
        }
        for disk in &self.disks {
            // What is busy is taken down by the undertaker.
            let _ = Command::new("umount").arg(disk).status();
        }
    }
}

impl House {
    /// Makes everything in `folder`, which is new or empty, and starts it.
    #[must_use]
    pub(crate) fn build(programs: &Programs, folder: &Path, seed: u64) -> Self {
        fs::create_dir_all(folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let processes = Processes::new(&programs.folder, &folder.join("logs"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut ports = free_ports(2 + TRUSTEES + 2 * SHARDS).into_iter();
        let mut port = || SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap()));
        let mut seed = seed;
        let mut proxy = |target| {
            seed = super::proxy::mixed(seed);
            Proxy::start(runtime.handle(), target, seed).unwrap()
        };

        let (rpc, socket) = (port(), port());
        let data = shown(&folder.join("ledger"));
        let (rpc_port, socket_port) = (rpc.port().to_string(), socket.port().to_string());
        let line = ["--rpc-port", &rpc_port, "--ws-port", &socket_port, "--slot-ms", "25", "--data", &data];
        let ledger = processes.start("ledger", &programs.ledger, line);
        let to_ledger = proxy(rpc);
        let rpc = ledger.says("ready rpc=", READY);
        let genesis = processes.ask("genesis", "anchor-tool", ["--json", "--url", &rpc, "genesis"], COMMAND);
        let genesis = genesis["genesis"].as_str().unwrap().to_owned();

        let project = folder.join("official");
        processes.ask("ceremony-init", "ceremony", ["--json", "init", &shown(&project)], COMMAND);
        let mut disks = Vec::new();
        for name in ON_A_DISK {
            let data = folder.join(name).join("data");
            if mount(&data) {
                processes.mounted(&data);
                disks.push(data);
            }
        }
        let (mut to_shards, mut inside, mut new_shards) = (Vec::new(), Vec::new(), Vec::new());
        let seen_ledger = format!("http://{}", to_ledger.address());
        for at in 1..=SHARDS {
            let (internal, public) = (port(), port());
            let (before_internal, before_public) = (proxy(internal), proxy(public));
            let (name, dir) = (format!("shard-{at}"), folder.join(format!("shard-{at}")));
            let (address, public_address) =
                (before_internal.address().to_string(), before_public.address().to_string());
            let line = ["init", "--dir", &shown(&dir), "--name", &name, "--address", &address]
                .map(str::to_owned)
                .into_iter()
                .chain(["--public-address", &public_address, "--rpc", &seen_ledger].map(str::to_owned));
            let program = processes.program("coordinator");
            assert!(processes.start(&format!("{name}-init"), &program, line).wait(COMMAND).success());
            let config = dir.join("shard.toml");
            edit(&config, |text| {
                text.replace(&address, &internal.to_string()).replace(&public_address, &public.to_string())
            });
            to_shards.push(before_public);
            inside.push(before_internal);
            new_shards.push((name, config, public));
        }
        let mut to_trustees = Vec::new();
        let mut new_trustees = Vec::new();
        let mut making = Vec::new();
        for at in 1..=TRUSTEES {
            let listen = port();
            let before = proxy(listen);
            let (name, dir) = (format!("trustee-{at}"), folder.join(format!("trustee-{at}")));
            let passphrase = folder.join(format!("{name}.passphrase"));
            runtime::files::write_private(&passphrase, b"correct horse battery").unwrap();
            let line = [
                ["init".to_owned(), "--file-keystore".to_owned()],
                ["--dir".to_owned(), shown(&dir)],
                ["--name".to_owned(), name.clone()],
                ["--address".to_owned(), before.address().to_string()],
                ["--listen".to_owned(), listen.to_string()],
                ["--organisation".to_owned(), format!("Organisation {at}")],
                ["--region".to_owned(), format!("Region {at}")],
                ["--passphrase-file".to_owned(), shown(&passphrase)],
            ];
            making.push(processes.start(&format!("{name}-init"), &processes.program("trustee"), line.concat()));
            to_trustees.push(before);
            new_trustees.push((name, dir.join("trustee.toml"), listen));
        }
        for running in making {
            let status = running.wait(COMMAND);
            assert!(status.success(), "{}", running.tail());
        }
        let circle = project.join("circle.toml");
        let configs = || new_shards.iter().chain(&new_trustees).map(|(_, config, _)| config.clone());
        let enrolments: Vec<String> = configs().map(|config| shown(&config.with_file_name("enrol.toml"))).collect();
        let line = ["--json", "--project", &shown(&project), "enrol"].map(str::to_owned);
        processes.ask("ceremony-enrol", "ceremony", line.into_iter().chain(enrolments), COMMAND);
        for config in configs() {
            fs::copy(&circle, config.with_file_name("circle.toml")).unwrap();
        }
        let begin = |program: &'static str, new: Vec<(String, PathBuf, SocketAddr)>| -> Vec<Daemon> {
            new.into_iter()
                .map(|(name, config, listens)| Daemon::begin(&processes, &name, program, &config, &[], listens))
                .collect()
        };
        let shards = begin("coordinator", new_shards);
        let trustees = begin("trustee", new_trustees);
        shards.iter().chain(&trustees).for_each(Daemon::ready);
        let elections = 0;
        Self {
            processes,
            folder,
            runtime,
            project,
            rpc,
            genesis,
            ledger,
            trustees,
            shards,
            to_trustees,
            to_shards,
            inside,
            to_ledger,
            elections,
            disks,
        }
    }

    /// All proxies.
    pub(crate) fn network(&self) -> impl Iterator<Item = &Proxy> {
        self.to_trustees.iter().chain(&self.to_shards).chain(&self.inside).chain([&self.to_ledger])
    }

    /// The same weather everywhere.
    pub(crate) fn weather(&self, weather: Weather) {
        self.network().for_each(|proxy| proxy.set_both(weather));
    }

    /// Whatever a scenario has left behind: everybody runs, everything is reachable.
    pub(crate) fn heal(&mut self) {
        for (proxy, trustee) in self.to_trustees.iter().zip(&self.trustees) {
            proxy.set_targets(vec![trustee.listens]);
        }
        self.network().for_each(Proxy::heal);
        for disk in &self.disks {
            // Not there unless a scenario was cut off.
            let _ = fs::remove_file(filler(disk));
        }
        for daemon in self.trustees.iter_mut().chain(&mut self.shards) {
            daemon.go_on();
            daemon.start();
        }
        self.trustees.iter().chain(&self.shards).for_each(Daemon::ready);
        assert!(self.ledger.ended().is_none(), "the ledger is gone\n{}", self.ledger.tail());
    }

    /// Every daemon runs, whatever happened to it.
    pub(crate) fn must_run(&self) {
        for daemon in self.trustees.iter().chain(&self.shards) {
            let ended = daemon.ended();
            assert!(ended.is_none(), "{} ended by itself: {ended:?}\n{}", daemon.name, daemon.running.tail());
        }
    }

    /// The disk of one of the daemons that have their own, all but `left` bytes of it full. To be done soon after a
    /// [`Daemon::restart`]: an older daemon has room set aside in its write-ahead log.
    pub(crate) fn fill_disk(&self, daemon: &Daemon, left: u64) {
        let data = daemon.data();
        assert!(self.disks.contains(&data), "{}: no disk of its own; this needs to be root, to mount one", daemon.name);
        let stat = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&data).output().unwrap();
        let stat = String::from_utf8(stat.stdout).unwrap();
        let free: u64 = stat.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product();
        let file = fs::File::create(filler(&data)).unwrap();
        let bytes = vec![0; usize::try_from(free.saturating_sub(left)).unwrap()];
        std::io::Write::write_all(&mut &file, &bytes).unwrap();
    }

    /// Whether a full disk is felt at once: later a store's write-ahead log has set aside megabytes that are used again.
    pub(crate) fn disks_can_fill(&self) -> bool {
        self.elections < 5
    }

    /// Whether it was filled and not emptied since.
    #[must_use]
    pub(crate) fn disk_is_filled(&self, daemon: &Daemon) -> bool {
        filler(&daemon.data()).exists()
    }

    /// Room again.
    pub(crate) fn empty_disk(&self, daemon: &Daemon) {
        fs::remove_file(filler(&daemon.data())).unwrap();
    }

    /// Starts a command of the official.
    #[must_use]
    pub(crate) fn start_ceremony(&self, name: &str, arguments: &[&str]) -> Running {
        let project = shown(&self.project);
        let line = ["--json", "--quiet", "--project", &project].into_iter().chain(arguments.iter().copied());
        self.processes.start(name, &self.processes.program("ceremony"), line)
    }

    /// Runs a command of the official, which has to succeed.
    pub(crate) fn ceremony(&self, name: &str, arguments: &[&str], within: Duration) -> Value {
        self.start_ceremony(name, arguments).answer(within)
    }

    /// The ledger's genesis hash.
    #[must_use]
    pub(crate) fn genesis(&self) -> &str {
        &self.genesis
    }

    /// The ledger, past its proxy.
    #[must_use]
    pub(crate) fn rpc(&self) -> &str {
        &self.rpc
    }

    /// A shard's public listener, past its proxy: for looking on.
    #[must_use]
    pub(crate) fn window(&self, shard: usize) -> Server {
        let shard = &self.shards[shard];
        Server::new(&shard.listens.to_string(), Trust::Pin(shard.pin))
    }

    /// The shards as voters reach them.
    #[must_use]
    pub(crate) fn servers(&self) -> Vec<Server> {
        let pairs = self.to_shards.iter().zip(&self.shards);
        pairs.map(|(proxy, shard)| Server::new(&proxy.address().to_string(), Trust::Pin(shard.pin))).collect()
    }

    /// A second daemon on a copy of a trustee's folder, as it is now. The trustee must not run while it is copied.
    #[must_use]
    pub(crate) fn clone_trustee(&self, trustee: usize) -> Daemon {
        let original = &self.trustees[trustee];
        assert!(original.ended().is_some(), "{} runs", original.name);
        let name = format!("{}-twin-{}", original.name, self.elections);
        let folder = self.folder.join(&name);
        copy(&original.folder, &folder);
        // Not the original's, which is free while it does not run.
        let taken = |port: &u16| self.trustees.iter().chain(&self.shards).any(|daemon| daemon.listens.port() == *port);
        let port = free_ports(TRUSTEES + 2 * SHARDS + 1).into_iter().find(|port| !taken(port)).unwrap();
        let listens = SocketAddr::from(([127, 0, 0, 1], port));
        let config = folder.join("trustee.toml");
        edit(&config, |text| text.replace(&original.listens.to_string(), &listens.to_string()));
        Daemon::begin(&self.processes, &name, "trustee", &config, &[], listens)
    }
}

fn filler(disk: &Path) -> PathBuf {
    disk.join("filler")
}

/// A small disk at this place; not without being root.
fn mount(data: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    for folder in [data.parent().unwrap(), data] {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let size = format!("size={DISK_BYTES},mode=0700");
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(data);
    command.output().is_ok_and(|done| done.status.success())
}

pub(super) fn edit(path: &Path, change: impl FnOnce(&str) -> String) {
    let before = fs::read_to_string(path).unwrap();
    let after = change(&before);
    assert_ne!(before, after, "{} stays as it was", path.display());
    fs::write(path, after).unwrap();
}

/// Copies a folder with everything in it, modes too.
pub(crate) fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp -a {} {}", from.display(), to.display());
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
