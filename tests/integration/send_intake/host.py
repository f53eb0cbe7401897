"""The database host's clock in a test's hands: what `host_time()` answers is what the test has set."""

from datetime import UTC, datetime, timedelta

from kernel.database import Pool

EPOCH = datetime.fromtimestamp(0, UTC)
# A sequence is seen by every statement as it is now, like a clock: it knows no snapshot and no rollback.
SET_BY_THE_TEST = """
CREATE SEQUENCE host;
GRANT SELECT ON host TO send_intake_api;
CREATE OR REPLACE FUNCTION host_time() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN timestamptz 'epoch' + (SELECT last_value FROM host) * interval '1 microsecond'"""


class Host:
    """A host whose time stands until it is set; it may go back."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @staticmethod
    async def of(pool: Pool, at: datetime) -> "Host":
        await pool.execute(SET_BY_THE_TEST)
        host = Host(pool)
        await host.set(at)
        return host

    async def set(self, at: datetime) -> None:
        await self._pool.execute("SELECT setval('host', $1)", (at - EPOCH) // timedelta(microseconds=1))
