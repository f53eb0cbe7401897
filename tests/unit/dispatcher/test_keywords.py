"""What replies ask for: a table of real-life ones, and what may not change a STOP."""

import csv
import time
from collections import Counter
from pathlib import Path

import pytest
from dispatcher import keywords
from dispatcher.keywords import Verdict
from dispatcher.phrases import any_of, canonical
from dispatcher.words import TABLE
from hypothesis import assume, given
from hypothesis import strategies as st

with (Path(__file__).parent / "replies.csv").open(newline="", encoding="utf-8") as table:
    REPLIES = [(row["verdict"], row["reply"], row["why"]) for row in csv.DictReader(table)]
STOPS = sorted({word for kind in ("words", "typos") for word in TABLE["stop"][kind].split()})
UNSEEN = ["\u200b", "\u200d", "\ufeff", "\u00ad"]
SIGNS = [*"!?.,;:*~_-'\"()[]#…¡¿ \t\n", *"🛑🖕😡🙏❤👍🏽🇺🇸✋😂", *UNSEEN]
ASIDE = st.lists(st.sampled_from(SIGNS), max_size=6)


@pytest.mark.parametrize(("verdict", "reply", "why"), REPLIES)
def test_a_reply_means(verdict: str, reply: str, why: str) -> None:
    assert keywords.verdict(reply) == verdict, why


def test_the_table_has_many_replies_of_every_kind_none_twice_and_says_why() -> None:
    assert len({reply for _, reply, _ in REPLIES}) == len(REPLIES) >= 400
    assert Counter(verdict for verdict, *_ in REPLIES).keys() == set(Verdict)
    assert all(why for *_, why in REPLIES)


@given(st.sampled_from(STOPS), st.data(), ASIDE, ASIDE)
def test_case_punctuation_emoji_and_spaces_never_change_a_stop(
    word: str, data: st.DataObject, before: list[str], after: list[str]
) -> None:
    upper = data.draw(st.lists(st.booleans(), min_size=len(word), max_size=len(word)))
    said = "".join(letter.upper() if up else letter for letter, up in zip(word, upper, strict=True))
    assert keywords.verdict("".join(before) + said + "".join(after)) == Verdict.STOP


@given(st.sampled_from(["stop", "unsubscribe", "quit"]), st.integers(0, 10), st.integers(1, 9), st.data())
def test_letters_held_down_and_invisible_ones_between_never_change_a_stop(
    word: str, at: int, times: int, data: st.DataObject
) -> None:
    at %= len(word)
    unseen = data.draw(st.sampled_from(["", "\u200b", "\u2060", "\u0336", "\u00ad"]))
    assert keywords.verdict(unseen.join(word[:at] + word[at] * times + word[at + 1 :])) == Verdict.STOP


@given(st.sampled_from(["stop", "unsubscribe", "opt out"]), st.text(max_size=40))
def test_a_line_that_is_a_stop_decides_whatever_else_is_said(word: str, other: str) -> None:
    assume(not set('"“”«»') & set(other))  # what is quoted is not said
    assert keywords.verdict(f"{other}\n{word}") == Verdict.STOP


@given(st.text(max_size=300))
def test_no_reply_breaks_the_reading(body: str) -> None:
    assert keywords.verdict(body) in Verdict


@pytest.mark.parametrize("piece", ["stop ", "dont ", "not my ", "“", "take me ", "\u0336", "no one ", "a", "$", ". "])
def test_no_reply_takes_long_to_read(piece: str) -> None:
    began = time.process_time()
    keywords.verdict(piece * (64 * 1024 // len(piece)))
    assert time.process_time() - began < 0.5


def test_the_carriers_own_stop_counts() -> None:
    assert keywords.verdict("hello", carrier_says="STOP") == Verdict.STOP
    assert keywords.verdict("hello", carrier_says="START") == Verdict.OTHER
    assert keywords.verdict("stop", carrier_says="START") == Verdict.STOP


def test_yes_lifts_an_opt_out_but_settles_nothing_else() -> None:
    assert keywords.verdict("YES!") == keywords.verdict("start") == Verdict.START
    assert not keywords.settles("YES!")
    assert keywords.settles("Start")


def test_no_word_is_in_two_lists() -> None:
    assert not (keywords.STOP & keywords.START or keywords.STOP & keywords.HELP or keywords.HELP & keywords.START)
    assert not keywords.HOLD & (keywords.STOP | keywords.START | keywords.HELP | keywords.POLITE)
    assert not keywords.POLITE & (keywords.STOP | keywords.START | keywords.HELP) - {canonical("yes")}


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("a|b c", "b c", True),
        ("a|b c", "ab c", False),
        ("a? c", "c", True),
        ("tex* me", "texting me", True),
        ("tex* me", "context me", False),
        ("a ... b", "a x y z b", True),
        ("a ... b", "a w x y z b", False),
        ("a b", "A, B!", True),
    ],
)
def test_a_phrase_matches(phrase: str, text: str, found: bool) -> None:
    assert bool(any_of(phrase).search(f" {canonical(text)} ")) is found
