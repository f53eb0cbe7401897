"""What the database alone can do: a message off a queue becomes an attempt, and the attempt gets its outcome.

Two transactions a batch, each with the events it would publish, on tables of the benchmark's own: the least that keeps
the promise, so that whatever the dispatcher does beyond it shows as a ratio.
"""

import time
import uuid

import asyncpg

EVENT = b"\0" * 200  # about what an event takes in the outbox
TABLES = """
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.messages (recipient_id uuid PRIMARY KEY, person_id uuid NOT NULL, number text NOT NULL,
                             body text NOT NULL);
CREATE TABLE bench.opt_outs (person_id uuid PRIMARY KEY);
CREATE TABLE bench.queue (recipient_id uuid PRIMARY KEY, turn bigint NOT NULL);
CREATE INDEX ON bench.queue (turn);
CREATE TABLE bench.attempts (recipient_id uuid, attempt int, state text NOT NULL DEFAULT 'open', carrier_id text,
                             PRIMARY KEY (recipient_id, attempt));
CREATE TABLE bench.in_flight (recipient_id uuid PRIMARY KEY, owner int NOT NULL);
CREATE TABLE bench.outbox (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, events bytea NOT NULL);
ALTER TABLE bench.outbox ALTER COLUMN events SET STORAGE EXTERNAL;
"""
LOCK = "SELECT pg_advisory_xact_lock_shared(1)"
INTENTS = """
WITH taken AS (
    DELETE FROM bench.queue WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM bench.queue ORDER BY turn LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING recipient_id
), clear AS (
    SELECT m.* FROM taken t
     CROSS JOIN LATERAL (SELECT * FROM bench.messages WHERE recipient_id = t.recipient_id LIMIT 1) m
     WHERE NOT EXISTS (SELECT 1 FROM bench.opt_outs o WHERE o.person_id = m.person_id)
), attempted AS (
    INSERT INTO bench.attempts (recipient_id, attempt) SELECT recipient_id, 1 FROM clear
), owned AS (
    INSERT INTO bench.in_flight (recipient_id, owner) SELECT recipient_id, 1 FROM clear
)
SELECT recipient_id, number, body FROM clear"""
OUTCOMES = """
WITH landed AS (DELETE FROM bench.in_flight WHERE recipient_id = ANY($1::uuid[]))
UPDATE bench.attempts SET state = 'accepted', carrier_id = 'SM' WHERE recipient_id = ANY($1::uuid[]) AND attempt = 1"""
PUBLISH = "INSERT INTO bench.outbox (events) VALUES ($1)"
PINNED = {f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")}


async def per_s(database_url: str, messages: int, batch: int) -> float:
    """Messages a second through the whole cycle, on one connection."""
    connection = await asyncpg.connect(database_url, server_settings={**PINNED, "synchronous_commit": "on"})
    try:
        await connection.execute(TABLES)
        await _fill(connection, messages)
        done, began = 0, time.monotonic()
        while done < messages:
            async with connection.transaction():
                await connection.execute(LOCK)
                taken = await connection.fetch(INTENTS, batch)
                await connection.execute(PUBLISH, EVENT * len(taken))
            async with connection.transaction():
                await connection.execute(OUTCOMES, [row["recipient_id"] for row in taken])
                await connection.execute(PUBLISH, EVENT * len(taken))
            done += len(taken)
        return done / (time.monotonic() - began)
    finally:
        await connection.execute("DROP SCHEMA IF EXISTS bench CASCADE")
        await connection.close()


async def _fill(connection: asyncpg.Connection, messages: int) -> None:
    ids = [uuid.uuid4() for _ in range(messages)]
    rows = [(rid, uuid.uuid4(), "+12025551000", "x" * 120) for rid in ids]
    await connection.copy_records_to_table("messages", records=rows, schema_name="bench")
    turns = [(rid, turn) for turn, rid in enumerate(ids)]
    await connection.copy_records_to_table("queue", records=turns, schema_name="bench")
    await connection.execute("ANALYZE bench.messages, bench.queue")
