//! The process: from a configuration to two listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::Actor as _;
use runtime::Shutdown;
use runtime::authorise::Authorise;
use runtime::files;
use runtime::key::{FileKey, KeyFileTrouble, RemoteSigner as _};
use runtime::limits::Limits;
use runtime::selftest::{self, SelfTestFailure};
use runtime::serve::{ListenTrouble, Listener};
use runtime::tls::{Identity, TlsTrouble};
use thiserror::Error;
use tokio::task::JoinSet;

use crate::actors::election::{OpenTrouble, open};
use crate::actors::shard::{Directory, ShardActor};
use crate::actors::workers::Workers;
use crate::actors::{Deps, Stop};
use crate::circle::{Circle, CircleTrouble};
use crate::config::Config;
use crate::enrol;
use crate::ledger::{FindChain, Solana};
use crate::pool::Pool;
use crate::rpc::{Desk, Remotes, internal_table, public_table};
use crate::store::{self, Store, StoreTrouble};

const PEM_BYTES_MAX: u64 = 1 << 20;
/// Threads for actors: they decide, they do not compute.
const WORKERS: usize = 2;

/// Why the shard does not run.
#[derive(Debug, Error)]
pub enum RunTrouble {
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyFileTrouble),
    /// One key for two purposes.
    #[error("identity_key and tls_key are the same key; the shard needs two: `coordinator init` makes them")]
    SameKey,
    /// A file.
    #[error(transparent)]
    File(#[from] files::FileTrouble),
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
    /// The circle.
    #[error(transparent)]
    Circle(#[from] CircleTrouble),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::OpenTrouble),
    /// Reading the store.
    #[error(transparent)]
    Read(#[from] StoreTrouble),
    /// A stored election.
    #[error(transparent)]
    Election(#[from] OpenTrouble),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenTrouble),
    /// The door is open to strangers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestFailure),
    /// The operating system.
    #[error("the operating system refused a thread: {0}")]
    Thread(std::io::Error),
    /// A server ended.
    #[error("a server ended: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A shard that runs.
pub struct Running {
    /// Where the internal listener is.
    pub internal: SocketAddr,
    /// Where the public listener is.
    pub public: SocketAddr,
    servers: JoinSet<Result<(), tonic::transport::Error>>,
    directory: Directory,
    store: Store,
}

impl Running {
    /// Waits until both servers have ended, the actors have stopped, and what they gave to the store is in it.
    ///
    /// # Errors
    /// What ended one of them.
    pub async fn ended(mut self) -> Result<(), RunTrouble> {
        while let Some(ended) = self.servers.join_next().await {
            if let Ok(served) = ended {
                served?;
            }
        }
        for handle in self.directory.all() {
            // An actor that is gone already has stopped.
            let _ = handle.actor.send(Stop).await;
            for lane in handle.election.intake.get().into_iter().flatten() {
                let _ = lane.send(Stop).await;
            }
        }
        self.store.write(|_| Box::pin(async { Ok(()) })).await?;
        Ok(())
    }
}

/// Starts a shard: takes up its elections, opens its doors, tries them. Inside a multi-threaded runtime.
///
/// # Errors
/// [`RunTrouble`].
pub async fn start(config: &Config, shutdown: &Shutdown) -> Result<Running, RunTrouble> {
    start_with(config, shutdown, Arc::new(Solana { urls: config.ledger.clone() })).await
}

/// [`start`] with another chain.
///
/// # Errors
/// [`RunTrouble`].
pub async fn start_with(
    config: &Config,
    shutdown: &Shutdown,
    chains: Arc<dyn FindChain>,
) -> Result<Running, RunTrouble> {
    let signer = Arc::new(FileKey::load(&config.identity_key)?);
    let tls = Arc::new(FileKey::load(&config.tls_key)?);
    if signer.public_key() == tls.public_key() {
        return Err(RunTrouble::SameKey);
    }
    let addresses = [config.listen.to_string(), config.public_listen.to_string()];
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let identity = enrol::self_signed(tls.clone(), &config.name, &addresses)?;
    let public_identity = public_identity(config, tls, &identity)?;
    let circle = Circle::load(&config.circle)?;
    let handle = tokio::runtime::Handle::current();
    let limits = Limits::default();
    let deps = Arc::new(Deps {
        store: Store::open(&config.data, config.tuning.store_bytes_max, &handle).await?,
        pool: Pool::new(handle.clone()),
        signer,
        identity: identity.clone(),
        limits: limits.clone(),
        circle: circle.clone(),
        chains,
        tuning: config.tuning.clone(),
        shutdown: shutdown.clone(),
    });

    let workers = Workers::start(WORKERS).map_err(RunTrouble::Thread)?;
    let directory = Directory::default();
    for stored in deps.store.elections().await? {
        directory.insert(open(&deps, &workers, stored).await?);
    }
    let actor = ShardActor::new(Arc::clone(&deps), workers.clone(), directory.clone());
    let shard = workers.run(0, move || actor.start()).await.ok_or(OpenTrouble::Panic)?;
    let pin = identity.pin();
    let desk = Desk {
        deps: Arc::clone(&deps),
        directory: directory.clone(),
        shard,
        remotes: Arc::new(Remotes::default()),
        name: config.name.as_str().into(),
        pin,
    };

    let internal = Listener::internal(config.listen, &identity, circle.peers(), None, &limits).await?;
    let public = Listener::public(config.public_listen, &public_identity, &limits).await?;
    let (internal_address, public_address) = (internal.address(), public.address());
    let mut servers = JoinSet::new();
    for (listener, table, routes) in [
        (internal, internal_table(), desk.internal_routes(&limits)),
        (public, public_table(), desk.public_routes(&limits)),
    ] {
        let server = limits
            .server()
            .layer(Authorise::new(table))
            .add_routes(routes)
            .serve_with_incoming_shutdown(listener.incoming(shutdown), shutdown.clone().into_requested());
        servers.spawn(server);
    }
    selftest::requires_client_certificate(internal_address).await?;
    tokio::spawn(circle.follow(config.circle.clone(), shutdown.clone()));
    tracing::info!(name = config.name, %internal_address, %public_address, %pin, "shard is ready");
    Ok(Running { internal: internal_address, public: public_address, servers, directory, store: deps.store.clone() })
}

/// The certificate of an authority, if one is configured; else the self-signed one.
fn public_identity(config: &Config, tls: Arc<FileKey>, own: &Identity) -> Result<Identity, RunTrouble> {
    let Some((chain, key)) = &config.certificate else { return Ok(own.clone()) };
    let chain = files::read_limited(chain, PEM_BYTES_MAX)?;
    let chain = String::from_utf8_lossy(&chain);
    let Some(key) = key else {
        let chain = runtime::pki::chain_from_pem(&chain).map_err(TlsTrouble::from)?;
        return Ok(Identity::new(chain, tls)?);
    };
    let key = files::read_private(key, PEM_BYTES_MAX)?;
    let key = std::str::from_utf8(&key).map_err(|_| TlsTrouble::NoPrivateKey)?;
    Ok(Identity::from_pem(&chain, key)?)
}
