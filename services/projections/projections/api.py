"""What people ask about their campaigns: progress, report, recipients, timeline. Every role may read."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from kernel.database import Pool
from kernel.openapi import refuses, takes, text
from kernel.revocations import Revocations
from kernel.tokens import Role
from kernel.vault import Vault
from kernel.web import (
    EVERYBODY,
    Guarded,
    Probe,
    Problem,
    authenticate,
    create_api,
    json_response,
    needs,
    read_json,
    require_role,
    user_of,
)

from projections import api_answers as answers
from projections import api_campaign, store_reads
from projections.api_campaign import no_campaign
from projections.api_figures import Figures
from projections.api_report import CSV, XLSX, Kind, Reports
from projections.api_stream import Feeds
from projections.app_clock import Clock
from projections.app_log import EventLog, LogUnavailable
from projections.figures import SUMS, leaves_of
from projections.progress import State
from projections.report import WORDS, words
from projections.store_reads import Campaign, Cursor
from projections.timeline import facts

MOST = 500
START = Cursor(-1, UUID(int=0))

Limit = Annotated[int, Query(ge=1, le=MOST)]


class Reading:
    """The questions, answered from the read models."""

    def __init__(self, pool: Pool, vault: Vault, feeds: Feeds, reports: Reports, log: EventLog, clock: Clock) -> None:
        self._pool, self._vault, self._feeds, self._reports = pool, vault, feeds, reports
        self._log, self._clock = log, clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/campaigns/{campaign_id}", route_class=Guarded)
        allowed = needs(*EVERYBODY)

        def get(path: str, endpoint: Callable[..., Any], tag: str, **answer: Any) -> None:
            router.add_api_route(path, endpoint, methods=["GET"], tags=[tag], openapi_extra=allowed, **answer)

        get("/progress", self.progress, "progress", response_model=answers.Progress)
        get("/progress/stream", self.stream, "progress", response_class=Response,
            responses=text("text/event-stream", "`progress` events; their data is Progress"))  # fmt: skip
        for path, endpoint, kind in (("csv", self.report_csv, CSV), ("xlsx", self.report_xlsx, XLSX)):
            get(f"/report.{path}", endpoint, "report", response_class=Response, responses=_in_parts(kind))
        get("/recipients", self.recipients, "recipients", response_model=answers.RecipientPage)
        get("/recipients/{recipient_id}", self.recipient, "recipients", response_model=answers.Recipient)
        get("/recipients/{recipient_id}/timeline", self.timeline, "recipients", response_model=answers.Timeline)
        router.add_api_route("/states", self.states, methods=["POST"], tags=["recipients"],
                             openapi_extra={**allowed, **takes(answers.StatesAsked, required=True)},
                             response_model=answers.States)  # fmt: skip
        return router

    def reasons(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", route_class=Guarded)
        router.add_api_route("/reasons", self.words, methods=["GET"], tags=["progress"],
                             openapi_extra=needs(*EVERYBODY), response_model=answers.Reasons)  # fmt: skip
        return router

    async def words(self) -> Response:
        """Every reason by state and code, as the report words it, and what one can do about it."""
        return json_response({"reasons": {str(state): _worded(state, codes) for state, codes in WORDS.items()}})

    def persons(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/persons", route_class=Guarded)
        router.add_api_route(
            "/{person_id}/recipients",
            self.person,
            methods=["GET"],
            tags=["persons"],
            openapi_extra=needs(Role.MANAGER, late=True),
            response_model=answers.OfPerson,
        )
        return router

    async def person(self, person_id: UUID, request: Request) -> Response:
        """What is held here of a person: what they are in each campaign, as the report says it."""
        account_id = user_of(request).account_id
        found = await store_reads.recipients_of_person(self._pool, self._vault, person_id, account_id)
        if not found:
            raise Problem(404, "not_found", "There is no such person.")
        require_role(request)
        return json_response({"person_id": str(person_id), "recipients": found})

    async def progress(self, campaign_id: UUID, request: Request) -> Response:
        """The figures, why people wait, and the offsets of the topics the figures stand at."""
        key = (await self._campaign(campaign_id, request)).key
        found = await store_reads.progress(self._pool, [key])
        if key not in found:
            raise no_campaign()
        waits_for = self._clock.waits_for(found[key].waiting)
        return Response(found[key].body(waits_for), media_type="application/json")

    async def stream(self, campaign_id: UUID, request: Request) -> Response:
        """The figures as server-sent events, now and whenever they or `waits_for` change. `Last-Event-ID` resumes."""
        campaign = await self._campaign(campaign_id, request)
        events = self._feeds.listen(campaign.key, request.headers.get("last-event-id"))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_while_let_in(request, events), media_type="text/event-stream", headers=headers)

    async def report_csv(self, campaign_id: UUID, request: Request) -> Response:
        """The recipient report as CSV, one row per recipient in list order, all of it as of one moment.

        `Handsent-As-Of` says which, `Handsent-Offsets` up to where in the topics that is. A download that broke off is
        continued by `Range` with the `ETag` in `If-Range`; without the latter, or too late, a new report comes whole.
        """
        return await self._reports.answer(await self._campaign(campaign_id, request), CSV, request)

    async def report_xlsx(self, campaign_id: UUID, request: Request) -> Response:
        """The same as a workbook, with a sheet that says as of when."""
        return await self._reports.answer(await self._campaign(campaign_id, request), XLSX, request)

    async def recipients(
        self,
        campaign_id: UUID,
        request: Request,
        state: str | None = None,
        reason: str | None = None,
        after: str | None = None,
        limit: Limit = 100,
    ) -> Response:
        """A page of recipients in list order. `state` is any number of Progress; `after` is the last page's `next`."""
        states = leaves_of(state) if state is not None else None
        if state is not None and not states:
            raise Problem(422, "bad_state", f"state is one of {', '.join([*State, *SUMS])}.")
        cursor = _cursor(after) if after is not None else START
        reason = reason.replace("\0", "") if reason is not None else None  # Postgres knows no NUL, nor does a reason
        campaign = await self._campaign(campaign_id, request)
        rows, following = await store_reads.page(self._pool, self._vault, campaign, cursor, states, reason, limit)
        more = {"next": f"{following.position}.{following.recipient_id}"} if following else {}
        return json_response({"recipients": rows, **more})

    async def recipient(self, campaign_id: UUID, recipient_id: UUID, request: Request) -> Response:
        """One recipient: the report's columns and the list's own."""
        campaign = await self._campaign(campaign_id, request)
        found = await store_reads.recipient(self._pool, self._vault, campaign, recipient_id)
        if found is None:
            raise _no_recipient()
        return json_response(found)

    async def timeline(self, campaign_id: UUID, recipient_id: UUID, request: Request) -> Response:
        """Every event that concerns the recipient, read back from the log, in the order it happened."""
        campaign = await self._campaign(campaign_id, request)
        found = await store_reads.places(self._pool, campaign, recipient_id)
        if found is None:
            raise _no_recipient()
        keys = await self._vault.keys([found.person_id, str(campaign_id)])
        try:
            events = await self._log.read(found.places)
        except LogUnavailable:
            raise Problem(503, "log_unavailable", "The log of events does not answer at the moment.") from None
        return json_response({"recipient_id": str(recipient_id), "events": facts(events, keys)})

    async def states(self, campaign_id: UUID, request: Request) -> Response:
        """Today's states of up to 500 recipients: `{recipient_ids}` -> `{states}`, without those not known here."""
        recipient_ids = _recipient_ids((await read_json(request)).get("recipient_ids"))
        campaign = await self._campaign(campaign_id, request)
        return json_response({"states": await store_reads.states(self._pool, campaign, recipient_ids)})

    async def _campaign(self, campaign_id: UUID, request: Request) -> Campaign:
        return await api_campaign.campaign_of(self._pool, campaign_id, request)


