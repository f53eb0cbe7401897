"""STOPs racing intents: whatever was answered to a STOP, no intent for that person is committed after it.

Shown by commit order, not by clocks: right after each answer the attempts that are committed are read. What is there
later and was not there then was committed after the answer.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TypeVar
from uuid import uuid4

import asyncpg
import pytest
from dispatcher import store, store_intents, store_replies
from dispatcher.keywords import Verdict
from dispatcher.store_replies import Reply, Sealer
from kernel import database
from kernel.database import Pool
from kernel.outbox import Outbox
from kernel.seal import NUMBER, Key, text_of
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault

from schemas.events import MessageReleased
from schemas.identity import event_id, person_id, recipient_id
from tests.integration.dispatcher.taking import take
from tests.integration.dispatcher.world import NOON, SECRET, World, eventually
from tests.integration.numbers import a_sender

Item = TypeVar("Item")

PEOPLE = 1000
TOGETHER = 20
SEED = 7


@dataclass
class SlowVault:
    """Gives the keys a moment later: between reading who has opted out and writing the attempt."""

    vault: Vault

    async def keys(self, ids: object) -> Mapping[str, Key]:
        keys = await self.vault.keys(ids)  # type: ignore[arg-type]
        await asyncio.sleep(0.005)
        return keys


@dataclass
class Race:
    """A thousand people of one campaign, released and saying STOP at the same time."""

    pool: Pool
    vault: Vault
    account_id: str = field(default_factory=lambda: str(uuid4()))
    campaign_id: str = field(default_factory=lambda: str(uuid4()))
    sender: str = field(default_factory=a_sender)
    answered: dict[str, bool] = field(default_factory=dict)  # recipient -> whether it had an attempt when answered
    over: bool = False

    async def run(self) -> set[str]:
        """The recipients with an attempt that was committed after their STOP was answered."""
        await self.pool.execute("INSERT INTO senders VALUES ($1, $2)", self.sender, self.account_id)
        numbers = [f"+1202{2_001_000 + n}" for n in range(PEOPLE)]
        releases = await self._sealed(numbers)
        takers = [asyncio.create_task(self._take()) for _ in range(3)]
        rng = random.Random(SEED)
        await asyncio.gather(self._release(releases, rng), *(self._stop(part) for part in _dealt(numbers, rng, 4)))
        while await self.pool.fetchval("SELECT count(*) FROM queue"):
            await asyncio.sleep(0.02)
        self.over = True
        await asyncio.gather(*takers)
        attempted = {row[0] for row in await self.pool.fetch("SELECT recipient_id::text FROM attempts")}
        return {rid for rid, had_one in self.answered.items() if rid in attempted and not had_one}

    async def _sealed(self, numbers: Sequence[str]) -> list[MessageReleased]:
        people = {number: person_id(SECRET, self.account_id, number) for number in numbers}
        keys = await self.vault.keys_for(dict.fromkeys(people.values(), self.account_id))
        return [self._released(number, people[number], keys[people[number]]) for number in numbers]

    def _released(self, number: str, person: str, key: Key) -> MessageReleased:
        rid = recipient_id(self.campaign_id, number)
        return MessageReleased(
            event_id=event_id(rid, "MessageReleased"), account_id=self.account_id, campaign_id=self.campaign_id,
            recipient_id=rid, person_id=person, occurred_at=NOON, actor="scheduler", caused_by=event_id(rid, "x"),
            due_at=NOON, scheduled_for=None, number=key.seal(NUMBER, number), text=key.seal(text_of(rid), "Hello"),
            sender=self.sender,
        )  # fmt: skip

    async def _release(self, releases: list[MessageReleased], rng: random.Random) -> None:
        for part in _dealt(releases, rng, PEOPLE // TOGETHER):
            async with self.pool.acquire() as connection, connection.transaction():
                await store.enqueue(connection, part)
            await asyncio.sleep(0.01)

    async def _take(self) -> None:
        vault: Vault = SlowVault(self.vault)  # type: ignore[assignment]
        while not self.over:
            outbox = Outbox()
            async with self.pool.acquire() as connection, connection.transaction():
                taken = await take(connection, vault, TOGETHER, datetime.now(UTC), outbox)
            if not taken.messages:
                await asyncio.sleep(0.005)

    async def _stop(self, numbers: Sequence[str]) -> None:
        for at in range(0, len(numbers), 5):
            await self._stop_these(numbers[at : at + 5])

    async def _stop_these(self, numbers: Sequence[str]) -> None:
        now = datetime.now(UTC)
        replies = [Reply(str(uuid4()), number, self.sender, "STOP", Verdict.STOP, now) for number in numbers]
        await store_replies.receive(self.pool, Sealer(self.vault, SECRET), replies)
        ids = [recipient_id(self.campaign_id, number) for number in numbers]  # answered: what is committed now?
        rows = await self.pool.fetch(
            "SELECT recipient_id::text FROM attempts WHERE recipient_id = ANY($1::uuid[])", ids
        )
        committed = {row[0] for row in rows}
        self.answered.update({rid: rid in committed for rid in ids})


def _dealt(items: Sequence[Item], rng: random.Random, into: int) -> list[list[Item]]:
    shuffled = rng.sample(list(items), len(items))
    return [shuffled[n::into] for n in range(into)]


@pytest.fixture
async def race(database_url: str) -> AsyncIterator[Race]:
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url, max_size=10)
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    yield Race(pool, vault)
    await vault.close()
    await pool.close()


async def test_no_intent_is_committed_after_an_answered_stop(race: Race) -> None:
    assert await race.run() == set()
    assert len(race.answered) == PEOPLE
    attempted = await race.pool.fetchval("SELECT count(*) FROM attempts")
    suppressed = await race.pool.fetchval("SELECT count(*) FROM messages WHERE suppressed_at IS NOT NULL")
    assert attempted + suppressed == PEOPLE
    assert min(attempted, suppressed) > PEOPLE // 50, "it was a race"


async def test_without_the_lock_the_race_is_lost_and_seen(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above rests on: the same race, with the lock of intents taken out."""
    broken = {name: getattr(store.q, name) for name in store.q._statements}
    monkeypatch.setattr(store_intents, "q", SimpleNamespace(**{**broken, "lock_for_intents": "SELECT 1"}))
    assert await race.run() != set()


