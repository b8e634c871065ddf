//! Golden values in `protocol/vectors/ballot.json`, read by the independent verifiers too. A change there is a change
//! of the format. To write the file anew: `cargo test -p protocol write_ballot_vectors -- --ignored`.

use super::{cheat::Cheat, signatures::Twisted, *};
use crate::{elgamal::Aggregate, ids::Weight};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, string::String};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/ballot.json")
}

fn vector_form() -> BallotForm {
    let rules = [FIVE, ContestRule { options: 4, min: 0, max: 2 }, ContestRule { options: 1, min: 0, max: 1 }, FIVE];
    form_of(&rules, &[&[0], &[1], &[2, 0], &[3]])
}

/// Name and bytes of each ballot. Everything comes from ChaCha20 with fixed seeds.
fn named_ballots(form: &BallotForm) -> Vec<(&'static str, Vec<u8>)> {
    let mut rng = seeded(20_261_121);
    let (key, thief) = (credential(1), credential(2));
    let mut seal = |style: u16, choices: &[&[u16]], key: &SigningKey| {
        let choices: Vec<_> = choices.iter().map(|chosen| options(chosen)).collect();
        form.seal(StyleIndex(style), &choices, key, &mut rng).unwrap()
    };
    let single = seal(0, &[&[3]], &key);
    let approval = seal(1, &[&[0, 2]], &key);
    let blank = seal(1, &[&[]], &thief);
    let two_contests = seal(2, &[&[0], &[4]], &thief);
    let twisted = Twisted::new(1, 3).ballot(form, 4);

    let again = |bytes: &[u8], key: &SigningKey, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        sign_again(form.election(), &mut bytes, key);
        bytes
    };
    let plain = |bytes: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        bytes
    };
    let plus_one = |index: usize| {
        move |bytes: &mut Vec<u8>| {
            let mut part = [0; 32];
            part.copy_from_slice(&bytes[component(index)]);
            let moved = crate::group::decode_scalar("s", &part).unwrap() + Scalar::ONE;
            bytes[component(index)].copy_from_slice(moved.as_bytes());
        }
    };
    let swap = |one: usize, other: usize| {
        move |bytes: &mut Vec<u8>| {
            let (a, b) = (bytes[component(one)].to_vec(), bytes[component(other)].to_vec());
            bytes[component(one)].copy_from_slice(&b);
            bytes[component(other)].copy_from_slice(&a);
        }
    };
    let over_vote = Cheat::of(&[1_u8, 1, 0, 0, 0].map(Scalar::from));
    let minus = Cheat::of(&[Scalar::from(2_u8), -Scalar::ONE, Scalar::ZERO, Scalar::ZERO, Scalar::ZERO]);
    let other_votes = Cheat {
        encrypted: [0_u8, 9, 0, 0, 0].map(Scalar::from).to_vec(),
        ..Cheat::of(&[0_u8, 1, 0, 0, 0].map(Scalar::from))
    };
    let mut cheat_rng = seeded(20_261_122);
    vec![
        ("single choice", single.clone()),
        ("approval, two of at most two", approval.clone()),
        ("approval, blank", blank),
        ("two contests, listed out of order, the first with one option", two_contests.clone()),
        ("key and nonce with components of small order: the rule is cofactored", twisted),
        ("version 2", plain(&single, &|b| b[0] = 2)),
        ("another election", plain(&single, &|b| b[1] ^= 1)),
        ("a style that does not exist", plain(&single, &|b| b[10] = 4)),
        ("one byte short", plain(&single, &|b| b.truncate(874))),
        ("one byte long", plain(&single, &|b| b.push(0))),
        ("A of option 1 is the identity", again(&single, &key, &|b| b[component(2)].fill(0))),
        ("V is not canonical", again(&single, &key, &|b| b[component(10)].fill(0xff))),
        ("z_C is not below the order", again(&single, &key, &|b| b[component(23)].fill(0xff))),
        (
            "one ciphertext twice",
            again(&single, &key, &|b| {
                let copy = b[component(0)].to_vec();
                b[component(2)].copy_from_slice(&copy);
            }),
        ),
        (
            "credential of small order",
            plain(&single, &|b| {
                b[11..43].fill(0);
                b[11] = 1;
            }),
        ),
        (
            "nonce of small order",
            plain(&single, &|b| {
                b[811..843].fill(0);
                b[811] = 1;
            }),
        ),
        ("s is not below the order", plain(&single, &|b| b[843..875].fill(0xff))),
        ("signed by another credential", again(&single, &thief, &|_| ())),
        ("signature changed", plain(&single, &|b| b[843] ^= 1)),
        (
            "copied under another credential",
            again(&single, &thief, &|b| {
                b[11..43].copy_from_slice(thief.verifying_key().as_bytes());
            }),
        ),
        ("moved to a style with the same rule", again(&single, &key, &|b| b[10] = 3)),
        ("f_1 changed", again(&single, &key, &plus_one(16))),
        ("f of a dummy bit changed", again(&approval, &key, &plus_one(8 + 6 + 5))),
        ("z_V changed", again(&single, &key, &plus_one(21))),
        ("z_R changed", again(&single, &key, &plus_one(22))),
        ("z_C changed", again(&single, &key, &plus_one(23))),
        ("S and T_A swapped", again(&single, &key, &swap(11, 12))),
        ("C_1 and C_0 swapped", again(&single, &key, &swap(14, 15))),
        ("fault in the second contest", again(&two_contests, &thief, &plus_one(2 + 6 + 2 + 3 + 23))),
        ("two selected where one may be", over_vote.ballot(form, &key, &mut cheat_rng)),
        ("values 2 and -1", minus.ballot(form, &key, &mut cheat_rng)),
        ("9 encrypted where 1 is proved", other_votes.ballot(form, &key, &mut cheat_rng)),
    ]
}

