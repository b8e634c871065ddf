//! The ballot box: what one lane's log amounts to, leaf by leaf. (P-BOX)
//!
//! A fold over checked ballots in log order. The shard that owns the lane and every trustee that follows it run the
//! same fold; what they must agree on at the end - tree head, counted set, aggregate - is read off it.
//!
//! Rules: the credential is on the roll with this ballot's style (P-BOX-1); it belongs to this lane (P-BOX-2); under
//! `first` a credential votes once, under `last` a later ballot replaces the earlier (P-BOX-3); no ballot repeats the
//! first ciphertext component of another (P-BOX-4).

use crate::{
    ballot::{BallotForm, CheckedBallot, FormError},
    elgamal::{Aggregate, AggregateError},
    encoding::{Hash, Writer, digest, label},
    group::Point,
    ids::{ContestIndex, Credential, LaneIndex, LeafIndex, LogSize, Weight},
    log::{Frontier, leaf_hash},
    manifest::{Manifest, Revote},
    roll::{Roll, RollEntry},
};
use alloc::{collections::BTreeSet, sync::Arc, vec, vec::Vec};

/// The contests of a manifest as the ballot proof sees them.
///
/// # Errors
/// Never for a validated manifest.
pub fn form(manifest: &Manifest, election_key: Point) -> Result<BallotForm, FormError> {
    let contests = manifest.contests.iter().map(|contest| crate::ballot::ContestRule {
        options: u16::try_from(contest.options.len()).unwrap_or(u16::MAX),
        min: contest.marks_min(),
        max: contest.max,
    });
    let styles = manifest.styles.iter().map(|style| style.contests.clone());
    BallotForm::new(manifest.id(), election_key, contests.collect(), styles.collect())
}

/// The lane of a credential: its first eight bytes, big-endian, modulo the number of lanes. (P-BOX-2)
#[must_use]
pub fn lane_of(credential: &Credential, lanes: u16) -> LaneIndex {
    let [a, b, c, d, e, f, g, h, ..] = credential.0;
    let lane = u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_rem(lanes.into()).unwrap_or(0);
    LaneIndex(u16::try_from(lane).unwrap_or(0))
}

/// Why a sound ballot does not go into this box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoxRefusal {
    /// P-BOX-1
    #[error("this credential is not on the voter roll: check that the right key and the right election are used")]
    UnknownCredential,
    /// P-BOX-1
    #[error("this voter has ballot style {expected}, the ballot has {got}: make it again for the right area")]
    WrongStyle {
        /// On the roll.
        expected: u16,
        /// On the ballot.
        got: u16,
    },
    /// P-BOX-2
    #[error("this credential belongs to lane {expected}, not {got}")]
    WrongLane {
        /// By its hash.
        expected: u16,
        /// This box.
        got: u16,
    },
    /// P-BOX-3
    #[error("this credential has voted already, as leaf {leaf}, and the first ballot counts")]
    AlreadyVoted {
        /// The counted one.
        leaf: LeafIndex,
    },
    /// P-BOX-4
    #[error("the ballot repeats a ciphertext of another ballot: make a new one")]
    Duplicate,
}

impl BoxRefusal {
    /// Code in a signed rejection; 100 to 199, beside the ballot's own codes.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::UnknownCredential => 100,
            Self::WrongStyle { .. } => 101,
            Self::WrongLane { .. } => 102,
            Self::AlreadyVoted { .. } => 103,
            Self::Duplicate => 104,
        }
    }
}

/// A lane's log and the box disagree: a defect of the store or of a peer, never of a voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoxTrouble {
    /// A leaf in the log that the rules refuse.
    #[error("leaf {leaf} should not be in the log: {refusal}")]
    Inadmissible {
        /// Place.
        leaf: LeafIndex,
        /// Rule.
        refusal: BoxRefusal,
    },
    /// The replaced ballot could not be had.
    #[error("leaf {0}, which a later ballot replaces, is not there")]
    Missing(LeafIndex),
    /// Sums and ballot do not fit together.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

/// What a ballot does to the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The credential's first.
    Counts,
    /// Takes the place of this leaf.
    Replaces(LeafIndex),
}

const NONE: u64 = u64::MAX;

