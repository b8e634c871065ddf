//! What a group key is asked to sign, in words, and the exact bytes that say it.
//!
//! Two transactions exist. `CreateNonce` is made once for a group: it lives as long as its recent blockhash
//! (about a minute on a real cluster). `Memo` carries a statement: its "recent blockhash" is the nonce that
//! is stored in the group's nonce account, and its first instruction advances that nonce, so the same
//! statement cannot land twice.

use std::fmt;

use solana_message::legacy::Message;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction::create_nonce_account_with_seed;

use crate::text::address_text;

/// Longest statement: what fits into one transaction beside the nonce, with room to spare.
pub const TEXT_BYTES_MAX: usize = 566;
/// Longest seed of a derived account; Solana's own limit.
pub const SEED_BYTES_MAX: usize = 32;
/// Size of a nonce account's data; its rent goes by it.
pub const NONCE_ACCOUNT_BYTES: usize = 80;

/// What a group key is asked to sign. `Display` shows it to the person who answers for a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorIntent {
    /// Make the group's nonce account: base, payer and authority are the group key, so no other key signs.
    CreateNonce {
        /// The group key, which is also the paying address.
        group: [u8; 32],
        /// Seed that the account's address is derived from.
        seed: String,
        /// What the account is given; at least its rent.
        lamports: u64,
        /// A recent blockhash; the transaction dies with it.
        recent_blockhash: [u8; 32],
    },
    /// Put a statement on the chain.
    Memo {
        /// The group key: signer and fee payer.
        group: [u8; 32],
        /// Seed of the nonce account.
        seed: String,
        /// The value that the nonce account holds now.
        nonce: [u8; 32],
        /// The statement: printable ASCII, at most [`TEXT_BYTES_MAX`] bytes.
        text: String,
    },
}

/// An intent that has no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    /// A memo must say something.
    #[error("the statement is empty")]
    TextEmpty,
    /// The statement does not fit.
    #[error("the statement has {got} bytes, at most {max} are possible: shorten it or anchor its hash")]
    TextTooLong {
        /// The limit.
        max: usize,
        /// Its length.
        got: usize,
    },
    /// A trustee must be able to read what it signs.
    #[error("byte {at} of the statement is {got:#04x}: only printable ASCII is signed")]
    TextNotPrintable {
        /// Where.
        at: usize,
        /// What.
        got: u8,
    },
    /// An account needs a seed of 1 to 32 bytes.
    #[error("the seed has {got} bytes, expected 1 to {max}")]
    SeedLength {
        /// The limit.
        max: usize,
        /// Its length.
        got: usize,
    },
    /// Seeds are shown, too.
    #[error("byte {at} of the seed is {got:#04x}: only printable ASCII is allowed")]
    SeedNotPrintable {
        /// Where.
        at: usize,
        /// What.
        got: u8,
    },
    /// The group key is the address of a program or of a system variable, for which nobody can sign.
    #[error("{group} is an address of Solana's own, not a group key")]
    ReservedGroup {
        /// The address.
        group: String,
    },
}

impl AnchorIntent {
    /// The bytes that the group signs: a legacy Solana message, the same for the same intent, always.
    ///
    /// # Errors
    /// [`IntentError`] if the intent is outside the limits.
    pub fn message(&self) -> Result<Vec<u8>, IntentError> {
        let (group, nonce_account) = (self.group(), self.nonce_account()?);
        if reserved().contains(&Pubkey::new_from_array(*group)) {
            return Err(IntentError::ReservedGroup { group: address_text(group) });
        }
        match self {
            Self::CreateNonce { seed, lamports, recent_blockhash, .. } => {
                let payer = Pubkey::new_from_array(*group);
                let nonce = Pubkey::new_from_array(nonce_account);
                let steps = create_nonce_account_with_seed(&payer, &nonce, &payer, seed, &payer, *lamports);
                let mut message = Message::new(&steps, Some(&payer));
                message.recent_blockhash = (*recent_blockhash).into();
                Ok(message.serialize())
            }
            Self::Memo { nonce, text, .. } => {
                check_text(text)?;
                Ok(memo_message(group, &nonce_account, nonce, text))
            }
        }
    }

    /// The group key that signs and pays.
    #[must_use]
    pub fn group(&self) -> &[u8; 32] {
        match self {
            Self::CreateNonce { group, .. } | Self::Memo { group, .. } => group,
        }
    }

    /// The address of the nonce account that this intent makes or uses.
    ///
    /// # Errors
    /// [`IntentError`] if the seed is outside the limits.
    pub fn nonce_account(&self) -> Result<[u8; 32], IntentError> {
        match self {
            Self::CreateNonce { group, seed, .. } | Self::Memo { group, seed, .. } => nonce_address(group, seed),
        }
    }
}

impl fmt::Display for AnchorIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `escape_debug`: an intent is shown before it is checked, and must not be able to redraw the screen.
        match self {
            Self::CreateNonce { group, seed, lamports, recent_blockhash } => write!(
                f,
                "make the nonce account of {group}, seed \"{seed}\", with {lamports} lamports (blockhash {hash})",
                group = address_text(group),
                seed = seed.escape_debug(),
                hash = address_text(recent_blockhash),
            ),
            Self::Memo { group, seed, nonce, text } => write!(
                f,
                "anchor \"{text}\" signed and paid by {group}, nonce seed \"{seed}\" at {nonce}",
                text = text.escape_debug(),
                group = address_text(group),
                seed = seed.escape_debug(),
                nonce = address_text(nonce),
            ),
        }
    }
}

