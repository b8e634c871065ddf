//! Identity keys: Ed25519, used through a signer that need not give the key away.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand_core::{CryptoRng, RngCore};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::files::{self, FileTrouble};
use crate::pin::{SpkiPin, ed25519_spki};

/// A key that signs and stays where it is: in a token, in a file, in another process.
///
/// `sign` blocks. It is called inside TLS handshakes, so it has to answer within a few milliseconds or fail: a signer
/// that can hang needs its own thread and its own time-out.
pub trait RemoteSigner: Send + Sync {
    /// The Ed25519 public key.
    fn public_key(&self) -> [u8; 32];

    /// Signs a message with Ed25519 (RFC 8032, no pre-hash).
    ///
    /// # Errors
    /// When the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerTrouble>;

    /// The pin of every certificate of this key.
    fn pin(&self) -> SpkiPin {
        SpkiPin::of_ed25519(&self.public_key())
    }
}

/// Why a signer did not sign.
#[derive(Debug, Error)]
pub enum SignerTrouble {
    /// The token, or the way to it, failed.
    #[error("the signer did not sign; check that the token is present and unlocked")]
    Unavailable {
        /// What the signer's own library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It signed, and the signature does not verify under the public key that it gave.
    #[error("the signer's signature does not verify under its own public key {public_key}; it uses another key")]
    WrongSignature {
        /// The key it claims, hexadecimal.
        public_key: String,
    },
}

/// Signs and verifies once: the only proof that a signer works. (A removed token may still answer other calls.)
///
/// # Errors
/// When the signer fails or uses another key than it says.
pub fn try_signer(signer: &dyn RemoteSigner) -> Result<(), SignerTrouble> {
    const MESSAGE: &[u8] = b"conclave: does this signer work?";
    let public_key = signer.public_key();
    let signature = Signature::from_bytes(&signer.sign(MESSAGE)?);
    let verified = VerifyingKey::from_bytes(&public_key).and_then(|key| key.verify_strict(MESSAGE, &signature));
    verified.map_err(|_| SignerTrouble::WrongSignature { public_key: hex::encode(public_key) })
}

/// An Ed25519 key in a file: PKCS#8, PEM, not encrypted, mode 0600. For shards, officials and trials.
pub struct FileKey {
    key: SigningKey,
}

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyFileTrouble {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileTrouble),
    /// The content is something else.
    #[error("{path} holds no Ed25519 private key in PKCS#8 PEM; `openssl genpkey -algorithm ed25519` makes one")]
    NotEd25519Pkcs8 {
        /// The file.
        path: String,
    },
}

/// PKCS#8 v1 around a 32-byte Ed25519 seed (RFC 8410); the seed follows.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const KEY_FILE_BYTES_MAX: u64 = 4096;

impl FileKey {
    /// A new key, in memory only.
    #[must_use]
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self { key: SigningKey::from_bytes(&seed) }
    }

    /// A new key in a new file, which only its owner can read. An existing file is never overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, rng: &mut (impl RngCore + CryptoRng)) -> Result<Self, KeyFileTrouble> {
        let key = Self::generate(rng);
        files::create_private(path, key.to_pem().as_bytes())?;
        Ok(key)
    }

    /// Reads a key file, which only its owner may be able to read.
    ///
    /// # Errors
    /// A file that cannot be read, that others can read, or that holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyFileTrouble> {
        let pem = files::read_private(path, KEY_FILE_BYTES_MAX)?;
        Self::from_pem(&pem).ok_or_else(|| KeyFileTrouble::NotEd25519Pkcs8 { path: path.display().to_string() })
    }

    /// Reads the key, or makes the file if there is none.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::create`].
    pub fn load_or_create(path: &Path, rng: &mut (impl RngCore + CryptoRng)) -> Result<Self, KeyFileTrouble> {
        match Self::create(path, rng) {
            Err(KeyFileTrouble::File(FileTrouble::Exists { .. })) => Self::load(path),
            made => made,
        }
    }

    fn from_pem(pem: &[u8]) -> Option<Self> {
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        let mut seed = Zeroizing::new([0; 32]);
        let found = der.secret_pkcs8_der().strip_prefix(&PKCS8_PREFIX);
        let read = found.is_some_and(|found| {
            let whole = found.len() == seed.len();
            if whole {
                seed.copy_from_slice(found);
            }
            whole
        });
        der.zeroize();
        read.then(|| Self { key: SigningKey::from_bytes(&seed) })
    }

    fn to_pem(&self) -> Zeroizing<String> {
        let mut der = Zeroizing::new([0_u8; 48]);
        let (prefix, seed) = der.split_at_mut(PKCS8_PREFIX.len());
        prefix.copy_from_slice(&PKCS8_PREFIX);
        seed.copy_from_slice(self.key.as_bytes());
        // 48 bytes are exactly one line of 64 characters.
        let body = Zeroizing::new(STANDARD.encode(der.as_slice()));
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.as_str()))
    }
}

