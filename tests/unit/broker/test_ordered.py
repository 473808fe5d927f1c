import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pytest

from broker.ordered import read_live
from broker.port import BrokerError, BrokerUnavailable, Record

RECORDS = [Record("events", 0, offset, 0, None, b"{}") for offset in range(2)]


class ScriptedReader:
    """Gives what it is told to: batches, or errors to raise."""

    def __init__(self, steps: Sequence[Sequence[Record] | Exception]) -> None:
        self._steps = list(steps)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def positions(self) -> Mapping[int, int]:
        return {}


class ScriptedLog:
    def __init__(self, *steps: Sequence[Record] | Exception) -> None:
        self._steps = steps

    def reader(self, *_: Any) -> ScriptedReader:
        return ScriptedReader(self._steps)


async def followed(log: ScriptedLog, count: int, stop: asyncio.Event) -> list[Record]:
    found: list[Record] = []
    async for records in read_live(log, "events", {0: 0}, stop):  # type: ignore[arg-type]
        found += records
        if len(found) == count:
            stop.set()
    return found


async def test_a_log_that_is_lost_is_waited_for_and_each_outage_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("broker.ordered._RETRY_S", 0.001)
    gone = BrokerUnavailable("gone")
    log = ScriptedLog(gone, gone, RECORDS[:1], gone, gone, RECORDS[1:])
    assert await followed(log, 2, asyncio.Event()) == RECORDS
    assert caplog.messages == ["gone; reading is tried again until the log can be read"] * 2


async def test_a_log_that_cannot_be_read_for_good_ends_the_following() -> None:
    with pytest.raises(BrokerError, match="damaged"):
        await followed(ScriptedLog(RECORDS[:1], BrokerError("damaged")), 2, asyncio.Event())


async def test_a_stop_ends_the_waiting_for_a_lost_log() -> None:
    stop = asyncio.Event()
    following = asyncio.create_task(followed(ScriptedLog(BrokerUnavailable("gone")), 1, stop))
    await asyncio.sleep(0.01)
    stop.set()
    assert await asyncio.wait_for(following, 5) == []
