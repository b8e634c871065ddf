#![allow(clippy::indexing_slicing, reason = "a test that is out of bounds should fail loudly")]

mod aggregate;
mod batch;
mod binding;
mod cheat;
mod completeness;
mod encoding;
mod equations;
mod signatures;
mod vectors;

use super::*;
use crate::{
    group::{Scalar, base_mul, random_scalar},
    ids::{Credential, OptionIndex},
};
use alloc::{string::ToString as _, vec, vec::Vec};
use ed25519_dalek::{Signer as _, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// Contest 0 is the common one: five options, exactly one.
const FIVE: ContestRule = ContestRule { options: 5, min: 1, max: 1 };

fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn election_key(seed: u64) -> (Scalar, Point) {
    let secret = random_scalar(&mut seeded(seed));
    (secret, Point::new(base_mul(&secret)).unwrap())
}

fn credential(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn form_of(rules: &[ContestRule], styles: &[&[u16]]) -> BallotForm {
    let styles = styles.iter().map(|style| style.iter().copied().map(ContestIndex).collect()).collect();
    BallotForm::new(ElectionId([7; 32]), election_key(1).1, rules.to_vec(), styles).unwrap()
}

/// One contest, one style.
fn form(rule: ContestRule) -> BallotForm {
    form_of(&[rule], &[&[0]])
}

fn options(chosen: &[u16]) -> Vec<OptionIndex> {
    chosen.iter().copied().map(OptionIndex).collect()
}

/// A ballot of style 0 with one contest.
fn ballot(form: &BallotForm, chosen: &[u16], key: &SigningKey, rng: &mut ChaCha20Rng) -> Vec<u8> {
    form.seal(StyleIndex(0), &[options(chosen)], key, rng).unwrap()
}

/// Signs whatever is in the bytes, as an attacker with a credential of its own would.
fn sign_again(election: ElectionId, bytes: &mut [u8], key: &SigningKey) {
    let text = signing_text(election, &layout::ballot_digest(bytes));
    let body = bytes.len() - layout::SIGNATURE_LEN;
    bytes[body..].copy_from_slice(&key.sign(text.as_bytes()).to_bytes());
}

/// Where the contest's `index`-th 32-byte component is, if it is the first contest.
fn component(index: usize) -> core::ops::Range<usize> {
    let start = layout::HEADER_LEN + 32 * index;
    start..start + 32
}
