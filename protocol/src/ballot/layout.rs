//! A ballot's bytes, taken apart once: every point and scalar decoded, every challenge computed, nothing judged yet.
//! (P-BAL-1, P-BAL-7)

use super::{
    BALLOT_VERSION, BallotForm, BallotRefusal, CheckedBallot, ContestRule, ElectionPrefix,
    proof::{PROOF_SCALARS, Proof, Statement},
    signature::{SignatureClaim, complete_text},
};
use crate::{
    elgamal::Ciphertext,
    encoding::{DecodeError, Hash, Reader, digest, label},
    group::{Point, RawPoint, Scalar, decode_scalar},
    ids::{ContestIndex, Credential, StyleIndex},
};
use alloc::vec::Vec;

/// Version, election prefix, style, credential.
pub(super) const HEADER_LEN: usize = 1 + 8 + 2 + 32;
/// An Ed25519 signature.
pub(super) const SIGNATURE_LEN: usize = 64;

/// A ballot that decodes. It becomes a [`CheckedBallot`] once its equations hold.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) ballot: CheckedBallot,
    pub(super) proofs: Vec<Proof>,
    pub(super) signature: SignatureClaim,
}

impl BallotForm {
    /// Version, election, style and length; no arithmetic.
    pub(super) fn read_header(&self, bytes: &[u8]) -> Result<(StyleIndex, Credential), BallotRefusal> {
        let mut input = Reader::new(bytes);
        let version = input.u8().map_err(BallotRefusal::Encoding)?;
        if version != BALLOT_VERSION {
            let error = DecodeError::UnknownTag { what: "ballot version", got: version.into() };
            return Err(BallotRefusal::Encoding(error));
        }
        let expected = ElectionPrefix::of(self.election);
        let got = ElectionPrefix(input.array().map_err(BallotRefusal::Encoding)?);
        if got != expected {
            return Err(BallotRefusal::WrongElection { expected, got });
        }
        let style = StyleIndex(input.u16().map_err(BallotRefusal::Encoding)?);
        let Some(expected) = self.ballot_len(style) else {
            let last = u16::try_from(self.styles.len().saturating_sub(1)).unwrap_or(u16::MAX);
            return Err(BallotRefusal::UnknownStyle { got: style, last: StyleIndex(last) });
        };
        if bytes.len() != expected {
            let error = DecodeError::WrongLength { what: "ballot", got: bytes.len(), expected };
            return Err(BallotRefusal::Encoding(error));
        }
        Ok((style, Credential(input.array().map_err(BallotRefusal::Encoding)?)))
    }

    /// Decodes everything. The order of the checks is part of the verdict: header, contests in order, repeated
    /// components, credential, signature.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Parsed, BallotRefusal> {
        let (style, credential) = self.read_header(bytes)?;
        let listed = self.style(style).unwrap_or(&[]);
        let mut input = Reader::new(bytes);
        input.take(HEADER_LEN).map_err(BallotRefusal::Encoding)?;

        let mut contests = Vec::with_capacity(listed.len());
        let mut votes = Vec::new();
        let mut proofs = Vec::with_capacity(listed.len());
        for (contest, rule) in self.style_rules(listed) {
            let part = input.take(rule.contest_len()).map_err(BallotRefusal::Encoding)?;
            proofs.push(self.parse_contest(style, credential, contest, rule, part, &mut votes)?);
            contests.push((contest, usize::from(rule.options)));
        }
        let signature: [u8; SIGNATURE_LEN] = input.array().map_err(BallotRefusal::Encoding)?;
        input.finish().map_err(BallotRefusal::Encoding)?;
        refuse_repeats(&contests, &votes)?;

