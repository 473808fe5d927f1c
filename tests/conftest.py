from collections.abc import Iterator

import pytest

from tests.support import chromium
from tests.support.kafka import kafka_for_tests, missing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each missing thing, whatever the number of skipped tests, that says how to get it."""
    if missing:
        terminalreporter.write_line(f"KAFKA WAS NOT TESTED: {missing[0]}", red=True, bold=True)
    if chromium.missing:
        terminalreporter.write_line(f"NO WEB BROWSER WAS TESTED: {chromium.missing[0]}", red=True, bold=True)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a Kafka broker that tests may fill with topics."""
    with kafka_for_tests() as bootstrap:
        yield bootstrap
