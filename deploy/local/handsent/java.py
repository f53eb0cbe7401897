"""The Java that runs Kafka: found, and new enough, or one line that says what is missing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from handsent.part import PartError

OLDEST = 17
HINT = "install a JDK 17 or newer (Debian: openjdk-17-jdk-headless), or set JAVA_HOME"


def java() -> str:
    """The path of a `java` that can run Kafka: the one in JAVA_HOME, else the first on the PATH."""
    home = os.environ.get("JAVA_HOME")
    wanted = str(Path(home, "bin", "java")) if home else "java"
    path = shutil.which(wanted)
    if path is None:
        raise PartError(f"Kafka needs Java {OLDEST} or newer, and there is no {wanted}: {HINT}")
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    major = major_version(said)
    if major < OLDEST:
        what = f"is Java {major}" if major else "does not run"
        raise PartError(f"Kafka needs Java {OLDEST} or newer, and {path} {what}: {HINT}")
    return path


def major_version(said: str) -> int:
    """17 from `openjdk version "17.0.15"`, 8 from the old way of counting, `"1.8.0_402"`; 0 when there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0
