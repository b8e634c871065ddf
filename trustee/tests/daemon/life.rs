//! Restarts, copies, damage: what a trustee does when its disk is not what it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::v1::ExchangeRequest;
use protocol::board::Stage;
use protocol::encoding::Canonical as _;
use protocol::keeper::Decision;
use protocol::signed::{Body, Draft, Envelope, Sender};
use sqlx::Connection as _;
use trustee::daemon::DaemonTrouble;
use trustee::election::RestoreTrouble;
use trustee::keystore::{Keystore, KeystoreError, KeystoreKind};
use trustee::store::StoreTrouble;

use crate::support::{Keeper, World};

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_trustee_is_the_one_it_was() {
    let mut world = World::opened().await;
    world.log = (0..4).map(|voter| world.ballot(voter % 3, 0)).collect();
    world.all_follow(0).await;
    let journal = world.whole_journal(0).await;
    world.keepers[0].stop().await;
    world.keepers[0].start().await;
    assert_eq!(world.whole_journal(0).await, journal);
    let checkpoint = world.checkpoint(&world.log);
    let reply = world.follow(0, 4, &[], &checkpoint).await;
    assert!(reply.cosigned.is_empty() && reply.refusal.contains("has just started"), "{}", reply.refusal);
    world.catch_up(0).await;
    let reply = world.follow(0, 4, &[], &checkpoint).await;
    assert_eq!((reply.next, reply.refusal.as_str()), (4, ""));
    assert_ne!(reply.cosigned, "");
    // And the election goes on with it.
    world.close();
    world.finish().await;
    assert!(world.board.evidence().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_operator_stops_the_election() {
    let mut world = World::started().await;
    world.exchange(0).await.unwrap();
    world.exchange(1).await.unwrap();
    world.keepers[0].accept(&world.id());
    let data = world.keepers[1].config().data;
    let refusal = Decision::Refuse { reason: "the dates are wrong".to_owned() };
    trustee::decision::leave(&data, &world.id(), &refusal).unwrap();
    world.until(Stage::Stopped).await;
    let refuse = world.board.get(3, 0, 0, Sender::Trustee(protocol::ids::TrusteeIndex(2))).unwrap();
    assert!(format!("{:?}", refuse.body).contains("the dates are wrong"));
}

/// K06: the folder comes from a backup, and the record knows more than it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_from_a_backup_is_found_out_and_promises_nothing_more() {
    let mut world = World::started().await;
    for at in 0..2 {
        world.exchange(at).await.unwrap();
    }
    world.keepers[0].stop().await;
    world.accept_all();
    let (data, backup) = (world.keepers[0].config().data, world.temp.path().join("backup"));
    copy_folder(&data, &backup);
    world.keepers[0].start().await;
    world.until(Stage::Ready).await;

    world.keepers[0].stop().await;
    std::fs::remove_dir_all(&data).unwrap();
    runtime::files::create_private_dir(&data).unwrap();
    copy_folder(&backup, &data);
    for _ in 0..2 {
        world.keepers[0].start().await;
        world.next[0] = 0;
        // A coordinator asks first how far the trustee is, and then sends the board in pieces. Until it has all of it, the
        // trustee says nothing: whatever it said could contradict what it does not know of.
        let mut client = world.client(0).await;
        for end in [0, 1, world.order.len() - 1] {
            let piece = ExchangeRequest { envelopes: world.order[..end].to_vec(), journal_from: 0, ..world.request(0) };
            let reply = client.exchange(piece).await.unwrap().into_inner();
            let me = Sender::Trustee(protocol::ids::TrusteeIndex(1));
            let own = |bytes: &Vec<u8>| Envelope::from_bytes(bytes).unwrap().sender == me;
            assert!(!reply.envelopes.iter().any(own), "{}", reply.waiting);
        }
        let reply = world.exchange(0).await.unwrap();
        assert!(reply.waiting.starts_with("STATE_ROLLBACK"), "{}", reply.waiting);
        // It says nothing more, and a restart does not make it forget why.
        let known = reply.journal_len;
        assert_eq!(world.exchange(0).await.unwrap().journal_len, known);
        world.keepers[0].stop().await;
    }
}

/// K07: somebody else signs with this trustee's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_twin_with_the_same_key_is_found_out() {
    let mut world = World::started().await;
    world.accept_all();
    world.until(Stage::Ready).await;
    let mut twin = trustee::daemon::open_keystore(&world.keepers[0].config()).unwrap();
    let me = Sender::Trustee(protocol::ids::TrusteeIndex(1));
    let terms = world.board.get(10, 1, 0, me).unwrap().body.clone();
    let Body::Terms(mut terms) = terms else { panic!("terms") };
    terms.digest = [9; 32];
    let draft = Draft { election: world.id(), sender: me, body: terms.into() };
    let signature = twin.sign_identity(&draft.message()).unwrap();
    world.order.push(draft.sign(signature).to_bytes());
    let reply = world.exchange(0).await.unwrap();
    assert!(reply.waiting.starts_with("TWO_OF_ONE"), "{}", reply.waiting);
    world.keepers[0].stop().await;
    world.keepers[0].start().await;
    let waiting = world.exchange(0).await.unwrap().waiting;
    assert!(waiting.starts_with("TWO_OF_ONE"), "{waiting}");
}

/// A keystore whose identity key can be taken away.
struct Removable {
    inner: Box<dyn Keystore>,
    away: Arc<AtomicBool>,
}

