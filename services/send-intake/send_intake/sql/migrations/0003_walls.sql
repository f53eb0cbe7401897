-- Accounts are walls, here too: what the API's role may do, and with whose rows (`wall` is the kernel's).

-- Rows below a campaign say whose they are: a look at the campaign for each would cost every SEND.
ALTER TABLE recipients ADD COLUMN account_id uuid;
ALTER TABLE reached    ADD COLUMN account_id uuid;
ALTER TABLE sendings   ADD COLUMN account_id uuid;
ALTER TABLE claims     ADD COLUMN account_id uuid;
UPDATE recipients r SET account_id = c.account_id FROM campaigns c WHERE c.campaign_id = r.campaign_id;
UPDATE reached r    SET account_id = c.account_id FROM campaigns c WHERE c.campaign_id = r.campaign_id;
UPDATE sendings s   SET account_id = c.account_id FROM campaigns c WHERE c.campaign_id = s.campaign_id;
UPDATE claims k     SET account_id = c.account_id FROM campaigns c WHERE c.campaign_id = k.campaign_id;
ALTER TABLE recipients ALTER COLUMN account_id SET NOT NULL;
ALTER TABLE reached    ALTER COLUMN account_id SET NOT NULL;
ALTER TABLE sendings   ALTER COLUMN account_id SET NOT NULL;
ALTER TABLE claims     ALTER COLUMN account_id SET NOT NULL;

SELECT wall('accounts',   'SELECT');
SELECT wall('senders',    'SELECT, INSERT');
SELECT wall('users',      'SELECT (user_id, account_id, name)');
SELECT wall('campaigns',  'SELECT, INSERT, UPDATE');
SELECT wall('recipients', 'SELECT, INSERT, UPDATE');
SELECT wall('reached',    'SELECT, INSERT');
SELECT wall('sendings',   'SELECT, INSERT, UPDATE, DELETE');
SELECT wall('claims',     'SELECT, INSERT, UPDATE, DELETE');

COMMENT ON TABLE clock IS 'no wall: the time is everybody''s';
SELECT let_api('clock',  'SELECT');
SELECT let_api('outbox', 'INSERT');
