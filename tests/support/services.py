"""The services of docker-compose.yml as plain processes, each on a host of its own.

They have the file's commands, environment, names, addresses, order and health checks, and a root file system that
cannot be written where the file says so. Of what only the images hold, stand-in models take the place of the networks,
and a look at Kafka's port that of Kafka's own script.
"""

import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.deployment import ROOT, compose, stages
from tests.support.hosts import Host, Networks
from tests.support.kafka_dev.java import java_and_jars
from tests.support.postgresql import as_user, new_cluster, programs_of_postgresql

_OTHERS = IPv4Network("172.30.68.0/24")
"""The network whose subnet the file leaves to the engine."""
_PATH = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STOP_SIGNALS = {"proxy": signal.SIGUSR1, "database": signal.SIGINT}
"""What the images of others ask for."""


@dataclass
class Replica:
    """One running process of a service."""

    host: Host
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    log: Path


@dataclass
class Services:
    """What runs."""

    file: Mapping[str, Any]
    networks: Networks
    folder: Path
    open_folder: Path
    """A folder that processes of other users reach."""
    replicas: dict[str, list[Replica]] = field(default_factory=dict)
    addresses: Iterator[int] = field(default_factory=lambda: iter(range(128, 255)))

    def start(self, name: str) -> None:
        """Start a service after those that it depends on, and wait until they are as it asks."""
        service = self.file["services"][name]
        for other, wanted in service.get("depends_on", {}).items():
            if other not in self.replicas:
                self.start(other)
            if wanted["condition"] == "service_healthy":
                self.wait_until_healthy(other)
            else:
                assert [one.process.wait(180) for one in self.replicas[other]] == [0], self.printed(other)
        count = service["deploy"].get("replicas", 1)
        self.replicas[name] = [self._replica(name, service, number) for number in range(count)]

    def wait_until_healthy(self, name: str) -> None:
        """Run the file's check beside each of the service's processes; AssertionError when one does not get healthy.

        A process has its start period and then as many checks in a row as an engine lets fail.
        """
        check = self.file["services"][name]["healthcheck"]
        within_s = _seconds(check["start_period"]) + check["retries"] * _seconds(check["interval"])
        for one in self.replicas[name]:
            deadline_s = time.monotonic() + within_s
            while (found := one.host.run(_checking(name, check), one.environment)).returncode:
                why = f"{(found.stdout + found.stderr).decode(errors='replace')}\n{self.printed(name)}"
                assert time.monotonic() < deadline_s, f"{name} does not get healthy: {why}"
                assert one.process.poll() is None, f"{name} ended: {why}"
                time.sleep(0.2)

    def stop(self, name: str) -> None:
        """End the service's processes as the engine does; AssertionError where the grace period is too short."""
        grace_s = _seconds(self.file["services"][name]["stop_grace_period"])
        running = [one.process for one in self.replicas[name] if one.process.poll() is None]
        for process in running:
            process.send_signal(_STOP_SIGNALS.get(name, signal.SIGTERM))
        for process in running:
            process.wait(grace_s)

    def printed(self, name: str) -> str:
        """What the service's processes printed."""
        return "\n".join(one.log.read_text(errors="replace") for one in self.replicas[name])

    def _replica(self, name: str, service: Mapping[str, Any], number: int) -> Replica:
        host = self.networks.host(name, self._addresses(service["networks"]))
        scratch = self.folder / f"{name}{number}"
        scratch.mkdir()
        environment = {"PATH": _PATH, "TMPDIR": str(scratch), **service.get("environment", {})}
        if service["image"].startswith("picturematch:"):
            built = {name: value for name, value in stages()[-1].environment.items() if name != "PATH"}
            environment = {**built, **environment, "PICTUREMATCH_MODELS__KIND": "stand-in"}
            words = [*stages()[-1].words("ENTRYPOINT"), *service["command"]]
        elif name == "kafka":
            words = _kafka(service["environment"], scratch)
        elif name == "database":
            scratch = self.open_folder
            words = _database(service["environment"], scratch)
            environment["PATH"] = f"{programs_of_postgresql()}:{_PATH}"
        else:
            words = ["haproxy", "-W", "-db", "-f", str(ROOT / service["volumes"][0].split(":")[0])]
        if service.get("read_only"):
            host.mount(scratch, str(scratch))  # what the file gives as tmpfs
            host.set_up("mount", "-o", "remount,bind,ro", "/")
        log = self.folder / f"{name}{number}.log"
        return Replica(host, host.start(words, environment, log), environment, log)

    def _addresses(self, networks: Any) -> dict[str, IPv4Address]:
        """Those that the file gives, else the next free ones."""
        number = next(self.addresses)
        given = networks if isinstance(networks, dict) else {name: {} for name in networks}
        subnets = _subnets(self.file)
        return {
            name: IPv4Address(asked["ipv4_address"]) if "ipv4_address" in asked else subnets[name][number]
            for name, asked in given.items()
        }


