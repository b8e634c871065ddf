//! One election in a [`House`], from the announcement to the audit.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use booth::{
    cast::{Fate, Sealed, find},
    election::Server,
};
use proto::v1::{ElectionRequest, Status};
use protocol::ids::ElectionId;
use serde_json::Value;

use super::{
    history::{Ballot, CONTESTS, History, Recorded},
    house::{COMMAND, House, shown},
    processes::Running,
    voters::{Casting, Pace, Voters},
};

/// How long a stage may take, whatever goes wrong in it meanwhile.
pub(crate) const STAGE: Duration = Duration::from_secs(150);
/// Between two looks.
const TICK: Duration = Duration::from_millis(25);
/// One question about the status.
const LOOK: Duration = Duration::from_secs(3);

/// Stages in their order, by their names.
pub(crate) const STAGES: [&str; 10] =
    ["created", "key-ceremony", "rehearsal", "ready", "open", "closing", "agreement", "tally", "anchoring", "complete"];

/// A stage's place in their order.
#[must_use]
pub(crate) fn rank(stage: &str) -> usize {
    STAGES.iter().position(|name| *name == stage).unwrap_or(0)
}

/// An election.
#[derive(Debug)]
pub(crate) struct Election {
    /// For people and files.
    pub(crate) name: String,
    /// 64 hex digits.
    pub(crate) id: String,
    /// Its files.
    pub(crate) folder: PathBuf,
    /// What clients did.
    pub(crate) history: Arc<History>,
    keys: Vec<u8>,
    seed: u64,
    window: Server,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `summary.json`.
    pub(crate) summary: Value,
    /// What the audit said.
    pub(crate) audit: Value,
    /// Status at the end, as the home shard sees it.
    pub(crate) status: Status,
}

/// A command of the official, given again until it succeeds, as officials are told to do.
#[derive(Debug)]
pub(crate) struct Persistent {
    name: String,
    arguments: Vec<String>,
    running: Running,
    begun: Instant,
}

impl House {
    /// A new election: announced, and accepted by all trustees.
    #[must_use]
    pub(crate) fn announce(&mut self, name: &str, voters: usize, home: usize, seed: u64) -> Election {
        self.elections += 1;
        let name = format!("{}-{name}", self.elections);
        let folder = self.folder.join(&name);
        fs::create_dir_all(&folder).unwrap();
        let list: String = (0..voters).map(|voter| format!("v{voter:05},all,1\n")).collect();
        fs::write(folder.join("voters.csv"), format!("voter,style,weight\n{list}")).unwrap();
        let (registry, voters) = (folder.join("registrar"), folder.join("voters.csv"));
        let line = ["registrar", "keys", "--voters", &shown(&voters), "--out", &shown(&registry)];
        self.ceremony(&format!("{name}-registrar"), &line, COMMAND);
        let file = folder.join("election.toml");
        fs::write(&file, election_toml(&name, self.genesis(), home)).unwrap();
        let line = ["new", &shown(&file), "--roll", &shown(&registry.join("roll.csv"))];
        let made = self.ceremony(&format!("{name}-new"), &line, COMMAND);
        let id = made["election_id"].as_str().unwrap().to_owned();
        let keys = fs::read(registry.join("keys.csv")).unwrap();
        let (history, window) = (Arc::default(), self.window(home));
        let election = Election { name, id, folder, history, keys, seed, window };
        self.run(&election, "create", &[]);
        election
    }

