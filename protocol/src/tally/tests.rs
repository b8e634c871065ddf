use super::{messages::Partials, *};
use crate::{
    agreement::messages::{LaneEnd, VoteSet},
    encoding::{Canonical as _, Hash},
    evidence::Wrong,
    group::{Point, RawPoint, Scalar, base_mul, identity, random_scalar},
    ids::{ElectionId, LogSize, Weight},
    manifest::{Contest, Manifest, Method, tests::sample},
};
use alloc::{collections::BTreeMap, string::ToString as _, vec, vec::Vec};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore as _;

const ELECTION: ElectionId = ElectionId([4; 32]);
const VOTE_SET: Hash = [5; 32];

/// Keys split by a dealer, as a key ceremony would leave them.
struct Trustees {
    shares: Vec<(TrusteeIndex, Scalar, Point)>,
    key: RawPoint,
    rng: ChaCha20Rng,
}

impl Trustees {
    fn new(t: u16, n: u16, seed: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let polynomial: Vec<Scalar> = (0..t).map(|_| random_scalar(&mut rng)).collect();
        let at = |x: u16| polynomial.iter().rev().fold(Scalar::ZERO, |sum, c| sum * Scalar::from(x) + c);
        let shares = (1..=n).map(|i| (TrusteeIndex(i), at(i), Point::new(base_mul(&at(i))).unwrap())).collect();
        Self { shares, key: base_mul(&at(0)), rng }
    }
    /// Sums that hold these numbers; `None` is the sum of no ballots.
    fn encrypt(&mut self, votes: &[Option<u64>]) -> Vec<(RawPoint, RawPoint)> {
        let seal = |vote: &Option<u64>| {
            vote.map_or((identity(), identity()), |vote| {
                let r = random_scalar(&mut self.rng);
                (base_mul(&r), base_mul(&Scalar::from(vote)) + self.key * r)
            })
        };
        votes.iter().map(seal).collect()
    }
    fn partials(&mut self, i: usize, sums: &[(RawPoint, RawPoint)]) -> Partials {
        let (index, secret, share) = self.shares[i - 1];
        partials(ELECTION, index, VOTE_SET, &secret, &share, sums, &mut self.rng).unwrap()
    }
    fn checked(&mut self, i: usize, sums: &[(RawPoint, RawPoint)]) -> Vec<RawPoint> {
        let made = self.partials(i, sums);
        let (index, _, share) = self.shares[i - 1];
        check_partials(ELECTION, index, VOTE_SET, &share, sums, &made).unwrap()
    }
    fn shares_of(&mut self, who: &[usize], sums: &[(RawPoint, RawPoint)]) -> BTreeMap<TrusteeIndex, Vec<RawPoint>> {
        who.iter().map(|i| (self.shares[i - 1].0, self.checked(*i, sums))).collect()
    }
}

