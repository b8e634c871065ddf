//! What clients did and what they were told, compared with the record in the end. (invariants I06, I07, I12, I20)

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use protocol::{
    encoding::{Canonical as _, Hash},
    log::{Receipt, Rejection, leaf_hash},
};
use serde_json::{Value, json};

#[cfg(test)]
mod tests;

/// A contest of the chaos elections, and its options.
pub(crate) const CONTESTS: [(&str, &[&str]); 2] =
    [("chair", &["Ada", "Emmy", "Sofia"]), ("members", &["Grace", "Katherine", "Lise", "Rosalind"])];

/// Marks of a ballot: options of each contest.
pub(crate) type Marks = Vec<Vec<u16>>;

/// What a ballot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ballot {
    /// The voter, or whoever takes a voter's name in vain.
    pub(crate) voter: usize,
    /// Marks; `None` for what no rule allows to count.
    pub(crate) marks: Option<Marks>,
    /// As it is sent.
    pub(crate) bytes: Vec<u8>,
}

impl Ballot {
    /// Its id in receipts and rejections.
    #[must_use]
    pub(crate) fn leaf(&self) -> Hash {
        leaf_hash(&self.bytes)
    }
}

/// What somebody was told.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A receipt; its signature was checked.
    Recorded(Receipt),
    /// A signed rejection.
    Rejected(Rejection),
    /// Not recorded; come again.
    TryLater,
    /// Nobody knows.
    AskAgain,
    /// Not recorded, not judged.
    Refused(String),
    /// No answer; whether anything may have arrived.
    Nothing {
        /// Whether the ballot may have arrived.
        sent: bool,
        /// What the client saw.
        why: String,
    },
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(receipt) => write!(f, "recorded at {}/{}", receipt.lane, receipt.index.0),
            Self::Rejected(rejection) => write!(f, "rejected with {}", rejection.code),
            Self::TryLater => write!(f, "try later"),
            Self::AskAgain => write!(f, "ask again"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Nothing { sent, why } => write!(f, "nothing (sent: {sent}): {why}"),
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To record these bytes.
    Cast,
    /// What became of them.
    Find,
}

/// A question and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Which ballot.
    pub(crate) ballot: Hash,
    /// What was asked.
    pub(crate) asked: Asked,
    /// Which shard.
    pub(crate) shard: usize,
    /// Milliseconds since the beginning.
    pub(crate) begun_ms: u64,
    /// Milliseconds since the beginning.
    pub(crate) ended_ms: u64,
    /// The answer.
    pub(crate) said: Said,
}

/// Everything that clients did.
#[derive(Debug)]
pub(crate) struct History {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ballots: BTreeMap<Hash, Ballot>,
    calls: Vec<Call>,
}

impl Default for History {
    fn default() -> Self {
        Self { begun: Instant::now(), inner: Mutex::default() }
    }
}

/// What a record has of what voters see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    /// The leaves of each lane.
    pub(crate) lanes: Vec<Vec<Vec<u8>>>,
    /// The signed rejections.
    pub(crate) rejections: Vec<Rejection>,
    /// `summary.json`.
    pub(crate) summary: Value,
}

impl Recorded {
    /// Reads an exported record.
    #[must_use]
    pub(crate) fn read(folder: &Path) -> Self {
        let summary: Value = serde_json::from_str(&fs::read_to_string(folder.join("summary.json")).unwrap()).unwrap();
        let lanes = summary["lanes"].as_array().unwrap().len();
        let lanes = (0..lanes).map(|lane| entries(&folder.join(format!("lanes/{lane}.log")))).collect();
        let rejections = entries(&folder.join("rejections.bin"));
        let rejections = rejections.iter().map(|bytes| Rejection::from_bytes(bytes).unwrap()).collect();
        Self { lanes, rejections, summary }
    }
}

/// The entries of a file of `u32`-prefixed entries, after its first line.
fn entries(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1..];
    let mut entries = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (entry, after) = more.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

impl History {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    #[must_use]
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// Before a ballot is sent for the first time.
    pub(crate) fn made(&self, ballot: Ballot) {
        self.inner().ballots.insert(ballot.leaf(), ballot);
    }

    /// After a call.
    pub(crate) fn told(&self, call: Call) {
        self.inner().calls.push(call);
    }

    /// Ballots for which somebody has a receipt.
    #[must_use]
    pub(crate) fn recorded(&self) -> usize {
        let inner = self.inner();
        let recorded = inner.calls.iter().filter(|call| matches!(call.said, Said::Recorded(_)));
        recorded.map(|call| call.ballot).collect::<BTreeSet<_>>().len()
    }

