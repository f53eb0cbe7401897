import asyncio
import socket
import time

import aiohttp
import pytest

from .conftest import SID, TOKEN, Simulator, Webhooks, eventually

ADA, BOB = "+12025551234", "+12025551235"
FIELDS = ["received_at", "to", "from", "body", "status", "accepted", "message_id", "idempotency_key"]


async def test_an_accepted_message_is_in_the_ledger_and_has_its_receipts(
    simulator: Simulator, webhooks: Webhooks
) -> None:
    status, message = await simulator.send(ADA, Body="Hello Ada, 1+1=2 & “so on”", key="k1")
    sid = str(message["sid"])
    assert (status, message["status"], message["to"]) == (201, "queued", ADA)
    assert sid.startswith("SM") and len(sid) == 34
    [line] = await simulator.ledger()
    assert list(line) == FIELDS
    assert list(line.values())[1:] == [
        ADA,
        "+12025550100",
        "Hello Ada, 1+1=2 & “so on”",
        201,
        True,
        sid,
        "k1",
    ]
    await eventually(lambda: webhooks.statuses_of(sid) == ["sent", "delivered"])
    assert webhooks.told[0]["AccountSid"] == SID


REFUSED: list[tuple[str | None, dict[str, str], str, int, int]] = [
    (None, {}, TOKEN, 400, 21604),
    (ADA, {"Body": ""}, TOKEN, 400, 21602),
    ("123", {}, TOKEN, 400, 21211),
    (ADA, {}, "wrong", 401, 20003),
    ("+12025550002", {}, TOKEN, 400, 21614),
    ("+12025550014", {}, TOKEN, 429, 20429),
    ("+12025550016", {}, TOKEN, 500, 20500),
]


async def test_refusals_have_a_line_and_no_message(simulator: Simulator) -> None:
    for to, form, token, status, code in REFUSED:
        answered, problem = await simulator.send(to, token=token, **form)
        assert (answered, problem["code"], problem["status"]) == (status, code, status)
        line = (await simulator.ledger())[-1]
        assert (line["to"], line["status"], line["accepted"], line["message_id"]) == (to, status, False, None)
    assert len(await simulator.ledger()) == len(REFUSED)


async def test_a_dropped_response_was_taken_and_its_receipts_come(simulator: Simulator, webhooks: Webhooks) -> None:
    assert await simulator.faults({"drop_response": 1}) == 200
    with pytest.raises(aiohttp.ClientError):
        await simulator.send(ADA)
    [line] = await simulator.ledger()
    assert (line["status"], line["accepted"]) == (201, True)
    await eventually(lambda: webhooks.statuses_of(str(line["message_id"])) == ["sent", "delivered"])


async def test_a_500_after_accepting_is_taken_and_its_receipts_come(simulator: Simulator, webhooks: Webhooks) -> None:
    await simulator.faults({"fail_after_accept": 1})
    status, _ = await simulator.send(ADA)
    [line] = await simulator.ledger()
    assert (status, line["status"], line["accepted"]) == (500, 500, True)
    await eventually(lambda: line["message_id"] in webhooks.finished())


async def test_a_receipt_can_overtake_the_answer(simulator: Simulator, webhooks: Webhooks) -> None:
    await simulator.faults({"latency_ms": 400, "receipts": {"delay_ms": 0}})
    sending = asyncio.create_task(simulator.send(ADA))
    await eventually(webhooks.finished)
    assert not sending.done()
    assert len(await simulator.ledger()) == 1
    _, message = await sending
    assert webhooks.finished() == {message["sid"]}


async def test_faults_are_replaced_whole_or_not_at_all(simulator: Simulator) -> None:
    await simulator.faults({"reject": {"21610": 1}})
    assert await simulator.faults({"latency_ms": 1, "rejects": {}}) == 400
    assert (await simulator.send(ADA))[1]["code"] == 21610
    await simulator.faults({"latency_ms": 1})
    assert (await simulator.send(ADA))[0] == 201


async def test_beyond_the_throttle_is_a_429_with_retry_after(simulator: Simulator) -> None:
    await simulator.faults({"throttle_per_s": 3})
    answers = await asyncio.gather(*(simulator.send(f"+1202555{n}") for n in range(2000, 2008)))
    assert sorted(status for status, _ in answers) == [201] * 3 + [429] * 5
    assert len(await simulator.ledger()) == 8


