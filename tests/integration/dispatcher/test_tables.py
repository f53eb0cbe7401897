"""What only Postgres can show: plans with a million rows waiting, unclear commits, attempts given up in time."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from dispatcher import store, store_callbacks, store_opt_outs, store_sweep
from dispatcher.app_outcomes import Callback, Outcomes
from dispatcher.attempt import NeverPosted
from dispatcher.outcome import Accepted, Unknown
from dispatcher.provider import TELNYX
from dispatcher.store_attempts import Proof, settle
from dispatcher.store_intents import Intent
from dispatcher.store_opt_outs import Word
from dispatcher.store_sweep import sweep
from kernel import database
from kernel.outbox import Outbox
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault

from schemas.reasons import OptOutSource, UnresolvedReason
from tests.integration.dispatcher import taking
from tests.integration.dispatcher.world import NOON

A_DAY = timedelta(days=1)
WAITING = 100_000
CHUNKS = 20


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Tables that no dispatcher touches."""
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
async def vault(database_url: str, pool: asyncpg.Pool) -> AsyncIterator[Vault]:
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    yield vault
    await vault.close()


async def fill(pool: asyncpg.Pool, count: int) -> str:
    """Messages of one campaign, each with its place in the queue."""
    campaign_id = str(uuid.uuid4())
    await pool.execute(
        """WITH m AS (INSERT INTO messages SELECT gen_random_uuid(), $1, $1, gen_random_uuid(), gen_random_uuid(),
                             now(), '+12025550123', 'text', '+12025550199' FROM generate_series(1, $2) RETURNING 1)
           SELECT count(*) FROM m""",
        campaign_id,
        count,
    )
    await pool.execute(
        """INSERT INTO queue (recipient_id, attempt, account_id, campaign_id, sender, due_at)
           SELECT recipient_id, 1, account_id, campaign_id, sender, due_at FROM messages WHERE campaign_id = $1""",
        campaign_id,
    )
    return campaign_id


async def take(pool: asyncpg.Pool, vault: Vault, limit: int, at: datetime = NOON) -> list[Intent]:
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        taken = await taking.take(connection, vault, limit, at, outbox)
        await outbox.write(connection)
    return taken.intents


async def apply(pool: asyncpg.Pool, *proofs: Proof) -> list[str]:
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        attempts = await settle(connection, proofs, outbox)
        await outbox.write(connection)
    return [attempts[proof.key].state for proof in proofs]


async def test_taking_intents_costs_the_same_however_many_wait(pool: asyncpg.Pool, vault: Vault) -> None:
    await take(pool, vault, 200)  # plans are made while the tables are empty, and kept
    await fill(pool, WAITING)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        assert len(await take(pool, vault, 200)) == 200
        times.append(time.perf_counter() - began)
    assert sorted(times)[10] < 0.5  # a plan that reads the tables whole takes seconds
    given = ("ARRAY['+12025550199']", "ARRAY[gen_random_uuid()]", "ARRAY[200]", "now()")
    statement = store.q.take_messages
    for n, value in enumerate(given, 1):
        statement = statement.replace(f"${n}", value)
    plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {statement}"))
    assert "queue_by_lane" in plan
    assert not any(
        f"Seq Scan on {table}" in plan for table in ("queue", "messages", "opt_outs", "erased", "unknowns", "holds")
    )


async def test_an_import_of_opt_outs_lets_dispatch_in_between_its_chunks(pool: asyncpg.Pool, vault: Vault) -> None:
    """For how long a chunk holds it up, `make bench` says; no test asks a clock."""
    await fill(pool, 5000)
    account_id = str(uuid.uuid4())

    def words() -> list[Word]:
        return [
            Word(True, account_id, str(uuid.uuid4()), "+12025550123", OptOutSource.IMPORT, "", "u", None, NOON)
            for _ in range(1000)
        ]

    async def import_() -> None:
        for _ in range(CHUNKS):
            await store_opt_outs.record(pool, words())

    turns, importing = 0, asyncio.create_task(import_())
    while not importing.done():
        await take(pool, vault, 10)
        turns += 1
    await importing
    assert turns >= CHUNKS / 2


