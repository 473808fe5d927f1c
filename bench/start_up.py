"""How long a process reads a large gallery at its start, and the memory of it: `python -m bench.start_up`.

An embedded log of its own gets people with one template each. Then a process of its own folds the people topic as a
processor does, takes a gallery and searches it once; then it leaves its local copy of the people, from which the next
process starts. Another does the same with an empty topic. Memory is what belongs to the process alone (unique set
size) once the index of the gallery is built, so files that the kernel keeps are not counted.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from bench.people import people_records
from broker.embedded import open_embedded
from broker.port import NewRecord
from broker.table import TableFollower
from contract.vectors import Vectors
from engine.gallery.choosing import index_of
from engine.gallery.people import People
from engine.gallery.port import everybody
from engine.gallery.two_stage import TwoStageIndex
from picturematch.local_copy import COPY_FILE, LEAST_FACES, LocalCopy
from picturematch.memory import collect_seldom, give_memory_back, keep_for_good, trim_memory
from picturematch.people_topic import PeopleTopic
from picturematch.settings import GallerySettings, Settings
from picturematch.shell import progress

_DIMENSION, _EMBEDDER = 512, "bench"
_BLOCK = 5_000
_MOST_S_OF_A_MILLION, _MOST_COPIED_S_OF_A_MILLION, _MOST_MB_OF_A_MILLION = 120, 10, 1_700
_LOOK_AGAIN_S = 0.05
_TRIMMED_S = 3.0
"""How long it takes until freed memory is returned to the system, as every role returns it all the time."""


@dataclass(frozen=True, slots=True)
class Started:
    """What one start took: seconds until the first search was answered, and megabytes that belong to the process.

    `copying_s`: the seconds of wall-clock time until the local copy was written; `copy_mb`: its size.
    """

    templates: int
    seconds: float
    processor_s: float
    megabytes: float
    copying_s: float
    copy_mb: float


@click.command(epilog="Example: python -m bench.start_up --people 100000")
@click.option(
    "--people", default=100_000, show_default=True, type=click.IntRange(min=LEAST_FACES), help="One face each."
)
@click.option("--read", type=click.Path(exists=True, path_type=Path), hidden=True, help="Only start, on this folder.")
def main(people: int, read: Path | None) -> None:
    """Seconds from the opening of the log to the first search, and memory beyond that of an empty gallery."""
    if read is not None:
        sys.stdout.buffer.write(msgspec.json.encode(asdict(asyncio.run(_start(read)))))
        return
    with tempfile.TemporaryDirectory(prefix="picturematch-start-up-") as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        asyncio.run(_fill(empty, 0))
        asyncio.run(_fill(full, people))
        before, read_log, read_copy = _in_a_process(empty), _in_a_process(full), _in_a_process(full)
    for found in (read_log, read_copy):
        if found.templates != people:
            raise RuntimeError(f"{found.templates} templates can be searched instead of {people}")
    share = people / 1_000_000
    table = Table("figure", "measured", "times to a million", "aim at a million")

    def add(figure: str, value: float, digits: int, most: int | None = None) -> None:
        aim = "none is set" if most is None else f"at most {most}"
        table.add_row(figure, f"{value:.{digits}f}", f"{value / share:.{0 if digits < 2 else 1}f}", aim)

    add("ready from the log alone, s", read_log.seconds, 1, _MOST_S_OF_A_MILLION)
    add("processor time of that, s", read_log.processor_s, 1)
    add("ready from the local copy, s", read_copy.seconds, 2, _MOST_COPIED_S_OF_A_MILLION)
    add("processor time of that, s", read_copy.processor_s, 2)
    add("writing the local copy, s", read_log.copying_s, 2)
    add("size of the local copy, MB", read_log.copy_mb, 0)
    add(
        "memory beyond an empty gallery, from the log, MB",
        read_log.megabytes - before.megabytes,
        0,
        _MOST_MB_OF_A_MILLION,
    )
    add("the same, from the copy, MB", read_copy.megabytes - before.megabytes, 0, _MOST_MB_OF_A_MILLION)
    Console(width=120).print(table)


def _in_a_process(folder: Path) -> Started:
    command = [sys.executable, "-m", "bench.start_up", "--read", str(folder)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - our own command line
    found: dict[str, Any] = msgspec.json.decode(printed)
    return Started(**found)


def _now_ms() -> int:
    return int(time.time() * 1000)


async def _fill(folder: Path, count: int) -> None:
    settings = Settings()
    topic, rng = settings.topics.people, np.random.default_rng(7)
    async with open_embedded(folder, role="owner", clock_ms=_now_ms) as log:
        await log.ensure_topics(settings.topic_specs)
        with progress("enrolling", count) as steps:
            for first in range(0, count, _BLOCK):
                block = _unit(rng, min(_BLOCK, count - first))
                lines = people_records(block, _EMBEDDER, first=first)
                await log.append([NewRecord(topic, line.key, line.value) for line in lines])
                steps.step(len(block))


def _unit(rng: np.random.Generator, count: int) -> Vectors:
    drawn = rng.normal(size=(count, _DIMENSION)).astype(np.float32)
    unit: Vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


async def _start(folder: Path) -> Started:
    give_memory_back()
    collect_seldom()
    gallery_settings = GallerySettings()
    began_s, processor_s = time.perf_counter(), time.process_time()
    index = index_of(gallery_settings.index, gallery_settings.sketch_sigmas)(_DIMENSION)
    people = People(_DIMENSION, _EMBEDDER, lambda _: index)
    name, path = Settings().topics.people, folder / COPY_FILE
    copy = LocalCopy(people, name, path)
    topic = PeopleTopic(people, name, copy.take)
    async with (
        open_embedded(folder, role="owner", clock_ms=_now_ms) as log,
        TableFollower(log, name, topic.take, begin=partial(copy.restore, log)) as follower,
    ):
        await follower.caught_up()
        gallery = people.snapshot().gallery
        scope = everybody(means=True)
        gallery.best(_unit(np.random.default_rng(8), 1)[0], scope)
        took_s, processor_s = time.perf_counter() - began_s, time.process_time() - processor_s
        if isinstance(index, TwoStageIndex):
            await asyncio.to_thread(index.wait)
            gallery = people.snapshot().gallery
        keep_for_good()
        trimming = asyncio.create_task(trim_memory())
        await asyncio.sleep(_TRIMMED_S)
        trimming.cancel()
        megabytes = psutil.Process().memory_full_info().uss / 1e6
        copying_s = await _written(copy, path) if gallery.count(scope) else 0.0
        size = path.stat().st_size if path.exists() else 0
        return Started(gallery.count(scope), took_s, processor_s, megabytes, copying_s, size / 1e6)


async def _written(copy: LocalCopy, path: Path) -> float:
    """Return how long it takes until the file of the copy is there."""
    began_s = time.perf_counter()
    keeping = asyncio.create_task(copy.keep())
    while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110 - the copy tells nobody that it is written
        await asyncio.sleep(_LOOK_AGAIN_S)
    took_s = time.perf_counter() - began_s
    keeping.cancel()
    await asyncio.wait({keeping})
    return took_s


if __name__ == "__main__":
    main()