async def test_a_webhook_that_fails_is_asked_again(simulator: Simulator, webhooks: Webhooks) -> None:
    webhooks.status = 503
    _, message = await simulator.send(ADA)
    await eventually(lambda: webhooks.asked)
    await webhooks.stop()
    webhooks.status = 204
    await webhooks.start()
    await eventually(lambda: webhooks.statuses_of(str(message["sid"])) == ["sent", "delivered"])


async def test_look_ups_find_accepted_messages_newest_first(simulator: Simulator) -> None:
    await simulator.faults({"receipts": {"failed": {"30005": 1}, "delay_ms": 0}})
    sids = [(await simulator.send(to))[1].get("sid") for to in (ADA, BOB, ADA, "+12025550001")]
    _, page = await simulator.look_up(To=ADA)
    assert isinstance(page["messages"], list)
    assert [message["sid"] for message in page["messages"]] == [sids[2], sids[0]]
    _, page = await simulator.look_up(PageSize="2")
    assert isinstance(page["messages"], list)
    assert [message["sid"] for message in page["messages"]] == [sids[2], sids[1]]
    _, message = await simulator.look_up(f"/{sids[1]}")
    assert (message["to"], message["status"], message["error_code"]) == (BOB, "undelivered", 30005)
    for unknown in ("SM" + "f" * 32, "SM" + "0" * 32, "SM-" + "0" * 30 + "1", "nonsense"):
        assert (await simulator.look_up(f"/{unknown}"))[0] == 404


@pytest.mark.parametrize("status", [200, 403, 503])
async def test_an_inbound_message_answers_what_the_webhook_answered(
    simulator: Simulator, webhooks: Webhooks, status: int
) -> None:
    webhooks.status = status
    reply = {"from": ADA, "to": "+12025550100", "body": "STOP", "message_id": "SM1"}
    async with simulator.http.post(f"{simulator.url}/simulator/inbound", json=reply) as answer:
        assert answer.status == status
        assert await answer.json() == {"status": status, "message_id": "SM1"}
    if status < 500:
        assert webhooks.told[0].items() >= {"From": ADA, "Body": "STOP", "MessageSid": "SM1", "NumMedia": "0"}.items()


async def test_an_inbound_message_without_a_webhook_is_a_502(simulator: Simulator, webhooks: Webhooks) -> None:
    await webhooks.stop()
    reply = {"from": ADA, "to": "+12025550100", "body": "STOP"}
    async with simulator.http.post(f"{simulator.url}/simulator/inbound", json=reply) as answer:
        assert answer.status == 502


BAD_INPUT = [
    ("PUT", "/simulator/faults", b"{"),
    ("PUT", "/simulator/faults", b"\xff"),
    ("PUT", "/simulator/faults", b"[" * 60_000),
    ("POST", "/simulator/inbound", b"[]"),
    ("POST", "/simulator/inbound", b'{"from": 1, "to": "x", "body": "y"}'),
    ("POST", "/2010-04-01/Accounts/%FF/Messages.json", b"\xff=\xff&To=%ff"),
    ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json", b"&" * 1000),
    ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json", b"x" * 100_000),
    ("GET", f"/2010-04-01/Accounts/{SID}/Messages.json?To=%FF%00&PageSize=x", b""),
    ("GET", f"/2010-04-01/Accounts/{SID}/Messages.json?To=%FF%00", b""),
    ("GET", f"/2010-04-01/Accounts/{SID}/Messages/%FF.json", b""),
    ("DELETE", "/simulator/ledger", b""),
]


async def test_bad_input_is_no_server_error(simulator: Simulator) -> None:
    for method, path, body in BAD_INPUT:
        answer = await asyncio.to_thread(exchange, simulator.url, method, path, body)
        assert answer.split()[1][:1] in (b"2", b"4"), (method, path)


def exchange(url: str, method: str, path: str, body: bytes) -> bytes:
    """By hand, with a header that is no UTF-8: no client would send this."""
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: {aiohttp.encode_basic_auth(SID, TOKEN)}\r\nIdempotency-Key: "
    )
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(head.encode() + b"\xff\r\n\r\n" + body)
        return raw.recv(100)


async def test_sigterm_stops_it_within_a_second_even_with_slow_answers(simulator: Simulator) -> None:
    slow = asyncio.create_task(simulator.send("+12025550015"))
    while not await simulator.ledger():
        await asyncio.sleep(0.01)
    start = time.monotonic()
    assert await simulator.stop() == 0
    assert time.monotonic() - start < 1
    with pytest.raises(aiohttp.ClientError):
        await slow
