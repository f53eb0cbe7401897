"""The vault: who may open what. A key per person, made by whoever first meets them, destroyed when they are erased.

Nothing is remembered between calls: a key that was destroyed opens nothing from that moment on, in any process.
Keys are committed before anything that was sealed with them.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from os import urandom

import asyncpg
import structlog

from kernel.database import Pool, Queries, begin_migration, ensure_role, load_queries, session_settings, sql_text
from kernel.seal import KEY_BYTES, Key, Tampered, VaultKey

SCHEMA = "vault"
NOBODY = "00000000-0000-0000-0000-000000000000"  # the account of what belongs to none yet
# Sealing is on everybody's way: a vault that hangs must be told from one that is away within seconds.
TIMEOUT_S = 5.0
TRIES = 5
log = structlog.get_logger()


class KeysMissing(ConnectionError):
    """Keys that should be there are not, and nobody destroyed them. To callers it is as if the vault were away: what
    they wanted to do waits, and nothing is taken for erased."""


class WrongVaultKey(Exception):
    """The vault was made with another VAULT_KEY."""


class Kind(StrEnum):
    """Whose a key is. Only a person's can be destroyed by an erasure."""

    PERSON = "person"
    CAMPAIGN = "campaign"
    SERVICE = "service"


# What each service may do: the scheduler passes sealed bytes on and opens none, so it is not here.
GRANTS = {
    "send_intake": {"keys": "SELECT, INSERT", "destroyed": "SELECT (subject_id, key_id)"},
    "dispatcher": {"keys": "SELECT, INSERT, DELETE", "destroyed": "SELECT, INSERT"},
    "projections": {"keys": "SELECT"},
}

q: Queries = load_queries("kernel", "vault_queries.sql")


