//! Which test of whole elections finds which bug. `docs/testing.md` has the whole table.

#[path = "../../src/bugs/hunt.rs"]
mod hunt;

const FOUND_BY: &[(&str, &str)] = &[
    ("StyleOfRollIgnored", "boxes::a_voter_votes_in_its_own_area_only"),
    ("StrangerAccepted", "boxes::who_is_not_on_the_roll_does_not_vote"),
    ("WeightIgnored", "boxes::a_ballot_weighs_what_the_roll_says"),
    ("RevoteCountsBoth", "boxes::where_the_last_ballot_counts_it_counts_alone"),
    ("SecondVoteTaken", "boxes::where_the_first_ballot_counts_a_second_is_refused"),
    ("CopiedComponentAccepted", "boxes::a_ciphertext_of_another_ballot_is_refused"),
    ("LaneUnchecked", "boxes::a_voter_has_one_lane"),
    ("EquivocationOverwrites", "two_messages_for_one_slot_are_evidence"),
    ("EnvelopeUnverified", "statements::a_statement_without_its_senders_signature_is_nobodys"),
    ("EnvelopeOfOtherElection", "statements::a_statement_of_another_election_is_refused"),
    ("RoleUnchecked", "statements::nobody_says_what_is_not_theirs_to_say"),
    ("OneTrusteeCloses", "statements::fewer_than_a_quorum_close_nothing"),
    ("RehearsalSkipped", "statements::keys_that_somebody_has_not_tried_open_no_election"),
    ("RewindCosigned", "watching::only_the_own_head_is_cosigned"),
    ("ForkCosigned", "watching::another_tree_or_another_log_is_not_cosigned"),
    ("OtherLogCosigned", "watching::another_tree_or_another_log_is_not_cosigned"),
    ("CosignedBehindVote", "watching::nothing_behind_an_own_vote_is_cosigned"),
    ("UncertifiedAnchored", "watching::a_proposal_is_nothing_to_anchor"),
    ("RentUnbounded", "watching::no_more_rent_is_signed_away_than_any_account_needs"),
    ("TallyBeforeClose", "no_tally_message_is_owed_before_the_election_is_closed"),
    ("AggregateNotCertified", "secrets::only_the_certified_sums_are_opened"),
    ("SmallTallyOpened", "secrets::sums_of_too_few_ballots_stay_closed"),
    ("NonceRepeats", "secrets::no_nonce_is_committed_to_twice"),
    ("NonceSurvivesRestart", "secrets::a_restart_burns_the_nonce_and_the_attempt_is_given_up"),
    ("ChoiceUsedUp", "signers::who_was_away_for_a_while_is_asked_again_before_who_is_away_for_good"),
    ("AbortsForgiven", "signers::who_gives_up_every_time_is_left_out"),
    ("BadSignerAskedAgain", "a_bad_signature_share_is_left_out_and_the_anchor_lands"),
];

#[test]
fn each_bug_of_the_table_is_found_by_its_test() {
    hunt::each_bug_fails_its_test(FOUND_BY);
}
