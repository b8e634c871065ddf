//! What came out: totals beside the input and the published ones, anchors, verdicts, times; for people and as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    data::{Expected, Input},
    show::{Show, grouped, table},
};

/// One election, from its record and from who checked it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) input: Input,
    pub(super) election_id: String,
    /// Address of the group key, which pays for the anchors.
    pub(super) group: String,
    /// `summary.json` of the record: the audit has compared each of its fields with what it computed itself.
    pub(super) summary: Value,
    /// Ballots for which the booth says that they are recorded.
    pub(super) cast: u64,
    pub(super) anchors: Vec<Anchor>,
    /// What `audit verify --json` said.
    pub(super) audit: Value,
    /// Receipts whose inclusion was proven with the trustees' co-signatures.
    pub(super) receipts_proven: u64,
    pub(super) record: String,
}

#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) kind: String,
    pub(super) signature: String,
    pub(super) slot: u64,
    /// Found final on the ledger by its signature.
    pub(super) finalized: bool,
}

/// Most memory resident at once, by process.
pub(super) type Memory = BTreeMap<String, u64>;

impl Outcome {
    /// A contest as the record has it.
    fn contest(&self, id: &str) -> Option<&Value> {
        self.summary["contests"].as_array()?.iter().find(|contest| contest["id"] == id)
    }

    /// Totals by option; the record may write them as an object or as a list of option and votes.
    fn totals(&self, id: &str) -> BTreeMap<String, u64> {
        let Some(totals) = self.contest(id).map(|contest| &contest["totals"]) else { return BTreeMap::new() };
        let object = totals.as_object().into_iter().flatten();
        let object = object.filter_map(|(option, votes)| Some((option.clone(), votes.as_u64()?)));
        let list = totals.as_array().into_iter().flatten();
        let list = list.filter_map(|entry| Some((entry["option"].as_str()?.to_owned(), entry["votes"].as_u64()?)));
        object.chain(list).collect()
    }

    fn winners(&self, id: &str) -> Vec<&str> {
        let winners = self.contest(id).and_then(|contest| contest["winners"].as_array());
        winners.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Every way in which the outcome is not what it has to be; empty when all is right.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let title = &self.input.title;
        if self.audit["verdict"] != "valid" {
            let why = match &self.audit["failure"] {
                Value::Null => String::new(),
                failure => format!(": {failure}"),
            };
            faults.push(format!("{title}: the audit's verdict is {}{why}", self.audit["verdict"]));
        }
        let ballots = self.input.ballots.len() as u64;
        for (what, got) in [("cast", self.cast), ("counted", self.summary["counted"].as_u64().unwrap_or(0))] {
            if got != ballots {
                faults.push(format!("{title}: {got} ballots were {what}, expected {ballots}"));
            }
        }
        for (id, expected) in self.input.expected() {
            let totals = self.totals(&id);
            if totals != expected.totals {
                faults.push(format!("{title}, {id}: totals are {totals:?}, expected {:?}", expected.totals));
            }
            let blank = self.contest(&id).and_then(|contest| contest["blank"].as_u64());
            if blank.is_some_and(|blank| blank != expected.blank) {
                faults.push(format!("{title}, {id}: {blank:?} blank ballots, expected {}", expected.blank));
            }
        }
        for kind in ["key", "vote-set", "result"] {
            if !self.anchors.iter().any(|anchor| anchor.kind == kind && anchor.finalized) {
                faults.push(format!("{title}: the anchor of the {kind} is not final on the ledger"));
            }
        }
        faults
    }

