-- Which provider an attempt is made with. From `dispatches`: SendAttempted says it.
ALTER TABLE attempts ADD COLUMN provider text NOT NULL DEFAULT 'twilio';

-- The exact bytes of an open attempt, sealed with the person's key, from before its first POST until its outcome.
-- With an idempotency key they may be POSTed again: between two POSTs nobody owns the attempt (0), and `repeat_at` says
-- when its turn is; `repeats` counts how often it was put back, `doubt` is what was last seen of it.
ALTER TABLE in_flight
    ADD COLUMN provider   text NOT NULL DEFAULT 'twilio',
    ADD COLUMN request    text,
    ADD COLUMN repeats    int  NOT NULL DEFAULT 0,
    ADD COLUMN repeat_at  timestamptz,
    ADD COLUMN doubt      text,
    ADD COLUMN doubt_code text;
CREATE INDEX in_flight_to_repeat ON in_flight (repeat_at) WHERE repeat_at IS NOT NULL;

-- By which attempt an SMSC's id is meant: its receipts cannot name recipient and attempt under our signature, and may
-- write numbers as they like.
CREATE TABLE carrier_ids (
    provider           text        NOT NULL,
    carrier_message_id text        NOT NULL,
    recipient_id       uuid        NOT NULL,
    attempt            int         NOT NULL,
    known_at           timestamptz NOT NULL,
    PRIMARY KEY (carrier_message_id, provider)
);
CREATE INDEX carrier_ids_by_time ON carrier_ids (known_at);
SELECT wall('carrier_ids', 'SELECT, INSERT, UPDATE',
            '(SELECT true FROM messages m WHERE m.recipient_id = carrier_ids.recipient_id)');

-- A receipt about nobody we know yet is parked, and looked at again at `look_at`, ever more rarely, until it is too old.
ALTER TABLE callbacks
    ADD COLUMN provider           text NOT NULL DEFAULT 'twilio',
    ADD COLUMN carrier_message_id text,
    ADD COLUMN look_at            timestamptz;
CREATE INDEX callbacks_to_replay ON callbacks (look_at) WHERE look_at IS NOT NULL;

ALTER TABLE replies ADD COLUMN provider text NOT NULL DEFAULT 'twilio';
