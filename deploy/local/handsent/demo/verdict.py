"""What must be true at the end, held against the carrier's ledger and the reports."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from handsent.demo.client import Pressed

REFUSED_AT_ONCE = {"0001", "0002", "0010"}  # the simulator's habits by the last four digits
NEVER_TAKEN = REFUSED_AT_ONCE | {"0016"}
UNKNOWN_FOR_GOOD = {"0016"}  # answers 500 and took nothing: nobody can know
SILENT = {"0009"}
OPTED_OUT_AT_CARRIER = {"0010"}  # found out by the first refusal, and then kept
COUNTS = ("recipients", "unprocessed", "processed", "waiting", "suppressed", "dropped", "sent", "delivered",
          "not_delivered", "failed", "awaiting", "unconfirmed", "unknown")  # fmt: skip


@dataclass
class Played:
    """A campaign of the demo, and what its user was answered."""

    title: str
    campaign_id: str
    scheduled_for: datetime | None = None
    pressed: list[Pressed] = field(default_factory=list)
    ended_at: datetime | None = None

    @property
    def dropped(self) -> bool:
        return bool(self.scheduled_for and self.ended_at and self.ended_at < self.scheduled_for)


def adds_up(progress: dict[str, Any]) -> bool:
    """The four sums of Progress."""
    p = progress
    return bool(
        p["recipients"] == p["unprocessed"] + p["processed"]
        and p["processed"] == p["waiting"] + p["suppressed"] + p["dropped"] + p["sent"]
        and p["sent"] == p["delivered"] + p["not_delivered"]
        and p["not_delivered"] == p["failed"] + p["awaiting"] + p["unconfirmed"] + p["unknown"]
        and p["failed"] == sum(p["failed_by_reason"].values())
    )


def expected(played: Played, opted_out: set[str]) -> dict[str, int]:
    """The leaves Progress must come to."""
    if played.dropped:
        return {"dropped": len(played.pressed), "sent": 0, "waiting": 0}
    texted = [p.phone for p in played.pressed if p.phone not in opted_out]
    return {
        "processed": len(played.pressed),
        "waiting": 0,
        "awaiting": sum(phone[-4:] in SILENT for phone in texted),
        "unknown": sum(phone[-4:] in UNKNOWN_FOR_GOOD for phone in texted),
    }


def against_opt_outs(played: Played, opted_out: set[str], progress: dict[str, Any]) -> list[str]:
    """Who had opted out is suppressed; so is, from then on, who turned out to have opted out at the carrier."""
    least = 0 if played.dropped else sum(p.phone in opted_out for p in played.pressed)
    most = least + (0 if played.dropped else sum(p.phone[-4:] in OPTED_OUT_AT_CARRIER for p in played.pressed))
    if least <= progress["suppressed"] <= most:
        return []
    return [f"{played.title}: {progress['suppressed']} suppressed, not {least} to {most}"]


def against_ledger(plays: Iterable[Played], opted_out: set[str], ledger: list[dict[str, Any]]) -> list[str]:
    """Every way in which the carrier's ledger differs from what was SENT; empty when it holds exactly that."""
    wrong: list[str] = []
    by_title: dict[str, list[dict[str, Any]]] = {}
    for line in ledger:
        by_title.setdefault(line["body"].split(":")[0], []).append(line)
    for played in plays:
        lines = by_title.pop(played.title, [])
        wrong += [f"{played.title}: {problem}" for problem in _of_campaign(played, opted_out, lines)]
    return wrong + [f"the carrier was asked to send {title!r}, which nobody wrote" for title in by_title]


def _of_campaign(played: Played, opted_out: set[str], lines: list[dict[str, Any]]) -> list[str]:
    texted = set() if played.dropped else {p.phone for p in played.pressed} - opted_out
    accepted = Counter(line["to"] for line in lines if line["accepted"])
    asked = {line["to"] for line in lines}
    wrong = [f"{n} texts to one number" for n in accepted.values() if n > 1]
    must = {phone for phone in texted if phone[-4:] not in NEVER_TAKEN}
    if missing := must - accepted.keys():
        wrong.append(f"{len(missing)} people were SENT and got nothing")
    if extra := asked - texted:
        wrong.append(f"{len(extra)} people were not SENT (or had opted out) and the carrier was asked")
    due = {p.phone: p.due_at for p in played.pressed}
    early = [line for line in lines if datetime.fromisoformat(line["received_at"]) < due[line["to"]]]
    return [*wrong, *([f"{len(early)} texts left before they were due"] if early else [])]


def against_report(played: Played, report: Path, progress: dict[str, Any]) -> list[str]:
    """Every way in which the report does not explain every recipient."""
    with report.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    if len(rows) != progress["recipients"]:
        wrong.append(f"{played.title}: the report has {len(rows)} rows for {progress['recipients']} recipients")
    states = Counter(row["state"] for row in rows)
    for state in ("unprocessed", "waiting", "suppressed", "dropped", "delivered", "failed", "awaiting", "unknown"):
        if states[state] != progress[state]:
            wrong.append(f"{played.title}: the report says {states[state]} {state}, Progress {progress[state]}")
    explained = ("suppressed", "dropped", "failed", "unknown")
    bare = [row for row in rows if row["state"] in explained and not (row["reason"] and row["reason_code"])]
    return [*wrong, *([f"{played.title}: {len(bare)} rows without a reason"] if bare else [])]
