//! The certified lanes, summed up.

use std::sync::Arc;

use protocol::agreement::messages::VoteSet;
use protocol::ballot_box::ClosedBox;
use protocol::ids::IdentityKey;
use protocol::log::{Checkpoint, SignedCheckpoint};

use crate::actors::Deps;
use crate::actors::intake::{CopyBox, LoadTrouble, load_until};
use crate::election::Election;

/// The lanes at the ends of a vote set, summed up. A lane that is longer gets a checkpoint there, for the record.
pub(super) async fn closed_at(
    deps: &Arc<Deps>,
    election: &Arc<Election>,
    vote_set: &VoteSet,
) -> Result<Option<ClosedBox>, LoadTrouble> {
    let (Some(lanes), Some(form), Some(roll)) = (election.intake.get(), election.form.get(), election.roll.get())
    else {
        return Ok(None);
    };
    let mut boxes = Vec::with_capacity(lanes.len());
    for ((actor, lane), end) in lanes.iter().zip(&election.lanes).zip(&vote_set.lanes) {
        if lane.size() <= end.size.0 {
            let Ok(own) = actor.send(CopyBox).await else { return Ok(None) };
            boxes.push(own);
            continue;
        }
        let own = load_until(deps, election, lane, form, Arc::clone(roll), end.size.0).await?;
        let checkpoint = Checkpoint { origin: lane.origin.clone(), size: own.size(), root: own.root() };
        let signature = deps.sign(&checkpoint.note_message());
        let key = IdentityKey(deps.signer.public_key());
        let number = lane.index.0;
        let note = SignedCheckpoint::by_log(checkpoint, &key, &signature)
            .map_err(|source| LoadTrouble::Note { lane: number, source })?;
        deps.store.keep_checkpoint(election.key, number, end.size.0, false, note.to_string()).await?;
        lane.set_end(note);
        boxes.push(own);
    }
    // Of lanes of one election, which they are.
    Ok(ClosedBox::of(&boxes.iter().collect::<Vec<_>>(), vote_set.key_certificate).ok().flatten())
}
