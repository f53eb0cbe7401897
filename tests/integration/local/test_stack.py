"""`handsent up` told as a story: it starts, survives, refuses a second of its kind, and stops."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from handsent.testing import Up, free_settings, until

from schemas.topics import TOPICS


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def up(start_up: Callable[..., Up]) -> Up:
    one = start_up()
    one.until_said("ready in")
    return one


async def count(table_url: str, add: bool) -> int:
    connection = await asyncpg.connect(table_url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (it int)")
        if add:
            await connection.execute("INSERT INTO kept VALUES (1)")
        rows: int = await connection.fetchval("SELECT count(*) FROM kept")
        return rows
    finally:
        await connection.close()


async def produce(bootstrap: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait("clock", b"tick", partition=0)
    finally:
        await producer.stop()


async def consume_one(bootstrap: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition("clock", 0)])
        await consumer.seek_to_beginning()
        record = await asyncio.wait_for(consumer.getone(), 10)
        value: bytes = record.value
        return value
    finally:
        await consumer.stop()


async def test_both_servers_keep_what_they_are_given(up: Up) -> None:
    stack = up.stack()
    assert await count(stack["database_url"], add=True) == 1
    await produce(stack["kafka_bootstrap"])
    assert await consume_one(stack["kafka_bootstrap"]) == b"tick"


async def test_the_topics_are_those_of_the_schemas(up: Up) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=up.stack()["kafka_bootstrap"])
    await admin.start()
    try:
        described = await admin.describe_topics(list(TOPICS))
    finally:
        await admin.close()
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    assert partitions == {name: topic.partitions_local for name, topic in TOPICS.items()}


def test_status_tells_where_everything_is(up: Up) -> None:
    told = up.handsent("status", "--json")
    about = json.loads(told.stdout)
    parts = {part["name"]: part for part in about["parts"]}
    assert told.returncode == 0 and about["ok"]
    assert set(parts) == {"postgres", "kafka", "simulator", "send-intake"}
    assert {part["state"] for part in parts.values()} == {"running"}
    assert parts["send-intake"]["lag"] == 7
    assert {name: part["pid"] for name, part in parts.items()} == up.pids()
    assert about["database"].startswith("postgresql://handsent@127.0.0.1:")


def test_secrets_are_for_their_owner_only(up: Up) -> None:
    for name in ("secrets.json", "stack.json"):
        assert (up.home / name).stat().st_mode & 0o077 == 0


def test_a_second_up_on_the_same_home_is_refused(up: Up, start_up: Callable[..., Up]) -> None:
    second = start_up()
    assert second.process.wait(10) == 1
    assert f"a stack already runs in {up.home} (pid {up.process.pid})" in up.said.read_text()


def test_everything_listens_on_the_loopback_only(up: Up) -> None:
    ports = {part["port"] for part in up.stack()["parts"]}
    sockets = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()
    ]
    listening = [fields[1].split(":") for fields in sockets if fields[3] == "0A"]
    # Addresses are hexadecimal, little-endian per word: 127.0.0.1, plain and as Java's sockets write it.
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    found = {int(port, 16): address for address, port in listening if int(port, 16) in ports}
    assert set(found) == ports
    assert set(found.values()) <= loopback


async def test_whatever_is_killed_comes_back_with_its_data(up: Up) -> None:
    before = up.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    up.until_said("runs again", times=len(before))
    for name in before:
        assert f"{name} was killed by SIGKILL; starting it again" in up.said.read_text()
    assert not set(before.values()) & set(up.pids().values())
    assert await count(up.stack()["database_url"], add=False) == 1
    assert await consume_one(up.stack()["kafka_bootstrap"]) == b"tick"


async def test_after_a_kill_of_the_supervisor_nothing_is_left_and_the_next_one_continues(
    up: Up, start_up: Callable[..., Up]
) -> None:
    orphans = up.pids().values()
    up.process.kill()
    up.process.wait()
    until(lambda: not any(alive(pid) for pid in orphans))
    assert up.handsent("status").returncode == 2

    again = start_up()
    again.until_said("ready in", times=2)
    assert await count(again.stack()["database_url"], add=True) == 2
    assert await consume_one(again.stack()["kafka_bootstrap"]) == b"tick"

    pids = again.pids().values()
    again.process.send_signal(signal.SIGTERM)
    again.process.send_signal(signal.SIGTERM)  # as from make and from the group
    assert again.process.wait(20) == 0
    assert not any(alive(pid) for pid in pids)


def test_a_taken_port_is_named_with_its_setting_and_nothing_is_started(start_up: Callable[..., Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        one = start_up("refused", INTAKE_PORT=str(port))
        assert one.process.wait(10) == 1
    assert one.said.read_text() == f"handsent: INTAKE_PORT: port {port} is in use by somebody else\n"
    assert not (one.home / "postgres").exists()


def test_ctrl_c_stops_it_before_it_is_ready(start_up: Callable[..., Up]) -> None:
    one = start_up("interrupted", **free_settings())
    one.until_said("starting in")
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(20) == 0
    left = subprocess.run(["pgrep", "-f", str(one.home)], capture_output=True, text=True, check=False).stdout
    assert left == ""
