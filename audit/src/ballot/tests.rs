//! The ballots of `protocol/vectors/ballot.json`: every verdict, alone and together.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use super::*;
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/vectors/ballot.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn form(vectors: &Value) -> Form {
    let small = |value: &Value| u16::try_from(value.as_u64().unwrap()).unwrap();
    let rules: Vec<Rule> = vectors["contests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| Rule { options: small(&rule["options"]), min: small(&rule["min"]), max: small(&rule["max"]) })
        .collect();
    let styles = vectors["styles"].as_array().unwrap().iter();
    let key_bytes: [u8; 32] = bytes(&vectors["key"]).try_into().unwrap();
    let bits = rules.iter().map(|rule| rule.bits()).max().unwrap();
    Form {
        election: bytes(&vectors["election"]).try_into().unwrap(),
        key: point(&key_bytes).unwrap(),
        key_bytes,
        styles: styles.map(|style| style.as_array().unwrap().iter().map(small).collect()).collect(),
        rules,
        p: (1_u16..).take(bits).map(|j| generator(b"P", &j.to_be_bytes())).collect(),
        p_0: generator(b"P", &0_u16.to_be_bytes()),
        q: generator(b"Q", b""),
    }
}

/// What the vectors say of each ballot: name, bytes, code; 0 is valid.
fn ballots(vectors: &Value) -> Vec<(String, Vec<u8>, u64)> {
    let list = vectors["ballots"].as_array().unwrap().iter();
    let all = list.map(|ballot| {
        (ballot["name"].as_str().unwrap().to_owned(), bytes(&ballot["bytes"]), ballot["code"].as_u64().unwrap())
    });
    all.collect()
}

#[test]
fn generators_are_those_of_the_vectors() {
    let vectors = vectors();
    let form = form(&vectors);
    assert_eq!(form.q.compress().to_bytes().to_vec(), bytes(&vectors["generators"]["Q"]));
    let all: Vec<_> = [form.p_0].iter().chain(&form.p).map(|p| p.compress().to_bytes().to_vec()).collect();
    for (ours, theirs) in all.iter().zip(vectors["generators"]["P"].as_array().unwrap()) {
        assert_eq!(*ours, bytes(theirs));
    }
}

#[test]
fn every_ballot_gets_its_verdict_alone_and_where_it_breaks() {
    let vectors = vectors();
    let form = form(&vectors);
    let mut good = 0;
    for (name, bytes, code) in ballots(&vectors) {
        let decoded = form.decode(&bytes);
        // Codes 1 to 7 are of bytes that do not decode, 8 of the signature, 9 of a proof.
        assert_eq!(decoded.is_err(), (1..=7).contains(&code), "{name}");
        let Ok(ballot) = decoded else { continue };
        let verdict = form.judge_alone(&ballot);
        match (&verdict, code) {
            (Ok(()), 0) => good += 1,
            (Err(found), 8) => assert!(found.expected.contains("signature"), "{name}"),
            (Err(found), 9) => assert!(found.expected.contains("proof"), "{name}"),
            _ => panic!("{name}: {verdict:?}"),
        }
    }
    assert_eq!(good, 5);
}

#[test]
fn together_the_first_bad_ballot_is_named_wherever_it_is() {
    let vectors = vectors();
    let form = form(&vectors);
    let all = ballots(&vectors);
    let decoded = |codes: &[u64]| -> Vec<Ballot> {
        let chosen = all.iter().filter(|(_, _, code)| codes.contains(code));
        chosen.map(|(_, bytes, _)| form.decode(bytes).unwrap()).collect()
    };
    assert!(form.judge(&decoded(&[0]), &[1; 32]).is_ok());
    for bad in decoded(&[8, 9]) {
        for at in 0..=5 {
            let mut mixed = decoded(&[0]);
            let copy = Ballot { proofs: Vec::new(), ..decoded(&[0]).remove(0) };
            mixed.insert(at, copy);
            // In its own place: the signature of a ballot, or a proof, moved in from the bad one.
            mixed[at].proofs = bad.proofs.iter().map(again).collect();
            (mixed[at].key, mixed[at].r, mixed[at].s, mixed[at].k) = (bad.key, bad.r, bad.s, bad.k);
            assert_eq!(form.judge(&mixed, &[2; 32]).unwrap_err().0, at);
        }
    }
}

fn again(proof: &Proof) -> Proof {
    Proof { a: proof.a.clone(), b: proof.b.clone(), f: proof.f.clone(), ..*proof }
}

#[test]
fn weights_are_never_zero_and_depend_on_the_seed() {
    let draw = |seed| {
        let mut weights = Weights { seed: [seed; 32], counter: 0, left: Vec::new() };
        (0..100).map(|_| weights.next()).collect::<Vec<_>>()
    };
    assert!(draw(1).iter().all(|weight| *weight != Scalar::ZERO));
    assert!(draw(1).iter().zip(draw(2)).all(|(one, other)| *one != other));
    let distinct: BTreeSet<_> = draw(1).iter().map(Scalar::to_bytes).collect();
    assert_eq!(distinct.len(), 100);
}
