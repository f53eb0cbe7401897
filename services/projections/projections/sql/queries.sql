-- name: begin_batch
-- What a crash of Postgres takes back, offsets included, is folded from the log again: no waiting for the disk.
-- Rows are found by id, one by one: a plan made while a table was small must not scan it once it is large.
SELECT set_config('synchronous_commit', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- name: lock_recipients
-- The rows of these recipients, locked in id order, so that two batches never wait for each other in a circle.
SELECT recipient_id::text, campaign_id::text, account_id::text, person_id::text, position, added_at, history, number,
       processed_at, processed_by, due_at, released_at, dropped_at, drop_reason,
       suppressed_at, suppress_reason, opted_out_at, attempt, outcome, sent_at, accepted_at, carrier_message_id, segments,
       outcome_code, outcome_reason, outcome_at, receipt_attempt, receipt, receipt_at, receipt_code, receipt_reason
  FROM recipients WHERE recipient_id = ANY($1::uuid[]) ORDER BY recipient_id FOR UPDATE;

-- name: given
-- Recipients as one array for each column, in the order of `store.COLUMNS`. Not as rows of the table's type: what was
-- prepared goes on when a replay puts another table, perhaps with more columns, in this one's place.
unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bytea[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::timestamptz[],
    $16::timestamptz[], $17::text[], $18::timestamptz[], $19::text[], $20::timestamptz[], $21::int[], $22::text[],
    $23::timestamptz[], $24::timestamptz[], $25::text[], $26::int[], $27::text[], $28::text[], $29::int[],
    $30::text[], $31::timestamptz[], $32::text[], $33::text[], $34::timestamptz[], $35::timestamptz[]
) AS n (
    {columns}
);

-- name: update_recipients
-- What is known now of rows that are locked. Their place in the list stays: it is indexed, and rarely news.
UPDATE recipients r
   SET state = n.state, reason_code = n.reason_code, history = n.history, number = n.number,
       processed_at = n.processed_at, processed_by = n.processed_by, due_at = n.due_at, released_at = n.released_at,
       dropped_at = n.dropped_at, drop_reason = n.drop_reason,
       suppressed_at = n.suppressed_at, suppress_reason = n.suppress_reason, opted_out_at = n.opted_out_at,
       attempt = n.attempt, outcome = n.outcome, sent_at = n.sent_at, accepted_at = n.accepted_at,
       carrier_message_id = n.carrier_message_id, segments = n.segments,
       outcome_code = n.outcome_code, outcome_reason = n.outcome_reason,
       receipt_attempt = n.receipt_attempt, receipt = n.receipt, receipt_at = n.receipt_at,
       receipt_code = n.receipt_code, receipt_reason = n.receipt_reason, outcome_at = n.outcome_at
  FROM {given}
 WHERE r.recipient_id = n.recipient_id;

-- name: list_recipients
-- The place in the list of rows that were known before it, and are locked.
UPDATE recipients r
   SET position = n.position, columns = n.columns, cells = n.cells, added_at = n.added_at
  FROM {given}
 WHERE r.recipient_id = n.recipient_id;

-- name: change_figures
-- What a batch changes in the figures of its campaigns, in id order.
INSERT INTO campaigns AS c (campaign_id, account_id, version, unprocessed, waiting, suppressed, dropped, delivered,
                            failed, awaiting, unconfirmed, unknown)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
ON CONFLICT (campaign_id) DO UPDATE
   SET version = c.version + excluded.version, unprocessed = c.unprocessed + excluded.unprocessed,
       waiting = c.waiting + excluded.waiting, suppressed = c.suppressed + excluded.suppressed,
       dropped = c.dropped + excluded.dropped, delivered = c.delivered + excluded.delivered,
       failed = c.failed + excluded.failed, awaiting = c.awaiting + excluded.awaiting,
       unconfirmed = c.unconfirmed + excluded.unconfirmed, unknown = c.unknown + excluded.unknown;

-- name: change_failures
-- What a batch changes in the reasons of failures, in key order.
INSERT INTO failed_by_reason AS f (campaign_id, reason, n)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])
ON CONFLICT (campaign_id, reason) DO UPDATE SET n = f.n + excluded.n;

