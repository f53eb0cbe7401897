"""What people are told: report, pages, timeline, the live stream; and to whom nothing is told."""

import asyncio
import uuid
from typing import Any

import aiohttp
from kernel.tokens import Role
from projections.report import COLUMNS

from tests.integration.projections.world import World, eventually

NASTY = {
    "First Name": '=HYPERLINK("x")',
    "Notes": 'a, "b"\nnext line',
    "Sum": "+1",
    "Tab": "\tx",
    "Dash": "-",
    "At": "@x",
    "ok": "1 = 1",
}


async def test_the_report_tells_each_recipient_what_happened_and_why(world: World) -> None:
    lives = [world.life(n) for n in range(7)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.publish(life.processed() for life in lives[1:])
    await world.publish([lives[1].dropped(), lives[2].suppressed(), lives[3].unresolved(), lives[4].not_delivered()])
    await world.publish([lives[5].attempted(), lives[5].accepted(), lives[5].delivered(), lives[6].unconfirmed()])
    await world.publish([lives[5].opted_out(), lives[4].opted_out(), lives[4].opted_in()])
    await world.progress_is(dropped=1, suppressed=1, unknown=1, failed=1, delivered=1, unconfirmed=1)
    await world.caught_up()
    rows = await world.report()
    assert list(rows[0]) == [*COLUMNS, "City"]
    assert [row["phone"] for row in rows] == [life.number for life in lives]
    assert [(row["state"], row["delivery"], row["reason_code"]) for row in rows] == [
        ("unprocessed", "", ""),
        ("dropped", "", "campaign_ended"),
        ("suppressed", "", "opted_out"),
        ("unknown", "not delivered", "carrier_error"),
        ("failed", "not delivered", "landline"),
        ("delivered", "delivered", ""),
        ("unconfirmed", "not delivered", "no_receipt"),
    ]
    assert all(bool(row["reason"]) == bool(row["reason_code"]) == bool(row["advice"]) for row in rows)
    delivered = rows[5]
    assert (delivered["first_name"], delivered["last_name"], delivered["City"]) == ("Ada", "Byron", "Bath")
    assert delivered["processed_by"] == "sam" and delivered["processed_at"] == "2026-03-01T12:00:00.000000Z"
    assert delivered["delivered_at"] == "2026-03-01T12:15:00.000000Z" and delivered["segments"] == "1"
    assert [row["carrier_code"] for row in rows] == ["", "", "", "500", "30006", "", ""]
    opted_out = "2026-03-01T11:59:00.000000Z"
    assert [row["opted_out_at"] for row in rows] == ["", "", opted_out, "", "", opted_out, ""]


async def test_who_was_erased_is_counted_and_not_named(world: World) -> None:
    lives = [world.life(n) for n in range(3)]
    await world.publish([lives[0].created(), *(life.added() for life in lives), lives[1].processed()])
    await world.publish([lives[1].attempted(), lives[1].accepted(), lives[1].delivered()])
    await world.progress_is(recipients=3, delivered=1)
    before = await world.progress()
    await world.erase(lives[1])
    timeline = f"/recipients/{lives[1].recipient_id}/timeline"

    async def erased() -> dict[str, Any] | None:
        told = {fact["event"]: fact for fact in (await world.get(timeline))[1]["events"]}
        return told if "PersonErased" in told else None

    told = await eventually(erased, lambda: "the erasure is not in the timeline")
    rows = await world.report()
    assert [row["phone"] for row in rows] == [lives[0].number, "", lives[2].number]
    blank = rows[1]
    assert (blank["first_name"], blank["last_name"], blank["City"], blank["state"]) == ("", "", "", "delivered")
    assert {**(await world.progress()), "as_of": None} == {**before, "as_of": None}
    _, one = await world.get(f"/recipients/{lives[1].recipient_id}")
    assert (one["phone"], one["first_name"], one["state"]) == (None, "", "delivered")
    assert (told["RecipientProcessed"]["text"], told["RecipientProcessed"]["number"]) == (None, None)
    assert told["RecipientAdded"]["columns"] is None and told["PersonErased"]["key_id"] == lives[1].key.key_id.hex()


async def test_what_is_held_of_a_person_is_told_to_their_account_alone(world: World) -> None:
    life, other = world.life(1), world.life(2)
    await world.publish([life.created(), life.added(), life.delivered(), other.added()])
    await world.progress_is(recipients=2, delivered=1)
    url = f"{world.service.url}/api/v1/persons/{life.person_id}/recipients"
    async with world.http.get(url, headers=world.headers(role=Role.MANAGER)) as answer:
        held = await answer.json()
    assert held["person_id"] == life.person_id
    assert [(one["campaign_id"], one["phone"], one["state"]) for one in held["recipients"]] == [
        (world.campaign_id, life.number, "delivered")
    ]
    for headers, status in (
        (world.headers(), 403),
        (world.headers(str(uuid.uuid4()), Role.MANAGER), 404),
        ({}, 401),
    ):
        async with world.http.get(url, headers=headers) as answer:
            assert answer.status == status


async def test_no_cell_of_the_report_is_a_formula(world: World) -> None:
    await world.publish([world.life(1, columns=NASTY).added(), world.life(1).created()])
    await world.progress_is(recipients=1, name="spring")
    (row,) = await world.report()
    assert row["phone"].startswith("+1")
    assert row["first_name"] == '\'=HYPERLINK("x")' and row["Notes"] == NASTY["Notes"] and row["ok"] == "1 = 1"
    assert [row[name] for name in ("Sum", "Tab", "Dash", "At")] == ["'+1", "'\tx", "'-", "'@x"]
    assert list(row)[len(COLUMNS) :] == ["Notes", "Sum", "Tab", "Dash", "At", "ok"]


async def test_pages_walk_the_whole_list_in_order(world: World) -> None:
    await world.publish([world.life(0).created(), *(world.life(n).added() for n in range(25))])
    await world.publish(world.life(n).not_delivered() for n in range(0, 25, 2))
    await world.progress_is(recipients=25, failed=13)
    seen, after = [], ""
    while after is not None:
        status, page = await world.get(f"/recipients?limit=10{after}")
        assert status == 200
        seen += [row["phone"] for row in page["recipients"]]
        after = f"&after={page['next']}" if "next" in page else None
    assert seen == [world.life(n).number for n in range(25)]
    _, failed = await world.get("/recipients?state=failed&reason=landline&limit=500")
    assert len(failed["recipients"]) == 13 and "next" not in failed
    assert failed["recipients"][0]["advice"] and failed["recipients"][0]["columns"]["City"] == "Bath"
    assert (await world.get("/recipients?state=failed&reason=content"))[1] == {"recipients": []}
    assert len((await world.get("/recipients?state=processed"))[1]["recipients"]) == 13
    _, one = await world.get(f"/recipients/{world.life(3).recipient_id}")
    assert (one["phone"], one["state"]) == (world.life(3).number, "unprocessed")


async def test_wrong_questions_are_refused(world: World) -> None:
    await world.publish([world.life(0).created()])
    await world.progress_is(recipients=0)
    assert (await world.get("/recipients?state=asleep"))[1]["code"] == "bad_state"
    assert (await world.get("/recipients?after=nonsense"))[1]["code"] == "bad_after"
    assert (await world.get("/recipients?limit=501"))[0] == 422
    assert (await world.get(f"/recipients/{uuid.uuid4()}/timeline"))[0] == 404
    assert (await world.post("/states", {"recipient_ids": [str(uuid.uuid4())] * 501}))[1]["code"] == "too_many"
    assert (await world.post("/states", {"recipient_ids": ["x"]}))[0] == 422
    async with world.http.get(world.path("/progress")) as answer:
        assert answer.status == 401


async def test_another_account_sees_nothing(world: World) -> None:
    life = world.life(1)
    await world.publish([life.created(), life.added()])
    await world.progress_is(recipients=1)
    stranger = str(uuid.uuid4())
    one = f"/recipients/{life.recipient_id}"
    asked = ("/progress", "/progress/stream", "/report.csv", "/recipients", one, f"{one}/timeline")
    answers = await asyncio.gather(*(world.get(rest, account_id=stranger) for rest in asked))
    assert [(status, problem["code"]) for status, problem in answers] == [(404, "not_found")] * len(asked)


async def test_a_timeline_tells_everything_about_a_recipient(world: World) -> None:
    life = world.life(1)
    story = [life.created(), life.added(), life.processed(), life.released(), life.attempted(), life.accepted(),
             life.delivered()]  # fmt: skip
    await world.publish([*story, *(world.life(n).added() for n in range(2, 30)), *story, life.opted_out(30)])
    await world.progress_is(delivered=1, recipients=29)
    await world.caught_up()
    status, answer = await world.get(f"/recipients/{life.recipient_id}/timeline")
    assert status == 200 and answer["recipient_id"] == life.recipient_id
    told = [fact["event"] for fact in answer["events"]]
    assert told == [*(type(event).__name__ for event in story), "PersonOptedOut"]
    pressed = answer["events"][2]
    assert (pressed["actor"], pressed["text"], pressed["event_id"]) == ("sam", "Hello Ada", story[2].event_id)


async def test_states_of_many_at_once(world: World) -> None:
    await world.publish([world.life(0).created(), world.life(0).added(), world.life(1).attempted()])
    await world.progress_is(recipients=2, name="spring")
    ids = [world.life(n).recipient_id for n in range(3)]
    assert await world.post("/states", {"recipient_ids": ids}) == (
        200,
        {"states": {ids[0]: "unprocessed", ids[1]: "awaiting"}},
    )


async def test_a_listener_hears_of_changes_and_resumes(world: World) -> None:
    await world.publish([world.life(0).created(), world.life(0).added()])
    await world.progress_is(recipients=1, name="spring")
    async with world.listening() as listener:
        id_, figures = await listener.next()
        assert figures == await world.progress()
        await world.publish([world.life(1).added()])
        newer, figures = await listener.next()
        assert int(newer.partition(".")[0]) == int(id_.partition(".")[0]) + 1 and figures["recipients"] == 2
    async with world.listening(last_event_id=newer) as resumed, world.listening(last_event_id=id_) as missed:
        assert (await missed.next())[0] == newer
        await world.publish([world.life(2).added()])
        assert (await resumed.next())[1]["recipients"] == 3


async def test_a_stop_ends_the_streams_and_takes_no_time(world: World) -> None:
    await world.publish([world.life(0).created()])
    await world.progress_is(recipients=0)
    async with world.listening() as listener:
        await listener.next()
        try:
            assert world.service.stop() == 0
            try:
                await listener.ends()
            except aiohttp.ClientPayloadError as error:
                raise AssertionError("the stream broke off") from error
        finally:
            world.service.start()
