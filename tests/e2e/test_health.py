"""Each service answers for itself, and `handsent status` for all of them."""

import os

import orjson
import pytest

from tests.e2e.running import SERVICES
from tests.e2e.story import Story


@pytest.mark.parametrize("service", SERVICES)
async def test_each_service_tells_how_it_is(story: Story, service: str) -> None:
    base = story.running.url(SERVICES[service])
    for path, type_ in (
        ("/healthz", "application/json"),
        ("/readyz", "application/json"),
        ("/metrics", "text/plain"),
        ("/openapi.json", "application/json"),
    ):
        async with story.http.get(base + path) as answer:
            content = await answer.read()
            assert (answer.status, answer.content_type) == (200, type_), path
    about = orjson.loads(content)
    assert about["openapi"].startswith("3.1")
    async with story.http.get(f"{base}/api/v1/no-such-path") as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"


async def test_status_tells_of_every_part(story: Story) -> None:
    about = story.running.status()
    assert about["ok"] is True and about["stuck"] == []
    assert about["kafka_bootstrap"].startswith("127.0.0.1:")
    assert about["database"].startswith("postgres") and "password" not in about["database"]
    parts = {part["name"]: part for part in about["parts"]}
    assert parts.keys() >= {*SERVICES, "postgres", "kafka", "simulator"}
    for name, part in parts.items():
        assert part["state"] == "running" and part["restarts"] == 0
        os.kill(part["pid"], 0)
        assert name not in SERVICES or part["port"] == int(story.running.settings[SERVICES[name]])
        assert name not in ("scheduler", "dispatcher", "projections") or isinstance(part["lag"], int)
    assert story.running.handsent("status").returncode == 0


async def test_nothing_that_is_logged_shows_a_number_a_text_or_a_token(story: Story) -> None:
    number, text = story.number(), "Zanzibar is lovely in spring."
    campaign = await story.campaign([number], text=text)
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.replies(number, campaign.sender, "Zanzibar, really?")
    await story.settles(campaign, delivered=1)
    logs = list((story.running.home / "logs").glob("*.log"))
    assert {log.stem for log in logs} >= SERVICES.keys()
    for log in logs:
        if log.stem in SERVICES:
            content = log.read_text()
            assert number[1:] not in content and "Zanzibar" not in content and sam.token not in content, log.name


async def test_a_second_stack_in_the_same_home_is_refused(story: Story) -> None:
    done = story.running.handsent("up")
    assert done.returncode == 1
    assert "already runs" in done.stderr
