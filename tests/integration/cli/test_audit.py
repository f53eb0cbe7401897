"""`handsent audit`: exports that an outsider can check, and a log that cannot be changed unnoticed."""

import asyncio
import base64
import hashlib
import io
import json
import stat
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from handsent import topics
from handsent.audit import manifest
from handsent.audit.checkpoint import private_key, public_hex, public_pem
from handsent.audit.desk import Desk
from handsent.audit.fold import Counted
from handsent.audit.framing import from_line
from handsent.audit.make_export import offsets, plain, recipients
from handsent.audit.telling import untold
from handsent.kafka import EmbeddedKafka
from kernel.kafka import when_there
from kernel.seal import CELLS, NUMBER
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault

from schemas.codec import encode, key_of
from schemas.events import Event
from schemas.topics import TOPIC_OF, TOPICS
from tests.integration.cli.conftest import Handsent
from tests.unit.projections.life import Life

KEY = "5a" * 32
PUBLIC = public_hex(private_key(KEY).public_key())
PEOPLE = 12
Produced = list[tuple[Event, str, int]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A log of this file's own, so that checkpoints of all of it are small."""
    with EmbeddedKafka(tmp_path_factory.mktemp("audit-kafka")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        asyncio.run(when_there(broker.bootstrap, TOPICS))
        asyncio.run(produce(broker.bootstrap, [event for life in lives("autumn") for event in story(life)]))
        asyncio.run(produce(broker.bootstrap, [event for life in lives("spring") for event in story(life)]))
        yield broker.bootstrap


async def produce(bootstrap: str, events: list[Event]) -> None:
    out = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await out.start()
    for event in events:
        headers = [("event-type", type(event).__name__.encode())]
        await out.send(TOPIC_OF[type(event)].name, encode(event), key=key_of(event), headers=headers)
    await out.stop()


def lives(campaign: str) -> list[Life]:
    return [Life(campaign, number=f"+1202555{n:04d}", position=n, sealed=True) for n in range(PEOPLE)]


def story(life: Life) -> list[Any]:
    """A third is delivered, a third fails and opts out, a third waits; one is told of twice."""
    begun = [life.created(), life.added(), life.processed(), life.released()]
    sent = [life.attempted(), life.accepted()]
    ends = [[*sent, life.delivered()], [*sent, life.not_delivered(), life.opted_out()], []]
    return begun + ends[life.position % 3] + ([life.added()] if life.position == 0 else [])


CAMPAIGN = Life("spring").campaign_id
FIGURES = {"recipients": 12, "processed": 12, "sent": 8, "not_delivered": 4, "delivered": 4, "failed": 4, "waiting": 4}


@pytest.fixture
def handsent(handsent: Handsent) -> Handsent:
    def run(*arguments: str, exit_code: int = 0, **others: str) -> Any:
        return handsent(*arguments, exit_code=exit_code, **{"AUDIT_KEY": KEY, **others})

    return run


@pytest.fixture
def export(handsent: Handsent, tmp_path: Path) -> Callable[..., Path]:
    def run(*options: str, name: str = "spring.zip", **others: str) -> Path:
        path = tmp_path / name
        handsent("audit", "export", CAMPAIGN, "-o", str(path), *options, **others)
        return path

    return run


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """The files as somebody packs them who wants to be believed: with sums that are right, and no signature."""
    sums = {name: hashlib.sha256(said).hexdigest() for name, said in files.items() if not name.startswith("MANIFEST")}
    files = {**files, "MANIFEST": manifest.text(sums).encode()}
    files.pop("MANIFEST.sig", None)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, said in files.items():
            archive.writestr(name, said)
    return path


def lines(said: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def line_of(said: bytes, kind: str) -> int:
    """The first line of events.jsonl with such an event."""
    return next(number for number, line in enumerate(lines(said)) if line["type"] == kind)


# --- exports ---------------------------------------------------------------------------------------------


def test_an_export_is_the_campaign_and_nothing_else(export: Callable[..., Path]) -> None:
    files = unpacked(export())
    events, records = lines(files["events.jsonl"]), lines(files["records.jsonl"])
    wanted = Counter(type(event).__name__ for life in lives("spring") for event in story(life))
    # What the same persons said while the other campaign went on counts here, too.
    assert Counter(event["type"] for event in events) == wanted + Counter(PersonOptedOut=4)
    assert [(e["topic"], e["partition"], e["offset"]) for e in events] == [
        (r["topic"], r["partition"], r["offset"]) for r in records
    ]
    assert {e["event"]["campaign_id"] for e in events if "campaign_id" in e["event"]} == {CAMPAIGN}
    figures = json.loads(files["figures.json"])
    assert {name: figures[name] for name in FIGURES} == FIGURES and figures["failed_by_reason"] == {"landline": 4}
    assert set(figures["as_of"]) == set(TOPICS) - {"clock", "access"}
    assert len(lines(files["recipients.jsonl"])) == PEOPLE
    assert {f"schemas/{name}" for name in ("ids.json", "campaigns/CampaignCreated.avsc")} < set(files)


def test_the_same_log_gives_the_same_bytes(export: Callable[..., Path], kafka: str) -> None:
    first = export()
    assert export(name="again.zip").read_bytes() == first.read_bytes()
    asyncio.run(produce(kafka, [Life("winter").created(), Life("winter").added()]))
    later = export("--as-of", str(first), name="later.zip")
    assert later.read_bytes() == first.read_bytes(), "what came later is not in it"


def test_numbers_and_texts_stay_closed(export: Callable[..., Path]) -> None:
    said = b"".join(unpacked(export()).values())
    assert b"+1202555" not in said.replace(b"+12025550100", b""), "the sender's own number is nobody's secret"
    assert b"Hello" not in said and b"Bath" not in said


def test_it_is_checked_with_nothing_of_ours(export: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(export()) as archive:
        archive.extractall(folder)
    (folder / "key.pem").write_text(public_pem(private_key(KEY).public_key()))
    subprocess.run(["sha256sum", "--strict", "-c", "MANIFEST"], cwd=folder, check=True, capture_output=True)
    counting = [sys.executable, "-I", "-S", "count.py"]
    said = subprocess.run(counting, cwd=folder, check=True, capture_output=True, text=True).stdout
    assert said.endswith("the same as figures.json\n")
    command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in MANIFEST -sigfile MANIFEST.sig"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    figures = json.loads((folder / "figures.json").read_text())
    (folder / "figures.json").write_text(json.dumps({**figures, "delivered": 5, "failed": 3}))
    assert subprocess.run(counting, cwd=folder, capture_output=True, check=False).returncode == 1
    assert subprocess.run(["sha256sum", "-c", "MANIFEST"], cwd=folder, capture_output=True, check=False).returncode == 1


def test_an_export_holds(handsent: Handsent, export: Callable[..., Path]) -> None:
    assert handsent("audit", "check", str(export())).stdout == "it holds\n"
    said = handsent("audit", "check", "--offline", str(export()), AUDIT_KEY="").stderr
    assert "MANIFEST is not signed, or no key" in said and "not held against the log" in said


Files = dict[str, bytes]


def edited_line(files: Files) -> None:
    files["events.jsonl"] = files["events.jsonl"].replace(b"MessageNotDelivered", b"MessageDelivered", 1)


def without_an_event(files: Files) -> None:
    """Gone from everywhere, and the figures are those of the rest."""
    at = line_of(files["events.jsonl"], "MessageNotDelivered")
    gone = lines(files["events.jsonl"])[at]["event"]["recipient_id"]
    for name in ("events.jsonl", "records.jsonl"):
        kept = files[name].splitlines(keepends=True)
        files[name] = b"".join(kept[:at] + kept[at + 1 :])
    rows = [json.loads(line) for line in files["recipients.jsonl"].splitlines()]
    for row in rows:
        if row["recipient_id"] == gone:
            row |= {"state": "awaiting", "reason_code": None, "carrier_code": None}
    files["recipients.jsonl"] = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
    figures = json.loads(files["figures.json"])
    figures |= {"failed": figures["failed"] - 1, "awaiting": 1, "failed_by_reason": {"landline": 3}}
    files["figures.json"] = json.dumps(figures).encode()


def other_figures(files: Files) -> None:
    figures = json.loads(files["figures.json"])
    files["figures.json"] = json.dumps({**figures, "delivered": 5, "failed": 3}).encode()


def edited_record(files: Files) -> None:
    """An attempt's carrier, changed in the bytes and in the words."""
    at = line_of(files["events.jsonl"], "SendAttempted")
    events, records = (files[name].splitlines(keepends=True) for name in ("events.jsonl", "records.jsonl"))
    events[at] = events[at].replace(b'"twilio"', b'"telnyx"')
    record = json.loads(records[at])
    value = base64.b64decode(record["value"]).replace(b"twilio", b"telnyx")
    records[at] = json.dumps({**record, "value": base64.b64encode(value).decode()}).encode() + b"\n"
    files["events.jsonl"], files["records.jsonl"] = b"".join(events), b"".join(records)


def turned_around(files: Files) -> None:
    for name in ("events.jsonl", "records.jsonl"):
        files[name] = b"".join(reversed(files[name].splitlines(keepends=True)))


def a_recipient_changed(files: Files) -> None:
    files["recipients.jsonl"] = files["recipients.jsonl"].replace(b'"failed"', b'"delivered"', 1)


def another_schema(files: Files) -> None:
    name = "schemas/dispatches/SendAttempted.avsc"
    files[name] = files[name].replace(b'"provider"', b'"carrier"')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edited_line, "its line in events.jsonl does not say what its record says"),
        (without_an_event, "is in the log, and not in the export"),
        (other_figures, "figures.json: delivered is not what the events say"),
        (edited_record, "does not say here what it says in the log"),
        (turned_around, "is not in the order of the log"),
        (a_recipient_changed, "is not what the events say"),
        (another_schema, "is not the schema that number 9 stands for"),
    ],
)
def test_a_changed_export_is_found_although_its_sums_are_right(
    handsent: Handsent, export: Callable[..., Path], tmp_path: Path, change: Callable[[Files], None], says: str
) -> None:
    files = unpacked(export())
    change(files)
    path = packed(tmp_path / "changed.zip", files)
    assert says in handsent("audit", "check", str(path), exit_code=1, AUDIT_KEY="").stdout


def test_a_script_reads_what_was_found(handsent: Handsent, export: Callable[..., Path], tmp_path: Path) -> None:
    whole = export()
    told = json.loads(handsent("audit", "check", str(whole), "--offline", "--json").stdout)
    assert (told["holds"], told["found"], told["findings"]) == (True, 0, {})
    cut = tmp_path / "cut.zip"
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(cut, "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name)[:-1] if name.endswith("events.jsonl") else before.read(name))
    told = json.loads(handsent("audit", "check", str(cut), "--offline", "--json", exit_code=1).stdout)
    assert not told["holds"] and told["found"] == sum(kind["found"] for kind in told["findings"].values()) > 0


def test_a_change_with_the_sums_left_alone_is_found_by_them(
    handsent: Handsent, export: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "changed.zip"
    files = unpacked(export())
    with zipfile.ZipFile(path, "w") as archive:
        for name, said in {**files, "README.txt": b"believe me", "more.txt": b""}.items():
            if name != "count.py":
                archive.writestr(name, said)
    said = handsent("audit", "check", "--offline", str(path), exit_code=1).stdout
    assert "README.txt is not what MANIFEST says" in said and "count.py is missing" in said
    assert "more.txt is not in MANIFEST" in said


def test_with_pii_it_says_who_and_only_its_owner_may_read_it(
    handsent: Handsent, kafka: str, export: Callable[..., Path]
) -> None:
    """Nobody has a key here, so all are as if erased; what was never sealed is shown."""
    handsent("user", "add", "Ada")
    path = export("--pii", AUDIT_KEY="")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = unpacked(path)
    created = next(event for event in lines(files["events.jsonl"]) if event["type"] == "CampaignCreated")
    assert created["event"]["text"] == "Hello {first_name}"
    added = next(event for event in lines(files["events.jsonl"]) if event["type"] == "RecipientAdded")
    assert added["event"]["number"] is None
    assert not any("leaf" in record for record in lines(files["records.jsonl"]))
    assert handsent("audit", "check", str(path), AUDIT_KEY="").stdout == "it holds\n"


def test_with_pii_what_is_sealed_is_opened_with_the_vault(
    handsent: Handsent, kafka: str, database_url: str, tmp_path: Path
) -> None:
    handsent("user", "add", "Ada")
    life = Life("opened", sealed=True)

    async def seal() -> None:
        vault = await open_vault(database_url, "send_intake", [VAULT_KEY], max_size=1)
        key = (await vault.keys_for({life.person_id: life.account_id}))[life.person_id]
        await vault.close()
        added = replace(life.added(), number=key.seal(NUMBER, life.number), cells=key.seal(CELLS, '["Ada"]'))
        await produce(kafka, [life.created(), added])

    asyncio.run(seal())
    path = tmp_path / "opened.zip"
    handsent("audit", "export", life.campaign_id, "-o", str(path), "--pii")
    added = lines(unpacked(path)["events.jsonl"])[-1]["event"]
    assert (added["number"], added["cells"]) == (life.number, '["Ada"]')
    assert handsent("audit", "check", str(path)).stdout == "it holds\n"
    said = handsent("audit", "check", "--offline", str(path))
    assert said.stdout == "it holds\n" and "numbers and texts of 1 records were not checked" in said.stderr
    files = unpacked(path)
    files["events.jsonl"] = files["events.jsonl"].replace(life.number.encode(), b"+12025559999")
    changed = ("audit", "check", "--unsigned", str(packed(tmp_path / "changed.zip", files)))
    assert "does not say what its record says" in handsent(*changed, exit_code=1).stdout
    for away in (("--offline",), ()):
        said = handsent(*changed, *away, exit_code=1, **({} if away else {"VAULT_KEY": ""}))
        assert "opened numbers and texts of 1 records were not checked" in said.stdout
    said = handsent("audit", "export", life.campaign_id, "-o", str(path), "--pii", exit_code=2, VAULT_KEY="w" * 32)
    assert said.stderr.startswith("Error: the vault does not open")


def test_a_sealed_export_that_claims_to_be_open_is_found(
    handsent: Handsent, export: Callable[..., Path], tmp_path: Path
) -> None:
    files = unpacked(export())
    files["export.json"] = files["export.json"].replace(b'"pii": false', b'"pii": true')
    events = files["events.jsonl"].splitlines(keepends=True)
    at = line_of(files["events.jsonl"], "RecipientProcessed")
    told = json.loads(events[at])
    events[at] = json.dumps({**told, "event": {**told["event"], "text": "Pay or else"}}).encode() + b"\n"
    files["events.jsonl"] = b"".join(events)
    path = packed(tmp_path / "changed.zip", files)
    said = handsent("audit", "check", "--offline", str(path), exit_code=1, AUDIT_KEY="").stdout
    assert "opened numbers and texts of 1 records were not checked" in said


# --- proofs ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(handsent: Handsent, tmp_path: Path) -> Path:
    """Two checkpoints; the second has nothing new in it."""
    folder = tmp_path / "checkpoints"
    handsent("audit", "checkpoint", "--dir", str(folder), "--leaves")
    handsent("audit", "checkpoint", "--dir", str(folder))
    return folder


def test_checkpoints_prove_an_export_to_somebody_who_has_only_the_key(
    handsent: Handsent, export: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    path = export("--dir", str(folder))
    outside = {"AUDIT_KEY": "", "KAFKA_BOOTSTRAP": "", "DATABASE_URL": ""}
    said = handsent("audit", "check", "--offline", "--public-key", PUBLIC, str(path), **outside)
    assert said.stdout == "it holds\n" and "0 came later" in said.stderr
    pem = tmp_path / "key.pem"
    pem.write_text(handsent("audit", "key", "--pem").stdout)
    handsent("audit", "check", "--public-key", str(pem), str(path), str(folder / "000001.checkpoint"), exit_code=0)
    files = unpacked(path)
    edited_record(files)
    changed = packed(tmp_path / "changed.zip", files)
    said = handsent("audit", "check", "--offline", "--public-key", PUBLIC, str(changed), exit_code=1, **outside)
    assert "is not what was signed" in said.stdout and "dispatches" in said.stdout


def test_a_record_without_its_proof_is_found(
    handsent: Handsent, export: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    files = unpacked(export("--dir", str(folder)))
    shorter = b"".join(files["proofs.jsonl"].splitlines(keepends=True)[1:])
    path = packed(tmp_path / "changed.zip", {**files, "proofs.jsonl": shorter})
    assert "proof of its block is missing" in handsent("audit", "check", "--offline", str(path), exit_code=1).stdout


def test_another_key_and_another_checkpoint_are_found(
    handsent: Handsent, export: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    path = str(export("--dir", str(folder)))
    said = handsent("audit", "check", "--offline", "--public-key", "00" * 31 + "01", path, exit_code=1).stdout
    assert "checkpoint 1 is not signed with this key" in said and "MANIFEST is not signed with this key" in said
    other = tmp_path / "other"
    handsent("audit", "checkpoint", "--dir", str(other), AUDIT_KEY="17" * 32)
    both = (path, str(other / "000001.checkpoint"))
    said = handsent("audit", "check", "--offline", "--public-key", PUBLIC, *both, exit_code=1).stdout
    assert "checkpoint 1 in the export is not the one that was given" in said


def counted_anew(files: Files, folder: Path) -> Files:
    """The files with the figures and recipients that their events give."""
    desk = Desk(folder, CAMPAIGN)
    for number, line in enumerate(files["records.jsonl"].splitlines()):
        record = from_line(line)
        if record.withheld is not None:
            event = untold(json.loads(files["events.jsonl"].splitlines()[number]))
            record = record._replace(value=event and encode(event))
        desk.put([record])
    counted = Counted(CAMPAIGN)
    told = b"".join(recipients(desk, counted))
    figures = plain(counted.figures(desk.of_campaign(), offsets(json.loads(files["export.json"]))))
    desk.close()
    return {**files, "recipients.jsonl": told, "figures.json": json.dumps(figures).encode()}


def withheld(files: Files, kind: str, tell: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The first record of that kind is only its hash now, and its line is told otherwise."""
    at = line_of(files["events.jsonl"], kind)
    events, records = (files[name].splitlines(keepends=True) for name in ("events.jsonl", "records.jsonl"))
    said, true = json.loads(records[at]), from_line(records[at])
    del said["value"]
    records[at] = json.dumps({**said, "leaf": true.leaf().hex()}).encode() + b"\n"
    events[at] = json.dumps(tell(json.loads(events[at])), separators=(",", ":")).encode() + b"\n"
    files["events.jsonl"], files["records.jsonl"] = b"".join(events), b"".join(records)


def delivered_instead(told: dict[str, Any]) -> dict[str, Any]:
    event = {name: value for name, value in told["event"].items() if name != "reason"}
    return {**told, "type": "MessageDelivered", "event": event}


def undecodable_instead(told: dict[str, Any]) -> dict[str, Any]:
    return {**{n: v for n, v in told.items() if n != "event"}, "type": "undecodable", "error": "it cannot be decoded"}


def masked_elsewhere(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "event": {**told["event"], "number": "***", "position": 99}}


@pytest.mark.parametrize(
    ("kind", "tell", "offline", "online"),
    [
        ("MessageNotDelivered", delivered_instead, "is never withheld", "says something else in the log"),
        ("MessageNotDelivered", undecodable_instead, "cannot be decoded is not proven", "something else in the log"),
        ("RecipientAdded", masked_elsewhere, None, "says something else in the log"),
    ],
)
def test_a_forged_event_is_found_although_its_record_is_only_a_hash_that_is_proven(
    handsent: Handsent, export: Callable[..., Path], folder: Path, tmp_path: Path, kind: str, tell: Any,
    offline: str | None, online: str,
) -> None:  # fmt: skip
    files = unpacked(export("--dir", str(folder)))
    withheld(files, kind, tell)
    path = packed(tmp_path / "forged.zip", counted_anew(files, tmp_path))
    check = ("audit", "check", "--unsigned", str(path))
    assert online in handsent(*check, exit_code=1).stdout
    said = handsent(*check, "--offline", exit_code=1 if offline else 0)
    assert "only the hash is here, which proves nothing" in said.stderr and (offline or "") in said.stdout
    shown = sum("value" in record for record in lines(files["records.jsonl"]))
    assert f"{shown} of them are proven" in said.stderr


@pytest.fixture
def late(handsent: Handsent, kafka: str, folder: Path, tmp_path: Path) -> Path:
    """An export of a campaign that a third checkpoint covers from the attempt on, with others' records behind."""
    life = Life("late", number="+12025557777", sealed=True)
    asyncio.run(produce(kafka, [life.created(), life.added()]))
    handsent("audit", "checkpoint", "--dir", str(folder))
    asyncio.run(produce(kafka, [life.attempted(), *(one.attempted() for one in lives("behind"))]))
    handsent("audit", "checkpoint", "--dir", str(folder))
    path = tmp_path / "late.zip"
    handsent("audit", "export", life.campaign_id, "-o", str(path), "--dir", str(folder))
    return path


def without_checkpoints(files: Files, gone: set[int]) -> None:
    for number in gone:
        del files[f"checkpoints/{number:06d}.checkpoint"]
    kept = [
        line for line in files["proofs.jsonl"].splitlines(keepends=True) if json.loads(line)["checkpoint"] not in gone
    ]
    files["proofs.jsonl"] = b"".join(kept)
    if len(gone) == 4:
        del files["proofs.jsonl"]


def ended_before(files: Files) -> None:
    """The partition of the edited record ends behind it, so that its block reaches beyond."""
    told, figures = json.loads(files["export.json"]), json.loads(files["figures.json"])
    edited = lines(files["records.jsonl"])[line_of(files["events.jsonl"], "SendAttempted")]
    ends, number = told["topics"]["dispatches"]["partitions"], str(edited["partition"])
    assert ends[number][1] > edited["offset"] + 1
    ends[number][1] = figures["as_of"]["dispatches"][number] = edited["offset"] + 1
    files["export.json"], files["figures.json"] = json.dumps(told).encode(), json.dumps(figures).encode()
    proofs = lines(files["proofs.jsonl"])
    kept = [p for p in proofs if (p["topic"], p["partition"]) != ("dispatches", edited["partition"])]
    files["proofs.jsonl"] = b"".join(json.dumps(p).encode() + b"\n" for p in kept)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: without_checkpoints(files, {1, 2, 3, 4}), "checkpoint 4, which was given, reaches over records"),
        (lambda files: without_checkpoints(files, {4}), "checkpoint 4, which was given, reaches over records"),
        (lambda files: without_checkpoints(files, {1, 2}), "checkpoints in the export begin with 3"),
        (ended_before, "1 records lie below a signed end and are unproven"),
    ],
)
def test_checkpoints_that_somebody_kept_are_what_an_export_is_proven_with(
    handsent: Handsent, late: Path, folder: Path, tmp_path: Path, change: Callable[[Files], None], says: str
) -> None:
    kept = [str(path) for path in sorted(folder.glob("*.checkpoint"))]
    check = ("audit", "check", "--offline", "--public-key", PUBLIC, "--unsigned")
    assert handsent(*check, str(late), *kept).stdout == "it holds\n"
    files = unpacked(late)
    edited_record(files)
    change(files)
    said = handsent(*check, str(packed(tmp_path / "changed.zip", files)), *kept, exit_code=1).stdout
    assert says in said and "bad lines" not in said


def test_a_checkpoint_that_may_be_later_than_a_signed_export_is_a_note(
    handsent: Handsent, export: Callable[..., Path], kafka: str, folder: Path, tmp_path: Path
) -> None:
    path, none = export("--dir", str(tmp_path / "none")), ("audit", "check", "--offline")
    kept = [str(path) for path in sorted(folder.glob("*.checkpoint"))]
    said = handsent(*none, str(path), *kept)
    assert said.stdout == "it holds\n" and "checkpoint 1, which was given, reaches over records" in said.stderr
    asyncio.run(produce(kafka, [Life("since").created()]))
    later = export("--dir", str(tmp_path / "none"), name="later.zip")
    said = handsent(*none, str(later), *kept, exit_code=1).stdout
    assert "checkpoint 1, which was given, reaches over records" in said
    assert handsent("audit", "check", str(later), *kept).stdout == "it holds\n", "the log shows it"


def test_with_a_key_an_export_that_is_not_signed_does_not_hold_unless_one_says_so(
    handsent: Handsent, export: Callable[..., Path], folder: Path
) -> None:
    path = str(export("--dir", str(folder), AUDIT_KEY=""))
    check = ("audit", "check", "--offline", path)
    assert handsent(*check, AUDIT_KEY="").stdout == "it holds\n"
    said = handsent(*check, "--public-key", PUBLIC, exit_code=1).stdout
    assert "its MANIFEST is not signed" in said and "--unsigned" in said
    assert handsent(*check, "--public-key", PUBLIC, "--unsigned").stdout == "it holds\n"


def test_no_export_is_made_with_checkpoints_that_begin_in_the_middle(
    handsent: Handsent, folder: Path, tmp_path: Path
) -> None:
    (folder / "000001.checkpoint").unlink()
    command = ("audit", "export", CAMPAIGN, "-o", str(tmp_path / "x.zip"), "--dir", str(folder))
    assert "begin with 2" in handsent(*command, exit_code=2).stderr


# --- checkpoints -----------------------------------------------------------------------------------------


def test_checkpoints_of_a_log_that_nobody_changed_hold(handsent: Handsent, folder: Path, kafka: str) -> None:
    asyncio.run(produce(kafka, [Life("summer").created(), Life("summer").added()]))
    handsent("audit", "checkpoint", "--dir", str(folder))
    files = sorted(str(path) for path in folder.glob("*.checkpoint"))
    assert [Path(path).name for path in files] == [f"00000{n}.checkpoint" for n in (1, 2, 3)]
    said = handsent("audit", "check", *files, "--public-key", PUBLIC, AUDIT_KEY="")
    assert said.stdout == "it holds\n"
    assert "some are missing" in handsent("audit", "check", files[0], files[2], exit_code=1).stdout
    assert "before checkpoint 3" in handsent("audit", "check", files[2]).stderr
    handsent("audit", "check", "--public-key", "ab" * 32, files[0], exit_code=1)


def test_a_checkpoint_can_be_kept_elsewhere_at_once(handsent: Handsent, folder: Path) -> None:
    after = str(folder / "000002.checkpoint")
    written = handsent("audit", "checkpoint", "--stdout", "--after", after).stdout_bytes
    kept = folder / "elsewhere"
    kept.write_bytes(written)
    assert handsent("audit", "check", *map(str, sorted(folder.glob("*.checkpoint"))), str(kept)).stdout == "it holds\n"


def test_a_checkpoint_of_another_cluster_is_one_clear_line(handsent: Handsent, folder: Path, tmp_path: Path) -> None:
    first = folder / "000001.checkpoint"
    said = json.loads(first.read_text().splitlines()[0])
    body = json.dumps({**said, "cluster": "another"}, separators=(",", ":")).encode() + b"\n"
    signature = base64.b64encode(private_key(KEY).sign(body))
    other = tmp_path / "other.checkpoint"
    other.write_bytes(body + b"ed25519 " + signature + b"\n")
    for command in (("check", str(other)), ("checkpoint", "--stdout", "--after", str(other))):
        lines = handsent("audit", *command, exit_code=2).stderr.splitlines()
        assert len(lines) == 1 and "another cluster" in lines[0]


# --- bad input -------------------------------------------------------------------------------------------


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("records.jsonl", b" " * 50_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("said", "clear"),
    [
        (lambda good: good[: len(good) // 2], "no zip, or has been cut off"),
        (lambda good: bomb(), "would unpack to"),
        (lambda good: b"PK but no zip", "no zip, or has been cut off"),
        (lambda good: b"", "no checkpoint"),
        (lambda good: b"\x00" * 100, "no checkpoint"),
        (lambda good: b'{"handsent_checkpoint":1}\ned25519 AAAA\n', "no checkpoint"),
    ],
)
def test_what_is_neither_export_nor_checkpoint_is_one_clear_line(
    handsent: Handsent, export: Callable[..., Path], tmp_path: Path, said: Callable[[bytes], bytes], clear: str
) -> None:
    path = tmp_path / "bad"
    path.write_bytes(said(export().read_bytes()))
    answer = handsent("audit", "check", "--offline", str(path), exit_code=2).stderr.splitlines()
    assert len(answer) == 1 and clear in answer[0]


def test_a_damaged_part_is_named(handsent: Handsent, export: Callable[..., Path], tmp_path: Path) -> None:
    path = export()
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("events.jsonl").header_offset
    data = bytearray(path.read_bytes())
    data[start + 200] ^= 0xFF
    path.write_bytes(data)
    assert "events.jsonl is damaged" in handsent("audit", "check", "--offline", str(path), exit_code=1).stdout


def test_what_is_not_there_is_one_clear_line(handsent: Handsent, folder: Path, tmp_path: Path) -> None:
    nowhere = ("audit", "export", Life("no such").campaign_id, "-o", str(tmp_path / "x.zip"))
    assert "no campaign" in handsent(*nowhere, exit_code=2).stderr
    assert [path.name for path in tmp_path.iterdir() if "x.zip" in path.name or path.name.startswith(".")] == []
    handsent("audit", "export", "spring", "-o", "x.zip", exit_code=2)
    one = str(folder / "000001.checkpoint")
    assert "a public key is" in handsent("audit", "check", "--public-key", "abc", one, exit_code=2).stderr
    assert "whose signature" in handsent("audit", "check", one, exit_code=2, AUDIT_KEY="").stderr
    assert "AUDIT_KEY" in handsent("audit", "key", exit_code=2, AUDIT_KEY="").stderr
    handsent("audit", "key", exit_code=2, AUDIT_KEY="too short")
    away = handsent("audit", "checkpoint", "--stdout", exit_code=2, KAFKA_BOOTSTRAP="127.0.0.1:1").stderr
    assert len([line for line in away.splitlines() if line.startswith("Error")]) == 1