class Vault:
    """The keys, as one service may use them."""

    def __init__(self, pool: Pool, vault_keys: Sequence[VaultKey]) -> None:
        """`vault_keys`: the first wraps what is new; the others still open what they wrapped."""
        self._pool = pool
        self._wrapping = vault_keys[0]
        self._unwrapping = {key.key_id: key for key in vault_keys}

    async def close(self) -> None:
        await self._pool.close()

    async def keys(self, subject_ids: Iterable[str]) -> dict[str, Key]:
        """The keys there are; a subject without one was erased, was never met, or its row cannot be read.

        A row that cannot be read is one person's misfortune and says so in the log: the others get their keys.
        """
        wanted = list(set(subject_ids))
        if not wanted:
            return {}
        async with asyncio.timeout(TIMEOUT_S):
            rows = await self._pool.fetch(q.find_keys, wanted)
        found = {}
        for row in rows:
            try:
                found[row[0]] = Key(self._unwrapped(*row))
            except Tampered as error:
                log.error("key_unreadable", error=str(error))
        return found

    async def person(self, person_id: str, account_id: str) -> bytes | None:
        """The id of the key of a person whom this account knows, and who was not erased."""
        async with asyncio.timeout(TIMEOUT_S):
            key_id: bytes | None = await self._pool.fetchval(q.find_person, person_id, account_id)
        return key_id

    async def destroyed(self, keys: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        """Which of these keys (subject, key id) were destroyed. A key that is missing and was not is a fault."""
        wanted = list(keys)
        async with asyncio.timeout(TIMEOUT_S):
            rows = await self._pool.fetch(q.find_destroyed, [s for s, _ in wanted], [k for _, k in wanted])
        return {(row[0], row[1]) for row in rows}

    async def keys_for(self, accounts: Mapping[str, str], kind: Kind = Kind.PERSON) -> dict[str, Key]:
        """The keys of all these subjects (subject -> account); those that are missing are made and committed."""
        found = await self.keys(accounts)
        for _ in range(TRIES):
            missing = sorted(accounts.keys() - found.keys())
            if not missing:
                return found
            found |= await self._make({subject_id: accounts[subject_id] for subject_id in missing}, kind)
            if accounts.keys() - found.keys():  # another process was faster: its keys are the ones
                found |= await self.keys(missing)
        raise KeysMissing(f"{len(accounts) - len(found)} keys can neither be read nor made")

    async def _make(self, accounts: Mapping[str, str], kind: Kind) -> dict[str, Key]:
        """In the order of ids, so that two processes never wait for each other in a ring."""
        random = urandom(KEY_BYTES * len(accounts))
        secrets = {id_: random[at * KEY_BYTES : (at + 1) * KEY_BYTES] for at, id_ in enumerate(accounts)}
        keys = {id_: Key(secret) for id_, secret in secrets.items()}
        async with asyncio.timeout(TIMEOUT_S):
            rows = await self._pool.fetch(
                q.insert_keys,
                list(accounts),
                list(accounts.values()),
                [keys[id_].key_id for id_ in accounts],
                [self._wrapping.wrap(id_, secrets[id_]) for id_ in accounts],
                self._wrapping.key_id,
                kind,
            )
        return {row[0]: keys[row[0]] for row in rows}

    async def destroy(self, subject_id: str, key_id: bytes, destroyed_by: str, reason: str) -> None:
        """For good. What it sealed opens no more, also in old backups of the services; nothing if it is gone."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._pool.execute(q.destroy_key, subject_id, key_id, destroyed_by, reason)

    async def check(self) -> None:
        """Raises WrongVaultKey when some keys are wrapped by a vault key that is not among those given."""
        used = {row[0] for row in await self._pool.fetch(q.wrapped_by_whom)}
        if used - self._unwrapping.keys():
            raise WrongVaultKey(
                "the vault holds keys that neither VAULT_KEY nor VAULT_KEYS_OLD opens: give the key they were made with"
            )

    async def rewrap(self, chunk: int) -> int:
        """Rotation: wraps up to `chunk` keys anew, with the first vault key; how many there were to do."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(q.wrapped_by_others, self._wrapping.key_id, chunk)
            ids = [row[0] for row in rows]
            wrapped = [self._wrapping.wrap(row[0], self._unwrapped(*row)) for row in rows]
            await connection.execute(q.rewrap, ids, wrapped, self._wrapping.key_id)
        return len(rows)

    def _unwrapped(self, subject_id: str, wrapped: bytes, wrapped_by: bytes) -> bytes:
        vault_key = self._unwrapping.get(wrapped_by)
        if vault_key is None:
            raise Tampered(f"the key of {subject_id} is wrapped by a vault key that is not among those given")
        return vault_key.unwrap(subject_id, wrapped)


async def open_vault(url: str, role: str, vault_keys: Sequence[str], max_size: int = 4) -> Vault:
    """The vault as `role` (a service's, or the vault's own for rotation) may use it; it is made if need be.

    Raises WrongVaultKey when anything in it is wrapped by a key that is not given.
    """
    await migrate_vault(url)
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=10,
        command_timeout=60,
        max_inactive_connection_lifetime=300,
        # One index look-up a key, whatever the planner thinks of a young table.
        server_settings=session_settings(role, search_path=SCHEMA, enable_seqscan="off", statement_timeout="5s"),
    )
    assert pool is not None
    vault = Vault(pool, [VaultKey(secret) for secret in vault_keys])
    try:
        await vault.check()
    except BaseException:
        await vault.close()
        raise
    return vault


async def migrate_vault(url: str) -> None:
    """Makes the vault, and lets each service do what it must; nothing when that is done, for not every login may."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        if await connection.fetchval(q.vault_is_complete):
            return
        async with connection.transaction():
            await begin_migration(connection, SCHEMA)
            for role in GRANTS:
                await ensure_role(connection, role)
            await connection.execute(f"SET LOCAL ROLE {SCHEMA}; SET LOCAL search_path TO {SCHEMA}")
            await connection.execute(sql_text("kernel", "sql/vault.sql"))
            for role, tables in GRANTS.items():
                await connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
                for table, rights in tables.items():
                    await connection.execute(f"GRANT {rights} ON {table} TO {role}")
    finally:
        await connection.close()