impl Keystore for Removable {
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
        if self.away.load(Ordering::SeqCst) {
            return Err(KeystoreError::ModuleRestarting);
        }
        self.inner.sign_identity(message)
    }
    fn sign_tls(&mut self, message: &[u8]) -> Result<[u8; 64], KeystoreError> {
        self.inner.sign_tls(message)
    }
    fn seal(
        &mut self,
        context: &[u8],
        plaintext: &[u8],
        rng: &mut dyn rand_core::CryptoRngCore,
    ) -> Result<Vec<u8>, KeystoreError> {
        self.inner.seal(context, plaintext, rng)
    }
    fn unseal(&mut self, context: &[u8], sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, KeystoreError> {
        self.inner.unseal(context, sealed)
    }
    fn random(&mut self) -> Result<zeroize::Zeroizing<[u8; 32]>, KeystoreError> {
        self.inner.random()
    }
    fn health(&mut self) -> Result<(), KeystoreError> {
        self.inner.health()
    }
}

/// K01: the token is pulled out while keys are being made, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_token_is_away_duties_wait_and_then_go_on() {
    let mut world = World::new();
    let away = Arc::new(AtomicBool::new(false));
    let (config, shutdown) = (world.keepers[0].config(), runtime::Shutdown::new());
    let inner = trustee::daemon::open_keystore(&config).unwrap();
    let keystore = Box::new(Removable { inner, away: away.clone() });
    let daemon = trustee::daemon::Daemon::start(&config, keystore, &shutdown).await.unwrap();
    world.keepers[0].running = Some((daemon, shutdown));
    world.keepers[1].start().await;
    world.accept_all();
    world.until(Stage::KeyCeremony).await;
    away.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        for at in 0..2 {
            world.exchange(at).await.unwrap();
        }
    }
    assert!(world.waiting[0].starts_with("its keystore: "), "{}", world.waiting[0]);
    let said = world.journal[0];
    assert_eq!(world.exchange(0).await.unwrap().journal_len, said);
    away.store(false, Ordering::SeqCst);
    world.until(Stage::Ready).await;
    assert!(world.board.evidence().is_empty());
    // A checkpoint is noted before it is co-signed; without the token there is no co-signature, and later there is.
    world.open().await;
    world.log = vec![world.ballot(0, 0)];
    let (log, checkpoint) = (world.log.clone(), world.checkpoint(&world.log));
    away.store(true, Ordering::SeqCst);
    let reply = world.follow(0, 0, &log, &checkpoint).await;
    assert_eq!((reply.next, reply.cosigned.as_str()), (1, ""));
    assert!(reply.refusal.starts_with("its keystore: "), "{}", reply.refusal);
    away.store(false, Ordering::SeqCst);
    assert_ne!(world.follow(0, 0, &log, &checkpoint).await.cosigned, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_do_not_share_a_folder() {
    let mut world = World::new();
    world.keepers[0].start().await;
    let config = world.keepers[0].config();
    let keystore = trustee::daemon::open_keystore(&config).unwrap();
    let second = trustee::daemon::Daemon::start(&config, keystore, &runtime::Shutdown::new()).await;
    assert!(matches!(second.unwrap_err(), DaemonTrouble::Running { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_trustees_folder_is_refused() {
    let mut world = World::new();
    world.keepers[0].start().await;
    world.keepers[0].stop().await;
    let [ada, emmy] = &mut world.keepers[..] else { panic!("two") };
    copy_folder(&ada.config().data, &emmy.config().data);
    let trouble = emmy.try_start().await.unwrap_err();
    assert!(matches!(trouble, DaemonTrouble::Store(StoreTrouble::OtherOwner { .. })), "{trouble}");
}

async fn execute(keeper: &Keeper, statement: &'static str) {
    let path = keeper.config().data.join(trustee::store::FILE);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_contradicts_its_promises_is_not_started_with() {
    let mut world = World::opened().await;
    world.log = (0..4).map(|voter| world.ballot(voter, 0)).collect();
    world.all_follow(0).await;
    world.keepers[0].stop().await;
    let (data, good) = (world.keepers[0].config().data, world.temp.path().join("good"));
    copy_folder(&data, &good);
    type IsExpected = fn(&RestoreTrouble) -> bool;
    let damages: [(&'static str, IsExpected); 5] = [
        ("DELETE FROM ballots WHERE idx = 3", |t| matches!(t, RestoreTrouble::Root { .. })),
        ("UPDATE cosigned SET root = zeroblob(32)", |t| matches!(t, RestoreTrouble::Root { .. })),
        ("UPDATE ballots SET bytes = zeroblob(100) WHERE idx = 1", |t| matches!(t, RestoreTrouble::Leaf { .. })),
        ("UPDATE journal SET envelope = zeroblob(100) WHERE seq = 2", |t| matches!(t, RestoreTrouble::Entry { .. })),
        ("UPDATE seeds SET sealed = zeroblob(60)", |t| matches!(t, RestoreTrouble::Seed { .. })),
    ];
    for (statement, expected) in damages {
        std::fs::remove_dir_all(&data).unwrap();
        runtime::files::create_private_dir(&data).unwrap();
        copy_folder(&good, &data);
        execute(&world.keepers[0], statement).await;
        let trouble = world.keepers[0].try_start().await.unwrap_err();
        let DaemonTrouble::Restore(restore) = &trouble else { panic!("{statement}: {trouble}") };
        assert!(expected(restore), "{statement}: {trouble}");
        assert!(trouble.to_string().contains("STORE_CORRUPT"), "{trouble}");
    }
}
