"""What sealing costs: a message from its list to its receipt, and a recipient in the report."""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from handsent.postgres import EmbeddedPostgres
from kernel import database
from kernel.database import Pool
from kernel.seal import CALLBACK, CELLS, NUMBER, Key, text_of, unseal
from kernel.vault import Kind, Vault, open_vault
from projections import store
from projections.progress import Listed, Pressed, Row
from projections.report import Sheet
from projections.store import Stored
from projections.store_report import one_moment, report

PEOPLE = 20_000
IMPORTED, BATCH = 1000, 100  # a piece of a list; presses, intents and receipts that share a transaction under load
REPORTS = 5
TEXT = "Hello Ada, see you on Tuesday at the hall? Reply STOP to end."
HEADERS = '["first_name","last_name","City"]'
CELLS_OF_ADA = '["Ada","Lovelace","London"]'
FORM = "MessageSid=SM" + "0" * 32 + "&MessageStatus=delivered&To=%2B12025550123&From=%2B18445550100"
ACCOUNT = str(uuid4())
KEY = "a vault key for the benchmark that is long enough"


@dataclass(frozen=True)
class Cost:
    """CPU µs a message, ours and Postgres' together, by what is done; and seconds a report of PEOPLE rows."""

    steps: dict[str, float]
    report_sealed_s: float
    report_plain_s: float

    @property
    def message_us(self) -> float:
        return sum(self.steps.values())


async def measure() -> Cost:
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as folder, EmbeddedPostgres(Path(folder)) as postgres:
        assert postgres.process is not None
        vault = await open_vault(postgres.url, "send_intake", [KEY])
        people = [str(uuid4()) for _ in range(PEOPLE)]
        steps = await _steps(vault, people, postgres.process.pid)
        await database.migrate(postgres.url, "projections", "projections")
        pool = await database.open_pool(postgres.url, "projections", max_size=2)
        sealed, plain = await fill(pool, vault, people)
        times: list[tuple[float, float]] = [
            (await _report_s(pool, vault, sealed), await _report_s(pool, _NoVault(), plain)) for _ in range(REPORTS)
        ]
        await pool.close()
        await vault.close()
    return Cost(steps, *map(statistics.median, zip(*times, strict=True)))


class _NoVault(Vault):
    """For what is not sealed: there is nobody to ask."""

    def __init__(self) -> None:
        pass

    async def keys(self, subject_ids: Iterable[str]) -> dict[str, Key]:
        return {}


async def _report_s(pool: Pool, vault: Vault, campaign_id: UUID) -> float:
    began = time.perf_counter()
    async with pool.acquire() as connection, one_moment(connection):
        size = sum([len(chunk) async for chunk in report(connection, vault, campaign_id, Sheet)])
    assert size > 100 * PEOPLE
    return time.perf_counter() - began


async def _steps(vault: Vault, people: list[str], postgres: int) -> dict[str, float]:
    """Each step as the services take it, with the keys it reads."""
    numbers: dict[str, str] = {}
    texts: dict[str, str] = {}

    async def import_(chunk: list[str]) -> None:
        keys = await vault.keys_for(dict.fromkeys(chunk, ACCOUNT))
        for person in chunk:
            numbers[person] = keys[person].seal(NUMBER, "+12025550123")
            keys[person].seal(CELLS, CELLS_OF_ADA)

    async def press(chunk: list[str]) -> None:
        keys = await vault.keys(chunk)
        for person in chunk:
            unseal(keys[person], NUMBER, numbers[person])
            texts[person] = keys[person].seal(text_of(person), TEXT)
            keys[person].commitment(person, TEXT)

    async def intent(chunk: list[str]) -> None:
        keys = await vault.keys(chunk)
        for person in chunk:
            unseal(keys[person], NUMBER, numbers[person])
            unseal(keys[person], text_of(person), texts[person])

    async def receipt(chunk: list[str]) -> None:
        key = (await vault.keys_for({ACCOUNT: ACCOUNT}, Kind.SERVICE))[ACCOUNT]
        for _ in chunk:
            key.seal(CALLBACK, FORM)

    await import_([str(uuid4()) for _ in range(IMPORTED)])  # warms plans and caches
    return {
        "import": await _cpu_us(import_, people, IMPORTED, postgres),
        "SEND": await _cpu_us(press, people, BATCH, postgres),
        "intent": await _cpu_us(intent, people, BATCH, postgres),
        "receipt": await _cpu_us(receipt, people, BATCH, postgres),
    }


async def _cpu_us(step: Callable[[list[str]], Awaitable[None]], people: list[str], batch: int, postgres: int) -> float:
    before = _cpu_s(postgres)
    for at in range(0, len(people), batch):
        await step(people[at : at + batch])
    return (_cpu_s(postgres) - before) / len(people) * 1e6


def _cpu_s(postgres: int) -> float:
    parent = psutil.Process(postgres)
    processes = [psutil.Process(), parent, *parent.children(recursive=True)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


async def fill(pool: Pool, vault: Vault, people: list[str]) -> tuple[UUID, UUID]:
    """Two campaigns of the same people: one as it is, one as if nothing were sealed."""
    keys = await vault.keys(people)
    now = await pool.fetchval("SELECT now()")
    made = []
    for is_sealed in (True, False):
        campaign_id = str(uuid4())
        made.append(UUID(campaign_id))
        rows = []
        for n, person in enumerate(people):
            number, cells = "+12025550123", CELLS_OF_ADA
            if is_sealed:
                number, cells = keys[person].seal(NUMBER, number), keys[person].seal(CELLS, cells)
            listed = Listed(n, HEADERS, cells)
            row = Row(str(uuid4()), campaign_id, ACCOUNT, person, number, listed, Pressed(now, "a user", now))
            rows.append(Stored(row, b""))
        async with pool.acquire() as connection, connection.transaction():
            await store.insert_recipients(connection, sorted(rows, key=lambda stored: stored.row.recipient_id))
            await store.name_columns(connection, [(campaign_id, ("first_name", "last_name", "City"))])
    await pool.execute("ANALYZE")
    return made[0], made[1]
