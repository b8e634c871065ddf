//! Tests of the agreement: claims about single steps, then thousands of seeds.

mod simulator;

use super::*;
use crate::{
    evidence::Wrong,
    ids::TimeMs,
    manifest::tests::sample,
    signed::{Envelope, Sender},
};
use alloc::{collections::BTreeSet, vec, vec::Vec};
use simulator::{Node, Outcome, Plan, World, run, vote_set};
use std::println;

/// Everybody tells everybody in `nodes` everything at one moment, until nobody owes anything.
fn settle(world: &World, nodes: &mut [Node], now: u64) {
    loop {
        let mut quiet = true;
        for at in 0..nodes.len() {
            while let Some(envelope) = nodes[at].duty(world, now) {
                quiet = false;
                for node in nodes.iter_mut() {
                    node.absorb(&envelope);
                }
            }
        }
        if quiet {
            return;
        }
    }
}

/// Time passes, always to the next timer, until all have a certificate; the highest round then.
fn finish(world: &World, nodes: &mut [Node], mut now: u64, rounds_max: u32) -> u32 {
    loop {
        settle(world, nodes, now);
        let round = nodes.iter().map(|node| node.voter.round().0).max().unwrap();
        if nodes.iter().all(|node| node.votes.certificate().is_some()) {
            return round;
        }
        assert!(round <= rounds_max, "no certificate by round {round}");
        now = nodes.iter().filter_map(|node| node.voter.next_wake(TimeMs(now))).min().unwrap().0;
    }
}

/// The manifest's trustees as honest nodes, all having followed the whole log.
fn honest(world: &World) -> Vec<Node> {
    world.manifest.trustee_indices().map(|me| Node::new(world, me, 2, 0)).collect()
}

fn proposer_of(world: &World, round: u32) -> TrusteeIndex {
    proposer(&world.manifest, Round(round))
}

#[test]
fn honest_and_connected_trustees_agree_without_any_timer() {
    for n in [2, 3, 4, 7, 10] {
        let world = World::new(n);
        let mut nodes = honest(&world);
        settle(&world, &mut nodes, 0);
        for node in &nodes {
            let certificate = node.votes.certificate().expect("time stood still");
            assert_eq!((certificate.round, &certificate.value), (Round(0), &world.chain[2]));
            assert_eq!(certificate.verify(&world.manifest), Ok(()));
            assert_eq!(node.journal.len(), 1 + 2 * usize::from(n), "one proposal, two votes each");
            assert_eq!(awaiting(&node.votes, Round(0)), None);
        }
    }
}

#[test]
fn every_trustee_proposes_and_the_first_one_depends_on_the_election() {
    let mut firsts = BTreeSet::new();
    for seats in 0..50 {
        let mut manifest = sample(7);
        manifest.tally_min = seats;
        let turns: Vec<TrusteeIndex> = (0..7).map(|round| proposer(&manifest, Round(round))).collect();
        assert_eq!(turns.iter().copied().collect::<BTreeSet<_>>(), manifest.trustee_indices().collect());
        assert_eq!(proposer(&manifest, Round(7)), turns[0]);
        firsts.insert(turns[0]);
    }
    assert_eq!(firsts.len(), 7);
}

#[test]
fn a_silent_proposer_costs_one_round() {
    let world = World::new(4);
    let absent = proposer_of(&world, 0);
    let mut nodes: Vec<Node> = honest(&world).into_iter().filter(|node| node.me != absent).collect();
    assert_eq!(finish(&world, &mut nodes, 0, 1), 1);
    assert_eq!(nodes[0].votes.certificate().unwrap().value, world.chain[2]);
}

/// Threat A02. Signing once, two would have signed A, one B, and nobody could ever sign again.
#[test]
fn two_saw_a_one_saw_b_one_is_silent_and_still_they_finish() {
    let world = World::new(4);
    for silent in 1..=4 {
        for shorter in [0, 1] {
            let mut nodes: Vec<Node> = honest(&world).into_iter().filter(|node| node.me.0 != silent).collect();
            for (at, node) in nodes.iter_mut().enumerate() {
                let seen = if at == 2 { 2 } else { shorter };
                (node.followed, node.cosigned) = (seen, seen);
            }
            let mut now = 0;
            for _ in 0..12 {
                settle(&world, &mut nodes, now);
                assert!(nodes.iter().all(|node| node.votes.certificate().is_none()), "A and B are both refused");
                now = nodes.iter().filter_map(|node| node.voter.next_wake(TimeMs(now))).min().unwrap().0;
            }
            for node in &mut nodes {
                node.followed = 2;
            }
            let before = nodes.iter().map(|node| node.voter.round().0).max().unwrap();
            let end = finish(&world, &mut nodes, now, before + 4);
            assert!(end <= before + 4);
            assert_eq!(nodes[0].votes.certificate().unwrap().value, world.chain[2]);
        }
    }
}

