//! Solana through its JSON-RPC: fund, submit, wait until final, read back, compare, find again.

mod answers;
mod error;
mod find;
mod sender;
mod submit;

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_client::{
    client_error::{ClientError, ClientErrorKind},
    nonblocking::rpc_client::RpcClient,
    rpc_client::RpcClientConfig,
    rpc_request::{RpcError, RpcRequest},
};

pub use self::{
    error::AnchorError,
    find::FoundAnchor,
    submit::{Landed, Progress},
};
use crate::{
    intent::{NONCE_ACCOUNT_BYTES, nonce_address},
    text::{address_text, parse_address},
};

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// One call to an RPC.
    pub call: Duration,
    /// From the first submission to final and read back. A real cluster takes about 13 s, its RPC's
    /// history up to half a minute more.
    pub finalize: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { call: Duration::from_secs(20), finalize: Duration::from_secs(90) }
    }
}

/// Where the chain is, and which chain it must be.
#[derive(Clone, Default)]
pub struct LedgerConfig {
    /// One RPC, or two: then both must say the same before an anchor counts.
    pub urls: Vec<String>,
    /// The agreed genesis hash. Without it the hash is read once and must stay the same from then on.
    pub genesis: Option<[u8; 32]>,
    /// How long things may take.
    pub deadlines: Deadlines,
}

impl fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A provider's URL often holds a key.
        f.debug_struct("LedgerConfig")
            .field("urls", &self.urls.len())
            .field("genesis", &self.genesis.as_ref().map(address_text))
            .field("deadlines", &self.deadlines)
            .finish()
    }
}

/// A Solana cluster as seen through one RPC or two.
pub struct Ledger {
    first: Rpc,
    second: Option<Rpc>,
    genesis: OnceLock<[u8; 32]>,
    deadlines: Deadlines,
}

impl Ledger {
    /// Prepares the connections; talks to nobody yet.
    ///
    /// # Errors
    /// [`AnchorError::Url`], [`AnchorError::UrlCount`].
    pub fn new(config: &LedgerConfig) -> Result<Self, AnchorError> {
        let mut rpcs =
            config.urls.iter().map(|url| Rpc::new(url, config.deadlines.call)).collect::<Result<Vec<_>, _>>()?;
        if !(1..=2).contains(&rpcs.len()) {
            return Err(AnchorError::UrlCount { expected: "1 or 2", got: rpcs.len() });
        }
        let first = rpcs.remove(0);
        let genesis = config.genesis.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { first, second: rpcs.pop(), genesis, deadlines: config.deadlines })
    }

    /// The genesis hash, after every RPC has been asked and gives the agreed one.
    ///
    /// # Errors
    /// [`AnchorError::WrongCluster`]; what a call can fail with.
    pub async fn check_cluster(&self) -> Result<[u8; 32], AnchorError> {
        for rpc in self.rpcs() {
            let got = rpc.genesis_hash().await?;
            let expected = self.genesis.get_or_init(|| got);
            if *expected != got {
                return Err(AnchorError::WrongCluster {
                    url: rpc.name.clone(),
                    expected: address_text(expected),
                    got: address_text(&got),
                });
            }
        }
        self.genesis.get().copied().ok_or(AnchorError::UrlCount { expected: "1 or 2", got: 0 })
    }

    /// The genesis hash that the first RPC gives, whatever was agreed on.
    ///
    /// # Errors
    /// What a call can fail with.
    pub async fn genesis_hash(&self) -> Result<[u8; 32], AnchorError> {
        self.first.genesis_hash().await
    }

    /// Balance of an address in lamports (confirmed).
    ///
    /// # Errors
    /// What a call can fail with.
    pub async fn balance(&self, address: &[u8; 32]) -> Result<u64, AnchorError> {
        let params = json!([address_text(address), { "commitment": "confirmed" }]);
        Ok(self.first.call::<answers::InContext<u64>>(RpcRequest::GetBalance, params).await?.value)
    }

    /// Asks for test money and waits until it is there. Gives the new balance. Local ledgers and devnet only.
    ///
    /// # Errors
    /// [`AnchorError::Refused`] by a faucet that is dry or absent; [`AnchorError::AirdropLate`].
    pub async fn request_airdrop(&self, address: &[u8; 32], lamports: u64) -> Result<u64, AnchorError> {
        let before = self.balance(address).await?;
        let params = json!([address_text(address), lamports]);
        let _signature: String = self.first.call(RpcRequest::RequestAirdrop, params).await?;
        let mut pace = Pace::start(self.deadlines.finalize, self.first.near);
        while pace.next().await {
            let balance = self.balance(address).await?;
            if balance >= before.saturating_add(lamports) {
                return Ok(balance);
            }
        }
        Err(AnchorError::AirdropLate { address: address_text(address), seconds: self.deadlines.finalize.as_secs() })
    }

    /// A fresh blockhash (confirmed), for [`AnchorIntent::CreateNonce`](crate::AnchorIntent::CreateNonce). It
    /// goes out of use after 150 slots: a minute on a real cluster, 7 s on a local one with slots of 50 ms.
    ///
    /// # Errors
    /// What a call can fail with.
    pub async fn latest_blockhash(&self) -> Result<[u8; 32], AnchorError> {
        let request = RpcRequest::GetLatestBlockhash;
        let answer: answers::InContext<answers::Blockhash> =
            self.first.call(request, json!([{ "commitment": "confirmed" }])).await?;
        self.first.hash(request, &answer.value.blockhash)
    }

    /// What a nonce account must hold so as to be kept, in lamports.
    ///
    /// # Errors
    /// What a call can fail with.
    pub async fn nonce_rent(&self) -> Result<u64, AnchorError> {
        self.rent(NONCE_ACCOUNT_BYTES).await
    }

    /// The value in the group's nonce account (confirmed), or `None` if there is no such account yet. Read it
    /// again after every attempt: a transaction that lands and fails moves it on, too.
    ///
    /// # Errors
    /// [`AnchorError::NotANonce`] if the account is something else or has another authority.
    pub async fn nonce_value(&self, group: &[u8; 32], seed: &str) -> Result<Option<[u8; 32]>, AnchorError> {
        self.nonce_at(group, &nonce_address(group, seed)?, "confirmed").await
    }

    async fn nonce_at(
        &self,
        group: &[u8; 32],
        account: &[u8; 32],
        commitment: &'static str,
    ) -> Result<Option<[u8; 32]>, AnchorError> {
        let params = json!([address_text(account), { "commitment": commitment, "encoding": "base64" }]);
        let answer: answers::InContext<Option<answers::Account>> =
            self.first.call(RpcRequest::GetAccountInfo, params).await?;
        let Some(found) = answer.value else { return Ok(None) };
        match found.nonce(group) {
            Some(nonce) => Ok(Some(nonce)),
            None => Err(AnchorError::NotANonce { address: address_text(account), authority: address_text(group) }),
        }
    }

    async fn rent(&self, bytes: usize) -> Result<u64, AnchorError> {
        self.first.call(RpcRequest::GetMinimumBalanceForRentExemption, json!([bytes])).await
    }

    fn rpcs(&self) -> impl Iterator<Item = &Rpc> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// One RPC server.
