//! The stages of an election, each brought to its end: what has to be said is said once, then it is waited.

use crate::{
    home::{Home, HomeTrouble},
    project::ProjectTrouble,
    record::{self, RecordTrouble},
    tell::Tell,
};
use booth::election::ElectionTrouble;
use proto::v1::Status;
use protocol::{
    agreement::messages::{CloseRequest, OpenRequest},
    board::{Board, Stage},
    ceremony::messages::NextAttempt,
    ids::Attempt,
    signing::messages::Purpose,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const LOOK_AGAIN: Duration = Duration::from_millis(200);
const AWAY: Duration = Duration::from_millis(500);
/// How long a record that is not whole yet is asked for again.
const GATHER: Duration = Duration::from_secs(30);

/// Why a stage did not end.
#[derive(Debug, thiserror::Error)]
pub enum StageTrouble {
    /// The home shard.
    #[error(transparent)]
    Home(#[from] HomeTrouble),
    /// The time that was given is over.
    #[error(
        "after {seconds} s the election is at stage {stage}; waited for {awaited}. Nothing is lost: run this again"
    )]
    TimeOut {
        /// Given.
        seconds: u64,
        /// Where it stands.
        stage: &'static str,
        /// What was to come.
        awaited: String,
    },
    /// Something else comes first.
    #[error("the election is at stage {stage}; {first}")]
    TooEarly {
        /// Where it stands.
        stage: &'static str,
        /// What to do first.
        first: &'static str,
    },
    /// A trustee's operator refused.
    #[error(
        "a trustee refused the manifest, so that there will be no such election: {reasons}. Make another with `ceremony new`"
    )]
    Stopped {
        /// Who and why.
        reasons: String,
    },
    /// No attempt was given up.
    #[error(
        "attempt {attempt} of the key ceremony is still alive; another one is only asked for when a trustee gave it up"
    )]
    AttemptAlive {
        /// The attempt.
        attempt: Attempt,
    },
    /// The record does not hold together.
    #[error(transparent)]
    Record(#[from] Box<RecordTrouble>),
}

impl From<ProjectTrouble> for StageTrouble {
    fn from(trouble: ProjectTrouble) -> Self {
        Self::Home(trouble.into())
    }
}

impl From<ElectionTrouble> for StageTrouble {
    fn from(trouble: ElectionTrouble) -> Self {
        Self::Home(trouble.into())
    }
}

/// How long to wait; `None`: for ever.
#[derive(Debug, Clone, Copy)]
pub struct Patience(pub Option<u64>);

impl Patience {
    fn end(self) -> Option<Instant> {
        self.0.map(|seconds| Instant::now() + Duration::from_secs(seconds))
    }
}

