-- name: lock_campaign_shared
-- SEND and import hold the campaign shared: each is wholly before or wholly after its END. Whoever freezes with this
-- lock, or with END's, is ended after 2 s: others wait for it.
SELECT pg_advisory_xact_lock_shared(hashtextextended($1::text, 1)),
       set_config('idle_in_transaction_session_timeout', '2s', true);

-- name: try_campaigns_shared
-- The same for many campaigns, without waiting: those that nobody is ending, or waits to end.
SELECT id FROM unnest($1::text[]) id WHERE pg_try_advisory_xact_lock_shared(hashtextextended(id, 1));

-- name: lock_campaign
-- END holds the campaign exclusively.
SELECT pg_advisory_xact_lock(hashtextextended($1::text, 1)),
       set_config('idle_in_transaction_session_timeout', '2s', true);

-- name: lock_clock_shared
-- END holds the clock shared while it reads its time and commits: the clock waits for it, and behind the clock all ENDs.
SELECT pg_advisory_xact_lock_shared(hashtextextended('handsent.clock', 2));

-- name: produced
-- How far our own events of a topic are in the log, by the broker's word.
SELECT partition, next_offset FROM produced WHERE topic = $1;

-- name: tick
-- The next reading, above what was published. Locks the clock: no END is between its reading and its commit.
SELECT at, ahead_s FROM tick($1);

-- name: clock_state
-- How far the clock is ahead of the host's, and whether ENDs may go by it.
SELECT extract(epoch FROM at - host_time())::float8 AS ahead_s,
       coalesce(incarnation = incarnation(xmin), false) AS confirmed FROM clock;

-- name: confirmed
-- Whether the clock was confirmed since the server started.
SELECT coalesce(incarnation = incarnation(xmin) AND started = pg_postmaster_start_time(), false) FROM clock;

-- name: now
-- The time, not before the published clock.
SELECT greatest(host_time(), at + interval '1 microsecond') FROM clock;

-- name: send
-- The presses of a batch, each once. Rows are locked in id order, or two batches with the same ids would deadlock.
WITH t AS MATERIALIZED (
    -- Needs no confirmed clock: whoever is SENT too early is only held, and what is held is judged by ENDs alone.
    SELECT greatest(host_time(), at + interval '1 microsecond') AS now FROM clock
), i AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) i(recipient_id, campaign_id, user_id)
), l AS MATERIALIZED (
    SELECT recipient_id FROM recipients WHERE recipient_id = ANY ($1) ORDER BY recipient_id FOR UPDATE
), u AS (
UPDATE recipients r
   SET processed_at = t.now, processed_by = i.user_id::text,
       due_at = CASE WHEN c.scheduled_for > t.now THEN c.scheduled_for ELSE t.now END
  FROM t, i, l, campaigns c, sendings s
 WHERE r.recipient_id = l.recipient_id AND l.recipient_id = i.recipient_id
   AND r.campaign_id = i.campaign_id AND c.campaign_id = i.campaign_id AND c.ended_at IS NULL
   AND s.user_id = i.user_id AND s.campaign_id = i.campaign_id
   AND r.processed_at IS NULL
RETURNING r.recipient_id, r.processed_at, r.due_at
), unclaimed AS (
    -- A claim that `sending/next` is just prolonging may stay: it lapses.
    DELETE FROM claims WHERE ctid = ANY (ARRAY(
        SELECT k.ctid FROM claims k JOIN u USING (recipient_id) FOR UPDATE OF k SKIP LOCKED))
)
SELECT recipient_id::text, processed_at, due_at FROM u;

-- name: to_press
-- What never changes of recipients that nobody has pressed yet: read before anything is locked. A first sender that is
-- there never changes either.
SELECT r.recipient_id::text, r.campaign_id::text, r.person_id::text, r.number, r.columns, r.cells,
       f.sender AS first_sender
  FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[]) n(recipient_id, campaign_id)) i
  JOIN recipients r ON r.recipient_id = i.recipient_id AND r.campaign_id = i.campaign_id
  LEFT JOIN first_senders f USING (person_id)
 WHERE r.processed_at IS NULL;

