"""The demo's story: four campaigns, four users at once, every way a campaign can go."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from handsent.demo import people, verdict
from handsent.demo.client import DemoFailed, User, new_token, press
from handsent.demo.verdict import Played

TEXT = "{title}: hello {{first_name}} from {{town}}. Reply STOP to end."
SETTLE_S = 180
LEAD_S = 30  # from creating the campaigns to T

Say = Callable[[str], None]


@dataclass
class Story:
    """Plays against a running stack; `problems` says what was wrong, `polls` how many answers were checked."""

    base: str
    carrier: str
    folder: Path
    account: str
    say: Say
    session: aiohttp.ClientSession
    problems: list[str] = field(default_factory=list)
    polls: int = 0

    async def user(self, name: str, role: str) -> User:
        return User(name, f"{self.base}/api/v1", await new_token(name, role, self.account), self.session)

    async def watched(self, user: User, plays: list[Played], work: Awaitable[Any]) -> None:
        """Does the work while every answer of Progress is checked to add up."""
        watching = asyncio.create_task(self._watch(user, plays))
        try:
            await work
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, user: User, plays: list[Played]) -> None:
        while True:
            for played in plays:
                await self.progress(user, played)
            await asyncio.sleep(0.2)

    async def progress(self, user: User, played: Played) -> dict[str, Any]:
        found: dict[str, Any] = await user.call("GET", f"/campaigns/{played.campaign_id}/progress")
        self.polls += 1
        if not verdict.adds_up(found):
            self.problems.append(f"{played.title}: the numbers do not add up: {found}")
        return found

    async def settled(self, user: User, played: Played, leaves: dict[str, int]) -> dict[str, Any]:
        """Waits until Progress has come to these leaves; says so when it does not in time."""
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            found = await self.progress(user, played)
            differ = {name: (found[name], n) for name, n in leaves.items() if found[name] != n}
            if not differ:
                return found
            if asyncio.get_running_loop().time() > deadline:
                self.problems.append(f"{played.title}: (is, should be) {differ}")
                return found
            await asyncio.sleep(0.25)

    async def report(self, user: User, played: Played, progress: dict[str, Any]) -> Path:
        path = self.folder / f"report-{played.title.lower().replace(' ', '-')}.csv"
        with path.open("wb") as file:
            await user.download(f"/campaigns/{played.campaign_id}/report.csv", file)
        self.problems += verdict.against_report(played, path, progress)
        return path

    async def ledger(self, sender: str) -> list[dict[str, Any]]:
        """What the carrier was asked to send from this number."""
        async with self.session.get(f"{self.carrier}/simulator/ledger") as answer:
            lines = (await answer.text()).splitlines()
        return [line for line in map(json.loads, lines) if line["from"] == sender]


async def create(manager: User, title: str, scheduled_for: datetime | None = None, text: str = TEXT) -> Played:
    asked = {"name": title, "text": text.format(title=title)}
    if scheduled_for is not None:
        asked["scheduled_for"] = scheduled_for.isoformat()
    campaign = await manager.call("POST", "/campaigns", json=asked)
    return Played(title, campaign["campaign_id"], scheduled_for)


async def import_list(manager: User, played: Played, content: bytes) -> dict[str, Any]:
    path = f"/campaigns/{played.campaign_id}/recipients"
    found: dict[str, Any] = await manager.call("POST", path, data=content, headers={"Content-Type": "text/csv"})
    return found


async def four_campaigns(story: Story, count: int) -> None:
    """The whole main job; adds to the story's problems whatever was not as it should be."""
    manager = await story.user("demo manager", "manager")
    senders = await asyncio.gather(*(story.user(f"demo sender {n}", "sender") for n in range(1, 5)))
    content = people.write(count)
    (story.folder / "list.csv").write_bytes(content)
    t = datetime.now(UTC) + timedelta(seconds=LEAD_S + count / 1000)
    plays = [
        await create(manager, "Unscheduled"),
        await create(manager, "Scheduled", t),
        await create(manager, "Partly sent", t),
        await create(manager, "Ended early", t),
    ]
    for played in plays:
        counts = await import_list(manager, played, content)
        story.say(
            f"{played.title}: {counts['added']} added, {counts['duplicates']} duplicates, {counts['rejected']} rejected"
        )
    opted_out = await _opt_out(story, manager, plays[0], people.numbers(count))
    await story.watched(manager, plays, _play(story, manager, list(senders), plays, count, t))
    await _judge(story, manager, plays, opted_out)


