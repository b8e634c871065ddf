//! Certificates: a small certification authority, self-signed ones, and checks on those of an existing authority.
//!
//! Peers are known by their pins; a certificate only carries the key, its dates and, for the public listener, its name.

use std::net::IpAddr;
use std::sync::Arc;

use rand_core::RngCore;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::entropy::OsEntropy;
use crate::key::{RemoteSigner, SignerTrouble};
use crate::pin::{UnreadableCertificate, ed25519_of_spki, ed25519_spki};

/// Why a certificate could not be made or read.
#[derive(Debug, Error)]
pub enum PkiTrouble {
    /// A name that cannot stand in a certificate.
    #[error("{got:?} is neither a DNS name nor an IP address")]
    Name {
        /// The name.
        got: String,
    },
    /// A validity that ends before it begins, or lies outside of what a certificate can say.
    #[error("a certificate cannot be valid from {not_before_s} to {not_after_s} (seconds since 1970)")]
    Validity {
        /// Its beginning.
        not_before_s: u64,
        /// Its end.
        not_after_s: u64,
    },
    /// The text holds no certificate.
    #[error("no certificate in the PEM text; expected -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A block of the text is damaged.
    #[error("a PEM block cannot be read")]
    Pem {
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The text is no usable certificate signing request.
    #[error("not a certificate signing request for an Ed25519 key, or its signature is wrong")]
    Request,
    /// A certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] UnreadableCertificate),
    /// The key is not the certificate's.
    #[error("the certificate is for the key {expected}, the signer has {got}; use the files that belong together")]
    KeyMismatch {
        /// The public key in the certificate: SubjectPublicKeyInfo, hexadecimal.
        expected: String,
        /// That of the signer.
        got: String,
    },
    /// The certificate may not sign others.
    #[error("the certificate is not one of a certification authority")]
    NotAnAuthority,
    /// The key could not sign.
    #[error(transparent)]
    Signer(#[from] SignerTrouble),
    /// The certificate could not be encoded.
    #[error("the certificate cannot be encoded")]
    Encoding {
        /// What the encoder said.
        source: rcgen::Error,
    },
}

/// Why a certificate of an existing authority is not acceptable.
#[derive(Debug, Error)]
pub enum ChainRefusal {
    /// There is none.
    #[error("the chain is empty")]
    Empty,
    /// It does not lead to a configured root, is out of date, or may not be used so.
    #[error("the certificate does not chain to a configured root for use as {usage}")]
    NotTrusted {
        /// What it was to be used for.
        usage: &'static str,
        /// What is wrong.
        source: rustls::Error,
    },
    /// It is for somebody else.
    #[error("the certificate is not for {expected:?}")]
    OtherName {
        /// The name that was asked for.
        expected: String,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// From when to when a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before_s: u64,
    /// The last second.
    pub not_after_s: u64,
}

impl Validity {
    /// From an hour ago, because clocks differ, for so many days from now.
    #[must_use]
    pub const fn days(now_s: u64, days: u32) -> Self {
        Self { not_before_s: now_s.saturating_sub(3600), not_after_s: now_s.saturating_add(days as u64 * 86_400) }
    }
}

/// What an end-entity certificate says. The authority decides all of it; nothing is taken from a request but the key.
#[derive(Clone, Debug)]
pub struct EndEntity {
    /// The Ed25519 public key.
    pub public_key: [u8; 32],
    /// The common name: for people, nothing is decided by it.
    pub name: String,
    /// DNS names and IP addresses under which it is reached.
    pub sans: Vec<String>,
    /// When it holds.
    pub validity: Validity,
}

/// A certification authority of our own.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, Key>,
}

impl Authority {
    /// A new authority: a self-signed certificate that may sign end-entity certificates and no other authority.
    ///
    /// # Errors
    /// A name or validity that a certificate cannot say, or a key that does not sign.
    pub fn create(key: Arc<dyn RemoteSigner>, name: &str, validity: Validity) -> Result<Self, PkiTrouble> {
        let mut params = params(name, &[], validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = Key::new(key)?;
        let certificate = params.self_signed(&key).map_err(encoding)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// An authority from its certificate (PEM) and its key.
    ///
    /// # Errors
    /// A text that is no authority's certificate, or another key than it has.
    pub fn load(certificate_pem: &str, key: Arc<dyn RemoteSigner>) -> Result<Self, PkiTrouble> {
        let certificate = certificate_from_pem(certificate_pem)?;
        require_key(&certificate, key.as_ref())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| UnreadableCertificate)?;
        if !parsed.is_ca() {
            return Err(PkiTrouble::NotAnAuthority);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, Key::new(key)?).map_err(encoding)?;
        Ok(Self { certificate, issuer })
    }

    /// A certificate for both sides of a connection, signed by this authority.
    ///
    /// # Errors
    /// A name or validity that a certificate cannot say, or a key that does not sign.
    pub fn issue(&self, what: &EndEntity) -> Result<CertificateDer<'static>, PkiTrouble> {
        let mut params = end_entity_params(&what.name, &what.sans, what.validity)?;
        params.use_authority_key_identifier_extension = true;
        let key = BareKey(what.public_key);
        let certificate = params.signed_by(&key, &self.issuer).map_err(encoding)?;
        Ok(certificate.der().clone())
    }

    /// The authority's own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's own certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        certificate_to_pem(&self.certificate)
    }

    /// This authority as the only root.
    ///
    /// # Errors
    /// A certificate that cannot be a root.
    pub fn roots(&self) -> Result<Roots, PkiTrouble> {
        Roots::from_certificates([self.certificate.clone()])
    }
}

/// A certificate that a key signs for itself: enough where only pins count.
///
/// # Errors
/// A name or validity that a certificate cannot say, or a key that does not sign.
pub fn self_signed(
    signer: Arc<dyn RemoteSigner>,
    name: &str,
    sans: &[String],
    validity: Validity,
) -> Result<CertificateDer<'static>, PkiTrouble> {
    let params = end_entity_params(name, sans, validity)?;
    let certificate = params.self_signed(&Key::new(signer)?).map_err(encoding)?;
    Ok(certificate.der().clone())
}

