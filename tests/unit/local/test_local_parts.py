"""The pure parts of the local stack."""

import os
from pathlib import Path

import pytest
from handsent import credentials, ports
from handsent.java import major_version
from handsent.part import Part
from handsent.settings import StackSettings, explicit, inherited, service_environment, shared_ports
from handsent.stack import start_ticks, without_password
from handsent.status import table
from handsent.supervisor import ending

SETTINGS = {name.upper() for name in StackSettings.model_fields}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "25.0.1"', 25),
        ("Error: could not find libjava.so", 0),
    ],
)
def test_every_java_says_its_version_in_its_own_way(said: str, major: int) -> None:
    assert major_version(said) == major


def test_addresses_follow_the_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_PORT", "9001")
    monkeypatch.setenv("CARRIER_URL", "http://127.0.0.1:7000/")
    environment = service_environment(StackSettings(), Path("/home"), {"TOKEN_KEY": "made"})
    assert environment["PUBLIC_URL"] == environment["DISPATCHER_URL"] == "http://127.0.0.1:9001"
    assert environment["CARRIER_URL"] == "http://127.0.0.1:7000"
    assert environment["TOKEN_KEY"] == "made"
    assert "DATABASE_URL" not in environment


def test_a_setting_wins_over_the_secret_that_was_made_and_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("k" * 32 + "\n")
    monkeypatch.setenv("TOKEN_KEY_FILE", str(tmp_path / "key"))
    environment = service_environment(StackSettings(), Path("/home"), {"TOKEN_KEY": "made"})
    assert environment["TOKEN_KEY"] == "k" * 32


def test_no_service_gets_what_signs_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_KEY", "5a" * 32)
    assert "AUDIT_KEY" not in service_environment(StackSettings(), Path("/home"), {}) | inherited()
    assert explicit(StackSettings())["AUDIT_KEY"] == "5a" * 32


def test_an_empty_setting_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert explicit(StackSettings()) == {}


def test_two_settings_cannot_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_PORT", "8000")
    assert shared_ports(StackSettings()) == ["INTAKE_PORT and SCHEDULER_PORT are both 8000"]


def test_secrets_are_made_once(tmp_path: Path) -> None:
    first = credentials.load(tmp_path)
    assert credentials.load(tmp_path) == first
    assert len(set(first.values())) == len(first)
    assert first["TWILIO_ACCOUNT_SID"].startswith("AC") and len(first["TWILIO_ACCOUNT_SID"]) == 34


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    first = ports.reserve(tmp_path, ["kafka", "postgres"])
    assert ports.reserve(tmp_path, ["kafka", "postgres"]) == first
    moved = ports.reserve(tmp_path, ["kafka", "postgres"], taken=[first["kafka"]])
    assert moved["kafka"] != first["kafka"]
    assert moved["postgres"] == first["postgres"]


@pytest.mark.parametrize(
    ("code", "words"), [(0, "ended with exit code 0"), (-9, "was killed by SIGKILL"), (-64, "was killed by SIGRTMAX")]
)
def test_an_ending_is_told_in_words(code: int, words: str) -> None:
    assert ending(code) == words


def test_a_password_is_never_shown() -> None:
    assert (
        without_password("postgresql://me:pa%40ss@db:5432/x?sslmode=require&password=p") == "postgresql://me@db:5432/x"
    )


def test_a_pid_and_its_start_name_one_process() -> None:
    assert start_ticks(1) is not None
    assert start_ticks(2**22 + 1) is None


def test_a_log_that_has_grown_large_is_put_aside(tmp_path: Path) -> None:
    part = Part("one", tmp_path, ("true",), 1, lambda: True)
    part.log.parent.mkdir()
    part.log.write_bytes(b"x" * 10_000_001)
    os.close(part.open_log())
    assert part.log.stat().st_size == 0
    assert (part.log.parent / "one.log.1").exists()


def test_parts_are_given_no_secret_they_were_not_meant_to_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_KEY", "secret")
    assert "TOKEN_KEY" not in Part("kafka", tmp_path, ("true",), 1, lambda: True).environment()


def test_the_table_says_what_stands_still() -> None:
    part = {"name": "scheduler", "state": "running", "pid": 5, "port": 8003, "restarts": 0, "lag": None}
    stuck = [{"part": "scheduler", "topic": "clock", "partition": 0}]
    about = {"parts": [part], "stuck": stuck, "kafka_bootstrap": "k:1", "database": "", "home": "/h", "pid": None}
    told = table(about)
    assert "scheduler  running  5" in told
    assert "stuck     scheduler: topic clock, partition 0" in told


def test_the_table_says_which_carriers_are_in_trouble_and_what_waits_for_what() -> None:
    well = {"breaker": "closed", "in_use": 3, "limit": 128, "resumes_in_s": 0.0, "unknown": {}, "provider": "twilio"}
    ill = {**well, "sender": "+12025550123", "breaker": "open", "resumes_in_s": 2.5, "unknown": {"timeout": 12}}
    carriers = [{**well, "sender": None}, ill, {**well, "sender": "+12025550124"}, {"aside": {"hold": 2, "unknown": 7}}]
    about = {"parts": [], "stuck": [], "kafka_bootstrap": "", "database": "", "home": "/h", "pid": None}
    lines = table({**about, "carriers": carriers}).splitlines()
    assert [line for line in lines if line.startswith(("carrier", "aside"))] == [
        "carrier   twilio: 3 under way",
        "carrier   twilio +12025550123: 3 under way, breaker open, rests 2.5 s, unknown: timeout 12",
        "aside     hold 2, unknown 7",
    ]
