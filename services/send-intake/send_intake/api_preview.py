"""What a text would become for the first people of a list, before there is a campaign: read by the same code."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from kernel import segments
from kernel.tokens import Role
from kernel.web import Guarded, json_response, needs
from pydantic import BaseModel, Field

from send_intake.import_ import Batch, Importer, Refusal
from send_intake.template import Template, TemplateProblem, parse

router = APIRouter(route_class=Guarded, tags=["campaigns"])

LONGEST_HEAD = 256 * 1024  # characters
ROWS = 5
TEXT_ASKED = 10_000


class PreviewAsked(BaseModel):
    """A text, and the beginning of a list in CSV: as much of it as there is room for, cut anywhere."""

    text: str = Field(max_length=TEXT_ASKED)
    head: str = Field("", max_length=LONGEST_HEAD)


class Wrong(BaseModel):
    """`code` is stable, `detail` for people; `fields` are the merge fields that no column fills."""

    code: str
    detail: str
    fields: list[str] = []


class PreviewRow(BaseModel):
    phone: str
    text: str
    segments: int
    encoding: str


class Preview(BaseModel):
    """What the text costs as it is written, what its fields are, and how it reads for the first rows of the list.

    `forced_by` are the characters that make it UCS-2. `text_problem` and `list_problem` say why it would be refused.
    """

    segments: int
    units: int
    encoding: str
    forced_by: list[str]
    fields: list[str]
    columns: list[str]
    rows: list[PreviewRow]
    text_problem: Wrong | None
    list_problem: Wrong | None


@router.post("/campaigns/preview", response_model=Preview, openapi_extra=needs(Role.MANAGER))
async def preview(request: Request, asked: PreviewAsked) -> Response:
    """Reads a text and the first rows of a list as a new campaign would; keeps nothing."""
    parsed = parse(asked.text)
    text = parsed if isinstance(parsed, Template) else None
    cost = segments.count(asked.text)
    answer: dict[str, Any] = {
        "segments": cost.segments,
        "units": cost.units,
        "encoding": cost.encoding,
        "forced_by": list(cost.forced_by),
        "fields": list(text.fields) if text else [],
        "columns": [],
        "rows": [],
        "text_problem": None,
        "list_problem": None,
    }
    if isinstance(parsed, TemplateProblem):
        answer["text_problem"] = {"code": parsed.reason, "detail": parsed.reason.words, "fields": []}
    if asked.head:
        # Beside the loop: whoever's list is hard to read must not hold up who presses SEND.
        answer |= await asyncio.to_thread(_listed, asked.head, text, request.app.state.settings.default_region)
    return json_response(answer)


def _listed(head: str, text: Template | None, region: str) -> dict[str, Any]:
    importer = Importer(region, text)
    found = importer.feed(head[: head.rfind("\n") + 1].encode("utf-8", "replace") or head.encode("utf-8", "replace"))
    if isinstance(found, Batch) and importer.columns is None:
        found = importer.close()
    if isinstance(found, Refusal):
        problem = {"code": found.reason, "detail": found.reason.words, "fields": list(found.fields)}
        return {"list_problem": problem}
    assert importer.columns is not None
    shown = []
    for row in found.rows[:ROWS]:
        said = text.render(row.columns) if text else ""
        cost = segments.count(said)
        shown.append({"phone": row.number, "text": said, "segments": cost.segments, "encoding": cost.encoding})
    return {"columns": list(importer.columns.names), "rows": shown}
