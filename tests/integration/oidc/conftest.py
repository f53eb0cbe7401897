"""send-intake with a real issuer beside it, both for all tests of a file."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.integration.access.conftest import own_database as own_database
from tests.integration.access.world import Door, Services, free_port
from tests.integration.oidc.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Issuer


@pytest.fixture(scope="module")
def services(own_database: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Services:
    known = {"OIDC_CLIENT_ID": CLIENT_ID, "OIDC_CLIENT_SECRET": CLIENT_SECRET, "OIDC_AUDIENCE": AUDIENCE}
    return Services(tmp_path_factory.mktemp("services"), own_database, kafka, **known)


@pytest.fixture(scope="module")
def issuer(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    log = tmp_path_factory.mktemp("issuer") / "issuer.log"
    issuer = Issuer(free_port(), f"{services.url}/oidc/callback", log)
    services.settings["OIDC_ISSUER"] = issuer.url
    try:
        issuer.start()
        services.start("send_intake")
        yield issuer
    finally:
        services.stop()
        issuer.stop()


@pytest.fixture
async def door(issuer: Issuer, services: Services) -> AsyncIterator[Door]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Door(services, http)