/// A liar lets two honest trustees lock the shorter set and falls silent; the third has co-signed a longer one.
#[test]
fn a_lock_on_the_shorter_set_binds_those_who_have_cosigned_more() {
    let world = World::new(4);
    let first = proposer_of(&world, 0);
    let liar = proposer_of(&world, 3);
    let mut nodes: Vec<Node> = honest(&world).into_iter().filter(|node| node.me != liar).collect();
    let longer = nodes.iter().position(|node| node.me != first).unwrap();
    for (at, node) in nodes.iter_mut().enumerate() {
        (node.followed, node.cosigned) = if at == longer { (2, 2) } else { (1, 1) };
    }
    let prevote = world.sign(liar, Prevote { round: Round(0), value: Some(world.hash(1)) });
    for (at, node) in nodes.iter_mut().enumerate() {
        if at != longer {
            node.absorb(&prevote);
        }
    }
    settle(&world, &mut nodes, 0);
    let locks: Vec<Option<Hash>> = nodes.iter().map(|node| node.votes.lock(node.me).map(|lock| lock.value)).collect();
    assert_eq!(locks.iter().filter(|lock| **lock == Some(world.hash(1))).count(), 2);
    assert_eq!(locks[longer], None);
    for node in &mut nodes {
        node.followed = 2;
    }
    finish(&world, &mut nodes, 0, 4);
    assert_eq!(nodes[longer].votes.certificate().unwrap().value, world.chain[1]);
}

/// A liar's precommit completes the certificate for two trustees; the third holds another precommit of the liar, and
/// has no other way to the certificate than a further round with them.
#[test]
fn who_has_a_certificate_helps_the_one_who_cannot_see_it() {
    let world = World::new(4);
    let liar = proposer_of(&world, 3);
    let mut nodes: Vec<Node> = honest(&world).into_iter().filter(|node| node.me != liar).collect();
    let value = Some(world.hash(2));
    for (at, node) in nodes.iter_mut().enumerate() {
        node.absorb(&world.sign(liar, Prevote { round: Round(0), value }));
        let value = value.filter(|_| at < 2);
        node.absorb(&world.sign(liar, Precommit { round: Round(0), value }));
    }
    // The third precommits nil in round 0: it hears the prevotes of the others only after its timer.
    let third = TrusteeIndex(nodes[2].me.0);
    let nil = [
        world.sign(third, Prevote { round: Round(0), value: None }),
        world.sign(third, Precommit { round: Round(0), value: None }),
    ];
    for node in &mut nodes {
        nil.iter().for_each(|envelope| node.absorb(envelope));
        if proposer_of(&world, 0) == third {
            let (value, justification) = (world.chain[2].clone(), Vec::new());
            node.absorb(&world.sign(third, Proposal { round: Round(0), value, valid_round: None, justification }));
        }
    }
    settle(&world, &mut nodes, 0);
    let certificates: Vec<bool> = nodes.iter().map(|node| node.votes.certificate().is_some()).collect();
    assert_eq!(certificates, [true, true, false]);
    finish(&world, &mut nodes, 0, 4);
    let certificate = nodes[2].votes.certificate().unwrap();
    assert_eq!((certificate.round > Round(0), certificate.value), (true, world.chain[2].clone()));
}