/// A certificate signing request (PEM) for an existing authority.
///
/// # Errors
/// A name that a request cannot say, or a key that does not sign.
pub fn request(signer: Arc<dyn RemoteSigner>, name: &str, sans: &[String]) -> Result<String, PkiTrouble> {
    let params = named_params(name, sans)?;
    let request = params.serialize_request(&Key::new(signer)?).map_err(encoding)?;
    request.pem().map_err(encoding)
}

/// The Ed25519 key of a certificate signing request (PEM) whose signature proves that the sender has it.
/// Everything else in the request is ignored.
///
/// # Errors
/// A text that is no such request.
pub fn public_key_of_request(pem: &str) -> Result<[u8; 32], PkiTrouble> {
    let request = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| PkiTrouble::Request)?;
    let (_, parsed) = X509CertificationRequest::from_der(&request).map_err(|_| PkiTrouble::Request)?;
    parsed.verify_signature().map_err(|_| PkiTrouble::Request)?;
    ed25519_of_spki(parsed.certification_request_info.subject_pki.raw).ok_or(PkiTrouble::Request)
}

/// The certificates that chains have to lead to.
#[derive(Clone, Debug)]
pub struct Roots {
    store: Arc<RootCertStore>,
}

impl Roots {
    /// All certificates of a PEM text.
    ///
    /// # Errors
    /// A text without certificates or with damaged ones.
    pub fn from_pem(pem: &str) -> Result<Self, PkiTrouble> {
        Self::from_certificates(chain_from_pem(pem)?)
    }

    /// These certificates.
    ///
    /// # Errors
    /// None at all, or one that cannot be a root.
    pub fn from_certificates(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, PkiTrouble> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate).map_err(|_| UnreadableCertificate)?;
        }
        if store.is_empty() {
            return Err(PkiTrouble::NoCertificate);
        }
        Ok(Self { store: Arc::new(store) })
    }

    pub(crate) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }
}

/// Checks a chain (end entity first) of an existing authority, for both uses that our processes make of it: as a
/// server, under `name` if there is one, and as a client.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_chain(
    chain: &[CertificateDer<'static>],
    roots: &Roots,
    name: Option<&str>,
    now_s: u64,
) -> Result<(), ChainRefusal> {
    let (end_entity, intermediates) = chain.split_first().ok_or(ChainRefusal::Empty)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
    let provider = crate::tls::provider();
    let server = |source| ChainRefusal::NotTrusted { usage: "a server", source };
    let client = |source| ChainRefusal::NotTrusted { usage: "a client", source };
    let parsed = ParsedCertificate::try_from(end_entity).map_err(server)?;
    verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &roots.store,
        intermediates,
        now,
        provider.signature_verification_algorithms.all,
    )
    .map_err(server)?;
    WebPkiClientVerifier::builder_with_provider(roots.store(), provider)
        .build()
        .map_err(|error| client(rustls::Error::General(error.to_string())))?
        .verify_client_cert(end_entity, intermediates, now)
        .map_err(client)?;
    let Some(name) = name else { return Ok(()) };
    let other = |source| ChainRefusal::OtherName { expected: name.to_owned(), source };
    let server_name =
        ServerName::try_from(name).map_err(|_| other(rustls::Error::General("not a DNS name".to_owned())))?;
    rustls::client::verify_server_name(&parsed, &server_name).map_err(other)
}

