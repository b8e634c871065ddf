//! One run: everybody in it, the loop over events, and mischief.

use crate::{
    chain::ChainNode,
    coverage::{shard_crash, trustee_crash},
    ground::{Event, Ground},
    official::OfficialNode,
    policies::{COORDINATORS, TRUSTEES},
    setup::{Setup, below, chance},
    shard::{Process, ShardNode},
    trustee::TrusteeNode,
    voter::VoterNode,
    watch::Violation,
    wire::{Node, Packet},
};
use protocol::{
    board::Stage,
    evidence::Wrong,
    ids::TrusteeIndex,
    signed::{Body, Sender},
};
use std::{collections::BTreeSet, sync::Arc};

/// After the healing an election has this long to come to its end, in virtual milliseconds.
pub const LIVENESS_MS: u64 = 150_000;
/// Events of one run, at most.
const EVENTS_MAX: u64 = 400_000;
/// The faults begin then, wherever the election stands.
const LATEST_MS: u64 = 20_000;
/// How often chance may strike.
const MISCHIEF_MS: u64 = 350;

/// Which policies are at work, as numbers of [`TRUSTEES`] and [`COORDINATORS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cast {
    /// Liars among the trustees.
    pub liars: Vec<(TrusteeIndex, usize)>,
    /// The coordinator, until the healing.
    pub coordinator: Option<usize>,
    /// Whose folder is put back or cloned.
    pub falls: Option<(TrusteeIndex, bool)>,
    /// Whose operator refuses.
    pub refuses: Option<TrusteeIndex>,
}

impl Cast {
    /// Nobody lies, nobody falls.
    #[must_use]
    pub fn honest() -> Self {
        Self::default()
    }
    /// One trustee lies, as the policy of this name does.
    ///
    /// # Panics
    /// If there is no such policy.
    #[must_use]
    pub fn with_trustee(mut self, name: &str, index: TrusteeIndex) -> Self {
        let policy = TRUSTEES.iter().position(|entry| entry.name == name);
        self.liars.push((index, policy.expect("a policy of that name")));
        self
    }
    /// The coordinator lies, as the policy of this name does.
    ///
    /// # Panics
    /// If there is no such policy.
    #[must_use]
    pub fn with_coordinator(mut self, name: &str) -> Self {
        let policy = COORDINATORS.iter().position(|entry| entry.name == name);
        self.coordinator = Some(policy.expect("a policy of that name"));
        self
    }

