"""The dispatcher's tables are what the log says, and whoever changes them by hand is told on."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from dispatcher import store
from dispatcher.app_replay import REBUILT
from dispatcher.attempt import NeverPosted
from dispatcher.store_attempts import Proof, settle
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.database import sql_text
from kernel.outbox import Outbox
from kernel.replay import verify
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault
from kernel.verdict import Verdict

from schemas.events import SendAttempted
from schemas.identity import event_id
from schemas.topics import TOPICS
from tests.integration.dispatcher.world import NOON, Stack, World, eventually
from tests.integration.replaying import MADE_UP, MISSING, copied, differing, execute, found, named

NOBODY = "00000000-0000-4000-8000-000000000000"
ANOTHER = "+12027760000"  # a second number of the campaign's


class Left(NamedTuple):
    """A database as a dispatcher left it, and of whom it tells."""

    url: str
    bootstrap: str
    delivered: str  # recipient ids
    suppressed: str
    out: str  # person ids
    erased: str
    sender: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Stack]:
    """Of this file's own: everything in it is folded."""
    folder, name = tmp_path_factory.mktemp("replay"), f"test_{uuid4().hex}"
    asyncio.run(execute(postgres, f"CREATE DATABASE {name}"))
    with EmbeddedKafka(folder) as kafka:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        stack = Stack(folder, named(postgres, name), kafka.bootstrap)
        try:
            stack.carrier.start()
            yield stack
        finally:
            stack.dispatcher.stop(signal.SIGKILL)
            stack.carrier.stop()


@pytest.fixture(scope="module")
def left(stack: Stack) -> Left:
    stack.dispatcher.start()
    left = asyncio.run(_lived(stack))
    stack.dispatcher.stop()
    return left


async def _lived(stack: Stack) -> Left:
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        vault = await open_vault(stack.database_url, "dispatcher", [VAULT_KEY])
        world = World(stack, http, database, vault)
        await world.faults()
        try:
            return await _everything(world)
        finally:
            await world.faults()
            await world.close()
            await vault.close()
            await database.close()


async def _everything(world: World) -> Left:
    """Every fate that a message can have."""
    await world.publish(world.created(ANOTHER), world.created(ANOTHER))
    delivered, silent, failed, rejected, unknown, unclear, out, again, erased = (world.number() for _ in range(9))
    late, later = world.number(), world.number()
    await eventually(_knows(world), lambda: "the sender is known")
    assert (await world.call("POST", "/opt-outs", json={"phone": out}))[0] == 201
    assert await world.replies(again, "STOP") == 200 and await world.replies(again, "START") == 200
    await world.publish(*map(world.released, (delivered, out, again)))
    await world.publish(world.released(delivered))
    await world.told(delivered, again, until="MessageDelivered")
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await world.publish(world.released(late, useful_until=NOON), world.released(later, useful_until=ahead))
    await world.told(out, late, until="MessageSuppressed")
    await world.told(later, until="MessageDelivered")
    for number, faults, told in (
        (silent, {"receipts": {"silent": 1}}, "MessageAccepted"),
        (failed, {"receipts": {"failed": 1}}, "MessageNotDelivered"),
        (rejected, {"reject": {"21610": 1}}, "MessageRejected"),
        (unknown, {"drop_response": 1, "receipts": {"silent": 1}}, "MessageUnresolved"),
        (unclear, {"fail_after_accept": 1}, "MessageDelivered"),
    ):
        await world.faults(**faults)
        await world.publish(world.released(number))
        await world.told(number, until=told)
    resolved = {"resolution": "not_accepted", "reason": "the carrier's console"}
    await world.faults()
    assert (await world.call("POST", f"/unresolved/{world.rid(unknown)}", json=resolved))[0] == 200
    await world.told(unknown, until="MessageDelivered")
    await world.faults(throttle_per_s=1)
    many = [world.number() for _ in range(4)]
    await world.publish(*map(world.released, many))
    await world.told(*many, until="MessageDelivered")
    await world.publish(world.released(erased))
    await world.told(erased, until="MessageDelivered")
    wish = {"reason": "their wish"}
    assert (await world.call("POST", f"/persons/{world.person(erased)}/erasure", json=wish))[0] in (200, 201, 202)
    return Left(
        world.stack.database_url,
        world.stack.bootstrap,
        world.rid(delivered),
        world.rid(out),
        world.person(out),
        world.person(erased),
        world.sender,
    )


