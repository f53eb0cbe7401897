"""What an attacker sends, and what must not leak: bodies made to hurt, replays, secrets, ports."""

import asyncio
import csv
import gzip
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from twilio.request_validator import RequestValidator

from tests.contract.routes import routes
from tests.e2e.people import Campaign, User, read
from tests.e2e.running import SERVICES
from tests.e2e.story import Story

CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
TAKE_JSON = [
    ("POST", "/campaigns", "name"),
    ("POST", "/campaigns/{campaign_id}/end", "confirm"),
    ("POST", "/campaigns/{campaign_id}/sending", "take_over"),
    ("POST", "/campaigns/{campaign_id}/sending/next", "limit"),
    ("POST", "/campaigns/{campaign_id}/send", "recipients"),
    ("POST", "/opt-outs", "phone"),
]
NASTY = {
    "nested": b"[" * 50_000 + b"]" * 50_000,
    "objects in objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "a key twice": b'{"KEY": "x", "KEY": "END"}',
    "a huge number": b'{"KEY": ' + b"9" * 100_000 + b"}",
    "a number beyond floats": b'{"KEY": 1e99999}',
    "no number": b'{"KEY": NaN}',
    "many fields": orjson.dumps({f"f{n}": n for n in range(20_000)}),
    "a long field": b'{"KEY": "' + b"x" * 900_000 + b'"}',
    "half a character": b'{"KEY": "\\ud800"}',
    "half a character as a key": b'{"\\udfff": 1, "KEY": []}',
    "a NUL": b'{"KEY": "\\u0000"}',
    "NULs": b"\0" * 1000,
}
QUERIES = ("state=%00", "limit=%00", "state=%ff%fe", "state=%ed%a0%80", "limit=" + "9" * 5000, "after=" + "x" * 9000)


@pytest.fixture
async def own(story: Story) -> tuple[User, Campaign, str]:
    """A manager, a campaign of theirs, and a person on its list."""
    number = story.number()
    return await story.manager(), await story.campaign([number]), number


@pytest.mark.parametrize("nasty", NASTY)
async def test_json_that_is_made_to_hurt_is_refused(story: Story, own: tuple[User, Campaign, str], nasty: str) -> None:
    mia, campaign, _ = own
    before = await mia.ok("GET", f"/campaigns/{campaign.id}")
    for method, path, key in TAKE_JSON:
        body = NASTY[nasty].replace(b"KEY", key.encode())
        answer = await mia.call(method, path.format(campaign_id=campaign.id), data=body, headers=JSON)
        # A field that nobody asks for is nothing to those who have what they need.
        harmless = path.endswith(("/sending", "/next", "/send")) and nasty == "half a character as a key"
        assert 400 <= answer.status < 500 or harmless, (nasty, path, answer)
    await mia.stops(campaign)
    assert await mia.ok("GET", f"/campaigns/{campaign.id}") == before


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:12])
async def test_queries_that_are_made_to_hurt_are_refused(
    story: Story, own: tuple[User, Campaign, str], query: str
) -> None:
    mia, campaign, _ = own
    for path in ("/campaigns", "/opt-outs", "/replies", f"/campaigns/{campaign.id}/recipients"):
        answer = await mia.call("GET", f"{path}?{query}")
        unknown_to_it = query.split("=")[0] not in {"/campaigns": "state"}.get(path, "limit after state")
        ignored = unknown_to_it or (path in ("/opt-outs", "/replies") and query.startswith("state"))
        assert 400 <= answer.status < 500 or (ignored and answer.status == 200), (path, query[:20], answer.status)


def _zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/sharedStrings.xml", bytes(50_000_000))
    return out.getvalue()


async def test_lists_that_unpack_are_refused_unread(story: Story, own: tuple[User, Campaign, str]) -> None:
    mia, campaign, _ = own
    listed = b"phone\n+12025550123\n"
    for path in (f"/campaigns/{campaign.id}/recipients", "/opt-outs/import"):
        for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
            headers = {**CSV, "Content-Encoding": encoding}
            answer = await mia.call("POST", path, data=gzip.compress(listed), headers=headers)
            assert (answer.status, answer.code) == (415, "encoding_not_supported"), (path, encoding)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await mia.call("POST", path, data=b"--x\r\n\r\n" + listed, headers=headers)
        assert (answer.status, answer.code) == (415, "multipart_not_supported")
        for packed in (_zip_bomb(), gzip.compress(listed)):
            assert (await mia.call("POST", path, data=packed, headers=CSV)).status in (400, 413, 422), path
    refused = await mia.call("POST", f"/campaigns/{campaign.id}/recipients", data=_zip_bomb(), headers=CSV)
    assert (refused.status, refused.code) == (422, "not_csv")
    assert (await mia.ok("GET", f"/campaigns/{campaign.id}"))["recipients"] == 1


