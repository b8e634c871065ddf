//! The manifest: everything about an election that is fixed before it begins, validated once, hashed into
//! everything. (P-MAN)
//!
//! A [`Manifest`] that exists has passed [`Manifest::validate`]: quorums obey section P-QUO, contests are answerable,
//! identities and pins are distinct. Its id is the hash of its canonical bytes.

use crate::{
    encoding::{Canonical, DecodeError, Hash, digest, label},
    ids::{ContestIndex, ElectionId, IdentityKey, OptionIndex, ShardIndex, StyleIndex, TimeMs, TrusteeIndex},
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};

mod quorums;
pub use quorums::{QuorumRefusal, Quorums};

/// The one suite; named in the manifest, never negotiated. (P-SUI)
pub const SUITE: &str = "conclave-v1/ristretto255/frost-ed25519-sha512/sr25519-vrf/hpke-x25519/rfc6962";

/// Bounds of a manifest.
pub mod bounds {
    /// Trustees.
    pub const TRUSTEES_MAX: usize = 100;
    /// Coordinator shards.
    pub const SHARDS_MAX: usize = 1000;
    /// Officials.
    pub const OFFICIALS_MAX: usize = 100;
    /// Contests.
    pub const CONTESTS_MAX: usize = 256;
    /// Options of a contest.
    pub const OPTIONS_MAX: usize = 256;
    /// Ballot styles.
    pub const STYLES_MAX: usize = 4096;
    /// Lanes.
    pub const LANES_MAX: u16 = 1024;
    /// Bytes of any text.
    pub const TEXT_BYTES_MAX: usize = 1000;
    /// Sum of all voters' weights: bounds the discrete logarithm of the tally.
    pub const WEIGHT_TOTAL_MAX: u64 = 1 << 40;
}

/// How a contest's marks become an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// At most one option; most votes wins.
    SingleChoice,
    /// Between `min` and `max` options; most approvals win.
    Approval,
}

/// What happens to a second ballot under one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revote {
    /// The last one in the log counts.
    Last,
    /// The first one counts; later ones are refused.
    First,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// Short, unique.
    pub id: String,
    /// As shown to voters.
    pub title: String,
    /// How it is counted.
    pub method: Method,
    /// As shown to voters, in order, distinct.
    pub options: Vec<String>,
    /// Fewest marks of a ballot that is not blank.
    pub min: u16,
    /// Most marks.
    pub max: u16,
    /// Whether a ballot without marks is allowed. Needs `min <= 1`.
    pub blank: bool,
    /// How many options win.
    pub seats: u16,
    /// Whether ties are broken by the trustees' lots. Otherwise they are shown as ties.
    pub ties_by_lot: bool,
}

impl Contest {
    /// The fewest marks that the ballot proof must allow: 0 where a blank is allowed.
    #[must_use]
    pub fn marks_min(&self) -> u16 {
        if self.blank { 0 } else { self.min }
    }
    /// An option by its text.
    #[must_use]
    pub fn option(&self, text: &str) -> Option<OptionIndex> {
        self.options.iter().position(|option| option == text).and_then(|at| u16::try_from(at).ok()).map(OptionIndex)
    }
}

/// Which contests the voters of one area have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Short, unique.
    pub id: String,
    /// Strictly ascending, at least one.
    pub contests: Vec<ContestIndex>,
}

/// The voter roll that the manifest commits to: see [`crate::roll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollCommitment {
    /// Entries.
    pub voters: u64,
    /// Sum of weights.
    pub weight_total: u64,
    /// Hash of the canonical roll.
    pub digest: Hash,
}

/// One trustee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrusteeEntry {
    /// Unique.
    pub name: String,
    /// Who they answer to.
    pub organisation: String,
    /// Where the daemon runs.
    pub region: String,
    /// Signs envelopes.
    pub identity: IdentityKey,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_pin: Hash,
    /// `host:port` of the daemon.
    pub address: String,
}

/// One coordinator shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEntry {
    /// Unique.
    pub name: String,
    /// Signs receipts, checkpoints and requests.
    pub identity: IdentityKey,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_pin: Hash,
    /// `host:port` for trustees, shards and officials.
    pub address: String,
    /// `host:port` for voters and the public.
    pub public_address: String,
}

