"""The people of a recording, on an embedded log that compacts: from which version on they can be folded, and whether a
capture can be continued."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import EmbeddedBroker, Erasure, file_erasure, open_embedded
from broker.port import NewRecord, Position
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.values import Tally
from contract.captures.values import CaptureError
from picturematch.settings import LogSettings
from tests.support.recorded import DAY_MS, recorded_at
from tests.support.records import RECEIVED_S, TOPICS, append_event, append_request, event_of, match_request
from tests.support.waiting import until

HISTORY_MS = 7 * DAY_MS
DAY_S = DAY_MS / 1000


@dataclass
class Log:
    """A log whose clock a test sets."""

    broker: EmbeddedBroker
    now_s: float
    history_ms: int
    matches: int = 0

    def __call__(self) -> int:
        return int(self.now_s * 1000)

    async def person(self, name: str, value: bytes | None = b"value") -> int:
        """Write a record of a person a second later; return the gallery version that contains it."""
        self.now_s += 1
        key = f"person/{name}".encode()
        (place,) = await self.broker.append([NewRecord(TOPICS.people, key, value, partition=0)])
        return place.offset + 1

    async def match(self, version: int) -> None:
        """Write a request that is decided at a gallery version."""
        self.matches += 1
        place = await append_request(self.broker, match_request(self.matches))
        changes: dict[str, Any] = {"gallery_version": version, "processed_time": self.now_s}
        await append_event(self.broker, event_of(match_request(self.matches), place, **changes))

    async def days_pass(self, days: float) -> None:
        self.now_s += days * DAY_S
        await self.broker.housekeep()

    async def record(self, out: Path) -> Tally:
        return await recorded_at(self.broker, out, lambda: self.now_s, history_ms=self.history_ms)


@pytest.fixture(params=[HISTORY_MS])
async def log(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    found: list[Log] = []

    def clock_ms() -> int:
        return found[0]() if found else int(RECEIVED_S * 1000)

    opened = open_embedded(
        tmp_path / "data", role="owner", clock_ms=clock_ms, boottime_ms=clock_ms, housekeeping_s=3600
    )
    async with opened as broker:
        settings = LogSettings(request_partitions=2, people_history_ms=request.param, requests_retention_ms=90 * DAY_MS)
        await broker.ensure_topics(settings.topic_specs(TOPICS))
        found.append(Log(broker, RECEIVED_S, request.param))
        yield found[0]


def keys_of(out: Path) -> list[tuple[int, bytes, bytes | None]]:
    return [(line.offset, line.key, line.value) for _, line in CaptureReader(out).people()]


async def test_changes_within_the_history_can_be_folded_from_the_beginning(log: Log, tmp_path: Path) -> None:
    for version in [await log.person("anna"), await log.person("ben"), await log.person("anna", None)]:
        await log.match(version)
    await log.days_pass(6)
    tally = await log.record(tmp_path / "out")
    assert (tally.people_from, tally.too_old) == (0, 0)
    assert len(keys_of(tmp_path / "out")) == 3


async def test_decisions_before_a_change_that_is_older_than_the_history_are_too_old(log: Log, tmp_path: Path) -> None:
    first = await log.person("anna")
    await log.match(first)
    changed = await log.person("anna", b"changed")
    await log.match(changed)
    await log.days_pass(8)
    await log.match(await log.person("ben"))
    tally = await log.record(tmp_path / "out")
    assert (tally.people_from, tally.too_old) == (changed, 1)
    assert [key for _, key, _ in keys_of(tmp_path / "out")] == [b"person/anna", b"person/ben"]
    assert CaptureReader(tmp_path / "out").manifest.people_from == changed


async def test_a_change_behind_the_last_decision_counts_too(log: Log, tmp_path: Path) -> None:
    """The record that it replaced was there when the decision was made, and is gone."""
    await log.match(await log.person("anna"))
    changed = await log.person("anna", b"changed")
    await log.days_pass(8)
    tally = await log.record(tmp_path / "out")
    assert (tally.people_from, tally.too_old) == (changed, 1)


async def test_a_deletion_that_is_gone_with_its_traces_makes_earlier_decisions_too_old(
    log: Log, tmp_path: Path
) -> None:
    await log.person("anna")
    ben = await log.person("ben")
    await log.match(ben)
    await log.person("ben", None)
    await log.days_pass(7.5)
    await log.days_pass(2)
    assert (await log.record(tmp_path / "out")).too_old == 1
    await log.match(1)  # by a processor that was started when no trace was left
    tally = await log.record(tmp_path / "later")
    assert tally.recorded == 2


async def test_an_erased_person_makes_the_decisions_about_the_person_too_old(log: Log, tmp_path: Path) -> None:
    await log.person("anna")
    ben = await log.person("ben")
    await log.match(ben)
    await log.match(await log.person("carla"))
    deleted = await log.person("ben", None)
    erasure = Erasure((Position(TOPICS.people, 0, ben - 1),), NewRecord(TOPICS.events, b"k", b"{}"))
    filed = file_erasure(tmp_path / "data", erasure, "ben")
    await until(lambda: not filed.exists(), 20)
    tally = await log.record(tmp_path / "out")
    assert (tally.people_from, tally.too_old) == (deleted, 2)
    await log.match(deleted)
    tally = await log.record(tmp_path / "later")
    assert (tally.people_from, tally.too_old) == (deleted, 2)


async def test_a_capture_is_continued_within_the_history_and_not_after_it(log: Log, tmp_path: Path) -> None:
    await log.match(await log.person("anna"))
    await log.record(tmp_path / "out")
    await log.days_pass(6)
    await log.match(await log.person("anna", b"changed"))
    assert (await log.record(tmp_path / "out")).too_old == 0
    assert len(keys_of(tmp_path / "out")) == 2

    await log.match(await log.person("anna", b"changed again"))
    await log.days_pass(8)
    await log.match(await log.person("anna", b"changed at last"))
    with pytest.raises(CaptureError, match="changes of people that the capture does not have may be gone"):
        await log.record(tmp_path / "out")
    assert len(keys_of(tmp_path / "out")) == 2, "the capture is as complete as before"


async def test_a_capture_is_not_continued_when_a_deletion_may_be_gone_without_trace(log: Log, tmp_path: Path) -> None:
    await log.person("anna")
    await log.match(await log.person("ben"))
    await log.record(tmp_path / "out")
    await log.person("ben", None)
    await log.days_pass(7.5)
    await log.days_pass(2)
    await log.match(1)
    with pytest.raises(CaptureError, match="changes of people that the capture does not have may be gone"):
        await log.record(tmp_path / "out")


async def test_what_a_capture_has_is_not_lost_when_the_log_loses_it(log: Log, tmp_path: Path) -> None:
    await log.match(await log.person("anna"))
    await log.match(await log.person("anna", b"changed"))
    await log.record(tmp_path / "out")
    await log.days_pass(7.5)
    await log.match(2)
    tally = await log.record(tmp_path / "out")
    assert (tally.recorded, tally.people_from) == (1, 0)
    assert [value for _, _, value in keys_of(tmp_path / "out")] == [b"value", b"changed"]


async def test_a_recording_that_was_killed_before_its_end_finds_its_first_version_again(
    log: Log, tmp_path: Path
) -> None:
    await log.match(await log.person("anna"))
    changed = await log.person("anna", b"changed")
    await log.days_pass(8)
    await log.match(await log.person("ben"))
    await log.record(tmp_path / "out")
    with CaptureFolder(tmp_path / "out") as folder:
        folder.describe(people_from=None)
    await log.match(await log.person("carla"))
    assert (await log.record(tmp_path / "out")).recorded == 1
    assert CaptureReader(tmp_path / "out").manifest.people_from == changed
