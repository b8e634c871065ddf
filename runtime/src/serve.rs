//! Listening: an accept loop of our own, TLS in a task per connection, and who it is that calls.
//!
//! ```no_run
//! # async fn run(identity: runtime::tls::Identity, peers: runtime::tls::Peers, table: runtime::authorise::Table,
//! #     shutdown: runtime::Shutdown) -> Result<(), Box<dyn std::error::Error>> {
//! use runtime::{authorise::Authorise, limits::Limits, serve::Listener, with_message_limits};
//! # let service = tonic::service::Routes::default();
//!
//! let limits = Limits::default();
//! let listener = Listener::internal("127.0.0.1:7001".parse()?, &identity, &peers, None, &limits).await?;
//! limits
//!     .server()
//!     .layer(Authorise::new(table))
//!     .add_routes(service) // or .add_service(with_message_limits!(TrusteeServer::new(handler), limits))
//!     .serve_with_incoming_shutdown(listener.incoming(&shutdown), shutdown.clone().into_requested())
//!     .await?;
//! # Ok(()) }
//! ```

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::pin::SpkiPin;
use crate::pki::Roots;
use crate::shutdown::Shutdown;
use crate::tls::{self, ALPN, Identity, Peers, TlsTrouble};

mod caller;
mod connection;

pub use caller::{Caller, Connection, caller};
pub use connection::TlsConnection;

/// Connections that have their handshake behind them and wait for tonic to take them.
const READY_CONNECTIONS_MAX: usize = 16;
/// The first pause after an accept error that is about this process, such as too many open files.
const ACCEPT_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// The longest such pause.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why nobody can be listened to.
#[derive(Debug, Error)]
pub enum ListenTrouble {
    /// The address.
    #[error("cannot listen on {address}: {source}; is it in use, or not of this machine?")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
}

/// A bound address that will accept TLS connections: the internal or the public kind.
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    peers: Option<Peers>,
    limits: Limits,
}

impl Listener {
    /// Listens for our own processes: only callers with a pinned key get further than the handshake.
    ///
    /// # Errors
    /// An address that cannot be bound, or roots that cannot be used.
    pub async fn internal(
        address: SocketAddr,
        identity: &Identity,
        peers: &Peers,
        roots: Option<&Roots>,
        limits: &Limits,
    ) -> Result<Self, ListenTrouble> {
        let config = tls::internal_server(identity, peers, roots)?;
        Self::bind(address, config, Some(peers.clone()), limits).await
    }

    /// Listens for voters and the public: callers are anonymous, whatever they show.
    ///
    /// # Errors
    /// An address that cannot be bound.
    pub async fn public(address: SocketAddr, identity: &Identity, limits: &Limits) -> Result<Self, ListenTrouble> {
        let config = tls::public_server(identity)?;
        Self::bind(address, config, None, limits).await
    }

    async fn bind(
        address: SocketAddr,
        config: ServerConfig,
        peers: Option<Peers>,
        limits: &Limits,
    ) -> Result<Self, ListenTrouble> {
        let refused = |source| ListenTrouble::Bind { address, source };
        let tcp = TcpListener::bind(address).await.map_err(refused)?;
        let address = tcp.local_addr().map_err(refused)?;
        Ok(Self { tcp, address, acceptor: TlsAcceptor::from(Arc::new(config)), peers, limits: limits.clone() })
    }

    /// The address, with the port that the operating system chose if 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to accept, in a task of its own that ends with `shutdown`, or when the stream is dropped.
    #[must_use = "dropping the stream stops listening"]
    pub fn incoming(self, shutdown: &Shutdown) -> Incoming {
        let (ready, receiver) = mpsc::channel(READY_CONNECTIONS_MAX);
        let cut = CancellationToken::new();
        tokio::spawn(cut_after_grace(shutdown.clone(), self.limits.shutdown_grace, cut.clone()));
        tokio::spawn(self.accept_loop(ready, shutdown.clone(), cut));
        Incoming { receiver }
    }

