//! What anyone sees of an attempt, and who is asked next.

use super::*;
use crate::group::Scalar;

struct Seen {
    group: Group,
    attempt: Attempted,
    shares: BTreeMap<TrusteeIndex, SignShare>,
    aborts: BTreeMap<TrusteeIndex, SignAbort>,
}

impl Seen {
    /// After the first round of 1, 2 and 4 out of five.
    fn new(seed: u8) -> Self {
        let mut group = Group::new(3, 5, seed);
        let attempt = Attempted::new(&mut group, &[1, 2, 4]);
        Self { group, attempt, shares: BTreeMap::new(), aborts: BTreeMap::new() }
    }
    fn progress(&self) -> Progress {
        let session = Session { keys: &self.group.keys, request: &self.attempt.request, message: MESSAGE };
        session.progress(&self.attempt.seen(), &refs(&self.shares), &refs(&self.aborts))
    }
    fn failed(&self) -> (Vec<(TrusteeIndex, Wrong)>, Vec<TrusteeIndex>, Vec<TrusteeIndex>) {
        match self.progress() {
            Progress::Failed { culprits, aborted, strayed } => (culprits, aborted, strayed),
            other => panic!("{other:?}"),
        }
    }
    fn package(&self) -> Hash {
        package_hash(MESSAGE, &self.attempt.seen())
    }
    fn answer(&mut self, index: u16, message: &[u8]) {
        let share = self.attempt.sign(&self.group, index, message).unwrap();
        self.shares.insert(TrusteeIndex(index), share);
    }
}

#[test]
fn an_attempt_goes_from_commitments_to_shares_to_a_signature() {
    let mut seen = Seen::new(30);
    let late = seen.attempt.commitments.remove(&TrusteeIndex(2)).unwrap();
    assert_eq!(seen.progress(), Progress::AwaitingCommitments { missing: indices(&[2]) });
    seen.attempt.commitments.insert(TrusteeIndex(2), late);
    let package = seen.package();
    assert_eq!(seen.progress(), Progress::AwaitingShares { missing: indices(&[1, 2, 4]), package });
    seen.answer(4, MESSAGE);
    seen.answer(1, MESSAGE);
    assert_eq!(seen.progress(), Progress::AwaitingShares { missing: indices(&[2]), package });
    seen.answer(2, MESSAGE);
    let Progress::Signed(signature) = seen.progress() else { panic!("not signed") };
    assert!(strict(&seen.group.signing_key, MESSAGE, &signature));
}

#[test]
fn a_bad_share_ends_the_attempt_before_the_others_answer() {
    let mut seen = Seen::new(31);
    seen.answer(2, MESSAGE);
    seen.shares.get_mut(&TrusteeIndex(2)).unwrap().share[3] ^= 1;
    assert_eq!(seen.failed(), (vec![(TrusteeIndex(2), Wrong::BadSignatureShare)], vec![], vec![]));
}

#[test]
fn bad_shares_of_a_full_set_are_all_named() {
    let mut seen = Seen::new(32);
    for index in [1, 2, 4] {
        seen.answer(index, MESSAGE);
    }
    // In different places, for errors of the same size may cancel: see below.
    seen.shares.get_mut(&TrusteeIndex(1)).unwrap().share[3] ^= 1;
    seen.shares.get_mut(&TrusteeIndex(4)).unwrap().share[5] ^= 1;
    let named = [1, 4].map(|index| (TrusteeIndex(index), Wrong::BadSignatureShare));
    assert_eq!(seen.failed(), (named.to_vec(), vec![], vec![]));
}

#[test]
fn errors_that_cancel_still_make_the_groups_signature() {
    let mut seen = Seen::new(39);
    for index in [1, 2, 4] {
        seen.answer(index, MESSAGE);
    }
    let shift = |share: &mut [u8; 32], by: Scalar| {
        *share = (Scalar::from_canonical_bytes(*share).unwrap() + by).to_bytes();
    };
    shift(&mut seen.shares.get_mut(&TrusteeIndex(1)).unwrap().share, Scalar::ONE);
    let one =
        verify_share(&seen.group.keys, TrusteeIndex(1), MESSAGE, &seen.attempt.seen(), &seen.shares[&TrusteeIndex(1)]);
    assert_eq!(one, Err(ShareRefusal::Wrong(Wrong::BadSignatureShare)));
    assert_eq!(seen.failed().0, [(TrusteeIndex(1), Wrong::BadSignatureShare)]);
    shift(&mut seen.shares.get_mut(&TrusteeIndex(4)).unwrap().share, -Scalar::ONE);
    let Progress::Signed(signature) = seen.progress() else { panic!("not signed") };
    assert!(strict(&seen.group.signing_key, MESSAGE, &signature));
}

