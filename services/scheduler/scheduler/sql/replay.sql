-- name: make
-- Who has left; and of the events noted in the derived tables, which came first.
CREATE TEMPORARY TABLE gone (recipient_id uuid);
ALTER TABLE held ADD COLUMN place bigint;
ALTER TABLE ended_campaigns ADD COLUMN place bigint;
ALTER TABLE clocks ADD COLUMN place bigint;

-- name: index_gone
-- Own output has been read: from now on everybody is looked for in it.
CREATE INDEX ON gone (recipient_id);
ANALYZE gone;

-- name: gone
-- Which of these have left.
SELECT DISTINCT recipient_id::text FROM gone WHERE recipient_id = ANY($1::uuid[]);

-- name: held_again
-- Who has left and is held nevertheless.
SELECT recipient_id::text FROM live_held h WHERE EXISTS (SELECT FROM gone g WHERE g.recipient_id = h.recipient_id);

-- name: old
-- What versions before this one held: a press, or a release whose bytes, behind its frame and key, do not begin as
-- today's ($2).
SELECT recipient_id::text, event, release FROM live_held
 WHERE (release IS NULL AND event IS NOT NULL OR substr(release, 43, 5) <> $2) AND recipient_id > $1::uuid
 ORDER BY recipient_id LIMIT 5000;

-- name: make_ready
-- It is compared as what is held of a message today.
UPDATE live_held h SET release = r.release FROM unnest($1::uuid[], $2::bytea[]) r(recipient_id, release)
 WHERE h.recipient_id = r.recipient_id;

-- name: count_held
-- How many are held, by campaign and time.
INSERT INTO waiting SELECT campaign_id, due_at, count(*) FROM held GROUP BY 1, 2;

-- name: watermark
-- The live one, unless it is above the newest reading that the stored offsets cover. It may be a reading behind, and
-- older than what `clock` still has.
CREATE INDEX ON clocks (at);
ANALYZE clocks;
WITH covered AS (
    SELECT r.at FROM clocks r
     WHERE NOT EXISTS (
        SELECT FROM jsonb_each_text(r.campaigns_offsets) needed(partition, next_offset)
         WHERE needed.next_offset::bigint > coalesce((
            SELECT o.next_offset FROM live_offsets o
             WHERE o.topic = 'campaigns' AND o.partition = needed.partition::int), 0))
     ORDER BY r.at DESC LIMIT 1
)
INSERT INTO watermark
SELECT CASE WHEN w.at > coalesce((SELECT at FROM covered), 'epoch') AND w.at >= (SELECT min(at) FROM clocks)
            THEN coalesce((SELECT at FROM covered), 'epoch') ELSE w.at END, w.one
  FROM live_watermark w;

-- name: forget_clocks
-- Readings that the watermark has passed mean nothing any more, and the first ones may be gone from `clock`.
DELETE FROM live_clocks WHERE at <= (SELECT at FROM live_watermark) OR at < (SELECT min(at) FROM clocks);
DELETE FROM clocks WHERE at <= (SELECT at FROM live_watermark);
