//! RFC 9591, appendix E.1, FROST(Ed25519, SHA-512): the RFC's nonces through our rounds give the RFC's shares and signature.

use super::*;
use frost_ed25519::{
    VerifyingKey,
    keys::{SigningShare, VerifyingShare},
};

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

#[test]
fn the_vector_of_rfc_9591_holds() {
    let key: [u8; 32] = bytes("15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673");
    let secret_shares = [
        "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
        "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d",
        "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
    ]
    .map(|hex| SigningShare::deserialize(&bytes::<32>(hex)).unwrap());
    let public = secret_shares.map(|share| VerifyingShare::from(share).serialize().unwrap().try_into().unwrap());
    let keys = SigningKeys::new(&key, &public, 2).unwrap();
    let package = |index: u16| {
        let share = secret_shares[usize::from(index) - 1];
        let verifying = VerifyingKey::deserialize(&key).unwrap();
        KeyPackage::new(identifier(TrusteeIndex(index)).unwrap(), share, share.into(), verifying, 2)
    };
    // Index, hiding nonce, binding nonce, hiding commitment, binding commitment, share.
    let signers = [
        (
            1,
            "ef6599dea4010581a72b3018c37c29a4341d7cab0773e8687ca74dcf14009701",
            "2baadfa0c69aa60d517ad4751de372a73f9d89cfc39026601f18458cdec12605",
            "9b116f12589591a7e23fe8048059ab10ab48e67739e7a2fb3890f61a7999478c",
            "c39b66b7dfccb122da24f13587f9a08c4347cae70046ca15169adf90ba65854d",
            "60997f0142e43e8005027fe5ab7447dac00d22c2d7ddd9571a02613ba7d81c08",
        ),
        (
            3,
            "80f8d9a4b8f9366e1a0b618107c907cd3ee29fa9bb40b4691cc1bde696240005",
            "2610b664a5a187b4855e87d2ff485bebdf043dc2f161fcd4854cd01dc0276404",
            "e679a2a971748ccfaabead4dbe8ac1def61275c186c79d471e1e45091ad1e687",
            "b2a942478453fabb6bd3181c56ba657413447b4136e1daea2484d396d1a516b3",
            "79390e78bc59699c7af831f8f5fb478ec871a85f561a8641b5670ac4443f720f",
        ),
    ];
    let mut nonces = Vec::new();
    let mut commitments = BTreeMap::new();
    for (index, hiding, binding, hiding_commitment, binding_commitment, _) in signers {
        let nonce = SigningNonce::from_secrets(PURPOSE, ATTEMPT, &bytes(hiding), &bytes(binding));
        let commitment = nonce.commitment().clone();
        assert_eq!(commitment.hiding, bytes(hiding_commitment));
        assert_eq!(commitment.binding, bytes(binding_commitment));
        commitments.insert(TrusteeIndex(index), commitment);
        nonces.push(nonce);
    }
    let request = request(PURPOSE, ATTEMPT, &[1, 3]);
    let mut shares = BTreeMap::new();
    for (nonce, (index, .., expected)) in nonces.into_iter().zip(signers) {
        let mut locks = SignerLocks::new();
        locks.committed(nonce.commitment(), CONTENT);
        let permit = locks.sign_permit(&nonce, CONTENT).unwrap();
        let share = sign(nonce, permit, &package(index), &request, b"test", &refs(&commitments)).unwrap();
        assert_eq!(share.share, bytes(expected), "trustee {index}");
        shares.insert(TrusteeIndex(index), share);
    }
    let signature = aggregate(&keys, b"test", &refs(&commitments), &refs(&shares)).unwrap();
    let (r, z) = (
        "154fb694ee7fcb37bf2381d94488c2a84b03b3352ad085feca81ad26d45852b7",
        "ecfe971ce4da95c4a95db93ac376b053897fca212ef85f99cf696bffeb178f07",
    );
    assert_eq!((&signature[..32], &signature[32..]), (&bytes::<32>(r)[..], &bytes::<32>(z)[..]));
}
