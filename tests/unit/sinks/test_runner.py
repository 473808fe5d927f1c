import asyncio
from collections.abc import Mapping, Sequence

import pytest

from broker.port import BrokerInUse, BrokerUnavailable, CommitFailed, NewRecord, OnRevoked, Record
from sinks.port import PartitionOffsets, ReadAt, SinkBusy, SinkError
from sinks.runner import run_sink
from tests.support.waiting import until


class ScriptedMember:
    """A group member that gives what it is told to: batches, errors to raise, or nothing for ever."""

    def __init__(self, steps: Sequence[Sequence[Record] | Exception], story: list[str]) -> None:
        self._steps = list(steps)
        self._story = story
        self.fail_commits: list[Exception] = []
        self.fail_committed: list[Exception] = []
        self.fail_rewinds: list[Exception] = []
        self.cancelled = False
        self.assigned = frozenset({0, 1})
        self.forget: OnRevoked | None = None

    def on_revoked(self, forget: OnRevoked) -> None:
        self.forget = forget

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        if not self._steps:
            try:
                await asyncio.wait_for(asyncio.Event().wait(), timeout_s)
            except TimeoutError:
                return ()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def assignment(self) -> frozenset[int]:
        return self.assigned

    async def committed(self, partition: int) -> int | None:
        if self.fail_committed:
            raise self.fail_committed.pop(0)
        return 5 if partition == 0 else None

    async def commit(self, partition: int, next_offset: int, outputs: Sequence[NewRecord] = ()) -> Sequence[object]:
        if self.fail_commits:
            raise self.fail_commits.pop(0)
        self._story.append(f"commit {partition}:{next_offset}")
        return ()

    async def rewind(self, partition: int) -> None:
        if self.fail_rewinds:
            raise self.fail_rewinds.pop(0)
        self._story.append(f"rewind {partition}")


class TellingSink:
    def __init__(self, story: list[str]) -> None:
        self._story = story
        self.flush_errors: list[Exception] = []
        self.standings: Mapping[int, PartitionOffsets] = {}

    async def setup(self, standings: Mapping[int, PartitionOffsets], read_at: ReadAt) -> None:
        self.standings = standings

    async def add(self, records: Sequence[Record]) -> None:
        self._story.append("add " + " ".join(f"{r.partition}:{r.offset}" for r in records))

    async def flush(self) -> None:
        if self.flush_errors:
            raise self.flush_errors.pop(0)
        self._story.append("flush")

    async def close(self) -> None:
        self._story.append("close")


async def nothing_there(partition: int, offset: int) -> Record | None:
    return None


def record(partition: int, offset: int) -> Record:
    return Record("events", partition, offset, 0, None, b"{}")


async def run(
    sink: TellingSink,
    member: ScriptedMember,
    idle_exit_s: float | None = 0.01,
    stop: asyncio.Event | None = None,
    gather_s: float = 0.0,
) -> int:
    return await run_sink(
        sink,
        member,  # type: ignore[arg-type]
        {0: 9, 1: 3},
        stop or asyncio.Event(),
        read_at=nothing_there,
        gather_s=gather_s,
        idle_exit_s=idle_exit_s,
    )


async def test_a_checkpoint_flushes_before_it_commits() -> None:
    story: list[str] = []
    member = ScriptedMember([[record(0, 5), record(1, 2), record(0, 6)]], story)
    sink = TellingSink(story)

    assert await run(sink, member) == 3
    assert story == ["add 0:5 1:2 0:6", "flush", "commit 0:7", "commit 1:3", "close"]
    assert sink.standings == {0: PartitionOffsets(5, 9), 1: PartitionOffsets(None, 3)}


async def test_records_gather_after_a_checkpoint_unless_the_sink_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    story: list[str] = []

    async def pause(seconds: float, _: asyncio.Event) -> bool:
        story.append(f"wait {seconds:g}")
        return False

    monkeypatch.setattr("sinks.runner.pause", pause)
    many = [record(0, offset) for offset in range(6, 71)]
    member = ScriptedMember([[record(0, 5)], many, [record(0, 71)]], story)
    assert await run(TellingSink(story), member, gather_s=0.25) == 67
    assert [step for step in story if not step.startswith("add")] == [
        *("flush", "commit 0:6", "wait 0.25"),
        *("flush", "commit 0:71"),
        *("flush", "commit 0:72", "wait 0.25", "close"),
    ]


async def test_a_stop_ends_the_gathering() -> None:
    story: list[str] = []
    stop = asyncio.Event()
    member = ScriptedMember([[record(0, 5)]], story)
    work = asyncio.create_task(run(TellingSink(story), member, None, stop, gather_s=60))
    await until(lambda: "commit 0:6" in story)
    stop.set()
    assert await asyncio.wait_for(work, 5) == 1
    assert story[-1] == "close"


