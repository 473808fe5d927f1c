"""A single Kafka broker for tests and for a developer's machine; not for production.

Found in this order: a Docker engine (the image apache/kafka, through testcontainers), or Java 17 and Maven, which
fetches Kafka's jars once into the user's cache. It listens on a free port of the loopback interface, keeps its data in
a folder, and dies with the process that started it.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from platformdirs import user_cache_path

KAFKA_VERSION = "4.1.1"
_SLF4J_VERSION = "1.7.36"
_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_FETCH_LIMIT_S = 600.0
_HEAP_MB = 384
_PR_SET_PDEATHSIG = 1
_DOCKER_SOCKETS = (Path("/var/run/docker.sock"), Path.home() / ".docker/run/docker.sock")

HOW_TO_GET_ONE = (
    "a Kafka broker is needed: set KAFKA_BOOTSTRAP=host:port to one that may be used for tests,"
    " or start a Docker engine (with the Python package testcontainers installed), or install Java 17 and Maven"
)

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>picturematch</groupId><artifactId>kafka-dev</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{slf4j}</version></dependency>
  </dependencies>
</project>
"""


class CannotStartKafka(Exception):
    """There is no way to start a broker here, or it did not start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ProxyPorts:
    """A second listener, for clients that come through a proxy on this machine.

    The broker listens on `behind` and tells whoever asks there to come to `front`, where the proxy has to listen.
    """

    front: int
    behind: int


class DevBroker(Protocol):
    """A broker that was started here; `bootstrap` and `proxy` stay the same over `stop` and `start`."""

    bootstrap: str
    proxy: ProxyPorts | None

    def start(self) -> None:
        """Start it on the data it had, and return once it answers."""
        ...

    def stop(self) -> None:
        """Stop it in an orderly way."""
        ...

    def kill(self) -> None:
        """Stop it as a power cut would."""
        ...

    def answers(self) -> bool:
        """Whether it is running and answers."""
        ...


@contextmanager
def dev_kafka(port: int = 0, folder: Path | None = None, *, proxied: bool = False) -> Iterator[DevBroker]:
    """A running broker, stopped at the end. Port 0 takes a free one; without a folder its data is thrown away.

    A `proxied` broker has a second listener, for clients that come through a proxy (`DevBroker.proxy`).

    Raises:
        CannotStartKafka: there is neither Docker nor Java, or it does not start.
    """
    port = port or _free_port()
    proxy = ProxyPorts(_free_port(), _free_port()) if proxied else None
    with tempfile.TemporaryDirectory(prefix="picturematch-kafka-", ignore_cleanup_errors=True) as scratch:
        broker = _docker_broker(port, proxy) or _java_broker(port, folder or Path(scratch), proxy)
        if broker is None:
            raise CannotStartKafka(HOW_TO_GET_ONE)
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


def _settings(port: int, controller_port: int, host: str, proxy: ProxyPorts | None) -> dict[str, str]:
    """A broker that is its own controller, with everything in one copy and groups that begin at once."""
    listens, tells = f"PLAINTEXT://{host}:{port}", f"PLAINTEXT://127.0.0.1:{port}"
    if proxy is not None:
        listens += f",PROXIED://{host}:{proxy.behind}"
        tells += f",PROXIED://127.0.0.1:{proxy.front}"
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": f"{listens},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": tells,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",  # how long a killed one is kept from coming back
        "default.replication.factor": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "log.initial.task.delay.ms": "1000",
        "log.cleaner.backoff.ms": "500",
        "log.cleaner.dedupe.buffer.size": "16777216",  # the usual 128 MiB are a third of the heap
        "num.network.threads": "2",
        "num.io.threads": "4",
        "offsets.retention.minutes": "20160",  # longer than requests are kept
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
    }


class _JavaBroker:
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
        _wait_until_it_answers(self._port, lambda: self._process is None or self._process.poll() is not None)

    def _run(self) -> subprocess.Popen[bytes]:
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the java that was found, with arguments made here
                [*self._java, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _format(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = _settings(self._port, _free_port(), "127.0.0.1", self.proxy) | {
            "log.dirs": str(self._folder / "data")
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), "utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatted = subprocess.run(  # noqa: S603 - as above
            [
                *self._java,
                *("kafka.tools.StorageTool", "format", "--standalone"),
                # An id may begin with a dash, which must not be read as an option.
                *(f"--cluster-id={cluster}", "-c", str(self._properties)),
            ],
            capture_output=True,
            text=True,
            timeout=_START_LIMIT_S,
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
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def answers(self) -> bool:
        """Whether it answers now."""
        return self._process is not None and _answers(self._port)

    def kill(self) -> None:
        """SIGKILL to its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _DockerBroker:
    """Kafka in a container."""

    def __init__(self, container: Any, port: int, proxy: ProxyPorts | None) -> None:
        self.bootstrap = f"127.0.0.1:{port}"
        self.proxy = proxy
        self._container = container
        self._port = port
        self._made = False

    def start(self) -> None:
        """Make the container the first time, start it again afterwards."""
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._made = True
        _wait_until_it_answers(self._port, lambda: False)

    def stop(self) -> None:
        """Stop the container and keep it."""
        self._container.get_wrapped_container().stop(timeout=int(_STOP_LIMIT_S))

    def answers(self) -> bool:
        """Whether it answers now."""
        return self._made and _answers(self._port)

    def kill(self) -> None:
        """Remove the container."""
        if self._made:
            self._made = False
            self._container.stop(force=True)


