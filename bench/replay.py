"""How fast a replay is: `python -m bench.replay`.

Decide again: a made-up capture of many decisions among many people, decided again in all processes, beside a plain loop
that only reads each line and multiplies its embedding with the gallery. Look again: pictures per second of a replay
beside the engine alone, in turns, so that a noisy machine is noisy for both. Memory: the largest resident memory of
replays of captures of two lengths.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bench.made_up_capture import IDENTITY, POLICY, make_capture, make_look_capture
from bench.overhead import DirectEngine
from bench.pictures import bench_pictures
from capture.reader import CaptureReader
from capture.replaying.embedder import EmbedderFacts
from capture.replaying.look import Networks
from capture.replaying.run import Means, Replay
from capture.replaying.whatif import WhatIf
from capture.reporting.report import Report as Summary
from capture.rows import Row
from contract.captures.convert import REQUESTS_FILE
from engine.vision.ports import ModelSet
from models.errors import NotInstalled
from models.manifest import default_manifest
from picturematch.options import settings_of
from picturematch.settings import Settings
from picturematch.wiring import open_models

_SAMPLE = 50_000
"""The lines of which the plain loop is measured; its time is proportional to the number of lines."""


class DecideReport(msgspec.Struct, frozen=True):
    """Deciding again: seconds by the wall, processor seconds of all processes, and those of the plain loop on one core
    for the same number of lines."""

    decisions: int
    people: int
    jobs: int
    seconds: float
    cpu_seconds: float
    plain_cpu_seconds: float
    different: int


class LookReport(msgspec.Struct, frozen=True):
    """Looking again: pictures per second of the replay and of the engine alone, and the median of their ratios."""

    pictures: int
    threads: int
    replay_per_second: float
    engine_per_second: float
    ratio: float


class MemoryReport(msgspec.Struct, frozen=True):
    """The largest resident memory in megabytes of one process that replays so many lines."""

    lines: int
    megabytes: float


class Report(msgspec.Struct, frozen=True):
    """What one run found. `load_before`: the machine's load average of the last minute as the run began."""

    cores: int
    load_before: float
    decide: DecideReport | None
    look: LookReport | None
    memory: Sequence[MemoryReport]


