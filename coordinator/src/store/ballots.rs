//! Ballots, votes, rejections, checkpoints.
//!
//! Whether a ballot is in is decided by the constraints of the database, inside the transaction that puts it in: a row
//! of `ballots` (one digest once), of `components` (no ciphertext twice), of `votes` (one credential once, where the
//! first ballot counts). What was judged before is only a courtesy. (C01)

use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Executor, QueryBuilder, Row};

use super::{Store, StoreTrouble, int, uint};

/// Rows of one INSERT: far below SQLite's bound on variables.
const ROWS_MAX: usize = 256;
/// Rejections that are kept: whoever sends rubbish must not fill the disk.
const REJECTIONS_MAX: i64 = 100_000;

/// A checked ballot, to be put in.
#[derive(Debug, Clone)]
pub struct NewBallot {
    /// Id.
    pub digest: [u8; 32],
    /// Whose.
    pub credential: [u8; 32],
    /// Leaf hash.
    pub leaf: [u8; 32],
    /// First ciphertext components.
    pub components: Vec<[u8; 32]>,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A signed rejection, to be put on record.
#[derive(Debug, Clone)]
pub struct NewRejection {
    /// Leaf hash of what was rejected.
    pub ballot: [u8; 32],
    /// Why.
    pub code: u16,
    /// Canonical.
    pub bytes: Vec<u8>,
}

/// What a constraint forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// This very ballot is in already.
    Known,
    /// The credential has voted, and the first ballot counts.
    Voted,
    /// A ciphertext of it is in another ballot.
    Component,
}

/// What became of a ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It is this leaf of its lane, durably.
    Recorded(u64),
    /// It is not in.
    Conflict(Conflict),
}

/// A ballot in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBallot {
    /// Lane.
    pub lane: u16,
    /// Place.
    pub index: u64,
    /// Leaf hash.
    pub leaf: [u8; 32],
    /// Whose.
    pub credential: [u8; 32],
}

fn array(bytes: Vec<u8>) -> Result<[u8; 32], sqlx::Error> {
    let got = bytes.len();
    bytes.try_into().map_err(|_| sqlx::Error::Protocol(format!("STORE_CORRUPT: a hash of {got} bytes, expected 32")))
}

