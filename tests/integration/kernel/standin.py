"""A service that writes down what it was given: `standin.py faust|plain DATABASE_URL BOOTSTRAP TOPIC [DEAF_S]`.

For DEAF_S seconds nobody tells it which partitions the topic has, as when the broker dies just then.
"""

import asyncio
import sys
import time
from typing import Any

from aiokafka.client import AIOKafkaClient
from kernel import consumer, database, faust_app, health, log, runner
from kernel.batch import BatchLoop

from tests.integration.kernel.ledger import SCHEMA, keep

# A peer that died or froze is noticed after this, so that a test need not wait for 10 s.
faust_app.SESSION_TIMEOUT_S = consumer.SESSION_TIMEOUT_S = 2.0
faust_app.STOPPED_POLL_S, consumer.POLL_MS = 0.2, 200


async def main(stop: runner.Stop) -> None:
    way, database_url, bootstrap, topic, *deaf_s = sys.argv[1:]
    log.configure("standin")
    pool = await database.open_pool(database_url, SCHEMA)
    await health.bind_inputs(pool, bootstrap, [topic])
    if deaf_s:
        _deafen(topic, time.monotonic() + float(deaf_s[0]))
    loop = BatchLoop(pool, keep, asyncio.Event())
    service = f"standin-{topic}"
    if way == "faust":
        consuming = runner.serve_faust(faust_app.build_app(service, bootstrap, [topic], loop))
    else:
        consuming = consumer.consume(service, bootstrap, [topic], loop)
    await runner.together(stop, consuming)
    await pool.close()


def _deafen(topic: str, until: float) -> None:
    heard = AIOKafkaClient._metadata_update

    async def hears(self: AIOKafkaClient, cluster: Any, topics: Any) -> bool:
        lost = topic in (topics or ()) and time.monotonic() < until
        return False if lost else bool(await heard(self, cluster, topics))

    AIOKafkaClient._metadata_update = hears


if __name__ == "__main__":
    runner.run(main)