def _knows(world: World) -> Callable[[], object]:
    async def known() -> bool:
        return bool(await world.database.fetchval("SELECT 1 FROM senders WHERE number = $1", world.sender))

    return known


@pytest.fixture
async def url(left: Left, postgres: str) -> AsyncIterator[str]:
    url = await copied(left.url)
    yield url
    await execute(postgres, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


async def test_every_derived_table_equals_what_the_log_gives(url: str, left: Left) -> None:
    verdict = await verify(url, left.bootstrap, REBUILT)
    assert differing(verdict) == {}
    rows = {table.name: table.rows for table in verdict.tables}
    assert rows["attempts"] > rows["messages"] == 15  # some were throttled, one resolved
    assert {name: rows[name] for name in ("erased", "opt_outs", "senders")} == {
        "erased": 1, "opt_outs": 3, "senders": 2,
    }  # fmt: skip
    connection = await asyncpg.connect(url)
    states = Counter(row[0] for row in await connection.fetch("SELECT state FROM dispatcher.attempts"))
    await connection.close()
    assert {"delivered", "failed", "accepted", "rejected", "refused"} <= states.keys()


def statements(left: Left) -> dict[str, dict[str, dict[str, list[str]]]]:
    delivered, attempt = f"recipient_id = '{left.delivered}'", f"{left.delivered} 1"
    out, erased = f"person_id = '{left.out}'", f"person_id = '{left.erased}'"
    return {
        f"UPDATE messages SET due_at = due_at + interval '1 s' WHERE {delivered}": {
            "messages": {left.delivered: ["due_at"]}
        },
        f"UPDATE messages SET suppressed_at = NULL WHERE recipient_id = '{left.suppressed}'": {
            "messages": {left.suppressed: ["suppressed_at"]}
        },
        f"DELETE FROM messages WHERE {delivered}": {"messages": {left.delivered: [MISSING]}},
        f"""INSERT INTO messages SELECT '{NOBODY}', account_id, campaign_id, person_id, released_by, due_at, number,
                text, sender, suppressed_at, key_id FROM messages LIMIT 1""": {"messages": {NOBODY: [MADE_UP]}},
        f"UPDATE messages SET useful_until = now() WHERE {delivered}": {"messages": {left.delivered: ["useful_until"]}},
        f"UPDATE attempts SET state = 'failed', reason = 'blocked' WHERE {delivered}": {
            "attempts": {attempt: ["reason", "state"]}
        },
        f"UPDATE attempts SET accepted_at = NULL WHERE {delivered}": {"attempts": {attempt: ["accepted_at"]}},
        f"DELETE FROM attempts WHERE {delivered}": {"attempts": {attempt: [MISSING]}},
        f"INSERT INTO attempts (recipient_id, attempt, attempted_at) VALUES ('{NOBODY}', 1, now())": {
            "attempts": {f"{NOBODY} 1": [MADE_UP]}
        },
        f"UPDATE opt_outs SET in_force = false WHERE {out}": {"opt_outs": {left.out: ["in_force"]}},
        f"UPDATE opt_outs SET changes = 7, changed_by = 'mallory' WHERE {out}": {
            "opt_outs": {left.out: ["changed_by", "changes"]}
        },
        f"DELETE FROM opt_outs WHERE {out}": {"opt_outs": {left.out: [MISSING]}},
        f"""INSERT INTO opt_outs SELECT '{NOBODY}', account_id, number, in_force, source, evidence, changed_at,
                changed_by, changes, event_id FROM opt_outs LIMIT 1""": {"opt_outs": {NOBODY: [MADE_UP]}},
        f"UPDATE erased SET erased_by = 'mallory' WHERE {erased}": {"erased": {KEY: ["erased_by"]}},
        f"UPDATE erased SET reason = 'another', finished_at = now() WHERE {erased}": {},
        f"DELETE FROM erased WHERE {erased}": {"erased": {KEY: [MISSING]}},
        f"""INSERT INTO erased SELECT '{NOBODY}', '\\x00', account_id, erased_at, erased_by, event_id, reason
              FROM erased""": {"erased": {f"{NOBODY} \\x00": [MADE_UP]}},
        f"UPDATE senders SET account_id = '{NOBODY}' WHERE number = '{left.sender}'": {
            "senders": {left.sender: ["account_id"]}
        },
        f"DELETE FROM senders WHERE number = '{left.sender}'": {"senders": {left.sender: [MISSING]}},
        f"DELETE FROM senders WHERE number = '{ANOTHER}'": {"senders": {ANOTHER: [MISSING]}},
        f"INSERT INTO senders VALUES ('+12027770000', '{NOBODY}')": {"senders": {"+12027770000": [MADE_UP]}},
    }


KEY = "the person and their key"


@pytest.mark.parametrize("nth", range(21))
async def test_what_somebody_changed_is_named(url: str, left: Left, nth: int) -> None:
    statement, expected = list(statements(left).items())[nth]
    connection = await asyncpg.connect(url, server_settings={"search_path": "dispatcher"})
    key = await connection.fetchval("SELECT person_id || ' ' || key_id::text FROM erased")
    await connection.execute(statement)
    await connection.close()
    differs = await found(url, left.bootstrap, REBUILT)
    assert differs == {
        table: {key if k == KEY else k: what for k, what in keys.items()} for table, keys in expected.items()
    }


async def test_an_intent_that_was_never_posted_says_so_in_its_row_too(url: str, left: Left) -> None:
    """0.1.0 wrote the reason into the event alone; the migration brings its rows in line."""
    pool = await store.open_pool(url)
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO attempts (recipient_id, attempt, attempted_at) VALUES ($1, 9, $2)", left.suppressed, NOON
        )
        attempted = an_attempt(
            await connection.fetchrow("SELECT * FROM messages WHERE recipient_id = $1", left.suppressed)
        )
        outbox.add(attempted)
        await settle(connection, [Proof(left.suppressed, 9, NeverPosted(), NOON)], outbox)
        await outbox.write(connection)
    assert await found(url, left.bootstrap, REBUILT) == {}
    await pool.execute("UPDATE attempts SET reason = NULL WHERE refused AND attempt = 9")
    assert await found(url, left.bootstrap, REBUILT) == {"attempts": {f"{left.suppressed} 9": ["reason"]}}
    await pool.execute(sql_text("dispatcher", "sql/migrations/0004_reasons.sql"))
    assert await found(url, left.bootstrap, REBUILT) == {}
    await pool.close()


