//! Command line: what is typed, what is printed, how it ends.

use crate::{
    demo,
    election_file::TEMPLATE,
    enrolment::Enrolment,
    home::{Home, HomeTrouble},
    project::{Ca, Project, ProjectTrouble},
    record::RecordTrouble,
    roll_file,
    stages::{self, KeysUntil, Patience, StageTrouble},
    tell::Tell,
};
use clap::{Parser, Subcommand, ValueEnum};
use runtime::{entropy::OsEntropy, files};
use serde_json::{Value, json};
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

const EXIT_FAILED: u8 = 1;
const EXIT_INPUT: u8 = 2;
const EXIT_NOT_YET: u8 = 3;

/// Creates, runs, watches and exports elections.
///
/// The usual order: init, enrol, new, create, keys, open, watch, close, tally, anchor, export. Every command may be run
/// again: what is done is found done. Exit codes: 0 done, 1 failed or refused, 2 bad input or usage, 3 not yet (run again).
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The project folder.
    #[arg(long, global = true, default_value = ".")]
    project: PathBuf,
    /// Print the result as one JSON object on the last line.
    #[arg(long, global = true)]
    json: bool,
    /// No progress on the standard error.
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a project folder with the official's keys.
    Init {
        /// The folder.
        dir: PathBuf,
        /// The official's name, as trustees and voters will see it.
        #[arg(long, default_value = "official")]
        name: String,
        /// Make a certification authority, which issues a certificate to everybody who is enrolled.
        #[arg(long, conflicts_with_all = ["ca_cert", "ca_key"])]
        ca: bool,
        /// Certificate (PEM) of an existing authority.
        #[arg(long, requires = "ca_key")]
        ca_cert: Option<PathBuf>,
        /// Its Ed25519 key (PKCS#8 PEM, mode 0600).
        #[arg(long, requires = "ca_cert")]
        ca_key: Option<PathBuf>,
    },
    /// Take in enrolment files of trustees, shards and other officials: all of them or none. Writes circle.toml.
    Enrol {
        /// Files that `trustee init`, `coordinator init` and `ceremony init` wrote.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Take new keys or addresses of members who are enrolled already.
        #[arg(long)]
        replace: bool,
    },
    /// Print a commented election file.
    Template,
    /// For the registrar of voters.
    Registrar {
        #[command(subcommand)]
        command: RegistrarCommand,
    },
    /// Check an election file and a voter roll and make the manifest of them.
    New {
        /// The election file.
        election: PathBuf,
        /// The voter roll: CSV with the columns voter, style, weight, key.
        #[arg(long)]
        roll: PathBuf,
    },
    /// List the elections of this project.
    List,
    /// Announce the election to its home shard and hand over the voter roll.
    Create(Stage),
    /// Wait for the key ceremony, showing who is awaited.
    Keys {
        #[command(flatten)]
        stage: Stage,
        /// Up to where: `certified` (the group's address exists and can be given money) or `ready` (may be opened).
        #[arg(long, value_enum, default_value_t = Until::Ready)]
        until: Until,
        /// Ask for another attempt, after a trustee gave up the current one.
        #[arg(long)]
        next_attempt: bool,
    },
    /// Ask the trustees to open the election, and wait until they have.
    Open(Stage),
    /// Show what happens, live, until the election is over.
    Watch(Stage),
    /// Ask the trustees to close the election, and wait until they have.
    Close(Stage),
    /// Wait for the result, and show it.
    Tally(Stage),
    /// Wait until vote set and result are anchored.
    Anchor(Stage),
    /// Show where the election stands.
    Status(Stage),
    /// Write the election record.
    Export {
        /// The directory to make.
        dir: PathBuf,
        /// The election: the first digits of its id. Not needed if there is only one.
        #[arg(long)]
        election: Option<String>,
    },
    Demo(Box<demo::Args>),
}

#[derive(Debug, Clone, clap::Args)]
struct Stage {
    /// The election: the first digits of its id. Not needed if there is only one.
    #[arg(long)]
    election: Option<String>,
    /// Stop waiting after so many seconds (exit code 3); 0: never.
    #[arg(long, default_value_t = 0)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Until {
    Certified,
    Ready,
}

