"""The parts that speak HTTP: the carrier simulator and the four services."""

import http.client
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from handsent import leftovers, ports
from handsent.part import Part, PartError

SIMULATOR_LAYER, SERVICE_LAYER = 2, 3


@dataclass(frozen=True, slots=True)
class Service:
    """A Python module that serves HTTP on the port its setting gives."""

    name: str
    module: str
    port_setting: str
    probe: str = "/readyz"
    layer: int = SERVICE_LAYER


SERVICES = (
    Service("simulator", "simulator", "CARRIER_PORT", "/healthz", SIMULATOR_LAYER),
    Service("send-intake", "send_intake", "INTAKE_PORT"),
    Service("scheduler", "scheduler", "SCHEDULER_PORT"),
    Service("dispatcher", "dispatcher", "DISPATCHER_PORT"),
    Service("projections", "projections", "PROJECTIONS_PORT"),
)


def service_parts(home: Path, environment: Mapping[str, str], services: Iterable[Service] = SERVICES) -> list[Part]:
    """A part per service; each runs as the settings in `environment` say."""
    return [_part(home, environment, service) for service in services]


def _part(home: Path, environment: Mapping[str, str], service: Service) -> Part:
    port = int(environment[service.port_setting])
    return Part(
        name=service.name,
        home=home,
        argv=(sys.executable, "-P", "-m", service.module),  # -P: no module is taken from the current folder
        port=port,
        ready=lambda: answers(port, service.probe),
        prepare=lambda: claim(home, service, port),
        env=environment,
        layer=service.layer,
    )


def claim(home: Path, service: Service, port: int) -> None:
    """Raises PartError while somebody else has the port: their answers to our probe would pass for the service's."""
    leftovers.end(home, service.name)
    if not ports.is_free(port):
        raise PartError(f"{service.port_setting}: port {port} is in use by somebody else")


def answers(port: int, path: str, timeout_s: float = 2.0) -> bool:
    """True when GET of the path says 200."""
    connection = http.client.HTTPConnection(ports.LOCALHOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
