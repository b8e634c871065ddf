use super::{
    messages::{Purpose, SignAbort, SignCommitment, SignRequest, SignShare},
    *,
};
use crate::{
    encoding::Hash,
    evidence::Wrong,
    ids::{Attempt, ElectionId, TrusteeIndex},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format, vec,
    vec::Vec,
};
use frost_ed25519::keys::{IdentifierList, KeyPackage, generate_with_dealer};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore as _;

mod board;
mod vector;

const CONTENT: Hash = [3; 32];
const MESSAGE: &[u8] = b"what the trustees sign";
const PURPOSE: Purpose = Purpose::AnchorKey;
const ATTEMPT: Attempt = Attempt(1);

/// Keys split by a dealer, as a key ceremony would leave them.
struct Group {
    keys: SigningKeys,
    signing_key: [u8; 32],
    signing_shares: Vec<[u8; 32]>,
    packages: Vec<KeyPackage>,
    rng: ChaCha20Rng,
}

impl Group {
    fn new(s: u16, n: u16, seed: u8) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let (secrets, public) = generate_with_dealer(n, s, IdentifierList::Default, &mut rng).unwrap();
        let packages: Vec<KeyPackage> =
            (1..=n).map(|i| secrets[&identifier(TrusteeIndex(i)).unwrap()].clone().try_into().unwrap()).collect();
        let signing_key = public.verifying_key().serialize().unwrap().try_into().unwrap();
        let share = |package: &KeyPackage| package.verifying_share().serialize().unwrap().try_into().unwrap();
        let signing_shares: Vec<[u8; 32]> = packages.iter().map(share).collect();
        let keys = SigningKeys::new(&signing_key, &signing_shares, s).unwrap();
        Self { keys, signing_key, signing_shares, packages, rng }
    }
    fn package(&self, index: TrusteeIndex) -> KeyPackage {
        self.packages[usize::from(index.0) - 1].clone()
    }
}

fn indices(list: &[u16]) -> Vec<TrusteeIndex> {
    list.iter().copied().map(TrusteeIndex).collect()
}

fn request(purpose: Purpose, attempt: Attempt, signers: &[u16]) -> SignRequest {
    SignRequest { purpose, attempt, signers: indices(signers), nonce: [0; 32], lamports: 0 }
}

/// One attempt after its first round.
struct Attempted {
    request: SignRequest,
    locks: BTreeMap<TrusteeIndex, SignerLocks>,
    nonces: BTreeMap<TrusteeIndex, SigningNonce>,
    commitments: BTreeMap<TrusteeIndex, SignCommitment>,
}

