//! The chain, as the core wants it: transactions from intents, and what an RPC says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use protocol::board::{Board, ChainIntent, Transactions};
use protocol::chair::LedgerView;
use protocol::encoding::Hash;
use protocol::ids::Attempt;
use protocol::signed::Body;
use protocol::signing::messages::Purpose;
use protocol::signing::nonce_seed;
use runtime::backoff::Backoff;
use runtime::entropy::OsEntropy;
use solana_anchor::{AnchorError, AnchorIntent, Landed, Ledger, LedgerConfig};

/// Builds the exact bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chain;

impl Transactions for Chain {
    fn message(&self, intent: &ChainIntent) -> Option<Vec<u8>> {
        anchor_intent(intent).message().ok()
    }
}

fn anchor_intent(intent: &ChainIntent) -> AnchorIntent {
    match intent.clone() {
        ChainIntent::CreateNonce { group, seed, lamports, recent_blockhash } => {
            AnchorIntent::CreateNonce { group, seed, lamports, recent_blockhash }
        }
        ChainIntent::Memo { group, seed, nonce, text } => AnchorIntent::Memo { group, seed, nonce, text },
    }
}

/// What an attempt's signature is over, in words; `None` for what is no transaction.
#[must_use]
pub fn intent_of(board: &Board, purpose: Purpose, attempt: Attempt) -> Option<AnchorIntent> {
    let request = board.signing(purpose, attempt)?.request.clone();
    let group = board.key_certificate()?.signing_key;
    let seed = nonce_seed(&board.election());
    match purpose {
        Purpose::Rehearsal => None,
        Purpose::CreateNonce => {
            Some(AnchorIntent::CreateNonce { group, seed, lamports: request.lamports, recent_blockhash: request.nonce })
        }
        Purpose::AnchorKey | Purpose::AnchorVoteSet | Purpose::AnchorResult => {
            Some(AnchorIntent::Memo { group, seed, nonce: request.nonce, text: board.memo(purpose)? })
        }
    }
}

/// What the chain said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A recent block hash, and the rent of a nonce account.
    Blockhash {
        /// The hash.
        hash: Hash,
        /// Lamports.
        rent: u64,
    },
    /// The durable nonce; `None` if there is no such account.
    Nonce(Option<Hash>),
}

/// What a failed submission means for the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes can still land: submit them again.
    TryAgain,
    /// They cannot: sign again, with what the chain says then.
    NeverLands,
}

/// Reads an error of the chain.
#[must_use]
pub fn verdict(error: &AnchorError) -> Verdict {
    match error {
        AnchorError::BlockhashExpired
        | AnchorError::NonceSpent { .. }
        | AnchorError::LandedWithError { .. }
        | AnchorError::BadSignature { .. }
        | AnchorError::Intent(_) => Verdict::NeverLands,
        AnchorError::Url { .. }
        | AnchorError::UrlCount { .. }
        | AnchorError::Unreachable { .. }
        | AnchorError::Refused { .. }
        | AnchorError::BadAnswer { .. }
        | AnchorError::WrongCluster { .. }
        | AnchorError::RpcsDisagree { .. }
        | AnchorError::Unfunded { .. }
        | AnchorError::AirdropLate { .. }
        | AnchorError::NotANonce { .. }
        | AnchorError::NotAccepted { .. }
        | AnchorError::Mismatch { .. }
        | AnchorError::NotFound { .. }
        | AnchorError::NotFinal { .. }
        | AnchorError::TooMany { .. } => Verdict::TryAgain,
    }
}

/// A chain that anchors can be put on.
pub trait AnchorOnChain: Send + Sync {
    /// A recent block hash, and the rent of a nonce account.
    fn blockhash(&self) -> BoxFuture<'_, Result<News, AnchorError>>;
    /// The group's durable nonce.
    fn nonce(&self, group: [u8; 32], seed: String) -> BoxFuture<'_, Result<News, AnchorError>>;
    /// Sends, waits until final, reads back, compares. The same again is harmless.
    fn submit(&self, intent: AnchorIntent, signature: [u8; 64]) -> BoxFuture<'_, Result<Landed, AnchorError>>;
}

