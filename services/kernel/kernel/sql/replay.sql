-- name: tables
-- The service's own tables with their columns and those of their primary keys, from the catalogue: a new one is not
-- forgotten.
SELECT c.relname::text AS name,
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.place) AS key,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname;

-- name: copy
-- A live table as it stands.
CREATE TEMPORARY TABLE "live_{table}" AS SELECT * FROM "{schema}"."{table}";

-- name: make
-- The same table, empty, for the service's own statements. Room on every page, as the live ones have, for a row is
-- updated several times.
CREATE TEMPORARY TABLE "{table}" (LIKE "{schema}"."{table}" INCLUDING ALL) WITH (fillfactor = 50);

-- name: make_plain
-- The columns that events tell, empty, to be filled at one go: keys and constraints would only cost time.
CREATE TEMPORARY TABLE "{table}" AS SELECT {columns} FROM "{schema}"."{table}" WITH NO DATA;

-- name: start
-- From the beginning, of the same topics, past the same events.
INSERT INTO offsets SELECT topic, partition, 0 FROM live_offsets;
INSERT INTO topic_ids SELECT * FROM live_topic_ids;
INSERT INTO set_aside SELECT * FROM live_set_aside;

-- name: until
-- Up to where the service had read.
SELECT topic, partition, next_offset FROM live_offsets WHERE next_offset > 0 AND topic = ANY($1);

-- name: produced
-- How far its own events had left the outbox for the log.
SELECT topic, partition, next_offset FROM live_produced WHERE topic = ANY($1);

-- name: passed_over
-- How many events before that were set aside.
SELECT count(*) FROM live_set_aside s JOIN live_offsets o USING (topic, partition)
 WHERE s.event_offset < o.next_offset AND topic = ANY($1);

-- name: waiting_to_leave
-- A few rows of the outbox, in their order.
SELECT seq, topic, events FROM live_outbox WHERE seq > $1 AND topic = ANY($2) ORDER BY seq LIMIT 100;

-- name: keep_first
-- Of an event that is there several times, the first in its partition; where it lay is no part of the table.
DELETE FROM "{table}" WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM (SELECT ctid, row_number() OVER (PARTITION BY {key} ORDER BY place) AS nth FROM "{table}") r
     WHERE nth > 1));
ALTER TABLE "{table}" DROP COLUMN place;

-- name: rows
-- How many there are.
SELECT count(*) FROM "live_{table}";

-- name: differences
-- The rows that only one side has, or that are not the same: how many, and of the first by key, which columns.
SELECT count(*) OVER () AS differing, ARRAY[{texts}] AS key, l.{first} IS NOT NULL AS live, f.{first} IS NOT NULL AS folded,
       ARRAY(SELECT a.key FROM jsonb_each(to_jsonb(l)) a JOIN jsonb_each(to_jsonb(f)) b USING (key)
              WHERE a.value <> b.value ORDER BY a.key) AS columns
  FROM "live_{table}" l FULL JOIN "{table}" f USING ({key})
 WHERE l IS DISTINCT FROM f
 ORDER BY {key} LIMIT $1;
