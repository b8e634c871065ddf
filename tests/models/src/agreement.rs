//! The agreement (`protocol::agreement`), as a transition system. (P-AGR)
//!
//! Phase one, [`lying`]: a coordinator delivers any subset of the messages to anybody in any order, timers run out whenever
//! it pleases, and one trustee says anything to anybody. Messages are a growing set; a trustee may act on any part of it.
//! That includes crashes and restarts: who restarts is where it was before it moved on.
//!
//! Phase two, [`healed`]: from any state of phase one an honest coordinator takes over. Everything that honest trustees ever
//! said reaches everybody before a timer runs out. The liar stays two-faced: it had all the time to show each trustee
//! something else for every slot to come, and a slot holds one body for ever.
//!
//! The rules of one trustee are in [`owed`], and only there; a test compares it with `protocol::agreement::Voter`.

mod healed;
mod lying;

/// Trustees, at most.
pub const TRUSTEES: usize = 4;
/// Rounds that one state can hold.
pub const WINDOW: usize = 8;

/// A vote set. `A` is a prefix of `B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they have no meaning beyond that")]
pub enum Value {
    A,
    B,
}

impl Value {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];
}

/// What fills the slot of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Vote {
    /// Nothing yet.
    #[default]
    Unsaid,
    /// A vote for nothing.
    Nil,
    /// A vote.
    For(Value),
}

impl Vote {
    fn of(value: Option<Value>) -> Self {
        value.map_or(Self::Nil, Self::For)
    }
}

/// A proposal: the value, and the round whose quorum of prevotes it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// What is proposed.
    pub value: Value,
    /// Where a quorum prevoted it.
    pub valid: Option<u8>,
}

/// What a trustee says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// In its turn.
    Proposal(Proposal),
    /// First vote.
    Prevote(Option<Value>),
    /// Second vote.
    Precommit(Option<Value>),
}

/// A value and the round since when.
pub type Since = Option<(u8, Value)>;

/// Which rule about earlier votes a trustee keeps to. All but the first are wrong, and a model must say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockRule {
    /// As shipped: a precommit locks, a later quorum of prevotes unlocks.
    Locked,
    /// Whoever has voted for a set never votes for another.
    SignOnce,
    /// Precommits bind nobody.
    NoLock,
}

/// Sizes and rules of one model.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Trustees.
    pub n: usize,
    /// Liars that the quorums were chosen for.
    pub f: usize,
    /// Quorum.
    pub q: usize,
    /// The one that lies, if any. Trustee `k` proposes in the rounds that are `k` modulo `n`.
    pub liar: Option<usize>,
    /// What is kept to.
    pub lock: LockRule,
    /// Whether prevotes of a trustee that is proven to have said two things in one place count no more. (P-AGR-8)
    pub proven: bool,
    /// How many of the honest may have co-signed more than `A`.
    pub longer: u32,
    /// Rounds of the lying phase.
    pub rounds: u8,
    /// Rounds that the honest may need after it. 0 leaves the second phase out.
    pub patience: u8,
}

/// What a trustee thinks of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in protocol::agreement::Judgement")]
pub enum Judged {
    Valid,
    Invalid,
    NotYet,
}

/// What one trustee has before it in the round that it is in.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Whether it is its turn.
    pub my_turn: bool,
    /// The proposal, as it has it.
    pub proposal: Option<Proposal>,
    /// Own prevote.
    pub prevote: Vote,
    /// Own precommit.
    pub precommit: Vote,
    /// Prevotes for nil, of whomever.
    pub nil: usize,
    /// Prevotes, of whomever.
    pub prevotes: usize,
    /// A quorum of prevotes in this round.
    pub polka: Option<Value>,
    /// The latest quorum of prevotes in a round before.
    pub polka_before: Since,
    /// Its lock; under [`LockRule::SignOnce`] what it once voted for.
    pub lock: Since,
    /// What it would propose itself.
    pub own: Option<Value>,
    /// Its judgement of `A` and `B` on one trustee's word.
    pub proposed: [Judged; 2],
    /// Its judgement of `A` and `B` once a quorum has prevoted it.
    pub prevoted: [Judged; 2],
    /// Whether the timer for the proposal has run out.
    pub propose_expired: bool,
    /// Whether the timer for prevotes has run out.
    pub prevote_expired: bool,
}