fn in_the_clear(votes: &[Option<u64>]) -> Vec<RawPoint> {
    votes.iter().map(|vote| base_mul(&Scalar::from(vote.unwrap_or(0)))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_subset_of_t_trustees_gives_the_same_messages(
        (n, t, seed) in (2_u16..=6).prop_flat_map(|n| (Just(n), 2..=n, any::<u8>())),
        votes in proptest::collection::vec(proptest::option::of(0_u64..1000), 1..4),
    ) {
        let mut trustees = Trustees::new(t, n, seed);
        let sums = trustees.encrypt(&votes);
        let everybody: Vec<_> = (1..=usize::from(n)).map(|i| trustees.checked(i, &sums)).collect();
        for set in 0_u32..(1 << n) {
            let shares: BTreeMap<_, _> = (0..n)
                .filter(|bit| set & (1 << bit) != 0)
                .map(|bit| (TrusteeIndex(bit + 1), everybody[usize::from(bit)].clone()))
                .collect();
            let combined = combine(t, &shares, &sums);
            if set.count_ones() >= u32::from(t) {
                prop_assert_eq!(combined, Ok(in_the_clear(&votes)));
            } else {
                let have = shares.len();
                prop_assert_eq!(combined, Err(TallyRefusal::TooFew { have, need: t.into() }));
            }
        }
    }
}

#[test]
fn fewer_than_t_shares_interpolate_to_something_else() {
    // Guards the guard: were the threshold not checked, the points would be wrong, not merely early.
    let mut trustees = Trustees::new(3, 5, 1);
    let sums = trustees.encrypt(&[Some(7)]);
    let two = trustees.shares_of(&[1, 2], &sums);
    assert_ne!(combine(2, &two, &sums), Ok(in_the_clear(&[Some(7)])));
}

#[test]
fn a_wrong_partial_is_named_and_the_others_go_on_without_it() {
    let mut trustees = Trustees::new(3, 4, 2);
    let votes = [Some(4), Some(0), None];
    let sums = trustees.encrypt(&votes);
    let mut shares = BTreeMap::new();
    let mut named = Vec::new();
    for i in 1..=4 {
        let mut made = trustees.partials(i, &sums);
        if i == 2 {
            made.points.swap(0, 1);
        }
        let (index, _, share) = trustees.shares[i - 1];
        match check_partials(ELECTION, index, VOTE_SET, &share, &sums, &made) {
            Ok(points) => {
                shares.insert(index, points);
            }
            Err(wrong) => named.push((index, wrong)),
        }
    }
    assert_eq!(named, [(TrusteeIndex(2), Wrong::BadPartial)]);
    assert_eq!(combine(3, &shares, &sums), Ok(in_the_clear(&votes)));
}

#[test]
fn a_partial_for_another_vote_set_election_or_trustee_is_refused() {
    let mut trustees = Trustees::new(2, 2, 3);
    let sums = trustees.encrypt(&[Some(1)]);
    let made = trustees.partials(1, &sums);
    let (index, _, share) = trustees.shares[0];
    let judge = |election, index, vote_set, share: &Point, made: &Partials| {
        check_partials(election, index, vote_set, share, &sums, made).map(|_| ())
    };
    assert_eq!(judge(ELECTION, index, VOTE_SET, &share, &made), Ok(()));
    assert_eq!(judge(ELECTION, index, [6; 32], &share, &made), Err(Wrong::OtherVoteSet));
    let relabelled = Partials { vote_set: [6; 32], ..made.clone() };
    assert_eq!(judge(ELECTION, index, [6; 32], &share, &relabelled), Err(Wrong::BadPartial));
    assert_eq!(judge(ElectionId([1; 32]), index, VOTE_SET, &share, &made), Err(Wrong::BadPartial));
    let (other, _, other_share) = trustees.shares[1];
    assert_eq!(judge(ELECTION, other, VOTE_SET, &other_share, &made), Err(Wrong::BadPartial));
    assert_eq!(judge(ELECTION, other, VOTE_SET, &share, &made), Err(Wrong::BadPartial));
}

#[test]
fn a_rehearsal_proof_is_not_taken_as_partials_nor_the_other_way_round() {
    use crate::{
        dleq::{Context, Scope, prove, verify},
        ids::Attempt,
    };
    let mut trustees = Trustees::new(2, 2, 4);
    let sums = trustees.encrypt(&[Some(1)]);
    let (trustee, secret, share) = trustees.shares[0];
    let scope = Scope::Rehearsal { attempt: Attempt(1), digest: VOTE_SET };
    let rehearsal = Context { election: ELECTION, scope, trustee };
    let bases = [sums[0].0];
    let made = prove(&rehearsal, &secret, &share, &bases, &mut trustees.rng).unwrap();
    let posing = Partials { vote_set: VOTE_SET, points: made.points, proof: made.proof };
    let verdict = check_partials(ELECTION, trustee, VOTE_SET, &share, &sums, &posing);
    assert_eq!(verdict, Err(Wrong::BadPartial));
    let tally = trustees.partials(1, &sums);
    assert_eq!(verify(&rehearsal, &share, &bases, &tally.points, &tally.proof), Err(Wrong::BadPartial));
}

#[test]
fn shares_that_cannot_be_combined_are_refused() {
    let mut trustees = Trustees::new(2, 3, 5);
    let sums = trustees.encrypt(&[Some(1), Some(2)]);
    let mut shares = trustees.shares_of(&[1, 2], &sums);
    let zero = BTreeMap::from([(TrusteeIndex(0), vec![identity(); 2]), (TrusteeIndex(1), vec![identity(); 2])]);
    assert_eq!(combine(2, &zero, &sums), Err(TallyRefusal::Trustee(TrusteeIndex(0))));
    shares.get_mut(&TrusteeIndex(2)).unwrap().pop();
    let refusal = combine(2, &shares, &sums);
    assert_eq!(refusal, Err(TallyRefusal::Count { what: "partial decryptions", expected: 2, got: 1 }));
    assert_eq!(combine(0, &BTreeMap::new(), &sums), Err(TallyRefusal::TooFew { have: 0, need: 1 }));
}

// Discrete logarithms.

fn times_g(m: u64) -> RawPoint {
    base_mul(&Scalar::from(m))
}

#[test]
fn every_value_up_to_the_bound_is_found_and_no_other() {
    for bound in [0, 1, 2, 15, 16, 17, 255, 256, 300, 1000] {
        let logs = DiscreteLogs::new(bound, 1);
        for m in 0..=bound {
            assert_eq!(logs.find(&times_g(m), bound), Some(m), "{m} of {bound}");
        }
        for m in [bound + 1, bound + 2, 2 * bound + 40, 1 << 30] {
            assert_eq!(logs.find(&times_g(m), bound), None, "{m} over {bound}");
        }
        assert_eq!(logs.find(&-times_g(1), bound), None, "-1 with {bound}");
    }
}

#[test]
fn one_table_serves_smaller_bounds() {
    let logs = DiscreteLogs::new(100_000, 8);
    for bound in [0, 1, 10, 1_000, 99_999] {
        assert_eq!(logs.find(&times_g(bound), bound), Some(bound));
        assert_eq!(logs.find(&times_g(bound + 1), bound), None);
    }
}

#[test]
fn values_around_the_ends_of_giant_steps_and_batches_are_found() {
    let bound = 1 << 24;
    let logs = DiscreteLogs::new(bound, 1);
    let steps = 1 << 12;
    for giant in [1, 2, 255, 256, 257, 512, 4095, 4096] {
        for m in [giant * steps - 1, giant * steps, giant * steps + 1] {
            assert_eq!(logs.find(&times_g(m), bound), (m <= bound).then_some(m), "{m}");
        }
    }
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    for _ in 0..20 {
        let m = rng.next_u64() % (bound + 1);
        assert_eq!(logs.find(&times_g(m), bound), Some(m));
    }
}

#[test]
fn the_largest_weight_an_election_may_have_is_found_and_one_more_ends() {
    let bound = bounds::WEIGHT_TOTAL_MAX;
    let logs = DiscreteLogs::new(bound, 1);
    for m in [0, 1, 12_345_678_901, bound - 1, bound] {
        assert_eq!(logs.find(&times_g(m), bound), Some(m));
    }
    assert_eq!(logs.find(&times_g(bound + 1), bound), None);
}

#[test]
fn a_fingerprint_alone_is_not_believed() {
    // A table that claims every multiple is the first one: the group decides, and nothing is found.
    let logs = DiscreteLogs::new(16, 1);
    let misled = logs.relabelled(7);
    assert_eq!(misled.find(&times_g(3), 16), None);
    assert_eq!(misled.find(&times_g(7), 16), Some(7));
}

// Results.

fn contest(id: &str, options: usize, max: u16, seats: u16) -> Contest {
    Contest {
        id: id.into(),
        title: id.into(),
        method: if max == 1 { Method::SingleChoice } else { Method::Approval },
        options: (0..options).map(|at| at.to_string()).collect(),
        min: 1,
        max,
        blank: true,
        seats,
        ties_by_lot: false,
    }
}

fn election(contests: Vec<Contest>, weights: &[u64]) -> (Manifest, VoteSet) {
    let mut manifest = sample(4);
    manifest.styles[0].contests = (0..).map(ContestIndex).take(contests.len()).collect();
    manifest.contests = contests;
    manifest.validate().unwrap();
    let vote_set = VoteSet {
        key_certificate: [1; 32],
        lanes: vec![LaneEnd { size: LogSize(12), root: [2; 32] }],
        logged: 12,
        counted: 9,
        weights: weights.iter().copied().map(Weight).collect(),
        counted_digest: [3; 32],
        aggregate: [4; 32],
    };
    (manifest, vote_set)
}

/// Lots in descending order of options, so that they cannot be mistaken for the options' own order.
fn descending(_: ContestIndex, option: OptionIndex) -> Hash {
    [u8::try_from(100 - option.0).unwrap(); 32]
}

fn count(contests: Vec<Contest>, weights: &[u64], totals: &[u64]) -> Result<ElectionResult, TallyRefusal> {
    let (manifest, vote_set) = election(contests, weights);
    let messages: Vec<_> = totals.iter().copied().map(times_g).collect();
    ElectionResult::count(&manifest, &vote_set, VOTE_SET, &messages, &descending)
}

fn options(indices: &[u16]) -> Vec<OptionIndex> {
    indices.iter().copied().map(OptionIndex).collect()
}

#[test]
fn a_result_goes_from_ciphertexts_to_winners() {
    let (manifest, vote_set) = election(vec![contest("a", 3, 1, 1), contest("b", 3, 2, 2)], &[9, 5]);
    let mut trustees = Trustees::new(3, 4, 6);
    let sums = trustees.encrypt(&[Some(2), Some(5), Some(0), Some(1), Some(5), Some(3)]);
    let shares = trustees.shares_of(&[4, 1, 3], &sums);
    let messages = combine(3, &shares, &sums).unwrap();
    let result = ElectionResult::count(&manifest, &vote_set, VOTE_SET, &messages, &descending).unwrap();
    assert_eq!((result.election, result.vote_set), (manifest.id(), VOTE_SET));
    assert_eq!((result.voters, result.weight_total, result.logged, result.counted), (10, 10, 12, 9));
    let [a, b] = &result.contests[..] else { panic!("two contests") };
    assert_eq!((&a.totals[..], a.weight, a.blank), (&[2, 5, 0][..], Weight(9), Some(2)));
    assert_eq!((&a.winners, &a.tie), (&options(&[1]), &None));
    assert_eq!((&b.totals[..], b.weight, b.blank), (&[1, 5, 3][..], Weight(5), None));
    assert_eq!((&b.winners, &b.tie), (&options(&[1, 2]), &None));
}

#[test]
fn every_field_of_a_result_is_in_its_digest_and_it_round_trips() {
    let result = count(vec![contest("a", 3, 1, 2)], &[9], &[4, 2, 2]).unwrap();
    let bytes = result.to_bytes();
    assert_eq!(ElectionResult::from_bytes(&bytes).as_ref(), Ok(&result));
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        if let Ok(other) = ElectionResult::from_bytes(&other) {
            assert_ne!(other.digest(), result.digest(), "byte {at}");
        }
    }
}

