-- Tenants and the numbers they send from: a number belongs to one account for good.
CREATE TABLE accounts (
    account_id uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    sender     text NOT NULL UNIQUE
);
CREATE TABLE senders (
    number     text PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts
);
CREATE SEQUENCE sender_numbers START 8445550100 MAXVALUE 8445559999;

-- Who may sign in. Operational.
CREATE TABLE users (
    user_id    uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('sender', 'manager', 'auditor')),
    UNIQUE (account_id, name)
);

-- Derived from `campaigns`, but for next_position and recipients (from `recipients`).
CREATE TABLE campaigns (
    campaign_id   uuid PRIMARY KEY,
    account_id    uuid        NOT NULL,
    name          text        NOT NULL,
    text          text        NOT NULL,
    scheduled_for timestamptz,
    sender        text        NOT NULL,
    created_at    timestamptz NOT NULL,
    created_by    text        NOT NULL,
    ended_at      timestamptz,
    ended_by      text,
    recipients    bigint      NOT NULL DEFAULT 0,
    next_position bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX campaigns_of_account ON campaigns (account_id, created_at);

-- The first SEND at or after T of scheduled campaigns: an END after it is never before T, whatever the host's clock
-- does. A table of its own, so that a SEND never waits for the campaign's row. Derived from `processed`.
CREATE TABLE reached (
    campaign_id uuid PRIMARY KEY,
    at          timestamptz NOT NULL
);

-- Derived from `recipients` and `processed`.
CREATE TABLE recipients (
    recipient_id uuid   NOT NULL,
    campaign_id  uuid   NOT NULL,
    position     bigint NOT NULL,
    person_id    uuid   NOT NULL,
    number       text   NOT NULL,
    columns      text   NOT NULL, -- JSON, in the list's order
    processed_at timestamptz,
    processed_by text,
    due_at       timestamptz,
    PRIMARY KEY (recipient_id)
) WITH (fillfactor = 80);
CREATE INDEX recipients_to_press ON recipients (campaign_id, position) WHERE processed_at IS NULL;

-- Which campaign a user is sending; one each. Operational.
CREATE TABLE sendings (
    user_id     uuid PRIMARY KEY,
    campaign_id uuid        NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sendings_of_campaign ON sendings (campaign_id);

-- Rows shown to one user so that another gets other ones; never in the way of a SEND. Operational.
CREATE TABLE claims (
    recipient_id uuid PRIMARY KEY,
    campaign_id  uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    until        timestamptz NOT NULL
);
CREATE INDEX claims_of_user ON claims (user_id, campaign_id);
CREATE INDEX claims_of_campaign ON claims (campaign_id);

-- The last reading of the clock that was published, or is about to be.
CREATE TABLE clock (
    at  timestamptz NOT NULL,
    one bool PRIMARY KEY DEFAULT true CHECK (one)
) WITH (fillfactor = 10);
INSERT INTO clock (at) VALUES ('epoch');
