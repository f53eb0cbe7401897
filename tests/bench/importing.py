"""A million opt-outs imported while intents are taken: how long an intent waits for one, at most.

Both run in one process, as they do in the dispatcher: what an import keeps from its loop counts as much as the lock.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock
from uuid import uuid4

from dispatcher import store, store_opt_outs
from dispatcher.api_opt_outs import OptOuts
from dispatcher.store_opt_outs import Recorded, Word
from handsent.postgres import EmbeddedPostgres
from kernel import database
from kernel.database import Pool
from kernel.outbox import Outbox
from kernel.tokens import Role, User
from kernel.vault import Vault, open_vault
from starlette.requests import Request

from tests.bench.message_life import quantile
from tests.integration.dispatcher.taking import take

KEY = "a vault key for the benchmark that is long enough"
ALONE_S = 3.0
PACE_S = 0.005
BLOCK = 64 * 1024


@dataclass(frozen=True)
class Result:
    """Seconds, in order: what an intent takes without an import and beside one, and how long a chunk holds the lock."""

    imported: int
    took_s: float
    alone: list[float]
    beside: list[float]
    halts: list[float]


async def measure(people: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as folder, EmbeddedPostgres(Path(folder)) as postgres:
        await database.migrate(postgres.url, store.SCHEMA, "dispatcher")
        pool, vault = await store.open_pool(postgres.url), await open_vault(postgres.url, store.SCHEMA, [KEY])
        result = await _measured(pool, vault, people)
        await pool.close()
        await vault.close()
    return result


async def _measured(pool: Pool, vault: Vault, people: int) -> Result:
    alone: list[float] = []
    beside: list[float] = []
    watching = asyncio.create_task(_take(pool, vault, alone))
    await asyncio.sleep(ALONE_S)
    watching.cancel()
    watching = asyncio.create_task(_take(pool, vault, beside))
    began = time.perf_counter()
    api = OptOuts(pool, vault, "a person id secret for the benchmark", "US", asyncio.Event())
    with _noted() as halts:
        answer = await api.import_(_request(people))
    took_s = time.perf_counter() - began
    watching.cancel()
    assert f'"added":{people}'.encode() in bytes(answer.body).replace(b" ", b""), answer.body
    return Result(people, took_s, sorted(alone), sorted(beside), sorted(halts))


@contextmanager
def _noted() -> Iterator[list[float]]:
    """How long each chunk holds the lock."""
    halts: list[float] = []
    record = store_opt_outs.record

    async def noted(pool: Pool, words: Sequence[Word]) -> Recorded:
        recorded = await record(pool, words)
        halts.append(recorded.held_s)
        return recorded

    with mock.patch.object(store_opt_outs, "record", noted):
        yield halts


def _request(people: int) -> Request:
    """As from a browser: the list in blocks, and a manager who sends it."""
    blocks = _blocks(people)

    async def receive() -> dict[str, object]:
        block = await anext(blocks, b"")
        return {"type": "http.request", "body": block, "more_body": bool(block)}

    request = Request({"type": "http", "headers": [], "method": "POST", "path": "/"}, receive)
    request.state.user = User(str(uuid4()), "ada", Role.MANAGER, "Ada")
    return request


async def _blocks(people: int) -> AsyncIterator[bytes]:
    rest = b"phone,reason\n"
    for n in range(people):
        rest += b"+1%03d%07d,asked by letter\n" % (202 + n // 8_000_000, 2_000_000 + n % 8_000_000)
        if len(rest) >= BLOCK:
            yield rest
            rest = b""
    yield rest


async def _take(pool: Pool, vault: Vault, seconds: list[float]) -> None:
    """What the dispatcher does again and again: the lock, a look at the queue, the commit."""
    while True:
        began = time.perf_counter()
        async with pool.acquire() as connection, connection.transaction():
            await take(connection, vault, 50, datetime.now(UTC), Outbox())
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(PACE_S)


def lines(result: Result) -> str:
    alone, beside, halts = map(_ms, (result.alone, result.beside, result.halts))
    return (
        f"opt-outs: {result.imported:,} imported in {result.took_s:.0f} s ({result.imported / result.took_s:,.0f}/s), "
        f"in {len(result.halts):,} chunks that hold dispatch up for {halts}; an intent takes {beside} beside them, "
        f"{alone} without"
    )


def _ms(seconds: list[float]) -> str:
    p50, p99 = (1000 * quantile(seconds, share) for share in (0.5, 0.99))
    return f"p50 {p50:.0f}, p99 {p99:.0f}, at most {1000 * seconds[-1]:.0f} ms"
