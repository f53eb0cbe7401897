"""With the application's own check taken out, Postgres still tells an account nothing of another's messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from dispatcher import api, store, store_holds
from dispatcher.api_persons import Persons
from dispatcher.app_lanes import Lanes
from dispatcher.app_outcomes import Outcomes
from dispatcher.budget import NO_LIMITS
from dispatcher.flow import Bounds
from dispatcher.routing import Routing
from dispatcher.settings import Settings
from kernel import database
from kernel.database import Pool
from kernel.health import Health, Inputs
from kernel.testing import VAULT_KEY, nothing_revoked
from kernel.tokens import Role, User, issue
from kernel.vault import open_vault

from tests.integration.dispatcher.world import ENVIRONMENT, TOKEN_KEY
from tests.integration.walls import fill, id_of, take_down_the_walls, take_out_the_account_filter

ANN, BEN = str(uuid4()), str(uuid4())
HOLD = f"/holds/{id_of(BEN, 'person_id')}"
OPT_OUT, UNRESOLVED = f"/opt-outs/{id_of(BEN, 'person_id')}", f"/unresolved/{id_of(BEN, 'recipient_id')}"
PERSON = f"/persons/{id_of(BEN, 'person_id')}"
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """The dispatcher's tables, with a message of Ann's and one of Ben's that nobody knows the outcome of."""
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    for account_id in (ANN, BEN):
        await fill(pool, account_id)
    await pool.execute("DELETE FROM in_flight")
    await pool.execute("DELETE FROM queue")
    await pool.execute(
        "UPDATE holds h SET reply = r.carrier_message_id FROM replies r WHERE r.account_id = h.account_id"
    )
    await pool.execute("UPDATE attempts SET state = 'unknown', unresolved_at = attempted_at")
    yield pool
    await pool.close()


@pytest.fixture
async def ann_asks(pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    """The dispatcher's API, from which the application's own check has been taken out, in the hands of Ann."""
    broken = take_out_the_account_filter(monkeypatch, store.q)
    assert broken >= {"find_message", "list_unresolved", "list_replies", "list_opt_outs", "find_opt_out"}
    assert take_out_the_account_filter(monkeypatch, store_holds.q) >= {"list_holds", "find_hold", "end_hold"}
    settings = Settings(
        database_url=database_url, kafka_bootstrap="nowhere:9", **{k.lower(): v for k, v in ENVIRONMENT.items()}
    )  # type: ignore[arg-type]
    probes = Health(pool, Inputs(()), settings.kafka_bootstrap)
    vault, relay = await open_vault(database_url, store.SCHEMA, [VAULT_KEY]), asyncio.Event()
    outcomes, persons = Outcomes(pool, vault, relay), Persons(pool, vault, relay)
    lanes = Lanes(pool, Routing("twilio"), Bounds(1, 1, 1), NO_LIMITS)
    web = api.build(pool, vault, settings, probes, outcomes, persons, relay, lanes, nothing_revoked())
    token = issue(TOKEN_KEY, User(ANN, "ann", Role.MANAGER, "Ann"), "t")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(web),
        base_url="http://here/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    ) as http:

        async def ask(method: str, path: str, body: Any = None) -> httpx.Response:
            return await http.request(method, path, json=body)

        yield ask
    await vault.close()


async def test_lists_hold_nothing_of_another_s(ann_asks: Ask, pool: Pool) -> None:
    paths = ("/unresolved", "/replies", "/holds", "/opt-outs", "/opt-outs/export.csv")
    theirs = {path: (await ann_asks("GET", path)).text for path in paths}
    assert all(ANN in text or id_of(ANN, "recipient_id") in text for text in theirs.values()), theirs
    assert [path for path, text in theirs.items() if BEN in text or id_of(BEN, "recipient_id") in text] == []
    await take_down_the_walls(pool)
    bare = {path: (await ann_asks("GET", path)).text for path in paths}
    assert all(BEN in text or id_of(BEN, "recipient_id") in text for text in bare.values()), "it was the walls, then"


async def test_what_is_another_s_is_not_there_to_be_changed(ann_asks: Ask, pool: Pool) -> None:
    word = {"resolution": "not_accepted", "reason": "I asked the carrier"}
    assert (await ann_asks("POST", UNRESOLVED, word)).status_code == 404
    assert (await ann_asks("DELETE", f"{OPT_OUT}?reason=who+knows")).status_code == 404
    decision = {"decision": "release", "reason": "who knows"}
    assert (await ann_asks("POST", HOLD, decision)).status_code == 404
    assert (await ann_asks("GET", PERSON)).status_code == 404
    assert (await ann_asks("POST", f"{PERSON}/erasure", {"reason": "who knows"})).status_code == 404
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 0
    assert await pool.fetchval("SELECT count(*) FROM attempts WHERE state <> 'unknown'") == 0
    await take_down_the_walls(pool)
    assert (await ann_asks("POST", UNRESOLVED, word)).status_code == 200, "it was the walls, then"
    assert len((await ann_asks("GET", PERSON)).json()["messages"]) == 1
    assert (await ann_asks("POST", HOLD, decision)).status_code == 200


async def test_an_account_resolves_its_own_within_the_walls(ann_asks: Ask, pool: Pool) -> None:
    mine, word = id_of(ANN, "recipient_id"), {"resolution": "not_accepted", "reason": "I asked the carrier"}
    assert (await ann_asks("POST", f"/unresolved/{mine}", word)).status_code == 200
    assert await pool.fetchval("SELECT recipient_id::text FROM queue") == mine
    held, why = f"/holds/{id_of(ANN, 'person_id')}", "I have read it"
    assert (await ann_asks("POST", held, {"decision": "opt_out", "reason": why})).status_code == 200
    assert (await ann_asks("POST", "/opt-outs", {"phone": "+12025550123"})).status_code == 201
