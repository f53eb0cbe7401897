"""Where the stack is: `handsent up` writes it down in HANDSENT_HOME/stack.json, the other commands read it."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from kernel.settings import load

from handsent import credentials
from handsent.settings import FOLLOWS, StackSettings, explicit, service_environment
from handsent.supervisor import Watched

NAMES_A_STACK = {"DATABASE_URL", "KAFKA_BOOTSTRAP", "INTAKE_URL"}


class NoStack(click.ClickException):
    """Nothing to work against; ends a command with 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class PartState:
    """What the supervisor knows of a part."""

    name: str
    pid: int | None
    port: int
    state: str
    restarts: int = 0
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack to work against. `pid` is its supervisor's, None when only the settings name it (a deployment)."""

    home: Path
    pid: int | None
    settings: dict[str, str] = field(repr=False)
    parts: tuple[PartState, ...] = ()

    def setting(self, name: str) -> str:
        """The value the services run with. Raises NoStack when the command needs one that nobody gave."""
        if not self.settings.get(name):
            raise NoStack(f"this needs the setting {name}")
        return self.settings[name]

    @property
    def database_url(self) -> str:
        return self.setting("DATABASE_URL")

    @property
    def kafka_bootstrap(self) -> str:
        return self.setting("KAFKA_BOOTSTRAP")

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.settings[name] for name in FOLLOWS if name in self.settings}


def current_stack() -> Stack:
    """The stack that runs in HANDSENT_HOME, with every setting that is set taking precedence; else the one the settings
    name. Raises NoStack when there is neither."""
    settings = load(StackSettings)
    home = settings.handsent_home.expanduser().resolve()
    running = read(home)
    if running is not None:
        given = {name: value for name, value in explicit(settings).items() if name != "HANDSENT_HOME"}
        return Stack(home, running.pid, running.settings | given, running.parts)
    if not NAMES_A_STACK & explicit(settings).keys():
        raise NoStack(f"no stack runs in {home}: start one with `make run`, or name one with DATABASE_URL and the like")
    secrets = credentials.load(home) if (home / "secrets.json").exists() else {}
    return Stack(home, None, service_environment(settings, home, secrets))


def write(home: Path, settings: dict[str, str], watched: list[Watched]) -> None:
    """Replaces stack.json; only its owner may read it, for the settings have secrets."""
    about = {
        "pid": os.getpid(),
        "started": start_ticks(os.getpid()),
        "kafka_bootstrap": settings.get("KAFKA_BOOTSTRAP"),
        "database_url": settings.get("DATABASE_URL"),
        "urls": {name: settings[name] for name in FOLLOWS if name in settings},
        "parts": [asdict(_state(one)) for one in watched],
        "settings": settings,
    }
    credentials.write_private(home / "stack.json", json.dumps(about, indent=2) + "\n")


def _state(one: Watched) -> PartState:
    pid = one.process.pid if one.process and one.process.poll() is None else None
    return PartState(one.part.name, pid, one.part.port, one.state.value, one.restarts, one.started_at)


def read(home: Path) -> Stack | None:
    """The stack whose supervisor lives, or None: a file that a kill -9 left behind names a pid that means nothing."""
    try:
        about: dict[str, Any] = json.loads((home / "stack.json").read_text())
    except FileNotFoundError:
        return None
    if start_ticks(about["pid"]) != about["started"]:
        return None
    return Stack(home, about["pid"], about["settings"], tuple(PartState(**part) for part in about["parts"]))


def forget(home: Path) -> None:
    (home / "stack.json").unlink(missing_ok=True)


def start_ticks(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot: with the pid it names one process for good."""
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def without_password(url: str) -> str:
    """The address of a database as it may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, user + host, parts.path, "", ""))
