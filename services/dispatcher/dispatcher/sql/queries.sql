-- name: enqueue
-- Releases, in id order: each new one has its permanent row, and a place in its lane.
WITH new AS (
    INSERT INTO messages (recipient_id, account_id, campaign_id, person_id, released_by, due_at, number, text, sender,
                          key_id, useful_until)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[],
                         $7::text[], $8::text[], $9::text[], $10::bytea[], $11::timestamptz[])
    ON CONFLICT DO NOTHING
    RETURNING recipient_id, account_id, campaign_id, sender, due_at
)
INSERT INTO queue (recipient_id, attempt, account_id, campaign_id, sender, due_at)
SELECT recipient_id, 1, account_id, campaign_id, sender, due_at FROM new;

-- name: insert_senders
-- Whose a number is; the first account keeps it.
INSERT INTO senders (number, account_id)
SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING;

-- name: lock_for_intents
-- Before intents: an opt-out that is being recorded finishes first, and none begins until we have committed.
SELECT pg_advisory_xact_lock_shared(hashtextextended('handsent.opt-outs', 0)),
       set_config('synchronous_commit', 'on', true);

-- name: lock_for_opt_outs
-- Before an opt-out changes: intents under way finish first, and those that follow see it.
SELECT pg_advisory_xact_lock(hashtextextended('handsent.opt-outs', 0)),
       set_config('synchronous_commit', 'on', true);

-- name: list_lanes
-- Where messages wait for their turn. Jumps from lane to lane, however many messages each has.
WITH RECURSIVE lane AS (
    (SELECT account_id, campaign_id, sender FROM queue
      WHERE not_before IS NULL ORDER BY sender, campaign_id LIMIT 1)
    UNION ALL
    SELECT n.* FROM lane l CROSS JOIN LATERAL (
        SELECT account_id, campaign_id, sender FROM queue
         WHERE not_before IS NULL AND (sender, campaign_id) > (l.sender, l.campaign_id)
         ORDER BY sender, campaign_id LIMIT 1) n
)
SELECT account_id::text, campaign_id::text, sender FROM lane;

-- name: take_messages
-- Takes up to $3 messages off each lane (sender $1, campaign $2), with what stands against each: an opt-out, an erasure,
-- a hold, another text to the person from this sender whose outcome nobody knows, since later than $4.
WITH taken AS (
    DELETE FROM queue WHERE ctid = ANY(ARRAY(
        SELECT w.ctid FROM unnest($1::text[], $2::uuid[], $3::int[]) AS l(sender, campaign_id, most)
         CROSS JOIN LATERAL (
            SELECT ctid FROM queue
             WHERE sender = l.sender AND campaign_id = l.campaign_id AND not_before IS NULL
             ORDER BY due_at LIMIT l.most FOR UPDATE SKIP LOCKED) w))
    RETURNING recipient_id, attempt, due_at
)
-- LATERAL with LIMIT pins one index look-up per message, whatever the planner thinks of a young table.
SELECT t.recipient_id::text, t.attempt, m.account_id::text, m.campaign_id::text, m.person_id::text,
       m.released_by::text, m.number, m.text, m.sender, m.due_at, m.useful_until, x.erased_at IS NOT NULL AS erased,
       o.source, o.changed_at AS opted_out_at, o.event_id::text AS opt_out_event_id,
       h.held_at IS NOT NULL AS held, u.since AS unknown_since
  FROM taken t
 CROSS JOIN LATERAL (SELECT account_id, campaign_id, person_id, released_by, number, text, sender, key_id, due_at,
                            useful_until
                       FROM messages WHERE recipient_id = t.recipient_id LIMIT 1) m
  LEFT JOIN LATERAL (SELECT source, changed_at, event_id
                       FROM (SELECT in_force, source, changed_at, event_id
                               FROM opt_outs WHERE person_id = m.person_id LIMIT 1) p WHERE in_force) o ON true
  LEFT JOIN LATERAL (SELECT erased_at FROM erased
                      WHERE person_id = m.person_id AND key_id = coalesce(m.key_id, key_id) LIMIT 1) x ON true
  LEFT JOIN LATERAL (SELECT held_at FROM holds WHERE person_id = m.person_id LIMIT 1) h ON true
  LEFT JOIN LATERAL (SELECT since FROM unknowns
                      WHERE person_id = m.person_id AND sender = m.sender AND since > $4 LIMIT 1) u ON true
 ORDER BY t.due_at;

