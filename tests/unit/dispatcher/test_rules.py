"""The small rules: opt-outs, keywords, receipts, callbacks, back-off, pace, lists."""

import csv
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from dispatcher import callback, chunk, clearance, csv_list, parking, provider_twilio, retry, usefulness
from dispatcher.clearance import Clear, Hold, OptOut, Suppress, Wait, Why
from dispatcher.csv_list import Listed, NoPhoneColumn, Reader, Reject
from dispatcher.outcome import Accepted, NotAccepted, Outcome, Unknown
from dispatcher.parking import Candidate
from dispatcher.phone import BadPhone
from dispatcher.phone import read as read_phone
from dispatcher.provider import Unreadable
from dispatcher.receipt import Delivered, NotDelivered
from dispatcher.retry import Pace
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, OptOutSource, SuppressReason, UnresolvedReason

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
KEY = b"a key"
RID = "11111111-1111-5111-8111-111111111111"


@pytest.mark.parametrize("source", OptOutSource)
def test_every_opt_out_suppresses(source: OptOutSource) -> None:
    opt_out = OptOut(source, NOON, RID)
    for erased in (False, True):  # whoever was erased stays opted out, and that is what is said
        for readable in (False, True):
            assert clearance.decide(opt_out, erased=erased, readable=readable) == Suppress(
                SuppressReason.OPTED_OUT, opt_out
            )


@pytest.mark.parametrize(
    ("erased", "readable", "decision"),
    [
        (False, True, Clear()),
        (True, False, Suppress(SuppressReason.PERSON_ERASED)),
        (True, True, Suppress(SuppressReason.PERSON_ERASED)),  # their key is about to go
        (False, False, Hold()),  # a vault that is not the right one suppresses nobody
    ],
)
def test_an_erased_person_is_not_texted_and_a_missing_key_loses_nobody(
    erased: bool, readable: bool, decision: object
) -> None:
    assert clearance.decide(None, erased=erased, readable=readable) == decision


def test_what_is_too_late_is_not_sent_whether_it_can_be_read_or_not() -> None:
    for readable in (False, True):
        late = clearance.decide(None, erased=False, readable=readable, too_late=True)
        assert late == Suppress(SuppressReason.TOO_LATE)
        erased = clearance.decide(None, erased=True, readable=readable, too_late=True)
        assert erased == Suppress(SuppressReason.PERSON_ERASED)
    out = OptOut(OptOutSource.REPLY, NOON, RID)
    assert clearance.decide(out, erased=False, readable=True, too_late=True) == Suppress(SuppressReason.OPTED_OUT, out)


@pytest.mark.parametrize(
    ("campaigns", "useful_for", "until"),
    [
        (None, None, None),
        (NOON + HOUR, None, NOON + HOUR),
        (None, 2 * HOUR, NOON + 2 * HOUR),
        (NOON + HOUR, 2 * HOUR, NOON + HOUR),
        (NOON + 3 * HOUR, 2 * HOUR, NOON + 2 * HOUR),
    ],
)
def test_the_earlier_of_a_campaigns_time_and_the_settings_counts(
    campaigns: datetime | None, useful_for: timedelta | None, until: datetime | None
) -> None:
    assert usefulness.useful_until(campaigns, NOON, useful_for) == until


def test_the_last_moment_is_still_useful_and_the_next_is_not() -> None:
    for at, over in ((NOON - MICROSECOND, False), (NOON, False), (NOON + MICROSECOND, True)):
        assert usefulness.is_over(NOON, at) is over
    assert not usefulness.is_over(None, NOON)


def test_a_person_who_is_held_or_whose_last_outcome_is_unknown_waits_but_an_opt_out_comes_first() -> None:
    assert clearance.decide(None, erased=False, readable=True, held=True) == Wait(Why.HOLD)
    assert clearance.decide(None, erased=False, readable=True, unknown=True) == Wait(Why.UNKNOWN)
    assert clearance.decide(None, erased=False, readable=True, held=True, unknown=True) == Wait(Why.HOLD)
    opt_out = OptOut(OptOutSource.REPLY, NOON, RID)
    assert isinstance(clearance.decide(opt_out, erased=False, readable=True, held=True, unknown=True), Suppress)
    assert isinstance(clearance.decide(None, erased=True, readable=True, held=True, unknown=True), Suppress)