    /// Answers of each kind, for people.
    #[must_use]
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.inner().calls {
            let kind = match (call.asked, &call.said) {
                (Asked::Find, _) => "found out",
                (_, Said::Recorded(_)) => "recorded",
                (_, Said::Rejected(_)) => "rejected",
                (_, Said::TryLater) => "try later",
                (_, Said::AskAgain) => "ask again",
                (_, Said::Refused(_)) => "refused",
                (_, Said::Nothing { .. }) => "no answer",
            };
            *counts.entry(kind).or_default() += 1;
        }
        counts
    }

    /// All calls, one a line.
    pub(crate) fn write(&self, path: &Path) {
        let inner = self.inner();
        let line = |call: &Call| {
            let Call { ballot, asked, shard, begun_ms, ended_ms, said } = call;
            let bytes = match said {
                Said::Recorded(receipt) => hex::encode(receipt.to_bytes()),
                Said::Rejected(rejection) => hex::encode(rejection.to_bytes()),
                _ => String::new(),
            };
            let (asked, said) = (format!("{asked:?}"), format!("{said:?}"));
            let line = json!({ "ballot": hex::encode(ballot), "asked": asked, "shard": shard, "begun_ms": begun_ms,
                "ended_ms": ended_ms, "said": said, "bytes": bytes });
            format!("{line}\n")
        };
        fs::write(path, inner.calls.iter().map(line).collect::<String>()).unwrap();
    }

    /// What in the record is not as clients were told, or not as they voted.
    #[must_use]
    pub(crate) fn faults(&self, record: &Recorded) -> Vec<String> {
        let inner = self.inner();
        let mut faults = Vec::new();
        let mut places: BTreeMap<Hash, (usize, usize)> = BTreeMap::new();
        for (lane, leaves) in record.lanes.iter().enumerate() {
            for (index, bytes) in leaves.iter().enumerate() {
                let leaf = leaf_hash(bytes);
                if places.insert(leaf, (lane, index)).is_some() {
                    faults.push(format!("{} is in the log twice", hex::encode(leaf)));
                }
                if !inner.ballots.contains_key(&leaf) {
                    faults.push(format!("leaf {lane}/{index} was sent by nobody"));
                }
            }
        }
        let rejected: BTreeSet<Hash> = record.rejections.iter().map(|rejection| rejection.ballot).collect();
        for call in &inner.calls {
            faults.extend(one_answer(call, &places, &rejected));
        }
        for (leaf, place) in &places {
            faults.extend(in_the_log(&inner.calls, leaf, *place));
        }
        faults.extend(inner.totals(record, &places));
        faults
    }
}

/// Whether an answer is true of the record.
fn one_answer(call: &Call, places: &BTreeMap<Hash, (usize, usize)>, rejected: &BTreeSet<Hash>) -> Option<String> {
    let ballot = hex::encode(call.ballot);
    let place = places.get(&call.ballot);
    match &call.said {
        Said::Recorded(receipt) => {
            let promised = (usize::from(receipt.lane.0), usize::try_from(receipt.index.0).unwrap());
            (place != Some(&promised)).then(|| format!("{ballot} was promised {promised:?} and is at {place:?}"))
        }
        Said::Rejected(rejection) => {
            let code = rejection.code;
            if place.is_some() {
                return Some(format!("{ballot} was rejected with {code} and is at {place:?}"));
            }
            (!rejected.contains(&call.ballot)).then(|| format!("{ballot} was rejected with {code}, not on record"))
        }
        Said::Refused(why) if why.contains("ELECTION_CLOSED") => {
            place.map(|place| format!("{ballot} was refused after the close and is at {place:?}"))
        }
        _ => None,
    }
}

/// Whether what is in the log got there in a way that its voter can know of: every answer after it was recorded says so, or
/// says nothing.
fn in_the_log(calls: &[Call], leaf: &Hash, place: (usize, usize)) -> Vec<String> {
    let of_it: Vec<&Call> = calls.iter().filter(|call| call.ballot == *leaf).collect();
    let may_have_recorded = |call: &&&Call| {
        let open = matches!(call.said, Said::Recorded(_) | Said::AskAgain | Said::Nothing { sent: true, .. });
        call.asked == Asked::Cast && open
    };
    let mut faults = Vec::new();
    if !of_it.iter().any(|call| may_have_recorded(&call)) {
        faults.push(format!("{} is at {place:?}, and every answer was that it is not", hex::encode(leaf)));
    }
    // From the first receipt on nobody may say that it is not there.
    let known = of_it.iter().filter(|call| matches!(call.said, Said::Recorded(_))).map(|call| call.ended_ms).min();
    for call in &of_it {
        let denied = matches!(call.said, Said::Refused(_) | Said::Rejected(_));
        if denied && known.is_some_and(|known| call.begun_ms > known) {
            let said = &call.said;
            faults.push(format!("{} is at {place:?}, a receipt said so, then: {said:?}", hex::encode(leaf)));
        }
    }
    faults
}

impl Inner {
    /// Totals of the last ballot of each voter in the log.
    fn totals(&self, record: &Recorded, places: &BTreeMap<Hash, (usize, usize)>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut counted: BTreeMap<usize, ((usize, usize), &Marks)> = BTreeMap::new();
        for (leaf, place) in places {
            let Some(ballot) = self.ballots.get(leaf) else { continue };
            let Some(marks) = &ballot.marks else {
                faults.push(format!("{} must never count and is at {place:?}", hex::encode(leaf)));
                continue;
            };
            let last = counted.entry(ballot.voter).or_insert((*place, marks));
            // One lane: the later place is the later ballot.
            if place > &last.0 {
                *last = (*place, marks);
            }
        }
        let mut expect = |what: String, expected: u64, got: &Value| {
            if got.as_u64() != Some(expected) {
                faults.push(format!("{what}: {got} in the record, {expected} by what was accepted"));
            }
        };
        let summary = &record.summary;
        expect("counted".into(), counted.len() as u64, &summary["counted"]);
        expect("logged".into(), places.len() as u64, &summary["logged"]);
        for (contest, (id, options)) in CONTESTS.iter().enumerate() {
            for (option, text) in options.iter().enumerate() {
                let marked = |marks: &Marks| marks[contest].iter().any(|mark| usize::from(*mark) == option);
                let votes = counted.values().filter(|(_, marks)| marked(marks)).count();
                let got = &summary["contests"][contest]["totals"][*text];
                expect(format!("{id}: {text}"), votes as u64, got);
            }
        }
        faults
    }
}
