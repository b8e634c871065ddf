//! Tests of the lots, with vectors made by another build of schnorrkel.

use super::*;
use alloc::{string::String, vec};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use schnorrkel::{ExpansionMode, MiniSecretKey, SecretKey};
use std::collections::BTreeSet;

const ELECTION: ElectionId = ElectionId([1; 32]);
const VOTE_SET: Hash = [2; 32];
const ME: TrusteeIndex = TrusteeIndex(1);

fn keypair(seed: u8) -> Keypair {
    MiniSecretKey::from_bytes(&[seed; 32]).unwrap().expand_to_keypair(ExpansionMode::Uniform)
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn a_lot_verifies_and_its_number_does_not_depend_on_the_randomness() {
    let keys = keypair(1);
    let (one, other) =
        (lot(&keys, &ELECTION, &VOTE_SET, ME, &mut rng(1)), lot(&keys, &ELECTION, &VOTE_SET, ME, &mut rng(2)));
    assert_ne!(one.proof, other.proof);
    assert_eq!(one.output, other.output);
    assert_eq!(one, lot(&keys, &ELECTION, &VOTE_SET, ME, &mut rng(1)), "all entropy comes from the caller");
    let key = keys.public.to_bytes();
    let number = verify(&key, &one, &ELECTION, &VOTE_SET, ME).unwrap();
    assert_eq!(verify(&key, &other, &ELECTION, &VOTE_SET, ME), Ok(number));
}

#[test]
fn a_lot_of_another_key_election_or_vote_set_is_refused() {
    let keys = keypair(1);
    let lot = lot(&keys, &ELECTION, &VOTE_SET, ME, &mut rng(1));
    let key = keys.public.to_bytes();
    let other_key = keypair(2).public.to_bytes();
    assert_eq!(verify(&other_key, &lot, &ELECTION, &VOTE_SET, ME), Err(LotRefusal::Proof));
    assert_eq!(verify(&key, &lot, &ElectionId([9; 32]), &VOTE_SET, ME), Err(LotRefusal::Proof));
    assert_eq!(verify(&key, &lot, &ELECTION, &[9; 32], ME), Err(LotRefusal::OtherVoteSet));
    let relabelled = Lot { vote_set: [9; 32], ..lot.clone() };
    assert_eq!(verify(&key, &relabelled, &ELECTION, &[9; 32], ME), Err(LotRefusal::Proof));
    assert_eq!(
        verify(&key, &lot, &ELECTION, &VOTE_SET, TrusteeIndex(2)),
        Err(LotRefusal::Proof),
        "replayed by another"
    );
    assert_eq!(verify(&[0xff; 32], &lot, &ELECTION, &VOTE_SET, ME), Err(LotRefusal::Key));
}

#[test]
fn every_altered_bit_of_a_lot_is_refused() {
    let keys = keypair(1);
    let lot = lot(&keys, &ELECTION, &VOTE_SET, ME, &mut rng(1));
    let key = keys.public.to_bytes();
    for bit in 0..512 {
        let mut bad = lot.clone();
        bad.proof[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(&key, &bad, &ELECTION, &VOTE_SET, ME), Err(LotRefusal::Proof), "proof, bit {bit}");
    }
    for bit in 0..256 {
        let mut bad = lot.clone();
        bad.output[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(&key, &bad, &ELECTION, &VOTE_SET, ME), Err(LotRefusal::Proof), "output, bit {bit}");
    }
    let mut identity = lot;
    identity.output = [0; 32];
    assert_eq!(verify(&key, &identity, &ELECTION, &VOTE_SET, ME), Err(LotRefusal::Proof));
}

#[test]
fn withholding_a_lot_moves_only_oneself() {
    let outputs: BTreeMap<TrusteeIndex, LotOutput> =
        [(1, 50), (2, 10), (3, 90), (5, 30)].map(|(at, byte)| (TrusteeIndex(at), [byte; 32])).into();
    assert_eq!(order(5, &outputs), [2, 5, 1, 3, 4].map(TrusteeIndex));
    for gone in outputs.keys() {
        let mut fewer = outputs.clone();
        fewer.remove(gone);
        let without = |order: Vec<TrusteeIndex>| -> Vec<TrusteeIndex> {
            order.into_iter().filter(|trustee| trustee != gone && trustee.0 != 4).collect()
        };
        assert_eq!(without(order(5, &fewer)), without(order(5, &outputs)));
    }
    assert_eq!(order(3, &BTreeMap::new()), [1, 2, 3].map(TrusteeIndex));
    let stranger = BTreeMap::from([(TrusteeIndex(9), [0; 32])]);
    assert_eq!(order(2, &stranger), [1, 2].map(TrusteeIndex));
}

#[test]
fn ties_are_drawn_apart_by_beacon_contest_and_option() {
    let beacon = |seed: u8| Point::hash(label::BEACON, &[seed]).raw();
    let first = |seed, contest| {
        let lot = |option: &OptionIndex| tie_lot(&beacon(seed), ContestIndex(contest), *option);
        [0, 1, 2, 3].map(OptionIndex).into_iter().min_by_key(lot).unwrap()
    };
    let by_beacon: BTreeSet<OptionIndex> = (0..60).map(|seed| first(seed, 0)).collect();
    assert_eq!(by_beacon.len(), 4, "every option can win");
    let by_contest: BTreeSet<OptionIndex> = (0..60).map(|contest| first(1, contest)).collect();
    assert_eq!(by_contest.len(), 4, "contests are drawn apart");
    assert_eq!(first(1, 0), first(1, 0));
}

#[test]
fn the_beacon_comes_last_and_belongs_to_one_vote_set_of_one_election() {
    let sums = vec![(Point::hash(label::BEACON, b"a").raw(), Point::hash(label::BEACON, b"b").raw())];
    let beacon = |election: &ElectionId, vote_set: &Hash| {
        let all = with_beacon(sums.clone(), election, vote_set);
        assert_eq!(all.len(), 2);
        assert!(all[0] == sums[0]);
        assert_eq!(group::encode_sum(&all[1].1), group::encode_sum(&group::identity()), "it encrypts nothing");
        group::encode_sum(&all[1].0)
    };
    let here = beacon(&ELECTION, &VOTE_SET);
    assert_eq!(here, beacon(&ELECTION, &VOTE_SET));
    assert_ne!(here, beacon(&ElectionId([9; 32]), &VOTE_SET));
    assert_ne!(here, beacon(&ELECTION, &[9; 32]));
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The construction is the one that others have deployed: outputs are equal, foreign proofs verify.
#[test]
fn vrf_agrees_with_the_published_build() {
    let text = include_str!("../../vectors/sr25519/vrf_wasm_crypto_7.5.4.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let mini = MiniSecretKey::from_bytes(&bytes(&vector["seed"])).unwrap();
        let keys = mini.expand_to_keypair(ExpansionMode::Ed25519);
        assert_eq!(keys.public.to_bytes().to_vec(), bytes(&vector["public"]));
        assert_eq!(keys.secret.to_ed25519_bytes().to_vec(), bytes(&vector["secret"]));
        assert_eq!(SecretKey::from_ed25519_bytes(&bytes(&vector["secret"])).unwrap(), keys.secret);
        let input = || signing_context(field("context").as_bytes()).bytes(field("message").as_bytes());
        let output = VRFPreOut::from_bytes(&bytes(&vector["vrf_output_preout"])).unwrap();
        assert_eq!(keys.vrf_create_hash(input()).to_preout(), output);
        let mut extra = Transcript::new(b"VRF");
        if !field("extra").is_empty() {
            extra.append_message(b"", field("extra").as_bytes());
        }
        let proof = VRFProof::from_bytes(&bytes(&vector["vrf_proof"])).unwrap();
        keys.public.vrf_verify_extra(input(), &output, &proof, extra.clone()).unwrap();
        extra.append_message(b"", b"x");
        keys.public.vrf_verify_extra(input(), &output, &proof, extra).unwrap_err();
    }
}

/// Golden values of our own use of it, for other verifiers.
#[test]
fn our_lots_are_as_recorded() {
    let text = include_str!("../../vectors/lots.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut seen = vec![];
    for vector in file["lots"].as_array().unwrap() {
        let keys = MiniSecretKey::from_bytes(&bytes(&vector["mini_secret"])).unwrap();
        let keys = keys.expand_to_keypair(ExpansionMode::Uniform);
        let election = ElectionId(bytes(&vector["election"]).try_into().unwrap());
        let vote_set: Hash = bytes(&vector["vote_set"]).try_into().unwrap();
        let trustee = TrusteeIndex(vector["trustee"].as_u64().unwrap().try_into().unwrap());
        let lot = lot(&keys, &election, &vote_set, trustee, &mut rng(7));
        let number = verify(&keys.public.to_bytes(), &lot, &election, &vote_set, trustee).unwrap();
        let recorded = |name: &str| String::from(vector[name].as_str().unwrap());
        assert_eq!(hex::encode(keys.public.to_bytes()), recorded("lot_key"));
        assert_eq!(hex::encode(lot.output), recorded("output"));
        assert_eq!(hex::encode(lot.proof), recorded("proof"));
        assert_eq!(hex::encode(number), recorded("number"));
        seen.push(number);
    }
    assert_eq!(seen.len(), 3);
}
