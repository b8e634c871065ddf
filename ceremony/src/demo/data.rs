//! What the demo votes: real ballots bundled with the program, or a file of one's own.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

/// Options that a contest made from a file may have.
const OPTIONS_MAX: usize = 64;
/// Ballots of one file, at most.
const BALLOTS_MAX: usize = 1_000_000;

/// One election's ballots, and what is needed to hold it.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// Names its files.
    pub(super) key: String,
    /// As shown to voters.
    pub(super) title: String,
    pub(super) contests: Vec<ContestInput>,
    pub(super) styles: Vec<StyleInput>,
    /// In the order in which they are cast.
    pub(super) ballots: Vec<BallotInput>,
    /// Published totals by contest id; only where the ballots are the published ones.
    pub(super) official: BTreeMap<String, OfficialContest>,
    /// Where the published totals come from.
    pub(super) official_note: String,
}

#[derive(Debug, Clone)]
pub(super) struct ContestInput {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) options: Vec<String>,
    /// Several marks are allowed.
    pub(super) approval: bool,
}

#[derive(Debug, Clone)]
pub(super) struct StyleInput {
    pub(super) id: String,
    /// Contests of this style, ascending.
    pub(super) contests: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BallotInput {
    pub(super) style: usize,
    /// Options marked, for each contest of the style.
    pub(super) marks: Vec<Vec<usize>>,
}

/// A contest's published outcome.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct OfficialContest {
    pub(super) source: String,
    pub(super) ballots: u64,
    pub(super) blank: u64,
    pub(super) totals: BTreeMap<String, u64>,
    pub(super) winner: String,
}

#[derive(Deserialize)]
struct OfficialFile {
    what: String,
    contests: BTreeMap<String, OfficialContest>,
}

/// What a contest's ballots add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) totals: BTreeMap<String, u64>,
    pub(super) blank: u64,
}

/// What is wrong with a ballot file.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataRefusal {
    #[error("{path}: {source}; give a CSV file of ballots (see `ceremony demo --help`)")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Csv { path: String, source: csv::Error },
    #[error("{path}: line {line}: the count is {got:?}, expected a number from 0 to 1000000")]
    Count { path: String, line: u64, got: String },
    #[error("{path}: line {line}: {got:?} is marked twice in {contest}")]
    Twice { path: String, line: u64, contest: String, got: String },
    #[error("{path}: the header has no contest; it has only {got:?}")]
    NoContest { path: String, got: String },
    #[error("{path}: two columns make the same contest {got:?}")]
    SameContest { path: String, got: String },
    #[error("{path}: {contest} has {got} options, expected 1 to {max}")]
    Options { path: String, contest: String, got: usize, max: usize },
    #[error("{path}: no ballots")]
    Empty { path: String },
    #[error("{path}: more than {max} ballots")]
    TooMany { path: String, max: usize },
    #[error("{path}: these published totals cannot be read: {source}")]
    Official { path: &'static str, source: serde_json::Error },
}

/// The bundled elections: Minneapolis 2013 (three wards, three ballot styles) and Utah 2025 (approval).
///
/// # Errors
/// A defect of the bundle; a test reads it.
pub(super) fn bundled() -> Result<Vec<Input>, DataRefusal> {
    let wards = [
        ("ward-5", "Ward 5", include_str!("../../data/minneapolis-2013/ward-5.csv")),
        ("ward-9", "Ward 9", include_str!("../../data/minneapolis-2013/ward-9.csv")),
        ("ward-13", "Ward 13", include_str!("../../data/minneapolis-2013/ward-13.csv")),
    ];
    let mut minneapolis = Input {
        key: "minneapolis".into(),
        title: "Minneapolis 2013: City Council".into(),
        contests: Vec::new(),
        styles: Vec::new(),
        ballots: Vec::new(),
        official: BTreeMap::new(),
        official_note: String::new(),
    };
    for (at, (id, title, text)) in wards.into_iter().enumerate() {
        let ward = read_csv(id, text)?;
        let contests = ward.contests.into_iter();
        minneapolis.contests.extend(contests.map(|contest| ContestInput {
            id: id.into(),
            title: format!("City Council, {title}"),
            ..contest
        }));
        minneapolis.styles.push(StyleInput { id: id.into(), contests: vec![at] });
        minneapolis.ballots.extend(ward.ballots.into_iter().map(|ballot| BallotInput { style: at, ..ballot }));
    }
    take_official(&mut minneapolis, "minneapolis-2013", include_str!("../../data/minneapolis-2013/official.json"))?;

    let mut utah = read_csv("utah", include_str!("../../data/utah-senate11-2025/ballots.csv"))?;
    utah.title = "Utah Senate District 11, 2025: nomination".into();
    for contest in &mut utah.contests {
        contest.title = "Candidates that you approve of".into();
    }
    take_official(&mut utah, "utah-senate11-2025", include_str!("../../data/utah-senate11-2025/official.json"))?;
    Ok(vec![minneapolis, utah])
}