/// Announces the election and hands over the roll.
///
/// # Errors
/// [`StageTrouble`].
pub async fn create(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let roll = home.stored.roll_bytes()?;
    let end = patience.end();
    loop {
        let done = async {
            let existed = home.create().await?;
            let bar = tell.bar("voter roll", roll.len() as u64);
            home.put_roll(&roll, |received| bar.set_position(received)).await?;
            bar.finish_and_clear();
            Ok::<bool, HomeTrouble>(existed)
        };
        match done.await {
            Ok(existed) => {
                tell.line(if existed { "the election was there already" } else { "the election is announced" });
                return report(home).await;
            }
            Err(trouble) if trouble.passes() && end.is_none_or(|end| Instant::now() < end) => {
                tell.line(format!("{trouble}; trying again"));
                tokio::time::sleep(AWAY).await;
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
}

/// Up to where `ceremony keys` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysUntil {
    /// The keys are certified by all trustees: the group's address exists and can be given money.
    Certified,
    /// They are rehearsed and anchored: the election may open.
    Ready,
}

/// Waits for the key ceremony.
///
/// # Errors
/// [`StageTrouble`].
pub async fn keys(
    home: &mut Home<'_>,
    tell: Tell,
    patience: Patience,
    until: KeysUntil,
    next_attempt: bool,
) -> Result<Value, StageTrouble> {
    if next_attempt {
        let board = home.board().await?;
        let attempt = board.current_attempt();
        if board.key_certificate().is_none() {
            if !board.given_up(attempt) {
                return Err(StageTrouble::AttemptAlive { attempt });
            }
            let next = Attempt(attempt.0.saturating_add(1));
            home.submit(NextAttempt { attempt: next }.into()).await?;
            tell.line(format!("attempt {next} is asked for"));
        }
    }
    let (what, done): (_, fn(&Board) -> bool) = match until {
        KeysUntil::Certified => ("the certified key", |board| board.key_certificate().is_some()),
        KeysUntil::Ready => ("rehearsed and anchored keys", Board::ready),
    };
    wait(home, tell, patience, what, |board, _| done(board)).await?;
    report(home).await
}

/// Asks to open, and waits until a quorum has.
///
/// # Errors
/// [`StageTrouble`].
pub async fn open(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let board = home.board().await?;
    let Some(key_certificate) = board.key_certificate().filter(|_| board.ready()).map(|key| key.digest()) else {
        let stage = board.stage().name();
        return Err(StageTrouble::TooEarly { stage, first: "`ceremony keys` waits until it can be opened" });
    };
    if !board.opened() {
        say(home, tell, patience, OpenRequest { key_certificate }).await?;
        wait(home, tell, patience, "the trustees' agreement to open", |board, _| board.opened()).await?;
    }
    report(home).await
}

/// Asks to close, and waits until a quorum has.
///
/// # Errors
/// [`StageTrouble`].
pub async fn close(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let board = home.board().await?;
    let Some(key_certificate) = board.key_certificate().filter(|_| board.opened()).map(|key| key.digest()) else {
        let stage = board.stage().name();
        return Err(StageTrouble::TooEarly { stage, first: "it has to be opened before it can be closed" });
    };
    if !board.closed() {
        say(home, tell, patience, CloseRequest { key_certificate }).await?;
        wait(home, tell, patience, "the trustees' agreement to close", |board, _| board.closed()).await?;
    }
    report(home).await
}

/// Posts a statement; again as long as the shard is merely away.
async fn say<T>(home: &mut Home<'_>, tell: Tell, patience: Patience, body: T) -> Result<(), StageTrouble>
where
    T: Into<protocol::signed::Body> + Clone,
{
    let end = patience.end();
    loop {
        match home.submit(body.clone().into()).await {
            Ok(()) => return Ok(()),
            Err(trouble) if trouble.passes() && end.is_none_or(|end| Instant::now() < end) => {
                tell.line(format!("{trouble}; trying again"));
                tokio::time::sleep(AWAY).await;
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
}

/// Waits for the result, and computes it here from the record.
///
/// # Errors
/// [`StageTrouble`].
pub async fn tally(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let board = home.board().await?;
    if !board.close_requested() && !board.closed() {
        let stage = board.stage().name();
        return Err(StageTrouble::TooEarly { stage, first: "`ceremony close` comes before the tally" });
    }
    wait(home, tell, patience, "the result", |board, status| {
        board.certificate().is_some() && rank(&status.stage) >= rank(Stage::Anchoring.name())
    })
    .await?;
    let result = gather(home, tell).await?;
    let mut report = report(home).await?;
    if let (Value::Object(report), Ok(Value::Object(summary))) =
        (&mut report, serde_json::to_value(result.summary().map_err(Box::new)?))
    {
        for key in ["counted", "logged", "voters", "contests", "vote_set", "result", "lanes"] {
            if let Some(value) = summary.get(key) {
                report.insert(key.to_owned(), value.clone());
            }
        }
    }
    Ok(report)
}

/// The record, as soon as the shard has all of it: the last co-signatures may come in after the certificate, and the shard
/// may just be restarting.
///
/// # Errors
/// [`StageTrouble`].
pub async fn gather(home: &Home<'_>, tell: Tell) -> Result<record::Record, StageTrouble> {
    let end = Instant::now() + GATHER;
    loop {
        match record::Record::gather(&home.server, home.stored.id, tell).await {
            Ok(record) => return Ok(record),
            Err(trouble) if trouble.passes() && Instant::now() < end => {
                tell.line(format!("{trouble}; trying again"));
                tokio::time::sleep(AWAY).await;
            }
            Err(trouble) => return Err(Box::new(trouble).into()),
        }
    }
}

/// Waits until vote set and result are anchored.
///
/// # Errors
/// [`StageTrouble`].
pub async fn anchor(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let board = home.board().await?;
    if !board.close_requested() && !board.closed() {
        let stage = board.stage().name();
        return Err(StageTrouble::TooEarly { stage, first: "`ceremony close` comes first" });
    }
    wait(home, tell, patience, "the anchors of vote set and result", |board, _| {
        board.anchored(Purpose::AnchorVoteSet).is_some() && board.anchored(Purpose::AnchorResult).is_some()
    })
    .await?;
    report(home).await
}

/// Shows every change until the election is complete or stopped; for programs, one object for each.
///
/// # Errors
/// [`StageTrouble`].
pub async fn watch(home: &mut Home<'_>, tell: Tell, patience: Patience) -> Result<Value, StageTrouble> {
    let mut last = Value::Null;
    wait(home, tell, patience, "the end of the election", |board, status| {
        if tell.json {
            let now = object(board, status);
            if ["stage", "awaiting", "logged", "final", "rejected", "troubles"]
                .iter()
                .any(|key| now[*key] != last[*key])
            {
                tell.object(&now);
                last = now;
            }
        }
        board.anchored(Purpose::AnchorVoteSet).is_some() && board.anchored(Purpose::AnchorResult).is_some()
    })
    .await?;
    report(home).await
}

/// Where it stands, as one object.
///
/// # Errors
/// [`StageTrouble`].
pub async fn report(home: &mut Home<'_>) -> Result<Value, StageTrouble> {
    let status = home.status().await?;
    let board = home.board().await?;
    Ok(object(board, &status))
}

/// Waits until `done`, telling what changes. A shard that is away is waited for too.
async fn wait(
    home: &mut Home<'_>,
    tell: Tell,
    patience: Patience,
    what: &str,
    mut done: impl FnMut(&Board, &Status) -> bool,
) -> Result<(), StageTrouble> {
    let end = patience.end();
    let spinner = tell.spinner();
    let mut shown = String::new();
    let mut stage = "unknown";
    let mut last_trouble = String::new();
    loop {
        let pause = match look(home).await {
            Ok((board, status)) => {
                stage = board.stage().name();
                if board.stage() == Stage::Stopped {
                    return Err(StageTrouble::Stopped { reasons: refusals(board) });
                }
                if done(board, &status) {
                    spinner.finish_and_clear();
                    return Ok(());
                }
                last_trouble.clear();
                let (line, live) = lines(&status, board);
                spinner.set_message(live);
                if line != shown {
                    spinner.suspend(|| tell.line(&line));
                    shown = line;
                }
                LOOK_AGAIN
            }
            Err(StageTrouble::Home(trouble)) if trouble.passes() => {
                let text = format!("{trouble}; waiting for it to come back");
                if text != last_trouble {
                    spinner.suspend(|| tell.line(&text));
                    last_trouble = text;
                }
                AWAY
            }
            Err(trouble) => return Err(trouble),
        };
        if end.is_some_and(|end| Instant::now() >= end) {
            let awaited = if shown.is_empty() { what.to_owned() } else { format!("{what} ({shown})") };
            return Err(StageTrouble::TimeOut { seconds: patience.0.unwrap_or_default(), stage, awaited });
        }
        tokio::time::sleep(pause).await;
    }
}

async fn look<'a>(home: &'a mut Home<'_>) -> Result<(&'a Board, Status), StageTrouble> {
    let status = home.status().await?;
    Ok((home.board().await?, status))
}

/// What is worth a line of its own, and what changes too often for that.
fn lines(status: &Status, board: &Board) -> (String, String) {
    let stage = board.stage();
    let mut parts = Vec::new();
    let mut by_what: Vec<(String, Vec<String>)> = Vec::new();
    for (who, what) in awaiting(board, status) {
        match by_what.iter_mut().find(|(known, _)| *known == what) {
            Some((_, names)) => names.push(who),
            None => by_what.push((what, vec![who])),
        }
    }
    parts.extend(by_what.iter().map(|(what, who)| format!("waiting for {} ({what})", who.join(", "))));
    if stage == Stage::Created && board.announced() {
        parts.push(format!("their operators run `trustee accept {}`", board.election()));
    }
    for trustee in &status.trustees {
        if !trustee.reachable {
            parts.push(format!("{} is not reached", trustee.name));
        } else if !trustee.waiting.is_empty() && stage != Stage::Created {
            parts.push(format!("{}: {}", trustee.name, trustee.waiting));
        }
    }
    parts.extend(status.troubles.iter().map(|trouble| format!("trouble: {trouble}")));
    parts.extend(board.tally_trouble().map(|trouble| format!("trouble: {trouble}")));
    let name = stage_of(board, status);
    let line = if parts.is_empty() { name.to_owned() } else { format!("{name}: {}", parts.join("; ")) };
    let live = format!(
        "{name}: {} ballots in the log, {} of them final, {} rejected",
        status.logged, status.final_size, status.rejected
    );
    (line, live)
}

fn refusals(board: &Board) -> String {
    let reason = |envelope: &protocol::signed::Envelope| match &envelope.body {
        protocol::signed::Body::Refuse(refuse) => {
            let who = envelope.sender.name(board.manifest()).unwrap_or("a trustee");
            Some(format!("{who}: {}", refuse.reason))
        }
        _ => None,
    };
    board.of_kind(3).filter_map(reason).collect::<Vec<_>>().join("; ")
}

/// A stage's place in their order.
fn rank(stage: &str) -> usize {
    let order = [
        Stage::Created,
        Stage::KeyCeremony,
        Stage::Rehearsal,
        Stage::Ready,
        Stage::Open,
        Stage::Closing,
        Stage::Agreement,
        Stage::Tally,
        Stage::Anchoring,
        Stage::Complete,
    ];
    order.iter().position(|at| at.name() == stage).map_or(0, |at| at.saturating_add(1))
}

/// Where it stands. From the certificate on only the shard has the sums, so that its word is what there is.
fn stage_of<'a>(board: &Board, status: &'a Status) -> &'a str {
    let own = board.stage().name();
    if rank(&status.stage) > rank(own) && board.certificate().is_some() { &status.stage } else { own }
}

/// (who, what) is waited for; like [`stage_of`].
fn awaiting(board: &Board, status: &Status) -> Vec<(String, String)> {
    if board.certificate().is_some() {
        return status.awaiting.iter().map(|awaited| (awaited.who.clone(), awaited.what.clone())).collect();
    }
    board.awaiting().into_iter().map(|awaited| (awaited.who, awaited.what)).collect()
}

fn object(board: &Board, status: &Status) -> Value {
    let manifest = board.manifest();
    let some = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let key = board.key_certificate();
    let anchors = [Purpose::AnchorKey, Purpose::AnchorVoteSet, Purpose::AnchorResult];
    let anchors = anchors.into_iter().filter_map(|purpose| {
        let anchored = board.anchored(purpose)?;
        let signature = bs58::encode(anchored.signature).into_string();
        Some(json!({ "kind": purpose.name(), "signature": signature, "slot": anchored.slot, "finalized": true }))
    });
    json!({
        "election_id": board.election().to_string(),
        "title": manifest.title,
        "stage": stage_of(board, status),
        "attempt": status.attempt,
        "round": status.round,
        "awaiting": awaiting(board, status).iter().map(|(who, what)| json!({ "who": who, "what": what })).collect::<Vec<_>>(),
        "logged": status.logged,
        "final": status.final_size,
        "rejected": status.rejected,
        "trustees": status.trustees.iter().map(|t| json!({
            "name": t.name, "reachable": t.reachable, "followed": t.followed, "waiting": t.waiting, "error": t.error,
            "build": t.build, "keystore": t.keystore,
        })).collect::<Vec<_>>(),
        "troubles": status.troubles,
        "key_certificate": key.map(|key| hex::encode(key.digest())),
        "group_key": key.map(|key| hex::encode(key.signing_key)),
        "group_address": key.map(|key| bs58::encode(key.signing_key).into_string()),
        "vote_set": board.vote_set().map(hex::encode),
        "result": some(&status.result),
        "anchors": anchors.collect::<Vec<_>>(),
        "evidence": board.evidence().iter().map(|e| {
            let who = e.accused.name(manifest).unwrap_or_default();
            format!("{who} {}", e.wrong)
        }).collect::<Vec<_>>(),
        "times": status.times.iter().map(|t| json!({ "stage": t.stage, "time_ms": t.time_ms })).collect::<Vec<_>>(),
    })
}
