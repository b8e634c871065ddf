//! One ballot and many: bytes, equations, signature. (P-BAL; the equations are those of `docs/proofs/ballot.md`)

use crate::{
    group::{edwards, halves, multiply, multiply_edwards, point, reduce, scalar},
    manifest::{Manifest, SUITE},
    record::BALLOT_MAX,
    report::{Finding, finding, must},
    wire::{Hash, Reader, digest, hex, length, wide},
};
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, RISTRETTO_BASEPOINT_POINT},
    edwards::EdwardsPoint,
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::IsIdentity as _,
};
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::BTreeSet;

/// Version, election prefix, style, credential.
const HEADER: usize = 43;
const SIGNATURE: usize = 64;

#[derive(Clone, Copy)]
struct Rule {
    options: u16,
    min: u16,
    max: u16,
}

impl Rule {
    fn bits(self) -> usize {
        usize::from(self.options).saturating_add(usize::from(self.max.saturating_sub(self.min)))
    }
    /// Points: `A_j`, `B_j`, and six of the proof.
    fn points(self) -> usize {
        usize::from(self.options).saturating_mul(2).saturating_add(6)
    }
    fn bytes(self) -> usize {
        self.points().saturating_add(self.bits()).saturating_add(3).saturating_mul(32)
    }
}

/// What all ballots of an election are judged against.
pub(crate) struct Form {
    election: Hash,
    key: RistrettoPoint,
    key_bytes: [u8; 32],
    rules: Vec<Rule>,
    styles: Vec<Vec<u16>>,
    /// `P_1 ..`
    p: Vec<RistrettoPoint>,
    p_0: RistrettoPoint,
    q: RistrettoPoint,
}

fn generator(name: &[u8], number: &[u8]) -> RistrettoPoint {
    let parts: [&[u8]; 5] = [&length(SUITE.len()), SUITE.as_bytes(), &length(name.len()), name, number];
    RistrettoPoint::from_uniform_bytes(&wide("generator", &parts))
}

/// A ballot's head, before any arithmetic.
pub(crate) struct Head {
    pub(crate) style: u16,
    pub(crate) credential: [u8; 32],
    /// The `A` of the first option of each contest, its first half.
    pub(crate) components: Vec<[u8; 16]>,
}

struct Proof {
    contest: u16,
    max: u16,
    a: Vec<RistrettoPoint>,
    b: Vec<RistrettoPoint>,
    /// `V S T_A T_B C_1 C_0`.
    six: [RistrettoPoint; 6],
    f: Vec<Scalar>,
    z_v: Scalar,
    z_r: Scalar,
    z_c: Scalar,
    y: Scalar,
    w: Scalar,
    x: Scalar,
}

/// A ballot that decodes.
pub(crate) struct Ballot {
    proofs: Vec<Proof>,
    key: EdwardsPoint,
    r: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Ballot {
    /// Per contest: its place in the manifest and the encrypted votes.
    pub(crate) fn votes(
        &self,
    ) -> impl Iterator<Item = (u16, impl Iterator<Item = (&RistrettoPoint, &RistrettoPoint)>)> {
        self.proofs.iter().map(|proof| (proof.contest, proof.a.iter().zip(&proof.b)))
    }
}

impl Form {
    pub(crate) fn new(manifest: &Manifest, key: RistrettoPoint) -> Result<Self, Finding> {
        let rules: Vec<Rule> = manifest
            .contests
            .iter()
            .map(|contest| Rule {
                options: u16::try_from(contest.options.len()).unwrap_or(u16::MAX),
                min: contest.marks_min(),
                max: contest.max,
            })
            .collect();
        let bits = rules.iter().map(|rule| rule.bits()).max().unwrap_or(0);
        let p = (1_u16..).take(bits).map(|j| generator(b"P", &j.to_be_bytes())).collect();
        let form = Self {
            election: manifest.election,
            key,
            key_bytes: key.compress().to_bytes(),
            rules,
            styles: manifest.styles.iter().map(|(_, contests)| contests.clone()).collect(),
            p,
            p_0: generator(b"P", &0_u16.to_be_bytes()),
            q: generator(b"Q", b""),
        };
        for style in &form.styles {
            let bytes = form.bytes(style);
            must(bytes <= BALLOT_MAX, || format!("ballots of at most {BALLOT_MAX} bytes"), || bytes.to_string())?;
        }
        Ok(form)
    }

