"""What is sealed in the log, opened for an operator who has the vault's key."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from kernel import opening
from kernel.vault import Vault, open_vault

from handsent.log_view import Seen
from handsent.stack import Stack

READER = "projections"  # the role that may read keys, and no more


@asynccontextmanager
async def vault_of(stack: Stack, role: str = READER) -> AsyncIterator[Vault]:
    """The stack's vault. Raises NoStack when nobody gave its key."""
    keys = [stack.setting("VAULT_KEY"), *filter(None, stack.settings.get("VAULT_KEYS_OLD", "").split(","))]
    url = stack.settings.get("VAULT_DATABASE_URL") or stack.database_url
    vault = await open_vault(url, role, [key.strip() for key in keys], max_size=1)
    try:
        yield vault
    finally:
        await vault.close()


async def opened(vault: Vault, records: Iterable[Seen]) -> list[Seen]:
    """The records with their events' sealed fields open; None in those of persons who were erased. Raises Tampered."""
    records = list(records)
    subjects = (opening.subject_of(record.event) for record in records if record.event)
    keys = await vault.keys(subject for subject in subjects if subject)
    return [replace(r, opened=opening.opened(r.event, keys)) if r.event else r for r in records]
