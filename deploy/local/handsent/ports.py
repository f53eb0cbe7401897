"""Which TCP ports of 127.0.0.1 the embedded servers take: free ones, and the same ones again after a restart."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

LOCALHOST = "127.0.0.1"
# Below Linux's ephemeral ports (32768 up): there, any outgoing connection could take a server's port while it restarts.
CANDIDATES = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """True when a server could listen on the port now. Connections in TIME_WAIT do not count, as for the server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def reserve(home: Path, names: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
    """A port per name, remembered in the home and kept for as long as nobody else listens on it."""
    path = home / "ports.json"
    ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        if name not in ports or ports[name] in taken or not is_free(ports[name]):
            ports[name] = pick({*ports.values(), *taken})
    path.write_text(json.dumps(ports))
    return {name: ports[name] for name in names}


def pick(taken: set[int]) -> int:
    """A free port that is not among those taken."""
    # Random, so that two checkouts that start at the same time do not pick the same.
    for port in random.sample(CANDIDATES, len(CANDIDATES)):
        if port not in taken and is_free(port):
            return port
    raise OSError("no free TCP port on 127.0.0.1 between 20000 and 32000")
