//! One election's cast: manifest, roll, keys and what everybody is going to vote, all drawn from the seed.

use crate::{Dice, profile::Profile};
use ed25519_dalek::SigningKey;
use protocol::{
    board::{ChainIntent, Transactions},
    encoding::{Canonical as _, Writer},
    ids::{ContestIndex, Credential, ElectionId, IdentityKey, OptionIndex, ShardIndex, StyleIndex, TimeMs, Weight},
    manifest::{Chain, Contest, Manifest, Method, OfficialEntry, Quorums, Revote, ShardEntry, Style, TrusteeEntry},
    roll::{Roll, RollEntry},
};
use rand_core::{RngCore as _, SeedableRng as _};
use std::sync::Arc;

/// Officials of an election: one does the work, another stands by.
const OFFICIALS: u16 = 2;

/// What one voter is going to do.
#[derive(Debug, Clone)]
pub struct VoterPlan {
    /// Credential.
    pub key: SigningKey,
    /// On the roll at all?
    pub listed: bool,
    /// Style on the roll.
    pub style: StyleIndex,
    /// Weight on the roll.
    pub weight: u64,
    /// What it casts, in order; usually one.
    pub casts: Vec<CastPlan>,
}

/// One ballot to be cast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CastPlan {
    /// A good ballot with these options marked in each contest of the style.
    Good(Vec<Vec<OptionIndex>>),
    /// The same bytes once more.
    Again,
    /// Bytes that are no ballot.
    Rubbish,
    /// A good ballot with one byte changed.
    Bent(Vec<Vec<OptionIndex>>),
    /// Another voter's ballot, as it was sent.
    Stolen,
    /// Another voter's ciphertexts under this voter's credential.
    Copied,
    /// A ballot of a style that is not this voter's.
    OtherStyle,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Setup {
    /// Seed of the run.
    pub seed: u64,
    /// Manifest.
    pub manifest: Arc<Manifest>,
    /// Its hash.
    pub election: ElectionId,
    /// Roll.
    pub roll: Arc<Roll>,
    /// Identity keys by index, from 1.
    pub trustees: Vec<SigningKey>,
    /// The home shard's.
    pub shard: SigningKey,
    /// The officials'.
    pub officials: Vec<SigningKey>,
    /// Voters, those who are on no roll too.
    pub voters: Vec<VoterPlan>,
    /// How hard a life.
    pub profile: Profile,
}