impl Attempted {
    fn new(group: &mut Group, signers: &[u16]) -> Self {
        let request = request(PURPOSE, ATTEMPT, signers);
        let (mut locks, mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for index in indices(signers) {
            let mut own = SignerLocks::new();
            let permit = own.commit_permit(index, &request, CONTENT).unwrap();
            let (nonce, commitment) = commit(&group.package(index), permit, &mut group.rng).unwrap();
            own.committed(&commitment, CONTENT);
            locks.insert(index, own);
            nonces.insert(index, nonce);
            commitments.insert(index, commitment);
        }
        Self { request, locks, nonces, commitments }
    }
    fn seen(&self) -> BTreeMap<TrusteeIndex, &SignCommitment> {
        self.commitments.iter().map(|(index, commitment)| (*index, commitment)).collect()
    }
    fn sign(&mut self, group: &Group, index: u16, message: &[u8]) -> Result<SignShare, SigningRefusal> {
        let index = TrusteeIndex(index);
        let nonce = self.nonces.remove(&index).unwrap();
        let permit = self.locks[&index].sign_permit(&nonce, CONTENT).unwrap();
        sign(nonce, permit, &group.package(index), &self.request, message, &self.seen())
    }
    fn sign_all(&mut self, group: &Group) -> BTreeMap<TrusteeIndex, SignShare> {
        let signers = self.request.signers.clone();
        signers.into_iter().map(|index| (index, self.sign(group, index.0, MESSAGE).unwrap())).collect()
    }
}

fn refs<T>(map: &BTreeMap<TrusteeIndex, T>) -> BTreeMap<TrusteeIndex, &T> {
    map.iter().map(|(index, value)| (*index, value)).collect()
}

fn strict(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_s_signers_make_a_plain_strict_ed25519_signature(
        (n, s, picks) in (2_u16..=7).prop_flat_map(|n| (Just(n), 2..=n)).prop_flat_map(|(n, s)| {
            (Just(n), Just(s), proptest::sample::subsequence((1..=n).collect::<Vec<_>>(), usize::from(s)))
        }),
        seed in any::<u8>(),
    ) {
        let mut group = Group::new(s, n, seed);
        let mut attempt = Attempted::new(&mut group, &picks);
        let shares = attempt.sign_all(&group);
        for (index, share) in &shares {
            prop_assert_eq!(verify_share(&group.keys, *index, MESSAGE, &attempt.seen(), share), Ok(()));
        }
        let signature = aggregate(&group.keys, MESSAGE, &attempt.seen(), &refs(&shares)).unwrap();
        prop_assert!(strict(&group.signing_key, MESSAGE, &signature));
        prop_assert!(group.keys.verify(MESSAGE, &signature));
        prop_assert!(!group.keys.verify(b"something else", &signature));
    }
}

#[test]
fn a_bad_share_names_its_sender_and_nobody_else() {
    let mut group = Group::new(3, 5, 1);
    let mut attempt = Attempted::new(&mut group, &[1, 3, 4]);
    let mut shares = attempt.sign_all(&group);
    shares.get_mut(&TrusteeIndex(3)).unwrap().share[0] ^= 1;
    let refusal = aggregate(&group.keys, MESSAGE, &attempt.seen(), &refs(&shares)).unwrap_err();
    assert_eq!(refusal.culprits(), indices(&[3]));
    for (index, share) in &shares {
        let verdict = verify_share(&group.keys, *index, MESSAGE, &attempt.seen(), share);
        let expected = if index.0 == 3 { Err(ShareRefusal::Wrong(Wrong::BadSignatureShare)) } else { Ok(()) };
        assert_eq!(verdict, expected, "trustee {index}");
    }
}

#[test]
fn every_culprit_is_named_at_once() {
    let mut group = Group::new(3, 5, 2);
    let mut attempt = Attempted::new(&mut group, &[1, 2, 5]);
    let mut shares = attempt.sign_all(&group);
    shares.get_mut(&TrusteeIndex(1)).unwrap().share[1] ^= 1;
    shares.get_mut(&TrusteeIndex(5)).unwrap().share[2] ^= 1;
    let refusal = aggregate(&group.keys, MESSAGE, &attempt.seen(), &refs(&shares)).unwrap_err();
    assert_eq!(refusal, AggregateRefusal::Culprits { culprits: indices(&[1, 5]) });
}

#[test]
fn swapped_shares_are_both_wrong() {
    let mut group = Group::new(2, 3, 3);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let shares = attempt.sign_all(&group);
    let swapped =
        BTreeMap::from([(TrusteeIndex(1), &shares[&TrusteeIndex(2)]), (TrusteeIndex(2), &shares[&TrusteeIndex(1)])]);
    for (index, share) in swapped {
        let verdict = verify_share(&group.keys, index, MESSAGE, &attempt.seen(), share);
        assert_eq!(verdict.unwrap_err().wrong(), Some(Wrong::BadSignatureShare));
    }
}

#[test]
fn a_share_that_is_no_canonical_scalar_is_the_senders_wrong() {
    let mut group = Group::new(2, 3, 4);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let mut shares = attempt.sign_all(&group);
    shares.get_mut(&TrusteeIndex(2)).unwrap().share = [0xff; 32];
    let share = &shares[&TrusteeIndex(2)];
    let verdict = verify_share(&group.keys, TrusteeIndex(2), MESSAGE, &attempt.seen(), share);
    assert_eq!(verdict, Err(ShareRefusal::Wrong(Wrong::PointInvalid)));
    let refusal = aggregate(&group.keys, MESSAGE, &attempt.seen(), &refs(&shares)).unwrap_err();
    assert_eq!(refusal.culprits(), indices(&[2]));
}

#[test]
fn a_share_for_another_package_is_nobodys_proven_wrong() {
    let mut group = Group::new(2, 3, 5);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let one = attempt.sign(&group, 1, b"another message").unwrap();
    let two = attempt.sign(&group, 2, MESSAGE).unwrap();
    let verdict = verify_share(&group.keys, TrusteeIndex(1), MESSAGE, &attempt.seen(), &one).unwrap_err();
    assert!(matches!(verdict, ShareRefusal::OtherPackage { .. }));
    assert_eq!(verdict.wrong(), None);
    let shares = BTreeMap::from([(TrusteeIndex(1), &one), (TrusteeIndex(2), &two)]);
    let refusal = aggregate(&group.keys, MESSAGE, &attempt.seen(), &shares).unwrap_err();
    assert_eq!(refusal, AggregateRefusal::OtherPackage { strayed: indices(&[1]) });
    // Claiming the right package for it does make it one.
    let claimed = SignShare { package: two.package, ..one };
    let verdict = verify_share(&group.keys, TrusteeIndex(1), MESSAGE, &attempt.seen(), &claimed);
    assert_eq!(verdict.unwrap_err().wrong(), Some(Wrong::BadSignatureShare));
}

#[test]
fn the_package_hash_depends_on_message_signers_and_every_commitment() {
    let mut group = Group::new(2, 3, 6);
    let attempt = Attempted::new(&mut group, &[1, 2]);
    let honest = package_hash(MESSAGE, &attempt.seen());
    assert_ne!(package_hash(b"another message", &attempt.seen()), honest);
    let changes: [fn(&mut SignCommitment); 4] =
        [|c| c.purpose = Purpose::Rehearsal, |c| c.attempt = Attempt(2), |c| c.hiding[0] ^= 1, |c| c.binding[0] ^= 1];
    for change in changes {
        let mut other = attempt.commitments.clone();
        change(other.get_mut(&TrusteeIndex(2)).unwrap());
        assert_ne!(package_hash(MESSAGE, &refs(&other)), honest);
    }
    let mut other = attempt.commitments.clone();
    let moved = other.remove(&TrusteeIndex(2)).unwrap();
    other.insert(TrusteeIndex(3), moved);
    assert_ne!(package_hash(MESSAGE, &refs(&other)), honest);
}

#[test]
fn a_replaced_own_commitment_is_refused() {
    let mut group = Group::new(2, 3, 7);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let forged = Attempted::new(&mut group, &[1, 2]).commitments.remove(&TrusteeIndex(1)).unwrap();
    attempt.commitments.insert(TrusteeIndex(1), forged);
    assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::OwnCommitment));
    // Another's may be anything that decodes: it is then part of what is signed.
    assert!(attempt.sign(&group, 2, MESSAGE).is_ok());
}

