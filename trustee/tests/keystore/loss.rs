//! Tokens that go away, come back, hang or lie. (K01, K03)

use core::time::Duration;

use trustee::keystore::pkcs11::{Recovery, TokenConfig, TokenKeystore, create, open};
use trustee::keystore::{ExpectedKeys, KeyRole, Keystore, KeystoreError, Operation};

use crate::place::{Place, rng, verifies};
use crate::token_test;

const QUICK: Recovery =
    Recovery { attempts_max: 5, pause_first: Duration::from_millis(5), pause_max: Duration::from_millis(20) };

token_test!(a_lost_session_is_reopened_without_a_restart, |place| {
    let mut keystore = create(&place.shimmed("main")).unwrap();
    for code in ["o b3", "o b0", "o 101", "o 60"] {
        place.fault("sign", code); // SESSION_HANDLE_INVALID, SESSION_CLOSED, USER_NOT_LOGGED_IN, KEY_HANDLE_INVALID
        let signature = keystore.sign_identity(b"m").unwrap();
        assert!(verifies(keystore.identity_public(), b"m", signature));
    }
    assert_eq!(place.calls("finalize"), 0);
});

token_test!(a_token_that_needs_a_restart_of_the_module_gets_one, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut keystore = create(&config).unwrap();
    let sealed = keystore.seal(b"c", b"a share", &mut rng()).unwrap();
    for (call, code) in [("sign", "f 30"), ("opensession", "f e0"), ("find", "f 0")] {
        place.fault(call, code); // DEVICE_ERROR; TOKEN_NOT_PRESENT; sessions open, but nothing is found
        place.fault("sign", "f 30");
        let before = place.calls("finalize");
        let signature = keystore.sign_tls(b"m").unwrap();
        assert!(verifies(keystore.tls_public(), b"m", signature));
        assert_eq!(place.calls("finalize"), before + 1, "{call}");
    }
    assert_eq!(keystore.unseal(b"c", &sealed).unwrap().as_slice(), b"a share");
});

token_test!(a_restart_by_one_keystore_does_not_break_another, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut first = create(&config).unwrap();
    let mut second = open(&config, &ExpectedKeys::default()).unwrap();
    place.fault("sign", "f 30");
    first.health().unwrap();
    let restarts = place.calls("finalize");
    second.health().unwrap();
    first.health().unwrap();
    assert_eq!(place.calls("finalize"), restarts, "one restart serves all");
});

/// Two keystores, of which the first has live sessions with the very numbers that the second had before a restart.
fn same_numbers(place: &Place) -> (TokenKeystore, TokenKeystore) {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut first = create(&config).unwrap();
    let mut second = open(&config, &ExpectedKeys::default()).unwrap();
    // Whoever restarts the module gets its lowest numbers.
    place.fault("sign", "f 30");
    second.health().unwrap();
    first.health().unwrap();
    place.fault("sign", "f 30");
    first.health().unwrap();
    (first, second)
}

token_test!(sessions_from_before_a_restart_are_not_used, |place| {
    let (_first, mut second) = same_numbers(place);
    let before = place.calls("opensession");
    second.health().unwrap();
    assert_eq!(place.calls("opensession"), before + 2, "it worked on somebody else's session");
});

token_test!(sessions_from_before_a_restart_are_not_closed, |place| {
    let (mut first, second) = same_numbers(place);
    drop(second);
    let before = place.calls("opensession");
    first.health().unwrap();
    assert_eq!(place.calls("opensession"), before, "somebody closed its sessions");
});

token_test!(a_token_that_stays_away_is_unavailable_and_may_come_back, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut keystore = create(&config).unwrap();
    place.fault("sign", "s 32"); // DEVICE_REMOVED
    for _ in 0..2 {
        let gone = keystore.sign_identity(b"m").unwrap_err();
        assert!(
            matches!(gone, KeystoreError::Unavailable { operation: Operation::SignIdentity, attempts: 5, .. }),
            "{gone}"
        );
    }
    assert!(keystore.health().is_err());
    place.heal("sign");
    keystore.health().unwrap();
});

