//! The ballot: ElGamal votes, one proof per contest whose size does not grow with the choice, and the credential's
//! signature. (P-BAL)
//!
//! ```text
//! u8 version = 1 | first 8 bytes of the election id | u16 style | 32-byte credential
//! per contest of the style, in its order:
//!     K x (A 32, B 32) | V | S | T_A | T_B | C_1 | C_0 | f_1 .. f_(K+D) | z_V | z_R | z_C
//! 64-byte Ed25519 signature by the credential
//! ```
//!
//! `K` options, `D = max - min` dummy bits. The form fixes every length, so a ballot's length depends on its style
//! alone and shows nothing of the choice.
//!
//! Who knows what: the voter's device knows the votes `m_j`, the randomness `r_j` and the credential's secret; all
//! else is public. Assumed: discrete logarithms and DDH are hard in Ristretto255, SHA-512 is a random oracle. The
//! argument is in `docs/proofs/ballot.md`. The prover is constant time in votes and randomness; verifiers see only
//! public values and are not.
//!
//! A ballot's **id** is the hash that its credential signed: everything before the signature.

mod checked;
mod equations;
mod layout;
mod proof;
mod refusal;
mod seal;
mod signature;
mod verify;

#[cfg(test)]
mod tests;

pub use checked::CheckedBallot;
pub use refusal::{BallotRefusal, ElectionPrefix, RefusalCode};
pub use seal::{SealError, UnsignedBallot};
pub use signature::signing_text;

use crate::{
    encoding::{Canonical, DecodeError, Reader, Writer, label},
    group::{FixedBase, Point, RawPoint},
    ids::{ContestIndex, ElectionId, StyleIndex},
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};

/// The suite that every challenge and generator is bound to. There is no negotiation.
pub const BALLOT_SUITE: &str = crate::manifest::SUITE;
/// The first byte of every ballot.
pub const BALLOT_VERSION: u8 = 1;
/// Most options of one contest.
pub const OPTIONS_MAX: u16 = 256;
/// Most contests of one election.
pub const CONTESTS_MAX: usize = 256;
/// Most ballot styles of one election.
pub const STYLES_MAX: usize = 4096;
/// The longest ballot that a form may lead to, in bytes.
pub const BALLOT_BYTES_MAX: usize = 256 << 10;

/// How many of a contest's options a ballot may select. `min = 0` allows a blank vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContestRule {
    /// Number of options, `K`.
    pub options: u16,
    /// Fewest selections.
    pub min: u16,
    /// Most selections.
    pub max: u16,
}

impl ContestRule {
    /// `1 <= options <= 256`, `min <= max <= options`, `max >= 1`.
    ///
    /// # Errors
    /// [`RuleError`] naming the bound.
    pub fn check(&self) -> Result<(), RuleError> {
        let Self { options, min, max } = *self;
        if !(1..=OPTIONS_MAX).contains(&options) {
            return Err(RuleError::Options { got: options });
        }
        if max == 0 || max > options {
            return Err(RuleError::Max { options, got: max });
        }
        if min > max {
            return Err(RuleError::Min { max, got: min });
        }
        Ok(())
    }

    /// `D`, the dummy bits that fill the sum up to `max`. Zero for a rule that [`ContestRule::check`] refuses.
    #[must_use]
    pub fn dummies(&self) -> u16 {
        self.max.saturating_sub(self.min)
    }

    /// `K + D`, the bits that the proof commits to.
    pub(crate) fn bits(&self) -> usize {
        usize::from(self.options) + usize::from(self.dummies())
    }

    /// Bytes of the contest's part of a ballot.
    pub(crate) fn contest_len(&self) -> usize {
        32 * (2 * usize::from(self.options) + proof::PROOF_POINTS + self.bits() + proof::PROOF_SCALARS)
    }
}

impl Canonical for ContestRule {
    fn write(&self, out: &mut Writer) {
        out.u16(self.options).u16(self.min).u16(self.max);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rule = Self { options: input.u16()?, min: input.u16()?, max: input.u16()? };
        rule.check().map_err(|error| match error {
            RuleError::Options { got } => DecodeError::OutOfRange { what: "contest options", got: got.into() },
            RuleError::Max { got, .. } => DecodeError::OutOfRange { what: "contest maximum", got: got.into() },
            RuleError::Min { got, .. } => DecodeError::OutOfRange { what: "contest minimum", got: got.into() },
        })?;
        Ok(rule)
    }
}