#[test]
fn commitments_of_more_fewer_or_other_signers_are_refused() {
    let mut group = Group::new(2, 4, 8);
    for signers in [&[1][..], &[1, 2, 3], &[1, 3]] {
        let mut attempt = Attempted::new(&mut group, &[1, 2]);
        let other = Attempted::new(&mut group, signers);
        let own = attempt.commitments.remove(&TrusteeIndex(1)).unwrap();
        attempt.commitments = other.commitments;
        attempt.commitments.insert(TrusteeIndex(1), own);
        assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::OtherSigners), "{signers:?}");
    }
}

#[test]
fn fewer_than_s_signers_sign_nothing() {
    let mut group = Group::new(3, 4, 9);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::Library));
}

#[test]
fn a_commitment_of_another_attempt_or_purpose_is_refused() {
    let mut group = Group::new(2, 3, 10);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    attempt.commitments.get_mut(&TrusteeIndex(2)).unwrap().attempt = Attempt(2);
    assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::StrayCommitment(TrusteeIndex(2))));
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    attempt.commitments.get_mut(&TrusteeIndex(2)).unwrap().purpose = Purpose::Rehearsal;
    assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::StrayCommitment(TrusteeIndex(2))));
}

#[test]
fn a_request_or_permit_of_another_attempt_is_refused() {
    let mut group = Group::new(2, 3, 11);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    attempt.request.attempt = Attempt(2);
    assert_eq!(attempt.sign(&group, 1, MESSAGE), Err(SigningRefusal::OtherRequest));

    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let mut later = SignerLocks::new();
    let own = TrusteeIndex(1);
    let asked = request(PURPOSE, Attempt(2), &[1, 2]);
    let permit = later.commit_permit(own, &asked, CONTENT).unwrap();
    let (nonce, commitment) = commit(&group.package(own), permit, &mut group.rng).unwrap();
    later.committed(&commitment, CONTENT);
    let permit = later.sign_permit(&nonce, CONTENT).unwrap();
    let first = attempt.nonces.remove(&own).unwrap();
    let refusal = sign(first, permit, &group.package(own), &attempt.request, MESSAGE, &attempt.seen());
    assert_eq!(refusal, Err(SigningRefusal::OtherPermit));
}

