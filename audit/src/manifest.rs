//! The manifest and the roll: decoded, and held to every rule again. (P-MAN, P-QUO, P-ROL)

use crate::{
    report::{Finding, finding, must},
    wire::{Hash, MESSAGE_MAX, Reader, digest, hex},
};
use std::collections::BTreeSet;

pub(crate) const SUITE: &str = "conclave-v1/ristretto255/frost-ed25519-sha512/sr25519-vrf/hpke-x25519/rfc6962";
const TEXT: usize = 1000;
const WEIGHT_MAX: u64 = 1 << 40;

pub(crate) struct Contest {
    pub(crate) id: String,
    pub(crate) title: String,
    /// 1 single choice, 2 approval.
    method: u8,
    pub(crate) options: Vec<String>,
    min: u16,
    pub(crate) max: u16,
    blank: bool,
    pub(crate) seats: u16,
    pub(crate) ties_by_lot: bool,
}

impl Contest {
    /// The fewest marks that a ballot may have: none where a blank is allowed.
    pub(crate) fn marks_min(&self) -> u16 {
        if self.blank { 0 } else { self.min }
    }
}

/// A trustee, shard or official.
pub(crate) struct Party {
    /// The name first.
    texts: Vec<String>,
    pub(crate) identity: [u8; 32],
    pin: [u8; 32],
}

impl Party {
    pub(crate) fn name(&self) -> &str {
        self.texts.first().map_or("", String::as_str)
    }
}

pub(crate) struct Manifest {
    pub(crate) election: Hash,
    pub(crate) title: String,
    languages: Vec<String>,
    pub(crate) contests: Vec<Contest>,
    pub(crate) styles: Vec<(String, Vec<u16>)>,
    pub(crate) voters: u64,
    pub(crate) weight_total: u64,
    roll_digest: Hash,
    pub(crate) revote_last: bool,
    opens: u64,
    closes: u64,
    pub(crate) trustees: Vec<Party>,
    f: u16,
    c: u16,
    pub(crate) t: u16,
    pub(crate) s: u16,
    pub(crate) q: u16,
    pub(crate) w: u16,
    by_certificate: bool,
    pub(crate) shards: Vec<Party>,
    pub(crate) home: u16,
    pub(crate) officials: Vec<Party>,
    pub(crate) lanes: u16,
    cluster: String,
    pub(crate) genesis: Hash,
    pub(crate) tally_min: u64,
}

fn texts(input: &mut Reader<'_>, max: usize) -> Result<Vec<String>, Finding> {
    input.list(max, |input| input.text(TEXT))
}

fn contest(input: &mut Reader<'_>) -> Result<Contest, Finding> {
    Ok(Contest {
        id: input.text(TEXT)?,
        title: input.text(TEXT)?,
        method: one_or_two(input)?,
        options: texts(input, 256)?,
        min: input.u16()?,
        max: input.u16()?,
        blank: input.flag()?,
        seats: input.u16()?,
        ties_by_lot: input.flag()?,
    })
}

fn one_or_two(input: &mut Reader<'_>) -> Result<u8, Finding> {
    match input.u8()? {
        tag @ (1 | 2) => Ok(tag),
        other => Err(input.bad("1 or 2", other.to_string())),
    }
}

fn trustee(input: &mut Reader<'_>) -> Result<Party, Finding> {
    let mut texts = vec![input.text(TEXT)?, input.text(TEXT)?, input.text(TEXT)?];
    let (identity, pin) = (input.array()?, input.array()?);
    texts.push(input.text(TEXT)?);
    Ok(Party { texts, identity, pin })
}

fn shard(input: &mut Reader<'_>) -> Result<Party, Finding> {
    let name = input.text(TEXT)?;
    let (identity, pin) = (input.array()?, input.array()?);
    Ok(Party { texts: vec![name, input.text(TEXT)?, input.text(TEXT)?], identity, pin })
}

fn official(input: &mut Reader<'_>) -> Result<Party, Finding> {
    Ok(Party { texts: vec![input.text(TEXT)?], identity: input.array()?, pin: input.array()? })
}

