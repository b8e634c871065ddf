//! Following the log: every leaf is checked by this trustee itself, kept, and only then is the log's head co-signed.
//! (P-LOG-5, P-BOX-6)

use std::num::NonZeroUsize;
use std::sync::Arc;

use proto::v1::{FollowReply, FollowRequest};
use protocol::ballot::{BallotForm, BallotRefusal, CheckedBallot};
use protocol::ballot_box::BoxTrouble;
use protocol::encoding::{Hash, digest};
use protocol::ids::{LaneIndex, LeafIndex, LogSize};
use protocol::keeper::Keeper;
use protocol::log::{Checkpoint, Cosignature, NoteKey, SignedCheckpoint, leaf_hash, origin};
use runtime::entropy::OsEntropy;

use super::{Election, RefusedLeaf, State, Whole, exchange::NOT_CAUGHT_UP, heavy};
use crate::refused::Refused;
use crate::store::{Cosigned, NewBallots, durable};

/// Ballots of one call.
const BALLOTS_MAX: usize = 4096;
/// Fewer ballots than this are not worth a second core.
const BALLOTS_PER_CHECKER: usize = 128;

/// What a checkpoint comes to.
enum Head {
    /// To be co-signed now for the first time.
    New(Cosigned),
    /// Was co-signed before.
    Again(Cosigned),
}

impl Election {
    /// Takes the next leaves of a lane, and co-signs the checkpoint if it is exactly what was followed.
    ///
    /// # Errors
    /// A caller that is not a shard of this election, or a call without sense. What is refused about the log itself
    /// is said in the reply, with the place from which to go on.
    pub async fn follow(
        &self,
        caller: &Hash,
        caller_name: &str,
        request: FollowRequest,
    ) -> Result<FollowReply, Refused> {
        self.authorise(caller, caller_name)?;
        let lane = self.lane(request.lane)?;
        let count = request.ballots.len();
        if count > BALLOTS_MAX {
            let (got, max) = (count as u64, BALLOTS_MAX as u64);
            return Err(Refused::TooLarge { field: "number of ballots", got, max });
        }
        let Some(one_at_a_time) = self.lanes.get(usize::from(lane.0)) else {
            return Err(Refused::TooLarge { field: "lane", got: lane.0.into(), max: self.manifest.lanes.into() });
        };
        let _one_at_a_time = one_at_a_time.lock().await;

        let (form, size) = {
            let state = self.state.lock().await;
            let size = state.keeper.lane_size(lane).0;
            let new_size = request.first.saturating_add(count as u64);
            let form = match self.may_follow(&state, lane, LogSize(new_size)) {
                Ok(form) => form,
                Err(refusal) => return Ok(FollowReply { next: size, cosigned: String::new(), refusal }),
            };
            (form, size)
        };
        let refuse = |refusal: String| Ok(FollowReply { next: size, cosigned: String::new(), refusal });
        if request.first > size {
            return refuse(format!("leaf {size} is the next one here, the call starts at {}", request.first));
        }
        let mut ballots = request.ballots;
        let known = usize::try_from(size.saturating_sub(request.first)).unwrap_or(usize::MAX).min(count);
        let new = ballots.split_off(known);
        if let Some(fork) = self.compare(lane, request.first, &ballots).await {
            self.keep_fork(&request.checkpoint, lane).await;
            return refuse(fork);
        }
        if let (Some(bad), Some(first)) = (self.state.lock().await.refused_leaves.get(&lane), new.first())
            && bad.index == size
            && bad.leaf == leaf_hash(first)
        {
            // The same again: not worth checking what comes behind it.
            return refuse(refused_leaf(lane, bad));
        }
        let verdicts = self.check(&form, &new).await;

        // From here to the commit memory is ahead of the disk.
        let mut state = self.state.lock().await;
        let whole = Whole;
        let mut taken: Vec<Vec<u8>> = Vec::with_capacity(new.len());
        let mut bad = None;
        for (bytes, verdict) in new.into_iter().zip(verdicts) {
            let index = size.saturating_add(taken.len() as u64);
            let absorbed = match verdict {
                Ok(ballot) => self.absorb(&mut state.keeper, &form, lane, size, &taken, &ballot).await,
                Err(refusal) => Err(refusal.to_string()),
            };
            match absorbed {
                Ok(()) => taken.push(bytes),
                Err(why) => {
                    bad = Some(RefusedLeaf { index, leaf: leaf_hash(&bytes), why });
                    break;
                }
            }
        }
        let next = size.saturating_add(taken.len() as u64);
        let head = match (&bad, request.checkpoint.as_str()) {
            (Some(bad), _) => Err(refused_leaf(lane, bad)),
            (None, "") => Ok(None),
            (None, text) => self.judge_head(&mut state, lane, text).await.map(Some),
        };
        let cosigned = match &head {
            Ok(Some((Head::New(cosigned), _))) => Some(*cosigned),
            _ => None,
        };
        if !taken.is_empty() || cosigned.is_some() {
            let new = NewBallots { lane, first: size, ballots: taken, cosigned };
            durable(self.ground.store.put_ballots(self.id, new).await);
        }
        drop(whole);
        if let Some(cosigned) = cosigned {
            state.newest.insert(lane, (cosigned.size, cosigned.root, None));
            let broken = state.watch.cosigned(lane, cosigned.size, cosigned.root);
            self.broken(&mut state, broken).await;
        }
        runtime::metrics::count("conclave_leaves_followed_total", next.saturating_sub(size));
        match bad {
            Some(bad) => {
                tracing::error!(election = %self.id, lane = lane.0, leaf = bad.index, why = bad.why, "leaf refused");
                state.refused_leaves.insert(lane, bad);
            }
            None if next > size => {
                state.refused_leaves.remove(&lane);
            }
            None => {}
        }
        let keeper = &mut state.keeper;
        heavy(|| keeper.followed());
        let remembered = match &head {
            Ok(Some((Head::New(cosigned) | Head::Again(cosigned), _))) => state
                .newest
                .get(&lane)
                .filter(|(size, root, _)| (*size, *root) == (cosigned.size, cosigned.root))
                .and_then(|(_, _, cosignature)| cosignature.clone()),
            _ => None,
        };
        drop(state);

        let (cosigned, refusal) = match head {
            Ok(None) => (String::new(), String::new()),
            Ok(Some((_, signed))) => self.cosign(lane, signed, remembered).await,
            Err(refusal) => (String::new(), refusal),
        };
        Ok(FollowReply { next, cosigned, refusal })
    }

