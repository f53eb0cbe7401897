-- What waits stands in lanes: one for each sender's number and campaign, each in the order in which its messages were
-- due. Whose turn it is among lanes is decided by the process that takes them; a lane is nothing but its messages.
DROP TABLE lanes;
DROP SEQUENCE served_turn;
DROP INDEX queue_by_turn, queue_backing_off;
ALTER TABLE queue
    ADD COLUMN account_id  uuid,
    ADD COLUMN campaign_id uuid,
    ADD COLUMN sender      text COLLATE "C",
    ADD COLUMN due_at      timestamptz,
    ADD COLUMN why         text,           -- what it waits for beside its turn, until `not_before`
    DROP COLUMN turn;
UPDATE queue q SET account_id = m.account_id, campaign_id = m.campaign_id, sender = m.sender, due_at = m.due_at,
                   why = CASE WHEN q.not_before IS NULL THEN NULL ELSE 'back_off' END
  FROM messages m WHERE m.recipient_id = q.recipient_id;
ALTER TABLE queue
    ALTER COLUMN account_id  SET NOT NULL,
    ALTER COLUMN campaign_id SET NOT NULL,
    ALTER COLUMN sender      SET NOT NULL,
    ALTER COLUMN due_at      SET NOT NULL;
CREATE INDEX queue_by_lane ON queue (sender, campaign_id, due_at) WHERE not_before IS NULL;
CREATE INDEX queue_aside ON queue (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX queue_aside_of_sender ON queue (sender, why) WHERE not_before IS NOT NULL;
-- Nothing but the row itself says whose it is; a person's STOP, or an operator's word, takes up what was put aside.
DROP POLICY wall ON queue;
SELECT wall('queue', 'SELECT, INSERT, UPDATE (not_before, why)');
SELECT let_api('senders', 'SELECT');

-- Whose last text has an outcome that nobody knows: later ones from the same sender wait for a while. From `dispatches`.
CREATE TABLE unknowns (
    recipient_id uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL,
    person_id    uuid        NOT NULL,
    sender       text        NOT NULL,
    since        timestamptz NOT NULL,
    reason       text        NOT NULL
);
CREATE INDEX unknowns_of_person ON unknowns (person_id, sender, since);
CREATE INDEX unknowns_of_account ON unknowns (account_id, sender);
INSERT INTO unknowns
SELECT recipient_id, m.account_id, m.person_id, m.sender, a.unresolved_at, coalesce(a.reason, 'unknown')
  FROM attempts a JOIN messages m USING (recipient_id) WHERE a.state = 'unknown' AND a.unresolved_at IS NOT NULL;
SELECT wall('unknowns', 'SELECT, INSERT, DELETE');

-- How far each limit has been used, by all dispatchers together: a rate is paid for until `paid_until`; of a day's
-- allowance `spent` is gone. In segments.
CREATE TABLE budgets (
    kind       text        NOT NULL,  -- sender, campaign, account, brand
    key        text        NOT NULL,
    account_id uuid        NOT NULL,
    paid_until timestamptz NOT NULL,
    day        date        NOT NULL,
    spent      bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
) WITH (fillfactor = 50);
SELECT wall('budgets', 'SELECT');
