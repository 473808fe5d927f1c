"""A lane by itself: what it knows before it decides about a person, and what it commits together."""

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from broker.port import CommitFailed, FollowUp, NewRecord, Position, Record
from contract.codec import encode
from contract.people.keys import person_key
from contract.people.records import PersonRecord
from contract.requests import EnrolRequest
from contract.topics import Topics
from engine.calls.enrol import EnrolCall
from engine.context import Contexts
from engine.gallery.people import People
from processor.admin_lane import AdminCommits
from processor.commits import Commits
from processor.envelope import Envelope
from processor.lane import Lane, LaneHooks
from processor.outputs import Emitter, Ids
from processor.people import PeopleAccess
from processor.processing import Failure, Processed, unreadable
from tests.support.commits import Member, Unchanged
from tests.support.faces import context

TOPICS = Topics()
ANNA = PersonRecord(identity_id="anna", group_ids=("default_group",), info={}, faces=(0,), next_face=1)


async def test_people_that_an_earlier_owner_of_the_partition_enrolled_are_read_before_the_next_is_decided() -> None:
    people, member, done = People(4, "model"), Member(), asyncio.Event()

    async def reached(version: int, timeout_s: float) -> bool:
        if version > people.version:
            people.apply([Record(TOPICS.people, 0, version - 1, 0, person_key("anna"), encode(ANNA))])
        return True

    class Log:
        async def end_offsets(self, topic: str) -> dict[int, int]:
            return {0: 7}

    async def process(record: Record) -> Processed:
        request = EnrolRequest(request_id="e2", identity_id="anna", received_time_s=1.0)
        return Processed(record, Envelope("e2", None, None, 0), EnrolCall(), request, context())

    emitter = Emitter(TOPICS, Contexts(context()), Ids({}, "m"), "/test", lambda: 2.0)
    hooks = LaneHooks(lambda _: done.set(), lambda _: None, lambda: None)
    access = PeopleAccess(Log(), TOPICS.people, None, people, reached)  # type: ignore[arg-type]
    commits = AdminCommits(0, member, Unchanged(), emitter, access)  # type: ignore[arg-type]
    lane = Lane(0, member, process, commits, hooks)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    lane.put(Record(TOPICS.requests, 0, 0, 0, b"anna", b""))
    async with asyncio.timeout(5):
        await done.wait()
    running.cancel()
    await asyncio.wait([running])
    (event,) = [orjson.loads(new.value or b"") for new in member.written if new.topic == TOPICS.events]
    assert event["error"]["status"] == "IDENTITY_EXSIT_ERROR"


@pytest.mark.parametrize(("wait_s", "commits"), [(5.0, [3]), (0.0, [1, 3])], ids=["waiting", "not waiting"])
async def test_a_finished_result_waits_a_moment_for_those_behind_it(wait_s: float, commits: list[int]) -> None:
    people, member, committed = People(4, "model"), Member(), asyncio.Semaphore(0)
    second = asyncio.Event()

    async def process(record: Record) -> Processed:
        if record.offset == 1:
            await second.wait()
        return unreadable(
            record, Envelope(f"r{record.offset}", None, None, 0), context(), Failure("decode", "no request")
        )

    async def never(*_: object) -> bool:
        raise AssertionError("nobody asks about people here")

    emitter = Emitter(TOPICS, Contexts(context()), Ids({}, "m"), "/test", lambda: 2.0)
    hooks = LaneHooks(lambda _: committed.release(), lambda _: None, lambda: None)
    access = PeopleAccess(None, TOPICS.people, None, people, never)  # type: ignore[arg-type]
    writer = Commits(0, member, Unchanged(), emitter, access)  # type: ignore[arg-type]
    lane = Lane(0, member, process, writer, hooks, lambda _: wait_s)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    for offset in range(3):
        lane.put(Record(TOPICS.requests, 0, offset, 0, b"k", b""))
    async with asyncio.timeout(5):
        if wait_s == 0:
            await committed.acquire()
        await asyncio.sleep(0.02)
        second.set()
        await lane.idle()
    running.cancel()
    await asyncio.wait([running])
    assert member.next_offsets == commits


class FailingMember(Member):
    """A group member whose first commit fails; it keeps what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def commit(
        self, partition: int, next_offset: int, outputs: Sequence[NewRecord] = (), *then: FollowUp
    ) -> Sequence[Position]:
        self.asked.append("commit")
        if len(self.asked) == 1:
            raise CommitFailed("aborted")
        return await super().commit(partition, next_offset, outputs, *then)

    def pause(self, partition: int) -> None:
        self.asked.append("pause")

    async def rewind(self, partition: int) -> None:
        self.asked.append("rewind")

    def resume(self, partition: int) -> None:
        self.asked.append("resume")


class Unread:
    """Results that are written as dead letters; keeps whether it was asked to forget."""

    def __init__(self, member: Member) -> None:
        people = People(4, "model")
        emitter = Emitter(TOPICS, Contexts(context()), Ids({}, "m"), "/test", lambda: 2.0)
        access = PeopleAccess(None, TOPICS.people, None, people, None)  # type: ignore[arg-type]
        self.commits = Commits(0, member, Unchanged(), emitter, access)  # type: ignore[arg-type]

    async def process(self, record: Record) -> Processed:
        if record.value == b"defect":
            raise ZeroDivisionError
        return unreadable(
            record, Envelope(f"r{record.offset}", None, None, 0), context(), Failure("decode", "no request")
        )


async def test_after_a_commit_that_failed_records_leave_between_the_rewind_and_the_resumption() -> None:
    member = FailingMember()
    unread = Unread(member)
    hooks = LaneHooks(lambda _: None, lambda count: member.asked.append(f"{count} left"), lambda: None)
    lane = Lane(0, member, unread.process, unread.commits, hooks)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    async with asyncio.timeout(5):
        lane.put(Record(TOPICS.requests, 0, 0, 0, b"k", b""))
        await lane.idle()
        lane.put(Record(TOPICS.requests, 0, 0, 0, b"k", b""))
        await lane.idle()
    running.cancel()
    await asyncio.wait([running])
    assert member.asked == ["commit", "pause", "rewind", "1 left", "resume", "commit", "1 left", "0 left"]
    assert member.next_offsets == [1]


async def test_a_lane_whose_work_fails_ends_with_that_error_and_is_idle() -> None:
    member = FailingMember()
    unread = Unread(member)
    hooks = LaneHooks(lambda _: None, lambda count: member.asked.append(f"{count} left"), lambda: None)
    lane = Lane(0, member, unread.process, unread.commits, hooks)  # type: ignore[arg-type]
    for offset in range(2):
        lane.put(Record(TOPICS.requests, 0, offset, 0, b"k", b"defect"))
    async with asyncio.timeout(5):
        with pytest.raises(ZeroDivisionError):
            await lane.run()
        await lane.idle()
    assert member.asked == ["2 left"]
