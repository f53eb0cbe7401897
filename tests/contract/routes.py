"""Every route of every service, as the framework itself will serve it: none can hide from the document."""

import asyncio
from typing import Any, NamedTuple

import dispatcher.api
import projections.api
import send_intake.api
from dispatcher.api_persons import Persons
from dispatcher.api_webhooks import Webhooks
from dispatcher.settings import Settings as DispatcherSettings
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from kernel.openapi import document
from kernel.revocations import Revocations
from kernel.web import create_api
from send_intake.app_access import Access
from send_intake.settings import Settings as SendIntakeSettings

SETTINGS: dict[str, Any] = {
    "database_url": "postgresql://nobody@127.0.0.1/none",
    "kafka_bootstrap": "127.0.0.1:1",
    "token_key": "a key that is only here to be long enough",
    "person_id_secret": "a secret of the tests",
    "twilio_account_sid": "AC1",
    "twilio_auth_token": "a token of the tests",
    "callback_key": "a key of the tests",
    "vault_key": "a vault key that is only here to be long enough",
}
NOTHING: Any = None  # no endpoint is called here


class Route(NamedTuple):
    """A way into a service: either it names `roles`, or it says why it is `open`, or another service answers it."""

    service: str
    method: str
    path: str
    roles: tuple[str, ...]
    open: str
    passed_on: bool
    told: bool  # in the OpenAPI document
    people: tuple[str, ...]  # of a page: who may see it once they are signed in

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


def apis() -> dict[str, FastAPI]:
    """The four apps, built as their services do, with nothing behind them."""
    wake, revocations = asyncio.Event(), Revocations("")
    probes: Any = type("Probes", (), {"ready": staticmethod(_none), "status": staticmethod(_none)})
    webhooks = Webhooks(NOTHING, DispatcherSettings(**SETTINGS))
    persons = Persons(NOTHING, NOTHING, wake)
    access = Access(NOTHING, SETTINGS["token_key"], revocations, wake, NOTHING, NOTHING, NOTHING)
    return {
        "send-intake": send_intake.api.build_api(
            NOTHING, NOTHING, SendIntakeSettings(**SETTINGS), NOTHING, access, wake, _none, _none
        ),
        "dispatcher": dispatcher.api.build_api(
            NOTHING, NOTHING, DispatcherSettings(**SETTINGS), probes, webhooks, persons, revocations, wake, NOTHING
        ),
        "projections": projections.api.build(
            NOTHING, projections.api.Reading(*[NOTHING] * 6), SETTINGS["token_key"], revocations, _none, _none
        ),
        "scheduler": create_api("scheduler", SETTINGS["token_key"], _none, _none),
    }


async def _none() -> dict[str, Any]:
    return {}


def routes() -> list[Route]:
    return [route for service, api in apis().items() for route in _of(service, api)]


def _of(service: str, api: FastAPI) -> list[Route]:
    told = document(api)["paths"]
    found = []
    for context in iter_route_contexts(api.routes):
        route = context.original_route
        extra = (route.openapi_extra if isinstance(route, APIRoute) else None) or {}
        path = str(context.path_format or context.path)
        for method in sorted((context.methods or set()) - {"HEAD"}):
            roles = tuple(extra.get("x-roles", ()))
            in_document = method.lower() in told.get(path, {})
            found.append(
                Route(
                    service,
                    method,
                    path,
                    roles,
                    extra.get("x-open", ""),
                    "x-passed-on" in extra,
                    in_document,
                    tuple(extra.get("x-page-roles", ())),
                )
            )
    return found
