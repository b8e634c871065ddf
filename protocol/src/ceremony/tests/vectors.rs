//! The libraries and this code against published vectors, and against each other. Sources: `vectors/frost/SOURCES.md`.

use super::*;
use crate::ceremony::polynomial::{self, CheckedCommitments, Election, Polynomial, Purpose, Signing};
use alloc::string::ToString as _;
use rand_core::SeedableRng as _;
use serde_json::Value;

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

/// Hands out prepared bytes: the vectors' randomness.
struct Script(Vec<u8>);

impl rand_core::RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        panic!("the library draws something else than the vectors say")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("the library draws something else than the vectors say")
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core::CryptoRng for Script {}

macro_rules! rfc9591 {
    ($name:ident, $frost:ident, $file:literal) => {
        #[test]
        fn $name() {
            let vectors: Value = serde_json::from_str(include_str!(concat!("../../../vectors/frost/", $file))).unwrap();
            let inputs = &vectors["inputs"];
            let message = hex::decode(inputs["message"].as_str().unwrap()).unwrap();
            let group = bytes::<32>(&inputs["group_public_key"]);
            let group = $frost::VerifyingKey::deserialize(&group).unwrap();
            let packages: BTreeMap<_, _> = inputs["participant_shares"]
                .as_array()
                .unwrap()
                .iter()
                .map(|share| {
                    let id = u16::try_from(share["identifier"].as_u64().unwrap()).unwrap();
                    let id = $frost::Identifier::try_from(id).unwrap();
                    let share = bytes::<32>(&share["participant_share"]);
                    let share = $frost::keys::SigningShare::deserialize(&share).unwrap();
                    (id, $frost::keys::KeyPackage::new(id, share, share.into(), group, 2))
                })
                .collect();

            let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
            for signer in vectors["round_one_outputs"]["outputs"].as_array().unwrap() {
                let id = u16::try_from(signer["identifier"].as_u64().unwrap()).unwrap();
                let id = $frost::Identifier::try_from(id).unwrap();
                let drawn =
                    ["hiding_nonce_randomness", "binding_nonce_randomness"].map(|key| bytes::<32>(&signer[key]));
                let (nonce, commitment) =
                    $frost::round1::commit(packages[&id].signing_share(), &mut Script(drawn.concat()));
                assert_eq!(nonce.hiding().serialize(), bytes::<32>(&signer["hiding_nonce"]));
                assert_eq!(nonce.binding().serialize(), bytes::<32>(&signer["binding_nonce"]));
                assert_eq!(commitment.hiding().serialize().unwrap(), bytes::<32>(&signer["hiding_nonce_commitment"]));
                assert_eq!(commitment.binding().serialize().unwrap(), bytes::<32>(&signer["binding_nonce_commitment"]));
                nonces.insert(id, nonce);
                commitments.insert(id, commitment);
            }
            assert_eq!(nonces.len(), 2);

            let package = $frost::SigningPackage::new(commitments, &message);
            let mut shares = BTreeMap::new();
            for output in vectors["round_two_outputs"]["outputs"].as_array().unwrap() {
                let id = u16::try_from(output["identifier"].as_u64().unwrap()).unwrap();
                let id = $frost::Identifier::try_from(id).unwrap();
                let share = $frost::round2::sign(&package, &nonces[&id], &packages[&id]).unwrap();
                assert_eq!(share.serialize(), bytes::<32>(&output["sig_share"]));
                shares.insert(id, share);
            }
            let verifying = packages.iter().map(|(id, package)| (*id, *package.verifying_share())).collect();
            let public = $frost::keys::PublicKeyPackage::new(verifying, group, Some(2));
            let signature = $frost::aggregate(&package, &shares, &public).unwrap();
            assert_eq!(signature.serialize().unwrap(), bytes::<64>(&vectors["final_output"]["sig"]));
        }
    };
}

rfc9591!(the_library_signs_as_rfc_9591_says_on_ed25519, frost_ed25519, "rfc9591-ed25519.json");
rfc9591!(the_library_signs_as_rfc_9591_says_on_ristretto255, frost_ristretto255, "rfc9591-ristretto255.json");

fn dkg_vectors<P: Purpose>(vectors: &str) {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let inputs = &vectors["inputs"];
    let all: BTreeMap<TrusteeIndex, CheckedCommitments<P>> = (1..=3u16)
        .map(|index| {
            let of = &inputs[index.to_string()];
            let commitments: Vec<[u8; 32]> = of["vss_commitments"].as_array().unwrap().iter().map(bytes).collect();
            let proof = bytes::<64>(&of["proof_of_knowledge"]);
            let checked = CheckedCommitments::<P>::judge(TrusteeIndex(index), 2, &commitments, &proof);
            // The proof names its maker.
            let other = CheckedCommitments::<P>::judge(TrusteeIndex(index + 1), 2, &commitments, &proof);
            assert!(other.is_err());
            (TrusteeIndex(index), checked.unwrap_or_else(|wrong| panic!("{index}: {wrong}")))
        })
        .collect();
    for of in all.keys() {
        for (from, checked) in all.iter().filter(|(from, _)| *from != of) {
            let share = bytes::<32>(&inputs[of.to_string()]["signing_shares"][from.to_string()]);
            let share = group_scalar(&share);
            assert!(checked.share_matches(*of, &share), "{from} to {of}");
            assert!(!checked.share_matches(*of, &(share + Scalar::ONE)));
        }
    }
    let joint = polynomial::sum(all.values());
    assert_eq!(P::encode(&joint[0]), bytes::<32>(&inputs["verifying_key"]));
    for of in all.keys() {
        let expected = bytes::<32>(&inputs[of.to_string()]["verifying_share"]);
        assert_eq!(P::encode(&polynomial::evaluate::<P>(&joint, *of)), expected);
    }
}

