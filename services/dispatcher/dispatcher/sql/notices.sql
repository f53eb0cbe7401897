-- name: note_answers
-- What these replies are answered with.
UPDATE replies r SET answer = n.answer FROM unnest($1::text[], $2::text[]) AS n(carrier_message_id, answer)
 WHERE r.carrier_message_id = n.carrier_message_id;

-- name: answer_of
-- What a reply was answered with.
SELECT answer FROM replies WHERE carrier_message_id = $1 AND received_at > $2;

-- name: insert_notices
-- Answers that are texts of their own.
INSERT INTO notices (carrier_message_id, account_id, person_id, number, sender, kind, made_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: any_notices
-- Whether there is anything to do.
SELECT EXISTS (SELECT 1 FROM notices WHERE state IN ('waiting', 'posting'));

-- name: take_notices
-- Answers whose time has come, the oldest first, with what stands against them.
SELECT n.carrier_message_id, n.person_id::text, n.number, n.sender, n.kind, n.made_at,
       o.in_force IS NOT NULL AS opted_out, x.erased IS NOT NULL AS erased
  FROM notices n
  LEFT JOIN LATERAL (SELECT in_force FROM opt_outs WHERE person_id = n.person_id AND in_force LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT true AS erased FROM erased WHERE person_id = n.person_id AND erased_at > n.made_at LIMIT 1) x
         ON true
 WHERE n.state = 'waiting' AND (n.not_before IS NULL OR n.not_before <= $1)
 ORDER BY n.made_at LIMIT $2 FOR UPDATE OF n SKIP LOCKED;

-- name: move_notices
-- Where answers stand now.
UPDATE notices n SET state = m.state, posted_at = CASE WHEN m.state = 'posting' THEN $3 ELSE n.posted_at END,
                     not_before = m.not_before
  FROM unnest($1::text[], $2::text[], $4::timestamptz[]) AS m(carrier_message_id, state, not_before)
 WHERE n.carrier_message_id = m.carrier_message_id;

-- name: give_up_notices
-- Answers whose POST nobody has told the end of since $1: it may have been sent.
UPDATE notices SET state = 'unknown' WHERE state = 'posting' AND posted_at <= $1;

-- name: notices_of_person
-- What a person was answered by texts of their own.
SELECT carrier_message_id, sender, kind, state, made_at, posted_at FROM notices
 WHERE person_id = $1 AND account_id = $2 ORDER BY made_at;