    /// Accepts until told to stop. No error ends it, and none makes it spin. (threat N09)
    async fn accept_loop(
        self,
        ready: mpsc::Sender<io::Result<TlsConnection>>,
        shutdown: Shutdown,
        cut: CancellationToken,
    ) {
        let door = Arc::new(Door {
            acceptor: self.acceptor,
            peers: self.peers,
            handshakes: Arc::new(Semaphore::new(self.limits.handshakes_max)),
            connections: Arc::new(Semaphore::new(self.limits.connections_max)),
            limits: self.limits,
            ready,
            cut,
        });
        let mut pause = ACCEPT_PAUSE_FIRST;
        let mut turned_away: u64 = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                () = door.ready.closed() => break,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((tcp, remote)) => {
                    pause = ACCEPT_PAUSE_FIRST;
                    match door.place_for_handshake() {
                        Some(place) => {
                            if turned_away > 0 {
                                tracing::warn!(turned_away, "listener has places again");
                                turned_away = 0;
                            }
                            tokio::spawn(Arc::clone(&door).greet(tcp, remote, place));
                        }
                        None => {
                            // One line when it begins and one when it ends: a flood must not fill the log.
                            if turned_away == 0 {
                                tracing::warn!(%remote, "listener is full, connection closed");
                            }
                            turned_away = turned_away.saturating_add(1);
                        }
                    }
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed");
                    tokio::select! {
                        () = shutdown.requested() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = pause.saturating_mul(2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
        tracing::debug!(address = %self.address, "listener closed");
    }
}

/// What every handshake of one listener shares.
struct Door {
    acceptor: TlsAcceptor,
    peers: Option<Peers>,
    limits: Limits,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    ready: mpsc::Sender<io::Result<TlsConnection>>,
    cut: CancellationToken,
}

impl Door {
    /// A place for a handshake, unless the listener is full.
    fn place_for_handshake(&self) -> Option<OwnedSemaphorePermit> {
        // Asked before the costly handshake; asked again, for good, after it.
        if self.connections.available_permits() == 0 {
            return None;
        }
        Arc::clone(&self.handshakes).try_acquire_owned().ok()
    }

    /// One handshake, and the connection handed on if it is good.
    async fn greet(self: Arc<Self>, tcp: TcpStream, remote: SocketAddr, handshaking: OwnedSemaphorePermit) {
        let limit = self.limits.handshake_timeout;
        let stream = match timeout(limit, self.handshake(tcp)).await {
            Ok(Ok(stream)) => stream,
            // Anybody can cause these two: not worth more than a debug line on the public side.
            Ok(Err(error)) => {
                if self.peers.is_some() {
                    tracing::warn!(%remote, %error, "tls handshake refused");
                } else {
                    tracing::debug!(%remote, %error, "tls handshake refused");
                }
                return;
            }
            Err(_) => {
                tracing::debug!(%remote, limit_ms = limit.as_millis(), "tls handshake too slow");
                return;
            }
        };
        drop(handshaking);
        let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!(%remote, "listener is full, connection closed");
            return;
        };
        let pin = pin_of(&stream);
        let connection = TlsConnection::new(
            stream,
            Connection::new(remote, pin, self.peers.clone()),
            self.limits.idle_timeout,
            self.cut.clone(),
            place,
        );
        // A server that has ended takes no more: the connection is closed by dropping it.
        drop(timeout(limit, self.ready.send(Ok(connection))).await);
    }

    async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tcp.set_nodelay(true)?;
        let stream = self.acceptor.accept(tcp).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak HTTP/2 (no ALPN h2)"));
        }
        Ok(stream)
    }
}

/// The connections of a listener, for tonic's `serve_with_incoming_shutdown`.
pub struct Incoming {
    receiver: mpsc::Receiver<io::Result<TlsConnection>>,
}

impl Stream for Incoming {
    type Item = io::Result<TlsConnection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

/// Calls under way may finish, for a while.
async fn cut_after_grace(shutdown: Shutdown, grace: Duration, cut: CancellationToken) {
    shutdown.requested().await;
    tokio::time::sleep(grace).await;
    cut.cancel();
}

/// The key that the client has proved to have.
fn pin_of(stream: &TlsStream<TcpStream>) -> Option<SpkiPin> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    SpkiPin::of_certificate(certificate).ok()
}

/// Errors of accept that are about one connection, which is gone: the next one may be good.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
