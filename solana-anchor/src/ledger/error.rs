//! What can go wrong on the way to a final anchor, and what to do about it.

use crate::intent::IntentError;

/// Why there is no anchor (yet). Nothing is lost by any of these: the same signed bytes can be submitted
/// again, and land once at most.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// An RPC address that cannot be used.
    #[error("`{got}` is not an RPC address: expected http://HOST:PORT or https://HOST")]
    Url {
        /// What was given.
        got: String,
    },
    /// One RPC, or two that must agree.
    #[error("{got} RPC addresses given, expected {expected}")]
    UrlCount {
        /// How many are possible.
        expected: &'static str,
        /// How many there are.
        got: usize,
    },
    /// No answer, or none in time.
    #[error("no answer from {url} to {method}: {reason}; check the address and that the node runs, then try again")]
    Unreachable {
        /// Scheme, host and port.
        url: String,
        /// The call.
        method: String,
        /// What the transport says.
        reason: String,
    },
    /// An answer, and it is no.
    #[error("{url} refuses {method}: {reason} (code {code})")]
    Refused {
        /// Scheme, host and port.
        url: String,
        /// The call.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// What the server says; remote text, made printable.
        reason: String,
    },
    /// An answer that makes no sense.
    #[error("{url} answers {method} with something else than the method's result; use another RPC")]
    BadAnswer {
        /// Scheme, host and port.
        url: String,
        /// The call.
        method: String,
    },
    /// A different chain from the one that was agreed on.
    #[error("{url} serves another cluster: genesis hash expected {expected}, got {got}; check the RPC address")]
    WrongCluster {
        /// Scheme, host and port.
        url: String,
        /// The agreed genesis hash.
        expected: String,
        /// The one that the RPC gives.
        got: String,
    },
    /// The second RPC says something else than the first.
    #[error("{first} and {second} disagree about {what}; do not rely on either before you know why")]
    RpcsDisagree {
        /// The first RPC.
        first: String,
        /// The second RPC.
        second: String,
        /// The question.
        what: &'static str,
    },
    /// The group's address cannot pay.
    #[error(
        "{address} holds {have} lamports and needs {need}: send it the difference (scripts/devnet/fund.sh), then try again"
    )]
    Unfunded {
        /// The group's address.
        address: String,
        /// Its balance.
        have: u64,
        /// Fee, what the transaction moves, and the reserve that the chain insists on.
        need: u64,
    },
    /// The airdrop was taken and no money came.
    #[error("the airdrop to {address} did not arrive within {seconds} s; ask again or use a faucet's web page")]
    AirdropLate {
        /// Who was to get it.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The intent itself is outside the limits.
    #[error("the intent has no transaction: {0}")]
    Intent(#[from] IntentError),
    /// Not signed by this group, or not these bytes.
    #[error("the signature is not {group}'s over this intent; nothing was sent")]
    BadSignature {
        /// The group's address.
        group: String,
    },
    /// The account at the nonce's address is something else.
    #[error("{address} is not a nonce account of {authority}; choose another seed")]
    NotANonce {
        /// The account.
        address: String,
        /// Who its authority should be.
        authority: String,
    },
    /// The blockhash went out of use before the transaction landed.
    #[error("the blockhash of the transaction expired before it landed; take a new one and sign again")]
    BlockhashExpired,
    /// The nonce has moved on without this transaction.
    #[error("nonce {expected} of the transaction is spent, the account holds {got}: read it again, sign again")]
    NonceSpent {
        /// The nonce that was signed.
        expected: String,
        /// The one that holds now.
        got: String,
    },
    /// The node tried the transaction and would not take it.
    #[error("the transaction is not accepted: {reason}")]
    NotAccepted {
        /// What the simulation says.
        reason: String,
    },
    /// It is in a block, and failed there: the fee is gone, and on a real cluster the nonce moved on.
    #[error("{signature} landed in slot {slot} and failed: {reason}; read the nonce again before the next try")]
    LandedWithError {
        /// The transaction.
        signature: String,
        /// Its slot.
        slot: u64,
        /// The chain's reason.
        reason: String,
    },
    /// The transaction that the RPC shows under this signature is not the one that was signed.
    #[error("{url} shows another transaction under {signature}: {what} differs; do not trust this RPC")]
    Mismatch {
        /// Scheme, host and port.
        url: String,
        /// The signature asked for.
        signature: String,
        /// What differs.
        what: &'static str,
    },
    /// No transaction has this signature.
    #[error("{url} knows no final transaction {signature}")]
    NotFound {
        /// Scheme, host and port.
        url: String,
        /// The signature asked for.
        signature: String,
    },
    /// Sent, and its fate is not known.
    #[error("{signature} is not final after {seconds} s (last seen: {seen}); submit the same bytes again to ask")]
    NotFinal {
        /// The transaction.
        signature: String,
        /// How long was waited.
        seconds: u64,
        /// The last state that an RPC gave.
        seen: &'static str,
    },
    /// More transactions than are looked through.
    #[error("{address} has more than {max} transactions; read the anchor by its signature")]
    TooMany {
        /// The address.
        address: String,
        /// The limit.
        max: usize,
    },
}
