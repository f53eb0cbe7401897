"""What people are answered about time: over HTTP, on a real Postgres whose host's time the test sets."""

from datetime import UTC, datetime, timedelta

import pytest
from send_intake import store

from tests.integration.send_intake.conftest import Intake, tick
from tests.integration.send_intake.door import as_user
from tests.integration.send_intake.host import Host

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_an_end_by_an_unconfirmed_clock_is_503_says_when_to_come_back_and_changes_nothing(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CONFIRMED_WITHIN_S", 0.1)
    campaign = await intake.campaign(0)
    await intake.pool.execute("UPDATE clock SET at = at - interval '1 day'")
    async with as_user(intake, await intake.user("manager")) as mia:
        path = f"/campaigns/{campaign.campaign_id}"
        refused = await mia.post(f"{path}/end", json={"confirm": "END"})
        assert (refused.status_code, refused.json()["code"]) == (503, "clock_unconfirmed")
        assert refused.headers["retry-after"] == "2"
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await mia.get(path)).json()["state"] == "current"
        await tick(intake.pool)
        assert (await mia.post(f"{path}/end", json={"confirm": "END"})).status_code == 200


async def test_a_campaign_is_for_a_time_after_the_clock_everybody_goes_by(intake: Intake) -> None:
    """It is ahead of its host by an hour: in that hour T would have passed for everybody else."""
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")  # the real time was read once
    host = await Host.of(intake.pool, NOON)
    await tick(intake.pool)
    await host.set(NOON - HOUR)
    async with as_user(intake, await intake.user("manager")) as mia:
        for t, code in (
            ("2026-07-01T07:59:59.999999-04:00[America/New_York]", "time_in_past"),
            ("2026-07-01T08:00:00.000001-04:00[America/New_York]", "time_in_past"),
            ("2026-07-01T08:00:00.000002-04:00[America/New_York]", None),
        ):
            answer = await mia.post("/campaigns", json={"name": "Spring", "text": "Hello", "scheduled_for": t})
            assert answer.json().get("code") == code, answer.text
        assert datetime.fromisoformat(answer.json()["scheduled_for"]) == NOON + timedelta(microseconds=2)
