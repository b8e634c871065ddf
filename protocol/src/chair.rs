//! The home shard's side of an election: what it owes the board and the chain. (P-CHA)
//!
//! The chair is trusted with nothing: it only asks. It states where the log ends, asks trustees to sign, and says what it
//! found on chain. What it asks wrongly is refused; whom it leaves out is somebody it was lied to by, or who was silent.

use crate::{
    agreement::messages::{LaneEnd, Sealed},
    board::{Board, Stage, Transactions},
    encoding::Hash,
    ids::{Attempt, TimeMs, TrusteeIndex},
    signed::{Body, Sender},
    signing::{
        ATTEMPTS_MAX, Progress, choose_signers,
        messages::{Purpose, SignRequest},
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// How long the first attempt at a joint signature may wait for its signers, in milliseconds; each later one waits that much
/// longer, for the trustees may be slow and not away.
pub const SIGN_WAIT_MS: u64 = 1500;
/// What that grows to.
pub const SIGN_WAIT_MAX_MS: u64 = 20_000;
/// How long an attempt that needs every trustee waits: they may be restarting.
pub const REHEARSAL_WAIT_MS: u64 = 20_000;
/// Rehearsals that follow on a spoilt one without a pause.
const REHEARSALS_AT_ONCE: u32 = 3;

/// What the shell knows of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerView {
    /// A recent block hash, if one was fetched and not used yet.
    pub blockhash: Option<Hash>,
    /// Rent of a nonce account, in lamports.
    pub nonce_rent: u64,
    /// The durable nonce's current value; `None` while the account does not exist or was not looked up.
    pub nonce: Option<Hash>,
    /// Whether the nonce account was looked up and does not exist.
    pub nonce_missing: bool,
}

/// What has to be asked of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A recent block hash and the rent: set both.
    Blockhash,
    /// Whether the nonce account exists, and its value: set `nonce` or `nonce_missing`.
    Nonce,
}

/// What the shell must do.
#[must_use = "a duty left undone stops the election"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChairDuty {
    /// Sign with the shard's key, store durably, absorb.
    Post(Body),
    /// Ask the chain.
    Fetch(Need),
    /// Send, wait until finalized, read back, then post [`crate::signing::messages::Anchored`]. If it cannot land,
    /// [`Chair::submission_failed`].
    Submit {
        /// What for.
        purpose: Purpose,
        /// Attempt whose signature it is.
        attempt: Attempt,
        /// The signed message.
        message: Vec<u8>,
        /// The group's signature.
        signature: [u8; 64],
    },
}

/// Timers and memory of one process; all of it may be lost.
#[derive(Debug, Default)]
pub struct Chair {
    since: BTreeMap<(Purpose, Attempt), TimeMs>,
    left_out: BTreeMap<Purpose, BTreeSet<TrusteeIndex>>,
    /// Who has aborted an attempt for a purpose.
    gave_up: BTreeSet<(Purpose, TrusteeIndex)>,
    culprits: BTreeSet<TrusteeIndex>,
    submitted: BTreeSet<(Purpose, Attempt)>,
    /// How often each signed creation of the nonce account was looked for on the chain, once the account was there.
    sought: BTreeMap<Attempt, u32>,
    failed: BTreeSet<(Purpose, Attempt)>,
}

/// How long an attempt may take before the next is begun.
fn patience(attempt: Attempt) -> u64 {
    SIGN_WAIT_MS.saturating_mul(attempt.0.into()).min(SIGN_WAIT_MAX_MS)
}

impl Chair {
    /// At the start of a process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is owed now. To be called again after performing and whenever the board grows or time passes. (P-CHA-1)
    ///
    /// `ends` are the lanes' ends, once the election is closed and nothing more is being appended.
    pub fn duties(
        &mut self,
        board: &Board,
        now: TimeMs,
        ends: Option<Vec<LaneEnd>>,
        ledger: &LedgerView,
        tx: &dyn Transactions,
    ) -> Vec<ChairDuty> {
        let mut out = Vec::new();
        if board.stage() == Stage::Stopped {
            return out;
        }
        if board.closed()
            && board.sealed().is_none()
            && let Some(lanes) = ends
        {
            out.push(ChairDuty::Post(Sealed { lanes }.into()));
        }
        for purpose in Purpose::ALL {
            if self.is_due(board, purpose) {
                out.extend(self.signature(board, purpose, now, ledger, tx));
                // One at a time: each anchor uses up the nonce that the next one needs.
                break;
            }
        }
        out
    }

