"""scheduler: campaigns · processed · clock -> releases."""

import asyncio

from kernel import database, health, log, runner, steps
from kernel.batch import BatchLoop
from kernel.faust_app import build_app
from kernel.relay import Relay
from kernel.settings import load
from kernel.web import create_api

from scheduler.app import TOPICS, Scheduler
from scheduler.app_rebuild import OWN, rebuild
from scheduler.app_release import Releases
from scheduler.app_watch import Watch
from scheduler.lateness import Lateness
from scheduler.settings import Settings
from scheduler.store import SESSION

SERVICE = "scheduler"


async def main(stop: runner.Stop) -> None:
    settings = load(Settings)
    log.configure(SERVICE, settings.log_level)
    steps.watch(SERVICE, settings.steps_dir)
    await database.migrate(settings.database_url, SERVICE, SERVICE)
    pool = await database.open_pool(settings.database_url, SERVICE, 1, 8, **SESSION)
    inputs = await health.bind_inputs(pool, settings.kafka_bootstrap, TOPICS)
    await rebuild(settings.database_url, pool, settings.kafka_bootstrap)
    wake_relay, lateness = asyncio.Event(), Lateness()
    releases = Releases(pool, wake_relay, settings.release_chunk, lateness)
    scheduler = Scheduler(releases.go_on)
    watch = Watch(pool, lateness)
    batches = BatchLoop(pool, scheduler.handle, wake_relay, scheduler.committed)
    faust_app = build_app(SERVICE, settings.kafka_bootstrap, TOPICS, batches)
    relay = Relay(settings.database_url, SERVICE, settings.kafka_bootstrap, wake_relay, followed=[OWN])
    probes = health.Health(pool, inputs, settings.kafka_bootstrap, also=watch.status)
    api = create_api("Handsent scheduler", settings.token_key, probes.ready, probes.status)
    await runner.together(
        stop,
        runner.serve(api, settings.bind_host, settings.scheduler_port),
        runner.serve_faust(faust_app),
        relay.run(),
        releases.run(),
        watch.run(),
    )
    await probes.close()
    await pool.close()


if __name__ == "__main__":
    runner.run(main)