/// What a trustee owes, seeing this. The same decisions as `protocol::agreement::Voter::duty` makes within a round.
#[must_use]
pub fn owed(rules: &Rules, view: &View) -> Option<Said> {
    if view.precommit != Vote::Unsaid {
        return None;
    }
    let lock = if rules.lock == LockRule::NoLock { None } else { view.lock };
    let holds = |value: Value| lock.is_some_and(|(_, locked)| locked == value);
    if view.prevote == Vote::Unsaid {
        if view.my_turn
            && view.proposal.is_none()
            && let Some(proposal) = proposal(rules, view, lock)
        {
            return Some(Said::Proposal(proposal));
        }
        return match view.proposal.and_then(|proposal| answer(rules, view, lock, proposal)) {
            Some(value) => Some(Said::Prevote(value)),
            None if view.propose_expired => Some(Said::Prevote(None)),
            None => None,
        };
    }
    if let Some(value) = view.polka {
        let free = rules.lock != LockRule::SignOnce || lock.is_none();
        if holds(value) || free && view.prevoted[value as usize] == Judged::Valid {
            return Some(Said::Precommit(Some(value)));
        }
    }
    if view.nil >= rules.q || view.prevotes >= rules.q && view.prevote_expired {
        return Some(Said::Precommit(None));
    }
    None
}

fn proposal(rules: &Rules, view: &View, lock: Since) -> Option<Proposal> {
    if rules.lock == LockRule::SignOnce {
        let value = lock.map(|(_, value)| value).or(view.own)?;
        return Some(Proposal { value, valid: None });
    }
    if let Some((valid, value)) = view.polka_before
        && lock.is_none_or(|(round, _)| round <= valid)
    {
        return Some(Proposal { value, valid: Some(valid) });
    }
    let value = view.own.filter(|_| lock.is_none())?;
    Some(Proposal { value, valid: None })
}

fn answer(rules: &Rules, view: &View, lock: Since, proposal: Proposal) -> Option<Option<Value>> {
    let Proposal { value, valid } = proposal;
    if lock.is_some_and(|(_, locked)| locked == value) {
        return Some(Some(value));
    }
    let (free, judged) = match valid {
        None => (lock.is_none(), view.proposed[value as usize]),
        Some(valid) => {
            let unlocked = rules.lock != LockRule::SignOnce && lock.is_some_and(|(round, _)| round <= valid);
            (lock.is_none() || unlocked, view.prevoted[value as usize])
        }
    };
    match judged {
        _ if !free => Some(None),
        Judged::Valid => Some(Some(value)),
        Judged::Invalid => Some(None),
        Judged::NotYet => None,
    }
}

/// One honest trustee.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Trustee {
    /// Where it is.
    pub round: u8,
    /// It has co-signed all of `B`: it judges `A` invalid on one trustee's word.
    pub long: bool,
    /// Its lock.
    pub lock: Since,
    /// Quorums of prevotes that it has seen for certain, by round of the window.
    pub known: [Option<Value>; WINDOW],
    /// The latest one that it has seen in a round before the window.
    pub before: Since,
    /// What it has a certificate for. Counts in the second phase only.
    pub certificate: Option<Value>,
}

/// What honest trustees have said in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RoundSaid {
    /// The proposal of an honest proposer.
    pub proposal: Option<Proposal>,
    /// By trustee.
    pub prevotes: [Vote; TRUSTEES],
    /// By trustee.
    pub precommits: [Vote; TRUSTEES],
    /// Whether somebody went by a prevote of the liar. Then its place is taken everywhere, by that one or another.
    pub liar_prevoted: bool,
    /// Whether somebody went by a precommit of the liar.
    pub liar_precommitted: bool,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The highest round when the honest coordinator took over; `None` before.
    pub healed: Option<u8>,
    /// The last round that the honest may need after that.
    pub last: u8,
    /// Who has no proof that the liar said two things in one place. What the liar says from now on is the same to them.
    pub trusting: [bool; TRUSTEES],
    /// The liar's prevotes since then, by round of the window, where one of them was in time for somebody.
    pub shown: [Option<Value>; WINDOW],
    /// The round of the window's first place.
    pub base: u8,
    /// The honest; the liar's entry stays as it was.
    pub trustees: [Trustee; TRUSTEES],
    /// Rounds from `base` on.
    pub said: [RoundSaid; WINDOW],
    /// Rounds before the window in which the liar's late prevote would still complete a quorum.
    pub open: Vec<(u8, Value)>,
    /// Whether the liar's late precommit would still complete a certificate of a round before the window: for `A`, for `B`.
    pub certifiable: [bool; 2],
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A trustee says something; in doing so it learns of a quorum of prevotes in some round.
    Say {
        /// Who.
        who: usize,
        /// In which round.
        round: u8,
        /// What.
        said: Said,
        /// Round and value of the quorum that it saw.
        learns: Since,
    },
    /// A trustee begins a round.
    Start {
        /// Who.
        who: usize,
        /// Which.
        round: u8,
    },
    /// The honest coordinator takes over.
    Heal {
        /// To whom it has nothing to show that contradicts what they have from the liar.
        trusting: [bool; TRUSTEES],
    },
    /// The liar's late prevote shows a trustee a quorum of prevotes.
    Show {
        /// Whom.
        who: usize,
        /// Round and value.
        polka: (u8, Value),
    },
    /// The liar's precommit completes a certificate for a trustee.
    Certify {
        /// For whom.
        who: usize,
        /// Of what.
        value: Value,
    },
}