impl RemoteSigner for FileKey {
    fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerTrouble> {
        Ok(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileKey({})", hex::encode(self.public_key()))
    }
}

/// A remote signer as rustls wants it.
#[derive(Clone)]
pub struct TlsKey {
    signer: Arc<dyn RemoteSigner>,
    spki: Vec<u8>,
}

impl TlsKey {
    /// Wraps a signer.
    #[must_use]
    pub fn new(signer: Arc<dyn RemoteSigner>) -> Self {
        let spki = ed25519_spki(&signer.public_key());
        Self { signer, spki }
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TlsKey({})", hex::encode(self.signer.public_key()))
    }
}

impl rustls::sign::SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        match self.signer.sign(message) {
            Ok(signature) => Ok(signature.to_vec()),
            // Kept whole, so that whoever dialled can tell a broken token from a broken peer.
            Err(trouble) => Err(rustls::Error::Other(OtherError(Arc::new(trouble)))),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn a_key_file_reads_back_and_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let made = FileKey::create(&path, &mut OsEntropy).unwrap();
        let read = FileKey::load_or_create(&path, &mut OsEntropy).unwrap();
        assert_eq!(read.public_key(), made.public_key());
        assert_eq!(read.sign(b"m").unwrap(), made.sign(b"m").unwrap());
        let trouble = FileKey::create(&path, &mut OsEntropy).unwrap_err();
        assert!(matches!(trouble, KeyFileTrouble::File(FileTrouble::Exists { .. })));
    }

    #[test]
    fn ring_reads_the_same_key_from_the_file() {
        let key = FileKey::generate(&mut OsEntropy);
        let pem = key.to_pem();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let other = rustls::crypto::ring::sign::any_eddsa_type(&der).unwrap();
        let expected = ed25519_spki(&key.public_key());
        assert_eq!(other.public_key().unwrap().as_ref(), expected);
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let good = FileKey::generate(&mut OsEntropy).to_pem();
        let cut = good.replace("MC4C", "MC4D");
        for content in ["", "hello", &cut, &good.replace("PRIVATE", "PUBLIC")] {
            files::write_private(&path, content.as_bytes()).unwrap();
            let trouble = FileKey::load(&path).unwrap_err();
            assert!(matches!(trouble, KeyFileTrouble::NotEd25519Pkcs8 { .. }), "{content}");
        }
    }

    #[test]
    fn the_secret_is_in_no_debug_output() {
        let key = FileKey::generate(&mut OsEntropy);
        let secret = hex::encode(key.key.as_bytes());
        let shown = format!("{key:?} {:?}", TlsKey::new(Arc::new(FileKey { key: key.key.clone() })));
        assert!(!shown.contains(&secret));
        assert!(shown.contains(&hex::encode(key.public_key())));
    }

    struct Liar(FileKey);

    impl RemoteSigner for Liar {
        fn public_key(&self) -> [u8; 32] {
            self.0.public_key()
        }

        fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerTrouble> {
            self.0.sign(b"something else")
        }
    }

    #[test]
    fn a_signer_with_another_key_is_found_out() {
        let liar = Liar(FileKey::generate(&mut OsEntropy));
        let trouble = try_signer(&liar).unwrap_err();
        assert!(matches!(trouble, SignerTrouble::WrongSignature { .. }));
    }
}
