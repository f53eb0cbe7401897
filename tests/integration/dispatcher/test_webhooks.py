"""Webhooks that are forged, torn, huge or wrongly encoded are refused or harmless, and never break anything."""

import asyncio
from urllib.parse import urlencode

import pytest
from dispatcher import callback
from dispatcher.store_callbacks import SERVICE_SUBJECT, open_form, service_key
from twilio.request_validator import RequestValidator

from tests.integration.dispatcher.world import ENVIRONMENT, World

STATUS, INBOUND = "/webhooks/twilio/status", "/webhooks/twilio/inbound"
TOKEN = ENVIRONMENT["TWILIO_AUTH_TOKEN"]
RECEIPT = {"MessageSid": "SM1", "MessageStatus": "delivered"}


async def post(world: World, path: str, form: dict[str, str], *, token: str = TOKEN, body: bytes | None = None) -> int:
    """Posts the form, signed as the carrier signs with `token`; `body` takes the form's place on the wire."""
    url = f"{world.stack.url}{path}"
    signature = RequestValidator(token).compute_signature(url, form)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    data = urlencode(form).encode() if body is None else body
    async with world.http.post(url, data=data, headers=headers) as answer:
        assert answer.status < 500
        return answer.status


async def test_forged_webhooks_are_refused_and_change_nothing(sending: World) -> None:
    number = sending.number()
    reply = {"MessageSid": "SM2", "From": number, "To": sending.sender, "Body": "STOP"}
    assert await post(sending, STATUS, RECEIPT, token="not the carrier's") == 403
    assert await post(sending, INBOUND, reply, token="not the carrier's") == 403
    assert await post(sending, INBOUND, {**reply, "Body": "hello"}, body=urlencode(reply).encode()) == 403
    assert (await sending.opt_outs(number))[1] == {"opt_outs": []}


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        (STATUS, {}, 400),
        (STATUS, {"MessageSid": "SM1"}, 400),
        (STATUS, {"MessageSid": "S" * 100, "MessageStatus": "sent"}, 400),
        (STATUS, {"MessageSid": "SM\0", "MessageStatus": "sent"}, 400),
        (STATUS, {"MessageSid": "SM1", "MessageStatus": "never heard of"}, 204),
        (STATUS, {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "\0'; --"}, 204),
        (INBOUND, {}, 400),
        (INBOUND, {"MessageSid": "SM1", "From": "", "To": "+1"}, 400),
        (INBOUND, {"MessageSid": "SM\0", "From": "+1", "To": "+1"}, 400),
    ],
)
async def test_forms_that_lack_something_are_refused_or_kept(
    world: World, path: str, form: dict[str, str], status: int
) -> None:
    assert await post(world, path, form) == status


async def test_bodies_that_are_no_forms_are_refused(world: World) -> None:
    assert await post(world, STATUS, RECEIPT, body=b"\xff\xfe\x00%%%=%zz&;") == 400
    assert await post(world, STATUS, RECEIPT, body=b"x=" + b"y" * 70_000) == 413
    assert await post(world, STATUS, RECEIPT, body=b"a=1&" * 1000) == 400
    assert await post(world, STATUS, RECEIPT, body=b'{"json": true}') == 403


async def test_a_receipt_for_an_attempt_that_is_not_ours_is_parked(world: World) -> None:
    secret = ENVIRONMENT["CALLBACK_KEY"].encode()
    ours = callback.url("", secret, world.campaign_id, 1)
    for path in (STATUS, f"{STATUS}?recipient={world.campaign_id}&attempt=1&mac=00", ours):
        assert await post(world, path, {**RECEIPT, "MessageSid": world.campaign_id}) == 204
    rows = await world.database.fetch(
        "SELECT fate, form FROM callbacks WHERE carrier_message_id = $1", world.campaign_id
    )
    assert [row["fate"] for row in rows] == ["parked"] * 3
    key = (await service_key(world.vault))[SERVICE_SUBJECT]
    assert all(world.campaign_id.encode() not in row["form"] for row in rows), "they are sealed"
    assert all(world.campaign_id in (open_form(key, row["form"]) or "") for row in rows)


async def test_a_genuine_receipt_counts_once_however_often_it_comes(sending: World) -> None:
    await sending.faults(receipts={"silent": 1})
    number = sending.number()
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageAccepted")
    path = callback.url("", ENVIRONMENT["CALLBACK_KEY"].encode(), sending.rid(number), 1)
    failed = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30006"}
    for form in (failed, failed, RECEIPT, failed, RECEIPT, {**RECEIPT, "MessageStatus": "sent"}):
        assert await post(sending, path, form) == 204
    [story] = await sending.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageAccepted", "MessageNotDelivered", "MessageDelivered"]
    [lost] = [e for e in await sending.log("receipts") if type(e).__name__ == "MessageNotDelivered"]
    assert (lost.reason, lost.carrier_code) == ("landline", "30006")


async def test_receipts_that_say_opted_out_opt_out_and_start_takes_it_back(sending: World) -> None:
    await sending.faults(receipts={"silent": 1})
    numbers = [sending.number() for _ in range(20)]
    await sending.publish(*map(sending.released, numbers))
    await sending.told(*numbers, until="MessageAccepted")
    refused = {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "21610"}
    paths = [callback.url("", ENVIRONMENT["CALLBACK_KEY"].encode(), sending.rid(number), 1) for number in numbers]
    assert set(await asyncio.gather(*(post(sending, path, refused) for path in paths * 2))) == {204}
    [opted_out] = (await sending.opt_outs(numbers[0]))[1]["opt_outs"]
    assert (opted_out["source"], opted_out["reason"], opted_out["opted_out_by"]) == ("carrier", "21610", "dispatcher")
    assert len((await sending.call("GET", "/opt-outs"))[1]["opt_outs"]) == len(numbers)
    await sending.told(*numbers, until="MessageNotDelivered")
    events = {e.event_id: type(e).__name__ for e in await sending.log("receipts")}
    assert {events[word.caused_by] for word in await sending.log("opt-outs")} == {"MessageNotDelivered"}
    assert await sending.replies(numbers[0], "START") == 200
    assert (await sending.opt_outs(numbers[0]))[1] == {"opt_outs": []}


async def test_an_inbound_message_is_answered_with_empty_twiml(sending: World) -> None:
    form = {
        "MessageSid": sending.campaign_id,
        "From": sending.number(),
        "To": sending.sender,
        "Body": "\0hi \U0001f600",
    }
    url = f"{sending.stack.url}{INBOUND}"
    headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)}
    async with sending.http.post(url, data=form, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/xml")
        assert (await answer.text()).endswith("<Response/>")
    assert [row["body"] for row in (await sending.call("GET", "/replies"))[1]["replies"]] == ["hi \U0001f600"]
