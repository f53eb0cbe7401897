"""The demo's list: 10,000 recipients as people type them, every kind of carrier outcome, and every kind of bad row."""

import csv
import io
import random

AREAS = ("212", "213", "305", "312", "404", "415", "503", "617", "713", "202")
NAMES = ("Ada", "Ben", "Chloé", "Dan", "Eva", "Finn", "Gül", "Hugo", "Ines", "José")
TOWNS = ("Springfield", "Salem, North", 'The "Hub"', "Two\nLines", "Dover")
HABITS = range(1, 20)  # last four digits 0001 to 0019: the simulator's README says what each does
PER_HABIT = 3
FIRST_ROWS = 400  # the special numbers lie among these, so that every campaign reaches them

# What is wrong -> the cell, or the whole row.
BAD_PHONES = {
    "too short": "555-0123",
    "letters": "1-800-FLOWERS",
    "nothing": "",
    "rounded by a spreadsheet": "1.20235E+10",
    "an extension": "(212) 456-2000 x12",
    "two numbers": "212-456-2000 / 212-456-2001",
    "too long": "212456200012345678",
    "an area code that does not exist": "(555) 456-2000",
    "a word": "call me",
    "a date": "2026-11-24",
}


def numbers(count: int) -> list[str]:
    """`count` different E.164 numbers, the special ones among the first."""
    special = [f"+1{AREAS[k]}457{digits:04d}" for digits in HABITS for k in range(PER_HABIT)]
    plain = [f"+1{AREAS[i % 10]}456{2000 + i // 10:04d}" for i in range(count - len(special))]
    first, rest = [*special, *plain[: FIRST_ROWS - len(special)]], plain[FIRST_ROWS - len(special) :]
    random.Random(7).shuffle(first)
    return [*first, *rest][:count]


def as_typed(number: str, style: int) -> str:
    """The number in one of the ways people and spreadsheets write it."""
    area, exchange, line = number[2:5], number[5:8], number[8:]
    return (
        number,
        f"({area}) {exchange}-{line}",
        f"{area}.{exchange}.{line}",
        f"1-{area}-{exchange}-{line}",
        f"1.{number[2:]}E+10",
        f"{number[1:]}.0",
        f" {area} {exchange} {line} ",
    )[style % 7]


def write(count: int) -> bytes:
    """The list as a file: some rows repeated, some blank, some bad in each of the ways above."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["First Name", "last_name", "Mobile Phone", "Town"])
    for i, number in enumerate(numbers(count)):
        rows.writerow([NAMES[i % 10], f"Number {i}", as_typed(number, i), TOWNS[i % 5]])
        if i % 500 == 0:
            rows.writerow(["Again", "repeated", as_typed(number, i + 1), "Dover"])
            out.write("\r\n,,,\r\n")
        if i % 250 == 0:
            for cell in BAD_PHONES.values():
                rows.writerow(["Bad", "row", cell, "Dover"])
            rows.writerow(["Too", "wide", number, "Dover", "one cell", "too many"])
    return out.getvalue().encode("utf-8-sig")
