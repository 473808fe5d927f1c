from collections.abc import Iterator

import pytest

from tests.support.kafka import kafka_for_tests


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a Kafka broker that tests may fill with topics."""
    with kafka_for_tests() as bootstrap:
        yield bootstrap
