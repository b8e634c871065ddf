//! What one observer has seen of an agreement: a set of signed votes, folded in any order. (P-AGR-2 to P-AGR-4)

use super::{
    ROUNDS_MAX, Rotation,
    certificate::{VoteSetCertificate, vouched},
    messages::{Precommit, Prevote, Proposal, VoteSet, Vouch},
    voter::AgreementMessage,
};
use crate::{
    encoding::Hash,
    evidence::{Evidence, Wrong},
    ids::{ElectionId, IdentityKey, Round, TrusteeIndex},
    manifest::Manifest,
    signed::{Body, Envelope, Sender},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

/// Proposals, prevotes and precommits by round and sender. The same messages give the same `Votes` in any order, as
/// long as no sender has two bodies for one slot; of two, the one that came first is kept.
#[derive(Debug, Clone)]
pub struct Votes {
    election: ElectionId,
    rotation: Rotation,
    f: u16,
    q: u16,
    keys: Vec<IdentityKey>,
    rounds: BTreeMap<Round, RoundVotes>,
    /// The vote sets that were proposed, by hash.
    values: BTreeMap<Hash, VoteSet>,
    /// Quorums of prevotes for a value, seen here or shown by a proposer.
    polkas: BTreeMap<(Round, Hash), Vec<Vouch>>,
    /// Rounds with a quorum of precommits for a value.
    certified: BTreeMap<Round, Hash>,
    /// The highest round in which each trustee has said something.
    highest: BTreeMap<TrusteeIndex, Round>,
    /// Who is proven to have said two things in one place.
    two_faced: BTreeSet<TrusteeIndex>,
}

#[derive(Debug, Clone, Default)]
struct RoundVotes {
    proposal: Option<Proposed>,
    prevotes: BTreeMap<TrusteeIndex, Vote>,
    precommits: BTreeMap<TrusteeIndex, Vote>,
}

/// A proposal, its value kept once for all rounds.
#[derive(Debug, Clone)]
pub(super) struct Proposed {
    pub(super) value: Hash,
    pub(super) valid_round: Option<Round>,
    justification: Vec<Vouch>,
    signature: [u8; 64],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vote {
    value: Option<Hash>,
    signature: [u8; 64],
}

/// The value that a trustee may not vote against, and since which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Round of the precommit.
    pub round: Round,
    /// What was precommitted.
    pub value: Hash,
}

/// Why a message does not enter the votes. None is anybody's provable fault except where said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefusal {
    /// Not a message of the agreement, or not a trustee's.
    #[error("{kind} from {sender} is not a vote of a trustee")]
    NotAVote {
        /// Kind of message.
        kind: &'static str,
        /// Sender.
        sender: Sender,
    },
    /// Another election's.
    #[error("the vote belongs to election {got}, this is {expected}")]
    WrongElection {
        /// This one.
        expected: ElectionId,
        /// In the envelope.
        got: ElectionId,
    },
    /// A round that agreement never reaches.
    #[error("round {got} is out of bounds: rounds are below {max}")]
    RoundTooHigh {
        /// In the message.
        got: Round,
        /// Bound.
        max: u32,
    },
    /// Another body of the same sender fills the slot. The two envelopes together are evidence of equivocation.
    #[error("another message of {sender} fills this place")]
    Second {
        /// Sender.
        sender: TrusteeIndex,
    },
    /// A proposal by somebody whose turn it is not.
    #[error("{got} proposed in round {round}, whose proposer is trustee {expected}")]
    NotTheirTurn {
        /// Round.
        round: Round,
        /// Whose turn it is.
        expected: TrusteeIndex,
        /// Sender.
        got: TrusteeIndex,
    },
    /// A proposal that does not show the quorum of prevotes which it claims.
    #[error("the proposal of round {round} does not show a quorum of prevotes in an earlier round")]
    Unjustified {
        /// Round.
        round: Round,
    },
}

