//! Making, opening and refusing tokens.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use trustee::keystore::pkcs11::{TokenConfig, TokenSelector, create, open};
use trustee::keystore::{
    ExpectedKeys, KeyRole, Keystore, KeystoreError, KeystoreKind, PLAINTEXT_BYTES_MAX, PinTries, PolicyFlaw, PublicKey,
    SEAL_OVERHEAD_BYTES,
};

use crate::place::{Place, rng, verifies};
use crate::token_test;

token_test!(what_a_token_signs_verifies_and_survives_reopening, |place| {
    let config = place.config("main");
    let mut made = create(&config).unwrap();
    let (identity, tls) = (made.identity_public(), made.tls_public());
    assert_ne!(identity, tls);
    let signature = made.sign_identity(b"an envelope").unwrap();
    assert!(verifies(identity, b"an envelope", signature));
    assert!(!verifies(tls, b"an envelope", signature));
    let sealed = made.seal(b"share 1", b"a share", &mut rng()).unwrap();
    drop(made);

    let expected = ExpectedKeys { identity: Some(identity), tls: Some(tls) };
    let mut opened = open(&config, &expected).unwrap();
    assert_eq!((opened.identity_public(), opened.tls_public()), (identity, tls));
    assert!(verifies(tls, b"a handshake", opened.sign_tls(b"a handshake").unwrap()));
    assert_eq!(opened.unseal(b"share 1", &sealed).unwrap().as_slice(), b"a share");
    opened.health().unwrap();
    let KeystoreKind::Token { label, serial, software, .. } = opened.describe() else {
        unreachable!("a token keystore says that it is a token")
    };
    assert_eq!((label.as_str(), software), ("main", true));

    let by_serial = open(&TokenConfig { token: TokenSelector::Serial(serial), ..config }, &expected);
    assert_eq!(by_serial.unwrap().identity_public(), identity);
});

token_test!(a_token_adds_randomness_of_its_own, |place| {
    let mut keystore = create(&place.config("main")).unwrap();
    let [one, two] = [0; 2].map(|_| keystore.random().unwrap());
    assert_ne!(*one, [0; 32]);
    assert_ne!(one, two);
});

token_test!(a_seal_opens_only_unaltered_and_in_its_context, |place| {
    let mut keystore = create(&place.config("main")).unwrap();
    let mut rng = rng();
    for length in [0_usize, 1, 15, 16, 17, 4096, PLAINTEXT_BYTES_MAX] {
        let plaintext = vec![0xa5; length];
        let sealed = keystore.seal(b"context", &plaintext, &mut rng).unwrap();
        assert_eq!(sealed.len(), length + SEAL_OVERHEAD_BYTES);
        assert_eq!(*keystore.unseal(b"context", &sealed).unwrap(), plaintext);
    }
    let sealed = keystore.seal(b"context", b"a share", &mut rng).unwrap();
    let again = keystore.seal(b"context", b"a share", &mut rng).unwrap();
    assert_ne!(sealed, again, "an IV was used twice");
    // A machine cloned with the state of its generator draws the same numbers again: the token stirs its own in. (K13)
    let [one, two] = [0; 2].map(|_| keystore.seal(b"context", b"a share", &mut crate::place::rng()).unwrap());
    assert_ne!(one, two, "an IV was used twice after a clone");
    let broken = |outcome| matches!(outcome, Err(KeystoreError::SealBroken));
    assert!(broken(keystore.unseal(b"contexu", &sealed)));
    for position in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[position] ^= 1;
        assert!(broken(keystore.unseal(b"context", &altered)), "byte {position} may be altered");
    }
    for length in 0..sealed.len() {
        assert!(broken(keystore.unseal(b"context", &sealed[..length])), "{length} bytes are enough");
    }
    // None of that was taken for a broken token.
    assert_eq!(keystore.unseal(b"context", &sealed).unwrap().as_slice(), b"a share");
    assert!(matches!(keystore.seal(b"", b"a share", &mut rng), Err(KeystoreError::ContextEmpty)));
    let long = vec![0; PLAINTEXT_BYTES_MAX + 1];
    assert!(matches!(keystore.seal(b"context", &long, &mut rng), Err(KeystoreError::TooLong { .. })));
});

token_test!(keys_are_never_overwritten, |place| {
    let config = place.config("main");
    let identity = create(&config).unwrap().identity_public();
    let refused = create(&config).unwrap_err();
    assert!(matches!(refused, KeystoreError::KeyExists { role: KeyRole::Identity, .. }), "{refused}");
    assert_eq!(open(&config, &ExpectedKeys::default()).unwrap().identity_public(), identity);
});

token_test!(a_wrong_pin_is_sent_once_and_named, |place| {
    let config = place.shimmed("main");
    drop(create(&config).unwrap());
    let before = place.calls("login");
    let wrong = TokenConfig { pin: place.other_pin("000000"), ..config.clone() };
    let refused = open(&wrong, &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::PinRejected { .. }), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("000000"));
    assert_eq!(place.calls("login"), before + 1);
    // The right one still works.
    open(&config, &ExpectedKeys::default()).unwrap();
});

