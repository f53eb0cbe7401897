"""Postgres: persons whose messages wait until a human has read what they answered, and what was decided about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kernel.database import Connection, Pool, acting_for, load_queries
from kernel.outbox import Outbox
from kernel.seal import EVIDENCE, NUMBER, REPLY, Key, unseal
from kernel.vault import Vault

from dispatcher import keywords
from dispatcher.attempt import SERVICE
from dispatcher.heard import Heard
from dispatcher.keywords import Verdict
from dispatcher.store import q as queries
from dispatcher.store_opt_outs import FIRST_ID, Word, change_opt_outs
from schemas.reasons import OptOutSource

q = load_queries("dispatcher", "holds.sql")


class Decision(StrEnum):
    """What became of a hold: a human's decision, or what settled it by itself."""

    RELEASED = "released"
    OPTED_OUT = "opted_out"
    STOPPED = "stopped"  # the person said STOP
    CAME_BACK = "came_back"  # the person said START
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A manager decides about a person who is held, in answer to `reply`."""

    account_id: str
    person_id: str
    reply: str
    decision: Decision
    reason: str
    decided_by: str
    at: datetime


async def follow(connection: Connection, replies: Iterable[Heard]) -> None:
    """Holds whom the replies say to hold, in their order. The caller's transaction holds `lock_for_opt_outs`.

    STOP ends a hold, for it opts out; so does START, which says that the person wants texts, but not a "yes".
    """
    last: dict[str, Heard | None] = {}
    settled: dict[str, Decision] = {}
    at = datetime.now(UTC)
    for said in replies:
        at = said.at
        if said.verdict == Verdict.HOLD:
            last[said.person_id] = said
        elif said.verdict == Verdict.STOP or (said.verdict == Verdict.START and keywords.settles(said.body)):
            last[said.person_id] = None
            settled[said.person_id] = Decision.STOPPED if said.verdict == Verdict.STOP else Decision.CAME_BACK
    if settled:
        await settle(connection, settled, at)
    held = [said for said in last.values() if said is not None]
    if held:
        await connection.execute(
            q.hold_persons,
            [said.person_id for said in held],
            [said.account_id for said in held],
            [said.at for said in held],
            [said.carrier_message_id for said in held],
        )


async def settle(connection: Connection, settled: dict[str, Decision], at: datetime, decided_by: str = SERVICE) -> None:
    """Ends the holds of these persons, of whom some may not be held; their messages are looked at again."""
    rows = await connection.fetch(q.end_holds, sorted(settled))
    if rows:
        await _decided(connection, rows, settled, "", decided_by, at)


async def _decided(
    connection: Connection, rows: Sequence[Any], decisions: dict[str, Decision], reason: str, by: str, at: datetime
) -> None:
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


async def rule(pool: Pool, vault: Vault, ruling: Ruling) -> bool:
    """Ends the hold as the manager says, committed on return: the messages go, or the person is opted out.

    False when the person is not held, or not any more for that reply: another may have come, which nobody has read.
    """
    keys = await vault.keys_for({ruling.person_id: ruling.account_id})
    reason = keys[ruling.person_id].seal(EVIDENCE, ruling.reason)
    outbox = Outbox()
    async with acting_for(pool, ruling.account_id) as connection, connection.transaction():
        if ruling.decision == Decision.OPTED_OUT:
            await connection.fetch(queries.lock_for_opt_outs)
        found = await connection.fetchrow(q.find_hold, ruling.person_id, ruling.account_id)
        held_at = await connection.fetchval(q.end_hold, ruling.person_id, ruling.account_id, ruling.reply)
        if found is None or held_at is None:
            return False
        if ruling.decision == Decision.OPTED_OUT:
            await change_opt_outs(connection, [_word(ruling, found["number"], reason)], outbox)
        row = {"person_id": ruling.person_id, "account_id": ruling.account_id, "reply": ruling.reply}
        await _decided(connection, [{**row, "held_at": held_at}], {ruling.person_id: ruling.decision}, reason,
                       ruling.decided_by, ruling.at)  # fmt: skip
        await outbox.write(connection)
    return True


def _word(ruling: Ruling, number: str, evidence: str) -> Word:
    return Word(
        opted_out=True,
        account_id=ruling.account_id,
        person_id=ruling.person_id,
        number=number,
        source=OptOutSource.REPLY,  # a human has read that the person asked for it: START takes it back
        evidence=evidence,
        actor=ruling.decided_by,
        caused_by=None,
        at=ruling.at,
        reply=ruling.reply,
    )


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
