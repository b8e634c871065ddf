//! What survives: one SQLite file (WAL, synchronous FULL) for each shard.
//!
//! One task owns the writing connection and is never cancelled half-way: callers hand it a job through a bounded channel
//! and may go away, the job is finished (sqlx 0.9.0 loses writes when a future is dropped around `begin`). Another task
//! reads, so that serving the log does not hold up votes. A job is one transaction. A full disk is said to the caller;
//! any other failure to write stops the process, since nobody can know what is on the disk then. (G06)

use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

mod ballots;
mod board;

pub use ballots::{Commit, Conflict, KnownBallot, NewBallot, NewRejection};
pub use board::{NewElection, StoredElection};

/// Jobs that wait for a connection.
const JOBS_MAX: usize = 256;
const PAGE_BYTES: u64 = 4096;

/// Why something was not stored or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoreTrouble {
    /// Nothing was stored.
    #[error(
        "INTAKE_PAUSED{{disk}}: the disk or the store's bound is full, or this process may open no more files; make room, \
         nothing is lost"
    )]
    Full,
    /// The process is ending.
    #[error("the store is closed")]
    Closed,
}

/// Why the store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenTrouble {
    /// The directory.
    #[error(transparent)]
    File(#[from] runtime::files::FileTrouble),
    /// The database.
    #[error("the store cannot be opened: {0}; is another process using it?")]
    Database(#[from] sqlx::Error),
    /// Its tables.
    #[error("the store's tables cannot be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Commits would not be durable. (G01)
    #[error("the database does not sync its commits (synchronous = {got}, expected 2)")]
    NotDurable {
        /// What it says.
        got: i64,
    },
}

type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, ()> + Send>;
/// What a job gives back while it has the connection.
pub type Answer<'c, T> = BoxFuture<'c, Result<T, sqlx::Error>>;

/// The store of this shard. Clones share.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::Sender<Job>,
    reader: mpsc::Sender<Job>,
}

impl Store {
    /// Opens or makes the file `shard.sqlite`, with at most so many bytes if a bound is given.
    ///
    /// # Errors
    /// [`OpenTrouble`].
    pub async fn open(dir: &Path, bytes_max: Option<u64>, handle: &Handle) -> Result<Self, OpenTrouble> {
        runtime::files::create_private_dir(dir)?;
        let path = dir.join("shard.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            // No files of its own for sorting and undoing: strangers may have used up all that this process may open.
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let mut writing = options.clone().connect().await?;
        sqlx::migrate!("./migrations").run(&mut writing).await?;
        let synchronous = sqlx::query("PRAGMA synchronous").fetch_one(&mut writing).await?.try_get::<i64, _>(0)?;
        if synchronous != 2 {
            return Err(OpenTrouble::NotDurable { got: synchronous });
        }
        if let Some(bytes) = bytes_max {
            let mut pragma = sqlx::QueryBuilder::new("PRAGMA max_page_count = ");
            pragma.push(bytes.div_ceil(PAGE_BYTES));
            pragma.build().execute(&mut writing).await?;
        }
        let reading = options.connect().await?;
        Ok(Self { writer: serve(writing, handle), reader: serve(reading, handle) })
    }

    /// One transaction: all of it, or nothing and [`StoreTrouble`].
    ///
    /// # Errors
    /// [`StoreTrouble`]. Other failures stop the process.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreTrouble>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Answer<'c, T> + Send + 'static,
    {
        self.submit(&self.writer, move |connection| Box::pin(transaction(connection, job))).await
    }

    /// A look without a transaction.
    ///
    /// # Errors
    /// [`StoreTrouble`]. Other failures stop the process.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreTrouble>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Answer<'c, T> + Send + 'static,
    {
        self.submit(&self.reader, job).await
    }

    async fn submit<T, F>(&self, to: &mpsc::Sender<Job>, job: F) -> Result<T, StoreTrouble>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Answer<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let done = match job(connection).await {
                    Ok(value) => Ok(value),
                    Err(error) if is_full(&error) => Err(StoreTrouble::Full),
                    Err(error) => runtime::fail_stop(format_args!("the store failed: {error}")),
                };
                // Whoever asked may be gone; what was stored stays stored.
                drop(answer.send(done));
            })
        });
        to.send(job).await.map_err(|_| StoreTrouble::Closed)?;
        answered.await.map_err(|_| StoreTrouble::Closed)?
    }
}

/// The task that owns a connection.
fn serve(mut connection: SqliteConnection, handle: &Handle) -> mpsc::Sender<Job> {
    let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS_MAX);
    handle.spawn(async move {
        while let Some(job) = waiting.recv().await {
            job(&mut connection).await;
        }
        drop(connection.close().await);
    });
    jobs
}

async fn transaction<T, F>(connection: &mut SqliteConnection, job: F) -> Result<T, sqlx::Error>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Answer<'c, T>,
{
    connection.execute("BEGIN IMMEDIATE").await?;
    let done = match job(connection).await {
        Ok(value) => connection.execute("COMMIT").await.map(|_| value),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // SQLite has rolled back by itself after some errors; then this one says so, and nothing is wrong.
        drop(connection.execute("ROLLBACK").await);
    }
    done
}

/// SQLITE_FULL, or what a full disk looks like through the WAL; SQLITE_CANTOPEN: no file can be opened now, as when strangers
/// hold all that this process may have.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("13" | "14"))
}

/// SQLite has signed integers only. Ours stay far below 2^63.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
