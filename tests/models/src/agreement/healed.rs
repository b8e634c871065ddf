//! The healed phase: everything is delivered before a timer runs out, and the liar goes on.
//!
//! What a trustee owes without a timer it says at once. Only when nobody owes anything does a timer run out; after the first
//! rounds, which all still have old timers in, the earlier step's first. The liar's votes are never kept: where one vote more
//! makes a quorum at somebody, that somebody may see it or not.

use super::{
    Judged, Proposal, Rules, Said, Since, State, Step, TRUSTEES, Value, View, Vote, WINDOW, count, owed, said,
};

/// Where the window begins after it was moved: room for the rounds before it that still matter.
const BASE: u8 = 16;

impl Rules {
    /// The coordinator takes over.
    pub(super) fn heal(&self, state: &mut State, trusting: [bool; TRUSTEES]) {
        let rounds = self.honest().map(|who| state.trustees[who].round);
        let spoken = self.honest().filter_map(|who| self.highest_said(state, who));
        let healed = rounds.chain(spoken).max().unwrap_or(0);
        (state.healed, state.last, state.trusting) = (Some(healed), healed + self.patience, trusting);
    }

    /// Whether the honest have had all the rounds that they may need.
    pub(super) fn too_late(&self, state: &State) -> bool {
        self.honest().any(|who| state.trustees[who].round > state.last)
    }

    pub(super) fn start(&self, state: &mut State, who: usize, round: u8) {
        if state.healed.is_some() && state.trusting[who] {
            // What was late for this one in the rounds before has come by now.
            for at in 0..state.at(round) {
                if let Some(value) = state.shown[at] {
                    state.trustees[who].known[at] = Some(value);
                }
            }
        }
        state.trustees[who].round = round;
    }

    pub(super) fn show(&self, state: &mut State, who: usize, (round, value): (u8, Value)) {
        state.learn(who, round, value);
        if !self.proven || Some(round) <= state.healed {
            return;
        }
        // Everybody who has no proof sees the same vote: whom it is late for, by the next round.
        if round == state.trustees[who].round {
            let at = state.at(round);
            state.shown[at] = Some(value);
            for other in self.trusting_now(state) {
                if state.trustees[other].round > round {
                    state.learn(other, round, value);
                }
            }
        } else {
            for other in self.trusting_now(state) {
                state.learn(other, round, value);
            }
        }
    }

    fn trusting_now(&self, state: &State) -> Vec<usize> {
        self.honest().filter(|who| state.trusting[*who]).collect()
    }

    /// What follows from what everybody has; and forgets what can make no difference any more.
    pub(super) fn settle(&self, state: &mut State) {
        for at in 0..WINDOW {
            for value in Value::ALL {
                if count(&state.said[at].prevotes, Vote::For(value)) >= self.q {
                    self.honest().for_each(|who| state.trustees[who].known[at] = Some(value));
                }
                if count(&state.said[at].precommits, Vote::For(value)) >= self.q {
                    self.honest().for_each(|who| state.trustees[who].certificate = Some(value));
                }
            }
        }
        for at in 0..WINDOW {
            if let Some(Proposal { value, valid: Some(valid) }) = state.said[at].proposal {
                self.honest().for_each(|who| state.learn(who, valid, value));
            }
        }
        for votes in &mut state.said {
            self.forget_who(votes);
        }
        let lowest = self.honest().map(|who| state.trustees[who].round).min().unwrap_or(state.base);
        while state.base < lowest {
            self.leave_behind(state);
        }
        if self.finished(state) {
            self.forget_all(state);
        } else {
            self.renumber(state);
        }
    }

