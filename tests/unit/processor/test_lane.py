"""A lane that follows another one: what that one decided is known before the next decision about a person."""

import asyncio
from collections.abc import Sequence

import orjson

from broker.port import FollowUp, NewRecord, Position, Record
from engine.gallery.people import People, person_key
from engine.messages import EnrolRequest, PersonRecord, encode
from engine.policy import Policy
from engine.topics import Topics
from processor.envelope import Envelope
from processor.examine import Examined, ExaminedPerson
from processor.lane import Lane, LaneHooks
from processor.outputs import Emitter

TOPICS = Topics()
ANNA = PersonRecord(identity_id="anna", group_names=("default_group",), info={}, faces=(0,), next_face=1)


class Member:
    """A group member that keeps what is committed."""

    def __init__(self) -> None:
        self.written: list[NewRecord] = []

    async def commit(
        self, partition: int, next_offset: int, outputs: Sequence[NewRecord] = (), follow_up: FollowUp | None = None
    ) -> Sequence[Position]:
        positions = [Position(new.topic, 0, number) for number, new in enumerate(outputs)]
        self.written += [*outputs, *(follow_up(positions) if follow_up else ())]
        return positions


async def test_people_that_an_earlier_owner_of_the_partition_enrolled_are_read_before_the_next_is_decided() -> None:
    people, member, done = People(4, "model"), Member(), asyncio.Event()

    async def reached(version: int, timeout_s: float) -> bool:
        if version > people.version:
            people.apply([Record(TOPICS.people, 0, version - 1, 0, person_key("anna"), encode(ANNA))])
        return True

    async def people_end() -> int:
        return 7

    async def examine(record: Record) -> Examined:
        request = EnrolRequest(request_id="e2", identity_id="anna", received_time_s=1.0)
        return ExaminedPerson(record, Envelope("e2", None, None, 0), request)

    emitter = Emitter(TOPICS, Policy(), {}, "/test", lambda: 2.0)
    hooks = LaneHooks(lambda _: done.set(), lambda _: None, lambda: None)
    lane = Lane(0, member, examine, emitter, people, reached, people_end, "model", hooks)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    lane.put(Record(TOPICS.requests, 0, 0, 0, b"anna", b""))
    async with asyncio.timeout(5):
        await done.wait()
    running.cancel()
    await asyncio.wait([running])
    (event,) = [orjson.loads(new.value or b"") for new in member.written]
    assert event["error"]["status"] == "IDENTITY_EXSIT_ERROR"