impl Store {
    /// Puts a batch in, as one durable transaction, from leaf `next` on. `first` is the revote rule.
    /// Gives what became of each, and how many rejections are new.
    ///
    /// # Errors
    /// [`StoreTrouble`]: nothing of it is in.
    pub async fn commit_ballots(
        &self,
        election: i64,
        lane: u16,
        next: u64,
        first: bool,
        ballots: Vec<NewBallot>,
        rejections: Vec<NewRejection>,
    ) -> Result<(Vec<Commit>, u64), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                let place = Place { election, lane, first };
                connection.execute("SAVEPOINT batch").await?;
                let outcomes = if place.all(connection, next, &ballots).await? {
                    (next..).zip(&ballots).map(|(index, _)| Commit::Recorded(index)).collect()
                } else {
                    // Somebody collides: again, one by one, to see who.
                    connection.execute("ROLLBACK TO batch").await?;
                    place.each(connection, next, &ballots).await?
                };
                connection.execute("RELEASE batch").await?;
                let rejected = keep_rejections(connection, election, &rejections).await?;
                Ok((outcomes, rejected))
            })
        })
        .await
    }

    /// Puts rejections on record; gives how many are new.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn reject(&self, election: i64, rejections: Vec<NewRejection>) -> Result<u64, StoreTrouble> {
        self.write(move |connection| Box::pin(async move { keep_rejections(connection, election, &rejections).await }))
            .await
    }

    /// Ballots by their ids; those that are not in are left out.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn find_ballots(
        &self,
        election: i64,
        digests: Vec<[u8; 32]>,
    ) -> Result<Vec<([u8; 32], KnownBallot)>, StoreTrouble> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |connection| {
            Box::pin(async move {
                let mut found = Vec::new();
                for chunk in digests.chunks(ROWS_MAX) {
                    let mut query: QueryBuilder<Sqlite> =
                        QueryBuilder::new("SELECT digest, lane, idx, leaf, credential FROM ballots WHERE election = ");
                    query.push_bind(election).push(" AND digest IN (");
                    let mut list = query.separated(", ");
                    for digest in chunk {
                        list.push_bind(digest.to_vec());
                    }
                    query.push(")");
                    for row in query.build().persistent(false).fetch_all(&mut *connection).await? {
                        let known = KnownBallot {
                            lane: u16::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u16::MAX),
                            index: uint(row.try_get(2)?),
                            leaf: array(row.try_get(3)?)?,
                            credential: array(row.try_get(4)?)?,
                        };
                        found.push((array(row.try_get(0)?)?, known));
                    }
                }
                Ok(found)
            })
        })
        .await
    }

    /// Leaves of a lane: bytes and leaf hash, from an index on.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn leaves(
        &self,
        election: i64,
        lane: u16,
        from: u64,
        count: u64,
    ) -> Result<Vec<(Vec<u8>, [u8; 32])>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT bytes, leaf FROM ballots WHERE election = ? AND lane = ? AND idx >= ? AND idx < ? ORDER BY idx",
                )
                .bind(election)
                .bind(i64::from(lane))
                .bind(int(from))
                .bind(int(from.saturating_add(count)))
                .fetch_all(connection)
                .await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, array(row.try_get(1)?)?))).collect()
            })
        })
        .await
    }

    /// Rejections from a position on, and how many there are.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn rejections(&self, election: i64, from: u64, count: u64) -> Result<(Vec<Vec<u8>>, u64), StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows =
                    sqlx::query("SELECT bytes FROM rejections WHERE election = ? AND seq >= ? ORDER BY seq LIMIT ?")
                        .bind(election)
                        .bind(int(from))
                        .bind(int(count))
                        .fetch_all(&mut *connection)
                        .await?;
                let total = sqlx::query("SELECT coalesce(max(seq) + 1, 0) FROM rejections WHERE election = ?")
                    .bind(election)
                    .fetch_one(connection)
                    .await?
                    .try_get::<i64, _>(0)?;
                let bytes = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
                Ok((bytes, uint(total)))
            })
        })
        .await
    }

    /// Stores a checkpoint, and forgets older ones of the lane that it overtakes: any is overtaken by a final one, one
    /// that is not final by any.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn keep_checkpoint(
        &self,
        election: i64,
        lane: u16,
        size: u64,
        is_final: bool,
        note: String,
    ) -> Result<(), StoreTrouble> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO checkpoints (election, lane, size, final, note) VALUES (?, ?, ?, ?, ?) \
                     ON CONFLICT (election, lane, size) DO UPDATE SET final = excluded.final, note = excluded.note \
                     WHERE excluded.final >= checkpoints.final",
                )
                .bind(election)
                .bind(i64::from(lane))
                .bind(int(size))
                .bind(i64::from(is_final))
                .bind(note)
                .execute(&mut *connection)
                .await?;
                sqlx::query("DELETE FROM checkpoints WHERE election = ? AND lane = ? AND size < ? AND final <= ?")
                    .bind(election)
                    .bind(i64::from(lane))
                    .bind(int(size))
                    .bind(i64::from(is_final))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// The stored checkpoints of a lane: size, whether it is final, note. Ascending.
    ///
    /// # Errors
    /// [`StoreTrouble`].
    pub async fn checkpoints(&self, election: i64, lane: u16) -> Result<Vec<(u64, bool, String)>, StoreTrouble> {
        self.read(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT size, final, note FROM checkpoints WHERE election = ? AND lane = ? ORDER BY size",
                )
                .bind(election)
                .bind(i64::from(lane))
                .fetch_all(connection)
                .await?;
                rows.iter()
                    .map(|row| Ok((uint(row.try_get(0)?), row.try_get::<i64, _>(1)? != 0, row.try_get(2)?)))
                    .collect()
            })
        })
        .await
    }
}

#[derive(Clone, Copy)]
struct Place {
    election: i64,
    lane: u16,
    first: bool,
}

