-- When things happened, for figures over time; who pressed SEND. All is derived, so all is folded again from zero.
TRUNCATE recipients, campaigns, failed_by_reason, list_columns, opt_outs, erasures;
DELETE FROM offsets;

ALTER TABLE recipients ADD COLUMN added_at   timestamptz;  -- when the recipient came into the list
ALTER TABLE recipients ADD COLUMN outcome_at timestamptz;  -- when the attempt's outcome was known, acceptance aside

-- By how much each figure of a campaign changed in a minute, as far as is known today: summed up to a minute they are
-- the figures as they stood then, summed up to the last they are those of `campaigns`. A minute without change has no row.
CREATE TABLE minutes (
    campaign_id uuid        NOT NULL,
    minute      timestamptz NOT NULL,
    unprocessed bigint      NOT NULL,
    waiting     bigint      NOT NULL,
    suppressed  bigint      NOT NULL,
    dropped     bigint      NOT NULL,
    delivered   bigint      NOT NULL,
    failed      bigint      NOT NULL,
    awaiting    bigint      NOT NULL,
    unconfirmed bigint      NOT NULL,
    unknown     bigint      NOT NULL,
    PRIMARY KEY (campaign_id, minute)
) WITH (fillfactor = 20);

-- Who pressed SEND in a campaign: how often, and the first and last time.
CREATE TABLE senders (
    campaign_id  uuid        NOT NULL,
    processed_by text        NOT NULL,
    processed    bigint      NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    PRIMARY KEY (campaign_id, processed_by)
) WITH (fillfactor = 20);

CREATE INDEX campaigns_of_an_account ON campaigns (account_id);

-- The next offset of every partition, as topic -> partition -> offset: what an answer of the same statement stands at.
CREATE FUNCTION as_of() RETURNS text LANGUAGE sql STABLE
RETURN (SELECT coalesce(jsonb_object_agg(t.topic, t.partitions), '{}')::text
          FROM (SELECT o.topic, jsonb_object_agg(o.partition, o.next_offset) AS partitions
                  FROM offsets o GROUP BY o.topic) t);

SELECT wall('minutes', 'SELECT', '(SELECT true FROM campaigns c WHERE c.campaign_id = minutes.campaign_id)');
SELECT wall('senders', 'SELECT', '(SELECT true FROM campaigns c WHERE c.campaign_id = senders.campaign_id)');
