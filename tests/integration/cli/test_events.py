"""`handsent events`: the log as people and scripts see it."""

import asyncio
import csv
import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import fastavro
import pytest
from kernel.kafka import producer
from kernel.testing import VAULT_KEY, created, number, processed
from kernel.vault import open_vault

from schemas.codec import encode, key_of
from schemas.events import Event
from tests.integration.cli.conftest import Handsent
from tests.unit.projections.life import Life

BAD = b"\x00\x00\x00\x00\x63 call +12025550199"


@pytest.fixture
def campaign(kafka: str) -> str:
    """A campaign with three presses in the log, and an event nobody can read."""
    campaign_id = str(uuid4())
    asyncio.run(_produce(kafka, created(campaign_id), *(processed(n, campaign_id=campaign_id) for n in range(3))))
    return campaign_id


async def _produce(bootstrap: str, *events: Event) -> None:
    out = producer(bootstrap, "tests")
    await out.start()
    for event in events:
        topic = "campaigns" if type(event).__name__ == "CampaignCreated" else "processed"
        await out.send_and_wait(topic, encode(event), key=key_of(event))
    await out.send_and_wait("receipts", BAD, partition=0)
    await out.stop()


async def _send(bootstrap: str, topic: str, event: Event) -> None:
    out = producer(bootstrap, "tests")
    await out.start()
    await out.send_and_wait(topic, encode(event), key=key_of(event))
    await out.stop()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_tail_shows_a_campaign_from_the_beginning_with_what_is_personal_closed(
    handsent: Handsent, campaign: str
) -> None:
    command = ("events", "tail", "campaigns", "processed", "--from", "beginning", "--campaign", campaign)
    found = lines(handsent(*command, "--limit", "4", "--json").stdout)
    assert [line["type"] for line in found if line["topic"] == "campaigns"] == ["CampaignCreated"]
    presses = [line["event"] for line in found if line["topic"] == "processed"]
    assert len(presses) == 3
    for press in presses:
        assert isinstance(press, dict)
        assert (press["campaign_id"], press["number"], press["text"]) == (campaign, "***", "***")
    assert number(1) not in handsent(*command, "--limit", "4").stdout
    assert number(1) in handsent(*command, "--limit", "4", "--pii").stdout


def test_what_cannot_be_read_is_shown_with_its_place_whatever_was_asked_for(handsent: Handsent, campaign: str) -> None:
    command = ("events", "tail", "receipts", "--from", "beginning", "--campaign", campaign, "--limit", "1")
    [line] = lines(handsent(*command, "--json").stdout)
    assert (line["type"], line["topic"], line["partition"]) == ("undecodable", "receipts", 0)
    assert isinstance(line["offset"], int) and "hex" not in line
    assert "undecodable" in handsent(*command).stdout and "2025550199" not in handsent(*command).stdout
    assert lines(handsent(*command, "--json", "--pii").stdout)[0]["hex"] == BAD.hex()


def test_an_export_holds_every_event_of_its_topics_in_either_form(
    handsent: Handsent, campaign: str, tmp_path: Path
) -> None:
    command = ("events", "export", "--topic", "campaigns", "--topic", "processed", "--format")
    handsent(*command, "json", str(tmp_path / "log.json"))
    handsent(*command, "avro", str(tmp_path / "log.avro"), "--pii")
    as_json = lines((tmp_path / "log.json").read_text())
    with (tmp_path / "log.avro").open("rb") as file:
        as_avro = list(fastavro.reader(file))
    places = [(line["topic"], line["partition"], line["offset"]) for line in as_json]
    assert places == [(r["topic"], r["partition"], r["offset"]) for r in as_avro]
    presses = [r["event"] for r in as_avro if r["topic"] == "processed" and r["event"]["campaign_id"].hex != campaign]
    assert {number(n) for n in range(3)} <= {press["number"] for press in presses}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("log")] != []
    assert not list(tmp_path.glob("*.part"))


