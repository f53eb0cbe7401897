-- The campaign's latest useful time: past it the message is not sent. Null: it is always useful. From `releases`.
ALTER TABLE messages ADD COLUMN useful_until timestamptz;
CREATE INDEX messages_useful ON messages (useful_until, recipient_id) WHERE useful_until IS NOT NULL;

-- How far messages whose time is over have been looked at, each once: what waits is told at once, not at its turn.
CREATE TABLE late (
    only_row     boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    useful_until timestamptz NOT NULL,
    recipient_id uuid        NOT NULL
);
INSERT INTO late (useful_until, recipient_id) VALUES ('1970-01-01Z', '00000000-0000-0000-0000-000000000000');
COMMENT ON TABLE late IS 'no wall: a time';
