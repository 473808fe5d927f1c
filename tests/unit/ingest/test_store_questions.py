"""Questions to the store of events: a database that hangs or is away keeps nobody else waiting."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import Code, Refused
from contract.event_store import StoreUnavailable
from ingest.api import events
from ingest.api.events import asked


@pytest.fixture
def services() -> Iterator[Any]:
    """Services that have threads for the store and nothing else, so that a question can take no others."""
    with ThreadPoolExecutor(1) as threads:
        yield SimpleNamespace(store_threads=threads)


async def test_the_answer_of_the_store_is_returned(services: Any) -> None:
    assert await asked(services, lambda: 7) == 7


async def test_a_store_that_does_not_answer_in_time_is_reported(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_LONGEST_QUESTION_S", 0.1)
    answers = threading.Event()
    began_s = time.monotonic()
    with pytest.raises(Refused, match="does not answer in time") as refused:
        await asked(services, answers.wait)
    answers.set()
    assert refused.value.code is Code.OVERLOADED
    assert time.monotonic() - began_s < 5


async def test_a_store_that_is_away_is_reported(services: Any) -> None:
    def away() -> None:
        raise StoreUnavailable("the password is wrong")

    with pytest.raises(Refused, match="cannot be used now") as refused:
        await asked(services, away)
    assert "password" not in str(refused.value)
