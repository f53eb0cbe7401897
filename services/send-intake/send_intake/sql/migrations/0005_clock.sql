-- Time is an input. Whatever asks the time for a T, a SEND, an END or the clock asks here, and tests put their own here.
-- Inlined: it costs what clock_timestamp() costs.
CREATE FUNCTION host_time() RETURNS timestamptz LANGUAGE sql VOLATILE RETURN clock_timestamp();

-- Which life of the row `clock` this is. Its own xmin betrays a row that came out of a dump, or was changed by hand;
-- the database, one that was copied; the server's identifier, one that was loaded elsewhere; the timeline of the WAL, a
-- promotion or a recovery to a point in time. A restart changes none of them.
CREATE FUNCTION incarnation(written_by xid) RETURNS text LANGUAGE sql VOLATILE RETURN concat_ws('/',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name('0/1'), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    written_by);

-- In which incarnation, and since which start of the server, the clock was confirmed: lifted above all that was
-- published. A volume put back to an older snapshot shows in nothing but the start.
ALTER TABLE clock
    ADD COLUMN incarnation text,
    ADD COLUMN started     timestamptz;

-- The next reading: never back, never the same, above `published`. One statement for its caller, so that the lock ends
-- with it: a caller that freezes holds nothing. Three statements in here, so that the time is read under the lock.
CREATE FUNCTION tick(published timestamptz) RETURNS TABLE (at timestamptz, ahead_s float8)
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('handsent.clock', 2));
    RETURN QUERY
    UPDATE clock c
       SET at = greatest(host_time(), c.at + interval '1 microsecond', published + interval '1 microsecond'),
           incarnation = incarnation(pg_current_xact_id()::xid), started = pg_postmaster_start_time()
    RETURNING c.at, extract(epoch FROM c.at - host_time())::float8;
END $$;
