"""Who owns open attempts: a number that is locked in Postgres for as long as this process lives and is not frozen."""

import asyncio
import time
from types import TracebackType

import asyncpg
import structlog
from kernel.database import connect
from kernel.errors import retriable

from dispatcher.app_marks import Marks
from dispatcher.store import SCHEMA, q

log = structlog.get_logger()

HEARTBEAT_S = 2.0
FROZEN_AFTER = "10s"  # Postgres ends the session of an owner that says nothing for so long, and with it the lock
RECONNECT_S = 0.5


class Owner:
    """`async with Owner(url, marks)`: `number` is the owner's, None while there is none. Each session has its own.

    `held_since` (monotonic) is also since when receipts can be stored here: a process that was just started, was
    frozen, or had no Postgres has a new number.
    """

    def __init__(self, database_url: str, marks: Marks) -> None:
        self._database_url, self._marks = database_url, marks
        self._keeper: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self.number: int | None = None
        self.held_since = time.monotonic()
        self.numbers: list[int] = []  # all that this process has had

    async def __aenter__(self) -> "Owner":
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def held(self) -> int:
        """The number, once there is one. Raises what broke its keeper."""
        while self.number is None:
            if self._keeper is not None and self._keeper.done():
                self._keeper.result()
            self._known.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._known.wait()
            except TimeoutError:
                continue
        return self.number

    async def _keep(self) -> None:
        while True:
            try:
                await self._hold()
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("owner_lost", owner=self.number, error=repr(error))
            finally:
                self.number = None
            await asyncio.sleep(RECONNECT_S)

    async def _hold(self) -> None:
        connection = await connect(self._database_url, SCHEMA, idle_session_timeout=FROZEN_AFTER)
        try:
            number: int = await connection.fetchval(q.new_owner)
            if self._marks.name is not None:
                await connection.execute(q.insert_marks, number, self._marks.name)
            self.number, self.held_since = number, time.monotonic()
            self.numbers.append(number)
            self._known.set()
            log.info("owner_held", owner=number)
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await connection.execute("SELECT 1", timeout=HEARTBEAT_S)
        finally:
            await _close(connection)


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError):
        connection.terminate()
