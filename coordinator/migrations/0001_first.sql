-- One file per shard. The partition key - the election, as a small number - leads every primary key.

CREATE TABLE elections (
    key         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    manifest    BLOB NOT NULL,
    -- Identity of this store's board: a new store has a new one, and trustees start over with it.
    board_epoch INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE rolls (
    election INTEGER PRIMARY KEY REFERENCES elections (key),
    bytes    BLOB NOT NULL
) STRICT;

CREATE TABLE board (
    election INTEGER NOT NULL REFERENCES elections (key),
    seq      INTEGER NOT NULL,
    -- One body for one slot: the second is evidence, never a second row.
    slot     BLOB NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (election, seq),
    UNIQUE (election, slot)
) STRICT;

CREATE TABLE evidence (
    election INTEGER NOT NULL REFERENCES elections (key),
    digest   BLOB NOT NULL,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (election, digest)
) STRICT;

CREATE TABLE stage_times (
    election INTEGER NOT NULL REFERENCES elections (key),
    stage    TEXT NOT NULL,
    time_ms  INTEGER NOT NULL,
    PRIMARY KEY (election, stage)
) STRICT;

-- The log: leaf `idx` of a lane is the ballot's bytes.
CREATE TABLE ballots (
    election   INTEGER NOT NULL REFERENCES elections (key),
    lane       INTEGER NOT NULL,
    idx        INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    credential BLOB NOT NULL,
    leaf       BLOB NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (election, lane, idx),
    UNIQUE (election, digest)
) STRICT;

-- First ciphertext components: a repeat is a copy.
CREATE TABLE components (
    election  INTEGER NOT NULL,
    component BLOB NOT NULL,
    PRIMARY KEY (election, component)
) STRICT, WITHOUT ROWID;

-- The leaf that counts for a credential. This row decides a double vote.
CREATE TABLE votes (
    election   INTEGER NOT NULL,
    credential BLOB NOT NULL,
    lane       INTEGER NOT NULL,
    idx        INTEGER NOT NULL,
    PRIMARY KEY (election, credential)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejections (
    election INTEGER NOT NULL REFERENCES elections (key),
    seq      INTEGER NOT NULL,
    ballot   BLOB NOT NULL,
    code     INTEGER NOT NULL,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (election, seq),
    UNIQUE (election, ballot, code)
) STRICT;

-- Signed checkpoints: the newest of a lane, the newest final one, and the one at the end.
CREATE TABLE checkpoints (
    election INTEGER NOT NULL REFERENCES elections (key),
    lane     INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    final    INTEGER NOT NULL,
    note     TEXT NOT NULL,
    PRIMARY KEY (election, lane, size)
) STRICT;