/// One official.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficialEntry {
    /// Unique.
    pub name: String,
    /// Signs the manifest and requests.
    pub identity: IdentityKey,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_pin: Hash,
}

/// The chain on which the election is anchored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// For people: `devnet`, `local`.
    pub cluster: String,
    /// The genesis hash, which is what decides.
    pub genesis: Hash,
}

/// An election, fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// As shown to everybody.
    pub title: String,
    /// Language tags, the first is the authoritative text's.
    pub languages: Vec<String>,
    /// Questions.
    pub contests: Vec<Contest>,
    /// Ballot styles.
    pub styles: Vec<Style>,
    /// Who may vote.
    pub roll: RollCommitment,
    /// Second ballots.
    pub revote: Revote,
    /// Trustees are not willing to open before this.
    pub opens_not_before: TimeMs,
    /// Trustees are not willing to close before this.
    pub closes_not_before: TimeMs,
    /// Trustees, in index order from 1.
    pub trustees: Vec<TrusteeEntry>,
    /// Sizes and quorums.
    pub quorums: Quorums,
    /// Shards, in index order from 1.
    pub shards: Vec<ShardEntry>,
    /// The shard that runs the election's stages and, until leases say otherwise, owns its lanes.
    pub home: ShardIndex,
    /// Officials, in index order from 1.
    pub officials: Vec<OfficialEntry>,
    /// Lanes of the log.
    pub lanes: u16,
    /// Where it is anchored.
    pub chain: Chain,
    /// Fewest counted ballots per contest for which trustees open a tally without an extra consent. (T12)
    pub tally_min: u64,
}

