"""What every Kafka broker for development is, however it is started."""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

KAFKA_VERSION = "4.1.1"
START_LIMIT_S = 180.0
STOP_LIMIT_S = 10.0

HOW_TO_GET_ONE = (
    "a Kafka broker is needed: set KAFKA_BOOTSTRAP=host:port to one that may be used for tests,"
    " or start a Docker engine (with the Python package testcontainers installed), or install Java 17 and Maven"
)


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

    def pause(self) -> None:
        """Let it stand still, with its connections open."""
        ...

    def resume(self) -> None:
        """Let it go on after a pause."""
        ...

    def answers(self) -> bool:
        """Whether it is running and answers."""
        ...


def settings_of(port: int, controller_port: int, host: str, proxy: ProxyPorts | None) -> dict[str, str]:
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


def wait_until_it_answers(port: int, has_ended: Callable[[], bool]) -> None:
    until_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until_s:
        if has_ended():
            raise CannotStartKafka("the Kafka broker ended while it was starting: is its port or its folder in use?")
        if answers(port):
            return
        time.sleep(0.1)
    raise CannotStartKafka(f"the Kafka broker did not answer within {START_LIMIT_S:.0f} seconds")


def answers(port: int) -> bool:
    """Whether an ApiVersions request (key 18, version 0) gets an answer: an open port alone says little."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False
