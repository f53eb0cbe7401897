"""dispatcher: campaigns · releases ◄──► carrier -> dispatches · receipts · opt-outs."""

import asyncio

from kernel import database, health, log, runner, steps
from kernel.batch import BatchLoop
from kernel.faust_app import build_app
from kernel.relay import Relay
from kernel.revocations import Revocations
from kernel.settings import load
from kernel.vault import open_vault

from dispatcher import api, store, store_budgets
from dispatcher.api_persons import Persons
from dispatcher.app import TOPICS, Dispatcher
from dispatcher.app_connections import Connections
from dispatcher.app_intents import Intents
from dispatcher.app_lanes import Lanes
from dispatcher.app_left import Left
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.app_replay import OWN
from dispatcher.attempt import PROVIDER
from dispatcher.flow import Bounds
from dispatcher.gateway import TwilioGateway
from dispatcher.routing import Routing
from dispatcher.settings import Settings
from dispatcher.store_replies import Sealer

SERVICE = store.SCHEMA


async def main(stop: runner.Stop) -> None:
    settings = load(Settings)
    log.configure(SERVICE, settings.log_level)
    steps.watch(SERVICE, settings.steps_dir)
    await database.migrate(settings.database_url, SERVICE, SERVICE)
    pool = await store.open_pool(settings.database_url)
    vault = await open_vault(settings.vault_url, SERVICE, settings.vault_keys)
    inputs = await health.bind_inputs(pool, settings.kafka_bootstrap, TOPICS)
    wake_relay = asyncio.Event()
    outcomes = Outcomes(pool, vault, wake_relay)
    revocations = Revocations(settings.kafka_bootstrap)
    relay = Relay(settings.database_url, SERVICE, settings.kafka_bootstrap, wake_relay, followed=OWN)
    # Owner and gateway outlive the rest: what has been taken is POSTed, and its outcome recorded, after the signal.
    async with Owner(settings.database_url) as owner, TwilioGateway.of(settings) as gateway:
        connections = Connections(settings.carrier_connections)
        bounds = Bounds(settings.carrier_connections, settings.breaker_failures, settings.breaker_pause_s)
        lanes = Lanes(pool, Routing(PROVIDER), bounds, settings.limits)
        await store_budgets.empty(pool, settings.limits)
        intents = Intents(pool, vault, owner, gateway, outcomes, settings, wake_relay, lanes, connections)
        left = Left(pool, owner, intents, outcomes, settings.unconfirmed_after_s)
        dispatcher = Dispatcher(Sealer(vault, settings.person_id_secret), lanes)
        batches = BatchLoop(pool, dispatcher.handle, wake_relay, dispatcher.committed)
        persons = Persons(pool, vault, wake_relay)
        probes = health.Health(pool, inputs, settings.kafka_bootstrap, also=lambda: api.depths(pool, lanes))
        await runner.together(
            stop,
            runner.serve(
                api.build(pool, vault, settings, probes, outcomes, persons, wake_relay, lanes, revocations),
                settings.bind_host,
                settings.dispatcher_port,
            ),
            runner.serve_faust(build_app(SERVICE, settings.kafka_bootstrap, TOPICS, batches)),
            revocations.run(),
            relay.run(),
            intents.run(),
            left.look(),
            left.sweep(),
            persons.keep_finishing(),
        )
    await vault.close()


if __name__ == "__main__":
    runner.run(main)