fn take_official(input: &mut Input, path: &'static str, text: &str) -> Result<(), DataRefusal> {
    let file: OfficialFile = serde_json::from_str(text).map_err(|source| DataRefusal::Official { path, source })?;
    input.official = file.contests;
    input.official_note = file.what;
    Ok(())
}

/// Ballots of one's own.
///
/// # Errors
/// [`DataRefusal`].
pub(super) fn from_file(path: &Path) -> Result<Input, DataRefusal> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| DataRefusal::Read { path: shown, source })?;
    let name = path.file_stem().map_or_else(|| "ballots".into(), |stem| stem.to_string_lossy().into_owned());
    let mut input = read_csv(&name, &text)?;
    input.title = name;
    Ok(input)
}

/// Either form of ballot file, told apart by the header.
///
/// Cast vote records: columns `choice1`, `choice2`, ...: the first that is neither `undervote` nor `overvote` nor empty is the
/// voter's first preference, a single choice. Otherwise: one column per contest, a cell with the marked options separated by
/// `|`; an empty one is a blank. In both, `count` says how many such ballots there are; `precinct` and `voter` are left out.
fn read_csv(name: &str, text: &str) -> Result<Input, DataRefusal> {
    let path = || name.to_owned();
    let csv_error = |source| DataRefusal::Csv { path: path(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().map_err(csv_error)?.iter().map(str::to_owned).collect();
    let count_at = header.iter().position(|column| column == "count");
    let choices: Vec<usize> = columns(&header, |column| {
        column.strip_prefix("choice").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    });
    let ranked = !choices.is_empty();
    let plain = columns(&header, |column| !matches!(column, "count" | "precinct" | "voter"));
    let mut contests: Vec<ContestInput> = if ranked {
        vec![ContestInput { id: slug(name), title: name.into(), options: Vec::new(), approval: false }]
    } else {
        let title = |at: &usize| header.get(*at).cloned().unwrap_or_default();
        let new = |title: String| ContestInput { id: slug(&title), title, options: Vec::new(), approval: false };
        plain.iter().map(|at| new(title(at))).collect()
    };
    if contests.is_empty() {
        return Err(DataRefusal::NoContest { path: path(), got: header.join(",") });
    }
    for (at, contest) in contests.iter().enumerate() {
        if contests.iter().take(at).any(|other| other.id == contest.id) {
            return Err(DataRefusal::SameContest { path: path(), got: contest.id.clone() });
        }
    }

    // Options by name until all rows are read: only then is their order known.
    let mut rows: Vec<(usize, Vec<Vec<String>>)> = Vec::new();
    let mut ballots = 0usize;
    for row in reader.records() {
        let row = row.map_err(csv_error)?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let count = match count_at.map(cell) {
            None => 1,
            Some(text) => match text.parse::<usize>() {
                Ok(count) if count <= 1_000_000 => count,
                _ => return Err(DataRefusal::Count { path: path(), line, got: text.into() }),
            },
        };
        ballots = ballots.saturating_add(count);
        if ballots > BALLOTS_MAX {
            return Err(DataRefusal::TooMany { path: path(), max: BALLOTS_MAX });
        }
        let marks: Vec<Vec<String>> = if ranked {
            let first = choices.iter().map(|at| cell(*at)).find(|text| !matches!(*text, "" | "undervote" | "overvote"));
            vec![first.map(str::to_owned).into_iter().collect()]
        } else {
            let marked = |at: &usize| cell(*at).split('|').map(str::trim).filter(|text| !text.is_empty());
            plain.iter().map(|at| marked(at).map(str::to_owned).collect()).collect()
        };
        for (marked, contest) in marks.iter().zip(&mut contests) {
            contest.approval |= marked.len() > 1;
            for (at, option) in marked.iter().enumerate() {
                if marked.iter().take(at).any(|other| other == option) {
                    let (contest, got) = (contest.id.clone(), option.clone());
                    return Err(DataRefusal::Twice { path: path(), line, contest, got });
                }
                if !contest.options.contains(option) {
                    contest.options.push(option.clone());
                    if contest.options.len() > OPTIONS_MAX {
                        let (contest, got) = (contest.id.clone(), contest.options.len());
                        return Err(DataRefusal::Options { path: path(), contest, got, max: OPTIONS_MAX });
                    }
                }
            }
        }
        rows.push((count, marks));
    }
    if ballots == 0 {
        return Err(DataRefusal::Empty { path: path() });
    }
    for contest in &mut contests {
        contest.options.sort();
        if contest.options.is_empty() {
            return Err(DataRefusal::Options { path: path(), contest: contest.id.clone(), got: 0, max: OPTIONS_MAX });
        }
    }
    let mut expanded = Vec::with_capacity(ballots);
    for (count, marks) in rows {
        let index = |(marked, contest): (&Vec<String>, &ContestInput)| {
            let mut marked: Vec<usize> =
                marked.iter().filter_map(|name| contest.options.iter().position(|option| option == name)).collect();
            marked.sort_unstable();
            marked
        };
        let ballot = BallotInput { style: 0, marks: marks.iter().zip(&contests).map(index).collect() };
        expanded.extend(std::iter::repeat_n(ballot, count));
    }
    Ok(Input {
        key: slug(name),
        title: name.into(),
        styles: vec![StyleInput { id: "all".into(), contests: (0..contests.len()).collect() }],
        contests,
        ballots: expanded,
        official: BTreeMap::new(),
        official_note: String::new(),
    })
}

fn columns(header: &[String], wanted: impl Fn(&str) -> bool) -> Vec<usize> {
    header.iter().enumerate().filter(|(_, column)| wanted(column)).map(|(at, _)| at).collect()
}

/// Lower-case letters, digits and hyphens.
fn slug(text: &str) -> String {
    let mapped = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let joined: String = mapped.take(60).collect();
    let parts: Vec<&str> = joined.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "contest".into() } else { parts.join("-") }
}

impl Input {
    /// Mixes the order, the same way every time, so that wards and precincts do not vote one after the other and the first
    /// few ballots are a fair sample; then keeps the first `limit`.
    pub(super) fn arrange(&mut self, limit: Option<usize>) {
        let count = self.ballots.len();
        // A step near the golden ratio that shares no factor with the count visits every ballot once.
        let mut step = (count * 618 / 1000).max(1);
        while gcd(step, count) != 1 {
            step += 1;
        }
        let keep = limit.unwrap_or(count).min(count);
        if keep < count {
            // Published totals are of all ballots.
            self.official.clear();
        }
        let order = (0..keep).filter_map(|at| self.ballots.get(at * step % count.max(1)));
        self.ballots = order.cloned().collect();
    }

    /// What the ballots add up to, by contest id.
    pub(super) fn expected(&self) -> BTreeMap<String, Expected> {
        let mut all: Vec<(Vec<u64>, u64)> =
            self.contests.iter().map(|contest| (vec![0; contest.options.len()], 0)).collect();
        for ballot in &self.ballots {
            let Some(style) = self.styles.get(ballot.style) else { continue };
            for (contest, marks) in style.contests.iter().zip(&ballot.marks) {
                let Some((totals, blank)) = all.get_mut(*contest) else { continue };
                if marks.is_empty() {
                    *blank += 1;
                }
                for option in marks {
                    if let Some(total) = totals.get_mut(*option) {
                        *total += 1;
                    }
                }
            }
        }
        let named = self.contests.iter().zip(all).map(|(contest, (totals, blank))| {
            let totals = contest.options.iter().cloned().zip(totals).collect();
            (contest.id.clone(), Expected { totals, blank })
        });
        named.collect()
    }

    /// A name for the voter of the ballot at this place.
    pub(super) fn voter(&self, at: usize) -> String {
        format!("{}-{:06}", self.key, at + 1)
    }

    /// Whether any ballot leaves a contest blank.
    pub(super) fn has_blanks(&self, contest: &str) -> bool {
        self.expected().get(contest).is_some_and(|expected| expected.blank > 0)
    }

    /// The voters, for the registrar: `voter,style,weight`.
    pub(super) fn voters_csv(&self) -> String {
        let mut out = String::from("voter,style,weight\n");
        for (at, ballot) in self.ballots.iter().enumerate() {
            let style = self.styles.get(ballot.style).map_or("", |style| style.id.as_str());
            out.push_str(&format!("{},{style},1\n", self.voter(at)));
        }
        out
    }

    /// The choices of a range of voters, as `booth cast --file` reads them.
    ///
    /// # Errors
    /// Never for text in memory.
    pub(super) fn choices_csv(&self, range: std::ops::Range<usize>) -> Result<Vec<u8>, csv::Error> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let ids = self.contests.iter().map(|contest| contest.id.as_str());
        out.write_record(["voter", "style"].into_iter().chain(ids))?;
        for at in range {
            let Some(ballot) = self.ballots.get(at) else { break };
            let Some(style) = self.styles.get(ballot.style) else { continue };
            let mut row = vec![self.voter(at), style.id.clone()];
            for (index, contest) in self.contests.iter().enumerate() {
                let place = style.contests.iter().position(|other| *other == index);
                let marks = place.and_then(|place| ballot.marks.get(place)).map_or(&[][..], Vec::as_slice);
                let names = marks.iter().filter_map(|option| contest.options.get(*option)).map(String::as_str);
                row.push(names.collect::<Vec<_>>().join("|"));
            }
            out.write_record(&row)?;
        }
        out.into_inner().map_err(|error| error.into_error().into())
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_ballots_add_up_to_the_published_totals() {
        let inputs = bundled().unwrap();
        assert_eq!(inputs.iter().map(|input| input.ballots.len()).collect::<Vec<_>>(), [18_674, 1_301]);
        for input in inputs {
            for (id, expected) in input.expected() {
                let official = &input.official[&id];
                assert_eq!(expected.totals, official.totals, "{id}");
                assert_eq!(expected.blank, official.blank, "{id}");
                assert!(official.totals[&official.winner] == *official.totals.values().max().unwrap());
            }
        }
    }

    #[test]
    fn arranging_changes_the_order_and_nothing_else() {
        for mut input in bundled().unwrap() {
            let before = (input.expected(), input.ballots.clone());
            input.arrange(None);
            assert_eq!(input.expected(), before.0);
            assert_ne!(input.ballots, before.1);
            input.arrange(Some(40));
            assert_eq!(input.ballots.len(), 40);
            assert!(input.official.is_empty(), "totals of a sample are not the published ones");
            let styles: std::collections::BTreeSet<usize> = input.ballots.iter().map(|ballot| ballot.style).collect();
            assert_eq!(styles.len(), input.styles.len(), "a sample has every ballot style");
        }
    }

    #[test]
    fn ones_own_ballots_are_counted_by_column() {
        let input = read_csv("club", "chair,board members,count\nAda,Ada|Emmy,2\n,Emmy,1\n").unwrap();
        assert_eq!(input.contests.iter().map(|contest| contest.approval).collect::<Vec<_>>(), [false, true]);
        let expected = input.expected();
        assert_eq!(expected["chair"].totals, BTreeMap::from([("Ada".into(), 2)]));
        assert_eq!(expected["chair"].blank, 1);
        assert_eq!(expected["board-members"].totals, BTreeMap::from([("Ada".into(), 2), ("Emmy".into(), 3)]));
        let csv = String::from_utf8(input.choices_csv(0..2).unwrap()).unwrap();
        assert_eq!(
            csv,
            "voter,style,chair,board-members\nclub-000001,all,Ada,Ada|Emmy\nclub-000002,all,Ada,Ada|Emmy\n"
        );
    }

    #[test]
    fn bad_files_are_refused_with_the_line() {
        let refusal = |text: &str| read_csv("f", text).unwrap_err().to_string();
        assert!(refusal("chair,count\nAda,1\nEmmy,x\n").contains("line 3"));
        assert!(refusal("chair\nAda|Ada\n").contains("line 2"));
        assert!(refusal("count\n1\n").contains("no contest"));
        assert!(refusal("chair\n").contains("no ballots"));
        assert!(refusal("a,A\nx,y\n").contains("same contest"));
        assert!(refusal("chair\nAda,Emmy\n").contains("fields"));
        assert!(refusal("chair,count\n,3\n").contains("options"));
        assert!(refusal("chair,count\nA,1000000\nB,1\n").contains("more than"));
    }
}
