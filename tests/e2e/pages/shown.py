"""The pages, with something on each of them; and axe, as its makers publish it."""

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.people import Campaign
from tests.e2e.story import Story
from tests.integration import npm

FOLDER = Path(__file__).parent / "axe"
PAGES = {
    "sign-in": "/sign-in",
    "current": "/campaigns",
    "new": "/campaigns/new",
    "sending": "/campaigns/{campaign}/send",
    "progress": "/campaigns/{campaign}",
    "message": "/campaigns/{campaign}/message",
    "list": "/campaigns/{campaign}/list",
    "end": "/campaigns/{campaign}/end",
    "recipients": "/campaigns/{campaign}/recipients?state=delivered",
    "recipient": "/campaigns/{campaign}/recipients/{recipient}",
    "opt-outs": "/opt-outs",
    "completed": "/campaigns/completed",
    "ended": "/campaigns/{ended}/end",
    "nothing": "/campaigns/00000000-0000-4000-8000-000000000000",
}


def axe_source() -> str:
    return (npm.installed(FOLDER) / "node_modules/axe-core/axe.min.js").read_text()


@dataclass(frozen=True)
class Shown:
    base: str
    campaign: Campaign
    recipient: str
    ended: Campaign

    def address(self, page: str) -> str:
        return self.base + PAGES[page].format(campaign=self.campaign.id, recipient=self.recipient, ended=self.ended.id)


async def furnished(story: Story) -> Shown:
    """A campaign of which every kind of thing has happened, and one that has ended."""
    failing, out, *others = [story.number("0003"), *story.numbers(11)]
    campaign = await _named(story, "Town meeting", "Hello {first_name}, see you on Tuesday.")
    rows = "".join(f"{number},Ada{n},Byron\n" for n, number in enumerate([failing, out, *others]))
    await story.imports(campaign, f"phone,first_name,last_name\n{rows}")
    manager = await story.manager()
    await manager.ok("POST", "/opt-outs", json={"phone": out, "reason": "asked on the phone"})
    assert (await manager.starts(campaign, take_over=True)).status == 200
    for number in (failing, out, *others[:6]):
        assert (await manager.sends(campaign, number)).status == 200
    ended = await _named(story, "Food drive", "Hello, can you help on Saturday?")
    await story.imports(ended, "phone\n" + "\n".join(story.numbers(2)) + "\n")
    await manager.ok("POST", f"/campaigns/{ended.id}/end", json={"confirm": "END"})
    await story.settles(campaign, delivered=6, failed=1, suppressed=1, unprocessed=4)
    return Shown(story.running.url(), campaign, campaign.rid(others[0]), ended)


async def _named(story: Story, name: str, text: str) -> Campaign:
    made = await (await story.manager()).ok("POST", "/campaigns", json={"name": name, "text": text})
    return Campaign(made["campaign_id"], made["name"], made["sender"])
