//! The result: totals, blanks, turnout, winners, ties. (P-TAL-5)

use super::{DiscreteLogs, TallyRefusal};
use crate::{
    agreement::messages::VoteSet,
    encoding::{Canonical as _, Hash, digest, label, message},
    group::RawPoint,
    ids::{ContestIndex, ElectionId, OptionIndex, Weight},
    manifest::{Contest, Manifest, bounds},
};
use alloc::vec::Vec;
use core::cmp::Reverse;

message! {
    /// Options with equally many votes, of which not all can win.
    Tie {
        /// Seats that they compete for; fewer than they are.
        seats: u64,
        /// Them, ascending.
        options: Vec<OptionIndex>,
        /// The order in which lots filled the seats, if the contest breaks ties by lot: a permutation of `options`, of which
        /// the first `seats` win. Else the seats stay open.
        lots: Option<Vec<OptionIndex>>,
    }
}

message! {
    /// One contest's outcome.
    ContestResult {
        /// Votes per option, in the manifest's order; weighted.
        totals: Vec<u64>,
        /// Weight of the ballots counted here.
        weight: Weight,
        /// Weight of the ballots without a mark. Known only where a ballot has at most one mark: from sums of several marks
        /// nobody can tell.
        blank: Option<u64>,
        /// Most votes first; equal ones, all of which win, ascending; winners by lot last, in the order of their lots.
        winners: Vec<OptionIndex>,
        /// The tie at the last seats, if there is one.
        tie: Option<Tie>,
    }
}

message! {
    /// The result of an election. Its digest is what is anchored.
    ElectionResult {
        /// Election.
        election: ElectionId,
        /// Hash of the certified vote set.
        vote_set: Hash,
        /// Voters on the roll.
        voters: u64,
        /// Their weight.
        weight_total: u64,
        /// Ballots in the log.
        logged: u64,
        /// Ballots that count, one per voter at most: turnout is this of `voters`.
        counted: u64,
        /// In the manifest's order.
        contests: Vec<ContestResult>,
    }
}

impl ElectionResult {
    /// Counts: the message points of [`super::combine`] become totals, and totals an outcome. (P-TAL-4, P-TAL-5)
    ///
    /// `lot` orders options that tie in a contest which breaks ties by lot: the lowest value wins. It is a function of the
    /// certified vote set's lots, so that nobody chooses it.
    ///
    /// # Errors
    /// [`TallyRefusal`] if the lists do not belong together or a sum is out of its range.
    pub fn count(
        manifest: &Manifest,
        vote_set: &VoteSet,
        vote_set_hash: Hash,
        messages: &[RawPoint],
        lot: &dyn Fn(ContestIndex, OptionIndex) -> Hash,
    ) -> Result<Self, TallyRefusal> {
        let contests = manifest.contests.len();
        if vote_set.weights.len() != contests {
            return Err(TallyRefusal::Count {
                what: "counted weights",
                expected: contests,
                got: vote_set.weights.len(),
            });
        }
        let options: usize = manifest.contests.iter().map(|contest| contest.options.len()).sum();
        if messages.len() != options {
            return Err(TallyRefusal::Count { what: "decrypted sums", expected: options, got: messages.len() });
        }
        let weighed = || (0..).map(ContestIndex).zip(manifest.contests.iter().zip(&vote_set.weights));
        if let Some((contest, (_, weight))) = weighed().find(|(_, (_, w))| w.0 > bounds::WEIGHT_TOTAL_MAX) {
            return Err(TallyRefusal::Weight { contest, got: weight.0 });
        }
        let bound = vote_set.weights.iter().map(|weight| weight.0).max().unwrap_or(0);
        let logs = DiscreteLogs::new(bound, options);
        let mut left = messages.iter();
        let mut results = Vec::new();
        for (index, (contest, weight)) in weighed() {
            let mut totals = Vec::new();
            for (option, point) in (0..).map(OptionIndex).zip(left.by_ref().take(contest.options.len())) {
                // An option gets at most one mark per ballot, so the counted weight bounds it.
                let out_of_range = TallyRefusal::OutOfRange { contest: index, option, bound: weight.0 };
                totals.push(logs.find(point, weight.0).ok_or(out_of_range)?);
            }
            results.push(ContestResult::of(contest, index, *weight, totals, lot)?);
        }
        Ok(Self {
            election: manifest.id(),
            vote_set: vote_set_hash,
            voters: manifest.roll.voters,
            weight_total: manifest.roll.weight_total,
            logged: vote_set.logged,
            counted: vote_set.counted,
            contests: results,
        })
    }

    /// What is anchored. (P-TAL-6)
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest(label::RESULT, &self.to_bytes())
    }
}

impl ContestResult {
    fn of(
        contest: &Contest,
        index: ContestIndex,
        weight: Weight,
        totals: Vec<u64>,
        lot: &dyn Fn(ContestIndex, OptionIndex) -> Hash,
    ) -> Result<Self, TallyRefusal> {
        let marks = totals.iter().fold(0, |sum: u64, total| sum.saturating_add(*total));
        let min = weight.0.saturating_mul(contest.marks_min().into());
        let max = weight.0.saturating_mul(contest.max.into());
        if marks < min || marks > max {
            return Err(TallyRefusal::Marks { contest: index, min, max, got: marks });
        }
        let blank = (contest.max == 1).then(|| weight.0.saturating_sub(marks));
        let (winners, tie) = outcome(contest, &totals, |option| lot(index, option));
        Ok(Self { totals, weight, blank, winners, tie })
    }
}

/// Most votes win. An option without a vote wins nothing: its seat stays vacant. (P-TAL-5)
fn outcome(contest: &Contest, totals: &[u64], lot: impl Fn(OptionIndex) -> Hash) -> (Vec<OptionIndex>, Option<Tie>) {
    let mut ranked: Vec<(u64, OptionIndex)> =
        totals.iter().copied().zip((0..).map(OptionIndex)).filter(|(total, _)| *total > 0).collect();
    ranked.sort_by_key(|(total, option)| (Reverse(*total), *option));
    let seats = usize::from(contest.seats);
    // The total of the last seat's option, if there are more options than seats.
    let last = ranked.get(seats).and_then(|_| ranked.get(seats.checked_sub(1)?)).map(|(total, _)| *total);
    let Some(last) = last else { return (ranked.into_iter().map(|(_, option)| option).collect(), None) };
    let pick = |keep: &dyn Fn(u64) -> bool| -> Vec<OptionIndex> {
        ranked.iter().filter(|(total, _)| keep(*total)).map(|(_, option)| *option).collect()
    };
    let mut winners = pick(&|total| total > last);
    let options = pick(&|total| total == last);
    let open = seats.saturating_sub(winners.len());
    if options.len() <= open {
        winners.extend(options);
        return (winners, None);
    }
    let lots = contest.ties_by_lot.then(|| {
        let mut order = options.clone();
        if !bug!(TieByIndex) {
            order.sort_by_key(|option| (lot(*option), *option));
        }
        order
    });
    winners.extend(lots.iter().flatten().take(open));
    let seats = u64::try_from(open).unwrap_or(u64::MAX);
    (winners, Some(Tie { seats, options, lots }))
}
