"""The vault on a real Postgres: one key a person, whoever asks first; gone is gone; rotation loses none."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from kernel import vault as vaults
from kernel.errors import retriable
from kernel.seal import NUMBER, unseal
from kernel.testing import ACCOUNT, VAULT_KEY
from kernel.vault import KeysMissing, Kind, Vault, WrongVaultKey, migrate_vault, open_vault

ANOTHER_KEY = "another vault key that is long enough too"


async def opened(url: str, role: str = "dispatcher", *keys: str) -> Vault:
    return await open_vault(url, role, keys or [VAULT_KEY])


@pytest.fixture
async def vault(database_url: str) -> AsyncIterator[Vault]:
    vault = await opened(database_url)
    yield vault
    await vault.close()


async def test_everybody_gets_the_same_key_of_a_person_whoever_made_it(database_url: str) -> None:
    services = [await opened(database_url, role) for role in ("send_intake", "dispatcher") for _ in range(2)]
    people = {str(uuid4()): ACCOUNT for _ in range(300)}
    answers = await asyncio.gather(*(service.keys_for(people) for service in services))
    sealed = {person: answers[0][person].seal(NUMBER, "+1") for person in people}
    for answer in answers:
        assert all(unseal(answer[person], NUMBER, sealed[person]) == "+1" for person in people)
    assert len({key.key_id for key in answers[0].values()}) == 300
    for service in services:
        await service.close()


async def test_a_destroyed_key_is_gone_for_everybody_at_once_and_another_is_made(
    vault: Vault, database_url: str
) -> None:
    person, reader = str(uuid4()), await opened(database_url, "projections")
    key = (await vault.keys_for({person: ACCOUNT}))[person]
    assert person in await reader.keys([person])
    await vault.destroy(person, key.key_id, "a manager", "a wish")
    assert await reader.keys([person]) == {} and await vault.person(person, ACCOUNT) is None
    await vault.destroy(person, key.key_id, "a manager", "again")
    again = (await vault.keys_for({person: ACCOUNT}))[person]
    assert again.key_id != key.key_id
    await vault.destroy(person, key.key_id, "a manager", "of the old key")
    assert person in await reader.keys([person]), "an old erasure does not reach who came back"
    await reader.close()


async def test_a_person_is_one_of_their_account_and_no_campaign(vault: Vault) -> None:
    person, campaign = str(uuid4()), str(uuid4())
    await vault.keys_for({person: ACCOUNT})
    await vault.keys_for({campaign: ACCOUNT}, Kind.CAMPAIGN)
    assert await vault.person(person, ACCOUNT) is not None
    assert await vault.person(person, str(uuid4())) is None
    assert await vault.person(campaign, ACCOUNT) is None


async def test_a_rotation_wraps_every_key_anew_and_loses_none(database_url: str, vault: Vault) -> None:
    people = {str(uuid4()): ACCOUNT for _ in range(25)}
    sealed = {person: key.seal(NUMBER, "+1") for person, key in (await vault.keys_for(people)).items()}
    both = await opened(database_url, "vault", ANOTHER_KEY, VAULT_KEY)
    while await both.rewrap(10):
        pass
    new = await opened(database_url, "dispatcher", ANOTHER_KEY)
    keys = await new.keys(people)
    assert all(unseal(keys[person], NUMBER, sealed[person]) == "+1" for person in people)
    assert await vault.keys(people) == {}, "the old key opens none of them"
    with pytest.raises(KeysMissing):
        await vault.keys_for(people)
    await both.close()
    await new.close()


async def test_a_row_of_the_vault_cannot_stand_in_for_another(database_url: str, vault: Vault) -> None:
    one, two = str(uuid4()), str(uuid4())
    await vault.keys_for({one: ACCOUNT, two: ACCOUNT})
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE vault.keys k SET wrapped = o.wrapped FROM vault.keys o WHERE k.subject_id = $1 AND o.subject_id = $2",
        one, two,
    )  # fmt: skip
    await connection.close()
    assert (await vault.keys([one, two])).keys() == {two}, "and takes nobody else's key away"


async def test_nobody_starts_with_a_key_the_vault_was_not_made_with(database_url: str, vault: Vault) -> None:
    await vault.keys_for({str(uuid4()): ACCOUNT})
    with pytest.raises(WrongVaultKey):
        await opened(database_url, "dispatcher", ANOTHER_KEY)
    knows_both = await opened(database_url, "dispatcher", ANOTHER_KEY, VAULT_KEY)
    await knows_both.keys_for({str(uuid4()): ACCOUNT})
    with pytest.raises(WrongVaultKey):
        await opened(database_url, "dispatcher", VAULT_KEY)
    await knows_both.close()


async def test_a_destroyed_key_is_told_from_a_missing_one(vault: Vault) -> None:
    gone, there = str(uuid4()), str(uuid4())
    keys = await vault.keys_for({gone: ACCOUNT, there: ACCOUNT})
    await vault.destroy(gone, keys[gone].key_id, "a manager", "a wish")
    wanted = {id_: (id_, key.key_id) for id_, key in keys.items()}
    assert await vault.destroyed(wanted.values()) == {wanted[gone]}


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("send_intake", "DELETE FROM vault.keys"),
        ("send_intake", "UPDATE vault.keys SET wrapped = ''"),
        ("send_intake", "SELECT reason FROM vault.destroyed"),
        ("projections", "INSERT INTO vault.keys SELECT * FROM vault.keys"),
        ("projections", "DELETE FROM vault.keys"),
        ("dispatcher", "UPDATE vault.keys SET wrapped = ''"),
        ("dispatcher", "DELETE FROM vault.destroyed"),
        ("scheduler", "SELECT * FROM vault.keys"),
        ("dispatcher_api", "SELECT * FROM vault.keys"),
    ],
)
async def test_each_service_may_do_what_it_must_and_no_more(database_url: str, role: str, statement: str) -> None:
    await migrate_vault(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f'DO $$ BEGIN CREATE ROLE "{role}"; EXCEPTION WHEN duplicate_object THEN END $$')
        await connection.execute(f'SET ROLE "{role}"')
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_vault_that_hangs_is_told_within_seconds_and_can_be_tried_again(
    database_url: str, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vaults, "TIMEOUT_S", 0.2)
    person = str(uuid4())
    await vault.keys_for({person: ACCOUNT})
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE vault.keys")
        with pytest.raises(TimeoutError) as away:
            await vault.keys([person])
        assert retriable(away.value)
    assert person in await vault.keys([person])
    await connection.close()


async def test_no_key_lies_in_the_vault_readable(database_url: str, vault: Vault) -> None:
    person = str(uuid4())
    key = (await vault.keys_for({person: ACCOUNT}))[person]
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT k::text FROM vault.keys k WHERE subject_id = $1", person)
    await connection.close()
    assert key._secret.hex() not in rows[0][0]
