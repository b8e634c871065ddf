//! Voting: every ballot is sealed and cast by `booth`, half of them through the shard that is not their election's home.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{COMMAND_WITHIN, RECEIPTS_SAMPLED, SHARD_AWAY, STAGE_WITHIN};
use crate::demo::{
    Args, DemoTrouble,
    processes::{ProcessTrouble, Running},
    setup::{Election, House, shown, write},
    show::{Show, grouped},
};

/// Each election's voters come in so many groups, one after the other.
const PARTS: usize = 2;
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A booth that could not finish because its shard was gone is started again so often.
const TRIES: u32 = 20;

/// One group of voters of one election.
struct Part {
    election: usize,
    part: usize,
    arguments: Vec<String>,
    receipts: Lines,
    running: Option<Running>,
    tries: u32,
    done: Option<Value>,
}

/// How many lines a growing file has.
struct Lines {
    path: PathBuf,
    read: u64,
    lines: u64,
}

impl Lines {
    fn count(&mut self) -> u64 {
        let mut fresh = Vec::new();
        // Not there yet, or not readable: nothing new to tell.
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.read)).is_ok()
            && file.read_to_end(&mut fresh).is_ok()
        {
            self.read += fresh.len() as u64;
            self.lines += fresh.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.lines
    }
}

