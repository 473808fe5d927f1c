"""A recording that is continued after a crash of the machine stores lost pictures again, or names their lines."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, Erasure, file_erasure, open_embedded
from broker.port import NewRecord, Position
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.values import Tally
from contract.captures.values import CaptureError
from contract.pictures.digest import picture_digest
from picturematch.settings import LogSettings
from tests.support.recorded import recorded
from tests.support.records import TOPICS, append_decided, match_request
from tests.support.waiting import until

LINES = 5


class PowerCut(Exception):
    """The machine stopped before the capture was complete."""


async def fill(log: EmbeddedBroker) -> None:
    await log.ensure_topics(LogSettings(request_partitions=1).topic_specs(TOPICS))
    for number in range(LINES):
        await append_decided(log, match_request(number), gallery_version=0)


async def recorded_until_the_power_was_cut(log: EmbeddedBroker, out: Path) -> None:
    """A capture whose second picture is gone, whose third is cut and whose fourth has zeros instead of its bytes."""
    await recorded(log, out)
    with suppress(PowerCut), CaptureFolder(out) as folder:
        folder.describe(complete=False, files={}, durable=0)
        raise PowerCut
    second, third, fourth = (file_of(out, number) for number in (1, 2, 3))
    second.unlink()
    third.write_bytes(third.read_bytes()[:10])
    fourth.write_bytes(bytes(fourth.stat().st_size))


def file_of(out: Path, number: int) -> Path:
    return out / "pictures" / f"{picture_digest(match_request(number).picture)}.jpg"


def log_at(data: Path) -> EmbeddedBroker:
    return open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000))


async def test_lost_pictures_are_stored_again_from_the_log(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with log_at(tmp_path / "data") as log:
        await fill(log)
        await recorded_until_the_power_was_cut(log, out)
        tally: Tally = await recorded(log, out)
    assert (tally.recorded, tally.lost_pictures) == (0, [])
    reader = CaptureReader(out)
    assert [reader.picture(line.request.picture) for _, line in reader.lines()] == [
        match_request(number).picture for number in range(LINES)
    ]


async def test_the_lines_of_pictures_that_the_log_has_no_more_are_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with log_at(tmp_path / "data") as log:
        await fill(log)
        await recorded_until_the_power_was_cut(log, out)
        request = Position(TOPICS.requests, 0, 2)
        erasure = Erasure((request,), NewRecord(TOPICS.events, b"k", b"{}"))
        filed = file_erasure(tmp_path / "data", erasure, "r2")
        await until(lambda: not filed.exists(), 20)
        tally = await recorded(log, out)
    assert tally.lost_pictures == [3]
    with pytest.raises(CaptureError, match=r"line 3 of requests\.jsonl: pictures/\w+\.jpg is missing"):
        CaptureReader(out)
    assert all(file_of(out, number).read_bytes() == match_request(number).picture for number in (0, 1, 3, 4))
