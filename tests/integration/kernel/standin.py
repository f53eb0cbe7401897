"""A service that writes down what it was given: `standin.py faust|plain DATABASE_URL BOOTSTRAP TOPIC`."""

import asyncio
import sys

from kernel import consumer, database, faust_app, health, log, runner
from kernel.batch import BatchLoop

from tests.integration.kernel.ledger import SCHEMA, keep

# A peer that died or froze is noticed after this, so that a test need not wait for 10 s.
faust_app.SESSION_TIMEOUT_S = consumer.SESSION_TIMEOUT_S = 2.0
faust_app.STOPPED_POLL_S, consumer.POLL_MS = 0.2, 200


async def main(stop: runner.Stop) -> None:
    way, database_url, bootstrap, topic = sys.argv[1:]
    log.configure("standin")
    pool = await database.open_pool(database_url, SCHEMA)
    await health.bind_inputs(pool, bootstrap, [topic])
    loop = BatchLoop(pool, keep, asyncio.Event())
    service = f"standin-{topic}"
    if way == "faust":
        consuming = runner.serve_faust(faust_app.build_app(service, bootstrap, [topic], loop))
    else:
        consuming = consumer.consume(service, bootstrap, [topic], loop)
    await runner.together(stop, consuming)
    await pool.close()


if __name__ == "__main__":
    runner.run(main)
