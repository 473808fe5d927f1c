"""The processor on the embedded log: one event and one reply per request, in order, whatever happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from prometheus_client import CollectorRegistry

from broker.embedded import open_embedded
from broker.port import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    CommitFailed,
    GroupMember,
    NewRecord,
    Record,
    RecordTooLarge,
    Start,
)
from broker.table import TableFollower
from contract.answers import Reply, decode_reply
from contract.codec import encode
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.errors import Code
from contract.requests import DeleteRequest, EnrolRequest, Headers, MatchRequest, Request
from contract.topics import Topics
from engine.gallery.exact import ExactIndex
from engine.gallery.people import People
from engine.gallery.port import FaceIndex
from engine.policy import Policy
from engine.vision.ports import ModelSet
from picturematch.settings import LogSettings
from processor.processor import Processor
from processor.settings import ProcessorSettings
from tests.support.faces import MAX_PIXELS, MODELS, photo, scene
from tests.support.waiting import until

TOPICS = Topics()
DEADLINE_S = 20.0


@dataclass
class Running:
    """A processor at work, and what a test needs around it."""

    broker: Broker
    people: People
    processor: Processor
    registry: CollectorRegistry
    sent: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)

    async def send(self, *requests: Request, **headers: bytes) -> None:
        """Append requests as an ingress does."""
        await self.broker.append([record_of(request, **headers) for request in requests])

    async def wait_for(self, count: int) -> list[dict[str, Any]]:
        """All events, once there are so many; and the replies are read."""
        async with asyncio.timeout(DEADLINE_S):
            async with self.broker.reader(TOPICS.events, Start.EARLIEST) as reader:
                events: list[Record] = []
                while len(events) < count:
                    events += await reader.fetch(1000)
        self.replies = {r.request_id: r for r in map(as_reply, await read_all(self.broker, TOPICS.replies))}
        return [orjson.loads(record.value or b"") for record in events]


def as_reply(record: Record) -> Reply:
    return decode_reply(record.value or b"")


def record_of(request: Request, **headers: bytes) -> NewRecord:
    told = {
        Headers.REQUEST_ID: request.request_id.encode(),
        Headers.REPLY_TOPIC: TOPICS.replies.encode(),
        Headers.REPLY_PARTITION: b"1",
        Headers.REPLY_INSTANCE: b"instance",
        Headers.DEADLINE_MS: str(int((time.time() + DEADLINE_S) * 1000)).encode(),
        **headers,
    }
    topic = TOPICS.of_requests(administrative=request.administrative)
    return NewRecord(topic, request.key, encode(request), tuple(told.items()))


async def read_all(broker: Broker, topic: str) -> Sequence[Record]:
    records: list[Record] = []
    async with broker.reader(topic, Start.EARLIEST) as reader:
        while found := await reader.fetch(1000, 0):
            records += found
    return records


@asynccontextmanager
async def running(
    folder: Path,
    *,
    models: ModelSet = MODELS,
    policy: Policy | None = None,
    wrap: Any = None,
    follow: bool = True,
    clock: Callable[[], float] = time.time,
    new_index: Callable[[int], FaceIndex] = ExactIndex,
) -> AsyncIterator[Running]:
    people = People(models.embedder.dimension, models.embedder_identity, new_index)
    registry = CollectorRegistry()
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(clock() * 1000)) as broker:
        await broker.ensure_topics(LogSettings(request_partitions=3).topic_specs(TOPICS))
        async with TableFollower(broker, TOPICS.people, people.apply if follow else lambda _: None) as follower:
            await follower.caught_up()
            settings = ProcessorSettings(workers=2, gallery_wait_ms=200)
            async with Processor(
                wrap(broker) if wrap else broker,
                TOPICS,
                people,
                follower.reached,
                models,
                policy or Policy(),
                settings,
                clock,
                registry,
                MAX_PIXELS,
            ) as processor:
                yield Running(broker, people, processor, registry)
                await processor.drain(DEADLINE_S)


def match(number: int, seed: int = 1, **fields: Any) -> MatchRequest:
    required = {"device_ip": f"10.0.0.{number % 5}", "compare_time_s": 5.0, "received_time_s": 6.0}
    return MatchRequest(**{**required, "request_id": f"m{number}", "picture": photo(seed), **fields})


def enrol(request_id: str, identity_id: str, seed: int, **fields: Any) -> EnrolRequest:
    return EnrolRequest(
        request_id=request_id, identity_id=identity_id, received_time_s=6.0, photo=photo(seed), **fields
    )


async def test_every_request_gets_one_event_and_one_reply_that_agree(tmp_path):
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1, info={"name": "Anna"}))
        await system.wait_for(1)
        requests = [match(n, seed=1 if n % 2 else 50 + n) for n in range(30)]
        await system.send(*requests)
        events = await system.wait_for(31)
        matches = {event["id"]: event for event in events if event["kind"] == "match"}
        assert sorted(matches) == sorted(request.request_id for request in requests)
        assert set(system.replies) == {*matches, "e1"}
        for request_id, event in matches.items():
            answer = system.replies[request_id].answer
            assert (event["retcode"], event["identity_id"], event["score"]) == (
                answer.retcode,
                answer.identity_id,
                answer.score,
            )
            assert event["outcome"] == ("matched" if int(request_id[1:]) % 2 else "stranger")
            assert event["compare_time"] == 5.0


async def test_events_of_a_device_keep_the_order_of_its_requests(tmp_path):
    async with running(tmp_path) as system:
        await system.send(*(match(n, device_ip="one") for n in range(20)))
        events = await system.wait_for(20)
        assert [event["id"] for event in events] == [f"m{n}" for n in range(20)]


async def test_replies_go_to_the_named_partition_with_the_instance(tmp_path):
    async with running(tmp_path) as system:
        await system.send(match(1))
        await system.wait_for(1)
        (reply,) = await read_all(system.broker, TOPICS.replies)
        assert reply.partition == 1
        assert reply.header(Headers.REPLY_INSTANCE) == b"instance"
        assert reply.header(Headers.REQUEST_ID) == b"m1"


async def test_a_reply_tells_how_long_its_request_waited_for_a_thread_and_took_there(tmp_path):
    async with running(tmp_path) as system:
        await system.send(*(match(n) for n in range(20)))
        await system.wait_for(20)
        efforts = [system.replies[f"m{n}"].effort for n in range(20)]
        assert all(effort.worked_s > 0 for effort in efforts)
        assert min(effort.waited_s for effort in efforts) < max(effort.waited_s for effort in efforts)
        assert max(effort.waited_s for effort in efforts) > min(effort.worked_s for effort in efforts)
        await system.send(DeleteRequest(request_id="d1", identity_id="nobody", received_time_s=6.0))
        await system.wait_for(21)
        assert system.replies["d1"].effort is None, "it took no matching thread"


async def test_without_a_reply_address_there_is_an_event_and_no_reply(tmp_path):
    async with running(tmp_path) as system:
        await system.send(match(1), **{Headers.REPLY_TOPIC: TOPICS.people.encode()})
        await system.send(match(2), **{Headers.REPLY_PARTITION: b"x"})
        await system.send(match(3), **{Headers.REPLY_PARTITION: b"4"})
        await system.wait_for(3)
        assert system.replies == {}


async def test_the_registered_photo_comes_with_the_answer_that_asked_for_it(tmp_path):
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1))
        await system.wait_for(1)
        await system.send(match(1, need_register_photo=True), match(2))
        await system.wait_for(3)
        assert system.replies["m1"].answer.reg_pic == photo(1)
        assert system.replies["m2"].answer.reg_pic is None


async def test_of_two_enrolments_of_one_identity_the_second_is_refused(tmp_path):
    async with running(tmp_path) as system:
        await system.send(*(enrol(f"e{n}", "anna", n + 1) for n in range(8)))
        events = await system.wait_for(8)
        assert [event["outcome"] for event in events] == ["enrolled"] + ["refused"] * 7
        assert {event["error"]["code"] for event in events[1:]} == {Code.IDENTITY_EXSIT_ERROR}


async def test_an_enrolment_answers_with_the_version_that_holds_it(tmp_path):
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1))
        await system.wait_for(1)
        version = system.replies["e1"].gallery_version
        assert version == (await system.broker.end_offsets(TOPICS.people))[0]
        await system.send(match(1), **{Headers.GALLERY_VERSION: str(version).encode()})
        events = await system.wait_for(2)
        assert events[-1]["gallery_version"] >= version


async def test_a_gallery_older_than_the_sender_has_seen_is_never_searched(tmp_path):
    async with running(tmp_path) as system:
        await system.send(match(1), **{Headers.GALLERY_VERSION: b"999"})
        (event,) = await system.wait_for(1)
        assert event["error"]["code"] == Code.OVERLOADED
        assert system.replies["m1"].answer.code == Code.OVERLOADED


async def test_people_can_be_changed_and_deleted_and_are_found_no_more(tmp_path):
    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1), enrol("e2", "anna", 2, ignore_exist=True, support_single_face=True))
        await system.wait_for(2)
        version = str(system.replies["e2"].gallery_version).encode()
        await system.send(match(1, seed=2), match(2, seed=1), **{Headers.GALLERY_VERSION: version})
        events = {event["id"]: event for event in await system.wait_for(4)}
        assert (events["m1"]["outcome"], events["m2"]["outcome"]) == ("matched", "stranger")
        await system.send(DeleteRequest(request_id="d1", identity_id="anna", received_time_s=1.0))
        await system.wait_for(5)
        await until(lambda: len(system.people) == 0)
        await system.send(match(3, seed=2))
        events = {event["id"]: event for event in await system.wait_for(6)}
        assert events["m3"]["outcome"] == "empty_group"


async def test_work_that_nobody_waits_for_is_recorded_and_not_inferred(tmp_path):
    detected = 0

    def detector(image):
        nonlocal detected
        detected += 1
        return MODELS.detector(image)

    async with running(tmp_path, models=replace(MODELS, detector=detector)) as system:
        await system.send(match(1), enrol("e1", "anna", 1), **{Headers.DEADLINE_MS: b"1000"})
        events = {event["id"]: event for event in await system.wait_for(2)}
        assert events["m1"]["outcome"] == events["e1"]["outcome"] == "expired"
        assert system.replies["m1"].answer.code == Code.TIMEOUT
        assert detected == 0
        assert len(system.people) == 0


NESTED = encode(match(1, grab_fiqa_info={"a": 7})).replace(b"\x81\xa1a\x07", b"\x81\xa1a" * 100_000 + b"\x07")
POISON = [None, b"", b"\xff\xfe", msgspec.msgpack.encode({"kind": "match"}), NESTED]


@pytest.mark.parametrize("value", POISON, ids=["nothing", "empty", "no message", "no fields", "nested"])
async def test_a_record_that_is_no_request_is_a_dead_letter_and_its_device_gets_an_error(tmp_path, value):
    async with running(tmp_path) as system:
        headers = record_of(match(1)).headers
        await system.broker.append([NewRecord(TOPICS.requests, b"10.0.0.1", value, headers)])
        await system.send(match(2, device_ip="10.0.0.1"))
        events = {event["id"]: event for event in await system.wait_for(2)}
        assert (events["m1"]["kind"], events["m1"]["outcome"]) == ("unreadable", "error")
        assert events["m2"]["outcome"] == "empty_group"
        assert system.replies["m1"].answer.code == Code.INTERNAL_ERROR
        (letter,) = await dead_letters(system.broker)
        assert (letter.topic, letter.stage, letter.value, letter.headers) == (
            TOPICS.requests,
            "decode",
            value,
            headers,
        )


async def dead_letters(broker: Broker) -> list[DeadLetter]:
    found = [decode_dead_letter(record.value or b"") for record in await read_all(broker, TOPICS.dead_letters)]
    return [letter for letter in found if isinstance(letter, DeadLetter)]


async def test_an_unexpected_error_is_a_dead_letter_and_still_one_event_and_answer(tmp_path, caplog):
    def detector(image):
        if image.shape[0] == 333:
            raise RuntimeError("broken network")
        return MODELS.detector(image)

    poison = scene(width=500, height=333)
    async with running(tmp_path, models=replace(MODELS, detector=detector)) as system:
        await system.send(match(1, picture=poison), enrol("e1", "a", 1), match(2))
        await system.send(EnrolRequest(request_id="e2", identity_id="b", received_time_s=1.0, photo=poison))
        events = {event["id"]: event for event in await system.wait_for(4)}
        assert (events["m1"]["kind"], events["m1"]["outcome"]) == ("match", "error")
        assert (events["e2"]["kind"], events["e2"]["outcome"]) == ("enrol", "refused")
        assert system.replies["m1"].answer.code == system.replies["e2"].answer.code == Code.INTERNAL_ERROR
        assert "m1" in system.replies["m1"].answer.message
        letters = sorted((letter.stage, letter.error) for letter in await dead_letters(system.broker))
        assert letters == [("enrol", "RuntimeError"), ("match", "RuntimeError")]  # two partitions have no order
    assert "broken network" in caplog.text


async def test_what_was_not_committed_is_processed_after_a_restart_and_nothing_twice(tmp_path):
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await broker.ensure_topics(LogSettings(request_partitions=3).topic_specs(TOPICS))
        await broker.append([record_of(match(n)) for n in range(5)])
    for _ in range(2):
        async with running(tmp_path) as system:
            events = await system.wait_for(5)
            assert sorted(event["id"] for event in events) == [f"m{n}" for n in range(5)]


class FailingBroker:
    """A log whose commits fail now and then, before or instead of being written."""

    def __init__(self, broker: Broker, errors: list[Exception | None]) -> None:
        self._broker, self._errors = broker, errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def member(self, topic: str, group: str, *asked: Any) -> GroupMember:
        member = self._broker.member(topic, group, *asked)
        commit = member.commit

        async def failing(partition: int, *args: Any, **kwargs: Any) -> Any:
            error = self._errors.pop(0) if self._errors else None
            if error is None:
                return await commit(partition, *args, **kwargs)
            raise error

        member.commit = failing
        return member


async def test_after_failed_commits_every_request_still_has_exactly_one_event(tmp_path):
    errors: list[Exception | None] = [None, CommitFailed("aborted"), None, BrokerUnavailable("away"), CommitFailed("x")]
    async with running(tmp_path, wrap=lambda broker: FailingBroker(broker, errors)) as system:
        await system.send(*(match(n) for n in range(20)), enrol("e1", "anna", 1))
        events = await system.wait_for(21)
        await system.processor.drain(DEADLINE_S)
        assert not errors
        assert sorted(e["id"] for e in events) == sorted([f"m{n}" for n in range(20)] + ["e1"])
        replies = await read_all(system.broker, TOPICS.replies)
        assert len(replies) == 21
        assert system.registry.get_sample_value("picturematch_commits_failed_total") == 3


class LostBroker(FailingBroker):
    """A log that cannot be read while `is_lost`."""

    is_lost = False
    refused = 0

    def member(self, topic: str, group: str, *asked: Any) -> GroupMember:
        member = super().member(topic, group, *asked)
        fetch = member.fetch

        async def failing(*args: Any) -> Sequence[Record]:
            if self.is_lost:
                self.refused += 1
                raise BrokerUnavailable("away")
            return await fetch(*args)

        member.fetch = failing
        return member


async def test_an_outage_of_the_log_is_told_once_and_so_is_its_end(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("processor.intake._RETRY_S", 0.01)
    monkeypatch.setattr("processor.intake._FETCH_WAIT_S", 0.05)
    brokers: list[LostBroker] = []

    def wrap(broker: Broker) -> LostBroker:
        brokers.append(LostBroker(broker, []))
        return brokers[0]

    async with running(tmp_path, wrap=wrap) as system:
        brokers[0].is_lost = True
        await until(lambda: brokers[0].refused >= 3)
        brokers[0].is_lost = False
        await system.send(match(1))
        await system.wait_for(1)
    told = [message for message in caplog.messages if message.startswith(f"topic {TOPICS.requests} can")]
    assert told == [
        f"topic {TOPICS.requests} cannot be read: away; trying again",
        f"topic {TOPICS.requests} can be read again",
    ]


class NarrowBroker(FailingBroker):
    """A log that takes neither the event of match m3 nor the records of the person big."""

    def member(self, topic: str, group: str, *asked: Any) -> GroupMember:
        member = self._broker.member(topic, group, *asked)
        commit = member.commit

        def checked(outputs: Sequence[NewRecord]) -> Sequence[NewRecord]:
            for record in outputs:
                if record.key == b"person/big" or (
                    b'"id":"m3"' in (record.value or b"") and b'"match"' in record.value
                ):
                    raise RecordTooLarge("a record is over the limit")
            return outputs

        async def narrow(partition: int, offset: int, outputs: Sequence[NewRecord], *then: Any) -> Any:
            steps = [lambda positions, step=step: checked(step(positions)) for step in then]
            return await commit(partition, offset, checked(outputs), *steps)

        member.commit = narrow
        return member


async def test_what_the_log_has_no_room_for_is_a_dead_letter_and_holds_nothing_up(tmp_path):
    async with running(tmp_path, wrap=lambda broker: NarrowBroker(broker, [])) as system:
        await system.send(*(match(n, device_ip="one") for n in range(6)))
        await system.send(enrol("e1", "big", 1), enrol("e2", "anna", 2))
        events = {event["id"]: event for event in await system.wait_for(8)}
        assert {i: e["kind"] for i, e in events.items() if e["kind"] == "unreadable"} == dict.fromkeys(
            ("m3", "e1"), "unreadable"
        )
        assert events["e2"]["outcome"] == "enrolled"
        assert system.replies["m3"].answer.code == system.replies["e1"].answer.code == Code.INTERNAL_ERROR
        assert [letter.stage for letter in await dead_letters(system.broker)] == ["emit", "emit"]
        assert len(await read_all(system.broker, TOPICS.events)) == 8


@pytest.mark.parametrize("step", ["DeleteCall.change", "DeleteCall.event"])
async def test_a_person_who_cannot_be_decided_about_is_a_dead_letter_and_holds_nothing_up(tmp_path, monkeypatch, step):
    def broken(*_: object) -> None:
        raise RuntimeError("broken rule")

    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1))
        await system.wait_for(1)
        with monkeypatch.context() as patch:
            patch.setattr(f"engine.calls.delete.{step}", broken)
            await system.send(DeleteRequest(request_id="d1", identity_id="anna", received_time_s=1.0))
            await system.wait_for(2)
        await system.send(enrol("e2", "anna", 1, update=True))
        events = {event["id"]: event for event in await system.wait_for(3)}
        assert (events["d1"]["kind"], events["d1"]["outcome"]) == ("unreadable", "error")
        assert events["e2"]["outcome"] == "updated"
        assert [letter.stage for letter in await dead_letters(system.broker)] == ["emit"]


class RevokingBroker(FailingBroker):
    """A log whose group takes partitions away and gives them back, as one with several members does."""

    def member(self, topic: str, group: str, *asked: Any) -> GroupMember:
        member = super().member(topic, group, *asked)
        if topic != TOPICS.requests:
            return member
        self.only = member
        self.only.on_revoked = lambda forget: setattr(self, "forget", forget)
        return self.only

    async def take_and_give_back(self, partitions: int) -> None:
        for partition in range(partitions):
            self.only.pause(partition)
        await self.forget(frozenset(range(partitions)))
        for partition in range(partitions):
            await self.only.rewind(partition)
            self.only.resume(partition)


async def test_work_on_partitions_that_pass_on_is_finished_or_forgotten_and_done_once(tmp_path, monkeypatch):
    monkeypatch.setattr("processor.intake._HANDOVER_S", 0.05)
    brokers: list[RevokingBroker] = []

    def wrap(broker: Broker) -> RevokingBroker:
        brokers.append(RevokingBroker(broker, []))
        return brokers[0]

    async with running(tmp_path, wrap=wrap) as system:
        for turn in range(6):
            await system.send(*(match(n) for n in range(10 * turn, 10 * turn + 10)))
            await asyncio.sleep(0.02 * turn)
            await brokers[0].take_and_give_back(3)
        events = await system.wait_for(60)
        await system.processor.drain(DEADLINE_S)
        assert sorted(e["id"] for e in events) == sorted(f"m{n}" for n in range(60))
        assert len(await read_all(system.broker, TOPICS.events)) == 60


async def test_an_error_that_stays_stops_the_processor_and_says_so(tmp_path):
    async with running(tmp_path, wrap=lambda b: FailingBroker(b, [BrokerError("the log is damaged")])) as system:
        await system.send(match(1))
        with pytest.raises(BrokerError, match="the log is damaged"):
            async with asyncio.timeout(DEADLINE_S):
                await system.processor.failed()


async def test_the_offsets_stand_at_the_end_when_all_is_done(tmp_path):
    async with running(tmp_path) as system:
        await system.send(*(match(n) for n in range(9)))
        await system.wait_for(9)
        ends = await system.broker.end_offsets(TOPICS.requests)
    async with (
        open_embedded(tmp_path, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker,
        broker.member(TOPICS.requests, TOPICS.processors) as member,
    ):
        committed = {p: await member.committed(p) or 0 for p in ends}
    assert committed == dict(ends)
