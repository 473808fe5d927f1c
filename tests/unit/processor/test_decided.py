"""How far requests were decided, told by their events; on a real embedded log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.port import Broker, NewRecord, Position, TopicSpec
from contract.codec import encode
from contract.events import encode_event
from contract.requests import MatchRequest
from processor.decided import Decided
from tests.contract.embedded_make import EmbeddedMake
from tests.support.records import TOPICS, event_of, match_request

EVENTS = 3


@dataclass
class Log:
    broker: Broker
    requests: Sequence[MatchRequest]

    async def event(self, number: int, partition: int = 0, **changes: object) -> None:
        """The event of the request with that number, which is also its offset."""
        place = Position(TOPICS.requests, 1, number)
        event = event_of(self.requests[number], place, **changes)
        await self.broker.append([NewRecord(TOPICS.events, b"k", encode_event(event), partition=partition)])

    async def decided(self, partition: int = 1, first: int = 0, end: int = 10) -> int | None:
        return await Decided(self.broker, TOPICS, TOPICS.requests)(partition, first, end)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with EmbeddedMake(tmp_path / "data").open() as broker:
        await broker.ensure_topics([TopicSpec(TOPICS.requests, 2), TopicSpec(TOPICS.events, EVENTS)])
        requests = [match_request(number) for number in range(10)]
        await broker.append([NewRecord(TOPICS.requests, b"k", encode(each), partition=1) for each in requests])
        yield Log(broker, requests)


async def test_without_events_nothing_was_decided(log):
    assert await log.decided() is None
    assert await log.decided(0, 0, 0) is None, "an empty partition"


async def test_the_furthest_request_with_an_event_is_found_over_all_partitions_of_the_events(log):
    for number in range(7):
        await log.event(number, number % EVENTS)
    assert await log.decided() == 7
    assert await log.decided(0, 0, 0) is None


async def test_what_is_no_event_or_names_another_place_does_not_count(log):
    await log.event(2)
    other = Position("other.requests", 1, 5)
    for value in (b"\xff", b"{}", None, encode_event(event_of(log.requests[5], other))):
        await log.broker.append([NewRecord(TOPICS.events, b"k", value, partition=0)])
    await log.event(6, id="another request, which stood there before")
    assert await log.decided() == 3


@pytest.mark.parametrize("lost", [1, 63, 64, 65, 1500])
async def test_the_event_is_found_behind_any_number_of_events_of_requests_that_the_log_lost(log, lost):
    await log.event(3)
    place = Position(TOPICS.requests, 1, 8)
    event = encode_event(event_of(log.requests[8], place, id="lost"))
    await log.broker.append([NewRecord(TOPICS.events, b"k", event, partition=0)] * lost)
    assert await log.decided() == 4


async def test_events_of_requests_that_are_gone_do_not_count(log):
    await log.event(3)
    assert await log.decided(first=4) is None


async def test_partitions_that_are_asked_about_together_are_told_apart(log):
    await log.broker.append([NewRecord(TOPICS.requests, b"k", encode(log.requests[0]), partition=0)] * 2)
    at_zero = event_of(log.requests[0], Position(TOPICS.requests, 0, 1))
    await log.broker.append([NewRecord(TOPICS.events, b"k", encode_event(at_zero), partition=2)])
    await log.event(4, 2)
    decided = Decided(log.broker, TOPICS, TOPICS.requests)
    assert await asyncio.gather(decided(0, 0, 2), decided(1, 0, 10)) == [2, 5]