impl Rules {
    /// How many liars there are.
    #[must_use]
    pub fn lies(&self) -> usize {
        usize::from(self.liar.is_some())
    }
    /// Trustees that keep to the rules.
    pub fn honest(&self) -> impl Iterator<Item = usize> + use<> {
        let liar = self.liar;
        (0..self.n).filter(move |who| Some(*who) != liar)
    }
    /// Who proposes in a round.
    #[must_use]
    pub fn proposer(&self, round: u8) -> usize {
        usize::from(round).checked_rem(self.n).unwrap_or(0)
    }
    /// Every beginning: which of the honest have co-signed more than `A`, at most `longer` of them.
    #[must_use]
    pub fn beginnings(&self) -> Vec<State> {
        let honest: Vec<usize> = self.honest().collect();
        let beginning = |mask: u32| {
            let mut state = State {
                healed: None,
                last: 0,
                trusting: [true; TRUSTEES],
                shown: [None; WINDOW],
                base: 0,
                trustees: Default::default(),
                said: Default::default(),
                open: Vec::new(),
                certifiable: [false; 2],
            };
            for (bit, who) in honest.iter().enumerate() {
                state.trustees[*who].long = mask & (1 << bit) != 0;
            }
            state
        };
        (0..1_u32 << honest.len()).filter(|mask| mask.count_ones() <= self.longer).map(beginning).collect()
    }
    /// Every step that can be taken.
    #[must_use]
    pub fn steps(&self, state: &State) -> Vec<Step> {
        match state.healed {
            None => self.lying_steps(state),
            Some(healed) => self.healed_steps(state, healed, self.lies()),
        }
    }
    /// The state after a step.
    #[must_use]
    pub fn after(&self, state: &State, step: Step) -> State {
        let mut next = state.clone();
        match step {
            Step::Heal { trusting } => self.heal(&mut next, trusting),
            Step::Start { who, round } => self.start(&mut next, who, round),
            Step::Say { who, round, said, learns } => self.say(&mut next, who, round, said, learns),
            Step::Show { who, polka } => self.show(&mut next, who, polka),
            Step::Certify { who, value } => next.trustees[who].certificate = Some(value),
        }
        self.note_the_liar(state, step, &mut next);
        if next.healed.is_some() {
            self.settle(&mut next);
        }
        next
    }

    /// Notes where a step was possible only with a vote of the liar.
    fn note_the_liar(&self, before: &State, step: Step, next: &mut State) {
        let (prevoted, precommitted) = match step {
            Step::Say { round, said: Said::Precommit(Some(value)), .. } => {
                let alone = count(&before.said[before.at(round)].prevotes, Vote::For(value)) >= self.q;
                (Some(round).filter(|_| !alone), None)
            }
            Step::Say { who, round, said: Said::Precommit(None), .. } => {
                let votes = &before.said[before.at(round)].prevotes;
                let alone = if before.healed.is_some() { said(votes) } else { self.without_quorum(votes) };
                let may_judge = before.healed.is_none() && !before.trustees[who].long && said(votes) >= self.q;
                (Some(round).filter(|_| alone < self.q && !may_judge), None)
            }
            Step::Start { who, round } => {
                let left = before.trustees[who].round;
                let votes = &before.said[before.at(left)].precommits;
                let alone = if before.healed.is_some() { said(votes) } else { self.without_quorum(votes) };
                (None, Some(left).filter(|_| round == left + 1 && alone < self.q))
            }
            Step::Show { polka: (round, _), .. } => (Some(round).filter(|round| *round >= before.base), None),
            _ => (None, None),
        };
        if let Some(round) = prevoted {
            let at = next.at(round);
            next.said[at].liar_prevoted |= self.lies() > 0;
        }
        if let Some(round) = precommitted {
            let at = next.at(round);
            next.said[at].liar_precommitted |= self.lies() > 0;
        }
    }