    fn lanes(&self) -> &[Value] {
        self.summary["lanes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Hash of the log's tree. Of the only lane; several lanes have their own, and the certified vote set is what names them.
    fn root(&self) -> &Value {
        match self.lanes() {
            [lane] => &lane["root"],
            _ => &self.summary["vote_set"],
        }
    }

    fn json(&self) -> Value {
        let expected = self.input.expected();
        let none = Expected::default();
        let contests = self.input.contests.iter().map(|contest| {
            let expected = expected.get(&contest.id).unwrap_or(&none);
            json!({
                "id": contest.id,
                "title": contest.title,
                "totals": self.totals(&contest.id),
                "blank": self.contest(&contest.id).map(|contest| contest["blank"].clone()),
                "winners": self.winners(&contest.id),
                "input": { "totals": expected.totals, "blank": expected.blank },
                "official": self.input.official.get(&contest.id).map(|official| json!({
                    "totals": official.totals, "blank": official.blank, "ballots": official.ballots,
                    "winner": official.winner, "source": official.source,
                })),
            })
        });
        let anchors = self.anchors.iter().map(|anchor| {
            json!({
                "kind": anchor.kind, "signature": anchor.signature, "slot": anchor.slot, "finalized": anchor.finalized,
            })
        });
        json!({
            "election_id": self.election_id,
            "title": self.input.title,
            "cast": self.cast,
            "logged": self.summary["logged"],
            "counted": self.summary["counted"],
            "rejected": self.summary["rejected"],
            "contests": contests.collect::<Vec<_>>(),
            "vote_set": {
                "size": self.lanes().iter().filter_map(|lane| lane["size"].as_u64()).sum::<u64>(),
                "root": self.root(),
                "hash": self.summary["vote_set"],
            },
            "key_certificate": self.summary["key_certificate"],
            "group_address": self.group,
            "anchors": anchors.collect::<Vec<_>>(),
            "audit": { "verdict": self.audit["verdict"], "checks": self.audit["checks"] },
            "receipts_proven": self.receipts_proven,
            "record": self.record,
            "as_expected": self.faults().is_empty(),
        })
    }
}

/// The object of `--json`.
pub(super) fn json_of(outcomes: &[Outcome], show: &Show, memory: &Memory, notes: Map<String, Value>) -> Value {
    let seconds: Map<String, Value> = show.seconds().iter().map(|(name, s)| ((*name).into(), rounded(*s))).collect();
    let ok = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.faults().is_empty());
    let mut object = Map::new();
    object.insert("ok".into(), ok.into());
    object.insert("elections".into(), outcomes.iter().map(Outcome::json).collect());
    object.insert("seconds".into(), seconds.into());
    object.insert("memory_peak_bytes".into(), json!(memory));
    object.extend(notes);
    object.into()
}

fn rounded(seconds: f64) -> Value {
    json!((seconds * 1000.0).round() / 1000.0)
}

/// The tables at the end.
pub(super) fn text_of(outcomes: &[Outcome], show: &Show, memory: &Memory) -> String {
    let mut parts = Vec::new();
    for outcome in outcomes {
        parts.push(results(outcome));
    }
    parts.push(anchors(outcomes));
    parts.push(verdicts(outcomes));
    let mut rows: Vec<Vec<String>> =
        show.seconds().iter().map(|(name, seconds)| vec![name.replace('_', " "), format!("{seconds:.2}")]).collect();
    rows.push(vec!["everything".into(), format!("{:.2}", show.elapsed().as_secs_f64())]);
    parts.push(format!("TIMES\n{}", table(&["stage", "seconds"], &rows)));
    let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    let rows: Vec<Vec<String>> = memory.iter().map(|(name, bytes)| vec![name.clone(), megabytes(*bytes)]).collect();
    if !rows.is_empty() {
        parts.push(format!("MEMORY, most at any time\n{}", table(&["process", "MB"], &rows)));
    }
    parts.join("\n\n")
}

fn results(outcome: &Outcome) -> String {
    let input = &outcome.input;
    let number = |value: &Value| value.as_u64().map_or_else(|| "?".into(), grouped);
    let mut text = format!(
        "{}\n  election {}\n  {} cast, {} counted, {} rejected",
        input.title.to_uppercase(),
        outcome.election_id,
        grouped(outcome.cast),
        number(&outcome.summary["counted"]),
        number(&outcome.summary["rejected"]),
    );
    let expected = input.expected();
    let none = Expected::default();
    for contest in &input.contests {
        let expected = expected.get(&contest.id).unwrap_or(&none);
        let totals = outcome.totals(&contest.id);
        let official = input.official.get(&contest.id);
        let winners = outcome.winners(&contest.id);
        let mut options: Vec<&String> = contest.options.iter().collect();
        options.sort_by_key(|option| std::cmp::Reverse(totals.get(*option).copied().unwrap_or(0)));
        let shown = |number: Option<u64>| number.map_or_else(|| "-".into(), grouped);
        let row = |name: String, got: Option<u64>, input: Option<u64>, published: Option<u64>| {
            let mut cells = vec![name, shown(got), shown(input)];
            if official.is_some() {
                cells.push(shown(published));
            }
            cells
        };
        let mut rows: Vec<Vec<String>> = options
            .into_iter()
            .map(|option| {
                let mark = if winners.contains(&option.as_str()) { " *" } else { "" };
                let published = official.and_then(|official| official.totals.get(option)).copied();
                let (got, input) = (totals.get(option).copied(), expected.totals.get(option).copied());
                row(format!("{option}{mark}"), got, input, published)
            })
            .collect();
        let blank = outcome.contest(&contest.id).and_then(|contest| contest["blank"].as_u64());
        if blank.is_some() {
            rows.push(row("(blank)".into(), blank, Some(expected.blank), official.map(|official| official.blank)));
        }
        let header: &[&str] = if official.is_some() {
            &["option", "result", "input", "official"]
        } else {
            &["option", "result", "input"]
        };
        text.push_str(&format!("\n\n  {}\n{}", contest.title, table(header, &rows)));
    }
    text.push_str("\n  * first in this contest");
    if !input.official.is_empty() {
        text.push_str(&format!("\n  official: {}", input.official_note));
    }
    text
}

fn anchors(outcomes: &[Outcome]) -> String {
    let mut text = String::from("ANCHORS on the ledger");
    for outcome in outcomes {
        text.push_str(&format!("\n  {}", outcome.input.title));
        for anchor in &outcome.anchors {
            let state = if anchor.finalized { "final" } else { "NOT FINAL" };
            text.push_str(&format!("\n    {:<9} slot {:<7} {state}  {}", anchor.kind, anchor.slot, anchor.signature));
        }
    }
    text
}

fn verdicts(outcomes: &[Outcome]) -> String {
    let mut text = String::from("AUDIT by a program that shares no code with the others");
    for outcome in outcomes {
        let checks = outcome.audit["checks"].as_array().map_or(&[][..], Vec::as_slice);
        let good = checks.iter().filter(|check| check["ok"] == true).count();
        let verdict = outcome.audit["verdict"].as_str().unwrap_or("none");
        text.push_str(&format!(
            "\n  {verdict}: {good} of {} checks hold; {} sampled receipts proven   {}",
            checks.len(),
            grouped(outcome.receipts_proven),
            outcome.input.title
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::data;

    /// An outcome that is right, in the record's own words.
    fn right() -> Outcome {
        let mut input = data::bundled().unwrap().remove(0);
        input.arrange(Some(30));
        let contests: Vec<Value> = input
            .expected()
            .into_iter()
            .map(
                |(id, expected)| json!({ "id": id, "totals": expected.totals, "blank": expected.blank, "winners": [] }),
            )
            .collect();
        let anchor = |kind: &str| Anchor { kind: kind.into(), signature: "5sig".into(), slot: 7, finalized: true };
        Outcome {
            input,
            election_id: "ab".into(),
            group: "group".into(),
            summary: json!({
                "counted": 30, "logged": 30, "rejected": 0, "contests": contests, "key_certificate": "cd",
                "vote_set": "ef", "lanes": [{ "size": 30, "root": "12" }],
            }),
            cast: 30,
            anchors: ["key", "vote-set", "result"].map(anchor).into(),
            audit: json!({ "verdict": "valid", "checks": [{ "ok": true }], "failure": null }),
            receipts_proven: 5,
            record: "r".into(),
        }
    }

    #[test]
    fn a_right_outcome_has_no_faults() {
        assert_eq!(right().faults(), Vec::<String>::new());
        let object = json_of(&[right()], &Show::new(), &Memory::new(), Map::new());
        assert_eq!(object["ok"], true);
        let election = &object["elections"][0];
        assert_eq!(election["vote_set"], json!({ "size": 30, "root": "12", "hash": "ef" }));
        assert_eq!(election["contests"].as_array().unwrap().len(), 3);
        assert_eq!(election["anchors"][2]["finalized"], true);
    }

    #[test]
    fn totals_may_be_written_as_a_list() {
        let mut outcome = right();
        for contest in outcome.summary["contests"].as_array_mut().unwrap() {
            let totals: BTreeMap<String, u64> = serde_json::from_value(contest["totals"].clone()).unwrap();
            contest["totals"] =
                totals.into_iter().map(|(option, votes)| json!({ "option": option, "votes": votes })).collect();
        }
        assert_eq!(outcome.faults(), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_is_a_fault() {
        let with = |bend: fn(&mut Outcome)| {
            let mut outcome = right();
            bend(&mut outcome);
            let object = json_of(std::slice::from_ref(&outcome), &Show::new(), &Memory::new(), Map::new());
            assert_eq!(object["ok"], false);
            outcome.faults().join("; ")
        };
        assert!(with(|o| o.audit["verdict"] = "invalid".into()).contains("verdict"));
        assert!(with(|o| o.audit = Value::Null).contains("verdict"));
        assert!(with(|o| o.cast = 29).contains("29 ballots were cast"));
        assert!(with(|o| o.summary["counted"] = 31.into()).contains("31 ballots were counted"));
        assert!(with(|o| o.summary["contests"][0]["totals"]["UWI"] = 9.into()).contains("totals are"));
        assert!(with(|o| o.summary["contests"][0]["blank"] = 29.into()).contains("blank"));
        assert!(with(|o| o.summary["contests"] = json!([])).contains("totals are"));
        assert!(with(|o| o.anchors[1].finalized = false).contains("vote-set"));
        assert!(with(|o| o.anchors.clear()).contains("result"));
    }

    #[test]
    fn nothing_at_all_is_not_a_success() {
        assert_eq!(json_of(&[], &Show::new(), &Memory::new(), Map::new())["ok"], false);
    }

    #[test]
    fn tables_show_result_input_and_published_totals() {
        let mut outcome = right();
        outcome.input = data::bundled().unwrap().remove(0);
        let text = text_of(&[outcome], &Show::new(), &Memory::from([("coordinator shard-1".into(), 42_000_000)]));
        for part in ["official", "1,475", "LINEA PALMISANO", "final", "valid: 1 of 1", "everything", "42"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
