"""The write API, put together."""

import asyncio

from fastapi import FastAPI
from fastapi.routing import APIRoute
from kernel.database import Pool
from kernel.vault import Vault
from kernel.web import Probe, create_api

from send_intake import (
    api_campaigns,
    api_forward,
    api_pages,
    api_preview,
    api_recipients,
    api_senders,
    api_sending,
    api_sessions,
    web,
    web_campaigns,
    web_live,
    web_people,
    web_sending,
)
from send_intake.app_access import Access
from send_intake.settings import Settings
from send_intake.store_presses import Presses


def build_api(
    pool: Pool,
    vault: Vault,
    settings: Settings,
    presses: Presses,
    access: Access,
    wake_relay: asyncio.Event,
    ready: Probe,
    status: Probe,
) -> FastAPI:
    """The app; its state carries what the endpoints need."""
    forwarder = api_forward.Forwarder(settings.projections_url, settings.dispatcher_url)
    api = create_api(
        "Handsent",
        settings.token_key,
        ready,
        status,
        uploads=("/recipients", "/import"),
        document=forwarder.document,
        revocations=access.revocations,
    )
    api.state.access = access
    api.state.pool, api.state.vault, api.state.settings = pool, vault, settings
    api.state.presses, api.state.wake_relay = presses, wake_relay
    api.state.campaigns = {}
    api.state.forwarder = forwarder
    # Before what is below /campaigns/{campaign_id}: one of its paths would pass for an id.
    api.include_router(api_forward.router)
    below_v1 = (
        api_preview.router, api_campaigns.router, api_campaigns.below, api_recipients.router, api_senders.router,
        api_sending.router,
    )  # fmt: skip
    for part in (*below_v1, api_sessions.open_, api_sessions.router):
        api.include_router(part, prefix="/api/v1")
    api.include_router(api_sending.direct)
    for pages in (web, api_pages, web_live, web_campaigns, web_sending, web_people):
        api.include_router(pages.router)
    return api


def hot_routes() -> list[APIRoute]:
    """SEND: the one request that every message begins with."""
    return [route for route in api_sending.direct.routes if isinstance(route, APIRoute)]