    /// Every trustee's operator accepts.
    pub(crate) fn accept(&self, election: &Election) {
        let begun = Instant::now();
        for trustee in &self.trustees {
            let config = shown(&trustee.folder.join("trustee.toml"));
            let line = ["--config", &config, "--json", "accept", &election.id];
            loop {
                // The manifest may still be on its way to it.
                let name = format!("{}-accept-{}", trustee.name, election.name);
                let running = self.processes.start(&name, &self.processes.program("trustee"), line);
                if running.wait(COMMAND).success() {
                    break;
                }
                assert!(begun.elapsed() < COMMAND, "{} has not heard of it:\n{}", trustee.name, running.tail());
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Keys: made, paid for, tried and anchored.
    pub(crate) fn make_keys(&mut self, election: &Election) {
        self.run(election, "keys", &["--until", "certified"]);
        self.fund(election);
        self.run(election, "keys", &["--until", "ready"]);
    }

    /// Money for the anchors.
    pub(crate) fn fund(&self, election: &Election) {
        let status =
            self.ceremony(&format!("{}-status", election.name), &["status", "--election", &election.id], COMMAND);
        let address = status["group_address"].as_str().unwrap();
        let line = ["--json", "--url", self.rpc(), "fund", address, "--sol", "1"];
        self.processes.ask(&format!("{}-fund", election.name), "anchor-tool", line, COMMAND);
    }

    /// Announced, accepted, with keys, open.
    #[must_use]
    pub(crate) fn open_election(&mut self, name: &str, voters: usize, home: usize, seed: u64) -> Election {
        let election = self.announce(name, voters, home, seed);
        self.accept(&election);
        self.make_keys(&election);
        self.run(&election, "open", &[]);
        election
    }

    /// A command of the official, again and again until it succeeds.
    pub(crate) fn run(&mut self, election: &Election, command: &str, more: &[&str]) -> Value {
        self.run_while(election, command, more, |_| {})
    }

    /// [`House::run`]; meanwhile something is done, at every look.
    pub(crate) fn run_while(
        &mut self,
        election: &Election,
        command: &str,
        more: &[&str],
        mut meanwhile: impl FnMut(&mut Self),
    ) -> Value {
        let mut task = self.begin(election, command, more);
        loop {
            if let Some(answer) = self.poll(&mut task) {
                return answer;
            }
            meanwhile(self);
            thread::sleep(TICK);
        }
    }

    /// [`House::run`] in the background.
    #[must_use]
    pub(crate) fn begin(&self, election: &Election, command: &str, more: &[&str]) -> Persistent {
        let name = format!("{}-{command}", election.name);
        let line = [command, "--election", &election.id].into_iter().chain(more.iter().copied());
        let arguments: Vec<String> = line.map(str::to_owned).collect();
        let running = self.start_persistent(&name, &arguments);
        Persistent { name, arguments, running, begun: Instant::now() }
    }

    fn start_persistent(&self, name: &str, arguments: &[String]) -> Running {
        self.start_ceremony(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Its answer, if it has succeeded. It has to, in time.
    pub(crate) fn poll(&self, task: &mut Persistent) -> Option<Value> {
        let ended = task.running.ended();
        let late = task.begun.elapsed() > STAGE;
        assert!(!late, "{} did not succeed within {STAGE:?}: {ended:?}\n{}", task.name, task.running.tail());
        match ended {
            None => None,
            Some(status) if status.success() => Some(task.running.printed()),
            Some(status) => {
                let usage = status.code() == Some(2);
                assert!(!usage, "{}: {status}\n{}", task.name, task.running.tail());
                task.running = self.start_persistent(&task.name, &task.arguments);
                None
            }
        }
    }

    /// Waits until a command that was begun has succeeded.
    pub(crate) fn finish(&self, mut task: Persistent) -> Value {
        loop {
            if let Some(answer) = self.poll(&mut task) {
                return answer;
            }
            thread::sleep(TICK);
        }
    }

    /// Where it stands, as its home shard says, past all proxies; nothing if that is away.
    #[must_use]
    pub(crate) fn look(&self, election: &Election) -> Option<Status> {
        let id: ElectionId = election.id.parse().unwrap();
        let asked = async {
            let mut client = election.window.record().await.ok()?;
            let request = ElectionRequest { election_id: id.0.to_vec() };
            Some(client.get_status(request).await.ok()?.into_inner())
        };
        self.runtime.block_on(async { tokio::time::timeout(LOOK, asked).await.ok().flatten() })
    }

    /// Waits until the status is like this; it has to become so.
    pub(crate) fn until(&self, election: &Election, what: &str, mut like: impl FnMut(&Status) -> bool) -> Status {
        let begun = Instant::now();
        let mut last = None;
        loop {
            if let Some(status) = self.look(election) {
                if like(&status) {
                    return status;
                }
                last = Some(status);
            }
            assert!(begun.elapsed() < STAGE, "{}: not {what} within {STAGE:?}: {last:#?}", election.name);
            thread::sleep(TICK);
        }
    }

    /// Waits until a stage has begun; gives the stage that it is.
    #[must_use]
    pub(crate) fn until_stage(&self, election: &Election, stage: &str) -> String {
        self.until(election, stage, |status| rank(&status.stage) >= rank(stage)).stage
    }

    /// Its voters, once its key is certified.
    #[must_use]
    pub(crate) fn voters(&self, election: &Election) -> Voters {
        let id = election.id.parse().unwrap();
        let fetched = self.runtime.block_on(booth::election::Election::fetch(&election.window, id)).unwrap();
        Voters { election: Arc::new(fetched), servers: self.servers(), history: Arc::clone(&election.history) }
    }

    /// Everybody seals, and begins to cast.
    #[must_use]
    pub(crate) fn begin_casting(&self, election: &Election, pace: Pace) -> (Voters, Vec<Ballot>, Casting) {
        let voters = self.voters(election);
        let ballots = voters.seal_all(&election.keys, election.seed);
        let casting = voters.cast(self.runtime.handle(), ballots.clone(), pace);
        (voters, ballots, casting)
    }

    /// Casts everything, while something is done at every look; all of it has to be recorded. Some vote again, some send
    /// rubbish, some ask.
    pub(crate) fn cast_while(&mut self, election: &Election, pace: Pace, mut meanwhile: impl FnMut(&mut Self, usize)) {
        let (voters, ballots, casting) = self.begin_casting(election, pace);
        while !casting.is_over() {
            meanwhile(self, election.history.recorded());
            thread::sleep(TICK);
        }
        let unknown = casting.finish();
        assert!(unknown.is_empty(), "{} ballots without a certain answer", unknown.len());
        self.cast_more(election, &voters, &ballots);
    }

    /// A change of mind in every tenth voter, rubbish, and old ballots once more.
    pub(crate) fn cast_more(&self, election: &Election, voters: &Voters, ballots: &[Ballot]) {
        let again = voters.seal_all(&election.keys, election.seed ^ 0xa9a1).into_iter().step_by(10);
        let repeated = ballots.iter().skip(3).step_by(20).cloned();
        let rubbish = voters.rubbish(&ballots[0], election.seed);
        for wave in [again.collect::<Vec<_>>(), repeated.collect(), rubbish] {
            let unknown = voters.cast(self.runtime.handle(), wave, Pace::default()).finish();
            assert!(unknown.is_empty(), "{} ballots without a certain answer", unknown.len());
        }
        // Whoever asks is told: the checker compares this with the receipts.
        for (shard, ballot) in ballots.iter().step_by(15).enumerate() {
            let shard = shard % voters.servers.len();
            self.runtime.block_on(voters.find(ballot, shard, LOOK));
            let sealed = Sealed { voter: String::new(), bytes: ballot.bytes.clone() };
            let found = self.runtime.block_on(find(&voters.election, &voters.servers[shard], &sealed));
            // No answer is no lie.
            let told = found.is_err() || matches!(found, Ok(Some(Fate::Recorded(_))));
            assert!(told, "a booth that asks for a recorded ballot hears: {found:?}");
        }
    }

    /// Closed, opened, anchored; then [`House::judge`].
    pub(crate) fn finish_election(&mut self, election: &Election) -> Outcome {
        self.run(election, "close", &[]);
        self.run(election, "tally", &[]);
        self.run(election, "anchor", &[]);
        self.judge(election)
    }

    /// Exports the record; compares it with what everybody was told; has it audited, the ledger too. All has to be right.
    pub(crate) fn judge(&mut self, election: &Election) -> Outcome {
        self.must_run();
        let record = election.folder.join("record");
        let name = format!("{}-export", election.name);
        self.ceremony(&name, &["export", &shown(&record), "--election", &election.id], STAGE);
        election.history.write(&election.folder.join("history.jsonl"));
        let recorded = Recorded::read(&record);
        let faults = election.history.faults(&recorded);
        let counts = election.history.counts();
        assert!(faults.is_empty(), "{} {counts:?}:\n{}", election.name, faults.join("\n"));
        let line = ["verify", &shown(&record), "--rpc", self.rpc(), "--json"];
        let name = format!("{}-audit", election.name);
        let running = self.processes.start(&name, &self.processes.program("audit"), line);
        let status = running.wait(STAGE);
        let audit = running.printed();
        assert!(status.success() && audit["verdict"] == "valid", "{status}: {audit:#}\n{}", running.tail());
        let status = self.until(election, "answering", |_| true);
        println!("  {}: {} counted, answers {counts:?}", election.name, recorded.summary["counted"]);
        Outcome { summary: recorded.summary, audit, status }
    }
}

fn election_toml(name: &str, genesis: &str, home: usize) -> String {
    let mut text = format!("title = \"{name}\"\nhome = \"shard-{}\"\n\n", home + 1);
    text += &format!("[chain]\ncluster = \"local\"\ngenesis = \"{genesis}\"\n");
    let rules = ["method = \"single-choice\"\nblank = true", "method = \"approval\"\nmin = 1\nmax = 2\nblank = false"];
    for ((id, options), rules) in CONTESTS.iter().zip(rules) {
        text += &format!("\n[[contest]]\nid = \"{id}\"\ntitle = \"{id}\"\noptions = {options:?}\n{rules}\n");
    }
    text + "\n[[style]]\nid = \"all\"\ncontests = [\"chair\", \"members\"]\n"
}