    /// Of the prevotes of those that have precommitted, only how many there are of each makes a difference.
    fn forget_who(&self, votes: &mut super::RoundSaid) {
        let done = |who: &usize| votes.precommits[*who] != Vote::Unsaid && votes.prevotes[*who] != Vote::Unsaid;
        let done: Vec<usize> = self.honest().filter(done).collect();
        let mut theirs: Vec<Vote> = done.iter().map(|who| votes.prevotes[*who]).collect();
        theirs.sort_unstable();
        for (who, vote) in done.into_iter().zip(theirs) {
            votes.prevotes[who] = vote;
        }
        if self.honest().all(|who| votes.precommits[who] != Vote::Unsaid) {
            let mut all: Vec<Vote> = self.honest().map(|who| votes.precommits[who]).collect();
            all.sort_unstable();
            for (who, vote) in self.honest().zip(all) {
                votes.precommits[who] = vote;
            }
        }
    }

    /// Moves the window by one round.
    fn leave_behind(&self, state: &mut State) {
        let (round, votes) = (state.base, state.said[0]);
        let complete = |votes, value| self.lies() > 0 && count(votes, Vote::For(value)) + 1 == self.q;
        for value in Value::ALL {
            if complete(&votes.prevotes, value) {
                state.open.push((round, value));
            }
            state.certifiable[value as usize] |= complete(&votes.precommits, value);
        }
        for who in self.honest() {
            let trustee = &mut state.trustees[who];
            if let Some(value) = trustee.known[0] {
                trustee.before = trustee.before.max(Some((round, value)));
            }
            trustee.known.rotate_left(1);
            trustee.known[WINDOW - 1] = None;
        }
        state.said.rotate_left(1);
        state.said[WINDOW - 1] = Default::default();
        state.shown.rotate_left(1);
        state.shown[WINDOW - 1] = None;
        state.base += 1;
    }

    /// The end is the end, however it was reached; kept are the values.
    fn forget_all(&self, state: &mut State) {
        for who in self.honest() {
            let certificate = state.trustees[who].certificate;
            state.trustees[who] = super::Trustee { certificate, ..Default::default() };
        }
        (state.healed, state.last, state.base) = (Some(0), 0, 0);
        (state.trusting, state.shown) = Default::default();
        state.said = Default::default();
        state.open.clear();
    }

    /// Of rounds before the window only the order matters, and of those in it only whose turn it is.
    fn renumber(&self, state: &mut State) {
        // A late quorum that is no later than what everybody knows helps and hinders nobody.
        let known: Since = self.honest().map(|who| state.trustees[who].before).min().flatten();
        state.open.retain(|open| Some(*open) > known);
        let base = state.base;
        let mut old: Vec<u8> = state.open.iter().map(|(round, _)| *round).collect();
        for who in self.honest() {
            let super::Trustee { lock, before, .. } = &state.trustees[who];
            old.extend([lock, before].into_iter().flatten().map(|(round, _)| *round));
        }
        old.extend(state.said.iter().filter_map(|said| said.proposal?.valid));
        old.extend(state.healed);
        old.retain(|round| *round < base);
        old.sort_unstable();
        old.dedup();
        let turn = u8::try_from(self.proposer(base)).unwrap_or(0);
        let multiple = u8::try_from(usize::from(BASE).next_multiple_of(self.n)).unwrap_or(BASE);
        let to = multiple + turn;
        let moved = |round: u8| match old.iter().rev().position(|known| *known == round) {
            Some(behind) if round < base => to - 1 - u8::try_from(behind).unwrap_or(0),
            _ => to + (round - base),
        };
        let since = |since: Since| since.map(|(round, value)| (moved(round), value));
        for who in self.honest() {
            let trustee = &mut state.trustees[who];
            trustee.round = moved(trustee.round);
            trustee.lock = since(trustee.lock);
            trustee.before = since(trustee.before);
        }
        for said in &mut state.said {
            if let Some(proposal) = &mut said.proposal {
                proposal.valid = proposal.valid.map(&moved);
            }
        }
        for open in &mut state.open {
            open.0 = moved(open.0);
        }
        state.open.sort_unstable();
        state.open.dedup();
        state.healed = state.healed.map(&moved);
        state.last = (to + state.last).saturating_sub(base);
        state.base = to;
    }

