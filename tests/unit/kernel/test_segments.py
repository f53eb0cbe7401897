"""What a text costs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel.segments import Encoding, count


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", Encoding.GSM_7, 0, 1),
        ("Hello", Encoding.GSM_7, 5, 1),
        ("a" * 160, Encoding.GSM_7, 160, 1),
        ("a" * 161, Encoding.GSM_7, 161, 2),
        ("a" * 306, Encoding.GSM_7, 306, 2),
        ("a" * 307, Encoding.GSM_7, 307, 3),
        ("¿Qué Ñandú? £5 @ Ωmega\r\n", Encoding.UCS_2, 24, 1),  # ú is not in GSM-7, though é, ù and Ñ are
        ("£ ¥ è é ù ì ò Ç Ø Å Δ _ Æ ß É Ä Ö Ñ Ü § ¿ ä ö ñ ü à", Encoding.GSM_7, 51, 1),
        ("€" * 80, Encoding.GSM_7, 160, 1),
        ("€" * 81, Encoding.GSM_7, 162, 2),
        ("[link]{a}~^|\\", Encoding.GSM_7, 21, 1),
        # 305 units fit in two segments of 153; an escape that would begin at the last place of one makes it three.
        ("a" * 152 + "€" + "a" * 152, Encoding.GSM_7, 306, 3),
        ("a" * 153 + "€" + "a" * 151, Encoding.GSM_7, 306, 2),
        ("’" * 70, Encoding.UCS_2, 70, 1),
        ("’" * 71, Encoding.UCS_2, 71, 2),
        ("’" * 134, Encoding.UCS_2, 134, 2),
        ("’" * 135, Encoding.UCS_2, 135, 3),
        ("😀" * 35, Encoding.UCS_2, 70, 1),
        ("😀" * 36, Encoding.UCS_2, 72, 2),
        ("’" * 66 + "😀" + "’" * 66, Encoding.UCS_2, 134, 3),
        ("’€", Encoding.UCS_2, 2, 1),
    ],
)
def test_a_text_is_counted_as_carriers_bill_it(text: str, encoding: Encoding, units: int, segments: int) -> None:
    counted = count(text)
    assert (counted.encoding, counted.units, counted.segments) == (encoding, units, segments)


def test_the_characters_that_make_a_text_dear_are_named_once_in_order() -> None:
    assert count("It’s “great” – it’s 😀").forced_by == ("’", "“", "”", "–", "😀")
    assert count("It's great").forced_by == ()


@given(st.text(alphabet="aé€{’😀", max_size=400))
@settings(max_examples=100, deadline=None)
def test_segments_hold_the_units_and_waste_at_most_one_each(text: str) -> None:
    encoding, segments, units, _ = count(text)
    alone, joined = (160, 153) if encoding is Encoding.GSM_7 else (70, 67)
    if units <= alone:
        assert segments == 1
    else:
        assert (joined - 1) * (segments - 1) < units <= joined * segments


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_ucs_2_units_are_those_of_utf_16(text: str) -> None:
    text += "’"
    assert count(text).units == len(text.encode("utf-16-le")) // 2