async def test_a_thousand_stops_by_webhook_race_the_releases(sending: World) -> None:
    numbers = [sending.number() for _ in range(PEOPLE)]
    had_one: dict[str, bool] = {}
    postgres = await asyncpg.create_pool(
        sending.stack.database_url, min_size=1, max_size=4, server_settings={"search_path": "dispatcher"}
    )
    at_once = asyncio.Semaphore(40)

    async def stop(number: str) -> None:
        async with at_once:
            assert await sending.replies(number, "Stop.") == 200
            rid = sending.rid(number)
            found = await postgres.fetchval("SELECT 1 FROM attempts WHERE recipient_id = $1", rid)
            had_one[rid] = bool(found)

    async def release() -> None:
        for at in range(0, PEOPLE, 50):
            await sending.publish(*map(sending.released, numbers[at : at + 50]))

    rng = random.Random(SEED)
    await asyncio.gather(release(), *map(stop, rng.sample(numbers, len(numbers))))

    async def decided() -> bool:
        return all(await sending.told(*numbers))

    await eventually(decided, lambda: "each is suppressed or attempted", patience_s=60)
    rows = await postgres.fetch(
        "SELECT recipient_id::text FROM attempts WHERE recipient_id = ANY($1::uuid[])", [*had_one]
    )
    attempted = {row[0] for row in rows}
    await postgres.close()
    assert {rid for rid in attempted if not had_one[rid]} == set()
    lines = await sending.ledger(*numbers)
    assert len(lines) == len(attempted) < PEOPLE, "each intent is one POST, and some STOPs came first"