/// The address of a group's nonce account: derived from the group key, so that no other key exists.
///
/// # Errors
/// [`IntentError`] if the seed is empty, longer than [`SEED_BYTES_MAX`] or not printable.
pub fn nonce_address(group: &[u8; 32], seed: &str) -> Result<[u8; 32], IntentError> {
    let length = IntentError::SeedLength { max: SEED_BYTES_MAX, got: seed.len() };
    if seed.is_empty() {
        return Err(length);
    }
    if let Some((at, got)) = first_unprintable(seed) {
        return Err(IntentError::SeedNotPrintable { at, got });
    }
    let base = Pubkey::new_from_array(*group);
    // Its one other refusal is for owners that end like a derived program's address: the system program does not.
    let address = Pubkey::create_with_seed(&base, seed, &solana_system_interface::program::ID).map_err(|_| length)?;
    Ok(address.to_bytes())
}

/// The transaction as it is sent: one signature, then the message that it signs.
#[must_use]
pub fn transaction(message: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(65 + message.len());
    wire.push(1); // one signature follows
    wire.extend_from_slice(signature);
    wire.extend_from_slice(message);
    wire
}

/// A memo message that was read from somewhere: what it says, and under which nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoMessage {
    /// Signer and fee payer.
    pub group: [u8; 32],
    /// The nonce account that it advances.
    pub nonce_account: [u8; 32],
    /// The nonce that it was signed under.
    pub nonce: [u8; 32],
    /// The statement.
    pub text: String,
}

/// Bytes that are not, to the last one, the message of an [`AnchorIntent::Memo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an anchor: the bytes are not those of a memo under a durable nonce with one signer")]
pub struct NotAnAnchor;

impl MemoMessage {
    /// Reads a message. Accepts exactly the bytes that [`AnchorIntent::message`] makes, and nothing else.
    ///
    /// # Errors
    /// [`NotAnAnchor`] for all other bytes.
    pub fn decode(message: &[u8]) -> Result<Self, NotAnAnchor> {
        let field = |at: usize| -> Result<[u8; 32], NotAnAnchor> {
            message.get(at..at + 32).and_then(|bytes| bytes.try_into().ok()).ok_or(NotAnAnchor)
        };
        // The layout is fixed up to the statement: read where the fields must be, rebuild, compare.
        let (group, nonce_account, nonce) = (field(GROUP_AT)?, field(NONCE_ACCOUNT_AT)?, field(NONCE_AT)?);
        let tail = message.get(TEXT_LENGTH_AT..).ok_or(NotAnAnchor)?;
        let length_bytes = if tail.len() <= 0x7f + 1 { 1 } else { 2 };
        let text = tail.get(length_bytes..).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(NotAnAnchor)?;
        check_text(text).map_err(|_| NotAnAnchor)?;
        if reserved().contains(&Pubkey::new_from_array(group))
            || memo_message(&group, &nonce_account, &nonce, text) != message
        {
            return Err(NotAnAnchor);
        }
        Ok(Self { group, nonce_account, nonce, text: text.to_owned() })
    }
}

/// Behind the header (3 bytes) and the count of accounts (1).
const GROUP_AT: usize = 4;
const NONCE_ACCOUNT_AT: usize = GROUP_AT + 32;
/// Behind five accounts: group, nonce account, system program, memo program, the blockhash variable.
const NONCE_AT: usize = GROUP_AT + 5 * 32;
/// Behind the count of instructions (1), advance-nonce (10 bytes) and the head of the memo (3 bytes).
const TEXT_LENGTH_AT: usize = NONCE_AT + 32 + 1 + 10 + 3;

fn memo_message(group: &[u8; 32], nonce_account: &[u8; 32], nonce: &[u8; 32], text: &str) -> Vec<u8> {
    let signer = Pubkey::new_from_array(*group);
    let memo = spl_memo_interface::instruction::build_memo(&spl_memo_interface::v3::ID, text.as_bytes(), &[&signer]);
    let mut message =
        Message::new_with_nonce(vec![memo], Some(&signer), &Pubkey::new_from_array(*nonce_account), &signer);
    message.recent_blockhash = (*nonce).into();
    message.serialize()
}

/// Addresses that share a transaction with the group key; a group key equal to one of them would merge with it.
fn reserved() -> [Pubkey; 4] {
    [
        solana_system_interface::program::ID,
        spl_memo_interface::v3::ID,
        Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111"),
        Pubkey::from_str_const("SysvarRent111111111111111111111111111111111"),
    ]
}

fn check_text(text: &str) -> Result<(), IntentError> {
    if text.is_empty() {
        return Err(IntentError::TextEmpty);
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(IntentError::TextTooLong { max: TEXT_BYTES_MAX, got: text.len() });
    }
    match first_unprintable(text) {
        Some((at, got)) => Err(IntentError::TextNotPrintable { at, got }),
        None => Ok(()),
    }
}

fn first_unprintable(text: &str) -> Option<(usize, u8)> {
    text.bytes().enumerate().find(|(_, byte)| !matches!(byte, 0x20..=0x7e))
}

#[cfg(test)]
mod tests;
