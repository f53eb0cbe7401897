"""Persons who are erased: nothing more is sent to them, nothing of them is readable, and they stay opted out."""

import asyncio
import uuid
from typing import Any

from kernel.seal import is_sealed
from kernel.tokens import Role
from kernel.vault import Kind

from tests.integration.dispatcher.world import World, eventually


async def erase(world: World, number: str, role: Role | None = Role.MANAGER) -> tuple[int, dict[str, Any]]:
    path = f"/persons/{world.person(number)}/erasure"
    return await world.call("POST", path, role, json={"reason": "they asked us to"})


async def test_an_erased_person_is_not_texted_although_the_release_was_sealed_before(sending: World) -> None:
    number = sending.number()
    released = await sending.sealed(sending.released(number))
    status, answer = await erase(sending, number)
    assert (status, answer["finished"], answer["reason"]) == (200, True, "they asked us to")
    await sending.publish(released)
    assert await sending.told(number, until="MessageSuppressed") == [["MessageSuppressed"]]
    [suppressed] = await sending.log("dispatches")
    assert (suppressed.reason, suppressed.opted_out_at) == ("person_erased", None)
    assert await sending.posts(number) == 0
    [erased] = await sending.log("opt-outs")
    assert (type(erased).__name__, erased.person_id, erased.key_id) == (
        "PersonErased", sending.person(number), answer["key_id"],
    )  # fmt: skip


async def test_erasures_among_intents_are_wholly_before_or_after_them(sending: World) -> None:
    numbers = [sending.number() for _ in range(40)]
    releases = await sending.all_sealed(*map(sending.released, numbers))
    answers = asyncio.gather(*(erase(sending, number) for number in numbers))
    await sending.publish(*releases)
    assert {status for status, _ in await answers} == {200}
    await eventually(lambda: _decided(sending, numbers), lambda: "each is suppressed or attempted")
    erased_at = {e.person_id: e.occurred_at for e in await sending.log("opt-outs")}
    attempted = {e.person_id for e in await sending.log("dispatches") if type(e).__name__ == "SendAttempted"}
    for number in numbers:
        assert await sending.posts(number) == (1 if sending.person(number) in attempted else 0)
    assert len(erased_at) == len(numbers)


async def _decided(world: World, numbers: list[str]) -> bool:
    return all(await world.told(*numbers))


async def test_nothing_readable_is_left_and_a_repeat_is_nothing(sending: World) -> None:
    number = sending.number()
    await sending.publish(sending.released(number, "a secret text"))
    await sending.told(number, until="MessageDelivered")
    assert await sending.replies(number, "who is this?") == 200
    _, held = await sending.call("GET", f"/persons/{sending.person(number)}")
    assert (held["messages"][0]["text"], held["messages"][0]["attempts"][0]["state"]) == ("a secret text", "delivered")
    assert held["replies"][0]["body"] == "who is this?" and held["callbacks"]
    assert number.removeprefix("+") in held["callbacks"][0]["form"]
    first, second = await erase(sending, number), await erase(sending, number)
    assert first == second
    _, held = await sending.call("GET", f"/persons/{sending.person(number)}")
    assert (held["messages"][0]["number"], held["messages"][0]["text"]) == (None, None)
    assert (held["replies"][0]["phone"], held["replies"][0]["body"], held["callbacks"]) == (None, None, [])
    assert held["messages"][0]["attempts"][0]["state"] == "delivered"
    assert [erasure["reason"] for erasure in held["erasures"]] == ["they asked us to"]
    assert len(await sending.log("opt-outs")) == 1
    assert await sending.database.fetchval(
        "SELECT reason FROM vault.destroyed WHERE subject_id = $1", sending.person(number)
    )


async def test_a_receipt_after_the_erasure_counts_and_leaves_no_number(sending: World) -> None:
    await sending.faults(receipts={"delay_ms": 2500})
    number = sending.number()
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageAccepted")
    assert (await erase(sending, number))[1]["finished"]
    await sending.told(number, until="MessageDelivered")
    _, held = await sending.call("GET", f"/persons/{sending.person(number)}")
    assert held["callbacks"] and {callback["form"] for callback in held["callbacks"]} == {""}


async def test_an_opt_out_survives_and_whoever_comes_back_is_still_out(sending: World) -> None:
    number = sending.number()
    assert await sending.replies(number, "STOP") == 200
    await erase(sending, number)
    _, page = await sending.call("GET", "/opt-outs", params={"limit": "500"})
    [shown] = [found for found in page["opt_outs"] if found["person_id"] == sending.person(number)]
    assert (shown["phone"], shown["reason"], shown["source"]) == (None, None, "reply")
    export = f"{sending.stack.url}/api/v1/opt-outs/export.csv"
    async with sending.http.get(export, headers=sending.headers(Role.MANAGER)) as answer:
        assert (answer.status, (await answer.text()).splitlines()) == (
            200,
            ["phone,source,reason,opted_out_at,opted_out_by,reply"],
        )
    await sending.publish(sending.released(number))  # an import of the same number: a new key
    assert await sending.told(number, until="MessageSuppressed") == [["MessageSuppressed"]]
    [suppressed] = await sending.log("dispatches")
    assert suppressed.reason == "opted_out"


