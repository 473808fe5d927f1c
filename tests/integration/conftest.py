import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.ports import free_port
from tests.support.sinking import with_topics


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "mosquitto") as one:
        yield one


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(time.time() * 1000)) as one:
        await with_topics(one)
        yield one