/// Encodings that must not be taken as points: the identity, both of its non-canonical forms, a point of order 8, one that
/// is not on the curve, `y = p`.
fn bad_points() -> Vec<[u8; 32]> {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut negative_identity = identity;
    negative_identity[31] = 0x80;
    let mut over = [0xff; 32];
    over[0] = 0xee;
    over[31] = 0x7f;
    let order_8 = hex::decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05").unwrap();
    let mut p = over;
    p[0] = 0xed;
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    vec![identity, negative_identity, over, order_8.try_into().unwrap(), p, off_curve, [0; 32]]
}

#[test]
fn commitments_that_are_not_points_of_prime_order_are_named() {
    let mut group = Group::new(2, 3, 12);
    for (at, bad) in bad_points().into_iter().enumerate() {
        for field in 0..2 {
            let mut attempt = Attempted::new(&mut group, &[1, 2]);
            let theirs = attempt.commitments.get_mut(&TrusteeIndex(2)).unwrap();
            assert_eq!(check_commitment(theirs), Ok(()));
            if field == 0 {
                theirs.hiding = bad;
            } else {
                theirs.binding = bad;
            }
            assert_eq!(check_commitment(theirs), Err(Wrong::PointInvalid), "point {at}");
            let refusal = attempt.sign(&group, 1, MESSAGE);
            assert_eq!(refusal, Err(SigningRefusal::BadCommitment(TrusteeIndex(2))), "point {at}");
        }
    }
}

#[test]
fn group_keys_and_shares_that_are_not_of_prime_order_are_refused() {
    let group = Group::new(2, 3, 13);
    for bad in bad_points() {
        assert_eq!(SigningKeys::new(&bad, &group.signing_shares, 2).unwrap_err(), KeyRefusal::GroupKey);
        let mut shares = group.signing_shares.clone();
        shares[1] = bad;
        let refusal = SigningKeys::new(&group.signing_key, &shares, 2).unwrap_err();
        assert_eq!(refusal, KeyRefusal::Share(TrusteeIndex(2)));
    }
    for threshold in [0, 1, 4] {
        let refusal = SigningKeys::new(&group.signing_key, &group.signing_shares, threshold).unwrap_err();
        assert_eq!(refusal, KeyRefusal::Threshold { threshold, shares: 3 });
    }
}

