"""The queue on real Postgres: lanes, limits that dispatchers share, and persons whose messages wait."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from dispatcher import api_queue, provider_smpp, store, store_budgets
from dispatcher.app_lanes import Lanes
from dispatcher.budget import A_DAY_S, Limits
from dispatcher.clearance import Why
from dispatcher.flow import Bounds
from dispatcher.outcome import Accepted, NotAccepted, Unknown
from dispatcher.provider import Text
from dispatcher.routing import Routing
from dispatcher.store_attempts import Proof, settle
from dispatcher.store_intents import Compose, Intent, Opened, Taken, Terms, open_request, take_intents
from dispatcher.turns import Lane
from kernel import database
from kernel.database import Pool
from kernel.outbox import Outbox
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault
from structlog.testing import capture_logs

from schemas.reasons import NotAcceptedReason, UnresolvedReason
from tests.integration.dispatcher.taking import composed

A_DAY = 86_400
LOST = Unknown(UnresolvedReason.TIMEOUT)
THREE_SEGMENTS = "a" * 400


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Tables that no dispatcher touches."""
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
async def vault(database_url: str, pool: Pool) -> AsyncIterator[Vault]:
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    yield vault
    await vault.close()


def lane(account: int = 1, campaign: int = 1, sender: int = 1) -> Lane:
    return Lane(str(uuid.UUID(int=account)), str(uuid.UUID(int=100 * account + campaign)), f"+1202555{sender:04d}")


async def queued(pool: Pool, of: Lane, count: int = 1, text: str = "text", person: str | None = None) -> list[str]:
    """Messages with a place in the queue, the first due first; their recipients."""
    rows = await pool.fetch(
        """WITH m AS (
               INSERT INTO messages
               SELECT gen_random_uuid(), $1, $2, coalesce($6, gen_random_uuid()), gen_random_uuid(),
                      clock_timestamp() + n * interval '1 microsecond', '+12025550123', $5, $3
                 FROM generate_series(1, $4::int) n
               RETURNING recipient_id, due_at
           ), q AS (
               INSERT INTO queue (recipient_id, attempt, account_id, campaign_id, sender, due_at)
               SELECT recipient_id, 1, $1, $2, $3, due_at FROM m
           )
           SELECT recipient_id::text FROM m ORDER BY due_at""",
        of.account_id, of.campaign_id, of.sender, count, text, person,
    )  # fmt: skip
    return [row[0] for row in rows]


class Dispatcher:
    """What one process does to the queue, without a carrier: it picks, takes, and all is answered at once."""

    def __init__(self, pool: Pool, vault: Vault, limits: Limits | None = None, owner: int = 1, hold_s: int = A_DAY):
        self.pool, self.vault, self.owner, self.hold_s = pool, vault, owner, hold_s
        self.limits = limits or Limits()
        self.compose: Compose = composed
        self.lanes = Lanes(pool, Routing("twilio"), Bounds(128, 10, 5.0), self.limits)

    async def cycle(self, count: int = 128) -> list[Intent]:
        now = time.monotonic()
        self.lanes.queued.set()
        self.lanes._cost_s = 0.0  # lists them every time
        await self.lanes.refresh()
        picked = self.lanes.pick(count, now)
        taken = await self.take(picked) if picked else None
        if taken is None:
            return []
        self.lanes.took(picked, taken, now)
        for intent in taken.intents:
            self.lanes.landed(intent.lane, now)
        return taken.intents

    async def take(self, picked: Counter[Lane]) -> Taken:
        outbox = Outbox()
        terms = Terms(self.owner, datetime.now(UTC), self.limits, self.hold_s)
        async with self.pool.acquire() as connection, connection.transaction():
            taken = await take_intents(connection, self.vault, picked, terms, outbox, self.compose)
            await outbox.write(connection)
        return taken

    async def works(self, seconds: float) -> list[tuple[float, Intent]]:
        """What leaves in that time, and when."""
        began, left = time.monotonic(), []
        while (now := time.monotonic()) < began + seconds:
            left += [(time.monotonic(), intent) for intent in await self.cycle()]
            rest_s = min(self.lanes.rests_until(now), now + 0.02) - time.monotonic()
            await asyncio.sleep(max(0.001, rest_s))
        return left


