"""With the application's own check taken out, Postgres still tells an account nothing of another's campaigns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from handsent.postgres import EmbeddedPostgres
from kernel.database import Pool
from kernel.testing import VAULT_KEY, nothing_revoked
from kernel.tokens import Role, User, issue
from kernel.vault import open_vault
from projections import api, api_campaign, store_reads
from projections.api_report import Reports
from projections.api_stream import Feeds
from projections.app_clock import Clock
from projections.app_log import EventLog
from projections.report import COLUMNS
from projections.store_reads import Campaign

from tests.integration.projections.world import TOKEN_KEY, eventually
from tests.integration.walls import fill, id_of, take_down_the_walls, take_out_the_account_filter

ANN, BEN = str(uuid4()), str(uuid4())
Ask = Callable[[], Awaitable[list[httpx.Response]]]


class _EmptyLog(EventLog):
    """Nothing is read from Kafka here."""

    async def read(self, places: Any) -> list[Any]:
        return []


@pytest.fixture
async def ann_asks_for_ben_s(
    read_models: Pool, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ask]:
    """Every question there is about a campaign and then about a person, asked by Ann about Ben's; the answers."""
    for account_id in (ANN, BEN):
        await fill(read_models, account_id)
    monkeypatch.setattr(api_campaign, "NEWS_PATIENCE_S", 0.0)
    vault = await open_vault(postgres.url, "projections", [VAULT_KEY])
    clock = Clock("nowhere")
    reports = Reports(read_models, vault, 1024**2)
    reading = api.Reading(read_models, vault, Feeds(read_models, clock), reports, _EmptyLog("nowhere"), clock)
    web = api.build(read_models, reading, TOKEN_KEY, nothing_revoked(), _probe, _probe)
    token = issue(TOKEN_KEY, User(ANN, "ann", Role.MANAGER, "Ann"), "t")
    path, rid = f"/api/v1/campaigns/{id_of(BEN, 'campaign_id')}", id_of(BEN, "recipient_id")
    paths = (
        "/progress", "/report.csv", "/recipients", f"/recipients/{rid}", f"/recipients/{rid}/timeline",
        "/progress/history", "/senders",
    )  # fmt: skip

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(web), base_url="http://here", headers={"Authorization": f"Bearer {token}"}
        ) as http:
            answers = [await http.get(path + rest) for rest in paths]
            states = await http.post(f"{path}/states", json={"recipient_ids": [rid]})
            return [*answers, states, await http.get(f"/api/v1/persons/{id_of(BEN, 'person_id')}/recipients")]

    yield ask
    await vault.close()


async def _probe() -> dict[str, Any]:
    return {}


async def test_a_statement_without_its_account_filter_finds_nothing_of_another_s(
    ann_asks_for_ben_s: Ask, read_models: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert take_out_the_account_filter(monkeypatch, store_reads.q) >= {"campaign"}
    assert [answer.status_code for answer in await ann_asks_for_ben_s()] == [404] * 9
    await take_down_the_walls(read_models)
    _, *others = await ann_asks_for_ben_s()  # Progress still knows whose its figures are
    assert [answer.status_code for answer in others] == [200] * 8, "it was the walls, then"


async def test_an_application_that_takes_the_campaign_for_the_caller_s_has_nothing_to_tell(
    ann_asks_for_ben_s: Ask, read_models: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believed(_pool: Any, campaign_id: UUID, _request: Any) -> Campaign:
        return Campaign(ANN, campaign_id, "Ann's, surely")

    monkeypatch.setattr(api_campaign, "campaign_of", believed)
    progress, report, page, recipient, timeline, history, senders, states, person = await ann_asks_for_ben_s()
    assert [answer.status_code for answer in (progress, recipient, timeline, person)] == [404] * 4
    assert report.text.strip() == ",".join(COLUMNS)
    assert (page.json(), states.json()) == ({"recipients": []}, {"states": {}})
    assert (history.json()["points"], senders.json()) == ([], {"senders": []})
    await take_down_the_walls(read_models)
    progress, report, page, _, _, history, senders, states, _ = await ann_asks_for_ben_s()
    assert progress.status_code == 404  # figures say whose they are, so that one question serves the streams of many
    assert id_of(BEN, "recipient_id") in report.text + page.text
    assert states.json() == {"states": {id_of(BEN, "recipient_id"): "waiting"}}
    assert len(history.json()["points"]) == len(senders.json()["senders"]) == 1


async def test_a_stream_goes_to_those_whose_campaign_it_is(read_models: Pool) -> None:
    for account_id in (ANN, BEN):
        await fill(read_models, account_id)
    feeds, campaign_id = Feeds(read_models, Clock("nowhere")), id_of(BEN, "campaign_id")
    heard: dict[str, bytes] = {}

    async def listen(account_id: str) -> None:
        async for said in feeds.listen((account_id, campaign_id), None):
            heard[account_id] = said

    tasks = [asyncio.create_task(work) for work in (listen(ANN), listen(BEN), feeds.run())]
    await eventually(lambda: _heard(heard, BEN), lambda: "Ben hears of his campaign")
    await read_models.execute("UPDATE campaigns SET version = version + 1")
    before = heard[BEN]
    await eventually(lambda: _heard(heard, BEN, before), lambda: "Ben hears of the change")
    assert ANN not in heard
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _heard(heard: dict[str, bytes], account_id: str, before: bytes | None = None) -> bool:
    return heard.get(account_id) not in (None, before)