#[test]
fn shares_that_are_not_those_of_the_signers_are_incomplete() {
    let mut group = Group::new(2, 3, 14);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let mut shares = attempt.sign_all(&group);
    let two = shares.remove(&TrusteeIndex(2)).unwrap();
    let seen = attempt.seen();
    assert_eq!(aggregate(&group.keys, MESSAGE, &seen, &refs(&shares)), Err(AggregateRefusal::Incomplete));
    shares.insert(TrusteeIndex(3), two.clone());
    assert_eq!(aggregate(&group.keys, MESSAGE, &seen, &refs(&shares)), Err(AggregateRefusal::Incomplete));
    let verdict = verify_share(&group.keys, TrusteeIndex(3), MESSAGE, &seen, &two);
    assert_eq!(verdict, Err(ShareRefusal::NotASigner(TrusteeIndex(3))));
}

#[test]
fn the_debug_form_of_a_nonce_shows_no_secret() {
    let mut group = Group::new(2, 3, 15);
    let attempt = Attempted::new(&mut group, &[1, 2]);
    let nonce = &attempt.nonces[&TrusteeIndex(1)];
    assert_eq!(format!("{nonce:?}"), "SigningNonce(key, attempt 1, redacted)");
}

// Locks.

fn abort(attempt: Attempt) -> SignAbort {
    SignAbort { purpose: PURPOSE, attempt, reason: "restarted".into() }
}

#[test]
fn a_nonce_is_answered_once() {
    let mut group = Group::new(2, 3, 16);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let own = TrusteeIndex(1);
    let share = attempt.sign(&group, 1, MESSAGE).unwrap();
    let locks = attempt.locks.get_mut(&own).unwrap();
    locks.answered(&share);
    // Only a restored memory image could hold the nonce still; the journal says no.
    let restored = SigningNonce::from_secrets(PURPOSE, ATTEMPT, &[1; 32], &[2; 32]);
    let refusal = locks.sign_permit(&restored, CONTENT).unwrap_err();
    assert_eq!(refusal, LockRefusal::NonceConsumed { got: ATTEMPT });
    assert_eq!(locks.burned(), []);
}

#[test]
fn after_a_restart_the_attempt_is_aborted_and_never_begun_again() {
    let mut group = Group::new(2, 3, 17);
    let own = TrusteeIndex(1);
    let commitment = Attempted::new(&mut group, &[1, 2]).commitments.remove(&own).unwrap();
    // The journal holds the commitment and nothing after it.
    let mut locks = SignerLocks::new();
    locks.committed(&commitment, CONTENT);
    assert_eq!(locks.burned(), [(PURPOSE, ATTEMPT)]);
    let again = locks.commit_permit(own, &request(PURPOSE, ATTEMPT, &[1, 2]), CONTENT).unwrap_err();
    assert_eq!(again, LockRefusal::AttemptNotAscending { last: ATTEMPT, got: ATTEMPT });
    locks.aborted(&abort(ATTEMPT));
    assert_eq!(locks.burned(), []);
    let restored = SigningNonce::from_secrets(PURPOSE, ATTEMPT, &[1; 32], &[2; 32]);
    let refusal = locks.sign_permit(&restored, CONTENT).unwrap_err();
    assert_eq!(refusal, LockRefusal::NonceConsumed { got: ATTEMPT });
    let again = locks.commit_permit(own, &request(PURPOSE, ATTEMPT, &[1, 2]), CONTENT).unwrap_err();
    assert_eq!(again, LockRefusal::AttemptNotAscending { last: ATTEMPT, got: ATTEMPT });
    assert!(locks.commit_permit(own, &request(PURPOSE, Attempt(2), &[1, 2]), CONTENT).is_ok());
}

