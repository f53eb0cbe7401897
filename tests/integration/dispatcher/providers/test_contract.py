"""What the dispatcher promises, the same for every provider: texted once, nobody lost, few unknown, STOP honoured."""

import asyncio
import signal
from collections import Counter

from dispatcher.provider import SMPP, TELNYX, TWILIO

from tests.integration.dispatcher.providers.conftest import Carried
from tests.integration.dispatcher.world import eventually

CONNECTIONS = 128
UNKNOWN = "MessageUnresolved"
CONFIRMED = "You will get no more texts from us. Reply START if you want them again."


async def test_a_text_is_attempted_accepted_delivered_and_each_fact_names_the_provider(carried: Carried) -> None:
    numbers = [carried.number() for _ in range(20)]
    await carried.publish(*(carried.released(number, "Hi, it costs 5 € “today”") for number in numbers))
    stories = await carried.told(*numbers, until="MessageDelivered")
    assert all(story == ["SendAttempted", "MessageAccepted", "MessageDelivered"] for story in stories)
    lines = await carried.ledger(*numbers)
    assert Counter(line["to"] for line in lines) == dict.fromkeys(numbers, 1)
    assert {line["body"] for line in lines} == {"Hi, it costs 5 € “today”"}
    assert all(bool(line["idempotency_key"]) == (carried.provider == TELNYX) for line in lines)
    ours = {carried.rid(number) for number in numbers}
    events = [e for topic in ("dispatches", "receipts") for e in await carried.log(topic) if e.recipient_id in ours]
    assert {event.provider for event in events} == {carried.provider}
    rows = await carried.database.fetch(
        "SELECT provider FROM attempts WHERE recipient_id = ANY($1::uuid[])", list(ours)
    )
    assert {row["provider"] for row in rows} == {carried.provider}


async def test_a_long_text_is_one_message(carried: Carried) -> None:
    number, text = carried.number(), "A long text, with a ł in it. " * 20
    await carried.publish(carried.released(number, text))
    await carried.told(number, until="MessageDelivered")
    assert [line["body"] for line in await carried.ledger(number)] == [text]


async def test_a_stop_is_in_force_and_the_next_text_is_suppressed(carried: Carried) -> None:
    number = carried.number()
    assert await carried.replies(number, "STOP") in (200, 204)
    await carried.publish(carried.released(number))
    [story] = await carried.told(number, until="MessageSuppressed")
    assert story == ["MessageSuppressed"]
    expected = [] if carried.provider == TWILIO else [CONFIRMED]  # which is nothing but that it is so
    await eventually(lambda: said(carried, number, expected), lambda: f"{expected} is said")
    [opted_out] = [e for e in await carried.log("opt-outs") if e.person_id == carried.person(number)]
    assert (opted_out.source, opted_out.actor) == ("reply", carried.provider)


async def test_the_bytes_lie_sealed_with_the_open_attempt_and_are_gone_with_its_outcome(carried: Carried) -> None:
    await carried.slow(1500)
    number = carried.number()
    await carried.publish(carried.released(number, "a text that nobody else may read"))
    await eventually(lambda: posted(carried, [number], 1), lambda: "it is posted")
    query = "SELECT request, provider FROM in_flight WHERE recipient_id = $1"
    row = await carried.database.fetchrow(query, carried.rid(number))
    assert row is not None and row["provider"] == carried.provider
    assert row["request"].startswith("~1.") and "nobody" not in row["request"]
    await carried.told(number, until="MessageAccepted")
    assert await carried.database.fetchrow(query, carried.rid(number)) is None


async def said(carried: Carried, number: str, bodies: list[str]) -> bool:
    return [line["body"] for line in await carried.ledger(number)] == bodies


async def posted(carried: Carried, numbers: list[str], count: int) -> bool:
    return len(await carried.ledger(*numbers)) >= count


async def test_a_killed_process_leaves_no_double_and_few_unknowns_none_with_a_key(carried: Carried) -> None:
    await carried.slow(3_000)
    if carried.provider == TELNYX:  # no receipt shall say what became of them before they are asked again
        await carried.faults(latency_ms=3_000, receipts={"delay_ms": 600_000})
    numbers = [carried.number() for _ in range(200)]
    await carried.publish(*map(carried.released, numbers))
    await eventually(lambda: posted(carried, numbers, 60), lambda: "60 are posted")
    carried.stack.dispatcher.stop(signal.SIGKILL)
    await carried.healthy()
    carried.stack.dispatcher.start()
    await eventually(lambda: all_decided(carried, numbers), lambda: "all are decided", patience_s=60)
    stories = await carried.told(*numbers)
    unknown = [story for story in stories if UNKNOWN in story]
    lines = await carried.ledger(*numbers)
    accepted = Counter(line["to"] for line in lines if line["accepted"])
    assert set(accepted.values()) == {1}, "nobody is texted twice"
    if carried.provider == TELNYX:
        assert unknown == []
        assert all("MessageAccepted" in story for story in stories)
        keys = {number: {line["idempotency_key"] for line in lines if line["to"] == number} for number in numbers}
        assert all(len(of_one) == 1 for of_one in keys.values()), "one key for each, across the kill"
        assert len(lines) > len(numbers), "some were asked again"
    else:
        assert 0 < len(unknown) <= CONNECTIONS


