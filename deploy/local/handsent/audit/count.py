"""Counts the figures once more, from events.jsonl: unpack the archive there, and run `python3 count.py`."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ATTEMPT = ["SendAttempted", "MessageUnresolved", "SendNotAccepted", "MessageRejected", "MessageAccepted"]
RECEIPT = ["MessageUnconfirmed", "MessageNotDelivered", "MessageDelivered"]  # each list: the stronger word comes later
# What may lie in records.jsonl as a hash only, for its bytes would show something ("***") of a person.
WITHHELD = {
    "campaigns": ["CampaignCreated"],
    "recipients": ["RecipientAdded"],
    "processed": ["RecipientProcessed"],
    "releases": ["MessageReleased"],
    "opt-outs": ["PersonOptedOut", "PersonOptedIn"],
}
HERE = Path(__file__).parent
people: dict[str, dict[str, Any]] = defaultdict(dict)
hashes = 0
with (
    (HERE / "events.jsonl").open(encoding="utf-8") as events,
    (HERE / "records.jsonl").open(encoding="utf-8") as logged,
):
    for told, record in zip(map(json.loads, events), map(json.loads, logged), strict=True):
        said, kind = told.get("event", {}), told["type"]
        if any(told[name] != record[name] for name in ("topic", "partition", "offset")):
            raise SystemExit("events.jsonl and records.jsonl DO NOT TELL THE SAME RECORDS")
        if "leaf" in record:
            hashes += 1
            if kind != "undecodable" and (
                kind not in WITHHELD.get(told["topic"], []) or '"***"' not in json.dumps(said)
            ):
                raise SystemExit(f"{told['topic']}-{told['partition']}@{told['offset']} IS NEVER A HASH ONLY: {kind}")
        if said.get("recipient_id"):
            person, reason = people[said["recipient_id"]], said.get("reason")
            person.setdefault(kind, True)
            if (
                kind in ATTEMPT + RECEIPT
            ):  # the latest attempt counts, and of it the strongest word; a receipt proves it
                word = ATTEMPT.index(kind) if kind in ATTEMPT else 4
                person["attempt"] = max(person.get("attempt", (0, 0, "")), (said["attempt"], word, reason or ""))
            if kind in RECEIPT:
                word = RECEIPT.index(kind)
                receipt = (word == 2, said["attempt"], word, reason or "")
                person["receipt"] = max(person.get("receipt", receipt), receipt)
NOT_DELIVERED = ["failed", "awaiting", "unconfirmed", "unknown"]
LEAVES = ["unprocessed", "waiting", "suppressed", "dropped", "delivered", *NOT_DELIVERED]
numbers, reasons = Counter(dict.fromkeys(LEAVES, 0)), Counter[str]()
for person in people.values():
    number, word, why = person.get("attempt", (0, 2, ""))
    delivered, of, verdict, because = person.get("receipt", (False, 0, 0, ""))
    if of and (delivered or of == number):
        state, why = ["unconfirmed", "failed", "delivered"][verdict], because
    elif word != 2:
        state = ["awaiting", "unknown", "", "failed", "awaiting"][word]
    elif "MessageSuppressed" in person or "MessageDropped" in person:
        state = "suppressed" if "MessageSuppressed" in person else "dropped"
    else:
        state = "waiting" if number or {"RecipientProcessed", "MessageReleased"} & person.keys() else "unprocessed"
    numbers[state] += 1
    reasons[why or "unknown"] += state == "failed"
figures = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
numbers["not_delivered"] = sum(numbers[part] for part in NOT_DELIVERED)
numbers["sent"] = numbers["delivered"] + numbers["not_delivered"]
numbers["processed"] = sum(numbers[part] for part in ("waiting", "suppressed", "dropped", "sent"))
numbers["recipients"] = numbers["unprocessed"] + numbers["processed"]
same = dict(+reasons) == figures["failed_by_reason"] and all(numbers[name] == figures[name] for name in numbers)
print(json.dumps({**numbers, "failed_by_reason": +reasons}, indent=2))
if hashes:
    print(f"of {hashes} records only the hash is here: what they say is nowhere proven")
print("the same as figures.json" if same else "NOT THE SAME AS figures.json")
raise SystemExit(0 if same else 1)
