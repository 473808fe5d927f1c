"""Reading one key of a topic that nobody follows, on the embedded log: the position is a hint, the key decides."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import open_embedded
from broker.keyed import KeyedReader
from broker.port import Broker, NewRecord, Position, TopicSpec

PARTITIONS = 3


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Broker]:
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 1000) as broker:
        await broker.ensure_topics([TopicSpec("photos", PARTITIONS, compacted=True)])
        yield broker


async def write(log: Broker, *pairs: tuple[bytes, bytes | None]) -> list[Position]:
    return [place for pair in pairs for place in await log.append([NewRecord("photos", *pair)])]


def accepting(wanted: bytes):
    return lambda value: value if value == wanted else None


async def test_the_value_at_the_position_is_returned_without_a_search(log: Broker, monkeypatch) -> None:
    (place,) = await write(log, (b"a", b"1"))
    monkeypatch.setattr(KeyedReader, "_search", None)
    assert await KeyedReader(log, "photos").read(b"a", place.partition, place.offset, accepting(b"1")) == b"1"


@pytest.mark.parametrize(("partition", "offset"), [(0, 0), (1, 0), (2, 0), (0, 999), (PARTITIONS + 4, 0)], ids=str)
async def test_a_position_that_is_wrong_costs_a_search_and_never_returns_another_value(
    log: Broker, partition: int, offset: int
) -> None:
    await write(log, *((b"key-%d" % n, b"value-%d" % n) for n in range(20)))
    reader = KeyedReader(log, "photos")
    for n in range(20):
        assert await reader.read(b"key-%d" % n, partition, offset, accepting(b"value-%d" % n)) == b"value-%d" % n


async def test_what_is_not_accepted_is_not_returned_and_neither_is_what_was_deleted(log: Broker) -> None:
    (place, *_) = await write(log, (b"a", b"1"), (b"b", b"1"), (b"b", None))
    reader = KeyedReader(log, "photos")
    assert await reader.read(b"a", place.partition, place.offset, accepting(b"2")) is None
    assert await reader.read(b"b", place.partition, place.offset, accepting(b"1")) is None
    assert await reader.read(b"never written", 0, 0, accepting(b"1")) is None


def counting(log: Broker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of records that each fetch of a search returned."""
    fetched: list[int] = []
    reader = log.reader

    def counted(*args: Any) -> Any:
        made = reader(*args)
        fetch = made.fetch

        async def counting_fetch(*limits: Any) -> Any:
            records = await fetch(*limits)
            fetched.append(len(records))
            return records

        made.fetch = counting_fetch
        return made

    monkeypatch.setattr(log, "reader", counted)
    return fetched


async def test_every_record_is_passed_once_however_many_keys_are_searched(log: Broker, monkeypatch) -> None:
    await write(log, *((b"key-%d" % n, b"%d" % n) for n in range(30)))
    fetched = counting(log, monkeypatch)
    reader = KeyedReader(log, "photos")
    for n in range(30):
        assert await reader.read(b"key-%d" % n, 0, 10_000, accepting(b"%d" % n)) == b"%d" % n
    assert sum(fetched) == 30
    for _ in range(10):
        assert await reader.read(b"key-1", 0, 10_000, accepting(b"another")) is None
        assert await reader.read(b"no such key", 0, 10_000, accepting(b"another")) is None
    assert sum(fetched) == 30, "what is not there costs no further pass"
    await write(log, (b"key-1", b"newer"))
    assert await reader.read(b"key-1", 0, 10_000, accepting(b"newer")) == b"newer"
    assert sum(fetched) == 31


async def test_a_search_that_ran_out_of_time_goes_on_where_it_stopped(log: Broker, monkeypatch, caplog) -> None:
    places = await write(log, *((b"key-%d" % n, b"%d" % n) for n in range(600)))
    last = next(n for n in range(599, 0, -1) if places[n].partition == 0)
    fetched = counting(log, monkeypatch)
    reader = KeyedReader(log, "photos", search_s=0.0)
    reads = 0
    while await reader.read(b"key-%d" % last, 1, 10_000, accepting(b"%d" % last)) is None:
        reads += 1
        assert reads < 20
    assert reads > 1
    assert sum(fetched) == sum(place.partition == 0 for place in places)
    assert "offsets are left" in caplog.text


async def test_a_large_value_is_checked_too(log: Broker) -> None:
    (place,) = await write(log, (b"a", b"x" * 200_000))
    reader = KeyedReader(log, "photos")
    assert await reader.read(b"a", place.partition, place.offset, accepting(b"x" * 200_000)) is not None
    assert await reader.read(b"a", place.partition, place.offset, accepting(b"y")) is None
