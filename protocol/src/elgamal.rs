//! ElGamal on Ristretto255, and the running weighted sums of accepted ballots. (P-BAL-2, P-TAL-1)
//!
//! A vote `m` for one option is `(A, B) = (r G, m G + r H)` under the election key `H`. Sums of ciphertexts encrypt
//! sums of votes, so the box is opened once, as a whole.

use crate::{
    ballot::{BallotForm, CheckedBallot},
    encoding::{Canonical, DecodeError, Hash, Reader, Writer, digest, label},
    group::{Point, RawPoint, Scalar, decode_sum, encode_sum, identity},
    ids::{ContestIndex, Weight},
};
use alloc::vec::Vec;

/// One encrypted vote. Neither part is the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ciphertext {
    /// `r G`.
    pub a: Point,
    /// `m G + r H`.
    pub b: Point,
}

impl Canonical for Ciphertext {
    fn write(&self, out: &mut Writer) {
        out.value(&self.a).value(&self.b);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let a = Point::decode("ciphertext A", &input.array()?)?;
        let b = Point::decode("ciphertext B", &input.array()?)?;
        Ok(Self { a, b })
    }
}

/// Why a ballot or another aggregate cannot be summed into this one. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// The ballot has a contest that this aggregate does not.
    #[error("contest {contest} is not in this aggregate; use the aggregate of the ballot's own election")]
    UnknownContest {
        /// The contest.
        contest: ContestIndex,
    },
    /// Two counts of options differ.
    #[error("contest {contest} has {got} options where {expected} are summed; use the aggregate of the same election")]
    Options {
        /// The contest.
        contest: ContestIndex,
        /// Options in this aggregate.
        expected: usize,
        /// Options offered.
        got: usize,
    },
    /// Two counts of contests differ.
    #[error("an aggregate of {got} contests cannot be merged into one of {expected}; they are of different elections")]
    Contests {
        /// Contests in this aggregate.
        expected: usize,
        /// Contests offered.
        got: usize,
    },
}

/// Running weighted sums, per contest and option: `(sum weight A, sum weight B)`. Starts at the identity.
///
/// Adding and removing the same ballot with the same weight are inverse, and order does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    contests: Vec<Vec<(RawPoint, RawPoint)>>,
}

/// The largest number of contests that an aggregate is decoded with.
const CONTESTS_MAX: usize = crate::ballot::CONTESTS_MAX;
/// The largest number of options of one contest.
const OPTIONS_MAX: usize = crate::ballot::OPTIONS_MAX as usize;

impl Aggregate {
    /// No ballots yet.
    #[must_use]
    pub fn new(form: &BallotForm) -> Self {
        let contests =
            form.contests().iter().map(|rule| alloc::vec![(identity(), identity()); rule.options.into()]).collect();
        Self { contests }
    }

    /// Adds a ballot.
    ///
    /// # Errors
    /// [`AggregateError`] if the ballot's contests are not these; nothing is added then.
    pub fn add(&mut self, ballot: &CheckedBallot, weight: Weight) -> Result<(), AggregateError> {
        self.combine(ballot, Scalar::from(weight.0))
    }

    /// Takes a ballot out again that was added with this weight.
    ///
    /// # Errors
    /// [`AggregateError`] if the ballot's contests are not these; nothing is removed then.
    pub fn remove(&mut self, ballot: &CheckedBallot, weight: Weight) -> Result<(), AggregateError> {
        self.combine(ballot, -Scalar::from(weight.0))
    }

    /// Adds all that another aggregate of the same election holds.
    ///
    /// # Errors
    /// [`AggregateError`] if its contests are not these; nothing is merged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), AggregateError> {
        if self.contests.len() != other.contests.len() {
            return Err(AggregateError::Contests { expected: self.contests.len(), got: other.contests.len() });
        }
        for (index, (ours, theirs)) in (0..).map(ContestIndex).zip(self.contests.iter().zip(&other.contests)) {
            same_options(index, ours.len(), theirs.len())?;
        }
        for (ours, theirs) in self.contests.iter_mut().zip(&other.contests) {
            for ((a, b), (more_a, more_b)) in ours.iter_mut().zip(theirs) {
                *a += more_a;
                *b += more_b;
            }
        }
        Ok(())
    }

    /// Per contest, in the manifest's order: the sums of each option.
    #[must_use]
    pub fn sums(&self) -> impl ExactSizeIterator<Item = &[(RawPoint, RawPoint)]> {
        self.contests.iter().map(Vec::as_slice)
    }

    /// The sums of one contest.
    #[must_use]
    pub fn contest(&self, contest: ContestIndex) -> Option<&[(RawPoint, RawPoint)]> {
        self.contests.get(usize::from(contest.0)).map(Vec::as_slice)
    }

    /// What a vote-set certificate names.
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(label::AGGREGATE, &self.to_bytes())
    }

    fn combine(&mut self, ballot: &CheckedBallot, factor: Scalar) -> Result<(), AggregateError> {
        for (contest, votes) in ballot.contests() {
            let sums = self.contest(contest).ok_or(AggregateError::UnknownContest { contest })?;
            same_options(contest, sums.len(), votes.len())?;
        }
        for (contest, votes) in ballot.contests() {
            let sums = self.contests.get_mut(usize::from(contest.0)).into_iter().flatten();
            for ((a, b), vote) in sums.zip(votes) {
                // Weights are public: the common ones take the short way.
                if factor == Scalar::ONE {
                    *a += vote.a.raw();
                    *b += vote.b.raw();
                } else if factor == -Scalar::ONE {
                    *a -= vote.a.raw();
                    *b -= vote.b.raw();
                } else {
                    *a += factor * vote.a.raw();
                    *b += factor * vote.b.raw();
                }
            }
        }
        Ok(())
    }
}

fn same_options(contest: ContestIndex, expected: usize, got: usize) -> Result<(), AggregateError> {
    if expected == got { Ok(()) } else { Err(AggregateError::Options { contest, expected, got }) }
}

/// `u32` count of contests; per contest a `u16` count of options, then `A` and `B` of each, 32 bytes each. The
/// identity is allowed: it is what no ballots sum to.
impl Canonical for Aggregate {
    fn write(&self, out: &mut Writer) {
        out.len(self.contests.len());
        for sums in &self.contests {
            out.u16(u16::try_from(sums.len()).unwrap_or(u16::MAX));
            for (a, b) in sums {
                out.raw(&encode_sum(a)).raw(&encode_sum(b));
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.len("aggregate contests", CONTESTS_MAX)?;
        let mut contests = Vec::new();
        for _ in 0..count {
            let options = usize::from(input.u16()?);
            if options > OPTIONS_MAX {
                return Err(DecodeError::TooLong { what: "aggregate options", got: options, max: OPTIONS_MAX });
            }
            let mut sums = Vec::new();
            for _ in 0..options {
                sums.push((
                    decode_sum("aggregate sum", &input.array()?)?,
                    decode_sum("aggregate sum", &input.array()?)?,
                ));
            }
            contests.push(sums);
        }
        Ok(Self { contests })
    }
}
