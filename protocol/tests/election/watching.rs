//! What a trustee co-signs: the head of its own copy of the log, and nothing behind what it has voted for. (P-LOG-5)

use crate::world::World;
use protocol::{
    agreement::{Prevote, Proposal, messages::VoteSet, proposer},
    ballot_box::ClosedBox,
    board::{ChainIntent, SignableRefusal},
    evidence::Verdict,
    ids::{Attempt, LaneIndex, LogSize, OptionIndex, Round, TrusteeIndex},
    keeper::CosignRefusal,
    log::{Checkpoint, origin},
    manifest::Quorums,
    signed::{Body, Sender},
    signing::messages::{Purpose, SignRequest},
};

const LANE: LaneIndex = LaneIndex(0);

/// Open, with three ballots that everybody has followed.
fn three_ballots(seed: u64) -> World {
    let mut world = World::new(4, Quorums::default_for(4), seed);
    world.open();
    for voter in [1, 3, 5] {
        world.cast(voter, &[vec![OptionIndex(0)]]);
    }
    world
}

fn head(world: &World) -> Checkpoint {
    let lane = world.lane.as_ref().unwrap();
    Checkpoint { origin: origin(&world.board.election(), LANE), size: lane.size(), root: lane.root() }
}

fn vote_set(world: &World) -> VoteSet {
    let key = world.board.key_certificate().unwrap().digest();
    ClosedBox::of(&[world.lane.as_ref().unwrap()], key).unwrap().unwrap().vote_set
}

#[test]
fn only_the_own_head_is_cosigned() {
    let mut world = three_ballots(80);
    let earlier = head(&world);
    world.cast(7, &[vec![OptionIndex(0)]]);
    let now = head(&world);
    let keeper = world.keepers[0].as_mut().unwrap();
    assert_eq!(keeper.cosign(LANE, &now), Ok(()));
    let smaller = CosignRefusal::OtherSize { own: 4, got: 3 };
    assert_eq!(keeper.cosign(LANE, &earlier), Err(smaller), "a log that went back");
    let larger = Checkpoint { size: LogSize(5), ..now.clone() };
    assert_eq!(keeper.cosign(LANE, &larger), Err(CosignRefusal::OtherSize { own: 4, got: 5 }));
}

#[test]
fn another_tree_or_another_log_is_not_cosigned() {
    let mut world = three_ballots(81);
    let now = head(&world);
    let keeper = world.keepers[0].as_mut().unwrap();
    let fork = Checkpoint { root: [9; 32], ..now.clone() };
    let refusal = CosignRefusal::Fork { size: LogSize(3).0, own: now.root, got: [9; 32] };
    assert_eq!(keeper.cosign(LANE, &fork), Err(refusal));
    let expected = now.origin.clone();
    let got = origin(&protocol::ids::ElectionId([3; 32]), LANE);
    let other = Checkpoint { origin: got.clone(), ..now };
    assert_eq!(keeper.cosign(LANE, &other), Err(CosignRefusal::Origin { expected, got }));
}

#[test]
fn nothing_behind_an_own_vote_is_cosigned() {
    let mut world = three_ballots(82);
    let value = vote_set(&world);
    let election = world.board.election();
    let hash = value.hash(&election);
    let round = Round(0);
    let by = Sender::Trustee(proposer(&world.manifest, round));
    let proposal = Proposal { round, value, valid_round: None, justification: Vec::new() };
    let said: [(Sender, Body); 2] =
        [(by, proposal.into()), (Sender::Trustee(TrusteeIndex(1)), Prevote { round, value: Some(hash) }.into())];
    for (sender, body) in said {
        let envelope = world.sign(sender, body);
        let keeper = world.keepers[0].as_mut().unwrap();
        let Verdict::Valid(checked) = keeper.check(&envelope) else { panic!("refused") };
        keeper.absorb(checked);
    }
    let voted = head(&world);
    world.cast(7, &[vec![OptionIndex(0)]]);
    let longer = head(&world);
    assert_eq!(world.keepers[1].as_mut().unwrap().cosign(LANE, &longer), Ok(()), "who has not voted");
    let keeper = world.keepers[0].as_mut().unwrap();
    assert_eq!(keeper.cosign(LANE, &longer), Err(CosignRefusal::Voted { voted: voted.size.0 }));
}

#[test]
fn a_proposal_is_nothing_to_anchor() {
    let mut world = three_ballots(83);
    let (value, round) = (vote_set(&world), Round(0));
    let by = Sender::Trustee(proposer(&world.manifest, round));
    world.post(by, Proposal { round, value, valid_round: None, justification: Vec::new() }.into());
    assert_eq!(world.board.memo(Purpose::AnchorVoteSet), None);
    let request = SignRequest {
        purpose: Purpose::AnchorVoteSet,
        attempt: Attempt(1),
        signers: [1, 2, 3].map(TrusteeIndex).to_vec(),
        nonce: [4; 32],
        lamports: 0,
    };
    let tx = |_: &ChainIntent| Some(vec![1]);
    assert_eq!(world.board.signable(&request, &Tx(tx)), Err(SignableRefusal::NotYet));
}

#[test]
fn no_more_rent_is_signed_away_than_any_account_needs() {
    use protocol::board::LAMPORTS_MAX;
    let mut world = World::new(4, Quorums::default_for(4), 84);
    world.open();
    let signable = |lamports| {
        let signers = [1, 2, 3].map(TrusteeIndex).to_vec();
        let (purpose, attempt) = (Purpose::CreateNonce, Attempt(9));
        let request = SignRequest { purpose, attempt, signers, nonce: [4; 32], lamports };
        world.board.signable(&request, &Tx(|_: &ChainIntent| Some(vec![1])))
    };
    assert!(signable(LAMPORTS_MAX).is_ok());
    let got = LAMPORTS_MAX + 1;
    assert_eq!(signable(got), Err(SignableRefusal::Lamports { got }));
}

struct Tx<F>(F);
impl<F: Fn(&ChainIntent) -> Option<Vec<u8>>> protocol::board::Transactions for Tx<F> {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        (self.0)(intent)
    }
}
