"""What becomes known later: an outcome by the carrier's list, a receipt by its message's id, a repeat by its key."""

import asyncio
import base64
import signal
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dispatcher import callback
from dispatcher.app_replay import REBUILT
from dispatcher.provider import TELNYX, TWILIO
from kernel.replay import verify
from kernel.verdict import Verdict
from twilio.request_validator import RequestValidator

from tests.integration.dispatcher.providers.conftest import SEED, Carried
from tests.integration.dispatcher.world import ENVIRONMENT, eventually
from tests.integration.process import free_port


async def test_twilios_list_resolves_what_was_dropped_without_any_callback(carried: Carried) -> None:
    if carried.provider != TWILIO:
        return
    await carried.faults(drop_response=1, receipts={"silent": 1})
    number = carried.number()
    await carried.publish(carried.released(number))
    [story] = await carried.told(number, until="MessageAccepted")
    assert story == ["SendAttempted", "MessageUnresolved", "MessageAccepted"]
    [line] = await carried.ledger(number)
    row = await carried.database.fetchrow(
        "SELECT state, carrier_message_id FROM attempts WHERE recipient_id = $1", carried.rid(number)
    )
    assert row is not None and (row["state"], row["carrier_message_id"]) == ("accepted", line["message_id"])


async def test_twilios_list_says_nothing_of_what_was_never_taken(carried: Carried) -> None:
    if carried.provider != TWILIO:
        return
    number = carried.number()[:-4] + "0016"  # answers 500 without taking it
    await carried.publish(carried.released(number))
    await carried.told(number, until="MessageUnresolved")
    await asyncio.sleep(2.5)
    assert await carried.told(number) == [["SendAttempted", "MessageUnresolved"]]


async def reports(carried: Carried, id_: str, status: str, number: str, query: str = "") -> int:
    """A receipt as the carrier sends it, to an address that names no attempt."""
    url = f"{carried.stack.url}{callback.path(carried.provider)}{query}"
    if carried.provider == TELNYX:
        to = [{"phone_number": number, "status": status}]
        payload = {"id": id_, "to": to, "from": {"phone_number": carried.sender}, "errors": []}
        body = orjson.dumps({"data": {"event_type": "message.finalized", "payload": payload}})
        headers = signed(body)
    else:
        form = {"MessageSid": id_, "MessageStatus": status, "To": number, "From": carried.sender}
        body = urlencode(form).encode()
        signature = RequestValidator(ENVIRONMENT["TWILIO_AUTH_TOKEN"]).compute_signature(url, form)
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    async with carried.http.post(url, data=body, headers=headers) as answer:
        return answer.status


def signed(body: bytes, *, at: float | None = None, seed: bytes = SEED) -> dict[str, str]:
    timestamp = str(int(at if at is not None else time.time()))
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(timestamp.encode() + b"|" + body)
    return {
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        "Content-Type": "application/json",
    }


async def test_a_receipt_that_names_no_attempt_is_applied_by_its_id(carried: Carried) -> None:
    if carried.provider not in (TWILIO, TELNYX):
        return
    await carried.faults(receipts={"silent": 1})
    number = carried.number()
    await carried.publish(carried.released(number))
    await carried.told(number, until="MessageAccepted")
    [line] = await carried.ledger(number)
    absurd = f"?{'&'.join(['attempt=1'] * 300)}"
    assert await reports(carried, line["message_id"], "sent", number, absurd) == 204
    assert await reports(carried, line["message_id"], "delivered", number) == 204
    await carried.told(number, until="MessageDelivered")


async def test_a_receipt_for_an_id_that_is_not_known_yet_is_parked_and_replayed_when_it_is(carried: Carried) -> None:
    if carried.provider not in (TWILIO, TELNYX):
        return
    await carried.faults(latency_ms=1500, receipts={"silent": 1})
    number = carried.number()
    await carried.publish(carried.released(number))
    await eventually(lambda: posted(carried, number), lambda: "it is posted")
    [line] = await carried.ledger(number)
    for _ in range(3):
        assert await reports(carried, line["message_id"], "delivered", number) == 204
    fates = "SELECT fate, look_at FROM callbacks WHERE carrier_message_id = $1"
    assert {row["fate"] for row in await carried.database.fetch(fates, line["message_id"])} == {"parked"}
    [story] = await carried.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageAccepted", "MessageDelivered"]

    async def replayed() -> bool:
        rows = await carried.database.fetch(fates, line["message_id"])
        return {(row["fate"], row["look_at"]) for row in rows} == {("applied", None)}

    await eventually(replayed, lambda: "all three are applied")


async def test_a_receipt_that_stays_nobodys_is_kept_and_looked_at_ever_more_rarely(carried: Carried) -> None:
    if carried.provider not in (TWILIO, TELNYX):
        return
    assert await reports(carried, carried.campaign_id, "delivered", carried.number()) == 204
    query = "SELECT fate, look_at, received_at FROM callbacks WHERE carrier_message_id = $1"

    async def waits_longer() -> bool:
        row = await carried.database.fetchrow(query, carried.campaign_id)
        return row is not None and (row["look_at"] - row["received_at"]).total_seconds() > 3.5

    await eventually(waits_longer, lambda: "it waits longer")
    row = await carried.database.fetchrow(query, carried.campaign_id)
    assert row is not None and row["fate"] == "parked"


