//! What the operator sees: read from the data folder, whether or not the daemon runs, folded by the same rules.

use std::path::Path;
use std::sync::Arc;

use protocol::ids::{ElectionId, IdentityKey, TimeMs};
use protocol::keeper::{Decision, Keeper};
use protocol::manifest::{Manifest, Method, Revote};
use protocol::roll::Roll;
use protocol::signed::Sender;
use serde::Serialize;

use crate::config::Config;
use crate::decision;
use crate::election::{RestoreTrouble, refold};
use crate::store::{Store, StoreTrouble, StoredDecision};

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewTrouble {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// What is in it.
    #[error(transparent)]
    Restore(Box<RestoreTrouble>),
    /// No such election.
    #[error("no election begins with {asked:?}; {known}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// More than one.
    #[error("{count} elections begin with {asked:?}: write more of the id")]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// How many.
        count: usize,
    },
}

impl From<RestoreTrouble> for ViewTrouble {
    fn from(trouble: RestoreTrouble) -> Self {
        Self::Restore(Box::new(trouble))
    }
}

/// One election, as it stands here.
#[derive(Debug, Clone, Serialize)]
pub struct ElectionView {
    /// Id, hexadecimal.
    pub election_id: String,
    /// Title of the manifest.
    pub title: String,
    /// Stage as the journal shows it.
    pub stage: String,
    /// `accepted`, `refused`, `undecided`, or a word that waits for the daemon.
    pub decision: String,
    /// What this trustee waits for.
    pub waiting: String,
    /// Whom the election waits for.
    pub awaiting: Vec<String>,
    /// Envelopes in the journal.
    pub journal: u64,
    /// Leaves followed, per lane.
    pub followed: Vec<u64>,
    /// Size of the newest co-signed checkpoint, per lane.
    pub cosigned: Vec<u64>,
    /// Proven wrongs, in words.
    pub evidence: Vec<String>,
    /// Contradictory checkpoints kept.
    pub forks: usize,
    /// Why nothing more is promised.
    pub halted: Option<String>,
    /// Digest of the key certificate, hexadecimal.
    pub key_certificate: Option<String>,
    /// Hash of the certified vote set, hexadecimal.
    pub vote_set: Option<String>,
}

/// An election of the store and its manifest.
pub type Found = (ElectionId, Manifest);

/// The data folder, opened for looking.
#[derive(Debug, Clone)]
pub struct View {
    store: Option<Store>,
}

impl View {
    /// Opens the store if there is one.
    ///
    /// # Errors
    /// [`ViewTrouble::Store`].
    pub async fn open(config: &Config) -> Result<Self, ViewTrouble> {
        Ok(Self { store: Store::look(&config.data).await? })
    }