#[test]
fn a_bad_commitment_ends_the_attempt_and_names_its_sender() {
    let mut seen = Seen::new(33);
    seen.attempt.commitments.get_mut(&TrusteeIndex(4)).unwrap().binding = [0; 32];
    assert_eq!(seen.failed(), (vec![(TrusteeIndex(4), Wrong::PointInvalid)], vec![], vec![]));
}

#[test]
fn an_abort_ends_the_attempt_without_blame() {
    let mut seen = Seen::new(34);
    seen.aborts.insert(TrusteeIndex(1), abort(ATTEMPT));
    assert_eq!(seen.failed(), (vec![], indices(&[1]), vec![]));
    seen.attempt.commitments.remove(&TrusteeIndex(1));
    assert_eq!(seen.failed(), (vec![], indices(&[1]), vec![]), "also before the commitment");
}

#[test]
fn an_abort_after_the_answer_is_ignored() {
    let mut seen = Seen::new(35);
    for index in [1, 2, 4] {
        seen.answer(index, MESSAGE);
    }
    seen.aborts.insert(TrusteeIndex(1), abort(ATTEMPT));
    assert!(matches!(seen.progress(), Progress::Signed(_)));
}

#[test]
fn an_answer_to_another_package_ends_the_attempt_without_blame() {
    let mut seen = Seen::new(36);
    seen.answer(2, b"another message");
    assert_eq!(seen.failed(), (vec![], vec![], indices(&[2])));
    seen.answer(1, MESSAGE);
    seen.answer(4, MESSAGE);
    assert_eq!(seen.failed(), (vec![], vec![], indices(&[2])), "also when all answered");
}

#[test]
fn strangers_and_other_attempts_are_ignored() {
    let mut seen = Seen::new(37);
    let stranger = seen.attempt.commitments[&TrusteeIndex(1)].clone();
    seen.attempt.commitments.insert(TrusteeIndex(5), stranger);
    seen.aborts.insert(TrusteeIndex(5), abort(ATTEMPT));
    seen.aborts.insert(TrusteeIndex(1), abort(Attempt(2)));
    let without = seen.attempt.seen().into_iter().filter(|(index, _)| index.0 != 5).collect();
    let package = package_hash(MESSAGE, &without);
    assert_eq!(seen.progress(), Progress::AwaitingShares { missing: indices(&[1, 2, 4]), package });
    seen.attempt.commitments.get_mut(&TrusteeIndex(2)).unwrap().attempt = Attempt(2);
    assert_eq!(seen.progress(), Progress::AwaitingCommitments { missing: indices(&[2]) });
}

#[test]
fn the_next_attempt_without_the_culprit_succeeds() {
    let mut seen = Seen::new(38);
    seen.answer(2, MESSAGE);
    seen.shares.get_mut(&TrusteeIndex(2)).unwrap().share[0] ^= 1;
    let excluded: BTreeSet<_> = seen.failed().0.into_iter().map(|(index, _)| index).collect();
    let order = indices(&[2, 5, 1, 4, 3]);
    let signers = choose_signers(&order, 3, &excluded).unwrap();
    assert_eq!(signers, indices(&[1, 4, 5]));
    let plain: Vec<u16> = signers.iter().map(|index| index.0).collect();
    let mut next = Attempted::new(&mut seen.group, &plain);
    let shares = next.sign_all(&seen.group);
    let signature = aggregate(&seen.group.keys, MESSAGE, &next.seen(), &refs(&shares)).unwrap();
    assert!(strict(&seen.group.signing_key, MESSAGE, &signature));
}

#[test]
fn signers_are_the_first_by_lot_and_the_next_steps_in() {
    let order = indices(&[4, 2, 5, 1, 3]);
    let without = |list: &[u16]| choose_signers(&order, 3, &indices(list).into_iter().collect());
    assert_eq!(without(&[]), Some(indices(&[2, 4, 5])));
    assert_eq!(without(&[4]), Some(indices(&[1, 2, 5])));
    assert_eq!(without(&[4, 5]), Some(indices(&[1, 2, 3])));
    assert_eq!(without(&[4, 5, 1]), None);
    assert_eq!(choose_signers(&order, 0, &BTreeSet::new()), None);
    assert_eq!(choose_signers(&indices(&[1, 1, 1]), 2, &BTreeSet::new()), None, "an order that repeats itself");
}
