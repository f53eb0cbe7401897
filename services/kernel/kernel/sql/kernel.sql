-- The kernel's own tables, the same in every service's schema. Statements must stay repeatable.

-- Where each input continues: moved in the same transaction as the effect of what was read, by compare-and-set.
CREATE TABLE IF NOT EXISTS offsets (
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Which topic (Kafka's id of it) the offsets belong to: a topic made anew under the same name is another topic.
CREATE TABLE IF NOT EXISTS topic_ids (
    topic    text PRIMARY KEY,
    topic_id uuid NOT NULL
);

-- Encoded events that are committed but not yet in Kafka, one packed batch a row.
CREATE TABLE IF NOT EXISTS outbox (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic  text  NOT NULL,
    events bytea NOT NULL
);
ALTER TABLE outbox ALTER COLUMN events SET STORAGE EXTERNAL;

-- Partitions that stand still, and at which event.
CREATE TABLE IF NOT EXISTS stopped (
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    event_offset bigint      NOT NULL,
    error        text        NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition)
);

-- Events an operator decided to pass over, and why.
CREATE TABLE IF NOT EXISTS set_aside (
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    event_offset bigint      NOT NULL,
    reason       text        NOT NULL,
    decided_by   text        NOT NULL,
    decided_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, event_offset)
);
