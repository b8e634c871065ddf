//! The elections, stage by stage, both at once.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::{
    Args, DemoTrouble,
    data::Input,
    processes::{ProcessTrouble, Processes, Running},
    report::{self, Anchor, Outcome},
    setup::{self, COMMAND_WITHIN, Election, House, shown, text_at},
    show::{self, Show, grouped},
};

mod cast;

/// For stages in which many processes have their say.
const STAGE_WITHIN: Duration = Duration::from_secs(600);
/// A shard killed on purpose stays away for so long.
const SHARD_AWAY: Duration = Duration::from_millis(1500);
/// A trustee killed on purpose stays away until the sums are open; at most for so long, for elections that need everybody.
const TRUSTEE_AWAY: Duration = Duration::from_secs(8);
/// Receipts whose inclusion is proven, of each file of receipts.
const RECEIPTS_SAMPLED: u64 = 50;
/// More than an election needs: the nonce account's rent and a few fees.
const FUNDS_SOL: &str = "1";

/// [`hold_all`], and what is wrong with a daemon rather than with whoever could not reach it any more.
pub(super) fn hold(
    args: &Args,
    processes: &Processes,
    folder: &std::path::Path,
    inputs: Vec<Input>,
    show: &mut Show,
) -> Result<(Value, Vec<String>), DemoTrouble> {
    let mut house = setup::setup(args, processes, folder, inputs, show)?;
    let held = hold_all(args, &mut house, show);
    if held.is_err() {
        house.must_run()?;
    }
    held
}

/// Holds the elections; gives the object of `--json` and whatever is not as it has to be.
fn hold_all(args: &Args, house: &mut House, show: &mut Show) -> Result<(Value, Vec<String>), DemoTrouble> {
    announce(house, show)?;
    let groups = keys(house, show)?;
    show.stage("open", "A quorum of trustees opens the elections.");
    each(house, "open", STAGE_WITHIN)?;
    let cast_begun = Instant::now();
    let cast = cast::cast(args, house, show)?;
    show.stage("close", "A quorum of trustees closes the elections; they agree on what was cast.");
    each(house, "close", STAGE_WITHIN)?;
    tally(args, house, show)?;
    show.stage("anchor", "The trustees sign on chain together; vote set and result are anchored.");
    let ends = each(house, "anchor", STAGE_WITHIN)?;
    house.must_run()?;
    let summaries = export(house, show)?;
    let audits = audit(house, show)?;
    show.end_stage();
    show.also("first_cast_to_verdict", cast_begun.elapsed().as_secs_f64());
    show.stage("receipts", "Voters ask for the proof that their receipts were honoured.");
    let proven = house.elections.iter().map(|election| cast::prove(house, election)).collect::<Result<Vec<_>, _>>()?;
    show.line(&format!(
        "{} sampled receipts are proven, each with the trustees' co-signatures",
        proven.iter().sum::<u64>()
    ));
    show.end_stage();
    // As the shards saw it, both elections at once.
    for (name, from, to) in
        [("key_generation", "key-ceremony", "rehearsal"), ("result_to_final_anchor", "anchoring", "complete")]
    {
        if let Some(slowest) = ends.iter().filter_map(|status| between(status, from, to)).reduce(f64::max) {
            show.also(name, slowest);
        }
    }
    show.also("total", show.elapsed().as_secs_f64());

    let memory = house.memory();
    let mut outcomes = Vec::new();
    let parts = summaries.into_iter().zip(audits).zip(cast).zip(proven).zip(groups);
    for (election, ((((summary, audit), cast), receipts_proven), group)) in house.elections.iter().zip(parts) {
        let anchors = anchors(house, election, &summary)?;
        outcomes.push(Outcome {
            input: election.input.clone(),
            election_id: election.id.clone(),
            group,
            summary,
            cast,
            anchors,
            audit,
            receipts_proven,
            record: shown(&record(house, election)),
        });
    }
    show::rule();
    super::say(&report::text_of(&outcomes, show, &memory));
    let mut notes = Map::new();
    notes.insert("trustees".into(), args.trustees.into());
    notes.insert("shards".into(), house.shards.len().into());
    notes.insert("calm".into(), args.calm.into());
    notes.insert("rpc".into(), json!(house.rpc));
    let object = report::json_of(&outcomes, show, &memory, notes);
    Ok((object, outcomes.iter().flat_map(Outcome::faults).collect()))
}

