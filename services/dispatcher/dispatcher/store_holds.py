"""Postgres: persons whose messages wait until a human has read what they answered, and what was decided about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kernel.database import Connection, Pool, acting_for, load_queries
from kernel.seal import EVIDENCE, NUMBER, REPLY, Key, unseal
from kernel.vault import Vault

from dispatcher import keywords
from dispatcher.attempt import SERVICE
from dispatcher.heard import Heard
from dispatcher.keywords import Verdict
from dispatcher.store import FIRST_ID

q = load_queries("dispatcher", "holds.sql")


class Decision(StrEnum):
    """What became of a hold: a human's decision, or what settled it by itself."""

    RELEASED = "released"
    OPTED_OUT = "opted_out"
    STOPPED = "stopped"  # the person said STOP, to us or to the carrier
    CAME_BACK = "came_back"  # the person said START
    ERASED = "erased"


async def follow(connection: Connection, replies: Iterable[Heard]) -> None:
    """Holds whom the replies say to hold, in their order, after what they say of opt-outs is in force.

    STOP has ended a hold, for it opts out. START ends it, too: it says that the person wants texts; a "yes" does not.
    """
    last: dict[str, Heard | None] = {}
    back: dict[str, Decision] = {}
    at = datetime.now(UTC)
    for heard in replies:
        at = heard.at
        if heard.verdict == Verdict.HOLD:
            last[heard.person_id] = heard
        elif heard.verdict == Verdict.STOP:
            last[heard.person_id] = None
        elif heard.verdict == Verdict.START and keywords.settles(heard.body):
            last[heard.person_id], back[heard.person_id] = None, Decision.CAME_BACK
    if back:
        await settle(connection, back, at)
    held = [heard for heard in last.values() if heard is not None]
    if held:
        await connection.execute(
            q.hold_persons,
            [heard.person_id for heard in held],
            [heard.account_id for heard in held],
            [heard.at for heard in held],
            [heard.carrier_message_id for heard in held],
        )


async def settle(
    connection: Connection, settled: Mapping[str, Decision], at: datetime, decided_by: str = SERVICE
) -> None:
    """Ends the holds of these persons, of whom some may not be held; their messages are looked at again."""
    rows = await connection.fetch(q.end_holds, sorted(settled))
    if rows:
        await decided(connection, rows, settled, "", decided_by, at)


async def decided(
    connection: Connection, rows: Sequence[Any], decisions: Mapping[str, Decision], reason: str, by: str, at: datetime
) -> None:
    """Records what became of holds that have been ended, and wakes the messages."""
    people = [row["person_id"] for row in rows]
    await connection.execute(
        q.insert_hold_decisions,
        people,
        [row["account_id"] for row in rows],
        [row["reply"] for row in rows],
        [row["held_at"] for row in rows],
        [decisions[person_id] for person_id in people],
        [reason] * len(rows),
        [by] * len(rows),
        [at] * len(rows),
    )
    await connection.execute(q.wake_persons, people, at)


async def held_for(pool: Pool, account_id: str, person_id: str) -> str | None:
    """The reply for which an account's person is held."""
    async with acting_for(pool, account_id) as connection:
        row = await connection.fetchrow(q.find_hold, person_id, account_id)
    return row["reply"] if row else None


async def page(pool: Pool, vault: Vault, account_id: str, after: str | None, limit: int) -> list[dict[str, Any]]:
    """The account's holds in the order of person_id, each with the reply that asks for a human."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.list_holds, account_id, after or FIRST_ID, limit)
    keys = await vault.keys(row["person_id"] for row in rows)
    return [_shown(row, keys.get(row["person_id"])) for row in rows]


def _shown(row: Any, key: Key | None) -> dict[str, Any]:
    return {
        "person_id": row["person_id"],
        "phone": unseal(key, NUMBER, row["number"]),
        "sender": row["sender"],
        "held_at": row["held_at"],
        "reply": row["reply"],
        "body": unseal(key, REPLY, row["body"]),
        "received_at": row["received_at"],
        "waiting": row["waiting"],
    }


async def of_person(connection: Connection, key: Key | None, account_id: str, person_id: str) -> dict[str, Any]:
    """Whether a person is held, and what was decided before; `reason` is None for who was erased."""
    hold = await connection.fetchrow(q.hold_of_person, person_id, account_id)
    decisions = await connection.fetch(q.hold_decisions_of_person, person_id, account_id)
    return {
        "hold": dict(hold) if hold else None,
        "hold_decisions": [{**dict(row), "reason": unseal(key, EVIDENCE, row["reason"])} for row in decisions],
    }