    /// Every step; with `lies` 0, those that do not need the liar.
    pub(super) fn healed_steps(&self, state: &State, healed: u8, lies: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.finished(state) || self.too_late(state) {
            return steps;
        }
        for who in self.honest() {
            // One after the other: what they owe, they owe whatever the others add.
            if steps.is_empty() {
                self.owed_now(state, who, &mut steps);
            }
        }
        if steps.is_empty() {
            self.timers(state, healed, lies, &mut steps);
        }
        if lies > 0 {
            for who in self.honest() {
                self.lies_to(state, who, &mut steps);
            }
        }
        steps
    }

    fn view(&self, state: &State, who: usize) -> View {
        let trustee = &state.trustees[who];
        let at = state.at(trustee.round);
        let votes = &state.said[at];
        let earlier = (0..at).rev().find_map(|at| {
            let round = state.base + u8::try_from(at).unwrap_or(0);
            Some((round, trustee.known[at]?))
        });
        View {
            my_turn: self.proposer(trustee.round) == who,
            proposal: votes.proposal,
            prevote: votes.prevotes[who],
            precommit: votes.precommits[who],
            nil: count(&votes.prevotes, Vote::Nil),
            prevotes: said(&votes.prevotes),
            polka: trustee.known[at],
            polka_before: earlier.or(trustee.before),
            lock: trustee.lock,
            // Everybody has the whole log.
            own: Some(Value::B),
            proposed: [if trustee.long { Judged::Invalid } else { Judged::Valid }, Judged::Valid],
            prevoted: [Judged::Valid; 2],
            propose_expired: false,
            prevote_expired: false,
        }
    }

    /// What needs no timer and no liar.
    fn owed_now(&self, state: &State, who: usize, steps: &mut Vec<Step>) {
        let round = state.trustees[who].round;
        if let Some(to) = self.reached_by_others(state, who, self.f).filter(|to| *to > round) {
            steps.push(Step::Start { who, round: to });
            return;
        }
        if let Some(said) = owed(self, &self.view(state, who)) {
            steps.push(Step::Say { who, round, said, learns: None });
        }
    }

    /// The highest round that more than `f` others have reached, by what the honest ones have said.
    fn reached_by_others(&self, state: &State, who: usize, f: usize) -> Option<u8> {
        let mut others: Vec<u8> =
            self.honest().filter(|other| *other != who).filter_map(|other| self.highest_said(state, other)).collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others.get(f).copied()
    }

    /// Round and step of a trustee's timers that can run out, and what it then does.
    fn timers_of(&self, state: &State, who: usize, lies: usize) -> Vec<((u8, u8), Step)> {
        let trustee = &state.trustees[who];
        let round = trustee.round;
        let votes = &state.said[state.at(round)];
        let mut timers = Vec::new();
        let mut view = self.view(state, who);
        (view.propose_expired, view.prevote_expired) = (true, true);
        view.prevotes += lies.max(usize::from(votes.liar_prevoted));
        let stage = u8::from(view.prevote != Vote::Unsaid);
        if let Some(said) = owed(self, &view) {
            timers.push(((round, stage), Step::Say { who, round, said, learns: None }));
        }
        let beyond = self.honest().any(|other| other != who && self.highest_said(state, other) > Some(round));
        let goes_on = trustee.certificate.is_none() || beyond || lies > 0;
        if said(&votes.precommits) + lies.max(usize::from(votes.liar_precommitted)) >= self.q && goes_on {
            timers.push(((round, 2), Step::Start { who, round: round + 1 }));
        }
        timers
    }

    fn timers(&self, state: &State, healed: u8, lies: usize, steps: &mut Vec<Step>) {
        // Those that run without the liar's help; the liar need not help.
        let first = self.honest().flat_map(|who| self.timers_of(state, who, 0)).map(|(at, _)| at).min();
        for (at, step) in self.honest().flat_map(|who| self.timers_of(state, who, lies)) {
            if at.0 <= healed || first.is_none_or(|first| at <= first) {
                steps.push(step);
            }
        }
    }

