"""A START that its carrier brings late lifts no STOP that came after it was said; one that is said anew does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aiosmpplib.protocol import DeliverSm
from aiosmpplib.state import PhoneNumber
from dispatcher import app_inbox, gateway_smpp, provider_smpp, store, store_replies
from dispatcher.app_inbox import Inbox
from dispatcher.gateway_smpp import TRY_LATER, _Session
from dispatcher.keywords import Verdict
from dispatcher.notice import Texts
from dispatcher.provider import PROVIDERS, SMPP, TELNYX, Inbound
from dispatcher.store_replies import Reply, Sealer
from kernel import database
from kernel.database import Pool
from kernel.outbox import Outbox
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault

from tests.integration.dispatcher.world import SECRET
from tests.integration.numbers import a_sender

ADA = "+12025550123"
SETTINGS: Any = SimpleNamespace(answers=Texts({}), person_id_secret=SECRET)
NOTHING: Any = None
SECOND = timedelta(seconds=1)


@dataclass
class Line:
    """One process, between a person and one sender of ours."""

    pool: Pool
    vault: Vault
    sender: str
    inbox: Inbox

    def says(self, body: str, sent_at: datetime | None = None) -> Inbound:
        return Inbound(uuid4().hex, ADA, self.sender, body, sent_at=sent_at)

    async def is_out(self) -> bool:
        return bool(await self.pool.fetchval("SELECT in_force FROM opt_outs"))


@pytest.fixture
async def line(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(app_inbox, "INBOUND_PATIENCE_S", 0.0)
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    sender = a_sender()
    await pool.execute("INSERT INTO senders (number, account_id) VALUES ($1, $2)", sender, str(uuid4()))
    yield Line(pool, vault, sender, Inbox(pool, vault, NOTHING, SETTINGS, asyncio.Event()))
    await vault.close()
    await pool.close()


async def test_a_start_is_as_old_as_its_carrier_says(line: Line) -> None:
    said_at = datetime.now(UTC)
    await line.inbox.reply(TELNYX, line.says("STOP"))
    await line.inbox.reply(TELNYX, line.says("START", said_at))
    assert await line.is_out(), "it was said before the STOP"
    await line.inbox.reply(TELNYX, line.says("START", datetime.now(UTC)))
    assert not await line.is_out()
    await line.inbox.reply(TELNYX, line.says("STOP", datetime.now(UTC) - timedelta(days=1)))
    assert await line.is_out(), "a STOP counts whenever it comes"
    await line.inbox.reply(TELNYX, line.says("START", datetime.now(UTC) + timedelta(days=1)))
    assert not await line.is_out(), "a carrier's clock may be ahead"


async def test_a_stop_that_was_repeated_after_the_start_counts_too(line: Line) -> None:
    await line.inbox.reply(TELNYX, line.says("STOP"))
    said_at = datetime.now(UTC)
    await line.inbox.reply(TELNYX, line.says("STOP"))
    await line.inbox.reply(TELNYX, line.says("START", said_at))
    assert await line.is_out()
    assert await line.pool.fetchval("SELECT changes FROM opt_outs") == 1
    await line.inbox.reply(TELNYX, line.says("START", datetime.now(UTC)))
    assert not await line.is_out()


async def test_a_start_lifts_no_opt_out_that_the_carrier_told_of_after_it_was_said(line: Line) -> None:
    said_at = datetime.now(UTC)
    await line.inbox.reply(TELNYX, line.says("STOP"))
    await line.pool.execute("UPDATE opt_outs SET source = 'carrier'; DELETE FROM replies")
    await line.inbox.reply(TELNYX, line.says("START", said_at))
    assert await line.is_out()
    await line.inbox.reply(TELNYX, line.says("START", datetime.now(UTC)))
    assert not await line.is_out()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_start_that_was_not_taken_is_no_younger_when_it_comes_again(
    line: Line, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_pool: Pool, _sealer: Sealer, _replies: Sequence[Reply]) -> bool:
        raise ConnectionError

    start = line.says("START")
    with monkeypatch.context() as broken, pytest.raises(ConnectionError):
        broken.setattr(store_replies, "receive", away)
        await line.inbox.reply(provider, start)
    await line.inbox.reply(provider, line.says("STOP"))
    again = start._replace(carrier_message_id=uuid4().hex) if provider == SMPP else start
    await line.inbox.reply(provider, again)
    assert await line.is_out()
    anew = line.says("unstop" if provider == SMPP else "START")
    await line.inbox.reply(provider, anew)
    assert not await line.is_out(), "who says it anew wants it; by SMPP, in other words"


async def test_a_late_start_lifts_nothing_either_when_whose_the_number_is_becomes_known_later(line: Line) -> None:
    stop = Reply("i1", ADA, "+12025550199", "STOP", Verdict.STOP, datetime.now(UTC))
    start = replace(stop, carrier_message_id="i2", body="START", verdict=Verdict.START,
                    received_at=stop.received_at - SECOND)  # fmt: skip
    sealer = Sealer(line.vault, SECRET)
    for reply in (stop, start):
        await store_replies.receive(line.pool, sealer, [reply])
    outbox = Outbox()
    released: Any = SimpleNamespace(sender=stop.sender, account_id=str(uuid4()))
    async with line.pool.acquire() as connection, connection.transaction():
        await store_replies.learn_from_releases(connection, sealer, [released], outbox)
        await outbox.write(connection)
    assert await line.is_out()


class Wire:
    """The carrier's end of a session, which may have gone."""

    def __init__(self, *, gone: bool) -> None:
        self.gone, self.written = gone, list[bytes]()
        self.transport = self

    def is_closing(self) -> bool:
        return self.gone

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def statuses(self) -> list[int]:
        return [provider_smpp.header(data).status for data in self.written]


def deliver(line: Line, body: str) -> tuple[provider_smpp.Header, bytes]:
    source, destination = PhoneNumber(ADA.removeprefix("+")), PhoneNumber(line.sender.removeprefix("+"))
    pdu = DeliverSm(short_message=body, source=source, destination=destination)
    pdu.set_encoding_info(provider_smpp.ALPHABET, None)
    data = bytes(pdu.pdu())
    return provider_smpp.header(data), data


def session(line: Line, wire: Any) -> _Session:
    return _Session(NOTHING, wire, line.inbox, "US")


async def test_a_start_by_smpp_whose_answer_was_not_written_is_no_younger_when_it_comes_again(line: Line) -> None:
    gone, wire = Wire(gone=True), Wire(gone=False)
    await session(line, gone)._store(*deliver(line, "STOP"))
    await session(line, gone)._store(*deliver(line, "START"))
    assert gone.written == [] and not await line.is_out()
    await session(line, wire)._store(*deliver(line, "STOP"))
    await session(line, wire)._store(*deliver(line, "START"))
    assert wire.statuses() == [0, 0] and await line.is_out()


async def test_a_start_by_smpp_that_came_amid_too_many_is_no_younger_when_it_comes_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(gone=False)
    one = session(line, wire)
    with monkeypatch.context() as full:
        full.setattr(gateway_smpp, "MOST_DELIVERIES", 0)
        one._delivered(*deliver(line, "START"))
    assert wire.statuses() == [TRY_LATER]
    await one._store(*deliver(line, "STOP"))
    await one._store(*deliver(line, "START"))
    assert await line.is_out()


async def test_a_start_by_smpp_that_was_taken_is_as_good_as_any(line: Line) -> None:
    one = session(line, Wire(gone=False))
    for body in ("START", "STOP", "START"):
        await one._store(*deliver(line, body))
    assert not await line.is_out()
