//! The chain's transactions, rebuilt from what this trustee has certified itself. (S05)

use protocol::board::{ChainIntent, Transactions};
use solana_anchor::AnchorIntent;

/// Builds them byte for byte, offline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solana;

impl Transactions for Solana {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        let intent = match intent.clone() {
            ChainIntent::CreateNonce { group, seed, lamports, recent_blockhash } => {
                AnchorIntent::CreateNonce { group, seed, lamports, recent_blockhash }
            }
            ChainIntent::Memo { group, seed, nonce, text } => AnchorIntent::Memo { group, seed, nonce, text },
        };
        intent.message().ok()
    }
}
