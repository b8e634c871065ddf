//! Making a ballot: on the voter's device, constant time in the choice. (P-BAL-1, P-BAL-5)

use super::{
    BALLOT_VERSION, BallotForm, ContestRule, ElectionPrefix,
    layout::SIGNATURE_LEN,
    proof::{Bits, Statement, prove},
    signature::signing_text,
};
use crate::{
    encoding::{Hash, Writer, digest, label},
    ids::{ContestIndex, Credential, ElectionId, OptionIndex, StyleIndex},
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use ed25519_dalek::{Signer as _, SigningKey};
use rand_core::CryptoRngCore;
use subtle::{ConstantTimeEq as _, ConstantTimeLess as _};
use zeroize::Zeroizing;

/// Why a choice is not a ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A ballot style that this election does not have.
    #[error("this election has no ballot style {got}; its styles are 0 to {last}")]
    UnknownStyle {
        /// Style asked for.
        got: StyleIndex,
        /// The last style there is.
        last: StyleIndex,
    },
    /// Another number of contests than the style has.
    #[error("the choice covers {got} contests, the ballot style has {expected}; give a list, maybe empty, for each")]
    Contests {
        /// Contests of the style.
        expected: usize,
        /// Contests chosen in.
        got: usize,
    },
    /// More options selected than the rule allows.
    #[error("contest {contest}: {got} options are selected, at most {max} may be; take some away")]
    TooMany {
        /// The contest.
        contest: ContestIndex,
        /// Most selections.
        max: u16,
        /// Selections made.
        got: usize,
    },
    /// Fewer options selected than the rule asks for.
    #[error("contest {contest}: {got} options are selected, at least {min} must be; select more")]
    TooFew {
        /// The contest.
        contest: ContestIndex,
        /// Fewest selections.
        min: u16,
        /// Selections made.
        got: usize,
    },
    /// One option selected twice.
    #[error("contest {contest}: option {option} is selected twice; select it once")]
    Repeated {
        /// The contest.
        contest: ContestIndex,
        /// The option.
        option: OptionIndex,
    },
    /// An option that the contest does not have.
    #[error("contest {contest} has no option {option}; its options are 0 to {last}")]
    UnknownOption {
        /// The contest.
        contest: ContestIndex,
        /// The option.
        option: OptionIndex,
        /// The last option there is.
        last: OptionIndex,
    },
}

/// A ballot that still lacks its signature: for a wallet that holds the credential and shows what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedBallot {
    body: Vec<u8>,
    election: ElectionId,
    digest: Hash,
}

impl UnsignedBallot {
    /// What the credential must sign.
    #[must_use]
    pub fn text(&self) -> String {
        signing_text(self.election, &self.digest)
    }
    /// The ballot's id.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.digest
    }
    /// The complete ballot. Whether the signature is right, [`BallotForm::verify`] says.
    #[must_use]
    pub fn signed(mut self, signature: &[u8; 64]) -> Vec<u8> {
        self.body.extend_from_slice(signature);
        self.body
    }
}

impl BallotForm {
    /// Encrypts, proves and signs a choice: for each contest of the style, in its order, the selected options.
    ///
    /// Takes less than a millisecond for a handful of options. `rng` must be the operating system's.
    ///
    /// # Errors
    /// [`SealError`] naming the contest whose rule the choice does not follow.
    pub fn seal(
        &self,
        style: StyleIndex,
        choices: &[Vec<OptionIndex>],
        credential: &SigningKey,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, SealError> {
        let public = Credential(credential.verifying_key().to_bytes());
        let unsigned = self.seal_unsigned(style, choices, public, rng)?;
        let signature = credential.sign(unsigned.text().as_bytes()).to_bytes();
        Ok(unsigned.signed(&signature))
    }

    /// As [`BallotForm::seal`], for a credential whose secret is elsewhere.
    ///
    /// # Errors
    /// As [`BallotForm::seal`].
    pub fn seal_unsigned(
        &self,
        style: StyleIndex,
        choices: &[Vec<OptionIndex>],
        credential: Credential,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<UnsignedBallot, SealError> {
        let Some(listed) = self.style(style) else {
            let last = u16::try_from(self.styles().len().saturating_sub(1)).unwrap_or(u16::MAX);
            return Err(SealError::UnknownStyle { got: style, last: StyleIndex(last) });
        };
        if choices.len() != listed.len() {
            return Err(SealError::Contests { expected: listed.len(), got: choices.len() });
        }
        for ((contest, rule), choice) in self.style_rules(listed).zip(choices) {
            check_choice(contest, rule, choice)?;
        }

        let mut header = Writer::new();
        header.u8(BALLOT_VERSION).raw(&ElectionPrefix::of(self.election()).0).value(&style).value(&credential);
        let mut body = header.finish();
        body.reserve(self.ballot_len(style).unwrap_or(0).saturating_sub(body.len()));
        for ((contest, rule), choice) in self.style_rules(listed).zip(choices) {
            let statement = Statement { form: self, style, credential, contest, rule };
            prove(&statement, &bits(rule, choice), rng, &mut body);
        }
        let digest = digest(label::BALLOT, &body);
        debug_assert_eq!(Some(body.len() + SIGNATURE_LEN), self.ballot_len(style));
        Ok(UnsignedBallot { body, election: self.election(), digest })
    }
}

fn check_choice(contest: ContestIndex, rule: &ContestRule, choice: &[OptionIndex]) -> Result<(), SealError> {
    let got = choice.len();
    if got > usize::from(rule.max) {
        return Err(SealError::TooMany { contest, max: rule.max, got });
    }
    let mut seen = BTreeSet::new();
    for option in choice.iter().copied() {
        if option.0 >= rule.options {
            let last = OptionIndex(rule.options.saturating_sub(1));
            return Err(SealError::UnknownOption { contest, option, last });
        }
        if !seen.insert(option) {
            return Err(SealError::Repeated { contest, option });
        }
    }
    if got < usize::from(rule.min) {
        return Err(SealError::TooFew { contest, min: rule.min, got });
    }
    Ok(())
}

/// No option has this index: it fills the slots that a choice leaves empty.
const NO_OPTION: u16 = u16::MAX;

/// `m_1..m_K, d_1..d_D`. Every option is compared with every slot, chosen or empty, so that neither time nor memory
/// access shows which or how many were selected.
fn bits(rule: &ContestRule, choice: &[OptionIndex]) -> Bits {
    let mut slots = Zeroizing::new(alloc::vec![NO_OPTION; rule.max.into()]);
    for (slot, option) in slots.iter_mut().zip(choice) {
        *slot = option.0;
    }
    let mut bits = Bits(Vec::with_capacity(rule.bits()));
    for option in 0..rule.options {
        let chosen = slots.iter().fold(subtle::Choice::from(0), |any, slot| any | slot.ct_eq(&option));
        bits.0.push(chosen.unwrap_u8());
    }
    let selected = bits.0.iter().fold(0_u16, |sum, bit| sum.wrapping_add((*bit).into()));
    let missing = rule.max.wrapping_sub(selected);
    for dummy in 0..rule.dummies() {
        bits.0.push(dummy.ct_lt(&missing).unwrap_u8());
    }
    bits
}
