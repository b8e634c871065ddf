//! The demo's processes: daemons that may be killed and started again, commands that run to their end.
//!
//! What is started is known from then on, and dies with the demo: [`Processes::kill_all`] is called when the demo ends,
//! fails, panics or is interrupted. Output goes to files of the demo's folder, one pair for each process.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Bytes of a log that are shown when something fails.
const TAIL_BYTES: usize = 1600;
/// Bytes of a command's answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a process is not what the demo needs it to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessTrouble {
    #[error("{program} is not beside this program ({dir}); build it: cargo build --release -p {program}")]
    Missing { program: String, dir: String },
    #[error("{name} does not start: {source}")]
    Start { name: String, source: io::Error },
    #[error("{name} ended by itself ({status}); its log is {log}:\n{tail}", log = log.display())]
    Ended { name: String, status: ExitStatus, log: PathBuf, tail: String },
    #[error("{name} failed ({status}); its log is {log}:\n{tail}", log = log.display())]
    Failed { name: String, status: ExitStatus, log: PathBuf, tail: String },
    #[error("{name} did not finish within {seconds} s; its log is {log}:\n{tail}", log = log.display())]
    TooLong { name: String, seconds: u64, log: PathBuf, tail: String },
    #[error("{name} gave an answer that is not JSON: {got:?}")]
    Answer { name: String, got: String },
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("no free ports on 127.0.0.1 between {from} and {to}")]
    Ports { from: u16, to: u16 },
    #[error("the demo was interrupted")]
    Interrupted,
}

/// Everything the demo has started.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Where our programs are.
    programs: PathBuf,
    logs: PathBuf,
    environment: Mutex<Vec<(String, OsString, OsString)>>,
    /// By the order in which they were started; those that have ended stay until all is over, for how they ended.
    children: Mutex<BTreeMap<u64, Child>>,
    ending: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        kill(&mut lock(&self.children));
    }
}

/// Poisoning only says that some thread panicked; the children are to be killed all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(children: &mut BTreeMap<u64, Child>) {
    for child in children.values_mut() {
        // Already dead is as good.
        let _ = child.kill();
    }
    for child in children.values_mut() {
        let _ = child.wait();
    }
    children.clear();
}

/// A command on its way, or a daemon.
#[derive(Debug)]
pub(super) struct Running {
    processes: Processes,
    pub(super) name: String,
    number: u64,
    pid: u32,
    out: PathBuf,
    pub(super) log: PathBuf,
}

impl Processes {
    /// `programs` is the directory of our binaries; `folder` gets `logs/`.
    pub(super) fn new(programs: PathBuf, folder: &Path) -> Result<Self, ProcessTrouble> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).map_err(|source| ProcessTrouble::File { path: logs.clone(), source })?;
        let children = Mutex::default();
        let environment = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { programs, logs, environment, children, ending: AtomicBool::new(false) }) })
    }

    /// For every process called `owner`, or `owner-` and more, that is started from now on.
    pub(super) fn set_environment(&self, owner: &str, name: &str, value: impl Into<OsString>) {
        lock(&self.inner.environment).push((owner.into(), name.into(), value.into()));
    }

    /// Nothing is left running, and nothing starts any more.
    pub(super) fn kill_all(&self) {
        self.inner.ending.store(true, Ordering::SeqCst);
        kill(&mut lock(&self.inner.children));
    }

    /// Where one of our programs is.
    pub(super) fn program(&self, program: &str) -> Result<PathBuf, ProcessTrouble> {
        let path = self.inner.programs.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
        if path.is_file() {
            return Ok(path);
        }
        Err(ProcessTrouble::Missing { program: program.into(), dir: self.inner.programs.display().to_string() })
    }

    /// Starts one of our programs. `name` names its logs; they are appended to if they are there.
    pub(super) fn start<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Running, ProcessTrouble> {
        self.start_path(name, &self.program(program)?, arguments)
    }

    /// Starts any program.
    pub(super) fn start_path<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Running, ProcessTrouble> {
        let out = self.inner.logs.join(format!("{name}.out"));
        let log = self.inner.logs.join(format!("{name}.log"));
        let open = |path: &Path| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|source| ProcessTrouble::File { path: path.to_owned(), source })
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(open(&out)?).stderr(open(&log)?);
        let is_for =
            |owner: &str| name.strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let environment = lock(&self.inner.environment);
        command.envs(environment.iter().filter(|(owner, ..)| is_for(owner)).map(|(_, name, value)| (name, value)));
        drop(environment);
        // Held from before the check until the child is known: kill_all misses none.
        let mut children = lock(&self.inner.children);
        if self.inner.ending.load(Ordering::SeqCst) {
            return Err(ProcessTrouble::Interrupted);
        }
        let child = command.spawn().map_err(|source| ProcessTrouble::Start { name: name.into(), source })?;
        let pid = child.id();
        let number = children.last_key_value().map_or(0, |(last, _)| last + 1);
        children.insert(number, child);
        Ok(Running { processes: self.clone(), name: name.into(), number, pid, out, log })
    }

    /// Runs one of our programs to its end and reads its answer, the last line that it printed.
    pub(super) fn ask<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        within: Duration,
    ) -> Result<Value, ProcessTrouble> {
        self.start(name, program, arguments)?.answer(within)
    }
}