async def test_an_intent_whose_commit_was_unclear_waits_again_unless_more_is_known(
    pool: asyncpg.Pool, vault: Vault
) -> None:
    await fill(pool, 3)
    never, known, unknown = await take(pool, vault, 3)
    await apply(pool, Proof(*known.key, Accepted("SM1"), NOON))
    await apply(pool, Proof(*unknown.key, Unknown(UnresolvedReason.TIMEOUT), NOON))
    closed = await apply(pool, *(Proof(*intent.key, NeverPosted(), NOON) for intent in (never, known, unknown)))
    assert closed == ["refused", "accepted", "unknown"]
    [again] = await take(pool, vault, 3)
    assert again.key == (never.recipient_id, 2)


async def test_a_refused_attempt_that_was_taken_after_all_is_not_sent_again_while_it_waits(
    pool: asyncpg.Pool, vault: Vault
) -> None:
    await fill(pool, 1)
    [intent] = await take(pool, vault, 1)
    assert await apply(pool, Proof(*intent.key, NeverPosted(), NOON)) == ["refused"]
    assert await apply(pool, Proof(*intent.key, Accepted("SM1"), NOON)) == ["accepted"]
    assert await take(pool, vault, 1) == []


async def test_no_second_attempt_while_one_is_not_known_to_be_refused(pool: asyncpg.Pool, vault: Vault) -> None:
    await fill(pool, 1)
    [intent] = await take(pool, vault, 1)
    await pool.execute(store.q.requeue, [intent.recipient_id], [2], [None], [None])
    assert await take(pool, vault, 1) == []
    with pytest.raises(asyncpg.UniqueViolationError):
        insert = "INSERT INTO attempts (recipient_id, attempt, attempted_at) VALUES ($1, 3, now())"
        await pool.execute(insert, intent.recipient_id)


async def test_accepted_messages_without_a_receipt_are_given_up_in_time_and_at_a_time_that_is_theirs(
    pool: asyncpg.Pool, vault: Vault
) -> None:
    await fill(pool, 1500)
    intents = [i for n in range(8) for i in await take(pool, vault, 200, at=NOON + timedelta(microseconds=n))]
    late = intents.pop(random.randrange(len(intents)))
    await apply(pool, *(Proof(*i.key, Accepted("SM1"), NOON + timedelta(seconds=1)) for i in intents))
    await apply(pool, Proof(*late.key, Unknown(UnresolvedReason.TIMEOUT), NOON))

    async def given_up(now: datetime) -> int:
        await sweep(pool, now, A_DAY)
        return int(await pool.fetchval("SELECT count(*) FROM attempts WHERE state = 'unconfirmed'"))

    assert await given_up(NOON + A_DAY) == 0
    assert await given_up(NOON + A_DAY + timedelta(seconds=1)) == 1499
    await apply(pool, Proof(*late.key, Accepted("SM2"), NOON + 2 * A_DAY))
    assert await given_up(NOON + 2 * A_DAY) == 1499
    assert await given_up(NOON + 4 * A_DAY) == 1500
    assert await given_up(datetime.now(UTC)) == 1500


