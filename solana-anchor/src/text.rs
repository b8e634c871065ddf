//! Addresses, hashes and signatures as people read them: base58.

/// Genesis hash of Solana's devnet, in base58.
pub const DEVNET_GENESIS: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";

/// A text that is not the base58 form of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A letter outside the base58 alphabet, or far too long.
    #[error("not base58: give the address as Solana tools print it")]
    NotBase58,
    /// Base58, but of something else.
    #[error("expected {expected} bytes in base58, got {got}")]
    Length {
        /// Bytes that such a value has.
        expected: usize,
        /// Bytes that the text holds.
        got: usize,
    },
}

/// An address, a hash or a nonce in base58.
#[must_use]
pub fn address_text(bytes: &[u8; 32]) -> String {
    bs58::encode(bytes).into_string()
}

/// A signature in base58: the name of its transaction.
#[must_use]
pub fn signature_text(bytes: &[u8; 64]) -> String {
    bs58::encode(bytes).into_string()
}

/// Reads an address or a hash.
///
/// # Errors
/// [`AddressError`] if the text is not the base58 form of 32 bytes.
pub fn parse_address(text: &str) -> Result<[u8; 32], AddressError> {
    parse(text)
}

/// Reads a signature.
///
/// # Errors
/// [`AddressError`] if the text is not the base58 form of 64 bytes.
pub fn parse_signature(text: &str) -> Result<[u8; 64], AddressError> {
    parse(text)
}

fn parse<const N: usize>(text: &str) -> Result<[u8; N], AddressError> {
    // Base58 decoding is quadratic: nothing longer than 64 bytes' worth is looked at.
    if text.len() > 90 {
        return Err(AddressError::NotBase58);
    }
    let bytes = bs58::decode(text).into_vec().map_err(|_| AddressError::NotBase58)?;
    let got = bytes.len();
    bytes.try_into().map_err(|_| AddressError::Length { expected: N, got })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        let genesis = parse_address(DEVNET_GENESIS).unwrap();
        assert_eq!(address_text(&genesis), DEVNET_GENESIS);
        assert_eq!(address_text(&[0; 32]), "1".repeat(32));
        assert_eq!(parse_signature(&signature_text(&[7; 64])), Ok([7; 64]));
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(parse_address("0OIl"), Err(AddressError::NotBase58));
        assert_eq!(parse_address(""), Err(AddressError::Length { expected: 32, got: 0 }));
        assert_eq!(parse_address(&signature_text(&[7; 64])), Err(AddressError::Length { expected: 32, got: 64 }));
        assert_eq!(parse_address(&"1".repeat(91)), Err(AddressError::NotBase58));
    }
}