-- name: write_intents
-- Attempts at time $3, owned by $4, with the bytes they will POST; answers those that did not exist yet.
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::int[], $5::text[], $6::text[]) AS n(recipient_id, attempt, provider, request)
), attempted AS (
    INSERT INTO attempts (recipient_id, attempt, attempted_at, provider)
    SELECT recipient_id, attempt, $3, provider FROM wanted ORDER BY recipient_id
    ON CONFLICT DO NOTHING
    RETURNING recipient_id, attempt
), owned AS (
    INSERT INTO in_flight (recipient_id, attempt, owner, provider, request)
    SELECT recipient_id, attempt, $4, w.provider, w.request FROM attempted JOIN wanted w USING (recipient_id, attempt)
)
SELECT recipient_id::text FROM attempted;

-- name: suppress
-- Messages that will not be sent.
UPDATE messages SET suppressed_at = $2 WHERE recipient_id = ANY($1::uuid[]);

-- name: end_waits
-- What was put aside until $1 stands in its lane again, where it stood.
UPDATE queue SET not_before = NULL, why = NULL
 WHERE ctid = ANY(ARRAY(
     SELECT ctid FROM queue WHERE not_before <= $1 ORDER BY not_before LIMIT 500 FOR UPDATE SKIP LOCKED));

-- name: requeue
-- Messages wait again, as attempts $2: where they stood, or put aside until $3 and for what.
INSERT INTO queue (recipient_id, attempt, account_id, campaign_id, sender, due_at, not_before, why)
SELECT n.recipient_id, n.attempt, m.account_id, m.campaign_id, m.sender, m.due_at, n.not_before,
       CASE WHEN n.not_before IS NOT NULL THEN n.why END
  FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[]) AS n(recipient_id, attempt, not_before, why)
 CROSS JOIN LATERAL (SELECT account_id, campaign_id, sender, due_at
                       FROM messages WHERE recipient_id = n.recipient_id LIMIT 1) m
ON CONFLICT DO NOTHING;

-- name: outcomes_unknown
-- The outcome of a text to these recipients is unknown since $2, because of $3.
INSERT INTO unknowns (recipient_id, account_id, person_id, sender, since, reason)
SELECT n.recipient_id, m.account_id, m.person_id, m.sender, n.since, n.reason
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS n(recipient_id, since, reason)
 CROSS JOIN LATERAL (SELECT account_id, person_id, sender FROM messages WHERE recipient_id = n.recipient_id LIMIT 1) m
 ORDER BY n.recipient_id
ON CONFLICT DO NOTHING;

-- name: outcomes_known
-- It is known now. Later texts to the person that waited for it stand in their lanes again; those that still have
-- another to wait for are put aside again.
WITH known AS (
    DELETE FROM unknowns WHERE recipient_id = ANY($1::uuid[]) RETURNING person_id
)
UPDATE queue SET not_before = NULL, why = NULL
 WHERE ctid = ANY(ARRAY(
     SELECT w.ctid FROM known k JOIN messages m USING (person_id) JOIN queue w ON w.recipient_id = m.recipient_id
      WHERE w.why = 'unknown' FOR UPDATE OF w SKIP LOCKED));

-- name: unqueue
-- A message that waits again although its attempt was taken after all.
DELETE FROM queue WHERE recipient_id = $1 RETURNING recipient_id::text;

