"""The report as a file: as of one moment, which it names; continued where it broke off; and as a workbook."""

import asyncio
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from openpyxl import load_workbook
from projections.report import COLUMNS

from tests.integration.projections.world import World, eventually

PEOPLE = 1200


async def listed(world: World, people: int = PEOPLE) -> None:
    lives = [world.life(n) for n in range(people)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.progress_is(recipients=people, name="spring")


async def asked(world: World, kind: str = "csv", account_id: str | None = None, **headers: str) -> tuple[Any, bytes]:
    """(status and headers, content) of a download."""
    sent = world.headers(account_id) | {name.replace("_", "-"): value for name, value in headers.items()}
    async with world.http.get(world.path(f"/report.{kind}"), headers=sent) as answer:
        return answer, await answer.read()


async def test_it_says_as_of_when_and_up_to_where_in_the_log(world: World) -> None:
    await listed(world, 3)
    before = datetime.now(UTC)
    answer, _ = await asked(world)
    at = datetime.fromisoformat(answer.headers["Handsent-As-Of"])
    assert before <= at <= datetime.now(UTC)
    assert f'filename="spring-recipients-{at:%Y%m%dT%H%M%SZ}.csv"' in answer.headers["Content-Disposition"]
    assert orjson.loads(answer.headers["Handsent-Offsets"]) == (await world.progress())["as_of"]


async def test_what_broke_off_goes_on_with_the_same_report(world: World) -> None:
    await listed(world)
    answer, whole = await asked(world)
    await world.publish(world.life(n).delivered() for n in range(PEOPLE))
    await world.progress_is(delivered=PEOPLE)
    at, etag = len(whole) // 3, answer.headers["ETag"]
    rest, content = await asked(world, Range=f"bytes={at}-", If_Range=etag)
    assert (rest.status, whole[:at] + content) == (206, whole)
    assert rest.headers["Content-Range"] == f"bytes {at}-{len(whole) - 1}/{len(whole)}"
    assert rest.headers["Handsent-As-Of"] == answer.headers["Handsent-As-Of"]
    beyond, _ = await asked(world, Range=f"bytes={len(whole)}-", If_Range=etag)
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    fresh, content = await asked(world)
    assert fresh.headers["ETag"] != etag and content.count(b",delivered,") == PEOPLE


async def test_a_part_is_given_of_no_other_report(world: World) -> None:
    await listed(world, 3)
    answer, whole = await asked(world)
    etag = answer.headers["ETag"]
    for headers in ({"Range": "bytes=9-"}, {"Range": "bytes=9-", "If_Range": '"another"'}, {"If_Range": etag}):
        again, content = await asked(world, **headers)
        assert (again.status, content) == (200, whole) and again.headers["ETag"] != etag
    workbook, _ = await asked(world, "xlsx", Range="bytes=9-", If_Range=etag)
    assert workbook.status == 200
    stranger, _ = await asked(world, account_id=str(uuid4()), Range="bytes=9-", If_Range=etag)
    assert stranger.status == 404


async def test_a_reader_that_goes_away_and_comes_back(world: World) -> None:
    await listed(world)
    async with world.http.get(world.path("/report.csv"), headers=world.headers()) as answer:
        first = await answer.content.readexactly(1000)
        etag = answer.headers["ETag"]
        answer.close()
    rest, content = await asked(world, Range="bytes=1000-", If_Range=etag)
    assert rest.status == 206
    rows = (first + content).decode().splitlines()
    assert len(rows) == PEOPLE + 1 and rows[-1].split(",")[1] == world.life(PEOPLE - 1).number


async def test_the_workbook_tells_what_the_list_of_lines_tells(world: World) -> None:
    await listed(world, 50)
    await world.publish(world.life(n).not_delivered() for n in range(20))
    await world.publish(world.life(n).accepted() for n in range(20))
    await world.progress_is(failed=20)
    await world.caught_up()
    rows = await world.report()
    answer, content = await asked(world, "xlsx")
    assert answer.headers["Content-Disposition"].endswith('.xlsx"')
    book = load_workbook(io.BytesIO(content), read_only=True)
    header, *told = (list(row) for row in book["recipients"].iter_rows(values_only=True))
    assert header == [*COLUMNS, "City"] == list(rows[0])
    for row, cells in zip(rows, told, strict=True):
        assert list(row.values()) == ["" if cell is None else str(cell) for cell in cells]
    about = dict(book["about"].iter_rows(values_only=True))
    assert about["as_of"] == answer.headers["Handsent-As-Of"] and about["campaign_id"] == world.campaign_id


async def test_reports_of_many_at_once_are_each_whole(world: World) -> None:
    await listed(world, 600)
    answers = await asyncio.gather(*(asked(world, kind) for kind in ("csv", "xlsx") * 6))
    assert {len(content.splitlines()) for answer, content in answers if "csv" in answer.content_type} == {601}
    for answer, content in answers:
        if "csv" not in answer.content_type:
            assert load_workbook(io.BytesIO(content), read_only=True)["recipients"].max_row in (None, 601)


async def test_a_report_and_a_stop_of_the_service(world: World) -> None:
    """What is kept does not keep the service from ending, and its end shows."""
    await listed(world, 600)
    answer, _ = await asked(world)
    assert world.service.stop() == 0
    world.service.start()

    async def again() -> Any:
        fresh, content = await asked(world, Range="bytes=9-", If_Range=answer.headers["ETag"])
        return fresh.status == 200 and len(content.splitlines()) == 601

    await eventually(again, lambda: "a new report, whole")
