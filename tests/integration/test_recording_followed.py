"""A recording that follows the log: in the order of the requests, up to its end, through outages, beside the server."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.embedded.upkeep import truncate_wal
from broker.partitioner import partition_of
from broker.port import Broker, BrokerUnavailable
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.recorder import LogToRecord, record
from capture.recording.values import Tally, Wanted
from contract.captures.values import CaptureLine
from picturematch.settings import LogSettings
from tests.support.faulty_log import IN_MEMORY
from tests.support.recorded import recorded_at
from tests.support.records import RECEIVED_S, TOPICS, append_decided, append_event, append_request, event_of
from tests.support.records import match_request as request_of
from tests.support.troubled_log import TroubledLog
from tests.support.waiting import until, until_asked

PARTITIONS = 8
PATIENCE_S = 20.0


@dataclass
class Site:
    """A log with a clock that the test sets, and a recording of it in the folder `out`."""

    log: EmbeddedBroker
    out: Path
    clock: list[float]
    sent: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now_s(self) -> float:
        """The time of the log's clock, in epoch seconds."""
        return self.clock[0]

    @now_s.setter
    def now_s(self, now_s: float) -> None:
        self.clock[0] = now_s

    async def decide(self, at_s: float, device: int) -> str:
        """Append a request of a device at a time after the beginning, with its event; return its id."""
        self.now_s = RECEIVED_S + at_s
        request = request_of(self.sent, f"10.0.0.{device}")
        self.sent += 1
        await append_decided(self.log, request)
        return request.request_id

    async def follow(self, broker: Broker | None = None, **options: object) -> Tally:
        """Record with --follow."""
        log = LogToRecord(broker or self.log, TOPICS, lambda: self.now_s, 10**9)
        with CaptureFolder(self.out) as folder:
            return await record(log, folder, self.stop, follow=True, **options)  # type: ignore[arg-type]

    def lines(self) -> list[CaptureLine]:
        """The lines of the capture."""
        return [line for _, line in CaptureReader(self.out, keep_going=True).lines()]

    def count(self) -> int:
        """The number of lines."""
        requests = self.out / "requests.jsonl"
        return requests.read_bytes().count(b"\n") if requests.exists() else 0


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("capture.recording.requests._TICK_S", 0.05)
    monkeypatch.setattr("broker.patient._RETRY_S", 0.001)
    clock = [RECEIVED_S]
    with tempfile.TemporaryDirectory(prefix="picturematch-log-", dir=IN_MEMORY) as data:
        async with open_embedded(Path(data), role="owner", clock_ms=lambda: int(clock[0] * 1000)) as log:
            await log.ensure_topics(LogSettings(request_partitions=PARTITIONS).topic_specs(TOPICS))
            yield Site(log, tmp_path / "out", clock)


async def test_lines_of_all_partitions_are_in_the_order_of_their_requests(site: Site) -> None:
    following = asyncio.create_task(site.follow())
    await until(lambda: (site.out / "capture.json").exists(), PATIENCE_S)
    ids = [await site.decide(number, number % 40) for number in range(80)]
    await until(lambda: site.count() == 80, PATIENCE_S)
    site.stop.set()
    tally = await following
    assert [line.request_id for line in site.lines()] == ids
    assert len({line.place.partition for line in site.lines() if line.place}) == PARTITIONS
    assert (tally.recorded, tally.undecided) == (80, 0)


async def test_an_end_leaves_out_no_request_that_was_written_before_it_in_any_partition(site: Site) -> None:
    """A request behind the end is read in one partition, before those of the others that are in time."""
    following = asyncio.create_task(site.follow(wanted=Wanted(until_s=RECEIVED_S + 100)))
    await until(lambda: (site.out / "capture.json").exists(), PATIENCE_S)
    in_time = [await site.decide(number, number) for number in range(40)]
    await site.decide(101, 0)
    others = [device for device in range(1, 40) if partition_of_device(device) != partition_of_device(0)]
    in_time += [await site.decide(99, device) for device in others]  # other clocks, or slower senders
    site.now_s = RECEIVED_S + 106
    tally = await asyncio.wait_for(following, PATIENCE_S)
    assert sorted(line.request_id for line in site.lines()) == sorted(in_time)
    assert tally.recorded == len(in_time)


def partition_of_device(device: int) -> int:
    return partition_of(request_of(0, f"10.0.0.{device}").key, PARTITIONS)


async def test_a_backlog_is_read_partition_by_partition_and_then_followed_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.recording.requests._MOST_TOGETHER", 4)
    ids = [await site.decide(number, number % 40) for number in range(10)]
    following = asyncio.create_task(site.follow())
    for first in (10, 30):
        await until(lambda first=first: site.count() == first, PATIENCE_S)
        ids += [await site.decide(number, number % 40) for number in range(first, first + 20)]
    await until(lambda: site.count() == 50, PATIENCE_S)
    ids.append(await site.decide(60, 1))
    await until(lambda: site.count() == 51, PATIENCE_S)
    site.stop.set()
    assert (await following).undecided == 0
    assert sorted(line.request_id for line in site.lines()) == sorted(ids)


