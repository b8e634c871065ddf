//! Threads for actors: each has a runtime and a `LocalSet` of its own, made here and never by an actor.

use std::io;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

type Start = Box<dyn FnOnce() + Send>;

/// A few threads on which actors live. They end when this is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    threads: Vec<mpsc::Sender<Start>>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system has none.
    pub fn start(count: usize) -> io::Result<Self> {
        let threads = (0..count.max(1)).map(worker).collect::<io::Result<_>>()?;
        Ok(Self { threads })
    }

    /// Runs something on the thread that a key belongs to: `Actor::start` has to be called there.
    /// `None` if the thread is gone.
    pub async fn run<T: Send + 'static>(&self, key: u64, start: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let count = u64::try_from(self.threads.len()).ok()?;
        let thread = self.threads.get(usize::try_from(key.checked_rem(count)?).ok()?)?;
        let (answer, answered) = oneshot::channel();
        thread.send(Box::new(move || drop(answer.send(start())))).await.ok()?;
        answered.await.ok()
    }
}

fn worker(number: usize) -> io::Result<mpsc::Sender<Start>> {
    let (starts, mut waiting) = mpsc::channel::<Start>(64);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("actors-{number}")).spawn(move || {
        LocalSet::new().block_on(&runtime, async move {
            while let Some(start) = waiting.recv().await {
                start();
            }
        });
    })?;
    Ok(starts)
}
