"""Figures beyond a campaign's Progress: over time, by sender, side by side, of the whole account."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from kernel.database import Pool
from kernel.web import EVERYBODY, Guarded, Problem, json_response, needs, user_of

from projections import api_answers as answers
from projections import api_campaign, store_figures, store_reads
from projections.course import MINUTE_S, MOST_POINTS
from projections.shares import shares
from projections.store_figures import TooManyPoints
from projections.store_reads import Key

MOST_COMPARED = 50

Step = Annotated[int | None, Query(ge=MINUTE_S, le=366 * 24 * 3600, multiple_of=MINUTE_S)]


class Figures:
    """The questions, answered from the read models."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", route_class=Guarded)

        def get(path: str, endpoint: Any, model: Any) -> None:
            router.add_api_route(path, endpoint, methods=["GET"], tags=["progress"], response_model=model,
                                 openapi_extra=needs(*EVERYBODY))  # fmt: skip

        get("/account/progress", self.account, answers.AccountProgress)
        get("/campaigns/compare", self.compare, answers.Comparison)
        get("/campaigns/{campaign_id}/progress/history", self.over_time, answers.OverTime)
        get("/campaigns/{campaign_id}/senders", self.senders, answers.Senders)
        return router

    async def over_time(self, campaign_id: UUID, request: Request, step: Step = None) -> Response:
        """The figures as they went, one point for each `step` seconds in which they changed.

        They are what is known today of then: an attempt that turned out not to have been accepted is not in them.
        """
        campaign = await api_campaign.campaign_of(self._pool, campaign_id, request)
        try:
            return json_response(await store_figures.over_time(self._pool, campaign, step))
        except TooManyPoints:
            raise Problem(422, "too_many", f"More than {MOST_POINTS} points: take a longer step.") from None

    async def senders(self, campaign_id: UUID, request: Request) -> Response:
        """Who pressed SEND how often, and the first and last time, by user id: names are not in the log."""
        campaign = await api_campaign.campaign_of(self._pool, campaign_id, request)
        return json_response({"senders": await store_figures.senders(self._pool, campaign)})

    async def account(self, request: Request) -> Response:
        """The sums over the campaigns of the account: the current ones, the completed ones, all."""
        return json_response(await store_figures.totals(self._pool, user_of(request).account_id))

    async def compare(self, request: Request, ids: str = "") -> Response:
        """Campaigns side by side, in the order asked for: figures and shares. `ids` are separated by commas."""
        account_id = user_of(request).account_id
        keys = [(account_id, str(campaign_id)) for campaign_id in _ids(ids)]
        told = await api_campaign.patiently(lambda: self._progress(keys))
        return json_response({"campaigns": list(map(_compared, told)), "as_of": told[0]["as_of"] if told else {}})

    async def _progress(self, keys: list[Key]) -> list[dict[str, Any]] | None:
        """The answers in the order asked for; None unless there is one for each."""
        found = await store_reads.progress(self._pool, keys)
        return [found[key].answer for key in keys] if found.keys() >= set(keys) else None


def _compared(answer: dict[str, Any]) -> dict[str, Any]:
    """Progress with shares; `waits_for` is a matter of now, and `as_of` is the same for all."""
    kept = {name: value for name, value in answer.items() if name not in ("as_of", "waits_for")}
    return {**kept, "shares": shares(answer)}


def _ids(given: str) -> list[UUID]:
    try:
        found = list(dict.fromkeys(UUID(id_) for id_ in given.split(",") if given))
    except ValueError:
        raise Problem(422, "invalid", "ids must be ids of campaigns, separated by commas.") from None
    if len(found) > MOST_COMPARED:
        raise Problem(422, "too_many", f"At most {MOST_COMPARED} campaigns at a time.")
    return found
