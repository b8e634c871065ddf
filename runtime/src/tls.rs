//! TLS as all processes speak it: 1.3 only, HTTP/2 only, keys pinned, nothing resumed.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;

use crate::key::{RemoteSigner, SignerTrouble, TlsKey, try_signer};
use crate::pin::{SpkiPin, UnreadableCertificate};
use crate::pki::{self, PkiTrouble, Roots};

mod peers;
mod verify;

pub use peers::{DuplicateIdentity, Peer, PeerId, Peers, Role};
pub use verify::IdentityRefusal;
pub(crate) use verify::tls12;

/// The only application protocol that is spoken.
pub(crate) const ALPN: &[u8] = b"h2";

/// Who this process is: a certificate chain (end entity first) and the key to it.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    pin: SpkiPin,
}

/// Why an identity or a TLS configuration cannot be used.
#[derive(Debug, Error)]
pub enum TlsTrouble {
    /// The certificates.
    #[error(transparent)]
    Pki(#[from] PkiTrouble),
    /// The signer.
    #[error(transparent)]
    Signer(#[from] SignerTrouble),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] UnreadableCertificate),
    /// The private key, or what it is for.
    #[error("the certificate and its key cannot be used for TLS")]
    Unusable {
        /// What rustls says.
        source: rustls::Error,
    },
    /// The private key's file.
    #[error("no private key in the PEM text; expected PKCS#8")]
    NoPrivateKey,
    /// The roots.
    #[error("the configured roots cannot be used to check client certificates")]
    Roots {
        /// What rustls says.
        source: rustls::server::VerifierBuilderError,
    },
}

impl Identity {
    /// An identity whose key is behind a signer. The signer signs once, and the signature is verified.
    ///
    /// # Errors
    /// An empty chain, a certificate for another key, or a signer that does not sign.
    pub fn new(chain: Vec<CertificateDer<'static>>, signer: Arc<dyn RemoteSigner>) -> Result<Self, TlsTrouble> {
        let end_entity = chain.first().ok_or(PkiTrouble::NoCertificate)?;
        pki::require_key(end_entity, signer.as_ref())?;
        try_signer(signer.as_ref())?;
        Self::from_certified(CertifiedKey::new(chain, Arc::new(TlsKey::new(signer))))
    }

    /// An identity from PEM texts, with any key that *ring* can use: for a public listener whose certificate a web
    /// authority issued.
    ///
    /// # Errors
    /// Texts that cannot be read, or that do not belong together.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, TlsTrouble> {
        let chain = pki::chain_from_pem(chain_pem)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| TlsTrouble::NoPrivateKey)?;
        let certified =
            CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsTrouble::Unusable { source })?;
        Self::from_certified(certified)
    }

    fn from_certified(certified: CertifiedKey) -> Result<Self, TlsTrouble> {
        let end_entity = certified.cert.first().ok_or(PkiTrouble::NoCertificate)?;
        let pin = SpkiPin::of_certificate(end_entity)?;
        Ok(Self { certified: Arc::new(certified), pin })
    }

    /// The pin by which others know this process.
    #[must_use]
    pub const fn pin(&self) -> SpkiPin {
        self.pin
    }

    /// The certificate chain, end entity first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.pin)
    }
}

/// The server's side of calls between our own processes: a client certificate is required, its key must be one of
/// `peers`' now, its dates must hold, and if there are `roots` its chain must lead to one.
///
/// # Errors
/// Roots that cannot be used.
pub fn internal_server(identity: &Identity, peers: &Peers, roots: Option<&Roots>) -> Result<ServerConfig, TlsTrouble> {
    let verifier = verify::PinnedClients::new(peers.clone(), roots)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| TlsTrouble::Unusable { source })?;
    let config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(identity.resolver());
    Ok(harden_server(config))
}

/// The server's side of calls by voters and the public: nobody is asked for a certificate.
///
/// # Errors
/// None that is known; rustls may refuse its own provider.
pub fn public_server(identity: &Identity) -> Result<ServerConfig, TlsTrouble> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| TlsTrouble::Unusable { source })?;
    let config = builder.with_no_client_auth().with_cert_resolver(identity.resolver());
    Ok(harden_server(config))
}

/// How a client knows the server.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By its key; names do not matter, dates do.
    Pin(SpkiPin),
    /// By a chain to one of these roots, for the name that was dialled.
    Roots(Roots),
}

/// The client's side: `identity` is shown if there is one and the server asks for it.
///
/// # Errors
/// Roots that cannot be used.
pub fn client(trust: &Trust, identity: Option<&Identity>) -> Result<ClientConfig, TlsTrouble> {
    client_of_anybody(verify::server_verifier(trust)?, identity)
}

/// [`client`] with a verifier of one's own: for the self-test.
pub(crate) fn client_of_anybody(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, TlsTrouble> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| TlsTrouble::Unusable { source })?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// No resumption: a resumed connection skips the certificate, and with it the pins of today.
fn harden_server(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config
}

/// *ring*, named everywhere: the process-wide default is not ours to set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
