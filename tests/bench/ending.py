"""END of a campaign with a million held, while others send 2,000 a second: how long it takes, and what it holds up."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
from kernel.outbox import pack
from kernel.testing import processed
from scheduler.release import released

from schemas.codec import encode, key_of
from tests.bench.load import press_all
from tests.bench.message_life import Bench, quantile
from tests.bench.stack import Running

HANDS = 64
LEAD_S, ENDS, PAUSE_S = 3.0, 100, 0.06
OFF = ("dispatcher", "projections", "simulator")
AT_ONCE = 100_000


@dataclass(frozen=True)
class Result:
    """Milliseconds; `per_s`: SENDs answered a second; `dropped_s`: from the first END until nobody of it is held."""

    held: int
    per_s: float
    big_end_ms: float
    ends_ms: list[float]
    sends_before_ms: list[float]
    sends_after_ms: list[float]
    dropped_s: float


async def measure(stack: Running, session: aiohttp.ClientSession, held: int, per_s: float) -> Result:
    """Both before the first END and after it are as many seconds of SENDs; what lies behind send-intake and scheduler
    is frozen meanwhile: it is not what is measured."""
    bench = Bench(stack, session)
    connection = await asyncpg.connect(json.loads((stack.home / "stack.json").read_text())["settings"]["DATABASE_URL"])
    big = await _campaign(bench)
    small = [await _campaign(bench) for _ in range(ENDS)]
    seconds = 2 * LEAD_S + ENDS * PAUSE_S
    _, presses = await bench.presses(int(per_s * seconds) // 4 * 4)
    await _fill(connection, big, held)
    with _frozen(stack):
        pressing = asyncio.create_task(press_all(stack.port("INTAKE_PORT"), presses, HANDS, per_s))
        await asyncio.sleep(LEAD_S)
        first_end = time.time()
        big_ms = await _end_ms(bench, big)
        dropping = asyncio.create_task(_until_dropped(connection, big))
        ends_ms = []
        for campaign_id in small:
            ends_ms.append(await _end_ms(bench, campaign_id))
            await asyncio.sleep(PAUSE_S)
        done = await pressing
        assert not done.refused, done.refused[0]
        dropped_s = await dropping
    await connection.close()
    before = sorted(1000 * s for number, s in done.took_s.items() if done.at[number] + s < first_end)
    after = sorted(1000 * s for number, s in done.took_s.items() if done.at[number] >= first_end)
    rate = len(done.at) / (max(done.at.values()) - min(done.at.values()))
    return Result(held, rate, big_ms, sorted([big_ms, *ends_ms]), before, after, dropped_s)


async def _campaign(bench: Bench) -> str:
    t = datetime.now(UTC) + timedelta(days=1)
    body = {"name": "bench", "text": "Hello", "scheduled_for": t.isoformat()}
    return str((await bench.call("POST", "/campaigns", bench.manager, json=body))["campaign_id"])


async def _end_ms(bench: Bench, campaign_id: str) -> float:
    began = time.perf_counter()
    await bench.call("POST", f"/campaigns/{campaign_id}/end", bench.manager, json={"confirm": "END"})
    return 1000 * (time.perf_counter() - began)


async def _fill(connection: asyncpg.Connection, campaign_id: str, held: int) -> None:
    """As if so many had been SENT: a million presses would take longer than all the rest of the benchmark."""
    campaign = await connection.fetchrow("SELECT * FROM send_intake.campaigns WHERE campaign_id = $1", campaign_id)
    assert campaign is not None
    for at in range(0, held, AT_ONCE):
        await _fill_some(connection, campaign, at, min(AT_ONCE, held - at))


async def _fill_some(connection: asyncpg.Connection, campaign: Any, at: int, count: int) -> None:
    cid, t = str(campaign["campaign_id"]), campaign["scheduled_for"]
    messages = [processed(n, t - timedelta(hours=25), cid, t) for n in range(at, at + count)]
    await connection.copy_records_to_table(
        "recipients",
        schema_name="send_intake",
        columns=["account_id", "campaign_id", "recipient_id", "position", "person_id", "number", "columns", "cells",
                 "processed_at", "processed_by", "due_at"],
        records=[(campaign["account_id"], cid, m.recipient_id, n, m.person_id, m.number, "[]", "[]", m.processed_at,
                  "x", t) for n, m in enumerate(messages, at)],
    )  # fmt: skip
    records = [(m.recipient_id, cid, t, pack([(key_of(m), encode(released(m)))])) for m in messages]
    await connection.copy_records_to_table(
        "held", schema_name="scheduler", columns=["recipient_id", "campaign_id", "due_at", "release"], records=records
    )


async def _until_dropped(connection: asyncpg.Connection, campaign_id: str) -> float:
    began = time.monotonic()
    while await connection.fetchval("SELECT 1 FROM scheduler.waiting WHERE campaign_id = $1", campaign_id):
        assert time.monotonic() - began < 600
        await asyncio.sleep(0.2)
    return time.monotonic() - began


@contextmanager
def _frozen(stack: Running) -> Iterator[None]:
    pids = [pid for name, pid in stack.parts().items() if name in OFF]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def lines(result: Result) -> str:
    """What `make bench` prints."""
    p50_ms, p99_ms = quantile(result.ends_ms, 0.5), quantile(result.ends_ms, 0.99)
    before, after = result.sends_before_ms, result.sends_after_ms
    return (
        f"END with {result.held:,} held, under {result.per_s:,.0f} SENDs/s: {result.big_end_ms:.0f} ms, all dropped in "
        f"{result.dropped_s:.0f} s; {len(result.ends_ms)} ENDs p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms\n"
        f"     a SEND meanwhile p50 {quantile(after, 0.5):.0f} ms, p99 {quantile(after, 0.99):.0f} ms; before the END "
        f"p50 {quantile(before, 0.5):.0f} ms, p99 {quantile(before, 0.99):.0f} ms"
    )