struct Rpc {
    client: RpcClient,
    /// Scheme, host and port: what is left of the URL when keys and passwords are taken out.
    name: String,
    /// On this machine: it may be asked as often as we like.
    near: bool,
}

impl Rpc {
    fn new(text: &str, deadline: Duration) -> Result<Self, AnchorError> {
        let refuse =
            || AnchorError::Url { got: printable(text.split(['?', '@']).next_back().unwrap_or_default(), 100) };
        let url = reqwest::Url::parse(text).map_err(|_| refuse())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refuse());
        }
        let name = url.origin().ascii_serialization();
        let near = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let sender = sender::BoundedSender::new(url, deadline).map_err(|_| refuse())?;
        Ok(Self { client: RpcClient::new_sender(sender, RpcClientConfig::default()), name, near })
    }

    async fn genesis_hash(&self) -> Result<[u8; 32], AnchorError> {
        let text: String = self.call(RpcRequest::GetGenesisHash, Value::Null).await?;
        self.hash(RpcRequest::GetGenesisHash, &text)
    }

    fn hash(&self, request: RpcRequest, text: &str) -> Result<[u8; 32], AnchorError> {
        parse_address(text).map_err(|_| AnchorError::BadAnswer { url: self.name.clone(), method: request.to_string() })
    }

    async fn call<T: DeserializeOwned>(&self, request: RpcRequest, params: Value) -> Result<T, AnchorError> {
        self.client.send(request, params).await.map_err(|error| self.failure(request, &error))
    }

    fn failure(&self, request: RpcRequest, error: &ClientError) -> AnchorError {
        let (url, method) = (self.name.clone(), request.to_string());
        match error.kind() {
            ClientErrorKind::RpcError(RpcError::RpcResponseError { code, message, .. }) => {
                AnchorError::Refused { url, method, code: *code, reason: printable(message, 300) }
            }
            ClientErrorKind::RpcError(_) | ClientErrorKind::SerdeJson(_) => AnchorError::BadAnswer { url, method },
            other => AnchorError::Unreachable { url, method, reason: printable(&chain(other), 300) },
        }
    }
}

/// An error with its causes: reqwest says "error sending request" and hides "connection refused" below.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Remote text, cut and made harmless for a terminal and a log.
fn printable(text: &str, characters_max: usize) -> String {
    text.chars().take(characters_max).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// Waits between questions. Public RPCs allow about four a second; a local ledger is asked more often.
struct Pace {
    started: Instant,
    deadline: Duration,
    pause: Duration,
    asked: bool,
}

impl Pace {
    fn start(deadline: Duration, near: bool) -> Self {
        let pause = Duration::from_millis(if near { 80 } else { 600 });
        Self { started: Instant::now(), deadline, pause, asked: false }
    }

    /// Sleeps (not before the first question). False once the deadline has passed.
    async fn next(&mut self) -> bool {
        if std::mem::replace(&mut self.asked, true) {
            tokio::time::sleep(self.pause).await;
        }
        self.started.elapsed() < self.deadline
    }
}