        let digest = ballot_digest(bytes);
        let signature =
            SignatureClaim::parse(&credential.0, complete_text(&self.text_head, &digest).as_bytes(), &signature)?;
        let ballot = CheckedBallot {
            bytes: bytes.to_vec(),
            digest,
            election: self.election,
            credential,
            style,
            contests,
            votes,
        };
        Ok(Parsed { ballot, proofs, signature })
    }

    fn parse_contest(
        &self,
        style: StyleIndex,
        credential: Credential,
        contest: ContestIndex,
        rule: &ContestRule,
        part: &[u8],
        votes: &mut Vec<Ciphertext>,
    ) -> Result<Proof, BallotRefusal> {
        let statement = Statement { form: self, style, credential, contest, rule };
        let (points, _) = part.split_at_checked(rule.points_len()).unwrap_or((part, &[]));
        let challenges = statement.challenges(points);

        let mut input = ContestReader { contest, input: Reader::new(part) };
        votes.reserve(rule.options.into());
        for _ in 0..rule.options {
            votes.push(Ciphertext { a: input.point("A")?, b: input.point("B")? });
        }
        let (v, s) = (input.raw_point("V")?, input.raw_point("S")?);
        let (t_a, t_b) = (input.raw_point("T_A")?, input.raw_point("T_B")?);
        let (c_1, c_0) = (input.raw_point("C_1")?, input.raw_point("C_0")?);
        let mut f = Vec::with_capacity(rule.bits());
        for _ in 0..rule.bits() {
            f.push(input.scalar("f")?);
        }
        let (z_v, z_r, z_c) = (input.scalar("z_V")?, input.scalar("z_R")?, input.scalar("z_C")?);
        Ok(Proof { contest, rule: *rule, challenges, v, s, t_a, t_b, c_1, c_0, f, z_v, z_r, z_c })
    }
}

impl ContestRule {
    /// Bytes of all points of a contest: the ciphertexts and the six of the proof.
    pub(super) fn points_len(&self) -> usize {
        self.contest_len().saturating_sub(32 * (self.bits() + PROOF_SCALARS))
    }
}

/// The ballot's id, from its complete bytes: the hash of everything before the signature.
pub(super) fn ballot_digest(bytes: &[u8]) -> Hash {
    let signed = bytes.len().saturating_sub(SIGNATURE_LEN);
    digest(label::BALLOT, bytes.get(..signed).unwrap_or(&[]))
}

/// Reads components and names the contest in refusals.
struct ContestReader<'a> {
    contest: ContestIndex,
    input: Reader<'a>,
}

impl ContestReader<'_> {
    fn bytes(&mut self) -> Result<[u8; 32], BallotRefusal> {
        self.input.array().map_err(BallotRefusal::Encoding)
    }
    fn point(&mut self, what: &'static str) -> Result<Point, BallotRefusal> {
        let contest = self.contest;
        Point::decode(what, &self.bytes()?).map_err(|_| BallotRefusal::NotCanonical { contest, what })
    }
    fn raw_point(&mut self, what: &'static str) -> Result<RawPoint, BallotRefusal> {
        self.point(what).map(|point| point.raw())
    }
    fn scalar(&mut self, what: &'static str) -> Result<Scalar, BallotRefusal> {
        let contest = self.contest;
        decode_scalar(what, &self.bytes()?).map_err(|_| BallotRefusal::NotCanonical { contest, what })
    }
}

/// No `A` or `B` of a ballot may equal another.
fn refuse_repeats(contests: &[(ContestIndex, usize)], votes: &[Ciphertext]) -> Result<(), BallotRefusal> {
    let owners = contests.iter().flat_map(|(contest, options)| core::iter::repeat_n(*contest, *options));
    let mut seen: Vec<(&[u8; 32], ContestIndex)> =
        owners.zip(votes).flat_map(|(contest, vote)| [(vote.a.bytes(), contest), (vote.b.bytes(), contest)]).collect();
    seen.sort_unstable();
    let repeat = seen.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, contest)] if one == other && !bug!(RepeatedComponentAccepted) => Some(*contest),
        _ => None,
    });
    match repeat.min() {
        Some(contest) => Err(BallotRefusal::RepeatedComponent { contest }),
        None => Ok(()),
    }
}
