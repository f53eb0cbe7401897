"""scheduler: campaigns · processed · clock -> releases."""

import asyncio

from kernel import database, health, log, runner, steps
from kernel.batch import BatchLoop
from kernel.faust_app import build_app
from kernel.relay import Relay
from kernel.settings import load
from kernel.web import create_api

from scheduler.app import TOPICS, Scheduler
from scheduler.settings import Settings
from scheduler.store import outlook

SERVICE = "scheduler"


async def main(stop: runner.Stop) -> None:
    settings = load(Settings)
    log.configure(SERVICE, settings.log_level)
    steps.watch(SERVICE, settings.steps_dir)
    await database.migrate(settings.database_url, SERVICE, SERVICE)
    pool = await database.open_pool(settings.database_url, SERVICE, max_size=8)
    inputs = await health.bind_inputs(pool, settings.kafka_bootstrap, TOPICS)
    wake_relay = asyncio.Event()
    scheduler = Scheduler(pool, wake_relay, settings.release_chunk)
    batches = BatchLoop(pool, scheduler.handle, wake_relay, scheduler.committed)
    faust_app = build_app(SERVICE, settings.kafka_bootstrap, TOPICS, batches)
    relay = Relay(settings.database_url, SERVICE, settings.kafka_bootstrap, wake_relay)
    probes = health.Health(pool, inputs, settings.kafka_bootstrap, also=lambda: outlook(pool))
    api = create_api("Handsent scheduler", settings.token_key, probes.ready, probes.status)
    await runner.together(
        stop,
        runner.serve(api, settings.bind_host, settings.scheduler_port),
        runner.serve_faust(faust_app),
        relay.run(),
        scheduler.run(),
    )
    await probes.close()
    await pool.close()


if __name__ == "__main__":
    runner.run(main)
