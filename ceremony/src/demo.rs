//! `ceremony demo`: real elections with real processes on this machine, from keys to an audited result.
//!
//! Everything is done by the programs that people use, started as they would start them, and nothing is known of the inside:
//! trustees, shards and a ledger as daemons, officials' and voters' commands, the auditor at the end. Some are killed on the
//! way and started again.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use clap::ValueEnum;
use serde_json::Value;

mod data;
mod processes;
mod report;
mod setup;
mod show;
mod stages;

use data::{DataRefusal, Input};
use processes::{ProcessTrouble, Processes};
use show::{Show, say};

const TRUSTEES_MAX: u16 = 50;
const INTERRUPTED: u8 = 130;

/// Hold real elections with real processes on this machine, from keys to an audited result.
///
/// Four trustees, two coordinator shards, a local Solana ledger, two elections at once. By default one shard is killed
/// during voting and one trustee during the tally (kill -9). Exit code 0 only if every audit is valid and all totals equal
/// the ballots that were put in.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The local ledger's program, as `scripts/devnet/ledger.sh --build` prints it. Without it: `ledger` beside this program.
    #[arg(long, value_name = "PATH")]
    ledger: Option<PathBuf>,
    /// Ballots of your own instead of the bundled ones; given twice, two elections.
    ///
    /// CSV: one column per contest, one row per ballot, cells with the option or several separated by `|`, empty for a blank;
    /// a column `count` for many equal ones. Or cast vote records with `choice1`, `choice2`, ...: first preferences count.
    #[arg(long, value_name = "FILE")]
    ballots: Vec<PathBuf>,
    /// How many trustees.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=i64::from(TRUSTEES_MAX)))]
    trustees: u16,
    /// How many of them open and sign the result. Default: more than half of all and of those who might lie together.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(2..=i64::from(TRUSTEES_MAX)))]
    threshold: Option<u16>,
    /// Only so many ballots of each election.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Keep everything in this folder, which has to be new or empty: records, logs, keys, stores.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Keep the trustees' identity keys in hardware tokens, or what stands in for them.
    #[arg(long, value_enum)]
    hsm: Option<Hsm>,
    /// Kill nobody.
    #[arg(long)]
    calm: bool,
}

