-- name: put_back
-- An open attempt is to be POSTed again at $4, unless somebody else has it by now: $3 are the numbers of whoever had it.
-- Its last POST left the doubt $5, or none: then what an earlier one left stays.
UPDATE in_flight SET owner = 0, repeat_at = $4, repeats = repeats + 1, doubt = coalesce($5, doubt),
       doubt_code = CASE WHEN $5::text IS NULL THEN doubt_code ELSE $6 END
 WHERE recipient_id = $1 AND attempt = $2 AND owner = ANY($3::int[]) AND repeat_at IS NULL;

-- name: lock_repeats
-- Up to $2 attempts to ask again by $1, those in doubt only if $3: locked before their rows of `in_flight`, as everybody
-- locks them.
SELECT a.recipient_id::text, a.attempt, a.attempted_at
  FROM in_flight f JOIN attempts a USING (recipient_id, attempt)
 WHERE f.repeat_at <= $1 AND (f.doubt IS NULL OR $3) AND a.state = 'open'
 ORDER BY f.repeat_at LIMIT $2 FOR UPDATE OF a SKIP LOCKED;

-- name: take_repeats
-- They are $3's now, with what stands against each: an opt-out, an erasure.
WITH taken AS (
    UPDATE in_flight f SET owner = $3, repeat_at = NULL
      FROM unnest($1::uuid[], $2::int[]) AS n(recipient_id, attempt)
     WHERE f.recipient_id = n.recipient_id AND f.attempt = n.attempt AND f.repeat_at <= $4
 RETURNING f.recipient_id, f.attempt, f.provider, f.request, f.repeats, f.doubt, f.doubt_code
)
SELECT t.recipient_id::text, t.attempt, t.provider, t.request, t.repeats, t.doubt, t.doubt_code, m.person_id::text,
       m.account_id::text, m.campaign_id::text, m.sender, m.due_at, m.useful_until, o.in_force IS NOT NULL AS opted_out, x.erased_at IS NOT NULL AS erased
  FROM taken t
 CROSS JOIN LATERAL (SELECT account_id, campaign_id, person_id, sender, key_id, due_at, useful_until
                       FROM messages WHERE recipient_id = t.recipient_id LIMIT 1) m
  LEFT JOIN LATERAL (SELECT in_force FROM opt_outs WHERE person_id = m.person_id AND in_force LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT erased_at FROM erased
                      WHERE person_id = m.person_id AND key_id = coalesce(m.key_id, key_id) LIMIT 1) x ON true;

-- name: put_back_later
-- Repeats that nobody here can make, for their provider is in no setting: they wait, for another process or their end.
UPDATE in_flight f SET owner = 0, repeat_at = $3
  FROM unnest($1::uuid[], $2::int[]) AS n(recipient_id, attempt)
 WHERE f.recipient_id = n.recipient_id AND f.attempt = n.attempt;

-- name: repeats_of
-- How often these open attempts were put back.
SELECT recipient_id::text, attempt FROM in_flight WHERE recipient_id = ANY($1::uuid[]) AND repeats > 0;

-- name: learn_carrier_ids
-- By which attempt a carrier's id is meant. Ids may be given out again, by a carrier that has begun anew: the last counts.
INSERT INTO carrier_ids (provider, carrier_message_id, recipient_id, attempt, known_at)
SELECT DISTINCT ON (carrier_message_id, provider) * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int[], $5::timestamptz[])
    AS n(provider, carrier_message_id, recipient_id, attempt, known_at)
 ORDER BY carrier_message_id, provider, known_at DESC
ON CONFLICT (carrier_message_id, provider) DO UPDATE
   SET recipient_id = excluded.recipient_id, attempt = excluded.attempt, known_at = excluded.known_at;

-- name: find_carrier_ids
-- The attempts that these ids mean.
SELECT k.provider, k.carrier_message_id, k.recipient_id::text, k.attempt
  FROM unnest($1::text[], $2::text[]) AS n(provider, carrier_message_id)
  JOIN carrier_ids k USING (carrier_message_id, provider);

-- name: forget_carrier_ids
-- Up to $2 of them. Nobody reports on a message that old.
DELETE FROM carrier_ids WHERE ctid = ANY(ARRAY(SELECT ctid FROM carrier_ids WHERE known_at < $1 ORDER BY known_at LIMIT $2));

-- name: parked_callbacks
-- Receipts whose turn to be looked at again has come.
SELECT seq, received_at, provider, carrier_message_id, recipient_id::text, attempt, form FROM callbacks
 WHERE look_at <= $1 ORDER BY look_at LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: candidates
-- The attempts at a person from a sender, by this provider.
SELECT a.recipient_id::text, a.attempt, a.state, a.carrier_message_id, a.attempted_at
  FROM messages m JOIN attempts a USING (recipient_id)
 WHERE m.person_id = $1 AND m.sender = $2 AND a.provider = $3;

-- name: parked_again
-- What has become of them; nothing readable stays of one about a person who was erased.
UPDATE callbacks c SET fate = n.fate, look_at = n.look_at, recipient_id = n.recipient_id, attempt = n.attempt,
       form = CASE WHEN EXISTS (SELECT 1 FROM messages m JOIN erased e USING (person_id)
                                 WHERE m.recipient_id = n.recipient_id AND e.key_id = coalesce(m.key_id, e.key_id))
                   THEN ''::bytea ELSE c.form END
  FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::uuid[], $5::int[])
    AS n(seq, fate, look_at, recipient_id, attempt)
 WHERE c.seq = n.seq;

-- name: unknown_to_look_up
-- Attempts with provider $1 that nobody knows the outcome of, after ($2, $3), in time order. With each: how many attempts
-- at this person from this sender have no id that is known (then what the carrier lists may be either's), and the ids.
SELECT a.recipient_id::text, a.attempt, a.attempted_at, a.unresolved_at, m.person_id::text, m.number, m.text, m.sender,
       o.nameless, o.ids
  FROM attempts a JOIN messages m USING (recipient_id)
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE b.state IN ('open', 'unknown') OR b.carrier_message_id = 'unknown') AS nameless,
              coalesce(array_agg(b.carrier_message_id) FILTER (WHERE b.carrier_message_id IS NOT NULL), '{}') AS ids
         FROM messages n JOIN attempts b USING (recipient_id)
        WHERE n.person_id = m.person_id AND n.sender = m.sender) o
 WHERE a.unresolved_at IS NOT NULL AND a.state = 'unknown' AND a.provider = $1
   AND (a.unresolved_at, a.recipient_id) > ($2::timestamptz, $3::uuid)
 ORDER BY a.unresolved_at, a.recipient_id LIMIT $4;