def _docker_listens() -> bool:
    """Asked first, since the Docker client does not clean up after itself where there is no engine."""
    if os.environ.get("DOCKER_HOST"):
        return True
    for path in _DOCKER_SOCKETS:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(path))
            return True
    return False


def _docker_broker(port: int, proxy: ProxyPorts | None) -> DevBroker | None:
    if not _docker_listens():
        return None
    try:
        import docker  # neither is a dependency of the package: whoever has them can use them
        from testcontainers.core.container import DockerContainer

        docker.from_env(timeout=5).ping()
    except Exception:  # noqa: BLE001 - whatever is wrong with Docker, there is another way
        return None
    container = DockerContainer(_IMAGE).with_bind_ports(port, port)
    if proxy is not None:
        container = container.with_bind_ports(proxy.behind, proxy.behind)
    controller = port + 1 if port < 65535 else port - 1
    for name, value in _settings(port, controller, "0.0.0.0", proxy).items():  # noqa: S104 - inside the container
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    return _DockerBroker(container, port, proxy)


def _java_broker(port: int, folder: Path, proxy: ProxyPorts | None) -> DevBroker | None:
    java, maven = shutil.which("java"), shutil.which("mvn")
    jars = user_cache_path("picturematch") / f"kafka-{KAFKA_VERSION}"
    if java is None or (maven is None and not jars.exists()):
        return None
    if not jars.exists() and maven is not None:
        _fetch_jars(maven, jars)
    return _JavaBroker(java, jars, folder, port, proxy)


def _fetch_jars(maven: str, jars: Path) -> None:
    """Into a folder beside it first, so that a half-fetched set is never taken for a whole one."""
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-") as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_POM.format(kafka=KAFKA_VERSION, slf4j=_SLF4J_VERSION), "utf-8")
        fetched = subprocess.run(  # noqa: S603 - the maven that was found, with arguments made here
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


def _wait_until_it_answers(port: int, has_ended: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < until_s:
        if has_ended():
            raise CannotStartKafka("the Kafka broker ended while it was starting: is its port or its folder in use?")
        if _answers(port):
            return
        time.sleep(0.1)
    raise CannotStartKafka(f"the Kafka broker did not answer within {_START_LIMIT_S:.0f} seconds")


def _answers(port: int) -> bool:
    """Whether an ApiVersions request (key 18, version 0) gets an answer: an open port alone says little."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment_bootstrap(environment: Mapping[str, str]) -> str | None:
    """The broker that the environment names, if any."""
    return environment.get("KAFKA_BOOTSTRAP") or None