#[test]
fn a_contest_without_ballots_has_no_votes_no_winner_and_no_tie() {
    let (manifest, vote_set) = election(vec![contest("a", 2, 1, 1), contest("b", 2, 1, 1)], &[0, 3]);
    let mut trustees = Trustees::new(2, 3, 7);
    let sums = trustees.encrypt(&[None, None, Some(1), Some(2)]);
    let shares = trustees.shares_of(&[2, 3], &sums);
    let messages = combine(2, &shares, &sums).unwrap();
    let result = ElectionResult::count(&manifest, &vote_set, VOTE_SET, &messages, &descending).unwrap();
    let empty = ContestResult { totals: vec![0, 0], weight: Weight(0), blank: Some(0), winners: vec![], tie: None };
    assert_eq!(result.contests[0], empty);
    assert_eq!(result.contests[1].winners, options(&[1]));
}

#[test]
fn a_sum_over_the_counted_weight_names_contest_option_and_bound() {
    let contests = || vec![contest("a", 2, 1, 1), contest("b", 2, 2, 1)];
    assert!(count(contests(), &[50, 4], &[0, 50, 4, 4]).is_ok());
    let refusal = count(contests(), &[50, 4], &[0, 50, 4, 5]);
    let out_of_range = TallyRefusal::OutOfRange { contest: ContestIndex(1), option: OptionIndex(1), bound: 4 };
    assert_eq!(refusal, Err(out_of_range));
}

