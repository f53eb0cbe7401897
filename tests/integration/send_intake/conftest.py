"""send-intake's store on a real Postgres: an account, its people, a campaign with a list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from kernel import database
from kernel.database import Pool
from kernel.outbox import unpack
from kernel.seal import unseal
from kernel.testing import VAULT_KEY, number
from kernel.tokens import Role, User
from kernel.vault import Vault, open_vault
from send_intake import store, store_sealed, store_sending, store_users
from send_intake.admission import Campaign, Hand, Press
from send_intake.import_ import Row
from send_intake.store_presses import Answer, Presses

from schemas.codec import decode
from schemas.events import Event
from schemas.identity import person_id, recipient_id
from tests.integration.send_intake.host import EPOCH

SECRET = "a person id secret for tests"
TOKEN_ID = "5e8a1c1e-8f0c-4c55-9d0e-2a5e0b7a4e11"


@dataclass
class Intake:
    """What a test works with."""

    pool: Pool
    vault: Vault
    presses: Presses
    database_url: str
    users: list[User] = field(default_factory=list)

    async def user(self, name: str) -> User:
        async with self.pool.acquire() as connection:
            return (await store_users.add_user(connection, "demo", name, Role.MANAGER)).user  # type: ignore[arg-type]

    async def campaign(
        self,
        recipients: int,
        scheduled_for: datetime | None = None,
        *senders: User,
        sent_from: tuple[str, ...] = (),
        useful_until: datetime | None = None,
    ) -> Campaign:
        """A campaign with numbers 0 to `recipients`, which the senders are sending."""
        manager = await self.user("manager")
        campaign_id, account_id = str(uuid4()), manager.account_id
        text = await store_sealed.seal_template(self.vault, account_id, campaign_id, "Hello {name}")
        await store.create_campaign(
            self.pool, campaign_id, account_id, manager.user_id, "Spring", text, scheduled_for, sent_from, useful_until
        )
        row = await store.campaign_row(self.pool, account_id, campaign_id)
        assert row is not None
        (opened,) = await store_sealed.open_templates(self.vault, [row])
        campaign = store.campaign_of(opened)
        await self.add(campaign, range(recipients))
        for sender in senders:
            await store_sending.start(self.pool, account_id, campaign_id, sender.user_id, take_over=True)
        return campaign

    async def add(self, campaign: Campaign, numbers: range) -> int:
        rows = [Row(line, number(n), {"name": f"n{n}"}) for line, n in enumerate(numbers, 2)]
        new = await store_sealed.new_recipients(self.vault, SECRET, campaign, rows)
        return await store.add_recipients(self.pool, campaign, "a manager", new.values())

    async def press(self, campaign: Campaign, n: int, user: User) -> Answer:
        rid = recipient_id(campaign.campaign_id, number(n))
        return await self.presses.press(Press(rid, campaign, Hand(user.user_id, TOKEN_ID, "a browser")))

    async def end(self, campaign: Campaign) -> datetime:
        """ENDs it and answers when it ended."""
        await store.end_campaign(self.pool, campaign, "a manager")
        row = await store.campaign_row(self.pool, campaign.account_id, campaign.campaign_id)
        assert row is not None
        ended_at: datetime = row["ended_at"]
        return ended_at

    async def preview(self, campaign: Campaign) -> dict[str, Any]:
        return await store.pressed(self.pool, campaign.account_id, campaign.campaign_id)

    async def opened(self, person_id: str, what: str, sealed: str) -> str | None:
        """What a sealed text says."""
        return unseal((await self.vault.keys([person_id])).get(person_id), what, sealed)

    async def erase(self, campaign: Campaign, n: int) -> None:
        """The person's key goes, as the dispatcher takes it."""
        person = person_id(SECRET, campaign.account_id, number(n))
        eraser = await open_vault(self.database_url, "dispatcher", [VAULT_KEY])
        await eraser.destroy(person, (await eraser.keys([person]))[person].key_id, "a manager", "a wish")
        await eraser.close()

    async def lose_key(self, campaign: Campaign, n: int) -> Any:
        """As a vault loses it: nobody destroyed it."""
        person = person_id(SECRET, campaign.account_id, number(n))
        connection = await asyncpg.connect(self.database_url)
        lost = await connection.fetchrow(
            "DELETE FROM vault.keys WHERE subject_id = $1 RETURNING keys::vault.keys", person
        )
        await connection.close()
        return lost[0]

    async def give_back(self, lost: Any) -> None:
        connection = await asyncpg.connect(self.database_url)
        await connection.execute("INSERT INTO vault.keys SELECT ($1::vault.keys).*", lost)
        await connection.close()

    async def events(self, kind: type[Event]) -> list[Event]:
        """What was committed to the outbox, in its order."""
        rows = await self.pool.fetch("SELECT events FROM outbox ORDER BY seq")
        found = [decode(value) for row in rows for _, value in unpack(row["events"])]
        return [event for event in found if isinstance(event, kind)]


async def tick(pool: Pool, published: datetime = EPOCH) -> datetime:
    """A reading of the clock, as the leader takes it."""
    at: datetime = await pool.fetchval(store.q.tick, published)
    return at


@pytest.fixture
async def intake(database_url: str) -> AsyncIterator[Intake]:
    await database.migrate(database_url, "send_intake", "send_intake")
    pool = await database.open_pool(database_url, "send_intake", max_size=16)
    vault = await open_vault(database_url, "send_intake", [VAULT_KEY])
    presses = Presses(pool, vault, asyncio.Event())
    await tick(pool)  # as the relay's first leader does: without it no END has a time
    running = asyncio.create_task(presses.run())
    yield Intake(pool, vault, presses, database_url)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await vault.close()
    await pool.close()