/// The rounds until all have a certificate, under an honest coordinator, where a liar has long since given each trustee
/// another prevote for every round: each completes a quorum at one trustee alone, who is not the next proposer.
fn rounds_against_planted_votes(rounds_max: u32, proof_counts: bool) -> Option<u32> {
    let world = World::new(4);
    let liar = proposer_of(&world, 3);
    let mut nodes: Vec<Node> = (0..3).map(|round| Node::new(&world, proposer_of(&world, round), 2, 0)).collect();
    // As a lying coordinator left it: the first is locked on one value, the second on another since later.
    let (a, b) = (Some(world.hash(1)), Some(world.hash(2)));
    let votes =
        [[(a, a), (None, None), (a, None)], [(None, None), (b, b), (b, None)], [(None, None); 3], [(None, None); 3]];
    for (round, votes) in (0..).map(Round).zip(votes) {
        let mut said = Vec::new();
        if round.0 < 2 {
            let (value, justification) = (world.chain[1 + round.0 as usize].clone(), Vec::new());
            said.push(
                world.sign(proposer_of(&world, round.0), Proposal { round, value, valid_round: None, justification }),
            );
        }
        for (node, (prevote, precommit)) in nodes.iter().zip(votes) {
            said.push(world.sign(node.me, Prevote { round, value: prevote }));
            said.push(world.sign(node.me, Precommit { round, value: precommit }));
        }
        for (node, (_, lock)) in nodes.iter_mut().zip(votes) {
            said.iter().for_each(|envelope| node.absorb(envelope));
            node.absorb(&world.sign(liar, Prevote { round, value: lock }));
        }
    }
    let mut now = 0;
    let mut planted = BTreeSet::new();
    for _ in 0..rounds_max * 20 {
        settle(&world, &mut nodes, now);
        if nodes.iter().all(|node| node.votes.certificate().is_some()) {
            return nodes.iter().map(|node| node.voter.round().0).max();
        }
        let round = nodes.iter().map(|node| node.voter.round()).max().unwrap();
        if round.0 > rounds_max {
            return None;
        }
        let prevotes: Vec<Option<Hash>> =
            nodes.iter().filter_map(|node| nodes[0].votes.prevote(round, node.me)).collect();
        let wanted =
            prevotes.iter().flatten().find(|hash| prevotes.iter().filter(|vote| **vote == Some(**hash)).count() == 2);
        if let Some(wanted) = wanted.filter(|_| prevotes.len() == 3 && planted.insert(round)) {
            let shown = nodes.iter().position(|node| {
                node.me != proposer_of(&world, round.0) && nodes[0].votes.prevote(round, node.me) == Some(Some(*wanted))
            });
            for (at, node) in nodes.iter_mut().enumerate() {
                let value = (Some(at) == shown).then_some(*wanted);
                node.absorb(&world.sign(liar, Prevote { round, value }));
                // The honest coordinator's board has the vote for nil.
                let refusal = node.votes.absorb(&world.sign(liar, Prevote { round, value: None }));
                if refusal == Err(VoteRefusal::Second { sender: liar }) && proof_counts {
                    node.votes.distrust(liar);
                }
            }
            settle(&world, &mut nodes, now);
        }
        now = nodes.iter().filter_map(|node| node.voter.next_wake(TimeMs(now))).min().unwrap().0;
    }
    None
}

#[test]
fn votes_planted_for_every_round_do_not_stop_trustees_that_see_the_proof() {
    assert_eq!(rounds_against_planted_votes(60, false), None, "guard: without the rule they never agree");
    let rounds = rounds_against_planted_votes(60, true).unwrap();
    assert!(rounds <= 12, "healed in round 4, certified in round {rounds}");
}

#[test]
fn a_restart_restores_the_lock_and_says_nothing_twice() {
    let world = World::new(4);
    let mut nodes = honest(&world);
    // All but the last step: nobody hears anybody's precommit.
    loop {
        let mut quiet = true;
        for at in 0..nodes.len() {
            while let Some(envelope) = nodes[at].duty(&world, 0) {
                quiet = false;
                if envelope.body.name() == "Precommit" {
                    nodes[at].absorb(&envelope);
                } else {
                    nodes.iter_mut().for_each(|node| node.absorb(&envelope));
                }
            }
        }
        if quiet {
            break;
        }
    }
    for node in &mut nodes {
        let lock = node.votes.lock(node.me);
        assert_eq!(lock, Some(Lock { round: Round(0), value: world.hash(2) }));
        node.restart(&world, false);
        assert_eq!(node.votes.lock(node.me), lock);
        assert_eq!(node.duty(&world, 1_000_000), None);
        // Guard: without its own messages it would vote a second time.
        node.restart(&world, true);
        assert_eq!(node.votes.lock(node.me), None);
        assert!(node.duty(&world, 1_000_000).is_some());
    }
}

