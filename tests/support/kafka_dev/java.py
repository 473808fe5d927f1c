"""A Kafka broker in a JVM of its own, with jars that Maven fetches once into the user's cache."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from tests.support.kafka_dev.broker import (
    KAFKA_VERSION,
    START_LIMIT_S,
    STOP_LIMIT_S,
    CannotStartKafka,
    DevBroker,
    ProxyPorts,
    answers,
    settings_of,
    wait_until_it_answers,
)
from tests.support.ports import free_port

_SLF4J_VERSION = "1.7.36"
_FETCH_LIMIT_S = 600.0
_BROKER = "kafka_2.13"
_HEAP_MB = 384
_PR_SET_PDEATHSIG = 1

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>picturematch</groupId><artifactId>kafka-dev</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId><version>{kafka}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{slf4j}</version></dependency>
  </dependencies>
</project>
"""


class JavaBroker:
    """Kafka in a JVM of its own."""

    def __init__(self, java: str, jars: Path, folder: Path, port: int, proxy: ProxyPorts | None) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self.proxy = proxy
        self._port = port
        self._folder = folder
        self._java = [java, f"-Xmx{_HEAP_MB}m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._java += ["-cp", f"{jars}{os.sep}*"]
        self._properties = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel ends the broker with the thread that started it, so that has to be one which stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="kafka-dev")

    def start(self) -> None:
        """Format the data folder if it is new, then run."""
        if self._properties.exists():
            kept = self._properties.read_text("utf-8")  # with the controller's port, which is in its data too
            self._properties.write_text(re.sub(r"PLAINTEXT://127.0.0.1:\d+", f"PLAINTEXT://{self.bootstrap}", kept))
        else:
            self._format()
        self._process = self._starter.submit(self._run).result()
        wait_until_it_answers(self._port, lambda: self._process is None or self._process.poll() is not None)

    def _run(self) -> subprocess.Popen[bytes]:
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _format(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = settings_of(self._port, free_port(), "127.0.0.1", self.proxy) | {
            "log.dirs": str(self._folder / "data")
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), "utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatted = subprocess.run(
            [
                *self._java,
                *("kafka.tools.StorageTool", "format", "--standalone"),
                # An id may begin with a dash, which must not be read as an option.
                *(f"--cluster-id={cluster}", "-c", str(self._properties)),
            ],
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
        if formatted.returncode:
            self._properties.unlink()
            raise CannotStartKafka(f"Kafka's data folder could not be formatted: {formatted.stderr.strip()[-500:]}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it takes too long."""
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP to its process group."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to its process group."""
        self._signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it answers now."""
        return self._process is not None and answers(self._port)

    def kill(self) -> None:
        """SIGKILL to its process group."""
        self._signal(signal.SIGKILL)
        process, self._process = self._process, None
        if process is not None:
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def java_broker(port: int, folder: Path, proxy: ProxyPorts | None) -> DevBroker | None:
    found = java_and_jars()
    return None if found is None else JavaBroker(*found, folder, port, proxy)


def java_and_jars(artifact: str = _BROKER) -> tuple[str, Path] | None:
    """The program java and the folder of Kafka's jars, fetched if they are not there; None without Java or Maven.

    `artifact`: the part of Kafka that is wanted, with everything that it needs.

    Raises:
        CannotStartKafka: Maven could not fetch the jars.
    """
    java, maven = shutil.which("java"), shutil.which("mvn")
    folder = f"kafka-{KAFKA_VERSION}" if artifact == _BROKER else f"{artifact}-{KAFKA_VERSION}"
    jars = user_cache_path("picturematch") / folder
    if java is None or (maven is None and not jars.exists()):
        return None
    if not jars.exists() and maven is not None:
        _fetch_jars(maven, jars, artifact)
    return java, jars


def _fetch_jars(maven: str, jars: Path, artifact: str) -> None:
    """Into a folder beside it first, so that a half-fetched set is never taken for a whole one."""
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-") as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_POM.format(artifact=artifact, kafka=KAFKA_VERSION, slf4j=_SLF4J_VERSION), "utf-8")
        fetched = subprocess.run(
            [
                *(maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"),
                *("-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"),
            ],
            capture_output=True,
            text=True,
            timeout=_FETCH_LIMIT_S,
            check=False,
        )
        if fetched.returncode:
            raise CannotStartKafka(f"Maven could not fetch Kafka {KAFKA_VERSION}: {fetched.stdout.strip()[-500:]}")
        with suppress(OSError):  # somebody else may have been faster
            (Path(scratch) / "jars").rename(jars)


def _die_with_parent() -> None:
    """Linux: have the kernel end the broker when whoever started it ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
