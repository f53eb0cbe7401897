-- name: hold_persons
-- Their messages wait from now on, for the reply named last; not of those who have opted out, who are sent nothing.
INSERT INTO holds AS h (person_id, account_id, held_at, reply)
SELECT n.person_id, n.account_id, n.held_at, n.reply
  FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[]) AS n(person_id, account_id, held_at, reply)
  LEFT JOIN LATERAL (SELECT 1 AS is_out FROM opt_outs WHERE person_id = n.person_id AND in_force LIMIT 1) o ON true
 WHERE o.is_out IS NULL
 ORDER BY n.person_id
ON CONFLICT (person_id) DO UPDATE SET reply = excluded.reply;

-- name: end_holds
-- These persons are held no more; answers which were.
DELETE FROM holds WHERE person_id = ANY($1::uuid[]) RETURNING person_id::text, account_id::text, held_at, reply;

-- name: end_hold
-- This person of an account is held no more, if it was for this reply.
DELETE FROM holds WHERE person_id = $1 AND account_id = $2 AND reply = $3 RETURNING held_at;

-- name: find_hold
-- Whether, since when and for which reply an account's person is held, with their number.
SELECT h.held_at, h.reply, r.number FROM holds h JOIN replies r ON r.carrier_message_id = h.reply
 WHERE h.person_id = $1 AND h.account_id = $2;

-- name: insert_hold_decisions
-- What was decided about holds.
INSERT INTO hold_decisions (person_id, account_id, reply, held_at, decision, reason, decided_by, decided_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: list_holds
-- A page of an account's holds in the order of person_id, each with the reply it is for and how many messages wait.
SELECT h.person_id::text, h.held_at, h.reply, r.number, r.sender, r.body, r.received_at,
       (SELECT count(*) FROM messages m JOIN queue q USING (recipient_id) WHERE m.person_id = h.person_id) AS waiting
  FROM holds h JOIN replies r ON r.carrier_message_id = h.reply
 WHERE h.account_id = $1 AND h.person_id > $2 ORDER BY h.person_id LIMIT $3;

-- name: hold_of_person
-- Whether a person is held, since when and for which reply.
SELECT held_at, reply FROM holds WHERE person_id = $1 AND account_id = $2;

-- name: hold_decisions_of_person
-- What was decided about a person's holds.
SELECT reply, held_at, decision, reason, decided_by, decided_at FROM hold_decisions
 WHERE person_id = $1 AND account_id = $2 ORDER BY decided_at;

-- name: wake_persons
-- Messages of these persons that wait for a time are looked at again at $2.
UPDATE queue q SET not_before = $2
  FROM messages m
 WHERE m.person_id = ANY($1::uuid[]) AND q.recipient_id = m.recipient_id AND q.why IN ('hold', 'unknown') AND q.not_before > $2;