def test_start_lifts_only_what_the_person_said() -> None:
    assert {source for source in OptOutSource if clearance.reply_lifts(source)} == {"reply", "carrier"}


@pytest.mark.parametrize(
    ("current", "source", "changes"),
    [
        (None, OptOutSource.IMPORT, True),
        (OptOutSource.REPLY, OptOutSource.MANUAL, True),
        (OptOutSource.CARRIER, OptOutSource.MANUAL, True),
        (OptOutSource.REPLY, OptOutSource.IMPORT, False),
        (OptOutSource.MANUAL, OptOutSource.REPLY, False),
        (OptOutSource.MANUAL, OptOutSource.MANUAL, False),
        (None, OptOutSource.LEGAL, True),
        (OptOutSource.REPLY, OptOutSource.LEGAL, True),
        (OptOutSource.MANUAL, OptOutSource.LEGAL, True),
        (OptOutSource.IMPORT, OptOutSource.LEGAL, True),
        (OptOutSource.LEGAL, OptOutSource.LEGAL, False),
        *((OptOutSource.LEGAL, source, False) for source in OptOutSource),
    ],
)
def test_a_repeated_opt_out_changes_nothing_unless_a_manager_makes_it_firm(
    current: OptOutSource | None, source: OptOutSource, changes: bool
) -> None:
    assert clearance.opts_out(current, source) == changes


@pytest.mark.parametrize(
    ("status", "code", "proven"),
    [
        *[(status, "", Accepted("SM1")) for status in ("accepted", "scheduled", "queued", "sending", "sent", "Sent")],
        ("delivered", "", Delivered("SM1", None)),
        ("read", "", Delivered("SM1", None)),
        ("undelivered", "30006", NotDelivered("SM1", "30006", FailureReason.LANDLINE)),
        ("failed", "30034", NotDelivered("SM1", "30034", FailureReason.UNREGISTERED_SENDER)),
        ("failed", "", NotDelivered("SM1", None, FailureReason.UNKNOWN)),
        ("failed", "<script>", NotDelivered("SM1", None, FailureReason.UNKNOWN)),
        ("receiving", "", None),
    ],
)
def test_a_status_callback_proves(status: str, code: str, proven: object) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code}
    assert provider_twilio.receipt_of(form) == ("SM1", proven)


@given(st.dictionaries(st.sampled_from(["MessageSid", "MessageStatus", "ErrorCode"]), st.text(max_size=80)))
def test_a_torn_callback_is_read_or_refused(form: dict[str, str]) -> None:
    with suppress(Unreadable):
        assert provider_twilio.receipt_of(form)[0].isprintable()


@given(st.uuids().map(str), st.integers(1, callback.LAST_ATTEMPT))
def test_a_callback_url_names_its_attempt_and_only_we_can_make_one(recipient_id: str, attempt: int) -> None:
    url = callback.url("https://example.org", KEY, recipient_id, attempt)
    query = dict(parse_qsl(urlsplit(url).query))
    assert callback.read(query, KEY) == (recipient_id, attempt)
    assert callback.read(query, b"another key") is None
    assert callback.read({**query, "attempt": str(attempt + 1)}, KEY) is None
    assert callback.read({**query, "recipient": RID}, KEY) is None


@given(st.dictionaries(st.sampled_from(["recipient", "attempt", "mac"]), st.text(max_size=50)))
def test_a_callback_we_did_not_ask_for_is_not_ours(query: dict[str, str]) -> None:
    assert callback.read(query, KEY) is None


@given(st.integers(0, 300))
def test_an_address_with_more_fields_than_ours_is_not_ours(more: int) -> None:
    ours = urlsplit(callback.url("https://example.org", KEY, RID, 1)).query
    read = callback.read(callback.fields(f"{ours}{'&a=1' * more}".encode()), KEY)
    assert read == ((RID, 1) if more + 3 <= callback.MOST_FIELDS else None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0), (" 120 ", 120.0), ("0", 0.0), (None, None), ("", None), ("soon", None), ("-1", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0), ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry.read_retry_after(header, NOON) == seconds


DATE = ["Mon,", "1", "31", "Jan", "2024", "9" * 20, "12:00:00", f"{'9' * 20}:00", "1.2.3", "GMT", "-2359", "٣"]