fn group_scalar(bytes: &[u8; 32]) -> Scalar {
    crate::group::decode_scalar("scalar", bytes).unwrap()
}

#[test]
fn key_generation_follows_the_published_vectors() {
    dkg_vectors::<Signing>(include_str!("../../../vectors/frost/zf-dkg-ed25519.json"));
    dkg_vectors::<Election>(include_str!("../../../vectors/frost/zf-dkg-ristretto255.json"));
}

macro_rules! library_interop {
    ($name:ident, $frost:ident, $purpose:ident) => {
        /// Two of three trustees run the library, one runs this code: same key, same shares.
        #[test]
        fn $name() {
            use $frost::keys::dkg;
            let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
            let id = |index: u16| $frost::Identifier::try_from(index).unwrap();
            let (ours, package) = Polynomial::draw::<$purpose>(TrusteeIndex(1), 2, &mut rng).unwrap();
            let commitment = $frost::keys::VerifiableSecretSharingCommitment::deserialize(package.commitments.clone());
            let proof = $frost::Signature::deserialize(&package.proof).unwrap();
            let mut round1 = BTreeMap::from([(id(1), dkg::round1::Package::new(commitment.unwrap(), proof))]);
            let mut secrets = BTreeMap::new();
            for index in [2, 3] {
                let (secret, package) = dkg::part1(id(index), 3, 2, &mut rng).unwrap();
                secrets.insert(index, secret);
                round1.insert(id(index), package);
            }
            let others = |of: u16| {
                let mut others = round1.clone();
                others.remove(&id(of));
                others
            };
            let checked: Vec<_> = (1..=3u16)
                .map(|index| {
                    let package = &round1[&id(index)];
                    let commitments: Vec<[u8; 32]> =
                        package.commitment().serialize().unwrap().into_iter().map(|c| c.try_into().unwrap()).collect();
                    let proof = package.proof_of_knowledge().serialize().unwrap().try_into().unwrap();
                    CheckedCommitments::<$purpose>::judge(TrusteeIndex(index), 2, &commitments, &proof)
                        .unwrap_or_else(|w| panic!("{w}"))
                })
                .collect();
            let joint = polynomial::sum(checked.iter());

            let mut round2: BTreeMap<u16, BTreeMap<_, _>> = BTreeMap::new();
            let mut second = BTreeMap::new();
            for (index, secret) in secrets {
                let (secret, sent) = dkg::part2(secret, &others(index)).unwrap();
                second.insert(index, secret);
                for (to, to_index) in [(id(1), 1), (id(2), 2), (id(3), 3)] {
                    if let Some(package) = sent.get(&to) {
                        round2.entry(to_index).or_default().insert(id(index), package.clone());
                    }
                }
            }
            for to in [2, 3] {
                let share = $frost::keys::SigningShare::deserialize(ours.at(TrusteeIndex(to)).as_bytes()).unwrap();
                round2.entry(to).or_default().insert(id(1), dkg::round2::Package::new(share));
            }
            for (from, package) in &round2[&1] {
                let share = group_scalar(&package.signing_share().serialize().try_into().unwrap());
                let from = if *from == id(2) { 1 } else { 2 };
                assert!(checked[from].share_matches(TrusteeIndex(1), &share));
            }
            for index in [2u16, 3] {
                let (key, public) = dkg::part3(&second[&index], &others(index), &round2[&index]).unwrap();
                assert_eq!(public.verifying_key().serialize().unwrap(), $purpose::encode(&joint[0]));
                for of in 1..=3 {
                    let share = public.verifying_shares()[&id(of)].serialize().unwrap();
                    assert_eq!(share, $purpose::encode(&polynomial::evaluate::<$purpose>(&joint, TrusteeIndex(of))));
                }
                assert_eq!(*key.min_signers(), 2);
            }
        }
    };
}

library_interop!(the_signing_key_generation_is_the_librarys, frost_ed25519, Signing);
library_interop!(the_election_key_generation_is_the_librarys, frost_ristretto255, Election);

/// A changed value here is a change of the wire format: it needs a decision record.
#[test]
fn a_ceremony_from_fixed_seeds_has_a_fixed_certificate() {
    let mut world = World::new(4, 3, 3);
    world.run();
    let mut memory = CeremonyMemory::default();
    let judged = world.judged(&mut memory);
    let certificate = judged.certificate().unwrap();
    let golden: Value = serde_json::from_str(include_str!("../../../vectors/ceremony.json")).unwrap();
    let text = |bytes: &[u8]| Value::from(hex::encode(bytes));
    let rehearsal = rehearsal_ciphertext(certificate);
    let now = serde_json::json!({
        "election": text(&world.election.0),
        "manifest": text(&world.manifest.to_bytes()),
        "attempt": 1,
        "bodies": world.board.iter().map(|(slot, body)| {
            let Sender::Trustee(from) = slot.sender else { panic!("only trustees speak") };
            serde_json::json!({ "from": from.0, "body": text(&body.to_bytes()) })
        }).collect::<Vec<_>>(),
        "terms_digest": text(&terms_digest(&world.election, world.attempt, &world.manifest)),
        "transcript": text(&certificate.transcript),
        "certificate": text(&certificate.to_bytes()),
        "certificate_digest": text(&certificate.digest()),
        "rehearsal": { "a": text(rehearsal.a.bytes()), "b": text(rehearsal.b.bytes()), "m": rehearsal.m },
        "rehearsal_statement": text(&rehearsal_statement(certificate)),
    });
    assert_eq!(golden, now, "regenerate vectors/ceremony.json with:\n{now}");
}
