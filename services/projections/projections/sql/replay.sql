-- name: tables
-- The service's own tables with the columns of their primary keys, from the catalogue: a new one is not forgotten.
SELECT c.relname::text AS name,
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.place) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'projections' AND c.relkind IN ('r', 'p') ORDER BY c.relname;

-- name: copy
-- A live table as it stands.
CREATE TEMPORARY TABLE "live_{table}" AS SELECT * FROM projections."{table}";

-- name: make
-- The same table, empty, to fold into. Room on every page, as the live ones have, for a row is updated several times.
CREATE TEMPORARY TABLE "{table}" (LIKE projections."{table}" INCLUDING ALL) WITH (fillfactor = 50);

-- name: start
-- From the beginning, of the same topics, past the same events.
INSERT INTO offsets SELECT topic, partition, 0 FROM live_offsets;
INSERT INTO topic_ids SELECT * FROM live_topic_ids;
INSERT INTO set_aside SELECT * FROM live_set_aside;

-- name: until
-- Up to where projections had read.
SELECT topic, partition, next_offset FROM live_offsets WHERE next_offset > 0;

-- name: passed_over
-- How many events before that were set aside.
SELECT count(*) FROM live_set_aside s JOIN live_offsets o USING (topic, partition) WHERE s.event_offset < o.next_offset;

-- name: forget_zeros
-- A reason nobody failed for any more: whether it was ever counted depends on what was folded together.
DELETE FROM live_failed_by_reason WHERE n = 0;
DELETE FROM failed_by_reason WHERE n = 0;

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
