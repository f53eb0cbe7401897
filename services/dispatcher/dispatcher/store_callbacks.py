"""What reached us before anybody knew whose it is: sealed with a key of the service's own, and kept for a while."""

from datetime import datetime, timedelta
from enum import StrEnum

from kernel.database import Pool
from kernel.seal import CALLBACK, Key, unseal
from kernel.vault import NOBODY, Kind, Vault

from dispatcher.store import of_providers, q
from schemas.identity import uuid5

SERVICE_SUBJECT = uuid5(NOBODY, "dispatcher")
FORGOTTEN_AT_ONCE = 5000


class Fate(StrEnum):
    """What became of a raw callback."""

    APPLIED = "applied"
    PARKED = "parked"
    FAILED = "failed"


KEPT_FOR = {Fate.APPLIED: timedelta(days=30), Fate.PARKED: timedelta(days=90), Fate.FAILED: timedelta(days=90)}


async def service_key(vault: Vault) -> dict[str, Key]:
    """The service's key, under SERVICE_SUBJECT."""
    return await vault.keys_for({SERVICE_SUBJECT: NOBODY}, Kind.SERVICE)


async def seal_forms(vault: Vault, forms: list[bytes]) -> list[bytes]:
    """Raw callbacks as they are stored. Their bytes are UTF-8: what is not is refused before."""
    key = (await service_key(vault))[SERVICE_SUBJECT]
    return [key.seal(CALLBACK, form.decode()).encode() for form in forms]


def open_form(key: Key, form: bytes) -> str | None:
    """A raw callback as it came."""
    return unseal(key, CALLBACK, form.decode())


async def forget(pool: Pool, now: datetime) -> None:
    """Deletes all that has been kept long enough, a page a transaction: as fast as it comes, whatever that is."""
    for fate, kept_for in KEPT_FOR.items():
        while await _deleted(pool, q.forget_callbacks, fate, now - kept_for):
            pass
    while await _deleted(pool, of_providers.forget_carrier_ids, now - KEPT_FOR[Fate.APPLIED]):
        pass


async def _deleted(pool: Pool, statement: str, *which: object) -> bool:
    """Whether a full page of them was deleted, and there may be more."""
    return await pool.execute(statement, *which, FORGOTTEN_AT_ONCE) == f"DELETE {FORGOTTEN_AT_ONCE}"