fn key(dice: &mut Dice) -> SigningKey {
    let mut bytes = [0; 32];
    dice.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

fn identity(key: &SigningKey) -> IdentityKey {
    IdentityKey(key.verifying_key().to_bytes())
}

/// Uniform below `bound`, well enough for tests.
pub fn below(dice: &mut Dice, bound: u64) -> u64 {
    if bound == 0 { 0 } else { dice.next_u64() % bound }
}

/// True with probability `per_mille / 1000`.
pub fn chance(dice: &mut Dice, per_mille: u64) -> bool {
    per_mille > 0 && below(dice, 1000) < per_mille
}

fn quorums(dice: &mut Dice, n: u16) -> Quorums {
    let default = Quorums::default_for(n);
    if !chance(dice, 300) {
        return default;
    }
    // A legal variant, if one is drawn soon.
    for _ in 0..20 {
        let mut any = || u16::try_from(below(dice, n.into())).unwrap_or(0) + 1;
        let quorums = Quorums { t: any(), s: any(), q: any(), w: any(), ..default };
        if quorums.validate(n).is_ok() {
            return quorums;
        }
        let certified = Quorums { one_aggregate_by_certificate: true, ..quorums };
        if certified.validate(n).is_ok() {
            return certified;
        }
    }
    default
}

fn marks(dice: &mut Dice, contest: &Contest) -> Vec<OptionIndex> {
    let most = u64::from(contest.max);
    let least = u64::from(contest.marks_min());
    let count = least + below(dice, most - least + 1);
    let options = u64::try_from(contest.options.len()).unwrap_or(0);
    let mut all: Vec<u16> = (0..options).filter_map(|at| u16::try_from(at).ok()).collect();
    let mut chosen = Vec::new();
    for _ in 0..count {
        let at = usize::try_from(below(dice, all.len() as u64)).unwrap_or(0);
        chosen.push(OptionIndex(all.remove(at)));
    }
    chosen.sort_unstable();
    chosen
}

impl Setup {
    /// Draws everything.
    ///
    /// # Panics
    /// If what is drawn is no legal manifest: a defect of this function.
    #[must_use]
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut dice = Dice::seed_from_u64(seed ^ 0x5e7u64.rotate_left(40));
        let n: u16 = match (profile.trustees, below(&mut dice, 20)) {
            (Some(n), _) => n,
            (None, 0..=13) => 4,
            (None, 14 | 15) => 5,
            (None, 16) => 7,
            (None, _) => 3,
        };
        let trustees: Vec<_> = (0..n).map(|_| key(&mut dice)).collect();
        let shard = key(&mut dice);
        let officials: Vec<_> = (0..OFFICIALS).map(|_| key(&mut dice)).collect();
        let contests = Self::contests(&mut dice);
        let styles = Self::styles(contests.len(), &mut dice);
        let ballots = profile.ballots.unwrap_or_else(|| 10 + below(&mut dice, 21));
        let voters: Vec<VoterPlan> =
            (0..ballots).map(|at| Self::voter(at, &contests, &styles, &profile, &mut dice)).collect();
        let listed = voters.iter().filter(|voter| voter.listed);
        let entries = listed.map(|voter| RollEntry {
            credential: Credential(voter.key.verifying_key().to_bytes()),
            style: voter.style,
            weight: Weight(voter.weight),
        });
        let roll = Roll::new(entries.collect(), styles.len()).expect("a sound roll");
        let manifest = Manifest {
            title: format!("Simulated election {seed}"),
            languages: vec!["en".into()],
            contests,
            styles,
            roll: roll.commitment(),
            revote: if chance(&mut dice, 700) { Revote::Last } else { Revote::First },
            opens_not_before: TimeMs(below(&mut dice, 3) * 700),
            closes_not_before: TimeMs(2100 + below(&mut dice, 3) * 1500),
            trustees: trustees
                .iter()
                .zip(1u8..)
                .map(|(key, at)| TrusteeEntry {
                    name: format!("trustee-{at}"),
                    organisation: "o".into(),
                    region: "r".into(),
                    identity: identity(key),
                    tls_pin: [at; 32],
                    address: "127.0.0.1:1".into(),
                })
                .collect(),
            quorums: quorums(&mut dice, n),
            shards: vec![ShardEntry {
                name: "shard-1".into(),
                identity: identity(&shard),
                tls_pin: [200; 32],
                address: "127.0.0.1:1".into(),
                public_address: "127.0.0.1:2".into(),
            }],
            home: ShardIndex(1),
            officials: officials
                .iter()
                .zip(1u8..)
                .map(|(key, at)| OfficialEntry {
                    name: format!("official-{at}"),
                    identity: identity(key),
                    tls_pin: [200 + at; 32],
                })
                .collect(),
            lanes: 1 + u16::from(chance(&mut dice, 400)),
            chain: Chain { cluster: "simulated".into(), genesis: [1; 32] },
            tally_min: 1,
        };
        manifest.validate().expect("a sound manifest");
        let election = manifest.id();
        let (manifest, roll) = (Arc::new(manifest), Arc::new(roll));
        Self { seed, manifest, election, roll, trustees, shard, officials, voters, profile }
    }

    fn contests(dice: &mut Dice) -> Vec<Contest> {
        let contest = |id: &str, method, options: &[&str], min, max, blank| Contest {
            id: id.into(),
            title: id.into(),
            method,
            options: options.iter().map(|option| (*option).into()).collect(),
            min,
            max,
            blank,
            seats: 1,
            ties_by_lot: true,
        };
        let chair = contest("chair", Method::SingleChoice, &["Ada", "Emmy", "Sofia"], 1, 1, chance(dice, 500));
        if chance(dice, 600) {
            return vec![chair];
        }
        let council = contest("council", Method::Approval, &["North", "South"], 0, 2, false);
        vec![chair, council]
    }

    fn styles(contests: usize, dice: &mut Dice) -> Vec<Style> {
        let all = (0..contests).filter_map(|at| u16::try_from(at).ok()).map(ContestIndex).collect();
        let mut styles = vec![Style { id: "all".into(), contests: all }];
        if contests > 1 && chance(dice, 500) {
            styles.push(Style { id: "one".into(), contests: vec![ContestIndex(1)] });
        }
        styles
    }

    fn voter(at: u64, contests: &[Contest], styles: &[Style], profile: &Profile, dice: &mut Dice) -> VoterPlan {
        // The first three are always well-behaved: an election needs a ballot.
        let odd = at > 2 && chance(dice, profile.odd_voters);
        let style = usize::try_from(below(dice, styles.len() as u64)).unwrap_or(0);
        let mut good = || {
            let of_style = styles[style].contests.iter();
            CastPlan::Good(of_style.map(|contest| marks(dice, &contests[usize::from(contest.0)])).collect())
        };
        let first = good();
        let (mut listed, mut casts) = (true, vec![first.clone()]);
        if odd {
            let second = good();
            match below(dice, 9) {
                0 | 1 => casts.push(second),
                2 => casts.push(CastPlan::Again),
                3 => casts = vec![CastPlan::Rubbish, first],
                4 => {
                    let CastPlan::Good(choices) = second else { unreachable!("it is good") };
                    casts = vec![CastPlan::Bent(choices), first];
                }
                5 => casts.push(CastPlan::Stolen),
                6 => casts = vec![CastPlan::Copied, first],
                7 => casts.push(CastPlan::OtherStyle),
                _ => listed = false,
            }
        }
        let weight = 1 + below(dice, 3);
        let style = StyleIndex(u16::try_from(style).unwrap_or(0));
        VoterPlan { key: key(dice), listed, style, weight, casts }
    }

    /// Trustees.
    #[must_use]
    pub fn n(&self) -> u16 {
        self.manifest.n()
    }
}

