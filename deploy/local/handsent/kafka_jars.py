"""Sets up Kafka once: `python -m handsent.kafka_jars .kafka` fetches the jars and archives their classes.

Standard library only, so that it runs before there is a virtual environment, and a missing Java is said first.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from handsent.java import java
from handsent.kafka import TEMPLATES, EmbeddedKafka
from handsent.part import PartError


def fetch(lib: Path) -> None:
    """Downloads the jars of pom.xml with Maven, checksums checked; none are left over from another version."""
    maven = shutil.which("mvn")
    if maven is None:
        raise PartError("setting up Kafka needs Maven, and there is no mvn on the PATH: install it (Debian: maven)")
    new = lib.with_name("lib.new")
    shutil.rmtree(new, ignore_errors=True)
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={new}", "-DincludeScope=runtime")
    done = subprocess.run(
        [maven, "-B", "-q", "--strict-checksums", "-f", str(TEMPLATES / "pom.xml"), *goal],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        first = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stdout.strip()[:300])
        raise PartError(f"Maven could not fetch Kafka's jars: {first}")
    shutil.rmtree(lib, ignore_errors=True)
    new.rename(lib)


def archive(lib: Path) -> None:
    """Runs a broker once; on its way out the JVM writes the classes it loaded to kafka.jsa, parsed and checked."""
    target = lib.parent / "kafka.jsa"
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as home:
        EmbeddedKafka(Path(home), lib, (f"-XX:ArchiveClassesAtExit={target}", "-Xlog:cds=off")).__enter__().stop()
    if not target.exists():
        raise PartError(f"the JVM wrote no class archive to {target}")


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        java()
        fetch(folder / "lib")
        archive(folder / "lib")
    except PartError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
