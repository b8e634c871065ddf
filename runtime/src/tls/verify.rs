//! The two questions of a handshake: is this client one of ours, is this server the one that was meant?

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme,
};

use super::{Peers, TlsTrouble, Trust, provider};
use crate::pin::SpkiPin;
use crate::pki::Roots;

/// Why a certificate is not the one of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefusal {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Nobody has this key.
    #[error("the key {got} is not pinned here; if it should be, add it to the peers")]
    NotPinned {
        /// The pin of the key that was shown.
        got: SpkiPin,
    },
    /// The server has another key.
    #[error("the server has the key {got}, expected {expected}; it is another one, or its pin is out of date")]
    WrongPin {
        /// The pin that was meant.
        expected: SpkiPin,
        /// The pin of the key that was shown.
        got: SpkiPin,
    },
    /// Its time has not come.
    #[error("the certificate is valid from {not_before_s}, now is {now_s} (seconds since 1970); check the clocks")]
    NotYetValid {
        /// Its first second.
        not_before_s: i64,
        /// This process's clock.
        now_s: u64,
    },
    /// Its time is over.
    #[error(
        "the certificate was valid until {not_after_s}, now is {now_s} (seconds since 1970); renew it for the same key"
    )]
    Expired {
        /// Its last second.
        not_after_s: i64,
        /// This process's clock.
        now_s: u64,
    },
}

impl From<IdentityRefusal> for Error {
    /// Whole, so that this side can say what was wrong; the peer only gets the alert `certificate_unknown`.
    fn from(refusal: IdentityRefusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Accepts the clients whose keys are pinned. (threats N01, N02, N04, N05)
#[derive(Debug)]
pub(super) struct PinnedClients {
    peers: Peers,
    chain: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedClients {
    pub(super) fn new(peers: Peers, roots: Option<&Roots>) -> Result<Self, TlsTrouble> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let chain = match roots {
            Some(roots) => Some(
                WebPkiClientVerifier::builder_with_provider(roots.store(), provider)
                    .build()
                    .map_err(|source| TlsTrouble::Roots { source })?,
            ),
            None => None,
        };
        Ok(Self { peers, chain, algorithms })
    }
}

impl ClientCertVerifier for PinnedClients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let got = SpkiPin::of_certificate(end_entity).map_err(|_| IdentityRefusal::Unreadable)?;
        if self.peers.peer(&got).is_none() {
            return Err(IdentityRefusal::NotPinned { got }.into());
        }
        check_dates(end_entity, now)?;
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts the server that has one certain key.
#[derive(Debug)]
struct PinnedServer {
    expected: SpkiPin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let got = SpkiPin::of_certificate(end_entity).map_err(|_| IdentityRefusal::Unreadable)?;
        if got != self.expected {
            let expected = self.expected;
            return Err(IdentityRefusal::WrongPin { expected, got }.into());
        }
        check_dates(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The verifier for a way of knowing the server.
pub(super) fn server_verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, TlsTrouble> {
    match trust {
        Trust::Pin(expected) => {
            Ok(Arc::new(PinnedServer { expected: *expected, algorithms: provider().signature_verification_algorithms }))
        }
        Trust::Roots(roots) => {
            let built = WebPkiServerVerifier::builder_with_provider(roots.store(), provider())
                .build()
                .map_err(|source| TlsTrouble::Roots { source })?;
            Ok(built)
        }
    }
}

/// The dates, which nobody else looks at when there is no authority.
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), IdentityRefusal> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| IdentityRefusal::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityRefusal::Unreadable);
    }
    let now_s = now.as_secs();
    let now_signed = i64::try_from(now_s).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    let not_before_s = validity.not_before.timestamp();
    let not_after_s = validity.not_after.timestamp();
    if now_signed < not_before_s {
        return Err(IdentityRefusal::NotYetValid { not_before_s, now_s });
    }
    if now_signed > not_after_s {
        return Err(IdentityRefusal::Expired { not_after_s, now_s });
    }
    Ok(())
}

/// Never reached: TLS 1.2 is not offered. If it were, this refuses.
pub(crate) fn tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig)
}
