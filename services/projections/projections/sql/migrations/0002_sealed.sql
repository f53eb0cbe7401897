-- What is a person's is kept sealed, as it is in the topics. The tables are derived: they are folded again from zero.
DROP VIEW described;
DROP FUNCTION cell(text);
DROP TABLE recipients;
TRUNCATE campaigns, failed_by_reason, list_columns, opt_outs;
DELETE FROM offsets;

-- One row per recipient: the join of its facts (`progress.Row`), the state it is counted in, and where its events lie.
-- Whole rows travel as arrays of this type: keep the order of the columns and `store._columns` alike.
CREATE TABLE recipients (
    recipient_id       uuid   NOT NULL PRIMARY KEY,
    campaign_id        uuid   NOT NULL,
    account_id         uuid   NOT NULL,
    person_id          uuid   NOT NULL,
    position           bigint NOT NULL,  -- behind all others until RecipientAdded is here
    columns            text,             -- the list's headers, a JSON array
    cells              text,             -- what stands under them, a JSON array, sealed under the person's key
    state              text   NOT NULL,
    reason_code        text,
    history            bytea  NOT NULL,  -- 27 bytes per event: event_id, topic, partition, offset
    number             text,             -- sealed under the person's key
    processed_at       timestamptz,
    processed_by       text,
    due_at             timestamptz,
    released_at        timestamptz,
    dropped_at         timestamptz,
    drop_reason        text,
    suppressed_at      timestamptz,
    suppress_reason    text,
    opted_out_at       timestamptz,
    attempt            int,
    outcome            text,
    sent_at            timestamptz,
    accepted_at        timestamptz,
    carrier_message_id text,
    segments           int,
    outcome_code       text,
    outcome_reason     text,
    receipt_attempt    int,
    receipt            text,
    receipt_at         timestamptz,
    receipt_code       text,
    receipt_reason     text
) WITH (fillfactor = 50);  -- a message's life is several updates: on the same page they touch no index
CREATE INDEX recipients_in_list_order ON recipients (campaign_id, position, recipient_id);

-- Where the erasures of persons lie in the log, as in `history`.
CREATE TABLE erasures (
    event_id   uuid  NOT NULL PRIMARY KEY,
    account_id uuid  NOT NULL,
    person_id  uuid  NOT NULL,
    place      bytea NOT NULL
);
CREATE INDEX erasures_of_a_person ON erasures (person_id);

-- A recipient as people read of it: only what is true of its state.
CREATE VIEW described AS
SELECT r.campaign_id, r.account_id, r.person_id, r.position, r.columns, r.cells,
       r.recipient_id, r.number AS phone, r.state,
       CASE WHEN r.state = 'delivered' THEN 'delivered' WHEN s.sent THEN 'not delivered' ELSE '' END AS delivery,
       r.reason_code, r.processed_at, r.processed_by, r.due_at, r.released_at,
       CASE WHEN s.sent THEN r.sent_at END AS sent_at,
       CASE WHEN s.sent THEN r.accepted_at END AS accepted_at,
       CASE WHEN r.state = 'delivered' THEN r.receipt_at END AS delivered_at,
       coalesce(CASE WHEN r.receipt_attempt = r.attempt THEN r.receipt_code END, r.outcome_code) AS carrier_code,
       CASE WHEN s.sent THEN r.carrier_message_id END AS carrier_message_id,
       CASE WHEN s.sent THEN r.segments END AS segments,
       coalesce(r.opted_out_at, o.opted_out_at) AS opted_out_at
  FROM recipients r
 CROSS JOIN LATERAL (SELECT r.state IN ('delivered', 'failed', 'awaiting', 'unconfirmed', 'unknown') AS sent) s
  LEFT JOIN LATERAL (SELECT CASE WHEN p.opted_out THEN p.occurred_at END AS opted_out_at FROM opt_outs p
                      WHERE p.person_id = r.person_id ORDER BY p.occurred_at DESC, p.event_id DESC LIMIT 1) o ON true;