async def _while_let_in(request: Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream ends with the token it was asked for with: nothing follows a sign-out, or an expiry."""
    async for event in events:
        try:
            authenticate(request)
        except Problem:
            return
        yield event


def _no_recipient() -> Problem:
    return Problem(404, "not_found", "There is no such recipient in this campaign.")


def _cursor(after: str) -> Cursor:
    position, _, recipient_id = after.partition(".")
    try:
        cursor = Cursor(int(position), UUID(recipient_id))
    except ValueError:
        raise _bad_after() from None
    if not -1 <= cursor.position < 2**63:
        raise _bad_after()
    return cursor


def _bad_after() -> Problem:
    return Problem(422, "bad_after", "after is the `next` of another page.")


def _recipient_ids(given: object) -> list[UUID]:
    if not isinstance(given, list):
        raise Problem(422, "invalid", "recipient_ids must be a list of ids.")
    if len(given) > MOST:
        raise Problem(422, "too_many", f"At most {MOST} recipients at a time.")
    try:
        return [UUID(id_) for id_ in given]
    except (ValueError, TypeError, AttributeError):
        raise Problem(422, "invalid", "recipient_ids must be a list of ids.") from None


def _in_parts(kind: Kind) -> dict[int | str, dict[str, Any]]:
    """What a report's route answers, in the document."""
    whole = text(kind.media_type.partition(";")[0], "One row per recipient, in list order")
    return {**whole, 206: {**whole[200], "description": "The part that was asked for"}, **refuses(416)}


def build(
    pool: Pool, reading: Reading, token_key: str, revocations: Revocations, ready: Probe, status: Probe
) -> FastAPI:
    """The service's HTTP side."""
    api = create_api("Handsent projections", token_key, ready, status, revocations=revocations)
    api.include_router(Figures(pool).router())
    api.include_router(reading.router())
    api.include_router(reading.persons())
    api.include_router(reading.reasons())
    return api


def _worded(state: State, codes: Iterable[str]) -> dict[str, dict[str, str]]:
    return {code: words(state, code)._asdict() for code in codes}
