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

-- How far our own events are in the log, as the broker has acknowledged them: only of topics whose ends we publish.
CREATE TABLE IF NOT EXISTS produced (
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

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

-- Which migrations have been applied.
CREATE TABLE IF NOT EXISTS migrations (
    name       text PRIMARY KEY,
    applied_at timestamptz DEFAULT now()
);

-- The second wall. A session that acts for people has the role <service>_api, which owns nothing, and in
-- `handsent.accounts` whom it acts for; where that says nothing, it acts for nobody and sees nothing.
CREATE OR REPLACE FUNCTION acting_accounts() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN string_to_array(current_setting('handsent.accounts', true), ',')::uuid[];

-- What the API's role may do with a table, a view or a sequence: 'SELECT, INSERT', also with columns. Empty: nothing.
-- The roles are the service's, as whom it is called, also where the schema is not called so (a replay's).
CREATE OR REPLACE FUNCTION let_api(which regclass, rights text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF rights <> '' THEN
        EXECUTE format('GRANT %s ON %s TO %I', rights, which, current_user || '_api');
    END IF;
END $$;

-- Walls a table in: of its rows the API's role has to do with those alone that are `mine`. The owner, who works for all
-- accounts, is not bound. `mine` calls acting_accounts in a subquery, so that it is asked once a statement, not once a row.
CREATE OR REPLACE FUNCTION wall(
    which regclass, rights text, mine text DEFAULT 'account_id = ANY ((SELECT acting_accounts())::uuid[])'
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', which);
    EXECUTE format('CREATE POLICY wall ON %s TO %I USING (%s) WITH CHECK (%s)',
                   which, current_user || '_api', mine, mine);
    PERFORM let_api(which, rights);
END $$;

-- A table without a wall says why.
COMMENT ON TABLE offsets    IS 'no wall: counts events, of all accounts together';
COMMENT ON TABLE topic_ids  IS 'no wall: names of topics';
COMMENT ON TABLE outbox     IS 'no wall: encoded batches of many accounts; the API adds to it and cannot read it';
COMMENT ON TABLE produced   IS 'no wall: counts events, of all accounts together';
COMMENT ON TABLE stopped    IS 'no wall: for operators, out of the API''s reach';
COMMENT ON TABLE set_aside  IS 'no wall: for operators, out of the API''s reach';
COMMENT ON TABLE migrations IS 'no wall: names of files';