async def test_a_log_that_is_out_of_reach_at_the_start_is_waited_for() -> None:
    story: list[str] = []
    member = ScriptedMember([[record(0, 5)]], story)
    member.fail_committed = [BrokerUnavailable("out of reach")] * 2
    sink = TellingSink(story)
    assert await run(sink, member) == 1
    assert sink.standings[0] == PartitionOffsets(5, 9)


async def test_nothing_is_committed_when_the_destination_fails() -> None:
    story: list[str] = []
    sink = TellingSink(story)
    sink.flush_errors = [SinkError("the disk is full")]
    with pytest.raises(SinkError, match="disk"):
        await run(sink, ScriptedMember([[record(0, 5)]], story))
    assert story == ["add 0:5", "close"]


async def test_a_busy_destination_is_asked_again_without_adding_again() -> None:
    story: list[str] = []
    sink = TellingSink(story)
    sink.flush_errors = [SinkBusy(0.001), SinkBusy(0.001)]
    await run(sink, ScriptedMember([[record(0, 5)]], story))
    assert story == ["add 0:5", "flush", "commit 0:6", "close"]


async def test_after_a_failed_commit_delivery_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sinks.runner._AFTER_FAILED_COMMIT_S", 0.001)
    story: list[str] = []
    member = ScriptedMember([[record(0, 5)]] * 3, story)
    member.fail_commits = [CommitFailed("the disk is full"), CommitFailed("the disk is full")]
    assert await run(TellingSink(story), member) == 1
    failed = ["add 0:5", "flush", "rewind 0"]
    assert story == [*failed, *failed, "add 0:5", "flush", "commit 0:6", "close"]
    assert caplog.messages == ["the disk is full"], "the user is told once"


async def test_events_that_another_process_writes_too_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sinks.runner._AFTER_FAILED_COMMIT_S", 0.001)
    member = ScriptedMember([[record(0, 5), record(1, 2)]], [])
    member.fail_commits = [CommitFailed("taken over")]
    member.assigned = frozenset({1})
    await run(TellingSink([]), member)
    told, failure = caplog.messages
    assert told.startswith("partition 0 passed to another process of the group before offset 5 was committed")
    assert failure == "taken over"


async def test_a_log_that_is_lost_at_a_commit_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.runner._AFTER_FAILED_COMMIT_S", 0.001)
    monkeypatch.setattr("sinks.waiting.RETRY_FIRST_S", 0.001)
    story: list[str] = []
    member = ScriptedMember([[record(0, 5)]] * 2, story)
    member.fail_commits = [BrokerUnavailable("gone")]
    member.fail_rewinds = [BrokerUnavailable("gone")] * 3
    assert await run(TellingSink(story), member) == 1
    assert story == ["add 0:5", "flush", "rewind 0", "add 0:5", "flush", "commit 0:6", "close"]


async def test_a_log_out_of_reach_is_tried_again_and_any_other_error_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sinks.waiting.RETRY_FIRST_S", 0.001)
    story: list[str] = []
    steps = [BrokerUnavailable("gone"), BrokerUnavailable("gone"), [record(0, 5)], BrokerInUse("taken")]
    with pytest.raises(BrokerInUse):
        await run(TellingSink(story), ScriptedMember(steps, story))
    assert "commit 0:6" in story
    assert caplog.messages == ["gone"]


async def test_partitions_pass_on_when_what_is_in_hand_is_committed() -> None:
    story: list[str] = []
    member, sink = ScriptedMember([[record(0, 5)]], story), TellingSink(story)
    flushing, may_flush = asyncio.Event(), asyncio.Event()
    flush = sink.flush

    async def slow_flush() -> None:
        flushing.set()
        await may_flush.wait()
        await flush()

    sink.flush = slow_flush  # type: ignore[method-assign]
    stop = asyncio.Event()
    running = asyncio.create_task(run_sink(sink, member, {0: 9}, stop, read_at=nothing_there))  # type: ignore[arg-type]
    await flushing.wait()
    assert member.forget is not None
    handing_over = asyncio.ensure_future(member.forget(frozenset({0})))
    await asyncio.sleep(0.01)
    assert not handing_over.done()
    may_flush.set()
    await asyncio.wait_for(handing_over, 5)
    assert story[:3] == ["add 0:5", "flush", "commit 0:6"]
    await asyncio.wait_for(member.forget(frozenset({0})), 5)  # nothing is in hand, so nothing is waited for
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_stop_ends_the_waiting_and_closes_the_sink() -> None:
    story: list[str] = []
    member = ScriptedMember([[record(0, 5)]], story)
    stop = asyncio.Event()
    running = asyncio.create_task(run_sink(TellingSink(story), member, {0: 9}, stop, read_at=nothing_there))  # type: ignore[arg-type]
    await until(lambda: "commit 0:6" in story)
    stop.set()
    assert await asyncio.wait_for(running, 5) == 1
    assert member.cancelled
    assert story[-1] == "close"