    /// Whether a lane may grow to this size here, and what its ballots are judged against.
    fn may_follow(&self, state: &State, lane: LaneIndex, new_size: LogSize) -> Result<Arc<BallotForm>, String> {
        if let Some(reason) = &state.halted {
            return Err(reason.clone());
        }
        if !state.caught_up {
            return Err(format!("this trustee has just started and waits for {NOT_CAUGHT_UP}"));
        }
        state.keeper.may_follow(lane, new_size).map_err(|refusal| refusal.to_string())?;
        state.keeper.form().ok_or_else(|| "the election's key is not certified here yet".to_owned())
    }

    /// Whether leaves that are known already are the same as before. (M03, M04)
    async fn compare(&self, lane: LaneIndex, first: u64, ballots: &[Vec<u8>]) -> Option<String> {
        let mut at = 0_usize;
        while let Some(rest) = ballots.get(at..).filter(|rest| !rest.is_empty()) {
            let from = first.saturating_add(at as u64);
            let own = self.ground.store.ballots(self.id, lane, from, rest.len() as u64, 4 << 20).await;
            let own = durable(own);
            if own.is_empty() {
                runtime::fail_stop(format_args!("STORE_CORRUPT: leaf {from} of lane {lane} is gone"));
            }
            let different = (from..).zip(own.iter().zip(rest)).find(|(_, (own, got))| own != got);
            if let Some((index, (own, got))) = different {
                let (own, got) = (hex::encode(leaf_hash(own)), hex::encode(leaf_hash(got)));
                tracing::error!(election = %self.id, lane = lane.0, leaf = index, own, got, "LOG_FORK");
                return Some(format!("LOG_FORK: leaf {index} of lane {lane} is {own} here, now it is shown as {got}"));
            }
            at = at.saturating_add(own.len());
        }
        None
    }

