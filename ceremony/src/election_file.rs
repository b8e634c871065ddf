//! The election as an official writes it: TOML in, a manifest out.

use crate::enrolment::{EnrolTrouble, Enrolment, MemberRole, Members};
use protocol::{
    encoding::Hash,
    ids::{ContestIndex, ShardIndex, TimeMs},
    manifest::{
        Chain, Contest, Manifest, ManifestRefusal, Method, OfficialEntry, Quorums, Revote, RollCommitment, ShardEntry,
        Style, TrusteeEntry,
    },
};
use serde::Deserialize;
use toml::value::{Datetime, Offset};

/// The commented example that `ceremony template` prints.
pub const TEMPLATE: &str = include_str!("template.toml");

/// Genesis hash of Solana's devnet.
pub const DEVNET_GENESIS: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ElectionFileRefusal {
    /// Not such a file.
    #[error("not an election file (`ceremony template` prints one): {0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A name that nobody enrolled.
    #[error("{role} {got:?} is not enrolled; enrolled are: {known} (`ceremony enrol FILE` adds one)")]
    Member {
        /// Role.
        role: MemberRole,
        /// In the file.
        got: String,
        /// Enrolled.
        known: String,
    },
    /// Nobody of a role.
    #[error("no {role} is enrolled: `ceremony enrol FILE` takes what `{command}` wrote")]
    Nobody {
        /// Role.
        role: MemberRole,
        /// Who makes the file.
        command: &'static str,
    },
    /// A contest that is not there.
    #[error("ballot style {style:?} has contest {got:?}, which is not there; there are: {known}")]
    Contest {
        /// Style.
        style: String,
        /// In the file.
        got: String,
        /// There are.
        known: String,
    },
    /// Not a moment.
    #[error("{key} = {got}: expected date, time and offset, such as 2026-11-21T08:00:00Z")]
    Time {
        /// Key.
        key: &'static str,
        /// In the file.
        got: String,
    },
    /// Not a genesis hash.
    #[error("chain.genesis = {got:?} is no genesis hash; `anchor-tool genesis --url URL` prints a cluster's")]
    Genesis {
        /// In the file.
        got: String,
    },
    /// A number that does not fit.
    #[error("contest {contest:?} has too many options")]
    Options {
        /// Contest.
        contest: String,
    },
    /// An enrolment that does not hold.
    #[error(transparent)]
    Enrolment(#[from] EnrolTrouble),
    /// A rule of the protocol.
    #[error("the election breaks a rule: {0}")]
    Manifest(#[from] ManifestRefusal),
}

/// As written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectionFile {
    title: String,
    #[serde(default = "english")]
    languages: Vec<String>,
    #[serde(default)]
    revote: RevoteName,
    opens: Option<Datetime>,
    closes: Option<Datetime>,
    trustees: Option<Vec<String>>,
    shards: Option<Vec<String>>,
    home: Option<String>,
    #[serde(default = "one")]
    lanes: u16,
    #[serde(default = "one_ballot")]
    tally_min: u64,
    chain: ChainSection,
    #[serde(default)]
    quorums: QuorumSection,
    contest: Vec<ContestSection>,
    #[serde(default)]
    style: Vec<StyleSection>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RevoteName {
    #[default]
    Last,
    First,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MethodName {
    SingleChoice,
    Approval,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainSection {
    cluster: String,
    genesis: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuorumSection {
    f: Option<u16>,
    c: Option<u16>,
    t: Option<u16>,
    s: Option<u16>,
    q: Option<u16>,
    w: Option<u16>,
    one_aggregate: Option<OneAggregate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OneAggregate {
    Threshold,
    Certificate,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContestSection {
    id: String,
    title: String,
    method: MethodName,
    options: Vec<String>,
    #[serde(default = "one")]
    min: u16,
    max: Option<u16>,
    #[serde(default)]
    blank: bool,
    #[serde(default = "one")]
    seats: u16,
    #[serde(default)]
    ties_by_lot: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StyleSection {
    id: String,
    contests: Vec<String>,
}

fn english() -> Vec<String> {
    vec!["en".into()]
}

const fn one() -> u16 {
    1
}

const fn one_ballot() -> u64 {
    1
}

impl ElectionFile {
    /// Reads the text.
    ///
    /// # Errors
    /// Not such a file, with line and column.
    pub fn parse(text: &str) -> Result<Self, ElectionFileRefusal> {
        toml::from_str(text).map_err(|error| ElectionFileRefusal::Toml(Box::new(error)))
    }

    /// The ids of the ballot styles: what a roll names. Without any, there is one, `all`.
    #[must_use]
    pub fn style_ids(&self) -> Vec<String> {
        if self.style.is_empty() { vec!["all".into()] } else { self.style.iter().map(|s| s.id.clone()).collect() }
    }

    /// The manifest, checked by every rule.
    ///
    /// # Errors
    /// [`ElectionFileRefusal`].
    pub fn manifest(&self, members: &Members, roll: RollCommitment) -> Result<Manifest, ElectionFileRefusal> {
        let mut trustees = Vec::new();
        for member in chosen(members, MemberRole::Trustee, self.trustees.as_deref(), "trustee init")? {
            trustees.push(TrusteeEntry {
                name: member.name.clone(),
                organisation: member.organisation.clone(),
                region: member.region.clone(),
                identity: member.identity_key()?,
                tls_pin: *member.pin()?.as_bytes(),
                address: member.address.clone(),
            });
        }
        let mut shards = Vec::new();
        for member in chosen(members, MemberRole::Shard, self.shards.as_deref(), "coordinator init")? {
            shards.push(ShardEntry {
                name: member.name.clone(),
                identity: member.identity_key()?,
                tls_pin: *member.pin()?.as_bytes(),
                address: member.address.clone(),
                public_address: member.public_address.clone(),
            });
        }
        let mut officials = Vec::new();
        for member in chosen(members, MemberRole::Official, None, "ceremony init")? {
            officials.push(OfficialEntry {
                name: member.name.clone(),
                identity: member.identity_key()?,
                tls_pin: *member.pin()?.as_bytes(),
            });
        }
        let home = match &self.home {
            None => Some(0),
            Some(name) => shards.iter().position(|shard| shard.name == *name),
        };
        let home = home.and_then(|at| u16::try_from(at.saturating_add(1)).ok());
        let home = home.ok_or_else(|| ElectionFileRefusal::Member {
            role: MemberRole::Shard,
            got: self.home.clone().unwrap_or_default(),
            known: shards.iter().map(|shard| shard.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let contests: Vec<Contest> = self.contest.iter().map(contest).collect::<Result<_, _>>()?;
        let manifest = Manifest {
            title: self.title.clone(),
            languages: self.languages.clone(),
            styles: self.styles(&contests)?,
            contests,
            roll,
            revote: match self.revote {
                RevoteName::Last => Revote::Last,
                RevoteName::First => Revote::First,
            },
            opens_not_before: moment("opens", self.opens.as_ref())?,
            closes_not_before: moment("closes", self.closes.as_ref())?,
            quorums: self.quorums(u16::try_from(trustees.len()).unwrap_or(u16::MAX)),
            trustees,
            shards,
            home: ShardIndex(home),
            officials,
            lanes: self.lanes,
            chain: Chain { cluster: self.chain.cluster.clone(), genesis: genesis(&self.chain.genesis)? },
            tally_min: self.tally_min,
        };
        manifest.validate()?;
        Ok(manifest)
    }

    fn styles(&self, contests: &[Contest]) -> Result<Vec<Style>, ElectionFileRefusal> {
        let index = |at: usize| ContestIndex(u16::try_from(at).unwrap_or(u16::MAX));
        if self.style.is_empty() {
            return Ok(vec![Style { id: "all".into(), contests: (0..contests.len()).map(index).collect() }]);
        }
        let mut styles = Vec::new();
        for style in &self.style {
            let mut indices = Vec::new();
            for got in &style.contests {
                let at = contests.iter().position(|contest| contest.id == *got);
                let at = at.ok_or_else(|| ElectionFileRefusal::Contest {
                    style: style.id.clone(),
                    got: got.clone(),
                    known: contests.iter().map(|contest| contest.id.as_str()).collect::<Vec<_>>().join(", "),
                })?;
                indices.push(index(at));
            }
            indices.sort_unstable();
            styles.push(Style { id: style.id.clone(), contests: indices });
        }
        Ok(styles)
    }

    fn quorums(&self, n: u16) -> Quorums {
        let QuorumSection { f, c, t, s, q, w, one_aggregate } = self.quorums;
        let mut quorums = Quorums::default_for(n);
        if let Some(f) = f {
            quorums.f = f;
            let most = n.saturating_add(f) / 2;
            let majority = most.saturating_add(1);
            (quorums.t, quorums.s, quorums.q, quorums.w) = (majority, majority, majority, majority);
        }
        quorums.c = c.unwrap_or(quorums.c);
        quorums.t = t.unwrap_or(quorums.t);
        quorums.s = s.or(t).unwrap_or(quorums.s);
        quorums.q = q.unwrap_or(quorums.q);
        quorums.w = w.unwrap_or(quorums.w);
        quorums.one_aggregate_by_certificate = one_aggregate == Some(OneAggregate::Certificate);
        quorums
    }
}

fn contest(section: &ContestSection) -> Result<Contest, ElectionFileRefusal> {
    let options = u16::try_from(section.options.len())
        .map_err(|_| ElectionFileRefusal::Options { contest: section.id.clone() })?;
    let (method, most) = match section.method {
        MethodName::SingleChoice => (Method::SingleChoice, 1),
        MethodName::Approval => (Method::Approval, options),
    };
    Ok(Contest {
        id: section.id.clone(),
        title: section.title.clone(),
        method,
        options: section.options.clone(),
        min: section.min,
        max: section.max.unwrap_or(most),
        blank: section.blank,
        seats: section.seats,
        ties_by_lot: section.ties_by_lot,
    })
}

fn chosen<'a>(
    members: &'a Members,
    role: MemberRole,
    names: Option<&[String]>,
    command: &'static str,
) -> Result<Vec<&'a Enrolment>, ElectionFileRefusal> {
    let all: Vec<&Enrolment> = members.of_role(role).collect();
    if all.is_empty() {
        return Err(ElectionFileRefusal::Nobody { role, command });
    }
    let Some(names) = names else { return Ok(all) };
    let find = |got: &String| {
        all.iter().find(|member| member.name == *got).copied().ok_or_else(|| ElectionFileRefusal::Member {
            role,
            got: got.clone(),
            known: all.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    };
    names.iter().map(find).collect()
}

fn genesis(text: &str) -> Result<Hash, ElectionFileRefusal> {
    let text = if text == "devnet" { DEVNET_GENESIS } else { text };
    let bytes = bs58::decode(text).into_vec().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| ElectionFileRefusal::Genesis { got: text.to_owned() })
}

/// Milliseconds since 1970; without a moment, 0: any time will do.
fn moment(key: &'static str, at: Option<&Datetime>) -> Result<TimeMs, ElectionFileRefusal> {
    let Some(at) = at else { return Ok(TimeMs(0)) };
    let refused = || ElectionFileRefusal::Time { key, got: at.to_string() };
    let (Some(date), Some(time), Some(offset)) = (at.date, at.time, at.offset) else { return Err(refused()) };
    let east_minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let minutes = (days * 24 + i64::from(time.hour)) * 60 + i64::from(time.minute) - east_minutes;
    let ms = (minutes * 60 + i64::from(time.second)) * 1000 + i64::from(time.nanosecond) / 1_000_000;
    u64::try_from(ms).map(TimeMs).map_err(|_| refused())
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::pin::SpkiPin;

    fn members(trustees: u8) -> Members {
        let mut members = Members::default();
        let mut add = |name: String, role, seed: u8| {
            let tls = [seed.wrapping_add(100); 32];
            let member = Enrolment {
                name,
                role,
                organisation: "org".into(),
                region: "eu".into(),
                identity: hex::encode([seed; 32]),
                tls_public: hex::encode(tls),
                tls_pin: SpkiPin::of_ed25519(&tls).to_string(),
                address: format!("h{seed}:1"),
                public_address: format!("h{seed}:2"),
            };
            members.add(member, false).unwrap();
        };
        for at in 1..=trustees {
            add(format!("trustee-{at}"), MemberRole::Trustee, at);
        }
        add("shard-a".into(), MemberRole::Shard, 50);
        add("shard-b".into(), MemberRole::Shard, 51);
        add("official".into(), MemberRole::Official, 60);
        members
    }

    fn roll() -> RollCommitment {
        RollCommitment { voters: 10, weight_total: 10, digest: [7; 32] }
    }

    fn manifest(text: &str) -> Result<Manifest, ElectionFileRefusal> {
        ElectionFile::parse(text)?.manifest(&members(4), roll())
    }

    const SMALL: &str = "title = \"T\"\n[chain]\ncluster = \"local\"\ngenesis = \"devnet\"\n[[contest]]\nid = \"c\"\n\
        title = \"C\"\nmethod = \"single-choice\"\noptions = [\"a\", \"b\"]\n";

    #[test]
    fn the_template_is_an_election() {
        let manifest = manifest(TEMPLATE).unwrap();
        assert_eq!(manifest.quorums, Quorums::default_for(4));
        assert_eq!(manifest.styles.len(), 2);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let manifest = manifest(SMALL).unwrap();
        assert_eq!((manifest.n(), manifest.home, manifest.lanes, manifest.styles.len()), (4, ShardIndex(1), 1, 1));
        assert_eq!((manifest.contests[0].min, manifest.contests[0].max), (1, 1));
        assert_eq!(manifest.opens_not_before, TimeMs(0));
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-21T12:00:00+01:00", 1_795_258_800),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let at: Datetime = text.parse().unwrap();
            assert_eq!(moment("opens", Some(&at)).unwrap(), TimeMs(seconds * 1000), "{text}");
        }
        let local: Datetime = "2026-11-21T12:00:00".parse().unwrap();
        assert!(matches!(moment("opens", Some(&local)), Err(ElectionFileRefusal::Time { key: "opens", .. })));
        let early: Datetime = "1969-11-21T12:00:00Z".parse().unwrap();
        assert!(moment("opens", Some(&early)).is_err());
    }

    #[test]
    fn every_bad_file_is_refused_by_name() {
        let with = |line: &str| manifest(&format!("{line}\n{SMALL}")).unwrap_err();
        let unknown = with("colour = 1").to_string();
        assert!(unknown.contains("colour") && unknown.contains("line 1"), "{unknown}");
        assert!(matches!(with("trustees = [\"nobody\"]"), ElectionFileRefusal::Member { .. }));
        assert!(matches!(with("home = \"shard-z\""), ElectionFileRefusal::Member { .. }));
        assert!(matches!(with("opens = 2026-01-01"), ElectionFileRefusal::Time { key: "opens", .. }));
        assert!(matches!(with("lanes = 0"), ElectionFileRefusal::Manifest(ManifestRefusal::Count { .. })));
        let quorum = manifest(&format!("{SMALL}[quorums]\nq = 2\n")).unwrap_err();
        assert!(matches!(quorum, ElectionFileRefusal::Manifest(ManifestRefusal::Quorum(_))), "{quorum}");
        let style = manifest(&format!("{SMALL}[[style]]\nid = \"s\"\ncontests = [\"x\"]\n")).unwrap_err();
        assert!(matches!(style, ElectionFileRefusal::Contest { .. }), "{style}");
        let genesis = manifest(&SMALL.replace("\"devnet\"", "\"0OIl\"")).unwrap_err();
        assert!(matches!(genesis, ElectionFileRefusal::Genesis { .. }), "{genesis}");
        let nobody = ElectionFile::parse(SMALL).unwrap().manifest(&Members::default(), roll()).unwrap_err();
        assert!(matches!(nobody, ElectionFileRefusal::Nobody { role: MemberRole::Trustee, .. }), "{nobody}");
    }

    #[test]
    fn the_quorums_that_are_given_are_taken() {
        let seven = members(7);
        let text = format!("{SMALL}[quorums]\nf = 1\nt = 4\n");
        let quorums = ElectionFile::parse(&text).unwrap().quorums(7);
        assert_eq!(quorums, Quorums { f: 1, c: 0, t: 4, s: 4, q: 5, w: 5, one_aggregate_by_certificate: false });
        assert!(matches!(
            ElectionFile::parse(&text).unwrap().manifest(&seven, roll()),
            Err(ElectionFileRefusal::Manifest(ManifestRefusal::Quorum(_)))
        ));
        let set = text + "one_aggregate = \"certificate\"\n";
        ElectionFile::parse(&set).unwrap().manifest(&seven, roll()).unwrap();
    }
}
