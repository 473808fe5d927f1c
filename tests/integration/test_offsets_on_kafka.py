"""Group offsets that expired, that retention overtook, or that are another log's: no event twice, no request skipped in
silence. Counted with the library's own clients."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from contract.codec import encode
from contract.requests import MatchRequest
from contract.topics import Topics
from picturematch.settings import Settings, load_settings
from picturematch.wiring import run_system
from tests.integration.test_roles_on_kafka import create_topics, environment
from tests.support.faces import MODELS, photo
from tests.support.plain_kafka import (
    delete_topic,
    forget_offsets,
    group_offsets,
    make_again,
    make_topic,
    put_back,
    read_committed,
    remove_before,
    send,
    until_done,
)

PARTITIONS = 2
PICTURE = photo(1)


class Installation:
    """Topics of their own on a broker, and requests that are written past any ingress."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.given = environment(bootstrap) | {"PICTUREMATCH_LOG__REQUEST_PARTITIONS": str(PARTITIONS)}
        self.settings: Settings = load_settings(None, self.given)
        self.topics: Topics = self.settings.topics

    def change(self, **given: str) -> None:
        """Have other settings from now on."""
        self.given |= given
        self.settings = load_settings(None, self.given)

    async def send(self, count: int, partition: int = 0) -> list[str]:
        """The ids of so many new requests."""
        ids = [uuid.uuid4().hex for _ in range(count)]
        requests = [
            MatchRequest(
                request_id=name, device_ip="10.0.0.1", picture=PICTURE, compare_time_s=1.0, received_time_s=1.0
            )
            for name in ids
        ]
        await send(self.bootstrap, self.topics.requests, [encode(request) for request in requests], partition=partition)
        return ids

    @asynccontextmanager
    async def processor(self) -> AsyncIterator[str]:
        """A running processor; its address."""
        async with run_system(self.settings, MODELS, ingest=False) as system:
            yield system.url

    async def decided(self, limit_s: float = 60.0) -> bool:
        """Whether everything was decided within the limit."""
        return await until_done(self.bootstrap, self.topics.requests, self.topics.processors, PARTITIONS, limit_s)

    async def process_all(self) -> None:
        """Run a processor until it has decided everything."""
        async with self.processor():
            assert await self.decided()

    async def events(self) -> Counter[str]:
        """How many events each request has."""
        return Counter(
            json.loads(each.value)["id"] for each in await read_committed(self.bootstrap, self.topics.events)
        )

    async def forget(self) -> None:
        await forget_offsets(self.bootstrap, self.topics.processors)


@pytest.fixture
async def there(kafka_bootstrap: str) -> Installation:
    installation = Installation(kafka_bootstrap)
    await create_topics(installation.given)
    return installation


def once(*ids: Sequence[str]) -> Counter[str]:
    return Counter({name: 1 for names in ids for name in names})


def lines_with(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    return [line for line in caplog.messages if all(word in line for word in words)]


async def test_requests_whose_group_offsets_expired_are_not_decided_again(there, caplog):
    first = [*await there.send(14), *await there.send(9, partition=1)]
    await there.process_all()
    await there.forget()
    later = await there.send(5)
    await there.process_all()
    events = await there.events()
    assert events == once(first, later), f"{sum(events.values())} events of {len(first + later)} requests"
    assert len(lines_with(caplog, "partition 0", "14 records")) == 1
    assert len(lines_with(caplog, "partition 1", "9 records")) == 1


async def test_expired_offsets_a_second_time_and_without_new_requests(there):
    ids = await there.send(4)
    await there.process_all()
    for _ in range(2):
        await there.forget()
        ids += await there.send(1)
        await there.process_all()
    assert await there.events() == once(ids)


async def test_events_of_a_topic_that_was_made_again_do_not_count(there):
    old = await there.send(12)
    await there.process_all()
    await make_again(there.bootstrap, there.topics.requests, PARTITIONS)
    await there.forget()
    new = await there.send(12)
    await there.process_all()
    assert await there.events() == once(old, new)


async def test_the_last_event_counts_though_later_ones_name_requests_that_the_log_has_lost(there):
    old = await there.send(10)
    await there.process_all()
    await make_again(there.bootstrap, there.topics.requests, PARTITIONS)
    await there.forget()
    new = await there.send(4)
    await there.process_all()
    await there.forget()
    later = await there.send(3)
    await there.process_all()
    assert await there.events() == once(old, new, later)


async def test_without_any_event_a_processor_begins_at_the_first_request(there, caplog):
    ids = await there.send(6)
    await there.process_all()
    assert await there.events() == once(ids)
    assert not lines_with(caplog, "records", "pass")


async def test_requests_that_retention_removed_before_they_were_decided_are_counted(there, caplog):
    decided = await there.send(3)
    await there.process_all()
    await there.send(30)
    await remove_before(there.bootstrap, there.topics.requests, 33)
    kept = await there.send(2)
    async with there.processor() as url:
        assert await there.decided()
        assert await metric(url, 'picturematch_requests_skipped_total{reason="removed"}') == 30
    assert await there.events() == once(decided, kept)
    assert len(lines_with(caplog, "partition 0", "30 records")) == 1


@pytest.mark.parametrize("new", [36, 60])
async def test_requests_of_a_log_that_ends_before_the_groups_offset_or_began_anew_are_not_skipped(there, new, caplog):
    old = await there.send(40)
    await there.process_all()
    offsets = await group_offsets(there.bootstrap, there.topics.processors)
    await delete_topic(there.bootstrap, there.topics.requests)
    await make_topic(there.bootstrap, there.topics.requests, PARTITIONS)
    await put_back(there.bootstrap, there.topics.processors, offsets)
    ids = await there.send(new)
    async with there.processor():
        await there.decided(20.0)
    events = await there.events()
    assert events == once(old, ids), f"{sum(events.values()) - len(old)} events of {new} requests"
    assert lines_with(caplog, "partition 0", f"{new} records")


async def metric(url: str, name: str) -> float:
    """The sum of the metric over all its labels, or over those that the name goes on with."""
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
