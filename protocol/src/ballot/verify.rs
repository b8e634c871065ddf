//! Verdicts: of one ballot alone, and of many at once with exactly the same outcome. (P-BAL-6)

use super::{
    BallotForm, BallotRefusal, CheckedBallot,
    equations::{EQUATIONS, ProofSum, SignatureSum, Weights},
    layout::{HEADER_LEN, Parsed, SIGNATURE_LEN},
    proof::{PROOF_POINTS, Proof},
};
use crate::{
    elgamal::Ciphertext,
    encoding::{digest, label},
    group::Scalar,
    ids::{Credential, StyleIndex},
};
use alloc::{vec, vec::Vec};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, RngCore as _, SeedableRng as _};

/// Ballots whose decoded form is in memory at once, and that one sum covers. Twice or half as many is slower: the
/// points must fit a cache, and each sum has a fixed cost.
const WINDOW: usize = 512;
/// A failing group of this size or less is judged ballot by ballot: below it, one sum saves little.
const ALONE: usize = 4;

impl BallotForm {
    /// What a ballot says it is: version, election, style and length are checked, nothing else. Costs no arithmetic,
    /// for use before queueing.
    ///
    /// # Errors
    /// [`BallotRefusal`], the same that [`BallotForm::verify`] would give.
    pub fn peek(&self, bytes: &[u8]) -> Result<(StyleIndex, Credential), BallotRefusal> {
        self.read_header(bytes)
    }

    /// Judges one ballot, exactly: each equation on its own, no randomness.
    ///
    /// # Errors
    /// The first [`BallotRefusal`] in the order: header, points and scalars by contest, repeated components,
    /// credential, signature encoding, signature, proofs by contest.
    pub fn verify(&self, bytes: &[u8]) -> Result<CheckedBallot, BallotRefusal> {
        let parsed = self.parse(bytes)?;
        match self.judge_alone(&parsed) {
            Some(refusal) => Err(refusal),
            None => Ok(parsed.ballot),
        }
    }

