-- Derived tables: rebuilt from the topics alone. ---------------------------------------------------------------

-- Every message the scheduler let go, for ever: a repeated release finds its row and is nothing. From `releases`.
CREATE TABLE messages (
    recipient_id  uuid        PRIMARY KEY,
    account_id    uuid        NOT NULL,
    campaign_id   uuid        NOT NULL,
    person_id     uuid        NOT NULL,
    released_by   uuid        NOT NULL,  -- event_id of the MessageReleased
    due_at        timestamptz NOT NULL,
    number        text        NOT NULL,
    text          text        NOT NULL,
    sender        text        NOT NULL,
    suppressed_at timestamptz
);

-- Every call to the carrier. From `dispatches` and `receipts`.
CREATE TABLE attempts (
    recipient_id       uuid        NOT NULL,
    attempt            int         NOT NULL,
    state              text        NOT NULL DEFAULT 'open',
    refused            boolean     NOT NULL DEFAULT false,  -- state = 'refused'; apart, so that other moves stay in place
    attempted_at       timestamptz NOT NULL,
    accepted_at        timestamptz,
    unresolved_at      timestamptz,  -- when it was, first, unknown
    carrier_message_id text,
    carrier_code       text,
    reason             text,
    PRIMARY KEY (recipient_id, attempt)
) WITH (fillfactor = 60);
-- Nobody is texted twice: one attempt per recipient that is not known to have been refused. No indexed column moves
-- on the way open, accepted, delivered, so those updates touch no index.
CREATE UNIQUE INDEX attempts_live ON attempts (recipient_id) WHERE NOT refused;
CREATE INDEX attempts_by_time ON attempts (attempted_at);
CREATE INDEX attempts_once_unknown ON attempts (unresolved_at) WHERE unresolved_at IS NOT NULL;

-- Who has opted out, and who had. From `opt-outs`.
CREATE TABLE opt_outs (
    person_id    uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL,
    number       text        NOT NULL,
    in_force     boolean     NOT NULL,
    source       text        NOT NULL,
    evidence     text        NOT NULL,
    changed_at   timestamptz NOT NULL,
    changed_by   text        NOT NULL,
    changes      int         NOT NULL,  -- ordinal of the event that made this row what it is
    event_id     uuid        NOT NULL
);
CREATE INDEX opt_outs_of_account ON opt_outs (account_id, person_id) WHERE in_force;

-- Whose a number is. From `campaigns`.
CREATE TABLE senders (
    number     text PRIMARY KEY,
    account_id uuid NOT NULL
);

-- Operational tables. -----------------------------------------------------------------------------------------

-- Messages that wait: for their turn, or, after a refusal, until `not_before`.
CREATE TABLE queue (
    recipient_id uuid   PRIMARY KEY,
    attempt      int    NOT NULL,
    turn         bigint NOT NULL,
    not_before   timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
CREATE INDEX queue_by_turn ON queue (turn) WHERE not_before IS NULL;
CREATE INDEX queue_backing_off ON queue (not_before) WHERE not_before IS NOT NULL;

-- Where each campaign's next turn is, and (the sequence) the turn being served. A sequence moves outside transactions,
-- so that dispatchers do not wait for each other on it; if it is a little behind, fairness is, and nothing else.
CREATE TABLE lanes (
    campaign_id uuid   PRIMARY KEY,
    account_id  uuid   NOT NULL,
    next_turn   bigint NOT NULL,
    dealt       bigint NOT NULL
) WITH (fillfactor = 50);
CREATE SEQUENCE served_turn AS bigint;

-- Which process may POST an open attempt. An owner holds an advisory lock on its number for as long as it lives.
CREATE TABLE in_flight (
    recipient_id uuid PRIMARY KEY,
    attempt      int  NOT NULL,
    owner        int  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000);
CREATE SEQUENCE owners AS int;

-- Every status callback as it came, stored before it was interpreted.
CREATE TABLE callbacks (
    seq          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    recipient_id uuid,
    attempt      int,
    form         bytea       NOT NULL,
    fate         text        NOT NULL
);
CREATE INDEX callbacks_to_look_at ON callbacks (fate, seq) WHERE fate <> 'applied';

-- What people answered. Without an account while the sender's campaign has not been read yet.
CREATE TABLE replies (
    seq                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    carrier_message_id text        NOT NULL UNIQUE,
    account_id         uuid,
    person_id          uuid,
    number             text        NOT NULL,
    sender             text        NOT NULL,
    body               text        NOT NULL,
    verdict            text        NOT NULL,
    received_at        timestamptz NOT NULL
);
CREATE INDEX replies_of_account ON replies (account_id, seq);
CREATE INDEX replies_parked ON replies (sender) WHERE account_id IS NULL;

-- What operators decided about unknown attempts, and why.
CREATE TABLE resolutions (
    recipient_id uuid        NOT NULL,
    attempt      int         NOT NULL,
    resolution   text        NOT NULL,
    reason       text        NOT NULL,
    resolved_by  text        NOT NULL,
    resolved_at  timestamptz NOT NULL,
    PRIMARY KEY (recipient_id, attempt)
);

-- How far the search for attempts without a receipt has come.
CREATE TABLE sweep (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    swept_until timestamptz NOT NULL
);
INSERT INTO sweep (swept_until) VALUES ('1970-01-01Z');