/// One lane's box.
#[derive(Debug, Clone)]
pub struct BallotBox {
    lane: LaneIndex,
    lanes: u16,
    revote: Revote,
    roll: Arc<Roll>,
    /// Per voter of the roll: the leaf that counts, or `NONE`.
    latest: Vec<u64>,
    components: BTreeSet<[u8; 16]>,
    /// One bit per leaf, least significant first.
    counted: Vec<u8>,
    counted_total: u64,
    weights: Vec<u64>,
    frontier: Frontier,
    aggregate: Aggregate,
}

impl BallotBox {
    /// Empty.
    #[must_use]
    pub fn new(manifest: &Manifest, form: &BallotForm, roll: Arc<Roll>, lane: LaneIndex) -> Self {
        Self {
            lane,
            lanes: manifest.lanes,
            revote: manifest.revote,
            latest: vec![NONE; roll.entries().len()],
            roll,
            components: BTreeSet::new(),
            counted: Vec::new(),
            counted_total: 0,
            weights: vec![0; manifest.contests.len()],
            frontier: Frontier::default(),
            aggregate: Aggregate::new(form),
        }
    }

    /// Applies the rules to a ballot that passed its proofs. (P-BOX-1 to 4)
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn judge(&self, ballot: &CheckedBallot) -> Result<Admission, BoxRefusal> {
        let credential = ballot.credential();
        let (at, entry) = self.find(&credential).ok_or(BoxRefusal::UnknownCredential)?;
        if entry.style != ballot.style() && !bug!(StyleOfRollIgnored) {
            return Err(BoxRefusal::WrongStyle { expected: entry.style.0, got: ballot.style().0 });
        }
        let lane = lane_of(&credential, self.lanes);
        if lane != self.lane && !bug!(LaneUnchecked) {
            return Err(BoxRefusal::WrongLane { expected: lane.0, got: self.lane.0 });
        }
        let repeats = |component: &[u8; 32]| self.components.contains(&short(component));
        if ballot.first_components().iter().any(repeats) && !bug!(CopiedComponentAccepted) {
            return Err(BoxRefusal::Duplicate);
        }
        match (self.latest.get(at).copied().unwrap_or(NONE), self.revote) {
            (NONE, _) => Ok(Admission::Counts),
            _ if bug!(RevoteCountsBoth) => Ok(Admission::Counts),
            (leaf, Revote::Last) => Ok(Admission::Replaces(LeafIndex(leaf))),
            (leaf, Revote::First) if bug!(SecondVoteTaken) => Ok(Admission::Replaces(LeafIndex(leaf))),
            (leaf, Revote::First) => Err(BoxRefusal::AlreadyVoted { leaf: LeafIndex(leaf) }),
        }
    }

    /// Puts the ballot in as the next leaf. `earlier` finds a leaf that is replaced.
    ///
    /// # Errors
    /// [`BoxTrouble`]; the box is unchanged then.
    pub fn absorb(
        &mut self,
        ballot: &CheckedBallot,
        earlier: &dyn Fn(LeafIndex) -> Option<CheckedBallot>,
    ) -> Result<LeafIndex, BoxTrouble> {
        let leaf = LeafIndex(self.frontier.size().0);
        let admission = self.judge(ballot).map_err(|refusal| BoxTrouble::Inadmissible { leaf, refusal })?;
        let (at, weight) = match self.find(&ballot.credential()) {
            Some((at, _)) if bug!(WeightIgnored) => (at, Weight(1)),
            Some((at, entry)) => (at, entry.weight),
            None => return Err(BoxTrouble::Inadmissible { leaf, refusal: BoxRefusal::UnknownCredential }),
        };
        match admission {
            Admission::Counts => {
                self.aggregate.add(ballot, weight)?;
                self.counted_total = self.counted_total.saturating_add(1);
                for (contest, _) in ballot.contests() {
                    if let Some(sum) = self.weights.get_mut(usize::from(contest.0)) {
                        *sum = sum.saturating_add(weight.0);
                    }
                }
            }
            Admission::Replaces(old) => {
                let replaced = earlier(old).ok_or(BoxTrouble::Missing(old))?;
                let mut aggregate = self.aggregate.clone();
                aggregate.remove(&replaced, weight)?;
                aggregate.add(ballot, weight)?;
                self.aggregate = aggregate;
                self.set_counted(old, false);
            }
        }
        self.components.extend(ballot.first_components().iter().map(short));
        if let Some(latest) = self.latest.get_mut(at) {
            *latest = leaf.0;
        }
        self.frontier.append(leaf_hash(ballot.bytes()));
        self.set_counted(leaf, true);
        Ok(leaf)
    }

