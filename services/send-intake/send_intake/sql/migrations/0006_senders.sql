-- The number a person was first SENT a text from: campaigns that have it go on with it. Never changes.
-- Derived from `processed`.
CREATE TABLE first_senders (
    person_id  uuid PRIMARY KEY,
    account_id uuid        NOT NULL,
    sender     text        NOT NULL,
    since      timestamptz NOT NULL -- the time of that SEND: no SEND of the person is before it
);
SELECT wall('first_senders', 'SELECT, INSERT');
INSERT INTO first_senders
SELECT DISTINCT ON (r.person_id) r.person_id, r.account_id, c.sender, r.processed_at
  FROM recipients r JOIN campaigns c USING (campaign_id) WHERE r.processed_at IS NOT NULL
 ORDER BY r.person_id, r.processed_at, r.recipient_id;

-- All numbers a campaign's texts are sent from, the first of them is `sender`. Empty before there could be several.
-- Last, for it locks the table.
ALTER TABLE campaigns
    ADD COLUMN senders      text[] NOT NULL DEFAULT '{}',
    ADD COLUMN useful_until timestamptz; -- past it nothing of the campaign is sent