impl Manifest {
    /// Decodes; applies no rule yet. (P-MAN-1)
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Finding> {
        must(
            bytes.len() <= MESSAGE_MAX,
            || format!("a manifest of at most {MESSAGE_MAX} bytes"),
            || format!("{} bytes", bytes.len()),
        )?;
        let mut input = Reader::new("manifest.bin", bytes);
        let suite = input.text(TEXT)?;
        must(suite == SUITE, || format!("the suite {SUITE}"), || suite.clone())?;
        let title = input.text(TEXT)?;
        let languages = texts(&mut input, 50)?;
        let contests = input.list(256, contest)?;
        let styles = input.list(4096, |input| Ok((input.text(TEXT)?, input.list(256, Reader::u16)?)))?;
        let (voters, weight_total, roll_digest) = (input.u64()?, input.u64()?, input.array()?);
        let revote_last = one_or_two(&mut input)? == 1;
        let (opens, closes) = (input.u64()?, input.u64()?);
        let trustees = input.list(100, trustee)?;
        let [f, c, t, s, q, w] = [input.u16()?, input.u16()?, input.u16()?, input.u16()?, input.u16()?, input.u16()?];
        let by_certificate = input.flag()?;
        let shards = input.list(1000, shard)?;
        let home = input.u16()?;
        let officials = input.list(100, official)?;
        let lanes = input.u16()?;
        let (cluster, genesis) = (input.text(TEXT)?, input.array()?);
        let tally_min = input.u64()?;
        input.end()?;
        let election = digest("election-id", &[bytes]);
        Ok(Self {
            election,
            title,
            languages,
            contests,
            styles,
            voters,
            weight_total,
            roll_digest,
            revote_last,
            opens,
            closes,
            trustees,
            f,
            c,
            t,
            s,
            q,
            w,
            by_certificate,
            shards,
            home,
            officials,
            lanes,
            cluster,
            genesis,
            tally_min,
        })
    }

    /// Trustees, 1 to n.
    pub(crate) fn n(&self) -> u16 {
        u16::try_from(self.trustees.len()).unwrap_or(u16::MAX)
    }
    pub(crate) fn trustee(&self, index: u16) -> Option<&Party> {
        self.trustees.get(usize::from(index).checked_sub(1)?)
    }
    pub(crate) fn shard(&self, index: u16) -> Option<&Party> {
        self.shards.get(usize::from(index).checked_sub(1)?)
    }
    pub(crate) fn official(&self, index: u16) -> Option<&Party> {
        self.officials.get(usize::from(index).checked_sub(1)?)
    }

    /// Every rule of P-MAN-2 and P-QUO.
    pub(crate) fn judge(&self) -> Result<String, Finding> {
        let parties = || self.trustees.iter().chain(&self.shards).chain(&self.officials);
        let all_texts = [&self.title, &self.cluster]
            .into_iter()
            .chain(&self.languages)
            .chain(self.contests.iter().flat_map(|c| [&c.id, &c.title].into_iter().chain(&c.options)))
            .chain(self.styles.iter().map(|(id, _)| id))
            .chain(parties().flat_map(|party| &party.texts));
        for text in all_texts {
            let good = !text.is_empty() && !text.chars().any(char::is_control);
            must(good, || "texts of 1 to 1000 bytes without control characters".into(), || format!("{text:?}"))?;
        }
        for (what, got, max) in [
            ("languages", self.languages.len(), 50),
            ("trustees", self.trustees.len(), 100),
            ("shards", self.shards.len(), 1000),
            ("officials", self.officials.len(), 100),
            ("contests", self.contests.len(), 256),
            ("styles", self.styles.len(), 4096),
            ("lanes", self.lanes.into(), 1024),
        ] {
            must((1..=max).contains(&got), || format!("1 to {max} {what}"), || got.to_string())?;
        }
        distinct("languages", self.languages.iter())?;
        distinct("contest ids", self.contests.iter().map(|contest| &contest.id))?;
        distinct("style ids", self.styles.iter().map(|(id, _)| id))?;
        distinct("names", parties().map(|party| party.name()))?;
        distinct("identity keys", parties().map(|party| party.identity))?;
        distinct("TLS pins", parties().map(|party| party.pin))?;
        for contest in &self.contests {
            self.judge_contest(contest)?;
        }
        self.judge_styles()?;
        must(
            self.closes >= self.opens,
            || "closing not before opening".into(),
            || format!("opens at {}, closes at {}", self.opens, self.closes),
        )?;
        must(
            self.voters >= 1 && self.weight_total >= self.voters && self.weight_total <= WEIGHT_MAX,
            || format!("at least one voter, a weight of at least the voters and at most {WEIGHT_MAX}"),
            || format!("{} voters of weight {}", self.voters, self.weight_total),
        )?;
        must(self.shard(self.home).is_some(), || "a home shard of the list".into(), || self.home.to_string())?;
        self.judge_quorums()?;
        Ok(format!(
            "{} contests, {} styles, {} trustees, t={} s={} q={} w={}",
            self.contests.len(),
            self.styles.len(),
            self.n(),
            self.t,
            self.s,
            self.q,
            self.w
        ))
    }

