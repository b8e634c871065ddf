//! The key ceremony of `protocol/vectors/ceremony.json`, from its messages to the certificate.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use super::*;
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn ceremony() -> (Value, Manifest, Vec<Envelope>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/vectors/ceremony.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let manifest = Manifest::decode(&bytes(&vectors["manifest"])).unwrap();
    let envelopes = vectors["bodies"].as_array().unwrap().iter().map(|said| {
        let from = u16::try_from(said["from"].as_u64().unwrap()).unwrap();
        let signature = [0; 64];
        let parts = [&manifest.election[..], &[1], &from.to_be_bytes(), &bytes(&said["body"]), &signature];
        Envelope::decode(&parts.concat()).unwrap()
    });
    let envelopes = envelopes.collect();
    (vectors, manifest, envelopes)
}

fn said(envelopes: &[Envelope]) -> Said<'_> {
    let dealt = envelopes.iter().filter(|envelope| (10..=13).contains(&envelope.slot.tag));
    dealt.map(|envelope| ((envelope.slot.tag, envelope.slot.sender.index), envelope)).collect()
}

#[test]
fn the_certificate_of_the_vectors_follows_from_their_messages() {
    let (vectors, manifest, envelopes) = ceremony();
    assert_eq!(manifest.election.to_vec(), bytes(&vectors["election"]));
    assert_eq!(terms_digest(&manifest, 1).to_vec(), bytes(&vectors["terms_digest"]));
    let keys = derive(&manifest, 1, &said(&envelopes)).unwrap();
    assert_eq!(keys.transcript.to_vec(), bytes(&vectors["transcript"]));
    assert_eq!(keys.digest.to_vec(), bytes(&vectors["certificate_digest"]));
}

#[test]
fn no_keys_follow_from_messages_of_which_one_is_missing() {
    let (_, manifest, envelopes) = ceremony();
    for at in said(&envelopes).keys() {
        let mut fewer = said(&envelopes);
        fewer.remove(at);
        assert!(derive(&manifest, 1, &fewer).is_err(), "{at:?}");
    }
}

#[test]
fn a_package_is_refused_under_another_trustees_index() {
    let (_, manifest, envelopes) = ceremony();
    let reveal = envelopes.iter().find(|envelope| envelope.slot.tag == 12).unwrap();
    let from = reveal.slot.sender.index;
    assert!(package(from, &reveal.body, &manifest).is_ok());
    assert_eq!(package(from + 1, &reveal.body, &manifest).err(), Some(PackageFlaw::Proof));
}

#[test]
fn keys_of_small_order_are_not_usable() {
    let good = RistrettoPoint::mul_base(&Scalar::from(5_u8)).compress().to_bytes();
    let mut one = [0; 32];
    one[0] = 1;
    assert!(usable_keys(&[9; 32], &good));
    assert!(!usable_keys(&[0; 32], &good) && !usable_keys(&one, &good));
    assert!(!usable_keys(&[9; 32], &[0; 32]) && !usable_keys(&[9; 32], &[0xff; 32]));
}
