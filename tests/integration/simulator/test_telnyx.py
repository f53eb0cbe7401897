"""Telnyx's face of the simulator: a key makes a repeated request harmless once it has worked, and not before."""

import asyncio
import base64
import signal
from typing import Any

import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .conftest import KEY, SEED, Simulator, eventually

ADA, SENDER = "+12025551234", "+12025550100"
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key()


async def send(simulator: Simulator, to: str = ADA, key: str | None = "k1", **more: Any) -> tuple[int, dict[str, Any]]:
    """What was answered; 0 when the connection was cut."""
    body = {"from": SENDER, "to": to, "text": "Hello “Ada”", **more}
    headers = {"Authorization": f"Bearer {KEY}", **({"Idempotency-Key": key} if key else {})}
    try:
        async with simulator.http.post(f"{simulator.url}/v2/messages", json=body, headers=headers) as answer:
            return answer.status, orjson.loads(await answer.read())
    except OSError:
        return 0, {}
    except Exception as error:
        assert type(error).__name__ == "ServerDisconnectedError"
        return 0, {}


async def test_a_success_is_answered_once_more_and_taken_once(simulator: Simulator) -> None:
    status, first = await send(simulator)
    assert (status, first["data"]["parts"], first["data"]["to"][0]["status"]) == (200, 1, "queued")
    assert await send(simulator) == (200, first)
    lines = await simulator.ledger()
    assert [(line["status"], line["accepted"]) for line in lines] == [(200, True), (200, False)]
    assert {line["message_id"] for line in lines} == {first["data"]["id"]}
    assert {line["idempotency_key"] for line in lines} == {"k1"}


async def test_another_key_or_none_is_another_message(simulator: Simulator) -> None:
    ids = {(await send(simulator, key=key))[1]["data"]["id"] for key in ("k1", "k2", None, None)}
    assert len(ids) == 4


async def test_another_body_under_a_used_key_is_refused(simulator: Simulator) -> None:
    await send(simulator)
    status, problem = await send(simulator, text="Hello Bob")
    assert status == 422 and problem["errors"]
    assert sum(line["accepted"] for line in await simulator.ledger()) == 1


async def test_a_request_under_way_is_a_conflict_and_then_a_success(simulator: Simulator) -> None:
    await simulator.faults({"latency_ms": 500})
    first = asyncio.create_task(send(simulator))
    await asyncio.sleep(0.2)
    assert (await send(simulator))[0] == 409
    assert (await first)[0] == 200
    assert await send(simulator) == await first


async def test_a_cut_connection_is_a_success_that_is_remembered(simulator: Simulator) -> None:
    await simulator.faults({"drop_response": 1})
    assert (await send(simulator))[0] == 0
    await simulator.faults({})
    assert (await send(simulator))[0] == 200
    assert [line["accepted"] for line in await simulator.ledger()] == [True, False]


async def test_a_failure_is_not_remembered_so_asking_again_sends_again(simulator: Simulator) -> None:
    await simulator.faults({"fail_after_accept": 1})
    assert (await send(simulator))[0] == 500
    await simulator.faults({})
    assert (await send(simulator))[0] == 200
    assert [line["accepted"] for line in await simulator.ledger()] == [True, True]


async def test_keys_survive_a_kill(simulator: Simulator) -> None:
    _, first = await send(simulator)
    await simulator.stop(signal.SIGKILL)
    await simulator.start()
    assert await send(simulator) == (200, first)


async def test_refusals_speak_telnyxs_codes(simulator: Simulator) -> None:
    for to, status, code in [
        ("+12025550001", 400, "40310"), ("+12025550010", 400, "40300"), ("+12025550014", 429, "10011"),
        ("+12025550016", 500, "10007"), ("123", 400, "40310"),
    ]:  # fmt: skip
        answered, problem = await send(simulator, to, key=None)
        assert (answered, problem["errors"][0]["code"]) == (status, code)
    headers = {"Authorization": "Bearer wrong"}
    async with simulator.http.post(f"{simulator.url}/v2/messages", data=b"[", headers=headers) as answer:
        assert answer.status == 401


async def test_receipts_and_replies_are_signed_events(simulator: Simulator, unused_tcp_port: int) -> None:
    told: list[dict[str, Any]] = []

    async def webhook(request: web.Request) -> web.Response:
        body = await request.read()
        signed = request.headers["telnyx-timestamp"].encode() + b"|" + body
        PUBLIC.verify(base64.b64decode(request.headers["telnyx-signature-ed25519"]), signed)
        told.append(orjson.loads(body)["data"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/{any:.*}", webhook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    try:
        await send(simulator, webhook_url=f"http://127.0.0.1:{unused_tcp_port}/status?a=1")
        await send(simulator, "+12025550006", key="k2", webhook_url=f"http://127.0.0.1:{unused_tcp_port}/status?a=1")
        await eventually(lambda: len(told) == 4)
    finally:
        await runner.cleanup()
    said = sorted((event["event_type"], event["payload"]["to"][0]["status"]) for event in told)
    finals = [("message.finalized", "delivered"), ("message.finalized", "delivery_failed")]
    assert said == [*finals, ("message.sent", "sent"), ("message.sent", "sent")]
    assert [e["code"] for event in told for e in event["payload"]["errors"]] == ["40001"]
