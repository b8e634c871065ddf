//! What a trustee keeps on disk: one SQLite file in write-ahead mode, every commit synced.
//!
//! One task owns the connection and is never cancelled: a future dropped inside a transaction would leave it open, and
//! later commits would be lost with it. Others hand it work through a bounded queue. Whoever has asked for a write that
//! backs a promise must stop the process if it fails ([`durable`]).

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

mod rows;

pub use rows::{Chunk, Cosigned, NewBallots, StoredDecision};

/// The file's name in the data folder.
pub const FILE: &str = "trustee.sqlite";
/// Pieces of work that may wait for the connection.
const WAITING_MAX: usize = 64;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreTrouble {
    /// The file cannot be opened.
    #[error("cannot open {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The file was made by another version of this program.
    #[error("{} does not fit this version of the program: run the version that made it", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: sqlx::migrate::MigrateError,
    },
    /// The file belongs to another trustee. (K06)
    #[error("STATE_OF_ANOTHER: {} was written under identity key {expected}, this keystore has {got}: every key needs its own data folder", .path.display())]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// Written in it.
        expected: String,
        /// Of the keystore.
        got: String,
    },
    /// A commit would not be synced. (G01)
    #[error("the database would lose commits: {what} is {got}, it must be {expected}")]
    NotDurable {
        /// The setting.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// The file is damaged. (G02)
    #[error("STORE_CORRUPT: {} is damaged ({found}): restore nothing from a backup, ask for help", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        found: String,
    },
    /// Reading or writing failed.
    #[error("cannot {what}: is the disk full or failing?")]
    Failed {
        /// What was being done.
        what: &'static str,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The store was closed.
    #[error("cannot {what}: the store is closed")]
    Closed {
        /// What was being done.
        what: &'static str,
    },
}

/// The value, or the end of the process: a promise must not outlive a write that failed. (G06)
pub fn durable<T>(outcome: Result<T, StoreTrouble>) -> T {
    match outcome {
        Ok(value) => value,
        Err(trouble) => {
            let cause = std::error::Error::source(&trouble).map(|source| format!(": {source}")).unwrap_or_default();
            runtime::fail_stop(format_args!("{trouble}{cause}"))
        }
    }
}

type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, ()> + Send>;

/// The store. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// Opens the store of the trustee with this identity key, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreTrouble`]; in particular another trustee's store is refused.
    pub async fn open(folder: &Path, identity: &[u8; 32]) -> Result<Self, StoreTrouble> {
        let path = folder.join(FILE);
        let mut connection = connect(&path, true).await?;
        let migrator = sqlx::migrate!("./migrations");
        migrator.run(&mut connection).await.map_err(|source| StoreTrouble::Version { path: path.clone(), source })?;
        rows::check_durability(&mut connection).await?;
        rows::check_damage(&mut connection, &path).await?;
        rows::check_owner(&mut connection, &path, identity).await?;
        Ok(Self::own(connection))
    }

    /// Opens an existing store for reading, beside a daemon that may be running. `None` if there is none.
    ///
    /// # Errors
    /// [`StoreTrouble::Open`].
    pub async fn look(folder: &Path) -> Result<Option<Self>, StoreTrouble> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        connect(&path, false).await.map(Self::own).map(Some)
    }

    fn own(mut connection: SqliteConnection) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(job) = queue.recv().await {
                job(&mut connection).await;
            }
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the store did not close cleanly");
            }
        });
        Self { jobs }
    }

    /// Has the owner of the connection do something, to its end, whether or not the caller still waits.
    async fn ask<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    ) -> Result<T, StoreTrouble> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                // A caller who has gone needs no answer; the work is done all the same.
                drop(reply.send(work(connection).await));
            })
        });
        self.jobs.send(job).await.map_err(|_| StoreTrouble::Closed { what })?;
        let outcome = answer.await.map_err(|_| StoreTrouble::Closed { what })?;
        outcome.map_err(|source| StoreTrouble::Failed { what, source })
    }
}

async fn connect(path: &Path, writing: bool) -> Result<SqliteConnection, StoreTrouble> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(writing)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("query_only", if writing { "0" } else { "1" })
        // No files of its own for sorting and undoing: strangers may have used up all that this process may open.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    options.connect().await.map_err(|source| StoreTrouble::Open { path: path.to_owned(), source })
}
