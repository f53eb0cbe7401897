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
from dispatcher.app_inbox import Inbox
from dispatcher.app_intents import Intents
from dispatcher.app_lanes import Lanes
from dispatcher.app_late import look_for_late
from dispatcher.app_left import Left
from dispatcher.app_look_up import LookUps
from dispatcher.app_marks import Marks
from dispatcher.app_notices import Notices
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.app_parked import Parked
from dispatcher.app_replay import OWN
from dispatcher.flow import Bounds
from dispatcher.gateway_all import gateways_of
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
    inbox = Inbox(pool, vault, outcomes, settings, wake_relay)
    revocations = Revocations(settings.kafka_bootstrap)
    relay = Relay(settings.database_url, SERVICE, settings.kafka_bootstrap, wake_relay, followed=OWN)
    # Owner and gateway outlive the rest: what has been taken is POSTed, and its outcome recorded, after the signal.
    marks = Marks()
    async with Owner(settings.database_url, marks) as owner, gateways_of(settings, inbox) as gateways:
        connections = Connections(settings.carrier_connections)
        bounds = Bounds(settings.carrier_connections, settings.breaker_failures, settings.breaker_pause_s)
        lanes = Lanes(pool, gateways.routing, bounds, settings.limits)
        await store_budgets.empty(pool, settings.limits)
        intents = Intents(pool, vault, owner, marks, gateways, outcomes, settings, wake_relay, lanes, connections)
        parked = Parked(pool, vault, settings.person_id_secret, settings.default_region, wake_relay)
        look_ups = LookUps(pool, vault, gateways, outcomes, settings.look_up_s)
        left = Left(pool, owner, marks, intents, outcomes, settings)
        dispatcher = Dispatcher(Sealer(vault, settings.person_id_secret), lanes)
        batches = BatchLoop(pool, dispatcher.handle, wake_relay, dispatcher.committed)
        persons = Persons(pool, vault, wake_relay)
        notices = Notices(pool, vault, settings.answers, gateways, connections)
        probes = health.Health(pool, inputs, settings.kafka_bootstrap, also=lambda: api.depths(pool, lanes))
        await runner.together(
            stop,
            runner.serve(
                api.build(pool, vault, settings, probes, inbox, persons, wake_relay, lanes, revocations),
                settings.bind_host,
                settings.dispatcher_port,
            ),
            runner.serve_faust(build_app(SERVICE, settings.kafka_bootstrap, TOPICS, batches)),
            revocations.run(),
            relay.run(),
            intents.run(),
            left.look(),
            left.sweep(),
            look_for_late(pool, wake_relay),
            look_ups.run(),
            parked.look(),
            persons.keep_finishing(),
            notices.run(),
        )
    marks.close()
    await vault.close()


if __name__ == "__main__":
    runner.run(main)
