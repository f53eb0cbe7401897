"""A campaign's time T as people write it: RFC 3339 with an offset, and RFC 9557's time zone where they add one."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

LIKE = "write it like 2030-01-31T09:30:00-05:00"
# Python and Postgres count a little further, but not at every offset, and the last microsecond is Postgres' infinity.
LAST = datetime(9999, 12, 31, tzinfo=UTC)
MOST = 200

# [0-9], for \d is also the digits of other scripts. Seconds may be missing: browsers' own fields leave them out.
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?((?:\[[^\[\]]*\])*)"
)
_SUFFIX = re.compile(r"\[(!?)([^\[\]]*)\]")
_KEYED = re.compile(r"[a-z_][a-z0-9_-]*=[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")
SAYS_NO_LOCAL_TIME = {"Z", "z", "-00:00"}  # UTC is known, the place is not: no zone contradicts it (RFC 9557, 2.2)


class BadTime(NamedTuple):
    """Why it is no time to send at: a stable code, and words."""

    code: str
    detail: str


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.bad = BadTime(code, detail)


def read_time(text: str, now: datetime) -> datetime | BadTime:
    """The moment, in UTC, to the microsecond, after `now`.

    What is finer than a microsecond is rounded up: nothing may leave before the time that was asked for.
    """
    try:
        return _read(text.strip(), now)
    except _Refused as refused:
        return refused.bad


def zone_of(text: str) -> str | None:
    """The name of the time zone behind a time that has been read; None where there is none, or only an offset."""
    named = [name for _, name in _SUFFIX.findall(text) if "=" not in name and not _OFFSET.fullmatch(name)]
    return named[0] if named else None


def _read(text: str, now: datetime) -> datetime:
    found = _TIME.fullmatch(text) if len(text) <= MOST else None
    if found is None:
        raise _Refused("bad_time", f"The time is not one: {LIKE}.")
    *digits, fraction, written, suffixes = found.groups()
    zone, fraction = _zone(suffixes), fraction or ""
    local = _local([int(part or 0) for part in digits], int(f"{fraction[:6]:0<6}"))
    if written is None:
        raise _Refused("time_without_offset", f"The time has no offset: {_with_offset(local, zone)}.")
    at = _utc(local, _offset(written))
    if zone is not None and written not in SAYS_NO_LOCAL_TIME:
        _check(local, at, written, zone)
    if fraction[6:].strip("0"):
        at += timedelta(microseconds=1)
    if at <= now:
        raise _Refused("time_in_past", "The time has passed already.")
    return at


def _local(digits: list[int], microsecond: int) -> datetime:
    """The date and time of day as written."""
    year, month, day, hour, minute, second = digits
    if not (year and 1 <= month <= 12 and day):
        raise _Refused("bad_time", f"There is no such day: {LIKE}.")
    if day > (days := monthrange(year, month)[1]):
        raise _Refused("bad_time", f"There is no such day: {year:04}-{month:02} has {days} days.")
    if hour == 24:
        raise _Refused("bad_time", "A day ends at 23:59: midnight is 00:00 of the next day.")
    if second == 60:
        raise _Refused("bad_time", "A leap second is no time to send at: take second 59, or 00 of the next minute.")
    if hour > 23 or minute > 59 or second > 59:
        raise _Refused("bad_time", f"There is no such time of day: {LIKE}.")
    return datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001


def _offset(written: str) -> timedelta:
    found = _OFFSET.fullmatch(written)
    if found is None:
        return timedelta(0)
    sign, hours, minutes = found[1], int(found[2]), int(found[3])
    if hours > 23 or minutes > 59:
        raise _Refused("bad_time", f"There is no such offset: {LIKE}.")
    return timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)


def _utc(local: datetime, offset: timedelta) -> datetime:
    try:
        at = local.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except OverflowError:
        raise _too_far() from None
    if at >= LAST:
        raise _too_far()
    return at


def _too_far() -> _Refused:
    return _Refused("bad_time", "The time is too far away.")


# --- the zone ------------------------------------------------------------------------------------------


def _zone(suffixes: str) -> ZoneInfo | timezone | None:
    """The zone in the brackets. Other suffixes say nothing about the moment and are passed over, unless they insist."""
    zone: ZoneInfo | timezone | None = None
    for place, (insists, name) in enumerate(_SUFFIX.findall(suffixes)):
        if _KEYED.fullmatch(name):
            if insists:
                raise _Refused("bad_time", "The time insists on something that is not known here: leave it out.")
        elif place:
            raise _Refused("bad_time", "A time has one time zone, directly behind its offset.")
        else:
            zone = timezone(_offset(name)) if _OFFSET.fullmatch(name) else _named(name)
    return zone


def _named(name: str) -> ZoneInfo:
    if name not in _names():
        raise _Refused("unknown_zone", "There is no time zone of this name: write it like America/New_York.")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """Read once; other files in the zones' folder are no zones, and these two are of the machine."""
    return frozenset(available_timezones() - {"Factory", "localtime"})


def _check(local: datetime, at: datetime, written: str, zone: ZoneInfo | timezone) -> None:
    """Raises unless clocks in the zone show this local time at this moment."""
    try:
        shown = at.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        raise _too_far() from None
    if shown == local:
        return
    offsets = _offsets(local, zone)
    if not offsets:
        raise _Refused("time_skipped", f"In {zone} clocks go forward then: {local:%H:%M} does not exist on that day.")
    raise _Refused("wrong_offset", f"In {zone} the offset is {' or '.join(offsets)} then, not {written}.")


def _with_offset(local: datetime, zone: ZoneInfo | timezone | None) -> str:
    """How to write it."""
    if zone is None or not (offsets := _offsets(local, zone)):
        return LIKE
    return f"in {zone} it is {' or '.join(offsets)} then"


def _offsets(local: datetime, zone: ZoneInfo | timezone) -> list[str]:
    """The offsets at which clocks in the zone show this local time: two when they go back, none when they skip it."""
    found: list[str] = []
    for fold in (0, 1):
        time = local.replace(tzinfo=zone, fold=fold)
        try:
            exists = time.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local
        except OverflowError:
            continue
        if exists and (written := time.isoformat()[-6:]) not in found:
            found.append(written)
    return found
