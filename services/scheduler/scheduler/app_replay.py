"""The state once more, of the log: who was SENT and has not left is held."""

import struct

import orjson
from kernel.database import Connection, Pool, Row, load_queries
from kernel.offsets import Position
from kernel.received import Received
from kernel.replay import Rebuilt
from kernel.replay_facts import Facts, Rows
from kernel.replay_log import Records
from kernel.replay_tables import LONG_S, keep_first

from scheduler.app import TOPICS
from scheduler.app_rebuild import OWN
from scheduler.release import released
from scheduler.store import message_of, record
from schemas.codec import first_bytes
from schemas.events import CampaignEnded, ClockAdvanced, MessageReleased, RecipientProcessed

q = load_queries("scheduler", "replay.sql")

FIRST_ID = "00000000-0000-0000-0000-000000000000"
OPERATIONAL = {"held.seq", "held.event", "folded", "gone"}


class Fold:
    """Of `releases` the keys are enough, as in a rebuild: whoever is in it has left.

    Whether a message was to be released or dropped, and when, is no matter here: until it has left it is held, and one
    that was neither held nor let go shows as a row that is missing.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._facts = Facts(pool, q.make, self._note, self._finish)
        self._again: dict[str, int] | None = None

    @property
    def stopped(self) -> dict[Position, int]:
        return self._facts.stopped

    async def begin(self, connection: Connection) -> None:
        await self._facts.begin(connection)

    async def apply(self, records: Records) -> None:
        keys = [r.key.decode() for p, found in records.items() if p[0] == OWN for r in found if r.key is not None]
        if keys:
            async with self._pool.acquire() as connection:
                await connection.copy_records_to_table("gone", records=[(key,) for key in keys])
        inputs = {position: found for position, found in records.items() if position[0] != OWN}
        if inputs:
            await self._facts.apply(inputs)

    async def finish(self, connection: Connection) -> None:
        await self._facts.finish(connection)

    async def _note(self, connection: Connection, batch: list[Received]) -> Rows:
        rows = [("ended_campaigns", _end(r.event, r.offset)) for r in batch if isinstance(r.event, CampaignEnded)]
        rows += [("clocks", _reading(r.event, r.offset)) for r in batch if isinstance(r.event, ClockAdvanced)]
        presses = [(r.event, r.offset) for r in batch if isinstance(r.event, RecipientProcessed)]
        if presses:
            gone = await self._gone(connection, [press.recipient_id for press, _ in presses])
            rows += [("held", _held(press, at)) for press, at in presses if press.recipient_id not in gone]
        return rows

    async def _gone(self, connection: Connection, recipient_ids: list[str]) -> set[str]:
        """Who is not held. A press that is in the log twice is held again when its message had left before it came the
        second time, until that has left, too: so of who left and is held now, only the first press counts as gone."""
        if self._again is None:
            await connection.execute(q.index_gone, timeout=LONG_S)
            self._again = {row["recipient_id"]: 0 for row in await connection.fetch(q.held_again, timeout=LONG_S)}
        gone = {row["recipient_id"] for row in await connection.fetch(q.gone, recipient_ids)}
        for recipient_id in recipient_ids if self._again else ():
            if recipient_id in self._again:
                self._again[recipient_id] += 1
                if self._again[recipient_id] > 1:
                    gone.discard(recipient_id)
        return gone

    async def _finish(self, connection: Connection) -> None:
        await _as_today(connection)
        await keep_first(connection, "held", "recipient_id")
        await connection.execute(q.count_held, timeout=LONG_S)
        await keep_first(connection, "ended_campaigns", "campaign_id")
        await keep_first(connection, "clocks", "at")
        await connection.execute(q.watermark, timeout=LONG_S)
        await connection.execute(q.forget_clocks, timeout=LONG_S)


def _end(event: CampaignEnded, offset: int) -> tuple[object, ...]:
    return event.campaign_id, event.ended_at, event.scheduled_for, event.event_id, offset


def _reading(event: ClockAdvanced, offset: int) -> tuple[object, ...]:
    return event.at, orjson.dumps(event.campaigns_offsets).decode(), offset


def _held(press: RecipientProcessed, offset: int) -> tuple[object, ...]:
    return press.recipient_id, press.campaign_id, press.due_at, record(released(press)), offset


async def _as_today(connection: Connection) -> None:
    """What versions before this one held is compared as what is held of it today."""
    after, begins = FIRST_ID, first_bytes(MessageReleased)
    while rows := await connection.fetch(q.old, after, begins):
        after = rows[-1]["recipient_id"]
        ready = [(row["recipient_id"], made) for row in rows if (made := _ready(row)) is not None]
        await connection.execute(q.make_ready, [id_ for id_, _ in ready], [made for _, made in ready])


def _ready(row: Row) -> bytes | None:
    try:
        return record(message_of(row))
    except (ValueError, AssertionError, struct.error):  # somebody changed it: it differs
        return None


REBUILT = Rebuilt("scheduler", Fold, inputs=TOPICS, own=(OWN,), operational=frozenset(OPERATIONAL))