-- name: lock_attempts
-- All attempts of these recipients, locked in id order.
SELECT a.recipient_id::text, a.attempt, m.account_id::text, m.campaign_id::text, m.person_id::text, a.state,
       a.provider, a.carrier_message_id, a.carrier_code, a.reason, a.accepted_at, a.unresolved_at
  FROM attempts a JOIN messages m USING (recipient_id)
 WHERE a.recipient_id = ANY($1::uuid[])
 ORDER BY a.recipient_id, a.attempt
   FOR UPDATE OF a;

-- name: write_attempts
-- Where attempts stand now; their owners are free of them.
WITH moved AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::timestamptz[], $8::timestamptz[])
        AS m(recipient_id, attempt, state, carrier_message_id, carrier_code, reason, accepted_at, unresolved_at)
), landed AS (
    DELETE FROM in_flight f USING moved m WHERE f.recipient_id = m.recipient_id AND f.attempt = m.attempt
)
UPDATE attempts a
   SET state = m.state, refused = m.state = 'refused', carrier_message_id = m.carrier_message_id,
       carrier_code = m.carrier_code, reason = m.reason, accepted_at = m.accepted_at, unresolved_at = m.unresolved_at
  FROM moved m
 WHERE a.recipient_id = m.recipient_id AND a.attempt = m.attempt;

-- name: numbers_of
-- The numbers of recipients, for an opt-out that the carrier told us of.
SELECT recipient_id::text, number FROM messages WHERE recipient_id = ANY($1::uuid[]);

-- name: new_owner
-- An owner's number, never given twice, and the lock that says it is alive.
SELECT owner, pg_advisory_lock(hashtext('handsent.owner'), owner) FROM (SELECT nextval('owners')::int AS owner) o;

-- name: insert_marks
-- Which file an owner notes its POSTs in.
INSERT INTO marks (owner, name) VALUES ($1, $2);

-- name: forget_marks
-- Files of owners of whom nothing is open and who are not alive; never one of a process that still has another number.
WITH gone AS (
    DELETE FROM marks m
     WHERE m.owner <> ALL($1::int[]) AND NOT EXISTS (SELECT 1 FROM in_flight f WHERE f.owner = m.owner) AND NOT EXISTS (
           SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
            WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.objid::bigint = m.owner
              AND l.classid::bigint = (hashtext('handsent.owner')::bigint & 4294967295))
    RETURNING owner, name
)
SELECT DISTINCT name::text FROM gone g
 WHERE NOT EXISTS (SELECT 1 FROM marks m WHERE m.name = g.name AND m.owner NOT IN (SELECT owner FROM gone));

-- name: owned_by_us
-- Open attempts of owners that are, or were, this process.
SELECT recipient_id::text, attempt, provider FROM in_flight WHERE owner = ANY($1::int[]);

-- name: abandoned
-- Open attempts whose owner is dead or frozen: it does not hold its lock.
SELECT f.recipient_id::text, f.attempt, f.provider, f.owner, m.name::text FROM in_flight f LEFT JOIN marks m USING (owner)
 WHERE f.owner <> ALL($1::int[]) AND f.repeat_at IS NULL AND NOT EXISTS (
       SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
        WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.objid::bigint = f.owner
          AND l.classid::bigint = (hashtext('handsent.owner')::bigint & 4294967295))
 ORDER BY recipient_id LIMIT 500;

-- name: lock_for_callbacks
-- Before raw callbacks are stored: an erasure that is being recorded finishes first, and those that begin come after.
SELECT pg_advisory_xact_lock_shared(hashtextextended('handsent.opt-outs', 0));

