"""The import of a list, streamed: rows are in the database piece by piece, and the same file again adds nothing."""

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from kernel.openapi import takes_csv
from kernel.tokens import Role
from kernel.web import Problem, endpoint_itself, json_response, needs, user_of
from pydantic import BaseModel

from send_intake import store, store_sealed
from send_intake.admission import Campaign
from send_intake.api_campaigns import OfCampaign, opened_row
from send_intake.import_ import Batch, Importer, Refusal, Reject
from send_intake.import_ import Row as ListRow

log = structlog.get_logger()


class _Upload(OfCampaign):
    """The body is read by the endpoint, piece by piece."""

    inner = endpoint_itself


router = APIRouter(route_class=_Upload, tags=["recipients"])

PIECE_ROWS = 1000
REJECTS_SHOWN = 100
MOST_REJECTS = 100_000  # with `?rejects=all`


REJECTS = {"name": "rejects", "in": "query", "required": False, "schema": {"type": "string", "enum": ["all"]}}


class Rejected(BaseModel):
    line: int
    reason: str
    detail: str


class Imported(BaseModel):
    """`added + duplicates + rejected` is the number of rows that are not blank; the first 100 rejects are listed,
    with `?rejects=all` the first 100,000."""

    added: int
    duplicates: int
    rejected: int
    rejects: list[Rejected]


class _Import:
    """One upload on its way in."""

    def __init__(self, request: Request, campaign: Campaign) -> None:
        self._request, self._campaign = request, campaign
        self._waiting: list[ListRow] = []
        self._secret: str = request.app.state.settings.person_id_secret
        self._most = MOST_REJECTS if request.query_params.get("rejects") == "all" else REJECTS_SHOWN
        self.rows = self.added = self.rejected = 0
        self.rejects: list[dict[str, Any]] = []

    async def take(self, piece: Batch | Refusal) -> None:
        if isinstance(piece, Refusal):
            extra = {"missing": list(piece.fields)} if piece.fields else {}
            raise Problem(422, piece.reason, piece.reason.words, **extra)
        self._note(piece.rejects)
        self._waiting += piece.rows
        while len(self._waiting) >= PIECE_ROWS:
            await self._add(self._waiting[:PIECE_ROWS])
            del self._waiting[:PIECE_ROWS]

    async def finish(self) -> None:
        if self._waiting:
            await self._add(self._waiting)

    def answer(self) -> dict[str, Any]:
        duplicates = self.rows - self.added
        counts = {"added": self.added, "duplicates": duplicates, "rejected": self.rejected}
        return {**counts, "rejects": self.rejects}

    def _note(self, rejects: list[Reject]) -> None:
        self.rejected += len(rejects)
        for reject in rejects[: self._most - len(self.rejects)]:
            self.rejects.append({"line": reject.line, "reason": reject.reason, "detail": reject.reason.words})

    async def _add(self, rows: list[ListRow]) -> None:
        state, user = self._request.app.state, user_of(self._request)
        new = await store_sealed.new_recipients(state.vault, self._secret, self._campaign, rows)
        try:
            self.added += await store.add_recipients(state.pool, self._campaign, user.user_id, new.values())
        except store.Ended:
            raise Problem(409, "campaign_ended", "The campaign has ended.", **self.answer()) from None
        self.rows += len(rows)
        state.wake_relay.set()


@router.post(
    "/campaigns/{campaign_id}/recipients",
    response_model=Imported,
    openapi_extra={**needs(Role.MANAGER), **takes_csv(), "parameters": [REJECTS]},
)
async def import_(request: Request) -> Response:
    """Adds the recipients of a CSV; a bad row is rejected with its line and reason and never stops the rest."""
    row = request.state.campaign
    if row["ended_at"] is not None:
        raise Problem(409, "campaign_ended", "The campaign has ended.")
    campaign = store.campaign_of(await opened_row(request, row))
    importer = Importer(request.app.state.settings.default_region, campaign.template)
    upload = _Import(request, campaign)
    async for piece in _bounded(request):
        await upload.take(importer.feed(piece))
    await upload.take(importer.close())
    await upload.finish()
    log.info("list_imported", campaign_id=campaign.campaign_id, added=upload.added, rejected=upload.rejected)
    return json_response(upload.answer())


async def _bounded(request: Request) -> Any:
    limit, size = request.app.state.settings.max_upload_bytes, 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise Problem(413, "too_large", f"A list may have {limit} bytes; what came before was added.")
        if piece:
            yield piece