impl Votes {
    /// None seen yet.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let election = manifest.id();
        Self {
            election,
            rotation: Rotation::new(manifest, &election),
            f: manifest.quorums.f,
            q: if bug!(QuorumOffByOne) { manifest.quorums.q.saturating_sub(1) } else { manifest.quorums.q },
            keys: manifest.trustees.iter().map(|trustee| trustee.identity).collect(),
            rounds: BTreeMap::new(),
            values: BTreeMap::new(),
            polkas: BTreeMap::new(),
            certified: BTreeMap::new(),
            highest: BTreeMap::new(),
            two_faced: BTreeSet::new(),
        }
    }

    /// Takes in an envelope **whose signature has been verified** ([`Envelope::verify`]). Idempotent.
    ///
    /// Costs `q` signature checks for a proposal that was prevoted before, else none.
    ///
    /// # Errors
    /// [`VoteRefusal`]; the votes are then unchanged.
    pub fn absorb(&mut self, envelope: &Envelope) -> Result<(), VoteRefusal> {
        let not_a_vote = VoteRefusal::NotAVote { kind: envelope.body.name(), sender: envelope.sender };
        let Sender::Trustee(sender) = envelope.sender else { return Err(not_a_vote) };
        if sender.0 == 0 || sender.0 > self.rotation.n {
            return Err(not_a_vote);
        }
        if envelope.election != self.election {
            return Err(VoteRefusal::WrongElection { expected: self.election, got: envelope.election });
        }
        let signature = envelope.signature;
        let round = match &envelope.body {
            Body::Proposal(Proposal { round, .. })
            | Body::Prevote(Prevote { round, .. })
            | Body::Precommit(Precommit { round, .. }) => *round,
            _ => return Err(not_a_vote),
        };
        if round.0 >= ROUNDS_MAX {
            return Err(VoteRefusal::RoundTooHigh { got: round, max: ROUNDS_MAX });
        }
        match &envelope.body {
            Body::Proposal(proposal) => self.absorb_proposal(sender, proposal, signature)?,
            Body::Prevote(Prevote { value, .. }) => {
                let votes = &mut self.rounds.entry(round).or_default().prevotes;
                insert(votes, sender, Vote { value: *value, signature })?;
                if let Some(hash) = value
                    && let Some(vouches) = quorum(votes, hash, self.q, &self.two_faced)
                {
                    self.polkas.entry((round, *hash)).or_insert(vouches);
                }
            }
            Body::Precommit(Precommit { value, .. }) => {
                let votes = &mut self.rounds.entry(round).or_default().precommits;
                insert(votes, sender, Vote { value: *value, signature })?;
                if let Some(hash) = value
                    && quorum(votes, hash, self.q, &BTreeSet::new()).is_some()
                {
                    self.certified.entry(round).or_insert(*hash);
                }
            }
            _ => return Err(not_a_vote),
        }
        let highest = self.highest.entry(sender).or_insert(round);
        *highest = round.max(*highest);
        Ok(())
    }

    fn absorb_proposal(
        &mut self,
        sender: TrusteeIndex,
        proposal: &Proposal,
        signature: [u8; 64],
    ) -> Result<(), VoteRefusal> {
        let Proposal { round, value, valid_round, justification } = proposal;
        let expected = self.rotation.proposer(*round);
        if sender != expected && !bug!(ProposerUnchecked) {
            return Err(VoteRefusal::NotTheirTurn { round: *round, expected, got: sender });
        }
        let hash = value.hash(&self.election);
        if let Some(held) = self.rounds.get(round).and_then(|votes| votes.proposal.as_ref()) {
            let same = held.value == hash && held.valid_round == *valid_round && held.justification == *justification;
            return if same { Ok(()) } else { Err(VoteRefusal::Second { sender }) };
        }
        match valid_round {
            None if justification.is_empty() => {}
            Some(valid) if valid < round => {
                let body = Body::Prevote(Prevote { round: *valid, value: Some(hash) });
                let shown = vouched(&self.election, &self.keys, self.q, &body, justification).is_ok();
                if !shown && !bug!(JustificationUnchecked) {
                    return Err(VoteRefusal::Unjustified { round: *round });
                }
                self.polkas.entry((*valid, hash)).or_insert_with(|| justification.clone());
            }
            _ => return Err(VoteRefusal::Unjustified { round: *round }),
        }
        self.values.entry(hash).or_insert_with(|| value.clone());
        self.rounds.entry(*round).or_default().proposal =
            Some(Proposed { value: hash, valid_round: *valid_round, justification: justification.clone(), signature });
        Ok(())
    }

    /// From now on this trustee's prevotes complete no quorum here: it is proven to have said two things in one place.
    /// (P-AGR-8)
    ///
    /// A liar may have given each trustee another prevote for every round to come, while a lying coordinator let it. Then it
    /// could for ever show a new quorum to one trustee alone, lock it on another value than the next proposer's, and stop
    /// the agreement. Any two that hold different bodies of the liar cannot both agree with the board that an honest
    /// coordinator shows them: so all that are left without proof see the same. Safety needs no such votes, and precommits
    /// count as ever: a certificate is one whoever signed it.
    pub fn distrust(&mut self, trustee: TrusteeIndex) {
        self.two_faced.insert(trustee);
    }

    /// The election.
    #[must_use]
    pub fn election(&self) -> &ElectionId {
        &self.election
    }

    /// The vote set with this hash, if some proposal showed it.
    #[must_use]
    pub fn value(&self, hash: &Hash) -> Option<&VoteSet> {
        self.values.get(hash)
    }

    /// Some vote set that was proposed, certified or not.
    pub(crate) fn any_value(&self) -> Option<Hash> {
        self.values.keys().next().copied()
    }

    /// The first certificate: the lowest round with `q` precommits for one value that is known here. (P-AGR-4)
    #[must_use]
    pub fn certificate(&self) -> Option<VoteSetCertificate> {
        self.certificates().next()
    }

    /// All certificates, by ascending round. More than `f` trustees have lied if two have different values.
    pub fn certificates(&self) -> impl Iterator<Item = VoteSetCertificate> {
        self.certified.iter().filter_map(|(round, hash)| {
            let value = self.values.get(hash)?.clone();
            let vouches = quorum(&self.rounds.get(round)?.precommits, hash, self.q, &BTreeSet::new())?;
            Some(VoteSetCertificate { round: *round, value, vouches })
        })
    }

    /// What this trustee may not vote against: its last precommit for a value. (P-AGR-6)
    #[must_use]
    pub fn lock(&self, trustee: TrusteeIndex) -> Option<Lock> {
        if bug!(NoLock) {
            return None;
        }
        self.rounds.iter().rev().find_map(|(round, votes)| {
            let value = votes.precommits.get(&trustee)?.value?;
            Some(Lock { round: *round, value })
        })
    }

    /// Proposals that leave out what their proposer had precommitted: a lock forgotten. (P-AGR-6)
    ///
    /// This is all that is provable from votes alone. That a *prevote* breaks a lock is not: a lying proposer may have
    /// shown that trustee another, justified proposal, and has no reason to show it to anybody else.
    #[must_use]
    pub fn amnesia(&self) -> Vec<Evidence> {
        let mut out = Vec::new();
        for (round, votes) in &self.rounds {
            let Some(proposed) = &votes.proposal else { continue };
            let proposer = self.rotation.proposer(*round);
            let broken = self.rounds.range(..*round).rev().find_map(|(earlier, votes)| {
                let vote = votes.precommits.get(&proposer).filter(|vote| vote.value.is_some())?;
                (proposed.valid_round < Some(*earlier)).then_some((*earlier, *vote))
            });
            if let (Some((earlier, vote)), Some(value)) = (broken, self.values.get(&proposed.value)) {
                let precommit = Precommit { round: earlier, value: vote.value };
                let proposal = Proposal {
                    round: *round,
                    value: value.clone(),
                    valid_round: proposed.valid_round,
                    justification: proposed.justification.clone(),
                };
                let envelopes = vec![
                    self.envelope(proposer, precommit.into(), vote.signature),
                    self.envelope(proposer, proposal.into(), proposed.signature),
                ];
                out.push(Evidence { accused: Sender::Trustee(proposer), wrong: Wrong::Amnesia, envelopes });
            }
        }
        out
    }

    fn envelope(&self, sender: TrusteeIndex, body: Body, signature: [u8; 64]) -> Envelope {
        Envelope { election: self.election, sender: Sender::Trustee(sender), body, signature }
    }

    /// Whether this trustee's slot of this message is filled.
    pub(super) fn holds(&self, trustee: TrusteeIndex, message: &AgreementMessage) -> bool {
        match message {
            AgreementMessage::Proposal(m) => self.proposal(m.round).is_some(),
            AgreementMessage::Prevote(m) => self.prevote(m.round, trustee).is_some(),
            AgreementMessage::Precommit(m) => self.precommit(m.round, trustee).is_some(),
        }
    }

    pub(super) fn proposer(&self, round: Round) -> TrusteeIndex {
        self.rotation.proposer(round)
    }

    pub(super) fn proposal(&self, round: Round) -> Option<&Proposed> {
        self.rounds.get(&round)?.proposal.as_ref()
    }

    /// What a trustee prevoted in a round: nothing yet, nil, or a value.
    pub(super) fn prevote(&self, round: Round, trustee: TrusteeIndex) -> Option<Option<Hash>> {
        self.rounds.get(&round)?.prevotes.get(&trustee).map(|vote| vote.value)
    }

    /// What a trustee precommitted in a round: nothing yet, nil, or a value.
    pub(super) fn precommit(&self, round: Round, trustee: TrusteeIndex) -> Option<Option<Hash>> {
        self.rounds.get(&round)?.precommits.get(&trustee).map(|vote| vote.value)
    }

    /// Whether `q` trustees have prevoted in a round, whatever they prevoted.
    pub(super) fn prevoted_by_quorum(&self, round: Round) -> bool {
        self.rounds.get(&round).is_some_and(|votes| votes.prevotes.len() >= self.q.into())
    }

    /// Whether `q` trustees have prevoted nil in a round.
    pub(super) fn nil_by_quorum(&self, round: Round) -> bool {
        self.rounds
            .get(&round)
            .is_some_and(|votes| votes.prevotes.values().filter(|vote| vote.value.is_none()).count() >= self.q.into())
    }

    /// Whether `q` trustees have precommitted in a round, whatever they precommitted.
    pub(super) fn precommitted_by_quorum(&self, round: Round) -> bool {
        self.rounds.get(&round).is_some_and(|votes| votes.precommits.len() >= self.q.into())
    }

    /// The value that a quorum prevoted in this round, if it is known.
    pub(super) fn polka(&self, round: Round) -> Option<(Hash, &VoteSet)> {
        self.polkas
            .range((round, [0; 32])..=(round, [0xff; 32]))
            .find_map(|((_, hash), _)| Some((*hash, self.values.get(hash)?)))
    }

    /// The highest round below `round` in which a quorum prevoted a value that is known, and its proof.
    pub(super) fn polka_before(&self, round: Round) -> Option<(Round, &VoteSet, &[Vouch])> {
        self.polkas
            .range(..(round, [0; 32]))
            .rev()
            .find_map(|((valid, hash), vouches)| Some((*valid, self.values.get(hash)?, vouches.as_slice())))
    }

    /// The highest round in which this trustee has said something.
    pub(super) fn own_round(&self, me: TrusteeIndex) -> Option<Round> {
        self.highest.get(&me).copied()
    }

    /// The highest round that `f + 1` others have reached: at least one of them is honest.
    pub(super) fn round_of_some_honest(&self, me: TrusteeIndex) -> Option<Round> {
        let mut rounds: Vec<Round> =
            self.highest.iter().filter(|(trustee, _)| **trustee != me).map(|(_, round)| *round).collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds.get(usize::from(self.f)).copied()
    }

    /// Whether anybody else has said something in a later round.
    pub(super) fn somebody_beyond(&self, me: TrusteeIndex, round: Round) -> bool {
        self.highest.iter().any(|(trustee, highest)| *trustee != me && *highest > round)
    }

    fn silent<'a>(&self, said: impl Fn(TrusteeIndex) -> bool + 'a) -> Vec<TrusteeIndex> {
        (1..=self.rotation.n).map(TrusteeIndex).filter(|trustee| !said(*trustee)).collect()
    }
}

