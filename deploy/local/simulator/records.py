"""The lines of the ledger and of the promises beside it, and the message id that says where both are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from .receipts import Receipt

MESSAGE_ID = re.compile(r"SM[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line of the ledger says, but for the message id."""

    received_at: datetime
    to: str | None
    sender: str | None
    body: str | None
    status: int
    accepted: bool
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Promise:
    """An accepted message and the receipts it will have."""

    message_id: str
    to: str
    sender: str
    accepted_at: datetime
    callback: str | None
    receipts: tuple[Receipt, ...]
    provider: str = "twilio"


def timestamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def message_id_at(ledger_at: int, promise_at: int, run: str) -> str:
    """`run` is random: a place can be used again after a torn line was cut off, but never by the same run."""
    return f"SM{ledger_at:010x}{promise_at:010x}{run}"


def places(message_id: str) -> tuple[int, int]:
    """Where its two lines begin; ValueError for an id that is not ours."""
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError("not a message id")
    return int(message_id[2:12], 16), int(message_id[12:22], 16)


def ledger_line(entry: Entry, message_id: str | None) -> bytes:
    return orjson.dumps(
        {
            "received_at": timestamp(entry.received_at),
            "to": entry.to,
            "from": entry.sender,
            "body": entry.body,
            "status": entry.status,
            "accepted": entry.accepted,
            "message_id": message_id,
            "idempotency_key": entry.idempotency_key,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def promise_line(
    message_id: str, callback: str | None, receipts: tuple[Receipt, ...], provider: str = "twilio"
) -> bytes:
    return orjson.dumps(
        {
            "message_id": message_id,
            "callback": callback,
            "receipts": [(receipt.after_ms, receipt.status, receipt.code) for receipt in receipts],
            **({} if provider == "twilio" else {"provider": provider}),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def awaiting_receipts(line: bytes) -> str | None:
    promise = orjson.loads(line)
    return promise["message_id"] if promise["callback"] and promise["receipts"] else None


def promise_of(entry: Mapping[str, str], promise: Mapping[str, object]) -> Promise:
    receipts = promise["receipts"]
    callback = promise["callback"]
    assert isinstance(receipts, list) and (callback is None or isinstance(callback, str))
    return Promise(
        entry["message_id"],
        entry["to"],
        entry["from"],
        datetime.fromisoformat(entry["received_at"]),
        callback,
        tuple(Receipt(*receipt) for receipt in receipts),
        str(promise.get("provider", "twilio")),
    )
