"""Decides recent requests of the log again with other networks, and reports which decisions would change, by kind."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from broker.ordered import start_offsets
from broker.port import Broker
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.recording.recorder import LogToRecord, record
from capture.recording.values import Wanted
from capture.replaying.embedder import EmbedderFacts
from capture.replaying.look import Networks
from capture.replaying.run import Means, Replay
from capture.replaying.whatif import WhatIf
from engine.vision.ports import ModelSet
from picturematch.replay_report import PeopleNow, ReportOptions, reporting
from picturematch.settings import Settings

_STEPS = 40
_OLDEST_S = 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Recent:
    """Which requests are decided again: the last `count`, or those since a time (epoch seconds)."""

    count: int
    since: float | None = None


async def time_of_last(log: Broker, topic: str, count: int, now_s: float) -> float:
    """Return a time (epoch seconds) since which about the last `count` records of a topic were written.

    Where several records have the same time, they are a few more.
    """
    ends = await log.end_offsets(topic)

    async def written_since(time_s: float) -> int:
        return sum(max(0, ends[number] - at) for number, at in (await start_offsets(log, topic, time_s)).items())

    low, high = max(0.0, now_s - _OLDEST_S), now_s
    if await written_since(low) <= count:
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if await written_since(middle) > count:
            low = middle
        else:
            high = middle
        if high - low < 1e-3:
            break
    return high


@contextmanager
def recorded_folder() -> Iterator[Path]:
    """Yield a temporary folder for a capture that only this user can read; it contains faces, and is removed."""
    folder = Path(tempfile.mkdtemp(prefix="picturematch-reembed-"))
    try:
        yield folder / "recent"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def record_recent(log: Broker, settings: Settings, recent: Recent, folder: Path) -> int:
    """Record the recent requests with all people of now into a new capture; return their number."""
    topics, since = settings.topics, recent.since
    if since is None:
        since = await time_of_last(log, topics.requests, recent.count, time.time())
    source = LogToRecord(log, topics, time.time, settings.log.history_ms)
    with CaptureFolder(folder) as capture:
        tally = await record(source, capture, asyncio.Event(), wanted=Wanted(since_s=since), all_people=True)
    return tally.recorded


def compare(folder: Path, settings: Settings, models: ModelSet, jobs: int, options: ReportOptions) -> None:
    """Decide the requests of a capture again with these networks, and print and write the report."""
    networks = Networks(models, settings.pictures.max_pixels, time.perf_counter)
    means = Means(settings.matching, frozenset(), EmbedderFacts.of_models(models), lambda: networks, jobs)
    reader = CaptureReader(folder)
    replay = Replay(reader, WhatIf(look=True), means, skips_photos=True)
    for note in replay.notes:
        click.echo(note, err=True)
    now = PeopleNow(replay.searched, reader)
    with reporting(options, reader, "recent requests", now, prints_rows=False) as run:
        for row in replay.rows():
            run.add(row)


def be_nice(level: int) -> None:
    """Let this process yield to all others, so that the server beside it is not slowed down."""
    if hasattr(os, "nice"):
        os.nice(level)