@pytest.mark.parametrize(
    "line", ["a\rb", '"', "x" * 60_000, "x" * 200_000, '"' + "x" * 200_000, "\0", "\ud7ff\uffff", ",".join("x" * 9000)]
)
async def test_a_line_that_is_no_csv_is_rejected_or_refused(story: Story, line: str) -> None:
    mia, number = await story.manager(), story.number()
    data = f"phone,reason\n{line}\n{number},asked\n".encode()
    answer = await mia.call("POST", "/opt-outs/import", data=data, headers=CSV)
    assert answer.status in (200, 413), answer
    campaign = await story.campaign()
    answer = await mia.call("POST", f"/campaigns/{campaign.id}/recipients", data=data, headers=CSV)
    assert answer.status in (200, 413, 422), answer


async def test_a_method_that_is_not_there_is_405_and_told_which_are(story: Story) -> None:
    for path, allowed in (("/campaigns", "GET, POST"), ("/campaigns/x/sending", "DELETE, POST")):
        async with story.http.put(f"{story.running.url()}/api/v1{path}") as got:
            assert (got.status, got.headers["allow"]) == (405, allowed)


async def test_every_answer_of_every_service_has_the_security_headers(story: Story) -> None:
    asked = [
        (service, method, path)
        for service in SERVICES
        for method, path in (("GET", "/healthz"), ("GET", "/nothing"), ("PUT", "/healthz"), ("GET", "/openapi.json"))
    ]
    paths = {("send-intake", route.method, re.sub(r"\{\w+\}", "x", route.path)) for route in routes()}
    for service, method, path in (*asked, *sorted(paths)):
        url = story.running.url(SERVICES[service]) + path
        async with story.http.request(method, url, allow_redirects=False) as got:
            headers = got.headers
        assert headers.getall("x-content-type-options") == ["nosniff"], (service, path)
        assert len(headers.getall("content-security-policy")) == 1, (service, path)
        assert "default-src 'none'" in headers["content-security-policy"], (service, path)
        assert len(headers.getall("cache-control")) == 1 and "no-store" in headers["cache-control"], (service, path)
        assert headers["referrer-policy"] and headers["cross-origin-resource-policy"] == "same-origin"
        assert "strict-transport-security" not in headers and "server" not in headers


# --- spreadsheets ---------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")', "＝1", "'=1"]
E164 = re.compile(r"\+[1-9]\d{6,14}")


def _runs(cell: str) -> bool:
    """Whether a spreadsheet takes the cell for a formula; a phone number, written as one, is a number to it."""
    return cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not E164.fullmatch(cell)


async def test_no_cell_of_a_download_is_a_formula(story: Story) -> None:
    mia, people, stopped = await story.manager(), story.numbers(len(FORMULAS)), story.numbers(len(FORMULAS))
    listed = io.StringIO()
    writer = csv.writer(listed)
    writer.writerow(["phone", "first_name", "=HEADER()", "@city"])
    writer.writerows([number, formula, formula, formula] for number, formula in zip(people, FORMULAS, strict=True))
    campaign = await story.campaign(text="Hi {first_name}")
    assert (await story.imports(campaign, listed.getvalue()))["added"] == len(FORMULAS)
    for number, formula in zip(stopped, FORMULAS, strict=True):
        await mia.ok("POST", "/opt-outs", json={"phone": number, "reason": formula})
    await story.settles(campaign, unprocessed=len(FORMULAS))
    for path in (f"/campaigns/{campaign.id}/report.csv", "/opt-outs/export.csv"):
        content: bytes = await mia.ok("GET", path)
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        assert len(rows) > len(FORMULAS), path
        assert [cell for row in rows for cell in row if _runs(cell)] == [], path
        assert any("'=1+1" in row for row in rows), path


# --- webhooks -------------------------------------------------------------------------------------------------


def _secrets(story: Story) -> dict[str, str]:
    found: dict[str, str] = json.loads((story.running.home / "secrets.json").read_text())
    return found


async def _signed(story: Story, path: str, form: dict[str, str], at: str | None = None) -> int:
    """The status of a webhook with the carrier's own signature."""
    url = story.running.url("DISPATCHER_PORT") + path
    signature = RequestValidator(_secrets(story)["TWILIO_AUTH_TOKEN"]).compute_signature(at or url, form)
    async with story.http.post(url, data=form, headers={"X-Twilio-Signature": signature}) as got:
        return got.status