-- name: change_senders
-- What a batch adds to who pressed SEND, in key order.
INSERT INTO senders AS s (campaign_id, processed_by, processed, first_at, last_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (campaign_id, processed_by) DO UPDATE
   SET processed = s.processed + excluded.processed, first_at = least(s.first_at, excluded.first_at),
       last_at = greatest(s.last_at, excluded.last_at);

-- name: change_minutes
-- What a batch changes in the minutes of its campaigns, in key order; answers those in which nothing changed after all.
WITH changed AS (
    INSERT INTO minutes AS m (campaign_id, minute, unprocessed, waiting, suppressed, dropped, delivered, failed,
                              awaiting, unconfirmed, unknown)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
    ON CONFLICT (campaign_id, minute) DO UPDATE
       SET unprocessed = m.unprocessed + excluded.unprocessed, waiting = m.waiting + excluded.waiting,
           suppressed = m.suppressed + excluded.suppressed, dropped = m.dropped + excluded.dropped,
           delivered = m.delivered + excluded.delivered, failed = m.failed + excluded.failed,
           awaiting = m.awaiting + excluded.awaiting, unconfirmed = m.unconfirmed + excluded.unconfirmed,
           unknown = m.unknown + excluded.unknown
    RETURNING *
)
SELECT campaign_id, minute FROM changed
 WHERE (unprocessed, waiting, suppressed, dropped, delivered, failed, awaiting, unconfirmed, unknown)
     = (0, 0, 0, 0, 0, 0, 0, 0, 0);

-- name: forget_minutes
-- Minutes without change.
DELETE FROM minutes WHERE (campaign_id, minute) IN (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]));

-- name: create_campaigns
-- Campaigns as CampaignCreated tells of them, in id order; a repeat changes nothing.
INSERT INTO campaigns AS c (campaign_id, account_id, version, created_place, name, scheduled_for)
SELECT campaign_id, account_id, 1, place, name, scheduled_for
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::timestamptz[])
    AS n(campaign_id, account_id, place, name, scheduled_for)
ON CONFLICT (campaign_id) DO UPDATE
   SET version = c.version + 1, created_place = excluded.created_place,
       name = excluded.name, scheduled_for = excluded.scheduled_for
 WHERE c.created_place IS NULL;

-- name: end_campaigns
-- Campaigns as CampaignEnded tells of them, in id order; a repeat changes nothing.
INSERT INTO campaigns AS c (campaign_id, account_id, version, ended_place, ended_at)
SELECT campaign_id, account_id, 1, place, ended_at
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::timestamptz[]) AS n(campaign_id, account_id, place, ended_at)
ON CONFLICT (campaign_id) DO UPDATE
   SET version = c.version + 1, ended_place = excluded.ended_place, ended_at = excluded.ended_at
 WHERE c.ended_place IS NULL;

-- name: name_columns
-- Columns of lists, at the first place each was seen, in key order.
INSERT INTO list_columns AS l (campaign_id, name, place)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[])
ON CONFLICT (campaign_id, name) DO UPDATE SET place = excluded.place WHERE excluded.place < l.place;

-- name: record_opt_outs
-- Opt-outs and opt-ins; a repeat is nothing.
INSERT INTO opt_outs (person_id, occurred_at, event_id, opted_out, place, account_id)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::boolean[], $5::bytea[], $6::uuid[])
ON CONFLICT DO NOTHING;

-- name: record_erasures
-- Erasures of persons, in id order; a repeat is nothing.
INSERT INTO erasures (event_id, account_id, person_id, place)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[]) ON CONFLICT DO NOTHING;

