"""T as people write it: what is taken, and at which moment; what is refused, and with which words."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from send_intake.scheduled_time import LAST, BadTime, read_time, zone_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NY = "America/New_York"
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)

TAKEN = {
    # the moment, however it is written
    "2030-01-31T12:00:00Z": NOON,
    "2030-01-31t12:00:00z": NOON,
    "2030-01-31 12:00:00Z": NOON,
    "  2030-01-31T12:00:00Z\n": NOON,
    "2030-01-31T12:00Z": NOON,
    "2030-01-31T12:00:00-00:00": NOON,
    "2030-01-31T12:00:00+00:00": NOON,
    "2030-01-31T07:00:00-05:00": NOON,
    "2030-02-01T02:00:00+14:00": NOON,
    "2030-01-31T17:45:00+05:45": NOON,
    "2030-01-30T12:01:00-23:59": NOON,
    # to the microsecond; what is finer, never before the time asked for
    "2030-01-31T12:00:00.5Z": NOON + timedelta(milliseconds=500),
    "2030-01-31T12:00:00.000001Z": NOON + timedelta(microseconds=1),
    "2030-01-31T12:00:00.000001000Z": NOON + timedelta(microseconds=1),
    "2030-01-31T12:00:00.0000010001Z": NOON + timedelta(microseconds=2),
    "2030-01-31T12:00:00.999999999Z": NOON + timedelta(seconds=1),
    # days of the calendar
    "2028-02-29T00:00:00Z": datetime(2028, 2, 29, tzinfo=UTC),
    "2028-02-28T23:30:00-05:00": datetime(2028, 2, 29, 4, 30, tzinfo=UTC),
    "2400-02-29T00:00:00Z": datetime(2400, 2, 29, tzinfo=UTC),
    "9999-12-30T23:59:59.999999Z": LAST - timedelta(microseconds=1),
    # clocks go back: 01:30 is shown twice, an hour apart
    f"2026-11-01T01:30:00-04:00[{NY}]": datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
    f"2026-11-01T01:30:00-05:00[{NY}]": datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
    f"2026-11-01T00:59:59.9999999-04:00[{NY}]": datetime(2026, 11, 1, 5, tzinfo=UTC),
    # clocks go forward: the last moment before, and the first one after
    f"2027-03-14T01:59:59.999999-05:00[{NY}]": datetime(2027, 3, 14, 6, 59, 59, 999999, tzinfo=UTC),
    f"2027-03-14T01:59:59.9999999-05:00[{NY}]": datetime(2027, 3, 14, 7, tzinfo=UTC),
    f"2027-03-14T03:00:00-04:00[{NY}]": datetime(2027, 3, 14, 7, tzinfo=UTC),
    # zones by half hours and by a change of half an hour
    "2026-07-01T17:30:00+05:30[Asia/Kolkata]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    "2027-01-01T23:00:00+11:00[Australia/Lord_Howe]": datetime(2027, 1, 1, 12, tzinfo=UTC),
    "2026-07-01T22:30:00+10:30[Australia/Lord_Howe]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    # Z says nothing of a place: no zone contradicts it
    f"2026-07-01T12:00:00Z[{NY}]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    f"2026-07-01T12:00:00-00:00[{NY}]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    "2026-07-01T13:00:00+01:00[Europe/London]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    # the rest of RFC 9557
    f"2026-07-01T08:00:00-04:00[!{NY}]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    f"2026-07-01T08:00:00-04:00[{NY}][u-ca=gregory]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    "2026-07-01T08:00:00-04:00[u-ca=gregory]": datetime(2026, 7, 1, 12, tzinfo=UTC),
    "2026-07-01T08:00:00-04:00[-04:00]": datetime(2026, 7, 1, 12, tzinfo=UTC),
}

REFUSED = {
    # no time
    "": ("bad_time", "like 2030"),
    "tomorrow": ("bad_time", "like 2030"),
    "1893456000": ("bad_time", "like 2030"),
    "2030-01-31": ("bad_time", "like 2030"),
    "20300131T120000Z": ("bad_time", "like 2030"),
    "2030-W05-4T12:00:00Z": ("bad_time", "like 2030"),
    "2030-1-31T12:00:00Z": ("bad_time", "like 2030"),
    "٢٠٣٠-01-31T12:00:00Z": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00,5Z": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00.Z": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00 Z": ("bad_time", "like 2030"),
    "12030-01-31T12:00:00Z": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00EST": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00-0500": ("bad_time", "like 2030"),
    "2030-01-31T12:00:00." + "0" * 500 + "Z": ("bad_time", "like 2030"),
    # no such day or time of day
    "0000-01-01T00:00:00Z": ("bad_time", "no such day"),
    "2030-00-01T00:00:00Z": ("bad_time", "no such day"),
    "2030-13-01T00:00:00Z": ("bad_time", "no such day"),
    "2030-04-31T00:00:00Z": ("bad_time", "2030-04 has 30 days"),
    "2027-02-29T00:00:00Z": ("bad_time", "2027-02 has 28 days"),
    "2100-02-29T00:00:00Z": ("bad_time", "2100-02 has 28 days"),
    "2028-02-30T00:00:00Z": ("bad_time", "2028-02 has 29 days"),
    "2030-01-31T24:00:00Z": ("bad_time", "next day"),
    "2030-01-31T25:00:00Z": ("bad_time", "no such time of day"),
    "2030-01-31T12:60:00Z": ("bad_time", "no such time of day"),
    "2030-12-31T23:59:60Z": ("bad_time", "leap second"),
    "2030-12-31T23:59:61Z": ("bad_time", "no such time of day"),
    "2030-01-31T12:00:00+24:00": ("bad_time", "no such offset"),
    "2030-01-31T12:00:00-05:60": ("bad_time", "no such offset"),
    # beyond what can be kept
    "9999-12-31T00:00:00Z": ("bad_time", "too far"),
    "9999-12-31T23:59:59.9999999Z": ("bad_time", "too far"),
    "9999-12-31T23:59:59-23:59": ("bad_time", "too far"),
    "0001-01-01T00:00:00+23:59": ("bad_time", "too far"),
    # passed
    "2026-03-01T12:00:00Z": ("time_in_past", "passed"),
    "2026-03-01T11:59:59.999999Z": ("time_in_past", "passed"),
    "1969-12-31T23:59:59Z": ("time_in_past", "passed"),
    "0001-01-01T00:00:00Z": ("time_in_past", "passed"),
    # no offset
    "2030-01-31T12:00:00": ("time_without_offset", "like 2030"),
    f"2026-07-01T12:00:00[{NY}]": ("time_without_offset", f"in {NY} it is -04:00 then"),
    f"2026-11-01T01:30:00[{NY}]": ("time_without_offset", "-04:00 or -05:00"),
    # an offset that the zone does not have
    f"2026-07-01T12:00:00-05:00[{NY}]": ("wrong_offset", f"In {NY} the offset is -04:00 then, not -05:00"),
    f"2026-11-01T01:30:00-06:00[{NY}]": ("wrong_offset", "-04:00 or -05:00 then, not -06:00"),
    f"2026-11-01T02:00:00-04:00[{NY}]": ("wrong_offset", "is -05:00 then"),
    "2026-07-01T12:00:00+00:00[Europe/London]": ("wrong_offset", "is +01:00 then"),
    "2026-07-01T08:00:00-04:00[-05:00]": ("wrong_offset", "not -04:00"),
    # clocks go forward
    f"2027-03-14T02:00:00-05:00[{NY}]": ("time_skipped", "02:00 does not exist"),
    f"2027-03-14T02:30:00-05:00[{NY}]": ("time_skipped", "clocks go forward"),
    f"2027-03-14T02:30:00-04:00[{NY}]": ("time_skipped", "clocks go forward"),
    "2026-10-04T02:15:00+10:30[Australia/Lord_Howe]": ("time_skipped", "02:15 does not exist"),
    # no zone
    "2026-07-01T08:00:00-04:00[Mars/Olympus]": ("unknown_zone", "America/New_York"),
    "2026-07-01T08:00:00-04:00[]": ("unknown_zone", "America/New_York"),
    "2026-07-01T08:00:00-04:00[localtime]": ("unknown_zone", "America/New_York"),
    "2026-07-01T08:00:00-04:00[../../etc/passwd]": ("unknown_zone", "America/New_York"),
    "2026-07-01T08:00:00-04:00[tzdata.zi]": ("unknown_zone", "America/New_York"),
    f"2026-07-01T08:00:00-04:00[{NY}][Europe/London]": ("bad_time", "one time zone"),
    f"2026-07-01T08:00:00-04:00[u-ca=gregory][{NY}]": ("bad_time", "one time zone"),
    f"2026-07-01T08:00:00-04:00[{NY}][!u-ca=hebrew]": ("bad_time", "insists"),
    f"2026-07-01T08:00:00-04:00[{NY}": ("bad_time", "like 2030"),
}


@pytest.mark.parametrize(("text", "at"), TAKEN.items())
def test_a_time_is_one_moment(text: str, at: datetime) -> None:
    assert read_time(text, NOW) == at


@pytest.mark.parametrize(("text", "why"), REFUSED.items())
def test_what_is_no_time_to_send_at_is_refused_in_words(text: str, why: tuple[str, str]) -> None:
    refused = read_time(text, NOW)
    assert isinstance(refused, BadTime), refused
    assert refused.code == why[0] and why[1] in refused.detail


ZONES = ["UTC", NY, "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]
MOMENTS = st.datetimes(datetime(2026, 3, 2), datetime(9999, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, st.sampled_from(ZONES))
@example(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), NY)
@example(datetime(2026, 11, 1, 6, 30, tzinfo=UTC), NY)
def test_what_a_zone_s_clock_shows_is_read_as_the_moment_it_showed_it(at: datetime, zone: str) -> None:
    shown = at.astimezone(ZoneInfo(zone)).isoformat()
    assert read_time(f"{shown}[{zone}]", NOW) == at


@given(MOMENTS, st.sampled_from(ZONES), st.integers(-23 * 60 - 59, 23 * 60 + 59))
@example(datetime(2027, 3, 14, 7, 30, tzinfo=UTC), NY, -300)  # 02:30, which no clock there shows
def test_another_offset_than_the_zone_s_is_always_refused(at: datetime, zone: str, minutes: int) -> None:
    offset = timezone(timedelta(minutes=minutes))
    assume(minutes != 0 and at.astimezone(ZoneInfo(zone)).utcoffset() != timedelta(minutes=minutes))
    refused = read_time(f"{at.astimezone(offset).isoformat()}[{zone}]", NOW)
    assert isinstance(refused, BadTime) and refused.code in ("wrong_offset", "time_skipped")


@given(st.text(max_size=60) | st.from_regex(r"[0-9T:.+\[\]Za-z/=!-]{0,60}", fullmatch=True))
def test_nothing_that_is_typed_breaks_it(text: str) -> None:
    found = read_time(text, NOW)
    assert isinstance(found, BadTime) or NOW < found < LAST


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("2026-11-01T01:30:00-04:00[America/New_York]", "America/New_York"),
        ("2026-11-01T01:30:00-04:00[!America/New_York][u-ca=gregory]", "America/New_York"),
        ("2026-11-01T01:30:00-04:00[u-ca=gregory]", None),
        ("2026-11-01T01:30:00-04:00[-04:00]", None),
        ("2026-11-01T01:30:00-04:00", None),
    ],
)
def test_a_time_remembers_the_zone_it_was_given_in(written: str, zone: str | None) -> None:
    assert zone_of(written) == zone
