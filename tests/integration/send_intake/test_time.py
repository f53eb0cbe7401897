"""Before T, at T and after T, to the microsecond, on a host whose time the test sets: forwards, backwards, over leap
days and changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from send_intake.admission import Campaign, Processed
from send_intake.scheduled_time import read_time

from tests.integration.send_intake.conftest import Intake, tick
from tests.integration.send_intake.host import Host

US, HOUR = timedelta(microseconds=1), timedelta(hours=1)
NEW_YORK = "[America/New_York]"
TIMES = {
    "a leap day": "2028-02-29T12:00:00Z",
    "the last microsecond of a leap day": "2028-02-29T23:59:59.999999Z",
    "the day after a leap day": "2028-03-01T00:00:00Z",
    "01:30 before clocks go back": f"2026-11-01T01:30:00-04:00{NEW_YORK}",
    "01:30 after clocks went back": f"2026-11-01T01:30:00-05:00{NEW_YORK}",
    "the first moment after clocks go forward": f"2027-03-14T03:00:00-04:00{NEW_YORK}",
    "a new year": "2027-01-01T00:00:00+14:00[Pacific/Kiritimati]",
}


@pytest.fixture
async def host(intake: Intake) -> Host:
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")  # the real time was read once
    host = await Host.of(intake.pool, datetime(2026, 7, 1, 12, tzinfo=UTC))
    await tick(intake.pool)
    return host


def moment(text: str) -> datetime:
    at = read_time(text, datetime(2026, 7, 1, tzinfo=UTC))
    assert isinstance(at, datetime), at
    return at


async def press(intake: Intake, host: Host, at: datetime, t: datetime) -> tuple[Campaign, Processed]:
    """A campaign for `t`, and a press in it when the host's clock shows `at`."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, t, ada)
    await host.set(at)
    answer = await intake.press(campaign, 0, ada)
    assert isinstance(answer, Processed)
    return campaign, answer


async def test_a_press_before_t_waits_for_t_and_one_at_t_or_after_it_is_due_at_once(intake: Intake, host: Host) -> None:
    for what, text in TIMES.items():
        t = moment(text)
        for offset, waits in ((-HOUR, True), (-US, True), (0 * US, False), (US, False)):
            _, answer = await press(intake, host, t + offset, t)
            assert answer.processed_at == t + offset, what
            assert answer.due_at == (t if waits else answer.processed_at), (what, offset)


async def test_an_end_is_at_the_moment_it_is_asked_for_and_at_t_is_not_before_t(intake: Intake, host: Host) -> None:
    for what, text in TIMES.items():
        t = moment(text)
        for offset in (-US, 0 * US, US):
            campaign, _ = await press(intake, host, t - HOUR, t)
            await host.set(t + offset)
            assert await intake.end(campaign) == t + offset, (what, offset)


async def test_one_wall_time_is_two_moments_when_clocks_go_back(intake: Intake, host: Host) -> None:
    """Both campaigns are for 01:30 in New York; half an hour after the first 01:30 only the second still waits."""
    first, second = moment(f"2026-11-01T01:30:00-04:00{NEW_YORK}"), moment(f"2026-11-01T01:30:00-05:00{NEW_YORK}")
    assert second - first == HOUR
    _, due = await press(intake, host, first + HOUR / 2, first)
    campaign, waits = await press(intake, host, first + HOUR / 2, second)
    assert (due.due_at, waits.due_at) == (first + HOUR / 2, second)
    assert first < await intake.end(campaign) < second


async def test_the_host_goes_back_over_t_after_the_clock_has_said_t(intake: Intake, host: Host) -> None:
    """The scheduler may have let go what waited for T: no END may claim to be before it, no press to be early."""
    t = moment(TIMES["a leap day"])
    campaign, waited = await press(intake, host, t - US, t)
    await host.set(t)
    assert await tick(intake.pool) == t
    _, late = await press(intake, host, t - HOUR, t)
    assert waited.due_at == t and late.due_at == late.processed_at == t + US
    assert await intake.end(campaign) == t + US


async def test_the_host_goes_back_over_t_between_a_press_at_t_and_its_end(intake: Intake, host: Host) -> None:
    """The press went at once, no clock has said T: its END is after T all the same. An END of another is before it."""
    t = moment(TIMES["a leap day"])
    campaign, at_once = await press(intake, host, t, t)
    other, waits = await press(intake, host, t - HOUR, t)
    assert (at_once.due_at, waits.due_at) == (t, t)
    assert await intake.end(campaign) == t + US
    assert await intake.end(other) == t - HOUR


async def test_a_host_that_goes_back_between_a_press_and_an_end_before_t_drops_what_waits(
    intake: Intake, host: Host
) -> None:
    """The END is behind the press, and before T: nobody is texted, which is what END before T means."""
    t = moment(TIMES["a leap day"])
    campaign, waits = await press(intake, host, t - US, t)
    await host.set(t - HOUR)
    assert await intake.end(campaign) == t - HOUR < waits.processed_at < waits.due_at == t


async def test_a_host_that_jumped_far_ahead_is_waited_for_in_the_smallest_steps(intake: Intake, host: Host) -> None:
    """Once put right, the clock crawls until the host has caught up: what is due in between comes late, never wrong."""
    wrong = await _reading(intake, host, datetime(2026, 7, 1, 13, tzinfo=UTC))
    right = wrong - HOUR
    for n in range(1, 4):
        assert await _reading(intake, host, right + n * timedelta(minutes=10)) == wrong + n * US
    assert await _reading(intake, host, wrong + timedelta(seconds=1)) == wrong + timedelta(seconds=1)


async def _reading(intake: Intake, host: Host, at: datetime) -> datetime:
    await host.set(at)
    return await tick(intake.pool)


async def test_end_preview_goes_by_the_same_time(intake: Intake, host: Host) -> None:
    t = moment(TIMES["a leap day"])
    campaign, _ = await press(intake, host, t - HOUR, t)
    for at, waiting in ((t - US, 1), (t, 0)):
        await host.set(at)
        preview = await intake.preview(campaign)
        assert (preview["processed"], preview["waiting_for_t"]) == (1, waiting)
