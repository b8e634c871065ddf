//! Trying one's own door before saying that one is ready. (threat N02)

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::entropy::OsEntropy;
use crate::key::FileKey;
use crate::pki::{self, PkiTrouble, Validity};
use crate::tls::{self, Identity, TlsTrouble};

/// Why the self-test did not pass.
#[derive(Debug, Error)]
pub enum SelfTestFailure {
    /// The listener let somebody in whom it must not.
    #[error("the listener on {address} serves a client with {shown}; it must not go into service like this")]
    LetIn {
        /// The listener.
        address: SocketAddr,
        /// What the client showed.
        shown: &'static str,
    },
    /// The test could not be made.
    #[error("cannot try the listener on {address}: {source}")]
    Io {
        /// The listener.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The listener neither serves nor refuses.
    #[error("the listener on {address} did not answer the self-test within {limit_ms} ms")]
    Silent {
        /// The listener.
        address: SocketAddr,
        /// The bound.
        limit_ms: u128,
    },
    /// The stranger's certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiTrouble),
    /// The stranger's configuration could not be made.
    #[error(transparent)]
    Tls(#[from] TlsTrouble),
}

const LIMIT: Duration = Duration::from_secs(5);

/// Connects to this process's own internal listener, without a certificate and then with a stranger's, and passes only if
/// the listener refuses both with a TLS alert. Run it when the server runs and before it is said to be ready.
///
/// # Errors
/// When the listener lets either in, or cannot be tried.
pub async fn requires_client_certificate(address: SocketAddr) -> Result<(), SelfTestFailure> {
    let address = reachable(address);
    try_door(address, None, "no certificate").await?;
    let key = Arc::new(FileKey::generate(&mut OsEntropy));
    let validity = Validity::days(clock::now_s(), 1);
    let certificate = pki::self_signed(key.clone(), "stranger", &[], validity)?;
    let stranger = Identity::new(vec![certificate], key)?;
    try_door(address, Some(&stranger), "an unknown certificate").await
}

async fn try_door(
    address: SocketAddr,
    identity: Option<&Identity>,
    shown: &'static str,
) -> Result<(), SelfTestFailure> {
    let config = tls::client_of_anybody(Arc::new(AnyServer), identity)?;
    let silent = SelfTestFailure::Silent { address, limit_ms: LIMIT.as_millis() };
    let answer = tokio::time::timeout(LIMIT, knock(address, config)).await;
    match answer.map_err(|_| silent)? {
        Ok(()) => Err(SelfTestFailure::LetIn { address, shown }),
        Err(error) if is_refusal(&error) => Ok(()),
        Err(source) => Err(SelfTestFailure::Io { address, source }),
    }
}

/// Ok if the server said anything inside the connection: it has accepted the client.
async fn knock(address: SocketAddr, config: ClientConfig) -> io::Result<()> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let connector = TlsConnector::from(Arc::new(config));
    // In TLS 1.3 this succeeds before the server has seen the certificate: the refusal comes with the first read.
    let mut stream = connector.connect(name, tcp).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    stream.flush().await?;
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.map(drop)
}

/// Whether the server refused the client's certificate. Any other failure proves nothing.
fn is_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::CertificateUnknown
                | AlertDescription::BadCertificate
                | AlertDescription::AccessDenied
                | AlertDescription::UnknownCA
        ))
    )
}

/// A listener on every address is tried on the loopback one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Accepts every server: the test asks what the server does with the client, and sends nothing worth protecting.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls::tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