/// Why three numbers are not a contest's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No options, or too many.
    #[error("a contest has {got} options; give it 1 to {OPTIONS_MAX}")]
    Options {
        /// Options asked for.
        got: u16,
    },
    /// Nothing may be selected, or more than there is.
    #[error("a contest with {options} options allows at most {got} selections; give a maximum from 1 to {options}")]
    Max {
        /// Options of the contest.
        options: u16,
        /// Maximum asked for.
        got: u16,
    },
    /// More must be selected than may be.
    #[error("a contest asks for at least {got} selections and allows {max}; give a minimum from 0 to {max}")]
    Min {
        /// Maximum of the contest.
        max: u16,
        /// Minimum asked for.
        got: u16,
    },
}

/// Why contests and styles do not make a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A count of contests or styles is zero or too large.
    #[error("an election has {got} {what}; give it 1 to {max}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// Most allowed.
        max: usize,
    },
    /// A contest's rule does not hold together.
    #[error("contest {contest}: {rule}")]
    Rule {
        /// The contest.
        contest: ContestIndex,
        /// What is wrong.
        rule: RuleError,
    },
    /// A style has no contests.
    #[error("ballot style {style} has no contests; list at least one")]
    EmptyStyle {
        /// The style.
        style: StyleIndex,
    },
    /// A style lists a contest that does not exist.
    #[error("ballot style {style} lists contest {contest}, but the contests are 0 to {last}")]
    UnknownContest {
        /// The style.
        style: StyleIndex,
        /// What it lists.
        contest: ContestIndex,
        /// The last contest there is.
        last: usize,
    },
    /// A style lists a contest twice.
    #[error("ballot style {style} lists contest {contest} twice; list it once")]
    RepeatedContest {
        /// The style.
        style: StyleIndex,
        /// What it repeats.
        contest: ContestIndex,
    },
    /// A style leads to ballots that no message could carry.
    #[error(
        "a ballot of style {style} would have {got} bytes, at most {max} are allowed; split it into fewer contests or options"
    )]
    BallotTooLong {
        /// The style.
        style: StyleIndex,
        /// Bytes of such a ballot.
        got: usize,
        /// Most allowed.
        max: usize,
    },
}

/// All that a ballot of one election is judged against: its key, its contests' rules, its styles.
///
/// Building one hashes the proof's generators and makes tables (some milliseconds): build it once and share it.
#[derive(Debug, Clone)]
pub struct BallotForm {
    election: ElectionId,
    key: Point,
    contests: Vec<ContestRule>,
    styles: Vec<Vec<ContestIndex>>,
    generators: Generators,
    g: RawPoint,
    key_table: FixedBase,
    text_head: String,
}

impl BallotForm {
    /// The form of an election.
    ///
    /// # Errors
    /// [`FormError`] naming the contest or style that does not hold together.
    pub fn new(
        election: ElectionId,
        key: Point,
        contests: Vec<ContestRule>,
        styles: Vec<Vec<ContestIndex>>,
    ) -> Result<Self, FormError> {
        count("contests", contests.len(), CONTESTS_MAX)?;
        count("ballot styles", styles.len(), STYLES_MAX)?;
        for (contest, rule) in (0..).map(ContestIndex).zip(&contests) {
            rule.check().map_err(|rule| FormError::Rule { contest, rule })?;
        }
        for (style, listed) in (0..).map(StyleIndex).zip(&styles) {
            check_style(style, listed, &contests)?;
        }
        let bits = contests.iter().map(ContestRule::bits).max().unwrap_or(0);
        let (generators, key_table) = (Generators::new(bits), FixedBase::new(&key));
        let (g, text_head) = (Point::generator().raw(), signature::text_head(election));
        Ok(Self { election, key, contests, styles, generators, g, key_table, text_head })
    }

