//! All elections of one daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use protocol::encoding::Hash;
use protocol::ids::ElectionId;
use tokio::sync::Mutex;

use crate::election::{Election, Ground, RestoreTrouble};
use crate::refused::Refused;

/// Elections of one daemon.
const ELECTIONS_MAX: usize = 1000;

/// See the [module](self).
#[derive(Debug)]
pub struct Directory {
    ground: Arc<Ground>,
    elections: RwLock<BTreeMap<ElectionId, Arc<Election>>>,
    taking_up: Mutex<()>,
}

impl Directory {
    /// The elections of the store, each as it was.
    ///
    /// # Errors
    /// The first one that cannot be gone on with.
    pub async fn restore(ground: Arc<Ground>) -> Result<Self, RestoreTrouble> {
        let mut elections = BTreeMap::new();
        for (id, manifest) in ground.store.elections().await? {
            let election = Election::restore(id, &manifest, &ground).await?;
            elections.insert(id, Arc::new(election));
        }
        Ok(Self { ground, elections: RwLock::new(elections), taking_up: Mutex::new(()) })
    }

    /// An election.
    #[must_use]
    pub fn election(&self, id: &ElectionId) -> Option<Arc<Election>> {
        self.elections.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// What all elections share.
    #[must_use]
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elections.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes up an election from its manifest; one that is there already stays as it is.
    ///
    /// # Errors
    /// As [`Election::take_up`], or too many elections.
    pub async fn take_up(
        &self,
        id: ElectionId,
        manifest: &[u8],
        caller: &Hash,
        caller_name: &str,
    ) -> Result<Arc<Election>, Refused> {
        let _one_at_a_time = self.taking_up.lock().await;
        if let Some(election) = self.election(&id) {
            return Ok(election);
        }
        if self.len() >= ELECTIONS_MAX {
            return Err(Refused::TooManyElections { max: ELECTIONS_MAX });
        }
        let election = Arc::new(Election::take_up(id, manifest, &self.ground, caller, caller_name).await?);
        self.elections.write().unwrap_or_else(PoisonError::into_inner).insert(id, election.clone());
        Ok(election)
    }
}