impl Place {
    /// All of them with few statements. `false` if any constraint forbids any of them.
    async fn all(
        self,
        connection: &mut SqliteConnection,
        next: u64,
        ballots: &[NewBallot],
    ) -> Result<bool, sqlx::Error> {
        let mut index = next;
        for chunk in ballots.chunks(ROWS_MAX) {
            let places: Vec<(u64, &NewBallot)> = (index..).zip(chunk).collect();
            index = index.saturating_add(chunk.len() as u64);
            let components: usize = chunk.iter().map(|ballot| ballot.components.len()).sum();
            let fine = self.insert_ballots(connection, &places).await? == chunk.len()
                && self.insert_components(connection, chunk).await? == components
                && self.insert_votes(connection, &places).await? == chunk.len();
            if !fine {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One at a time. Indices have no gaps.
    async fn each(
        self,
        connection: &mut SqliteConnection,
        next: u64,
        ballots: &[NewBallot],
    ) -> Result<Vec<Commit>, sqlx::Error> {
        let mut index = next;
        let mut outcomes = Vec::with_capacity(ballots.len());
        for ballot in ballots {
            connection.execute("SAVEPOINT ballot").await?;
            let place = [(index, ballot)];
            let one = std::slice::from_ref(ballot);
            let conflict = if self.insert_ballots(connection, &place).await? != 1 {
                Some(Conflict::Known)
            } else if self.insert_components(connection, one).await? != ballot.components.len() {
                Some(Conflict::Component)
            } else if self.insert_votes(connection, &place).await? != 1 {
                Some(Conflict::Voted)
            } else {
                None
            };
            match conflict {
                None => {
                    outcomes.push(Commit::Recorded(index));
                    index = index.saturating_add(1);
                }
                Some(conflict) => {
                    connection.execute("ROLLBACK TO ballot").await?;
                    outcomes.push(Commit::Conflict(conflict));
                }
            }
            connection.execute("RELEASE ballot").await?;
        }
        Ok(outcomes)
    }

    async fn insert_ballots(
        self,
        connection: &mut SqliteConnection,
        ballots: &[(u64, &NewBallot)],
    ) -> Result<usize, sqlx::Error> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("INSERT INTO ballots (election, lane, idx, digest, credential, leaf, bytes) ");
        query.push_values(ballots, |mut row, (index, ballot)| {
            row.push_bind(self.election)
                .push_bind(i64::from(self.lane))
                .push_bind(int(*index))
                .push_bind(ballot.digest.to_vec())
                .push_bind(ballot.credential.to_vec())
                .push_bind(ballot.leaf.to_vec())
                .push_bind(ballot.bytes.clone());
        });
        // Only the digest may collide: a place that is taken means that two writers think they own the lane.
        query.push(" ON CONFLICT (election, digest) DO NOTHING");
        execute(query, connection).await
    }

    async fn insert_components(
        self,
        connection: &mut SqliteConnection,
        ballots: &[NewBallot],
    ) -> Result<usize, sqlx::Error> {
        let components: Vec<[u8; 32]> = ballots.iter().flat_map(|ballot| ballot.components.iter().copied()).collect();
        let mut inserted = 0;
        for chunk in components.chunks(ROWS_MAX) {
            let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("INSERT INTO components (election, component) ");
            query.push_values(chunk, |mut row, component| {
                row.push_bind(self.election).push_bind(component.to_vec());
            });
            query.push(" ON CONFLICT DO NOTHING");
            inserted += execute(query, connection).await?;
        }
        Ok(inserted)
    }

    async fn insert_votes(
        self,
        connection: &mut SqliteConnection,
        ballots: &[(u64, &NewBallot)],
    ) -> Result<usize, sqlx::Error> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("INSERT INTO votes (election, credential, lane, idx) ");
        query.push_values(ballots, |mut row, (index, ballot)| {
            row.push_bind(self.election)
                .push_bind(ballot.credential.to_vec())
                .push_bind(i64::from(self.lane))
                .push_bind(int(*index));
        });
        query.push(if self.first {
            " ON CONFLICT (election, credential) DO NOTHING"
        } else {
            " ON CONFLICT (election, credential) DO UPDATE SET lane = excluded.lane, idx = excluded.idx"
        });
        execute(query, connection).await
    }
}

async fn execute(mut query: QueryBuilder<Sqlite>, connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let done = query.build().execute(connection).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

async fn keep_rejections(
    connection: &mut SqliteConnection,
    election: i64,
    rejections: &[NewRejection],
) -> Result<u64, sqlx::Error> {
    let mut new = 0_u64;
    for rejection in rejections {
        let done = sqlx::query(
            "INSERT INTO rejections (election, seq, ballot, code, bytes) \
             SELECT ?1, n, ?2, ?3, ?4 FROM (SELECT coalesce(max(seq) + 1, 0) AS n FROM rejections WHERE election = ?1) \
             WHERE n < ?5 ON CONFLICT (election, ballot, code) DO NOTHING",
        )
        .bind(election)
        .bind(rejection.ballot.to_vec())
        .bind(i64::from(rejection.code))
        .bind(rejection.bytes.clone())
        .bind(REJECTIONS_MAX)
        .execute(&mut *connection)
        .await?;
        new = new.saturating_add(done.rows_affected());
    }
    Ok(new)
}
