//! Which unit test finds which bug. `docs/testing.md` has the whole table.

use super::{Bug, get, is, set};
use std::{collections::BTreeSet, thread};

#[path = "hunt.rs"]
mod hunt;

const FOUND_BY: &[(&str, &str)] = &[
    ("WeakBallotChallenge", "ballot::tests::binding::each_challenge_depends_on_everything_before_it"),
    ("ChallengeWithoutCredential", "ballot::tests::binding::a_copy_under_another_credential_is_refused"),
    ("ChallengeWithoutElection", "ballot::tests::binding::a_proof_is_bound_to_every_input_of_its_statement"),
    ("BatchWeightsConstant", "ballot::tests::batch::faults_that_would_cancel_without_weights_are_found"),
    (
        "ProductEquationSkipped",
        "ballot::tests::equations::a_value_other_than_0_and_1_is_refused_though_the_sum_is_right",
    ),
    ("BallotSignatureUnchecked", "ballot::tests::binding::a_copy_under_another_credential_is_refused"),
    (
        "RepeatedComponentAccepted",
        "ballot::tests::binding::a_repeated_component_names_the_contest_in_which_it_comes_again",
    ),
    ("IdentityPointAccepted", "ballot::tests::encoding::identity_and_non_canonical_points_are_refused_by_name"),
    ("NonCanonicalScalarAccepted", "ballot::tests::signatures::a_scalar_not_below_the_order_is_refused"),
    ("TrailingBytesAccepted", "encoding::tests::trailing_bytes_are_refused"),
    ("LengthUnbounded", "encoding::tests::a_length_over_its_bound_is_refused_before_it_is_read"),
    (
        "CommitmentLengthUnchecked",
        "ceremony::tests::misbehaviour::a_commitment_vector_of_another_length_is_named_in_either_key",
    ),
    (
        "ProofOfKnowledgeUnchecked",
        "ceremony::tests::misbehaviour::a_proof_of_knowledge_that_does_not_hold_is_named_in_either_key",
    ),
    ("RevealNotAsCommitted", "ceremony::tests::misbehaviour::a_reveal_other_than_the_commitment_is_named"),
    (
        "CopiedCommitmentAccepted",
        "ceremony::tests::misbehaviour::who_copies_a_commitment_is_named_and_whose_it_was_is_not",
    ),
    (
        "ShareAddressingUnchecked",
        "ceremony::tests::misbehaviour::shares_that_are_not_one_for_each_other_trustee_are_named",
    ),
    (
        "BadShareConfirmed",
        "ceremony::tests::misbehaviour::a_bad_share_to_one_trustee_ends_the_attempt_and_its_opening_names_the_sender",
    ),
    ("CertificateWithoutOne", "ceremony::tests::every_step_waits_for_all_and_names_who_is_missing"),
    ("TermsUnchecked", "ceremony::tests::misbehaviour::other_terms_stop_the_attempt_and_accuse_nobody"),
    ("RouteUnbound", "ceremony::tests::misbehaviour::a_sealed_share_opens_only_on_its_own_route"),
    (
        "ComplaintIgnored",
        "ceremony::tests::misbehaviour::a_bad_share_to_one_trustee_ends_the_attempt_and_its_opening_names_the_sender",
    ),
    (
        "BlameWithoutProof",
        "ceremony::tests::misbehaviour::who_complains_about_messages_that_others_did_not_see_is_not_called_a_liar",
    ),
    ("FlawlessDespiteProof", "ceremony::tests::misbehaviour::a_false_complaint_is_opened_and_named"),
    ("ThresholdsSwapped", "ceremony::tests::any_threshold_of_shares_is_the_key_and_fewer_are_not"),
    ("QuorumOffByOne", "agreement::tests::a_proposal_must_show_the_quorum_that_it_claims"),
    ("SignOnce", "agreement::tests::a_locked_trustee_refuses_another_value_until_a_later_quorum_is_shown"),
    ("NoLock", "agreement::tests::a_restart_restores_the_lock_and_says_nothing_twice"),
    ("LockLostAtRestart", "agreement::tests::a_locked_trustee_refuses_another_value_until_a_later_quorum_is_shown"),
    ("JustificationUnchecked", "agreement::tests::a_proposal_must_show_the_quorum_that_it_claims"),
    ("ProposerUnchecked", "agreement::tests::what_is_no_vote_of_this_election_is_refused"),
    (
        "RepeatedSignersCounted",
        "agreement::tests::a_certificate_needs_q_distinct_trustees_for_this_value_round_and_election",
    ),
    ("ShorterSetAccepted", "agreement::tests::a_judgement_follows_the_own_replay_and_the_cosignatures"),
    ("VoteSetNotReplayed", "agreement::tests::a_judgement_follows_the_own_replay_and_the_cosignatures"),
    ("ConsistencyUnchecked", "log::tests::tree::equal_sizes_need_equal_roots_and_smaller_is_a_rollback"),
    ("FinalWithOneLess", "log::tests::notes::fewer_than_w_distinct_cosigners_are_not_final"),
    ("LogSignatureNotNeeded", "log::tests::notes::cosignatures_without_the_log_are_not_final"),
    ("LeafLikeNode", "log::tests::tree::leaves_and_nodes_are_never_confused"),
    ("ReceiptUnbound", "log::tests::receipts::no_field_of_a_receipt_or_rejection_can_be_changed"),
    ("PartialUnverified", "dleq::tests::any_changed_base_or_partial_is_refused"),
    ("WeakPartialChallenge", "dleq::tests::a_rehearsal_proof_is_bound_to_attempt_and_digest_and_is_no_tally_proof"),
    ("OneShareLess", "tally::tests::every_subset_of_t_trustees_gives_the_same_messages"),
    ("LogBoundMissing", "tally::tests::a_sum_over_the_counted_weight_names_contest_option_and_bound"),
    ("LogBoundTooLow", "tally::tests::every_value_up_to_the_bound_is_found_and_no_other"),
    ("TieByIndex", "tally::tests::lots_break_a_tie_only_where_the_contest_says_so"),
    ("LotUnbound", "lots::tests::a_lot_of_another_key_election_or_vote_set_is_refused"),
    ("LotOfAnother", "lots::tests::a_lot_of_another_key_election_or_vote_set_is_refused"),
    ("LotUnverified", "lots::tests::every_altered_bit_of_a_lot_is_refused"),
    ("ShareTwice", "signing::tests::a_nonce_is_answered_once"),
    ("OtherContentSigned", "signing::tests::a_second_content_for_one_purpose_is_refused_for_ever"),
    ("PackageUnbound", "signing::tests::a_share_for_another_package_is_nobodys_proven_wrong"),
    ("OwnCommitmentReplaced", "signing::tests::a_replaced_own_commitment_is_refused"),
];

#[test]
fn each_bug_of_the_table_is_found_by_its_unit_test() {
    let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    assert!(FOUND_BY.iter().all(|(bug, _)| names.contains(bug)));
    hunt::each_bug_fails_its_test(FOUND_BY);
}

#[test]
fn a_bug_is_a_thread_s_own_affair() {
    set(Some(Bug::NoLock));
    assert!(is(Bug::NoLock) && !is(Bug::SignOnce));
    assert_eq!(thread::spawn(get).join().unwrap(), None);
    set(None);
    assert_eq!(get(), None);
}

#[test]
fn every_bug_has_a_name_of_its_own_and_a_precedent() {
    let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    assert_eq!(names.len(), Bug::ALL.len());
    assert!(Bug::ALL.iter().all(|bug| bug.what().ends_with('.') && bug.precedent().len() > 5));
}
