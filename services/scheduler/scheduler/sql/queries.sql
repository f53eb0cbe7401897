-- name: end_campaigns
-- The ENDs of a batch; a repeated one is nothing.
INSERT INTO ended_campaigns (campaign_id, ended_at, scheduled_for, event_id)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[])
ON CONFLICT DO NOTHING;

-- name: ends_of
-- What is known of the ENDs of these campaigns.
SELECT campaign_id::text, ended_at, scheduled_for, event_id::text FROM ended_campaigns WHERE campaign_id = ANY($1);

-- name: hold
-- Holds messages until they are due; a repeated one is nothing.
INSERT INTO held (recipient_id, campaign_id, due_at, event)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[])
ON CONFLICT DO NOTHING;

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

-- name: take_due
-- A chunk of what is due by the watermark, oldest first; other instances take other rows.
DELETE FROM held WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM held WHERE due_at <= (SELECT at FROM watermark) ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING event;

-- name: take_dropped
-- A chunk of what can never go out: its campaign ended before its time.
DELETE FROM held WHERE ctid = ANY (ARRAY(
    SELECT h.ctid FROM ended_campaigns e JOIN held h USING (campaign_id)
     WHERE e.ended_at < e.scheduled_for AND e.campaign_id = ANY($2) LIMIT $1 FOR UPDATE OF h SKIP LOCKED))
RETURNING event;

-- name: ended_early
-- Scheduled campaigns that ended before a time the watermark has not reached: something may still be held for them.
SELECT campaign_id::text FROM ended_campaigns
 WHERE ended_at < scheduled_for AND scheduled_for > (SELECT at FROM watermark);

-- name: outlook
-- What operators look at.
SELECT (SELECT at FROM watermark) AS watermark,
       (SELECT min(due_at) FROM held) AS next_due,
       (SELECT count(*) FROM (SELECT FROM held LIMIT 100000) h) AS held,
       (SELECT count(*) FROM clocks) AS clocks_uncovered;