async def apply(pool: Pool, *proofs: Proof) -> None:
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        await settle(connection, proofs, outbox)
        await outbox.write(connection)


def proof(recipient_id: str, evidence: Accepted | NotAccepted | Unknown, attempt: int = 1) -> Proof:
    return Proof(recipient_id, attempt, evidence, datetime.now(UTC))


async def waits_for(pool: Pool, recipient_id: str) -> str | None:
    why: str | None = await pool.fetchval("SELECT why FROM queue WHERE recipient_id = $1", recipient_id)
    return why


async def test_a_text_that_no_bytes_can_be_made_of_is_put_aside_and_takes_nobody_with_it(
    pool: Pool, vault: Vault
) -> None:
    def by_smpp(opened: Opened) -> tuple[str, bytes]:
        provider_smpp.request(Text(opened.number, opened.sender, opened.text, "https://example.org"))
        return composed(opened)

    [before], [empty], [after] = [await queued(pool, lane(), text=text) for text in ("one", "", "two")]
    dispatcher = Dispatcher(pool, vault)
    dispatcher.compose = by_smpp
    with capture_logs() as logs:
        assert {intent.recipient_id for intent in await dispatcher.cycle()} == {before, after}
    said = {"event": "message_not_composed", "log_level": "error", "recipient_id": empty, "error": "ValueError"}
    assert logs == [said], "and nothing of what it cannot say"
    rows = await pool.fetch("SELECT recipient_id::text, attempt, why, not_before > now() AS later FROM queue")
    assert [tuple(row) for row in rows] == [(empty, 1, Why.COMPOSE, True)]
    assert (await api_queue.figures(pool, dispatcher.lanes))["aside"] == {"compose": 1}
    assert await dispatcher.cycle() == []
    await pool.execute("UPDATE messages SET text = 'three' WHERE recipient_id = $1", empty)
    await pool.execute("UPDATE queue SET not_before = now()")
    dispatcher.lanes._polled_at = 0.0
    assert [intent.recipient_id for intent in await dispatcher.cycle()] == [empty], "once it can be said"


async def test_any_bytes_are_kept_also_of_a_message_that_is_not_sealed(pool: Pool, vault: Vault) -> None:
    """As a PDU of SMPP has them."""
    [plain] = await queued(pool, lane())
    dispatcher = Dispatcher(pool, vault)
    dispatcher.compose = lambda _opened: ("smpp", bytes(range(256)))
    [intent] = await dispatcher.cycle()
    kept = await pool.fetchval("SELECT request FROM in_flight WHERE recipient_id = $1", plain)
    assert open_request(None, plain, kept) == intent.request == bytes(range(256))


async def test_another_account_s_message_is_taken_with_the_next_batch_however_many_wait(
    pool: Pool, vault: Vault
) -> None:
    await queued(pool, lane(1), 100_000)
    dispatcher = Dispatcher(pool, vault)
    assert len(await dispatcher.cycle()) == 128
    [other] = await queued(pool, lane(2, sender=2))
    assert other in [intent.recipient_id for intent in await dispatcher.cycle(2)]
    [sibling] = await queued(pool, lane(1, campaign=2))
    assert sibling in [intent.recipient_id for intent in await dispatcher.cycle(2)]


async def test_who_has_one_message_now_and_then_takes_no_more_connections_than_that(pool: Pool, vault: Vault) -> None:
    await queued(pool, lane(1), 1000)
    dispatcher = Dispatcher(pool, vault)
    await dispatcher.cycle()
    for sender in range(2, 12):
        await queued(pool, lane(sender, sender=sender), 1)
        dispatcher.lanes.notice(Counter([lane(sender, sender=sender)]))
    picked = dispatcher.lanes.pick(128, time.monotonic())
    assert sorted(picked.values()) == [1] * 10 + [118]
    taken = await dispatcher.take(picked)
    dispatcher.lanes.took(picked, taken, time.monotonic())
    assert len(taken.intents) == 128


