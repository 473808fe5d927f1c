import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from broker.port import BrokerUnavailable, Headers, NewRecord
from contract.answers import DeletedAnswer, Reply
from contract.codec import encode
from contract.requests import Headers as Names
from ingest.attendance import Attendance
from ingest.correlator import Correlator, ReplyUndecodable
from ingest.metrics import Metrics
from tests.support.faulty_log import FaultyLog, faulty_log
from tests.support.waiting import until

TOPIC = "picturematch.replies"


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as opened:
        yield opened


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def correlator(log: FaultyLog, registry: CollectorRegistry) -> AsyncIterator[Correlator]:
    async with Correlator(log, TOPIC, Metrics(registry), Attendance(3.0, lambda: True)) as entered:
        yield entered


def reply_to(request_id: str, gallery_version: int = 1) -> Reply:
    return Reply(request_id=request_id, answer=DeletedAnswer(identity_id="7"), gallery_version=gallery_version)


async def send(log: FaultyLog, correlator: Correlator, reply: Reply, **changes: bytes) -> None:
    named = {
        Names.REQUEST_ID: reply.request_id.encode(),
        Names.REPLY_INSTANCE: correlator.instance.encode(),
        "value": encode(reply),
        **changes,
    }
    value = named.pop("value")
    headers: Headers = tuple(named.items())
    await log.append([NewRecord(TOPIC, None, value, headers, correlator.partition)])


def count(registry: CollectorRegistry, kind: str) -> float:
    return registry.get_sample_value("picturematch_replies_total", {"kind": kind}) or 0.0


async def test_a_reply_reaches_the_call_that_waits_for_it(log: FaultyLog, correlator: Correlator) -> None:
    first, second = correlator.expect("first"), correlator.expect("second")
    await send(log, correlator, reply_to("second"))
    await send(log, correlator, reply_to("first"))
    assert (await first).request_id == "first"
    assert (await second).request_id == "second"


async def test_replies_from_before_the_start_are_not_read(log: FaultyLog, registry: CollectorRegistry) -> None:
    correlator = Correlator(log, TOPIC, Metrics(registry), Attendance(3.0, lambda: True))
    for partition in range(4):
        correlator.partition = partition
        await send(log, correlator, reply_to("old"))
    async with correlator:
        future = correlator.expect("new")
        await send(log, correlator, reply_to("new"))
        await future
    assert count(registry, "late") == 0


async def test_late_unknown_and_repeated_replies_are_counted_and_dropped(
    log: FaultyLog, correlator: Correlator, registry: CollectorRegistry
) -> None:
    correlator.expect("late")
    correlator.forget("late")
    await send(log, correlator, reply_to("late"))
    await send(log, correlator, reply_to("unknown"))
    answered = correlator.expect("answered")
    await send(log, correlator, reply_to("answered"))
    await answered
    await send(log, correlator, reply_to("answered"))
    await until(lambda: count(registry, "late") == 3)
    assert count(registry, "delivered") == 1


async def test_replies_to_other_instances_are_skipped_unread(
    log: FaultyLog, correlator: Correlator, registry: CollectorRegistry
) -> None:
    future = correlator.expect("mine")
    await send(log, correlator, reply_to("mine"), **{Names.REPLY_INSTANCE: b"another", "value": b"unreadable"})
    await until(lambda: count(registry, "foreign") == 1)
    assert not future.done()
    await send(log, correlator, reply_to("mine"))
    await future


async def test_a_record_without_headers_is_nobodys(
    log: FaultyLog, correlator: Correlator, registry: CollectorRegistry
) -> None:
    await log.append([NewRecord(TOPIC, None, None, (), correlator.partition)])
    mine = correlator.expect("mine")
    await send(log, correlator, reply_to("mine"))
    assert (await mine).request_id == "mine"
    assert {kind: count(registry, kind) for kind in ("foreign", "undecodable", "late", "delivered")} == {
        "foreign": 1,
        "undecodable": 0,
        "late": 0,
        "delivered": 1,
    }


async def test_a_reply_that_cannot_be_read_fails_its_call_only(
    log: FaultyLog, correlator: Correlator, registry: CollectorRegistry
) -> None:
    bad, good = correlator.expect("bad"), correlator.expect("good")
    await send(log, correlator, reply_to("bad"), value=b"\xc1")
    await send(log, correlator, reply_to("good"))
    with pytest.raises(ReplyUndecodable):
        await bad
    assert (await good).request_id == "good"
    assert count(registry, "undecodable") == 1


async def test_the_newest_gallery_is_kept(log: FaultyLog, correlator: Correlator) -> None:
    for version in (3, 9, 5):
        future = correlator.expect(str(version))
        await send(log, correlator, reply_to(str(version), version))
        await future
    assert correlator.gallery_version == 9


async def test_a_reader_that_fails_is_opened_again_where_it_stood(
    log: FaultyLog, correlator: Correlator, registry: CollectorRegistry
) -> None:
    assert correlator.positioned
    before = correlator.expect("before")
    await send(log, correlator, reply_to("before"))
    await before
    log.fetch_error = BrokerUnavailable("gone")
    await log.append([NewRecord(TOPIC, None, None, (), correlator.partition)])
    await until(lambda: not correlator.positioned)
    missed = correlator.expect("missed")
    await send(log, correlator, reply_to("missed"))
    log.fetch_error = None
    assert (await asyncio.wait_for(missed, 5)).request_id == "missed"
    assert correlator.positioned
    assert log.readers_opened >= 2
    assert count(registry, "late") == 0
    assert registry.get_sample_value("picturematch_reply_reader_errors_total") >= 1


async def test_a_reader_that_does_not_even_close_is_replaced(
    log: FaultyLog, correlator: Correlator, caplog: pytest.LogCaptureFixture
) -> None:
    log.close_error = RuntimeError("cannot be closed")
    log.fetch_error = BrokerUnavailable("gone")
    await log.append([NewRecord(TOPIC, None, None, (), correlator.partition)])
    await until(lambda: "cannot be closed" in caplog.text)
    log.close_error = log.fetch_error = None
    await until(lambda: correlator.positioned)
    future = correlator.expect("after")
    await send(log, correlator, reply_to("after"))
    assert (await asyncio.wait_for(future, 5)).request_id == "after"


async def test_leaving_releases_whoever_still_waits(log: FaultyLog, registry: CollectorRegistry) -> None:
    async with Correlator(log, TOPIC, Metrics(registry), Attendance(3.0, lambda: True)) as correlator:
        future = correlator.expect("never")
    assert future.cancelled()
    assert not correlator.positioned


async def test_a_request_that_never_entered_the_log_is_not_missed(log: FaultyLog, registry: CollectorRegistry) -> None:
    attendance = Attendance(3.0, lambda: True)
    async with Correlator(log, TOPIC, Metrics(registry), attendance) as correlator:
        answered = correlator.expect("first")
        correlator.sent(["first"])
        correlator.expect("second")
        await send(log, correlator, reply_to("first"))
        await answered
        correlator.forget("second")
        assert attendance.absence(asyncio.get_running_loop().time() + 10) is None


async def test_a_request_whose_reply_is_still_to_come_is_missed(log: FaultyLog, registry: CollectorRegistry) -> None:
    attendance = Attendance(3.0, lambda: True)
    async with Correlator(log, TOPIC, Metrics(registry), attendance) as correlator:
        answered = correlator.expect("first")
        correlator.expect("second")
        correlator.sent(["first", "second"])
        await send(log, correlator, reply_to("first"))
        await answered
        correlator.forget("second")
        assert attendance.absence(asyncio.get_running_loop().time() + 10) == "requests stay unanswered"