-- name: campaign
-- The campaign, if it is the account's.
SELECT name FROM campaigns WHERE campaign_id = $1 AND account_id = $2;

-- name: progress
-- The figures of campaigns and the offsets they stand at: one statement, so one moment.
SELECT c.campaign_id::text, c.account_id::text, c.name, c.scheduled_for, c.ended_at, c.version, c.tableoid,
       c.unprocessed, c.waiting, c.suppressed, c.dropped, c.delivered, c.failed, c.awaiting, c.unconfirmed, c.unknown,
       (SELECT coalesce(jsonb_object_agg(f.reason, f.n), '{}') FROM failed_by_reason f
         WHERE f.campaign_id = c.campaign_id AND f.n <> 0)::text AS failed_by_reason,
       (SELECT as_of()) AS as_of
  FROM campaigns c WHERE c.campaign_id = ANY($1::uuid[]);

-- name: versions
-- How far the figures of these campaigns are, and of which table: a promote puts another in its place.
SELECT campaign_id::text, account_id::text, version, tableoid FROM campaigns WHERE campaign_id = ANY($1::uuid[]);

-- name: span
-- The first and the last minute in which figures of a campaign changed.
SELECT min(minute) AS first, max(minute) AS last FROM minutes WHERE campaign_id = $1;

-- name: over_time
-- How figures changed from step to step, and the offsets they stand at.
SELECT date_bin($2::interval, minute, '2001-01-01Z') AS at, sum(unprocessed)::bigint AS unprocessed,
       sum(waiting)::bigint AS waiting, sum(suppressed)::bigint AS suppressed, sum(dropped)::bigint AS dropped,
       sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed, sum(awaiting)::bigint AS awaiting,
       sum(unconfirmed)::bigint AS unconfirmed, sum(unknown)::bigint AS unknown, (SELECT as_of()) AS as_of
  FROM minutes WHERE campaign_id = $1 GROUP BY 1 ORDER BY 1;

-- name: senders
-- Who pressed SEND, most first.
SELECT processed_by, processed, first_at, last_at FROM senders WHERE campaign_id = $1
 ORDER BY processed DESC, processed_by;

-- name: totals
-- The figures of an account's campaigns, current and completed ones apart, and the offsets they stand at.
SELECT ended_at IS NOT NULL AS completed, count(*) AS campaigns, sum(unprocessed)::bigint AS unprocessed,
       sum(waiting)::bigint AS waiting, sum(suppressed)::bigint AS suppressed, sum(dropped)::bigint AS dropped,
       sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed, sum(awaiting)::bigint AS awaiting,
       sum(unconfirmed)::bigint AS unconfirmed, sum(unknown)::bigint AS unknown, (SELECT as_of()) AS as_of
  FROM campaigns WHERE account_id = $1 GROUP BY 1;

-- name: page
-- A page of a campaign's recipients in list order, after a place in it, in some states and of some reason.
SELECT * FROM described
 WHERE campaign_id = $1 AND (position, recipient_id) > ($2, $3::uuid)
   AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR reason_code = $5)
 ORDER BY position, recipient_id LIMIT $6;

-- name: recipient
-- One recipient of a campaign.
SELECT * FROM described WHERE campaign_id = $1 AND recipient_id = $2;

-- name: recipients_of_person
-- What a person is in the account's campaigns. No index: asked for when a person asks what is held of them.
SELECT * FROM described WHERE person_id = $1 AND account_id = $2 ORDER BY campaign_id, recipient_id;

-- name: states
-- Today's states of some recipients of a campaign.
SELECT recipient_id::text, state FROM recipients WHERE recipient_id = ANY($2::uuid[]) AND campaign_id = $1;

