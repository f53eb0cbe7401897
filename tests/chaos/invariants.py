"""What must be true of a campaign when the dust has settled: ledger, answers and report tell the same."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

from tests.chaos.work import Work
from tests.e2e.story import LEAVES, moment

Rows = dict[str, dict[str, str]]
TOLD = {"delivered", "failed"}
SETTLED = {"delivered", "failed", "suppressed", "dropped", "unknown"}


def wrong(
    work: Work, progress: dict[str, Any], rows: Rows, lines: list[dict[str, Any]], silent: Collection[str] = ()
) -> list[str]:
    """Every way in which it is not as it must be. Of those who are `silent` the carrier will never tell."""
    accepted = Counter(line["to"] for line in lines if line["accepted"])
    asked = {line["to"] for line in lines}
    found = {
        "texted twice": [number for number, count in accepted.items() if count > 1],
        "asked for though nobody SENT them": asked - work.due.keys(),
        "asked for though opted out before": asked & work.opted_out,
        "lost": [n for n in work.due if rows[n]["state"] not in SETTLED and not (n in silent and accepted[n])],
        "SENT but not processed": [n for n in work.due if not rows[n]["processed_at"]],
        "processed though nobody SENT them": [n for n in work.unsent if rows[n]["state"] != "unprocessed"],
        "texted before due": [ln["to"] for ln in lines if moment(ln["received_at"]) < work.due[ln["to"]]],
        "delivered, but never taken": [n for n in work.due if rows[n]["state"] == "delivered" and not accepted[n]],
        "taken, but not told": [n for n in accepted if n not in silent and rows[n]["state"] not in TOLD],
        "opted out and not suppressed": [
            n for n in work.opted_out & work.due.keys() if _state(rows, n) != "suppressed"
        ],
        "sent after STOP was answered": [n for n, at in work.stopped.items() if _sent_after(rows[n], at)],
        "suppressed without an opt-out": _in(rows, "suppressed") - work.opted_out - work.stopped.keys(),
        "without a reason": [n for n, r in rows.items() if r["state"] in SETTLED - {"delivered"} and not r["reason"]],
    }
    problems = [f"{work.title}: {len(set(who))} {what}: {sorted(who)[:3]}" for what, who in found.items() if who]
    problems += _ends(work, rows, asked)
    return problems + _figures(work, progress, rows)


def answers_wrong(work: Work, lines: list[dict[str, Any]]) -> list[str]:
    """Who said STOP is told so once at most, and nobody else is."""
    taken = Counter(line["to"] for line in lines if line["accepted"])
    found = {
        "told twice that they are opted out": [number for number, count in taken.items() if count > 1],
        "told that they are opted out, but said nothing": taken.keys() - work.stopped.keys(),
    }
    return [f"{work.title}: {len(who)} {what}: {sorted(who)[:3]}" for what, who in found.items() if who]


def _ends(work: Work, rows: Rows, asked: set[str]) -> list[str]:
    """Dropped if and only if END came before T."""
    dropped = _in(rows, "dropped")
    if work.drops:
        problems = [f"{work.title}: ended before T and {len(asked)} were asked for"] if asked else []
        return problems + ([f"{work.title}: not all were dropped"] if dropped != work.due.keys() else [])
    return [f"{work.title}: {len(dropped)} were dropped"] if dropped else []


def _figures(work: Work, progress: dict[str, Any], rows: Rows) -> list[str]:
    problems = []
    states = Counter(row["state"] for row in rows.values())
    if differ := [leaf for leaf in LEAVES if states[leaf] != progress[leaf]]:
        problems.append(f"{work.title}: report and Progress differ in {differ}")
    if progress["recipients"] != len(work.numbers) or progress["processed"] != len(work.due):
        problems.append(f"{work.title}: {progress['processed']} processed of {progress['recipients']}")
    return problems


def _in(rows: Rows, state: str) -> set[str]:
    return {number for number, row in rows.items() if row["state"] == state}


def _state(rows: Rows, number: str) -> str:
    return rows[number]["state"]


def _sent_after(row: dict[str, str], at: datetime) -> bool:
    return bool(row["sent_at"]) and moment(row["sent_at"]) > at