-- name: keep_first_senders
-- First senders of persons who have none; the first SEND counts, also of two in one batch. They come in the order of
-- persons, and of one person's in the order of their SENDs. Answers whose are new.
INSERT INTO first_senders (person_id, account_id, sender, since)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[]) ON CONFLICT DO NOTHING
RETURNING person_id::text, sender;

-- name: first_senders
-- The first senders of these persons.
SELECT person_id::text, sender, since FROM first_senders WHERE person_id = ANY ($1::uuid[]);

-- name: erase_rows
-- Rows there is nothing to show of: nobody holds them, nobody is asked to press them.
WITH k AS (DELETE FROM claims WHERE recipient_id = ANY ($1::uuid[]))
UPDATE recipients SET erased = true WHERE recipient_id = ANY ($1::uuid[]);

-- name: standing
-- How matters stand for presses that changed nothing.
SELECT i.recipient_id::text, i.user_id::text, r.processed_at, r.processed_by, r.due_at,
       c.ended_at IS NOT NULL AS ended, s.user_id IS NOT NULL AS sending
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) i(recipient_id, campaign_id, user_id)
  JOIN recipients r ON r.recipient_id = i.recipient_id AND r.campaign_id = i.campaign_id
  JOIN campaigns c ON c.campaign_id = i.campaign_id
  LEFT JOIN sendings s ON s.user_id = i.user_id AND s.campaign_id = i.campaign_id;

-- name: reach
-- Remembers the first SEND at or after T of scheduled campaigns.
INSERT INTO reached (campaign_id, account_id, at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) n(id, account_id, at) ORDER BY id
ON CONFLICT DO NOTHING;

-- name: end_campaign
-- The END, once, by a clock that is above all that was published: confirmed in this incarnation, and if $3, since the
-- server started.
UPDATE campaigns c
   SET ended_at = greatest(host_time(), k.at + interval '1 microsecond',
                           (SELECT r.at FROM reached r WHERE r.campaign_id = $1) + interval '1 microsecond'),
       ended_by = $2
  FROM clock k
 WHERE c.campaign_id = $1 AND c.ended_at IS NULL
   AND k.incarnation = incarnation(k.xmin) AND (k.started = pg_postmaster_start_time() OR NOT $3)
RETURNING c.ended_at;

-- name: ended_at
-- When a campaign ended, if it has.
SELECT ended_at FROM campaigns WHERE campaign_id = $1;

-- name: free_everyone
-- END frees its senders: their rows of `sendings` first, as everybody locks them.
WITH s AS (DELETE FROM sendings WHERE campaign_id = $1 RETURNING 1)
DELETE FROM claims WHERE campaign_id = $1 AND (SELECT count(*) FROM s) >= 0;

-- name: create_campaign
-- A new campaign.
INSERT INTO campaigns (campaign_id, account_id, name, text, scheduled_for, sender, senders, useful_until, time_zone,
                       created_at, created_by)
VALUES ($1, $2, $3, $4, $5, ($6::text[])[1], $6, $7, $8, $9, $10);

-- name: campaign
-- One campaign of an account, with who is sending it.
SELECT c.*, c.campaign_id::text AS id, c.account_id::text AS account,
       ARRAY(SELECT u.name FROM sendings s JOIN users u USING (user_id)
              WHERE s.campaign_id = c.campaign_id ORDER BY 1) AS sending
  FROM campaigns c WHERE c.campaign_id = $1 AND c.account_id = $2;

-- name: campaigns
-- The current or the completed campaigns of an account, newest first.
SELECT c.*, c.campaign_id::text AS id, c.account_id::text AS account,
       ARRAY(SELECT u.name FROM sendings s JOIN users u USING (user_id)
              WHERE s.campaign_id = c.campaign_id ORDER BY 1) AS sending
  FROM campaigns c
 WHERE c.account_id = $1 AND ($2::bool IS NULL OR (c.ended_at IS NOT NULL) = $2)
 ORDER BY c.created_at DESC, c.campaign_id;

