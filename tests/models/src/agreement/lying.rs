//! The lying phase: what could make a trustee say something, by a choice of what it is shown.
//!
//! A trustee that is shown less is as it would be if the rest came later, so nothing is remembered of what it was shown
//! but the quorums of prevotes that it acted on. Where that forgets too much, the model can do more than the program.

use super::{Judged, Proposal, Rules, Said, Since, State, Step, TRUSTEES, Value, View, Vote, count, owed, said};

impl Rules {
    pub(super) fn lying_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in self.honest() {
            let round = state.trustees[who].round;
            let votes = &state.said[state.at(round)];
            if votes.precommits[who] == Vote::Unsaid {
                if votes.prevotes[who] == Vote::Unsaid {
                    self.first_votes(state, who, round, &mut steps);
                } else {
                    self.second_votes(state, who, round, &mut steps);
                }
            }
            self.starts(state, who, round, &mut steps);
        }
        if self.patience > 0 {
            steps.extend(self.trusting().into_iter().map(|trusting| Step::Heal { trusting }));
        }
        steps
    }

    /// To whom the honest coordinator may have nothing to show that contradicts the liar: any of the honest. Two of them whom
    /// the liar told different things cannot both be among these, since a board holds one of the two.
    fn trusting(&self) -> Vec<[bool; TRUSTEES]> {
        let honest: Vec<usize> = self.honest().collect();
        let everybody = (1_u32 << honest.len()) - 1;
        let masks = if self.proven && self.lies() > 0 { 0..=everybody } else { everybody..=everybody };
        let chosen = |mask: u32| {
            let mut trusting = [false; TRUSTEES];
            for (bit, who) in honest.iter().enumerate() {
                trusting[*who] = mask & (1 << bit) != 0;
            }
            trusting
        };
        masks.map(chosen).collect()
    }

    /// The judgements that a trustee may have come to, whatever part of the log it has been shown.
    fn judgements(&self, state: &State, who: usize) -> Vec<([Judged; 2], [Judged; 2])> {
        use Judged::{Invalid, NotYet, Valid};
        if state.trustees[who].long {
            // It has followed all of `B`.
            return vec![([Invalid, Valid], [Valid, Valid])];
        }
        [[NotYet, NotYet], [Valid, NotYet], [Valid, Valid]].map(|judged| (judged, judged)).to_vec()
    }

    /// Proposal and prevote.
    fn first_votes(&self, state: &State, who: usize, round: u8, steps: &mut Vec<Step>) {
        let votes = &state.said[state.at(round)];
        let my_turn = self.proposer(round) == who;
        let proposals = self.proposals(state, who, round);
        let quorums = if my_turn && votes.proposal.is_none() { self.shown(state, who, round) } else { vec![None] };
        let mut found: Vec<(Said, Since)> = Vec::new();
        for (proposed, prevoted) in self.judgements(state, who) {
            let own = Value::ALL.map(|value| Some(value).filter(|_| proposed[value as usize] == Judged::Valid));
            for proposal in &proposals {
                for polka_before in &quorums {
                    for own in own.into_iter().chain([None]) {
                        for propose_expired in [false, true] {
                            let view = View {
                                my_turn,
                                proposal: *proposal,
                                prevote: Vote::Unsaid,
                                precommit: Vote::Unsaid,
                                nil: 0,
                                prevotes: 0,
                                polka: None,
                                polka_before: *polka_before,
                                lock: state.trustees[who].lock,
                                own,
                                proposed,
                                prevoted,
                                propose_expired,
                                prevote_expired: false,
                            };
                            let Some(said) = owed(self, &view) else { continue };
                            let learns = match said {
                                Said::Proposal(_) => *polka_before,
                                Said::Prevote(Some(value)) => {
                                    proposal.and_then(|proposal| proposal.valid).map(|valid| (valid, value))
                                }
                                _ => None,
                            };
                            found.push((said, learns));
                        }
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        steps.extend(found.into_iter().map(|(said, learns)| Step::Say { who, round, said, learns }));
    }

    /// The proposals of its round that a trustee may hold.
    fn proposals(&self, state: &State, who: usize, round: u8) -> Vec<Option<Proposal>> {
        let proposer = self.proposer(round);
        if self.liar != Some(proposer) {
            let said = state.said[state.at(round)].proposal;
            return if proposer == who || said.is_none() { vec![said] } else { vec![None, said] };
        }
        let mut all = vec![None];
        for value in Value::ALL {
            all.push(Some(Proposal { value, valid: None }));
            let valid = (0..round).filter(|valid| self.exists(state, *valid, value));
            all.extend(valid.map(|valid| Some(Proposal { value, valid: Some(valid) })));
        }
        all
    }

    /// The latest quorum of prevotes before a round that a trustee may have seen.
    fn shown(&self, state: &State, who: usize, round: u8) -> Vec<Since> {
        let seen: Since = (0..round).rev().find_map(|at| Some((at, state.trustees[who].known[state.at(at)]?)));
        let mut all = vec![seen];
        for at in 0..round {
            let more = Value::ALL.into_iter().filter(|value| self.exists(state, at, *value));
            all.extend(more.map(|value| Some((at, value))).filter(|shown| *shown > seen));
        }
        all
    }

    /// Whether a quorum of prevotes for a value can be shown to somebody.
    fn exists(&self, state: &State, round: u8, value: Value) -> bool {
        self.enough(&state.said[state.at(round)].prevotes, value)
    }

    fn second_votes(&self, state: &State, who: usize, round: u8, steps: &mut Vec<Step>) {
        let votes = &state.said[state.at(round)].prevotes;
        let polkas = Value::ALL.map(|value| Some(value).filter(|value| self.exists(state, round, *value)));
        let without = self.without_quorum(votes) + self.lies() >= self.q;
        let prevotes = said(votes) + self.lies();
        let mut found: Vec<(Said, Since)> = Vec::new();
        for (proposed, prevoted) in self.judgements(state, who) {
            for polka in polkas.into_iter().flatten().map(Some).chain([None].into_iter().filter(|_| without)) {
                let view = View {
                    my_turn: false,
                    proposal: None,
                    prevote: votes[who],
                    precommit: Vote::Unsaid,
                    nil: count(votes, Vote::Nil) + self.lies(),
                    prevotes,
                    polka,
                    polka_before: None,
                    lock: state.trustees[who].lock,
                    own: None,
                    proposed,
                    prevoted,
                    propose_expired: true,
                    prevote_expired: true,
                };
                let Some(said) = owed(self, &view) else { continue };
                let learns = match said {
                    Said::Precommit(Some(value)) => Some((round, value)),
                    _ => None,
                };
                found.push((said, learns));
            }
        }
        found.sort_unstable();
        found.dedup();
        steps.extend(found.into_iter().map(|(said, learns)| Step::Say { who, round, said, learns }));
    }

    /// The next round after `q` precommits, or the one that `f + 1` others have reached.
    fn starts(&self, state: &State, who: usize, round: u8, steps: &mut Vec<Step>) {
        let precommits = &state.said[state.at(round)].precommits;
        let others: Vec<u8> =
            self.honest().filter(|other| *other != who).filter_map(|other| self.highest_said(state, other)).collect();
        let beyond = self.lies() > 0 || others.iter().any(|other| *other > round);
        // With a certificate it goes on only if somebody is beyond.
        let over = said(precommits) + self.lies() >= self.q
            && (beyond || self.without_quorum(precommits) + self.lies() >= self.q);
        let need = (self.f + 1).saturating_sub(self.lies());
        let reached = |to: u8| others.iter().filter(|other| **other >= to).count() >= need;
        for to in round + 1..self.rounds {
            if to == round + 1 && over || reached(to) {
                steps.push(Step::Start { who, round: to });
            }
        }
    }
}
