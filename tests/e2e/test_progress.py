"""Progress adds up in every answer, also in the middle of it all; the stream and the timeline tell the same."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import orjson

from tests.e2e.people import Campaign, User
from tests.e2e.story import LEAVES, Story, adds_up, until

PEOPLE = 300
FAULTS: dict[str, Any] = {
    "seed": 7,
    "latency_ms": 20,
    "throttle_per_s": 120,
    "drop_response": 0.05,
    "fail_after_accept": 0.05,
    "reject": {"21211": 0.05},
    "receipts": {"delay_ms": 300, "repeat": 0.3, "shuffle": 0.3, "failed": {"30003": 0.1, "30007": 0.05}},
}
PATIENCE_S = 30.0


async def _events(
    user: User, campaign: Campaign, last: str | None = None
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    """(id, figures) of the stream."""
    headers = {"Authorization": f"Bearer {user.token}", **({"Last-Event-ID": last} if last else {})}
    url = f"{user.base}/api/v1/campaigns/{campaign.id}/progress/stream"
    async with user.http.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        found: dict[str, str] = {}
        async for raw in answer.content:
            if line := raw.decode().rstrip("\r\n"):
                name, _, value = line.partition(": ")
                found[name] = value
                continue
            if "data" in found:
                yield found["id"], orjson.loads(found["data"])
            found = {}


async def test_it_adds_up_in_every_answer_while_messages_flow_with_faults(story: Story) -> None:
    people = story.numbers(PEOPLE)
    campaign = await story.campaign(people)
    users = [await story.sending(name, campaign) for name in ("Sam", "Sue")]
    mia = await story.manager()
    await story.faults(**FAULTS)
    streamed: list[dict[str, Any]] = []
    watched: list[dict[str, Any]] = []

    async def listen() -> None:
        async for _, figures in _events(mia, campaign):
            streamed.append(figures)

    async def watch() -> None:
        while True:
            watched.append(await story.progress(campaign))
            await asyncio.sleep(0.05)

    async def press(user: User, numbers: list[str]) -> None:
        for number in numbers:
            assert (await user.sends(campaign, number)).status == 200

    watching = [asyncio.create_task(watch()), asyncio.create_task(listen())]
    try:
        await asyncio.gather(*(press(users[i % 2], people[i::8]) for i in range(8)))

        async def over() -> bool:
            now = watched[-1]
            return not (now["unprocessed"] or now["waiting"] or now["awaiting"] or now["unknown"])

        await until(over, lambda: f"everything has come to an end: {watched[-1]}")
        end = watched[-1]

        async def told() -> bool:
            return bool(streamed) and all(streamed[-1][leaf] == end[leaf] for leaf in LEAVES)

        await until(told, "the stream tells the last figures")
    finally:
        for task in watching:
            task.cancel()
        ended = await asyncio.gather(*watching, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
    assert len(watched) > 20 and len(streamed) > 3
    assert all(map(adds_up, streamed))
    for earlier, later in itertools.pairwise(watched):
        assert earlier["processed"] <= later["processed"] and earlier["delivered"] <= later["delivered"]
    assert (end["recipients"], end["processed"], end["sent"]) == (PEOPLE, PEOPLE, PEOPLE)
    assert end["failed_by_reason"].keys() <= {"invalid_number", "unreachable", "filtered"}

    lines = await story.ledger(people)
    accepted = {line["to"] for line in lines if line["accepted"]}
    assert await story.texted(people) == dict.fromkeys(accepted, 1)
    refused = {row["phone"] for row in await story.report(campaign) if row["reason_code"] == "invalid_number"}
    assert accepted | refused == set(people) and not accepted & refused
    assert end["failed_by_reason"].get("invalid_number", 0) == len(refused)


async def test_the_stream_resumes_where_it_was(story: Story) -> None:
    people = story.numbers(2)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    await story.settles(campaign, unprocessed=2)

    async def next_of(events: AsyncGenerator[tuple[str, dict[str, Any]], None]) -> tuple[str, dict[str, Any]]:
        return await asyncio.wait_for(anext(events), PATIENCE_S)

    async with contextlib.aclosing(_events(sam, campaign)) as events:
        first_id, figures = await next_of(events)
        assert figures["unprocessed"] == 2
    async with contextlib.aclosing(_events(sam, campaign, first_id)) as events:
        waiting = asyncio.create_task(next_of(events))
        await story.progress(campaign)
        assert not waiting.done(), "what the listener has is not told again"
        await sam.sends(campaign, people[0])
        second_id, figures = await waiting
        assert second_id != first_id and figures["processed"] == 1
    await story.settles(campaign, delivered=1, unprocessed=1)
    async with contextlib.aclosing(_events(sam, campaign, first_id)) as events:
        _, figures = await next_of(events)
        assert figures["delivered"] == 1


async def test_a_timeline_tells_every_fact_with_its_cause(story: Story) -> None:
    delivered, rejected = story.number(), story.number("0001")
    campaign = await story.campaign([delivered, rejected])
    sam = await story.sending("Sam", campaign)
    for number in (delivered, rejected):
        await sam.sends(campaign, number)
    await story.settles(campaign, delivered=1, failed=1)
    for number, outcome in ((delivered, ["MessageAccepted", "MessageDelivered"]), (rejected, ["MessageRejected"])):
        events = await story.timeline(campaign, number)
        names = [event["event"] for event in events]
        told = ["RecipientAdded", "RecipientProcessed", "MessageReleased", "SendAttempted", *outcome]
        assert [name for name in names if not name.startswith("Campaign")] == told
        assert [event["occurred_at"] for event in events] == sorted(event["occurred_at"] for event in events)
        ids = {event["event"]: event["event_id"] for event in events}
        assert len(set(ids.values())) == len(events)
        causes = {event["event"]: event["caused_by"] for event in events}
        assert causes["MessageReleased"] == ids["RecipientProcessed"]
        assert causes["SendAttempted"] == ids["MessageReleased"]
        assert causes[outcome[0]] == ids["SendAttempted"]
        assert all(event["actor"] for event in events)
    [refusal] = [event for event in events if event["event"] == "MessageRejected"]
    assert refusal["reason_code"] == "invalid_number" and refusal["reason"]


async def test_the_timeline_of_who_was_not_texted_says_why(story: Story) -> None:
    [number] = story.numbers(1)
    campaign = await story.campaign([number])
    mia = await story.manager()
    await mia.ok("POST", "/opt-outs", json={"phone": number, "reason": "asked us"})
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.settles(campaign, suppressed=1)
    events = {event["event"]: event for event in await story.timeline(campaign, number)}
    assert events["MessageSuppressed"]["reason_code"] == "opted_out"
    assert events["MessageSuppressed"]["caused_by"] == events["MessageReleased"]["event_id"]


async def test_recipients_are_listed_by_state_and_reason_page_by_page(story: Story) -> None:
    healthy = story.numbers(5)
    people = [*healthy, story.number("0003"), story.number("0006"), story.number("0016"), *story.numbers(1)]
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    await sam.sends_all(campaign, people[:-1])
    progress = await story.settles(campaign, delivered=5, failed=2, unknown=1, unprocessed=1)
    everybody = [{"phone": row["phone"], "state": row["state"]} for row in await story.report(campaign)]
    by_state = Counter(row["state"] for row in everybody)
    for name in ("unprocessed", "waiting", "delivered", "failed", "unknown", "sent", "processed", "not_delivered"):
        listed = (await sam.ok("GET", f"/campaigns/{campaign.id}/recipients?state={name}"))["recipients"]
        assert len(listed) == progress[name], name
        assert name in ("sent", "processed", "not_delivered") or {row["state"] for row in listed} <= {name}
    landlines = (await sam.ok("GET", f"/campaigns/{campaign.id}/recipients?state=failed&reason=landline"))["recipients"]
    assert [row["phone"] for row in landlines] == [people[6]]
    assert by_state["failed"] == 2

    pages, after = [], ""
    while True:
        page = await sam.ok("GET", f"/campaigns/{campaign.id}/recipients?limit=4{after}")
        pages += [row["phone"] for row in page["recipients"]]
        if "next" not in page:
            break
        after = f"&after={page['next']}"
    assert pages == people
    for bad in ("state=happy", "after=there", "limit=0", "limit=100000", "limit=all"):
        refused = await sam.call("GET", f"/campaigns/{campaign.id}/recipients?{bad}")
        assert refused.status == 422, bad