    /// Checks signatures and proofs of new ballots, on as many cores as are free.
    async fn check(&self, form: &Arc<BallotForm>, ballots: &[Vec<u8>]) -> Vec<Result<CheckedBallot, BallotRefusal>> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let piece = ballots.len().div_ceil(cores).max(BALLOTS_PER_CHECKER);
        let mut pieces = Vec::new();
        for piece in ballots.chunks(piece) {
            let (form, piece, checkers) = (form.clone(), piece.to_vec(), self.ground.checkers.clone());
            pieces.push(tokio::spawn(async move {
                // Closed never: the semaphore lives as long as the daemon.
                let _place = checkers.acquire_owned().await;
                tokio::task::spawn_blocking(move || {
                    let views: Vec<&[u8]> = piece.iter().map(Vec::as_slice).collect();
                    form.verify_batch(&views, &mut OsEntropy)
                })
                .await
            }));
        }
        let mut verdicts = Vec::with_capacity(ballots.len());
        for piece in pieces {
            match piece.await {
                Ok(Ok(piece)) => verdicts.extend(piece),
                Ok(Err(trouble)) | Err(trouble) => {
                    runtime::fail_stop(format_args!("the checking of ballots ended: {trouble}"))
                }
            }
        }
        verdicts
    }

    /// Puts a checked ballot into the box; fetches the ballot that it replaces if there is one.
    async fn absorb(
        &self,
        keeper: &mut Keeper,
        form: &BallotForm,
        lane: LaneIndex,
        stored: u64,
        taken: &[Vec<u8>],
        ballot: &CheckedBallot,
    ) -> Result<(), String> {
        let replaced = match keeper.absorb_ballot(lane, ballot, &|_| None) {
            Ok(_) => return Ok(()),
            Err(BoxTrouble::Missing(replaced)) => replaced,
            Err(trouble) => return Err(trouble.to_string()),
        };
        let earlier = self.earlier(form, lane, stored, taken, replaced).await;
        keeper.absorb_ballot(lane, ballot, &|_| earlier.clone()).map(drop).map_err(|trouble| trouble.to_string())
    }

    async fn earlier(
        &self,
        form: &BallotForm,
        lane: LaneIndex,
        stored: u64,
        taken: &[Vec<u8>],
        leaf: LeafIndex,
    ) -> Option<CheckedBallot> {
        let in_this_call = leaf.0.checked_sub(stored).and_then(|at| taken.get(usize::try_from(at).ok()?));
        let bytes = match in_this_call {
            Some(bytes) => bytes.clone(),
            None => durable(self.ground.store.ballots(self.id, lane, leaf.0, 1, usize::MAX).await).pop()?,
        };
        form.trusted_from_store(&bytes).ok()
    }

    /// As [`Election::absorb`], for leaves that are in the store.
    pub(super) async fn absorb_again(
        &self,
        keeper: &mut Keeper,
        form: &BallotForm,
        lane: LaneIndex,
        ballot: &CheckedBallot,
    ) -> Result<(), String> {
        self.absorb(keeper, form, lane, u64::MAX, &[], ballot).await
    }

    /// Whether a checkpoint is signed by a shard and is this trustee's own head.
    async fn judge_head(
        &self,
        state: &mut State,
        lane: LaneIndex,
        text: &str,
    ) -> Result<(Head, SignedCheckpoint), String> {
        let signed: SignedCheckpoint = text.parse().map_err(|error| format!("the checkpoint: {error}"))?;
        self.verify_log_signature(lane, &signed)?;
        let Checkpoint { size, root, .. } = signed.checkpoint().clone();
        if let Some(before) = durable(self.ground.store.cosigned_at(self.id, lane, size).await) {
            if before == root {
                return Ok((Head::Again(Cosigned { lane, size, root }), signed));
            }
            self.keep_fork(text, lane).await;
            let (before, root) = (hex::encode(before), hex::encode(root));
            return Err(format!("LOG_FORK: at {size} leaves root {before} was co-signed, now it is shown as {root}"));
        }
        let had = state.newest.get(&lane).map_or(LogSize(0), |(size, ..)| *size);
        if size < had {
            return Err(format!(
                "LOG_ROLLBACK: a checkpoint of {had} leaves was co-signed, this one has {size}: the log was restored \
                 from a backup, or is another one"
            ));
        }
        match state.keeper.cosign(lane, signed.checkpoint()) {
            Ok(()) => Ok((Head::New(Cosigned { lane, size, root }), signed)),
            Err(refusal) => {
                if matches!(refusal, protocol::keeper::CosignRefusal::Fork { .. }) {
                    tracing::error!(election = %self.id, lane = lane.0, %refusal, "LOG_FORK");
                    self.keep_fork(text, lane).await;
                }
                Err(refusal.to_string())
            }
        }
    }

    fn verify_log_signature(&self, lane: LaneIndex, signed: &SignedCheckpoint) -> Result<(), String> {
        let origin = origin(&self.id, lane);
        let keys: Result<Vec<NoteKey>, _> =
            self.manifest.shards.iter().map(|shard| NoteKey::log(&origin, shard.identity)).collect();
        let signers = keys.and_then(|keys| signed.verify(&origin, &keys));
        match signers.map_err(|error| format!("the checkpoint: {error}"))?.log.is_empty() {
            true => Err("the checkpoint: no shard of this election has signed it".to_owned()),
            false => Ok(()),
        }
    }

    /// Keeps a checkpoint that contradicts this trustee's own log, if a shard has signed it: it is evidence.
    async fn keep_fork(&self, text: &str, lane: LaneIndex) {
        let signed = text.parse::<SignedCheckpoint>().ok();
        if signed.is_some_and(|signed| self.verify_log_signature(lane, &signed).is_ok()) {
            let bytes = text.as_bytes().to_vec();
            durable(self.ground.store.put_evidence(self.id, digest("fork", &bytes), "fork", bytes).await);
        }
    }

    /// Signs a checkpoint that is durably noted as co-signed. The same checkpoint gets the same signature while the
    /// process lives.
    async fn cosign(
        &self,
        lane: LaneIndex,
        signed: SignedCheckpoint,
        remembered: Option<Cosignature>,
    ) -> (String, String) {
        let checkpoint = signed.checkpoint().clone();
        let cosignature = match remembered {
            Some(cosignature) => cosignature,
            None => {
                let time_s = runtime::clock::now_s();
                match self.ground.keystore.sign_identity(&checkpoint.cosignature_message(time_s)).await {
                    Ok(signature) => Cosignature { time_s, signature },
                    Err(trouble) => return (String::new(), format!("its keystore: {trouble}")),
                }
            }
        };
        if let Some((size, root, slot)) = self.state.lock().await.newest.get_mut(&lane)
            && (*size, *root) == (checkpoint.size, checkpoint.root)
        {
            *slot = Some(cosignature.clone());
        }
        match signed.with_cosignature(&self.identity(), &cosignature) {
            Ok(signed) => (signed.to_string(), String::new()),
            Err(error) => (String::new(), format!("the checkpoint: {error}")),
        }
    }
}

fn refused_leaf(lane: LaneIndex, bad: &RefusedLeaf) -> String {
    let RefusedLeaf { index, leaf, why } = bad;
    format!("BAD_LEAF: leaf {index} of lane {lane} ({}) should not be in the log: {why}", hex::encode(leaf))
}