#[test]
fn more_or_fewer_marks_than_the_ballots_can_have_are_refused() {
    let at = ContestIndex(0);
    let refusal = count(vec![contest("a", 3, 2, 1)], &[4], &[4, 4, 1]);
    assert_eq!(refusal, Err(TallyRefusal::Marks { contest: at, min: 0, max: 8, got: 9 }));
    let strict = Contest { blank: false, min: 2, ..contest("a", 3, 2, 1) };
    assert!(count(vec![strict.clone()], &[4], &[4, 4, 0]).is_ok());
    let refusal = count(vec![strict], &[4], &[4, 3, 0]);
    assert_eq!(refusal, Err(TallyRefusal::Marks { contest: at, min: 8, max: 8, got: 7 }));
}

#[test]
fn lists_of_another_election_are_refused() {
    let one = || vec![contest("a", 2, 1, 1)];
    let refusal = count(one(), &[4], &[1, 2, 3]);
    assert_eq!(refusal, Err(TallyRefusal::Count { what: "decrypted sums", expected: 2, got: 3 }));
    let refusal = count(one(), &[4, 4], &[1, 2]);
    assert_eq!(refusal, Err(TallyRefusal::Count { what: "counted weights", expected: 1, got: 2 }));
    let heavy = (1 << 40) + 1;
    let refusal = count(one(), &[heavy], &[1, 2]);
    assert_eq!(refusal, Err(TallyRefusal::Weight { contest: ContestIndex(0), got: heavy }));
}

