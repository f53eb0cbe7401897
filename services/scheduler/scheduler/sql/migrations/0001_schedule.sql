-- Campaigns that have ended, and of those scheduled, when they would have gone out. Derived from `campaigns`.
CREATE TABLE ended_campaigns (
    campaign_id   uuid PRIMARY KEY,
    ended_at      timestamptz NOT NULL,
    scheduled_for timestamptz,
    event_id      uuid NOT NULL
);
CREATE INDEX ended_early ON ended_campaigns (scheduled_for) WHERE ended_at < scheduled_for;

-- What was SENT and waits for its time. `event` is the encoded RecipientProcessed. Derived from `processed`.
CREATE TABLE held (
    recipient_id uuid        NOT NULL,
    campaign_id  uuid        NOT NULL,
    due_at       timestamptz NOT NULL,
    event        bytea       NOT NULL,
    PRIMARY KEY (recipient_id)
);
ALTER TABLE held ALTER COLUMN event SET STORAGE EXTERNAL;
CREATE INDEX held_due ON held (due_at);
CREATE INDEX held_campaign ON held (campaign_id);

-- ClockAdvanced that the offsets do not cover yet, and the newest that they do: the watermark. Derived from `clock`.
CREATE TABLE clocks (
    at                timestamptz PRIMARY KEY,
    campaigns_offsets jsonb NOT NULL
);
CREATE TABLE watermark (
    at  timestamptz NOT NULL,
    one bool PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO watermark (at) VALUES ('epoch');