    /// Judges many ballots as one sum with random 128-bit weights; the verdict on each is that of
    /// [`BallotForm::verify`]. A sum that fails is halved until the ballots at fault are alone. A false ballot passes
    /// with probability 2^-128 at most.
    ///
    /// Weights come from `rng` and from the batch itself, so that a generator that repeats itself helps nobody.
    pub fn verify_batch(
        &self,
        ballots: &[&[u8]],
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<Result<CheckedBallot, BallotRefusal>> {
        let mut verdicts = Vec::with_capacity(ballots.len());
        for window in ballots.chunks(WINDOW) {
            self.verify_window(window, rng, &mut verdicts);
        }
        verdicts
    }

    /// A ballot that was verified before and comes back from our own durable store: everything is decoded and
    /// checked as in [`BallotForm::verify`], **except that no signature or proof equation is**. Never for bytes that
    /// another party could have written.
    ///
    /// # Errors
    /// [`BallotRefusal`] if the bytes do not decode.
    pub fn trusted_from_store(&self, bytes: &[u8]) -> Result<CheckedBallot, BallotRefusal> {
        self.parse(bytes).map(|parsed| parsed.ballot)
    }

    fn verify_window(
        &self,
        window: &[&[u8]],
        rng: &mut dyn CryptoRngCore,
        verdicts: &mut Vec<Result<CheckedBallot, BallotRefusal>>,
    ) {
        let parsed: Vec<_> = window.iter().map(|bytes| self.parse(bytes)).collect();
        let decoded: Vec<&Parsed> = parsed.iter().filter_map(|ballot| ballot.as_ref().ok()).collect();
        let mut weights = WeightSource::new(&decoded, rng);
        let mut refusals = vec![None; decoded.len()];
        self.judge_group(&decoded, false, &mut weights, &mut refusals);

        let mut refusals = refusals.into_iter();
        verdicts.extend(parsed.into_iter().map(|ballot| {
            let ballot = ballot?.ballot;
            match refusals.next().flatten() {
                Some(refusal) => Err(refusal),
                None => Ok(ballot),
            }
        }));
    }

    /// Fills `refusals`, one for each of `group`. `known_bad` says that the group's sum is already known to fail.
    fn judge_group(
        &self,
        group: &[&Parsed],
        known_bad: bool,
        weights: &mut WeightSource,
        refusals: &mut [Option<BallotRefusal>],
    ) -> bool {
        if group.is_empty() || (group.len() > 1 && !known_bad && self.sum_holds(group, weights)) {
            return true;
        }
        if group.len() <= ALONE {
            let mut all_hold = true;
            for (ballot, refusal) in group.iter().zip(refusals) {
                *refusal = self.judge_alone(ballot);
                all_hold &= refusal.is_none();
            }
            return all_hold;
        }
        let half = group.len() / 2;
        let (left, right) = group.split_at(half);
        let (left_refusals, right_refusals) = refusals.split_at_mut(half);
        let left_holds = self.judge_group(left, false, weights, left_refusals);
        // If the left half holds, the fault is in the right one: no need to sum it first.
        let right_holds = self.judge_group(right, left_holds, weights, right_refusals);
        left_holds && right_holds
    }

    /// Whether every signature and every proof of a group holds, as two weighted sums.
    fn sum_holds(&self, group: &[&Parsed], weights: &mut WeightSource) -> bool {
        let mut signatures = SignatureSum::new(group.len());
        let points =
            group.iter().map(|ballot| 2 * ballot.ballot.votes.len() + PROOF_POINTS * ballot.proofs.len()).sum();
        let mut proofs = ProofSum::new(self, points);
        for ballot in group {
            signatures.add(&ballot.signature, &weights.next());
            for (proof, votes) in ballot.contests() {
                let weights = [weights.next(), weights.next(), weights.next(), weights.next()];
                proofs.add(proof, votes, &weights);
            }
        }
        signatures.vanishes() && proofs.vanishes()
    }

    fn judge_alone(&self, ballot: &Parsed) -> Option<BallotRefusal> {
        if !ballot.signature.holds() {
            return Some(BallotRefusal::SignatureInvalid);
        }
        let bad = ballot.contests().find(|(proof, votes)| self.broken_equation(proof, votes).is_some());
        bad.map(|(proof, _)| BallotRefusal::ProofInvalid { contest: proof.contest })
    }

    /// The first of a contest's equations that does not hold.
    pub(super) fn broken_equation(&self, proof: &Proof, votes: &[Ciphertext]) -> Option<usize> {
        (0..EQUATIONS).find(|equation| {
            let mut weights: Weights = [Scalar::ZERO; EQUATIONS];
            if let Some(weight) = weights.get_mut(*equation) {
                *weight = Scalar::ONE;
            }
            let mut sum = ProofSum::new(self, 2 * votes.len() + PROOF_POINTS);
            sum.add(proof, votes, &weights);
            !sum.vanishes()
        })
    }
}

impl Parsed {
    /// Each proof with the votes that it is about.
    pub(super) fn contests(&self) -> impl Iterator<Item = (&Proof, &[Ciphertext])> {
        self.proofs.iter().zip(self.ballot.contests().map(|(_, votes)| votes))
    }
}

/// Random 128-bit weights: ChaCha20, seeded by a hash of fresh entropy and every ballot of the batch.
struct WeightSource(ChaCha20Rng);

impl WeightSource {
    fn new(batch: &[&Parsed], rng: &mut dyn CryptoRngCore) -> Self {
        let mut seed = Vec::with_capacity(32 + batch.len().saturating_mul(32 + SIGNATURE_LEN));
        let mut entropy = [0; 32];
        rng.fill_bytes(&mut entropy);
        seed.extend_from_slice(&entropy);
        for ballot in batch {
            // The digest covers all but the signature, which is last.
            let body = ballot.ballot.bytes.len().saturating_sub(SIGNATURE_LEN);
            seed.extend_from_slice(&ballot.ballot.digest);
            seed.extend_from_slice(ballot.ballot.bytes.get(body..).unwrap_or(&[]));
        }
        Self(ChaCha20Rng::from_seed(digest(label::BATCH, &seed)))
    }

    fn next(&mut self) -> Scalar {
        if bug!(BatchWeightsConstant) {
            return Scalar::ONE;
        }
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        // 1 to 2^128: zero would leave an equation out.
        Scalar::from(u128::from_le_bytes(bytes)) + Scalar::ONE
    }
}

// The header and the signature are of fixed length, so a digest and a signature determine a ballot's bytes.
const _: () = assert!(HEADER_LEN == 43 && SIGNATURE_LEN == 64);