/// Tokens that the demo can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hsm {
    /// SoftHSM2 (Debian: apt-get install softhsm2).
    Softhsm,
}

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoTrouble {
    #[error(transparent)]
    Process(#[from] ProcessTrouble),
    #[error(transparent)]
    Data(#[from] DataRefusal),
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    PrivateFile(runtime::files::FileTrouble),
    #[error("{path} is not empty; --keep needs a new or empty folder", path = path.display())]
    NotEmpty { path: PathBuf },
    #[error("--threshold {threshold} of --trustees {trustees}: it can be at most the number of trustees")]
    Threshold { threshold: u16, trustees: u16 },
    #[error("there is no ledger: run ./scripts/demo.sh, or give --ledger \"$(scripts/devnet/ledger.sh --build)\"")]
    NoLedger,
    #[error("{name} does not answer at {address}; its log is {log}:\n{tail}", log = log.display())]
    NotReady { name: String, address: String, log: PathBuf, tail: String },
    #[error("{whose} did not say {key:?}")]
    NoField { whose: String, key: String },
    #[error("{voters} ballots of {title} were not recorded; see {receipts}", receipts = receipts.display())]
    NotCast { title: String, voters: u64, receipts: PathBuf },
    #[error("{title} was not announced to {trustee} within {seconds} s; its log is {log}", log = log.display())]
    NotAnnounced { title: String, trustee: String, seconds: u64, log: PathBuf },
    #[error("the election file cannot be written: {0}")]
    Toml(toml::ser::Error),
    #[error("the choices cannot be written: {0}")]
    Csv(#[from] csv::Error),
    #[error("not as it has to be:\n  {}", .0.join("\n  "))]
    Faults(Vec<String>),
}

impl DemoTrouble {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// 2: something was asked for that cannot be.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Data(_) | Self::NotEmpty { .. } | Self::Threshold { .. } | Self::NoLedger => 2,
            Self::Process(ProcessTrouble::Missing { .. }) => 2,
            Self::Process(ProcessTrouble::Interrupted) => INTERRUPTED,
            _ => 1,
        }
    }
}

/// Holds the elections. With `json` the last line on the standard output is one object.
///
/// Blocks until the end. SIGINT and SIGTERM end it and everything that it started.
#[must_use]
pub fn run(args: &Args, json: bool) -> ExitCode {
    let mut show = Show::new();
    match prepared(args, &mut show) {
        Ok(object) => {
            if json {
                say(&object.to_string());
            }
            ExitCode::SUCCESS
        }
        Err(Ended { trouble, object, folder }) => {
            eprintln!("\nerror: {trouble}");
            if let Some(folder) = folder {
                eprintln!(
                    "everything is in {}, each process's output in {}",
                    folder.display(),
                    folder.join("logs").display()
                );
            }
            if json {
                let failed = serde_json::json!({ "ok": false, "error": trouble.to_string() });
                let mut object = object.unwrap_or_else(|| failed.clone());
                if let (Some(object), Some(failed)) = (object.as_object_mut(), failed.as_object()) {
                    object.extend(failed.clone());
                }
                say(&object.to_string());
            }
            ExitCode::from(trouble.exit_code())
        }
    }
}

/// A demo that went wrong, as far as it came.
struct Ended {
    trouble: Box<DemoTrouble>,
    object: Option<Value>,
    folder: Option<PathBuf>,
}

impl<T: Into<DemoTrouble>> From<T> for Ended {
    fn from(trouble: T) -> Self {
        Self { trouble: Box::new(trouble.into()), object: None, folder: None }
    }
}

fn prepared(args: &Args, show: &mut Show) -> Result<Value, Ended> {
    if let Some(threshold) = args.threshold.filter(|threshold| *threshold > args.trustees) {
        return Err(DemoTrouble::Threshold { threshold, trustees: args.trustees }.into());
    }
    let inputs = inputs(args)?;
    let own = std::env::current_exe().map_err(|source| DemoTrouble::file(Path::new("this program"), source))?;
    let programs = own.parent().unwrap_or(Path::new(".")).to_owned();
    let folder = Folder::new(args)?;
    let processes = Processes::new(programs, &folder.path)?;
    for program in ["coordinator", "trustee", "booth", "audit", "anchor-tool"] {
        processes.program(program)?;
    }
    kill_all_on_signals(&processes)?;
    let guard = KillAll(processes.clone());
    let held = stages::hold(args, &processes, &folder.path, inputs, show);
    drop(guard);
    let failed = |trouble, object| Ended { trouble: Box::new(trouble), object, folder: Some(folder.path.clone()) };
    match held {
        Ok((object, faults)) if faults.is_empty() => {
            match &args.keep {
                Some(_) => say(&format!("\nall is right; everything is kept in {}", folder.path.display())),
                None => {
                    folder.remove();
                    say("\nall is right (--keep DIR keeps records and logs)");
                }
            }
            Ok(object)
        }
        Ok((object, faults)) => Err(failed(DemoTrouble::Faults(faults), Some(object))),
        Err(trouble) => Err(failed(trouble, None)),
    }
}

fn inputs(args: &Args) -> Result<Vec<Input>, DemoTrouble> {
    let mut inputs = if args.ballots.is_empty() {
        data::bundled()?
    } else {
        args.ballots.iter().map(|path| data::from_file(path)).collect::<Result<Vec<_>, _>>()?
    };
    let limit = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    for at in 0..inputs.len() {
        // The same file twice is two elections all the same.
        let taken = |key: &str| inputs.iter().take(at).any(|other| other.key == key);
        let Some(mut key) = inputs.get(at).map(|input| input.key.clone()) else { continue };
        while taken(&key) {
            key.push_str("-again");
        }
        if let Some(input) = inputs.get_mut(at) {
            if key != input.key {
                input.title.push_str(" (again)");
            }
            input.key = key;
            input.arrange(limit);
        }
    }
    Ok(inputs)
}

/// Kills everything when it goes out of scope, a panic included.
struct KillAll(Processes);

impl Drop for KillAll {
    fn drop(&mut self) {
        self.0.kill_all();
    }
}

/// On Ctrl-C nothing of ours stays behind: whatever is waited for ends as interrupted.
fn kill_all_on_signals(processes: &Processes) -> Result<(), DemoTrouble> {
    let processes = processes.clone();
    let no_signals = |source| DemoTrouble::Process(ProcessTrouble::Start { name: "signal handling".into(), source });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_signals)?;
    thread::spawn(move || {
        runtime.block_on(async {
            let Ok(shutdown) = runtime::Shutdown::on_signals() else { return };
            shutdown.requested().await;
            processes.kill_all();
        });
    });
    Ok(())
}

