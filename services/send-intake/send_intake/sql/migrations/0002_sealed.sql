-- What is a person's is sealed: `number` and `cells` of recipients, `text` of campaigns. Older rows stay as they are:
-- what is not sealed is read as it is.

-- `columns` are from now on the list's headers alone, as JSON; what stood in them is in `cells`, a JSON array.
ALTER TABLE recipients ADD COLUMN cells text;
UPDATE recipients r
   SET cells = o.cells, columns = o.names
  FROM (SELECT recipient_id, json_agg(c.value ORDER BY c.place)::text AS cells, json_agg(c.name ORDER BY c.place)::text AS names
          FROM recipients, json_each_text(columns::json) WITH ORDINALITY AS c(name, value, place) GROUP BY recipient_id) o
 WHERE r.recipient_id = o.recipient_id;
UPDATE recipients SET cells = '[]', columns = '[]' WHERE cells IS NULL;
ALTER TABLE recipients ALTER COLUMN cells SET NOT NULL;

-- Their key is gone: there is nothing to show, so nobody is asked to press. Operational.
ALTER TABLE recipients ADD COLUMN erased boolean NOT NULL DEFAULT false;
