"""Which receipts a message will have, decided once, when the carrier takes it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from .faults import ReceiptFaults, chance, draw

UNDELIVERED = range(30003, 30009)
"""Codes a phone network reports after a try (`undelivered`); with others Twilio itself gave up (`failed`)."""
OVERTAKING_MS = 50.0
"""How long the answer to the POST is held back so that its receipt overtakes it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One status callback; `after_ms` counts from the acceptance, and one already past leaves at once."""

    after_ms: float
    status: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The receipts in the order they are sent, each after the one before was answered."""

    receipts: tuple[Receipt, ...] = ()
    hold_answer_ms: float = 0.0


def plan(faults: ReceiptFaults, rng: Random, *, sent_callbacks: bool) -> Plan:
    if chance(faults.silent, rng):
        return Plan()
    receipts = _in_order(faults, draw(faults.failed, rng), sent_callbacks=sent_callbacks or faults.thrice)
    if faults.thrice:
        backwards = receipts[::-1]
        return Plan(_at(faults.delay_ms, backwards + receipts + backwards))
    if not chance(faults.shuffle, rng):
        return Plan(_repeated(receipts, faults.repeat, rng))
    backwards = _repeated(receipts[::-1], faults.repeat, rng)
    # A lone receipt has nothing to change places with but the answer to the POST.
    if len(receipts) == 1 or rng.random() < 0.5:
        return Plan(_at(0.0, backwards), hold_answer_ms=OVERTAKING_MS)
    return Plan(_at(faults.delay_ms, backwards))


def status_at(receipts: tuple[Receipt, ...], accepted_at: datetime, now: datetime) -> Receipt:
    """What a look-up shows: the last receipt that was due by now."""
    latest = Receipt(0.0, "queued")
    for receipt in receipts:
        if accepted_at + timedelta(milliseconds=receipt.after_ms) <= now:
            latest = receipt
    return latest


def _in_order(faults: ReceiptFaults, code: int | None, *, sent_callbacks: bool) -> tuple[Receipt, ...]:
    delay_ms = faults.delay_ms
    status = "delivered" if code is None else "undelivered" if code in UNDELIVERED else "failed"
    receipts: tuple[Receipt, ...] = (Receipt(delay_ms, status, code),)
    if sent_callbacks and status != "failed":  # what Twilio gave up was never sent
        receipts = (Receipt(delay_ms / 2, "sent"), *receipts)
    if faults.recovers_after_ms is not None:
        receipts = (*receipts, Receipt(delay_ms + faults.recovers_after_ms, "delivered"))
    return receipts


def _repeated(receipts: tuple[Receipt, ...], share: float, rng: Random) -> tuple[Receipt, ...]:
    return tuple(again for receipt in receipts for again in [receipt] * (1 + chance(share, rng)))


def _at(after_ms: float, receipts: tuple[Receipt, ...]) -> tuple[Receipt, ...]:
    return tuple(Receipt(after_ms, receipt.status, receipt.code) for receipt in receipts)
