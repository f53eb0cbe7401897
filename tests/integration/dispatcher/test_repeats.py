"""Attempts with a key between two POSTs: whoever comes first asks again, and nobody concludes more than it can know."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from dispatcher import outcome, store
from dispatcher.attempt import NeverPosted
from dispatcher.outcome import Accepted, NotAccepted, Unknown
from dispatcher.store_attempts import Proof, settle
from dispatcher.store_intents import Intent, Opened, Terms
from dispatcher.store_repeats import PutBack, Room, put_back, take_repeats
from kernel import database
from kernel.outbox import Outbox
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault

from schemas.reasons import NotAcceptedReason, UnresolvedReason
from tests.integration.dispatcher.taking import take
from tests.integration.dispatcher.world import NOON

DAY_S = 86_400
US, THEM = 1, 2
TIMEOUT = Unknown(UnresolvedReason.TIMEOUT)
NOT_TAKEN = [
    NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT),
    NotAccepted(NotAcceptedReason.INTENT_EXPIRED),
    NeverPosted(),
]


class Rows:
    """One message of a provider with keys, as Postgres has it."""

    def __init__(self, pool: asyncpg.Pool, vault: Vault) -> None:
        self.pool, self.vault = pool, vault
        self.room = True

    async def intent(self) -> Intent:
        """A new message's, taken by us."""
        rid, account = str(uuid.uuid4()), str(uuid.uuid4())
        await self.pool.execute(
            "INSERT INTO messages (recipient_id, account_id, campaign_id, person_id, released_by, due_at, number, text,"
            " sender) VALUES ($1, $2, $2, $3, $2, $4, '+12025550123', 'Hi', '+12025550199')",
            rid, account, str(uuid.uuid4()), NOON,
        )  # fmt: skip
        await self.pool.execute(
            "INSERT INTO queue (recipient_id, attempt, account_id, campaign_id, sender, due_at)"
            " VALUES ($1, 1, $2, $2, '+12025550199', $3)",
            rid, account, NOON,
        )  # fmt: skip
        async with self.pool.acquire() as connection, connection.transaction():
            taken = await take(connection, self.vault, 1, Terms(US, NOON), Outbox(), _composed)
        return taken.intents[0]

    async def put_back(self, intent: Intent, *owners: int, at: float = 0, doubt: Unknown | None = TIMEOUT) -> None:
        await put_back(self.pool, [PutBack(*intent.key, owners, NOON + timedelta(seconds=at), doubt)])

    async def take(
        self, owner: int, at: float, providers: tuple[str, ...] = ("telnyx",), doubtful: bool = True
    ) -> list[Intent]:
        async with self.pool.acquire() as connection, connection.transaction():
            now = NOON + timedelta(seconds=at)
            room = Room(lambda _lane: self.room)
            return await take_repeats(
                connection, self.vault, 10, owner, now, Outbox(), DAY_S, providers, room, doubtful=doubtful
            )

    async def settle(self, intent: Intent, evidence: object, actor: str = "dispatcher") -> str:
        async with self.pool.acquire() as connection, connection.transaction():
            proof = Proof(*intent.key, evidence, NOON, actor=actor)  # type: ignore[arg-type]
            return (await settle(connection, [proof], Outbox()))[intent.key].state

    async def state(self, intent: Intent) -> tuple[str, str | None]:
        row = await self.pool.fetchrow(
            "SELECT state, reason FROM attempts WHERE recipient_id = $1", intent.recipient_id
        )
        assert row is not None
        return row["state"], row["reason"]


def _composed(opened: Opened) -> tuple[str, bytes]:
    return "telnyx", b"bytes \xff of " + opened.recipient_id.encode()


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    """Tables that no dispatcher touches."""
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    yield Rows(pool, vault)
    await vault.close()
    await pool.close()


async def test_what_is_put_back_is_taken_once_with_the_same_bytes(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US, at=60)
    assert await rows.take(THEM, at=59) == []
    [again] = await rows.take(THEM, at=60)
    assert (again.key, again.request, again.provider) == (intent.key, intent.request, "telnyx")
    assert again.repeats == 1
    assert await rows.take(US, at=61) == []