/// Casts everything; gives the number of recorded ballots of each election.
pub(super) fn cast(args: &Args, house: &mut House, show: &mut Show) -> Result<Vec<u64>, DemoTrouble> {
    show.stage("cast", "Voters seal their ballots and cast them.");
    let mut parts = Vec::new();
    for at in 0..house.elections.len() {
        for part in 0..PARTS {
            parts.push(prepare(house, at, part)?);
        }
    }
    let total: u64 = house.elections.iter().map(|election| election.input.ballots.len() as u64).sum();
    let begun = Instant::now();
    let mut told = Instant::now();
    let mut kill = if args.calm { Kill::Done } else { Kill::Waiting };
    loop {
        for at in 0..parts.len() {
            advance(house, &mut parts, at)?;
        }
        house.must_run()?;
        let recorded: u64 = parts.iter_mut().map(|part| part.receipts.count()).sum();
        let first_parts = parts.iter().filter(|part| part.part == 0);
        let first_group_done = first_parts.clone().any(|part| part.election == 0 && part.done.is_some());
        kill = match kill {
            // In the middle of the first group, or, if that was over at once, between it and the second.
            Kill::Waiting if recorded * 4 >= total || first_group_done => {
                let shard = shard_of(house, 0);
                if let Some(shard) = house.shards.get_mut(shard) {
                    shard.kill();
                    show.line(&format!("{} was killed (kill -9) after {} ballots", shard.name, grouped(recorded)));
                }
                Kill::Away(Instant::now())
            }
            Kill::Away(since) if since.elapsed() > SHARD_AWAY => {
                let (shard, processes) = (shard_of(house, 0), house.processes.clone());
                if let Some(shard) = house.shards.get_mut(shard) {
                    shard.restart(&processes)?;
                    shard.ready()?;
                    show.line(&format!("{} runs again, with what it had written down", shard.name));
                }
                Kill::Done
            }
            other => other,
        };
        if parts.iter().all(|part| part.done.is_some()) && matches!(kill, Kill::Done) {
            break;
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            show.line(&format!("{} of {} recorded", grouped(recorded), grouped(total)));
        }
        if begun.elapsed() > STAGE_WITHIN {
            let (name, seconds) = ("casting".to_owned(), STAGE_WITHIN.as_secs());
            let log = house.folder.join("logs");
            let tail = format!("  | {recorded} of {total} ballots are recorded");
            return Err(ProcessTrouble::TooLong { name, seconds, log, tail }.into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut recorded = vec![0; house.elections.len()];
    for part in &parts {
        let answer = part.done.as_ref().map_or(&Value::Null, |answer| answer);
        let got = answer["recorded"].as_u64().unwrap_or(0);
        if let Some(sum) = recorded.get_mut(part.election) {
            *sum += got;
        }
    }
    for (election, recorded) in house.elections.iter().zip(&recorded) {
        let ballots = election.input.ballots.len() as u64;
        show.line(&format!("{} of {} recorded, {}", grouped(*recorded), grouped(ballots), election.input.title));
        if *recorded != ballots {
            let (title, voters) = (election.input.title.clone(), ballots.abs_diff(*recorded));
            return Err(DemoTrouble::NotCast { title, voters, receipts: election.folder.clone() });
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    show.line(&format!("{} receipts, {:.0} ballots a second", grouped(total), total as f64 / seconds));
    Ok(recorded)
}

enum Kill {
    Waiting,
    Away(Instant),
    Done,
}

fn shard_of(house: &House, election: usize) -> usize {
    house.elections.get(election).map_or(0, |election| election.home)
}

/// Starts a part when its turn has come, and looks how it is doing.
fn advance(house: &House, parts: &mut [Part], at: usize) -> Result<(), DemoTrouble> {
    let Some((before, [part, ..])) = parts.split_at_mut_checked(at) else { return Ok(()) };
    if part.done.is_some() {
        return Ok(());
    }
    let turn = before.iter().filter(|other| other.election == part.election).all(|other| other.done.is_some());
    let name = house.elections.get(part.election).map_or("booth", |election| election.input.key.as_str());
    let name = format!("{name}-cast-{}", part.part + 1);
    match &part.running {
        None if turn => part.running = Some(house.processes.start(&name, "booth", &part.arguments)?),
        None => {}
        Some(running) => match running.ended()? {
            None => {}
            Some(status) if status.success() => part.done = Some(running.printed()?),
            // With the home shard away an election cannot even be looked up. Ballots that were sealed are kept and sent again as
            // they are.
            Some(_) if part.tries < TRIES => {
                part.tries += 1;
                thread::sleep(Duration::from_millis(200));
                part.running = Some(house.processes.start(&name, "booth", &part.arguments)?);
            }
            Some(_) => running.wait_well(Duration::ZERO)?,
        },
    }
    Ok(())
}

/// Writes the choices of a group, and says how they are cast.
fn prepare(house: &House, at: usize, part: usize) -> Result<Part, DemoTrouble> {
    let Some(election) = house.elections.get(at) else { return Err(DemoTrouble::Faults(Vec::new())) };
    let ballots = election.input.ballots.len();
    let range = ballots * part / PARTS..ballots * (part + 1) / PARTS;
    let choices = election.folder.join(format!("choices-{}.csv", part + 1));
    write(&choices, &election.input.choices_csv(range)?)?;
    let booth = booth(election, part);
    let mut arguments: Vec<String> =
        ["--json", "cast", "--election", &election.id, "--file", &shown(&choices), "--keys", &shown(&election.keys)]
            .map(str::to_owned)
            .into();
    arguments.extend(["--out".to_owned(), shown(&booth)]);
    // The first group begins at home, the second at the other shard.
    arguments.extend(servers(house, election.home + part));
    Ok(Part {
        election: at,
        part,
        arguments,
        receipts: Lines { path: booth.join("receipts.jsonl"), read: 0, lines: 0 },
        running: None,
        tries: 0,
        done: None,
    })
}

/// Where a group's sealed ballots and receipts are kept.
fn booth(election: &Election, part: usize) -> PathBuf {
    election.folder.join(format!("booth-{}", part + 1))
}

/// All shards, as alternatives, beginning with this one.
fn servers(house: &House, first: usize) -> Vec<String> {
    let shards = house.shards.iter().cycle().skip(first % house.shards.len().max(1)).take(house.shards.len());
    shards
        .flat_map(|shard| ["--server".into(), shard.address.clone(), "--trust-pin".into(), shard.pin.clone()])
        .collect()
}

/// Fetches and checks the proofs of some receipts; gives how many hold.
pub(super) fn prove(house: &House, election: &Election) -> Result<u64, DemoTrouble> {
    let mut proven = 0;
    for part in 0..PARTS {
        let receipts = shown(&booth(election, part));
        let sample = RECEIPTS_SAMPLED.to_string();
        let mut arguments: Vec<String> =
            ["--json", "verify", &receipts, "--election", &election.id, "--sample", &sample].map(str::to_owned).into();
        arguments.extend(servers(house, election.home));
        let name = format!("{}-verify-{}", election.input.key, part + 1);
        let answer = house.processes.ask(&name, "booth", &arguments, COMMAND_WITHIN)?;
        proven += answer["final"].as_u64().unwrap_or(0);
    }
    Ok(proven)
}
