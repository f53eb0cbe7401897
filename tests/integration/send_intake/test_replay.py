"""send-intake's tables are what its own events say, and whoever changes them by hand is told on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel import database
from kernel.outbox import Outbox
from kernel.relay import Relay
from kernel.replay import verify
from kernel.replay_tables import SHOWN
from kernel.testing import NOON, VAULT_KEY, eventually, number
from kernel.vault import open_vault
from kernel.verdict import Verdict
from send_intake.app_replay import OWN, REBUILT
from send_intake.store_presses import Presses

from schemas.events import RecipientAdded
from schemas.identity import event_id, person_id, recipient_id
from schemas.topics import TOPICS
from tests.integration.replaying import MADE_UP, MISSING, copied, differing, execute, found, named
from tests.integration.send_intake.conftest import SECRET, Intake, tick

NOBODY = "00000000-0000-4000-8000-000000000000"
COUNT = 30
SENDERS = ("+18445550201", "+18445550202")
NO_KAFKA = "127.0.0.1:9"


class Left(NamedTuple):
    """A database as send-intake left it, and of what it tells."""

    url: str
    bootstrap: str
    at_once: str  # campaign ids
    scheduled: str
    sent: str  # recipient ids of the first
    unsent: str
    person: str


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("replay")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def left(postgres: str, bootstrap: str) -> Left:
    url = named(postgres, f"test_{uuid4().hex}")
    asyncio.run(execute(postgres, f"CREATE DATABASE {url.rpartition('/')[2]}"))
    return asyncio.run(_lived(url, bootstrap))


@asynccontextmanager
async def at_work(url: str, bootstrap: str) -> AsyncIterator[Intake]:
    """The service without its HTTP: presses are committed, and the relay moves what is in the outbox."""
    await database.migrate(url, "send_intake", "send_intake")
    pool = await database.open_pool(url, "send_intake", max_size=16)
    vault = await open_vault(url, "send_intake", [VAULT_KEY])
    wake = asyncio.Event()
    presses = Presses(pool, vault, wake)
    await tick(pool)
    relay = Relay(url, "send_intake", bootstrap, wake, poll_s=0.05, followed=OWN)
    running = [asyncio.create_task(presses.run()), asyncio.create_task(relay.run())]
    try:
        yield Intake(pool, vault, presses, url)
        if bootstrap != NO_KAFKA:
            await eventually(lambda: _nothing_waits(pool), "all has left")
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await vault.close()
        await pool.close()


async def _nothing_waits(pool: database.Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox")


async def _lived(url: str, bootstrap: str) -> Left:
    async with at_work(url, bootstrap) as intake:
        sam = await intake.user("Sam")
        t = datetime.now(UTC) + timedelta(seconds=1)
        soon = await intake.campaign(COUNT, t, sam)
        await intake.press(soon, 0, sam)
        await eventually(lambda: datetime.now(UTC) > t, "T has come")
        await asyncio.gather(*(intake.press(soon, n, sam) for n in range(1, 8)))
        at_once = await intake.campaign(COUNT, None, sam)
        await intake.add(at_once, range(COUNT // 2, 2 * COUNT))  # half of them are there already
        for n in range(COUNT):
            await intake.press(at_once, n, sam)
        await intake.end(soon)
        several = await intake.campaign(COUNT, None, sam, sent_from=SENDERS, useful_until=t + timedelta(days=1))
        await asyncio.gather(*(intake.press(several, n, sam) for n in range(COUNT)))
        await intake.campaign(0)
        await intake.campaign(COUNT, datetime.now(UTC) + timedelta(days=1))
        rids = [recipient_id(at_once.campaign_id, number(n)) for n in (0, COUNT)]
        person = person_id(SECRET, at_once.account_id, number(0))
        return Left(url, bootstrap, at_once.campaign_id, soon.campaign_id, *rids, person)


@pytest.fixture
async def url(left: Left, postgres: str) -> AsyncIterator[str]:
    url = await copied(left.url)
    yield url
    await execute(postgres, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


async def test_every_derived_table_equals_what_the_log_gives(url: str, left: Left) -> None:
    verdict = await verify(url, left.bootstrap, REBUILT)
    assert differing(verdict) == {}
    assert {t.name: t.rows for t in verdict.tables} == {
        "campaigns": 5, "recipients": 5 * COUNT, "reached": 1, "first_senders": COUNT,
    }  # fmt: skip


def statements(left: Left) -> dict[str, dict[str, dict[str, list[str]]]]:
    sent, unsent, ended = left.sent, left.unsent, f"campaign_id = '{left.scheduled}'"
    return {
        f"UPDATE campaigns SET name = 'Autumn', sender = '+1' WHERE {ended}": {
            "campaigns": {left.scheduled: ["name", "sender"]}
        },
        f"UPDATE campaigns SET ended_at = NULL, ended_by = NULL WHERE {ended}": {
            "campaigns": {left.scheduled: ["ended_at", "ended_by"]}
        },
        f"UPDATE campaigns SET recipients = recipients + 1 WHERE {ended}": {
            "campaigns": {left.scheduled: ["recipients"]}
        },
        "UPDATE campaigns SET next_position = next_position + 7": {},
        f"DELETE FROM campaigns WHERE {ended}": {"campaigns": {left.scheduled: [MISSING]}},
        f"""INSERT INTO campaigns (campaign_id, account_id, name, text, sender, created_at, created_by)
            VALUES ('{NOBODY}', '{NOBODY}', 'Winter', '', '', now(), '')""": {"campaigns": {NOBODY: [MADE_UP]}},
        f"UPDATE recipients SET processed_by = 'mallory' WHERE recipient_id = '{sent}'": {
            "recipients": {sent: ["processed_by"]}
        },
        f"UPDATE recipients SET processed_at = NULL, due_at = NULL WHERE recipient_id = '{sent}'": {
            "recipients": {sent: ["due_at", "processed_at"]}
        },
        f"UPDATE recipients SET processed_at = now() WHERE recipient_id = '{unsent}'": {
            "recipients": {unsent: ["processed_at"]}
        },
        f"UPDATE recipients SET number = '+1', cells = '[]', columns = '[]' WHERE recipient_id = '{unsent}'": {
            "recipients": {unsent: ["cells", "columns", "number"]}
        },
        f"UPDATE recipients SET erased = true WHERE recipient_id = '{unsent}'": {},
        f"DELETE FROM recipients WHERE recipient_id = '{unsent}'": {"recipients": {unsent: [MISSING]}},
        f"""INSERT INTO recipients SELECT '{NOBODY}', campaign_id, position, person_id, number, columns, processed_at,
                processed_by, due_at, cells, erased, account_id FROM recipients LIMIT 1""": {
            "recipients": {NOBODY: [MADE_UP]}
        },
        f"UPDATE campaigns SET senders = '{{}}', useful_until = now() WHERE {ended}": {
            "campaigns": {left.scheduled: ["senders", "useful_until"]}
        },
        f"UPDATE first_senders SET sender = '+1' WHERE person_id = '{left.person}'": {
            "first_senders": {left.person: ["sender"]}
        },
        f"UPDATE first_senders SET since = since + interval '1 us' WHERE person_id = '{left.person}'": {
            "first_senders": {left.person: ["since"]}
        },
        f"DELETE FROM first_senders WHERE person_id = '{left.person}'": {"first_senders": {left.person: [MISSING]}},
        "UPDATE reached SET at = at + interval '1 s'": {"reached": {left.scheduled: ["at"]}},
        "DELETE FROM reached": {"reached": {left.scheduled: [MISSING]}},
        f"INSERT INTO reached VALUES ('{left.at_once}', now(), '{NOBODY}')": {"reached": {left.at_once: [MADE_UP]}},
    }


@pytest.mark.parametrize("nth", range(20))
async def test_what_somebody_changed_is_named(url: str, left: Left, nth: int) -> None:
    statement, expected = list(statements(left).items())[nth]
    await execute(url, "SET search_path TO send_intake; " + statement)
    assert await found(url, left.bootstrap, REBUILT) == expected


async def test_the_list_of_a_campaign_of_0_1_0_is_what_became_of_it(url: str, left: Left) -> None:
    """Its events have the cells in `columns`; its rows were split by a migration."""
    columns = {"City": 'Zürich "am See"\n\x1f\\', "first name": "", "Straße": "é/€"}
    rid = recipient_id(left.at_once, "+12025559999")
    event = RecipientAdded(
        event_id=event_id(rid, "RecipientAdded"), account_id=NOBODY, campaign_id=left.at_once, recipient_id=rid,
        person_id=NOBODY, occurred_at=NOON, actor="u", caused_by=None, position=99, number="+12025559999",
        columns=columns,
    )  # fmt: skip
    connection = await asyncpg.connect(url, server_settings={"search_path": "send_intake"})
    await connection.execute(
        """INSERT INTO recipients (recipient_id, campaign_id, position, person_id, number, columns, cells, account_id)
           SELECT $1, $2, 99, $3, '+12025559999', json_agg(name ORDER BY place), json_agg(value ORDER BY place), $3
             FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS c(name, value, place)""",
        rid, left.at_once, NOBODY, list(columns), list(columns.values()),
    )  # fmt: skip
    outbox = Outbox()
    outbox.add(event)
    await outbox.write(connection)
    await connection.execute("UPDATE campaigns SET recipients = recipients + 1 WHERE campaign_id = $1", left.at_once)
    await connection.close()
    assert await found(url, left.bootstrap, REBUILT) == {}


async def test_what_nobody_has_moved_from_the_outbox_yet_has_happened(url: str, left: Left) -> None:
    """Kafka is away, or the process was killed: what people were answered is committed."""
    async with at_work(url, NO_KAFKA) as intake:
        sam = await intake.user("Sam")
        campaign = await intake.campaign(COUNT, None, sam)
        await asyncio.gather(*(intake.press(campaign, n, sam) for n in range(COUNT)))
        await intake.end(campaign)
    assert await found(url, left.bootstrap, REBUILT) == {}
    await execute(url, "DELETE FROM send_intake.outbox")
    differs = await found(url, left.bootstrap, REBUILT)
    assert differs["campaigns"] == {campaign.campaign_id: [MADE_UP]} and len(differs["recipients"]) == SHOWN


async def test_it_is_equal_at_every_moment_while_people_press(left: Left) -> None:
    told: list[Verdict] = []
    async with at_work(left.url, left.bootstrap) as intake:
        sam = await intake.user("Sam")

        async def press() -> None:
            for _ in range(6):
                t = datetime.now(UTC) + timedelta(seconds=0.5)
                campaign = await intake.campaign(400, t, sam)
                for n in range(0, 400, 20):
                    await asyncio.gather(*(intake.press(campaign, n + m, sam) for m in range(20)))
                    await asyncio.sleep(0.03)
                await intake.end(campaign)

        pressing = asyncio.create_task(press())
        while not pressing.done() or len(told) < 2:
            told.append(await verify(left.url, left.bootstrap, REBUILT))
        await pressing
    assert [differing(verdict) for verdict in told] == [{}] * len(told)
    assert len({verdict.events for verdict in told}) > 1, "nothing went on meanwhile"