fn insert(votes: &mut BTreeMap<TrusteeIndex, Vote>, sender: TrusteeIndex, vote: Vote) -> Result<(), VoteRefusal> {
    match votes.get(&sender) {
        None => {
            votes.insert(sender, vote);
            Ok(())
        }
        Some(held) if held.value == vote.value => Ok(()),
        Some(_) => Err(VoteRefusal::Second { sender }),
    }
}

/// Everybody who voted for the value, but those left out, if they are at least `q`.
fn quorum(
    votes: &BTreeMap<TrusteeIndex, Vote>,
    hash: &Hash,
    q: u16,
    left_out: &BTreeSet<TrusteeIndex>,
) -> Option<Vec<Vouch>> {
    let vouches: Vec<Vouch> = votes
        .iter()
        .filter(|(trustee, vote)| vote.value.as_ref() == Some(hash) && !left_out.contains(trustee))
        .map(|(trustee, vote)| Vouch { trustee: *trustee, signature: vote.signature })
        .collect();
    (vouches.len() >= q.into()).then_some(vouches)
}

/// A step of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The proposer's word.
    Propose,
    /// First votes.
    Prevote,
    /// Second votes.
    Precommit,
}

/// What a round is waiting for, for people. Says nothing about guilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaiting {
    /// Step.
    pub stage: Stage,
    /// Who has not spoken in it.
    pub trustees: Vec<TrusteeIndex>,
}

/// What a round is waiting for and from whom; `None` once there is a certificate, or the round is over.
#[must_use]
pub fn awaiting(votes: &Votes, round: Round) -> Option<Awaiting> {
    if votes.certificate().is_some() || votes.precommitted_by_quorum(round) {
        return None;
    }
    let proposer = votes.proposer(round);
    if votes.prevoted_by_quorum(round) {
        let trustees = votes.silent(|trustee| votes.precommit(round, trustee).is_some());
        Some(Awaiting { stage: Stage::Precommit, trustees })
    } else if votes.proposal(round).is_some() || votes.prevote(round, proposer).is_some() {
        let trustees = votes.silent(|trustee| votes.prevote(round, trustee).is_some());
        Some(Awaiting { stage: Stage::Prevote, trustees })
    } else {
        Some(Awaiting { stage: Stage::Propose, trustees: vec![proposer] })
    }
}
