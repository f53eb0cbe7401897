-- Persons who answered something that a human has to read first: their messages wait, nobody is told anything.
CREATE TABLE holds (
    person_id  uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    held_at    timestamptz NOT NULL,
    reply      text        NOT NULL  -- carrier_message_id of the reply that asked for it
);
CREATE INDEX holds_of_account ON holds (account_id, held_at);
SELECT wall('holds', 'SELECT, INSERT, DELETE');