    /// As the seed and the profile say: never more than `f` trustees that are not as they should be.
    #[must_use]
    pub fn draw(setup: &Setup, ground: &mut Ground) -> Self {
        let (profile, n) = (setup.profile, setup.n());
        let dice = &mut ground.dice;
        let mut left = setup.manifest.quorums.f;
        let mut cast = Self::default();
        let mut free: Vec<TrusteeIndex> = setup.manifest.trustee_indices().collect();
        let mut one = |dice: &mut crate::Dice| {
            let at = usize::try_from(below(dice, free.len() as u64)).unwrap_or(0);
            free.remove(at)
        };
        if left > 0 && (chance(dice, profile.restore) || chance(dice, profile.twin)) {
            left -= 1;
            let twin = profile.restore == 0 || chance(dice, 500);
            cast.falls = Some((one(dice), twin));
        }
        if chance(dice, profile.liars) {
            while left > 0 && (cast.liars.is_empty() || chance(dice, 700)) {
                left -= 1;
                let mut policy = usize::try_from(below(dice, TRUSTEES.len() as u64)).unwrap_or(0);
                if TRUSTEES[policy].stops_ceremony && !chance(dice, 200) {
                    policy = usize::try_from(below(dice, TRUSTEES.len() as u64)).unwrap_or(0);
                }
                cast.liars.push((one(dice), policy));
            }
        }
        if chance(dice, profile.coordinator) {
            cast.coordinator = usize::try_from(below(dice, COORDINATORS.len() as u64)).ok();
        }
        if chance(dice, profile.refusal) {
            cast.refuses = Some(TrusteeIndex(1 + u16::try_from(below(dice, n.into())).unwrap_or(0)));
        }
        cast
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an anchored result.
    Complete,
    /// A trustee's operator refused.
    Stopped,
    /// It waits, rightly, for somebody who lies, has fallen, or cannot be reached.
    Waits,
}

/// See the [module](self).
pub struct World {
    /// What all stand on.
    pub ground: Ground,
    /// By index.
    pub trustees: Vec<TrusteeNode>,
    /// The second daemon of a cloned trustee.
    pub twin: Option<TrusteeNode>,
    /// The home shard.
    pub shard: ShardNode,
    chain: ChainNode,
    voters: Vec<VoterNode>,
    official: OfficialNode,
    cast: Cast,
    voting: bool,
    began: bool,
    healed: bool,
    healed_at: u64,
}

impl World {
    /// At time 0. `cast`: who lies, else it is drawn.
    #[must_use]
    pub fn new(setup: Setup, cast: Option<Cast>, keep_lines: bool) -> Self {
        let setup = Arc::new(setup);
        let mut ground = Ground::new(setup.clone(), keep_lines);
        let drawn = Cast::draw(&setup, &mut ground);
        let cast = cast.unwrap_or(drawn);
        let n = setup.n();
        let trustees = setup.manifest.trustee_indices().zip(&setup.trustees).map(|(index, key)| {
            let policy = cast.liars.iter().find(|(liar, _)| *liar == index).map(|(_, policy)| {
                let entry = &TRUSTEES[*policy];
                ground.conspiracy.trustees.insert(index, key.clone());
                ground.watch.lies(index);
                *ground.coverage.policies.entry(entry.name).or_default() += 1;
                (entry.make)()
            });
            TrusteeNode::new(index, key.clone(), policy, cast.refuses == Some(index))
        });
        let trustees = trustees.collect();
        let policy = cast.coordinator.map(|policy| {
            let entry = &COORDINATORS[policy];
            ground.conspiracy.shard = Some(setup.shard.clone());
            ground.watch.coordinator_lies();
            *ground.coverage.policies.entry(entry.name).or_default() += 1;
            (entry.make)()
        });
        let shard = ShardNode::new(setup.shard.clone(), policy, 1, n);
        let voters = (0..setup.voters.len()).filter_map(|at| u16::try_from(at).ok()).map(VoterNode::new).collect();
        let mut world = Self {
            ground,
            trustees,
            twin: None,
            shard,
            chain: ChainNode::default(),
            voters,
            official: OfficialNode::default(),
            cast,
            voting: false,
            began: false,
            healed: false,
            healed_at: 0,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for trustee in &mut self.trustees {
            trustee.start(&mut self.ground);
        }
        self.shard.start(&mut self.ground);
        self.ground.timer(5, Node::Official, 0, 0);
        self.healed = self.ground.setup.profile.faults_from.is_none();
        self.misfortune();
    }

    /// From the stage of the profile on everything may go wrong, for a while.
    fn misfortune(&mut self) {
        let profile = self.ground.setup.profile;
        let late = self.ground.now > LATEST_MS;
        if self.began || profile.faults_from.is_none_or(|from| self.ground.stage < from && !late) {
            return;
        }
        self.began = true;
        self.ground.faulty = true;
        crate::note!(self.ground, "the faults begin");
        self.ground.at(self.ground.now + 1, Event::Mischief);
        self.ground.at(self.ground.now + profile.faults_for, Event::Heals);
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self) -> Result<Ending, Violation> {
        while let Some(event) = self.ground.happens_next() {
            if self.ground.trace.events() > EVENTS_MAX {
                return Err(Violation::new("I19", format!("more than {EVENTS_MAX} messages in one election")));
            }
            if self.ground.now > self.healed_at + LIVENESS_MS {
                break;
            }
            self.happens(event);
            self.misfortune();
            if let Some(violation) = self.ground.watch.violation.take() {
                return Err(violation);
            }
            if self.is_over() {
                break;
            }
        }
        self.judge_the_end()
    }

    /// Who is named in the evidence of some honest party.
    #[must_use]
    pub fn blamed(&self) -> BTreeSet<(Sender, Wrong)> {
        let honest = self.trustees.iter().filter(|trustee| trustee.is_honest());
        let boards = honest.filter_map(|trustee| Some(trustee.process.as_ref()?.keeper.board()));
        let home = self.shard.process.as_ref().map(|process| &process.board);
        let home = home.filter(|_| self.shard.policy.is_none());
        boards.chain(home).flat_map(|board| board.evidence()).map(|one| (one.accused, one.wrong)).collect()
    }

    /// Whether an honest home shard has what the record needs.
    fn is_recorded(&self) -> bool {
        let home = self.shard.process.as_ref().filter(|_| self.shard.policy.is_none());
        home.is_none_or(Process::record_is_final)
    }

    fn is_over(&self) -> bool {
        let stage = self.shard.stage();
        match stage {
            Some(Stage::Complete) => self.healed && self.is_recorded() && self.voters.iter().all(|voter| voter.done),
            Some(Stage::Stopped) => true,
            _ => false,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives(packet) => self.arrives(packet),
            Event::Timer { node, life, .. } => match node {
                Node::Shard if life == self.shard.life => self.shard.timer(&mut self.ground),
                Node::Chain => self.chain.timer(&mut self.ground),
                Node::Official => {
                    self.official.all_cast =
                        self.voting && self.voters.iter().all(|voter| voter.has_cast || voter.late);
                    self.official.timer(&mut self.ground);
                }
                Node::Voter(at) => {
                    if let Some(voter) = self.voters.get_mut(usize::from(at)) {
                        voter.timer(&mut self.ground);
                    }
                }
                Node::Shard | Node::Trustee(_) => {}
            },
            Event::Starts(node) => self.starts(node),
            Event::Mischief => self.mischief(),
            Event::Heals => self.heals(),
        }
    }

    fn arrives(&mut self, packet: Packet) {
        match packet.to {
            Node::Trustee(index) => {
                let both = self.twin.as_ref().is_some_and(|twin| twin.me.0 == index);
                if both && chance(&mut self.ground.dice, 500) {
                    if let Some(twin) = &mut self.twin {
                        twin.called(&mut self.ground, packet);
                    }
                } else if let Some(trustee) = self.trustees.get_mut(usize::from(index).saturating_sub(1)) {
                    trustee.called(&mut self.ground, packet);
                }
            }
            Node::Shard => self.shard.called(&mut self.ground, packet),
            Node::Chain => self.chain.asked(&mut self.ground, packet),
            Node::Official => {
                self.official.called(&mut self.ground, packet);
                if self.official.opened_at.is_some() && !self.voting {
                    self.voting = true;
                    let window = 100 + below(&mut self.ground.dice, 3000);
                    for at in 0..self.voters.len() {
                        let after = 1 + below(&mut self.ground.dice, window);
                        let late = chance(&mut self.ground.dice, 30) && at > 2;
                        self.voters[at].late = late;
                        let after = if late { after + 9_000 } else { after };
                        let at = u16::try_from(at).unwrap_or(0);
                        self.ground.timer(after, Node::Voter(at), 0, 0);
                    }
                }
            }
            Node::Voter(at) => {
                if let Some(voter) = self.voters.get_mut(usize::from(at)) {
                    voter.called(&mut self.ground, packet);
                }
            }
        }
    }

    fn starts(&mut self, node: Node) {
        match node {
            Node::Trustee(index) => {
                if let Some(twin) = self.twin.as_mut().filter(|twin| twin.me.0 == index && twin.process.is_none()) {
                    twin.start(&mut self.ground);
                }
                let trustee = self.trustees.get_mut(usize::from(index).saturating_sub(1));
                if let Some(trustee) = trustee.filter(|trustee| trustee.process.is_none()) {
                    trustee.start(&mut self.ground);
                    let stage = trustee.process.as_ref().map(|process| process.keeper.board().stage());
                    match stage {
                        Some(Stage::KeyCeremony) => {
                            self.ground.coverage.sometimes("a trustee restarted during the key ceremony");
                        }
                        Some(Stage::Agreement | Stage::Closing) => {
                            self.ground.coverage.sometimes("a trustee restarted during the agreement");
                        }
                        _ => {}
                    }
                }
            }
            Node::Shard if self.shard.process.is_none() => {
                self.shard.start(&mut self.ground);
                if self.shard.stage() == Some(Stage::Open) {
                    self.ground.coverage.sometimes("the shard restarted during voting");
                }
            }
            _ => {}
        }
    }

    fn any_trustee(&mut self) -> usize {
        usize::try_from(below(&mut self.ground.dice, self.trustees.len() as u64)).unwrap_or(0)
    }

    /// Chance strikes, as the profile allows.
    fn mischief(&mut self) {
        if !self.ground.faulty {
            return;
        }
        let profile = self.ground.setup.profile;
        if chance(&mut self.ground.dice, profile.partition) {
            self.cut();
        }
        if chance(&mut self.ground.dice, profile.crash) {
            self.crash();
        }
        if chance(&mut self.ground.dice, profile.token) {
            let at = self.any_trustee();
            self.ground.coverage.fault("token.lost");
            self.trustees[at].token_away = self.ground.now + 100 + below(&mut self.ground.dice, 2500);
        }
        if profile.token > 0 && chance(&mut self.ground.dice, 100) {
            let at = self.any_trustee();
            let off = i64::try_from(below(&mut self.ground.dice, 4000)).unwrap_or(0) - 2000;
            self.ground.coverage.fault(if off < 0 { "clock.trustee-behind" } else { "clock.trustee-ahead" });
            self.trustees[at].skew = off;
        }
        self.fall();
        let next = self.ground.now + 1 + below(&mut self.ground.dice, 2 * MISCHIEF_MS);
        self.ground.at(next, Event::Mischief);
    }

    fn cut(&mut self) {
        let at = self.any_trustee();
        let trustee = Node::Trustee(self.trustees[at].me.0);
        let until = self.ground.now + 200 + below(&mut self.ground.dice, 4000);
        let (ground, coverage) = (&mut self.ground.network, &mut self.ground.coverage);
        match below(&mut self.ground.dice, 8) {
            0..=2 => {
                coverage.fault("net.cut-to-trustee");
                ground.cut(Node::Shard, trustee, until);
            }
            3..=5 => {
                coverage.fault("net.cut-from-trustee");
                ground.cut(trustee, Node::Shard, until);
            }
            6 => {
                coverage.fault("net.cut-both");
                ground.cut(Node::Shard, trustee, until);
                ground.cut(trustee, Node::Shard, until);
            }
            _ => {
                coverage.fault("net.cut-shard");
                for trustee in &self.trustees {
                    ground.cut(Node::Shard, Node::Trustee(trustee.me.0), until);
                }
            }
        }
    }

    fn crash(&mut self) {
        let down = 20 + below(&mut self.ground.dice, 1800);
        match below(&mut self.ground.dice, 10) {
            0..=2 => {
                if let Some(stage) = self.shard.stage()
                    && stage < Stage::Complete
                {
                    self.ground.coverage.fault(shard_crash(stage));
                    crate::note!(self.ground, "the shard crashes in stage {}", stage.name());
                    self.shard.dies(&mut self.ground, down);
                }
            }
            3 => {
                self.ground.coverage.fault("crash.all-trustees");
                for at in 0..self.trustees.len() {
                    if self.trustees[at].process.is_some() {
                        self.trustees[at].dies(&mut self.ground, down);
                    }
                }
            }
            _ => {
                let at = self.any_trustee();
                let stage = self.trustees[at].process.as_ref().map(|process| process.keeper.board().stage());
                if let Some(stage) = stage.filter(|stage| *stage < Stage::Complete) {
                    self.ground.coverage.fault(trustee_crash(stage));
                    crate::note!(self.ground, "trustee {} crashes in stage {}", at + 1, stage.name());
                    self.trustees[at].dies(&mut self.ground, down);
                }
            }
        }
    }

    /// A folder is put back from a backup, or cloned.
    fn fall(&mut self) {
        let Some((index, twin)) = self.cast.falls else { return };
        let at = usize::from(index.0).saturating_sub(1);
        if self.trustees[at].fallen {
            return;
        }
        if self.trustees[at].backup.is_none() {
            if chance(&mut self.ground.dice, 150) {
                self.trustees[at].backup = Some(self.trustees[at].disk.backup());
            }
            return;
        }
        if !chance(&mut self.ground.dice, 150) {
            return;
        }
        self.trustees[at].fallen = true;
        self.ground.watch.falls(index);
        if twin {
            self.ground.coverage.fault("disk.cloned");
            crate::note!(self.ground, "trustee {index} is cloned");
            self.trustees[at].cloned = true;
            let mut twin = self.trustees[at].twin();
            twin.start(&mut self.ground);
            self.twin = Some(twin);
        } else if let Some(backup) = self.trustees[at].backup {
            self.ground.coverage.fault("disk.restored");
            crate::note!(self.ground, "trustee {index} is restored from a backup");
            self.trustees[at].disk.restore(backup);
            self.trustees[at].dies(&mut self.ground, 50);
        }
    }

    /// The faults are over: the network is whole, disks and tokens are well, processes run.
    fn heals(&mut self) {
        crate::note!(self.ground, "the faults are over");
        self.ground.faulty = false;
        self.healed = true;
        self.healed_at = self.ground.now;
        if self.ground.network.heal() {
            self.ground.coverage.fault("net.healed");
        }
        for trustee in &mut self.trustees {
            if trustee.token_away > self.ground.now {
                self.ground.coverage.fault("token.back");
            }
            trustee.token_away = 0;
            trustee.skew = 0;
        }
        if self.shard.policy.is_some() {
            self.shard.policy = None;
            // Its lies end with it: replaced by an honest one with the same keys and an empty store.
            self.ground.coverage.sometimes("the coordinator was replaced");
            let n = self.ground.setup.n();
            let life = self.shard.life;
            self.shard = ShardNode::new(self.ground.setup.shard.clone(), None, 2, n);
            self.shard.life = life;
            self.shard.begin_rebuild();
            self.shard.start(&mut self.ground);
        }
    }

    /// Liveness, and what can only be told at the end.
    fn judge_the_end(&mut self) -> Result<Ending, Violation> {
        let stage = self.shard.stage();
        let watch = &mut self.ground.watch;
        for trustee in self.trustees.iter().filter(|trustee| trustee.is_honest()) {
            watch.end(trustee);
        }
        let honest = self.trustees.iter().filter(|trustee| trustee.is_honest());
        let boards = honest.filter_map(|trustee| Some(trustee.process.as_ref()?.keeper.board()));
        // The keys that are in use: of the honest trustee that has come furthest.
        if let Some(board) = boards.max_by_key(|board| board.stage()) {
            watch.shares(&self.trustees, board);
        }
        watch.anchors(self.chain.finalized(self.ground.now));
        if let Some(violation) = watch.violation.take() {
            return Err(violation);
        }
        match stage {
            Some(Stage::Complete) if !self.is_recorded() => {
                Err(Violation::new("V06", "a certified end has no co-signed checkpoint: no record can be made".into()))
            }
            Some(Stage::Complete) => {
                self.ground.coverage.sometimes("election complete");
                Ok(Ending::Complete)
            }
            Some(Stage::Stopped) => {
                self.ground.coverage.sometimes("stopped by a refusal");
                Ok(Ending::Stopped)
            }
            _ => self.judge_waiting(),
        }
    }

    /// It is not complete: is there a reason that nobody can be blamed for but those who lie?
    fn judge_waiting(&mut self) -> Result<Ending, Violation> {
        let Some(process) = &self.shard.process else {
            return Err(Violation::new("V06", "the shard does not run at the end".into()));
        };
        let board = &process.board;
        let stage = board.stage();
        let faulty = |name: &str| {
            let setup = &self.ground.setup;
            let index = setup
                .manifest
                .trustee_indices()
                .find(|index| setup.manifest.trustee(*index).is_some_and(|trustee| trustee.name == name));
            index.is_some_and(|index| !self.ground.watch.is_honest(index))
        };
        let awaiting = board.awaiting();
        let names: Vec<&str> = awaiting.iter().map(|awaited| awaited.who.as_str()).collect();
        let before_opening = !board.opened();
        let somebody_faulty = self.ground.watch.faulty_trustees() > 0;
        // Every trustee is needed until the opening: whoever lies or has fallen can stop it, and is named.
        if before_opening && somebody_faulty && (names.iter().all(|name| faulty(name)) || self.given_up_by_faulty()) {
            return Ok(Ending::Waits);
        }
        if board.small_tally() {
            self.ground.coverage.sometimes("too few ballots for a tally");
            return Ok(Ending::Waits);
        }
        if self.chain.forged || (self.cast.coordinator.is_some() && self.is_beyond_repair()) {
            return Ok(Ending::Waits);
        }
        let id = match stage {
            Stage::Created | Stage::KeyCeremony | Stage::Rehearsal | Stage::Ready => "V02",
            Stage::Open => "V01",
            Stage::Closing | Stage::Agreement => "V03",
            Stage::Tally => "V04",
            _ => "V05",
        };
        let names: Vec<String> = awaiting.iter().map(|one| format!("{}: {}", one.who, one.what)).collect();
        let halted: Vec<String> = self
            .trustees
            .iter()
            .filter_map(|trustee| Some(format!("{} {}", trustee.me, trustee.process.as_ref()?.halted?)))
            .collect();
        let text = format!(
            "at {} ms the election is in stage {} and waits for {names:?}; halted: {halted:?}",
            self.ground.now,
            stage.name()
        );
        Err(Violation::new(id, text))
    }

    /// What a lying coordinator has done that no honest one can undo: honest trustees hold logs that contradict each
    /// other, or it has announced anchors that are not on the chain.
    fn is_beyond_repair(&self) -> bool {
        let honest: Vec<_> =
            self.trustees.iter().filter(|one| one.is_honest()).filter_map(|one| one.process.as_ref()).collect();
        let forked = honest.iter().enumerate().any(|(at, one)| {
            honest.iter().skip(at + 1).any(|other| {
                one.logs().iter().zip(other.logs()).any(|(one, other)| one.iter().zip(other).any(|(a, b)| a != b))
            })
        });
        let landed: Vec<[u8; 64]> = self.chain.finalized(self.ground.now).map(|landing| landing.signature).collect();
        let belied = honest.iter().any(|process| {
            process.keeper.board().of_kind(54).any(|envelope| match &envelope.body {
                Body::Anchored(anchored) => !landed.contains(&anchored.signature),
                _ => false,
            })
        });
        forked || belied
    }

    /// Attempt after attempt was given up, each with a reason that somebody faulty gave.
    fn given_up_by_faulty(&self) -> bool {
        let Some(process) = &self.shard.process else { return false };
        let board = &process.board;
        let attempt = board.current_attempt();
        if !board.given_up(attempt) {
            return false;
        }
        let judged = board.ceremony(attempt);
        let transcript = judged.transcript();
        let faulty = |index: &TrusteeIndex| !self.ground.watch.is_honest(*index);
        judged.flaws().iter().any(|flaw| faulty(&flaw.culprit))
            || transcript.abandons.keys().any(faulty)
            || transcript.complaints.keys().any(|(by, against)| faulty(by) || faulty(against))
            || !judged.disputes().is_empty()
    }
}