    fn find(&self, credential: &Credential) -> Option<(usize, &RollEntry)> {
        let stranger = if bug!(StrangerAccepted) { self.roll.entries().first().map(|entry| (0, entry)) } else { None };
        self.roll.find(credential).or(stranger)
    }

    fn set_counted(&mut self, leaf: LeafIndex, counted: bool) {
        let byte = usize::try_from(leaf.0 >> 3).unwrap_or(usize::MAX);
        let bit = 1u8 << (leaf.0 & 7);
        while self.counted.len() <= byte {
            self.counted.push(0);
        }
        if let Some(byte) = self.counted.get_mut(byte) {
            if counted {
                *byte |= bit;
            } else {
                *byte &= !bit;
            }
        }
    }

    /// Which lane.
    #[must_use]
    pub fn lane(&self) -> LaneIndex {
        self.lane
    }
    /// Leaves.
    #[must_use]
    pub fn size(&self) -> LogSize {
        self.frontier.size()
    }
    /// Merkle root of the leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
    /// Ballots that count.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted_total
    }
    /// Weighted sums of the ballots that count.
    #[must_use]
    pub fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }
    /// Sum of weights of the ballots that count, per contest.
    #[must_use]
    pub fn weights(&self) -> &[u64] {
        &self.weights
    }
    /// The leaf that counts for a credential.
    #[must_use]
    pub fn leaf_of(&self, credential: &Credential) -> Option<LeafIndex> {
        let (at, _) = self.roll.find(credential)?;
        self.latest.get(at).copied().filter(|leaf| *leaf != NONE).map(LeafIndex)
    }
    /// One bit per leaf, least significant first: whether it counts.
    #[must_use]
    pub fn counted_bits(&self) -> &[u8] {
        &self.counted
    }
}

fn short(component: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(component) {
        *to = *from;
    }
    out
}

/// What all lanes of an election amount to: the vote set that a trustee stands for. (P-BOX-5)
#[derive(Debug, Clone)]
pub struct ClosedBox {
    /// To be agreed on.
    pub vote_set: crate::agreement::messages::VoteSet,
    /// To be decrypted.
    pub aggregate: Aggregate,
}

impl ClosedBox {
    /// Sums up the lanes, which must be all of them in order.
    ///
    /// # Errors
    /// Lanes of different elections.
    pub fn of(boxes: &[&BallotBox], key_certificate: Hash) -> Result<Option<Self>, AggregateError> {
        let Some((first, rest)) = boxes.split_first() else { return Ok(None) };
        let mut aggregate = first.aggregate.clone();
        for lane in rest {
            aggregate.merge(&lane.aggregate)?;
        }
        let mut counted = Writer::new();
        let mut weights = vec![0u64; first.weights.len()];
        let (mut logged, mut counted_total) = (0u64, 0u64);
        let mut lanes = Vec::new();
        for lane in boxes {
            lanes.push(crate::agreement::messages::LaneEnd { size: lane.size(), root: lane.root() });
            counted.value(&lane.lane).value(&lane.size()).raw(&lane.counted);
            logged = logged.saturating_add(lane.size().0);
            counted_total = counted_total.saturating_add(lane.counted_total);
            for (sum, weight) in weights.iter_mut().zip(&lane.weights) {
                *sum = sum.saturating_add(*weight);
            }
        }
        let vote_set = crate::agreement::messages::VoteSet {
            key_certificate,
            lanes,
            logged,
            counted: counted_total,
            weights: weights.into_iter().map(Weight).collect(),
            counted_digest: digest(label::COUNTED, counted.as_bytes()),
            aggregate: aggregate.digest(),
        };
        Ok(Some(Self { vote_set, aggregate }))
    }

    /// The sums in contest and option order, as the tally takes them.
    #[must_use]
    pub fn sums(&self) -> Vec<(crate::group::RawPoint, crate::group::RawPoint)> {
        self.aggregate.sums().flatten().copied().collect()
    }
}

/// The weight that bounds each contest's totals.
#[must_use]
pub fn contest_weight(vote_set: &crate::agreement::messages::VoteSet, contest: ContestIndex) -> Weight {
    vote_set.weights.get(usize::from(contest.0)).copied().unwrap_or_default()
}