    /// Whether a joint signature is wanted now.
    fn is_due(&self, board: &Board, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Rehearsal => board.all_rehearsed() && board.rehearsal_signature().is_none(),
            Purpose::CreateNonce | Purpose::AnchorKey | Purpose::AnchorVoteSet | Purpose::AnchorResult => {
                let certified = match purpose {
                    Purpose::CreateNonce => board.rehearsed(),
                    _ => board.memo(purpose).is_some(),
                };
                certified && board.rehearsed() && board.anchored(purpose).is_none()
            }
        }
    }

    fn signature(
        &mut self,
        board: &Board,
        purpose: Purpose,
        now: TimeMs,
        ledger: &LedgerView,
        tx: &dyn Transactions,
    ) -> Option<ChairDuty> {
        let Some(request) = board.newest_request(purpose) else {
            return self.request(board, purpose, Attempt(1), ledger);
        };
        // The account exists, and only this group can have made it: an attempt that was given up landed after all.
        if purpose == Purpose::CreateNonce && ledger.nonce.is_some() {
            return self.seek_landed(board, purpose, request.attempt, tx);
        }
        let attempt = request.attempt;
        let next = |chair: &Self| chair.request(board, purpose, Attempt(attempt.0.saturating_add(1)), ledger);
        if self.failed.contains(&(purpose, attempt)) {
            return next(self);
        }
        let signable = match board.signable(request, tx) {
            Ok(signable) => signable,
            // A request that nobody can sign, made by whoever held this key before: only the next attempt leads on.
            Err(refusal) if refusal.is_final() => return next(self),
            Err(_) => return None,
        };
        let since = *self.since.entry((purpose, attempt)).or_insert(now);
        match board.progress(purpose, attempt, &signable.message)? {
            Progress::Signed(_) if purpose == Purpose::Rehearsal => None,
            Progress::Signed(signature) => self.submitted.insert((purpose, attempt)).then_some(ChairDuty::Submit {
                purpose,
                attempt,
                message: signable.message,
                signature,
            }),
            // All are needed, so whoever spoils it is asked again: at once a few times, and then slowly.
            Progress::Failed { .. }
                if purpose == Purpose::Rehearsal
                    && attempt.0 > REHEARSALS_AT_ONCE
                    && now.0.saturating_sub(since.0) < patience(attempt) =>
            {
                None
            }
            Progress::Failed { culprits, aborted, strayed } => {
                if !bug!(BadSignerAskedAgain) {
                    self.culprits.extend(culprits.iter().map(|(index, _)| *index));
                }
                // Whoever aborted because of a restart is back and may be asked again at once, but not for ever.
                let (again, back): (Vec<_>, Vec<_>) = aborted
                    .into_iter()
                    .partition(|index| !self.gave_up.insert((purpose, *index)) && !bug!(AbortsForgiven));
                self.left_out.entry(purpose).or_default().retain(|index| !back.contains(index));
                self.leave_out(board, purpose, strayed.into_iter().chain(again).collect());
                next(self)
            }
            Progress::AwaitingCommitments { missing } | Progress::AwaitingShares { missing, .. } => {
                let patience = if purpose == Purpose::Rehearsal { REHEARSAL_WAIT_MS } else { patience(attempt) };
                if now.0.saturating_sub(since.0) < patience {
                    return None;
                }
                self.leave_out(board, purpose, missing.into_iter().collect());
                next(self)
            }
        }
    }

    /// Leaves these out of the attempts that follow. Where too few would be left, those who were left out before get another
    /// chance: they may be back, and these have just now not answered. Without that, a few who were away at different times
    /// would use up all choice, and whoever is first by lot would be asked for ever, also if it never comes back.
    fn leave_out(&mut self, board: &Board, purpose: Purpose, away: BTreeSet<TrusteeIndex>) {
        let manifest = board.manifest();
        let left_out = self.left_out.entry(purpose).or_default();
        left_out.extend(&away);
        let left = manifest.trustee_indices().filter(|i| !left_out.contains(i) && !self.culprits.contains(i)).count();
        if left < usize::from(manifest.quorums.s) && !bug!(ChoiceUsedUp) {
            *left_out = away;
        }
    }

    /// The signed attempt that was looked for the least often, to be submitted again: that finds it if it landed.
    fn seek_landed(
        &mut self,
        board: &Board,
        purpose: Purpose,
        newest: Attempt,
        tx: &dyn Transactions,
    ) -> Option<ChairDuty> {
        let signed = (1..=newest.0).map(Attempt).filter_map(|attempt| {
            let message = board.signable(board.signing(purpose, attempt)?.request, tx).ok()?.message;
            match board.progress(purpose, attempt, &message)? {
                Progress::Signed(signature) => Some((attempt, message, signature)),
                _ => None,
            }
        });
        let in_flight =
            |attempt| self.submitted.contains(&(purpose, attempt)) && !self.failed.contains(&(purpose, attempt));
        if (1..=newest.0).any(|attempt| in_flight(Attempt(attempt))) {
            return None;
        }
        let sought = |attempt: &Attempt| self.sought.get(attempt).copied().unwrap_or(0);
        let Some((attempt, message, signature)) = signed.min_by_key(|(attempt, ..)| (sought(attempt), *attempt)) else {
            // Nobody has signed anything that could have made it: whoever says that it exists is asked again.
            return Some(ChairDuty::Fetch(Need::Nonce));
        };
        let times = self.sought.entry(attempt).or_default();
        *times = times.saturating_add(1);
        self.failed.remove(&(purpose, attempt));
        self.submitted.insert((purpose, attempt));
        Some(ChairDuty::Submit { purpose, attempt, message, signature })
    }

    /// The next attempt's request, once the chain's parameters are known.
    fn request(&self, board: &Board, purpose: Purpose, attempt: Attempt, ledger: &LedgerView) -> Option<ChairDuty> {
        if attempt.0 > ATTEMPTS_MAX {
            return None;
        }
        let manifest = board.manifest();
        let signers = if purpose == Purpose::Rehearsal {
            manifest.trustee_indices().collect()
        } else {
            self.signers(board, purpose)?
        };
        let (nonce, lamports) = match purpose {
            Purpose::Rehearsal => ([0; 32], 0),
            Purpose::CreateNonce => match (ledger.blockhash, ledger.nonce_missing) {
                (Some(blockhash), true) => (blockhash, ledger.nonce_rent),
                (_, false) => return Some(ChairDuty::Fetch(Need::Nonce)),
                (None, true) => return Some(ChairDuty::Fetch(Need::Blockhash)),
            },
            _ => match ledger.nonce {
                Some(nonce) => (nonce, 0),
                None => return Some(ChairDuty::Fetch(Need::Nonce)),
            },
        };
        Some(ChairDuty::Post(SignRequest { purpose, attempt, signers, nonce, lamports }.into()))
    }

    /// `s` signers in the order of the lots; the proven wrong-doers never, the silent only when nobody else is left.
    fn signers(&self, board: &Board, purpose: Purpose) -> Option<Vec<TrusteeIndex>> {
        let s = board.manifest().quorums.s;
        let order = board.lot_order();
        let mut excluded = self.culprits.clone();
        excluded.extend(self.left_out.get(&purpose).into_iter().flatten());
        choose_signers(&order, s, &excluded).or_else(|| choose_signers(&order, s, &self.culprits))
    }

    /// The transaction of this attempt cannot land any more: its block hash expired, or the nonce moved on without it.
    /// The next attempt begins with what the ledger says then.
    pub fn submission_failed(&mut self, purpose: Purpose, attempt: Attempt) {
        self.failed.insert((purpose, attempt));
    }

    /// Submission broke off without a verdict: [`ChairDuty::Submit`] will be owed again.
    pub fn submit_again(&mut self, purpose: Purpose, attempt: Attempt) {
        self.submitted.remove(&(purpose, attempt));
    }

    /// Who signs as home shard.
    #[must_use]
    pub fn sender(board: &Board) -> Sender {
        Sender::Shard(board.manifest().home)
    }
}