def test_a_campaign_s_events_are_a_sheet_that_runs_no_formula(
    handsent: Handsent, kafka: str, campaign: str, tmp_path: Path
) -> None:
    spring, autumn = (Life(campaign, number="+12025550177"), Life(f"not {campaign}", number="+12025550177"))
    asyncio.run(_produce(kafka, replace(spring.created(), name="=1+1", text="@SUM(1)")))
    asyncio.run(_send(kafka, "recipients", spring.added()))
    asyncio.run(_send(kafka, "recipients", autumn.added()))
    asyncio.run(_send(kafka, "opt-outs", replace(spring.opted_out(), evidence='-2+3\r\n"STOP"')))
    path = tmp_path / "spring.csv"
    command = ("events", "export", "--campaign", spring.campaign_id, "--format", "csv", str(path))
    handsent(*command, "--pii", exit_code=1)
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["type"] != "undecodable"]
    assert [row["type"] for row in rows] == ["CampaignCreated", "RecipientAdded", "PersonOptedOut"]
    assert (rows[0]["name"], rows[0]["text"], rows[0]["sender"]) == ("'=1+1", "'@SUM(1)", "+12025550100")
    assert (rows[1]["number"], json.loads(rows[1]["columns"])["City"]) == ("+12025550177", "Bath")
    assert (rows[2]["evidence"], rows[2]["campaign_id"]) == ('\'-2+3\r\n"STOP"', "")
    handsent(*command, exit_code=1)
    assert "+12025550177" not in path.read_text() and "***" in path.read_text()
    nobody = ("events", "export", "--topic", "processed", "--format", "csv", "--campaign", str(uuid4()), str(path))
    assert "nothing of a campaign" in handsent(*nobody, exit_code=1).stderr


@pytest.mark.parametrize("form", ["json", "avro"])
def test_an_export_with_undecodable_records_has_them_and_says_so(
    handsent: Handsent, campaign: str, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "log"
    said = handsent("events", "export", "--topic", "receipts", "--format", form, str(path), exit_code=1)
    assert "undecodable: receipts-0@" in said.stderr
    if form == "json":
        assert any(line["type"] == "undecodable" for line in lines(path.read_text()))
    else:
        with path.open("rb") as file:
            assert any(record["event"] is None and record["error"] for record in fastavro.reader(file))


def test_wrong_words_are_a_wrong_use(handsent: Handsent) -> None:
    handsent("events", "tail", "no-such-topic", exit_code=2)
    handsent("events", "tail", "--campaign", "spring", exit_code=2)


def test_a_broker_that_is_away_is_one_clear_line(handsent: Handsent) -> None:
    said = handsent("events", "tail", "--limit", "1", exit_code=1, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert len([line for line in said.stderr.splitlines() if line.startswith("Error")]) == 1


def test_a_vault_that_does_not_open_is_one_clear_line(handsent: Handsent, campaign: str, database_url: str) -> None:
    """With another key, and with a Postgres that is away."""
    asyncio.run(_meet_somebody(database_url))
    for wrong in ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, {"VAULT_KEY": "another key " * 4}):
        said = handsent("events", "tail", "--from", "beginning", "--limit", "1", "--pii", exit_code=1, **wrong)
        assert [line for line in said.stderr.splitlines() if line.startswith("Error: the vault does not open")]


async def _meet_somebody(database_url: str) -> None:
    vault = await open_vault(database_url, "send_intake", [VAULT_KEY])
    await vault.keys_for({str(uuid4()): str(uuid4())})
    await vault.close()


def test_a_disk_that_is_full_is_one_clear_line(handsent: Handsent, campaign: str, tmp_path: Path) -> None:
    (tmp_path / "log.part").symlink_to("/dev/full")
    said = handsent("events", "export", str(tmp_path / "log"), exit_code=1)
    assert f"{tmp_path / 'log'}: No space left on device" in said.stderr
    assert not list(tmp_path.glob("log*"))
