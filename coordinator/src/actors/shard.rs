//! The directory of this process: which elections it runs. One actor creates, so that two officials who put forward the
//! same election at once make one; everybody reads.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use actix::prelude::*;
use protocol::encoding::Canonical as _;
use protocol::ids::ElectionId;
use protocol::manifest::{Manifest, ManifestRefusal};
use protocol::signed::{Body, Envelope, EnvelopeRefusal};
use rand_core::RngCore as _;
use runtime::entropy::OsEntropy;
use runtime::pin::SpkiPin;
use thiserror::Error;

use super::Deps;
use super::election::{ElectionActor, OpenTrouble, Post, home_of, open};
use super::workers::Workers;
use crate::election::Election;
use crate::store::{NewElection, StoreTrouble};

/// An election that this process runs.
#[derive(Clone)]
pub struct Handle {
    /// What is published.
    pub election: Arc<Election>,
    /// Who decides.
    pub actor: Addr<ElectionActor>,
}

/// The elections of this process. Clones share.
#[derive(Clone, Default)]
pub struct Directory {
    all: Arc<RwLock<BTreeMap<ElectionId, Handle>>>,
}

impl Directory {
    /// One of them.
    #[must_use]
    pub fn get(&self, id: &ElectionId) -> Option<Handle> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Handle> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One more.
    pub fn insert(&self, handle: Handle) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(handle.election.id, handle);
    }
}

/// Why an election is not created.
#[derive(Debug, Error)]
pub enum CreateRefusal {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestRefusal),
    /// Another shard's.
    #[error("this shard is not the home shard {home:?} of the manifest: create the election there")]
    NotHome {
        /// By name.
        home: String,
    },
    /// Not an official of this election.
    #[error("PERMISSION_DENIED: the caller is not an official of this election")]
    NotOfficial,
    /// The announcement cannot be read.
    #[error("the announcement cannot be read: {0}")]
    Encoding(#[from] protocol::encoding::DecodeError),
    /// The announcement is nobody's statement.
    #[error("the announcement does not hold: {0}")]
    Envelope(#[from] EnvelopeRefusal),
    /// Another message.
    #[error("the announcement is a {got} message, expected Announce")]
    NotAnnounce {
        /// Found.
        got: &'static str,
    },
    /// Not stored.
    #[error(transparent)]
    Store(#[from] StoreTrouble),
    /// A defect of the store.
    #[error(transparent)]
    Open(#[from] OpenTrouble),
    /// The process is ending.
    #[error("the shard is shutting down")]
    Closing,
}

/// An official puts an election forward.
#[derive(Message, Debug)]
#[rtype(result = "Result<(ElectionId, bool), CreateRefusal>")]
pub struct Create {
    /// Canonical.
    pub manifest: Vec<u8>,
    /// The official's envelope.
    pub announce: Vec<u8>,
    /// Who calls.
    pub caller: SpkiPin,
}

/// See the [module](self).
pub struct ShardActor {
    deps: Arc<Deps>,
    workers: Workers,
    directory: Directory,
}

impl ShardActor {
    /// Of a process that has taken up its elections.
    #[must_use]
    pub fn new(deps: Arc<Deps>, workers: Workers, directory: Directory) -> Self {
        Self { deps, workers, directory }
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;
}

impl Drop for ShardActor {
    fn drop(&mut self) {
        super::stop_if_panicking("the shard's actor");
    }
}

impl Handler<Create> for ShardActor {
    /// Atomic: one creation after another.
    type Result = AtomicResponse<Self, Result<(ElectionId, bool), CreateRefusal>>;

    fn handle(&mut self, create: Create, _: &mut Self::Context) -> Self::Result {
        let (deps, workers, directory) = (Arc::clone(&self.deps), self.workers.clone(), self.directory.clone());
        let work = async move { put_forward(&deps, &workers, &directory, create).await };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

async fn put_forward(
    deps: &Arc<Deps>,
    workers: &Workers,
    directory: &Directory,
    create: Create,
) -> Result<(ElectionId, bool), CreateRefusal> {
    let manifest = Manifest::open(&create.manifest)?;
    let id = manifest.id();
    if home_of(deps, &manifest).is_none() {
        return Err(CreateRefusal::NotHome {
            home: manifest.home_shard().map_or_else(String::new, |s| s.name.clone()),
        });
    }
    if manifest.officials.iter().all(|official| official.tls_pin != *create.caller.as_bytes()) {
        return Err(CreateRefusal::NotOfficial);
    }
    let announce = Envelope::from_bytes(&create.announce)?;
    announce.verify(&id, &manifest)?;
    if !matches!(announce.body, Body::Announce(_)) {
        return Err(CreateRefusal::NotAnnounce { got: announce.body.name() });
    }
    let existed = directory.get(&id);
    let handle = match &existed {
        Some(handle) => handle.clone(),
        None => {
            let new = NewElection {
                id: id.0,
                manifest: create.manifest,
                board_epoch: OsEntropy.next_u64(),
                created_ms: runtime::clock::now_ms(),
            };
            // Not in the directory and in the store: it could not be taken up, and its trouble was said at the start.
            let stored = deps.store.create_election(new).await?.ok_or(OpenTrouble::Panic)?;
            let handle = open(deps, workers, stored).await?;
            directory.insert(handle.clone());
            handle
        }
    };
    match handle.actor.send(Post(vec![announce])).await {
        Ok(taken) => drop(taken?),
        Err(_) => return Err(CreateRefusal::Closing),
    }
    tracing::info!(election = %id, existed = existed.is_some(), "election put forward");
    Ok((id, existed.is_some()))
}