    fn judge_contest(&self, contest: &Contest) -> Result<(), Finding> {
        let Contest { id, method, options, min, max, blank, seats, .. } = contest;
        let count = options.len();
        must((1..=256).contains(&count), || format!("1 to 256 options in contest {id}"), || count.to_string())?;
        distinct("options", options.iter())?;
        let good = *max >= 1
            && min <= max
            && usize::from(*max) <= count
            && *seats >= 1
            && usize::from(*seats) <= count
            && (*method != 1 || *max == 1)
            && (!*blank || *min <= 1);
        must(
            good,
            || format!("a rule for contest {id} that can be answered"),
            || format!("{count} options, min {min}, max {max}, {seats} seats, method {method}, blank {blank}"),
        )
    }

    fn judge_styles(&self) -> Result<(), Finding> {
        let mut used = BTreeSet::new();
        for (id, contests) in &self.styles {
            let ascending = contests.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
            let known = contests.iter().all(|contest| usize::from(*contest) < self.contests.len());
            must(
                !contests.is_empty() && ascending && known,
                || format!("style {id} with known contests, ascending, at least one"),
                || format!("{contests:?}"),
            )?;
            used.extend(contests.iter().copied());
        }
        must(
            used.len() == self.contests.len(),
            || "every contest in some style".into(),
            || format!("{} of {}", used.len(), self.contests.len()),
        )
    }

    /// P-QUO-1 to P-QUO-11.
    fn judge_quorums(&self) -> Result<(), Finding> {
        let wide = |value: u16| i64::from(value);
        let [n, f, c, t, s, q, w] = [self.n(), self.f, self.c, self.t, self.s, self.q, self.w].map(wide);
        let majority = (n + f) / 2 + 1;
        for (label, rule, holds) in [
            ("P-QUO-11", "n, t, s >= 2", n >= 2 && t >= 2 && s >= 2),
            ("P-QUO-3", "n >= 3f + 1 where f >= 1", f == 0 || n > 3 * f),
            ("P-QUO-1", "q >= floor((n+f)/2) + 1", q >= majority),
            ("P-QUO-2", "q <= n - f", q <= n - f),
            ("P-QUO-4", "w >= floor((n+f)/2) + 1", w >= majority),
            ("P-QUO-6", "w <= n - f", w <= n - f),
            ("P-QUO-5", "w + q > n + f", w + q > n + f),
            ("P-QUO-7", "t, s >= f + 1", t > f && s > f),
            ("P-QUO-8", "t, s <= n - f - c", t <= n - f - c && s <= n - f - c),
            ("P-QUO-9", "2t > n + f, or one_aggregate = certificate", self.by_certificate || 2 * t > n + f),
            ("P-QUO-10", "2s > n + f, or one_aggregate = certificate", self.by_certificate || 2 * s > n + f),
        ] {
            must(holds, || format!("{label}: {rule}"), || format!("n={n} f={f} c={c} t={t} s={s} q={q} w={w}"))?;
        }
        Ok(())
    }
}

fn distinct<T: Ord>(what: &str, items: impl Iterator<Item = T>) -> Result<(), Finding> {
    let mut seen = BTreeSet::new();
    for (item, at) in items.zip(1_usize..) {
        must(seen.insert(item), || format!("distinct {what}"), || format!("entry {at} repeats an earlier one"))?;
    }
    Ok(())
}

/// One voter.
pub(crate) struct Voter {
    pub(crate) credential: [u8; 32],
    pub(crate) style: u16,
    pub(crate) weight: u64,
}

/// The roll that the manifest commits to. (P-ROL)
pub(crate) fn roll(bytes: &[u8], manifest: &Manifest) -> Result<Vec<Voter>, Finding> {
    let mut input = Reader::new("roll.bin", bytes);
    let count = input.u64()?;
    let mut voters: Vec<Voter> = Vec::new();
    let mut weight_total: u64 = 0;
    for at in 0..count {
        let voter = Voter { credential: input.array()?, style: input.u16()?, weight: input.u64()? };
        if voters.last().is_some_and(|last| last.credential >= voter.credential) {
            return Err(finding("credentials in strictly ascending order", format!("entry {at} is not")));
        }
        must(
            usize::from(voter.style) < manifest.styles.len() && voter.weight >= 1,
            || format!("entry {at} with a known style and a weight of at least 1"),
            || format!("style {}, weight {}", voter.style, voter.weight),
        )?;
        weight_total = weight_total.saturating_add(voter.weight);
        voters.push(voter);
    }
    input.end()?;
    let expected = (manifest.voters, manifest.weight_total, manifest.roll_digest);
    let got = (count, weight_total, digest("voter-roll", &[bytes]));
    let words = |(voters, weight, digest): (u64, u64, Hash)| {
        format!("{voters} voters of weight {weight}, digest {}", hex(&digest))
    };
    must(expected == got, || words(expected), || words(got))?;
    Ok(voters)
}