/// Threat A03 at its plainest: the same trustees, asked again after the log went on.
#[test]
fn trustees_that_lose_their_journals_certify_twice_and_are_named() {
    let world = World::new(4);
    let agree = |nodes: &mut [Node]| {
        settle(&world, nodes, 0);
        nodes[0].votes.certificate().unwrap()
    };
    let mut nodes = honest(&world);
    nodes.iter_mut().for_each(|node| node.followed = 1);
    let first = agree(&mut nodes);
    for node in &mut nodes {
        node.followed = 2;
        node.restart(&world, false);
    }
    assert_eq!(agree(&mut nodes), first, "with its journal each stands by what it said");
    let second = agree(&mut honest(&world));
    let found = conflict(&world.election, &first, &second).unwrap();
    assert!(found.both.len() > usize::from(world.manifest.quorums.f));
    assert_eq!(found.evidence.len(), found.both.len());
}

#[test]
fn a_message_not_yet_in_the_votes_is_given_again_unchanged() {
    let world = World::new(4);
    let me = proposer_of(&world, 1);
    let mut node = Node::new(&world, me, 2, 0);
    assert_eq!(node.duty(&world, 0), None);
    let nil = node.duty(&world, 1000).unwrap();
    // The proposal arrives after the vote was given out and before it was journalled.
    let proposal =
        Proposal { round: Round(0), value: world.chain[2].clone(), valid_round: None, justification: Vec::new() };
    let proposal = world.sign(proposer_of(&world, 0), proposal);
    node.absorb(&proposal);
    assert_eq!(node.duty(&world, 1001).unwrap(), nil);
    node.absorb(&nil);
    assert_eq!(node.duty(&world, 1001), None);
    assert_eq!(node.votes.prevote(Round(0), me), Some(None));
}

#[test]
fn a_locked_trustee_refuses_another_value_until_a_later_quorum_is_shown() {
    let world = World::new(4);
    let (a, b) = (world.hash(1), world.hash(2));
    let proposal = |round: u32, level: usize, valid_round: Option<u32>, justification: Vec<Vouch>| {
        let value = world.chain[level].clone();
        let valid_round = valid_round.map(Round);
        world.sign(proposer_of(&world, round), Proposal { round: Round(round), value, valid_round, justification })
    };
    let vouches = |round: u32, value: Hash| -> Vec<Vouch> {
        let body = Prevote { round: Round(round), value: Some(value) };
        (1..=3)
            .map(TrusteeIndex)
            .map(|trustee| Vouch { trustee, signature: world.sign(trustee, body.clone()).signature })
            .collect()
    };
    let prevote_in = |round: u32, envelope: Envelope| {
        let me = TrusteeIndex(
            (1..=4).find(|at| (0..=round).all(|r| r % 4 == 3 || proposer_of(&world, r).0 != *at)).unwrap(),
        );
        let mut node = Node::new(&world, me, 2, 0);
        node.absorb(&world.sign(me, Precommit { round: Round(1), value: Some(a) }));
        for other in (1..=4).map(TrusteeIndex).filter(|other| *other != me).take(2) {
            node.absorb(&world.sign(other, Prevote { round: Round(round), value: None }));
        }
        node.absorb(&envelope);
        let said = node.duty(&world, 0).map(|envelope| envelope.body);
        match said {
            Some(crate::signed::Body::Prevote(Prevote { round: got, value })) if got == Round(round) => value,
            other => unreachable!("no prevote in round {round}: {other:?}"),
        }
    };
    assert_eq!(prevote_in(2, proposal(2, 2, None, vec![])), None, "another value, no proof");
    assert_eq!(prevote_in(2, proposal(2, 2, Some(0), vouches(0, b))), None, "a proof from before the lock");
    assert_eq!(prevote_in(2, proposal(2, 2, Some(1), vouches(1, b))), Some(b), "a proof from the lock's own round");
    assert_eq!(prevote_in(2, proposal(2, 1, None, vec![])), Some(a), "its own value");
}

