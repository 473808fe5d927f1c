"""The people of a recording, on an embedded log that compacts: from which version on they can be folded, and whether a
capture can be continued."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from broker.embedded import Erasure, file_erasure
from broker.port import NewRecord, Position
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.people import PeopleCopy
from capture.recording.people_index import PeopleIndex
from capture.recording.recorder import LogToRecord, record
from contract.captures.values import CaptureError
from tests.support.aging_log import HISTORY_MS, Log, aging_log, keys_of
from tests.support.records import TOPICS
from tests.support.waiting import until


@pytest.fixture(params=[HISTORY_MS])
async def log(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    async with aging_log(tmp_path / "data", request.param) as opened:
        yield opened


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


async def test_a_recording_that_was_killed_remembers_its_oldest_decision(log: Log, tmp_path: Path) -> None:
    """Only the oldest decision shows that a deletion has come and gone since."""
    await log.person("anna")
    await log.match(await log.person("ben"))
    await log.person("ben", None)
    await log.days_pass(7.5)
    await log.days_pass(2)
    await log.match(await log.person("carla"))
    whole = await log.record(tmp_path / "whole")
    await log.record(tmp_path / "out")
    with CaptureFolder(tmp_path / "out") as folder:
        folder.describe(people_from=None)
    again = await log.record(tmp_path / "out")
    assert again.people_from == whole.people_from == 3
    assert CaptureReader(tmp_path / "out").manifest.people_from == 3


async def test_a_recording_that_was_killed_does_not_take_for_granted_what_was_erased_before_it(
    log: Log, tmp_path: Path
) -> None:
    ben = await log.person("ben")
    await log.match(ben)
    await log.match(await log.person("carla"))
    erasure = Erasure((Position(TOPICS.people, 0, ben - 1),), NewRecord(TOPICS.events, b"k", b"{}"))
    filed = file_erasure(tmp_path / "data", erasure, "ben")
    await until(lambda: not filed.exists(), 20)
    for known in (None, 0):
        out = tmp_path / f"out-{known}"
        people_from = (await log.record(out)).people_from
        assert people_from == 3, "ben is unknown at both versions, and no later record replaces him"
        with CaptureFolder(out) as folder:
            folder.describe(people_from=known)
        assert (await log.record(out)).people_from == people_from


@pytest.mark.parametrize("log", [0], indirect=True)
async def test_a_following_recording_knows_that_a_record_was_old_when_it_read_it(log: Log, tmp_path: Path) -> None:
    stop, out = asyncio.Event(), tmp_path / "out"
    await log.match(await log.person("anna"))

    async def follow() -> int | None:
        with CaptureFolder(out) as folder:
            opened = LogToRecord(log.broker, TOPICS, lambda: log.now_s, 0)
            return (await record(opened, folder, stop, follow=True)).people_from

    recording = asyncio.create_task(follow())
    await until(lambda: _lines(out) == 1, 20)
    await log.person("ben", b"first")
    second = await log.person("ben", b"second")
    log.now_s += 1
    await log.broker.housekeep()
    await log.match(second)
    await until(lambda: _lines(out) == 2, 20)
    stop.set()
    assert await recording == second
    assert [value for _, _, value in keys_of(out)] == [b"value", b"second"], "the first record of ben is gone"


def _lines(out: Path) -> int:
    requests = out / "requests.jsonl"
    return requests.read_bytes().count(b"\n") if requests.exists() else 0


async def test_a_capture_is_continued_when_its_last_deletion_is_gone_from_the_log(log: Log, tmp_path: Path) -> None:
    await log.person("anna")
    await log.person("ben")
    await log.match(await log.person("ben", None))
    await log.record(tmp_path / "out")
    await log.days_pass(7.5)
    await log.days_pass(2)
    await log.match(3)
    assert (await log.record(tmp_path / "out")).recorded == 1
    assert len(keys_of(tmp_path / "out")) == 3


async def test_a_recording_that_did_not_read_for_longer_than_a_deletion_stays_fails(log: Log, tmp_path: Path) -> None:
    """A deletion may have come and gone meanwhile, and nothing later in the log shows it."""
    await log.person("ben")
    with CaptureFolder(tmp_path / "out") as folder:
        people = PeopleCopy(
            log.broker, TOPICS.people, folder, log.history_ms, log, PeopleIndex(photos=False), None, None
        )
        async with AsyncExitStack() as stack:
            await people.begin(stack, (), 0.0)
            await people.copy_to(1)
            await log.days_pass(30)
            await people.copy_all()
            await log.days_pass(7)
            await log.person("carla")
            await people.copy_all()
            assert folder.last_people_offset == 1, "the topic was read to its end meanwhile, so nothing was missed"
            await log.person("ben", None)
            await log.days_pass(7.5)
            await log.days_pass(2)
            await log.person("dora")
            with pytest.raises(CaptureError, match="changes of people that the capture does not have may be gone"):
                await people.copy_all()
