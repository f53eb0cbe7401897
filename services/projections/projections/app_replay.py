"""The fold once more: the log from its beginning up to where the live tables stand, into tables of its own."""

import asyncio

from kernel.batch import BatchLoop
from kernel.database import Connection, Pool
from kernel.errors import LogLost
from kernel.offsets import Position
from kernel.replay import Rebuilt
from kernel.replay_log import Records

from projections import store
from projections.app import TOPICS, handle

# A reason nobody failed for any more: whether it was ever counted depends on what was folded together.
FORGET_ZEROS = "DELETE FROM live_failed_by_reason WHERE n = 0; DELETE FROM failed_by_reason WHERE n = 0"


class Fold:
    """The service's own fold over the whole span."""

    def __init__(self, pool: Pool) -> None:
        self._loop = BatchLoop(pool, handle, asyncio.Event())

    @property
    def stopped(self) -> dict[Position, int]:
        return self._loop.stopped

    async def begin(self, connection: Connection) -> None:
        """The tables are there; they are the service's own, and empty."""

    async def apply(self, records: Records) -> None:
        applied = await self._loop.apply(records)
        if applied.seek:  # nobody else moves these offsets: what should follow is not there
            raise LogLost(f"the log has a gap: {applied.seek}")

    async def finish(self, connection: Connection) -> None:
        await connection.execute(FORGET_ZEROS)


REBUILT = Rebuilt("projections", Fold, inputs=TOPICS, by_statements=True, drifted=store.drifted)