async def test_outages_of_the_log_do_not_end_it_and_lose_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    calls: Counter[str] = Counter()

    def fail(topic: str) -> bool:
        """Every second call fails."""
        calls[topic] += 1
        if calls[topic] % 2:
            raise BrokerUnavailable("gone for a moment")
        return False

    def fail_call(topic: str) -> None:
        fail(f"call {topic}")

    following = asyncio.create_task(site.follow(TroubledLog(site.log, fail, fail_call)))  # type: ignore[arg-type]
    ids = [await site.decide(number, number % 40) for number in range(20)]
    await until(lambda: site.count() == 20 or following.done(), PATIENCE_S)
    ids += [await site.decide(number, number % 40) for number in range(20, 40)]
    await until(lambda: site.count() == 40 or following.done(), PATIENCE_S)
    assert {f"call {TOPICS.people}", f"call {TOPICS.evidence}", f"call {TOPICS.requests}", TOPICS.events} <= set(calls)
    calls.clear()
    site.stop.set()
    with pytest.raises(BrokerUnavailable, match="gone for a moment"):
        await following  # it is not waited for once the recording was stopped
    assert sorted(line.request_id for line in site.lines()) == sorted(ids)
    assert all(line.decision for line in site.lines())
    assert "gone for a moment; reading is tried again until the log can be read" in caplog.messages


async def test_without_following_an_outage_ends_it(site: Site) -> None:
    await site.decide(1, 1)

    def fail(topic: str) -> bool:
        raise BrokerUnavailable("gone")

    with pytest.raises(BrokerUnavailable, match="gone"):
        await recorded_at(TroubledLog(site.log, fail), site.out, lambda: site.now_s)  # type: ignore[arg-type]


@pytest.mark.parametrize("follow", [False, True])
async def test_a_decision_that_is_there_is_found_however_slowly_the_log_answers(site: Site, follow: bool) -> None:
    """A fetch that returns nothing says nothing about what the log contains."""
    fetches: Counter[str] = Counter()

    def slow(topic: str) -> bool:
        fetches[topic] += 1
        return topic == TOPICS.events and fetches[topic] % 10 != 0

    ids = [await site.decide(number, number % 40) for number in range(20)]
    site.now_s += 3600  # long after --wait
    slow_log = TroubledLog(site.log, slow)
    if follow:
        following = asyncio.create_task(site.follow(slow_log))  # type: ignore[arg-type]
        await until(lambda: site.count() == 20, PATIENCE_S)
        for _ in range(20):
            at_s = site.now_s - RECEIVED_S
            ids.append(await site.decide(at_s, site.sent % 40))
            site.now_s += 3600
        await until(lambda: site.count() == 40, PATIENCE_S)
        site.stop.set()
        await following
    else:
        await recorded_at(slow_log, site.out, lambda: site.now_s)  # type: ignore[arg-type]
    assert sorted(line.request_id for line in site.lines()) == sorted(ids)
    assert all(line.decision for line in site.lines())


async def test_an_event_that_comes_late_is_found_before_its_request_is_given_up(site: Site) -> None:
    following = asyncio.create_task(site.follow(wait_s=10.0))
    await until(lambda: (site.out / "capture.json").exists(), PATIENCE_S)
    request = request_of(1, "10.0.0.1")
    place = await append_request(site.log, request)
    site.now_s += 9
    await append_event(site.log, event_of(request, place))
    site.now_s += 9
    await until(lambda: site.count() == 1, PATIENCE_S)
    site.stop.set()
    assert (await following).undecided == 0


async def test_between_two_ticks_a_recording_holds_nothing_of_the_log_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the server can copy and restart its WAL, and no commit waits for a recording."""
    monkeypatch.setattr("capture.recording.requests._TICK_S", 3600.0)
    stop, out = asyncio.Event(), tmp_path / "out"
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(LogSettings(request_partitions=2).topic_specs(TOPICS))
        for number in range(20):
            await append_decided(log, request_of(number, f"10.0.0.{number}"))
        async with open_embedded(tmp_path / "data", role="guest", clock_ms=lambda: 0) as guest:
            with CaptureFolder(out) as folder:
                opened = LogToRecord(guest, TOPICS, time.time, 10**9)
                following = asyncio.create_task(record(opened, folder, stop, follow=True))
                requests = out / "requests.jsonl"
                await until(lambda: requests.read_bytes().count(b"\n") == 20, PATIENCE_S)
                await append_decided(log, request_of(20))

                async def truncated() -> bool:
                    return await log._log.housekeeper._writer.submit_alone(truncate_wal)  # type: ignore[union-attr]

                await until_asked(truncated, PATIENCE_S)
                assert (tmp_path / "data" / "log.sqlite-wal").stat().st_size == 0
                stop.set()
                assert (await following).recorded == 20
