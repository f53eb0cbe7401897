"""send-intake: people -> campaigns · recipients · processed · clock."""

import asyncio
from typing import Any

from kernel import database, health, kafka, log, runner, steps
from kernel.relay import Relay
from kernel.revocations import Revocations
from kernel.settings import load
from kernel.vault import open_vault
from kernel.web import ahead_of

from send_intake import store_clock, store_presses
from send_intake.api import build_api, hot_routes
from send_intake.api_cookie import CookieDoor
from send_intake.app_access import Access
from send_intake.app_passwords import Passwords
from send_intake.app_replay import OWN
from send_intake.gateway_oidc import OidcIssuer
from send_intake.settings import Settings
from send_intake.store_clock import CAMPAIGNS, CLOCK, Clock
from send_intake.store_presses import Presses
from send_intake.store_tries import Tries

SERVICE = "send-intake"
SCHEMA = "send_intake"


async def main(stop: runner.Stop) -> None:
    settings = load(Settings)
    log.configure(SERVICE, settings.log_level)
    steps.watch(SERVICE, settings.steps_dir)
    await database.migrate(settings.database_url, SCHEMA, SCHEMA)
    pool = await database.open_pool(settings.database_url, SCHEMA, max_size=16)
    pool_of_presses = await store_presses.open_pool(settings.database_url, SCHEMA)
    vault = await open_vault(settings.vault_url, SCHEMA, settings.vault_keys)
    _, partitions = await kafka.when_there(settings.kafka_bootstrap, [CAMPAIGNS, CLOCK])
    wake_relay = asyncio.Event()
    watcher = kafka.Watcher(settings.kafka_bootstrap)
    clock = Clock(settings.kafka_bootstrap, watcher, partitions[CAMPAIGNS], settings.clock_interval_ms)
    relay = Relay(
        settings.database_url,
        SCHEMA,
        settings.kafka_bootstrap,
        wake_relay,
        on_round=clock.tick,
        poll_s=settings.clock_interval_ms / 1000,
        followed=OWN,
    )
    presses = Presses(pool_of_presses, vault, wake_relay)
    probes = health.Health(pool, health.Inputs(()), settings.kafka_bootstrap, also=lambda: _figures(pool, relay))
    access = _access(pool, settings, wake_relay)
    api = build_api(pool, vault, settings, presses, access, wake_relay, probes.ready, probes.status)
    await runner.together(
        stop,
        runner.serve(
            CookieDoor(ahead_of(api, hot_routes()), settings.token_key), settings.bind_host, settings.intake_port
        ),
        access.revocations.run(),
        relay.run(),
        presses.run(),
    )
    await api.state.forwarder.close()
    if access.issuer is not None:
        await access.issuer.close()
    await probes.close()
    await watcher.stop()
    await vault.close()
    await pool_of_presses.close()
    await pool.close()


def _access(pool: database.Pool, settings: Settings, wake_relay: asyncio.Event) -> Access:
    return Access(
        pool,
        settings.token_key,
        Revocations(settings.kafka_bootstrap),
        wake_relay,
        Passwords(),
        Tries(pool, settings.token_key),
        OidcIssuer.of(settings),
    )


async def _figures(pool: database.Pool, relay: Relay) -> dict[str, Any]:
    return {"relay_leads": relay.leading, **await store_clock.state(pool)}


if __name__ == "__main__":
    runner.run(main)
