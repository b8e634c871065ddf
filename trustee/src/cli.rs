//! The command line, for somebody who uses it once a year.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use protocol::keeper::Decision;
use runtime::Shutdown;
use runtime::telemetry::{self, TelemetryTrouble};
use serde_json::json;

use crate::config::{Config, ConfigTrouble};
use crate::daemon::{self, Daemon, DaemonTrouble};
use crate::decision::{self, REASON_BYTES_MAX};
use crate::init::{self, CONFIG_FILE, ENROLMENT_FILE, InitTrouble, NewKeys, NewTrustee};
use crate::keystore::KeystoreError;
use crate::keystore::file::PassphraseCost;
use crate::view::{self, View, ViewTrouble};

/// How long `accept` and `refuse` wait for a running daemon to take the word.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Keeps one share of election keys, checks every ballot, and signs only what it has checked.
///
/// Once:        trustee init --dir ~/conclave ...    make keys; send enrol.toml to the official
///              put circle.toml, from the official, beside trustee.toml
/// Always:      trustee run                          leave it running from the key ceremony to the result
/// Per election: trustee elections, trustee show ID, then trustee accept ID or trustee refuse ID --reason TEXT
///
/// Exit codes: 0 done; 1 refused; 2 wrong usage or configuration; 70 stopped to keep a promise (look at the log).
#[derive(Debug, Parser)]
#[command(name = "trustee", version = runtime::version::BUILD, verbatim_doc_comment)]
pub struct Cli {
    /// The configuration that `trustee init` made.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// Answer in JSON, one object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make this trustee's keys, configuration and enrolment file. Once.
    ///
    /// Give a hardware token (--module, --token-label, --pin-file), or, for a trial, --file-keystore with
    /// --passphrase-file. PIN and passphrase are read from files that only you may read (chmod 600).
    Init(Box<InitArgs>),
    /// Run the daemon. It needs nobody until an election waits for your acceptance.
    ///
    /// NEVER restore its data folder from a backup and never run two daemons with the same keys: a trustee that
    /// forgets what it promised can be made to promise the opposite. If the disk is lost, say so; elections go on
    /// without you.
    Run,
    /// List the elections this trustee knows.
    Elections,
    /// Show all of an election's manifest: read it before you accept.
    Show {
        /// The election's id, or the beginning of it.
        election: String,
    },
    /// Accept an election: this trustee takes part. Cannot be taken back once it is on the record.
    Accept {
        /// The election's id, or the beginning of it.
        election: String,
    },
    /// Refuse an election: it will not take place under this manifest. The reason is public.
    Refuse {
        /// The election's id, or the beginning of it.
        election: String,
        /// Why, for everybody to read.
        #[arg(long)]
        reason: String,
    },
    /// Whether the daemon runs, and what each election waits for.
    Status,
    /// Prove that the keystore works: opens it, signs and seals. Stop the daemon first if the token has one session.
    Health,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder for keys, configuration and data.
    #[arg(long)]
    dir: PathBuf,
    /// Your trustee's name, unique among all trustees, shards and officials.
    #[arg(long)]
    name: String,
    /// Whom you answer to.
    #[arg(long)]
    organisation: String,
    /// Where the daemon runs.
    #[arg(long)]
    region: String,
    /// HOST:PORT under which the shards reach the daemon.
    #[arg(long)]
    address: String,
    /// IP:PORT on which the daemon listens, if it is another one (behind a router, say).
    #[arg(long)]
    listen: Option<String>,
    /// Label of the PKCS#11 token.
    #[arg(long, requires_all = ["module", "pin_file"])]
    token_label: Option<String>,
    /// PKCS#11 module of the token's maker, a shared library.
    #[arg(long, requires = "token_label")]
    module: Option<PathBuf>,
    /// File with the token's user PIN.
    #[arg(long, requires = "token_label")]
    pin_file: Option<PathBuf>,
    /// Allow a token that is only software. For trials.
    #[arg(long, requires = "token_label")]
    allow_software_token: bool,
    /// Keep the keys in an encrypted file. For trials: the file and its passphrase are the keys.
    #[arg(long, requires = "passphrase_file", conflicts_with = "token_label")]
    file_keystore: bool,
    /// File with the passphrase, at least 12 characters.
    #[arg(long, requires = "file_keystore")]
    passphrase_file: Option<PathBuf>,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum CliTrouble {
    #[error(transparent)]
    Config(#[from] ConfigTrouble),
    #[error(transparent)]
    Init(#[from] InitTrouble),
    #[error("give --token-label with --module and --pin-file, or --file-keystore with --passphrase-file")]
    NoKeystore,
    #[error(transparent)]
    Telemetry(#[from] TelemetryTrouble),
    #[error(transparent)]
    Metrics(#[from] runtime::metrics::MetricsTrouble),
    #[error(transparent)]
    Daemon(#[from] DaemonTrouble),
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    #[error(transparent)]
    View(#[from] ViewTrouble),
    #[error(transparent)]
    File(#[from] runtime::files::FileTrouble),
    #[error("the process cannot handle signals")]
    Signals(#[source] std::io::Error),
    #[error("the reason must be 1 to {max} bytes of text without control characters: it goes into the public record")]
    Reason { max: usize },
    #[error("this trustee has {said} the election already, and that is on the record")]
    Said { said: &'static str },
}

impl CliTrouble {
    /// 1: a person or the record says no. 2: something must be set right first.
    fn exit_code(&self) -> u8 {
        match self {
            Self::View(_) | Self::Said { .. } => 1,
            Self::Init(InitTrouble::Exists { .. } | InitTrouble::Keystore(KeystoreError::KeyExists { .. })) => 1,
            Self::Daemon(DaemonTrouble::Running { .. }) => 1,
            Self::Daemon(DaemonTrouble::Server(_) | DaemonTrouble::Task(_)) => 70,
            _ => 2,
        }
    }
}

/// Runs a command to its end.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives no threads: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            let text = with_causes(&trouble);
            if cli.json {
                println!("{}", json!({ "error": text, "exit": trouble.exit_code() }));
            }
            eprintln!("error: {text}");
            ExitCode::from(trouble.exit_code())
        }
    }
}

/// The message and its causes, unless a cause says what the message has said.
fn with_causes(trouble: &dyn std::error::Error) -> String {
    let mut text = trouble.to_string();
    let mut source = trouble.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

async fn run(cli: &Cli) -> Result<(), CliTrouble> {
    let config = || Config::read(&cli.config);
    match &cli.command {
        Command::Init(args) => init(cli, args),
        Command::Run => serve(cli, &config()?).await,
        Command::Elections => elections(cli, &config()?).await,
        Command::Show { election } => show(cli, &config()?, election).await,
        Command::Accept { election } => decide(cli, &config()?, election, Decision::Accept).await,
        Command::Refuse { election, reason } => {
            if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
                return Err(CliTrouble::Reason { max: REASON_BYTES_MAX });
            }
            decide(cli, &config()?, election, Decision::Refuse { reason: reason.clone() }).await
        }
        Command::Status => status(cli, &config()?).await,
        Command::Health => health(cli, &config()?),
    }
}

fn init(cli: &Cli, args: &InitArgs) -> Result<(), CliTrouble> {
    let keys = match (&args.token_label, &args.module, &args.pin_file, &args.passphrase_file) {
        (Some(label), Some(module), Some(pin_file), _) => NewKeys::Token {
            module: module.clone(),
            label: label.clone(),
            pin_file: pin_file.clone(),
            allow_software_token: args.allow_software_token,
        },
        (None, _, _, Some(passphrase_file)) => {
            NewKeys::File { passphrase_file: passphrase_file.clone(), cost: PassphraseCost::STANDARD }
        }
        _ => return Err(CliTrouble::NoKeystore),
    };
    let enrolment = init::init(&NewTrustee {
        folder: args.dir.clone(),
        name: args.name.clone(),
        organisation: args.organisation.clone(),
        region: args.region.clone(),
        address: args.address.clone(),
        listen: args.listen.clone(),
        keys,
    })?;
    let (config, enrol) = (args.dir.join(CONFIG_FILE), args.dir.join(ENROLMENT_FILE));
    if cli.json {
        let enrolment = json!({
            "name": enrolment.name, "identity": enrolment.identity, "tls_public": enrolment.tls_public,
            "tls_pin": enrolment.tls_pin, "address": enrolment.address, "config": config, "enrolment": enrol,
        });
        println!("{enrolment}");
        return Ok(());
    }
    println!("This trustee has its keys.\n");
    println!("  identity  {}", enrolment.identity);
    println!("  TLS pin   {}\n", enrolment.tls_pin);
    println!("Now:");
    println!("  1. Send {} to the official who runs the election.", enrol.display());
    println!("  2. Read the identity above to the official by telephone: it must be the one that arrived.");
    println!("  3. Put the circle.toml that the official sends you into {}.", args.dir.display());
    println!("  4. Start the daemon and leave it running:  trustee run --config {}", config.display());
    println!("  5. When an election is announced:  trustee elections, then show, then accept or refuse.");
    Ok(())
}

async fn serve(cli: &Cli, config: &Config) -> Result<(), CliTrouble> {
    telemetry::init(config.raw.log.json, &config.raw.log.level)?;
    let shutdown = Shutdown::on_signals().map_err(CliTrouble::Signals)?;
    runtime::limits::allow_open_files();
    // Before there is anything to hide.
    for trouble in runtime::secrecy::keep_memory_private() {
        tracing::warn!(%trouble, "memory");
    }
    if let Some(address) = config.raw.metrics {
        runtime::metrics::serve(address, &protocol::invariants::WATCHED)?;
    }
    let keystore = daemon::open_keystore(config)?;
    let daemon = Daemon::start(config, keystore, &shutdown).await?;
    if cli.json {
        println!("{}", json!({ "ready": true, "address": daemon.address().to_string() }));
    } else {
        println!("{} listens on {}", config.raw.name, daemon.address());
    }
    daemon.ended().await?;
    Ok(())
}

async fn elections(cli: &Cli, config: &Config) -> Result<(), CliTrouble> {
    let elections = View::open(config).await?.elections(config).await?;
    if cli.json {
        println!("{}", json!({ "elections": elections }));
        return Ok(());
    }
    if elections.is_empty() {
        println!("No elections yet.");
    }
    for election in elections {
        println!("{}  {:<14} {:<10} {}", election.election_id, election.stage, election.decision, election.title);
    }
    Ok(())
}

async fn show(cli: &Cli, config: &Config, asked: &str) -> Result<(), CliTrouble> {
    let (id, manifest) = View::open(config).await?.find(asked).await?;
    if cli.json {
        println!("{}", view::manifest_json(&id, &manifest));
        return Ok(());
    }
    print!("{}", view::render_manifest(&id, &manifest, config));
    println!("\nIf all of this is right:  trustee accept {id}");
    println!("If anything is wrong:     trustee refuse {id} --reason \"what is wrong\"");
    Ok(())
}

async fn decide(cli: &Cli, config: &Config, asked: &str, decision: Decision) -> Result<(), CliTrouble> {
    let view = View::open(config).await?;
    let (id, manifest) = view.find(asked).await?;
    let wanted = if decision == Decision::Accept { "accepted" } else { "refused" };
    let said = view.said(id, &manifest, config).await?;
    match said {
        Some(said) if said != wanted => return Err(CliTrouble::Said { said }),
        Some(_) => {}
        None => decision::leave(&config.data, &id, &decision)?,
    }
    let running = daemon::is_running(&config.data);
    let mut taken = said.is_some();
    let mut waited = Duration::ZERO;
    while running && !taken && waited < TAKEN_WITHIN {
        const PAUSE: Duration = Duration::from_millis(50);
        tokio::time::sleep(PAUSE).await;
        waited = waited.saturating_add(PAUSE);
        taken = !decision::waits(&config.data, &id) && view.decision(id).await?.as_ref() == Some(&decision);
    }
    if cli.json {
        println!("{}", json!({ "election_id": id.to_string(), "decision": wanted, "taken": taken }));
    } else if taken {
        println!("{} is {wanted}.", manifest.title);
    } else {
        println!("{} will be {wanted} as soon as the daemon runs:  trustee run", manifest.title);
    }
    Ok(())
}

async fn status(cli: &Cli, config: &Config) -> Result<(), CliTrouble> {
    let running = daemon::is_running(&config.data);
    let elections = View::open(config).await?.elections(config).await?;
    if cli.json {
        println!("{}", json!({ "name": config.raw.name, "running": running, "elections": elections }));
        return Ok(());
    }
    println!("{}: the daemon {}", config.raw.name, if running { "runs" } else { "DOES NOT RUN (trustee run)" });
    for election in elections {
        println!("\n{}\n  {}", election.title, election.election_id);
        println!("  stage     {} ({})", election.stage, election.decision);
        if !election.waiting.is_empty() {
            println!("  waits for {}", election.waiting);
        }
        for awaited in election.awaiting {
            println!("  awaited   {awaited}");
        }
        println!("  followed  {:?} leaves, co-signed up to {:?}", election.followed, election.cosigned);
        for wrong in election.evidence {
            println!("  EVIDENCE  {wrong}");
        }
        if election.forks > 0 {
            println!("  EVIDENCE  {} contradictory checkpoint(s) of the log, signed by a shard", election.forks);
        }
    }
    Ok(())
}

fn health(cli: &Cli, config: &Config) -> Result<(), CliTrouble> {
    let mut keystore = daemon::open_keystore(config)?;
    keystore.health()?;
    let described = keystore.describe().to_string();
    if cli.json {
        println!("{}", json!({ "healthy": true, "keystore": described, "identity": config.raw.identity }));
    } else {
        println!("The keystore works: {described}.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn init_needs_exactly_one_kind_of_keystore() {
        let parse = |more: &[&str]| {
            let base = ["trustee", "init", "--dir", "d", "--name", "n", "--organisation", "o", "--region", "r"];
            Cli::try_parse_from(base.iter().chain(&["--address", "a:1"]).chain(more))
        };
        assert!(parse(&["--file-keystore", "--passphrase-file", "p"]).is_ok());
        assert!(parse(&["--token-label", "l", "--module", "m", "--pin-file", "p"]).is_ok());
        for bad in [
            &["--file-keystore"][..],
            &["--passphrase-file", "p"],
            &["--token-label", "l"],
            &["--token-label", "l", "--module", "m", "--pin-file", "p", "--file-keystore", "--passphrase-file", "p"],
            &["--pin", "1234"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
