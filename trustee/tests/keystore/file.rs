//! The file store: for trials, and careful all the same.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use trustee::keystore::file::{PassphraseCost, create, open};
use trustee::keystore::{Damage, ExpectedKeys, KeyRole, Keystore, KeystoreError, KeystoreKind, PublicKey, Secret};

use crate::place::{rng, verifies};

const LIGHT: PassphraseCost = PassphraseCost::LIGHT_FOR_TESTS;

fn passphrase() -> Secret {
    Secret::new("correct horse battery".to_owned())
}

fn damage_of(path: &Path, image: &[u8]) -> Damage {
    std::fs::write(path, image).unwrap();
    match open(path, &passphrase(), &ExpectedKeys::default()).unwrap_err() {
        KeystoreError::Damaged { damage, .. } => damage,
        other => unreachable!("not seen as damaged: {other}"),
    }
}

#[test]
fn keys_survive_in_the_file_and_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let mut made = create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let sealed = made.seal(b"context", b"a share", &mut rng()).unwrap();
    let expected = ExpectedKeys { identity: Some(made.identity_public()), tls: Some(made.tls_public()) };
    let mut opened = open(&path, &passphrase(), &expected).unwrap();
    assert_eq!(opened.describe(), KeystoreKind::File);
    assert_eq!(opened.cost(), LIGHT);
    assert!(verifies(made.identity_public(), b"m", opened.sign_identity(b"m").unwrap()));
    assert!(verifies(made.tls_public(), b"m", opened.sign_tls(b"m").unwrap()));
    assert_eq!(opened.unseal(b"context", &sealed).unwrap().as_slice(), b"a share");
    opened.health().unwrap();
    assert!(matches!(opened.unseal(b"another", &sealed), Err(KeystoreError::SealBroken)));
    for position in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[position] ^= 0x80;
        assert!(matches!(opened.unseal(b"context", &altered), Err(KeystoreError::SealBroken)), "byte {position}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left");
}

#[test]
fn a_keystore_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = create(&path, &passphrase(), LIGHT, &mut rng()).unwrap_err();
    assert!(matches!(refused, KeystoreError::KeyExists { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let wrong = Secret::new("incorrect horse battery".to_owned());
    let refused = open(&path, &wrong, &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::PassphraseRejected { .. }), "{refused}");
    let short = Secret::new("short".to_owned());
    let refused = create(&folder.path().join("b"), &short, LIGHT, &mut rng()).unwrap_err();
    assert!(matches!(refused, KeystoreError::PassphraseTooShort { min: 12, got: 5 }), "{refused}");
}

#[test]
fn every_damaged_byte_and_every_other_length_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let good = std::fs::read(&path).unwrap();
    for position in 0..good.len() {
        let mut image = good.clone();
        image[position] ^= 1;
        let damage = damage_of(&path, &image);
        match position {
            0..16 => assert_eq!(damage, Damage::NotAKeystore),
            16..18 => assert!(matches!(damage, Damage::Version { expected: 1, .. }), "{damage}"),
            _ => assert_eq!(damage, Damage::Checksum, "byte {position}"),
        }
    }
    for length in 18..good.len() {
        assert!(matches!(damage_of(&path, &good[..length]), Damage::Length { .. }), "{length} bytes");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(damage_of(&path, &longer), Damage::Length { .. }));
    assert_eq!(damage_of(&path, b""), Damage::NotAKeystore);
}

/// Rewrites the header and makes the checksum right again: what somebody does on purpose.
fn forged(good: &[u8], position: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = good[..good.len() - 32].to_vec();
    image[position..position + bytes.len()].copy_from_slice(bytes);
    let checksum = Sha256::digest(&image);
    image.extend_from_slice(&checksum);
    image
}

#[test]
fn a_file_that_asks_for_too_much_work_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let good = std::fs::read(&path).unwrap();
    for (position, got) in [(18, 2_000_000_u32), (18, 8), (22, 0), (22, 65), (26, 0), (26, 9)] {
        let damage = damage_of(&path, &forged(&good, position, &got.to_be_bytes()));
        assert!(matches!(damage, Damage::Cost { got: said, .. } if said == got), "{damage}");
    }
    assert!(matches!(PassphraseCost::new(64, 65, 1), Err(KeystoreError::CostOutOfRange { got: 65, .. })));
    assert!(PassphraseCost::new(19 * 1024, 2, 1).is_ok());
}

#[test]
fn a_forged_header_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let good = std::fs::read(&path).unwrap();
    // Passes, salt, IV, sealed keys, tag.
    for (position, bytes) in [(22, &2_u32.to_be_bytes()[..]), (30, b"x"), (62, b"x"), (74, b"x"), (185, b"x")] {
        std::fs::write(&path, forged(&good, position, bytes)).unwrap();
        let refused = open(&path, &passphrase(), &ExpectedKeys::default()).unwrap_err();
        assert!(matches!(refused, KeystoreError::PassphraseRejected { .. }), "{position}: {refused}");
    }
}

#[test]
fn a_file_others_can_read_and_another_key_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let made = create(&path, &passphrase(), LIGHT, &mut rng()).unwrap();
    let expected = ExpectedKeys { identity: None, tls: Some([3; 32]) };
    let refused = open(&path, &passphrase(), &expected).unwrap_err();
    assert!(
        matches!(refused, KeystoreError::WrongKey { role: KeyRole::Tls, got, .. }
            if got == PublicKey(made.tls_public())),
        "{refused}"
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = open(&path, &passphrase(), &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::Exposed { mode: 0o644, .. }), "{refused}");
    assert_eq!(
        format!("{made:?}").split(", cost").next(),
        Some("FileKeystore { keys: \"redacted\""),
        "more is shown than it may be"
    );
}
