from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import chromium, nodejs
from tests.support.kafka import kafka_for_tests, missing, own_kafka
from tests.support.kafka_dev import DevBroker

# A test never depends on the speed of the machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

_BROKERS = {"kafka_bootstrap", "kafka_to_break"}


@pytest.hookimpl(tryfirst=True)  # xdist's own hook reads the groups, and would else come before
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `pytest -n 3 --dist loadgroup`, one process has the Kafka brokers and begins with the tests that need one:
    they wait most of the time, and the other processes compute meanwhile. These begin with the tests that take longest,
    so that none is left alone with such a test at the end."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    with_kafka = [item for item in items if _BROKERS & set(getattr(item, "fixturenames", ()))]
    for item in with_kafka:
        item.add_marker(pytest.mark.xdist_group("kafka"))
    if hasattr(config, "workerinput"):
        first = set(with_kafka)
        items.sort(key=lambda item: (item not in first, item.get_closest_marker("longest") is None))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several tells the first one what it had not."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["kafka_missing"], output["chromium_missing"] = missing, chromium.missing
        output["node_missing"] = nodejs.missing


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    told = getattr(node, "workeroutput", {})
    missing.extend(told.get("kafka_missing", ()))
    chromium.missing.extend(told.get("chromium_missing", ()))
    nodejs.missing.extend(told.get("node_missing", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each missing thing, whatever the number of skipped tests, that says how to get it."""
    if missing:
        terminalreporter.write_line(f"KAFKA WAS NOT TESTED: {missing[0]}", red=True, bold=True)
    if chromium.missing:
        terminalreporter.write_line(f"NO WEB BROWSER WAS TESTED: {chromium.missing[0]}", red=True, bold=True)
    if nodejs.missing:
        terminalreporter.write_line(f"NODE WAS NOT TESTED: {nodejs.missing[0]}", red=True, bold=True)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a Kafka broker that tests may fill with topics."""
    with kafka_for_tests() as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def _kafka_of_breakers() -> Iterator[DevBroker]:
    with own_kafka(proxied=True) as broker:
        yield broker


@pytest.fixture
def kafka_to_break(_kafka_of_breakers: DevBroker) -> DevBroker:
    """A running Kafka broker that the test may stop, kill and start: started once, and again where it was left down.

    Other tests that break it come before and after, so topics and groups need names of their own.
    """
    if not _kafka_of_breakers.answers():
        _kafka_of_breakers.start()
    return _kafka_of_breakers
