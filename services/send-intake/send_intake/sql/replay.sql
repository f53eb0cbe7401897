-- name: make
-- What the log says of presses and ENDs; and of what is noted in the derived tables, which came first.
CREATE TEMPORARY TABLE presses (
    recipient_id uuid, campaign_id uuid, account_id uuid, person_id uuid, sender text, processed_at timestamptz,
    processed_by text, due_at timestamptz, reaches boolean, place bigint);
CREATE TEMPORARY TABLE ends (campaign_id uuid, ended_at timestamptz, ended_by text, place bigint);
ALTER TABLE campaigns  ADD COLUMN place bigint;
ALTER TABLE recipients ADD COLUMN place bigint;

-- name: press
-- Who was SENT.
UPDATE recipients r SET processed_at = p.processed_at, processed_by = p.processed_by, due_at = p.due_at
  FROM presses p WHERE p.recipient_id = r.recipient_id;

-- name: count_recipients
-- How many each campaign has.
UPDATE campaigns c SET recipients = n.recipients
  FROM (SELECT campaign_id, count(*) AS recipients FROM recipients GROUP BY 1) n WHERE n.campaign_id = c.campaign_id;

-- name: end_campaigns
-- Those that were ended.
UPDATE campaigns c SET ended_at = e.ended_at, ended_by = e.ended_by FROM ends e WHERE e.campaign_id = c.campaign_id;

-- name: reach
-- Which campaigns were SENT at or after T. Of several presses at the same moment the one that committed first is kept,
-- which the log does not tell: any press of those may be it.
INSERT INTO reached (campaign_id, at, account_id)
SELECT p.campaign_id, coalesce(max(p.processed_at) FILTER (WHERE p.processed_at = l.at), min(p.processed_at)), p.account_id
  FROM presses p LEFT JOIN live_reached l USING (campaign_id) WHERE p.reaches GROUP BY 1, 3;

-- name: first_senders
-- The number of each person's first press. Presses of one batch have the same time, and go by their recipients.
INSERT INTO first_senders (person_id, account_id, sender, since)
SELECT DISTINCT ON (person_id) person_id, account_id, sender, processed_at FROM presses
 ORDER BY person_id, processed_at, recipient_id;
