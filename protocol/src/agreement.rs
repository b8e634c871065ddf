//! Agreement: from a closed election to one vote set that a quorum of trustees certified. (P-AGR)
//!
//! ```text
//! round r:  propose --proposal or timer--> prevote --q prevotes, or timer--> precommit --timer--> round r + 1
//!                                                                                    \--q precommits for one value--> certificate
//! ```
//!
//! This is algorithm 1 of Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus" (2018), with the manifest's
//! `q` for `2f + 1`. Who knows what: every trustee signs its votes; a coordinator relays them and may drop, delay,
//! repeat, reorder and choose who sees what. Assumptions: at most `f` trustees lie; safety needs nothing else; a
//! certificate comes once some coordinator relays faithfully to `q` honest trustees, whatever an earlier one did.
//!
//! Where it differs from the paper, and why:
//! - A trustee's board holds one body per slot, so two honest trustees may hold different votes of one liar for ever.
//!   The paper's gossip assumption ("what one correct process got, all will get") fails, and with it liveness.
//!   Therefore a proposal that was prevoted before carries the signatures that show it ([`Proposal::justification`]),
//!   and a trustee that has a certificate keeps voting while another is still in a later round.
//! - Who is proven to have said two things in one place is not counted in quorums of prevotes any more
//!   ([`Votes::distrust`]): what remains is seen alike by all, which is what the paper's gossip gives.
//! - `validRound` is the highest round below this one with a known quorum of prevotes, also where it came late. It is
//!   only ever a proof, never a promise, so more of it is harmless.
//! - A trustee joins the highest round that `f + 1` others have reached; they need not all be in the same one.
//!
//! All of a trustee's lock is in its own precommits: whoever folds its journal has its lock ([`Votes::lock`]).
//! A [`Voter`] holds timers and nothing that a restart must keep.

use crate::{
    encoding::{Hash, Writer, digest, label},
    ids::{ElectionId, LogSize, Round, TrusteeIndex},
    manifest::Manifest,
};

mod certificate;
pub mod messages;
mod voter;
mod votes;

pub use certificate::{CertificateRefusal, Conflict, VoteSetCertificate, breaks_lock, conflict};
pub use messages::{Precommit, Prevote, Proposal, VoteSet, Vouch};
pub use voter::{AgreementMessage, Timeouts, Voter};
pub use votes::{Awaiting, Lock, Stage, VoteRefusal, Votes, awaiting};

/// No message of this round or a later one is taken. With the default timers no honest trustee gets there in a week.
pub const ROUNDS_MAX: u32 = 1000;

impl VoteSet {
    /// Names the vote set in votes, and is what the lots are drawn over. (P-AGR-1)
    #[must_use]
    pub fn hash(&self, election: &ElectionId) -> Hash {
        let mut out = Writer::new();
        out.value(election).value(self);
        digest(label::VOTE_SET, out.as_bytes())
    }
}

/// Who proposes in a round: the trustees in turn, starting where the election id says. (P-AGR-2)
#[must_use]
pub fn proposer(manifest: &Manifest, round: Round) -> TrusteeIndex {
    Rotation::new(manifest, &manifest.id()).proposer(round)
}

/// The order of proposers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    n: u16,
    start: u64,
}

impl Rotation {
    fn new(manifest: &Manifest, election: &ElectionId) -> Self {
        let [a, b, c, d, ..] = election.0;
        Self { n: manifest.n(), start: u32::from_be_bytes([a, b, c, d]).into() }
    }
    fn proposer(self, round: Round) -> TrusteeIndex {
        let turn = self.start.saturating_add(round.0.into()).checked_rem(self.n.into()).unwrap_or(0);
        TrusteeIndex(u16::try_from(turn).unwrap_or(0).saturating_add(1))
    }
}

/// From this round on a vote set may end before the ends that the home shard has stated. (P-VOT-5)
///
/// The statement only says what is worth waiting for. Were it binding for ever, a shard that states more than it hands
/// out, or dies with it, would end the election; what is final is safe without it (P-AGR-5).
pub const STATED_ENDS_ROUNDS: u32 = 8;

/// And not before this long without a new leaf, in milliseconds: who is still being handed the log is only behind.
pub const STATED_ENDS_STALL_MS: u64 = 30_000;

/// What a trustee thinks of a vote set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is what this trustee's own replay of the log gives.
    Valid,
    /// It is not, or it leaves out what this trustee has co-signed.
    Invalid,
    /// This trustee has not followed the log that far. Counts as invalid once the timer fires.
    NotYet,
}

/// What stands behind a vote set that is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// One trustee's word.
    Proposed,
    /// A quorum has prevoted it in some round. See [`judge`] for why this makes a difference.
    Prevoted,
}

/// The judgement that follows from this trustee's replay of the log. (P-AGR-5)
///
/// `own_at` gives this trustee's vote set at the lane ends asked for, `None` where it has not followed that far. `cosigned`
/// holds the size up to which this trustee has co-signed each lane.
///
/// A set that ends before what this trustee has co-signed is refused: a receipt of the part left out may be final.
/// Not so once a quorum has prevoted it. Then at most `n - q + f < w` trustees had co-signed more, so no such receipt
/// is final; and it never becomes final, because **an honest trustee that has prevoted a set co-signs no longer
/// checkpoint afterwards**. Without this exception, honest trustees locked on the shorter set and one that had co-signed
/// a longer one would wait for each other for ever.
pub fn judge(
    value: &VoteSet,
    backing: Backing,
    cosigned: &[LogSize],
    own_at: impl FnOnce(&VoteSet) -> Option<VoteSet>,
) -> Judgement {
    if value.lanes.len() != cosigned.len() {
        return Judgement::Invalid;
    }
    let shorter = value.lanes.iter().zip(cosigned).any(|(lane, cosigned)| lane.size < *cosigned);
    if shorter && backing == Backing::Proposed && !bug!(ShorterSetAccepted) {
        return Judgement::Invalid;
    }
    match own_at(value) {
        _ if bug!(VoteSetNotReplayed) => Judgement::Valid,
        None => Judgement::NotYet,
        Some(own) if own == *value => Judgement::Valid,
        Some(_) => Judgement::Invalid,
    }
}

#[cfg(test)]
mod tests;