#[test]
fn a_proposal_must_show_the_quorum_that_it_claims() {
    let world = World::new(4);
    let value = world.chain[2].clone();
    let hash = Some(world.hash(2));
    let vouches = |trustees: &[u16], body: Prevote| -> Vec<Vouch> {
        trustees
            .iter()
            .map(|at| {
                let trustee = TrusteeIndex(*at);
                Vouch { trustee, signature: world.sign(trustee, body.clone()).signature }
            })
            .collect()
    };
    let good = Prevote { round: Round(1), value: hash };
    let attempt = |valid_round: Option<u32>, justification: Vec<Vouch>| {
        let mut votes = Votes::new(&world.manifest);
        let valid_round = valid_round.map(Round);
        let proposal = Proposal { round: Round(2), value: value.clone(), valid_round, justification };
        votes.absorb(&world.sign(proposer_of(&world, 2), proposal))
    };
    let refused = Err(VoteRefusal::Unjustified { round: Round(2) });
    assert_eq!(attempt(Some(1), vouches(&[1, 2, 4], good.clone())), Ok(()));
    assert_eq!(attempt(Some(1), vouches(&[1, 2], good.clone())), refused, "q - 1");
    assert_eq!(attempt(Some(1), vouches(&[1, 2, 2], good.clone())), refused, "repeated");
    assert_eq!(attempt(Some(1), vouches(&[1, 4, 2], good.clone())), refused, "out of order");
    assert_eq!(attempt(Some(0), vouches(&[1, 2, 4], good.clone())), refused, "another round's");
    assert_eq!(attempt(Some(2), vouches(&[1, 2, 4], Prevote { round: Round(2), value: hash })), refused, "this round");
    assert_eq!(attempt(Some(1), vouches(&[1, 2, 4], Prevote { round: Round(1), value: None })), refused, "nil");
    let other = Prevote { round: Round(1), value: Some(world.hash(1)) };
    assert_eq!(attempt(Some(1), vouches(&[1, 2, 4], other)), refused, "another value's");
    assert_eq!(attempt(None, vouches(&[1, 2, 4], good)), refused, "a justification of nothing");
    assert_eq!(attempt(Some(1), Vec::new()), refused, "none");
}

#[test]
fn what_is_no_vote_of_this_election_is_refused() {
    let world = World::new(4);
    let mut votes = Votes::new(&world.manifest);
    let vote = Prevote { round: Round(0), value: None };
    let mut other = world.sign(TrusteeIndex(1), vote.clone());
    other.election = ElectionId([9; 32]);
    assert!(matches!(votes.absorb(&other), Err(VoteRefusal::WrongElection { .. })));
    let mut stranger = world.sign(TrusteeIndex(1), vote.clone());
    for sender in [Sender::Trustee(TrusteeIndex(0)), Sender::Trustee(TrusteeIndex(5)), Sender::Official(1)] {
        stranger.sender = sender;
        assert!(matches!(votes.absorb(&stranger), Err(VoteRefusal::NotAVote { .. })));
    }
    let far = world.sign(TrusteeIndex(1), Prevote { round: Round(ROUNDS_MAX), value: None });
    assert!(matches!(votes.absorb(&far), Err(VoteRefusal::RoundTooHigh { .. })));
    let impostor = TrusteeIndex(proposer_of(&world, 0).0 % 4 + 1);
    let proposal = Proposal { round: Round(0), value: vote_set(1), valid_round: None, justification: Vec::new() };
    assert!(matches!(votes.absorb(&world.sign(impostor, proposal)), Err(VoteRefusal::NotTheirTurn { .. })));
    let first = world.sign(TrusteeIndex(1), vote);
    assert_eq!(votes.absorb(&first), Ok(()));
    assert_eq!(votes.absorb(&first), Ok(()), "again");
    let second = world.sign(TrusteeIndex(1), Prevote { round: Round(0), value: Some([1; 32]) });
    assert_eq!(votes.absorb(&second), Err(VoteRefusal::Second { sender: TrusteeIndex(1) }));
    assert_eq!(votes.prevote(Round(0), TrusteeIndex(1)), Some(None), "the first one stays");
}

#[test]
fn f_plus_one_others_in_later_rounds_take_a_trustee_along_and_f_do_not() {
    let world = World::new(7);
    let mut node = Node::new(&world, TrusteeIndex(1), 2, 0);
    for (trustee, round) in [(2, 5), (3, 9)] {
        node.absorb(&world.sign(TrusteeIndex(trustee), Prevote { round: Round(round), value: None }));
    }
    node.duty(&world, 0);
    assert_eq!(node.voter.round(), Round(0), "f liars move nobody");
    node.absorb(&world.sign(TrusteeIndex(4), Precommit { round: Round(7), value: None }));
    node.duty(&world, 0);
    assert_eq!(node.voter.round(), Round(5), "the lowest of the f + 1");
}