-- name: insert_callbacks
-- Status callbacks as they came; nothing of one about a person who was erased, in whose form stands their number.
INSERT INTO callbacks (received_at, recipient_id, attempt, form, fate, provider, carrier_message_id, look_at)
SELECT n.received_at, n.recipient_id, n.attempt, CASE WHEN x.erased THEN ''::bytea ELSE n.form END, n.fate,
       n.provider, n.carrier_message_id, n.look_at
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::bytea[], $5::text[], $6::text[], $7::text[],
              $8::timestamptz[])
    AS n(received_at, recipient_id, attempt, form, fate, provider, carrier_message_id, look_at)
  LEFT JOIN LATERAL (SELECT true AS erased FROM messages m JOIN erased e USING (person_id)
                      WHERE m.recipient_id = n.recipient_id AND e.key_id = coalesce(m.key_id, e.key_id) LIMIT 1) x ON true;

-- name: forget_callbacks
-- Up to $3 raw callbacks of this fate that came before $2: those that were never applied are kept for longer.
DELETE FROM callbacks WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM callbacks WHERE fate = $1 AND received_at < $2 ORDER BY received_at LIMIT $3));

-- name: known_attempts
-- Those of these attempts that are there.
SELECT a.recipient_id::text, a.attempt
  FROM unnest($1::uuid[], $2::int[]) AS n(recipient_id, attempt) JOIN attempts a USING (recipient_id, attempt);

-- name: insert_replies
-- Replies not seen before, by the carrier's id; answers those.
INSERT INTO replies (carrier_message_id, account_id, person_id, number, sender, body, verdict, received_at, provider)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[], $9::text[])
ON CONFLICT DO NOTHING
RETURNING carrier_message_id;

-- name: late_starts
-- Those of these replies that were said before a STOP of the same person which came before them.
SELECT r.carrier_message_id FROM replies r
 WHERE r.carrier_message_id = ANY($1::text[]) AND EXISTS (
       SELECT 1 FROM replies s WHERE s.person_id = r.person_id AND s.verdict = 'stop' AND s.seq < r.seq
                                 AND s.received_at > r.received_at);

-- name: owners_of_senders
-- Whose these numbers are.
SELECT number, account_id::text FROM senders WHERE number = ANY($1::text[]);

-- name: parked_replies
-- Replies to these numbers that came before anybody knew whose they are.
SELECT carrier_message_id, number, sender, verdict, body, received_at, provider FROM replies
 WHERE account_id IS NULL AND sender = ANY($1::text[]) ORDER BY seq FOR UPDATE;

-- name: claim_replies
-- The parked replies have an account now.
UPDATE replies r SET account_id = n.account_id, person_id = n.person_id, number = n.number, body = n.body
  FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
    AS n(carrier_message_id, account_id, person_id, number, body)
 WHERE r.carrier_message_id = n.carrier_message_id;

-- name: list_replies
-- A page of an account's replies, the newest first; with $4, those alone that ask for this.
SELECT seq, carrier_message_id, person_id::text, number, sender, body, verdict, received_at
  FROM replies WHERE account_id = $1 AND seq < $2 AND ($4::text IS NULL OR verdict = $4) ORDER BY seq DESC LIMIT $3;

-- name: read_opt_outs
-- How these people stand; opt-outs change only under `lock_for_opt_outs`, so no rows are locked.
SELECT person_id::text, in_force, source, changes, changed_at FROM opt_outs WHERE person_id = ANY($1::uuid[]);

-- name: write_opt_outs
-- How these people stand from now on. Who is out waits for nobody's decision any more: answers the holds that end so.
WITH written AS (
    INSERT INTO opt_outs (person_id, account_id, number, in_force, source, evidence, changed_at, changed_by, changes,
                          event_id, reply)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::text[], $6::text[], $7::timestamptz[],
                         $8::text[], $9::int[], $10::uuid[], $11::text[])
    ON CONFLICT (person_id) DO UPDATE
       SET number = excluded.number, in_force = excluded.in_force, source = excluded.source,
           evidence = excluded.evidence, changed_at = excluded.changed_at, changed_by = excluded.changed_by,
           changes = excluded.changes, event_id = excluded.event_id, reply = excluded.reply
)
DELETE FROM holds h USING unnest($1::uuid[], $4::boolean[]) AS n(person_id, in_force)
 WHERE h.person_id = n.person_id AND n.in_force