    /// How many votes of honest trustees somebody can have seen who has not seen a quorum for a value.
    fn without_quorum(&self, votes: &[Vote; TRUSTEES]) -> usize {
        let below = self.q.saturating_sub(1);
        let some: usize = Value::ALL.iter().map(|value| count(votes, Vote::For(*value)).min(below)).sum();
        some + count(votes, Vote::Nil)
    }

    fn say(&self, state: &mut State, who: usize, round: u8, said: Said, learns: Since) {
        if let Some((round, value)) = learns {
            state.learn(who, round, value);
        }
        let at = state.at(round);
        match said {
            Said::Proposal(proposal) => state.said[at].proposal = Some(proposal),
            Said::Prevote(value) => {
                state.said[at].prevotes[who] = Vote::of(value);
                if let (Some(value), LockRule::SignOnce) = (value, self.lock) {
                    state.trustees[who].lock = Some((0, value));
                }
            }
            Said::Precommit(value) => {
                state.said[at].precommits[who] = Vote::of(value);
                if let Some(value) = value {
                    let since = if self.lock == LockRule::SignOnce { 0 } else { round };
                    state.trustees[who].lock = Some((since, value));
                }
            }
        }
    }

    /// The values for which a certificate exists, with the liar signing everything.
    #[must_use]
    pub fn certifiable(&self, state: &State) -> [bool; 2] {
        let in_round = |value: Value| state.said.iter().any(|said| self.enough(&said.precommits, value));
        Value::ALL.map(|value| {
            let held = self.honest().any(|who| state.trustees[who].certificate == Some(value));
            held || state.certifiable[value as usize] || in_round(value)
        })
    }

    /// The highest round in which an honest trustee has said something.
    fn highest_said(&self, state: &State, who: usize) -> Option<u8> {
        let spoke = |(at, said): &(usize, &RoundSaid)| {
            let round = state.base + u8::try_from(*at).unwrap_or(0);
            let proposed = said.proposal.is_some() && self.proposer(round) == who;
            proposed || said.prevotes[who] != Vote::Unsaid || said.precommits[who] != Vote::Unsaid
        };
        let (at, _) = state.said.iter().enumerate().rev().find(spoke)?;
        Some(state.base + u8::try_from(at).unwrap_or(0))
    }

    /// Whether the honest votes for a value, and the liar's, are a quorum.
    fn enough(&self, votes: &[Vote; TRUSTEES], value: Value) -> bool {
        count(votes, Vote::For(value)).saturating_add(self.lies()) >= self.q
    }

    /// Whether all that is wanted has come about.
    #[must_use]
    pub fn finished(&self, state: &State) -> bool {
        self.honest().all(|who| state.trustees[who].certificate.is_some())
    }

    /// Whether the honest are neither finished nor on their way: nobody can do anything while the liar is silent, or they
    /// have had all the rounds that they may need.
    #[must_use]
    pub fn stuck(&self, state: &State) -> bool {
        let Some(healed) = state.healed else { return false };
        !self.finished(state) && (self.too_late(state) || self.healed_steps(state, healed, 0).is_empty())
    }
}

impl State {
    fn at(&self, round: u8) -> usize {
        usize::from(round.saturating_sub(self.base))
    }

    fn learn(&mut self, who: usize, round: u8, value: Value) {
        let at = self.at(round);
        let trustee = &mut self.trustees[who];
        if round >= self.base {
            trustee.known[at] = Some(value);
        } else {
            trustee.before = trustee.before.max(Some((round, value)));
        }
    }
}

fn count(votes: &[Vote; TRUSTEES], vote: Vote) -> usize {
    votes.iter().filter(|held| **held == vote).count()
}

fn said(votes: &[Vote; TRUSTEES]) -> usize {
    TRUSTEES.saturating_sub(count(votes, Vote::Unsaid))
}