@given(st.lists(st.sampled_from(DATE), max_size=8).map(" ".join) | st.text(max_size=40))
def test_whatever_a_carrier_says_of_when_is_a_time_or_nothing(said: str) -> None:
    seconds = retry.read_retry_after(said, NOON)
    assert seconds is None or seconds >= 0
    message = {"sid": "SM1", "to": "1", "from": "2", "body": "", "status": "sent", "date_created": said}
    provider_twilio.listed(orjson.dumps({"messages": [message]}))


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_pauses_are_bounded_and_never_shorter_than_asked(streak: int, asked: float | None, jitter: float) -> None:
    pause = retry.pause_s(streak, asked, jitter)
    assert pause <= 1.25 * retry.LONGEST_RETRY_AFTER_S
    assert pause >= min(asked or 0.0, retry.LONGEST_RETRY_AFTER_S)


REFUSED = NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT)
TAKEN = Accepted("SM1")


def test_one_refusal_among_many_only_halves_the_pace_and_it_recovers() -> None:
    pace = Pace.full(64).after(REFUSED, now=0, jitter=0)
    assert (pace.limit, pace.resume_at) == (32, 0)
    assert pace.after(TAKEN, now=0, jitter=0) == Pace.full(64)


def test_a_carrier_that_is_away_is_asked_by_one_message_at_a_time_and_ever_more_rarely() -> None:
    pace, now, asked = Pace.full(64), 0.0, 0
    while now < 60:
        pace, asked = pace.after(REFUSED, now, jitter=0), asked + 1
        now = max(now, pace.resume_at)
    assert pace.limit == 1
    assert asked < 25
    for _ in range(6):
        pace = pace.after(TAKEN, now, jitter=0)
    assert pace == Pace.full(64)


def test_an_unknown_outcome_neither_slows_nor_hastens_the_pace() -> None:
    pace = Pace.full(64).after(REFUSED, now=0, jitter=0)
    assert pace.after(Unknown(UnresolvedReason.TIMEOUT), now=0, jitter=0) == pace


@given(st.lists(st.sampled_from([REFUSED, TAKEN, Unknown(UnresolvedReason.TIMEOUT)]), max_size=60))
def test_the_pace_stays_within_its_limits(outcomes: list[Outcome]) -> None:
    pace = Pace.full(64)
    for at, outcome in enumerate(outcomes):
        pace = pace.after(outcome, now=float(at), jitter=0.5)
        assert 1 <= pace.limit <= 64
        assert pace.resume_at <= at + 1.25 * retry.LONGEST_PAUSE_S


@given(st.lists(st.floats(0, 10), max_size=50))
def test_chunks_of_an_import_stay_within_their_limits(held: list[float]) -> None:
    size = chunk.FIRST
    for held_s in held:
        before, size = size, chunk.next_size(size, held_s)
        assert chunk.SMALLEST <= size <= chunk.LARGEST
        assert size > before or before == chunk.LARGEST or held_s > chunk.GOAL_S
        assert size < before or before == chunk.SMALLEST or held_s <= chunk.GOAL_S


def test_chunks_fit_what_a_row_costs() -> None:
    row_s, size = 0.001, chunk.FIRST
    for _ in range(20):
        size = chunk.next_size(size, size * row_s)
    assert size * row_s < 1.5 * chunk.GOAL_S


def test_a_phone_is_read_as_people_type_it() -> None:
    assert read_phone("(202) 555-0123", "US") == read_phone("+1 202 555 0123", "DE") == "+12025550123"
    for typed in ("", "5550123", "no phone", "+12025550123 ext. 4", "1" * 30):
        with pytest.raises(BadPhone):
            read_phone(typed, "US")


def test_a_list_is_read_by_its_header_and_bad_rows_say_where() -> None:
    rows = list(Reader("US").rows(["Name,Mobile Number,note\r", '"Ada, Eve",202-555-0123,asked', "", "Bob,12,", "Eve"]))
    assert rows[0] == Listed(2, "+12025550123", "asked")
    assert [(type(row), row.line) for row in rows[1:]] == [(Reject, 4), (Reject, 5)]


