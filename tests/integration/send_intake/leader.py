"""A process that stands for send-intake's relay and ticks its clock: `leader.py DATABASE_URL BOOTSTRAP`."""

import asyncio
import sys

from kernel import kafka, log, runner
from kernel.relay import Relay
from send_intake.store_clock import CAMPAIGNS, Clock

INTERVAL_MS = 50


def relay_with_clock(database_url: str, bootstrap: str, partitions: int) -> tuple[Relay, Clock, kafka.Watcher]:
    """As `send_intake.__main__` puts them together."""
    watcher = kafka.Watcher(bootstrap)
    clock = Clock(bootstrap, watcher, partitions, INTERVAL_MS)
    relay = Relay(
        database_url, "send_intake", bootstrap, asyncio.Event(), on_round=clock.tick, poll_s=INTERVAL_MS / 1000
    )
    return relay, clock, watcher


async def main(stop: runner.Stop) -> None:
    database_url, bootstrap = sys.argv[1:]
    log.configure("leader")
    _, partitions = await kafka.describe(bootstrap, [CAMPAIGNS])
    relay, _, watcher = relay_with_clock(database_url, bootstrap, partitions[CAMPAIGNS])
    await runner.together(stop, relay.run())
    await watcher.stop()


if __name__ == "__main__":
    runner.run(main)