-- name: places
-- Where everything lies in the log that concerns a recipient: its own events, its campaign's, its person's.
SELECT r.person_id::text, r.history, c.created_place, c.ended_place,
       ARRAY(SELECT p.place FROM opt_outs p WHERE p.person_id = r.person_id
             UNION ALL SELECT x.place FROM erasures x WHERE x.person_id = r.person_id) AS person_places
  FROM recipients r JOIN campaigns c USING (campaign_id) WHERE r.recipient_id = $2 AND r.campaign_id = $1;

-- name: columns_of
-- The columns of a campaign's lists, in list order.
SELECT name FROM list_columns WHERE campaign_id = $1 ORDER BY place, name;

-- name: moment
-- When it is, and the offsets that everything read in the same snapshot stands at.
SELECT clock_timestamp(), as_of();

-- name: report
-- The recipients of a campaign in list order, times as the report writes them.
SELECT d.recipient_id::text, d.person_id::text, d.phone, d.columns, d.cells, d.state, d.delivery, d.reason_code,
       rfc3339(d.processed_at), d.processed_by, rfc3339(d.due_at), rfc3339(d.released_at), rfc3339(d.sent_at),
       rfc3339(d.accepted_at), rfc3339(d.delivered_at), d.carrier_code, d.carrier_message_id, d.segments::text,
       rfc3339(d.opted_out_at)
  FROM described d
 WHERE d.campaign_id = $1
 ORDER BY d.position, d.recipient_id;

-- name: drifted
-- Campaigns whose figures, senders or minutes are not what a recount of their rows gives. There are none.
WITH counted AS (
    SELECT campaign_id, state, count(*) AS n FROM recipients GROUP BY campaign_id, state
), told AS (
    SELECT c.campaign_id, l.state, l.n FROM campaigns c CROSS JOIN LATERAL (VALUES
        ('unprocessed', c.unprocessed), ('waiting', c.waiting), ('suppressed', c.suppressed), ('dropped', c.dropped),
        ('delivered', c.delivered), ('failed', c.failed), ('awaiting', c.awaiting), ('unconfirmed', c.unconfirmed),
        ('unknown', c.unknown)) l(state, n)
), summed AS (
    SELECT m.campaign_id, l.state, sum(l.n) AS n FROM minutes m CROSS JOIN LATERAL (VALUES
        ('unprocessed', m.unprocessed), ('waiting', m.waiting), ('suppressed', m.suppressed), ('dropped', m.dropped),
        ('delivered', m.delivered), ('failed', m.failed), ('awaiting', m.awaiting), ('unconfirmed', m.unconfirmed),
        ('unknown', m.unknown)) l(state, n)
     GROUP BY m.campaign_id, l.state
), counted_reasons AS (
    SELECT campaign_id, coalesce(reason_code, 'unknown') AS reason, count(*) AS n
      FROM recipients WHERE state = 'failed' GROUP BY 1, 2
), counted_senders AS (
    SELECT campaign_id, processed_by, count(*) AS processed, min(processed_at) AS first_at, max(processed_at) AS last_at
      FROM recipients WHERE processed_by IS NOT NULL GROUP BY 1, 2
)
SELECT DISTINCT campaign_id::text FROM (
    SELECT campaign_id FROM counted FULL JOIN told USING (campaign_id, state)
     WHERE coalesce(counted.n, 0) <> coalesce(told.n, 0)
    UNION ALL
    SELECT campaign_id FROM counted FULL JOIN summed USING (campaign_id, state)
     WHERE coalesce(counted.n, 0) <> coalesce(summed.n, 0)
    UNION ALL
    SELECT campaign_id FROM counted_reasons FULL JOIN failed_by_reason f USING (campaign_id, reason)
     WHERE coalesce(counted_reasons.n, 0) <> coalesce(f.n, 0)
    UNION ALL
    SELECT campaign_id FROM counted_senders c FULL JOIN senders s USING (campaign_id, processed_by)
     WHERE (c.processed, c.first_at, c.last_at) IS DISTINCT FROM (s.processed, s.first_at, s.last_at)
) differs;
