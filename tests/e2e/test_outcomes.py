"""Every way a carrier can answer, told in the report: state, reason, advice; what nobody knows is shown as unknown."""

from tests.e2e.people import Campaign
from tests.e2e.story import Story, moment, until

# The ending of the number -> state, reason_code, carrier_code.
REFUSED = {
    "0001": ("failed", "invalid_number", "21211"),
    "0002": ("failed", "invalid_number", "21614"),
    "0010": ("failed", "opted_out", "21610"),
}
FAILED = {
    "0003": ("failed", "unreachable", "30003"),
    "0004": ("failed", "blocked_recipient", "30004"),
    "0005": ("failed", "unknown_number", "30005"),
    "0006": ("failed", "landline", "30006"),
    "0007": ("failed", "filtered", "30007"),
    "0008": ("failed", "unknown", "30008"),
    "0011": ("failed", "unregistered_sender", "30034"),
}
SILENT, NEVER_TAKEN = "0009", "0016"
LATE_RECEIPTS = {"0012": "carrier_error", "0013": "connection_lost"}
DELIVERED = ("1000", "0014", "0015", "0017", "0018", "0019")


async def _sent(story: Story, endings: list[str]) -> tuple[Campaign, dict[str, str]]:
    """A campaign with a person for each ending, all of them SENT."""
    people = {ending: story.number(ending) for ending in endings}
    campaign = await story.campaign(people.values())
    sam = await story.sending("Sam", campaign)
    for result in await sam.sends_all(campaign, list(people.values())):
        assert result["status"] == 200
    return campaign, people


async def test_every_outcome_is_told_with_its_reason(story: Story) -> None:
    endings = [*REFUSED, *FAILED, SILENT, NEVER_TAKEN, *LATE_RECEIPTS, *DELIVERED]
    campaign, people = await _sent(story, endings)
    progress = await story.settles(campaign, failed=10, awaiting=1, unknown=1, delivered=len(DELIVERED) + 2)
    assert progress["failed_by_reason"] == {
        "invalid_number": 2, "opted_out": 1, "unreachable": 1, "blocked_recipient": 1, "unknown_number": 1,
        "landline": 1, "filtered": 1, "unknown": 1, "unregistered_sender": 1,
    }  # fmt: skip
    report = {row["phone"]: row for row in await story.report(campaign)}
    for ending, told in (REFUSED | FAILED).items():
        row = report[people[ending]]
        assert (row["state"], row["reason_code"], row["carrier_code"]) == told
        assert row["reason"] and row["advice"] and not row["delivered_at"]
        assert bool(row["accepted_at"]) == (ending in FAILED)
    for ending in DELIVERED + tuple(LATE_RECEIPTS):
        row = report[people[ending]]
        assert (row["state"], row["reason_code"], row["reason"]) == ("delivered", "", "")
        assert row["accepted_at"] and row["delivered_at"] and row["carrier_message_id"]
    silent = report[people[SILENT]]
    assert silent["accepted_at"] and not silent["delivered_at"] and not silent["reason_code"]
    unknown = report[people[NEVER_TAKEN]]
    assert (unknown["state"], unknown["reason_code"]) == ("unknown", "carrier_error")
    assert unknown["advice"] and not unknown["accepted_at"]

    never = {people[ending] for ending in (*REFUSED, NEVER_TAKEN)}
    assert await story.texted(people.values()) == {number: 1 for number in people.values() if number not in never}
    asked = [line["to"] for line in await story.ledger(people.values())]
    assert {number: asked.count(number) for number in people.values()} == {
        number: 2 if number == people["0014"] else 1 for number in people.values()
    }


async def test_what_nobody_knows_is_unknown_until_a_late_receipt_resolves_it(story: Story) -> None:
    await story.faults(receipts={"delay_ms": 3000}, fail_after_accept=1)
    campaign, people = await _sent(story, ["1000", *LATE_RECEIPTS])
    await story.settles(campaign, unknown=3)
    why = {**LATE_RECEIPTS, "1000": "carrier_error"}
    for row in await story.report(campaign):
        assert row["reason_code"] == why[next(ending for ending, n in people.items() if n == row["phone"])]
        assert row["reason"] and row["advice"] and row["sent_at"] and not row["accepted_at"]
    await story.settles(campaign, delivered=3)
    for number in people.values():
        told = [event["event"] for event in await story.timeline(campaign, number)]
        assert told.count("SendAttempted") == told.count("MessageUnresolved") == told.count("MessageDelivered") == 1
    assert await story.texted(people.values()) == dict.fromkeys(people.values(), 1)


async def test_an_unknown_outcome_is_listed_and_an_operator_resolves_it(story: Story) -> None:
    campaign, people = await _sent(story, [NEVER_TAKEN])
    await story.settles(campaign, unknown=1)
    mia, rid = await story.manager(), campaign.rid(people[NEVER_TAKEN])
    listed = (await mia.ok("GET", "/unresolved"))["unresolved"]
    assert rid in {one["recipient_id"] for one in listed}
    found = {"resolution": "rejected", "reason": "the carrier's support says that it was refused"}
    assert (await mia.call("POST", f"/unresolved/{rid}", json=found)).status == 200
    await story.settles(campaign, failed=1)
    again = await mia.call("POST", f"/unresolved/{rid}", json=found)
    assert again.status == 409
    assert rid not in {one["recipient_id"] for one in (await mia.ok("GET", "/unresolved"))["unresolved"]}


async def test_a_failure_may_still_become_delivered_and_never_back(story: Story) -> None:
    await story.faults(receipts={"shuffle": 1, "repeat": 1})
    endings = ["1000", "0017", "0018"]
    campaign, people = await _sent(story, endings)
    await story.settles(campaign, delivered=3)
    names = [event["event"] for event in await story.timeline(campaign, people["0017"])]
    assert names.count("MessageNotDelivered") == names.count("MessageDelivered") == 1
    await story.settles(campaign, delivered=3)


async def test_opted_out_at_the_carrier_is_an_opt_out_of_ours(story: Story) -> None:
    campaign, people = await _sent(story, ["0010"])
    await story.settles(campaign, failed=1)
    mia = await story.manager()

    async def listed() -> bool:
        opt_outs = (await mia.ok("GET", "/opt-outs"))["opt_outs"]
        return people["0010"] in {one["phone"] for one in opt_outs if one["source"] == "carrier"}

    await until(listed, "the carrier's opt-out is ours")
    later = await story.campaign(people.values())
    sam = await story.sending("Sam", later)
    await sam.sends(later, people["0010"])
    await story.settles(later, suppressed=1)
    assert len(await story.ledger(people.values())) == 1


async def test_a_carrier_that_says_slow_down_gets_everything_once_in_the_end(story: Story) -> None:
    people = story.numbers(60)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    await story.faults(throttle_per_s=15)
    await sam.sends_all(campaign, people)
    await story.settles(campaign, delivered=60)
    assert await story.texted(people) == dict.fromkeys(people, 1)
    lines = await story.ledger(people)
    assert {line["status"] for line in lines} == {201, 429}
    for row in await story.report(campaign):
        assert moment(row["released_at"]) <= moment(row["sent_at"]) <= moment(row["accepted_at"])
