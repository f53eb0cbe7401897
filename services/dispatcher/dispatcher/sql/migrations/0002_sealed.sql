-- What is a person's is sealed: `number` and `text` of messages, `number` and `evidence` of opt_outs, `number` and `body`
-- of replies, `form` of callbacks. Older rows stay as they are: what is not sealed is read as it is.

-- Which key sealed the message; null for one that is not sealed. From `releases`.
ALTER TABLE messages ADD COLUMN key_id bytea;
CREATE INDEX messages_of_person ON messages (person_id);
CREATE INDEX replies_of_person ON replies (person_id) WHERE person_id IS NOT NULL;

-- Who was erased, and with which key: what that key sealed is sent to nobody. Who comes back has another key.
-- From `opt-outs`; `reason` and `finished_at` are operational.
CREATE TABLE erased (
    person_id   uuid        NOT NULL,
    key_id      bytea       NOT NULL,
    account_id  uuid        NOT NULL,
    erased_at   timestamptz NOT NULL,
    erased_by   text        NOT NULL,
    event_id    uuid        NOT NULL,
    reason      text        NOT NULL,
    finished_at timestamptz,          -- when the key and the raw callbacks were gone
    PRIMARY KEY (person_id, key_id)
);
CREATE INDEX erased_to_finish ON erased (erased_at) WHERE finished_at IS NULL;