    fn of<'a>(&'a self, style: &'a [u16]) -> impl Iterator<Item = (u16, Rule)> + 'a {
        style.iter().filter_map(|contest| Some((*contest, *self.rules.get(usize::from(*contest))?)))
    }

    fn bytes(&self, style: &[u16]) -> usize {
        self.of(style).fold(HEADER.saturating_add(SIGNATURE), |sum, (_, rule)| sum.saturating_add(rule.bytes()))
    }

    /// Version, election, style, length. (P-BAL-1)
    pub(crate) fn head(&self, bytes: &[u8]) -> Result<Head, Finding> {
        let mut input = Reader::new("ballot", bytes);
        let version = input.u8()?;
        must(version == 1, || "a ballot of version 1".into(), || version.to_string())?;
        let prefix: [u8; 8] = input.array()?;
        must(self.election.starts_with(&prefix), || "a ballot of this election".into(), || hex(&prefix))?;
        let style = input.u16()?;
        let Some(listed) = self.styles.get(usize::from(style)) else {
            return Err(finding("a known ballot style", style.to_string()));
        };
        let expected = self.bytes(listed);
        must(bytes.len() == expected, || format!("a ballot of {expected} bytes"), || bytes.len().to_string())?;
        let credential = input.array()?;
        let mut components = Vec::new();
        for (_, rule) in self.of(listed) {
            let part = input.take(rule.bytes())?;
            components.push(Reader::new("ballot", part).array()?);
        }
        Ok(Head { style, credential, components })
    }

    /// Every point, scalar and challenge. (P-BAL-1, P-BAL-4, P-BAL-7)
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Ballot, Finding> {
        let Head { style, credential, .. } = self.head(bytes)?;
        let mut input = Reader::new("ballot", bytes);
        input.take(HEADER)?;
        let mut proofs = Vec::new();
        let mut seen = BTreeSet::new();
        let listed = self.styles.get(usize::from(style)).map_or(&[][..], Vec::as_slice);
        for (contest, rule) in self.of(listed) {
            proofs.push(self.decode_contest(style, &credential, contest, rule, &mut input, &mut seen)?);
        }
        let signed = input.since(0);
        let id = digest("ballot", &[signed]);
        let (r_bytes, s_bytes) = halves(&input.array()?);
        input.end()?;

        let key = edwards(&credential).ok_or_else(|| finding("a credential that is a key", hex(&credential)))?;
        let decoded = edwards(&r_bytes).zip(scalar(&s_bytes));
        let (r, s) = decoded.ok_or_else(|| finding("a canonical signature", "another"))?;
        let text = format!("Conclave ballot\nelection: {}\nballot: {}\n", hex(&self.election), hex(&id));
        let k = Sha512::new().chain_update(r_bytes).chain_update(credential).chain_update(text).finalize();
        Ok(Ballot { proofs, key, r, s, k: reduce(&k.into()) })
    }

    fn decode_contest<'a>(
        &self,
        style: u16,
        credential: &[u8; 32],
        contest: u16,
        rule: Rule,
        input: &mut Reader<'a>,
        seen: &mut BTreeSet<&'a [u8]>,
    ) -> Result<Proof, Finding> {
        let start = input.at();
        let not_canonical = |what: &str| finding(format!("canonical {what} in contest {contest}"), "other bytes");
        let mut next = |what: &str, seen: Option<&mut BTreeSet<&'a [u8]>>| {
            let bytes = input.take(32)?;
            if seen.is_some_and(|seen| !seen.insert(bytes)) {
                return Err(finding("no component twice in a ballot", format!("one in contest {contest}")));
            }
            bytes.try_into().ok().and_then(point).ok_or_else(|| not_canonical(what))
        };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..rule.options {
            a.push(next("ciphertexts", Some(&mut *seen))?);
            b.push(next("ciphertexts", Some(&mut *seen))?);
        }
        let v = next("points", None)?;
        let first = start..start.saturating_add(rule.points().saturating_sub(5).saturating_mul(32));
        let six = [
            v,
            next("points", None)?,
            next("points", None)?,
            next("points", None)?,
            next("points", None)?,
            next("points", None)?,
        ];
        let points = input.since(start);
        let (first, second) = points.split_at_checked(first.len()).unwrap_or((points, &[]));
        let mut statement = Vec::new();
        statement.extend(length(SUITE.len()));
        statement.extend(SUITE.as_bytes());
        statement.extend(self.election);
        statement.extend(self.key_bytes);
        for number in [contest, rule.options, rule.min, rule.max, style] {
            statement.extend(number.to_be_bytes());
        }
        statement.extend(credential);
        statement.extend(length(rule.options.into()));
        statement.extend(first);
        let y = reduce(&wide("ballot-challenge-1", &[&statement, &[1]]));
        let w = reduce(&wide("ballot-challenge-1", &[&statement, &[2]]));
        let x = reduce(&wide("ballot-challenge-2", &[&statement, second]));

