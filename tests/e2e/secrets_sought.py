"""Looks for people's numbers and words wherever a stack leaves bytes: topics, tables, logs, exports, metrics."""

import asyncio
import base64
import binascii
import json
import re
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import TOPICS
from tests.e2e.running import SERVICES, Running

DIGITS = re.compile(rb"\d{10,}")
HEX = re.compile(rb"(?:[0-9a-f]{2}){10,}")
# Ids and bytes in hex: decoded, not read as digits. Among millions of them one of ten thousand numbers comes by chance.
IDS = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{16,}")
BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
NATIONAL = 10


class Sought:
    """What must not be found: numbers of ten digits however they are written, and words."""

    def __init__(self, numbers: Iterable[str], words: Iterable[str]) -> None:
        self._numbers = {number.removeprefix("+1").encode() for number in numbers}
        self._words = [word.encode() for word in words]

    def found_in(self, data: bytes) -> set[str]:
        """What of it can be read there: as it is, or behind one layer of hex or base64."""
        found = self._plain(IDS.sub(b"#", data))
        for run in HEX.findall(data):
            found |= self._plain(bytes.fromhex(run.decode()))
        for run in BASE64.findall(data):
            for start in range(4):  # it may begin anywhere in the run
                found |= self._plain(_unbased(run[start:]))
        return found

    def _plain(self, data: bytes) -> set[str]:
        windows = {run[at : at + NATIONAL] for run in DIGITS.findall(data) for at in range(len(run) - NATIONAL + 1)}
        return {hit.decode() for hit in (windows & self._numbers) | {word for word in self._words if word in data}}


def _unbased(run: bytes) -> bytes:
    try:
        return base64.b64decode(run[: len(run) // 4 * 4])
    except binascii.Error:
        return b""


async def everything(running: Running) -> AsyncIterator[tuple[str, bytes]]:
    """(where, bytes) of all that a stack keeps and says, but for the carrier's own ledger."""
    settings = json.loads((running.home / "stack.json").read_text())["settings"]
    async for place in _topics(settings["KAFKA_BOOTSTRAP"]):
        yield place
    async for place in _tables(settings["DATABASE_URL"]):
        yield place
    for path in _files(running.home):
        yield str(path), path.read_bytes()
    yield "what `handsent up` said", running.said.read_bytes()
    for service, port in SERVICES.items():
        for probe in ("metrics", "status", "readyz", "openapi.json"):
            yield f"{service}/{probe}", await asyncio.to_thread(_asked, f"{running.url(port)}/{probe}")
    for command in (("events", "export", "-"), ("quarantine", "list"), ("status",), ("status", "--json")):
        yield " ".join(command), (await asyncio.to_thread(_said, running, command)).encode()
    async for place in _exports(running, settings["DATABASE_URL"]):
        yield place


async def _exports(running: Running, url: str) -> AsyncIterator[tuple[str, bytes]]:
    """What an auditor would get of the largest campaigns."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT campaign_id::text FROM projections.campaigns ORDER BY unprocessed + delivered DESC LIMIT 4"
    )
    await connection.close()
    assert rows
    with TemporaryDirectory() as folder:
        for (campaign_id,) in rows:
            path = Path(folder) / f"{campaign_id}.zip"
            await asyncio.to_thread(running.handsent, "audit", "export", campaign_id, "-o", str(path))
            with ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"audit export {campaign_id}: {name}", archive.read(name)


async def _topics(bootstrap: str) -> AsyncIterator[tuple[str, bytes]]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        for topic in TOPICS.values():
            parts = [TopicPartition(topic.name, p) for p in range(topic.partitions_local)]
            consumer.assign(parts)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(parts)
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    whole = [b"%b\0%b\0%b" % (r.key or b"", r.value, repr(r.headers).encode()) for r in records]
                    yield f"topic {topic.name}", b"\0".join(whole)


async def _tables(url: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every table of every schema that is ours, a row as Postgres writes it: bytea in hex."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            """SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"""
        )
        assert len(tables) > 30
        for (table,) in tables:
            rows = await connection.fetch(f"SELECT t::text FROM {table} t")
            yield table, "\n".join(row[0] for row in rows).encode()
    finally:
        await connection.close()


def _files(home: Path) -> list[Path]:
    """Logs and the like. Not the servers' own files, whose rows and records are read above, nor the carrier's."""
    servers = ("postgres", "kafka", "simulator")
    found = [path for path in home.rglob("*") if path.is_file() and path.relative_to(home).parts[0] not in servers]
    assert any(path.suffix == ".log" for path in found), "there are logs"
    return found


def _asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def _said(running: Running, command: tuple[str, ...]) -> str:
    done: subprocess.CompletedProcess[str] = running.handsent(*command)
    return done.stdout + done.stderr
