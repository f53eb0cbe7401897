-- All tables are derived: a fold of the topics from zero makes them again, equal.

-- Campaigns with their figures. Leaves only: the sums follow. `version` counts the events folded, each once.
CREATE TABLE campaigns (
    campaign_id   uuid PRIMARY KEY,
    account_id    uuid NOT NULL,
    name          text,          -- null until CampaignCreated is here
    scheduled_for timestamptz,
    ended_at      timestamptz,
    created_place bytea,         -- where CampaignCreated and CampaignEnded lie in the log, as in `history` below
    ended_place   bytea,
    version       bigint NOT NULL DEFAULT 0,
    unprocessed   bigint NOT NULL DEFAULT 0,
    waiting       bigint NOT NULL DEFAULT 0,
    suppressed    bigint NOT NULL DEFAULT 0,
    dropped       bigint NOT NULL DEFAULT 0,
    delivered     bigint NOT NULL DEFAULT 0,
    failed        bigint NOT NULL DEFAULT 0,
    awaiting      bigint NOT NULL DEFAULT 0,
    unconfirmed   bigint NOT NULL DEFAULT 0,
    unknown       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);  -- a row is updated with every batch: room for new versions of it on its page

CREATE TABLE failed_by_reason (
    campaign_id uuid   NOT NULL,
    reason      text   NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (campaign_id, reason)
) WITH (fillfactor = 20);

-- The columns of a campaign's lists, beside the phone; `place` is the first they were seen at.
CREATE TABLE list_columns (
    campaign_id uuid NOT NULL,
    name        text NOT NULL,
    place       int  NOT NULL,
    PRIMARY KEY (campaign_id, name)
);

-- One row per recipient: the join of its facts (`progress.Row`), the state it is counted in, and where its events lie.
-- Whole rows travel as arrays of this type: keep the order of the columns and `store._columns` alike.
CREATE TABLE recipients (
    recipient_id       uuid   NOT NULL PRIMARY KEY,
    campaign_id        uuid   NOT NULL,
    account_id         uuid   NOT NULL,
    person_id          uuid   NOT NULL,
    position           bigint NOT NULL,  -- behind all others until RecipientAdded is here
    first_name         text,
    last_name          text,
    columns            jsonb,
    state              text   NOT NULL,
    reason_code        text,
    history            bytea  NOT NULL,  -- 27 bytes per event: event_id, topic, partition, offset
    number             text,
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

-- Every opt-out and opt-in, as a set; the latest of a person counts.
CREATE TABLE opt_outs (
    person_id   uuid        NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    opted_out   boolean     NOT NULL,
    place       bytea       NOT NULL,
    PRIMARY KEY (person_id, occurred_at, event_id)
);

-- A recipient as people read of it: only what is true of its state.
CREATE VIEW described AS
SELECT r.campaign_id, r.position, r.columns,
       r.recipient_id, r.number AS phone, coalesce(r.first_name, '') AS first_name,
       coalesce(r.last_name, '') AS last_name, r.state,
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

-- A cell that a spreadsheet would run as a formula gets an apostrophe: `report.guarded`, for COPY.
CREATE FUNCTION cell(cell text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ascii(cell) IN (61, 43, 45, 64, 9, 13) THEN '''' || cell ELSE cell END;

-- A time in RFC 3339, UTC, to the microsecond.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