/// Why a manifest is refused. Each rule has its own error; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestRefusal {
    /// Not the canonical encoding.
    #[error("the manifest is not canonically encoded: {0}")]
    Encoding(#[from] DecodeError),
    /// Another suite.
    #[error("the manifest names another suite than this program's: it was made for another version")]
    Suite,
    /// A quorum rule.
    #[error(transparent)]
    Quorum(#[from] QuorumRefusal),
    /// A list that must not be empty, or is over its bound.
    #[error("{what}: {got} entries, expected {min} to {max}")]
    Count {
        /// List.
        what: &'static str,
        /// Found.
        got: usize,
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// Text that is empty, too long or holds control characters.
    #[error("{what} must be 1 to {max} bytes of text without control characters")]
    Text {
        /// Field.
        what: &'static str,
        /// Bound.
        max: usize,
    },
    /// Two entries share what must be unique.
    #[error("{what} occurs twice: entry {second} repeats an earlier one")]
    Duplicate {
        /// Field.
        what: &'static str,
        /// Position from 1 of the later one.
        second: usize,
    },
    /// A contest whose rule no ballot can meet.
    #[error("contest {contest}: {options} options with min {min}, max {max}, {seats} seats cannot be answered")]
    Marks {
        /// Position from 1.
        contest: usize,
        /// Options.
        options: usize,
        /// Fewest marks.
        min: u16,
        /// Most marks.
        max: u16,
        /// Winners.
        seats: u16,
    },
    /// A single-choice contest with more than one mark.
    #[error("contest {contest}: single choice needs max = 1; use approval for more")]
    SingleChoice {
        /// Position from 1.
        contest: usize,
    },
    /// Blank allowed with min over 1: the range of marks would have a hole.
    #[error("contest {contest}: a blank ballot can only be allowed where min is 0 or 1, found min {min}")]
    BlankWithMin {
        /// Position from 1.
        contest: usize,
        /// Fewest marks.
        min: u16,
    },
    /// A style that names no or an unknown contest, or is out of order.
    #[error("ballot style {style}: contests must be known, strictly ascending, at least one")]
    Style {
        /// Position from 1.
        style: usize,
    },
    /// A contest that no style has.
    #[error("contest {contest} is in no ballot style")]
    Orphan {
        /// Position from 1.
        contest: usize,
    },
    /// Close before open.
    #[error("the election would close before it opens")]
    Times,
    /// An empty roll, or one too heavy.
    #[error("the voter roll has {voters} voters with weight {weight_total}; at least 1 and at most {max} is allowed")]
    Roll {
        /// Entries.
        voters: u64,
        /// Sum.
        weight_total: u64,
        /// Bound.
        max: u64,
    },
    /// The home shard is not on the list.
    #[error("the home shard {got} is not one of the {shards} shards")]
    Home {
        /// Named.
        got: u16,
        /// How many there are.
        shards: usize,
    },
}

impl Manifest {
    /// The election's identity. (P-MAN-1)
    #[must_use]
    pub fn id(&self) -> ElectionId {
        ElectionId(digest(label::ELECTION, &self.to_bytes()))
    }

    /// Decodes and validates.
    ///
    /// # Errors
    /// [`ManifestRefusal`].
    pub fn open(bytes: &[u8]) -> Result<Self, ManifestRefusal> {
        let manifest = Self::from_bytes(bytes)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Applies every rule of P-MAN-2 and P-QUO.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ManifestRefusal> {
        use bounds::{
            CONTESTS_MAX, LANES_MAX, OFFICIALS_MAX, OPTIONS_MAX, SHARDS_MAX, STYLES_MAX, TRUSTEES_MAX, WEIGHT_TOTAL_MAX,
        };
        text("the title", &self.title)?;
        count("languages", self.languages.len(), 1, 50)?;
        unique("language", self.languages.iter())?;
        for language in &self.languages {
            text("a language", language)?;
        }
        count("trustees", self.trustees.len(), 1, TRUSTEES_MAX)?;
        count("shards", self.shards.len(), 1, SHARDS_MAX)?;
        count("officials", self.officials.len(), 1, OFFICIALS_MAX)?;
        count("contests", self.contests.len(), 1, CONTESTS_MAX)?;
        count("ballot styles", self.styles.len(), 1, STYLES_MAX)?;
        count("lanes", self.lanes.into(), 1, LANES_MAX.into())?;
        self.quorums.validate(u16::try_from(self.trustees.len()).unwrap_or(u16::MAX))?;

        for (contest, at) in self.contests.iter().zip(1..) {
            text("a contest's id", &contest.id)?;
            text("a contest's title", &contest.title)?;
            count("options", contest.options.len(), 1, OPTIONS_MAX)?;
            for option in &contest.options {
                text("an option", option)?;
            }
            unique("option", contest.options.iter())?;
            let options = contest.options.len();
            let (min, max, seats) = (contest.min, contest.max, contest.seats);
            if max == 0 || min > max || usize::from(max) > options || seats == 0 || usize::from(seats) > options {
                return Err(ManifestRefusal::Marks { contest: at, options, min, max, seats });
            }
            if contest.method == Method::SingleChoice && max != 1 {
                return Err(ManifestRefusal::SingleChoice { contest: at });
            }
            if contest.blank && min > 1 {
                return Err(ManifestRefusal::BlankWithMin { contest: at, min });
            }
        }
        unique("contest id", self.contests.iter().map(|contest| &contest.id))?;

        let mut seen = BTreeSet::new();
        for (style, at) in self.styles.iter().zip(1..) {
            text("a style's id", &style.id)?;
            let known = style.contests.iter().all(|index| usize::from(index.0) < self.contests.len());
            let ascending = style.contests.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
            if style.contests.is_empty() || !known || !ascending {
                return Err(ManifestRefusal::Style { style: at });
            }
            seen.extend(style.contests.iter().map(|index| index.0));
        }
        unique("style id", self.styles.iter().map(|style| &style.id))?;
        if let Some((_, contest)) = (0u16..).zip(1..=self.contests.len()).find(|(index, _)| !seen.contains(index)) {
            return Err(ManifestRefusal::Orphan { contest });
        }

        if self.closes_not_before < self.opens_not_before {
            return Err(ManifestRefusal::Times);
        }
        let RollCommitment { voters, weight_total, .. } = self.roll;
        if voters == 0 || weight_total < voters || weight_total > WEIGHT_TOTAL_MAX {
            return Err(ManifestRefusal::Roll { voters, weight_total, max: WEIGHT_TOTAL_MAX });
        }
        if self.home.0 == 0 || usize::from(self.home.0) > self.shards.len() {
            return Err(ManifestRefusal::Home { got: self.home.0, shards: self.shards.len() });
        }
        self.validate_people()
    }

    fn validate_people(&self) -> Result<(), ManifestRefusal> {
        for trustee in &self.trustees {
            text("a trustee's name", &trustee.name)?;
            text("a trustee's organisation", &trustee.organisation)?;
            text("a trustee's region", &trustee.region)?;
            text("a trustee's address", &trustee.address)?;
        }
        for shard in &self.shards {
            text("a shard's name", &shard.name)?;
            text("a shard's address", &shard.address)?;
            text("a shard's public address", &shard.public_address)?;
        }
        for official in &self.officials {
            text("an official's name", &official.name)?;
        }
        text("the cluster", &self.chain.cluster)?;
        let names = self.trustees.iter().map(|t| &t.name);
        let names = names.chain(self.shards.iter().map(|s| &s.name)).chain(self.officials.iter().map(|o| &o.name));
        unique("name", names)?;
        let keys = self.trustees.iter().map(|t| t.identity);
        let keys = keys.chain(self.shards.iter().map(|s| s.identity)).chain(self.officials.iter().map(|o| o.identity));
        unique("identity key", keys)?;
        let pins = self.trustees.iter().map(|t| t.tls_pin);
        let pins = pins.chain(self.shards.iter().map(|s| s.tls_pin)).chain(self.officials.iter().map(|o| o.tls_pin));
        unique("TLS pin", pins)
    }

    /// How many trustees there are.
    #[must_use]
    pub fn n(&self) -> u16 {
        u16::try_from(self.trustees.len()).unwrap_or(u16::MAX)
    }
    /// All trustee indices, 1 to n.
    pub fn trustee_indices(&self) -> impl Iterator<Item = TrusteeIndex> + use<> {
        (1..=self.n()).map(TrusteeIndex)
    }
    /// A trustee.
    #[must_use]
    pub fn trustee(&self, index: TrusteeIndex) -> Option<&TrusteeEntry> {
        self.trustees.get(usize::from(index.0).checked_sub(1)?)
    }
    /// A shard.
    #[must_use]
    pub fn shard(&self, index: ShardIndex) -> Option<&ShardEntry> {
        self.shards.get(usize::from(index.0).checked_sub(1)?)
    }
    /// The home shard. A validated manifest has one.
    #[must_use]
    pub fn home_shard(&self) -> Option<&ShardEntry> {
        self.shard(self.home)
    }
    /// A contest.
    #[must_use]
    pub fn contest(&self, index: ContestIndex) -> Option<&Contest> {
        self.contests.get(usize::from(index.0))
    }
    /// A ballot style.
    #[must_use]
    pub fn style(&self, index: StyleIndex) -> Option<&Style> {
        self.styles.get(usize::from(index.0))
    }
    /// A style by its id.
    #[must_use]
    pub fn style_named(&self, id: &str) -> Option<StyleIndex> {
        self.styles.iter().position(|style| style.id == id).and_then(|at| u16::try_from(at).ok()).map(StyleIndex)
    }
    /// The trustee with this identity key.
    #[must_use]
    pub fn trustee_with_key(&self, key: &IdentityKey) -> Option<TrusteeIndex> {
        (1..).zip(&self.trustees).find(|(_, t)| t.identity == *key).map(|(at, _)| TrusteeIndex(at))
    }
}

fn text(what: &'static str, text: &str) -> Result<(), ManifestRefusal> {
    let max = bounds::TEXT_BYTES_MAX;
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(ManifestRefusal::Text { what, max });
    }
    Ok(())
}

fn count(what: &'static str, got: usize, min: usize, max: usize) -> Result<(), ManifestRefusal> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(ManifestRefusal::Count { what, got, min, max }) }
}

fn unique<T: Ord>(what: &'static str, items: impl Iterator<Item = T>) -> Result<(), ManifestRefusal> {
    let mut seen = BTreeSet::new();
    for (item, second) in items.zip(1..) {
        if !seen.insert(item) {
            return Err(ManifestRefusal::Duplicate { what, second });
        }
    }
    Ok(())
}

mod encoding;
#[cfg(test)]
pub(crate) mod tests;
