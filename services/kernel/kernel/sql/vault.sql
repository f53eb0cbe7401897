-- The vault: a key for each person and each campaign, wrapped. Statements must stay repeatable.
-- Apart from everything else, if need be in a database of its own, so that a backup of the services opens nothing.
CREATE TABLE IF NOT EXISTS keys (
    subject_id uuid        PRIMARY KEY,
    kind       text        NOT NULL,     -- whose it is: a `person`'s, a `campaign`'s, or a `service`'s for what is nobody's yet
    account_id uuid        NOT NULL,
    key_id     bytea       NOT NULL,
    wrapped    bytea       NOT NULL,     -- under the vault key `wrapped_by`, which is in no database
    wrapped_by bytea       NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which vault keys are in use: asked at every start, and by a rotation.
CREATE INDEX IF NOT EXISTS keys_by_wrapping ON keys (wrapped_by);

-- Keys that are no more: who was erased, when and why. The key itself is in no row.
CREATE TABLE IF NOT EXISTS destroyed (
    subject_id   uuid        NOT NULL,
    key_id       bytea       NOT NULL,
    account_id   uuid        NOT NULL,
    destroyed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    destroyed_by text        NOT NULL,
    reason       text        NOT NULL,
    PRIMARY KEY (subject_id, key_id)
);
