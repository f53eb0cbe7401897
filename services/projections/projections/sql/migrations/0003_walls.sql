-- Accounts are walls, here too: what the API's role may do, and with whose rows (`wall` is the kernel's).

-- Whose an opt-out is only its event tells: those that were folded are folded again.
DELETE FROM opt_outs;
ALTER TABLE opt_outs ADD COLUMN account_id uuid NOT NULL;
UPDATE offsets SET next_offset = 0 WHERE topic = 'opt-outs';

SELECT wall('campaigns',  'SELECT');
SELECT wall('recipients', 'SELECT');
SELECT wall('opt_outs',   'SELECT');
SELECT wall('erasures',   'SELECT');
-- A handful of rows for each campaign: whose they are is looked up there. Not by EXISTS, for which Postgres may read all
-- campaigns to save itself five look-ups.
SELECT wall('failed_by_reason', 'SELECT',
            '(SELECT true FROM campaigns c WHERE c.campaign_id = failed_by_reason.campaign_id)');
SELECT wall('list_columns', 'SELECT',
            '(SELECT true FROM campaigns c WHERE c.campaign_id = list_columns.campaign_id)');

-- A view reads as its owner, past every wall, unless it is told not to.
ALTER VIEW described SET (security_invoker = true);
SELECT let_api('described', 'SELECT');
SELECT let_api('offsets',   'SELECT');
