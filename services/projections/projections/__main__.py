"""projections: every topic -> progress, report, timeline."""

import asyncio

from kernel import database, health, log, runner, steps
from kernel.consumer import consume
from kernel.revocations import Revocations
from kernel.settings import load
from kernel.vault import open_vault

from projections import api
from projections.api_report import Reports
from projections.api_stream import Feeds
from projections.app import TOPICS, PacedLoop, handle
from projections.app_clock import Clock
from projections.app_log import EventLog
from projections.settings import Settings

SERVICE = "projections"


async def main(stop: runner.Stop) -> None:
    settings = load(Settings)
    log.configure(SERVICE, settings.log_level)
    steps.watch(SERVICE, settings.steps_dir)
    await database.migrate(settings.database_url, SERVICE, SERVICE)
    pool = await database.open_pool(settings.database_url, SERVICE, max_size=12)
    vault = await open_vault(settings.vault_url, SERVICE, settings.vault_keys)
    inputs = await health.bind_inputs(pool, settings.kafka_bootstrap, TOPICS)
    batches = PacedLoop(pool, handle, asyncio.Event())
    revocations = Revocations(settings.kafka_bootstrap)
    clock, events = Clock(settings.kafka_bootstrap), EventLog(settings.kafka_bootstrap)
    feeds, reports = Feeds(pool, clock), Reports(pool, vault, settings.report_spool_bytes)
    probes = health.Health(pool, inputs, settings.kafka_bootstrap)
    reading = api.Reading(pool, vault, feeds, reports, events, clock)
    web = api.build(pool, reading, settings.token_key, revocations, probes.ready, probes.status)
    await runner.together(
        stop,
        runner.serve(web, settings.bind_host, settings.projections_port),
        consume(SERVICE, settings.kafka_bootstrap, TOPICS, batches),
        clock.run(),
        feeds.run(),
        reports.run(),
        revocations.run(),
    )
    await events.stop()
    await probes.close()
    await vault.close()
    await pool.close()


if __name__ == "__main__":
    runner.run(main)