    /// The election.
    #[must_use]
    pub fn election(&self) -> ElectionId {
        self.election
    }
    /// The election key `H`.
    #[must_use]
    pub fn key(&self) -> &Point {
        &self.key
    }
    /// The rules of all contests, in the manifest's order.
    #[must_use]
    pub fn contests(&self) -> &[ContestRule] {
        &self.contests
    }
    /// The rule of one contest.
    #[must_use]
    pub fn rule(&self, contest: ContestIndex) -> Option<&ContestRule> {
        self.contests.get(usize::from(contest.0))
    }
    /// All styles, in the manifest's order.
    #[must_use]
    pub fn styles(&self) -> &[Vec<ContestIndex>] {
        &self.styles
    }
    /// The contests of one style, in its order.
    #[must_use]
    pub fn style(&self, style: StyleIndex) -> Option<&[ContestIndex]> {
        self.styles.get(usize::from(style.0)).map(Vec::as_slice)
    }
    /// The exact length of every ballot of a style, in bytes; `None` for an unknown style.
    #[must_use]
    pub fn ballot_len(&self, style: StyleIndex) -> Option<usize> {
        self.style(style).map(|listed| ballot_len(listed, &self.contests))
    }
    /// The longest ballot of any style, in bytes.
    #[must_use]
    pub fn ballot_len_max(&self) -> usize {
        self.styles.iter().map(|listed| ballot_len(listed, &self.contests)).max().unwrap_or(0)
    }

    fn style_rules<'a>(&'a self, listed: &'a [ContestIndex]) -> impl Iterator<Item = (ContestIndex, &'a ContestRule)> {
        // `new` checked that every style lists existing contests.
        listed.iter().filter_map(|contest| self.rule(*contest).map(|rule| (*contest, rule)))
    }
}

fn count(what: &'static str, got: usize, max: usize) -> Result<(), FormError> {
    if (1..=max).contains(&got) { Ok(()) } else { Err(FormError::Count { what, got, max }) }
}

fn check_style(style: StyleIndex, listed: &[ContestIndex], contests: &[ContestRule]) -> Result<(), FormError> {
    if listed.is_empty() {
        return Err(FormError::EmptyStyle { style });
    }
    let mut seen = BTreeSet::new();
    for contest in listed.iter().copied() {
        if usize::from(contest.0) >= contests.len() {
            return Err(FormError::UnknownContest { style, contest, last: contests.len().saturating_sub(1) });
        }
        if !seen.insert(contest) {
            return Err(FormError::RepeatedContest { style, contest });
        }
    }
    let got = ballot_len(listed, contests);
    if got > BALLOT_BYTES_MAX {
        return Err(FormError::BallotTooLong { style, got, max: BALLOT_BYTES_MAX });
    }
    Ok(())
}

fn ballot_len(listed: &[ContestIndex], contests: &[ContestRule]) -> usize {
    let rules = listed.iter().filter_map(|contest| contests.get(usize::from(contest.0)));
    layout::HEADER_LEN + rules.map(ContestRule::contest_len).sum::<usize>() + layout::SIGNATURE_LEN
}

/// `P_0`, `P_1 .. P_(K+D)` and `Q`: hashed to the group, so that nobody knows a relation between them, or between
/// them and `G` and `H`. (P-BAL-3)
#[derive(Debug, Clone)]
struct Generators {
    p_0: Point,
    p: Vec<RawPoint>,
    q: Point,
    p_0_table: FixedBase,
    q_table: FixedBase,
}

impl Generators {
    fn new(bits: usize) -> Self {
        let (p_0, q) = (generator_p(0), generator_q());
        let p = (1..).take(bits).map(|j| generator_p(j).raw()).collect();
        let (p_0_table, q_table) = (FixedBase::new(&p_0), FixedBase::new(&q));
        Self { p_0, p, q, p_0_table, q_table }
    }
}

/// `P_j`: hash to the group of the suite as text, the text `P`, and `j` as `u16`.
#[must_use]
pub fn generator_p(j: u16) -> Point {
    let mut body = Writer::new();
    body.text(BALLOT_SUITE).text("P").u16(j);
    Point::hash(label::GENERATOR, body.as_bytes())
}

/// `Q`: hash to the group of the suite as text and the text `Q`.
#[must_use]
pub fn generator_q() -> Point {
    let mut body = Writer::new();
    body.text(BALLOT_SUITE).text("Q");
    Point::hash(label::GENERATOR, body.as_bytes())
}
