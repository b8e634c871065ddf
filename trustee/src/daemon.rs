//! The daemon: keys, disk, elections, listener; in that order, and in reverse at the end.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::DESCRIPTORS;
use proto::v1::trustee_server::TrusteeServer;
use runtime::authorise::Authorise;
use runtime::entropy::OsEntropy;
use runtime::files::{self, FileTrouble};
use runtime::limits::Limits;
use runtime::pki::{self, PkiTrouble, Validity};
use runtime::selftest::{self, SelfTestFailure};
use runtime::serve::{ListenTrouble, Listener};
use runtime::tls::{Identity, TlsTrouble};
use runtime::{Shutdown, with_message_limits};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::circle::{self, Circle, CircleTrouble};
use crate::config::{Config, KeystoreConfig};
use crate::decision;
use crate::directory::Directory;
use crate::election::{Ground, RestoreTrouble};
use crate::keystore::{self, HandleLimits, Keystore, KeystoreError, KeystoreHandle, TlsSigner};
use crate::service::{Service, table};
use crate::store::{Store, StoreTrouble};

/// The certificate is made anew at each start; only its key counts.
const CERTIFICATE_DAYS: u32 = 3650;
/// Taken by the daemon for as long as it runs.
const LOCK_FILE: &str = "lock";

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonTrouble {
    /// The keys.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The data folder.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// Another daemon has the data folder. (K07)
    #[error("another daemon runs in {}: stop it first", .path.display())]
    Running {
        /// The data folder.
        path: PathBuf,
    },
    /// The lock.
    #[error("cannot lock {}", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// What is in it.
    #[error(transparent)]
    Restore(Box<RestoreTrouble>),
    /// Who may call.
    #[error(transparent)]
    Circle(#[from] CircleTrouble),
    /// The certificate.
    #[error(transparent)]
    Pki(#[from] PkiTrouble),
    /// The certificate and its key.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
    /// The address.
    #[error(transparent)]
    Listen(#[from] ListenTrouble),
    /// The door.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFailure),
    /// The server ended by itself.
    #[error("the server ended")]
    Server(#[from] tonic::transport::Error),
    /// The reflection service.
    #[error("the service descriptions cannot be used")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task ended.
    #[error("the server's task ended")]
    Task(#[from] tokio::task::JoinError),
}

impl From<RestoreTrouble> for DaemonTrouble {
    fn from(trouble: RestoreTrouble) -> Self {
        Self::Restore(Box::new(trouble))
    }
}

/// Opens the keystore that the configuration names. Blocks; a passphrase takes a second on purpose.
///
/// # Errors
/// [`KeystoreError`]: wrong PIN or passphrase, wrong keys, no token.
pub fn open_keystore(config: &Config) -> Result<Box<dyn Keystore>, KeystoreError> {
    Ok(match &config.keystore {
        KeystoreConfig::Token(token) => Box::new(keystore::pkcs11::open(token, &config.expected)?),
        KeystoreConfig::File { path, passphrase } => {
            Box::new(keystore::file::open(path, &passphrase.read()?, &config.expected)?)
        }
    })
}

/// Whether a daemon runs in a data folder.
#[must_use]
pub fn is_running(data: &Path) -> bool {
    File::open(data.join(LOCK_FILE)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lock(data: &Path) -> Result<File, DaemonTrouble> {
    let path = data.join(LOCK_FILE);
    let trouble = |source| DaemonTrouble::Lock { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DaemonTrouble::Running { path: data.to_owned() }),
        Err(TryLockError::Error(source)) => Err(trouble(source)),
    }
}

/// A daemon that listens.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    directory: Arc<Directory>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    _lock: File,
}

impl Daemon {
    /// Opens everything, restores every election, listens, and tries its own door.
    ///
    /// # Errors
    /// [`DaemonTrouble`]; nobody was served then.
    pub async fn start(
        config: &Config,
        keystore: Box<dyn Keystore>,
        shutdown: &Shutdown,
    ) -> Result<Self, DaemonTrouble> {
        let keystore = KeystoreHandle::spawn(keystore, Box::new(OsEntropy), HandleLimits::default())?;
        files::create_private_dir(&config.data)?;
        let lock = lock(&config.data)?;
        let circle = Circle::read(&config.circle)?;
        let peers = circle.peers(&config.circle)?;
        let store = Store::open(&config.data, &keystore.identity_public()).await?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let ground = Arc::new(Ground { keystore: keystore.clone(), store, checkers: Arc::new(Semaphore::new(cores)) });
        let directory = Arc::new(Directory::restore(ground).await?);

        let signer = Arc::new(TlsSigner::new(&keystore));
        let host = config.raw.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let validity = Validity::days(runtime::clock::now_s(), CERTIFICATE_DAYS);
        let certificate = pki::self_signed(signer.clone(), &config.raw.name, &[host], validity)?;
        let identity = Identity::new(vec![certificate], signer)?;
        let limits = Limits::default();
        let listener = Listener::internal(config.listen, &identity, &peers, None, &limits).await?;
        let address = listener.address();

        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<TrusteeServer<Service>>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let service = Service::new(&config.raw.name, directory.clone());
        let server = limits
            .server()
            .layer(Authorise::new(table()))
            .add_service(with_message_limits!(TrusteeServer::new(service), limits))
            .add_service(with_message_limits!(health, limits))
            .add_service(with_message_limits!(reflection, limits))
            .serve_with_incoming_shutdown(listener.incoming(shutdown), shutdown.clone().into_requested());
        let serving = tokio::spawn(server);
        selftest::requires_client_certificate(address).await?;
        tokio::spawn(circle::watch(config.circle.clone(), peers, shutdown.clone()));
        tokio::spawn(decision::watch(config.data.clone(), directory.clone(), shutdown.clone()));
        tracing::info!(
            %address,
            elections = directory.len(),
            keystore = %keystore.describe(),
            members = circle.members.len(),
            "trustee is ready"
        );
        Ok(Self { address, directory, serving, _lock: lock })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its elections.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Waits until it was shut down and calls under way have ended.
    ///
    /// # Errors
    /// A server that ended by itself.
    pub async fn ended(self) -> Result<(), DaemonTrouble> {
        self.serving.await??;
        Ok(())
    }
}