/// Finds the chain with a genesis hash.
pub trait FindChain: Send + Sync {
    /// The way to it; talks to nobody yet.
    ///
    /// # Errors
    /// What to tell people when there is none.
    fn chain(&self, genesis: Hash) -> Result<Arc<dyn AnchorOnChain>, String>;
}

/// Solana, through the configured RPCs.
#[derive(Debug, Clone)]
pub struct Solana {
    /// One, or two that have to agree.
    pub urls: Vec<String>,
}

impl FindChain for Solana {
    fn chain(&self, genesis: Hash) -> Result<Arc<dyn AnchorOnChain>, String> {
        if self.urls.is_empty() {
            return Err("no ledger is configured, so nothing can be anchored: set `rpc` under [ledger]".to_owned());
        }
        let config = LedgerConfig { urls: self.urls.clone(), genesis: Some(genesis), ..LedgerConfig::default() };
        let ledger = Ledger::new(&config).map_err(|error| error.to_string())?;
        Ok(Arc::new(ledger))
    }
}

impl AnchorOnChain for Ledger {
    fn blockhash(&self) -> BoxFuture<'_, Result<News, AnchorError>> {
        Box::pin(async move {
            let hash = self.latest_blockhash().await?;
            Ok(News::Blockhash { hash, rent: self.nonce_rent().await? })
        })
    }

    fn nonce(&self, group: [u8; 32], seed: String) -> BoxFuture<'_, Result<News, AnchorError>> {
        Box::pin(async move {
            self.check_cluster().await?;
            Ok(News::Nonce(self.nonce_value(&group, &seed).await?))
        })
    }

    fn submit(&self, intent: AnchorIntent, signature: [u8; 64]) -> BoxFuture<'_, Result<Landed, AnchorError>> {
        Box::pin(async move { self.submit_and_finalize(&intent, &signature, |_| ()).await })
    }
}

/// What one election knows of the chain, and when it may ask again.
pub struct Notary {
    chains: Arc<dyn FindChain>,
    genesis: Hash,
    ledger: Option<Arc<dyn AnchorOnChain>>,
    view: LedgerView,
    /// A question is on its way.
    pub asking: bool,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Notary {
    /// Talks to nobody yet.
    #[must_use]
    pub fn new(chains: Arc<dyn FindChain>, genesis: Hash) -> Self {
        Self {
            chains,
            genesis,
            ledger: None,
            view: LedgerView::default(),
            asking: false,
            backoff: Backoff::between_peers(&mut OsEntropy),
            not_before: None,
        }
    }

    /// For the chair.
    #[must_use]
    pub fn view(&self) -> &LedgerView {
        &self.view
    }

    /// The way to the chain.
    ///
    /// # Errors
    /// What to tell people when there is none.
    pub fn ledger(&mut self) -> Result<Arc<dyn AnchorOnChain>, String> {
        if let Some(ledger) = &self.ledger {
            return Ok(Arc::clone(ledger));
        }
        let ledger = self.chains.chain(self.genesis)?;
        self.ledger = Some(Arc::clone(&ledger));
        Ok(ledger)
    }

    /// Whether a question may be asked now.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        !self.asking && self.not_before.is_none_or(|instant| Instant::now() >= instant)
    }

    /// After a failure. Gives the pause.
    pub fn wait(&mut self) -> Duration {
        let pause = self.backoff.next_delay();
        self.not_before = Some(Instant::now() + pause);
        pause
    }

    /// An answer.
    pub fn hear(&mut self, news: News) {
        self.backoff.reset();
        match news {
            News::Blockhash { hash, rent } => {
                self.view.blockhash = Some(hash);
                self.view.nonce_rent = rent;
            }
            News::Nonce(nonce) => {
                self.view.nonce = nonce;
                self.view.nonce_missing = nonce.is_none();
            }
        }
        // Even good news are not asked for without a pause: what they say may be of no use to the chair.
        self.not_before = Some(Instant::now() + Duration::from_millis(20));
    }

    /// What was known may have changed.
    pub fn forget(&mut self) {
        self.backoff.reset();
        self.view = LedgerView { nonce_rent: self.view.nonce_rent, ..LedgerView::default() };
    }

    /// A statement of this shard is on the board: a block hash is used once.
    pub fn said(&mut self, body: &Body) {
        if matches!(body, Body::SignRequest(request) if request.purpose == Purpose::CreateNonce) {
            self.forget();
        }
    }
}
