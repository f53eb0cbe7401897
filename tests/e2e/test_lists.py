"""Lists as real people export them: every row is added, a duplicate, or rejected with its line and reason."""

from typing import Any

import pytest

from tests.e2e.story import Story


def _nice(number: str) -> str:
    return f"({number[2:5]}) {number[5:8]}-{number[8:]}"


def _scientific(number: str) -> str:
    return f"{number[1]}.{number[2:]}E+10"


def _counts(got: dict[str, Any]) -> tuple[int, int, int]:
    return got["added"], got["duplicates"], got["rejected"]


ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8 with a mark": "utf-8-sig",
    "utf-16": "utf-16",
    "windows-1252": "cp1252",
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
async def test_any_encoding_and_any_delimiter(story: Story, encoding: str, delimiter: str) -> None:
    one, two = story.numbers(2)
    campaign = await story.campaign(text="Grüße, {FirstName}!")
    rows = [["First Name", "Cell Phone", "Ort"], ["Chloé", one, "Köln"], ["Zoë", _nice(two), "São Paulo"]]
    content = "\r\n".join(delimiter.join(row) for row in rows).encode(encoding)
    assert _counts(await story.imports(campaign, content)) == (2, 0, 0)
    sam = await story.sending("Sam", campaign)
    assert [(row["phone"], row["text"]) for row in await sam.rows(campaign)] == [
        (one, "Grüße, Chloé!"), (two, "Grüße, Zoë!"),
    ]  # fmt: skip


async def test_quotes_and_newlines_inside_fields(story: Story) -> None:
    one, two = story.numbers(2)
    campaign = await story.campaign(text="{note}")
    content = f'phone,note\n{one},"He said ""hi"",\nthen left"\n"{two}","  trimmed  "\n'
    assert _counts(await story.imports(campaign, content)) == (2, 0, 0)
    sam = await story.sending("Sam", campaign)
    for row in await sam.rows(campaign):
        await sam.sends(campaign, row["phone"])
    await story.settles(campaign, delivered=2)
    bodies = {line["to"]: line["body"] for line in await story.ledger([one, two])}
    assert bodies == {one: 'He said "hi",\nthen left', two: "trimmed"}


async def test_numbers_from_spreadsheets_and_bad_ones_with_line_and_reason(story: Story) -> None:
    people = story.numbers(8)
    campaign = await story.campaign()
    content = "\n".join(
        [
            "name,phone",  # line 1
            f"kept all digits,{_scientific(people[0])}",
            f"rounded,{people[1][1]}.{people[1][2:6]}E+10",  # 3
            f'"two\nlines",{people[2]}',  # 4 and 5
            "seven digits,555-0123",  # 6
            "",  # 7: blank
            " , ",  # 8: blank
            f"the same person,{_nice(people[2])}",  # 9: duplicate
            "no number,",  # 10
            f"too wide,{people[3]},more,and more",  # 11
            f"a decimal,{people[4][1:]}.0",  # 12
            "words,call me",  # 13
            f"two numbers,{people[5]} / {people[6]}",  # 14
            f"an extension,{people[5]} x12",  # 15
            "an impossible area,+1 123 555 0123",  # 16
            "from Britain,+44 7911 123456",  # 17
            f"the last,{people[7]}",  # 18
        ]
    )
    got = await story.imports(campaign, content)
    assert _counts(got) == (5, 1, 8)
    assert sum(_counts(got)) == len([line for line in content.split("\n") if line.strip(" ,")]) - 2  # header, 2 lines
    assert {reject["line"] for reject in got["rejects"]} == {3, 6, 10, 11, 13, 14, 15, 16}
    assert all(reject["reason"] for reject in got["rejects"])
    again = await story.imports(campaign, content)
    assert _counts(again) == (0, 6, 8)
    assert again["rejects"] == got["rejects"]

    async def _phones() -> list[str]:
        return [row["phone"] for row in await story.report(campaign)]

    await story.settles(campaign, unprocessed=5)
    assert await _phones() == [people[0], people[2], people[4], "+447911123456", people[7]]


async def test_a_second_file_adds_only_who_is_new(story: Story) -> None:
    people = story.numbers(1500)
    campaign = await story.campaign(people[:1000])
    got = await story.imports(campaign, "phone\r\n" + "\r\n".join(people[500:]))
    assert _counts(got) == (500, 500, 0)
    await story.settles(campaign, unprocessed=1500)
    assert [row["phone"] for row in await story.report(campaign)] == people


async def test_only_the_first_hundred_rejects_are_listed(story: Story) -> None:
    campaign = await story.campaign()
    got = await story.imports(campaign, "phone\n" + "nobody\n" * 150)
    assert _counts(got) == (0, 0, 150)
    assert [reject["line"] for reject in got["rejects"]] == list(range(2, 102))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"phone,name\n+12125552345,Ada\n", "missing_column"),
        (b"name,first_name\nAda,Ada\n", "missing_phone_column"),
        (b"PK\x03\x04 a workbook", "not_csv"),
    ],
    ids=["empty", "a merge field without a column", "no phone column", "a workbook"],
)
async def test_a_file_that_cannot_be_read_adds_nothing(story: Story, content: bytes, code: str) -> None:
    campaign = await story.campaign(text="Hi {first_name}")
    mia = await story.manager()
    path = f"/campaigns/{campaign.id}/recipients"
    refused = await mia.call("POST", path, data=content, headers={"Content-Type": "text/csv"})
    assert (refused.status, refused.code) == (422, code)
    assert (await mia.ok("GET", f"/campaigns/{campaign.id}"))["recipients"] == 0
    assert (await story.progress(campaign))["recipients"] == 0