token_test!(a_module_that_cannot_restart_is_unavailable_and_may_come_back, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut keystore = create(&config).unwrap();
    place.fault("sign", "f 30");
    place.fault("init", "s 5"); // GENERAL_ERROR
    assert!(matches!(keystore.health().unwrap_err(), KeystoreError::Unavailable { .. }));
    place.heal("init");
    keystore.health().unwrap();
});

token_test!(a_pin_refused_while_coming_back_is_never_sent_again, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut keystore = create(&config).unwrap();
    let before = place.calls("login");
    place.fault("sign", "s 30");
    place.fault("login", "s a0"); // PIN_INCORRECT
    for _ in 0..3 {
        assert!(matches!(keystore.sign_identity(b"m").unwrap_err(), KeystoreError::PinRejected { .. }));
    }
    assert_eq!(place.calls("login"), before + 1);
});

token_test!(an_unclear_error_while_opening_a_seal_is_not_called_a_broken_seal, |place| {
    let config = TokenConfig { recovery: QUICK, ..place.shimmed("main") };
    let mut keystore = create(&config).unwrap();
    let sealed = keystore.seal(b"c", b"a share", &mut rng()).unwrap();
    // What SoftHSM says of a wrong tag, now said once, and then by a broken token.
    place.fault("decrypt", "o 5");
    assert_eq!(keystore.unseal(b"c", &sealed).unwrap().as_slice(), b"a share");
    place.fault("decrypt", "f 5");
    assert_eq!(keystore.unseal(b"c", &sealed).unwrap().as_slice(), b"a share");
    place.fault("decrypt", "s 5");
    assert!(matches!(keystore.unseal(b"c", &sealed).unwrap_err(), KeystoreError::Unavailable { .. }));
    place.heal("decrypt");
    assert!(matches!(keystore.unseal(b"d", &sealed).unwrap_err(), KeystoreError::SealBroken));
});

token_test!(an_error_that_trying_again_cannot_mend_is_not_tried_again, |place| {
    let mut keystore = create(&place.shimmed("main")).unwrap();
    let before = place.calls("sign");
    place.fault("sign", "s 68"); // KEY_FUNCTION_NOT_PERMITTED
    let refused = keystore.sign_identity(b"m").unwrap_err();
    assert!(matches!(refused, KeystoreError::Token { operation: Operation::SignIdentity, .. }), "{refused}");
    assert_eq!(place.calls("sign"), before + 1);
});

token_test!(a_wrong_signature_is_not_let_out, |place| {
    let config = place.shimmed("main");
    let mut keystore = create(&config).unwrap();
    place.fault("flip", "s 0");
    let refused = keystore.sign_identity(b"m").unwrap_err();
    assert!(matches!(refused, KeystoreError::SignatureFaulty { role: KeyRole::Identity }), "{refused}");
    let refused = keystore.sign_tls(b"m").unwrap_err();
    assert!(matches!(refused, KeystoreError::SignatureFaulty { role: KeyRole::Tls }), "{refused}");
    assert!(keystore.health().is_err());
    drop(keystore);
    assert!(open(&config, &ExpectedKeys::default()).is_err());
});

token_test!(a_half_made_set_of_keys_is_taken_back, |place| {
    let config = place.shimmed("main");
    place.fault("generatekey", "o 31"); // DEVICE_MEMORY, at the third key
    let failed = create(&config).unwrap_err();
    assert!(matches!(failed, KeystoreError::Token { operation: Operation::GenerateKeys, .. }), "{failed}");
    let missing = open(&config, &ExpectedKeys::default()).unwrap_err();
    assert!(matches!(missing, KeystoreError::KeyMissing { role: KeyRole::Identity, .. }), "{missing}");
    create(&config).unwrap().health().unwrap();
});
