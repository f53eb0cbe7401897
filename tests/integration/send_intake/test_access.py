"""Signing in without HTTP: how much work it is, how tries are counted, and what races with an end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from kernel import database
from kernel.database import Pool
from kernel.outbox import unpack
from kernel.revocations import Revocations
from kernel.testing import eventually
from kernel.tokens import Role, User, admit
from send_intake import store_tokens, store_users
from send_intake.app_access import Access, Refused
from send_intake.app_passwords import AT_ONCE, MOST_WAITING, Passwords, TooBusy
from send_intake.store_tokens import Kind, Made, NotAllowed
from send_intake.store_tries import Tries
from send_intake.throttle import PER_ADDRESS, PER_NAME

from schemas.codec import decode
from schemas.events import TokenRevoked

KEY = "a token key for tests that is long enough"
DAY = timedelta(days=1)
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Counting(Passwords):
    """Counts the hashes it makes, and how many at once."""

    def __init__(self) -> None:
        super().__init__(QUICK)
        self.checked = self.now = self.most = 0

    def _matches(self, stored: str, password: str) -> bool:
        self.checked, self.now = self.checked + 1, self.now + 1
        self.most = max(self.most, self.now)
        try:
            return super()._matches(stored, password)
        finally:
            self.now -= 1


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    await database.migrate(database_url, "send_intake", "send_intake")
    pool = await database.open_pool(database_url, "send_intake", max_size=16)
    yield pool
    await pool.close()


@pytest.fixture
def passwords() -> Counting:
    return Counting()


@pytest.fixture
def access(pool: Pool, passwords: Counting) -> Access:
    return Access(pool, KEY, Revocations(""), asyncio.Event(), passwords, Tries(pool, KEY), None)


async def user(pool: Pool, name: str, password: str | None = None) -> User:
    async with pool.acquire() as connection:
        made = (await store_users.add_user(connection, "demo", name, Role.SENDER)).user  # type: ignore[arg-type]
    if password is not None:
        await store_users.set_password(pool, made.user_id, QUICK.hash(password))
    return made


async def test_every_sign_in_is_the_same_work_whoever_it_is_for(
    pool: Pool, access: Access, passwords: Counting
) -> None:
    await user(pool, "Ada", "right")
    await user(pool, "Bob")
    for account, name, password in (
        ("demo", "Ada", "right"), ("demo", "Ada", "wrong"), ("demo", "Bob", "x"), ("demo", "Eve", "x"),
        ("acme", "Ada", "x"),
    ):  # fmt: skip
        before = passwords.checked
        made = await access.by_password(account, name, password, "::1")
        assert isinstance(made, Made) is (password == "right")
        assert passwords.checked == before + 1, name


async def test_the_password_nobody_knows_is_nobody_s(passwords: Counting) -> None:
    assert not await passwords.is_right("", None)
    assert await passwords.is_right("p\u0061\u0308ss", passwords.hash("p\u00e4ss")), "the same letters"


async def test_hashes_are_made_few_at_a_time_and_a_crowd_is_told_to_wait(passwords: Counting) -> None:
    stored = passwords.hash("right")
    crowd = [passwords.is_right("right", stored) for _ in range(MOST_WAITING + 10)]
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert answers.count(True) == MOST_WAITING and sum(isinstance(each, TooBusy) for each in answers) == 10
    assert passwords.most <= AT_ONCE


async def test_instances_count_together(pool: Pool) -> None:
    here, there = Tries(pool, KEY), Tries(pool, KEY)
    spent = [await each.spend("demo", "Ada", "::1") for each in (here, there) * PER_NAME.burst]
    assert spent[: PER_NAME.burst] == [None] * PER_NAME.burst and all(spent[PER_NAME.burst :])


async def test_one_address_cannot_try_a_password_on_everybody(pool: Pool) -> None:
    tries = Tries(pool, KEY)
    spent = [await tries.spend("demo", f"user {n}", "192.0.2.1") for n in range(PER_ADDRESS.burst + 1)]
    assert spent[:-1] == [None] * PER_ADDRESS.burst and spent[-1] is not None
    assert await tries.spend("demo", "user 0", "192.0.2.2") is None, "another address"
    await tries.forgive("demo", "user 0", "192.0.2.1")
    assert await tries.spend("demo", "user 0", "192.0.2.1") is None, "one of the tries was right"


async def test_tries_are_forgotten_in_time_and_hold_neither_name_nor_address(pool: Pool) -> None:
    tries = Tries(pool, KEY)
    await tries.spend("demo", "Ada", "192.0.2.1")
    rows = [bytes(row["subject"]) for row in await pool.fetch("SELECT subject FROM sign_in_tries")]
    assert len(rows) == 3 and not any(b"Ada" in row or b"192" in row for row in rows)
    await pool.execute("UPDATE sign_in_tries SET spent_until = now() - interval '1 hour'")
    await tries.spend("demo", "Bob", "192.0.2.2")
    assert await pool.fetchval("SELECT count(*) FROM sign_in_tries") == 3


async def test_a_stranger_elsewhere_keeps_nobody_from_signing_in_and_uses_up_their_own_address(pool: Pool) -> None:
    tries = Tries(pool, KEY)
    strangers = [await tries.spend("demo", "Ada", "192.0.2.66") for _ in range(PER_ADDRESS.burst + 5)]
    assert strangers[: PER_NAME.burst] == [None] * PER_NAME.burst and all(strangers[PER_NAME.burst :])
    assert await tries.spend("demo", "Ada", "192.0.2.1") is None
    assert await tries.spend("demo", "Bob", "192.0.2.66") is not None, "refused tries were paid for, too"


async def test_what_was_made_by_way_of_a_tokens_session_ends_with_the_token(pool: Pool, access: Access) -> None:
    ada = await user(pool, "Ada", "right")
    root = await store_tokens.make(pool, KEY, ada, Kind.TOKEN, "a day's", DAY)
    session = await access.by_token(root.token)
    assert isinstance(session, Made)
    made = await access.new_token(admit(KEY, session.token), "for ever", 366 * DAY)
    assert made.expires_at == root.expires_at
    await end(pool, root.token_id)
    assert {event.token_id for event in await revoked(pool)} == {root.token_id, session.token_id, made.token_id}
    by_password = await access.by_password("demo", "Ada", "right", "::1")
    assert isinstance(by_password, Made)
    lasting = await access.new_token(admit(KEY, by_password.token), "lasting", 366 * DAY)
    await end(pool, by_password.token_id)
    assert lasting.token_id not in {event.token_id for event in await revoked(pool)}


async def test_an_account_gets_a_number_that_nobody_has_taken(pool: Pool) -> None:
    first = await user(pool, "Ada")
    taken = await pool.fetchval("SELECT '+1' || (last_value + 1) FROM sender_numbers")
    await pool.execute("INSERT INTO senders (number, account_id) VALUES ($1, $2)", taken, first.account_id)
    async with pool.acquire() as connection:
        other = (await store_users.add_user(connection, "another", "Eve", Role.MANAGER)).user  # type: ignore[arg-type]
    number = await pool.fetchval("SELECT sender FROM accounts WHERE account_id = $1", other.account_id)
    assert number != taken
    assert str(await pool.fetchval("SELECT account_id FROM senders WHERE number = $1", number)) == other.account_id


async def revoked(pool: Pool) -> list[TokenRevoked]:
    rows = await pool.fetch("SELECT events FROM outbox WHERE topic = 'access' ORDER BY seq")
    events = [decode(value) for row in rows for _, value in unpack(row["events"])]
    return [event for event in events if isinstance(event, TokenRevoked)]


async def end(pool: Pool, *token_ids: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await store_tokens.end(connection, token_ids, "a manager")


async def test_an_end_is_one_event_however_often_it_is_asked_for(pool: Pool) -> None:
    ada = await user(pool, "Ada")
    made = await store_tokens.make(pool, KEY, ada, Kind.TOKEN, "t", DAY)
    await asyncio.gather(*(end(pool, made.token_id) for _ in range(8)))
    [event] = await revoked(pool)
    assert (event.token_id, event.user_id, event.expires_at, event.actor) == (
        made.token_id, ada.user_id, made.expires_at, "a manager",
    )  # fmt: skip


async def test_a_token_made_while_its_user_is_disabled_is_ended_or_refused(pool: Pool) -> None:
    for n in range(10):
        ada = await user(pool, f"Ada {n}")

        async def disable(user_id: str = ada.user_id) -> None:
            async with pool.acquire() as connection, connection.transaction():
                await store_users.disable(connection, user_id)
                await store_tokens.end(connection, await store_tokens.of_user(connection, user_id), "x")

        makes = [store_tokens.make(pool, KEY, ada, Kind.SESSION, "s", DAY) for _ in range(6)]
        await asyncio.gather(*makes[:3], disable(), *makes[3:], return_exceptions=True)
        live = "SELECT count(*) FROM tokens WHERE user_id = $1 AND revoked_at IS NULL"
        assert await pool.fetchval(live, ada.user_id) == 0
        with pytest.raises(NotAllowed):
            await store_tokens.make(pool, KEY, ada, Kind.SESSION, "s", DAY)


async def test_a_token_made_while_its_user_gets_another_role_is_ended_or_refused(pool: Pool) -> None:
    for n in range(10):
        ada = await user(pool, f"Ada {n}")

        async def promote(name: str = ada.name) -> None:
            async with pool.acquire() as connection:
                added = await store_users.add_user(connection, "demo", name, Role.MANAGER)  # type: ignore[arg-type]
            assert added.former is Role.SENDER

        makes = [store_tokens.make(pool, KEY, ada, Kind.SESSION, "s", DAY) for _ in range(6)]
        results = await asyncio.gather(*makes[:3], promote(), *makes[3:], return_exceptions=True)
        assert all(isinstance(each, Made | NotAllowed | None) for each in results), results
        live = "SELECT count(*) FROM tokens WHERE user_id = $1 AND revoked_at IS NULL"
        assert await pool.fetchval(live, ada.user_id) == 0
        with pytest.raises(NotAllowed):
            await store_tokens.make(pool, KEY, ada, Kind.SESSION, "s", DAY)
        await store_tokens.make(pool, KEY, ada._replace(role=Role.MANAGER), Kind.SESSION, "s", DAY)


async def test_a_token_being_made_with_another_is_in_nobody_s_way_who_ends_all_of_the_user_s(pool: Pool) -> None:
    ada = await user(pool, "Ada")
    parent = await store_tokens.make(pool, KEY, ada, Kind.TOKEN, "parent", DAY)

    async def waits() -> bool:
        here = "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
        return bool(await pool.fetchval(f"SELECT EXISTS (SELECT {here})"))

    async with pool.acquire() as connection, connection.transaction():
        await store_users.disable(connection, ada.user_id)
        child = asyncio.create_task(store_tokens.make(pool, KEY, ada, Kind.TOKEN, "child", DAY, parent.token_id))
        await eventually(waits, "the maker's wait for the user's row", 5)
        await store_tokens.end(connection, await store_tokens.of_user(connection, ada.user_id), "x")
    with pytest.raises(NotAllowed):
        await child


async def test_a_user_who_is_added_in_two_roles_at_once_has_tokens_of_one(pool: Pool) -> None:
    async def add(name: str, role: Role) -> Made:
        async with pool.acquire() as connection, connection.transaction():
            added = await store_users.add_user(connection, "demo", name, role)  # type: ignore[arg-type]
            return await store_tokens.make(connection, KEY, added.user, Kind.TOKEN, "t", DAY)

    live = """SELECT t.token_id::text AS token_id, u.role FROM tokens t JOIN users u USING (user_id)
               WHERE u.name = $1 AND t.revoked_at IS NULL"""
    for n in range(20):
        name = f"Ada {n % 5}"  # a new one, then one whom others have made
        made = {each.token_id: each for each in await asyncio.gather(*(add(name, role) for role in Role))}
        [row] = await pool.fetch(live, name)
        assert made[row["token_id"]].user.role == row["role"]


async def test_a_token_made_with_one_that_is_being_ended_is_ended_or_refused(pool: Pool) -> None:
    ada = await user(pool, "Ada")
    for _ in range(10):
        parent = await store_tokens.make(pool, KEY, ada, Kind.TOKEN, "parent", DAY)
        makes = [store_tokens.make(pool, KEY, ada, Kind.TOKEN, "t", DAY, parent.token_id) for _ in range(6)]
        await asyncio.gather(*makes[:3], end(pool, parent.token_id), *makes[3:], return_exceptions=True)
        assert await pool.fetchval("SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == 0


async def test_nobody_makes_a_token_with_another_s(pool: Pool) -> None:
    ada, bob = await user(pool, "Ada"), await user(pool, "Bob")
    bobs = await store_tokens.make(pool, KEY, bob, Kind.TOKEN, "t", DAY)
    with pytest.raises(NotAllowed):
        await store_tokens.make(pool, KEY, ada, Kind.TOKEN, "t", DAY, bobs.token_id)


async def test_an_end_is_answered_also_while_kafka_is_away(pool: Pool, access: Access) -> None:
    made = await store_tokens.make(pool, KEY, await user(pool, "Ada"), Kind.TOKEN, "t", DAY)
    assert not await store_tokens.in_the_log(pool, patience_s=0.1) or not await revoked(pool)
    await end(pool, made.token_id)
    assert not await store_tokens.in_the_log(pool, patience_s=0.1), "no relay runs here"
    assert isinstance(await access.by_token(made.token), Refused), "the token it would be made with has ended"
    assert await access.end([str(uuid4())], "x") is False
