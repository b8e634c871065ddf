//! Identities, servers and clients for the tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use runtime::authorise::{Authorise, Table};
use runtime::clock::now_s;
use runtime::entropy::OsEntropy;
use runtime::key::{FileKey, RemoteSigner};
use runtime::limits::Limits;
use runtime::pki::{self, Authority, EndEntity, Roots, Validity};
use runtime::serve::Listener;
use runtime::shutdown::Shutdown;
use runtime::tls::{Identity, Peer, Peers};
use runtime::with_message_limits;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn key() -> Arc<FileKey> {
    Arc::new(FileKey::generate(&mut OsEntropy))
}

pub(crate) fn year() -> Validity {
    Validity::days(now_s(), 365)
}

/// An identity with a self-signed certificate.
pub(crate) fn identity() -> Identity {
    identity_valid(year())
}

pub(crate) fn identity_valid(validity: Validity) -> Identity {
    identity_of(key(), validity)
}

pub(crate) fn identity_of(signer: Arc<dyn RemoteSigner>, validity: Validity) -> Identity {
    let sans = ["127.0.0.1".to_owned()];
    let certificate = pki::self_signed(signer.clone(), "test", &sans, validity).unwrap();
    Identity::new(vec![certificate], signer).unwrap()
}

pub(crate) fn authority() -> Authority {
    Authority::create(key(), "test authority", year()).unwrap()
}

pub(crate) fn issued(authority: &Authority) -> Identity {
    let key = key();
    Identity::new(vec![issue(authority, &key)], key).unwrap()
}

pub(crate) fn issue(authority: &Authority, key: &FileKey) -> CertificateDer<'static> {
    let what = EndEntity {
        public_key: key.public_key(),
        name: "test".to_owned(),
        sans: vec!["127.0.0.1".to_owned()],
        validity: year(),
    };
    authority.issue(&what).unwrap()
}

/// One peer in the role `shard`.
pub(crate) fn shard(identity: &Identity) -> Peers {
    Peers::new([(identity.pin(), Peer::new("shard-a", "shard"))]).unwrap()
}

pub(crate) fn health_for(roles: &[&str]) -> Table {
    Table::new().allow(CHECK, roles).allow(WATCH, roles)
}

/// A server that runs until it is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Identity,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl TestServer {
    pub(crate) async fn internal(peers: &Peers) -> Self {
        Self::internal_with(identity(), peers, None, &Limits::default()).await
    }

    pub(crate) async fn internal_with(
        identity: Identity,
        peers: &Peers,
        roots: Option<&Roots>,
        limits: &Limits,
    ) -> Self {
        let listener = Listener::internal(ANY_PORT, &identity, peers, roots, limits).await.unwrap();
        Self::start(identity, listener, health_for(&["shard"]), limits).await
    }

    pub(crate) async fn public(identity: Identity, limits: &Limits) -> Self {
        let listener = Listener::public(ANY_PORT, &identity, limits).await.unwrap();
        Self::start(identity, listener, health_for(&["public"]), limits).await
    }

    pub(crate) async fn start(identity: Identity, listener: Listener, table: Table, limits: &Limits) -> Self {
        let shutdown = Shutdown::new();
        let address = listener.address();
        let (_, health) = tonic_health::server::health_reporter();
        let serving = limits
            .server()
            .layer(Authorise::new(table))
            .add_service(with_message_limits!(health, limits))
            .serve_with_incoming_shutdown(listener.incoming(&shutdown), shutdown.clone().into_requested());
        Self { address, identity, shutdown, task: tokio::spawn(serving) }
    }

    /// Connects with the right pin.
    pub(crate) async fn connect(&self, identity: &Identity) -> Channel {
        let address = self.address.to_string();
        let limits = Limits::default();
        runtime::connect::connect(&address, self.identity.pin(), identity, &limits).await.unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.request();
        self.task.abort();
    }
}

/// One call; the whole server is always "serving".
pub(crate) async fn check(channel: &Channel) -> Result<(), Status> {
    check_named(channel, String::new()).await
}

pub(crate) async fn check_named(channel: &Channel, service: String) -> Result<(), Status> {
    let mut client = HealthClient::new(channel.clone());
    let call = client.check(HealthCheckRequest { service });
    match tokio::time::timeout(Duration::from_secs(10), call).await {
        Ok(answer) => answer.map(drop),
        Err(_) => panic!("a call hung for 10 s"),
    }
}

/// The first call after a refused handshake: no answer, and quickly.
pub(crate) async fn assert_never_served(channel: &Channel) {
    let status = check(channel).await.unwrap_err();
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
}
