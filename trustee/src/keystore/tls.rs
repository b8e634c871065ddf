//! The keystore's TLS key as the signer of mTLS handshakes.

use core::time::Duration;

use runtime::key::{RemoteSigner, SignerTrouble};

use super::{KeystoreError, KeystoreHandle, PublicKey};

/// Signs handshakes with the TLS key of a keystore. A handshake holds a worker thread of the runtime while it waits, so
/// it waits for a token less long than other calls do.
#[derive(Clone, Debug)]
pub struct TlsSigner {
    keystore: KeystoreHandle,
}

impl TlsSigner {
    /// The longest that a handshake waits for its signature.
    pub const DEADLINE: Duration = Duration::from_secs(2);

    /// A signer that asks `keystore`.
    #[must_use]
    pub fn new(keystore: &KeystoreHandle) -> Self {
        Self { keystore: keystore.with_deadline(Self::DEADLINE) }
    }
}

impl RemoteSigner for TlsSigner {
    fn public_key(&self) -> [u8; 32] {
        self.keystore.tls_public()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerTrouble> {
        self.keystore.sign_tls_blocking(message).map_err(|trouble| match trouble {
            KeystoreError::SignatureFaulty { .. } => {
                SignerTrouble::WrongSignature { public_key: PublicKey(self.public_key()).to_string() }
            }
            trouble => SignerTrouble::Unavailable { source: Box::new(trouble) },
        })
    }
}