@click.command(epilog="Example: python -m bench.replay --decisions 100000 --pictures 200")
@click.option("--decisions", default=1_000_000, show_default=True, help="Decisions to make again; 0: leave out.")
@click.option("--people", default=1000, show_default=True, help="People among whom they were made.")
@click.option("--pictures", default=400, show_default=True, help="Pictures to look at again; 0: leave out.")
@click.option("--rounds", default=4, show_default=True, help="Rounds in which replay and engine take turns.")
@click.option("--pictures-from", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to use.")
@click.option("--memory", "lengths", default="10000,100000", show_default=True, help="Lengths; empty: leave out.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keeps the capture of decisions here.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Keeps the figures.")
@click.pass_context
def main(
    ctx: click.Context,
    decisions: int,
    people: int,
    pictures: int,
    rounds: int,
    pictures_from: Path | None,
    lengths: str,
    keep: Path | None,
    json_file: Path | None,
) -> None:
    """Seconds of deciding again, pictures per second of looking again, and memory."""
    load_before, cores = psutil.getloadavg()[0], os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as temporary:
        folder = Path(temporary)
        decide = _decide(keep or folder / "decisions", decisions, people, cores) if decisions else None
        look = None
        if pictures:
            look = _look(settings_of(ctx), folder / "pictures", pictures, rounds, pictures_from, cores)
        memory = [_memory(folder / length, int(length), people) for length in filter(None, lengths.split(","))]
    report = Report(cores, load_before, decide, look, memory)
    _print(report)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def means(jobs: int) -> Means:
    """Return the means of a replay without networks."""

    def open_networks() -> Networks:
        raise NotInstalled("a made-up capture has no pictures")

    return Means(POLICY, frozenset(), EmbedderFacts.of_manifest(default_manifest(), IDENTITY), open_networks, jobs)


def _decide(folder: Path, decisions: int, people: int, cores: int) -> DecideReport:
    if not folder.exists():
        make_capture(folder, decisions, people)
    reader = CaptureReader(folder, check=False)
    cpu_before, began, summary = _cpu_seconds(), time.perf_counter(), Summary()
    for row in Replay(reader, WhatIf(), means(cores)).summed_rows(summary.summing):
        if isinstance(row, Row):
            summary.add(row)
        else:
            summary.add_same(row)
    different = decisions - summary.findings().same
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu_before
    return DecideReport(decisions, people, cores, seconds, cpu, _plain_loop(reader, decisions), different)


def _cpu_seconds() -> float:
    """Return the processor seconds of this process and of those that it started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _plain_loop(reader: CaptureReader, decisions: int) -> float:
    """Return the processor seconds of the loop that one would write first, for all decisions, on one core."""
    people = [line.value for _, line in reader.people() if line.value is not None]
    faces = [msgspec.msgpack.decode(value)["templates"]["whole"] for value in people if b"templates" in value]
    gallery = np.frombuffer(b"".join(faces), "<f4").reshape(len(faces), -1)
    decode, done, agreeing = msgspec.json.Decoder().decode, 0, 0
    with threadpool_limits(1):
        began = time.process_time()
        for line in (reader.folder / REQUESTS_FILE).open("rb"):
            then = decode(line)["decision"]
            probe = np.frombuffer(msgspec.convert(then["embedding"], bytes, strict=False), "<f2").astype(np.float32)
            nearest = float((gallery @ probe).max())
            agreeing += (nearest >= then["applied"]["cosine"]) == (then["outcome"] == "matched")
            done += 1
            if done == min(_SAMPLE, decisions):
                break
    return (time.process_time() - began) * decisions / done


def _look(
    settings: Settings, folder: Path, pictures: int, rounds: int, pictures_from: Path | None, threads: int
) -> LookReport:
    jpegs = bench_pictures(settings, pictures_from)
    models = open_models(settings)
    engine = DirectEngine(models, jpegs, 1000)
    each = max(1, pictures // rounds)
    make_look_capture(folder, jpegs, each, engine.records, models)
    replayed, alone = [], []
    _replay_per_second(folder, models, settings, threads)  # caches and buffers are filled outside the count
    for _ in range(rounds):
        replayed.append(_replay_per_second(folder, models, settings, threads))
        alone.append(engine.run(each, threads).per_second)
    ratio = float(np.median([a / b for a, b in zip(replayed, alone, strict=True)]))
    return LookReport(each * rounds, threads, float(np.median(replayed)), float(np.median(alone)), ratio)


def _replay_per_second(folder: Path, models: ModelSet, settings: Settings, threads: int) -> float:
    def open_networks() -> Networks:
        return Networks(models, settings.pictures.max_pixels, time.perf_counter)

    given = Means(settings.matching, frozenset(), EmbedderFacts.of_models(models), open_networks, threads)
    rows = Replay(CaptureReader(folder, check=False), WhatIf(look=True), given).rows()
    began = time.perf_counter()
    count = sum(row.now is not None for row in rows)
    return count / (time.perf_counter() - began)


_MEASURE = """
import resource, sys
from pathlib import Path
from bench.replay import means
from capture.reader import CaptureReader
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
rows = Replay(CaptureReader(Path(sys.argv[1]), check=False), WhatIf(), means(1)).rows()
assert all(row.differences == () for row in rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _memory(folder: Path, lines: int, people: int) -> MemoryReport:
    """Measure a replay in a process of its own, whose memory nothing else has used."""
    make_capture(folder, lines, people)
    command = [sys.executable, "-c", _MEASURE, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the command is ours
    return MemoryReport(lines, int(done.stdout) / 1024.0)


def _print(report: Report) -> None:
    table = Table(title=f"replay, {report.cores} cores, load average before {report.load_before:.2f}")
    for column in ("", "measured", "aim"):
        table.add_column(column)
    decide, look = report.decide, report.look
    if decide is not None:
        name = f"deciding {decide.decisions:,} decisions among {decide.people:,} people again"
        table.add_row(name, f"{decide.seconds:.1f} s", "at most 30 s for a million on two cores")
        table.add_row("processor time of all processes", f"{decide.cpu_seconds:.1f} s", "")
        plain = f"{decide.plain_cpu_seconds:.1f} s, ratio {decide.cpu_seconds / decide.plain_cpu_seconds:.2f}"
        table.add_row("a plain loop of numpy, one core", plain, "")
        table.add_row("decisions that differ", str(decide.different), "0")
    if look is not None:
        table.add_row(f"looking again, {look.threads} threads", f"{look.replay_per_second:.1f} pictures/s", "")
        table.add_row("the engine alone", f"{look.engine_per_second:.1f} pictures/s", "")
        table.add_row("ratio, median of the rounds", f"{look.ratio:.3f}", "at least 0.97")
    for memory in report.memory:
        table.add_row(f"memory for {memory.lines:,} lines", f"{memory.megabytes:.0f} MB", "independent of the length")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