    /// What the liar can bring about at one trustee, now.
    fn lies_to(&self, state: &State, who: usize, steps: &mut Vec<Step>) {
        let trustee = &state.trustees[who];
        let round = trustee.round;
        let at = state.at(round);
        let votes = &state.said[at];
        let one_more = |votes, value| count(votes, Vote::For(value)) + 1 == self.q;
        // A late vote for a round gone by makes a difference to who is about to propose, and to nobody else.
        if self.proposer(round) == who && votes.proposal.is_none() && votes.prevotes[who] == Vote::Unsaid {
            let seen = self.view(state, who).polka_before;
            let gone_by = state.said.iter().enumerate().take(at).flat_map(|(at, votes)| {
                let round = state.base + u8::try_from(at).unwrap_or(0);
                let there = Value::ALL.into_iter().filter(move |value| one_more(&votes.prevotes, *value));
                there.map(move |value| (round, value))
            });
            let later = state.open.iter().copied().chain(gone_by).filter(|polka| Some(*polka) > seen);
            let later = later.filter(|(round, _)| self.may_show(state, who, *round));
            steps.extend(later.map(|polka| Step::Show { who, polka }));
        }
        let between = votes.prevotes[who] != Vote::Unsaid && votes.precommits[who] == Vote::Unsaid;
        let at_the_end = said(&votes.precommits) + 1 >= self.q && trustee.certificate.is_none();
        for value in Value::ALL {
            let may = self.may_show(state, who, round);
            if may && between && one_more(&votes.prevotes, value) && trustee.known[at].is_none() {
                steps.push(Step::Show { who, polka: (round, value) });
            }
            let somewhere = state.said.iter().any(|votes| one_more(&votes.precommits, value));
            if at_the_end && (somewhere || state.certifiable[value as usize]) {
                steps.push(Step::Certify { who, value });
            }
        }
        // It claims to be in a later round, and f honest ones are.
        if let Some(beyond) = self.f.checked_sub(1).and_then(|f| self.reached_by_others(state, who, f)) {
            steps.extend((round + 1..=beyond).map(|to| Step::Start { who, round: to }));
        }
        self.false_quorum_of_nil(state, who, steps);
        self.false_proposals(state, who, steps);
    }

    /// Whether the liar's prevote of a round counts at somebody. What was said before the honest coordinator came may have
    /// been counted before the proof arrived.
    fn may_show(&self, state: &State, who: usize, round: u8) -> bool {
        !self.proven || state.trusting[who] || Some(round) <= state.healed
    }

    fn false_quorum_of_nil(&self, state: &State, who: usize, steps: &mut Vec<Step>) {
        let mut view = self.view(state, who);
        view.nil += 1;
        view.prevotes += 1;
        if view.prevote != Vote::Unsaid
            && let Some(said @ Said::Precommit(None)) = owed(self, &view)
        {
            steps.push(Step::Say { who, round: state.trustees[who].round, said, learns: None });
        }
    }

    fn false_proposals(&self, state: &State, who: usize, steps: &mut Vec<Step>) {
        let round = state.trustees[who].round;
        if self.liar != Some(self.proposer(round)) {
            return;
        }
        let at = state.at(round);
        let mut quorums: Vec<Since> = vec![None];
        quorums.extend(state.open.iter().copied().map(Some));
        quorums.extend(self.honest().map(|other| state.trustees[other].before).filter(Option::is_some));
        for (at, votes) in state.said.iter().enumerate().take(at) {
            let round = state.base + u8::try_from(at).unwrap_or(0);
            let there = Value::ALL.into_iter().filter(|value| self.enough(&votes.prevotes, *value));
            quorums.extend(there.map(|value| Some((round, value))));
        }
        quorums.sort_unstable();
        quorums.dedup();
        for quorum in quorums {
            for value in Value::ALL {
                if quorum.is_some_and(|(_, shown)| shown != value) {
                    continue;
                }
                let mut view = self.view(state, who);
                view.proposal = Some(Proposal { value, valid: quorum.map(|(valid, _)| valid) });
                if let Some(said @ Said::Prevote(_)) = owed(self, &view) {
                    steps.push(Step::Say { who, round, said, learns: quorum });
                }
            }
        }
    }
}