#[test]
fn votes_of_a_round_gone_by_still_certify() {
    let world = World::new(4);
    let mut node = Node::new(&world, TrusteeIndex(1), 2, 0);
    for trustee in [2, 3] {
        node.absorb(&world.sign(TrusteeIndex(trustee), Prevote { round: Round(6), value: None }));
    }
    node.duty(&world, 0);
    assert_eq!(node.voter.round(), Round(6));
    for trustee in [2, 3, 4] {
        let vote = Precommit { round: Round(0), value: Some(world.hash(2)) };
        node.absorb(&world.sign(TrusteeIndex(trustee), vote));
    }
    assert_eq!(node.votes.certificate(), None, "the value is not known yet");
    let (value, justification) = (world.chain[2].clone(), Vec::new());
    let proposal = Proposal { round: Round(0), value, valid_round: None, justification };
    node.absorb(&world.sign(proposer_of(&world, 0), proposal));
    let certificate = node.votes.certificate().unwrap();
    assert_eq!(certificate.round, Round(0));
    assert_eq!(certificate.signers().collect::<Vec<_>>(), [2, 3, 4].map(TrusteeIndex));
}

fn certificate(world: &World, round: u32, level: usize, signers: &[u16]) -> VoteSetCertificate {
    let (round, value) = (Round(round), world.chain[level].clone());
    let vote = Precommit { round, value: Some(world.hash(level)) };
    let vouches = signers
        .iter()
        .map(|at| TrusteeIndex(*at))
        .map(|trustee| Vouch { trustee, signature: world.sign(trustee, vote.clone()).signature })
        .collect();
    VoteSetCertificate { round, value, vouches }
}

/// Threat A04.
#[test]
fn a_certificate_needs_q_distinct_trustees_for_this_value_round_and_election() {
    use crate::encoding::Canonical as _;
    use CertificateRefusal::{Order, Signature, Stranger, TooFew};
    let world = World::new(4);
    let good = certificate(&world, 2, 1, &[1, 3, 4]);
    assert_eq!(good.verify(&world.manifest), Ok(()));
    assert_eq!(VoteSetCertificate::from_bytes(&good.to_bytes()), Ok(good.clone()));
    let refusal = |change: &dyn Fn(&mut VoteSetCertificate)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.verify(&world.manifest).unwrap_err()
    };
    assert_eq!(refusal(&|c| c.vouches.truncate(2)), TooFew { expected: 3, got: 2 });
    assert_eq!(refusal(&|c| c.vouches.clear()), TooFew { expected: 3, got: 0 });
    assert_eq!(refusal(&|c| c.vouches[1] = c.vouches[0].clone()), Order(TrusteeIndex(1)));
    assert_eq!(refusal(&|c| c.vouches.swap(0, 2)), Order(TrusteeIndex(3)));
    assert_eq!(refusal(&|c| c.vouches[2].trustee = TrusteeIndex(5)), Stranger(TrusteeIndex(5)));
    assert_eq!(refusal(&|c| c.value.counted += 1), Signature(TrusteeIndex(1)));
    assert_eq!(refusal(&|c| c.round = Round(3)), Signature(TrusteeIndex(1)));
    assert_eq!(refusal(&|c| c.vouches[2].signature[0] ^= 1), Signature(TrusteeIndex(4)));
    let mut elsewhere = World::new(4).manifest;
    elsewhere.title.push('!');
    assert_eq!(good.verify(&elsewhere), Err(Signature(TrusteeIndex(1))));
}

/// Threat A01.
#[test]
fn two_certificates_name_who_signed_both() {
    let world = World::new(4);
    let one = certificate(&world, 2, 1, &[1, 2, 3]);
    assert_eq!(conflict(&world.election, &one, &certificate(&world, 5, 1, &[2, 3, 4])), None);
    let found = conflict(&world.election, &one, &certificate(&world, 2, 2, &[2, 3, 4])).unwrap();
    assert_eq!(found.both, [2, 3].map(TrusteeIndex));
    assert_eq!(found.evidence.len(), 2);
    for (evidence, accused) in found.evidence.iter().zip([2, 3]) {
        assert_eq!(evidence.accused, Sender::Trustee(TrusteeIndex(accused)));
        assert_eq!(evidence.wrong, Wrong::Equivocation);
        let [first, second] = evidence.envelopes.as_slice() else { unreachable!() };
        assert_eq!(first.slot(), second.slot());
        assert_ne!(first.body, second.body);
        for envelope in [first, second] {
            assert_eq!(envelope.verify(&world.election, &world.manifest), Ok(()));
        }
    }
    let later = conflict(&world.election, &one, &certificate(&world, 4, 2, &[2, 3, 4])).unwrap();
    assert_eq!(later.both, [2, 3].map(TrusteeIndex));
    assert!(later.evidence.is_empty(), "who was deceived and who lied is not in the precommits");
}

