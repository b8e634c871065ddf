//! Which ballots a box takes, and what they do to its sums. (P-BOX-1 to P-BOX-4)

use crate::world::{World, key};
use ed25519_dalek::SigningKey;
use protocol::{
    ballot::{BallotForm, CheckedBallot},
    ballot_box::{self, Admission, BallotBox, BoxRefusal},
    group::Point,
    ids::{LaneIndex, LeafIndex, OptionIndex, StyleIndex},
    manifest::{Manifest, Quorums, Revote},
    roll::Roll,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use std::sync::Arc;

const BOTH: StyleIndex = StyleIndex(0);
const ONE: StyleIndex = StyleIndex(1);

/// Boxes need a manifest, a roll and a key, not a ceremony.
struct Boxes {
    manifest: Arc<Manifest>,
    roll: Arc<Roll>,
    form: BallotForm,
    voters: Vec<SigningKey>,
}

impl Boxes {
    fn new(change: impl FnOnce(&mut Manifest)) -> Self {
        let World { manifest, roll, voters, .. } = World::with(4, Quorums::default_for(4), 70, change);
        let form = ballot_box::form(&manifest, Point::hash("some election key", &[])).unwrap();
        Self { manifest, roll, form, voters }
    }
    fn lane(&self, lane: u16) -> BallotBox {
        BallotBox::new(&self.manifest, &self.form, self.roll.clone(), LaneIndex(lane))
    }
    /// The same entropy gives the same ciphertexts, whoever seals.
    fn seal(&self, style: StyleIndex, voter: &SigningKey, entropy: u64) -> CheckedBallot {
        let council = vec![OptionIndex(0)];
        let choices = if style == BOTH { vec![vec![OptionIndex(1)], council] } else { vec![council] };
        let bytes = self.form.seal(style, &choices, voter, &mut ChaCha20Rng::seed_from_u64(entropy)).unwrap();
        self.form.verify(&bytes).unwrap()
    }
}

fn nothing_earlier(_: LeafIndex) -> Option<CheckedBallot> {
    None
}

#[test]
fn a_voter_votes_in_its_own_area_only() {
    let boxes = Boxes::new(|_| ());
    let ballot = boxes.seal(BOTH, &boxes.voters[1], 1);
    assert_eq!(boxes.lane(0).judge(&ballot), Err(BoxRefusal::WrongStyle { expected: 1, got: 0 }));
    assert_eq!(boxes.lane(0).judge(&boxes.seal(ONE, &boxes.voters[1], 1)), Ok(Admission::Counts));
}

#[test]
fn who_is_not_on_the_roll_does_not_vote() {
    let boxes = Boxes::new(|_| ());
    let stranger = key(&mut ChaCha20Rng::seed_from_u64(9));
    for style in [BOTH, ONE] {
        let mut lane = boxes.lane(0);
        let ballot = boxes.seal(style, &stranger, 1);
        assert_eq!(lane.judge(&ballot), Err(BoxRefusal::UnknownCredential));
        assert!(lane.absorb(&ballot, &nothing_earlier).is_err());
        assert_eq!((lane.size().0, lane.counted()), (0, 0));
    }
}

#[test]
fn where_the_first_ballot_counts_a_second_is_refused() {
    let boxes = Boxes::new(|manifest| manifest.revote = Revote::First);
    let mut lane = boxes.lane(0);
    lane.absorb(&boxes.seal(BOTH, &boxes.voters[0], 1), &nothing_earlier).unwrap();
    let second = boxes.seal(BOTH, &boxes.voters[0], 2);
    assert_eq!(lane.judge(&second), Err(BoxRefusal::AlreadyVoted { leaf: LeafIndex(0) }));
}

#[test]
fn where_the_last_ballot_counts_it_counts_alone() {
    let boxes = Boxes::new(|_| ());
    let (first, second) = (boxes.seal(BOTH, &boxes.voters[0], 1), boxes.seal(BOTH, &boxes.voters[0], 2));
    let (mut both, mut only) = (boxes.lane(0), boxes.lane(0));
    both.absorb(&first, &nothing_earlier).unwrap();
    both.absorb(&second, &|leaf| (leaf == LeafIndex(0)).then(|| first.clone())).unwrap();
    only.absorb(&second, &nothing_earlier).unwrap();
    assert_eq!(both.aggregate(), only.aggregate());
    assert_eq!((both.counted(), both.weights()), (1, only.weights()));
    assert_eq!((both.size().0, both.counted_bits()), (2, &[0b10][..]));
}

#[test]
fn a_ballot_weighs_what_the_roll_says() {
    let boxes = Boxes::new(|_| ());
    // The roll gives the third voter weight 3.
    let ballot = boxes.seal(BOTH, &boxes.voters[2], 1);
    let mut lane = boxes.lane(0);
    lane.absorb(&ballot, &nothing_earlier).unwrap();
    assert_eq!(lane.weights(), [3, 3]);
    for (sums, (_, votes)) in lane.aggregate().sums().zip(ballot.contests()) {
        for ((a, b), vote) in sums.iter().zip(votes) {
            let (one_a, one_b) = (vote.a.raw(), vote.b.raw());
            assert_eq!((*a, *b), (one_a + one_a + one_a, one_b + one_b + one_b));
        }
    }
}

#[test]
fn a_ciphertext_of_another_ballot_is_refused() {
    let boxes = Boxes::new(|_| ());
    let mut lane = boxes.lane(0);
    lane.absorb(&boxes.seal(BOTH, &boxes.voters[0], 1), &nothing_earlier).unwrap();
    let repeated = boxes.seal(BOTH, &boxes.voters[2], 1);
    assert_eq!(lane.judge(&repeated), Err(BoxRefusal::Duplicate));
    assert_eq!(lane.judge(&boxes.seal(BOTH, &boxes.voters[2], 2)), Ok(Admission::Counts));
}

#[test]
fn a_voter_has_one_lane() {
    let boxes = Boxes::new(|manifest| manifest.lanes = 3);
    for (voter, at) in boxes.voters.iter().zip(0_u16..) {
        let ballot = boxes.seal(StyleIndex(at % 2), voter, 1);
        let home = ballot_box::lane_of(&ballot.credential(), 3);
        for lane in 0..3 {
            let expected = if lane == home.0 {
                Ok(Admission::Counts)
            } else {
                Err(BoxRefusal::WrongLane { expected: home.0, got: lane })
            };
            assert_eq!(boxes.lane(lane).judge(&ballot), expected);
        }
    }
}
