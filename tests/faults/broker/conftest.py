from collections.abc import AsyncIterator, Iterator

import pytest

from bench.kafka_proxy import KafkaProxy
from tests.support.kafka import own_kafka
from tests.support.kafka_dev import DevBroker


@pytest.fixture(scope="session")
def proxied_kafka() -> Iterator[DevBroker]:
    """A broker with a second listener, whose clients come through a proxy."""
    with own_kafka(proxied=True) as broker:
        yield broker


@pytest.fixture
async def proxy(proxied_kafka: DevBroker) -> AsyncIterator[KafkaProxy]:
    assert proxied_kafka.proxy is not None
    async with KafkaProxy(proxied_kafka.proxy.front, proxied_kafka.proxy.behind) as proxy:
        yield proxy