#[test]
fn a_proposal_that_forgets_its_proposers_lock_is_evidence() {
    let world = World::new(4);
    let who = proposer_of(&world, 3);
    let mut votes = Votes::new(&world.manifest);
    let precommit = world.sign(who, Precommit { round: Round(1), value: Some(world.hash(1)) });
    let (value, justification) = (world.chain[2].clone(), Vec::new());
    let forgot = world.sign(who, Proposal { round: Round(3), value, valid_round: None, justification });
    votes.absorb(&forgot).unwrap();
    assert!(votes.amnesia().is_empty());
    votes.absorb(&precommit).unwrap();
    let [evidence] = votes.amnesia().try_into().unwrap();
    assert_eq!((evidence.accused, evidence.wrong), (Sender::Trustee(who), Wrong::Amnesia));
    assert_eq!(evidence.envelopes, [precommit.clone(), forgot.clone()]);
    assert!(breaks_lock(&precommit, &forgot));
    let elsewhere = world.sign(TrusteeIndex(who.0 % 4 + 1), Precommit { round: Round(1), value: Some([1; 32]) });
    assert!(!breaks_lock(&elsewhere, &forgot), "somebody else's lock");
    let nil = world.sign(who, Precommit { round: Round(1), value: None });
    assert!(!breaks_lock(&nil, &forgot), "no lock");
    let after = world.sign(who, Precommit { round: Round(3), value: Some(world.hash(1)) });
    assert!(!breaks_lock(&after, &forgot), "locked later");
}

#[test]
fn a_judgement_follows_the_own_replay_and_the_cosignatures() {
    let (value, own) = (vote_set(10), vote_set(10));
    let ten = [LogSize(10)];
    let eleven = [LogSize(11)];
    let replay = |own: &VoteSet| Some(own.clone());
    assert_eq!(judge(&value, Backing::Proposed, &ten, |_| replay(&own)), Judgement::Valid);
    assert_eq!(judge(&value, Backing::Proposed, &eleven, |_| replay(&own)), Judgement::Invalid);
    assert_eq!(judge(&value, Backing::Prevoted, &eleven, |_| replay(&own)), Judgement::Valid);
    assert_eq!(judge(&value, Backing::Proposed, &ten, |_| None), Judgement::NotYet);
    let mut wrong = own.clone();
    wrong.aggregate = [9; 32];
    assert_eq!(judge(&wrong, Backing::Prevoted, &ten, |_| replay(&own)), Judgement::Invalid);
    assert_eq!(judge(&value, Backing::Proposed, &[], |_| replay(&own)), Judgement::Invalid, "another number of lanes");
}

#[test]
fn people_are_told_what_is_awaited_from_whom() {
    let world = World::new(4);
    let mut votes = Votes::new(&world.manifest);
    let first = proposer_of(&world, 0);
    let missing = |votes: &Votes| awaiting(votes, Round(0)).map(|a| (a.stage, a.trustees));
    assert_eq!(missing(&votes), Some((Stage::Propose, vec![first])));
    let (value, justification) = (world.chain[2].clone(), Vec::new());
    let proposal = Proposal { round: Round(0), value, valid_round: None, justification };
    votes.absorb(&world.sign(first, proposal)).unwrap();
    let vote = Prevote { round: Round(0), value: Some(world.hash(2)) };
    votes.absorb(&world.sign(TrusteeIndex(2), vote.clone())).unwrap();
    assert_eq!(missing(&votes), Some((Stage::Prevote, [1, 3, 4].map(TrusteeIndex).to_vec())));
    for trustee in [1, 3] {
        votes.absorb(&world.sign(TrusteeIndex(trustee), vote.clone())).unwrap();
    }
    let vote = Precommit { round: Round(0), value: Some(world.hash(2)) };
    votes.absorb(&world.sign(TrusteeIndex(4), vote.clone())).unwrap();
    assert_eq!(missing(&votes), Some((Stage::Precommit, [1, 2, 3].map(TrusteeIndex).to_vec())));
    for trustee in [1, 3] {
        votes.absorb(&world.sign(TrusteeIndex(trustee), vote.clone())).unwrap();
    }
    assert_eq!(missing(&votes), None);
}

