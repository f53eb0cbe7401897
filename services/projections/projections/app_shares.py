"""The partitions dealt out to workers, which fold them at the same time."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import orjson
from kernel.offsets import Position

from projections.app_bulk import Share
from schemas.topics import TOPICS

BY_RECIPIENT = frozenset(name for name, topic in TOPICS.items() if topic.key == "recipient_id")


class WorkerLost(RuntimeError):
    """It ended without a word: killed, or out of memory."""


def deal(
    spans: Mapping[Position, tuple[int, int]], partitions: Mapping[str, int], workers: int
) -> list[dict[Position, tuple[int, int]]]:
    """A recipient is in the partition of the same number of every topic with as many partitions: numbers are dealt out.

    Topics that are keyed otherwise are left to the ordinary fold, and so are all if they were not made alike.
    """
    if len({partitions[topic] for topic in BY_RECIPIENT}) != 1:
        return []
    ours = {position: span for position, span in spans.items() if position[0] in BY_RECIPIENT and span[0] < span[1]}
    numbers = sorted({partition for _, partition in ours})
    dealt = (set(numbers[n::workers]) for n in range(workers))
    return [{p: span for p, span in sorted(ours.items()) if p[1] in some} for some in dealt if some]


async def fold_all(found: Iterable[Share], say: Callable[[int], None]) -> list[str]:
    """Folds the shares side by side; the reasons of those that stopped before their end. Raises WorkerLost."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_fold(share, say)) for share in found]
    return [why for task in tasks if (why := task.result())]


async def _fold(share: Share, say: Callable[[int], None]) -> str:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "projections.app_bulk", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdin is not None and worker.stdout is not None
    try:
        worker.stdin.write(orjson.dumps(asdict(share)) + b"\n")
        async for line in worker.stdout:
            told = orjson.loads(line)
            if "ended" in told:
                return str(told["ended"])
            say(told["events"])
        raise WorkerLost("a worker of the replay ended without a word")
    finally:
        worker.stdin.close()
        await worker.wait()
