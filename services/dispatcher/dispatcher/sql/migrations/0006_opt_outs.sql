-- With which reply an opt-out, or its lifting, came. From `opt-outs`.
ALTER TABLE opt_outs ADD COLUMN reply text;

-- What we answered a reply with, once and for all: `stopped`, `started`, `help`; null for nothing.
ALTER TABLE replies ADD COLUMN answer text;

-- What became of holds: who decided what about whom, and why (sealed).
CREATE TABLE hold_decisions (
    person_id  uuid        NOT NULL,
    account_id uuid        NOT NULL,
    reply      text        NOT NULL,
    held_at    timestamptz NOT NULL,
    decision   text        NOT NULL,
    reason     text        NOT NULL,
    decided_by text        NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (person_id, reply)
);
SELECT wall('hold_decisions', 'SELECT, INSERT');

-- Answers to replies that the carrier does not take in the webhook's answer, each sent at most once. `posting` is
-- committed before the first byte leaves; whoever dies then leaves an answer that nobody sends again.
CREATE TABLE notices (
    carrier_message_id text        PRIMARY KEY,  -- of the reply it answers
    account_id         uuid        NOT NULL,
    person_id          uuid        NOT NULL,
    number             text        NOT NULL,
    sender             text        NOT NULL,
    kind               text        NOT NULL,
    state              text        NOT NULL DEFAULT 'waiting',
    made_at            timestamptz NOT NULL,
    not_before         timestamptz,
    posted_at          timestamptz
);
CREATE INDEX notices_open ON notices (made_at) WHERE state IN ('waiting', 'posting');
CREATE INDEX notices_of_person ON notices (person_id);
SELECT wall('notices', 'SELECT');

-- Whoever decides about a person whose messages wait wakes them.
SELECT let_api('queue', 'SELECT (recipient_id, not_before), UPDATE (not_before)');
