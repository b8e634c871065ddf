-- Everything that a trustee has promised or was told. Nothing here is ever changed; only a voter roll that turns out
-- to be the wrong one is thrown away.

-- Whose folder this is: another key must not go on with these promises. (K06)
CREATE TABLE owner (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  identity BLOB NOT NULL CHECK (length(identity) = 32)
) STRICT;

CREATE TABLE elections (
  id BLOB PRIMARY KEY CHECK (length(id) = 32),
  manifest BLOB NOT NULL,
  taken_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Own envelopes and received ones, in the order in which they were absorbed. One body per slot.
CREATE TABLE journal (
  election BLOB NOT NULL REFERENCES elections (id),
  seq INTEGER NOT NULL CHECK (seq >= 0),
  slot BLOB NOT NULL,
  envelope BLOB NOT NULL,
  PRIMARY KEY (election, seq),
  UNIQUE (election, slot)
) STRICT;

-- What an attempt at a key ceremony is made from, sealed by the keystore.
CREATE TABLE seeds (
  election BLOB NOT NULL REFERENCES elections (id),
  attempt INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (election, attempt)
) STRICT, WITHOUT ROWID;

-- The operator's word, until it is in the journal the last one counts.
CREATE TABLE decisions (
  election BLOB PRIMARY KEY REFERENCES elections (id),
  accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
  reason TEXT NOT NULL,
  taken_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roll_chunks (
  election BLOB NOT NULL REFERENCES elections (id),
  start INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (election, start)
) STRICT;

-- The trustee's own copy of the log.
CREATE TABLE ballots (
  election BLOB NOT NULL REFERENCES elections (id),
  lane INTEGER NOT NULL,
  idx INTEGER NOT NULL CHECK (idx >= 0),
  bytes BLOB NOT NULL,
  PRIMARY KEY (election, lane, idx)
) STRICT;

-- Checkpoints that were co-signed: one root for each size, for ever.
CREATE TABLE cosigned (
  election BLOB NOT NULL REFERENCES elections (id),
  lane INTEGER NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL CHECK (length(root) = 32),
  PRIMARY KEY (election, lane, size)
) STRICT, WITHOUT ROWID;

-- Proven wrongs (canonical), and signed checkpoints that contradict the own log (text).
CREATE TABLE evidence (
  election BLOB NOT NULL REFERENCES elections (id),
  digest BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('wrong', 'fork')),
  bytes BLOB NOT NULL,
  PRIMARY KEY (election, digest)
) STRICT;

-- Elections in which this trustee must promise nothing more, and why.
CREATE TABLE halts (
  election BLOB PRIMARY KEY REFERENCES elections (id),
  reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