fn vectors() -> Value {
    let form = vector_form();
    let secret = election_key(1).0;
    let mut aggregate = Aggregate::new(&form);
    let mut ballots = Vec::new();
    for (weight, (name, bytes)) in (1..).zip(named_ballots(&form)) {
        let verdict = form.verify(&bytes);
        let mut entry = json!({ "name": name, "bytes": hex::encode(&bytes) });
        match verdict {
            Err(refusal) => {
                entry["verdict"] = json!(refusal.kind().to_string());
                entry["code"] = json!(refusal.code());
                if let BallotRefusal::ProofInvalid { contest } = refusal {
                    entry["contest"] = json!(contest.0);
                }
            }
            Ok(checked) => {
                entry["verdict"] = json!("valid");
                entry["code"] = json!(0);
                entry["id"] = json!(hex::encode(checked.digest()));
                entry["weight"] = json!(weight);
                let parsed = form.parse(&bytes).unwrap();
                entry["challenges"] = parsed
                    .proofs
                    .iter()
                    .map(|proof| {
                        let [y, w, x] = [proof.challenges.y, proof.challenges.w, proof.challenges.x];
                        json!({
                            "contest": proof.contest.0,
                            "y": hex::encode(y.as_bytes()),
                            "w": hex::encode(w.as_bytes()),
                            "x": hex::encode(x.as_bytes()),
                        })
                    })
                    .collect();
                aggregate.add(&checked, Weight(weight)).unwrap();
            }
        }
        ballots.push(entry);
    }
    let generators: Vec<String> = (0..=8).map(|j| hex::encode(generator_p(j).bytes())).collect();
    let rules: Vec<_> =
        form.contests().iter().map(|r| json!({"options": r.options, "min": r.min, "max": r.max})).collect();
    let styles: Vec<Vec<u16>> = form.styles().iter().map(|s| s.iter().map(|c| c.0).collect()).collect();
    json!({
        "about": "P-BAL: ballots, verdicts and challenges. Weighted sums are over the valid ballots.",
        "suite": BALLOT_SUITE,
        "election": form.election().to_string(),
        "key": hex::encode(form.key().bytes()),
        "key_secret": hex::encode(secret.as_bytes()),
        "contests": rules,
        "styles": styles,
        "ballot_len": (0..4).map(|s| form.ballot_len(StyleIndex(s))).collect::<Vec<_>>(),
        "generators": { "P": generators, "Q": hex::encode(generator_q().bytes()) },
        "ballots": ballots,
        "aggregate": { "bytes": hex::encode(aggregate.to_bytes()), "digest": hex::encode(aggregate.digest()) },
    })
}

#[test]
fn the_vector_file_is_what_this_code_makes() {
    let file: Value = serde_json::from_str(&fs::read_to_string(path()).unwrap()).unwrap();
    assert_eq!(file, vectors(), "a changed vector is a changed format: say so in a decision record");
}

#[test]
fn every_refusal_has_a_vector() {
    let form = vector_form();
    let found: Vec<_> =
        named_ballots(&form).iter().filter_map(|(_, bytes)| form.verify(bytes).err().map(|r| r.kind())).collect();
    for kind in RefusalCode::ALL {
        assert!(found.contains(&kind), "{kind}");
    }
    assert_eq!(named_ballots(&form).iter().filter(|(_, bytes)| form.verify(bytes).is_ok()).count(), 5);
}

#[test]
#[ignore = "writes the file that the others read"]
fn write_ballot_vectors() {
    fs::create_dir_all(path().parent().unwrap()).unwrap();
    let mut text = serde_json::to_string_pretty(&vectors()).unwrap();
    text.push('\n');
    fs::write(path(), text).unwrap();
    assert!(path().exists());
}