async def posted(carried: Carried, number: str) -> bool:
    return bool(await carried.ledger(number))


async def refused(carried: Carried, *, expected: int, change: Callable[[bytes], tuple[bytes, dict[str, str]]]) -> None:
    for path in (callback.path(TELNYX), "/webhooks/telnyx/inbound"):
        body, headers = change(b'{"data": {"event_type": "message.received", "payload": {}}}')
        async with carried.http.post(f"{carried.stack.url}{path}", data=body, headers=headers) as answer:
            assert answer.status == expected, await answer.text()


async def test_telnyx_webhooks_that_are_forged_old_torn_or_huge_are_refused(carried: Carried) -> None:
    if carried.provider != TELNYX:
        return
    now = time.time()
    await refused(carried, expected=403, change=lambda body: (body, {}))
    await refused(carried, expected=403, change=lambda body: (body, signed(body, seed=bytes(32))))
    await refused(carried, expected=403, change=lambda body: (body + b" ", signed(body)))
    await refused(carried, expected=403, change=lambda body: (body, signed(body, at=now - 301)))
    await refused(carried, expected=403, change=lambda body: (body, signed(body, at=now + 302)))
    await refused(carried, expected=403, change=lambda body: (body, {**signed(body), "telnyx-timestamp": "१२"}))
    await refused(carried, expected=403, change=lambda body: (body, {**signed(body), "telnyx-signature-ed25519": "é"}))
    await refused(carried, expected=400, change=lambda body: (body, signed(body)))
    await refused(carried, expected=400, change=lambda _: (b"\xff\xfe", signed(b"\xff\xfe")))
    await refused(carried, expected=400, change=lambda _: (b"[1", signed(b"[1")))
    await refused(carried, expected=413, change=lambda _: (b"x" * 70_000, signed(b"x" * 70_000)))


async def test_two_dispatchers_one_frozen_while_it_posts_text_nobody_twice(carried: Carried) -> None:
    """The frozen one's texts are asked for by the other, under the same keys; awake again it changes nothing."""
    if carried.provider != TELNYX:
        return
    other = carried.stack.a_dispatcher(free_port(), PUBLIC_URL=carried.stack.url)
    other.start()
    try:
        await carried.faults(latency_ms=2_000, receipts={"delay_ms": 4_000})
        numbers = [carried.number() for _ in range(120)]
        await carried.publish(*map(carried.released, numbers))
        await eventually(lambda: some_posted(carried, numbers, 30), lambda: "some are posted")
        other.send(signal.SIGSTOP)
        await asyncio.sleep(14)  # Postgres ends its sessions after 10 s
        await carried.faults()
        other.send(signal.SIGCONT)
        stories = await carried.told(*numbers, until="MessageDelivered")
    finally:
        other.stop()
    assert not any("MessageUnresolved" in story for story in stories)
    lines = [line for line in await carried.ledger(*numbers) if line["accepted"]]
    assert sorted(line["to"] for line in lines) == sorted(numbers)


async def test_kill_after_kill_and_dropped_answers_leave_nobody_unknown_within_the_keys_life(carried: Carried) -> None:
    if carried.provider != TELNYX:
        return
    await carried.faults(drop_response=0.2, latency_ms=200, throttle_per_s=200, receipts={"silent": 1}, seed=5)
    numbers = [carried.number() for _ in range(500)]
    await carried.publish(*map(carried.released, numbers))
    for enough in (60, 180, 300, 420):
        await eventually(lambda enough=enough: some_posted(carried, numbers, enough), lambda: "some", patience_s=30)  # type: ignore[misc]
        carried.stack.dispatcher.stop(signal.SIGKILL)
        carried.stack.dispatcher.start()
    # A carrier that says nothing again and again is asked by one at a time, after pauses that grow to 5 s.
    stories = await carried.told(*numbers, until="MessageAccepted", patience_s=120)
    assert not any("MessageUnresolved" in story for story in stories)
    lines = await carried.ledger(*numbers)
    assert Counter(line["to"] for line in lines if line["accepted"]) == dict.fromkeys(numbers, 1)


async def some_posted(carried: Carried, numbers: list[str], count: int) -> bool:
    return len(await carried.ledger(*numbers)) >= count


async def test_the_log_tells_what_the_tables_say_whoever_carried_the_texts(carried: Carried) -> None:
    number = carried.number()
    await carried.publish(carried.released(number))
    await carried.told(number, until="MessageDelivered")
    verdicts: list[Verdict] = []

    async def equal() -> bool:  # what other tests left is still being told
        verdicts.append(await verify(carried.stack.database_url, carried.stack.bootstrap, REBUILT))
        return verdicts[-1].equal

    await eventually(equal, lambda: str(verdicts[-1]), patience_s=60)
    assert await carried.database.fetchval("SELECT count(*) FROM attempts WHERE provider = $1", carried.provider) > 0
