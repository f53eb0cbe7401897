"""Postgres: what is held of a person, and how they are erased.

An erasure takes the lock of opt-outs, which intents share: what was not an intent before it is never sent. Then the
key goes; a process that dies in between leaves a row to finish, and whoever looks next finishes it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from kernel.database import Pool, acting_for
from kernel.outbox import Outbox
from kernel.seal import NUMBER, text_of, unseal
from kernel.vault import Vault

from dispatcher import store_holds, store_notices, store_opt_outs, store_replies
from dispatcher.store import q
from dispatcher.store_callbacks import SERVICE_SUBJECT, open_form, service_key
from dispatcher.store_holds import Decision
from schemas.events import PersonErased
from schemas.identity import event_id

FINISHED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Erasure:
    """A manager asks that a person be forgotten."""

    account_id: str
    person_id: str
    reason: str
    erased_by: str
    at: datetime


async def erase(pool: Pool, vault: Vault, erasure: Erasure) -> bool:
    """Committed on return: nothing more is sent to the person. False when the account has no such person.

    What is readable still is gone after `finish`.
    """
    key_id = await vault.person(erasure.person_id, erasure.account_id)
    if key_id is None:
        return bool(await erasures_of(pool, erasure.account_id, erasure.person_id))
    event = _event(erasure, key_id)
    outbox = Outbox()
    async with acting_for(pool, erasure.account_id) as connection, connection.transaction():
        await connection.fetch(q.lock_for_opt_outs)
        status = await connection.execute(
            q.insert_erasure,
            erasure.person_id, key_id, erasure.account_id, erasure.at, erasure.erased_by, event.event_id,
            erasure.reason,
        )  # fmt: skip
        if status == "INSERT 0 1":
            outbox.add(event)
        await store_holds.settle(connection, {erasure.person_id: Decision.ERASED}, erasure.at, erasure.erased_by)
        await outbox.write(connection)
    return True


def _event(erasure: Erasure, key_id: bytes) -> PersonErased:
    return PersonErased(
        event_id=event_id(erasure.person_id, f"PersonErased:{key_id.hex()}"),
        account_id=erasure.account_id,
        person_id=erasure.person_id,
        occurred_at=erasure.at,
        actor=erasure.erased_by,
        caused_by=None,
        key_id=key_id.hex(),
    )


async def finish(pool: Pool, vault: Vault, now: datetime) -> int:
    """Destroys the keys and raw callbacks of who was erased, in all accounts; how many persons that were."""
    rows = await pool.fetch(q.erasures_to_finish, FINISHED_AT_ONCE)
    for row in rows:
        await pool.execute(q.forget_callbacks_of, row["person_id"])
        await vault.destroy(row["person_id"], row["key_id"], row["erased_by"], row["reason"])
        await pool.execute(q.erasure_finished, row["person_id"], row["key_id"], now)
    return len(rows)


async def erasures_of(pool: Pool, account_id: str, person_id: str) -> list[dict[str, Any]]:
    """When and why the account erased this person, in order."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.erasures_of, person_id, account_id)
    return [{**dict(row), "key_id": row["key_id"].hex()} for row in rows]


async def knows(pool: Pool, vault: Vault, account_id: str, person_id: str) -> bool:
    """Whether the account has this person: on a list, or in anything that is held here."""
    if await vault.person(person_id, account_id) is not None:
        return True
    async with acting_for(pool, account_id) as connection:
        return bool(await connection.fetchval(q.knows_person, person_id, account_id))


async def held(pool: Pool, vault: Vault, account_id: str, person_id: str) -> dict[str, Any]:
    """Everything the dispatcher holds of a person."""
    key = (await vault.keys([person_id])).get(person_id)
    opt_out = await store_opt_outs.find(pool, vault, account_id, person_id)
    async with acting_for(pool, account_id) as connection:
        messages = await connection.fetch(q.messages_of_person, person_id, account_id)
        replies = await connection.fetch(q.replies_of_person, person_id, account_id)
        callbacks = await connection.fetch(q.callbacks_of_person, person_id, account_id)
        holds = await store_holds.of_person(connection, key, account_id, person_id)
        notices = await store_notices.of_person(connection, account_id, person_id)
    erasures = await erasures_of(pool, account_id, person_id)
    service = (await service_key(vault))[SERVICE_SUBJECT]
    return {
        "person_id": person_id,
        "opt_out": {**opt_out.shown, "in_force": opt_out.in_force} if opt_out else None,
        "messages": [
            {
                **dict(row),
                "number": unseal(key, NUMBER, row["number"]),
                "text": unseal(key, text_of(row["recipient_id"]), row["text"]),
                "attempts": orjson.Fragment(row["attempts"]),
            }
            for row in messages
        ],
        **holds,
        "notices": notices,
        "replies": [store_replies.shown(row, key) for row in replies],
        "callbacks": [
            {"received_at": row["received_at"], "form": open_form(service, row["form"]), "fate": row["fate"]}
            for row in callbacks
        ],
        "erasures": erasures,
    }