/// What the seeds of a run have met: a generator that stops producing rare situations fails the test.
#[derive(Debug, Default)]
struct Met {
    locked_late: u32,
    lock_moved: u32,
    justified: u32,
    restarts: u32,
    liar_forgot_lock: u32,
    rounds_max: u32,
    rounds_before_max: u32,
}

fn seeds(n: u16, liars: u16, count: u64, rounds_max: u32) -> Met {
    let world = World::new(n);
    let mut met = Met::default();
    for seed in 0..count {
        let lying_ms = 1_000 + seed % 7 * 4_000;
        let plan = Plan { seed, liars, lying_ms, forgetful: false, safety_only: false };
        let outcome = run(&world, plan);
        assert!(outcome.certifiable.len() <= 1, "n {n} seed {seed}: {outcome:?}");
        assert!(outcome.equivocated.is_empty(), "n {n} seed {seed}: {outcome:?}");
        assert_eq!(outcome.forgot_lock, 0, "n {n} seed {seed}: an honest trustee is accused: {outcome:?}");
        let rounds = outcome.rounds_to_finish.unwrap_or(u32::MAX);
        assert!(rounds <= rounds_max, "n {n} seed {seed}: no end within {rounds_max} rounds: {outcome:?}");
        met.locked_late += u32::from(outcome.locked_late);
        met.lock_moved += u32::from(outcome.lock_moved);
        met.justified += u32::from(outcome.justified);
        met.restarts += outcome.restarts;
        met.liar_forgot_lock += outcome.liar_forgot_lock;
        met.rounds_max = met.rounds_max.max(rounds);
        met.rounds_before_max = met.rounds_before_max.max(outcome.rounds_before);
    }
    println!("n {n}, {liars} liars, {count} seeds: {met:?}");
    met
}

#[test]
fn four_trustees_one_liar_never_two_certificates_and_always_one() {
    let met = seeds(4, 1, 3000, 12);
    assert!(met.locked_late > 0 && met.lock_moved > 0 && met.justified > 0 && met.restarts > 0, "{met:?}");
}

#[test]
fn seven_trustees_two_liars_never_two_certificates_and_always_one() {
    let met = seeds(7, 2, 1000, 21);
    assert!(met.locked_late > 0 && met.lock_moved > 0 && met.justified > 0 && met.restarts > 0, "{met:?}");
}

#[test]
fn four_honest_trustees_under_a_lying_coordinator_agree() {
    seeds(4, 0, 500, 8);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let world = World::new(4);
    let plan = |seed| Plan { seed, liars: 1, lying_ms: 20_000, forgetful: false, safety_only: false };
    let outcomes: Vec<Outcome> = (0..20).map(|seed| run(&world, plan(seed))).collect();
    assert_eq!(outcomes, (0..20).map(|seed| run(&world, plan(seed))).collect::<Vec<_>>());
}

/// Threat A03: the guard that [`Votes::lock`] is folded from the own journal, taken away.
#[test]
fn trustees_that_forget_their_votes_break_agreement() {
    let world = World::new(4);
    let forget = |seed| Plan { seed, liars: 1, lying_ms: 40_000, forgetful: true, safety_only: true };
    let outcomes: Vec<Outcome> = (0..2000).map(|seed| run(&world, forget(seed))).collect();
    let equivocated = outcomes.iter().filter(|outcome| !outcome.equivocated.is_empty()).count();
    let forked = outcomes.iter().filter(|outcome| outcome.certifiable.len() > 1).count();
    println!("forgetful trustees: {equivocated} equivocated, {forked} forked");
    assert!(equivocated > 0, "forgetting has no effect: the simulator restarts nobody");
    assert!(forked > 0, "no seed comes to two certificates");
}

/// Threat A09.
#[test]
fn more_silent_trustees_than_allowed_stop_agreement_and_are_named() {
    let world = World::new(4);
    let silent = [proposer_of(&world, 2), proposer_of(&world, 3)];
    let mut nodes: Vec<Node> = honest(&world).into_iter().filter(|node| !silent.contains(&node.me)).collect();
    let mut now = 0;
    for _ in 0..10 {
        settle(&world, &mut nodes, now);
        now += 10_000;
    }
    for node in &nodes {
        assert_eq!(node.votes.certificate(), None);
        let mut missing = silent.to_vec();
        missing.sort_unstable();
        assert_eq!(
            awaiting(&node.votes, node.voter.round()),
            Some(Awaiting { stage: Stage::Prevote, trustees: missing })
        );
    }
}