/// Transactions as the simulated chain has them: distinct bytes for distinct intents, and readable again.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedChain;

impl Transactions for SimulatedChain {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        let mut out = Writer::new();
        match intent {
            ChainIntent::CreateNonce { group, seed, lamports, recent_blockhash } => {
                out.u8(1).raw(group).text(seed).u64(*lamports).raw(recent_blockhash);
            }
            ChainIntent::Memo { group, seed, nonce, text } => {
                out.u8(2).raw(group).text(seed).raw(nonce).text(text);
            }
        }
        Some(out.finish())
    }
}

/// Reads a transaction again.
#[must_use]
pub fn read_transaction(bytes: &[u8]) -> Option<ChainIntent> {
    let mut input = protocol::encoding::Reader::new(bytes);
    let kind = input.u8().ok()?;
    let group = input.array().ok()?;
    let seed = input.text("seed", 100).ok()?;
    let intent = match kind {
        1 => {
            ChainIntent::CreateNonce { group, seed, lamports: input.u64().ok()?, recent_blockhash: input.array().ok()? }
        }
        2 => ChainIntent::Memo { group, seed, nonce: input.array().ok()?, text: input.text("memo", 1000).ok()? },
        _ => return None,
    };
    input.finish().ok()?;
    Some(intent)
}

/// An id for a public thing, short enough to read.
#[must_use]
pub fn short(hash: &[u8]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of an envelope's identity: its signature, which covers everything.
#[must_use]
pub fn same_envelope(one: &protocol::signed::Envelope, other: &protocol::signed::Envelope) -> bool {
    one.signature == other.signature && one.to_bytes() == other.to_bytes()
}
