"""Requests of a producer's former transaction that reach the broker during the next one.

The proxy keeps the first copy of a request back; the client, whose connection is reset or goes silent, sends it again
and ends its transaction. During the next transaction, at a moment that the test chooses, the first copy arrives.
"""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from bench.kafka_frames import TRANSACTIONAL, Act, Api, rule
from bench.kafka_proxy import Applied, KafkaProxy
from broker.kafka.broker import open_kafka
from broker.port import Broker, BrokerError, NewRecord, Record
from tests.faults.broker.kafka_worker import Worker, config_of, log_of, readable, readable_once_settled, settled
from tests.support.kafka_dev import DevBroker
from tests.support.waiting import until

LONG_S = 60.0
OLD_EPOCH = {47, 90}
"""INVALID_PRODUCER_EPOCH and PRODUCER_FENCED."""

HOW_LOST = pytest.mark.parametrize(
    "lost",
    [
        pytest.param(Act.LATE_AFTER_RESET, id="reset"),
        pytest.param(Act.LATE_AFTER_SILENCE, id="silence", marks=pytest.mark.slow),
    ],
)


async def deliver(late: Applied) -> None:
    late.release()
    await until(lambda: late.late, LONG_S)


@HOW_LOST
async def test_a_late_end_of_the_former_transaction_loses_no_request(
    proxied_kafka: DevBroker, proxy: KafkaProxy, lost: Act
) -> None:
    """It ends the next transaction while the group's offset is in it and the records are not."""
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0", b"1"]) as (broker, work, events):
        late = proxy.add(rule(lost, Api.END_TXN, transactional_id=work))
        held = proxy.add(rule(Act.HOLD, Api.PRODUCE, transactional_id=work, skip=1))
        async with Worker(broker, work, events):
            await until(lambda: held.caught, LONG_S)
            with suppress(TimeoutError):  # where the offset is sent after the records there is nothing to wait for
                await until(lambda: proxy.answered(Api.TXN_OFFSET_COMMIT) >= 2, 2.0)
            await deliver(late)
            held.release()
            found = await settled(proxied_kafka.bootstrap, events, 4.0)
        assert found == [b"0", b"1"], f"committed events: {found}; a request without one is lost"


@HOW_LOST
async def test_a_late_end_of_the_former_transaction_doubles_no_event(
    proxied_kafka: DevBroker, proxy: KafkaProxy, lost: Act
) -> None:
    """It ends the next transaction while the records are in it and the group's offset is not."""
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0", b"1"]) as (broker, work, events):
        late = proxy.add(rule(lost, Api.END_TXN, transactional_id=work))
        held = proxy.add(rule(Act.HOLD, Api.TXN_OFFSET_COMMIT, transactional_id=work, skip=1))
        async with Worker(broker, work, events):
            await until(lambda: held.caught and proxy.answered(Api.PRODUCE) >= 2, LONG_S)
            await deliver(late)
            held.release()
            found = await readable_once_settled(proxied_kafka.bootstrap, events, 2)
        assert found == [b"0", b"1"], f"committed events: {found}; an event that is there twice is doubled"
        assert {error for _, error in late.late} <= OLD_EPOCH, "the broker has to refuse what bears the former epoch"


@HOW_LOST
async def test_a_late_offset_of_the_former_transaction_doubles_no_event(
    proxied_kafka: DevBroker, proxy: KafkaProxy, lost: Act
) -> None:
    """It takes the group's offset back, which shows when the next member takes the partition over."""
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0", b"1"]) as (broker, work, events):
        late = proxy.add(rule(lost, Api.TXN_OFFSET_COMMIT, transactional_id=work))
        held = proxy.add(rule(Act.HOLD, Api.END_TXN, transactional_id=work, skip=1))
        async with Worker(broker, work, events) as worker:
            await until(lambda: held.caught, LONG_S)
            await deliver(late)
            held.release()
            await until(lambda: worker.committed == [b"0", b"1"], LONG_S)
        async with Worker(broker, work, events):
            found = await settled(proxied_kafka.bootstrap, events, 4.0)
        assert found == [b"0", b"1"], f"committed events: {found}; an event that is there twice is doubled"


@HOW_LOST
async def test_a_late_end_of_a_former_joint_append_does_not_write_half_of_the_next(
    proxied_kafka: DevBroker, proxy: KafkaProxy, lost: Act
) -> None:
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, []) as (broker, _, events):
        late = proxy.add(rule(lost, Api.END_TXN, transactional_id="-append-"))
        await broker.append([NewRecord(events, b"key", b"1"), NewRecord(events, b"key", b"2")])
        # Two records that are too big for one batch take two requests.
        held = proxy.add(rule(Act.HOLD, Api.PRODUCE, transactional_id="-append-", skip=1))
        large = [NewRecord(events, b"key", mark + bytes(40_000)) for mark in (b"3", b"4")]
        appending = asyncio.create_task(append(broker, large))
        await until(lambda: held.caught, LONG_S)
        await deliver(late)
        held.release()
        told = await appending
        found = [(value or b"")[:1] for value in await settled(proxied_kafka.bootstrap, events, 2.0)]
        assert (told, found) == ("written", [b"1", b"2", b"3", b"4"]), f"told {told!r}, and readable are {found}"
        assert {error for _, error in late.late} <= OLD_EPOCH


