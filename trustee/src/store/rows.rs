//! The statements, one method for each thing that is kept or looked up.

use std::path::Path;

use protocol::encoding::{Hash, Writer};
use protocol::ids::{Attempt, ElectionId, LaneIndex, LogSize};
use protocol::keeper::Decision;
use protocol::signed::Slot;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{Store, StoreTrouble};

/// Ballots of one INSERT.
const ROWS_PER_INSERT: usize = 256;
/// Rows of one page, whatever their size.
const ROWS_PER_PAGE: i64 = 4096;

/// A piece of a voter roll.
pub type Chunk = (u64, Vec<u8>);

/// A checkpoint that was co-signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosigned {
    /// Of which lane.
    pub lane: LaneIndex,
    /// Leaves.
    pub size: LogSize,
    /// Root.
    pub root: Hash,
}

/// The operator's word, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision(pub Decision);

/// New leaves of a lane.
#[derive(Debug, Clone)]
pub struct NewBallots {
    /// Which lane.
    pub lane: LaneIndex,
    /// Place of the first.
    pub first: u64,
    /// Their bytes.
    pub ballots: Vec<Vec<u8>>,
    /// The checkpoint over them that will be co-signed.
    pub cosigned: Option<Cosigned>,
}

/// SQLite's integers are signed; ours are not.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn hash(row: &SqliteRow, index: usize) -> Result<Hash, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(index)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| sqlx::Error::ColumnDecode {
        index: index.to_string(),
        source: format!("32 bytes expected, {} found", bytes.len()).into(),
    })
}

fn slot_bytes(slot: &Slot) -> Vec<u8> {
    let mut out = Writer::new();
    out.u16(slot.tag).u32(slot.number).u16(slot.topic).value(&slot.sender);
    out.finish()
}

pub(super) async fn check_durability(connection: &mut SqliteConnection) -> Result<(), StoreTrouble> {
    let failed = |source| StoreTrouble::Failed { what: "read the database's settings", source };
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.map_err(failed)?;
    if mode != "wal" {
        return Err(StoreTrouble::NotDurable { what: "journal_mode", expected: "wal", got: mode });
    }
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await.map_err(failed)?;
    if synchronous != 2 {
        let got = synchronous.to_string();
        return Err(StoreTrouble::NotDurable { what: "synchronous", expected: "2 (FULL)", got });
    }
    Ok(())
}

pub(super) async fn check_damage(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreTrouble> {
    let damaged = |found| StoreTrouble::Damaged { path: path.to_owned(), found };
    let found: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await;
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(damaged(found)),
        Err(error) => Err(damaged(error.to_string())),
    }
}

