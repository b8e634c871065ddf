//! Calling others.
//!
//! **In TLS 1.3 a client whose certificate is refused learns it late**: the handshake is over on its side before the server
//! has looked at the certificate, so [`connect`] succeeds and the *first call* fails with UNAVAILABLE; tonic's channel then
//! connects again at each call. So: make one call (a Hello) right after connecting, take its failure as the connection's,
//! and wait by a [`crate::backoff::Backoff`] before the next attempt.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, OtherError};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::key::SignerTrouble;
use crate::limits::Limits;
use crate::pin::SpkiPin;
use crate::tls::{self, ALPN, Identity, IdentityRefusal, TlsTrouble, Trust};

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectTrouble {
    /// The address is none.
    #[error("{address:?} is not an address; write HOST:PORT")]
    Address {
        /// What was given.
        address: String,
    },
    /// Nobody answers there.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Whom.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("{address} did not complete the connection within {limit_ms} ms")]
    TooSlow {
        /// Whom.
        address: String,
        /// The bound.
        limit_ms: u128,
    },
    /// Somebody else answers there, or with a certificate that does not hold.
    #[error("{address}: {refusal}")]
    Identity {
        /// Whom.
        address: String,
        /// What is wrong with the certificate.
        refusal: IdentityRefusal,
    },
    /// The server's certificate does not lead to a trusted root, or is for another name.
    #[error("{address} shows a certificate that is not trusted: {problem}")]
    NotTrusted {
        /// Whom.
        address: String,
        /// What is wrong.
        problem: CertificateError,
    },
    /// This side's key did not sign.
    #[error("this process's own key failed while connecting to {address}: {source}")]
    Signer {
        /// Whom.
        address: String,
        /// What the signer said: a [`SignerTrouble`].
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The handshake failed otherwise.
    #[error("the TLS handshake with {address} failed: {source}")]
    Handshake {
        /// Whom.
        address: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The server speaks TLS and something else inside it.
    #[error("{address} does not speak HTTP/2 over TLS")]
    NotHttp2 {
        /// Whom.
        address: String,
    },
    /// HTTP/2 did not start.
    #[error("the connection to {address} broke before the first call")]
    Broken {
        /// Whom.
        address: String,
        /// What tonic said.
        source: tonic::transport::Error,
    },
    /// The TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
}

/// Connects to the peer with this key, as `identity`. See the module about what success does not mean.
///
/// The channel connects again by itself when the connection breaks. Clones share it.
///
/// # Errors
/// Whatever keeps this first connection from being made.
pub async fn connect(
    address: &str,
    expected: SpkiPin,
    identity: &Identity,
    limits: &Limits,
) -> Result<Channel, ConnectTrouble> {
    eager(address, &Trust::Pin(expected), Some(identity), limits).await
}

/// As [`connect`], but nothing is tried before the first call.
///
/// # Errors
/// An address that is none.
pub fn connect_lazy(
    address: &str,
    expected: SpkiPin,
    identity: &Identity,
    limits: &Limits,
) -> Result<Channel, ConnectTrouble> {
    let dialler = Dialler::new(address, &Trust::Pin(expected), Some(identity), limits)?;
    let endpoint = endpoint(address, limits)?;
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let dialler = dialler.clone();
        async move { dialler.dial().await.map(TokioIo::new) }
    })))
}

/// Connects to a public listener, as nobody.
///
/// # Errors
/// Whatever keeps this first connection from being made.
pub async fn connect_public(address: &str, trust: &Trust, limits: &Limits) -> Result<Channel, ConnectTrouble> {
    eager(address, trust, None, limits).await
}

async fn eager(
    address: &str,
    trust: &Trust,
    identity: Option<&Identity>,
    limits: &Limits,
) -> Result<Channel, ConnectTrouble> {
    let dialler = Dialler::new(address, trust, identity, limits)?;
    let endpoint = endpoint(address, limits)?;
    // The first connection is made here, because tonic would hide what went wrong with it.
    let first = Arc::new(Mutex::new(Some(dialler.dial().await?)));
    let connector = tower::service_fn(move |_: Uri| {
        let dialler = dialler.clone();
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match first {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => dialler.dial().await.map(TokioIo::new),
            }
        }
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|source| ConnectTrouble::Broken { address: address.to_owned(), source })
}

/// TLS is below tonic, which therefore sees an `http` address.
fn endpoint(address: &str, limits: &Limits) -> Result<Endpoint, ConnectTrouble> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|_| ConnectTrouble::Address { address: address.to_owned() })?;
    Ok(limits.endpoint(endpoint))
}

/// Makes one TLS connection after another to the same place.
#[derive(Clone)]
struct Dialler {
    address: Arc<str>,
    name: ServerName<'static>,
    connector: TlsConnector,
    limit: Duration,
}

impl Dialler {
    fn new(address: &str, trust: &Trust, identity: Option<&Identity>, limits: &Limits) -> Result<Self, ConnectTrouble> {
        let name = server_name(address).ok_or_else(|| ConnectTrouble::Address { address: address.to_owned() })?;
        let config: ClientConfig = tls::client(trust, identity)?;
        Ok(Self {
            address: address.into(),
            name,
            connector: TlsConnector::from(Arc::new(config)),
            limit: limits.connect_timeout,
        })
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, ConnectTrouble> {
        tokio::time::timeout(self.limit, self.handshake()).await.unwrap_or_else(|_| {
            Err(ConnectTrouble::TooSlow { address: self.address.to_string(), limit_ms: self.limit.as_millis() })
        })
    }

    async fn handshake(&self) -> Result<TlsStream<TcpStream>, ConnectTrouble> {
        let address = || self.address.to_string();
        let unreachable = |source| ConnectTrouble::Unreachable { address: address(), source };
        let tcp = TcpStream::connect(&*self.address).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let stream = self.connector.connect(self.name.clone(), tcp).await.map_err(|error| explain(address(), error))?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(ConnectTrouble::NotHttp2 { address: address() });
        }
        Ok(stream)
    }
}

/// The host of `HOST:PORT`, as TLS names it.
fn server_name(address: &str) -> Option<ServerName<'static>> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

/// Takes an error of the handshake apart again: our own verifier's and our own signer's travel inside it.
fn explain(address: String, error: io::Error) -> ConnectTrouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
            if let Some(refusal) = other.downcast_ref::<IdentityRefusal>() {
                let refusal = refusal.clone();
                return ConnectTrouble::Identity { address, refusal };
            }
        }
        Some(rustls::Error::InvalidCertificate(problem)) => {
            let problem = problem.clone();
            return ConnectTrouble::NotTrusted { address, problem };
        }
        Some(rustls::Error::Other(OtherError(other))) if other.is::<SignerTrouble>() => {
            let source = other.clone();
            return ConnectTrouble::Signer { address, source };
        }
        _ => {}
    }
    ConnectTrouble::Handshake { address, source: error }
}
