"""With the application's own check taken out, Postgres still lets no account near another's campaigns."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from kernel.database import acting_for
from kernel.testing import number
from kernel.tokens import Role, User
from send_intake import store_users
from send_intake.admission import Campaign
from send_intake.store import q

from schemas.identity import recipient_id
from tests.integration.send_intake.conftest import Intake
from tests.integration.send_intake.door import api_of, as_user
from tests.integration.walls import take_down_the_walls, take_out_the_account_filter


@dataclass
class Stranger:
    """Ann of another account, at the API of an application that does not look whose a campaign is."""

    user: User
    api: FastAPI
    http: httpx.AsyncClient
    intake: Intake
    campaign: Campaign  # which is not hers

    async def asks(self, method: str, path: str, **request: Any) -> httpx.Response:
        return await self.http.request(method, f"/campaigns/{self.campaign.campaign_id}{path}", **request)

    async def presses(self) -> httpx.Response:
        return await self.asks("POST", f"/recipients/{recipient_id(self.campaign.campaign_id, number(0))}/send")


@pytest.fixture
async def ann(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stranger]:
    campaign = await intake.campaign(3, None, await intake.user("Ben"))
    assert take_out_the_account_filter(monkeypatch, q) >= {"campaign", "campaigns"}
    async with intake.pool.acquire() as connection:
        user = (await store_users.add_user(connection, "another", "Ann", Role.MANAGER)).user  # type: ignore[arg-type]
    async with as_user(intake, user) as http:
        yield Stranger(user, api_of(http), http, intake, campaign)


def everything(ann: Stranger) -> list[Callable[[], Awaitable[httpx.Response]]]:
    """All that can be asked of a campaign, in an order in which each would be answered."""
    collected = {"recipients": [{"recipient_id": recipient_id(ann.campaign.campaign_id, number(1))}]}
    return [
        lambda: ann.asks("GET", ""),
        lambda: ann.asks("POST", "/sending"),
        lambda: ann.asks("POST", "/sending/next"),
        ann.presses,
        lambda: ann.asks("POST", "/send", json=collected),
        lambda: ann.asks("DELETE", "/sending"),
        lambda: ann.asks("POST", "/recipients", content="phone,name\n+12025550177,Zoe\n"),
        lambda: ann.asks("POST", "/end", json={"confirm": "END"}),
    ]


async def test_presses_and_claims_look_rows_up_by_id_within_the_walls_too(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    await intake.pool.execute(
        """INSERT INTO recipients (recipient_id, campaign_id, account_id, position, person_id, number, columns, cells)
           SELECT gen_random_uuid(), id, gen_random_uuid(), n, id, '', '[]', '[]'
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 20)) c, generate_series(1, 1000) n"""
    )
    await intake.pool.execute(
        """INSERT INTO claims (recipient_id, campaign_id, account_id, user_id, until)
           SELECT recipient_id, campaign_id, account_id, campaign_id, now() FROM recipients"""
    )
    await intake.pool.execute("ANALYZE")
    async with acting_for(intake.pool, campaign.account_id) as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, types in (("to_press", "uuid[], uuid[]"), ("send", "uuid[], uuid[], uuid[]"),
                            ("own_claims", "uuid, uuid, bigint, float8"),
                            ("claim_more", "uuid, uuid, bigint, float8")):  # fmt: skip
            await connection.execute(f"PREPARE {name} ({types}) AS {getattr(q, name)}")
            nothing = ", ".join(["NULL"] * len(types.split(",")))
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE {name} ({nothing})"))
            assert "recipients_" in plan, plan
            assert not any(f"Seq Scan on {table}" in plan for table in ("recipients", "claims")), plan


async def test_another_s_campaign_is_not_there(ann: Stranger) -> None:
    assert [(await ask()).status_code for ask in everything(ann)] == [404] * 8
    assert (await ann.http.get("/campaigns")).json() == {"campaigns": []}
    row = await ann.intake.pool.fetchrow(
        """SELECT c.ended_at, c.recipients, (SELECT count(*) FROM sendings) AS sendings,
                  (SELECT count(*) FROM recipients WHERE processed_at IS NOT NULL) AS processed FROM campaigns c"""
    )
    assert row is not None and tuple(row) == (None, 3, 1, 0)


async def test_without_the_walls_it_would_be(ann: Stranger) -> None:
    await take_down_the_walls(ann.intake.pool)
    assert [(await ask()).status_code for ask in everything(ann)] == [200] * 8
    assert len((await ann.http.get("/campaigns")).json()["campaigns"]) == 1


async def test_an_application_that_takes_the_campaign_for_the_caller_s_presses_nothing(ann: Stranger) -> None:
    key = (ann.user.account_id, ann.campaign.campaign_id)
    ann.api.state.campaigns[key] = replace(ann.campaign, account_id=ann.user.account_id)
    await ann.intake.pool.execute(
        "INSERT INTO sendings (user_id, campaign_id, account_id) VALUES ($1, $2, $3)",
        ann.user.user_id, ann.campaign.campaign_id, ann.user.account_id,
    )  # fmt: skip
    assert (await ann.presses()).status_code == 404
    await take_down_the_walls(ann.intake.pool)
    assert (await ann.presses()).status_code == 200, "it was the walls, then"


async def test_an_account_does_all_of_it_within_the_walls(ann: Stranger) -> None:
    made = await ann.http.post("/campaigns", json={"name": "Ann's", "text": "Hello {name}"})
    assert made.status_code == 201
    ann.campaign = replace(ann.campaign, campaign_id=made.json()["campaign_id"])
    listed = "phone,name\n" + "".join(f"{number(n)},n{n}\n" for n in (2_002_000, 2_002_001))
    assert (await ann.asks("POST", "/recipients", content=listed)).json()["added"] == 2
    assert (await ann.asks("POST", "/sending")).status_code == 200
    rows = (await ann.asks("POST", "/sending/next")).json()["recipients"]
    assert [row["text"] for row in rows] == ["Hello n2002000", "Hello n2002001"]
    assert (await ann.asks("POST", f"/recipients/{rows[0]['recipient_id']}/send")).status_code == 200
    taken = await ann.http.post("/campaigns", json={"name": "x", "text": "y", "sender": "+18445550100"})
    assert taken.json()["code"] == "foreign_sender", "a number of another account's, which she cannot see"
    assert (await ann.asks("POST", "/end", json={"confirm": "END"})).status_code == 200
