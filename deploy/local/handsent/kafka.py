"""The embedded Kafka: a real broker of one node that is its own controller, run from jars."""

import base64
import socket
import string
import struct
import subprocess
import uuid
from pathlib import Path
from types import TracebackType

from handsent import leftovers, ports
from handsent.java import java
from handsent.part import Part, PartError, start, stop

CHECKOUT = Path(__file__).parents[3]
TEMPLATES = CHECKOUT / "deploy" / "local" / "kafka"
LIB = CHECKOUT / ".kafka" / "lib"
# 230 MB in all: a small heap, one garbage-collecting thread, no optimising compiler; it serves 90k records/s like that.
MEMORY = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:MaxDirectMemorySize=128m")
METADATA_API, METADATA_VERSION = 3, 4


class EmbeddedKafka:
    """One broker: data in `home`, jars in `lib`. `start` and `stop` are for tests; the supervisor runs `part`."""

    def __init__(self, home: Path, lib: Path = LIB, extra_java: tuple[str, ...] = ()) -> None:
        if not any(lib.glob("kafka_2.13-*.jar")):
            raise PartError(f"Kafka's jars are not in {lib}: run `make setup`, or set KAFKA_BOOTSTRAP")
        self.home = home.resolve()
        self.folder = self.home / "kafka"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lib = lib.resolve()
        self.extra_java = extra_java
        chosen = ports.reserve(self.home, ["kafka", "kafka_controller"])
        self.port, self.controller_port = chosen["kafka"], chosen["kafka_controller"]
        self.java = java()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{ports.LOCALHOST}:{self.port}"

    def part(self) -> Part:
        return Part(
            name="kafka",
            home=self.home,
            argv=self._command("kafka.Kafka", str(self.folder / "server.properties")),
            port=self.port,
            ready=lambda: has_broker(self.port),
            prepare=self.prepare,
            layer=1,
        )

    def prepare(self) -> None:
        """Writes the configuration, and formats the data folder before its first use."""
        leftovers.end(self.home, "kafka")
        template = string.Template((TEMPLATES / "server.properties").read_text())
        values = {"port": self.port, "controller_port": self.controller_port, "data": _escaped(self.folder / "data")}
        (self.folder / "server.properties").write_text(template.substitute(values))
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", "--standalone", f"--cluster-id={cluster}", "-c", str(self.folder / "server.properties"))
        done = subprocess.run(
            self._command("kafka.tools.StorageTool", *arguments), capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise PartError(f"kafka: the data folder could not be formatted: {(done.stderr or done.stdout).strip()}")

    def _command(self, main_class: str, *arguments: str) -> tuple[str, ...]:
        archive = self.lib.parent / "kafka.jsa"  # parsed classes: saves a second of every start; see kafka_jars
        shared = (f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off") if archive.exists() else ()
        logging = f"-Dlog4j2.configurationFile={(TEMPLATES / 'log4j2.properties').as_uri()}"
        classes = ("-cp", f"{self.lib}/*")
        return (self.java, *MEMORY, *shared, *self.extra_java, logging, *classes, main_class, *arguments)

    def start(self) -> str:
        self.process = start(self.part())
        return self.bootstrap

    def stop(self) -> None:
        if self.process is not None:
            stop(self.part(), self.process)
            self.process = None

    def __enter__(self) -> "EmbeddedKafka":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _escaped(path: Path) -> str:
    """A path as the value of a Java property; Kafka also splits `log.dirs` at commas."""
    if "," in str(path):
        raise PartError(f"Kafka keeps no data in a path with a comma: set HANDSENT_HOME to another place than {path}")
    return str(path).replace("\\", "\\\\")


def has_broker(port: int) -> bool:
    """True once the broker answers a metadata request with itself in it; its port is open a little earlier."""
    request = struct.pack("!hhihib", METADATA_API, METADATA_VERSION, 0, -1, 0, 0)  # id 0, no client name, no topics
    try:
        with socket.create_connection((ports.LOCALHOST, port), timeout=1) as connection:
            connection.sendall(struct.pack("!i", len(request)) + request)
            answer = connection.recv(16, socket.MSG_WAITALL)  # length, id, throttle, number of brokers
    except OSError:
        return False
    return len(answer) == 16 and struct.unpack("!iiii", answer)[3] > 0
