from collections.abc import Iterator

import pytest

from picturematch.kafka_dev import DevBroker
from tests.support.kafka import kafka_for_tests, missing, own_kafka


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, whatever the number of skipped tests, that says how to get a broker."""
    if missing:
        terminalreporter.write_line(f"KAFKA WAS NOT TESTED: {missing[0]}", red=True, bold=True)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a Kafka broker that tests may fill with topics."""
    with kafka_for_tests() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def _kafka_of_breakers() -> Iterator[DevBroker]:
    with own_kafka() as broker:
        yield broker


@pytest.fixture
def kafka_to_break(_kafka_of_breakers: DevBroker) -> DevBroker:
    """A running Kafka broker that the test may stop, kill and start: started once, and again where it was left down.

    Other tests that break it come before and after, so topics and groups need names of their own.
    """
    if not _kafka_of_breakers.answers():
        _kafka_of_breakers.start()
    return _kafka_of_breakers
