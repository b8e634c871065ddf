//! A bounded pool for arithmetic: actors and connections never wait for curve points on their own thread.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// As many jobs at a time as there are cores. Clones share.
#[derive(Clone, Debug)]
pub struct Pool {
    handle: Handle,
    places: Arc<Semaphore>,
}

impl Pool {
    /// On this runtime's blocking threads.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { handle, places: Arc::new(Semaphore::new(cores)) }
    }

    /// Runs a job when there is a place. `None` if it panicked: the panic is logged by the process's hook.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _place = self.places.acquire().await.ok()?;
        self.handle.spawn_blocking(job).await.ok()
    }

    /// The runtime that tasks of this process belong to.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}
