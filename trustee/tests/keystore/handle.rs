//! A keystore on its own thread.

use core::time::Duration;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use rand_core::CryptoRngCore;
use runtime::key::{RemoteSigner, SignerTrouble, try_signer};
use trustee::keystore::file::{PassphraseCost, create};
use trustee::keystore::{
    HandleLimits, Keystore, KeystoreError, KeystoreHandle, KeystoreKind, Operation, Secret, TlsSigner, pkcs11,
};
use zeroize::Zeroizing;

use crate::place::{rng, verifies};
use crate::token_test;

fn file_keystore() -> Box<dyn Keystore> {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = Secret::new("correct horse battery".to_owned());
    Box::new(create(&folder.path().join("keys"), &passphrase, PassphraseCost::LIGHT_FOR_TESTS, &mut rng()).unwrap())
}

/// A token that hangs while signing, until it is let go.
struct Hanging {
    inner: Box<dyn Keystore>,
    entered: SyncSender<()>,
    let_go: Receiver<()>,
}

impl Keystore for Hanging {
    fn describe(&self) -> KeystoreKind {
        self.inner.describe()
    }
    fn identity_public(&self) -> [u8; 32] {
        self.inner.identity_public()
    }
    fn tls_public(&self) -> [u8; 32] {
        self.inner.tls_public()
    }
    fn sign_identity(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.entered.send(()).unwrap();
        self.let_go.recv().unwrap();
        self.inner.sign_identity(message)
    }
    fn sign_tls(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.inner.sign_tls(message)
    }
    fn seal(&mut self, c: &[u8], p: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, KeystoreError> {
        self.inner.seal(c, p, rng)
    }
    fn unseal(&mut self, c: &[u8], s: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        self.inner.unseal(c, s)
    }
    fn random(&mut self) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        self.inner.random()
    }
    fn health(&mut self) -> Result<(), KeystoreError> {
        self.inner.health()
    }
}

fn hanging(limits: HandleLimits) -> (KeystoreHandle, Receiver<()>, SyncSender<()>) {
    let (entered, has_entered) = sync_channel(16);
    let (go, let_go) = sync_channel(16);
    let keystore = Hanging { inner: file_keystore(), entered, let_go };
    (KeystoreHandle::spawn(Box::new(keystore), Box::new(rng()), limits).unwrap(), has_entered, go)
}

#[tokio::test]
async fn every_call_works_from_a_task_and_from_a_thread() {
    let threaded = KeystoreHandle::spawn(file_keystore(), Box::new(rng()), HandleLimits::default()).unwrap();
    let in_place = KeystoreHandle::in_place(file_keystore(), Box::new(rng()));
    for handle in [threaded, in_place] {
        assert_eq!(*handle.describe(), KeystoreKind::File);
        let signature = handle.sign_identity(b"m").await.unwrap();
        assert!(verifies(handle.identity_public(), b"m", signature));
        assert_eq!(handle.sign_identity_blocking(b"m").unwrap(), signature);
        let signature = handle.sign_tls(b"m").await.unwrap();
        assert!(verifies(handle.tls_public(), b"m", signature));
        // rustls asks from inside the runtime: this must not panic.
        assert_eq!(handle.sign_tls_blocking(b"m").unwrap(), signature);
        let sealed = handle.seal(b"c", b"p").await.unwrap();
        assert_eq!(handle.unseal_blocking(b"c", &sealed).unwrap().as_slice(), b"p");
        let sealed = handle.seal_blocking(b"c", b"p").unwrap();
        assert_eq!(handle.unseal(b"c", &sealed).await.unwrap().as_slice(), b"p");
        assert!(matches!(handle.unseal(b"d", &sealed).await, Err(KeystoreError::SealBroken)));
        handle.health().await.unwrap();
        handle.health_blocking().unwrap();
    }
}

#[tokio::test]
async fn a_hanging_token_costs_a_caller_its_deadline_and_no_more() {
    let deadline = Duration::from_millis(100);
    let (handle, entered, go) = hanging(HandleLimits { waiting_max: 4, deadline });
    let start = Instant::now();
    let late = handle.sign_identity(b"m").await.unwrap_err();
    assert!(matches!(late, KeystoreError::TimedOut { operation: Operation::SignIdentity, after } if after == deadline));
    assert!(start.elapsed() >= deadline);
    entered.recv().unwrap();
    // Still hanging: a thread waits as long, and no longer.
    let late = handle.sign_identity_blocking(b"m").unwrap_err();
    assert!(matches!(late, KeystoreError::TimedOut { operation: Operation::SignIdentity, .. }), "{late}");
    // It comes back: what nobody waits for any more is not done, what is asked now is.
    go.send(()).unwrap();
    handle.health().await.unwrap();
    assert!(entered.try_recv().is_err(), "it signed for a caller who had gone");
}