async def test_whoever_comes_back_without_an_opt_out_is_texted(sending: World) -> None:
    number = sending.number()
    await sending.sealed(sending.released(number))
    await erase(sending, number)
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageDelivered")
    assert await sending.posts(number) == 1


async def test_only_a_manager_of_the_account_erases(sending: World) -> None:
    number = sending.number()
    await sending.sealed(sending.released(number))
    assert [(await erase(sending, number, role))[0] for role in (None, Role.SENDER, Role.AUDITOR)] == [401, 403, 403]
    stranger = World(sending.stack, sending.http, sending.database, sending.vault)
    path = f"/persons/{sending.person(number)}"
    assert (await stranger.call("POST", f"{path}/erasure", json={"reason": "x"}))[0] == 404
    assert (await stranger.call("GET", path))[0] == 404
    assert (await sending.call("POST", f"{path}/erasure", json={"reason": " "}))[0] == 422
    assert (await sending.call("POST", f"/persons/{uuid.uuid4()}/erasure", json={"reason": "x"}))[0] == 404
    await sending.vault.keys_for({sending.campaign_id: sending.account_id}, Kind.CAMPAIGN)
    assert (await sending.call("POST", f"/persons/{sending.campaign_id}/erasure", json={"reason": "x"}))[0] == 404
    await stranger.close()


async def test_an_erasure_that_was_cut_off_is_finished_by_whoever_starts_next(sending: World) -> None:
    number = sending.number()
    await sending.sealed(sending.released(number))
    person = sending.person(number)
    key_id = (await sending.vault.keys([person]))[person].key_id
    await sending.database.execute(  # as a process leaves it that dies between the two commits
        """INSERT INTO erased (person_id, key_id, account_id, erased_at, erased_by, event_id, reason)
           VALUES ($1, $2, $3, now(), 'u', gen_random_uuid(), 'a wish')""",
        person, key_id, sending.account_id,
    )  # fmt: skip
    sending.stack.dispatcher.stop()
    sending.stack.dispatcher.start()

    async def gone() -> bool:
        return person not in await sending.vault.keys([person])

    await eventually(gone, lambda: "the key is destroyed")


async def test_a_missing_key_loses_nobody(sending: World) -> None:
    number = sending.number()
    released = await sending.sealed(sending.released(number))
    kept = await sending.database.fetchrow(
        "DELETE FROM vault.keys WHERE subject_id = $1 RETURNING *", released.person_id
    )
    await sending.publish_as_they_are(released)

    async def waits() -> bool:
        return bool(await sending.database.fetchval("SELECT not_before FROM queue WHERE recipient_id = $1",
                                                    sending.rid(number)))  # fmt: skip

    await eventually(waits, lambda: "it waits for its key")
    assert await sending.told(number) == [[]]
    await sending.database.execute("INSERT INTO vault.keys SELECT * FROM unnest($1::vault.keys[])", [tuple(kept)])
    await sending.database.execute("UPDATE queue SET not_before = now() WHERE recipient_id = $1", sending.rid(number))
    await sending.told(number, until="MessageDelivered")


async def test_what_version_0_1_0_released_is_sent_as_it_is(sending: World) -> None:
    number = sending.number()
    await sending.publish_as_they_are(sending.released(number, "a plain text"))
    await sending.told(number, until="MessageDelivered")
    assert [line["body"] for line in await sending.ledger(number)] == ["a plain text"]


async def test_no_table_and_no_event_holds_a_number_or_a_word(sending: World) -> None:
    number = sending.number()
    await sending.publish(sending.released(number, "quite a secret text"))
    await sending.told(number, until="MessageDelivered")
    assert await sending.replies(number, "  Unsubscribe !!") == 200
    tables = await sending.database.fetch(
        """SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
            WHERE table_schema IN ('dispatcher', 'vault') AND table_type = 'BASE TABLE'"""
    )
    secrets = [number.removeprefix("+"), "secret text", "Unsubscribe"]
    secrets += [secret.encode().hex() for secret in secrets]
    for (table,) in tables:
        for (row,) in await sending.database.fetch(f"SELECT t::text FROM {table} t"):
            assert not [secret for secret in secrets if secret in row], table
    [stopped] = [e for e in await sending.log("opt-outs") if type(e).__name__ == "PersonOptedOut"]
    assert is_sealed(stopped.number) and is_sealed(stopped.evidence)
    assert await sending.opened(stopped) == (number, "  Unsubscribe !!")
