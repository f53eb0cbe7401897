"""What people ask about the queue: what waits at each sender and for what, and what the limits leave."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from kernel.database import Pool, acting_for
from kernel.tokens import Role
from kernel.web import Guarded, json_response, needs, user_of
from prometheus_client import Gauge

from dispatcher import api_answers as answers
from dispatcher import store_budgets, waiting
from dispatcher.app_lanes import Lanes
from dispatcher.budget import Kind, Name
from dispatcher.store import q

COUNTED = 10_000  # of a sender's messages; more are told as so many
WAITING = Gauge("handsent_dispatch_waiting", "Messages put aside, by what they wait for, up to 100,000", ["why"])


class Queue:
    """The queue of the caller's account."""

    def __init__(self, pool: Pool, lanes: Lanes) -> None:
        self._pool, self._lanes = pool, lanes

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", route_class=Guarded)
        router.add_api_route("/queue", self.queue, methods=["GET"], tags=["queue"],
                             openapi_extra=needs(Role.MANAGER, Role.AUDITOR),
                             response_model=answers.QueuePage)  # fmt: skip
        return router

    async def queue(self, request: Request) -> Any:
        """What waits at each sender's number and for what, how hard its carrier is pressed, and what limits leave."""
        account_id, limits = user_of(request).account_id, self._lanes.limits
        async with acting_for(self._pool, account_id) as connection:
            rows = await connection.fetch(q.queue_of_account, account_id, COUNTED)
            names = [Name(Kind.SENDER, row["sender"]) for row in rows if limits.per_s(Name(Kind.SENDER, row["sender"]))]
            common = [
                Name(kind, account_id)
                for kind, limit in ((Kind.ACCOUNT, limits.account_per_minute), (Kind.BRAND, limits.brand_per_day))
                if limit
            ]
            left = await store_budgets.left(connection, limits, [*names, *common])
        pressures = {one.sender: one for one in self._lanes.pressure() if one.sender}
        senders = [
            waiting.sender(
                row["sender"],
                self._lanes.provider_of(row["sender"]),
                pressures.get(row["sender"]),
                row["turn"],
                orjson.loads(row["aside"]),
                orjson.loads(row["unknown"]),
                limits.per_s(Name(Kind.SENDER, row["sender"])),
                left.get(Name(Kind.SENDER, row["sender"])),
            )
            for row in rows
        ]
        account, brand = (left.get(Name(kind, account_id)) for kind in (Kind.ACCOUNT, Kind.BRAND))
        return json_response(
            {
                "senders": senders,
                "campaign_segments_per_minute": limits.campaign_per_minute or None,
                "account_segments_per_minute": limits.account_per_minute or None,
                "account_segments_left": None if account is None else round(account, 1),
                "brand_segments_per_day": limits.brand_per_day or None,
                "brand_segments_left": None if brand is None else round(brand),
            }
        )


async def figures(pool: Pool, lanes: Lanes) -> dict[str, Any]:
    """For /status, over all accounts: what is put aside and for what, and how each provider and sender is pressed."""
    aside = {row["why"]: row["messages"] for row in await pool.fetch(q.depths_aside)}
    for why in {*waiting.ASIDE, *aside}:
        WAITING.labels(why).set(aside.get(why, 0))
    unknown = [(row["sender"], row["reason"], row["messages"]) for row in await pool.fetch(q.depths_unknown)]
    providers = {sender: lanes.provider_of(sender) for sender, *_ in unknown}
    return {"aside": aside, "carriers": waiting.figures(lanes.pressure(), unknown, providers)}