#[derive(Debug, Subcommand)]
enum RegistrarCommand {
    /// Make a key for each voter. Existing keys stay.
    Keys {
        /// CSV with the columns voter, style and, if wanted, weight.
        #[arg(long)]
        voters: PathBuf,
        /// Directory for keys.csv (secret: to the voters, nobody else) and roll.csv (to the official).
        #[arg(long)]
        out: PathBuf,
    },
}

/// Runs a command; the exit code says how it went.
pub async fn main(args: Args) -> ExitCode {
    if let Command::Demo(demo) = &args.command {
        return demo::run(demo, args.json);
    }
    let tell = Tell { json: args.json, quiet: args.quiet };
    match run(args, tell).await {
        Ok(Answer { object, text }) => {
            if tell.json {
                say(&object.to_string());
            } else if !text.is_empty() {
                say(text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (code, text) = (exit_code(&error), chain_text(&error));
            if tell.json {
                say(&json!({ "error": &text, "exit": code }).to_string());
            }
            let _ = writeln!(io::stderr(), "error: {text}");
            ExitCode::from(code)
        }
    }
}

/// The standard output may be a pipe that nobody reads any more: that is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The whole chain of causes, without those whose words the error above them has.
fn chain_text(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

/// What a command answers: for programs, for people.
struct Answer {
    object: Value,
    text: String,
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(trouble) = error.downcast_ref::<StageTrouble>() {
        return match trouble {
            StageTrouble::TimeOut { .. } | StageTrouble::TooEarly { .. } => EXIT_NOT_YET,
            StageTrouble::Home(HomeTrouble::Project(_)) => EXIT_INPUT,
            StageTrouble::Record(trouble) if matches!(**trouble, RecordTrouble::NotYet { .. }) => EXIT_NOT_YET,
            _ => EXIT_FAILED,
        };
    }
    if matches!(error.downcast_ref(), Some(RecordTrouble::NotYet { .. })) {
        return EXIT_NOT_YET;
    }
    let input = error.is::<ProjectTrouble>()
        || error.is::<crate::enrolment::EnrolTrouble>()
        || error.is::<roll_file::RollFileRefusal>()
        || error.is::<files::FileTrouble>();
    if input { EXIT_INPUT } else { EXIT_FAILED }
}

async fn run(args: Args, tell: Tell) -> anyhow::Result<Answer> {
    let Args { project, command, .. } = args;
    match command {
        Command::Init { dir, name, ca, ca_cert, ca_key } => init(&dir, &name, ca, ca_cert, ca_key),
        Command::Enrol { files, replace } => enrol(&Project::open(&project)?, &files, replace),
        Command::Template => Ok(Answer { object: json!({ "template": TEMPLATE }), text: TEMPLATE.to_owned() }),
        Command::Registrar { command: RegistrarCommand::Keys { voters, out } } => registrar(&voters, &out),
        Command::New { election, roll } => new(&Project::open(&project)?, &election, &roll),
        Command::List => list(&Project::open(&project)?),
        Command::Export { dir, election } => {
            let project = Project::open(&project)?;
            let stored = project.election(election.as_deref())?;
            let home = Home::new(&project, stored)?;
            let record = stages::gather(&home, tell).await?;
            let new = record.write(&dir)?;
            let mut object = serde_json::to_value(record.summary()?)?;
            if let Value::Object(fields) = &mut object {
                fields.insert("record".into(), dir.display().to_string().into());
            }
            let verb = if new { "is written to" } else { "was already in" };
            let text = format!("the record {verb} {}\n{}", dir.display(), results(&object));
            Ok(Answer { object, text })
        }
        Command::Create(stage) => staged(&project, &stage, tell, Step::Create).await,
        Command::Keys { stage, until, next_attempt } => {
            let until = match until {
                Until::Certified => KeysUntil::Certified,
                Until::Ready => KeysUntil::Ready,
            };
            staged(&project, &stage, tell, Step::Keys { until, next_attempt }).await
        }
        Command::Open(stage) => staged(&project, &stage, tell, Step::Open).await,
        Command::Watch(stage) => staged(&project, &stage, tell, Step::Watch).await,
        Command::Close(stage) => staged(&project, &stage, tell, Step::Close).await,
        Command::Tally(stage) => staged(&project, &stage, tell, Step::Tally).await,
        Command::Anchor(stage) => staged(&project, &stage, tell, Step::Anchor).await,
        Command::Status(stage) => staged(&project, &stage, tell, Step::Status).await,
        // Has its own answer and exit code; see `main`.
        Command::Demo(_) => Ok(Answer { object: Value::Null, text: String::new() }),
    }
}

enum Step {
    Create,
    Keys { until: KeysUntil, next_attempt: bool },
    Open,
    Watch,
    Close,
    Tally,
    Anchor,
    Status,
}

async fn staged(project: &Path, stage: &Stage, tell: Tell, step: Step) -> anyhow::Result<Answer> {
    let project = Project::open(project)?;
    let stored = project.election(stage.election.as_deref())?;
    let mut home = Home::new(&project, stored)?;
    let patience = Patience((stage.timeout > 0).then_some(stage.timeout));
    let home = &mut home;
    let object = match step {
        Step::Create => stages::create(home, tell, patience).await,
        Step::Keys { until, next_attempt } => stages::keys(home, tell, patience, until, next_attempt).await,
        Step::Open => stages::open(home, tell, patience).await,
        Step::Watch => stages::watch(home, tell, patience).await,
        Step::Close => stages::close(home, tell, patience).await,
        Step::Tally => stages::tally(home, tell, patience).await,
        Step::Anchor => stages::anchor(home, tell, patience).await,
        Step::Status => stages::report(home).await,
    }?;
    let text = status_text(&object);
    Ok(Answer { object, text })
}

fn init(dir: &Path, name: &str, ca: bool, ca_cert: Option<PathBuf>, ca_key: Option<PathBuf>) -> anyhow::Result<Answer> {
    let ca = match (ca, ca_cert, ca_key) {
        (_, Some(certificate), Some(key)) => Ca::Existing { certificate, key },
        (true, ..) => Ca::New,
        _ => Ca::None,
    };
    let project = Project::init(dir, name, &ca)?;
    let own = project.own_enrolment();
    let object = json!({ "project": dir.display().to_string(), "name": own.name, "identity": own.identity,
        "tls_pin": own.tls_pin, "circle": project.circle_path().display().to_string() });
    let text = format!(
        "project {} of {}\nidentity {}\n\nnext: collect the enrolment files of trustees and shards, then\n  ceremony --project {} enrol FILE...",
        dir.display(),
        own.name,
        own.fingerprint(),
        dir.display()
    );
    Ok(Answer { object, text })
}

fn enrol(project: &Project, files: &[PathBuf], replace: bool) -> anyhow::Result<Answer> {
    let new = files.iter().map(|path| Enrolment::read(path)).collect::<Result<Vec<_>, _>>()?;
    let members = project.enrol(new, replace)?;
    let circle = project.circle_path();
    let mut text = String::from("compare these fingerprints with each member by telephone or in person:\n");
    for member in members.all() {
        text += &format!("  {:8} {:16} {}\n", member.role.to_string(), member.name, member.fingerprint());
    }
    text += &format!("\nnext: give {} to every trustee and shard", circle.display());
    let list = members.all().map(|m| {
        json!({ "name": m.name, "role": m.role.to_string(), "identity": m.identity, "tls_pin": m.tls_pin,
            "address": m.address, "public_address": m.public_address })
    });
    let object = json!({ "circle": circle.display().to_string(), "members": list.collect::<Vec<_>>() });
    Ok(Answer { object, text })
}

fn registrar(voters: &Path, out: &Path) -> anyhow::Result<Answer> {
    const CSV_BYTES_MAX: u64 = 1 << 30;
    let csv = files::read_limited(voters, CSV_BYTES_MAX)?;
    files::create_private_dir(out)?;
    let (keys, roll) = (out.join("keys.csv"), out.join("roll.csv"));
    let existing = if keys.exists() { Some(files::read_private(&keys, CSV_BYTES_MAX)?) } else { None };
    let existing = existing.as_ref().map(|bytes| bytes.as_slice());
    let made = roll_file::register(csv.as_slice(), existing, &mut OsEntropy)?;
    files::write_private(&keys, made.keys.as_bytes())?;
    files::write_atomic(&roll, made.roll.as_bytes())?;
    let object = json!({ "keys": keys.display().to_string(), "roll": roll.display().to_string(),
        "voters": made.voters, "new": made.new });
    let text = format!(
        "{} voters, {} new keys\n{}: secret, to the voters\n{}: to the official",
        made.voters,
        made.new,
        keys.display(),
        roll.display()
    );
    Ok(Answer { object, text })
}

fn new(project: &Project, election: &Path, roll: &Path) -> anyhow::Result<Answer> {
    let (stored, existed) = project.new_election(election, roll)?;
    let manifest = &stored.manifest;
    let quorums = manifest.quorums;
    let object = json!({ "election_id": stored.id.to_string(), "title": manifest.title, "existed": existed,
        "voters": manifest.roll.voters, "weight_total": manifest.roll.weight_total,
        "manifest": stored.dir.join("manifest.bin").display().to_string(),
        "quorums": { "n": manifest.n(), "f": quorums.f, "c": quorums.c, "t": quorums.t, "s": quorums.s, "q": quorums.q,
            "w": quorums.w } });
    let liars =
        if quorums.f == 0 { "NO lying trustee is survived".to_owned() } else { format!("{} may lie", quorums.f) };
    let text = format!(
        "election {}\n{}: {} voters, {} trustees ({liars}; {} decrypt, {} sign, {} certify), home {}\n\nnext: ceremony create --election {}",
        stored.id,
        manifest.title,
        manifest.roll.voters,
        manifest.n(),
        quorums.t,
        quorums.s,
        quorums.q,
        manifest.home_shard().map_or("", |shard| shard.name.as_str()),
        stored.id.to_string().get(..8).unwrap_or_default()
    );
    Ok(Answer { object, text })
}

fn list(project: &Project) -> anyhow::Result<Answer> {
    let all = project.elections()?;
    let text = all.iter().map(|stored| format!("{} {}\n", stored.id, stored.manifest.title)).collect();
    let list = all.iter().map(|s| json!({ "election_id": s.id.to_string(), "title": s.manifest.title }));
    Ok(Answer { object: json!({ "elections": list.collect::<Vec<_>>() }), text })
}

fn status_text(object: &Value) -> String {
    let field = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| object.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut text = format!("{} ({})\nstage {}\n", field("title"), field("election_id"), field("stage"));
    if !field("group_address").is_empty() {
        text += &format!("group address {} (pays for the anchors: needs about 0.0024 SOL)\n", field("group_address"));
    }
    if number("logged") > 0 || number("rejected") > 0 {
        text += &format!("{} ballots in the log, {} rejected\n", number("logged"), number("rejected"));
    }
    for awaited in object.get("awaiting").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| awaited.get(name).and_then(Value::as_str).unwrap_or_default();
        text += &format!("awaited: {}: {}\n", of("who"), of("what"));
    }
    for trouble in object.get("troubles").and_then(Value::as_array).into_iter().flatten() {
        text += &format!("trouble: {}\n", trouble.as_str().unwrap_or_default());
    }
    for anchor in object.get("anchors").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| anchor.get(name).and_then(Value::as_str).unwrap_or_default();
        text += &format!("anchored: {} {}\n", of("kind"), of("signature"));
    }
    text + &results(object)
}

/// Totals, where the object has them.
fn results(object: &Value) -> String {
    let mut text = String::new();
    for contest in object.get("contests").and_then(Value::as_array).into_iter().flatten() {
        text += &format!("\n{}\n", contest.get("title").and_then(Value::as_str).unwrap_or_default());
        let totals = contest.get("totals").and_then(Value::as_object);
        let mut totals: Vec<(u64, &String)> =
            totals.into_iter().flatten().map(|(option, votes)| (votes.as_u64().unwrap_or_default(), option)).collect();
        totals.sort_by_key(|(votes, option)| (std::cmp::Reverse(*votes), *option));
        for (votes, option) in totals {
            text += &format!("{votes:>10}  {option}\n");
        }
        if let Some(blank) = contest.get("blank").and_then(Value::as_u64) {
            text += &format!("{blank:>10}  (blank)\n");
        }
        if contest.get("tie").is_some_and(Value::is_object) {
            text += "            there is a tie at the last seats\n";
        }
    }
    text
}
