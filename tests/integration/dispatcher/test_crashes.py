"""Processes that die, freeze or lose Postgres: nobody is texted twice, nobody is lost, few are unknown."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

from tests.integration.dispatcher.world import World, eventually
from tests.integration.process import free_port

CONNECTIONS = 128


async def test_a_killed_dispatcher_leaves_unknown_only_what_was_in_flight(sending: World) -> None:
    # However slow the machine: at the kill the first POSTs have neither an answer nor a receipt that tells the outcome.
    await sending.faults(latency_ms=15_000, receipts={"delay_ms": 15_000})
    numbers = [sending.number() for _ in range(400)]
    await sending.publish(*map(sending.released, numbers))
    await eventually(lambda: _posted(sending, numbers, 100), lambda: "100 are posted")
    sending.stack.dispatcher.stop(signal.SIGKILL)
    await sending.faults(latency_ms=100)
    sending.stack.dispatcher.start()
    await eventually(lambda: _all_delivered(sending, numbers), lambda: "everyone is delivered", patience_s=60)
    stories = await sending.told(*numbers)
    unknown = [story for story in stories if "MessageUnresolved" in story]
    assert 0 < len(unknown) <= CONNECTIONS
    lines = Counter(line["to"] for line in await sending.ledger(*numbers))
    assert set(lines.values()) == {1}


async def test_what_was_committed_and_had_not_left_is_texted_and_nobody_is_unknown(
    sending: World, tmp_path: Path
) -> None:
    doomed = sending.stack.a_dispatcher(free_port(), STEPS_DIR=str(tmp_path))
    sending.stack.dispatcher.stop(signal.SIGKILL)
    numbers = [sending.number() for _ in range(60)]
    try:
        doomed.start()
        (tmp_path / "dispatcher.intent.committed").write_text("KILL")
        await sending.publish(*map(sending.released, numbers))
        await eventually(lambda: _died(tmp_path), lambda: "it dies between its commit and its first POST")
        assert await _posted(sending, numbers, 1) is False
    finally:
        doomed.stop(signal.SIGKILL)
        sending.stack.dispatcher.start()
    stories = await sending.told(*numbers, until="MessageDelivered")
    assert not any("MessageUnresolved" in story for story in stories)
    assert any("SendNotAccepted" in story for story in stories)
    assert Counter(line["to"] for line in await sending.ledger(*numbers)) == Counter(numbers)


async def _died(folder: Path) -> bool:
    return bool(await asyncio.to_thread(lambda: list(folder.glob("dispatcher.intent.committed@*"))))


async def _posted(world: World, numbers: list[str], count: int) -> bool:
    return len(await world.ledger(*numbers)) >= count


async def _all_delivered(world: World, numbers: list[str]) -> bool:
    """Those that were unknown are resolved by their receipts; a POST that never left stays unknown."""
    posted = {world.rid(line["to"]) for line in await world.ledger(*numbers) if line["accepted"]}
    rows = await world.database.fetch(
        """SELECT recipient_id::text AS rid, state FROM messages JOIN attempts USING (recipient_id)
            WHERE campaign_id = $1""",
        world.campaign_id,
    )
    states = {row["rid"]: row["state"] for row in rows if row["state"] != "refused"}
    return len(states) == len(numbers) and all(
        states[rid] == ("delivered" if rid in posted else "unknown") for rid in map(world.rid, numbers)
    )


async def test_a_frozen_dispatcher_loses_its_attempts_to_another_and_stays_harmless(sending: World) -> None:
    await sending.faults(latency_ms=300, receipts={"silent": 1})
    frozen = await _owners(sending)
    other = sending.stack.a_dispatcher(free_port()).start()
    numbers = [sending.number() for _ in range(30)]
    try:
        await sending.publish(*map(sending.released, numbers))
        await eventually(lambda: _posted(sending, numbers, 5), lambda: "some are posted")
        sending.stack.dispatcher.send(signal.SIGSTOP)
        await _end_sessions(sending, frozen)  # what Postgres does by itself after 10 s of silence
        await eventually(lambda: _none_open(sending), lambda: "nothing is open")
        sending.stack.dispatcher.send(signal.SIGCONT)
        await eventually(lambda: _known(sending, len(numbers)), lambda: "the woken process tells what it saw")
    finally:
        sending.stack.dispatcher.send(signal.SIGCONT)
        other.stop(signal.SIGKILL)
    lines = Counter(line["to"] for line in await sending.ledger(*numbers))
    assert lines == Counter(numbers)


async def _end_sessions(world: World, owners: set[int]) -> None:
    await world.database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objsubid = 2 AND granted AND objid::int = ANY($1)",
        list(owners),
    )


async def _none_open(world: World) -> bool:
    return bool(await world.database.fetchval("SELECT count(*) = 0 FROM in_flight"))


async def _known(world: World, count: int) -> bool:
    found = await world.database.fetchval(
        """SELECT count(*) FROM attempts JOIN messages USING (recipient_id)
            WHERE campaign_id = $1 AND state IN ('accepted', 'unknown')""",
        world.campaign_id,
    )
    return bool(found == count)


async def test_a_stopped_dispatcher_finishes_what_it_took(sending: World) -> None:
    await sending.faults(latency_ms=500)
    numbers = [sending.number() for _ in range(200)]
    await sending.publish(*map(sending.released, numbers))
    await eventually(lambda: _posted(sending, numbers, 10), lambda: "some are posted")
    stopped = asyncio.to_thread(sending.stack.dispatcher.stop, signal.SIGTERM)
    assert await stopped == 0
    assert await _none_open(sending)
    assert await sending.database.fetchval("SELECT count(*) FROM attempts WHERE state = 'unknown'") in (0, None)
    sending.stack.dispatcher.start()
    stories = await sending.told(*numbers, until="MessageAccepted")
    assert not any("MessageUnresolved" in story for story in stories)


async def test_a_lost_owner_session_means_a_new_number_and_no_unknowns(sending: World) -> None:
    await sending.faults(latency_ms=300)
    before = await _owners(sending)
    numbers = [sending.number() for _ in range(20)]
    await sending.publish(*map(sending.released, numbers))
    await eventually(lambda: _posted(sending, numbers, 5), lambda: "some are posted")
    await _end_sessions(sending, before)
    stories = await sending.told(*numbers, until="MessageAccepted")
    assert not any("MessageUnresolved" in story for story in stories)
    await eventually(lambda: _has_another(sending, before), lambda: "another owner")


async def _owners(world: World) -> set[int]:
    rows = await world.database.fetch("SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")
    return {row["objid"] for row in rows}


async def _has_another(world: World, before: set[int]) -> bool:
    owners = await _owners(world)
    return bool(owners) and not owners & before