    async fn manifests(&self) -> Result<Vec<Found>, ViewTrouble> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for (id, bytes) in store.elections().await? {
            let open = |source| RestoreTrouble::Manifest { election: id, source };
            out.push((id, Manifest::open(&bytes).map_err(open)?));
        }
        Ok(out)
    }

    /// The election whose id begins so.
    ///
    /// # Errors
    /// None or several.
    pub async fn find(&self, asked: &str) -> Result<Found, ViewTrouble> {
        let all = self.manifests().await?;
        let known = match all.as_slice() {
            [] => {
                "the daemon knows none yet: the shard sends the manifest once the official has made the election".into()
            }
            all => {
                let ids: Vec<_> = all.iter().map(|(id, manifest)| format!("{id} ({})", manifest.title)).collect();
                format!("known are {}", ids.join(", "))
            }
        };
        let wanted = asked.to_ascii_lowercase();
        let mut found: Vec<Found> =
            all.into_iter().filter(|(id, _)| !wanted.is_empty() && id.to_string().starts_with(&wanted)).collect();
        match (found.len(), found.pop()) {
            (1, Some(found)) => Ok(found),
            (0, _) => Err(ViewTrouble::Unknown { asked: asked.to_owned(), known }),
            (count, _) => Err(ViewTrouble::Ambiguous { asked: asked.to_owned(), count }),
        }
    }

    /// The operator's word as the daemon has kept it.
    ///
    /// # Errors
    /// [`ViewTrouble::Store`].
    pub async fn decision(&self, id: ElectionId) -> Result<Option<Decision>, ViewTrouble> {
        let Some(store) = &self.store else { return Ok(None) };
        Ok(store.decision(id).await?.map(|StoredDecision(decision)| decision))
    }

    /// What this trustee has said about the manifest on the record.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn said(
        &self,
        id: ElectionId,
        manifest: &Manifest,
        config: &Config,
    ) -> Result<Option<&'static str>, ViewTrouble> {
        let Some(store) = &self.store else { return Ok(None) };
        let keeper = self.keeper(store, id, manifest, config).await?.0;
        let me = Sender::Trustee(keeper.me());
        Ok([(2, "accepted"), (3, "refused")]
            .into_iter()
            .find(|(tag, _)| keeper.board().has(*tag, 0, 0, me))
            .map(|(_, said)| said))
    }

    async fn keeper(
        &self,
        store: &Store,
        id: ElectionId,
        manifest: &Manifest,
        config: &Config,
    ) -> Result<(Keeper, u64), ViewTrouble> {
        let identity = IdentityKey(config.expected.identity.unwrap_or_default());
        let me = manifest.trustee_with_key(&identity).unwrap_or_default();
        let mut keeper = Keeper::new(me, Arc::new(manifest.clone()));
        if let Some(StoredDecision(decision)) = store.decision(id).await? {
            keeper.decide(decision);
        }
        let roll = store.roll(id).await?;
        if let Ok(roll) = Roll::open(&roll, manifest) {
            keeper.set_roll(Arc::new(roll));
        }
        let journal = refold(&mut keeper, store, id).await?;
        Ok((keeper, journal))
    }

    /// All elections, as they stand here.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn elections(&self, config: &Config) -> Result<Vec<ElectionView>, ViewTrouble> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for (id, manifest) in self.manifests().await? {
            let (keeper, journal) = self.keeper(store, id, &manifest, config).await?;
            let mut followed = vec![0; manifest.lanes.into()];
            for (lane, size) in store.lane_sizes(id).await? {
                if let Some(followed) = followed.get_mut(usize::from(lane.0)) {
                    *followed = size.0;
                }
            }
            let mut cosigned = vec![0; manifest.lanes.into()];
            for entry in store.cosigned(id).await? {
                if let Some(cosigned) = cosigned.get_mut(usize::from(entry.lane.0)) {
                    *cosigned = entry.size.0;
                }
            }
            let board = keeper.board();
            let halted = store.halt(id).await?;
            out.push(ElectionView {
                election_id: id.to_string(),
                title: manifest.title.clone(),
                stage: board.stage().name().to_owned(),
                decision: self.decided(config, id, &keeper).await?,
                waiting: halted.clone().unwrap_or_else(|| keeper.waiting(TimeMs(runtime::clock::now_ms()))),
                awaiting: board
                    .awaiting()
                    .into_iter()
                    .map(|awaited| format!("{}: {}", awaited.who, awaited.what))
                    .collect(),
                journal,
                followed,
                cosigned,
                evidence: board.evidence().iter().map(|e| format!("{} {}", e.accused, e.wrong)).collect(),
                forks: store.evidence(id, "fork").await?.len(),
                halted,
                key_certificate: board.key_certificate().map(|certificate| hex::encode(certificate.digest())),
                vote_set: board.vote_set().map(hex::encode),
            });
        }
        Ok(out)
    }

    async fn decided(&self, config: &Config, id: ElectionId, keeper: &Keeper) -> Result<String, ViewTrouble> {
        let me = Sender::Trustee(keeper.me());
        let said = [(2, "accepted"), (3, "refused")].into_iter().find(|(tag, _)| keeper.board().has(*tag, 0, 0, me));
        if let Some((_, said)) = said {
            return Ok(said.to_owned());
        }
        if decision::waits(&config.data, &id) {
            return Ok("waits for the daemon".to_owned());
        }
        Ok(match self.decision(id).await? {
            Some(Decision::Accept) => "accepted, not on the record yet".to_owned(),
            Some(Decision::Refuse { .. }) => "refused, not on the record yet".to_owned(),
            None => "undecided".to_owned(),
        })
    }
}

