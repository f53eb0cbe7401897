"""Postgres: what replies were answered with, and the answers that are texts of their own."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kernel.database import Connection, Pool, load_queries
from kernel.seal import NUMBER, unseal
from kernel.vault import Vault

from dispatcher import notice
from dispatcher.heard import Heard
from dispatcher.keywords import Verdict
from dispatcher.notice import Kind, State, Texts, Way
from dispatcher.store import q as queries

q = load_queries("dispatcher", "notices.sql")


@dataclass(frozen=True, slots=True)
class Notice:
    """Licence for one POST of an answer."""

    carrier_message_id: str
    number: str
    sender: str
    kind: Kind


async def answer(connection: Connection, replies: Sequence[Heard], changed: AbstractSet[str | None]) -> None:
    """Decides what these new replies are answered with, for good; `changed` are those that opted somebody out or in.

    In the transaction of the replies, after what they say is in force.
    """
    asked = [reply for reply in replies if reply.verdict in (Verdict.STOP, Verdict.START, Verdict.HELP)]
    if not asked:
        return
    out = await _opted_out(connection, {reply.person_id for reply in asked})
    answers: list[tuple[Heard, Kind]] = []
    for reply in asked:
        is_new, is_out = reply.carrier_message_id in changed, reply.person_id in out
        kind = notice.answer(reply.verdict, reply.way, changed=is_new, opted_out=is_out)
        if kind is not None:
            answers.append((reply, kind))
    if answers:
        await _note(connection, answers)


async def _opted_out(connection: Connection, people: AbstractSet[str]) -> set[str]:
    rows = await connection.fetch(queries.read_opt_outs, sorted(people))
    return {row["person_id"] for row in rows if row["in_force"]}


async def _note(connection: Connection, answers: Sequence[tuple[Heard, Kind]]) -> None:
    ids, kinds = [reply.carrier_message_id for reply, _ in answers], [kind for _, kind in answers]
    await connection.execute(q.note_answers, ids, kinds)
    texts = [(reply, kind) for reply, kind in answers if reply.way == Way.TEXT]
    if texts:
        await connection.execute(
            q.insert_notices,
            [reply.carrier_message_id for reply, _ in texts],
            [reply.account_id for reply, _ in texts],
            [reply.person_id for reply, _ in texts],
            [reply.number for reply, _ in texts],
            [reply.sender for reply, _ in texts],
            [kind for _, kind in texts],
            [reply.at for reply, _ in texts],
        )


async def answer_of(pool: Pool, carrier_message_id: str, now: datetime) -> Kind | None:
    """What a reply was answered with when it came first; None when that is too long ago to say it once more."""
    kind = await pool.fetchval(q.answer_of, carrier_message_id, now - notice.LATEST)
    return Kind(kind) if kind else None


async def any_open(pool: Pool) -> bool:
    """Whether any answer waits, or is on its way."""
    return bool(await pool.fetchval(q.any_notices))


async def take(connection: Connection, vault: Vault, texts: Texts, now: datetime, limit: int) -> list[Notice]:
    """Answers to POST now, marked so: the caller commits before the first byte leaves. Holds `lock_for_intents`."""
    await connection.fetch(queries.lock_for_intents)
    rows = await connection.fetch(q.take_notices, now, limit)
    keys = await vault.keys(row["person_id"] for row in rows)
    taken: list[Notice] = []
    moves: dict[str, State] = {}
    for row in rows:
        kind, number = Kind(row["kind"]), unseal(keys.get(row["person_id"]), NUMBER, row["number"])
        state = notice.may_go(kind, row["made_at"], now, opted_out=row["opted_out"],
                              erased=row["erased"] or number is None, has_words=bool(texts.of(kind)))  # fmt: skip
        moves[row["carrier_message_id"]] = state
        if state == State.POSTING and number is not None:
            taken.append(Notice(row["carrier_message_id"], number, row["sender"], kind))
    if moves:
        await move(connection, moves, now)
    return taken


async def move(
    source: Pool | Connection, moves: Mapping[str, State], now: datetime, not_before: datetime | None = None
) -> None:
    """Where these answers stand now, by the id of the reply."""
    ids = sorted(moves)
    await source.execute(q.move_notices, ids, [moves[id_] for id_ in ids], now, [not_before] * len(ids))


async def give_up(pool: Pool, posted_before: datetime) -> None:
    """Answers whose process died, or never learned what became of the POST: nobody sends them again."""
    await pool.execute(q.give_up_notices, posted_before)


async def of_person(connection: Connection, account_id: str, person_id: str) -> list[dict[str, Any]]:
    """The answers a person got as texts, or did not get."""
    return [dict(row) for row in await connection.fetch(q.notices_of_person, person_id, account_id)]
