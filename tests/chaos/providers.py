"""What differs by provider: how it is set up, how it misbehaves, and what a key promises."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.reasons import UnresolvedReason
from tests.chaos import blows
from tests.chaos.witness import Unknown

REPEAT_AFTER_S = "8"  # the simulator tries a receipt again every 5 s at the least


@dataclass(frozen=True)
class Provider:
    """`keyed`: a repeat under the same key is the same message, so within the key's life only a 5xx is unknown."""

    name: str
    url_setting: str  # where the dispatcher reaches it
    keyed: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def faults(self, rng: random.Random) -> dict[str, Any]:
        """What the carrier does wrong in a round; now and then it says nothing of a message it took.

        One that takes a message under a key, fails, and never tells is left out: if its failure is lost, too, nobody
        can know that the same request would be taken once more.
        """
        faults = blows.faults(rng)
        silent = rng.choice((0, 0, 0.05))
        faults["receipts"]["silent"] = 0 if self.keyed and faults["fail_after_accept"] else silent
        return faults

    def wrong(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        """What the ledger says against its keys."""
        if not self.keyed:
            return []
        taken = [line for line in lines if line["accepted"]]
        keys = Counter(line["idempotency_key"] for line in taken)
        without = [line["to"] for line in taken if not line["idempotency_key"]]
        twice = [key for key, count in keys.items() if count > 1 and key]
        return [*(f"{to} was taken without a key" for to in without), *(f"key {key} was taken twice" for key in twice)]

    def unknown(self, unknowns: Iterable[Unknown], stopped: Collection[str]) -> list[str]:
        """Unknown outcomes that a key should have kept from being so; of who said STOP nobody asks again."""
        if not self.keyed:
            return []
        return [
            f"{unknown.key} is unknown ({unknown.reason}) within the life of its key"
            for unknown in unknowns
            if unknown.reason != UnresolvedReason.CARRIER_ERROR and unknown.key[0] not in stopped
        ]


PROVIDERS = {
    "twilio": Provider("twilio", "CARRIER_URL"),
    "telnyx": Provider(
        "telnyx", "TELNYX_URL", keyed=True, settings={"PROVIDER": "telnyx", "REPEAT_AFTER_S": REPEAT_AFTER_S}
    ),
}
