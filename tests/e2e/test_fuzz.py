"""Whatever is asked of a service, its OpenAPI document told what it answers; `make fuzz CASES=5000` asks more."""

import asyncio
import os
from collections import Counter
from typing import Any

import pytest
import schemathesis

from tests.e2e.fuzz import CHECKS, Fuzzer
from tests.e2e.people import Campaign, User
from tests.e2e.running import SERVICES
from tests.e2e.story import Story

CASES = int(os.environ.get("CASES", "300"))  # of one document and role
SEED = int(os.environ.get("SEED", "1"))
ROLES = ("manager", "sender", "auditor")


@pytest.fixture
async def ids(story: Story) -> dict[str, str]:
    """Things that are there, to be asked about."""
    people = story.numbers(3)
    campaign = await story.campaign(people, text="Hi.")
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, people[0])
    mia = await story.manager()
    person = (await mia.ok("POST", "/opt-outs", json={"phone": story.number()}))["person_id"]
    return {"campaign_id": campaign.id, "recipient_id": campaign.rid(people[0]), "person_id": person}


def fuzzer(story: Story, service: str, user: User, ids: dict[str, str]) -> Fuzzer:
    return Fuzzer(story.running.url(SERVICES[service]), user.token, ids)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_one_the_document_tells(
    story: Story, ids: dict[str, str], service: str, role: str
) -> None:
    fuzz = fuzzer(story, service, await story.user(f"Fuzz {role}", role), ids)
    found = await asyncio.to_thread(fuzz.run, CASES, SEED)
    assert not found, f"seed {SEED}:\n" + "\n\n".join(found)
    assert not {status for status in fuzz.answers if status >= 500}
    assert fuzz.answers[200] and (service == "scheduler" or fuzz.answers[422]), fuzz.answers


async def test_a_document_that_keeps_something_back_is_found_out(story: Story, ids: dict[str, str]) -> None:
    fuzz = fuzzer(story, "dispatcher", await story.manager(), ids)
    operations = fuzz.document["paths"]["/api/v1/opt-outs"]
    fuzz.document["paths"] = {"/api/v1/opt-outs": {"get": operations["get"]}}
    del operations["get"]["responses"]["422"]
    fuzz.document["components"]["schemas"]["OptOut"]["properties"]["phone"]["type"] = "integer"
    found = "\n".join(await asyncio.to_thread(fuzz.run, 100, SEED))
    assert "Undocumented status code" in found and "violates schema" in found


async def test_the_answers_of_the_main_job_are_as_the_document_says(story: Story) -> None:
    """What made-up requests do not come to: each call once, as people make it."""
    mia, told = await story.manager(), await asyncio.to_thread(_Told, story.running.url())
    people = story.numbers(3)
    made = await told.ask(mia, "POST", "/campaigns", json={"name": "Told", "text": "Hi."}, status=201)
    campaign = Campaign(made["campaign_id"], made["name"], made["sender"])
    ids = {"campaign_id": campaign.id, "recipient_id": campaign.rid(people[0])}
    path = "/campaigns/{campaign_id}"
    listed = "phone,first_name\n" + "\n".join(f"{number},Ann" for number in people) + "\nnobody,Bob"
    csv = {"data": listed.encode(), "headers": {"Content-Type": "text/csv"}}
    await told.ask(mia, "POST", f"{path}/recipients", ids, **csv)
    await told.ask(mia, "POST", f"{path}/sending", ids, json={})
    await told.ask(mia, "POST", f"{path}/sending/next", ids, json={"limit": 2})
    await told.ask(mia, "POST", f"{path}/recipients/{{recipient_id}}/send", ids)
    asked = {"recipients": [{"recipient_id": campaign.rid(number)} for number in people]}
    await told.ask(mia, "POST", f"{path}/send", ids, json=asked)
    await story.settles(campaign, delivered=3)
    for below in ("", "/end-preview", "/progress", "/recipients", "/recipients/{recipient_id}"):
        await told.ask(mia, "GET", path + below, ids)
    await told.ask(mia, "GET", f"{path}/recipients/{{recipient_id}}/timeline", ids)
    await told.ask(mia, "DELETE", f"{path}/sending", ids)
    await told.ask(mia, "POST", f"{path}/end", ids, json={"confirm": "END"})
    number = story.number()
    opted_out = await told.ask(mia, "POST", "/opt-outs", json={"phone": number, "reason": "asked"}, status=201)
    await told.ask(mia, "POST", "/opt-outs", json={"phone": number})
    await told.ask(mia, "GET", "/opt-outs")
    person = {"person_id": opted_out["person_id"]}
    await told.ask(mia, "DELETE", "/opt-outs/{person_id}", person, json={"reason": "wrote to us"})
    await told.ask(mia, "POST", "/opt-outs/import", data=number.encode(), headers={"Content-Type": "text/csv"})
    await story.replies(people[0], campaign.sender, "Thanks.")
    assert (await told.ask(mia, "GET", "/replies"))["replies"]
    await story.replies(people[1], campaign.sender, "wrong number")
    [held] = (await told.ask(mia, "GET", "/holds"))["holds"]
    person, decision = {"person_id": held["person_id"]}, {"decision": "release", "reason": "it was the right one"}
    await told.ask(mia, "POST", "/holds/{person_id}", person, json=decision)
    assert set(told.answers) == {200, 201}


class _Told:
    """Asks, and holds each answer against the document."""

    def __init__(self, base: str) -> None:
        self._schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
        self._base = base
        self.answers: Counter[int] = Counter()

    async def ask(
        self, user: User, method: str, path: str, ids: dict[str, str] | None = None, status: int = 200, **sent: Any
    ) -> Any:
        return await asyncio.to_thread(self._ask, user, method, path, ids or {}, status, sent)

    def _ask(self, user: User, method: str, path: str, ids: dict[str, str], status: int, sent: dict[str, Any]) -> Any:
        operation = self._schema[f"/api/v1{path}"][method]
        case = operation.Case(path_parameters=ids)
        headers = {"Authorization": f"Bearer {user.token}", **sent.pop("headers", {})}
        answer = case.call(base_url=self._base, headers=headers, **sent)
        case.validate_response(answer, checks=CHECKS)
        self.answers[answer.status_code] += 1
        assert answer.status_code == status, (method, path, answer.text)
        return answer.json()
