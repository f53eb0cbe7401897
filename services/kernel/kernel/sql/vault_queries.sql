-- name: vault_is_complete
-- Whether the last thing that is granted was: then all of it is there.
SELECT EXISTS (
    SELECT 1 FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.rolname = 'projections' AND n.nspname = 'vault' AND c.relname = 'keys'
       AND has_table_privilege(r.oid, c.oid, 'SELECT'));

-- name: find_keys
-- The keys of these subjects.
SELECT subject_id::text, wrapped, wrapped_by FROM keys WHERE subject_id = ANY ($1::uuid[]);

-- name: find_person
-- The id of the key of a person of this account.
SELECT key_id FROM keys WHERE subject_id = $1 AND account_id = $2 AND kind = 'person';

-- name: find_destroyed
-- Which of these keys were destroyed.
SELECT d.subject_id::text, d.key_id FROM destroyed d
  JOIN unnest($1::uuid[], $2::bytea[]) w(subject_id, key_id) ON d.subject_id = w.subject_id AND d.key_id = w.key_id;

-- name: wrapped_by_whom
-- The vault keys in use, from one to the next: a handful of look-ups, however many keys there are.
WITH RECURSIVE used AS (
    (SELECT wrapped_by FROM keys ORDER BY wrapped_by LIMIT 1)
    UNION ALL
    SELECT (SELECT k.wrapped_by FROM keys k WHERE k.wrapped_by > u.wrapped_by ORDER BY k.wrapped_by LIMIT 1)
      FROM used u WHERE u.wrapped_by IS NOT NULL
)
SELECT wrapped_by FROM used WHERE wrapped_by IS NOT NULL;

-- name: insert_keys
-- New keys, in id order; a subject that has one meanwhile keeps it and is not answered.
INSERT INTO keys (subject_id, account_id, key_id, wrapped, wrapped_by, kind)
SELECT s, a, k, w, $5, $6 FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[]) n(s, a, k, w)
ON CONFLICT DO NOTHING
RETURNING subject_id::text;

-- name: destroy_key
-- The key goes; that it did, and why, stays.
WITH gone AS (
    DELETE FROM keys WHERE subject_id = $1 AND key_id = $2 RETURNING subject_id, key_id, account_id
)
INSERT INTO destroyed (subject_id, key_id, account_id, destroyed_by, reason)
SELECT subject_id, key_id, account_id, $3, $4 FROM gone ON CONFLICT DO NOTHING;

-- name: wrapped_by_others
-- Keys that another vault key wraps.
SELECT subject_id::text, wrapped, wrapped_by FROM keys WHERE wrapped_by <> $1
 ORDER BY subject_id LIMIT $2 FOR UPDATE;

-- name: rewrap
-- Keys under their new wrapping; the keys themselves are the same.
UPDATE keys k SET wrapped = n.wrapped, wrapped_by = $3
  FROM unnest($1::uuid[], $2::bytea[]) n(subject_id, wrapped) WHERE k.subject_id = n.subject_id;