async def test_a_signed_webhook_that_is_played_again_changes_nothing(
    story: Story, own: tuple[User, Campaign, str]
) -> None:
    mia, campaign, number = own
    form = {"MessageSid": f"SM{os.urandom(16).hex()}", "From": number, "To": campaign.sender, "Body": "STOP"}

    async def opted_out() -> dict[str, str]:
        listed = (await mia.ok("GET", "/opt-outs?limit=500"))["opt_outs"]
        return {one["phone"]: one["person_id"] for one in listed}

    assert await _signed(story, "/webhooks/twilio/inbound", form) == 200
    person = (await opted_out())[number]
    await mia.ok("DELETE", f"/opt-outs/{person}", json={"reason": "came by and asked for it"})
    replies = await mia.ok("GET", "/replies")
    for _ in range(3):
        assert await _signed(story, "/webhooks/twilio/inbound", form) == 200
    assert number not in await opted_out()
    assert await mia.ok("GET", "/replies") == replies


async def test_a_signature_is_good_for_its_own_address_and_form_alone(
    story: Story, own: tuple[User, Campaign, str]
) -> None:
    _, campaign, number = own
    form = {"MessageSid": "SM1", "From": number, "To": campaign.sender, "Body": "STOP"}
    status = story.running.url("DISPATCHER_PORT") + "/webhooks/twilio/status"
    assert await _signed(story, "/webhooks/twilio/inbound", form, at=status) == 403
    assert await _signed(story, "/webhooks/twilio/inbound?a=b", form, at=status) == 403
    large = {**form, "Body": "x" * 70_000}
    assert await _signed(story, "/webhooks/twilio/inbound", large) == 413
    many = {f"f{n}": "x" for n in range(300)}
    assert await _signed(story, "/webhooks/twilio/inbound", many) == 400


# --- secrets and ports ----------------------------------------------------------------------------------------


async def test_no_secret_and_no_token_is_told_by_logs_probes_or_process_lists(
    story: Story, own: tuple[User, Campaign, str]
) -> None:
    mia, campaign, number = own
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.settles(campaign, delivered=1)
    for header in (f"Bearer {sam.token}x", f"Basic {sam.token}", sam.token):  # tokens that are refused, too
        async with story.http.get(
            f"{mia.base}/api/v1/campaigns?token={sam.token}", headers={"Authorization": header}
        ) as got:
            assert got.status == 401
            answer = read(got.status, got.content_type, await got.read())
            assert sam.token not in str(answer.body)
    secret = {name: value for name, value in _secrets(story).items() if name != "TWILIO_ACCOUNT_SID"}
    assert secret.keys() >= {"TOKEN_KEY", "PERSON_ID_SECRET", "CALLBACK_KEY", "TWILIO_AUTH_TOKEN", "POSTGRES_PASSWORD"}
    secret |= {"Sam's token": sam.token, "its signature": sam.token.split(".")[2], "Mia's token": mia.token}
    told = {f"log {log.name}": log.read_text(errors="replace") for log in (story.running.home / "logs").iterdir()}
    told["what the stack said"] = story.running.said.read_text()
    told["handsent status"] = json.dumps(story.running.status())
    told |= await asyncio.to_thread(_command_lines, story)
    for service, port in SERVICES.items():
        for path in ("/status", "/metrics", "/readyz"):
            async with story.http.get(story.running.url(port) + path) as got:
                told[service + path] = await got.text()
    assert len(told) > 20
    assert [(name, where) for where, text in told.items() for name, value in secret.items() if value in text] == []


def _command_lines(story: Story) -> dict[str, str]:
    return {f"command line {pid}": Path(f"/proc/{pid}/cmdline").read_text() for pid in _processes(story)}


def _processes(story: Story) -> set[int]:
    """Every process of the stack: the parts, and what they started."""
    assert story.running.process is not None
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    parts = {part["pid"] for part in story.running.status()["parts"]} | {story.running.process.pid}
    while more := {pid for pid, parent in parents.items() if parent in parts} - parts:
        parts |= more
    return parts


async def test_everything_listens_on_loopback_alone(story: Story) -> None:
    listening = await asyncio.to_thread(lambda: list(_listening(_processes(story))))
    assert len({port for _, port in listening}) >= 8  # five of HTTP, two of Kafka, one of Postgres
    assert [(address, port) for address, port in listening if address not in LOOPBACK] == []


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}  # as the kernel says it


def _listening(pids: set[int]) -> Iterator[tuple[str, int]]:
    """(address, port) that the processes listen on."""
    inodes = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(file.readlink()))
            except OSError:
                continue
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            cells: list[Any] = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                address, port = cells[1].split(":")
                yield address, int(port, 16)
