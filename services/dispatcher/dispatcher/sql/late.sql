-- name: lock
-- How far the messages whose time is over have been looked at; one process at a time, null for the others.
SELECT useful_until, recipient_id FROM late FOR UPDATE SKIP LOCKED;

-- name: step
-- The next whose latest useful time was over at $3, in its order.
SELECT useful_until, recipient_id::text FROM messages
 WHERE useful_until IS NOT NULL AND (useful_until, recipient_id) > ($1, $2::uuid) AND useful_until < $3
 ORDER BY useful_until, recipient_id LIMIT $4;

-- name: take
-- Those of them that still wait leave the queue. Not those who opted out or were erased: their turn will say that.
WITH taken AS (
    DELETE FROM queue WHERE ctid = ANY(ARRAY(
        SELECT q.ctid FROM queue q JOIN messages m USING (recipient_id)
         WHERE q.recipient_id = ANY($1::uuid[])
           AND NOT EXISTS (SELECT FROM opt_outs o WHERE o.person_id = m.person_id AND o.in_force)
           AND NOT EXISTS (SELECT FROM erased x WHERE x.person_id = m.person_id)
         ORDER BY q.recipient_id FOR UPDATE OF q SKIP LOCKED))
    RETURNING recipient_id
)
SELECT m.recipient_id::text, m.account_id::text, m.campaign_id::text, m.person_id::text, m.released_by::text,
       m.useful_until
  FROM taken t
 CROSS JOIN LATERAL (SELECT * FROM messages WHERE recipient_id = t.recipient_id LIMIT 1) m;

-- name: looked_at
-- How far that is now.
UPDATE late SET useful_until = $1, recipient_id = $2;
