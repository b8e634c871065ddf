//! Processes that may be killed, stopped and started again, and that are all dead at the end, whatever happens.
//!
//! A small shell process waits for the end of ours, however that comes about, and then kills what is left and takes down what
//! was mounted.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Bytes of a log that are shown when something fails.
const TAIL_BYTES: usize = 3000;

/// Reads `pid N`, `gone N` and `mount PATH` lines; at the end of its input, which is the end of our process, it puts an end to
/// all of them.
const UNDERTAKER: &str = r#"
pids=' '; mounts=''
while read -r what which; do
    case $what in
        pid) pids="$pids$which " ;;
        gone) case $pids in *" $which "*) pids="${pids%% $which *} ${pids#* $which }" ;; esac ;;
        mount) mounts="$mounts $which" ;;
    esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
for path in $mounts; do umount -l "$path" 2>/dev/null; done
exit 0
"#;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts processes, and ends them. Clones share.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    programs: PathBuf,
    logs: PathBuf,
    undertaker: Mutex<(Child, ChildStdin)>,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for child in lock(&self.children).drain(..) {
            let mut child = lock(&child);
            let _ = (child.kill(), child.wait());
        }
    }
}

impl Processes {
    /// `programs` is the folder of our binaries; logs go to `logs`.
    #[must_use]
    pub(crate) fn new(programs: &Path, logs: &Path) -> Self {
        fs::create_dir_all(logs).unwrap();
        use std::os::unix::process::CommandExt as _;
        // Its own group: what ends us by a signal to our group does not end it.
        let mut undertaker = Command::new("sh")
            .args(["-c", UNDERTAKER])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = undertaker.stdin.take().unwrap();
        let inner = Inner {
            programs: programs.to_owned(),
            logs: logs.to_owned(),
            undertaker: Mutex::new((undertaker, stdin)),
            children: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn tell_undertaker(&self, line: &str) {
        let mut undertaker = lock(&self.inner.undertaker);
        writeln!(undertaker.1, "{line}").unwrap();
    }

    /// Something that is mounted, to be taken down in the end.
    pub(crate) fn mounted(&self, path: &Path) {
        self.tell_undertaker(&format!("mount {}", path.display()));
    }

    /// One of our programs.
    #[must_use]
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let path = self.inner.programs.join(name);
        assert!(path.is_file(), "{} is missing: cargo build --workspace", path.display());
        path
    }

    /// Starts a program. `name` names its logs, which are appended to.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Running {
        let open = |ending: &str| {
            let path = self.inner.logs.join(format!("{name}.{ending}"));
            (OpenOptions::new().create(true).append(true).open(&path).unwrap(), path)
        };
        let ((out_file, out), (log_file, log)) = (open("out"), open("log"));
        let printed_from = fs::metadata(&out).map_or(0, |found| found.len());
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(out_file).stderr(log_file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let pid = child.id();
        self.tell_undertaker(&format!("pid {pid}"));
        let child = Arc::new(Mutex::new(child));
        lock(&self.inner.children).push(Arc::clone(&child));
        Running { processes: self.clone(), name: name.to_owned(), pid, child, out, log, printed_from }
    }

    /// Runs one of our programs to its end, which has to be a success; gives what it printed last.
    pub(crate) fn ask<A: AsRef<OsStr>>(
        &self,
        name: &str,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        within: Duration,
    ) -> Value {
        self.start(name, &self.program(program), arguments).answer(within)
    }
}

/// A process.
#[derive(Debug)]
pub(crate) struct Running {
    processes: Processes,
    /// For people.
    pub(crate) name: String,
    pid: u32,
    child: Arc<Mutex<Child>>,
    out: PathBuf,
    log: PathBuf,
    printed_from: u64,
}

impl Running {
    /// How it ended, if it has.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let status = lock(&self.child).try_wait().unwrap();
        if status.is_some() {
            self.buried();
        }
        status
    }

    fn buried(&self) {
        let mut children = lock(&self.processes.inner.children);
        let before = children.len();
        children.retain(|child| !Arc::ptr_eq(child, &self.child));
        if children.len() < before {
            drop(children);
            self.processes.tell_undertaker(&format!("gone {}", self.pid));
        }
    }