        let mut number = || scalar(&input.array()?).ok_or_else(|| not_canonical("scalars"));
        let mut f = Vec::with_capacity(rule.bits());
        for _ in 0..rule.bits() {
            f.push(number()?);
        }
        let (z_v, z_r, z_c) = (number()?, number()?, number()?);
        Ok(Proof { contest, max: rule.max, a, b, six, f, z_v, z_r, z_c, y, w, x })
    }

    /// Judges decoded ballots together; if they fail, one by one, and names the first at fault by its place. (P-BAL-6)
    pub(crate) fn judge(&self, ballots: &[Ballot], seed: &[u8; 32]) -> Result<(), (usize, Finding)> {
        let mut weights = Weights { seed: *seed, counter: 0, left: Vec::new() };
        let mut sum = Sum::new(self);
        for ballot in ballots {
            sum.add_signature(ballot, weights.next());
            for proof in &ballot.proofs {
                let four = [weights.next(), weights.next(), weights.next(), weights.next()];
                sum.add_proof(proof, four);
            }
        }
        if sum.vanishes() {
            return Ok(());
        }
        for (at, ballot) in ballots.iter().enumerate() {
            self.judge_alone(ballot).map_err(|finding| (at, finding))?;
        }
        // Every ballot holds by itself: the sum did not, which no choice of weights can cause.
        Err((0, finding("sums that agree with single checks", "a defect of this program")))
    }

    /// Each equation by itself, without randomness.
    pub(crate) fn judge_alone(&self, ballot: &Ballot) -> Result<(), Finding> {
        let mut sum = Sum::new(self);
        sum.add_signature(ballot, Scalar::ONE);
        must(sum.vanishes(), || "the credential's signature".into(), || "another".into())?;
        for proof in &ballot.proofs {
            for equation in 0..4_usize {
                let mut weights = [Scalar::ZERO; 4];
                if let Some(weight) = weights.get_mut(equation) {
                    *weight = Scalar::ONE;
                }
                let mut sum = Sum::new(self);
                sum.add_proof(proof, weights);
                let expected = || format!("a proof for contest {} that holds", proof.contest);
                must(sum.vanishes(), expected, || format!("equation E{} does not", equation.saturating_add(1)))?;
            }
        }
        Ok(())
    }
}

/// Seed of a batch's weights: fresh entropy and everything that is judged.
pub(crate) fn seed<'a>(entropy: &[u8; 32], ballots: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(entropy);
    for ballot in ballots {
        hash.update(Sha256::digest(ballot));
    }
    hash.finalize().into()
}

/// Random 128-bit numbers, never 0.
struct Weights {
    seed: [u8; 32],
    counter: u64,
    left: Vec<Scalar>,
}

impl Weights {
    fn next(&mut self) -> Scalar {
        loop {
            if let Some(weight) = self.left.pop() {
                return weight;
            }
            let block = Sha512::new().chain_update(self.seed).chain_update(self.counter.to_be_bytes()).finalize();
            self.counter = self.counter.wrapping_add(1);
            self.left.extend(block.chunks_exact(16).map(|chunk| {
                let number = chunk.try_into().map_or(1, u128::from_le_bytes);
                Scalar::from(number.max(1))
            }));
        }
    }
}