/// The same command for each election at once; the answers in order.
fn each(house: &House, command: &str, within: Duration) -> Result<Vec<Value>, DemoTrouble> {
    finish(house, start_each(house, command, &[])?, within)
}

fn start_each(house: &House, command: &str, more: &[&str]) -> Result<Vec<Running>, DemoTrouble> {
    let started = house.elections.iter().map(|election| {
        let arguments: Vec<&str> =
            [command, "--election", &election.id].into_iter().chain(more.iter().copied()).collect();
        house.start_ceremony(&format!("{}-{command}", election.input.key), &arguments)
    });
    Ok(started.collect::<Result<_, _>>()?)
}

/// Waits for the answers of all; not for long when a daemon has died that they may be waiting for.
fn finish(house: &House, running: Vec<Running>, within: Duration) -> Result<Vec<Value>, DemoTrouble> {
    let begun = Instant::now();
    while begun.elapsed() < within && !all_ended(&running)? {
        house.must_run()?;
        thread::sleep(Duration::from_millis(20));
    }
    let rest = within.saturating_sub(begun.elapsed());
    Ok(running.iter().map(|running| running.answer(rest)).collect::<Result<_, _>>()?)
}

fn announce(house: &House, show: &mut Show) -> Result<(), DemoTrouble> {
    show.stage("announce", "The official announces the elections; every trustee's operator reads and accepts.");
    each(house, "create", COMMAND_WITHIN)?;
    let begun = Instant::now();
    for trustee in &house.trustees {
        let config = shown(&house.folder.join(&trustee.name).join("trustee.toml"));
        loop {
            let name = format!("{}-elections", trustee.name);
            let known =
                house.processes.ask(&name, "trustee", ["--config", &config, "--json", "elections"], COMMAND_WITHIN)?;
            let known = known["elections"].as_array().cloned().unwrap_or_default();
            let missing =
                house.elections.iter().find(|election| !known.iter().any(|k| k["election_id"] == election.id));
            let Some(missing) = missing else { break };
            house.must_run()?;
            if begun.elapsed() > COMMAND_WITHIN {
                return Err(DemoTrouble::NotAnnounced {
                    title: missing.input.title.clone(),
                    trustee: trustee.name.clone(),
                    seconds: COMMAND_WITHIN.as_secs(),
                    log: house.folder.join("logs").join(format!("{}.log", trustee.name)),
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
        let accepting = house.elections.iter().map(|election| {
            let name = format!("{}-accept-{}", trustee.name, election.input.key);
            house.processes.start(&name, "trustee", ["--config", &config, "--json", "accept", &election.id])
        });
        let accepting = accepting.collect::<Result<Vec<_>, _>>()?;
        finish(house, accepting, COMMAND_WITHIN)?;
        show.line(&format!("{} has accepted", trustee.name));
    }
    Ok(())
}

/// Gives the addresses that pay for the anchors.
fn keys(house: &House, show: &mut Show) -> Result<Vec<String>, DemoTrouble> {
    show.stage("key_ceremony", "The trustees make the election keys together; nobody ever has a whole one.");
    let certified = finish(house, start_each(house, "keys", &["--until", "certified"])?, STAGE_WITHIN)?;
    show.stage("key_anchor", "The keys are tried out on a rehearsal and anchored on the ledger.");
    let mut groups = Vec::new();
    for (election, status) in house.elections.iter().zip(&certified) {
        let address = text_at(status, "group_address", "ceremony keys")?;
        let name = format!("{}-fund", election.input.key);
        house.anchor_tool(&name, &["fund", &address, "--sol", FUNDS_SOL])?;
        show.line(&format!("{address} has money for its transactions ({})", election.input.title));
        groups.push(address);
    }
    finish(house, start_each(house, "keys", &["--until", "ready"])?, STAGE_WITHIN)?;
    Ok(groups)
}

fn tally(args: &Args, house: &mut House, show: &mut Show) -> Result<(), DemoTrouble> {
    show.stage("tally", "The trustees open the sums, never a single ballot.");
    let running = start_each(house, "tally", &[])?;
    if !args.calm {
        // The vote set is agreed on or about to be: whoever is to open the sums finds one fewer than all.
        if let Some(last) = house.trustees.last_mut() {
            last.kill();
            show.line(&format!("{} was killed (kill -9)", last.name));
        }
        let killed = Instant::now();
        while killed.elapsed() < TRUSTEE_AWAY && !all_ended(&running)? {
            thread::sleep(Duration::from_millis(20));
        }
        let without = all_ended(&running)?;
        let processes = house.processes.clone();
        if let Some(last) = house.trustees.last_mut() {
            if without {
                show.line("the sums were opened without it");
            }
            last.restart(&processes)?;
            last.ready()?;
            show.line(&format!("{} runs again, with what it had written down", last.name));
        }
    }
    finish(house, running, STAGE_WITHIN)?;
    Ok(())
}

/// Whether all have ended; how is asked later.
fn all_ended(running: &[Running]) -> Result<bool, ProcessTrouble> {
    running.iter().map(Running::has_ended).try_fold(true, |all, ended| Ok(all & ended?))
}

/// Seconds between the beginnings of two stages.
fn between(status: &Value, from: &str, to: &str) -> Option<f64> {
    let times = status["times"].as_array()?;
    let at = |stage: &str| times.iter().find(|time| time["stage"] == stage)?["time_ms"].as_u64();
    Some(at(to)?.checked_sub(at(from)?)? as f64 / 1000.0)
}

fn record(house: &House, election: &Election) -> PathBuf {
    house.folder.join("records").join(&election.input.key)
}

fn export(house: &House, show: &mut Show) -> Result<Vec<Value>, DemoTrouble> {
    show.stage("export", "The official exports the election records.");
    let records = house.folder.join("records");
    fs::create_dir_all(&records).map_err(|source| DemoTrouble::file(&records, source))?;
    let mut summaries = Vec::new();
    for election in &house.elections {
        let path = record(house, election);
        let arguments = ["export", &shown(&path), "--election", &election.id];
        house.ceremony(&format!("{}-export", election.input.key), &arguments, STAGE_WITHIN)?;
        let summary = path.join("summary.json");
        let text = fs::read_to_string(&summary).map_err(|source| DemoTrouble::file(&summary, source))?;
        let summary = serde_json::from_str(&text).map_err(|_| ProcessTrouble::Answer {
            name: "ceremony export".into(),
            got: text.chars().take(200).collect(),
        })?;
        summaries.push(summary);
        show.line(&shown(&path));
    }
    Ok(summaries)
}

fn audit(house: &House, show: &mut Show) -> Result<Vec<Value>, DemoTrouble> {
    show.stage("audit", "A stranger checks everything again, ledger included.");
    let mut reports = Vec::new();
    for election in &house.elections {
        let name = format!("{}-audit", election.input.key);
        let arguments = ["verify", &shown(&record(house, election)), "--rpc", &house.rpc, "--json"];
        let running = house.processes.start(&name, "audit", arguments)?;
        let status = running.wait(STAGE_WITHIN)?;
        // An invalid record is an answer too; that there is none is not.
        let report = running.printed().map_err(|trouble| match status.success() {
            true => trouble,
            false => ProcessTrouble::Failed { name, status, log: running.log.clone(), tail: running.tail() },
        })?;
        let checks = report["checks"].as_array().map_or(0, Vec::len);
        let verdict = report["verdict"].as_str().unwrap_or("no verdict").to_owned();
        show.line(&format!("{verdict} after {} checks: {}", grouped(checks as u64), election.input.title));
        reports.push(report);
    }
    Ok(reports)
}

/// The anchors of a record, each looked up on the ledger by its signature.
fn anchors(house: &House, election: &Election, summary: &Value) -> Result<Vec<Anchor>, DemoTrouble> {
    let listed = summary["anchors"].as_array().cloned().unwrap_or_default();
    let mut anchors = Vec::new();
    for anchor in listed.iter().filter(|anchor| anchor["kind"] != "create-nonce") {
        let kind = text_at(anchor, "kind", "the record's summary")?;
        let signature = text_at(anchor, "signature", "the record's summary")?;
        let name = format!("{}-show-{kind}", election.input.key);
        let finalized = match house.anchor_tool(&name, &["show", &signature]) {
            Ok(found) => found["signature"] == anchor["signature"] && found["slot"] == anchor["slot"],
            Err(ProcessTrouble::Failed { .. }) => false,
            Err(trouble) => return Err(trouble.into()),
        };
        anchors.push(Anchor { kind, signature, slot: anchor["slot"].as_u64().unwrap_or(0), finalized });
    }
    Ok(anchors)
}
