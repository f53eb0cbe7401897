-- name: columns
-- The tables of a schema with their columns, and which of these are of the primary key, in its order.
SELECT c.relname::text AS "table", a.attname::text AS "column", format_type(a.atttypid, NULL) AS type,
       array_position(i.indkey::int2[], a.attnum) AS in_key
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attname;

-- name: rows
-- The rows of a table in key order: the key, and what the compared columns say in all.
SELECT ARRAY[{texts}] AS key, md5(ROW({columns})::text) AS said FROM {schema}."{table}"{where} ORDER BY {order};

-- name: said
-- What some rows say, by their keys.
SELECT ARRAY[{texts}] AS key, (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(to_jsonb(t)) e
                                WHERE e.key = ANY($1::text[]))::text AS said
  FROM {schema}."{table}" t JOIN unnest({arrays}) AS k({names}) ON {same};