async def test_one_that_was_accepted_late_holds_up_none_behind_it(
    pool: asyncpg.Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an operator, or after a day of repeats; here the first of all, with more behind it than a page has."""
    monkeypatch.setattr(store_sweep, "SWEEP_ATTEMPTS", 10)
    await fill(pool, 55)
    [doubtful] = await take(pool, vault, 1)
    [repeated] = await take(pool, vault, 1, at=NOON + timedelta(microseconds=1))
    others = await take(pool, vault, 13, at=NOON + timedelta(microseconds=2))  # more than a page, of one instant
    others += [i for n in range(3, 7) for i in await take(pool, vault, 10, at=NOON + timedelta(seconds=n))]
    await apply(pool, Proof(*doubtful.key, Unknown(UnresolvedReason.TIMEOUT), NOON))
    await apply(pool, *(Proof(*i.key, Accepted("SM1"), NOON + timedelta(minutes=1)) for i in others))
    await apply(pool, *(Proof(*i.key, Accepted("SM2"), NOON + A_DAY) for i in (doubtful, repeated)))

    async def given_up(now: datetime) -> int:
        await sweep(pool, now, A_DAY)
        return int(await pool.fetchval("SELECT count(*) FROM attempts WHERE state = 'unconfirmed'"))

    assert await given_up(NOON + A_DAY + timedelta(minutes=2)) == 53
    assert await pool.fetchval("SELECT swept_until FROM sweep") == NOON, "there the next search begins"
    assert await given_up(NOON + 2 * A_DAY - timedelta(seconds=1)) == 53
    assert await given_up(NOON + 2 * A_DAY) == 55
    assert await given_up(NOON + 2 * A_DAY) == 55
    assert await pool.fetchval("SELECT swept_until FROM sweep") == NOON + A_DAY, "and it may go on from here"


async def plan_of(pool: asyncpg.Pool, statement: str, *given: str) -> str:
    for n, value in enumerate(given, 1):
        statement = statement.replace(f"${n}", value)
    return "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {statement}"))


async def test_the_search_and_the_clearing_read_what_they_are_after_alone(pool: asyncpg.Pool) -> None:
    step = await plan_of(pool, store.q.sweep_step, "now()", "gen_random_uuid()", "now()", "10")
    assert "attempts_by_time" in step and "Seq Scan" not in step
    person = await plan_of(pool, store.q.forget_callbacks_of, "gen_random_uuid()")
    held = await plan_of(pool, store.q.callbacks_of_person, "gen_random_uuid()", "gen_random_uuid()")
    assert "callbacks_of_recipient" in person and "callbacks_of_recipient" in held
    assert "callbacks_by_time" in await plan_of(pool, store.q.forget_callbacks, "'applied'", "now()", "10")


async def test_raw_callbacks_go_when_they_are_old_enough_however_many_and_whatever_became_of_them(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_callbacks, "FORGOTTEN_AT_ONCE", 10)
    await pool.execute(
        """INSERT INTO callbacks (received_at, form, fate)
           SELECT $1::timestamptz - days * interval '1 day', '', fate
             FROM unnest(ARRAY[29, 31, 89, 91]) days, unnest(ARRAY['applied', 'parked', 'failed']) fate,
                  generate_series(1, 25)""",
        NOON,
    )
    await pool.execute(
        """INSERT INTO carrier_ids SELECT 'smpp', gen_random_uuid()::text, gen_random_uuid(), 1, $1
             FROM generate_series(1, 25)""",
        NOON - timedelta(days=31),
    )
    await store_callbacks.forget(pool, NOON)
    left = await pool.fetch("SELECT fate, min(received_at) AS oldest, count(*) AS n FROM callbacks GROUP BY fate")
    days = {row["fate"]: ((NOON - row["oldest"]).days, row["n"]) for row in left}
    assert days == {"applied": (29, 25), "parked": (89, 75), "failed": (89, 75)}
    assert await pool.fetchval("SELECT count(*) FROM carrier_ids") == 0


async def test_a_receipt_that_says_nothing_of_a_known_attempt_is_nobodys_to_look_at(
    pool: asyncpg.Pool, vault: Vault
) -> None:
    await fill(pool, 1)
    [intent] = await take(pool, vault, 1)
    await apply(pool, Proof(*intent.key, Accepted("SM1"), NOON))
    outcomes = Outcomes(pool, vault, asyncio.Event())
    for key in (intent.key, (intent.recipient_id, 2), None):
        await outcomes.receive(Callback(NOON, TELNYX, "SM1", key, b"{}", None))
    rows = await pool.fetch("SELECT attempt, fate, look_at FROM callbacks ORDER BY seq")
    assert [tuple(row) for row in rows] == [(1, "applied", None), (2, "parked", None), (None, "parked", None)]
    assert await pool.fetchval("SELECT state FROM attempts") == "accepted"
    assert dict(await pool.fetchrow(store.q.depths))["callbacks_to_look_at"] == 2
