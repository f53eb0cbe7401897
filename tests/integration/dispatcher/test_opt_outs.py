"""Who has opted out is not texted, from the moment they were answered."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from dispatcher import chunk
from kernel.database import load_queries
from kernel.tokens import Role

from tests.integration.dispatcher.world import World, eventually


async def test_an_opted_out_person_is_not_texted_and_the_event_says_why(sending: World) -> None:
    number = sending.number()
    status, shown = await sending.call("POST", "/opt-outs", json={"phone": number, "reason": "asked by phone"})
    assert (status, shown["phone"], shown["source"]) == (201, number, "manual")
    await sending.publish(sending.released(number))
    assert await sending.told(number, until="MessageSuppressed") == [["MessageSuppressed"]]
    [suppressed] = await sending.log("dispatches")
    [opted_out] = await sending.log("opt-outs")
    assert (suppressed.reason, suppressed.opt_out_event_id) == ("opted_out", opted_out.event_id)
    assert await sending.posts(number) == 0


async def test_after_an_answered_stop_no_intent_follows(sending: World) -> None:
    numbers = [sending.number() for _ in range(60)]
    answered: dict[str, datetime] = {}

    async def stop(number: str) -> None:
        assert await sending.replies(number, "Stop.") == 200
        answered[sending.rid(number)] = datetime.now(UTC)

    await asyncio.gather(sending.publish(*map(sending.released, numbers)), *map(stop, numbers))
    await eventually(lambda: _decided(sending, numbers), lambda: "each is suppressed or attempted")
    assert len(await sending.log("opt-outs")) == len(numbers)
    attempted = [e for e in await sending.log("dispatches") if type(e).__name__ == "SendAttempted"]
    assert [e for e in attempted if e.occurred_at > answered[e.recipient_id]] == []


async def _decided(world: World, numbers: list[str]) -> bool:
    return all(await world.told(*numbers))


async def test_an_opt_out_waits_for_intents_under_way_and_they_for_it(sending: World) -> None:
    number, later = sending.number(), sending.number()
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageDelivered")
    async with sending.database.transaction():  # as an intent does, before it reads opt-outs
        await sending.database.fetch(load_queries("dispatcher").lock_for_intents)
        stop = asyncio.create_task(sending.replies(later, "STOP"))
        await sending.publish(sending.released(later))
        await eventually(lambda: _waits(sending), lambda: "the STOP waits")
        assert not stop.done()
    assert await stop == 200
    await sending.told(later, until="MessageSuppressed")


async def _waits(world: World) -> bool:
    return bool(await world.database.fetchval("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def test_a_stop_is_in_force_when_it_is_answered_and_start_takes_it_back(sending: World) -> None:
    number = sending.number()
    assert await sending.replies(number, "  STOP!! 🛑") == 200
    await sending.publish(sending.released(number))
    assert await sending.told(number, until="MessageSuppressed") == [["MessageSuppressed"]]
    assert await sending.replies(number, "start") == 200
    assert (await sending.opt_outs(number))[1] == {"opt_outs": []}
    assert await sending.replies(number, "unsubscribe") == 200
    await eventually(lambda: _ordinals(sending, 3), lambda: "three opt-out events")


async def _ordinals(world: World, count: int) -> bool:
    events = await world.log("opt-outs")
    return len({event.event_id for event in events}) == count == len(events)


async def test_start_does_not_lift_what_a_manager_said(sending: World) -> None:
    number = sending.number()
    assert await sending.replies(number, "STOP") == 200
    assert (await sending.call("POST", "/opt-outs", json={"phone": number}))[0] == 200
    assert await sending.replies(number, "START") == 200
    status, page = await sending.opt_outs(number)
    assert (status, [row["source"] for row in page["opt_outs"]]) == (200, ["manual"])


async def test_a_reply_counts_once_and_is_listed(sending: World) -> None:
    number = sending.number()
    for _ in range(2):
        assert await sending.replies(number, "When do you open?", message_id="SM" + sending.campaign_id) == 200
    assert await sending.replies(number, "") == 200
    status, page = await sending.call("GET", "/replies", role=Role.AUDITOR)
    assert (status, [(r["body"], r["verdict"], r["phone"]) for r in page["replies"]]) == (
        200,
        [("", "other", number), ("When do you open?", "other", number)],
    )
    status, first = await sending.call("GET", "/replies", params={"limit": 1})
    _, second = await sending.call("GET", "/replies", params={"limit": 1, "after": first["next"]})
    assert [row["body"] for row in first["replies"] + second["replies"]] == ["", "When do you open?"]


async def test_a_stop_before_its_campaign_is_known_counts_when_it_is(world: World) -> None:
    number = world.number()
    assert await world.replies(number, "stop") == 200
    await world.publish(world.created())

    async def out() -> bool:
        return bool((await world.opt_outs(number))[1]["opt_outs"])

    await eventually(out, lambda: "the parked STOP is in force")


async def test_a_stop_that_was_answered_stops_a_message_that_comes_before_its_campaign(world: World) -> None:
    number = world.number()
    assert await world.replies(number, "stop") == 200
    await world.publish(world.released(number))
    [story] = await world.told(number, until="MessageSuppressed")
    assert story == ["MessageSuppressed"] and await world.posts(number) == 0


async def test_the_list_is_managed_by_managers_read_by_auditors_and_each_account_has_its_own(sending: World) -> None:
    number, other = sending.number(), World(sending.stack, sending.http, sending.database, sending.vault)
    assert (await sending.call("POST", "/opt-outs", role=None, json={}))[0] == 401
    assert (await sending.call("POST", "/opt-outs", role=Role.AUDITOR, json={"phone": number}))[0] == 403
    assert (await sending.call("GET", "/opt-outs", role=Role.SENDER))[0] == 403
    assert (await sending.call("POST", "/opt-outs", json={"phone": "555"}))[1]["code"] == "bad_phone"
    person = (await sending.call("POST", "/opt-outs", json={"phone": number}))[1]["person_id"]
    assert person == sending.person(number)
    assert (await other.call("GET", "/opt-outs"))[1] == {"opt_outs": []}
    assert (await other.call("DELETE", f"/opt-outs/{person}", params={"reason": "mine"}))[0] == 404
    assert (await sending.call("DELETE", f"/opt-outs/{person}", role=Role.AUDITOR))[0] == 403
    assert (await sending.call("DELETE", f"/opt-outs/{person}"))[1]["code"] == "missing_reason"
    half_a_character = await sending.call("DELETE", f"/opt-outs/{person}", json={"reason": "\ud800"})
    assert half_a_character[0] == 422 and half_a_character[1]["code"] == "missing_reason"
    assert (await sending.call("DELETE", f"/opt-outs/{person}", json={"reason": "they asked"}))[0] == 200
    assert (await sending.call("DELETE", f"/opt-outs/{person}", json={"reason": "again"}))[0] == 404
    assert (await sending.call("DELETE", "/opt-outs/not-a-uuid", json={"reason": "?"}))[0] == 404


async def test_a_list_is_imported_in_chunks_and_exported_again(sending: World) -> None:
    numbers = sorted(sending.number() for _ in range(300))
    text = "\ufeffName,Phone Number,Reason\r\n" + "".join(f"Ada,{n},=SUM(1)\r\n" for n in numbers)
    csv = {"headers": {}, "data": (text + f"\r\nBob,12,short\r\nEve,{numbers[0]},twice\r\n").encode()}
    status, answer = await _import(sending, csv["data"])
    assert (status, answer["added"], answer["already"], answer["rejected"]) == (200, 300, 1, 1)
    assert answer["rejects"][0]["line"] == 303
    assert (await _import(sending, text.encode()))[1]["added"] == 0
    exported = await _export(sending)
    assert sorted(line.split(",")[0] for line in exported[1:]) == numbers
    assert exported[0] == "phone,source,reason,opted_out_at,opted_out_by,reply"
    assert all(",import,'=SUM(1)," in line for line in exported[1:])
    assert (await _import(sending, b"name,age\nAda,36\n"))[1]["code"] == "missing_column"


async def test_intents_go_between_the_chunks_of_an_import(sending: World) -> None:
    numbers = [sending.number() for _ in range(3000)]
    importing = asyncio.create_task(_import(sending, "phone\n" + "\n".join(numbers)))
    taken = 0
    while not importing.done():
        async with sending.database.transaction():
            await sending.database.fetch(load_queries("dispatcher").lock_for_intents)
        taken += 1
        await asyncio.sleep(0.001)
    assert (await importing)[1]["added"] == 3000
    rows = await sending.database.fetch(
        "SELECT count(*) AS size FROM opt_outs WHERE account_id = $1 GROUP BY xmin::text", sending.account_id
    )
    assert max(row["size"] for row in rows) <= chunk.LARGEST
    assert taken > len(rows) / 2, "whoever wants the lock gets it between two chunks"


async def _import(world: World, data: object) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {world.tokens[Role.MANAGER]}", "Content-Type": "text/csv"}
    url = f"{world.stack.url}/api/v1/opt-outs/import"
    async with world.http.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def _export(world: World) -> list[str]:
    headers = {"Authorization": f"Bearer {world.tokens[Role.AUDITOR]}"}
    async with world.http.get(f"{world.stack.url}/api/v1/opt-outs/export.csv", headers=headers) as answer:
        return (await answer.text()).splitlines()
