"""How fast the engine is: `python -m bench.engine`.

Milliseconds per stage and pictures per second per core, for photos of several sizes with one face each and for some
without, and what a second core adds. Everything takes turns, round by round, so that a noisy machine is noisy for all;
each figure is also given as a ratio to a fixed piece of work of the same run, and beside the pipeline that one would
write first. Where OpenVINO is installed, both runtimes of the networks are printed side by side.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import click
import msgspec
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from bench.cores import CoreBench, Throughput
from bench.naive import NaivePipeline
from bench.overhead import DirectEngine
from bench.pictures import bench_pictures
from bench.progress import progress
from bench.runtime_cost import RuntimeBench, RuntimeReport, available, print_runtimes
from bench.scenes import empty_scenes, scenes
from bench.stages import ALL_BUT_LIVENESS, DEFAULT, Spread, StageBench, spread_of
from bench.yardstick import Yardstick
from engine.vision.decode.versions import decode
from models.store import ModelStore
from picturematch.networks import install_missing
from picturematch.options import settings_of
from picturematch.settings import Settings
from picturematch.wiring import open_models

SIZES = ((250, 250), (640, 480), (1280, 720), (4000, 3000))
SIZES_WITHOUT_FACE = ((640, 480), (4000, 3000))
_DISTINCT = 8
"""Pictures made of each size; they are used in turn."""
_OF_RUNTIMES = "640x480"
"""The size of the pictures on which the runtimes are compared."""

_ROWS = ("decode", "detect", "pose", "quality", "embed", "search", ALL_BUT_LIVENESS, DEFAULT, "liveness")
"""The stages in the order of the table; a stage that is not named here comes after them."""


class GroupReport(msgspec.Struct, frozen=True):
    """The figures of one size of pictures; milliseconds by the chosen clock, pictures per second by the wall."""

    name: str
    has_face: bool
    mean_bytes: float
    stages: Mapping[str, Spread]
    naive: Spread
    per_second: Mapping[int, float]
    """Threads -> pictures per second, default settings, as if nothing else had run where the system can tell."""
    gain: float
    """Pictures per second on all cores, over those on one."""
    wall_gain: float
    """The same by the wall, whatever else ran."""
    refused: int
    """Pictures left out: refused; or, of those without a face, the ones in which a face was found."""


class Report(msgspec.Struct, frozen=True):
    """What one run found. `load_before`: the machine's load average of the last minute as the run began."""

    cores: int
    clock: str
    load_before: float
    yardstick: Spread
    yardstick_gain: float
    groups: Sequence[GroupReport]
    runtimes: RuntimeReport | None = None
    """None: only ONNX Runtime is installed."""


@dataclass(slots=True)
class _Group:
    """Pictures of one kind, and what was measured so far."""

    name: str
    jpegs: Sequence[bytes]
    has_face: bool = True
    stages: dict[str, list[float]] = field(default_factory=dict)
    naive_ms: list[float] = field(default_factory=list)
    throughput: dict[int, list[Throughput]] = field(default_factory=dict)
    refused: int = 0


@click.command(epilog="Example: python -m bench.engine --pictures 40 --json engine.json")
@click.option("--pictures", default=60, show_default=True, help="Pictures of each size, over all rounds.")
@click.option("--rounds", default=6, show_default=True, help="Rounds in which the sizes take turns.")
@click.option("--people", default=1000, show_default=True, help="People that are searched, by made-up features.")
@click.option(
    "--pictures-from",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="JPEGs to use instead of the made-up sizes.",
)
@click.option(
    "--clock",
    type=click.Choice(["wall", "cpu"]),
    default="wall",
    show_default=True,
    help="What the milliseconds are of; cpu leaves out what other processes take on a shared machine.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Keeps the figures.")