async def _opt_out(story: Story, manager: User, played: Played, numbers: list[str]) -> set[str]:
    """Some people had opted out before: most by a manager's hand, one by a reply."""
    plain = [number for number in numbers if not number[-4:].startswith("00")][:300:12]
    for number in plain[1:]:
        await manager.call("POST", "/opt-outs", json={"phone": number, "reason": "asked at the door"})
    campaign = await manager.call("GET", f"/campaigns/{played.campaign_id}")
    reply = {"from": plain[0], "to": campaign["sender"], "body": "STOP"}
    async with story.session.post(f"{story.carrier}/simulator/inbound", json=reply) as answer:
        if answer.status >= 300:
            raise DemoFailed(f"the reply STOP was answered {answer.status}")
    story.say(f"{len(plain)} people have opted out, one of them by a reply")
    return set(plain)


async def _play(story: Story, manager: User, senders: list[User], plays: list[Played], count: int, t: datetime) -> None:
    for user, played in zip(senders, plays, strict=True):
        await user.call("POST", f"/campaigns/{played.campaign_id}/sending")
    story.say("four users press SEND")
    await asyncio.gather(
        _press(senders[0], plays[0], count),
        _press(senders[1], plays[1], count // 5),
        _partly(senders[2], plays[2], count // 10, t),
        _ended(manager, senders[3], plays[3], count // 8, t),
    )
    story.say(f"{sum(len(played.pressed) for played in plays)} presses answered")


async def _press(user: User, played: Played, limit: int, until: datetime | None = None) -> None:
    played.pressed += await press(user, played.campaign_id, limit, until)


async def _partly(user: User, played: Played, limit: int, t: datetime) -> None:
    """Some before T, nothing more until T has passed, then a few that leave at once."""
    await _press(user, played, limit, t - timedelta(seconds=3))
    await asyncio.sleep(max(0.0, (t - datetime.now(UTC)).total_seconds()) + 1)
    await _press(user, played, 20)


async def _ended(manager: User, user: User, played: Played, limit: int, t: datetime) -> None:
    await _press(user, played, limit, t - timedelta(seconds=5))
    answer = await manager.call("POST", f"/campaigns/{played.campaign_id}/end", json={"confirm": "END"})
    played.ended_at = datetime.fromisoformat(answer["ended_at"])
    if played.ended_at >= t:
        raise DemoFailed("this machine is so slow that the campaign could not be ended before its time; try again")


async def _judge(story: Story, manager: User, plays: list[Played], opted_out: set[str]) -> None:
    story.say("waiting for the last receipts")
    for played in plays:
        progress = await story.settled(manager, played, verdict.expected(played, opted_out))
        if played.ended_at is None:
            await manager.call("POST", f"/campaigns/{played.campaign_id}/end", json={"confirm": "END"})
        story.problems += verdict.against_opt_outs(played, opted_out, progress)
        path = await story.report(manager, played, progress)
        story.say(f"{played.title}: " + ", ".join(f"{progress[name]} {name}" for name in verdict.COUNTS))
        story.say(f"{played.title}: report in {path}")
    sender = (await manager.call("GET", f"/campaigns/{plays[0].campaign_id}"))["sender"]
    story.problems += verdict.against_ledger(plays, opted_out, await story.ledger(sender))


async def one_campaign(story: Story, content: bytes) -> None:
    """A list of the user's own: imported, SENT row by row, reported."""
    manager = await story.user("demo manager", "manager")
    played = await create(manager, "Your list", text="Hello from Handsent. Reply STOP to end.")
    counts = await import_list(manager, played, content)
    story.say(f"{counts['added']} added, {counts['duplicates']} duplicates, {counts['rejected']} rejected")
    for reject in counts["rejects"][:10]:
        story.say(f"  line {reject['line']}: {reject['detail']}")
    await manager.call("POST", f"/campaigns/{played.campaign_id}/sending")
    await story.watched(manager, [played], _press(manager, played, counts["added"]))
    progress = await story.settled(manager, played, {"waiting": 0, "awaiting": _silent(played), "unprocessed": 0})
    path = await story.report(manager, played, progress)
    story.say(", ".join(f"{progress[name]} {name}" for name in verdict.COUNTS))
    story.say(f"report in {path}")


def _silent(played: Played) -> int:
    return sum(pressed.phone[-4:] in verdict.SILENT for pressed in played.pressed)