/// The demo's folder: to be kept, or for now.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(args: &Args) -> Result<Self, DemoTrouble> {
        let (path, temporary) = match &args.keep {
            Some(path) => {
                if path.exists() && path.read_dir().map_err(|source| DemoTrouble::file(path, source))?.next().is_some()
                {
                    return Err(DemoTrouble::NotEmpty { path: path.clone() });
                }
                (path.clone(), false)
            }
            None => {
                let made = tempfile::Builder::new().prefix("conclave-demo-").tempdir();
                let made = made.map_err(|source| DemoTrouble::file(&std::env::temp_dir(), source))?;
                // Ours to remove: after a failure it stays, for its logs.
                (made.keep(), true)
            }
        };
        // Empty and about to hold keys: whatever its mode was.
        #[cfg(unix)]
        if path.exists() {
            use std::os::unix::fs::PermissionsExt as _;
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&path, private).map_err(|source| DemoTrouble::file(&path, source))?;
        }
        runtime::files::create_private_dir(&path).map_err(DemoTrouble::PrivateFile)?;
        let path = path.canonicalize().map_err(|source| DemoTrouble::file(&path, source))?;
        Ok(Self { path, temporary })
    }

    fn remove(&self) {
        if self.temporary {
            // What cannot be removed is in the system's folder for such things.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Args {
        Line::try_parse_from(["demo"].iter().chain(line)).unwrap().args
    }

    #[test]
    fn more_than_all_trustees_are_refused() {
        let ended = prepared(&parse(&["--trustees", "4", "--threshold", "5"]), &mut Show::new()).unwrap_err();
        assert!(matches!(*ended.trouble, DemoTrouble::Threshold { threshold: 5, trustees: 4 }));
        assert_eq!(ended.trouble.exit_code(), 2);
        assert!(Line::try_parse_from(["demo", "--trustees", "1"]).is_err());
        assert!(Line::try_parse_from(["demo", "--limit", "0"]).is_err());
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        let refused = Folder::new(&parse(&["--keep", &dir.path().display().to_string()])).err().unwrap();
        assert!(matches!(refused, DemoTrouble::NotEmpty { .. }), "{refused}");
    }

    #[test]
    fn an_empty_folder_becomes_private_whatever_it_was() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let kept = Folder::new(&parse(&["--keep", &dir.path().display().to_string()])).unwrap();
        assert_eq!(std::fs::metadata(&kept.path).unwrap().permissions().mode() & 0o777, 0o700);
        let temporary = Folder::new(&parse(&[])).unwrap();
        assert!(temporary.path.exists());
        temporary.remove();
        assert!(!temporary.path.exists());
        kept.remove();
        assert!(kept.path.exists());
    }

    #[test]
    fn the_same_file_twice_makes_two_elections() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("club.csv");
        std::fs::write(&path, "chair\nAda\n").unwrap();
        let path = path.display().to_string();
        let inputs = inputs(&parse(&["--ballots", &path, "--ballots", &path])).unwrap();
        assert_eq!(inputs.iter().map(|input| input.key.as_str()).collect::<Vec<_>>(), ["club", "club-again"]);
    }
}
