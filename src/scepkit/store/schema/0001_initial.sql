-- The whole state of a server.  SQLite reads this text as it is; for PostgreSQL the words INTEGER,
-- BLOB, TEXT, STRICT and WITHOUT ROWID are replaced (migrations.py).  Times are milliseconds since
-- 1970 in UTC.  Large columns come last: a row's head is then read without its tail.

CREATE TABLE schema_version (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE ca (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('staged', 'active', 'retired')),
    key_ref TEXT NOT NULL,
    next_crl_number INTEGER NOT NULL,
    -- How many revocations there have been, and since when some are in no CRL.
    revocations INTEGER NOT NULL,
    crl_dirty_at INTEGER,
    created_at INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    chain BLOB NOT NULL,
    UNIQUE (name, generation)
) STRICT;
CREATE UNIQUE INDEX ca_one_active ON ca (name) WHERE status = 'active';
CREATE UNIQUE INDEX ca_one_staged ON ca (name) WHERE status = 'staged';

CREATE TABLE challenge (
    id INTEGER PRIMARY KEY,
    profile TEXT NOT NULL,
    mac BLOB NOT NULL UNIQUE,
    bind TEXT NOT NULL,
    label TEXT NOT NULL,
    uses INTEGER NOT NULL CHECK (uses > 0),
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0 AND uses_left <= uses),
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

-- One row for one logical enrolment: op_key makes every kind of retry end at the same row.
CREATE TABLE operation (
    id INTEGER PRIMARY KEY,
    profile TEXT NOT NULL,
    op_key BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('enrol', 'renew')),
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'approved', 'issued', 'rejected', 'failed', 'expired')),
    transaction_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    sans TEXT NOT NULL,
    challenge_id INTEGER REFERENCES challenge (id),
    renews_ca INTEGER REFERENCES ca (id),
    renews_serial TEXT,
    reason TEXT NOT NULL,
    fail_info INTEGER,
    attempts INTEGER NOT NULL,
    lease_until INTEGER,
    pending_until INTEGER,
    created_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    finished_at INTEGER,
    csr BLOB NOT NULL,
    signer BLOB NOT NULL,
    UNIQUE (profile, op_key, epoch),
    -- Somebody works at an approved operation, or may begin to: its lease says when.
    CHECK ((state = 'approved') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('pending', 'approved')) = (finished_at IS NULL))
) STRICT;
CREATE INDEX operation_pending ON operation (id) WHERE state = 'pending';
CREATE INDEX operation_lease ON operation (lease_until) WHERE lease_until IS NOT NULL;

-- transactionIDs are chosen by clients, may repeat and may collide: aliases, never identities.
CREATE TABLE transaction_alias (
    profile TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    signer_spki BLOB NOT NULL,
    operation_id INTEGER NOT NULL REFERENCES operation (id),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (profile, transaction_id, signer_spki)
) STRICT, WITHOUT ROWID;

-- A row is there, with its serial number, before anything is signed.
CREATE TABLE certificate (
    id INTEGER PRIMARY KEY,
    ca_id INTEGER NOT NULL REFERENCES ca (id),
    serial TEXT NOT NULL,
    operation_id INTEGER UNIQUE REFERENCES operation (id),
    state TEXT NOT NULL CHECK (state IN ('reserved', 'issued', 'revoked')),
    profile TEXT NOT NULL,
    subject TEXT NOT NULL,
    sans TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    issued_at INTEGER,
    revoked_at INTEGER,
    revocation_reason INTEGER,
    spki_sha256 BLOB NOT NULL,
    sha256 BLOB,
    frozen TEXT NOT NULL,
    der BLOB,
    UNIQUE (ca_id, serial),
    CHECK (state <> 'issued' OR der IS NOT NULL),
    CHECK (state <> 'reserved' OR der IS NULL),
    CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
) STRICT;
CREATE INDEX certificate_expiry ON certificate (not_after, id) WHERE state = 'issued';
CREATE INDEX certificate_revoked ON certificate (ca_id, id) WHERE state = 'revoked';
CREATE INDEX certificate_revoked_by_any ON certificate (id) WHERE state = 'revoked';

CREATE TABLE crl (
    ca_id INTEGER NOT NULL REFERENCES ca (id),
    number INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    -- The value of ca.revocations when its entries were read.
    covers INTEGER NOT NULL,
    -- Its length in bytes: what its pieces have together.
    size INTEGER NOT NULL,
    PRIMARY KEY (ca_id, number)
) STRICT;

-- Pieces are stored one by one before the row in crl is, which publishes them; `position` is where
-- in the CRL one begins.
CREATE TABLE crl_piece (
    ca_id INTEGER NOT NULL REFERENCES ca (id),
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (ca_id, number, position)
) STRICT;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- Not to be taken before; a worker that takes it moves this on, as a lease.
    not_before INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    done_at INTEGER,
    dead_at INTEGER,
    last_error TEXT NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (not_before, id) WHERE done_at IS NULL AND dead_at IS NULL;
-- What was told stays for a week, and is most of the table.
CREATE INDEX outbox_open ON outbox (id) WHERE done_at IS NULL;
CREATE INDEX outbox_told ON outbox (done_at) WHERE done_at IS NOT NULL;

-- Rows are added by the transactions that decide, and chained later by one sealer.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    node TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    position INTEGER,
    prev_hash BLOB,
    hash BLOB,
    CHECK ((position IS NULL) = (hash IS NULL)),
    CHECK ((position IS NULL) = (prev_hash IS NULL))
) STRICT;
CREATE UNIQUE INDEX audit_position ON audit (position) WHERE position IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (seq) WHERE position IS NULL;

-- The last link, so that rows cut off at the end are missed.
CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- The last link of those that were pruned: the first row left is chained to it.
CREATE TABLE audit_pruned (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- Who does a job that only one may do.
CREATE TABLE job (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
    name TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    -- Tells keys apart; "" where nobody said it.
    challenge_key TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
