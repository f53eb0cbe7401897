-- name: make
-- What the log says of attempts, suppressions and opt-outs; and of what is noted in the derived tables, what came first.
CREATE TEMPORARY TABLE facts (
    recipient_id uuid, attempt int, kind text, at timestamptz, carrier_message_id text, carrier_code text, reason text,
    provider text, later boolean, place bigint);
CREATE TEMPORARY TABLE suppressions (recipient_id uuid, at timestamptz, place bigint);
CREATE TEMPORARY TABLE words (
    person_id uuid, account_id uuid, number text, in_force boolean, source text, evidence text, changed_at timestamptz,
    changed_by text, event_id uuid, reply text, place bigint);
ALTER TABLE messages ADD COLUMN place bigint;
ALTER TABLE erased   ADD COLUMN place bigint;
ALTER TABLE senders  ADD COLUMN place bigint;

-- name: suppress
-- Messages that were not sent.
UPDATE messages m SET suppressed_at = s.at
  FROM (SELECT DISTINCT ON (recipient_id) recipient_id, at FROM suppressions ORDER BY recipient_id, place) s
 WHERE s.recipient_id = m.recipient_id;

-- name: lives
-- The facts by attempt, in the order they happened. Held apart from any transaction: it goes on for a while, and what
-- other sessions have deleted meanwhile can be vacuumed.
DECLARE lives CURSOR WITH HOLD FOR
SELECT recipient_id::text, attempt, kind, at, carrier_message_id, carrier_code, reason, provider FROM facts
 ORDER BY facts.recipient_id, attempt, later, place;

-- name: opt_outs
-- How people stand: as the last thing that was said left it, of so many.
INSERT INTO opt_outs
SELECT DISTINCT ON (person_id) person_id, account_id, number, in_force, source, evidence, changed_at, changed_by,
       count(*) OVER (PARTITION BY person_id), event_id, reply
  FROM (SELECT DISTINCT ON (event_id) * FROM words ORDER BY event_id, place) w ORDER BY person_id, place DESC;

-- name: unknowns
-- Whose outcome nobody knows.
INSERT INTO unknowns
SELECT recipient_id, m.account_id, m.person_id, m.sender, a.unresolved_at, coalesce(a.reason, 'unknown')
  FROM attempts a JOIN messages m USING (recipient_id) WHERE a.state = 'unknown' AND a.unresolved_at IS NOT NULL;