@click.pass_context
def main(
    ctx: click.Context,
    pictures: int,
    rounds: int,
    people: int,
    pictures_from: Path | None,
    clock: str,
    json_file: Path | None,
) -> None:
    """Milliseconds per stage, and pictures per second per core."""
    settings = settings_of(ctx)
    store = install_missing(settings, samples=True)
    load_before = psutil.getloadavg()[0]
    run = _Run(settings, store, people, clock, pictures_from)
    report = run.measure(max(1, pictures // rounds), rounds, load_before)
    report = msgspec.structs.replace(report, runtimes=run.compare_runtimes(pictures))
    _print(report)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


class _Run:
    """One run over all sizes."""

    def __init__(self, settings: Settings, store: ModelStore, people: int, clock: str, folder: Path | None) -> None:
        models = open_models(settings)
        max_pixels = settings.pictures.max_pixels
        self._clock_name = clock
        self._clock = time.thread_time if clock == "cpu" else time.perf_counter
        self._yardstick = Yardstick()
        self._yardstick_ms: list[float] = []
        self._yardstick_gain: list[float] = []
        self._cores = os.cpu_count() or 1
        self._groups = _groups(settings, store, folder)
        self._settings, self._store = settings, store
        self._snapshot = DirectEngine(models, [], people).snapshot
        self._stages = StageBench(models, self._snapshot, max_pixels, self._clock)
        self._core_bench = CoreBench(models, self._snapshot, max_pixels)
        self._naive = NaivePipeline(settings, store)

    def measure(self, each: int, rounds: int, load_before: float) -> Report:
        """So many rounds with `each` pictures of every size."""
        with progress(rounds * len(self._groups)) as step:
            for group in self._groups:  # buffers and caches are filled outside the count
                self._timed(group, group.jpegs[:1])
                self._naive.run(group.jpegs[0])
            for number in range(rounds):
                for group in self._groups:
                    step(f"round {number + 1}, {group.name}")
                    self._round(group, each)
        groups = [_reported(group, self._cores) for group in self._groups]
        gain = float(np.median(self._yardstick_gain))
        return Report(self._cores, self._clock_name, load_before, spread_of(self._yardstick_ms), gain, groups)

    def compare_runtimes(self, rounds: int) -> RuntimeReport | None:
        """The costs of every runtime on this machine; None: there is only one, or no picture has a face."""
        runtimes = available()
        with_face = [group for group in self._groups if group.has_face]
        if len(runtimes) == 1 or not with_face:
            return None
        group = next((group for group in with_face if group.name == _OF_RUNTIMES), with_face[0])
        bench = RuntimeBench(self._settings, self._store.manifest, self._snapshot, runtimes)
        with progress(rounds) as step:
            return bench.measure(group.jpegs, rounds, step)

    def _round(self, group: _Group, each: int) -> None:
        # Where the last round ended matters little; that every picture of the group is met does.
        begun = len(group.naive_ms)
        jpegs = list(islice(cycle(group.jpegs), begun, begun + each))
        for jpeg in jpegs:
            self._yardstick_ms.append(self._yardstick.run(self._clock))
            spent, refused = self._timed(group, [jpeg])
            group.refused += refused
            for stage, values in spent.items():
                group.stages.setdefault(stage, []).extend(values)
            began = self._clock()
            self._naive.run(jpeg)
            group.naive_ms.append((self._clock() - began) * 1000.0)
        for threads in (1, self._cores):
            done = self._core_bench.run(jpegs, each * threads, threads)
            group.throughput.setdefault(threads, []).append(done)
        one, all_cores = (self._yardstick.per_second(8 * threads, threads) for threads in (1, self._cores))
        self._yardstick_gain.append(all_cores / one)

    def _timed(self, group: _Group, jpegs: Sequence[bytes]) -> tuple[dict[str, list[float]], int]:
        return self._stages.run(jpegs) if group.has_face else self._stages.run_without_face(jpegs)


def _groups(settings: Settings, store: ModelStore, folder: Path | None) -> Sequence[_Group]:
    if folder is not None:
        return [_Group(folder.name, bench_pictures(settings, folder))]
    portrait = decode(store.sample("astronaut.png").read_bytes(), settings.pictures.max_pixels)
    face = open_models(settings).detector(portrait)[0]
    shown = [_Group(f"{width}x{height}", scenes(portrait, face, width, height, _DISTINCT)) for width, height in SIZES]
    empty = [
        _Group(f"{width}x{height}, no face", empty_scenes(portrait, width, height, _DISTINCT), has_face=False)
        for width, height in SIZES_WITHOUT_FACE
    ]
    return [*shown, *empty]


def _reported(group: _Group, cores: int) -> GroupReport:
    if not group.stages:
        told = "no face was found in any" if group.has_face else "a face was found in every"
        raise click.ClickException(f"{told} picture of {group.name}; try other pictures with --pictures-from")
    names = sorted(group.stages, key=lambda name: _ROWS.index(name) if name in _ROWS else len(_ROWS))
    rates = {threads: [_rate(done) for done in runs] for threads, runs in group.throughput.items()}
    walls = {threads: [done.per_second for done in runs] for threads, runs in group.throughput.items()}
    return GroupReport(
        name=group.name,
        has_face=group.has_face,
        mean_bytes=float(np.mean([len(jpeg) for jpeg in group.jpegs])),
        stages={name: spread_of(group.stages[name]) for name in names},
        naive=spread_of(group.naive_ms),
        per_second={threads: float(np.median(values)) for threads, values in rates.items()},
        gain=_gain(rates[cores], rates[1]),
        wall_gain=_gain(walls[cores], walls[1]),
        refused=group.refused,
    )


def _rate(done: Throughput) -> float:
    return done.per_second if done.undisturbed is None else done.undisturbed


def _gain(many: Sequence[float], one: Sequence[float]) -> float:
    # Round by round: the two of a pair met the same noise.
    return float(np.median([a / b for a, b in zip(many, one, strict=True)]))


def _print(report: Report) -> None:
    console = Console(width=120)
    unit = "milliseconds" if report.clock == "wall" else "milliseconds of processor time"
    title = f"{unit} on one core: median / 95th percentile (median as a ratio to the yardstick)"
    for has_face in (True, False):
        groups = [group for group in report.groups if group.has_face is has_face]
        if groups:
            console.print(_stage_table(title if has_face else "the same, nobody in the picture", groups, report))

    table = Table(title="pictures per second, default settings")
    cores = f"{report.cores} cores"
    for column in ("", "one core", cores, "ratio", "by the wall", "yardstick", "naive / engine", "KB each", "left out"):
        table.add_column(column, justify="right" if column else "left")
    for group in report.groups:
        table.add_row(
            group.name,
            f"{group.per_second[1]:.1f}",
            f"{group.per_second[report.cores]:.1f}",
            f"{group.gain:.2f}",
            f"{group.wall_gain:.2f}",
            f"{report.yardstick_gain:.2f}",
            f"{group.naive.median_ms / _whole(group).median_ms:.2f}",
            f"{group.mean_bytes / 1000:.0f}",
            str(group.refused),
        )
    console.print(table)
    console.print(
        "Pictures per second and their ratio are as if nothing else had run, where the system can tell (Linux); by the "
        f"wall, the yardstick shows what {report.cores} cores could give in this run. Yardstick: a float32 matrix "
        f"product, {report.yardstick.median_ms:.2f} ms on one core. Load average as the run began: "
        f"{report.load_before:.2f}. '{ALL_BUT_LIVENESS}' measures every quality item and guesses no attributes, which "
        "are for a sender to ask for. The naive pipeline (bench/naive.py) decodes, detects, measures the head's pose "
        f"and embeds, with the same networks. Aims: 640x480, {ALL_BUT_LIVENESS}, at most 25 ms; two cores at least 1.9 "
        "times one."
    )
    if report.runtimes is not None:
        print_runtimes(console, report.runtimes)


def _stage_table(title: str, groups: Sequence[GroupReport], report: Report) -> Table:
    table = Table(title=title)
    table.add_column("stage")
    for group in groups:
        table.add_column(group.name, justify="right")
    for name in dict.fromkeys(name for group in groups for name in group.stages):
        cells = [_cell(group.stages.get(name), report) for group in groups]
        table.add_row(name, *cells, style="bold" if name == ALL_BUT_LIVENESS else None)
    table.add_row("the naive pipeline", *(_cell(group.naive, report) for group in groups))
    return table


def _whole(group: GroupReport) -> Spread:
    return group.stages[ALL_BUT_LIVENESS if group.has_face else DEFAULT]


def _cell(spread: Spread | None, report: Report) -> str:
    if spread is None:
        return ""
    ratio = spread.median_ms / report.yardstick.median_ms
    return f"{spread.median_ms:.2f} / {spread.p95_ms:.2f} ({ratio:.2f})"


if __name__ == "__main__":
    main()