#[test]
fn a_full_queue_says_so_at_once() {
    let (handle, entered, go) = hanging(HandleLimits { waiting_max: 2, deadline: Duration::from_secs(30) });
    let ask = |handle: &KeystoreHandle| {
        let handle = handle.clone();
        std::thread::spawn(move || handle.sign_identity_blocking(b"m").is_ok())
    };
    let first = ask(&handle);
    entered.recv().unwrap();
    let waiting = [ask(&handle), ask(&handle)];
    // Until both wait, a health call may slip in: it times nothing out, it only waits its turn.
    let refused = loop {
        let (answer, answered) = sync_channel(1);
        let probe = handle.clone();
        std::thread::spawn(move || drop(answer.send(probe.health_blocking())));
        if let Ok(Err(refused)) = answered.recv_timeout(Duration::from_millis(200)) {
            break refused;
        }
    };
    assert!(matches!(refused, KeystoreError::Busy { waiting_max: 2 }), "{refused}");
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    assert!(first.join().unwrap());
    // Some of the two may have been refused themselves if the health calls were quicker.
    for waiter in waiting {
        drop(waiter.join());
    }
}

#[test]
fn a_keystore_that_panics_is_reported_as_stopped() {
    let (handle, entered, go) = hanging(HandleLimits::default());
    drop((entered, go));
    assert!(matches!(handle.sign_identity_blocking(b"m").unwrap_err(), KeystoreError::Stopped));
    assert!(matches!(handle.health_blocking().unwrap_err(), KeystoreError::Stopped));
}

token_test!(many_threads_share_one_token_through_one_handle, |place| {
    let keystore = pkcs11::create(&place.config("main")).unwrap();
    let handle = KeystoreHandle::spawn(Box::new(keystore), Box::new(rng()), HandleLimits::default()).unwrap();
    let workers: Vec<_> = (0_u8..4)
        .map(|worker| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                for round in 0_u8..25 {
                    let message = [worker, round];
                    let signature = handle.sign_identity_blocking(&message).unwrap();
                    assert!(verifies(handle.identity_public(), &message, signature));
                    let sealed = handle.seal_blocking(&message, b"a share").unwrap();
                    assert_eq!(handle.unseal_blocking(&message, &sealed).unwrap().as_slice(), b"a share");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
});

token_test!(a_token_that_hangs_is_waited_for_no_longer_than_the_deadline, |place| {
    let keystore = pkcs11::create(&place.shimmed("main")).unwrap();
    let limits = HandleLimits { waiting_max: 4, deadline: Duration::from_millis(200) };
    let handle = KeystoreHandle::spawn(Box::new(keystore), Box::new(rng()), limits).unwrap();
    place.fault("sign", "z 600");
    let late = handle.sign_identity_blocking(b"m").unwrap_err();
    assert!(matches!(late, KeystoreError::TimedOut { operation: Operation::SignIdentity, .. }), "{late}");
    place.heal("sign");
    // The call in progress ends at some time; then the token serves again.
    let back = (0..50).any(|_| handle.health_blocking().is_ok());
    assert!(back);
});

token_test!(a_token_signs_tls_handshakes_and_says_when_it_cannot, |place| {
    let keystore = pkcs11::create(&place.shimmed("main")).unwrap();
    let handle = KeystoreHandle::spawn(Box::new(keystore), Box::new(rng()), HandleLimits::default()).unwrap();
    let signer = TlsSigner::new(&handle);
    assert_eq!(signer.public_key(), handle.tls_public());
    try_signer(&signer).unwrap();
    place.fault("sign", "s 68"); // KEY_FUNCTION_NOT_PERMITTED
    let trouble = signer.sign(b"m").unwrap_err();
    let SignerTrouble::Unavailable { source } = trouble else { unreachable!("it did not sign: {trouble}") };
    assert!(matches!(source.downcast_ref(), Some(KeystoreError::Token { operation: Operation::SignTls, .. })));
});
