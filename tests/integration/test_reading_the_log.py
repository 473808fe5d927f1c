"""events, record and the sink's runner on the embedded log, in one process with its owner."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.recorder import LogToRecord, record
from capture.recording.values import Tally, Wanted
from contract.captures.values import CaptureError, CaptureLine
from contract.codec import encode
from contract.requests import CompareRequest, FiqaRequest
from sinks.console import Choice, print_events
from sinks.jsonl import JsonlSink
from sinks.runner import reading_at, run_sink
from tests.support.records import (
    RECEIVED_S,
    TOPICS,
    append_decided,
    append_event,
    append_request,
    enrol_request,
    event_of,
    make_topics,
    match_request,
    no_face,
)
from tests.support.waiting import until


class Clock:
    """The log's clock: one second per record written, or as it is set."""

    def __init__(self) -> None:
        self.now_s = RECEIVED_S

    def __call__(self) -> int:
        return int(self.now_s * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def log(tmp_path: Path, clock: Clock) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=clock) as broker:
        await make_topics(broker)
        yield broker


async def printed(log: EmbeddedBroker, **options: object) -> list[str]:
    lines = bytearray()
    await print_events(log, TOPICS.events, lines.extend, asyncio.Event(), **options)  # type: ignore[arg-type]
    return [json.loads(line)["id"] for line in lines.splitlines()]


async def fill(log: EmbeddedBroker, clock: Clock, count: int) -> None:
    """`count` decided requests of alternating devices, a second apart, and an enrolment after them."""
    for number in range(count):
        clock.now_s = RECEIVED_S + number
        await append_decided(log, match_request(number, f"10.0.0.{number % 2}"))
    await append_decided(log, enrol_request(1))


async def test_events_are_printed_in_the_order_of_their_writing(log: EmbeddedBroker, clock: Clock) -> None:
    await fill(log, clock, 6)
    partitions = [offset for offset in (await log.end_offsets(TOPICS.events)).values() if offset]
    assert len(partitions) == 2, "the devices are meant to be in two partitions"
    assert await printed(log) == ["r0", "r1", "r2", "r3", "r4", "r5", "e1"]


async def test_the_printed_line_is_the_event_as_it_stands(log: EmbeddedBroker) -> None:
    value = b'{"kind":"match","id":"x","score":0.10000000000000001}'
    await log.append([NewRecord(TOPICS.events, b"k", value)])
    lines = bytearray()
    await print_events(log, TOPICS.events, lines.extend, asyncio.Event())
    assert bytes(lines) == value + b"\n"


async def test_events_can_be_chosen_by_kind_device_time_and_number(log: EmbeddedBroker, clock: Clock) -> None:
    await fill(log, clock, 4)
    assert await printed(log, choice=Choice(frozenset({"enrol", "delete"}))) == ["e1"]
    assert await printed(log, choice=Choice(frozenset({"match"}))) == ["r0", "r1", "r2", "r3"]
    assert await printed(log, choice=Choice(frozenset({"compare"}))) == []
    assert await printed(log, choice=Choice(device_ip="10.0.0.1")) == ["r1", "r3"]
    assert await printed(log, since_s=RECEIVED_S + 2) == ["r2", "r3", "e1"]
    assert await printed(log, since_s=RECEIVED_S + 99) == []
    assert await printed(log, limit=2) == ["r0", "r1"]


async def test_what_is_no_event_is_passed_over(log: EmbeddedBroker, clock: Clock) -> None:
    await log.append([NewRecord(TOPICS.events, None, value) for value in (b"\xff", b"[1]", b"", None)])
    await fill(log, clock, 1)
    assert await printed(log) == ["r0", "e1"]


async def test_following_goes_on_without_a_gap_or_a_double(log: EmbeddedBroker, clock: Clock) -> None:
    await fill(log, clock, 3)
    lines: list[str] = []
    stop = asyncio.Event()

    def write(data: bytes) -> None:
        lines.extend(json.loads(line)["id"] for line in data.splitlines())

    following = asyncio.create_task(print_events(log, TOPICS.events, write, stop, follow=True))
    for number in range(3, 30):
        await append_decided(log, match_request(number, f"10.0.0.{number % 2}"))
        await asyncio.sleep(0)
    await until(lambda: len(lines) >= 31)
    stop.set()
    assert (await following).events == 31
    assert sorted(lines) == sorted([f"r{n}" for n in range(30)] + ["e1"])


async def captured(
    log: EmbeddedBroker, out: Path, clock_s: float = RECEIVED_S + 1000, **options: object
) -> tuple[Tally, list[CaptureLine]]:
    with CaptureFolder(out) as folder:
        tally = await record(LogToRecord(log, TOPICS, lambda: clock_s, 0), folder, asyncio.Event(), **options)  # type: ignore[arg-type]
    return tally, [line for _, line in CaptureReader(out).lines()]


def ids(lines: Sequence[CaptureLine]) -> list[str]:
    return [line.request_id for line in lines]


async def test_a_recording_holds_requests_in_order_with_pictures_and_decisions(
    log: EmbeddedBroker, clock: Clock, tmp_path: Path
) -> None:
    await fill(log, clock, 5)
    clock.now_s += 1
    await append_decided(log, match_request(5), **no_face())
    tally, lines = await captured(log, tmp_path / "out")

    assert (tally.recorded, tally.undecided) == (6, 0)
    assert ids(lines) == [f"r{n}" for n in range(6)]
    assert [line.decision.error_code for line in lines if line.decision] == [None] * 5 + [40004]
    reader = CaptureReader(tmp_path / "out")
    assert [reader.picture(line.request.picture) for line in lines] == [match_request(n).picture for n in range(6)]
    assert lines[3].request.compare_time == RECEIVED_S + 3.25