/// Whether the folder has a database at all.
#[must_use]
pub fn has_store(data: &Path) -> bool {
    data.join(crate::store::FILE).exists()
}

/// All of a manifest, for the person who answers for a share.
#[must_use]
pub fn render_manifest(id: &ElectionId, manifest: &Manifest, config: &Config) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("Election   {}", manifest.title));
    line(format!("Id         {id}"));
    line(format!("Languages  {}", manifest.languages.join(", ")));
    line(format!("Opens      not before {}", time(manifest.opens_not_before)));
    line(format!("Closes     not before {}", time(manifest.closes_not_before)));
    let revote = match manifest.revote {
        Revote::Last => "the last ballot of a voter counts",
        Revote::First => "the first ballot of a voter counts, later ones are refused",
    };
    line(format!("Revoting   {revote}"));
    line(format!("Voters     {}, weights together {}", manifest.roll.voters, manifest.roll.weight_total));
    line(format!("Voter roll {}", hex::encode(manifest.roll.digest)));
    line(format!("Tally      only if at least {} ballots count", manifest.tally_min));
    line(format!("Log        {} lane(s)", manifest.lanes));
    line(format!("Anchored   on {}, genesis {}", manifest.chain.cluster, hex::encode(manifest.chain.genesis)));

    for (contest, number) in manifest.contests.iter().zip(1..) {
        line(String::new());
        line(format!("Contest {number}: {} ({})", contest.title, contest.id));
        let method = match contest.method {
            Method::SingleChoice => "single choice",
            Method::Approval => "approval",
        };
        let blank = if contest.blank { "blank allowed" } else { "no blank ballots" };
        let ties = if contest.ties_by_lot { "ties broken by lot" } else { "ties are shown as ties" };
        line(format!(
            "  {method}, {} to {} marks, {blank}, {} to be elected, {ties}",
            contest.min, contest.max, contest.seats
        ));
        for option in &contest.options {
            line(format!("  - {option}"));
        }
    }
    line(String::new());
    line("Ballot styles".to_owned());
    for style in &manifest.styles {
        let contests: Vec<&str> = style
            .contests
            .iter()
            .filter_map(|index| manifest.contest(*index))
            .map(|contest| contest.id.as_str())
            .collect();
        line(format!("  {}: {}", style.id, contests.join(", ")));
    }

    let quorums = &manifest.quorums;
    let n = manifest.n();
    line(String::new());
    line(format!("Trustees: {n}, of whom {} may lie and {} more may be gone", quorums.f, quorums.c));
    line(format!("  {} shares decrypt the sums (t)", quorums.t));
    line(format!("  {} shares sign on the chain (s)", quorums.s));
    line(format!("  {} signatures certify the vote set (q)", quorums.q));
    line(format!("  {} co-signatures make a receipt final (w)", quorums.w));
    if quorums.one_aggregate_by_certificate {
        line("  CAREFUL: that only one sum is ever opened rests on the vote-set certificate alone".to_owned());
    }
    let own = IdentityKey(config.expected.identity.unwrap_or_default());
    for trustee in &manifest.trustees {
        let me = trustee.identity == own;
        line(format!("  {}{}", trustee.name, if me { "  <- THIS TRUSTEE" } else { "" }));
        line(format!("    {}, {}, {}", trustee.organisation, trustee.region, trustee.address));
        line(format!("    identity {}", trustee.identity));
        line(format!("    TLS pin  {}", hex::encode(trustee.tls_pin)));
        if me {
            for (what, mine, theirs) in [
                ("name", &config.raw.name, &trustee.name),
                ("organisation", &config.raw.organisation, &trustee.organisation),
                ("region", &config.raw.region, &trustee.region),
                ("address", &config.raw.address, &trustee.address),
            ] {
                if mine != theirs {
                    line(format!("    DIFFERS: {what} is {mine:?} in this trustee's configuration"));
                }
            }
        }
    }
    line(String::new());
    line("Shards (they relay and store; they are trusted with nothing else)".to_owned());
    for (shard, number) in manifest.shards.iter().zip(1..) {
        let home = if manifest.home.0 == number { "  (runs this election)" } else { "" };
        line(format!("  {}{home}", shard.name));
        line(format!("    {}, public {}", shard.address, shard.public_address));
        line(format!("    identity {}", shard.identity));
        line(format!("    TLS pin  {}", hex::encode(shard.tls_pin)));
    }
    line(String::new());
    line("Officials".to_owned());
    for official in &manifest.officials {
        line(format!("  {}", official.name));
        line(format!("    identity {}", official.identity));
        line(format!("    TLS pin  {}", hex::encode(official.tls_pin)));
    }
    out
}

