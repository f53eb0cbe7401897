-- name: end_campaigns
-- The ENDs of a batch; a repeated one is nothing.
INSERT INTO ended_campaigns (campaign_id, ended_at, scheduled_for, event_id)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[])
ON CONFLICT DO NOTHING;

-- name: ends_of
-- What is known of the ENDs of these campaigns.
SELECT campaign_id::text, ended_at, event_id::text FROM ended_campaigns WHERE campaign_id = ANY($1);

-- name: hold
-- Holds messages until they are due; a repeated one is nothing.
INSERT INTO held (recipient_id, campaign_id, due_at, release)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[])
ON CONFLICT DO NOTHING;

-- name: has_passed
-- Whether the watermark has reached a time.
SELECT at >= $1 FROM watermark;

-- name: keep_clocks
-- Clock readings that may not be covered yet.
INSERT INTO clocks (at, campaigns_offsets)
SELECT at, offsets::jsonb FROM unnest($1::timestamptz[], $2::text[]) c(at, offsets)
ON CONFLICT DO NOTHING;

-- name: advance_watermark
-- The newest reading whose `campaigns` offsets we have all read becomes the watermark; it never goes back.
WITH covered AS (
    SELECT max(c.at) AS at FROM clocks c
     WHERE NOT EXISTS (
        SELECT FROM jsonb_each_text(c.campaigns_offsets) needed(partition, next_offset)
         WHERE needed.next_offset::bigint > coalesce((
            SELECT o.next_offset FROM offsets o
             WHERE o.topic = 'campaigns' AND o.partition = needed.partition::int), 0))
)
UPDATE watermark w SET at = covered.at FROM covered WHERE covered.at > w.at
RETURNING w.at;

-- name: forget_clocks
-- Readings the watermark has passed.
DELETE FROM clocks WHERE at <= (SELECT at FROM watermark);

-- name: ready
-- Whose messages can go or must be dropped, those due first: what is due by the watermark, and what can never be due
-- because its campaign ended before. Watermark and ENDs are of one snapshot: it sees every END the watermark covers.
SELECT w.campaign_id::text, w.due_at, e.ended_at, e.event_id::text FROM (
    SELECT campaign_id, due_at FROM waiting WHERE due_at <= (SELECT at FROM watermark)
    UNION
    SELECT w.campaign_id, w.due_at FROM ended_campaigns c JOIN waiting w USING (campaign_id)
     WHERE c.ended_at < c.scheduled_for AND c.scheduled_for > (SELECT at FROM watermark)
       AND c.ended_at < w.due_at
) w LEFT JOIN ended_campaigns e USING (campaign_id)
 ORDER BY w.due_at, w.campaign_id LIMIT $1;

-- name: release
-- Up to $4 messages of each of these campaigns leave `held` for the outbox, as they are; other instances take others.
WITH taken AS (
    DELETE FROM held WHERE ctid = ANY (ARRAY(
        SELECT h.ctid FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) w(campaign_id, due_at, after)
         CROSS JOIN LATERAL (
            SELECT h.ctid FROM held h
             WHERE h.campaign_id = w.campaign_id AND h.seq > w.after AND h.due_at = w.due_at AND h.release IS NOT NULL
             ORDER BY h.seq LIMIT $4 FOR UPDATE SKIP LOCKED) h))
    RETURNING campaign_id, due_at, seq, release
), packed AS (
    INSERT INTO outbox (topic, events)
    SELECT 'releases', string_agg(release, '' ORDER BY due_at, seq) FROM taken HAVING count(*) > 0
)
SELECT campaign_id::text, due_at, count(*) AS messages, max(seq) AS last, clock_timestamp() - due_at AS late
  FROM taken GROUP BY campaign_id, due_at;

-- name: old
-- What 0.1.0 held of these campaigns.
SELECT recipient_id::text, event FROM held WHERE campaign_id = ANY($1::uuid[]) AND release IS NULL
 LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: make_ready
-- It gets what is held of a message today.
UPDATE held h SET release = r.release, event = NULL
  FROM unnest($1::uuid[], $2::bytea[]) r(recipient_id, release) WHERE h.recipient_id = r.recipient_id;

-- name: take
-- The same messages, taken to be dropped.
DELETE FROM held WHERE ctid = ANY (ARRAY(
    SELECT h.ctid FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) w(campaign_id, due_at, after)
     CROSS JOIN LATERAL (
        SELECT h.ctid FROM held h
         WHERE h.campaign_id = w.campaign_id AND h.seq > w.after AND h.due_at = w.due_at
         ORDER BY h.seq LIMIT $4 FOR UPDATE SKIP LOCKED) h))
RETURNING campaign_id::text, due_at, seq, release, event;

-- name: gone
-- Which of these had left before the schema was made anew.
SELECT recipient_id::text FROM gone WHERE recipient_id = ANY($1);

-- name: has_folded
-- Whether it is known who had left.
SELECT EXISTS (SELECT FROM folded);

-- name: add_gone
-- Some who had left.
INSERT INTO gone SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING;

-- name: fold
-- How far our own output was read, and `processed` must be until it no longer matters.
INSERT INTO folded SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]);

-- name: is_rebuilt
-- Whether `processed` has been read as far as it matters who had left.
SELECT EXISTS (SELECT FROM gone) AND NOT EXISTS (
    SELECT FROM folded f LEFT JOIN offsets o USING (topic, partition)
     WHERE f.topic = 'processed' AND coalesce(o.next_offset, 0) < f.until);

-- name: outlook
-- What operators look at: the watermark, and the readings it cannot follow yet.
SELECT w.at AS watermark, clock_timestamp() - w.at AS age,
       (SELECT min(due_at) FROM waiting) AS next_due,
       (SELECT coalesce(sum(held), 0)::bigint FROM waiting) AS held,
       (SELECT coalesce(sum(held), 0)::bigint FROM waiting WHERE due_at <= w.at) AS overdue,
       (SELECT count(*) FROM clocks) AS clocks_uncovered,
       EXISTS (SELECT FROM gone) AS rebuilding
  FROM watermark w;

-- name: uncovered
-- Which partitions of `campaigns` keep the watermark from the newest reading, and by how many events.
SELECT needed.partition::int AS partition, needed.next_offset::bigint - coalesce(o.next_offset, 0) AS events
  FROM (SELECT campaigns_offsets FROM clocks ORDER BY at DESC LIMIT 1) c,
       jsonb_each_text(c.campaigns_offsets) needed(partition, next_offset)
  LEFT JOIN offsets o ON o.topic = 'campaigns' AND o.partition = needed.partition::int
 WHERE needed.next_offset::bigint > coalesce(o.next_offset, 0)
 ORDER BY 1;

-- name: ahead
-- What is held for each of the next hours that anything is held for.
SELECT date_trunc('hour', due_at, 'UTC') AS hour, sum(held)::bigint AS held, count(*) AS campaigns
  FROM waiting GROUP BY 1 ORDER BY 1 LIMIT $1;
