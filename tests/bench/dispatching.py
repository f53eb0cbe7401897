"""The dispatcher against a carrier that answers after 5 ms: its rate beside that of its parts, and beside Kannel's.

The whole cycle is queue → intent → POST → outcome, in a process of its own with its relay to Kafka. Its parts alone:
the bare cycle in SQL without a carrier, and aiohttp with as many connections and the same bodies without a database.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import asyncpg
import psutil
import uvloop
from dispatcher import callback, store
from dispatcher.attempt import SERVICE
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel.seal import NUMBER, text_of
from kernel.testing import NOON, VAULT_KEY
from kernel.vault import Vault, open_vault

from schemas.events import MessageReleased
from schemas.identity import event_id, person_id, recipient_id
from schemas.topics import TOPICS
from tests.bench import bare_sql, kannel
from tests.integration.dispatcher.world import ENVIRONMENT, SECRET, Stack
from tests.integration.process import free_port

CONNECTIONS = 128
TEXT = "Hello Anna, see you on Tuesday at the hall? Reply STOP to end."
SENDER = "+18445550100"
CHUNK = 1000
PATIENCE_S = 120.0
QUIET_S = 3.0
STATES = "SELECT state, count(*) FROM attempts JOIN messages USING (recipient_id) WHERE campaign_id = $1 GROUP BY 1"


@dataclass(frozen=True)
class Killed:
    """What a kill -9 in the middle of so many came to: texted more than once, and not known to have been texted."""

    messages: int
    twice: int
    missing: int


@dataclass
class Result:
    """Messages a second; CPU µs a message of the dispatcher's process."""

    messages: int
    cycle_per_s: float
    cpu_us: float
    with_receipts_per_s: float
    sql_per_s: float
    http_per_s: float
    killed: Killed
    kannel_per_s: float | None = None
    kannel_killed: Killed | None = None