RETURNING h.person_id::text, h.account_id::text, h.held_at, h.reply;

-- name: list_opt_outs
-- A page of an account's opt-outs in force.
SELECT person_id::text, number, source, evidence, changed_at, changed_by, reply, in_force
  FROM opt_outs WHERE account_id = $1 AND in_force AND person_id > $2 ORDER BY person_id LIMIT $3;

-- name: find_opt_out
-- One person of an account, opted out or not.
SELECT person_id::text, number, source, evidence, changed_at, changed_by, reply, in_force
  FROM opt_outs WHERE account_id = $1 AND person_id = $2;

-- name: insert_erasure
-- A person of an account is erased; a repeat is nothing.
INSERT INTO erased (person_id, key_id, account_id, erased_at, erased_by, event_id, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING;

-- name: erasures_of
-- When and why an account erased this person; more than once, if they came back.
SELECT key_id, erased_at, erased_by, event_id::text, reason, finished_at FROM erased
 WHERE person_id = $1 AND account_id = $2 ORDER BY erased_at;

-- name: erasures_to_finish
-- Persons who are erased for everybody, and whose key or callbacks may still be there.
SELECT person_id::text, key_id, erased_by, reason FROM erased WHERE finished_at IS NULL ORDER BY erased_at LIMIT $1;

-- name: erasure_finished
-- Nothing readable is left of the person.
UPDATE erased SET finished_at = $3 WHERE person_id = $1 AND key_id = $2;

-- name: forget_callbacks_of
-- A person's raw callbacks: they are sealed with the service's key, not the person's.
DELETE FROM callbacks WHERE recipient_id = ANY(ARRAY(SELECT recipient_id FROM messages WHERE person_id = $1));

-- name: knows_person
-- Whether anything is here about a person of this account.
SELECT EXISTS (SELECT 1 FROM messages WHERE person_id = $1 AND account_id = $2)
    OR EXISTS (SELECT 1 FROM opt_outs WHERE person_id = $1 AND account_id = $2)
    OR EXISTS (SELECT 1 FROM replies WHERE person_id = $1 AND account_id = $2)
    OR EXISTS (SELECT 1 FROM erased WHERE person_id = $1 AND account_id = $2);

-- name: messages_of_person
-- What an account sent, or did not send, to a person.
SELECT recipient_id::text, campaign_id::text, due_at, number, text, sender, suppressed_at,
       (SELECT coalesce(json_agg(json_build_object(
                   'attempt', a.attempt, 'state', a.state, 'attempted_at', a.attempted_at, 'accepted_at', a.accepted_at,
                   'carrier_message_id', a.carrier_message_id, 'carrier_code', a.carrier_code, 'reason', a.reason)
                   ORDER BY a.attempt), '[]')
          FROM attempts a WHERE a.recipient_id = m.recipient_id)::text AS attempts
  FROM messages m WHERE person_id = $1 AND account_id = $2 ORDER BY due_at, recipient_id;

-- name: replies_of_person
-- What a person answered to an account.
SELECT carrier_message_id, person_id::text, number, sender, body, verdict, received_at
  FROM replies WHERE person_id = $1 AND account_id = $2 ORDER BY seq;

-- name: callbacks_of_person
-- The raw callbacks about a person's messages.
SELECT c.received_at, c.form, c.fate FROM callbacks c
 WHERE c.recipient_id = ANY(ARRAY(SELECT recipient_id FROM messages WHERE person_id = $1 AND account_id = $2))
 ORDER BY c.seq;

-- name: list_unresolved
-- Attempts of an account that nobody knows the outcome of, the oldest first.
SELECT a.recipient_id::text, m.campaign_id::text, a.attempt, a.reason, a.carrier_code, a.unresolved_at AS since,
       a.attempted_at
  FROM attempts a JOIN messages m USING (recipient_id)
 WHERE a.unresolved_at IS NOT NULL AND a.state = 'unknown' AND m.account_id = $1
 ORDER BY a.unresolved_at LIMIT $2;

-- name: find_message
-- Whether the account has this message.
SELECT 1 FROM messages WHERE recipient_id = $1 AND account_id = $2;

-- name: insert_resolution
-- What an operator decided.
INSERT INTO resolutions (recipient_id, attempt, resolution, reason, resolved_by, resolved_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING;

-- name: lock_sweep
-- One process sweeps at a time; null for the others.
SELECT swept_until FROM sweep FOR UPDATE SKIP LOCKED;

-- name: sweep_step
-- The next attempts after ($1, $2) that are old enough to be given up, at $3, in time order.
SELECT recipient_id::text, attempt, state, attempted_at, accepted_at, unresolved_at FROM attempts
 WHERE (attempted_at, recipient_id) > ($1::timestamptz, $2::uuid) AND attempted_at <= $3
 ORDER BY attempted_at, attempts.recipient_id LIMIT $4;

-- name: sweep_late
-- Attempts that were unknown for a while, and accepted since before $1.
SELECT recipient_id::text, attempt, state, attempted_at, accepted_at FROM attempts
 WHERE unresolved_at IS NOT NULL AND state = 'accepted' AND accepted_at <= $1 ORDER BY unresolved_at LIMIT $2;

-- name: swept
-- How far the sweep has come.
UPDATE sweep SET swept_until = $1;

-- name: depths
-- What waits, is on its way, or is unknown; the queue is counted up to 100,000.
SELECT (SELECT count(*) FROM (SELECT 1 FROM queue LIMIT 100000) q) AS queue,
       (SELECT count(*) FROM in_flight) AS in_flight,
       (SELECT count(*) FROM in_flight WHERE repeat_at IS NOT NULL) AS to_repeat,
       (SELECT count(*) FROM attempts WHERE unresolved_at IS NOT NULL AND state = 'unknown') AS unknown,
       (SELECT count(*) FROM (SELECT 1 FROM callbacks WHERE fate <> 'applied' LIMIT 100000) c) AS callbacks_to_look_at;

-- name: depths_aside
-- What is put aside, by what it waits for; counted up to 100,000.
SELECT why, count(*) AS messages FROM (SELECT why FROM queue WHERE not_before IS NOT NULL LIMIT 100000) a GROUP BY why;

-- name: depths_unknown
-- Whose outcomes are unknown, by sender and reason, where there are most.
SELECT sender, reason, count(*) AS messages FROM unknowns GROUP BY sender, reason ORDER BY messages DESC LIMIT 100;

-- name: queue_of_account
-- What waits at each of an account's senders: in its lanes, and put aside by what for; each counted up to $2. And what
-- is unknown there, by reason.
SELECT s.number AS sender,
       (SELECT count(*) FROM (SELECT 1 FROM queue
                               WHERE sender = s.number AND not_before IS NULL AND account_id = $1 LIMIT $2) t) AS turn,
       (SELECT coalesce(json_object_agg(why, n), '{}')::text
          FROM (SELECT why, count(*) AS n
                  FROM (SELECT why FROM queue
                         WHERE sender = s.number AND not_before IS NOT NULL AND account_id = $1 LIMIT $2) w
                 GROUP BY why) a) AS aside,
       (SELECT coalesce(json_object_agg(reason, n), '{}')::text
          FROM (SELECT reason, count(*) AS n FROM unknowns
                 WHERE sender = s.number AND account_id = $1 GROUP BY reason) u) AS unknown
  FROM senders s WHERE s.account_id = $1 ORDER BY s.number LIMIT 500;