#[test]
fn a_tie_for_the_last_seats_is_shown_and_left_open() {
    let result = count(vec![contest("a", 5, 5, 3)], &[9], &[4, 7, 4, 1, 4]).unwrap();
    let tie = Tie { seats: 2, options: options(&[0, 2, 4]), lots: None };
    assert_eq!(result.contests[0].winners, options(&[1]));
    assert_eq!(result.contests[0].tie, Some(tie));
}

#[test]
fn lots_break_a_tie_only_where_the_contest_says_so() {
    let by_lot = Contest { ties_by_lot: true, ..contest("a", 5, 5, 3) };
    let result = count(vec![by_lot], &[9], &[4, 7, 4, 1, 4]).unwrap();
    let tie = Tie { seats: 2, options: options(&[0, 2, 4]), lots: Some(options(&[4, 2, 0])) };
    assert_eq!(result.contests[0].winners, options(&[1, 4, 2]));
    assert_eq!(result.contests[0].tie, Some(tie));
}

#[test]
fn equal_winners_who_all_have_a_seat_are_no_tie() {
    let result = count(vec![contest("a", 4, 4, 3)], &[9], &[4, 7, 4, 1]).unwrap();
    assert_eq!((&result.contests[0].winners, &result.contests[0].tie), (&options(&[1, 0, 2]), &None));
}

#[test]
fn an_option_without_a_vote_wins_nothing_and_ties_with_nobody() {
    let result = count(vec![contest("a", 4, 4, 2)], &[9], &[0, 3, 0, 0]).unwrap();
    assert_eq!((&result.contests[0].winners, &result.contests[0].tie), (&options(&[1]), &None));
}

#[test]
fn everybody_tied_for_one_seat_is_a_tie() {
    let result = count(vec![contest("a", 2, 1, 1)], &[6], &[3, 3]).unwrap();
    let tie = Tie { seats: 1, options: options(&[0, 1]), lots: None };
    assert_eq!((&result.contests[0].winners, &result.contests[0].tie), (&vec![], &Some(tie)));
}

/// Figures, not a claim: run with `--ignored --nocapture`.
#[test]
#[ignore = "measures, does not check"]
fn measure() {
    use std::{println, time::Instant};
    let mut trustees = Trustees::new(3, 5, 9);
    let sums = trustees.encrypt(&[Some(5); 10]);
    let start = Instant::now();
    let made: Vec<_> = (0..100).map(|_| trustees.partials(1, &sums)).collect();
    println!("prove, 10 options: {:?}", start.elapsed() / 100);
    let (index, _, share) = trustees.shares[0];
    let start = Instant::now();
    for made in &made {
        assert!(check_partials(ELECTION, index, VOTE_SET, &share, &sums, made).is_ok());
    }
    println!("verify, 10 options: {:?}", start.elapsed() / 100);
    for power in [24, 32, 40] {
        let bound = 1_u64 << power;
        let start = Instant::now();
        let logs = DiscreteLogs::new(bound, 1);
        let table = start.elapsed();
        let start = Instant::now();
        assert_eq!(logs.find(&times_g(bound), bound), Some(bound));
        println!("2^{power}: table {table:?}, worst search {:?}", start.elapsed());
    }
}
