"""Postgres: how far the limits have been used, by all dispatchers together."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from kernel.database import Connection, Pool, load_queries

from dispatcher.budget import Allowance, Budget, Kind, Limits, Name, Purse, Rate, unused
from dispatcher.turns import Lane

q = load_queries("dispatcher", "budgets.sql")

EPOCH = date(1970, 1, 1)


async def empty(pool: Pool, limits: Limits) -> None:
    """At start: whatever was saved up is gone, for nobody knows what left meanwhile."""
    if limits.any:
        await pool.execute(q.empty_rates)


async def lock(connection: Connection, limits: Limits, lanes: Iterable[Lane]) -> Purse:
    """The lanes' budgets as they are, kept from other dispatchers until the transaction ends. Costs nothing if none."""
    accounts = {name: lane.account_id for lane in lanes for name in limits.names(lane)}
    names = sorted(accounts)
    if not names:
        return Purse(limits, {}, 0.0)
    wanted = [name.kind for name in names], [name.key for name in names]
    rows = await connection.fetch(q.lock_budgets, *wanted)
    if len(rows) < len(names):
        await connection.execute(q.make_budgets, *wanted, [accounts[name] for name in names])
        rows = await connection.fetch(q.lock_budgets, *wanted)
    found = {Name(Kind(row["kind"]), row["key"]): row for row in rows}
    now: float = await connection.fetchval(q.epoch)  # after the locks: we may have waited for them
    return Purse(limits, {name: _read(limits, name, found[name]) for name in names}, now)


async def write(connection: Connection, purse: Purse) -> None:
    """What was spent."""
    if not purse.budgets:
        return
    names = sorted(purse.budgets)
    await connection.execute(
        q.write_budgets,
        [name.kind for name in names],
        [name.key for name in names],
        *zip(*(_row(purse.budgets[name]) for name in names), strict=True),
    )


def _read(limits: Limits, name: Name, row: Any) -> Budget:
    if name.kind == Kind.BRAND:
        return Allowance(limits.brand_per_day, (row["day"] - EPOCH).days, row["spent"])
    return Rate(limits.per_s(name), row["paid_until"].timestamp())


def _row(budget: Budget) -> Sequence[Any]:
    """paid_until, day, spent; null leaves what is there."""
    if isinstance(budget, Allowance):
        return None, EPOCH + timedelta(days=budget.day), budget.spent
    return datetime.fromtimestamp(budget.paid_until, UTC), None, None


async def left(connection: Connection, limits: Limits, names: Sequence[Name]) -> dict[Name, float]:
    """Segments that may leave now, of each budget."""
    if not names:
        return {}
    rows = await connection.fetch(q.read_budgets, [name.kind for name in names], [name.key for name in names])
    found = {Name(Kind(row["kind"]), row["key"]): row for row in rows}
    now: float = await connection.fetchval(q.epoch)
    budgets = {name: _read(limits, name, found[name]) if name in found else unused(limits, name, now) for name in names}
    return {name: budget.left(now) for name, budget in budgets.items()}
