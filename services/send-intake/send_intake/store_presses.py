"""Presses of SEND, gathered for at most a few milliseconds into one transaction: one commit serves many hands.

No batch waits for a campaign's lock, or the END of one campaign would hold up everybody's presses. Those of a campaign
that is being ended are set aside, queue for its lock behind the END, and come back.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kernel import database
from kernel.database import Connection, Pool, Row, acting_for
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.vault import Vault

from send_intake.admission import Campaign, Press, Processed, Refused, Sealed, Standing, processed_event, refuse
from send_intake.store import q
from send_intake.store_sealed import to_press
from send_intake.store_senders import Overtaken, Pressed, senders_of

Answer = Processed | Refused

GATHER_S = 0.004
MAX_BATCH = 500
FLUSHERS = 2  # while one commits, the other gathers
QUEUERS = 4  # campaigns being ended whose locks are queued for at the same time
TRIES = 5


@dataclass
class _Waiting:
    press: Press
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


async def open_pool(database_url: str, schema: str) -> Pool:
    """The presses' own: whoever fills another, with ENDs that wait or lists that are long, holds no SEND up.

    A process that freezes in the middle of a batch holds an END up for 2 s.
    """
    size = FLUSHERS + QUEUERS
    return await database.open_pool(database_url, schema, max_size=size, idle_in_transaction_session_timeout="2s")


class Presses:
    """Answers each press once it is committed."""

    def __init__(self, pool: Pool, vault: Vault, wake_relay: asyncio.Event) -> None:
        self._pool, self._vault, self._wake_relay = pool, vault, wake_relay
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._aside: dict[str, list[_Waiting]] = {}  # by campaign; whoever is here is in no batch
        self._queuers = asyncio.Semaphore(QUEUERS)

    async def press(self, press: Press) -> Answer:
        """The answer, committed. Raises what Postgres raised when it could not be asked: the press may be repeated."""
        waiting = _Waiting(press)
        self._queue.put_nowait(waiting)
        return await waiting.answer

    async def press_all(self, presses: list[Press]) -> list[Answer]:
        """Like `press`, for presses that come together."""
        return list(await asyncio.gather(*(self.press(press) for press in presses)))

    async def run(self) -> None:
        """Gathers and commits for ever."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(FLUSHERS):
                tasks.create_task(self._flush_for_ever(tasks))

    async def _flush_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            batch = [await self._queue.get()]
            if self._queue.qsize():  # a lone press does not wait for company
                await asyncio.sleep(GATHER_S)
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            being_ended = await self._answer([waiting for waiting in batch if not self._joins_those_aside(waiting)])
            for waiting in being_ended:
                if not self._joins_those_aside(waiting):
                    self._aside[waiting.press.campaign.campaign_id] = [waiting]
                    tasks.create_task(self._queue_behind_the_end(waiting.press.campaign))

    def _joins_those_aside(self, waiting: _Waiting) -> bool:
        aside = self._aside.get(waiting.press.campaign.campaign_id)
        if aside is not None:
            aside.append(waiting)
        return aside is not None

    async def _queue_behind_the_end(self, campaign: Campaign) -> None:
        failed: Exception | None = None
        try:
            async with self._queuers, acting_for(self._pool, campaign.account_id) as connection:
                await connection.execute(q.lock_campaign_shared, campaign.campaign_id)
        except Exception as error:
            failed = error
        for waiting in self._aside.pop(campaign.campaign_id):
            if failed is None:
                self._queue.put_nowait(waiting)
            else:
                _fail(waiting, failed)

    async def _answer(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Answers those it can; returns those whose campaign is being ended."""
        if not batch:
            return []
        try:
            answers = await self._committed([waiting.press for waiting in batch])
        except Exception as error:
            for waiting in batch:
                _fail(waiting, error)
            return []
        for waiting, answer in zip(batch, answers, strict=True):
            if answer is not None and not waiting.answer.done():
                waiting.answer.set_result(answer)
        return [waiting for waiting, answer in zip(batch, answers, strict=True) if answer is None]

    async def _committed(self, presses: list[Press]) -> list[Answer | None]:
        accounts = {press.campaign.account_id for press in presses}
        for attempt in range(TRIES):
            try:
                async with acting_for(self._pool, *accounts) as connection:
                    sealed = await to_press(connection, self._vault, presses)
                    async with connection.transaction():
                        answers = await commit(connection, presses, sealed)
                self._wake_relay.set()
                return answers
            except Exception as error:
                # A commit whose answer was lost is found again as already processed: the repeat changes nothing.
                if not (retriable(error) or isinstance(error, Overtaken)) or attempt == TRIES - 1:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


async def commit(
    connection: Connection, presses: list[Press], pressable: Mapping[str, Sealed | None]
) -> list[Answer | None]:
    """Processes the presses in the caller's transaction; the answers in their order, None where an END is in the way.

    `pressable` has every recipient that could be pressed a moment ago; one that is not in it came later, or never.
    """
    campaigns = await connection.fetch(q.try_campaigns_shared, list({press.campaign.campaign_id for press in presses}))
    held = {row["id"] for row in campaigns}
    answers = iter(await _answers(connection, [p for p in presses if p.campaign.campaign_id in held], pressable))
    return [next(answers) if press.campaign.campaign_id in held else None for press in presses]


async def _answers(
    connection: Connection, presses: list[Press], pressable: Mapping[str, Sealed | None]
) -> list[Answer]:
    """Of presses whose campaigns are locked."""
    sealed = {recipient_id: found for recipient_id, found in pressable.items() if found is not None}
    processed: dict[str, Processed] = {}
    counted: list[Press] = []
    remaining = [press for press in presses if press.recipient_id in sealed]
    while remaining:
        # One press of each recipient; another user's press of it is tried if this one may not send.
        firsts = {press.recipient_id: press for press in reversed(remaining)}
        new = await _process(connection, list(firsts.values()))
        counted += (firsts[recipient_id] for recipient_id in new)
        processed |= new
        remaining = [p for p in remaining if p.recipient_id not in processed and p != firsts[p.recipient_id]]
    if counted:
        await _tell(connection, counted, processed, sealed)
    unmoved = [press for press in presses if not _is_first(press, processed)]
    standing = await _standing(connection, unmoved) if unmoved else {}
    return [
        processed[press.recipient_id]
        if _is_first(press, processed)
        else _refused(press, standing.get((press.recipient_id, press.user_id)), pressable)
        for press in presses
    ]


def _refused(press: Press, standing: Standing | None, pressable: Mapping[str, Sealed | None]) -> Answer:
    answer = refuse(_as_seen(standing, press.recipient_id in pressable))
    unreadable = press.recipient_id in pressable and pressable[press.recipient_id] is None
    return Refused.KEY_MISSING if unreadable and isinstance(answer, Refused) else answer


def _as_seen(standing: Standing | None, could_be_pressed: bool) -> Standing | None:
    """A recipient who was listed just now, after the press had been looked at, was not there when it came."""
    return standing if could_be_pressed or (standing and standing.processed) else None


def _is_first(press: Press, processed: dict[str, Processed]) -> bool:
    found = processed.get(press.recipient_id)
    return found is not None and found.processed_by == press.user_id


async def _process(connection: Connection, presses: list[Press]) -> dict[str, Processed]:
    rows = await connection.fetch(q.send, *_columns(presses))
    users = {press.recipient_id: press.user_id for press in presses}
    answers = [
        Processed(row["recipient_id"], row["processed_at"], users[row["recipient_id"]], row["due_at"], first=True)
        for row in rows
    ]
    return {answer.recipient_id: answer for answer in answers}


async def _tell(
    connection: Connection, presses: list[Press], processed: Mapping[str, Processed], sealed: Mapping[str, Sealed]
) -> None:
    """What follows from the presses that counted: all their recipients are locked."""
    reached: dict[str, tuple[str, datetime]] = {}
    for press in presses:
        answer, campaign = processed[press.recipient_id], press.campaign
        if campaign.scheduled_for is not None and answer.due_at == answer.processed_at:
            reached.setdefault(campaign.campaign_id, (campaign.account_id, answer.processed_at))
    if reached:
        await connection.execute(q.reach, list(reached), *zip(*reached.values(), strict=True))
    senders = await senders_of(connection, [_pressed(press, processed, sealed) for press in presses])
    outbox = Outbox()
    for press in presses:
        answer, rid = processed[press.recipient_id], press.recipient_id
        outbox.add(processed_event(press, sealed[rid], answer.processed_at, answer.due_at, senders[rid]))
    await outbox.write(connection)


def _pressed(press: Press, processed: Mapping[str, Processed], sealed: Mapping[str, Sealed]) -> Pressed:
    rid, said = press.recipient_id, sealed[press.recipient_id]
    return Pressed(said.person_id, processed[rid].processed_at, rid, press, said)


async def _standing(connection: Connection, presses: list[Press]) -> dict[tuple[str, str], Standing]:
    rows = await connection.fetch(q.standing, *_columns(presses))
    return {(row["recipient_id"], row["user_id"]): _standing_of(row) for row in rows}


def _standing_of(row: Row) -> Standing:
    answer = None
    if row["processed_at"] is not None:
        answer = Processed(row["recipient_id"], row["processed_at"], row["processed_by"], row["due_at"], first=False)
    return Standing(answer, ended=bool(row["ended"]), sending=bool(row["sending"]))


def _columns(presses: list[Press]) -> tuple[list[str], list[str], list[str]]:
    return (
        [press.recipient_id for press in presses],
        [press.campaign.campaign_id for press in presses],
        [press.user_id for press in presses],
    )