    /// Waits for its end; it has to come in time.
    #[must_use]
    pub(crate) fn wait(&self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if begun.elapsed() > within {
                self.kill();
                panic!("{} did not end within {within:?}:\n{}", self.name, self.tail());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its success; gives what it printed last.
    #[must_use]
    pub(crate) fn answer(&self, within: Duration) -> Value {
        let status = self.wait(within);
        assert!(status.success(), "{}: {status}\n{}", self.name, self.tail());
        self.printed()
    }

    /// What it has printed since it was started: its last line as JSON, or all of it, or nothing.
    #[must_use]
    pub(crate) fn printed(&self) -> Value {
        let text = self.text();
        let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        serde_json::from_str(line).or_else(|_| serde_json::from_str(text.trim())).unwrap_or(Value::Null)
    }

    fn text(&self) -> String {
        let bytes = fs::read(&self.out).unwrap_or_default();
        let from = usize::try_from(self.printed_from).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line that begins with `word`; gives the rest of it.
    #[must_use]
    pub(crate) fn says(&self, word: &str, within: Duration) -> String {
        let begun = Instant::now();
        loop {
            if let Some(rest) = self.text().lines().find_map(|line| line.strip_prefix(word)) {
                return rest.trim().to_owned();
            }
            let status = self.ended();
            assert!(
                status.is_none() && begun.elapsed() < within,
                "{} did not say {word}: {status:?}\n{}",
                self.name,
                self.tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&self) {
        let mut child = lock(&self.child);
        // Gone already is as good.
        let _ = (child.kill(), child.wait());
        drop(child);
        self.buried();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        if self.ended().is_none() {
            let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid.to_string()]).status().unwrap();
            assert!(sent.success(), "kill -{signal} {}", self.name);
        }
    }

    /// Its number.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// All of its log.
    #[must_use]
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of its log and of what it printed.
    #[must_use]
    pub(crate) fn tail(&self) -> String {
        let end = |text: String| {
            let from = text.len().saturating_sub(TAIL_BYTES);
            let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(from);
            text.get(from..).unwrap_or_default().to_owned()
        };
        format!("{}\n{}", end(self.log()), end(self.text()))
    }
}

/// Free ports on 127.0.0.1, all different, below those that the system takes for outgoing connections: a killed process
/// finds its own free when it comes back.
#[must_use]
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    const FROM: u16 = 18_000;
    const TO: u16 = 31_000;
    let start = u16::try_from(std::process::id().wrapping_mul(131) % u32::from(TO - FROM)).unwrap();
    let listeners = (0..TO - FROM).filter_map(|step| {
        let port = FROM + (start + step) % (TO - FROM);
        std::net::TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (port, listener))
    });
    let held: Vec<_> = listeners.take(count).collect();
    assert_eq!(held.len(), count, "no free ports");
    held.into_iter().map(|(port, _)| port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn sleeper(processes: &Processes) -> Running {
        processes.start("sleeper", Path::new("/bin/sleep"), ["100"])
    }

    fn alive(pid: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    fn gone(pid: u32) -> bool {
        let begun = Instant::now();
        while alive(pid) && begun.elapsed() < SOON {
            thread::sleep(Duration::from_millis(10));
        }
        !alive(pid)
    }

    #[test]
    fn what_was_started_dies_with_the_last_handle() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(Path::new("/bin"), folder.path());
        let running = sleeper(&processes);
        let pid = running.pid();
        assert!(alive(pid));
        drop((running, processes));
        assert!(gone(pid));
    }

    #[test]
    fn what_nobody_ended_is_ended_by_the_undertaker() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(Path::new("/bin"), folder.path());
        let (running, ended) = (sleeper(&processes), sleeper(&processes));
        ended.kill();
        let (one, other) = (running.pid(), ended.pid());
        // As when our process is killed: nothing of ours runs any more, only the pipe is closed.
        let mut undertaker = lock(&processes.inner.undertaker);
        let mut short = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let closed = std::mem::replace(&mut undertaker.1, short.stdin.take().unwrap());
        drop(closed);
        assert!(undertaker.0.wait().unwrap().success());
        drop(undertaker);
        assert!(gone(one) && !alive(other));
        short.wait().unwrap();
        // The pipe that stands in for the real one is broken.
        std::mem::forget((running, ended));
    }

    #[test]
    fn a_stopped_process_goes_on_when_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let processes = Processes::new(Path::new("/bin"), folder.path());
        let running = processes.start("slow", Path::new("/bin/sh"), ["-c", "sleep 0.3; echo done"]);
        running.signal("STOP");
        thread::sleep(Duration::from_millis(600));
        assert!(running.ended().is_none());
        running.signal("CONT");
        assert!(running.wait(SOON).success());
        assert_eq!(running.says("do", SOON), "ne");
    }
}