-- name: claim_senders
-- The numbers become the account's unless they are another's; answers those nobody had. In order, as everybody does.
INSERT INTO senders (number, account_id)
SELECT DISTINCT n, $2::uuid FROM unnest($1::text[]) n ORDER BY n ON CONFLICT DO NOTHING
RETURNING number;

-- name: own_senders
-- How many of the numbers are the account's.
SELECT count(*) FROM senders WHERE number = ANY ($1::text[]) AND account_id = $2;

-- name: senders
-- The account's numbers.
SELECT s.number, s.number = a.sender AS is_default FROM senders s JOIN accounts a USING (account_id)
 WHERE s.account_id = $1 ORDER BY 2 DESC, 1;

-- name: take_positions
-- Places in the list for the next rows, and whether the campaign still takes any.
UPDATE campaigns SET next_position = next_position + $2
 WHERE campaign_id = $1 AND ended_at IS NULL
RETURNING next_position - $2;

-- name: add_recipients
-- New recipients; a number that is already in the list is nothing. Ids come sorted.
INSERT INTO recipients (account_id, campaign_id, recipient_id, position, person_id, number, columns, cells)
SELECT $1, $2, r.recipient_id, r.position, r.person_id, r.number, r.columns, r.cells
  FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::text[])
       r(recipient_id, position, person_id, number, columns, cells)
ON CONFLICT (recipient_id) DO NOTHING
RETURNING recipient_id::text;

-- name: count_recipients
-- The campaign has more of them.
UPDATE campaigns SET recipients = recipients + $2 WHERE campaign_id = $1;

-- name: start_sending
-- The user starts, unless another campaign holds them.
INSERT INTO sendings (user_id, campaign_id, account_id) VALUES ($1, $2, $4)
ON CONFLICT (user_id) DO UPDATE SET campaign_id = $2, since = clock_timestamp()
 WHERE $3 OR sendings.campaign_id = $2
RETURNING since;

-- name: sending_of
-- The campaign that holds a user.
SELECT s.campaign_id::text AS campaign_id, c.name FROM sendings s JOIN campaigns c USING (campaign_id) WHERE s.user_id = $1;

-- name: is_sending
-- Whether it is this campaign that the user sends.
SELECT campaign_id = $2 FROM sendings WHERE user_id = $1;

-- name: stop_sending
-- The user stops; their rows go back.
WITH s AS (DELETE FROM sendings WHERE user_id = $1 AND campaign_id = $2 RETURNING 1)
DELETE FROM claims WHERE user_id = $1 AND campaign_id = $2 AND (SELECT count(*) FROM s) >= 0;

-- name: give_back
-- The rows a user was shown and has not SENT are anybody's again.
DELETE FROM claims WHERE user_id = $1 AND campaign_id = $2;

-- name: drop_other_claims
-- A user who moved over gives the rows of other campaigns back.
DELETE FROM claims WHERE user_id = $1 AND campaign_id <> $2;

-- name: own_claims
-- The rows a user already holds and has not pressed, prolonged.
UPDATE claims k SET until = clock_timestamp() + make_interval(secs => $4)
  FROM recipients r
 WHERE k.user_id = $1 AND k.campaign_id = $2 AND k.until > clock_timestamp()
   AND r.recipient_id = k.recipient_id AND r.processed_at IS NULL AND NOT r.erased
   AND k.recipient_id = ANY (ARRAY(
        SELECT k2.recipient_id FROM claims k2 JOIN recipients r2 USING (recipient_id)
         WHERE k2.user_id = $1 AND k2.campaign_id = $2 AND r2.processed_at IS NULL AND NOT r2.erased ORDER BY r2.position LIMIT $3))
RETURNING r.recipient_id::text, r.position, r.person_id::text, r.number, r.columns, r.cells;