async def test_a_recording_passes_over_all_that_is_no_match_and_waits_for_nothing_of_it(
    log: EmbeddedBroker, clock: Clock, tmp_path: Path
) -> None:
    two = CompareRequest(
        request_id="c1",
        face_picture=b"jpeg",
        card_picture=b"jpeg",
        compare_time_s=RECEIVED_S,
        received_time_s=RECEIVED_S,
    )
    one = FiqaRequest(request_id="q1", picture=b"jpeg", received_time_s=RECEIVED_S)
    await log.append([NewRecord(TOPICS.requests, r.key, encode(r)) for r in (two, one)])
    await fill(log, clock, 2)
    tally, lines = await captured(log, tmp_path / "capture")
    assert (tally.recorded, tally.undecided) == (2, 0)
    assert sorted(ids(lines)) == ["r0", "r1"]


async def test_a_recording_can_be_of_a_device_and_a_span_of_time(
    log: EmbeddedBroker, clock: Clock, tmp_path: Path
) -> None:
    await fill(log, clock, 8)
    span = Wanted(since_s=RECEIVED_S + 2, until_s=RECEIVED_S + 5)
    assert ids((await captured(log, tmp_path / "span", wanted=span))[1]) == ["r2", "r3", "r4", "r5"]
    device = Wanted(device_ip="10.0.0.1")
    assert ids((await captured(log, tmp_path / "device", wanted=device))[1]) == ["r1", "r3", "r5", "r7"]


async def test_a_recording_is_continued_where_it_was(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    await fill(log, clock, 3)
    await captured(log, tmp_path / "out")
    assert (await captured(log, tmp_path / "out"))[0].recorded == 0
    await append_decided(log, match_request(3))
    await append_decided(log, match_request(4, "10.0.0.0"))
    tally, lines = await captured(log, tmp_path / "out")
    assert tally.recorded == 2
    assert sorted(ids(lines)) == [f"r{n}" for n in range(5)]
    assert all(line.decision for line in lines)


async def test_a_capture_of_another_log_is_not_continued(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    await fill(log, clock, 3)
    await captured(log, tmp_path / "out")
    async with open_embedded(tmp_path / "other", role="owner", clock_ms=clock) as other:
        await make_topics(other)
        with pytest.raises(CaptureError, match="another log"):
            await captured(other, tmp_path / "out")
        for number in range(20, 40):  # by now it has requests at the same places
            await append_decided(other, match_request(number, f"10.0.0.{number % 2}"))
        with pytest.raises(CaptureError, match="another log"):
            await captured(other, tmp_path / "out")


async def test_a_request_without_an_event_is_recorded_undecided_and_those_after_it_decided(
    log: EmbeddedBroker, tmp_path: Path
) -> None:
    await append_decided(log, match_request(0))
    await append_request(log, match_request(1))
    await log.append([NewRecord(TOPICS.requests, b"k", b"\xc1 no request")])
    await append_decided(log, match_request(2))
    tally, lines = await captured(log, tmp_path / "out")
    assert (tally.recorded, tally.undecided) == (3, 1)
    assert [(line.request_id, line.decision is not None) for line in lines] == [
        ("r0", True),
        ("r1", False),
        ("r2", True),
    ]


async def test_a_young_request_is_waited_for_while_following(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    stop = asyncio.Event()
    with CaptureFolder(tmp_path / "out") as folder:
        recording = asyncio.create_task(
            record(LogToRecord(log, TOPICS, lambda: clock.now_s, 0), folder, stop, follow=True)
        )
        place = await append_request(log, match_request(1))
        requests = tmp_path / "out" / "requests.jsonl"
        await asyncio.sleep(0.5)
        assert requests.read_bytes() == b""
        await append_event(log, event_of(match_request(1), place))
        await until(requests.read_bytes)
        stop.set()
        tally = await recording
    assert (tally.recorded, tally.undecided) == (1, 0)


async def test_a_stop_leaves_the_undecided_for_the_next_time(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    await append_request(log, match_request(1))
    stop = asyncio.Event()
    with CaptureFolder(tmp_path / "out") as folder:
        recording = asyncio.create_task(record(LogToRecord(log, TOPICS, lambda: clock.now_s, 0), folder, stop))
        await asyncio.sleep(0.3)
        stop.set()
        assert (await recording).recorded == 0
    tally, _ = await captured(log, tmp_path / "out")
    assert (tally.recorded, tally.undecided) == (1, 1)


async def test_a_following_recording_ends_at_its_end_time(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    await fill(log, clock, 2)
    async with asyncio.timeout(10):
        wanted = Wanted(until_s=RECEIVED_S + 50)
        tally, _ = await captured(log, tmp_path / "out", wanted=wanted, follow=True)
    assert tally.recorded == 2


async def test_the_sink_goes_on_where_it_was(log: EmbeddedBroker, clock: Clock, tmp_path: Path) -> None:
    out = tmp_path / "files"

    async def carry() -> int:
        sink = JsonlSink(out, TOPICS.events, "g", max_bytes=2000, max_age_s=3600, clock_s=time.time)
        async with log.member(TOPICS.events, "g") as member:
            ends = await log.end_offsets(TOPICS.events)
            read_at = reading_at(log, TOPICS.events)
            return await run_sink(sink, member, ends, asyncio.Event(), read_at=read_at, idle_exit_s=0.1, max_batch=2)

    await fill(log, clock, 10)
    assert await carry() == 11
    assert await carry() == 0
    await append_decided(log, match_request(10))
    assert await carry() == 1
    paths = sorted(out.glob("events-*"))
    assert len(paths) > 2
    lines = [json.loads(line)["id"] for path in paths for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted([f"r{n}" for n in range(11)] + ["e1"])