token_test!(a_locked_pin_and_a_last_try_are_told_apart, |place| {
    let config = place.shimmed("main");
    drop(create(&config).unwrap());
    let none = ExpectedKeys::default();

    place.fault("login", "s a4"); // CKR_PIN_LOCKED
    assert!(matches!(open(&config, &none).unwrap_err(), KeystoreError::PinLocked));
    place.heal("login");

    let before = place.calls("login");
    place.fault("tokenflags", "s 40000"); // CKF_USER_PIN_LOCKED
    assert!(matches!(open(&config, &none).unwrap_err(), KeystoreError::PinLocked));
    place.fault("tokenflags", "s 20000"); // CKF_USER_PIN_FINAL_TRY
    assert!(matches!(open(&config, &none).unwrap_err(), KeystoreError::PinLastTry));
    assert_eq!(place.calls("login"), before, "the last try was spent");

    place.fault("tokenflags", "s 10000"); // CKF_USER_PIN_COUNT_LOW
    let wrong = TokenConfig { pin: place.other_pin("000000"), ..config };
    let refused = open(&wrong, &none).unwrap_err();
    assert!(matches!(refused, KeystoreError::PinRejected { tries: PinTries::Low }), "{refused}");
});

token_test!(an_absent_or_ambiguous_token_is_named, |place| {
    place.make_token("other");
    let refused = open(&place.config("absent"), &ExpectedKeys::default()).unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, KeystoreError::TokenNotFound { .. }), "{said}");
    assert!(said.contains("absent") && said.contains("main") && said.contains("other"), "{said}");

    let empty = open(&place.config("other"), &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(empty, KeystoreError::KeyMissing { role: KeyRole::Identity, .. }), "{empty}");

    let missing = TokenConfig { module: "/nonexistent.so".into(), ..place.config("main") };
    let refused = open(&missing, &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::ModuleUnusable { .. }), "{refused}");
});

token_test!(two_tokens_with_one_label_are_refused, |place| {
    // The script would not do this: two folders, moved together.
    for pass in ["first", "second"] {
        place.make_token("twin");
        if pass == "first" {
            std::fs::rename(place.path("tokens/tokens"), place.path("kept")).unwrap();
        }
    }
    for entry in std::fs::read_dir(place.path("kept")).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), place.path("tokens/tokens").join(entry.file_name())).unwrap();
    }
    let refused = open(&place.config("twin"), &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::TokenAmbiguous { count: 2, .. }), "{refused}");
});

token_test!(a_software_token_is_refused_unless_wanted, |place| {
    let config = TokenConfig { allow_software_token: false, ..place.config("main") };
    for refused in [create(&config).unwrap_err(), open(&config, &ExpectedKeys::default()).unwrap_err()] {
        assert!(matches!(refused, KeystoreError::SoftwareToken { .. }), "{refused}");
    }
});

token_test!(another_key_than_the_pinned_one_is_refused, |place| {
    let config = place.config("main");
    let made = create(&config).unwrap();
    let (identity, tls) = (made.identity_public(), made.tls_public());
    let other = [9_u8; 32];
    let refused = open(&config, &ExpectedKeys { identity: Some(other), tls: None }).unwrap_err();
    assert!(
        matches!(refused, KeystoreError::WrongKey { role: KeyRole::Identity, expected, got }
            if expected == PublicKey(other) && got == PublicKey(identity)),
        "{refused}"
    );
    let refused = open(&config, &ExpectedKeys { identity: Some(identity), tls: Some(identity) }).unwrap_err();
    assert!(
        matches!(refused, KeystoreError::WrongKey { role: KeyRole::Tls, got, .. } if got == PublicKey(tls)),
        "{refused}"
    );
});

token_test!(two_keystores_share_one_token_and_one_login, |place| {
    let config = place.config("main");
    let mut first = create(&config).unwrap();
    let mut second = open(&config, &ExpectedKeys::default()).unwrap();
    first.health().unwrap();
    drop(first);
    second.health().unwrap();
});

/// Replaces one good key by a bad one and says how that is refused.
fn refusal_of(place: &Place, role: KeyRole, bad: impl FnOnce(&Session)) -> PolicyFlaw {
    let config = place.config("main");
    // Otherwise there are keys, one of them perhaps bad from the case before: it is replaced below.
    if let Err(KeystoreError::KeyMissing { .. }) = open(&config, &ExpectedKeys::default()) {
        create(&config).unwrap();
    }
    let session = raw_session(place);
    for object in session.find_objects(&[label(role)]).unwrap() {
        session.destroy_object(object).unwrap();
    }
    bad(&session);
    drop(session);
    match open(&config, &ExpectedKeys::default()).unwrap_err() {
        KeystoreError::Policy { role: got, flaw } if got == role => flaw,
        other => unreachable!("not refused by policy: {other}"),
    }
}

fn raw_session(place: &Place) -> Session {
    let library = Pkcs11::new(place.module()).unwrap();
    let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = library
        .get_slots_with_initialized_token()
        .unwrap()
        .into_iter()
        .find(|slot| library.get_token_info(*slot).unwrap().label() == "main")
        .unwrap();
    let session = library.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(place.pin()))).unwrap();
    session
}

