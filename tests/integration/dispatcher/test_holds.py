"""Who answers something hostile or unclear is held until a manager has decided; nobody else's messages wait."""

import asyncio
from typing import Any

from kernel.seal import is_sealed
from kernel.tokens import Role

from tests.integration.dispatcher.world import World, eventually


async def held(world: World) -> list[dict[str, Any]]:
    status, page = await world.call("GET", "/holds")
    assert status == 200
    found: list[dict[str, Any]] = page["holds"]
    return found


async def decide(world: World, number: str, decision: str, **more: str) -> tuple[int, dict[str, Any]]:
    asked = {"decision": decision, "reason": "I have read it", **more}
    return await world.call("POST", f"/holds/{world.person(number)}", json=asked)


async def person(world: World, number: str) -> dict[str, Any]:
    return (await world.call("GET", f"/persons/{world.person(number)}"))[1]


async def test_an_unclear_reply_holds_its_person_when_it_is_answered(sending: World) -> None:
    number = sending.number()
    assert await sending.replies(number, "wrong number", message_id="SM1" + sending.campaign_id) == 200
    [hold] = await held(sending)
    assert (hold["person_id"], hold["phone"], hold["body"]) == (sending.person(number), number, "wrong number")
    assert (hold["reply"], hold["waiting"], hold["sender"]) == ("SM1" + sending.campaign_id, 0, sending.sender)
    assert (await person(sending, number))["hold"]["reply"] == hold["reply"]
    _, page = await sending.call("GET", "/replies", params={"verdict": "hold"})
    assert [reply["body"] for reply in page["replies"]] == ["wrong number"]
    assert (await sending.call("GET", "/replies", params={"verdict": "stop"}))[1]["replies"] == []


async def test_a_manager_releases_a_person_and_it_is_recorded_sealed(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "I will sue you")
    status, answer = await decide(sending, number, "release")
    assert (status, answer["decision"]) == (200, "released")
    assert await held(sending) == []
    [decision] = (await person(sending, number))["hold_decisions"]
    assert (decision["decision"], decision["reason"], decision["decided_by"]) == (
        "released", "I have read it", "the manager",
    )  # fmt: skip
    stored = await sending.database.fetchval(
        "SELECT reason FROM hold_decisions WHERE person_id = $1", sending.person(number)
    )
    assert is_sealed(stored)
    assert (await decide(sending, number, "release"))[0] == 404
    assert await sending.log("opt-outs") == []


async def test_a_release_wakes_the_messages_that_wait(sending: World) -> None:
    """As `take_messages` leaves them waiting: for the hold, with a time to come."""
    number = sending.number()
    await sending.replies(number, "who gave you my number")
    await sending.faults(throttle_per_s=0)
    await sending.publish(sending.released(number))

    async def waits() -> bool:
        sql = (
            "UPDATE queue SET not_before = now() + interval '1 hour'"
            " WHERE recipient_id = $1 AND why = 'hold' RETURNING true"
        )
        return bool(await sending.database.fetchval(sql, sending.rid(number)))

    await eventually(waits, lambda: "it waits")
    await sending.faults()
    assert [hold["waiting"] for hold in await held(sending)] == [1]
    assert (await decide(sending, number, "release"))[0] == 200
    await sending.told(number, until="MessageDelivered")


async def test_a_manager_opts_a_held_person_out_and_the_reply_is_the_evidence(sending: World) -> None:
    number, reply = sending.number(), "SM2" + sending.campaign_id
    await sending.replies(number, "not interested", message_id=reply)
    status, answer = await decide(sending, number, "opt_out", reply=reply)
    assert (status, answer["decision"], await held(sending)) == (200, "opted_out", [])
    [opted_out] = (await sending.opt_outs(number))[1]["opt_outs"]
    assert (opted_out["source"], opted_out["reason"], opted_out["opted_out_by"], opted_out["reply"]) == (
        "manual", "I have read it", "the manager", reply,
    )  # fmt: skip
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageSuppressed")
    assert await sending.posts(number) == 0


async def test_nothing_is_decided_about_a_reply_that_is_not_the_last(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "wrong number", message_id="SM3" + sending.campaign_id)
    await sending.replies(number, "I know where you live", message_id="SM4" + sending.campaign_id)
    status, answer = await decide(sending, number, "release", reply="SM3" + sending.campaign_id)
    assert (status, answer["code"]) == (409, "hold_changed")
    assert [hold["body"] for hold in await held(sending)] == ["I know where you live"]


async def test_the_person_settles_it_with_stop_or_start_but_not_with_yes(sending: World) -> None:
    stops, starts, nods = sending.number(), sending.number(), sending.number()
    for number in (stops, starts, nods):
        await sending.replies(number, "wrong number")
    await sending.replies(stops, "STOP")
    await sending.replies(starts, "START")
    await sending.replies(nods, "yes")
    assert [hold["phone"] for hold in await held(sending)] == [nods]
    assert [(await person(sending, n))["hold_decisions"][0]["decision"] for n in (stops, starts)] == [
        "stopped", "came_back",
    ]  # fmt: skip
    assert (await person(sending, stops))["opt_out"]["in_force"]


async def test_who_is_opted_out_otherwise_is_held_no_more(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "wrong number")
    assert (await sending.call("POST", "/opt-outs", json={"phone": number, "reason": "she called"}))[0] == 201
    found = await person(sending, number)
    assert (found["hold"], found["hold_decisions"][0]["decision"]) == (None, "opted_out")
    assert found["hold_decisions"][0]["decided_by"] == "the manager"


async def test_who_has_opted_out_is_not_held(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "stop")
    await sending.replies(number, "I will sue you")
    assert await held(sending) == []


async def test_an_unclear_reply_before_its_campaign_is_known_holds_when_it_is(world: World) -> None:
    number = world.number()
    assert await world.replies(number, "wrong number") == 200
    await world.publish(world.created())
    for _ in range(100):
        if found := await held(world):
            break
        await asyncio.sleep(0.1)
    assert [hold["phone"] for hold in found] == [number]


async def test_an_erasure_ends_a_hold(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "he died")
    assert (await sending.call("POST", f"/persons/{sending.person(number)}/erasure", json={"reason": "asked"}))[
        0
    ] == 200
    assert await held(sending) == []
    found = await person(sending, number)
    assert (found["hold"], found["hold_decisions"][0]["decision"]) == (None, "erased")


async def test_holds_are_decided_by_managers_and_each_account_has_its_own(sending: World) -> None:
    number = sending.number()
    await sending.replies(number, "wrong number")
    other = World(sending.stack, sending.http, sending.database, sending.vault)
    path, asked = f"/holds/{sending.person(number)}", {"decision": "release", "reason": "why not"}
    assert (await sending.call("GET", "/holds", role=Role.SENDER))[0] == 403
    assert (await sending.call("GET", "/holds", role=Role.AUDITOR))[0] == 200
    assert await held(other) == []
    assert (await sending.call("POST", path, role=None, json=asked))[0] == 401
    assert (await other.call("POST", path, json=asked))[0] == 404
    assert (await sending.call("POST", path, role=Role.AUDITOR, json=asked))[0] == 403
    for wrong in ({}, {"decision": "release"}, {**asked, "reason": " "}, {**asked, "decision": "erase"}):
        assert (await sending.call("POST", path, json=wrong))[0] == 422
    assert (await sending.call("POST", "/holds/nobody", json=asked))[0] == 404
    assert len(await held(sending)) == 1
    await other.close()
