-- name: lock_budgets
-- How far these limits have been used, in the order in which everybody locks them.
SELECT b.kind, b.key, b.paid_until, b.day, b.spent
  FROM budgets b JOIN unnest($1::text[], $2::text[]) AS n(kind, key) USING (kind, key)
 ORDER BY b.kind, b.key FOR UPDATE OF b;

-- name: make_budgets
-- Limits that nobody has used: rates start empty.
INSERT INTO budgets (kind, key, account_id, paid_until, day)
SELECT kind, key, account_id, clock_timestamp(), (clock_timestamp() AT TIME ZONE 'UTC')::date
  FROM unnest($1::text[], $2::text[], $3::uuid[]) AS n(kind, key, account_id) ORDER BY kind, key
ON CONFLICT DO NOTHING;

-- name: epoch
-- The one clock of all dispatchers, read when asked, in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: write_budgets
-- What has been spent of them.
UPDATE budgets b
   SET paid_until = coalesce(n.paid_until, b.paid_until), day = coalesce(n.day, b.day), spent = coalesce(n.spent, b.spent)
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::date[], $5::bigint[]) AS n(kind, key, paid_until, day, spent)
 WHERE b.kind = n.kind AND b.key = n.key;

-- name: empty_rates
-- What rates have saved up is gone.
UPDATE budgets b SET paid_until = now()
  FROM (SELECT kind, key FROM budgets WHERE paid_until < now() AND paid_until > now() - interval '1 hour'
         ORDER BY kind, key FOR UPDATE) n
 WHERE b.kind = n.kind AND b.key = n.key;

-- name: read_budgets
-- How far these limits have been used.
SELECT b.kind, b.key, b.paid_until, b.day, b.spent
  FROM budgets b JOIN unnest($1::text[], $2::text[]) AS n(kind, key) USING (kind, key);
