-- name: keep
-- What is kept of replays: apart from the schemas that are exchanged, so that it outlives them. Repeatable.
CREATE TABLE IF NOT EXISTS replay.history (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at  timestamptz,  -- null while it goes on, and for good if it was killed
    done_by   text        NOT NULL,
    command   text        NOT NULL,
    arguments jsonb       NOT NULL,
    outcome   text
);
COMMENT ON TABLE replay.history IS 'no wall: for operators, out of the API''s reach';
-- The schema's oid is what stays the same when it is renamed.
CREATE TABLE IF NOT EXISTS replay.runs (
    schema_oid   oid PRIMARY KEY,
    made_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    indexes      text[],       -- still to be made, after the bulk
    caught_up_at timestamptz,
    compared_at  timestamptz,
    equal        boolean
);
COMMENT ON TABLE replay.runs IS 'no wall: for operators, out of the API''s reach';

-- name: begin
-- A command begins: who, what.
INSERT INTO replay.history (done_by, command, arguments) VALUES ($1, $2, $3::jsonb) RETURNING seq;

-- name: end
-- A command has ended, and how.
UPDATE replay.history SET ended_at = clock_timestamp(), outcome = $2 WHERE seq = $1;

-- name: history
-- What was done, newest first.
SELECT seq, begun_at, ended_at, done_by, command, arguments::text, outcome
  FROM replay.history ORDER BY seq DESC LIMIT $1;

-- name: schemas
-- Which of the three there are.
SELECT nspname::text FROM pg_namespace WHERE nspname = ANY($1::text[]);

-- name: register
-- The run, as it was just made.
INSERT INTO replay.runs (schema_oid) VALUES (to_regnamespace($1)) ON CONFLICT DO NOTHING;

-- name: run
-- How far the run is.
SELECT made_at, indexes, caught_up_at, compared_at, equal FROM replay.runs WHERE schema_oid = to_regnamespace($1);

-- name: caught_up
-- The run has caught up with the live offsets (for the first time: later it stays near).
UPDATE replay.runs SET caught_up_at = coalesce(caught_up_at, clock_timestamp()) WHERE schema_oid = to_regnamespace($1);

-- name: compared
-- The run was compared with the live tables.
UPDATE replay.runs SET compared_at = clock_timestamp(), equal = $2 WHERE schema_oid = to_regnamespace($1);

-- name: changed
-- The run is made otherwise: what a comparison found of it holds no longer.
UPDATE replay.runs SET compared_at = NULL, equal = NULL WHERE schema_oid = to_regnamespace($1);

-- name: migrations
-- What the run was made by.
SELECT name FROM {run}.migrations;

-- name: forget
-- The run is no more.
DELETE FROM replay.runs WHERE schema_oid = to_regnamespace($1);

-- name: deferrable_indexes
-- Indexes that only readers need: they are cheaper to make once the rows are there.
SELECT c.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE c.relnamespace = to_regnamespace($1) AND NOT i.indisunique ORDER BY 1;

-- name: defer
-- They are to be made later.
UPDATE replay.runs SET indexes = $2 WHERE schema_oid = to_regnamespace($1);

-- name: same_log
-- The run reads the topics that projections reads, past the same events.
INSERT INTO {run}.topic_ids SELECT * FROM {live}.topic_ids ON CONFLICT DO NOTHING;
INSERT INTO {run}.set_aside SELECT * FROM {live}.set_aside ON CONFLICT DO NOTHING;

-- name: offsets
-- Where the tables of a schema stand.
SELECT topic, partition, next_offset FROM {schema}.offsets WHERE next_offset > 0;

-- name: histories
-- Where the events of these rows lie, with the rows locked: nobody else has folded them meanwhile.
SELECT recipient_id::text, history FROM recipients WHERE recipient_id = ANY($1::uuid[]) ORDER BY recipient_id FOR UPDATE;

-- name: carry_over
-- What operators have decided goes on, and what stands still at an event does so in the new tables, if it does.
INSERT INTO {into}.set_aside SELECT * FROM {live}.set_aside ON CONFLICT DO NOTHING;
INSERT INTO {into}.stopped
SELECT s.* FROM {live}.stopped s JOIN {into}.offsets o USING (topic, partition) WHERE o.next_offset = s.event_offset
ON CONFLICT DO NOTHING;

-- name: pinned
-- Functions that name the schema they look into (SET search_path): the name is a text, which a rename leaves as it is.
SELECT p.oid::regprocedure::text AS routine, substr(setting, length('search_path=') + 1) AS search_path
  FROM pg_proc p CROSS JOIN unnest(p.proconfig) setting
 WHERE p.pronamespace = to_regnamespace($1) AND setting LIKE 'search_path=%';

-- name: sizes
-- The read models with their sizes on disk, indexes included, and about how many rows they have.
SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS rows
  FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' ORDER BY 2 DESC, 1;

-- name: sample_tables
-- The tables a sample is folded into, which nobody sees.
SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' ORDER BY 1;
