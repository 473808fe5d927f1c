"""Connections that die in silence: nothing arrives on them any more, and nobody is told. New ones are as good as ever.

The proxy swallows all that passes on the chosen connections from a moment on. Each case chooses by what a connection
has carried, since the library's clients have connections of their own; every one has to recover without a person.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from bench.kafka_frames import Api
from bench.kafka_proxy import Connection, KafkaProxy
from broker.kafka.broker import open_kafka
from broker.port import Broker, BrokerError, BrokerUnavailable, NewRecord, Reader, Start
from tests.faults.broker.kafka_worker import Worker, config_of, log_of, readable_once_settled
from tests.support.kafka_dev import DevBroker
from tests.support.waiting import until

RECOVERED_S = 45.0
"""With a time limit of 2 s for requests; generous, since machines are slow. Without a remedy it is never."""

Chosen = Callable[[Connection], bool]


def carried(*apis: Api) -> Chosen:
    return lambda connection: any(connection.requests[api] for api in apis)


async def first_success(what: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """What `work` returns once it raises no BrokerError any more."""
    told = ""
    try:
        async with asyncio.timeout(RECOVERED_S):
            while True:
                try:
                    return await work()
                except BrokerError as error:
                    told = str(error)
                    await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what} did not work again within {RECOVERED_S:.0f} s: {told}") from None


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(lambda _: True, id="all"),
        pytest.param(carried(Api.METADATA), id="metadata", marks=pytest.mark.slow),
        pytest.param(carried(Api.LIST_OFFSETS), id="ends and places", marks=pytest.mark.slow),
        pytest.param(carried(Api.FETCH), id="reading", marks=pytest.mark.slow),
        pytest.param(carried(Api.PRODUCE, Api.INIT_PRODUCER_ID), id="writing", marks=pytest.mark.slow),
        pytest.param(carried(Api.END_TXN), id="transactions", marks=pytest.mark.slow),
    ],
)
async def test_what_an_ingress_does_recovers_by_itself(
    proxied_kafka: DevBroker, proxy: KafkaProxy, chosen: Chosen
) -> None:
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0"]) as (broker, _, events):
        async with broker.reader(events, Start.LATEST) as reader:
            (place,) = await broker.append([NewRecord(events, b"key", b"1")])
            await broker.append([NewRecord(events, b"key", b"2"), NewRecord(events, b"key", b"3")])
            assert await broker.end_offsets(events)
            assert await broker.read_at(place) is not None
            seen = await values_of(broker, reader, 3)
            assert proxy.silence(chosen) > 0

            await first_success("asking for the end", lambda: broker.end_offsets(events))
            found = await first_success("reading one record", lambda: broker.read_at(place))
            assert found is not None
            assert found.value == b"1"
            joint = [NewRecord(events, b"key", b"5"), NewRecord(events, b"key", b"6")]
            await first_success("writing", lambda: broker.append([NewRecord(events, b"key", b"4")]))
            await first_success("writing together", lambda: broker.append(joint))
            seen += await values_of(broker, reader, 1)
            await until(broker.available, RECOVERED_S)
        assert seen[:4] == [b"1", b"2", b"3", b"4"]
        written = await readable_once_settled(proxied_kafka.bootstrap, events, 6)
        assert set(written) == {b"%d" % number for number in range(1, 7)}


async def values_of(broker: Broker, reader: Reader, count: int) -> list[bytes | None]:
    found: list[bytes | None] = []
    try:
        async with asyncio.timeout(RECOVERED_S):
            while len(found) < count:
                with suppress(BrokerUnavailable):
                    found += [record.value for record in await reader.fetch(1, 0.5)]
    except TimeoutError:
        raise AssertionError(f"reading did not go on within {RECOVERED_S:.0f} s ({broker.available()=})") from None
    return found


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(lambda _: True, id="all"),
        pytest.param(carried(Api.METADATA), id="metadata", marks=pytest.mark.slow),
        pytest.param(carried(Api.FETCH), id="reading", marks=pytest.mark.slow),
        pytest.param(carried(Api.HEARTBEAT, Api.OFFSET_FETCH, Api.JOIN_GROUP), id="group", marks=pytest.mark.slow),
        pytest.param(carried(Api.PRODUCE), id="writing", marks=pytest.mark.slow),
        pytest.param(carried(Api.END_TXN), id="transactions", marks=pytest.mark.slow),
        pytest.param(carried(Api.HEARTBEAT, Api.END_TXN), id="group and transactions", marks=pytest.mark.slow),
    ],
)
async def test_what_a_processor_does_recovers_by_itself(
    proxied_kafka: DevBroker, proxy: KafkaProxy, chosen: Chosen
) -> None:
    requests = [b"%d" % number for number in range(3)]
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, requests) as (broker, work, events):
        async with Worker(broker, work, events) as worker:
            await until(lambda: len(worker.committed) == 3, RECOVERED_S)
            await asyncio.sleep(1.0)  # so that heartbeats have shown which connection theirs is
            assert proxy.silence(chosen) > 0
            async with open_kafka(config_of(proxied_kafka.bootstrap)) as other:
                for number in range(3, 6):
                    await other.append([NewRecord(work, b"key", b"%d" % number)])
            try:
                await until(lambda: len(worker.committed) >= 6, RECOVERED_S)
            except TimeoutError:
                raise AssertionError(f"after {RECOVERED_S:.0f} s only {worker.committed} were committed") from None
        found = await readable_once_settled(proxied_kafka.bootstrap, events, 6)
        assert found == [b"%d" % number for number in range(6)]