def test_a_list_without_a_header_has_phones_first() -> None:
    assert list(Reader("US").rows(["2025550123", "2025550124"])) == [
        Listed(1, "+12025550123", ""),
        Listed(2, "+12025550124", ""),
    ]
    with pytest.raises(NoPhoneColumn):
        list(Reader("US").rows(["name,age", "Ada,36"]))


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_no_reason_is_a_formula_in_an_export(reason: str) -> None:
    line = csv_list.line("+12025550123", "manual", reason, NOON)
    [[phone, source, cell, *_]] = csv.reader(StringIO(line, newline=""))
    assert (phone, source) == ("+12025550123", "manual")
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) and cell.removeprefix("'") == reason.removeprefix("'")


@pytest.mark.parametrize("line", ["a\rb", "x" * 200_000, '"' + "x" * 200_000])
def test_a_line_that_is_not_csv_is_rejected_and_does_not_stop_the_rest(line: str) -> None:
    found = list(Reader("US").rows(["phone", line, "2025550123"]))
    assert found == [Reject(2, "The line is not CSV."), Listed(3, "+12025550123", "")]


def test_an_export_is_safe_in_a_spreadsheet() -> None:
    at = NOON + timedelta(microseconds=5)
    line = csv_list.line("+12025550123", "manual", '=HYPERLINK("x")', at, "ada", "=1")
    assert line == '+12025550123,manual,"\'=HYPERLINK(""x"")",2026-03-01T12:00:00.000005Z,ada,\'=1\r\n'


def test_the_same_bytes_are_asked_again_until_the_carrier_is_about_to_forget_their_key() -> None:
    day = 86_400
    assert retry.may_repeat(NOON, NOON + timedelta(hours=22, minutes=59), day)
    assert not retry.may_repeat(NOON, NOON + timedelta(hours=23), day)
    assert retry.may_repeat(NOON, NOON + timedelta(seconds=9), 20)
    assert not retry.may_repeat(NOON, NOON + timedelta(seconds=11), 20)


@given(st.integers(0, 5000), st.none() | st.floats(0, 1e6), st.floats(0, 60), st.floats(0, 0.999))
def test_a_repeat_waits_longer_each_time_and_never_for_ever(
    repeats: int, asked: float | None, first_s: float, jitter: float
) -> None:
    pause_s = retry.repeat_pause_s(repeats, asked, first_s, jitter)
    assert 0 <= pause_s <= (75 if asked is None else 4500)
    assert asked is not None or pause_s >= first_s
    assert asked is None or pause_s >= min(asked, 3600)


def test_a_parked_receipt_is_looked_at_soon_then_rarely_then_never_again() -> None:
    at, looks = NOON, 0
    while (following := parking.next_look(NOON, at)) is not None:
        assert timedelta(seconds=1) <= following - at <= timedelta(hours=1)
        at, looks = following, looks + 1
    assert looks < 100
    assert at - NOON >= timedelta(hours=72)


UNKNOWN, OPEN = Candidate((RID, 1), "unknown", None, NOON), Candidate((RID, 2), "open", None, NOON)
TAKEN = Candidate((RID, 3), "accepted", "m3", NOON)


def test_a_receipt_with_an_id_nobody_told_us_is_the_only_unknown_attempts() -> None:
    later = NOON + timedelta(seconds=1)
    assert parking.adopt("m1", later, [UNKNOWN, TAKEN], guess=True) == UNKNOWN.key
    assert parking.adopt("m3", later, [UNKNOWN, TAKEN], guess=True) == TAKEN.key
    assert parking.adopt("m1", later, [UNKNOWN, OPEN], guess=True) is None, "its answer may be on its way"
    assert parking.adopt("m1", later, [UNKNOWN, replace(UNKNOWN, key=(RID, 4))], guess=True) is None, (
        "it may be either's"
    )
    assert parking.adopt("m1", later, [UNKNOWN, replace(TAKEN, carrier_message_id="unknown")], guess=True) is None
    assert parking.adopt("m1", later, [TAKEN], guess=True) is None
    assert parking.adopt("m1", NOON - timedelta(seconds=1), [UNKNOWN], guess=True) is None, "it came before the attempt"


def test_a_carrier_that_can_name_attempts_is_not_guessed_about() -> None:
    later = NOON + timedelta(seconds=1)
    assert parking.adopt("m1", later, [UNKNOWN], guess=False) is None
    assert parking.adopt("m3", later, [UNKNOWN, TAKEN], guess=False) == TAKEN.key
