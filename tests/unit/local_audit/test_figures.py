"""The figures of an export: those of Progress, and those that the script in it counts."""

import json
import runpy
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from handsent import log_view
from handsent.audit import check_export, telling
from handsent.audit.check_export import Checked
from handsent.audit.desk import Desk
from handsent.audit.findings import Findings
from handsent.audit.fold import Counted, rows
from handsent.audit.framing import BadLine, Record, as_line
from handsent.log_view import MASK, PERSONAL, Seen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel.testing import as_version
from projections.progress import fold, leaf, new_row

from schemas.codec import encode
from schemas.events import Event
from schemas.topics import TOPIC_OF
from tests.unit.projections.life import Life

PEOPLE = [Life(number=f"+1202555010{n}", position=n, sealed=True) for n in range(4)]
ANYTHING = [event for life in PEOPLE for event in life.all_about_it(attempts=3)]
CAMPAIGN = PEOPLE[0].campaign_id
SCRIPT = Path(telling.__file__).with_name("count.py")


def record(offset: int, event: Event) -> Record:
    return Record(TOPIC_OF[type(event)].name, 0, offset, 1_772_366_400_000, b"k", encode(event), (("h", None),))


def seen(one: Record) -> Seen:
    return log_view.seen(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value)


def counted(folder: Path, events: list[Event]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    desk = Desk(folder, CAMPAIGN)
    try:
        desk.put(record(offset, event) for offset, event in enumerate(events))
        counting = Counted(CAMPAIGN)
        told = list(counting.through(rows(desk.recipients())))
        return told, counting.figures(desk.of_campaign(), {})
    finally:
        desk.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ANYTHING), max_size=40))
def test_the_script_counts_what_the_fold_counts(tmp_path: Path, events: list[Any]) -> None:
    (tmp_path / "desk").unlink(missing_ok=True)
    told, figures = counted(tmp_path, events)
    by_hand = {life.recipient_id: [e for e in events if e.recipient_id == life.recipient_id] for life in PEOPLE}
    leaves = {rid: leaf(fold(new_row(said[0]), said)) for rid, said in by_hand.items() if said}
    assert {row["recipient_id"]: (row["state"], row["reason_code"]) for row in told} == leaves
    assert [row["recipient_id"] for row in told] == sorted(leaves)
    (tmp_path / "figures.json").write_bytes(orjson.dumps(figures))
    assert script(tmp_path, [record(n, event) for n, event in enumerate(events)], events) == 0