async def test_what_was_noticed_and_put_back_is_picked_again(pool: Pool, vault: Vault) -> None:
    [only] = await queued(pool, lane(), 1, THREE_SEGMENTS)
    dispatcher = Dispatcher(pool, vault, Limits(sender_per_s=20))
    dispatcher.lanes.notice(Counter([lane()]))
    left = await dispatcher.works(1.0)
    assert [intent.recipient_id for _, intent in left] == [only]


async def test_accounts_share_alike_whatever_their_campaigns_and_senders(pool: Pool, vault: Vault) -> None:
    for campaign in range(20):
        await queued(pool, lane(1, campaign, sender=campaign), 50)
    await queued(pool, lane(2, sender=99), 500)
    dispatcher, served = Dispatcher(pool, vault), Counter[str]()
    for _ in range(4):
        served.update(intent.lane.account_id for intent in await dispatcher.cycle(100))
    assert served == {lane(1).account_id: 200, lane(2).account_id: 200}


async def test_dispatchers_take_from_one_lane_side_by_side(pool: Pool, vault: Vault) -> None:
    ids = await queued(pool, lane(), 20)
    first, second = (Dispatcher(pool, vault, owner=owner) for owner in (1, 2))
    async with pool.acquire() as connection, connection.transaction():
        terms = Terms(first.owner, datetime.now(UTC))
        taken = await take_intents(connection, vault, Counter({lane(): 10}), terms, Outbox(), composed)
        async with asyncio.timeout(5):  # the first has not committed yet
            beside = await second.take(Counter({lane(): 10}))
    assert [intent.recipient_id for intent in taken.intents] == ids[:10]
    assert [intent.recipient_id for intent in beside.intents] == ids[10:]


async def test_a_lane_leaves_in_the_order_in_which_it_was_due_also_after_a_wait(pool: Pool, vault: Vault) -> None:
    ids = await queued(pool, lane(), 10)
    dispatcher = Dispatcher(pool, vault)
    assert [intent.recipient_id for intent in await dispatcher.cycle(3)] == ids[:3]
    await apply(pool, proof(ids[1], NotAccepted(NotAcceptedReason.THROTTLED)))
    assert [intent.recipient_id for intent in await dispatcher.cycle(3)] == [ids[1], ids[3], ids[4]]


async def test_taking_costs_the_same_with_a_million_waiting_at_senders_that_may_not_send(
    pool: Pool, vault: Vault
) -> None:
    await queued(pool, lane(1, sender=1), 100_000)
    await queued(pool, lane(2, sender=2), 100)
    limits = Limits(of_sender={lane(sender=1).sender: 0.001})
    dispatcher = Dispatcher(pool, vault, limits)
    began = time.perf_counter()
    intents = await dispatcher.cycle(50)
    assert time.perf_counter() - began < 1
    assert {intent.sender for intent in intents} == {lane(sender=2).sender}
    assert len(intents) == 50


async def test_a_sender_s_rate_holds_from_the_first_second_on_and_two_dispatchers_share_it(
    pool: Pool, vault: Vault
) -> None:
    await queued(pool, lane(), 500)
    limits = Limits(sender_per_s=40)
    both = [Dispatcher(pool, vault, limits, owner) for owner in (1, 2)]
    left = [one for part in await asyncio.gather(*(d.works(3.0) for d in both)) for one in part]
    assert 60 <= len(left) <= 40 * 3 + 4
    times = sorted(at for at, _ in left)
    in_a_second = [sum(at <= other < at + 1.0 for other in times) for at in times]
    assert max(in_a_second) <= 40 + 4 + 2  # the rate, what a full bucket holds, and how late a commit is seen
    assert len({intent.recipient_id for _, intent in left}) == len(left)


async def test_budgets_are_spent_exactly_by_dispatchers_that_race_for_them(pool: Pool, vault: Vault) -> None:
    for campaign in range(4):
        await queued(pool, lane(1, campaign), 100)
    limits = Limits(brand_per_day=101)
    dispatchers = [Dispatcher(pool, vault, limits, owner) for owner in range(1, 5)]
    picked = Counter({lane(1, campaign): 10 for campaign in range(4)})
    taken = await asyncio.gather(*(d.take(picked) for d in dispatchers for _ in range(3)))
    assert sum(len(one.intents) for one in taken) == 101
    assert await pool.fetchval("SELECT spent FROM budgets WHERE kind = 'brand'") == 101
    assert await pool.fetchval("SELECT count(*) FROM queue WHERE not_before IS NULL") == 400 - 101
    assert await dispatchers[0].cycle() == []


