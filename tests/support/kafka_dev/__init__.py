"""A Kafka broker for development and tests: `python -m tests.support.kafka_dev --port 9092`.

There are two ways to a broker: a Docker engine (the image apache/kafka, through testcontainers), or Java 17 and Maven,
which fetches Kafka's jars once into the user's cache. The broker listens on a free port of the loopback interface,
keeps its data in a folder, and ends with the process that started it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kafka_dev.broker import (
    HOW_TO_GET_ONE,
    KAFKA_VERSION,
    CannotStartKafka,
    DevBroker,
    ProxyPorts,
)
from tests.support.kafka_dev.docker import docker_broker
from tests.support.kafka_dev.java import java_broker
from tests.support.ports import free_port

__all__ = ["KAFKA_VERSION", "CannotStartKafka", "DevBroker", "ProxyPorts", "dev_kafka"]


@contextmanager
def dev_kafka(port: int = 0, folder: Path | None = None, *, proxied: bool = False) -> Iterator[DevBroker]:
    """A running broker, stopped at the end. Port 0 takes a free one; without a folder its data is thrown away.

    A `proxied` broker has a second listener, for clients that come through a proxy (`DevBroker.proxy`).

    Raises:
        CannotStartKafka: there is neither Docker nor Java, or it does not start.
    """
    port = port or free_port()
    proxy = ProxyPorts(free_port(), free_port()) if proxied else None
    with tempfile.TemporaryDirectory(prefix="picturematch-kafka-", ignore_cleanup_errors=True) as scratch:
        broker = docker_broker(port, proxy) or java_broker(port, folder or Path(scratch), proxy)
        if broker is None:
            raise CannotStartKafka(HOW_TO_GET_ONE)
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()
