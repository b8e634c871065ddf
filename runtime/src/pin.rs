//! Pins: who a peer is, as the hash of its public key.
//!
//! A pin outlives the certificate (renewal keeps the key) and cannot be minted by a certification authority.

use std::fmt;
use std::str::FromStr;

use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// SHA-256 of a certificate's SubjectPublicKeyInfo, DER. Written as 64 lowercase hexadecimal digits.
///
/// `openssl x509 -in C.pem -pubkey -noout | openssl pkey -pubin -outform der | sha256sum` prints the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiPin([u8; 32]);

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PinRefusal {
    /// Not 64 digits.
    #[error("a pin is 64 hexadecimal digits, got {got} characters")]
    Length {
        /// How many characters there were.
        got: usize,
    },
    /// Some character is no lowercase hexadecimal digit.
    #[error("a pin is 64 lowercase hexadecimal digits; another character stands in it")]
    Digits,
}

/// The bytes are no X.509 certificate that this software can read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a readable X.509 v3 certificate (DER)")]
pub struct UnreadableCertificate;

/// The fixed part of an Ed25519 SubjectPublicKeyInfo (RFC 8410): the key's 32 bytes follow.
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl SpkiPin {
    /// The pin with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The pin of a certificate's key.
    ///
    /// It is taken with the parser that also verifies the handshake's signature, so that the key that is pinned and the
    /// key that has to sign cannot be two different ones.
    ///
    /// # Errors
    /// When the bytes are no certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let der = CertificateDer::from(der);
        let parsed = ParsedCertificate::try_from(&der).map_err(|_| UnreadableCertificate)?;
        Ok(Self(Sha256::digest(parsed.subject_public_key_info()).into()))
    }

    /// The pin of every certificate that an Ed25519 key can have.
    #[must_use]
    pub fn of_ed25519(public_key: &[u8; 32]) -> Self {
        Self(Sha256::digest(ed25519_spki(public_key)).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The SubjectPublicKeyInfo, DER, of an Ed25519 key.
pub(crate) fn ed25519_spki(public_key: &[u8; 32]) -> Vec<u8> {
    [ED25519_SPKI_PREFIX.as_slice(), public_key.as_slice()].concat()
}

/// The Ed25519 key inside a SubjectPublicKeyInfo, if it is one.
pub(crate) fn ed25519_of_spki(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(ED25519_SPKI_PREFIX.as_slice())?.try_into().ok()
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SpkiPin({self})")
    }
}

impl FromStr for SpkiPin {
    type Err = PinRefusal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let got = text.chars().count();
        if got != 64 {
            return Err(PinRefusal::Length { got });
        }
        // One spelling per pin: two spellings of one key would pass for two identities in a list compared as text.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(PinRefusal::Digits);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PinRefusal::Digits)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_as_written() {
        let pin = SpkiPin::of_ed25519(&[7; 32]);
        assert_eq!(pin.to_string().parse(), Ok(pin));
    }

    #[test]
    fn other_spellings_of_a_pin_are_refused() {
        let text = SpkiPin::of_ed25519(&[7; 32]).to_string();
        assert_eq!(text.to_uppercase().parse::<SpkiPin>(), Err(PinRefusal::Digits));
        assert_eq!(text[..63].parse::<SpkiPin>(), Err(PinRefusal::Length { got: 63 }));
        assert_eq!(format!("{}x", &text[..63]).parse::<SpkiPin>(), Err(PinRefusal::Digits));
        assert_eq!("é".repeat(64).parse::<SpkiPin>(), Err(PinRefusal::Digits));
    }

    #[test]
    fn what_is_no_certificate_has_no_pin() {
        assert_eq!(SpkiPin::of_certificate(b""), Err(UnreadableCertificate));
        assert_eq!(SpkiPin::of_certificate(&[0x30; 600]), Err(UnreadableCertificate));
    }
}