impl Running {
    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Result<Option<ExitStatus>, ProcessTrouble> {
        let mut children = lock(&self.processes.inner.children);
        let Some(child) = children.get_mut(&self.number) else { return Err(ProcessTrouble::Interrupted) };
        child.try_wait().map_err(|source| ProcessTrouble::Start { name: self.name.clone(), source })
    }

    pub(super) fn has_ended(&self) -> Result<bool, ProcessTrouble> {
        Ok(self.ended()?.is_some())
    }

    /// Waits for its end.
    pub(super) fn wait(&self, within: Duration) -> Result<ExitStatus, ProcessTrouble> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > within {
                self.kill();
                let (name, seconds) = (self.name.clone(), within.as_secs());
                return Err(ProcessTrouble::TooLong { name, seconds, log: self.log.clone(), tail: self.tail() });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for success and reads the answer.
    pub(super) fn answer(&self, within: Duration) -> Result<Value, ProcessTrouble> {
        let status = self.wait(within)?;
        if !status.success() {
            let name = self.name.clone();
            return Err(ProcessTrouble::Failed { name, status, log: self.log.clone(), tail: self.tail() });
        }
        self.printed()
    }

    /// What it printed last: one line of JSON, or JSON over several lines.
    pub(super) fn printed(&self) -> Result<Value, ProcessTrouble> {
        let text = read_text(&self.out)?;
        let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let parsed = serde_json::from_str(line).or_else(|_| serde_json::from_str(text.trim()));
        parsed.map_err(|_| ProcessTrouble::Answer { name: self.name.clone(), got: line.chars().take(200).collect() })
    }

    /// Waits until a daemon has printed a line that begins with `word`, and gives the rest of that line.
    pub(super) fn says(&self, word: &str, within: Duration) -> Result<String, ProcessTrouble> {
        let begun = Instant::now();
        loop {
            let text = read_text(&self.out)?;
            if let Some(rest) = text.lines().find_map(|line| line.strip_prefix(word)) {
                return Ok(rest.trim().to_owned());
            }
            self.must_run()?;
            if begun.elapsed() > within {
                let (name, seconds) = (self.name.clone(), within.as_secs());
                return Err(ProcessTrouble::TooLong { name, seconds, log: self.log.clone(), tail: self.tail() });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A daemon that has ended by itself is a failure.
    pub(super) fn must_run(&self) -> Result<(), ProcessTrouble> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let name = self.name.clone();
                Err(ProcessTrouble::Ended { name, status, log: self.log.clone(), tail: self.tail() })
            }
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(&self) {
        if let Some(child) = lock(&self.processes.inner.children).get_mut(&self.number) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The most memory it has had resident so far; `None` where the system does not say.
    pub(super) fn peak_memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    }

    /// The end of its log, or of what it printed where the log is empty.
    pub(super) fn tail(&self) -> String {
        let tail = tail(&self.log);
        if tail.is_empty() { tail_or(&self.out) } else { tail }
    }
}

fn tail_or(path: &Path) -> String {
    let tail = tail(path);
    if tail.is_empty() { "(nothing was printed)".into() } else { tail }
}

/// The last lines of a file.
fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(TAIL_BYTES);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    let text = match (from, text.split_once('\n')) {
        (1.., Some((_, whole))) => whole.to_owned(),
        _ => text,
    };
    text.trim_end().lines().map(|line| format!("  | {line}\n")).collect::<String>().trim_end().to_owned()
}

fn read_text(path: &Path) -> Result<String, ProcessTrouble> {
    use io::Read as _;
    let trouble = |source| ProcessTrouble::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)).map_err(trouble)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Free ports on 127.0.0.1, all different. Below the range from which the system takes ports for outgoing connections, so that
/// none of ours is gone when a killed process wants its port back.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>, ProcessTrouble> {
    const FROM: u16 = 18_000;
    const TO: u16 = 31_000;
    // Demos side by side begin at different places.
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(TO - FROM)).unwrap_or(0);
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for step in 0..(TO - FROM) {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = FROM + (start + step) % (TO - FROM);
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            ports.push(port);
        }
    }
    Err(ProcessTrouble::Ports { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes() -> (tempfile::TempDir, Processes) {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new("/bin".into(), folder.path()).unwrap();
        (folder, processes)
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_is_the_last_line_that_a_command_prints() {
        let (_folder, processes) = processes();
        let answer = processes.ask("talk", "sh", ["-c", "echo hello; echo '{\"a\":1}'"], SOON).unwrap();
        assert_eq!(answer["a"], 1);
    }

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let (_folder, processes) = processes();
        let error = processes.ask("fail", "sh", ["-c", "echo the disk is full >&2; exit 3"], SOON).unwrap_err();
        assert!(matches!(error, ProcessTrouble::Failed { .. }));
        assert!(error.to_string().contains("the disk is full") && error.to_string().contains("fail.log"), "{error}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        let (_folder, processes) = processes();
        let error = processes.ask("long", "sleep", ["100"], Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessTrouble::TooLong { .. }), "{error}");
        assert!(lock(&processes.inner.children).values_mut().all(|child| child.try_wait().unwrap().is_some()));
    }

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let (_folder, processes) = processes();
        let error = processes.program("no-such-program").unwrap_err().to_string();
        assert!(error.contains("cargo build"), "{error}");
    }

    #[test]
    fn whatever_was_started_dies_with_the_last_handle() {
        let (_folder, processes) = processes();
        let running = processes.start("sleeper", "sleep", ["100"]).unwrap();
        let pid = running.pid;
        let alive = || Path::new(&format!("/proc/{pid}")).exists();
        assert!(alive());
        drop(running);
        assert!(alive());
        drop(processes);
        assert!(!alive());
    }

    #[test]
    fn nothing_starts_once_all_were_killed() {
        let (_folder, processes) = processes();
        let running = processes.start("sleeper", "sleep", ["100"]).unwrap();
        processes.kill_all();
        assert!(matches!(running.wait(SOON), Err(ProcessTrouble::Interrupted)));
        assert!(matches!(processes.start("late", "sleep", ["1"]), Err(ProcessTrouble::Interrupted)));
    }

    #[test]
    fn a_daemon_that_ends_by_itself_is_a_failure_with_its_log() {
        let (_folder, processes) = processes();
        let running = processes.start("brief", "sh", ["-c", "echo ready rpc=1; echo oh no >&2"]).unwrap();
        assert_eq!(running.says("ready ", SOON).unwrap(), "rpc=1");
        let error = running.says("never", SOON).unwrap_err();
        assert!(error.to_string().contains("oh no"), "{error}");
    }

    #[test]
    fn peak_memory_is_read_from_the_system() {
        let (_folder, processes) = processes();
        let running = processes.start("sleeper", "sleep", ["100"]).unwrap();
        if cfg!(target_os = "linux") {
            // Just started it has hardly any yet.
            let begun = Instant::now();
            while running.peak_memory_bytes().unwrap() < 100_000 {
                assert!(begun.elapsed() < SOON);
                thread::sleep(Duration::from_millis(5));
            }
        }
        running.kill();
        assert_eq!(running.peak_memory_bytes(), None);
    }

    #[test]
    fn ports_are_free_and_different() {
        let ports = free_ports(12).unwrap();
        let different: std::collections::BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(different.len(), 12);
        assert!(ports.iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()));
    }
}
