"""The small rules: opt-outs, keywords, receipts, callbacks, back-off, pace, lists."""

import csv
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from dispatcher import callback, clearance, csv_list, keywords, receipt, retry
from dispatcher.clearance import Clear, Hold, OptOut, Suppress, Wait, Why
from dispatcher.csv_list import Listed, NoPhoneColumn, Reader, Reject
from dispatcher.keywords import Verdict
from dispatcher.outcome import Accepted, NotAccepted, Outcome, Unknown
from dispatcher.phone import BadPhone
from dispatcher.phone import read as read_phone
from dispatcher.receipt import Delivered, NotDelivered
from dispatcher.retry import Pace
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, OptOutSource, SuppressReason, UnresolvedReason

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
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
    ],
)
def test_a_repeated_opt_out_changes_nothing_unless_a_manager_makes_it_firm(
    current: OptOutSource | None, source: OptOutSource, changes: bool
) -> None:
    assert clearance.opts_out(current, source) == changes


REPLIES = [line.split("\t") for line in (Path(__file__).parent / "replies.tsv").read_text().splitlines()]


@pytest.mark.parametrize(("verdict", "body"), [*REPLIES, ["other", ""]])
def test_a_reply_means(verdict: str, body: str) -> None:
    assert keywords.verdict(body) == verdict


def test_the_carriers_own_stop_counts() -> None:
    assert keywords.verdict("leave me alone", carrier_says="STOP") == Verdict.STOP
    assert keywords.verdict("leave me alone", carrier_says="START") == Verdict.OTHER


@given(st.text(max_size=300))
def test_no_reply_breaks_the_reading(body: str) -> None:
    assert keywords.verdict(body) in Verdict


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
    assert receipt.read({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code}) == proven


@given(st.dictionaries(st.sampled_from(["MessageSid", "MessageStatus", "ErrorCode"]), st.text(max_size=80)))
def test_a_torn_callback_is_read_or_refused(form: dict[str, str]) -> None:
    with suppress(receipt.Unreadable):
        assert receipt.read(form) is None or form["MessageSid"].isprintable()


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


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0), (" 120 ", 120.0), ("0", 0.0), (None, None), ("", None), ("soon", None), ("-1", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0), ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry.read_retry_after(header, NOON) == seconds


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
    [[phone, source, cell, _]] = csv.reader(StringIO(line, newline=""))
    assert (phone, source) == ("+12025550123", "manual")
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) and cell.removeprefix("'") == reason.removeprefix("'")


@pytest.mark.parametrize("line", ["a\rb", "x" * 200_000, '"' + "x" * 200_000])
def test_a_line_that_is_not_csv_is_rejected_and_does_not_stop_the_rest(line: str) -> None:
    found = list(Reader("US").rows(["phone", line, "2025550123"]))
    assert found == [Reject(2, "The line is not CSV."), Listed(3, "+12025550123", "")]


def test_an_export_is_safe_in_a_spreadsheet() -> None:
    line = csv_list.line("+12025550123", "manual", '=HYPERLINK("x")', NOON + timedelta(microseconds=5))
    assert line == '+12025550123,manual,"\'=HYPERLINK(""x"")",2026-03-01T12:00:00.000005Z\r\n'
