-- A process of the version before may be holding messages meanwhile: what it adds must be counted, here or by the trigger.
LOCK TABLE held IN SHARE ROW EXCLUSIVE MODE;

-- What a tick asks: how many messages wait, by campaign and time. Derived from `held`, and moves with it.
CREATE TABLE waiting (
    campaign_id uuid        NOT NULL,
    due_at      timestamptz NOT NULL,
    held        bigint      NOT NULL CHECK (held > 0),
    PRIMARY KEY (campaign_id, due_at)
) WITH (fillfactor = 50);
CREATE INDEX waiting_due ON waiting (due_at);
COMMENT ON TABLE waiting IS 'no wall: out of the API''s reach';
INSERT INTO waiting SELECT campaign_id, due_at, count(*) FROM held GROUP BY 1, 2;

-- `release` is the outbox's record of the MessageReleased, so that letting a message go moves bytes and decodes nothing;
-- `event` is what 0.1.0 held instead, the RecipientProcessed. `seq` is the order of arrival.
ALTER TABLE held
    ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN release bytea,
    ALTER COLUMN event DROP NOT NULL,
    ADD CHECK (release IS NOT NULL OR event IS NOT NULL);
ALTER TABLE held ALTER COLUMN release SET STORAGE EXTERNAL;
DROP INDEX held_due;
DROP INDEX held_campaign;
CREATE INDEX held_in_order ON held (campaign_id, seq);

-- Counted once a statement, whoever writes it. Rows of `waiting` are locked in order and at the end of the statement.
CREATE FUNCTION count_held() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO waiting AS w SELECT campaign_id, due_at, count(*) FROM added GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (campaign_id, due_at) DO UPDATE SET held = w.held + excluded.held;
    RETURN NULL;
END $$;
CREATE FUNCTION count_gone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM waiting WHERE (campaign_id, due_at) IN (SELECT DISTINCT campaign_id, due_at FROM taken)
      ORDER BY campaign_id, due_at FOR UPDATE;
    WITH t AS (SELECT campaign_id, due_at, count(*) AS n FROM taken GROUP BY 1, 2),
         last AS (DELETE FROM waiting w USING t WHERE w.campaign_id = t.campaign_id AND w.due_at = t.due_at AND w.held = t.n)
    UPDATE waiting w SET held = w.held - t.n FROM t
     WHERE w.campaign_id = t.campaign_id AND w.due_at = t.due_at AND w.held <> t.n;
    RETURN NULL;
END $$;
CREATE TRIGGER count_held AFTER INSERT ON held
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_held();
CREATE TRIGGER count_gone AFTER DELETE ON held
    REFERENCING OLD TABLE AS taken FOR EACH STATEMENT EXECUTE FUNCTION count_gone();

-- A schema that is made anew knows from `releases` who has left already, until it has read `processed` as far as that
-- matters. One that was here before needs none of it.
CREATE TABLE gone (recipient_id uuid PRIMARY KEY);
CREATE TABLE folded (
    topic     text   NOT NULL,
    partition int    NOT NULL,
    until     bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE gone   IS 'no wall: out of the API''s reach';
COMMENT ON TABLE folded IS 'no wall: counts events';
INSERT INTO folded SELECT topic, partition, 0 FROM offsets WHERE next_offset > 0;