@contextmanager
def services(folder: Path, key: str, **variables: str) -> Iterator[Services]:
    """The services of the file, none of them started; all are killed at the end. `variables`: what .env has besides."""
    file = compose(PICTUREMATCH_API_KEY=key, **variables)
    with TemporaryDirectory(prefix="pm-pg-") as open_folder, Networks(_subnets(file), folder) as networks:
        yield Services(file, networks, folder, Path(open_folder))


def _seconds(period: str) -> float:
    return float(period.removesuffix("s"))


def _subnets(file: Mapping[str, Any]) -> dict[str, IPv4Network]:
    return {
        name: IPv4Network(network["ipam"]["config"][0]["subnet"]) if "ipam" in network else _OTHERS
        for name, network in file["networks"].items()
    }


def _checking(name: str, check: Mapping[str, Any]) -> list[str]:
    if name == "kafka":  # the jars that tests have are without the tool that the image's script runs
        return ["bash", "-c", "exec 3<>/dev/tcp/kafka/9092"]
    kind, *words = check["test"]
    assert kind == "CMD"
    return words


def _kafka(environment: Mapping[str, str], folder: Path) -> list[str]:
    """Kafka's command; its settings come from the variables as in the image apache/kafka, its data is in `folder`."""
    found = java_and_jars()
    assert found is not None
    java, jars = found
    settings = {name: value for name, value in environment.items() if name != "KAFKA_HEAP_OPTS"}
    settings["KAFKA_LOG_DIRS"] = str(folder / "data")
    lines = (f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n" for name, value in settings.items())
    properties = folder / "server.properties"
    properties.write_text("".join(lines))
    words = [java, *environment["KAFKA_HEAP_OPTS"].split(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    words += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
    format_it = ["kafka.tools.StorageTool", "format", f"--cluster-id={uuid.uuid4()}", "-c", str(properties)]
    subprocess.run([*words, *format_it], check=True, capture_output=True, timeout=60)
    return [*words, "kafka.Kafka", str(properties)]


def _database(environment: Mapping[str, str], folder: Path) -> list[str]:
    """The command of PostgreSQL, and in `folder` what the image makes at its first start by these variables."""
    programs, user = programs_of_postgresql(), environment["POSTGRES_USER"]
    assert programs is not None
    data = new_cluster(folder, user)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all all {environment['POSTGRES_HOST_AUTH_METHOD']}\n")
    single = as_user([programs / "postgres", "--single", "-D", data, "postgres"])
    made = f"CREATE DATABASE {user}\n".encode()
    subprocess.run(single, input=made, cwd=folder, check=True, capture_output=True, timeout=60)
    words = as_user([programs / "postgres", "-D", data, "-c", "listen_addresses=*"])
    return [*map(str, words), "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]


def programs_missing() -> list[str]:
    """The programs of the services that are not installed here."""
    missing = [name for name in ("curl", "haproxy", "java", "wget") if shutil.which(name) is None]
    return missing if programs_of_postgresql() else [*missing, "postgresql"]
