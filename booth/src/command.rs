//! The command line of the booth.

use crate::{
    cast::{self, Effort, Fate, Sealed},
    choices::{self, Choices},
    election::{Election, Server},
    receipts::{self, Line, Standing},
    sealed,
};
use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use ed25519_dalek::SigningKey;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::ids::{Credential, ElectionId};
use runtime::{entropy::OsEntropy, pin::SpkiPin, tls::Trust};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

/// The voter's side: encrypt, prove, sign, cast, keep the receipt, prove inclusion.
#[derive(Debug, Parser)]
#[command(name = "booth", version, about, long_about = None)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cast one ballot, or many from a file. Run again after a failure: the same ballots are sent again, never others.
    ///
    /// Exit code 0: every ballot is recorded. 1: some are not, and receipts.jsonl says why. 2: wrong input, nothing was sent.
    Cast(Cast),
    /// Check that receipts were honoured: each must be in a log that enough trustees have co-signed.
    ///
    /// Exit code 0: all final. 1: some are pending or broken. 2: wrong input.
    Verify(Verify),
    /// Make keys for voters.
    Keygen(Keygen),
}

/// Which election, where, and how the server is known.
#[derive(Debug, clap::Args)]
struct Where {
    /// The election's id, 64 hex digits, as announced by the officials.
    #[arg(long)]
    election: ElectionId,
    /// Public address of any shard, HOST:PORT. Other shards of the manifest serve as alternatives.
    #[arg(long)]
    server: String,
    /// SHA-256 of the server's key (SPKI), 64 hex digits.
    #[arg(long, conflicts_with = "ca", required_unless_present = "ca")]
    pin: Option<SpkiPin>,
    /// Certificates (PEM) of the authority that vouches for the server.
    #[arg(long)]
    ca: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Cast {
    #[command(flatten)]
    at: Where,
    /// Choices of many voters: CSV with columns voter, style and one per contest; options separated by `|`, empty for blank.
    #[arg(long, requires = "keys", conflicts_with_all = ["key", "choice"])]
    file: Option<PathBuf>,
    /// Their keys: CSV with columns voter, secret (64 hex digits).
    #[arg(long)]
    keys: Option<PathBuf>,
    /// One voter's key: a file with 64 hex digits.
    #[arg(long, required_unless_present = "file")]
    key: Option<PathBuf>,
    /// One voter's ballot style, as on the roll. May be left out if the election has one style.
    #[arg(long)]
    style: Option<String>,
    /// One voter's marks: CONTEST=OPTION, once for each mark. A contest without a mark is cast blank.
    #[arg(long)]
    choice: Vec<String>,
    /// Folder for the sealed ballots and the receipts. Keep it: it is the proof.
    #[arg(long, default_value = "booth")]
    out: PathBuf,
    /// Give up on ballots that nobody answers for after this many seconds.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Machine-readable: one JSON object on the last line of standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    at: Where,
    /// The receipts file that `booth cast` wrote.
    receipts: PathBuf,
    /// Check only this many, evenly spread.
    #[arg(long)]
    sample: Option<usize>,
    /// Wait up to this many seconds for receipts to become final.
    #[arg(long, default_value_t = 10)]
    wait: u64,
    /// Folder in which the proof files are kept (C2SP tlog-proof: good offline, for ever).
    #[arg(long)]
    proofs: Option<PathBuf>,
    /// Machine-readable: one JSON object on the last line of standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Keygen {
    /// How many.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Secrets: a new CSV with columns voter, secret. Readable by its owner only.
    #[arg(long)]
    secrets: PathBuf,
    /// Public keys: a new CSV with columns voter, key, for the registrar.
    #[arg(long)]
    public: PathBuf,
}

/// Runs the command.
pub async fn main(args: Args) -> ExitCode {
    let json = match &args.command {
        Command::Cast(cast) => cast.json,
        Command::Verify(verify) => verify.json,
        Command::Keygen(_) => false,
    };
    let done = match args.command {
        Command::Cast(args) => cast_all(args).await,
        Command::Verify(args) => verify(args).await,
        Command::Keygen(args) => keygen(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            if json {
                println!("{}", json!({ "error": format!("{error:#}") }));
            }
            eprintln!("booth: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Where {
    async fn open(&self) -> anyhow::Result<(Arc<Election>, Vec<Server>)> {
        let trust = match (&self.pin, &self.ca) {
            (Some(pin), _) => Trust::Pin(*pin),
            (None, Some(path)) => {
                let pem = runtime::files::read_limited(path, 1 << 20)?;
                let pem = String::from_utf8(pem).context("the --ca file is not PEM text")?;
                Trust::Roots(runtime::pki::Roots::from_pem(&pem)?)
            }
            (None, None) => bail!("give --pin or --ca: without it anybody could answer"),
        };
        let first = Server::connect(&self.server, &trust).await?;
        let election = Arc::new(Election::fetch(&first, self.election).await?);
        let mut servers = vec![first];
        for shard in &election.manifest.shards {
            if shard.public_address == self.server {
                continue;
            }
            // An alternative that is away now is simply not used.
            let trust = Trust::Pin(SpkiPin::from_bytes(shard.tls_pin));
            if let Ok(server) = Server::connect(&shard.public_address, &trust).await {
                servers.push(server);
            }
        }
        Ok((election, servers))
    }
}

/// All ballots of this run: read back if there are some, else made and written before anything is sent.
fn ballots(args: &Cast, election: &Arc<Election>, progress: &ProgressBar) -> anyhow::Result<Vec<Sealed>> {
    let path = args.out.join("sealed.bin");
    if sealed::exists(&path)? {
        let ballots = sealed::read(&path)?;
        for ballot in &ballots {
            election.form.peek(&ballot.bytes).with_context(|| {
                format!("{} holds ballots of another election; choose another --out folder", path.display())
            })?;
        }
        return Ok(ballots);
    }
    let (rows, keys) = match (&args.file, &args.keys, &args.key) {
        (Some(file), Some(keys), _) => {
            let open =
                |path: &Path| std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()));
            let rows =
                choices::read_choices(&election.manifest, open(file)?).with_context(|| file.display().to_string())?;
            let keys = choices::read_keys(open(keys)?).with_context(|| keys.display().to_string())?;
            (rows, keys)
        }
        (_, _, Some(key)) => one_voter(args, election, key)?,
        _ => bail!("give --file and --keys, or --key and --choice"),
    };
    if let Some(row) = rows.iter().find(|row| !keys.contains_key(&row.voter)) {
        bail!("the keys file has no key for voter {:?}", row.voter);
    }
    progress.set_length(rows.len() as u64);
    let ballots = seal_all(election, &rows, &keys, progress)?;
    sealed::write(&path, &ballots)?;
    Ok(ballots)
}

fn one_voter(
    args: &Cast,
    election: &Election,
    key: &Path,
) -> anyhow::Result<(Vec<Choices>, BTreeMap<String, SigningKey>)> {
    let manifest = &election.manifest;
    let text = String::from_utf8(runtime::files::read_limited(key, 1000)?).unwrap_or_default();
    let mut secret = [0; 32];
    if hex::decode_to_slice(text.trim(), &mut secret).is_err() {
        bail!("{} must hold 64 hex digits", key.display());
    }
    let style = match (&args.style, manifest.styles.as_slice()) {
        (Some(style), _) => style.clone(),
        (None, [only]) => only.id.clone(),
        (None, many) => {
            let ids: Vec<&str> = many.iter().map(|style| style.id.as_str()).collect();
            bail!("this election has several ballot styles; say --style with one of: {}", ids.join(", "))
        }
    };
    let mut marks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for choice in &args.choice {
        let (contest, option) = choice.split_once('=').context("--choice is CONTEST=OPTION")?;
        marks.entry(contest).or_default().push(option);
    }
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["voter", "style"].into_iter().chain(marks.keys().copied()))?;
    let cells: Vec<String> = marks.values().map(|options| options.join("|")).collect();
    table.write_record(["me", &style].into_iter().chain(cells.iter().map(String::as_str)))?;
    let rows = choices::read_choices(manifest, table.into_inner()?.as_slice())?;
    Ok((rows, BTreeMap::from([("me".to_owned(), SigningKey::from_bytes(&secret))])))
}

/// Makes all ballots, on all cores.
fn seal_all(
    election: &Arc<Election>,
    rows: &[Choices],
    keys: &BTreeMap<String, SigningKey>,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<Sealed>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let piece = rows.len().div_ceil(cores).max(1);
    let seal = |row: &Choices| -> anyhow::Result<Sealed> {
        let key = keys.get(&row.voter).with_context(|| format!("no key for voter {:?}", row.voter))?;
        let sealed = Sealed::new(election, &row.voter, row.style, &row.marks, key, &mut OsEntropy);
        progress.inc(1);
        sealed.with_context(|| format!("voter {:?}", row.voter))
    };
    let mut out = Vec::with_capacity(rows.len());
    std::thread::scope(|scope| {
        let pieces: Vec<_> = rows
            .chunks(piece)
            .map(|rows| scope.spawn(|| rows.iter().map(seal).collect::<Result<Vec<_>, _>>()))
            .collect();
        for piece in pieces {
            match piece.join() {
                Ok(sealed) => out.extend(sealed?),
                Err(_) => bail!("a thread that makes ballots ended: this is a defect"),
            }
        }
        Ok(out)
    })
}

fn bar(json: bool, what: &'static str) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} {per_sec} {eta}");
    let bar = ProgressBar::new(0).with_message(what);
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

async fn cast_all(args: Cast) -> anyhow::Result<bool> {
    let (election, servers) = args.at.open().await?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let progress = bar(args.json, "sealing");
    let began = Instant::now();
    let ballots = ballots(&args, &election, &progress)?;
    progress.finish_and_clear();
    let sealing = began.elapsed().as_secs_f64();

    let path = args.out.join("receipts.jsonl");
    let known: BTreeSet<String> = read_lines(&path)?
        .into_iter()
        .filter(|line| line.fate == "recorded" || line.fate == "rejected")
        .map(|line| line.ballot)
        .collect();
    let total = ballots.len();
    let waiting: Vec<Sealed> =
        ballots.into_iter().filter(|sealed| !known.contains(&hex::encode(sealed.leaf()))).collect();
    let skipped = total.saturating_sub(waiting.len());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let progress = bar(args.json, "casting");
    progress.set_length(waiting.len() as u64);
    let effort = Effort { patience: Duration::from_secs(args.patience), ..Effort::default() };
    let began = Instant::now();
    let (mut counts, mut trouble) = (BTreeMap::<String, u64>::new(), None);
    cast::cast(&election, &servers, waiting, effort, |sealed, fate| {
        let line = Line::of(&sealed, &fate);
        let written = serde_json::to_string(&line).map(|text| writeln!(file, "{text}"));
        if !matches!(written, Ok(Ok(()))) {
            trouble = Some("the receipts file could not be written");
        }
        if let (Fate::Rejected(_) | Fate::Refused(_) | Fate::Unknown(_), false) = (&fate, args.json) {
            progress.println(format!(
                "{}: {} {}",
                line.voter,
                line.fate,
                line.code.map_or_else(|| line.note.clone().unwrap_or_default(), |code| format!("(reason {code})"))
            ));
        }
        let count = counts.entry(line.fate).or_default();
        *count = count.saturating_add(1);
        progress.inc(1);
    })
    .await;
    file.sync_all().context("the receipts file could not be written")?;
    progress.finish_and_clear();
    if let Some(trouble) = trouble {
        bail!(trouble);
    }
    let seconds = began.elapsed().as_secs_f64();
    let of = |fate: &str| counts.get(fate).copied().unwrap_or(0);
    let (recorded, rejected, refused, unknown) = (of("recorded"), of("rejected"), of("refused"), of("unknown"));
    if args.json {
        println!(
            "{}",
            json!({
                "election_id": election.id.to_string(), "ballots": total, "known_before": skipped, "recorded": recorded,
                "rejected": rejected, "refused": refused, "unknown": unknown, "sealing_seconds": sealing,
                "casting_seconds": seconds, "receipts": path,
            })
        );
    } else {
        println!(
            "{recorded} recorded, {rejected} rejected, {refused} refused, {unknown} unknown; {skipped} were known before"
        );
        println!("receipts: {}", path.display());
    }
    Ok(rejected == 0 && refused == 0 && unknown == 0)
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Line>> {
    if !path.try_exists()? {
        return Ok(Vec::new());
    }
    let text =
        String::from_utf8(runtime::files::read_limited(path, 4 << 30)?).context("the receipts file is not text")?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::with_capacity(lines.len());
    for (line, at) in lines.iter().zip(1usize..) {
        match serde_json::from_str(line) {
            Ok(line) => out.push(line),
            // The last line of a run that was cut off: that ballot is simply sent again.
            Err(_) if at == lines.len() && !text.ends_with('\n') => {}
            Err(error) => bail!("{} line {at} is not a receipt: {error}", path.display()),
        }
    }
    Ok(out)
}

async fn verify(args: Verify) -> anyhow::Result<bool> {
    let (election, servers) = args.at.open().await?;
    let lines = read_lines(&args.receipts)?;
    let mut receipts: Vec<_> = lines.iter().filter_map(Line::receipt).collect();
    if let Some(sample) = args.sample.filter(|sample| *sample > 0 && *sample < receipts.len()) {
        let step = receipts.len().checked_div(sample).unwrap_or(1).max(1);
        receipts = receipts.into_iter().step_by(step).take(sample).collect();
    }
    if receipts.is_empty() {
        bail!("{} holds no receipt of a recorded ballot", args.receipts.display());
    }
    if let Some(folder) = &args.proofs {
        std::fs::create_dir_all(folder)?;
    }
    let progress = bar(args.json, "proving");
    progress.set_length(receipts.len() as u64);
    let until = Instant::now() + Duration::from_secs(args.wait);
    let (mut good, mut pending, mut broken) = (0u64, 0u64, Vec::new());
    for receipt in &receipts {
        let standing = loop {
            let standing = match servers.first() {
                Some(server) => receipts::prove(&election, server, receipt).await?,
                None => Standing::Pending,
            };
            if !matches!(standing, Standing::Pending) || Instant::now() >= until {
                break standing;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        match standing {
            Standing::Final(proof) => {
                good = good.saturating_add(1);
                if let Some(folder) = &args.proofs {
                    let name = format!("{}-{}.tlog-proof", receipt.lane, receipt.index);
                    runtime::files::write_atomic(&folder.join(name), proof.to_string().as_bytes())?;
                }
            }
            Standing::Pending => pending = pending.saturating_add(1),
            Standing::Broken(why) => broken.push(format!("leaf {} of lane {}: {why}", receipt.index, receipt.lane)),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if args.json {
        println!(
            "{}",
            json!({ "election_id": election.id.to_string(), "checked": receipts.len(), "final": good, "pending": pending,
                "broken": broken })
        );
    } else {
        println!("{} receipts checked: {good} final, {pending} pending, {} broken", receipts.len(), broken.len());
        for why in &broken {
            println!("BROKEN {why}");
        }
    }
    Ok(pending == 0 && broken.is_empty())
}

fn keygen(args: &Keygen) -> anyhow::Result<bool> {
    let mut secrets = String::from("voter,secret\n");
    let mut public = String::from("voter,key\n");
    for at in 1..=args.count {
        let mut secret = [0; 32];
        rand_core::RngCore::fill_bytes(&mut OsEntropy, &mut secret);
        let key = SigningKey::from_bytes(&secret);
        secrets.push_str(&format!("voter-{at},{}\n", hex::encode(secret)));
        public.push_str(&format!("voter-{at},{}\n", Credential(key.verifying_key().to_bytes())));
    }
    runtime::files::create_private(&args.secrets, secrets.as_bytes())?;
    runtime::files::write_atomic(&args.public, public.as_bytes())?;
    println!("{} keys: secrets in {}, public keys in {}", args.count, args.secrets.display(), args.public.display());
    Ok(true)
}