/// The same for machines.
#[must_use]
pub fn manifest_json(id: &ElectionId, manifest: &Manifest) -> serde_json::Value {
    use serde_json::json;
    let contests: Vec<_> = manifest
        .contests
        .iter()
        .map(|contest| {
            json!({
                "id": contest.id, "title": contest.title, "options": contest.options,
                "method": match contest.method { Method::SingleChoice => "single-choice", Method::Approval => "approval" },
                "min": contest.min, "max": contest.max, "blank": contest.blank, "seats": contest.seats,
                "ties_by_lot": contest.ties_by_lot,
            })
        })
        .collect();
    let styles: Vec<_> = manifest
        .styles
        .iter()
        .map(|style| json!({ "id": style.id, "contests": style.contests.iter().map(|c| c.0).collect::<Vec<_>>() }))
        .collect();
    let trustees: Vec<_> = manifest
        .trustees
        .iter()
        .map(|t| {
            json!({
                "name": t.name, "organisation": t.organisation, "region": t.region, "address": t.address,
                "identity": t.identity.to_string(), "tls_pin": hex::encode(t.tls_pin),
            })
        })
        .collect();
    let shards: Vec<_> = manifest
        .shards
        .iter()
        .map(|s| {
            json!({
                "name": s.name, "address": s.address, "public_address": s.public_address,
                "identity": s.identity.to_string(), "tls_pin": hex::encode(s.tls_pin),
            })
        })
        .collect();
    let officials: Vec<_> = manifest
        .officials
        .iter()
        .map(|o| json!({ "name": o.name, "identity": o.identity.to_string(), "tls_pin": hex::encode(o.tls_pin) }))
        .collect();
    let quorums = &manifest.quorums;
    json!({
        "election_id": id.to_string(), "title": manifest.title, "languages": manifest.languages,
        "opens_not_before_ms": manifest.opens_not_before.0, "closes_not_before_ms": manifest.closes_not_before.0,
        "revote": match manifest.revote { Revote::Last => "last", Revote::First => "first" },
        "roll": {
            "voters": manifest.roll.voters, "weight_total": manifest.roll.weight_total,
            "digest": hex::encode(manifest.roll.digest),
        },
        "tally_min": manifest.tally_min, "lanes": manifest.lanes,
        "chain": { "cluster": manifest.chain.cluster, "genesis": hex::encode(manifest.chain.genesis) },
        "quorums": {
            "n": manifest.n(), "f": quorums.f, "c": quorums.c, "t": quorums.t, "s": quorums.s, "q": quorums.q,
            "w": quorums.w, "one_aggregate_by_certificate": quorums.one_aggregate_by_certificate,
        },
        "contests": contests, "styles": styles, "trustees": trustees, "shards": shards, "home": manifest.home.0,
        "officials": officials,
    })
}

/// UTC, to the second (days from civil, Howard Hinnant).
fn time(at: TimeMs) -> String {
    let seconds = at.0 / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_219_199, "2026-11-20 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(time(TimeMs(seconds * 1000)), expected);
        }
    }
}