fn label(role: KeyRole) -> Attribute {
    Attribute::Label(role.label().as_bytes().to_vec())
}

fn bad_pair(role: KeyRole, flaws: &[Attribute]) -> impl FnOnce(&Session) {
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        label(role),
    ];
    put(&mut private, flaws);
    move |session| {
        let public = [
            Attribute::Token(true),
            Attribute::Verify(true),
            Attribute::EcParams(vec![0x06, 0x03, 0x2b, 0x65, 0x70]),
            label(role),
        ];
        session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private).unwrap();
    }
}

fn bad_seal(flaws: &[Attribute]) -> impl FnOnce(&Session) {
    let mut template = vec![
        Attribute::ValueLen(32.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        label(KeyRole::Seal),
    ];
    put(&mut template, flaws);
    move |session| {
        session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    }
}

fn put(template: &mut Vec<Attribute>, flaws: &[Attribute]) {
    for flaw in flaws {
        let kind = flaw.attribute_type();
        template.retain(|attribute| attribute.attribute_type() != kind);
        template.push(flaw.clone());
    }
}

token_test!(an_unsafe_signing_key_is_refused, |place| {
    for (flaw, name, got) in [
        (Attribute::Extractable(true), "CKA_EXTRACTABLE", true),
        (Attribute::Sensitive(false), "CKA_SENSITIVE", false),
        (Attribute::Decrypt(true), "CKA_DECRYPT", true),
        (Attribute::Unwrap(true), "CKA_UNWRAP", true),
        (Attribute::Derive(true), "CKA_DERIVE", true),
        (Attribute::Modifiable(true), "CKA_MODIFIABLE", true),
        (Attribute::Private(false), "CKA_PRIVATE", false),
        (Attribute::Sign(false), "CKA_SIGN", false),
    ] {
        for role in [KeyRole::Identity, KeyRole::Tls] {
            let refused = refusal_of(place, role, bad_pair(role, std::slice::from_ref(&flaw)));
            assert_eq!(refused, PolicyFlaw::Attribute { name, expected: !got, got }, "{role}");
            // Put a good one back, so that the next case has one flaw only.
            let session = raw_session(place);
            for object in session.find_objects(&[label(role)]).unwrap() {
                session.destroy_object(object).unwrap();
            }
            bad_pair(role, &[])(&session);
            drop(session);
            open(&place.config("main"), &ExpectedKeys::default()).unwrap();
        }
    }
});

token_test!(an_unsafe_sealing_key_is_refused, |place| {
    for (flaw, name, got) in [
        (Attribute::Wrap(true), "CKA_WRAP", true),
        (Attribute::Unwrap(true), "CKA_UNWRAP", true),
        (Attribute::Extractable(true), "CKA_EXTRACTABLE", true),
        (Attribute::Sensitive(false), "CKA_SENSITIVE", false),
        (Attribute::Modifiable(true), "CKA_MODIFIABLE", true),
        (Attribute::Sign(true), "CKA_SIGN", true),
    ] {
        let refused = refusal_of(place, KeyRole::Seal, bad_seal(std::slice::from_ref(&flaw)));
        assert_eq!(refused, PolicyFlaw::Attribute { name, expected: !got, got });
    }
    let short = refusal_of(place, KeyRole::Seal, bad_seal(&[Attribute::ValueLen(16.into())]));
    assert_eq!(short, PolicyFlaw::WrongType);
});

token_test!(a_key_that_was_ever_outside_is_refused, |place| {
    let refused = refusal_of(place, KeyRole::Seal, |session| {
        let imported = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Value(vec![1; 32]),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Modifiable(false),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            label(KeyRole::Seal),
        ];
        session.create_object(&imported).unwrap();
    });
    assert_eq!(refused, PolicyFlaw::Attribute { name: "CKA_ALWAYS_SENSITIVE", expected: true, got: false });
});

token_test!(a_public_key_that_belongs_to_another_private_key_is_refused, |place| {
    let config = place.config("main");
    drop(create(&config).unwrap());
    let session = raw_session(place);
    for role in [KeyRole::Identity, KeyRole::Tls] {
        let own = [label(role), Attribute::Class(ObjectClass::PUBLIC_KEY)];
        for object in session.find_objects(&own).unwrap() {
            session.destroy_object(object).unwrap();
        }
    }
    // Valid public keys, with nobody's private half in this token.
    for (role, seed) in [(KeyRole::Identity, 1_u8), (KeyRole::Tls, 2)] {
        let public = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        let mut point = vec![0x04, 0x20];
        point.extend_from_slice(&public);
        let object = [
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Token(true),
            Attribute::EcParams(vec![0x06, 0x03, 0x2b, 0x65, 0x70]),
            Attribute::EcPoint(point),
            label(role),
        ];
        session.create_object(&object).unwrap();
    }
    drop(session);
    let refused = open(&config, &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(refused, KeystoreError::SignatureFaulty { role: KeyRole::Identity }), "{refused}");
});