async def test_only_whoever_had_it_puts_it_back(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, THEM)
    assert await rows.take(THEM, at=1) == []
    await rows.put_back(intent, US)
    await rows.take(THEM, at=1)
    await rows.put_back(intent, US)  # we were frozen meanwhile
    assert await rows.take(US, at=1) == []


@pytest.mark.parametrize("evidence", NOT_TAKEN)
async def test_one_that_others_may_have_posted_is_never_sent_anew(rows: Rows, evidence: object) -> None:
    """A process freezes before its POST; another one asks under the same key; the first wakes and knows of no POST."""
    intent = await rows.intent()
    await rows.put_back(intent, US)
    assert await rows.settle(intent, evidence) == "open"
    await rows.take(THEM, at=1)
    assert await rows.settle(intent, evidence) == "open"
    assert await rows.settle(intent, TIMEOUT) == "unknown"
    assert await rows.settle(intent, evidence) == "unknown"
    assert await rows.pool.fetchval("SELECT count(*) FROM queue") == 0


@pytest.mark.parametrize("evidence", NOT_TAKEN)
async def test_one_that_nobody_else_has_posted_waits_again_when_it_was_not_taken(rows: Rows, evidence: object) -> None:
    intent = await rows.intent()
    assert await rows.settle(intent, evidence) == "refused"
    assert await rows.pool.fetchval("SELECT attempt FROM queue") == 2


async def test_an_operator_may_say_that_it_was_not_taken(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    await rows.settle(intent, TIMEOUT)
    assert await rows.settle(intent, NotAccepted(NotAcceptedReason.UNKNOWN), actor="ada") == "refused"


async def test_a_receipt_ends_the_asking(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    assert await rows.settle(intent, Accepted("M1")) == "accepted"
    assert await rows.take(THEM, at=1) == []
    assert await rows.pool.fetchval("SELECT count(*) FROM in_flight") == 0


async def test_near_the_end_of_the_keys_life_it_is_unknown_for_what_was_last_seen(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    assert await rows.take(THEM, at=DAY_S - 3600) == []
    assert await rows.state(intent) == ("unknown", "timeout")


async def test_who_opted_out_is_asked_for_no_more(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    await rows.pool.execute(
        "INSERT INTO opt_outs"
        " SELECT person_id, account_id, number, true, 'reply', '', $1, 'x', 1, account_id FROM messages",
        NOON,
    )
    assert await rows.take(THEM, at=1) == []
    assert await rows.state(intent) == ("unknown", "timeout")


async def test_a_provider_that_is_in_no_setting_is_not_asked_and_the_attempt_waits(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    assert await rows.take(THEM, at=1, providers=("twilio",)) == []
    assert await rows.state(intent) == ("open", None)
    assert len(await rows.take(THEM, at=62)) == 1


def test_a_key_column_is_chosen_by_how_often_it_was_put_back() -> None:
    assert isinstance(outcome.classify(outcome.NoAnswer.NOTHING_WRITTEN, outcome.Key.FIRST), NotAccepted)
    assert not isinstance(outcome.classify(outcome.NoAnswer.NOTHING_WRITTEN, outcome.Key.REPEATED), NotAccepted)


async def test_a_repeat_waits_while_its_carrier_rests(rows: Rows) -> None:
    intent = await rows.intent()
    await rows.put_back(intent, US)
    rows.room = False
    assert await rows.take(THEM, at=0) == []
    rows.room = True
    assert await rows.take(THEM, at=0.5) == []
    [again] = await rows.take(THEM, at=1)
    assert again.key == intent.key


async def test_what_the_carrier_may_have_waits_until_its_receipt_could_come(rows: Rows) -> None:
    never_left, begun = await rows.intent(), await rows.intent()
    await rows.put_back(never_left, US, doubt=None)
    await rows.put_back(begun, US)
    [again] = await rows.take(THEM, at=0, doubtful=False)
    assert again.key == never_left.key
    [again] = await rows.take(THEM, at=0)
    assert again.key == begun.key
    await rows.put_back(begun, THEM, doubt=None)  # that one never left; the POST before it may have arrived
    assert await rows.take(US, at=0, doubtful=False) == []
