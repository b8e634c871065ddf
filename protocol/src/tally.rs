//! Tally: from the certified sums to a result, by any `t` trustees' partial decryptions. (P-TAL)
//!
//! | step | who | function |
//! |---|---|---|
//! | 1 | each trustee, once per election, over the sums that it recomputed itself | [`partials`] |
//! | 2 | anyone, for each trustee's message | [`check_partials`] |
//! | 3 | anyone, from any `t` checked ones | [`combine`] |
//! | 4 | anyone | [`ElectionResult::count`] |
//!
//! Every step after the first is a function of public values: whoever repeats it gets the same result, from whichever
//! `t` trustees. A message that step 2 refuses names its sender, and the others go on without it.

pub mod messages;

mod combine;
mod logs;
mod result;

pub use combine::{check_partials, combine, partials};
pub use logs::{DiscreteLogs, STEPS_MAX};
pub use result::{ContestResult, ElectionResult, Tie};

use crate::{
    ids::{ContestIndex, OptionIndex, TrusteeIndex},
    manifest::bounds,
};

/// Why there is no result. None of these is reachable from certified sums and checked partial decryptions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TallyRefusal {
    /// Not enough checked partial decryptions yet.
    #[error("{have} of {need} partial decryptions are here; wait for {} more trustees", need.saturating_sub(*have))]
    TooFew {
        /// Checked ones.
        have: usize,
        /// The threshold `t`.
        need: usize,
    },
    /// A share of a trustee that cannot exist.
    #[error("{0} is not a trustee's index; indices start at 1")]
    Trustee(TrusteeIndex),
    /// Lists that belong together differ in length.
    #[error("{what}: {got} entries where {expected} belong; both must come from the same certified vote set")]
    Count {
        /// List.
        what: &'static str,
        /// Wanted.
        expected: usize,
        /// Found.
        got: usize,
    },
    /// The counted weight is over what any election can have.
    #[error("contest {contest}: the counted weight {got} is over the bound {}", bounds::WEIGHT_TOTAL_MAX)]
    Weight {
        /// Which.
        contest: ContestIndex,
        /// In the vote set.
        got: u64,
    },
    /// An option's sum is not a number of votes. The search ends at the bound. (T07)
    #[error("contest {contest}, option {option}: the sum is not between 0 and the counted weight {bound}")]
    OutOfRange {
        /// Which contest.
        contest: ContestIndex,
        /// Which option.
        option: OptionIndex,
        /// Counted weight of the contest.
        bound: u64,
    },
    /// The options' sums together are more or fewer marks than the counted ballots can have.
    #[error("contest {contest}: {got} marks in all, where the counted ballots have {min} to {max}")]
    Marks {
        /// Which.
        contest: ContestIndex,
        /// Fewest.
        min: u64,
        /// Most.
        max: u64,
        /// Found.
        got: u64,
    },
}

#[cfg(test)]
mod tests;