@dataclass
class Ends:
    """The two ends that answer after 5 ms, as a process."""

    http_port: int = field(default_factory=free_port)
    smpp_port: int = field(default_factory=free_port)

    @contextlib.contextmanager
    def running(self) -> Iterator["Ends"]:
        command = [sys.executable, "-m", "tests.bench.ends", str(self.http_port), str(self.smpp_port)]
        process = subprocess.Popen(command)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                with contextlib.suppress(ConnectionError, urllib.error.URLError):
                    self.taken()
                    break
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield self
        finally:
            process.terminate()
            process.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def taken(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.url}/taken", timeout=5) as answer:
            told: dict[str, float] = json.load(answer)
        return told

    def forget(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/taken", method="DELETE"), timeout=5).close()

    async def until_taken(self, people: int) -> dict[str, float]:
        """Once so many people were texted."""
        deadline = time.monotonic() + PATIENCE_S
        while (told := await asyncio.to_thread(self.taken))["people"] < people:
            assert time.monotonic() < deadline, f"{told} of {people}"
            await asyncio.sleep(0.05)
        return told

    async def until_quiet(self) -> dict[str, float]:
        """Once nothing has come for a while."""
        told = await asyncio.to_thread(self.taken)
        while time.time() - told["last"] < QUIET_S:
            await asyncio.sleep(0.2)
            told = await asyncio.to_thread(self.taken)
        return told


class Bench:
    def __init__(self, stack: Stack, ends: Ends, messages: int) -> None:
        self._stack, self._ends, self._messages = stack, ends, messages
        self._next = 0

    async def run(self, folder: Path) -> Result:
        await self._migrated()
        vault = await open_vault(self._stack.database_url, SERVICE, [VAULT_KEY])
        pool = await store.open_pool(self._stack.database_url)
        try:
            await self._cycle(pool, vault, self._messages // 10)  # warms caches and plans
            cycle_per_s, cpu_us = await self._cycle(pool, vault, self._messages)
            killed = await self._killed(pool, vault, self._messages // 4)
            receipts = await self._with_receipts(pool, vault)
        finally:
            await pool.close()
            await vault.close()
        sql_per_s = await bare_sql.per_s(self._stack.database_url, self._messages, CONNECTIONS)
        http_per_s = await self._http()
        result = Result(self._messages, cycle_per_s, cpu_us, receipts, sql_per_s, http_per_s, killed)
        if kannel.is_here():
            await self._beside_kannel(folder, result)
        return result

    async def _migrated(self) -> None:
        self._stack.dispatcher.start()
        await asyncio.to_thread(self._stack.dispatcher.stop, signal.SIGTERM)

    async def _queued(self, pool: asyncpg.Pool, vault: Vault, count: int) -> str:
        """So many people of a new campaign wait in the queue; its id."""
        account_id, campaign_id = str(uuid.uuid4()), str(uuid.uuid4())
        for _ in range(0, count, CHUNK):
            numbers = self._numbers(CHUNK)
            people = {person_id(SECRET, account_id, number): number for number in numbers}
            keys = await vault.keys_for(dict.fromkeys(people, account_id))
            released = [_released(account_id, campaign_id, pid, number, keys[pid]) for pid, number in people.items()]
            async with pool.acquire() as connection, connection.transaction():
                await store.enqueue(connection, released)
        return campaign_id

    def _numbers(self, count: int) -> list[str]:
        first, self._next = self._next, self._next + count
        # No ending below 1000: those have the simulator's habits.
        return [f"+1202{200 + n // 9000}{1000 + n % 9000}" for n in range(first, first + count)]

    async def _cycle(self, pool: asyncpg.Pool, vault: Vault, count: int) -> tuple[float, float]:
        """(messages a second from the first POST to the last, CPU µs a message)."""
        await self._queued(pool, vault, count)
        self._ends.forget()
        self._stack.dispatcher.start()
        process = psutil.Process(self._stack.dispatcher.pid)
        told = await self._ends.until_taken(min(count, CONNECTIONS))
        before, people = process.cpu_times(), told["people"]
        told = await self._ends.until_taken(count)
        after = process.cpu_times()
        await asyncio.to_thread(self._stack.dispatcher.stop, signal.SIGTERM)
        cpu_s = after.user + after.system - before.user - before.system
        return count / (told["last"] - told["first"]), cpu_s / (count - people) * 1e6 if count > people else 0.0

    async def _killed(self, pool: asyncpg.Pool, vault: Vault, count: int) -> Killed:
        campaign_id = await self._queued(pool, vault, count)
        self._ends.forget()
        self._stack.dispatcher.start()
        await self._ends.until_taken(count // 2)
        self._stack.dispatcher.stop(signal.SIGKILL)
        self._stack.dispatcher.start()
        told = await self._ends.until_quiet()
        states = dict(await pool.fetch(STATES, campaign_id))
        await asyncio.to_thread(self._stack.dispatcher.stop, signal.SIGTERM)
        return Killed(count, int(told["texts"] - told["people"]), states.get("unknown", 0))

    async def _with_receipts(self, pool: asyncpg.Pool, vault: Vault) -> float:
        """Until all are delivered; the carrier is the simulator, whose own work takes its part of the machine."""
        count = self._messages // 2
        campaign_id = await self._queued(pool, vault, count)
        self._stack.carrier.start()
        async with aiohttp.ClientSession() as http:
            await http.put(f"{self._stack.carrier_url}/simulator/faults", json={"latency_ms": 5})
        other = self._stack.a_dispatcher(int(self._stack.ports["DISPATCHER_PORT"]), CARRIER_URL=self._stack.carrier_url)
        began = time.monotonic()
        try:
            other.start()
            began = time.monotonic()
            while dict(await pool.fetch(STATES, campaign_id)).get("delivered", 0) < count:
                assert time.monotonic() - began < PATIENCE_S
                await asyncio.sleep(0.2)
            return count / (time.monotonic() - began)
        finally:
            other.stop()
            self._stack.carrier.stop()

    async def _http(self) -> float:
        """aiohttp, set up as the gateway is, with nothing around it."""
        sid, token = ENVIRONMENT["TWILIO_ACCOUNT_SID"], ENVIRONMENT["TWILIO_AUTH_TOKEN"]
        authorization = base64.b64encode(f"{sid}:{token}".encode()).decode()
        url = f"{self._ends.url}/2010-04-01/Accounts/{sid}/Messages.json"
        back = callback.url(self._stack.url, ENVIRONMENT["CALLBACK_KEY"].encode(), str(uuid.uuid4()), 1)
        numbers = iter(self._numbers(self._messages))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Authorization": f"Basic {authorization}", "Content-Type": "application/x-www-form-urlencoded"},
        ) as session:

            async def hand() -> None:
                for number in numbers:
                    form = urlencode({"To": number, "From": SENDER, "Body": TEXT, "StatusCallback": back})
                    async with session.post(url, data=form.encode()) as answer:
                        assert answer.status == 201 and await answer.read()

            began = time.monotonic()
            await asyncio.gather(*(hand() for _ in range(CONNECTIONS)))
            return self._messages / (time.monotonic() - began)

    async def _beside_kannel(self, folder: Path, result: Result) -> None:
        ports = (free_port(), free_port(), free_port())
        self._ends.forget()
        with kannel.running(folder, ports, self._ends.smpp_port, CONNECTIONS) as boxes:
            await boxes.send(self._numbers(self._messages), TEXT)
            told = await self._ends.until_taken(self._messages)
            result.kannel_per_s = self._messages / (told["last"] - told["first"])
            self._ends.forget()
            count = self._messages // 4
            sending = asyncio.create_task(boxes.send(self._numbers(count), TEXT))
            await self._ends.until_taken(count // 2)
            boxes.kill()
            taken = await sending
            boxes.start()
            told = await self._ends.until_quiet()
            missing = max(0, taken - int(told["people"]))
            result.kannel_killed = Killed(count, int(told["texts"] - told["people"]), missing)


def _released(account_id: str, campaign_id: str, pid: str, number: str, key: "object") -> MessageReleased:
    rid = recipient_id(campaign_id, number)
    return MessageReleased(
        event_id=event_id(rid, "MessageReleased"), account_id=account_id, campaign_id=campaign_id, recipient_id=rid,
        person_id=pid, occurred_at=NOON, actor="scheduler", caused_by=event_id(rid, "RecipientProcessed"),
        due_at=NOON, scheduled_for=None, number=key.seal(NUMBER, number), text=key.seal(text_of(rid), TEXT),
        sender=SENDER,
    )  # fmt: skip


def measure(messages: int) -> Result:
    """Everything, one after the other, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as place, Ends().running() as ends:
        folder = Path(place)
        with EmbeddedPostgres(folder / "postgres") as postgres, EmbeddedKafka(folder / "kafka") as broker:
            uvloop.run(topics.create(broker.bootstrap, TOPICS.values()))
            own = {"CARRIER_URL": ends.url, "CARRIER_CONNECTIONS": str(CONNECTIONS)}
            stack = Stack(folder, postgres.url, broker.bootstrap, **own)
            try:
                return uvloop.run(Bench(stack, ends, messages).run(folder))
            finally:
                stack.dispatcher.stop(signal.SIGKILL)


def lines(result: Result) -> str:
    killed = result.killed
    told = [
        f"dispatching: {result.cycle_per_s:,.0f} messages/s, queue to outcome, {result.cpu_us:.0f} µs of its CPU each; "
        f"the carrier answers after 5 ms, {CONNECTIONS} connections",
        f"  {result.cycle_per_s / result.sql_per_s:.2f} of the bare cycle in SQL ({result.sql_per_s:,.0f}/s), "
        f"{result.cycle_per_s / result.http_per_s:.2f} of aiohttp alone ({result.http_per_s:,.0f}/s)",
        f"  {result.with_receipts_per_s:,.0f}/s until delivered, with receipts from the simulator on the same machine",
        f"  killed with -9 in the middle of {killed.messages:,}: {killed.twice} texted twice, {killed.missing} unknown",
    ]
    if result.kannel_per_s is None or result.kannel_killed is None:
        return "\n".join([*told, f"  {kannel.HOW}"])
    theirs = result.kannel_killed
    told.append(
        f"  Kannel: {result.kannel_per_s:,.0f}/s from HTTP to SMPP, a window of {CONNECTIONS} "
        f"(we: {result.cycle_per_s / result.kannel_per_s:.2f} of it); killed with -9 in the middle of "
        f"{theirs.messages:,}: {theirs.twice} texted twice, {theirs.missing} it had taken never left"
    )
    return "\n".join(told)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(lines(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)))
