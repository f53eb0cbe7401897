"""Intents as a dispatcher takes them, without one: off every lane that has something waiting."""

from datetime import datetime

import asyncpg
from dispatcher import store
from dispatcher.provider import TWILIO
from dispatcher.store_intents import Compose, Opened, Taken, Terms, take_intents
from dispatcher.turns import Lane
from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.vault import Vault


def composed(opened: Opened) -> tuple[str, bytes]:
    """What no carrier is asked."""
    return TWILIO, opened.text.encode()


async def lanes_of(source: asyncpg.Pool | Connection) -> list[Lane]:
    return [Lane(*row) for row in await source.fetch(store.q.list_lanes)]


async def take(
    connection: Connection,
    vault: Vault,
    limit: int,
    terms: Terms | datetime,
    outbox: Outbox,
    compose: Compose = composed,
) -> Taken:
    """Up to `limit` of each lane, in the caller's transaction."""
    picked = dict.fromkeys(await lanes_of(connection), limit)
    asked = terms if isinstance(terms, Terms) else Terms(1, terms)
    return await take_intents(connection, vault, picked, asked, outbox, compose)
