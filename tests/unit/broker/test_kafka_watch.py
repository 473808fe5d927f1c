"""What a watch over a group does when its reader fails; the readers are made up."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from broker.kafka.presence import Beat, encode_beat
from broker.kafka.watch import Watch
from broker.port import BrokerUnavailable, Record
from tests.support.waiting import until

GROUP = "processors"


class ScriptedReader:
    """Fails once, or tells a beat at every fetch."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        await asyncio.sleep(0.01)
        if self._failure is not None:
            raise self._failure
        beat = encode_beat(Beat(GROUP, "one", (0,)))
        return [Record("members", 0, 0, int(time.time() * 1000), None, beat)]


class SilentReader(ScriptedReader):
    """Reads an empty topic."""

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        await asyncio.sleep(0.01)
        return ()


@pytest.mark.parametrize("failure", [BrokerUnavailable("away"), AssertionError("unrecognised"), RuntimeError("odd")])
async def test_whatever_a_reader_of_the_members_dies_of_the_next_one_is_read(failure: Exception) -> None:
    failures: list[Exception | None] = [failure]

    def open_reader(since_s: float) -> Any:
        return ScriptedReader(failures.pop() if failures else None)

    async with Watch(GROUP, open_reader) as watch:
        assert watch.served() is None
        await until(lambda: watch.served() is True)
    assert not failures


async def test_nobody_is_missed_before_the_topic_was_read_for_long_enough() -> None:
    def open_reader(since_s: float) -> Any:
        return SilentReader(None)

    async with Watch(GROUP, open_reader) as watch:
        await asyncio.sleep(0.5)
        assert watch.served() is None
        await until(lambda: watch.served() is False)