#[test]
fn a_second_content_for_one_purpose_is_refused_for_ever() {
    let mut group = Group::new(2, 3, 18);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let own = TrusteeIndex(1);
    let other = [4; 32];
    let expected = LockRefusal::OtherContent { purpose: PURPOSE, expected: CONTENT, got: other };
    let locks = attempt.locks.get_mut(&own).unwrap();
    let later = request(PURPOSE, Attempt(2), &[1, 2]);
    assert_eq!(locks.commit_permit(own, &later, other).unwrap_err(), expected);
    let nonce = attempt.nonces.remove(&own).unwrap();
    assert_eq!(locks.sign_permit(&nonce, other).unwrap_err(), expected);
    locks.aborted(&abort(ATTEMPT));
    assert_eq!(locks.commit_permit(own, &later, other).unwrap_err(), expected, "an abort frees nothing");
    assert!(locks.commit_permit(own, &later, CONTENT).is_ok());
    let elsewhere = request(Purpose::AnchorResult, ATTEMPT, &[1, 2]);
    assert!(locks.commit_permit(own, &elsewhere, other).is_ok(), "another purpose has its own content");
}

#[test]
fn attempts_ascend_strictly_and_are_bounded() {
    let mut group = Group::new(2, 3, 19);
    let own = TrusteeIndex(1);
    let mut locks = SignerLocks::new();
    let mut begin = |locks: &mut SignerLocks, attempt: u32| -> Result<SigningNonce, LockRefusal> {
        let permit = locks.commit_permit(own, &request(PURPOSE, Attempt(attempt), &[1, 2]), CONTENT)?;
        let (nonce, commitment) = commit(&group.package(own), permit, &mut group.rng).unwrap();
        locks.committed(&commitment, CONTENT);
        Ok(nonce)
    };
    let first = begin(&mut locks, 3).unwrap();
    for got in [1, 2, 3].map(Attempt) {
        let refusal = begin(&mut locks, got.0).unwrap_err();
        assert_eq!(refusal, LockRefusal::AttemptNotAscending { last: Attempt(3), got });
    }
    let second = begin(&mut locks, 5).unwrap();
    let refusal = locks.sign_permit(&first, CONTENT).unwrap_err();
    assert_eq!(refusal, LockRefusal::NotCommitted { got: Attempt(3) }, "a later attempt burns an earlier nonce");
    assert!(locks.sign_permit(&second, CONTENT).is_ok());
    for got in [0, ATTEMPTS_MAX + 1].map(Attempt) {
        assert_eq!(begin(&mut locks, got.0).unwrap_err(), LockRefusal::AttemptBound { got });
    }
    assert!(begin(&mut locks, ATTEMPTS_MAX).is_ok());
}

#[test]
fn an_answer_or_abort_of_an_earlier_attempt_does_not_close_the_current_one() {
    let mut group = Group::new(2, 3, 20);
    let mut locks = SignerLocks::new();
    let mut commitment = Attempted::new(&mut group, &[1, 2]).commitments.remove(&TrusteeIndex(1)).unwrap();
    locks.committed(&commitment, CONTENT);
    commitment.attempt = Attempt(2);
    locks.committed(&commitment, CONTENT);
    locks.aborted(&abort(ATTEMPT));
    assert_eq!(locks.burned(), [(PURPOSE, Attempt(2))]);
}

#[test]
fn whoever_was_not_asked_does_not_commit() {
    let locks = SignerLocks::new();
    let refusal = |own, signers: &[u16]| {
        locks.commit_permit(TrusteeIndex(own), &request(PURPOSE, ATTEMPT, signers), CONTENT).map(|_| ())
    };
    assert_eq!(refusal(1, &[1, 2]), Ok(()));
    assert_eq!(refusal(3, &[1, 2]), Err(LockRefusal::NotASigner));
    assert_eq!(refusal(1, &[2, 1]), Err(LockRefusal::NotASigner), "not ascending");
    assert_eq!(refusal(1, &[1, 1]), Err(LockRefusal::NotASigner), "twice");
    assert_eq!(refusal(1, &[]), Err(LockRefusal::NotASigner));
}

