"""A capture is continued behind its last request, and only from the log of which it was made."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.embedded import backup_log, restore_log
from capture.reader import CaptureReader
from capture.recording.values import Wanted
from contract.captures.values import CaptureError
from tests.support.aging_log import REQUESTS_MS, Log, aging_log, keys_of
from tests.support.recorded import DAY_MS
from tests.support.records import append_event, append_request, event_of, match_request

EXPIRED_DAYS = REQUESTS_MS / DAY_MS + 1


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with aging_log(tmp_path / "data", partitions=1) as opened:
        yield opened


def offsets(out: Path) -> list[int]:
    return [line.place.offset for _, line in CaptureReader(out).lines() if line.place is not None]


async def matches(log: Log, count: int) -> None:
    for _ in range(count):
        await log.match(0)


async def expire(log: Log) -> None:
    """Let the requests of now expire; housekeeping leaves the newest segment until the next time."""
    await log.days_pass(EXPIRED_DAYS)
    await log.days_pass(0.1)


async def test_a_capture_is_not_continued_when_requests_behind_its_last_one_are_gone(log: Log, tmp_path: Path) -> None:
    await log.match(0)
    await log.record(tmp_path / "out")
    await matches(log, 6)
    await expire(log)
    await log.match(0)
    with pytest.raises(CaptureError, match=r"requests behind the last one .* are gone .*; record into another folder"):
        await log.record(tmp_path / "out")
    assert CaptureReader(tmp_path / "out").manifest.complete
    assert offsets(tmp_path / "out") == [0]


async def test_a_capture_is_continued_when_all_requests_that_are_gone_are_in_it(log: Log, tmp_path: Path) -> None:
    await matches(log, 3)
    await log.record(tmp_path / "out")
    await expire(log)
    await log.match(0)
    assert (await log.record(tmp_path / "out")).recorded == 1
    assert offsets(tmp_path / "out") == [0, 1, 2, 3]


async def test_a_capture_is_not_continued_from_another_log_whose_first_requests_have_expired(tmp_path: Path) -> None:
    async with aging_log(tmp_path / "one", partitions=1) as log:
        await log.match(0)
        await log.record(tmp_path / "out")
    async with aging_log(tmp_path / "other", partitions=1, matches=100) as log:
        await matches(log, 3)
        await expire(log)
        await log.match(0)
        with pytest.raises(CaptureError, match="another log"):
            await log.record(tmp_path / "out")


@pytest.mark.parametrize("and_a_request", [True, False])
async def test_a_capture_is_not_continued_after_the_log_was_restored_from_a_backup(
    tmp_path: Path, and_a_request: bool
) -> None:
    """A deletion that the capture has never happened in the restored log, so two histories would be mixed."""
    data, backup, out = tmp_path / "data", tmp_path / "backup.sqlite", tmp_path / "out"
    async with aging_log(data, partitions=1) as log:
        await log.match(await log.person("anna"))
        if not and_a_request:
            await log.match(2)
        await asyncio.to_thread(backup_log, data, backup)
        deleted = await log.person("anna", None)
        if and_a_request:
            await log.match(deleted)
        await log.record(out)
        now_s = log.now_s
    before = keys_of(out)
    restore_log(backup, data, replace=True)
    async with aging_log(data, partitions=1, now_s=now_s, matches=10) as log:
        await log.match(await log.person("ben"))
        with pytest.raises(CaptureError, match="another log"):
            await log.record(out)
    assert keys_of(out) == before


async def test_what_is_written_behind_a_later_request_than_until_is_left_to_the_next_recording(
    log: Log, tmp_path: Path
) -> None:
    begin_s = log.now_s
    for seconds in (1, 4, 2):
        log.now_s = begin_s + seconds
        await log.match(0)
    log.now_s = begin_s + 100
    first = await log.record(tmp_path / "out", wanted=Wanted(until_s=begin_s + 2.5))
    assert (first.recorded, offsets(tmp_path / "out")) == (1, [0])
    assert (await log.record(tmp_path / "out")).recorded == 2
    assert offsets(tmp_path / "out") == [0, 1, 2]


async def test_a_request_that_is_in_the_log_twice_has_both_decisions(log: Log, tmp_path: Path) -> None:
    places = [await append_request(log.broker, match_request(1)) for _ in range(2)]
    for number, place in enumerate(places):
        changes = {"gallery_version": 0, "processed_time": log.now_s, "score": 0.5 + number / 10}
        await append_event(log.broker, event_of(match_request(1), place, **changes))
    await log.match(0)
    tally = await log.record(tmp_path / "out")
    assert (tally.recorded, tally.undecided) == (3, 0)
    scores = [line.decision.score for _, line in CaptureReader(tmp_path / "out").lines() if line.decision]
    assert scores[:2] == [0.5, 0.6]