@pytest.mark.parametrize("name", ["delivered", "failed_by_reason", "recipients", "unknown"])
def test_the_script_says_when_a_figure_is_another(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, figures = counted(tmp_path, ANYTHING)
    changed = {**figures, name: {"landline": 9} if name == "failed_by_reason" else figures[name] + 1}
    (tmp_path / "figures.json").write_bytes(orjson.dumps(changed))
    assert script(tmp_path, [record(n, event) for n, event in enumerate(ANYTHING)], ANYTHING) == 1
    assert "NOT THE SAME" in capsys.readouterr().out


def test_the_script_says_when_an_event_is_told_that_no_export_withholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record says that it failed, and shows its hash only; the line says that it was delivered."""
    true, plain = PEOPLE[0], Life(number="+12025550100", position=0)
    told = [plain.added(), true.processed(), true.attempted(), true.delivered()]
    _, figures = counted(tmp_path, told)
    (tmp_path / "figures.json").write_bytes(orjson.dumps(figures))
    logged = [record(n, event) for n, event in enumerate([*told[:3], true.not_delivered()])]
    logged[0] = withheld(logged[0])
    assert script(tmp_path, [*logged[:3], record(3, true.delivered())], told) == 0
    assert "of 1 records only the hash is here" in capsys.readouterr().out
    assert (
        script(tmp_path, [*logged[:3], withheld(logged[3])], told)
        == "receipts-0@3 IS NEVER A HASH ONLY: MessageDelivered"
    )
    assert script(tmp_path, [logged[0], withheld(logged[1]), *logged[2:]], told) == (
        "processed-0@1 IS NEVER A HASH ONLY: RecipientProcessed"
    ), "it is sealed, so its bytes could have been shown"


def test_the_script_knows_what_can_be_withheld() -> None:
    held: dict[str, list[str]] = {}
    for event_type, topic in TOPIC_OF.items():
        if PERSONAL[event_type] & {field.name for field in fields(event_type)}:
            held.setdefault(topic.name, []).append(event_type.__name__)
    assert runpy_names()["WITHHELD"] == held


def runpy_names() -> dict[str, Any]:
    """What the script has before it reads anything."""
    said: dict[str, Any] = {}
    head, _, _ = SCRIPT.read_text().partition("HERE = ")
    exec(head, said)
    return said


def withheld(one: Record) -> Record:
    return one._replace(value=None, withheld=one.leaf())


def script(folder: Path, logged: list[Record], told: list[Any]) -> Any:
    """What the script ends with in a folder with these records and lines."""
    lines = [telling.as_line(telling.told(seen(record(n, event)), False)) for n, event in enumerate(told)]
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    (folder / "records.jsonl").write_bytes(b"".join(map(as_line, logged)))
    shutil.copy(SCRIPT, folder)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(folder / "count.py"))
    return ended.value.code


def test_the_script_needs_nothing_that_is_not_python_s_own() -> None:
    said = SCRIPT.read_text()
    imported = {line.split()[1] for line in said.splitlines() if line.startswith(("import ", "from "))}
    assert imported == {"json", "collections", "pathlib", "typing"} and len(said.splitlines()) < 80


# --- lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [*PEOPLE[0].all_about_it(), PEOPLE[0].created(), PEOPLE[0].opted_out()])
def test_a_line_gives_its_event_back(event: Event) -> None:
    line = telling.as_line(telling.told(seen(record(0, event)), True))
    assert telling.untold(json.loads(line)) == event


def test_a_line_of_a_version_before_says_what_its_record_says_unless_it_leaves_something_out() -> None:
    """It did not know the fields that came later: they are missing there, and say nothing here."""
    created = replace(PEOPLE[0].created(), senders=("+12025550100", "+12025550101"))
    for event, version in ((PEOPLE[0].created(), 1), (created, 2)):
        at = record(0, event)._replace(value=as_version(version, event))
        line = telling.told(seen(at), False)
        for name in ("senders", "useful_until"):
            del line["event"][name]
        findings = Findings()
        check_export._said(at, telling.as_line(line), False, Checked(), findings)
        assert findings.total == (version == 2)


def findings_of(one: Record, said: dict[str, Any], pii: bool) -> tuple[list[str], int]:
    """What is found of a record whose line says this, and how many of its fields were told open unchecked."""
    findings, checked = Findings(), Checked()
    check_export._said(one, telling.as_line(said), pii, checked, findings)
    return list(findings.lines()), checked.opened


@pytest.mark.parametrize("name", ["number", "text"])
def test_with_pii_what_is_plain_is_compared_and_what_is_sealed_is_told_to_be_unchecked(name: str) -> None:
    for life in (Life(sealed=False), Life(sealed=True)):
        one = record(0, life.processed())
        line = telling.told(seen(one), True)
        assert findings_of(one, line, True) == ([], 0)
        line["event"][name] = "something else"
        found, opened = findings_of(one, line, True)
        assert (len(found), opened) == ((0, 1) if life.sealed else (1, 0))
        assert len(findings_of(one, line, False)[0]) == 1


def test_an_event_that_no_export_withholds_is_found_where_only_its_hash_is() -> None:
    plain, sealed = Life(sealed=False), Life(sealed=True)
    elsewhere = record(0, plain.released())._replace(topic="receipts")
    for one, fine in (
        (record(0, plain.added()), True),
        (record(0, sealed.added()), False),
        (record(0, sealed.delivered()), False),
        (elsewhere, False),
    ):
        line = telling.told(seen(one), False)
        assert (findings_of(withheld(one), line, False)[0] == []) is fine
        assert len(findings_of(withheld(one), line, True)[0]) == 1, "an export that opens withholds nothing"


def test_what_is_sealed_stays_and_what_is_plain_is_masked() -> None:
    plain, sealed = Life(sealed=False), Life(sealed=True)
    for life, closed in ((plain, False), (sealed, True)):
        event = life.added()
        added = seen(record(0, event))
        said = telling.told(added, False)["event"]
        assert telling.closed(added) is closed
        assert said["number"] == (event.number if closed else MASK)
        assert "Bath" not in str(said) and set(said["columns"]) == set(life.columns)


def test_a_line_of_what_cannot_be_decoded_shows_none_of_it() -> None:
    bad = seen(Record("processed", 0, 0, 0, None, b"\x00call +12025550199", ()))
    said = telling.told(bad, False)
    assert not telling.closed(bad) and "2025550199" not in str(said) and telling.untold(said) is None


@pytest.mark.parametrize(
    "said",
    [{"type": "NoSuch", "event": {}}, {"type": "CampaignEnded", "event": {}}, {"event": {}}, {"type": "X", "event": 3},
     {"type": "CampaignEnded", "event": {"ended_at": 5}}],
)  # fmt: skip
def test_a_line_that_tells_no_event_is_none(said: dict[str, Any]) -> None:
    with pytest.raises(BadLine):
        telling.untold(said)


# --- the desk --------------------------------------------------------------------------------------------


def test_the_desk_wants_the_campaign_s_and_what_is_said_of_its_persons(tmp_path: Path) -> None:
    ada, stranger = PEOPLE[0], Life("autumn", number="+12025550199", sealed=True)
    desk = Desk(tmp_path, CAMPAIGN)
    try:
        assert not desk.wants("opt-outs", encode(ada.opted_out()))
        desk.put([record(0, ada.added())])
        assert desk.wants("opt-outs", encode(ada.opted_out())) and desk.wants("opt-outs", encode(ada.erased()))
        assert not desk.wants("opt-outs", encode(stranger.opted_out()))
        assert desk.wants("processed", encode(ada.processed()))
        assert not desk.wants("processed", encode(stranger.processed()))
        assert desk.wants("processed", b"nobody can read this") and desk.wants("processed", None)
    finally:
        desk.close()


def test_the_desk_gives_records_back_as_they_were(tmp_path: Path) -> None:
    records = [record(n, event) for n, event in enumerate(ANYTHING)] + [Record("processed", 1, 7, 5, None, None, ())]
    desk = Desk(tmp_path, CAMPAIGN)
    try:
        desk.put(records)
        assert [one for page in desk.records() for one in page] == records
        desk.withhold([(2, records[2])])
        (again,) = [page[2] for page in desk.records()]
        assert again.value is None and again.leaf() == records[2].leaf() and again.withheld == records[2].leaf()
    finally:
        desk.close()