/// Weighted sums of left sides minus right sides. All hold if both sums are the identity.
struct Sum<'a> {
    form: &'a Form,
    scalars: Vec<Scalar>,
    points: Vec<RistrettoPoint>,
    on_g: Scalar,
    on_h: Scalar,
    on_q: Scalar,
    on_p_0: Scalar,
    on_p: Vec<Scalar>,
    edwards_scalars: Vec<Scalar>,
    edwards_points: Vec<EdwardsPoint>,
    on_base: Scalar,
}

impl<'a> Sum<'a> {
    fn new(form: &'a Form) -> Self {
        Self {
            form,
            scalars: Vec::new(),
            points: Vec::new(),
            on_g: Scalar::ZERO,
            on_h: Scalar::ZERO,
            on_q: Scalar::ZERO,
            on_p_0: Scalar::ZERO,
            on_p: vec![Scalar::ZERO; form.p.len()],
            edwards_scalars: Vec::new(),
            edwards_points: Vec::new(),
            on_base: Scalar::ZERO,
        }
    }

    /// `R + k A - s B`.
    fn add_signature(&mut self, ballot: &Ballot, weight: Scalar) {
        self.edwards_scalars.extend([weight, weight * ballot.k]);
        self.edwards_points.extend([ballot.r, ballot.key]);
        self.on_base -= weight * ballot.s;
    }

    fn add_proof(&mut self, proof: &Proof, [e_1, e_2, e_3, e_4]: [Scalar; 4]) {
        let Proof { a, b, six, f, z_v, z_r, z_c, y, w, x, max, .. } = proof;
        let [v, s, t_a, t_b, c_1, c_0] = six;
        // > (E1) x V + S = sum f_j P_j + z_V Q
        self.scalars.extend([e_1 * x, e_1]);
        self.points.extend([v, s]);
        for (on, f_j) in self.on_p.iter_mut().zip(f) {
            *on -= e_1 * f_j;
        }
        self.on_q -= e_1 * z_v;
        // > (E2) x sum w^j A_j + T_A = z_R G
        // > (E3) x sum w^j B_j + T_B = (sum w^j f_j) G + z_R H
        let mut power = Scalar::ONE;
        let mut weighed = Scalar::ZERO;
        for ((a_j, b_j), f_j) in a.iter().zip(b).zip(f) {
            power *= w;
            let at_x = power * x;
            self.scalars.extend([e_2 * at_x, e_3 * at_x]);
            self.points.extend([a_j, b_j]);
            weighed += power * f_j;
        }
        self.scalars.extend([e_2, e_3]);
        self.points.extend([t_a, t_b]);
        self.on_g -= e_2 * z_r + e_3 * weighed;
        self.on_h -= e_3 * z_r;
        // > (E4) x C_1 + C_0 = [ sum y^j f_j (x - f_j) + y^(n+1) x (sum f_j - max x) ] P_0 + z_C Q
        self.scalars.extend([e_4 * x, e_4]);
        self.points.extend([c_1, c_0]);
        let (mut power, mut bracket, mut total) = (*y, Scalar::ZERO, Scalar::ZERO);
        for f_j in f {
            bracket += power * f_j * (x - f_j);
            total += f_j;
            power *= y;
        }
        bracket += power * x * (total - Scalar::from(*max) * x);
        self.on_p_0 -= e_4 * bracket;
        self.on_q -= e_4 * z_c;
    }

    fn vanishes(mut self) -> bool {
        let form = self.form;
        self.scalars.extend([self.on_g, self.on_h, self.on_q, self.on_p_0]);
        self.points.extend([RISTRETTO_BASEPOINT_POINT, form.key, form.q, form.p_0]);
        self.scalars.extend(&self.on_p);
        self.points.extend(&form.p);
        self.edwards_scalars.push(self.on_base);
        self.edwards_points.push(ED25519_BASEPOINT_POINT);
        // The factor 8 is the rule of P-BAL-5: components of small order never count, alone or together.
        multiply(&self.scalars, &self.points).is_identity()
            && multiply_edwards(&self.edwards_scalars, &self.edwards_points).mul_by_cofactor().is_identity()
    }
}

#[cfg(test)]
mod tests;