/// All certificates of a PEM text, in its order.
///
/// # Errors
/// None, or a damaged one.
pub fn chain_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiTrouble> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PkiTrouble::Pem { source })?;
    if chain.is_empty() {
        return Err(PkiTrouble::NoCertificate);
    }
    for certificate in &chain {
        ParsedCertificate::try_from(certificate).map_err(|_| UnreadableCertificate)?;
    }
    Ok(chain)
}

/// A certificate as PEM.
#[must_use]
pub fn certificate_to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// The first certificate of a PEM text.
fn certificate_from_pem(pem: &str) -> Result<CertificateDer<'static>, PkiTrouble> {
    let mut chain = chain_from_pem(pem)?;
    Ok(chain.swap_remove(0))
}

/// Refuses a signer whose key is not the certificate's.
pub(crate) fn require_key(certificate: &CertificateDer<'_>, signer: &dyn RemoteSigner) -> Result<(), PkiTrouble> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| UnreadableCertificate)?;
    let expected = parsed.subject_public_key_info();
    let got = ed25519_spki(&signer.public_key());
    if expected.as_ref() != got {
        return Err(PkiTrouble::KeyMismatch { expected: hex::encode(expected), got: hex::encode(got) });
    }
    Ok(())
}

fn encoding(source: rcgen::Error) -> PkiTrouble {
    PkiTrouble::Encoding { source }
}

fn end_entity_params(name: &str, sans: &[String], validity: Validity) -> Result<CertificateParams, PkiTrouble> {
    let mut params = params(name, sans, validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn params(name: &str, sans: &[String], validity: Validity) -> Result<CertificateParams, PkiTrouble> {
    /// The last second of the year 9999, the last that X.509 can say.
    const END_OF_TIME_S: u64 = 253_402_300_799;
    let Validity { not_before_s, not_after_s } = validity;
    if not_before_s > not_after_s || not_after_s > END_OF_TIME_S {
        return Err(PkiTrouble::Validity { not_before_s, not_after_s });
    }
    let mut params = named_params(name, sans)?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + std::time::Duration::from_secs(not_before_s);
    params.not_after = epoch + std::time::Duration::from_secs(not_after_s);
    let mut serial = [0_u8; 16];
    OsEntropy.fill_bytes(&mut serial);
    // Positive, and without a leading zero byte (RFC 5280, 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn named_params(name: &str, sans: &[String]) -> Result<CertificateParams, PkiTrouble> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    for san in sans {
        params.subject_alt_names.push(subject_alt_name(san)?);
    }
    Ok(params)
}

fn subject_alt_name(text: &str) -> Result<SanType, PkiTrouble> {
    let refused = || PkiTrouble::Name { got: text.to_owned() };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    // rcgen takes any ASCII text: ask the type that will be asked again when somebody connects.
    rustls::pki_types::DnsName::try_from(text).map_err(|_| refused())?;
    Ok(SanType::DnsName(text.try_into().map_err(|_| refused())?))
}

/// A public key that is only certified.
struct BareKey([u8; 32]);

impl rcgen::PublicKeyData for BareKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// A remote signer as rcgen wants it.
struct Key {
    signer: Arc<dyn RemoteSigner>,
    public: BareKey,
}

impl Key {
    /// Tries the signer first: rcgen's error would not say why it failed.
    fn new(signer: Arc<dyn RemoteSigner>) -> Result<Self, PkiTrouble> {
        crate::key::try_signer(signer.as_ref())?;
        let public = BareKey(signer.public_key());
        Ok(Self { signer, public })
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.signer.sign(message) {
            Ok(signature) => Ok(signature.to_vec()),
            Err(trouble) => {
                tracing::warn!(%trouble, "certificate not signed");
                Err(rcgen::Error::RemoteKeyError)
            }
        }
    }
}

#[cfg(test)]
mod tests;