#[test]
fn without_a_journalled_commitment_nothing_is_answered() {
    let nonce = SigningNonce::from_secrets(PURPOSE, ATTEMPT, &[1; 32], &[2; 32]);
    let refusal = SignerLocks::new().sign_permit(&nonce, CONTENT).unwrap_err();
    assert_eq!(refusal, LockRefusal::NotCommitted { got: ATTEMPT });
}

#[test]
fn folding_a_journal_again_changes_nothing() {
    let mut group = Group::new(2, 3, 21);
    let mut attempt = Attempted::new(&mut group, &[1, 2]);
    let own = TrusteeIndex(1);
    let commitment = attempt.commitments[&own].clone();
    let share = attempt.sign(&group, 1, MESSAGE).unwrap();
    let live = attempt.locks.get_mut(&own).unwrap();
    live.answered(&share);
    let mut folded = SignerLocks::new();
    for _ in 0..2 {
        folded.committed(&commitment, CONTENT);
        folded.answered(&share);
        assert_eq!(&folded, live);
    }
}

#[test]
fn content_depends_on_election_purpose_and_intent() {
    let election = ElectionId([1; 32]);
    let one = content(&election, PURPOSE, b"memo");
    assert_ne!(one, content(&ElectionId([2; 32]), PURPOSE, b"memo"));
    assert_ne!(one, content(&election, Purpose::AnchorResult, b"memo"));
    assert_ne!(one, content(&election, PURPOSE, b"memos"));
}

// Memos.

fn anchors() -> [Anchor; 3] {
    let election = ElectionId([0xab; 32]);
    [
        Anchor::Key { election, certificate: [1; 32] },
        Anchor::VoteSet { election, vote_set: [2; 32] },
        Anchor::Result { election, vote_set: [2; 32], result: [3; 32] },
    ]
}

#[test]
fn an_anchor_text_is_one_line_of_ascii_and_reads_back() {
    for anchor in anchors() {
        let text = anchor.text();
        assert!(
            text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && text.len() <= ANCHOR_TEXT_BYTES_MAX
        );
        assert_eq!(Anchor::parse(&text), Ok(anchor));
    }
    assert_eq!(anchors()[2].text().len(), ANCHOR_TEXT_BYTES_MAX);
    let (ab, one) = ("ab".repeat(32), "01".repeat(32));
    assert_eq!(anchors()[0].text(), format!("conclave/v1 key {ab} {one}"));
}

#[test]
fn no_other_spelling_of_an_anchor_is_taken() {
    for anchor in anchors() {
        let text = anchor.text();
        let spellings = [
            format!("{text} "),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{text} {}", "00".repeat(32)),
            text.replacen(' ', "  ", 1),
            text.replace("v1", "v2"),
            text.replace("ab", "AB"),
            text[..text.len() - 1].into(),
            text[..text.len() - 65].into(),
            text.replace("key", "Key").replace("votes", "Votes").replace("result", "Result"),
            alloc::string::String::new(),
        ];
        for other in spellings {
            assert_eq!(Anchor::parse(&other), Err(AnchorTextError), "{other:?}");
        }
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            if let Ok(read) = Anchor::parse(core::str::from_utf8(&other).unwrap()) {
                assert_ne!(read, anchor, "byte {at}");
            }
        }
    }
}

#[test]
fn a_nonce_seed_fits_the_chain_and_names_the_election() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut id = [0; 32];
    rng.fill_bytes(&mut id);
    let seed = nonce_seed(&ElectionId(id));
    assert_eq!(seed, format!("conclave-{}", hex::encode(&id[..8])));
    assert!(seed.len() <= 32);
}
