//! A ballot's way in: a first look without arithmetic, then its lane.

use std::sync::Arc;

use proto::v1::CastOutcome;
use proto::v1::cast_outcome::Outcome as Wire;
use protocol::ballot::BallotForm;
use protocol::ballot_box::{BoxRefusal, lane_of};
use protocol::board::Stage;
use protocol::encoding::{Hash, digest, label};
use protocol::ids::LaneIndex;
use tokio::sync::oneshot;

use crate::actors::Deps;
use crate::actors::intake::{Cast, Outcome, Waiting};
use crate::election::{Election, Gate};

/// What a voter is told when a mailbox is full.
const RETRY_MS: u32 = 300;
/// While the election is being taken up, or its lanes finish.
const STARTING_MS: u32 = 1000;

/// The id of a ballot's bytes: the hash of all but the signature.
pub(super) fn ballot_id(bytes: &[u8]) -> Hash {
    let body = bytes.len().checked_sub(64).and_then(|body| bytes.get(..body));
    digest(label::BALLOT, body.unwrap_or(&[]))
}

pub(super) fn outcome(outcome: Wire) -> CastOutcome {
    CastOutcome { outcome: Some(outcome) }
}

/// Not known what became of it: ask by its id.
pub(super) fn ask_again(bytes: &[u8]) -> CastOutcome {
    outcome(Wire::AskAgain(ballot_id(bytes).to_vec()))
}

/// Casts ballots in an election of this shard. One answer each, in order.
pub(super) async fn cast(deps: &Arc<Deps>, election: &Arc<Election>, ballots: Vec<Vec<u8>>) -> Vec<CastOutcome> {
    match election.view().gate {
        Gate::Open => {}
        Gate::NotOpen => {
            return refuse_all(&ballots, "ELECTION_NOT_OPEN: the trustees have not opened the election yet");
        }
        Gate::Closed => return cast_late(deps, election, ballots).await,
    }
    let (Some(lanes), Some(form), Some(roll)) = (election.intake.get(), election.form.get(), election.roll.get())
    else {
        return ballots.iter().map(|_| outcome(Wire::TryLaterMs(STARTING_MS))).collect();
    };
    let mut for_lanes: Vec<Vec<Waiting>> = lanes.iter().map(|_| Vec::new()).collect();
    let mut answers = Vec::with_capacity(ballots.len());
    for bytes in ballots {
        let (lane, refused) = first_look(form, roll, election.manifest.lanes, &bytes);
        let (reply, answer) = oneshot::channel();
        answers.push((ballot_id(&bytes), answer));
        if let Some(lane) = for_lanes.get_mut(usize::from(lane.0)) {
            lane.push(Waiting { bytes, refused, reply });
        }
    }
    for (lane, ballots) in lanes.iter().zip(for_lanes) {
        if ballots.is_empty() {
            continue;
        }
        if let Err(full) = lane.try_send(Cast(ballots)) {
            let Cast(ballots) = full.into_inner();
            for waiting in ballots {
                drop(waiting.reply.send(Outcome::TryLater(RETRY_MS)));
            }
        }
    }
    let mut outcomes = Vec::with_capacity(answers.len());
    for (id, answer) in answers {
        let wire = match answer.await.unwrap_or(Outcome::Unknown) {
            Outcome::Recorded(receipt) => Wire::Recorded(receipt),
            Outcome::Rejected(rejection) => Wire::Rejected(rejection),
            Outcome::TryLater(after_ms) => Wire::TryLaterMs(after_ms),
            Outcome::Unknown => Wire::AskAgain(id.to_vec()),
        };
        outcomes.push(outcome(wire));
    }
    outcomes
}

fn refuse_all(ballots: &[Vec<u8>], reason: &str) -> Vec<CastOutcome> {
    ballots.iter().map(|_| outcome(Wire::Refused(reason.to_owned()))).collect()
}

/// What costs no arithmetic: form, credential, style. Its lane, and the code of its refusal if it is refused.
fn first_look(form: &BallotForm, roll: &protocol::roll::Roll, lanes: u16, bytes: &[u8]) -> (LaneIndex, Option<u16>) {
    let (style, credential) = match form.peek(bytes) {
        Ok(found) => found,
        Err(refusal) => return (LaneIndex(0), Some(refusal.code())),
    };
    let lane = lane_of(&credential, lanes);
    let refused = match roll.find(&credential) {
        None => Some(BoxRefusal::UnknownCredential),
        Some((_, entry)) if entry.style != style => {
            Some(BoxRefusal::WrongStyle { expected: entry.style.0, got: style.0 })
        }
        Some(_) => None,
    };
    (lane, refused.map(|refusal| refusal.code()))
}

/// After the close: whoever is in the log still gets the receipt, nobody else gets in. (C04, C05)
async fn cast_late(deps: &Arc<Deps>, election: &Arc<Election>, ballots: Vec<Vec<u8>>) -> Vec<CastOutcome> {
    // Looked at first: once the ends are stated, whatever was ever taken is in the store.
    let stage = election.view().stage;
    let ids: Vec<Hash> = ballots.iter().map(|bytes| ballot_id(bytes)).collect();
    let Ok(found) = deps.store.find_ballots(election.key, ids.clone()).await else {
        return ballots.iter().map(|bytes| ask_again(bytes)).collect();
    };
    let answer = |id: &Hash| match found.iter().find(|(digest, _)| digest == id) {
        Some((_, known)) => outcome(Wire::Recorded(deps.receipt(election, known))),
        None => outcome(unknown_late(stage)),
    };
    ids.iter().map(answer).collect()
}

/// What is said after the close about a ballot that is not in the log. While the lanes still finish what they had taken, it
/// may be among that: no final word yet.
fn unknown_late(stage: Stage) -> Wire {
    if stage <= Stage::Closing {
        return Wire::TryLaterMs(STARTING_MS);
    }
    Wire::Refused("ELECTION_CLOSED: the trustees have closed the election".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hears_too_late_before_the_ends_of_the_log_are_stated() {
        let said = |stage| unknown_late(stage);
        assert!(matches!(said(Stage::Closing), Wire::TryLaterMs(_)));
        for stage in [Stage::Agreement, Stage::Tally, Stage::Anchoring, Stage::Complete] {
            assert!(matches!(said(stage), Wire::Refused(reason) if reason.starts_with("ELECTION_CLOSED")));
        }
    }
}
