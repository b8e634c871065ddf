//! Elections, boards, rolls, evidence, times.

use sqlx::Row;

use super::{Store, StoreTrouble, int, uint};

/// An election that is put forward.
#[derive(Debug, Clone)]
pub struct NewElection {
    /// Id.
    pub id: [u8; 32],
    /// Canonical manifest.
    pub manifest: Vec<u8>,
    /// Random.
    pub board_epoch: u64,
    /// Now.
    pub created_ms: u64,
}

/// An election in the store.
#[derive(Debug, Clone)]
pub struct StoredElection {
    /// Leads every key.
    pub key: i64,
    /// Canonical manifest.
    pub manifest: Vec<u8>,
    /// Identity of the board.
    pub board_epoch: u64,
}

impl Store {
    /// Stores an election. `None` if it is there already.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn create_election(&self, new: NewElection) -> Result<Option<StoredElection>, StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                // 63 bits: SQLite's integers have a sign.
                let epoch = new.board_epoch >> 1;
                let row = sqlx::query(
                    "INSERT INTO elections (id, manifest, board_epoch, created_ms) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (id) DO NOTHING RETURNING key",
                )
                .bind(new.id.to_vec())
                .bind(new.manifest.clone())
                .bind(int(epoch))
                .bind(int(new.created_ms))
                .fetch_optional(connection)
                .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(StoredElection { key: row.try_get(0)?, manifest: new.manifest, board_epoch: epoch }))
            })
        })
        .await
    }

    /// All elections.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn elections(&self) -> Result<Vec<StoredElection>, StoreTrouble> {
        self.read(|connection| {
            Box::pin(async move {
                let rows = sqlx::query("SELECT key, manifest, board_epoch FROM elections ORDER BY key")
                    .fetch_all(connection)
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(StoredElection {
                            key: row.try_get(0)?,
                            manifest: row.try_get(1)?,
                            board_epoch: uint(row.try_get(2)?),
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// Appends to the board, from place `first` on: slot and envelope of each.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn append_board(
        &self,
        election: i64,
        first: u64,
        envelopes: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                for ((slot, envelope), seq) in envelopes.into_iter().zip(first..) {
                    sqlx::query("INSERT INTO board (election, seq, slot, envelope) VALUES (?, ?, ?, ?)")
                        .bind(election)
                        .bind(int(seq))
                        .bind(slot)
                        .bind(envelope)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The whole board, in order.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn board(&self, election: i64) -> Result<Vec<Vec<u8>>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query("SELECT envelope FROM board WHERE election = ? ORDER BY seq")
                    .bind(election)
                    .fetch_all(connection)
                    .await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            })
        })
        .await
    }

    /// Keeps a proof of a wrong. Twice is once.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn keep_evidence(&self, election: i64, digest: [u8; 32], bytes: Vec<u8>) -> Result<(), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query("INSERT INTO evidence (election, digest, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
                    .bind(election)
                    .bind(digest.to_vec())
                    .bind(bytes)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// All proofs of wrongs.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn evidence(&self, election: i64) -> Result<Vec<Vec<u8>>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let query = sqlx::query("SELECT bytes FROM evidence WHERE election = ?").bind(election);
                query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
            })
        })
        .await
    }

    /// Keeps the voter roll. Twice is once.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn keep_roll(&self, election: i64, bytes: Vec<u8>) -> Result<(), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query("INSERT INTO rolls (election, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING")
                    .bind(election)
                    .bind(bytes)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// The voter roll, if it has arrived.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn roll(&self, election: i64) -> Result<Option<Vec<u8>>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let query = sqlx::query("SELECT bytes FROM rolls WHERE election = ?").bind(election);
                query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
            })
        })
        .await
    }

    /// When a stage was first seen. Later sightings change nothing.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn keep_stage_time(&self, election: i64, stage: &'static str, time_ms: u64) -> Result<(), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO stage_times (election, stage, time_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(election)
                .bind(stage)
                .bind(int(time_ms))
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Stages seen so far, in order of time.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn stage_times(&self, election: i64) -> Result<Vec<(String, u64)>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows =
                    sqlx::query("SELECT stage, time_ms FROM stage_times WHERE election = ? ORDER BY time_ms, rowid")
                        .bind(election)
                        .fetch_all(connection)
                        .await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, uint(row.try_get(1)?)))).collect()
            })
        })
        .await
    }
}