pub(super) async fn check_owner(
    connection: &mut SqliteConnection,
    path: &Path,
    identity: &Hash,
) -> Result<(), StoreTrouble> {
    let failed = |source| StoreTrouble::Failed { what: "read whose data folder this is", source };
    sqlx::query("INSERT INTO owner (one, identity) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(identity.to_vec())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let owner: Vec<u8> =
        sqlx::query_scalar("SELECT identity FROM owner").fetch_one(connection).await.map_err(failed)?;
    if owner != identity {
        let (expected, got) = (hex::encode(owner), hex::encode(identity));
        return Err(StoreTrouble::OtherOwner { path: path.to_owned(), expected, got });
    }
    Ok(())
}

impl Store {
    /// All elections: id and canonical manifest.
    ///
    /// # Errors
    /// [`StoreTrouble`], as for every method here.
    pub async fn elections(&self) -> Result<Vec<(ElectionId, Vec<u8>)>, StoreTrouble> {
        self.ask("read the elections", |connection| {
            Box::pin(async move {
                let rows = sqlx::query("SELECT id, manifest FROM elections ORDER BY taken_ms, id");
                let rows = rows.fetch_all(connection).await?;
                rows.iter().map(|row| Ok((ElectionId(hash(row, 0)?), row.try_get(1)?))).collect()
            })
        })
        .await
    }

    /// Keeps a manifest.
    pub async fn add_election(&self, id: ElectionId, manifest: Vec<u8>, now_ms: u64) -> Result<(), StoreTrouble> {
        self.ask("store a manifest", move |connection| {
            Box::pin(async move {
                let insert = sqlx::query("INSERT INTO elections (id, manifest, taken_ms) VALUES (?, ?, ?)");
                insert.bind(id.0.to_vec()).bind(manifest).bind(signed(now_ms)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// The journal of an election from a position on, as much as fits into `bytes_max`, at least one envelope.
    pub async fn journal(&self, id: ElectionId, from: u64, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreTrouble> {
        self.ask("read the journal", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query_scalar::<_, Vec<u8>>(
                    "SELECT envelope FROM journal WHERE election = ? AND seq >= ? ORDER BY seq LIMIT ?",
                );
                let rows = rows.bind(id.0.to_vec()).bind(signed(from)).bind(ROWS_PER_PAGE).fetch_all(connection);
                Ok(fitting(rows.await?, bytes_max))
            })
        })
        .await
    }

    /// How many envelopes the journal of an election has.
    pub async fn journal_len(&self, id: ElectionId) -> Result<u64, StoreTrouble> {
        self.ask("read the journal", move |connection| {
            Box::pin(async move {
                let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM journal WHERE election = ?");
                Ok(count.bind(id.0.to_vec()).fetch_one(connection).await?.cast_unsigned())
            })
        })
        .await
    }

    /// Appends to the journal, all or nothing.
    pub async fn append(
        &self,
        id: ElectionId,
        first: u64,
        envelopes: Vec<(Slot, Vec<u8>)>,
    ) -> Result<(), StoreTrouble> {
        self.ask("write the journal", move |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                for (seq, (slot, envelope)) in (first..).zip(envelopes) {
                    sqlx::query("INSERT INTO journal (election, seq, slot, envelope) VALUES (?, ?, ?, ?)")
                        .bind(id.0.to_vec())
                        .bind(signed(seq))
                        .bind(slot_bytes(&slot))
                        .bind(envelope)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            })
        })
        .await
    }

    /// Keeps a sealed seed. An attempt has one: a second is an error.
    pub async fn put_seed(&self, id: ElectionId, attempt: Attempt, sealed: Vec<u8>) -> Result<(), StoreTrouble> {
        self.ask("store a sealed seed", move |connection| {
            Box::pin(async move {
                let insert = sqlx::query("INSERT INTO seeds (election, attempt, sealed) VALUES (?, ?, ?)");
                insert.bind(id.0.to_vec()).bind(i64::from(attempt.0)).bind(sealed).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// The sealed seeds.
    pub async fn seeds(&self, id: ElectionId) -> Result<Vec<(Attempt, Vec<u8>)>, StoreTrouble> {
        self.ask("read the sealed seeds", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query("SELECT attempt, sealed FROM seeds WHERE election = ? ORDER BY attempt");
                let rows = rows.bind(id.0.to_vec()).fetch_all(connection).await?;
                rows.iter().map(|row| Ok((Attempt(row.try_get::<u32, _>(0)?), row.try_get(1)?))).collect()
            })
        })
        .await
    }

    /// Keeps the operator's word; the last one counts.
    pub async fn put_decision(&self, id: ElectionId, decision: Decision, now_ms: u64) -> Result<(), StoreTrouble> {
        self.ask("store the operator's decision", move |connection| {
            Box::pin(async move {
                let (accepted, reason) = match decision {
                    Decision::Accept => (true, String::new()),
                    Decision::Refuse { reason } => (false, reason),
                };
                sqlx::query(
                    "INSERT INTO decisions (election, accepted, reason, taken_ms) VALUES (?, ?, ?, ?)
                     ON CONFLICT (election) DO UPDATE
                     SET accepted = excluded.accepted, reason = excluded.reason, taken_ms = excluded.taken_ms",
                )
                .bind(id.0.to_vec())
                .bind(accepted)
                .bind(reason)
                .bind(signed(now_ms))
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The operator's word.
    pub async fn decision(&self, id: ElectionId) -> Result<Option<StoredDecision>, StoreTrouble> {
        self.ask("read the operator's decision", move |connection| {
            Box::pin(async move {
                let row = sqlx::query("SELECT accepted, reason FROM decisions WHERE election = ?");
                let Some(row) = row.bind(id.0.to_vec()).fetch_optional(connection).await? else { return Ok(None) };
                let accepted: bool = row.try_get(0)?;
                let decision = if accepted { Decision::Accept } else { Decision::Refuse { reason: row.try_get(1)? } };
                Ok(Some(StoredDecision(decision)))
            })
        })
        .await
    }

    /// Keeps a piece of the voter roll.
    pub async fn put_roll(&self, id: ElectionId, (start, bytes): Chunk) -> Result<(), StoreTrouble> {
        self.ask("store a piece of the voter roll", move |connection| {
            Box::pin(async move {
                let insert = sqlx::query("INSERT INTO roll_chunks (election, start, bytes) VALUES (?, ?, ?)");
                insert.bind(id.0.to_vec()).bind(signed(start)).bind(bytes).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// The voter roll as far as it has come.
    pub async fn roll(&self, id: ElectionId) -> Result<Vec<u8>, StoreTrouble> {
        self.ask("read the voter roll", move |connection| {
            Box::pin(async move {
                let rows =
                    sqlx::query_scalar::<_, Vec<u8>>("SELECT bytes FROM roll_chunks WHERE election = ? ORDER BY start");
                Ok(rows.bind(id.0.to_vec()).fetch_all(connection).await?.concat())
            })
        })
        .await
    }

    /// Throws away a roll that is not the manifest's.
    pub async fn drop_roll(&self, id: ElectionId) -> Result<(), StoreTrouble> {
        self.ask("remove a wrong voter roll", move |connection| {
            Box::pin(async move {
                let delete = sqlx::query("DELETE FROM roll_chunks WHERE election = ?");
                delete.bind(id.0.to_vec()).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Keeps leaves, and the checkpoint over them that is about to be co-signed; all or nothing.
    pub async fn put_ballots(&self, id: ElectionId, new: NewBallots) -> Result<(), StoreTrouble> {
        self.ask("store ballots", move |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                let lane = i64::from(new.lane.0);
                let mut numbered = (new.first..).zip(new.ballots).peekable();
                while numbered.peek().is_some() {
                    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO ballots (election, lane, idx, bytes) ");
                    insert.push_values(numbered.by_ref().take(ROWS_PER_INSERT), |mut row, (idx, bytes)| {
                        row.push_bind(id.0.to_vec()).push_bind(lane).push_bind(signed(idx)).push_bind(bytes);
                    });
                    insert.build().execute(&mut *transaction).await?;
                }
                if let Some(cosigned) = new.cosigned {
                    sqlx::query("INSERT INTO cosigned (election, lane, size, root) VALUES (?, ?, ?, ?)")
                        .bind(id.0.to_vec())
                        .bind(i64::from(cosigned.lane.0))
                        .bind(signed(cosigned.size.0))
                        .bind(cosigned.root.to_vec())
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await
            })
        })
        .await
    }

    /// Leaves of a lane from a place on, at most `count`, as many as fit into `bytes_max`, at least one.
    pub async fn ballots(
        &self,
        id: ElectionId,
        lane: LaneIndex,
        from: u64,
        count: u64,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreTrouble> {
        self.ask("read ballots", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query_scalar::<_, Vec<u8>>(
                    "SELECT bytes FROM ballots WHERE election = ? AND lane = ? AND idx >= ? ORDER BY idx LIMIT ?",
                );
                let count = signed(count.min(ROWS_PER_PAGE.unsigned_abs()));
                let rows = rows.bind(id.0.to_vec()).bind(i64::from(lane.0)).bind(signed(from)).bind(count);
                Ok(fitting(rows.fetch_all(connection).await?, bytes_max))
            })
        })
        .await
    }

    /// How many leaves each lane has; lanes without any are not in it.
    pub async fn lane_sizes(&self, id: ElectionId) -> Result<Vec<(LaneIndex, LogSize)>, StoreTrouble> {
        self.ask("count ballots", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT lane, max(idx) + 1, count(*) FROM ballots WHERE election = ? GROUP BY lane ORDER BY lane",
                );
                let rows = rows.bind(id.0.to_vec()).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        let lane = LaneIndex(row.try_get::<u16, _>(0)?);
                        let (end, count) = (row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?);
                        // A hole would make the end larger than the count; the replay stops at the hole.
                        Ok((lane, LogSize(end.min(count).cast_unsigned())))
                    })
                    .collect()
            })
        })
        .await
    }

    /// All co-signed checkpoints, ascending in each lane.
    pub async fn cosigned(&self, id: ElectionId) -> Result<Vec<Cosigned>, StoreTrouble> {
        self.ask("read co-signed checkpoints", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query("SELECT lane, size, root FROM cosigned WHERE election = ? ORDER BY lane, size");
                let rows = rows.bind(id.0.to_vec()).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        let (lane, size) = (LaneIndex(row.try_get::<u16, _>(0)?), row.try_get::<i64, _>(1)?);
                        let root = hash(row, 2)?;
                        Ok(Cosigned { lane, size: LogSize(size.cast_unsigned()), root })
                    })
                    .collect()
            })
        })
        .await
    }

    /// The root that was co-signed at one size.
    pub async fn cosigned_at(
        &self,
        id: ElectionId,
        lane: LaneIndex,
        size: LogSize,
    ) -> Result<Option<Hash>, StoreTrouble> {
        self.ask("read a co-signed checkpoint", move |connection| {
            Box::pin(async move {
                let row = sqlx::query("SELECT root FROM cosigned WHERE election = ? AND lane = ? AND size = ?");
                let row = row.bind(id.0.to_vec()).bind(i64::from(lane.0)).bind(signed(size.0));
                row.fetch_optional(connection).await?.map(|row| hash(&row, 0)).transpose()
            })
        })
        .await
    }

    /// Keeps evidence: `wrong` is canonical, `fork` a signed checkpoint's text. Again is no error.
    pub async fn put_evidence(
        &self,
        id: ElectionId,
        digest: Hash,
        kind: &'static str,
        bytes: Vec<u8>,
    ) -> Result<(), StoreTrouble> {
        self.ask("store evidence", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO evidence (election, digest, kind, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(id.0.to_vec())
                .bind(digest.to_vec())
                .bind(kind)
                .bind(bytes)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Evidence of one kind.
    pub async fn evidence(&self, id: ElectionId, kind: &'static str) -> Result<Vec<Vec<u8>>, StoreTrouble> {
        self.ask("read evidence", move |connection| {
            Box::pin(async move {
                let rows = sqlx::query_scalar::<_, Vec<u8>>(
                    "SELECT bytes FROM evidence WHERE election = ? AND kind = ? ORDER BY digest",
                );
                rows.bind(id.0.to_vec()).bind(kind).fetch_all(connection).await
            })
        })
        .await
    }

    /// Notes that nothing more may be promised in an election. The first reason stays.
    pub async fn put_halt(&self, id: ElectionId, reason: String) -> Result<(), StoreTrouble> {
        self.ask("store why an election is halted", move |connection| {
            Box::pin(async move {
                let insert = sqlx::query("INSERT INTO halts (election, reason) VALUES (?, ?) ON CONFLICT DO NOTHING");
                insert.bind(id.0.to_vec()).bind(reason).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Why nothing more may be promised in an election.
    pub async fn halt(&self, id: ElectionId) -> Result<Option<String>, StoreTrouble> {
        self.ask("read why an election is halted", move |connection| {
            Box::pin(async move {
                let reason = sqlx::query_scalar::<_, String>("SELECT reason FROM halts WHERE election = ?");
                reason.bind(id.0.to_vec()).fetch_optional(connection).await
            })
        })
        .await
    }
}

/// The first of them that fit together into `bytes_max`, at least one.
fn fitting(rows: Vec<Vec<u8>>, bytes_max: usize) -> Vec<Vec<u8>> {
    let mut left = bytes_max;
    let mut first = true;
    rows.into_iter()
        .take_while(|row| {
            let fits = row.len() <= left;
            left = left.saturating_sub(row.len());
            std::mem::take(&mut first) || fits
        })
        .collect()
}