async def all_decided(carried: Carried, numbers: list[str]) -> bool:
    rows = await carried.database.fetch(
        "SELECT state FROM attempts WHERE recipient_id = ANY($1::uuid[])", [carried.rid(n) for n in numbers]
    )
    return len(rows) == len(numbers) and all(row["state"] != "open" for row in rows)


async def test_a_dropped_answer_is_unknown_or_asked_again_with_the_same_key(carried: Carried) -> None:
    await carried.drops()
    number = carried.number()
    await carried.publish(carried.released(number))
    await eventually(lambda: posted(carried, [number], 1), lambda: "it is posted")
    if carried.provider != TELNYX:
        await carried.told(number, until=UNKNOWN)
    await asyncio.sleep(1)
    await carried.healthy()
    if carried.provider == TELNYX:
        [story] = await carried.told(number, until="MessageAccepted")
        assert UNKNOWN not in story
    lines = await carried.ledger(number)
    assert sum(line["accepted"] for line in lines) == 1
    assert len({line["idempotency_key"] for line in lines}) == 1


async def test_an_sms_centre_may_report_before_it_answers(carried: Carried) -> None:
    """Such a receipt names no attempt, and its id is nobody's yet: it is kept, and counts once the answer is there."""
    if carried.provider != SMPP:
        return
    await carried.does(receipt_first=True, latency_ms=800)
    number = carried.number()
    await carried.publish(carried.released(number))
    [story] = await carried.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageAccepted", "MessageDelivered"]
    [fate] = await carried.database.fetch(
        "SELECT fate, look_at FROM callbacks WHERE recipient_id = $1", carried.rid(number)
    )
    assert (fate["fate"], fate["look_at"]) == ("applied", None)


async def test_a_person_who_opts_out_between_two_posts_is_asked_for_no_more(carried: Carried) -> None:
    if carried.provider != TELNYX:
        return
    await carried.drops()
    number = carried.number()
    await carried.publish(carried.released(number))
    await eventually(lambda: posted(carried, [number], 1), lambda: "it is posted")
    assert await carried.replies(number, "STOP") == 204
    before = len(await carried.ledger(number))
    await carried.told(number, until=UNKNOWN)
    assert len(await carried.ledger(number)) - before <= 1, "one may have been on its way"


async def test_the_receipt_of_an_answer_says_nothing_of_a_text_whose_outcome_is_unknown(carried: Carried) -> None:
    if carried.provider != SMPP:
        return
    await carried.drops()
    number = carried.number()
    await carried.publish(carried.released(number))
    await carried.told(number, until=UNKNOWN)
    await carried.healthy()
    assert await carried.replies(number, "HELP") == 200
    await eventually(lambda: posted(carried, [number], 2), lambda: "it is answered")
    await asyncio.sleep(2.5)  # its receipt would be there, and have been looked at again
    assert await carried.told(number) == [["SendAttempted", UNKNOWN]]


async def test_what_was_dropped_is_resolved_by_its_receipt_also_where_that_names_no_attempt(carried: Carried) -> None:
    if carried.provider == TELNYX:
        return
    if carried.provider == SMPP:
        await carried.does(drop=True, receipt_first=True)
    else:
        await carried.faults(drop_response=1, receipts={"delay_ms": 500})
    number = carried.number()
    await carried.publish(carried.released(number))
    [story] = await carried.told(number, until="MessageDelivered")
    assert [name for name in story if name != UNKNOWN] == ["SendAttempted", "MessageAccepted", "MessageDelivered"]
    assert UNKNOWN in story or carried.provider != SMPP


async def test_a_receipt_keeps_one_that_was_taken_and_failed_unseen_from_being_asked_again(carried: Carried) -> None:
    """The carrier took it and answers 500 to a process that is gone; under its key it would take it once more."""
    if carried.provider != TELNYX:
        return
    await carried.faults(latency_ms=3_000, fail_after_accept=1)
    number = carried.number()
    await carried.publish(carried.released(number))
    await eventually(lambda: posted(carried, [number], 1), lambda: "it is posted")
    carried.stack.dispatcher.stop(signal.SIGKILL)
    await carried.healthy()
    carried.stack.dispatcher.start()
    [story] = await carried.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageAccepted", "MessageDelivered"]
    await asyncio.sleep(4)  # when it would have been asked again
    assert [line["accepted"] for line in await carried.ledger(number)] == [True]


async def test_receipts_have_their_time_also_when_nobody_was_there_to_take_them(carried: Carried) -> None:
    """As before; but whoever found the request open is killed, too, and when it may be asked again nobody is there."""
    if carried.provider != TELNYX:
        return
    await carried.faults(latency_ms=2_000, fail_after_accept=1, receipts={"delay_ms": 7_000})
    number = carried.number()
    await carried.publish(carried.released(number))
    await eventually(lambda: posted(carried, [number], 1), lambda: "it is posted")
    carried.stack.dispatcher.stop(signal.SIGKILL)
    carried.stack.dispatcher.start()

    async def found() -> bool:
        sql = "SELECT repeat_at IS NOT NULL FROM in_flight WHERE recipient_id = $1"
        return bool(await carried.database.fetchval(sql, carried.rid(number)))

    await eventually(found, lambda: "it is found open")
    carried.stack.dispatcher.stop(signal.SIGKILL)
    await asyncio.sleep(3.5)
    await carried.healthy()
    carried.stack.dispatcher.start()
    [story] = await carried.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageAccepted", "MessageDelivered"]
    await asyncio.sleep(4)  # when it would have been asked again
    assert [line["accepted"] for line in await carried.ledger(number)] == [True]