async def test_a_day_s_allowance_survives_a_restart_and_comes_back_the_next_day(pool: Pool, vault: Vault) -> None:
    await queued(pool, lane(), 10)
    limits = Limits(brand_per_day=3)
    assert len(await Dispatcher(pool, vault, limits).cycle()) == 3
    await store_budgets.empty(pool, limits)
    restarted = Dispatcher(pool, vault, limits)
    assert await restarted.cycle() == []
    assert restarted.lanes.rests_until(time.monotonic()) < time.monotonic() + 1  # it still looks what others queued
    await pool.execute("UPDATE budgets SET day = day - 1")
    assert len(await Dispatcher(pool, vault, limits).cycle()) == 3
    assert (await pool.fetchval("SELECT day FROM budgets")).toordinal() - 719163 == int(time.time() // A_DAY_S)


async def test_a_restart_has_nothing_saved_up(pool: Pool, vault: Vault) -> None:
    await queued(pool, lane(), 50)
    limits = Limits(sender_per_s=100)
    await Dispatcher(pool, vault, limits).works(0.3)
    await pool.execute("UPDATE budgets SET paid_until = now() - interval '30 s'")
    await store_budgets.empty(pool, limits)
    async with pool.acquire() as connection:
        left = await store_budgets.left(connection, limits, limits.names(lane()))
    assert max(left.values()) < 10  # what 0.1 s brings; it can be no more than that has come since


async def test_limits_count_segments_and_what_does_not_fit_stays_where_it_stood(pool: Pool, vault: Vault) -> None:
    ids = await queued(pool, lane(), 4, THREE_SEGMENTS)
    dispatcher = Dispatcher(pool, vault, Limits(brand_per_day=7))
    taken = await dispatcher.take(Counter({lane(): 4}))
    assert [intent.recipient_id for intent in taken.intents] == ids[:2]
    assert await pool.fetchval("SELECT spent FROM budgets") == 6
    stopped = await pool.fetchval("DELETE FROM queue WHERE recipient_id = $1 RETURNING not_before IS NULL", ids[2])
    assert stopped is True


async def test_a_campaign_s_limit_delays_no_other_campaign(pool: Pool, vault: Vault) -> None:
    await queued(pool, lane(1, 1), 200)
    await queued(pool, lane(1, 2), 20)
    dispatcher = Dispatcher(pool, vault, Limits(campaign_per_minute=600))
    left = Counter(intent.lane.campaign_id for _, intent in await dispatcher.works(1.5))
    assert 8 <= left[lane(1, 1).campaign_id] <= 17 and 8 <= left[lane(1, 2).campaign_id] <= 17


async def test_later_texts_to_a_person_wait_while_an_outcome_is_unknown_and_go_once_it_is_known(
    pool: Pool, vault: Vault
) -> None:
    person, dispatcher = str(uuid.uuid4()), Dispatcher(pool, vault)
    [first] = await queued(pool, lane(1, 1), person=person)
    [intent] = await dispatcher.cycle()
    await apply(pool, proof(first, LOST))
    [second] = await queued(pool, lane(1, 2), person=person)
    [elsewhere] = await queued(pool, lane(1, 3, sender=7), person=person)
    [nobody] = await queued(pool, lane(1, 2))
    assert {intent.recipient_id for intent in await dispatcher.cycle()} == {elsewhere, nobody}
    assert await waits_for(pool, second) == Why.UNKNOWN
    assert await pool.fetchval("SELECT not_before > now() + interval '20 s' FROM queue") is True
    await apply(pool, proof(first, Accepted("SM1"), intent.attempt))
    assert [intent.recipient_id for intent in await dispatcher.cycle()] == [second]


async def test_a_person_with_two_unknown_outcomes_waits_for_both(pool: Pool, vault: Vault) -> None:
    person, dispatcher = str(uuid.uuid4()), Dispatcher(pool, vault)
    ids = await queued(pool, lane(1, 1), 2, person=person)
    await dispatcher.cycle()
    await apply(pool, *(proof(rid, LOST) for rid in ids))
    [later] = await queued(pool, lane(1, 2), person=person)
    assert await dispatcher.cycle() == []
    await apply(pool, proof(ids[0], Accepted("SM1")))
    assert await dispatcher.cycle() == []
    await apply(pool, proof(ids[1], NotAccepted(NotAcceptedReason.UNKNOWN)))
    assert {intent.recipient_id for intent in await dispatcher.cycle()} == {ids[1], later}


@pytest.mark.parametrize("hold_s", [0, 60])
async def test_an_old_unknown_outcome_holds_nobody_and_the_setting_can_be_off(
    pool: Pool, vault: Vault, hold_s: int
) -> None:
    person, dispatcher = str(uuid.uuid4()), Dispatcher(pool, vault, hold_s=hold_s)
    [first] = await queued(pool, lane(1, 1), person=person)
    await dispatcher.cycle()
    await apply(pool, Proof(first, 1, LOST, datetime.now(UTC) - timedelta(seconds=61)))
    [second] = await queued(pool, lane(1, 2), person=person)
    assert [intent.recipient_id for intent in await dispatcher.cycle()] == [second]


async def test_a_held_person_s_messages_wait_and_an_opt_out_meanwhile_suppresses(pool: Pool, vault: Vault) -> None:
    person, dispatcher = str(uuid.uuid4()), Dispatcher(pool, vault)
    held = "INSERT INTO holds (person_id, account_id, held_at, reply) VALUES ($1, $2, now(), 'SM9')"
    await pool.execute(held, person, lane().account_id)
    [waiting] = await queued(pool, lane(), person=person)
    assert await dispatcher.cycle() == []
    assert await waits_for(pool, waiting) == Why.HOLD
    await pool.execute(
        """INSERT INTO opt_outs (person_id, account_id, number, in_force, source, evidence, changed_at, changed_by,
                                 changes, event_id)
           VALUES ($1, $2, '+1', true, 'reply', '', now(), 'u', 1, gen_random_uuid())""",
        person, lane().account_id,
    )  # fmt: skip
    await pool.execute("UPDATE queue SET not_before = now()")
    dispatcher.lanes = Lanes(pool, Routing("twilio"), Bounds(128, 10, 5.0), dispatcher.limits)
    assert await dispatcher.cycle() == []
    assert await pool.fetchval("SELECT suppressed_at IS NOT NULL FROM messages") is True
    assert await pool.fetchval("SELECT count(*) FROM queue") == 0


async def test_a_migrated_queue_keeps_what_waited(database_url: str) -> None:
    """What the version before had queued stands in its lanes."""
    names = sorted(database.migrations_of("dispatcher"))
    before = [name for name in names if name < "0006"]
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await database.begin_migration(connection, store.SCHEMA)
            await database._ensure_api_role(connection, store.SCHEMA)
            await connection.execute("SET LOCAL ROLE dispatcher; SET LOCAL search_path TO dispatcher")
            await connection.execute(database.sql_text("kernel", "sql/kernel.sql"))
            for name in before:
                await connection.execute(database.sql_text("dispatcher", f"sql/migrations/{name}"))
                await connection.execute("INSERT INTO migrations (name) VALUES ($1)", name)
            await connection.execute(
                """INSERT INTO messages SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
                          gen_random_uuid(), gen_random_uuid(), now(), '+1', 't', '+12025550199'
                     FROM generate_series(1, 3)"""
            )
            await connection.execute("INSERT INTO queue SELECT recipient_id, 1, 7, NULL FROM messages")
            await connection.execute("UPDATE queue SET not_before = now() WHERE ctid = (SELECT min(ctid) FROM queue)")
        await database.migrate(database_url, store.SCHEMA, "dispatcher")
        rows = await connection.fetch(
            """SELECT q.why, q.due_at = m.due_at
                 FROM dispatcher.queue q JOIN dispatcher.messages m USING (recipient_id, sender, campaign_id)"""
        )
        assert sorted(map(tuple, rows), key=str) == [("back_off", True), (None, True), (None, True)]
    finally:
        await connection.close()
