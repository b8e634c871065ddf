//! What the RPC's answers look like, as far as they are used; and what of an account's bytes is a nonce.

use base64::Engine as _;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct InContext<T> {
    pub(super) value: T,
}

#[derive(Deserialize)]
pub(super) struct Blockhash {
    pub(super) blockhash: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) slot: u64,
    pub(super) err: Option<serde_json::Value>,
    pub(super) confirmation_status: Option<Stage>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    Processed,
    Confirmed,
    Finalized,
}

/// One line of `getSignaturesForAddress`.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) signature: String,
    pub(super) err: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct Account {
    data: (String, String),
    owner: String,
}

/// `getTransaction` with encoding base64.
#[derive(Deserialize)]
pub(super) struct Landed {
    pub(super) slot: u64,
    transaction: (String, String),
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    err: Option<serde_json::Value>,
}

impl Landed {
    /// The transaction as it was sent. `None` if this is not base64.
    pub(super) fn wire(&self) -> Option<Vec<u8>> {
        decode(&self.transaction)
    }

    /// The chain's error, if it failed.
    pub(super) fn error(&self) -> Option<&serde_json::Value> {
        self.meta.as_ref().and_then(|meta| meta.err.as_ref())
    }
}

impl Account {
    /// The stored nonce, if this is an initialised nonce account of `authority`.
    pub(super) fn nonce(&self, authority: &[u8; 32]) -> Option<[u8; 32]> {
        (self.owner == solana_system_interface::program::ID.to_string())
            .then(|| decode(&self.data))
            .flatten()
            .and_then(|data| read_nonce(&data, authority))
    }
}

fn decode((text, encoding): &(String, String)) -> Option<Vec<u8>> {
    (encoding == "base64").then(|| base64::engine::general_purpose::STANDARD.decode(text).ok()).flatten()
}

/// Layout: version (u32, 1), state (u32, 1 = initialised), authority, nonce, lamports per signature (u64).
fn read_nonce(data: &[u8], authority: &[u8; 32]) -> Option<[u8; 32]> {
    let head = data.get(..8)?;
    let right = data.len() == crate::NONCE_ACCOUNT_BYTES
        && head == [1, 0, 0, 0, 1, 0, 0, 0]
        && data.get(8..40)? == authority.as_slice();
    if right { data.get(40..72)?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_read_only_from_the_groups_own_initialised_account() {
        let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
        data.extend([7; 32]);
        data.extend([9; 32]);
        data.extend(5_000_u64.to_le_bytes());
        assert_eq!(read_nonce(&data, &[7; 32]), Some([9; 32]));
        assert_eq!(read_nonce(&data, &[8; 32]), None, "another authority");
        assert_eq!(read_nonce(data.get(..79).unwrap(), &[7; 32]), None, "too short");
        for at in [0, 4] {
            let mut other = data.clone();
            other[at] = 0;
            assert_eq!(read_nonce(&other, &[7; 32]), None, "another version or state");
        }
    }
}
