use protocol::ids::{Credential, ElectionId, IdentityKey, LaneIndex, LeafIndex, ShardIndex, TimeMs};

use super::*;

fn ballot(voter: usize, chair: u16, bytes: &[u8]) -> Ballot {
    Ballot { voter, marks: Some(vec![vec![chair], vec![0, 3]]), bytes: bytes.to_vec() }
}

fn receipt(ballot: &Ballot, index: u64) -> Said {
    Said::Recorded(Receipt {
        election: ElectionId([0; 32]),
        lane: LaneIndex(0),
        index: LeafIndex(index),
        leaf: ballot.leaf(),
        credential: Credential(IdentityKey([0; 32]).0),
        shard: ShardIndex(1),
        signature: [0; 64],
    })
}

fn rejection(ballot: &Ballot) -> Rejection {
    let (election, shard, time) = (ElectionId([0; 32]), ShardIndex(1), TimeMs(0));
    Rejection { election, ballot: ballot.leaf(), code: 100, shard, time, signature: [0; 64] }
}

fn call(ballot: &Ballot, at: u64, said: Said) -> Call {
    Call { ballot: ballot.leaf(), asked: Asked::Cast, shard: 0, begun_ms: at, ended_ms: at + 1, said }
}

/// Ada 1, Emmy 1: a voter who votes twice, one whose answers were lost, one who is nobody.
struct Story {
    first: Ballot,
    second: Ballot,
    other: Ballot,
    stranger: Ballot,
    history: History,
    record: Recorded,
}

fn story() -> Story {
    let (first, second, other) = (ballot(1, 2, b"first"), ballot(1, 0, b"second"), ballot(2, 1, b"other"));
    let stranger = Ballot { marks: None, ..ballot(9, 0, b"stranger") };
    let history = History::default();
    for ballot in [&first, &second, &other, &stranger] {
        history.made(ballot.clone());
    }
    history.told(call(&first, 0, receipt(&first, 0)));
    history.told(call(&other, 10, Said::TryLater));
    history.told(call(&other, 20, Said::Nothing { sent: true, why: "reset".into() }));
    history.told(call(&second, 30, receipt(&second, 2)));
    history.told(call(&stranger, 40, Said::Rejected(rejection(&stranger))));
    let leaves = [&first, &other, &second].map(|ballot| ballot.bytes.clone());
    let contests = json!([{ "totals": { "Ada": 1, "Emmy": 1, "Sofia": 0 } },
        { "totals": { "Grace": 2, "Katherine": 0, "Lise": 0, "Rosalind": 2 } }]);
    let summary = json!({ "counted": 2, "logged": 3, "contests": contests });
    let record = Recorded { lanes: vec![leaves.into()], rejections: vec![rejection(&stranger)], summary };
    Story { first, second, other, stranger, history, record }
}

fn faults(story: &Story) -> String {
    story.history.faults(&story.record).join("\n")
}

#[test]
fn a_true_history_has_no_faults() {
    assert_eq!(faults(&story()), "");
}

#[test]
fn a_broken_promise_is_found() {
    let mut story = story();
    story.record.lanes[0].pop();
    let found = faults(&story);
    assert!(found.contains("was promised (0, 2) and is at None"), "{found}");
    assert!(found.contains("counted") || found.contains("logged"), "{found}");
}

#[test]
fn a_ballot_at_another_place_than_promised_is_found() {
    let mut story = story();
    story.record.lanes[0].swap(0, 1);
    assert!(faults(&story).contains("was promised (0, 0) and is at Some((0, 1))"));
}

#[test]
fn a_rejected_ballot_in_the_log_is_found() {
    let mut story = story();
    story.record.lanes[0].push(story.stranger.bytes.clone());
    let found = faults(&story);
    assert!(found.contains("was rejected with 100 and is at Some((0, 3))") && found.contains("must never count"));
}

#[test]
fn a_rejection_that_is_not_on_record_is_found() {
    let mut story = story();
    story.record.rejections.clear();
    assert!(faults(&story).contains("not on record"));
}

#[test]
fn a_ballot_that_nobody_sent_is_found() {
    let mut story = story();
    story.record.lanes[0].push(b"stuffed".to_vec());
    assert!(faults(&story).contains("was sent by nobody"));
}

#[test]
fn a_ballot_twice_in_the_log_is_found() {
    let mut story = story();
    story.record.lanes[0].push(story.first.bytes.clone());
    assert!(faults(&story).contains("is in the log twice"));
}

#[test]
fn a_lie_that_it_was_not_recorded_is_found() {
    let story = story();
    let again = Ballot { bytes: b"again".to_vec(), ..story.other.clone() };
    story.history.made(again.clone());
    story.history.told(call(&again, 50, Said::TryLater));
    let mut record = story.record.clone();
    record.lanes[0].push(again.bytes.clone());
    let found = story.history.faults(&record).join("\n");
    assert!(found.contains("every answer was that it is not"), "{found}");
}

#[test]
fn a_receipt_taken_back_is_found() {
    let story = story();
    let unknown = Said::Refused("BALLOT_UNKNOWN: no such ballot".into());
    story.history.told(Call { asked: Asked::Find, ..call(&story.second, 60, unknown) });
    let found = faults(&story);
    assert!(found.contains("a receipt said so, then: refused: BALLOT_UNKNOWN"), "{found}");
}

#[test]
fn a_ballot_that_was_too_late_and_counts_is_found() {
    let story = story();
    story.history.told(call(&story.other, 60, Said::Refused("ELECTION_CLOSED: too late".into())));
    assert!(faults(&story).contains("was refused after the close and is at (0, 1)"));
}

#[test]
fn another_total_is_found() {
    for pointer in ["/counted", "/logged", "/contests/0/totals/Ada", "/contests/1/totals/Rosalind"] {
        let mut story = story();
        *story.record.summary.pointer_mut(pointer).unwrap() = 7.into();
        assert!(faults(&story).contains("7 in the record"), "{pointer}");
    }
}

#[test]
fn a_vote_that_was_changed_counts_once_and_as_it_was_last() {
    let mut story = story();
    // Were the first one counted: Sofia 1, Ada 0.
    story.record.summary["contests"][0]["totals"] = json!({ "Ada": 0, "Emmy": 1, "Sofia": 1 });
    let found = faults(&story);
    assert!(found.contains("chair: Ada") && found.contains("chair: Sofia") && !found.contains("Emmy"), "{found}");
}