async def append(broker: Broker, records: list[NewRecord]) -> str:
    try:
        await broker.append(records)
    except BrokerError as error:
        return str(error)
    return "written"


@pytest.mark.parametrize("later", [1, 9])
async def test_a_single_append_that_comes_late_as_well_is_written_once(
    proxied_kafka: DevBroker, proxy: KafkaProxy, later: int
) -> None:
    """Without a transaction; brokers know the last few requests of a producer by their sequence numbers."""
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, []) as (broker, _, events):
        late = proxy.add(rule(Act.LATE_AFTER_RESET, Api.PRODUCE))
        for number in range(later):
            await broker.append([NewRecord(events, b"key", b"%d" % number)])
        await deliver(late)
        await broker.append([NewRecord(events, b"key", b"last")])
        found = await settled(proxied_kafka.bootstrap, events, 1.0)
        assert found == [b"%d" % number for number in range(later)] + [b"last"]


async def test_a_member_that_begins_a_new_epoch_after_it_was_given_up_commits_nothing(
    proxied_kafka: DevBroker, proxy: KafkaProxy
) -> None:
    """It has to, because an answer was lost; while it does so, the group takes its partition away and goes on."""
    limits = {"transaction_timeout_ms": 60_000}
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0", b"1"], **limits) as (broker, work, events):
        proxy.add(rule(Act.LATE_AFTER_RESET, Api.END_TXN, transactional_id=work))
        async with broker.member(work, f"group-{work}") as zombie:
            held: list[Record] = []
            async with asyncio.timeout(LONG_S):
                while len(held) < 2:
                    held += await zombie.fetch(2, 1.0)
            await zombie.commit(0, held[0].offset + 1, [NewRecord(events, b"key", b"0")])
            starting = proxy.add(rule(Act.HOLD, Api.INIT_PRODUCER_ID, transactional_id=work, times=None))
            event = NewRecord(events, b"key", b"1")
            committing = asyncio.create_task(zombie.commit(0, held[1].offset + 1, [event]))
            await until(lambda: starting.caught, LONG_S)
            beating = proxy.add(rule(Act.HOLD, Api.HEARTBEAT, times=None))
            async with open_kafka(config_of(proxied_kafka.bootstrap)) as other, Worker(other, work, events) as heir:
                await until(lambda: heir.committed == [b"1"], LONG_S)
                starting.release()
                with pytest.raises(BrokerError):
                    await committing
                beating.release()
                found = await settled(proxied_kafka.bootstrap, events, 2.0)
        assert found == [b"0", b"1"], f"committed events: {found}; an event that is there twice is doubled"


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_whatever_of_a_transaction_comes_late_by_chance_no_event_is_lost_or_doubled(
    proxied_kafka: DevBroker, proxy: KafkaProxy, seed: int
) -> None:
    count = 120
    requests = [b"%d" % number for number in range(count)]
    proxy.chance.seed(seed)
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, requests) as (broker, work, events):
        often: dict[str, Any] = {"transactional_id": work, "share": 0.06, "times": None}
        for api in (*TRANSACTIONAL, Api.PRODUCE, Api.INIT_PRODUCER_ID):
            proxy.add(rule(Act.LATE_AFTER_RESET, api, **often, delay_ms=(1.0, 80.0)))
        for api in (Api.END_TXN, Api.TXN_OFFSET_COMMIT):
            in_the_midst = {"behind": Api.ADD_PARTITIONS_TO_TXN, "delay_ms": (0.0, 40.0)}
            proxy.add(rule(Act.LATE_AFTER_RESET, api, **often, **in_the_midst))
        proxy.add(rule(Act.LOSE_ANSWER, *TRANSACTIONAL, Api.PRODUCE, **{**often, "share": 0.03}))
        proxy.add(rule(Act.HOLD, Api.PRODUCE, **{**often, "share": 0.3}, delay_ms=(1.0, 40.0)))
        async with Worker(broker, work, events):
            await readable_once_settled(proxied_kafka.bootstrap, events, count, 200)
        late = sum(len(each.late) for each in proxy.rules)
        for each in list(proxy.rules):
            proxy.remove(each)
        async with Worker(broker, work, events):
            found = await settled(proxied_kafka.bootstrap, events, 4.0)
        assert late >= 20
        assert sorted(found, key=bytes) == sorted(requests), f"{late} late requests; readable {len(found)} of {count}"


async def test_the_offset_is_sent_once_all_records_are_acknowledged(
    proxied_kafka: DevBroker, proxy: KafkaProxy
) -> None:
    async with log_of(proxied_kafka.bootstrap, proxy.bootstrap, [b"0", b"1", b"2"]) as (broker, work, events):
        proxy.add(rule(Act.SLOW_ANSWER, Api.PRODUCE, transactional_id=work, times=None, delay_ms=(300.0, 300.0)))
        async with Worker(broker, work, events):
            await readable_once_settled(proxied_kafka.bootstrap, events, 3)
        order = [
            (what, Api(request.api_key))
            for what, request in proxy.passed
            if work in request.transactional_id and request.api_key in (Api.PRODUCE, Api.TXN_OFFSET_COMMIT)
        ]
        assert order == 3 * [
            ("request", Api.PRODUCE),
            ("answer", Api.PRODUCE),
            ("request", Api.TXN_OFFSET_COMMIT),
            ("answer", Api.TXN_OFFSET_COMMIT),
        ]
        assert len(await readable(proxied_kafka.bootstrap, events)) == 3
