//! Command line.

use crate::{
    cast::{self, Effort, Fate, Sealed},
    choices::{self, Choices, FileRefusal},
    election::{Election, Server},
    receipts::{self, Line, Standing},
    shelf::{Shelf, ShelfTrouble},
};
use anyhow::{Context as _, anyhow, bail};
use clap::{Parser, Subcommand};
use ed25519_dalek::SigningKey;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::{ballot::SealError, ids::ElectionId, log::Receipt};
use rand_core::RngCore as _;
use runtime::{
    entropy::OsEntropy,
    files::{self, FileTrouble},
    pin::SpkiPin,
    pki::Roots,
    tls::Trust,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

const CSV_BYTES_MAX: u64 = 1 << 30;
const PROOFS_IN_FLIGHT: usize = 16;

/// Votes: encrypts, proves, signs, casts, keeps receipts, checks that they were honoured.
///
/// Exit codes: 0 all recorded (or proven), 1 something was not, 2 bad input or usage, 3 not known yet (run the same again).
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
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
    /// Cast one ballot (--key, --choice) or many (--file, --keys).
    ///
    /// Ballots are kept in --out before they are sent: the same command again sends the same bytes, and a voter never has
    /// two ballots under way. What a voter has in --out is never replaced: to change a vote, where the election allows it,
    /// use another --out.
    Cast {
        #[command(flatten)]
        at: At,
        /// Directory for sealed ballots and receipts; one per election.
        #[arg(long, default_value = "booth")]
        out: PathBuf,
        /// The voter's key: a file with 64 hex digits, mode 0600.
        #[arg(long, conflicts_with = "file")]
        key: Option<PathBuf>,
        /// The ballot style, if the election has several.
        #[arg(long, requires = "key")]
        style: Option<String>,
        /// `CONTEST=OPTION`, once per mark. A contest without a mark is cast blank.
        #[arg(long, alias = "choices", requires = "key")]
        choice: Vec<String>,
        /// CSV: voter, style and a column per contest; several options separated by `|`, empty for a blank.
        #[arg(long, requires = "keys")]
        file: Option<PathBuf>,
        /// CSV: voter, secret.
        #[arg(long, requires = "file")]
        keys: Option<PathBuf>,
        /// Only use the given servers, not the other shards of the election.
        #[arg(long)]
        only: bool,
        /// Ballots in one call, 1 to 512.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=512))]
        batch: u16,
        /// Calls at once, 1 to 64.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
        in_flight: u16,
        /// For how many seconds a ballot is offered again and again.
        #[arg(long, default_value_t = 120)]
        patience: u64,
    },
    /// Check that recorded ballots are in a log that enough trustees co-signed.
    Verify {
        #[command(flatten)]
        at: At,
        /// `receipts.jsonl`, or the directory with it.
        receipts: PathBuf,
        /// Check only so many, spread evenly; 0: all.
        #[arg(long, default_value_t = 0)]
        sample: usize,
        /// Wait up to this many seconds for receipts to become final.
        #[arg(long, default_value_t = 10)]
        wait: u64,
        /// Keep the proof files in this directory: each is good offline and for ever.
        #[arg(long)]
        proofs: Option<PathBuf>,
    },
    /// Ask what became of the ballots in a directory for which there is no answer yet.
    Find {
        #[command(flatten)]
        at: At,
        /// Directory of an earlier `booth cast`.
        #[arg(long, default_value = "booth")]
        out: PathBuf,
    },
    /// Make keys for voters. Existing files are never overwritten.
    Keygen {
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Secrets: a new CSV with the columns voter, secret, that only its owner can read.
        #[arg(long, required_unless_present = "key", conflicts_with = "key")]
        secrets: Option<PathBuf>,
        /// Public keys: a CSV with the columns voter, key, for the registrar.
        #[arg(long, requires = "secrets")]
        public: Option<PathBuf>,
        /// One key, for `cast --key`: a new file that only its owner can read.
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct At {
    /// The election's id, 64 hex digits, as the officials published it.
    #[arg(long)]
    election: String,
    /// `host:port` of a shard's public listener; may be given several times.
    #[arg(long, required = true)]
    server: Vec<String>,
    /// SHA-256 of its TLS key (SPKI), 64 hex digits; once for each --server, in their order.
    #[arg(long, alias = "trust-pin", conflicts_with = "ca", required_unless_present = "ca")]
    pin: Vec<String>,
    /// Certificates (PEM) of the authority that vouches for the servers.
    #[arg(long, alias = "trust-ca")]
    ca: Option<PathBuf>,
}

/// Bad input, as opposed to what went wrong on the way.
#[derive(Debug, thiserror::Error)]
enum Input {
    #[error("--election: expected 64 lower-case hex digits, got {0:?}")]
    Election(String),
    #[error("{pins} pins for {servers} servers: give --pin once for each --server, in their order")]
    Pins { servers: usize, pins: usize },
    #[error("--pin: {0}")]
    Pin(runtime::pin::PinRefusal),
    #[error("{}: {source}", .path.display())]
    Csv { path: PathBuf, source: FileRefusal },
    #[error("voter {voter:?} of the choices file has no key in the keys file")]
    NoKey { voter: String },
    #[error("{}: expected a key as 64 hex digits", .0.display())]
    Key(PathBuf),
    #[error("--choice {0:?}: expected CONTEST=OPTION")]
    Choice(String),
    #[error("contest {contest:?} has no option {got:?}; its options are: {known}")]
    Option { contest: String, got: String, known: String },
    #[error("the ballot style has no contest {got:?}; it has: {known}")]
    Contest { got: String, known: String },
    #[error("--style: the election has the ballot styles {known}")]
    Style { known: String },
    #[error("voter {voter:?}: {source}")]
    Seal { voter: String, source: SealError },
    #[error("{}: line {line} is no receipt: {reason}", .path.display())]
    Receipt { path: PathBuf, line: usize, reason: String },
}

/// What a command answers.
struct Answer {
    object: Value,
    text: String,
    exit: u8,
}

/// Runs a command; the exit code says how it went.
pub async fn main(args: Args) -> ExitCode {
    let json = args.json;
    match run(args).await {
        Ok(Answer { object, text, exit }) => {
            if json {
                say(&object.to_string());
            } else {
                say(&text);
            }
            ExitCode::from(exit)
        }
        Err(error) => {
            let input = error
                .chain()
                .any(|cause| cause.is::<Input>() || cause.is::<FileTrouble>() || cause.is::<ShelfTrouble>());
            let exit = if input { 2 } else { 1 };
            let text = chain_text(&error);
            if json {
                say(&json!({ "error": &text, "exit": exit }).to_string());
            }
            let _ = writeln!(io::stderr(), "error: {text}");
            ExitCode::from(exit)
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

async fn run(args: Args) -> anyhow::Result<Answer> {
    let Args { quiet, command, .. } = args;
    match command {
        Command::Keygen { count, secrets, public, key } => {
            keygen(count, secrets.as_deref(), public.as_deref(), key.as_deref())
        }
        Command::Cast { at, out, key, style, choice, file, keys, only, batch, in_flight, patience } => {
            let place = Place::find(&at).await?;
            let voters = match (file, keys, key) {
                (Some(file), Some(keys), _) => many(&place.election, &file, &keys)?,
                (_, _, Some(key)) => one(&place.election, &key, style.as_deref(), &choice)?,
                _ => bail!("give --key and --choice for one ballot, or --file and --keys for many"),
            };
            let servers = if only { place.servers.clone() } else { place.all() };
            let effort = Effort { in_flight: in_flight.into(), patience: Duration::from_secs(patience) };
            cast_all(place.election, servers, voters, &out, batch.into(), effort, quiet).await
        }
        Command::Verify { at, receipts, sample, wait, proofs } => {
            let place = Place::find(&at).await?;
            verify(&place, &receipts, sample, Duration::from_secs(wait), proofs.as_deref(), quiet).await
        }
        Command::Find { at, out } => find(&Place::find(&at).await?, &out).await,
    }
}

/// An election and the servers for it.
struct Place {
    election: Arc<Election>,
    servers: Vec<Server>,
    roots: Option<Roots>,
}

impl Place {
    async fn find(at: &At) -> anyhow::Result<Self> {
        let id: ElectionId = at.election.parse().map_err(|_| Input::Election(at.election.clone()))?;
        let roots = match &at.ca {
            Some(path) => {
                let pem = String::from_utf8(files::read_limited(path, 1 << 20)?)?;
                Some(Roots::from_pem(&pem).with_context(|| path.display().to_string())?)
            }
            None => None,
        };
        let mut servers = Vec::new();
        match &roots {
            Some(roots) => servers.extend(at.server.iter().map(|s| Server::new(s, Trust::Roots(roots.clone())))),
            None => {
                if at.server.len() != at.pin.len() {
                    return Err(Input::Pins { servers: at.server.len(), pins: at.pin.len() }.into());
                }
                for (server, pin) in at.server.iter().zip(&at.pin) {
                    let pin: SpkiPin = pin.parse().map_err(Input::Pin)?;
                    servers.push(Server::new(server, Trust::Pin(pin)));
                }
            }
        }
        let mut last = anyhow!("no server was given");
        for server in &servers {
            match Election::fetch(server, id).await {
                Ok(election) => return Ok(Self { election: Arc::new(election), servers, roots }),
                Err(trouble) => {
                    let trouble = anyhow::Error::from(trouble);
                    last = trouble.context(format!("{} did not give the election; nothing was sent", server.address));
                }
            }
        }
        Err(last)
    }

    /// The given servers, then the other shards of the manifest.
    fn all(&self) -> Vec<Server> {
        let mut all = self.servers.clone();
        for other in self.election.alternatives("", self.roots.as_ref()) {
            if all.iter().all(|known| known.address != other.address) {
                all.push(other);
            }
        }
        all
    }
}

fn many(election: &Election, file: &Path, keys: &Path) -> anyhow::Result<Vec<(Choices, SigningKey)>> {
    let read = |path: &Path| files::read_limited(path, CSV_BYTES_MAX);
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| Input::Csv { path, source }
    };
    let choices = choices::read_choices(&election.manifest, read(file)?.as_slice()).map_err(refused(file))?;
    let mut keys_of = choices::read_keys(read(keys)?.as_slice()).map_err(refused(keys))?;
    let with_key = |choices: Choices| match keys_of.remove(&choices.voter) {
        Some(key) => Ok((choices, key)),
        None => Err(Input::NoKey { voter: choices.voter }.into()),
    };
    choices.into_iter().map(with_key).collect()
}

fn one(
    election: &Election,
    key: &Path,
    style: Option<&str>,
    given: &[String],
) -> anyhow::Result<Vec<(Choices, SigningKey)>> {
    let text = files::read_private(key, 1024)?;
    let mut secret = [0; 32];
    let trimmed = std::str::from_utf8(&text).unwrap_or_default().trim();
    hex::decode_to_slice(trimmed, &mut secret).map_err(|_| Input::Key(key.to_owned()))?;
    let key = SigningKey::from_bytes(&secret);
    let manifest = &election.manifest;
    let found = match (style, manifest.styles.as_slice()) {
        (None, [_]) => Some(protocol::ids::StyleIndex(0)),
        (None, _) => None,
        (Some(id), _) => manifest.style_named(id),
    };
    let known = || manifest.styles.iter().map(|style| style.id.as_str()).collect::<Vec<_>>().join(", ");
    let style = found.ok_or_else(|| Input::Style { known: known() })?;
    let contests: Vec<_> = manifest
        .style(style)
        .into_iter()
        .flat_map(|style| &style.contests)
        .filter_map(|index| manifest.contest(*index))
        .collect();
    let mut marks = vec![Vec::new(); contests.len()];
    for choice in given {
        let (contest, option) = choice.split_once('=').ok_or_else(|| Input::Choice(choice.clone()))?;
        let at = contests.iter().position(|at| at.id == contest);
        let place = at.and_then(|at| Some((contests.get(at)?, marks.get_mut(at)?)));
        let (entry, marks) = place.ok_or_else(|| Input::Contest {
            got: contest.to_owned(),
            known: contests.iter().map(|at| at.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        if option.is_empty() {
            continue;
        }
        marks.push(entry.option(option).ok_or_else(|| Input::Option {
            contest: contest.to_owned(),
            got: option.to_owned(),
            known: entry.options.join(", "),
        })?);
    }
    let voter = hex::encode(key.verifying_key().as_bytes());
    Ok(vec![(Choices { voter, style, marks }, key)])
}

async fn cast_all(
    election: Arc<Election>,
    servers: Vec<Server>,
    voters: Vec<(Choices, SigningKey)>,
    out: &Path,
    batch: usize,
    effort: Effort,
    quiet: bool,
) -> anyhow::Result<Answer> {
    let total = voters.len();
    let mut shelf = Shelf::open(out, &election.id)?;
    let before = voters.iter().filter(|(choices, _)| shelf.settled(&choices.voter).is_some()).count();
    let rest: Vec<_> = voters.into_iter().filter(|(choices, _)| shelf.settled(&choices.voter).is_none()).collect();
    let bar = bar(quiet, "cast", total as u64);
    bar.set_position(before as u64);

    let (ready, batches) = mpsc::channel(effort.in_flight.max(1));
    let (noted, mut answers) = mpsc::channel::<Line>(4096);
    let casting = {
        let (election, bar) = (election.clone(), bar.clone());
        tokio::spawn(async move {
            let mut lines = Vec::new();
            cast::cast(&election, &servers, batches, effort, |sealed, fate| {
                bar.inc(1);
                // The other end outlives this; if the queue is full the line waits here.
                if let Err(mpsc::error::TrySendError::Full(line) | mpsc::error::TrySendError::Closed(line)) =
                    noted.try_send(Line::of(&sealed, &fate))
                {
                    lines.push(line);
                }
            })
            .await;
            lines
        })
    };
    let trouble = feed(&election, &mut shelf, rest, batch, ready, &mut answers).await;
    // What was sent is waited for in any case: its receipts are kept.
    while let Some(line) = answers.recv().await {
        shelf.note(line)?;
    }
    for line in casting.await? {
        shelf.note(line)?;
    }
    bar.finish_and_clear();
    trouble?;
    Ok(summary(&election, &shelf, total, before, out))
}

/// Seals on all cores, keeps durably, hands on; notes answers meanwhile.
async fn feed(
    election: &Arc<Election>,
    shelf: &mut Shelf,
    rest: Vec<(Choices, SigningKey)>,
    batch: usize,
    ready: mpsc::Sender<Vec<Sealed>>,
    answers: &mut mpsc::Receiver<Line>,
) -> anyhow::Result<()> {
    let mut rest = rest.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk: Vec<_> = rest.by_ref().take(batch.max(1)).collect();
        let mut send = Vec::with_capacity(chunk.len());
        let mut fresh = Vec::new();
        for (choices, key) in chunk {
            // The ballot that may be under way already, never another.
            match shelf.sealed(&choices.voter) {
                Some(sealed) => send.push(sealed),
                None => fresh.push((choices, key)),
            }
        }
        let sealed = seal(election, fresh).await?;
        shelf.keep(&sealed)?;
        send.extend(sealed);
        let mut sending = std::pin::pin!(ready.send(send));
        loop {
            tokio::select! {
                sent = &mut sending => {
                    sent.map_err(|_| anyhow!("casting ended early"))?;
                    break;
                }
                Some(line) = answers.recv() => shelf.note(line)?,
            }
        }
        while let Ok(line) = answers.try_recv() {
            shelf.note(line)?;
        }
    }
    Ok(())
}

async fn seal(election: &Arc<Election>, voters: Vec<(Choices, SigningKey)>) -> anyhow::Result<Vec<Sealed>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = voters.len().div_ceil(cores).max(1);
    let mut voters = voters.into_iter().peekable();
    let mut tasks = Vec::new();
    while voters.peek().is_some() {
        let part: Vec<_> = voters.by_ref().take(part).collect();
        let election = election.clone();
        tasks.push(tokio::task::spawn_blocking(move || -> Result<Vec<Sealed>, Input> {
            let seal = |(choices, key): &(Choices, SigningKey)| {
                Sealed::new(&election, &choices.voter, choices.style, &choices.marks, key, &mut OsEntropy)
                    .map_err(|source| Input::Seal { voter: choices.voter.clone(), source })
            };
            part.iter().map(seal).collect()
        }));
    }
    let mut sealed = Vec::new();
    for task in tasks {
        sealed.extend(task.await??);
    }
    Ok(sealed)
}

fn summary(election: &Election, shelf: &Shelf, total: usize, before: usize, out: &Path) -> Answer {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    for line in shelf.answers() {
        let count = counts.entry(line.fate.as_str()).or_default();
        *count = count.saturating_add(1);
        if line.fate != "recorded" {
            let note = line.note.clone().or(line.code.map(rejection_text)).unwrap_or_default();
            let note = notes.entry(format!("{}: {note}", line.fate)).or_default();
            *note = note.saturating_add(1);
        }
    }
    let of = |fate: &str| counts.get(fate).copied().unwrap_or_default();
    let (recorded, rejected, refused, unknown) = (of("recorded"), of("rejected"), of("refused"), of("unknown"));
    let exit = if unknown > 0 {
        3
    } else if rejected.saturating_add(refused) > 0 {
        1
    } else {
        0
    };
    let object = json!({
        "election_id": election.id.to_string(), "ballots": total, "known_before": before,
        "recorded": recorded, "rejected": rejected, "refused": refused, "unknown": unknown,
        "receipts": out.join("receipts.jsonl").display().to_string(),
        "notes": notes,
    });
    let mut text = format!(
        "{recorded} recorded, {rejected} rejected, {refused} refused, {unknown} unknown; receipts in {}",
        out.join("receipts.jsonl").display()
    );
    for (note, count) in &notes {
        text += &format!("\n{count:>8}  {note}");
    }
    if before > 0 {
        text += &format!("\n{before} were settled before and not cast again; to vote anew, use another --out");
    }
    if unknown > 0 {
        text += "\nthe same command again sends the same ballots: no vote is cast twice";
    }
    Answer { object, text, exit }
}

/// What a rejection's code means, for people. (P-LOG-4)
fn rejection_text(code: u16) -> String {
    let text = match code {
        100 => "this credential is not on the voter roll: is it the right key and the right election?",
        101 => "the ballot has another style than the voter roll: make it again for the right area",
        102 => "the credential belongs to another lane",
        103 => "this credential has voted already, and the first ballot counts",
        104 => "the ballot repeats a ciphertext of another ballot: make a new one",
        200 => "the server could not judge this ballot and set it aside: tell the officials",
        _ => match protocol::ballot::BallotRefusal::from_code(code) {
            Some(kind) => return format!("{kind} (code {code}): make the ballot again with a booth of this version"),
            None => "a reason that this program does not know",
        },
    };
    format!("{text} (code {code})")
}

fn bar(quiet: bool, what: &'static str, total: u64) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

fn read_receipts(path: &Path) -> anyhow::Result<Vec<(String, Receipt)>> {
    let path = if path.is_dir() { path.join("receipts.jsonl") } else { path.to_owned() };
    let text = String::from_utf8(files::read_limited(&path, CSV_BYTES_MAX)?)?;
    let mut out = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let refused = |reason: String| Input::Receipt { path: path.clone(), line: at.saturating_add(1), reason };
        let line: Line = serde_json::from_str(line).map_err(|error| refused(error.to_string()))?;
        if line.fate == "recorded" {
            let receipt = line.receipt().ok_or_else(|| refused("its receipt is damaged".into()))?;
            out.insert(line.voter, receipt);
        }
    }
    Ok(out.into_iter().collect())
}

async fn verify(
    place: &Place,
    path: &Path,
    sample: usize,
    wait: Duration,
    proofs: Option<&Path>,
    quiet: bool,
) -> anyhow::Result<Answer> {
    let mut receipts = read_receipts(path)?;
    if sample > 0 && sample < receipts.len() {
        let step = receipts.len().div_ceil(sample);
        receipts = receipts.into_iter().step_by(step).collect();
    }
    if let Some(dir) = proofs {
        files::create_private_dir(dir)?;
    }
    let total = receipts.len();
    let bar = bar(quiet, "verify", total as u64);
    let (mut proven, mut pending, mut broken) = (0_usize, 0_usize, Vec::new());
    let mut calls = JoinSet::new();
    let mut receipts = receipts.into_iter();
    let servers = place.all();
    let until = Instant::now() + wait;
    loop {
        while calls.len() < PROOFS_IN_FLIGHT
            && let Some((voter, receipt)) = receipts.next()
        {
            let (election, servers) = (place.election.clone(), servers.clone());
            calls.spawn(async move {
                let standing = loop {
                    let standing = stand(&election, &servers, &receipt).await;
                    if !matches!(standing, Ok(Standing::Pending)) || Instant::now() >= until {
                        break standing;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                };
                (voter, receipt, standing)
            });
        }
        let Some(joined) = calls.join_next().await else { break };
        let (voter, receipt, standing) = joined?;
        bar.inc(1);
        match standing? {
            Standing::Final(proof) => {
                proven = proven.saturating_add(1);
                if let Some(dir) = proofs {
                    let name = format!("{}.tlog-proof", hex::encode(receipt.leaf));
                    files::write_atomic(&dir.join(name), proof.to_string().as_bytes())?;
                }
            }
            Standing::Pending => pending = pending.saturating_add(1),
            Standing::Broken(why) => broken.push(json!({ "voter": voter, "why": why })),
        }
    }
    bar.finish_and_clear();
    let exit = if !broken.is_empty() {
        1
    } else if pending > 0 {
        3
    } else {
        0
    };
    let text = format!(
        "{proven} of {total} receipts are final: in a log that {} or more trustees co-signed; {pending} not yet, {} broken",
        place.election.manifest.quorums.w,
        broken.len()
    );
    let object = json!({ "election_id": place.election.id.to_string(), "checked": total, "final": proven,
        "pending": pending, "broken": broken });
    Ok(Answer { object, text, exit })
}

/// Asks one server after the other; a receipt that is wrong in itself is broken whatever they say.
async fn stand(election: &Election, servers: &[Server], receipt: &Receipt) -> anyhow::Result<Standing> {
    let shard = election.manifest.shard(receipt.shard);
    if receipt.election != election.id || !shard.is_some_and(|shard| receipt.verify(&shard.identity)) {
        return Ok(Standing::Broken("the receipt is not signed by a shard of this election".into()));
    }
    let mut last = None;
    let mut pending = false;
    for server in servers {
        match receipts::prove(election, server, receipt).await {
            Ok(Standing::Pending) => pending = true,
            Ok(standing) => return Ok(standing),
            Err(trouble) => last = Some(trouble),
        }
    }
    match last {
        Some(trouble) if !pending => Err(trouble.into()),
        _ => Ok(Standing::Pending),
    }
}

async fn find(place: &Place, out: &Path) -> anyhow::Result<Answer> {
    let mut shelf = Shelf::open(out, &place.election.id)?;
    let open: Vec<String> = shelf.unsettled().map(str::to_owned).collect();
    for voter in &open {
        let Some(sealed) = shelf.sealed(voter) else { continue };
        for server in place.all() {
            if let Ok(Some(fate @ (Fate::Recorded(_) | Fate::Rejected(_)))) =
                cast::find(&place.election, &server, &sealed).await
            {
                shelf.note(Line::of(&sealed, &fate))?;
                break;
            }
        }
    }
    let total = shelf.sealed_count();
    let mut answer = summary(&place.election, &shelf, total, total.saturating_sub(open.len()), out);
    let left = shelf.unsettled().count();
    if left > 0 {
        answer.exit = 3;
        answer.text += &format!("\n{left} ballots have no certain answer yet");
    }
    Ok(answer)
}

fn keygen(count: u32, secrets: Option<&Path>, public: Option<&Path>, key: Option<&Path>) -> anyhow::Result<Answer> {
    let fresh = || {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        OsEntropy.fill_bytes(seed.as_mut_slice());
        SigningKey::from_bytes(&seed)
    };
    let public_of = |key: &SigningKey| hex::encode(key.verifying_key().as_bytes());
    if let Some(path) = key {
        let key = fresh();
        let text = zeroize::Zeroizing::new(hex::encode(key.as_bytes()) + "\n");
        files::create_private(path, text.as_bytes())?;
        let public = public_of(&key);
        let text = format!("public key {public}; the secret is in {}", path.display());
        return Ok(Answer { object: json!({ "keys": path, "public": [public] }), text, exit: 0 });
    }
    let mut secret_rows = zeroize::Zeroizing::new(String::from("voter,secret\n"));
    let mut public_rows = String::from("voter,key\n");
    for at in 1..=count {
        let key = fresh();
        let secret = zeroize::Zeroizing::new(hex::encode(key.as_bytes()));
        secret_rows.push_str(&format!("voter-{at},{}\n", secret.as_str()));
        public_rows.push_str(&format!("voter-{at},{}\n", public_of(&key)));
    }
    let secrets = secrets.context("--secrets FILE is missing")?;
    files::create_private(secrets, secret_rows.as_bytes())?;
    if let Some(public) = public {
        files::write_atomic(public, public_rows.as_bytes())?;
    }
    let object = json!({ "count": count, "secrets": secrets, "public": public });
    Ok(Answer { object, text: format!("{count} keys in {}", secrets.display()), exit: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{ballot_box::BoxRefusal, ids::LeafIndex};

    #[test]
    fn every_reason_for_a_rejection_has_words() {
        let of_the_box = [
            BoxRefusal::UnknownCredential,
            BoxRefusal::WrongStyle { expected: 0, got: 1 },
            BoxRefusal::WrongLane { expected: 0, got: 1 },
            BoxRefusal::AlreadyVoted { leaf: LeafIndex(0) },
            BoxRefusal::Duplicate,
        ];
        let of_the_ballot = protocol::ballot::RefusalCode::ALL.map(protocol::ballot::RefusalCode::code);
        for code in of_the_box.iter().map(BoxRefusal::code).chain(of_the_ballot) {
            assert!(!rejection_text(code).contains("does not know"), "{code}");
        }
        assert!(rejection_text(999).contains("does not know"));
    }
}
