"""Which Kafka broker the tests use, started once per test run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.kafka_dev import CannotStartKafka, DevBroker, dev_kafka

REQUIRED = "TESTS_REQUIRE_KAFKA"

missing: list[str] = []
"""Why there was no broker, for one loud line at the end of the test run."""


@contextmanager
def kafka_for_tests() -> Iterator[str]:
    """The address of a broker; without any, the tests that need it are skipped, or fail where one is required."""
    if named := os.environ.get("KAFKA_BOOTSTRAP"):
        yield named
        return
    with own_kafka() as broker:
        yield broker.bootstrap


@contextmanager
def own_kafka(*, proxied: bool = False) -> Iterator[DevBroker]:
    """A broker of one's own, that may be stopped and started; a `proxied` one can be reached through a proxy.

    A test's broker lives for a moment: the quick compiler alone spares a third of what its start costs.
    """
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    try:
        starting = dev_kafka(proxied=proxied)
        broker = starting.__enter__()
    except CannotStartKafka as error:
        if os.environ.get(REQUIRED) == "1":
            raise
        missing.append(str(error))
        pytest.skip("there is no Kafka broker")
    try:
        yield broker
    finally:
        starting.__exit__(None, None, None)