-- name: left_to_share
-- How many rows are left, counted no further than $2 for each, and how many users there are to send them: whoever was
-- shown rows, and $3. Who has gone, and did not stop, is not waited for.
SELECT (SELECT count(*) FROM (SELECT FROM recipients r WHERE r.campaign_id = $1 AND r.processed_at IS NULL
                               AND NOT r.erased LIMIT $2 * s.senders) l) AS left, s.senders
  FROM (SELECT count(*) AS senders
          FROM (SELECT user_id FROM claims WHERE campaign_id = $1 AND until > clock_timestamp()
                UNION SELECT $3::uuid) u) s;

-- name: share
-- What users hold beyond $2 rows each goes back, the last in the list first.
DELETE FROM claims WHERE ctid = ANY (ARRAY(
    SELECT n.ctid FROM (SELECT k.ctid, row_number() OVER (PARTITION BY k.user_id ORDER BY r.position) AS place
                          FROM claims k JOIN recipients r USING (recipient_id)
                         WHERE k.campaign_id = $1 AND r.processed_at IS NULL) n
     WHERE n.place > $2));

-- name: claim_more
-- The next rows nobody holds; users who ask at the same time skip each other's.
WITH free AS (
    SELECT r.recipient_id, r.account_id, r.position, r.person_id, r.number, r.columns, r.cells FROM recipients r
     WHERE r.campaign_id = $2 AND r.processed_at IS NULL AND NOT r.erased
       AND NOT EXISTS (SELECT FROM claims k WHERE k.recipient_id = r.recipient_id AND k.until > clock_timestamp())
     ORDER BY r.position LIMIT $3 FOR UPDATE OF r SKIP LOCKED
), claimed AS (
    INSERT INTO claims (recipient_id, campaign_id, account_id, user_id, until)
    SELECT recipient_id, $2, account_id, $1, clock_timestamp() + make_interval(secs => $4) FROM free
    ON CONFLICT (recipient_id) DO UPDATE SET user_id = $1, until = excluded.until WHERE claims.until <= clock_timestamp()
    RETURNING recipient_id
)
SELECT f.recipient_id::text, f.position, f.person_id::text, f.number, f.columns, f.cells
  FROM free f JOIN claimed USING (recipient_id);

-- name: pressed
-- How many of a campaign's recipients were SENT, and how many of them wait for T.
SELECT n.unprocessed, c.recipients - n.unprocessed AS processed,
       CASE WHEN c.ended_at IS NULL AND c.scheduled_for > greatest(host_time(), k.at)
            THEN c.recipients - n.unprocessed ELSE 0 END AS waiting_for_t
  FROM campaigns c, clock k,
       LATERAL (SELECT count(*) AS unprocessed FROM recipients r
                 WHERE r.campaign_id = c.campaign_id AND r.processed_at IS NULL) n
 WHERE c.campaign_id = $1;

-- name: add_account
-- A tenant with a number of its own, which is theirs from now on; an existing one as it is. A number that another
-- account has claimed meanwhile is passed over (OFFSET 0: one number at a time, until one is free).
WITH free AS (
    SELECT number FROM (SELECT '+1' || nextval('sender_numbers') AS number FROM generate_series(1, 10000) OFFSET 0) n
     WHERE NOT EXISTS (SELECT FROM senders s WHERE s.number = n.number) LIMIT 1
), made AS (
    INSERT INTO accounts (account_id, name, sender)
    SELECT $1, $2, (SELECT number FROM free) WHERE NOT EXISTS (SELECT FROM accounts WHERE name = $2)
    ON CONFLICT DO NOTHING
    RETURNING sender, account_id
)
INSERT INTO senders (number, account_id) SELECT sender, account_id FROM made ON CONFLICT DO NOTHING;

-- name: account
-- A tenant by name.
SELECT account_id::text, sender FROM accounts WHERE name = $1;

-- name: account_sender
-- The number an account sends from when a campaign names none.
SELECT sender FROM accounts WHERE account_id = $1;

-- name: add_user
-- A user; one who exists stays as they are.
INSERT INTO users (user_id, account_id, name, role) VALUES ($1, $2, $3, $4) ON CONFLICT (account_id, name) DO NOTHING;
