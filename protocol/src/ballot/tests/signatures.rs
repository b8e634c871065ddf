//! The signature rule, at its edges: torsion, small order, non-canonical encodings. (B14)

use super::*;
use crate::ballot::signature::SignatureClaim;
use curve25519_dalek::{
    constants::EIGHT_TORSION,
    edwards::{CompressedEdwardsY, EdwardsPoint},
};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};

/// A signer that adds points of small order where it likes and still satisfies the cofactored equation.
pub(super) struct Twisted {
    secret: Scalar,
    key_torsion: EdwardsPoint,
    nonce_torsion: EdwardsPoint,
}

impl Twisted {
    pub(super) fn new(key_torsion: usize, nonce_torsion: usize) -> Self {
        let secret = random_scalar(&mut seeded(77));
        Self { secret, key_torsion: EIGHT_TORSION[key_torsion], nonce_torsion: EIGHT_TORSION[nonce_torsion] }
    }
    pub(super) fn key(&self) -> [u8; 32] {
        (EdwardsPoint::mul_base(&self.secret) + self.key_torsion).compress().to_bytes()
    }
    pub(super) fn sign(&self, text: &[u8], seed: u64) -> [u8; 64] {
        let nonce = random_scalar(&mut seeded(seed));
        let r = (EdwardsPoint::mul_base(&nonce) + self.nonce_torsion).compress();
        let k = Sha512::new().chain_update(r.as_bytes()).chain_update(self.key()).chain_update(text).finalize();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&k.into()) * self.secret;
        let mut out = [0; 64];
        out[..32].copy_from_slice(r.as_bytes());
        out[32..].copy_from_slice(s.as_bytes());
        out
    }
    /// A ballot whose proof is for this twisted credential.
    pub(super) fn ballot(&self, form: &BallotForm, seed: u64) -> Vec<u8> {
        let credential = Credential(self.key());
        let unsigned = form.seal_unsigned(StyleIndex(0), &[options(&[0])], credential, &mut seeded(seed)).unwrap();
        let signature = self.sign(unsigned.text().as_bytes(), seed);
        unsigned.signed(&signature)
    }
}

fn judge(key: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> Result<bool, BallotRefusal> {
    SignatureClaim::parse(key, text, signature).map(|claim| claim.holds())
}

#[test]
fn ordinary_signatures_are_judged_as_rfc_8032_does() {
    let key = credential(1);
    let public = key.verifying_key().to_bytes();
    let mut signature = key.sign(b"text").to_bytes();
    assert_eq!(judge(&public, b"text", &signature), Ok(true));
    assert_eq!(judge(&public, b"texT", &signature), Ok(false));
    assert_eq!(judge(&credential(2).verifying_key().to_bytes(), b"text", &signature), Ok(false));
    signature[32] ^= 1;
    assert_eq!(judge(&public, b"text", &signature), Ok(false));
}

#[test]
fn components_of_small_order_do_not_change_the_verdict() {
    for (in_key, in_nonce) in [(0, 1), (1, 0), (4, 4), (3, 6), (0, 0)] {
        let signer = Twisted::new(in_key, in_nonce);
        let signature = signer.sign(b"text", 5);
        assert_eq!(judge(&signer.key(), b"text", &signature), Ok(true), "{in_key} {in_nonce}");
        assert_eq!(judge(&signer.key(), b"other", &signature), Ok(false), "{in_key} {in_nonce}");
    }
    // This is where other verifiers differ from each other, and why the rule is written down.
    let signer = Twisted::new(0, 1);
    let strict = VerifyingKey::from_bytes(&signer.key()).unwrap();
    assert!(strict.verify_strict(b"text", &Signature::from_bytes(&signer.sign(b"text", 5))).is_err());
}

#[test]
fn keys_and_nonces_of_small_order_are_refused() {
    let good = credential(1).sign(b"text").to_bytes();
    let public = credential(1).verifying_key().to_bytes();
    for point in EIGHT_TORSION {
        let bytes = point.compress().to_bytes();
        assert_eq!(judge(&bytes, b"text", &good), Err(BallotRefusal::CredentialInvalid));
        let mut signature = good;
        signature[..32].copy_from_slice(&bytes);
        assert_eq!(judge(&public, b"text", &signature), Err(BallotRefusal::SignatureNotCanonical));
    }
}

#[test]
fn every_non_canonical_point_encoding_is_refused() {
    // y = p .. p + 18, with either sign: the only encodings of a y that is not below p.
    let mut on_curve = 0;
    for low in 0xed..=0xff_u8 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, sign);
            on_curve += u32::from(CompressedEdwardsY(bytes).decompress().is_some());
            assert_eq!(judge(&bytes, b"", &[1; 64]), Err(BallotRefusal::CredentialInvalid));
        }
    }
    assert!(on_curve > 4, "dalek alone would take {on_curve} of them");
    // The other kind: a sign bit on x = 0, that is y = 1 and y = -1.
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    for bytes in [one, minus_one] {
        assert_eq!(judge(&bytes, b"", &[1; 64]), Err(BallotRefusal::CredentialInvalid));
    }
}

#[test]
fn a_scalar_not_below_the_order_is_refused() {
    let key = credential(1);
    let mut signature = key.sign(b"text").to_bytes();
    // s + l: the classical malleability.
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    let mut carry = 1_u16;
    for (to, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*to) + u16::from(add) + carry;
        (*to, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    let verdict = judge(&key.verifying_key().to_bytes(), b"text", &signature);
    assert_eq!(verdict, Err(BallotRefusal::SignatureNotCanonical));
}

#[test]
fn a_signature_over_another_text_does_not_make_a_ballot() {
    let form = form(FIVE);
    let key = credential(1);
    let mut bytes = ballot(&form, &[1], &key, &mut seeded(1));
    let body = bytes.len() - 64;
    // Over the digest alone, and over the text of another election.
    let digest = layout::ballot_digest(&bytes);
    for text in [digest.to_vec(), signing_text(ElectionId([8; 32]), &digest).into_bytes()] {
        bytes[body..].copy_from_slice(&key.sign(&text).to_bytes());
        assert_eq!(form.verify(&bytes), Err(BallotRefusal::SignatureInvalid));
    }
    sign_again(form.election(), &mut bytes, &key);
    assert!(form.verify(&bytes).is_ok());
}

#[test]
fn a_twisted_credential_makes_a_ballot_that_everyone_judges_alike() {
    let form = form(FIVE);
    let bytes = Twisted::new(1, 3).ballot(&form, 1);
    assert!(form.verify(&bytes).is_ok());
    assert!(form.verify_batch(&[&bytes, &bytes], &mut seeded(1)).iter().all(Result::is_ok));
}
