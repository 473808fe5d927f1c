import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

import broker.table
from broker.embedded import open_embedded
from broker.port import BrokerUnavailable, NewRecord, Record, TopicSpec
from broker.table import TableFollower

TOPIC = "people"
LONG_S = 20.0


def opened(folder: Path):
    return open_embedded(folder, role="owner", clock_ms=lambda: 1_700_000_000_000)


async def fill(log, count: int, first: int = 0) -> None:
    await log.ensure_topics([TopicSpec(TOPIC, 1, compacted=True)])
    if count:
        await log.append([NewRecord(TOPIC, b"%d" % (first + number), b"value") for number in range(count)])


async def test_a_follower_applies_everything_in_order_and_knows_when_it_has_caught_up(tmp_path: Path) -> None:
    applied: list[int] = []
    async with opened(tmp_path) as log:
        await fill(log, 1200)
        async with TableFollower(log, TOPIC, lambda records: applied.extend(each.offset for each in records)) as table:
            async with asyncio.timeout(LONG_S):
                await table.caught_up()
            assert applied == list(range(1200))
            assert table.version == 1200
            assert table.healthy


async def test_a_follower_of_an_empty_topic_has_caught_up_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill(log, 0)
        async with TableFollower(log, TOPIC, lambda _: None) as table, asyncio.timeout(LONG_S):
            await table.caught_up()
            assert table.version == 0


async def test_a_version_is_reached_as_soon_as_its_record_is_applied(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill(log, 1)
        async with TableFollower(log, TOPIC, lambda _: None) as table:
            waiting = asyncio.create_task(table.reached(2, LONG_S))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            await log.append([NewRecord(TOPIC, b"b", b"value")])
            assert await waiting
            assert table.version == 2


async def test_a_version_that_does_not_come_is_not_reached(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await fill(log, 1)
        async with TableFollower(log, TOPIC, lambda _: None) as table:
            assert not await table.reached(5, 0.05)


async def test_a_gap_at_the_end_is_no_hindrance_to_catching_up(tmp_path: Path) -> None:
    now_ms = 1_700_000_000_000
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: now_ms) as log:
        await fill(log, 1)
        await log.append([NewRecord(TOPIC, b"gone", None)])
        now_ms += 48 * 3600 * 1000
        await log.housekeep()
        async with TableFollower(log, TOPIC, lambda _: None) as table, asyncio.timeout(LONG_S):
            await table.caught_up()
            assert table.version == 2


@pytest.mark.filterwarnings("error")
async def test_what_apply_raises_reaches_the_owner(tmp_path: Path) -> None:
    def fails(_: Sequence[Record]) -> None:
        raise ValueError("not a person")

    async with opened(tmp_path) as log:
        await fill(log, 1)
        with pytest.raises(ValueError, match="not a person"):
            async with TableFollower(log, TOPIC, fails) as table, asyncio.timeout(LONG_S):
                await table.caught_up()
        assert not table.healthy
        with pytest.raises(ValueError, match="not a person"):
            async with TableFollower(log, TOPIC, fails) as table, asyncio.timeout(LONG_S):
                await table.failure()
        with pytest.raises(ValueError, match="not a person"):
            async with TableFollower(log, TOPIC, fails):
                await asyncio.sleep(0.1)


class Flaky:
    """A log whose readers fail a few times after they have delivered."""

    def __init__(self, log, failures: int) -> None:
        self._log = log
        self.failures = failures
        self.seen_unhealthy = False

    def __getattr__(self, name: str):
        return getattr(self._log, name)

    def reader(self, *args):
        reader = self._log.reader(*args)
        fetch = reader.fetch

        async def flaky(max_records: int, timeout_s: float):
            if self.failures and reader.positions()[0] > 0:
                self.failures -= 1
                raise BrokerUnavailable("the log cannot be reached")
            return await fetch(1, timeout_s)

        reader.fetch = flaky
        return reader


async def test_a_log_out_of_reach_is_waited_for_and_no_record_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.table, "_FIRST_BACKOFF_S", 0.01)
    applied: list[int] = []
    health: list[bool] = []
    async with opened(tmp_path) as log:
        await fill(log, 3)
        flaky = Flaky(log, failures=2)
        async with TableFollower(
            flaky, TOPIC, lambda records: applied.extend(each.offset for each in records)
        ) as table:
            while not await table.reached(3, 0.005):
                health.append(table.healthy)
        assert applied == [0, 1, 2]
        assert flaky.failures == 0
        assert False in health