def an_attempt(row: Any) -> SendAttempted:
    about = {name: str(row[name]) for name in ("account_id", "campaign_id", "recipient_id", "person_id")}
    return SendAttempted(
        **about, event_id=event_id(about["recipient_id"], "SendAttempted", 9), occurred_at=NOON, actor="dispatcher",
        caused_by=str(row["released_by"]), attempt=9, provider="twilio",
    )  # fmt: skip


async def test_it_is_equal_at_every_moment_while_messages_are_sent(left: Left, stack: Stack) -> None:
    stack.dispatcher.start()
    told: list[Verdict] = []
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        vault = await open_vault(stack.database_url, "dispatcher", [VAULT_KEY])
        world = World(stack, http, database, vault)
        await world.publish(world.created())
        await world.faults(
            receipts={"failed": 0.3, "repeat": 0.3, "shuffle": True}, drop_response=0.02, throttle_per_s=400
        )
        numbers = [world.number() for _ in range(2500)]

        async def press() -> None:
            for at in range(0, len(numbers), 250):
                await world.publish(*map(world.released, numbers[at : at + 250]))
                await world.call("POST", "/opt-outs", json={"phone": numbers[-1 - at]})
            await eventually(_sent(world), lambda: "all are sent", 120)

        pressing = asyncio.create_task(press())
        while not pressing.done() or len(told) < 2:
            told.append(await verify(stack.database_url, stack.bootstrap, REBUILT))
        await pressing
        await world.faults()
        await world.close()
        await vault.close()
        await database.close()
    assert [differing(verdict) for verdict in told] == [{}] * len(told)
    assert len({verdict.events for verdict in told}) > 1, "nothing went on meanwhile"


def _sent(world: World) -> Callable[[], object]:
    async def sent() -> bool:
        return not await world.database.fetchval("SELECT count(*) FROM queue")

    return sent
