"""The report of a million recipients: rows a second against a bare COPY of the same rows, and the memory it takes."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from handsent.postgres import EmbeddedPostgres
from kernel import database
from kernel.database import Pool, connect
from kernel.vault import open_vault
from projections.api_report import CSV, XLSX, Reports
from projections.store_reads import Campaign
from starlette.requests import Request

from tests.bench import sealing

SMALL = 100_000
KINDS = {"csv": CSV, "xlsx": XLSX}
SPOOL_BYTES = 4 * 1024**3
# So many of each sealed row, as recipients of their own.
MULTIPLY = """
INSERT INTO recipients
SELECT (r).* FROM (
    SELECT jsonb_populate_record(s, jsonb_build_object(
        'recipient_id', gen_random_uuid(), 'campaign_id', $2::uuid, 'state', 'delivered',
        'position', n * 1000000 + s.position, 'attempt', 1, 'outcome', 'accepted',
        'sent_at', s.processed_at, 'accepted_at', s.processed_at,
        'carrier_message_id', 'SM' || md5(s.recipient_id::text), 'segments', 1, 'receipt_attempt', 1,
        'receipt', 'delivered', 'receipt_at', s.processed_at)) AS r
      FROM recipients s CROSS JOIN generate_series(1, $3) n WHERE s.campaign_id = $1) made
"""
NAMES = "INSERT INTO list_columns SELECT $2, name, place FROM list_columns WHERE campaign_id = $1"
COPIED = "SELECT * FROM described WHERE campaign_id = $1 ORDER BY position, recipient_id"


@dataclass(frozen=True)
class Made:
    """A report that was made and read to its end, in a process of its own."""

    rows: int
    bytes: int
    took_s: float
    before_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Result:
    rows: int
    copy_s: float
    small: dict[str, Made]
    large: dict[str, Made]


async def measure(rows: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as folder, EmbeddedPostgres(Path(folder)) as postgres:
        vault = await open_vault(postgres.url, "send_intake", [sealing.KEY])
        await database.migrate(postgres.url, "projections", "projections")
        pool = await database.open_pool(postgres.url, "projections", max_size=2, statement_timeout="0")
        people = [str(uuid4()) for _ in range(sealing.PEOPLE)]
        await vault.keys_for(dict.fromkeys(people, sealing.ACCOUNT))
        sealed, _ = await sealing.fill(pool, vault, people)
        await vault.close()
        small, large = [await _multiplied(pool, sealed, n) for n in (SMALL, rows)]
        await pool.execute("VACUUM ANALYZE recipients", timeout=600)
        copy_s = await _copied_s(postgres.url, large)
        found = [
            {kind: _in_a_process(postgres.url, id_, kind, n) for kind in KINDS}
            for id_, n in ((small, SMALL), (large, rows))
        ]
        await pool.close()
    return Result(rows, copy_s, *found)


async def _multiplied(pool: Pool, sealed: UUID, rows: int) -> UUID:
    campaign_id = uuid4()
    await pool.execute(MULTIPLY, sealed, campaign_id, rows // sealing.PEOPLE, timeout=600)
    await pool.execute(NAMES, sealed, campaign_id)
    return campaign_id


async def _copied_s(url: str, campaign_id: UUID) -> float:
    connection = await connect(url, "projections", statement_timeout="0")
    size = 0

    async def count(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    began = time.perf_counter()
    await connection.copy_from_query(COPIED, campaign_id, output=count, format="csv", timeout=600)
    took_s = time.perf_counter() - began
    await connection.close()
    assert size
    return took_s


def _in_a_process(url: str, campaign_id: UUID, kind: str, rows: int) -> Made:
    command = [sys.executable, "-m", "tests.bench.reporting", url, sealing.ACCOUNT, str(campaign_id), kind, str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Made(**json.loads(done.stdout))


async def _make(url: str, account_id: str, campaign_id: UUID, kind: str, rows: int) -> Made:
    pool = await database.open_pool(url, "projections", max_size=2)
    vault = await open_vault(url, "projections", [sealing.KEY])
    reports = Reports(pool, vault, SPOOL_BYTES)
    before_mb, began, size, lines = _peak_mb(), time.perf_counter(), 0, 0
    answer = await reports.answer(
        Campaign(account_id, campaign_id, "bench"), KINDS[kind], Request({"type": "http", "headers": []})
    )
    async for piece in answer.body_iterator:  # type: ignore[attr-defined]
        size += len(piece)
        lines += piece.count(b"\n")
    took_s = time.perf_counter() - began
    assert kind != "csv" or lines == rows + 1
    return Made(rows, size, took_s, before_mb, _peak_mb())


def _peak_mb() -> float:
    """Not getrusage: to it a process is as large as the one that started it."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def lines(result: Result) -> str:
    """What it came to."""
    told = [f"report of {result.rows:,} recipients: a bare COPY of their rows takes {result.copy_s:.1f} s"]
    for kind, made in result.large.items():
        small = result.small[kind]
        told.append(
            f"  {kind:4} {made.took_s:.1f} s, {made.rows / made.took_s:,.0f} recipients/s "
            f"(1 : {made.took_s / result.copy_s:.1f} of the COPY), {made.bytes / 1e6:,.0f} MB; "
            f"peak memory {made.peak_mb:.0f} MB, {made.before_mb:.0f} MB of it before it began "
            f"({small.rows:,} recipients: {small.peak_mb:.0f} MB)"
        )
    return "\n".join(told)


if __name__ == "__main__":
    url, account_id, campaign_id, kind, rows = sys.argv[1:]
    print(json.dumps(asyncio.run(_make(url, account_id, UUID(campaign_id), kind, int(rows))).__dict__))
