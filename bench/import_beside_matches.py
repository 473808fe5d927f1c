"""What an import of people costs the doors: the time of matches at a steady rate, without and beside an import.

Each pair of runs takes a new server: first matches alone, then matches while people are enrolled by photo as
`picturematch enrol` does it. The ratio of the two is what counts; the machine's own speed is in both.

Example: python -m bench.import_beside_matches --pictures faces/ --pairs 5
"""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.server import Server, log_environment, running_server
from clients.enrol import EnrolOptions, Outcome, enrol
from clients.enrol_list import Entry
from clients.http import Client
from picturematch.options import broker_option, settings_of

_DIMENSION = 512


@dataclass(frozen=True, slots=True)
class Run:
    """Milliseconds of the matches that were answered, and how many were refused."""

    latencies_ms: Sequence[float]
    refused: int

    def percentile(self, share: float) -> float:
        """A percentile (0..100) of the answered matches, in milliseconds."""
        return float(np.percentile(self.latencies_ms, share))


@dataclass(frozen=True, slots=True)
class Pair:
    """Matches without and beside an import, and of the import people enrolled a second and photos that failed."""

    alone: Run
    beside: Run
    imported_per_s: float
    failed: int

    def ratio(self, share: float) -> float:
        """The percentile `share` (0..100) beside the import, over that without."""
        return self.beside.percentile(share) / self.alone.percentile(share)


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option(
    "--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="JPEGs of faces."
)
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=2), default=20.0, show_default=True, help="Of each run.")
@click.option("--rate", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Matches a second.")
@broker_option
@click.pass_context
def main(ctx: click.Context, pictures: Path, pairs: int, seconds: float, rate: float, broker: str | None) -> None:
    """Run the pairs and print the medians."""
    photos = sorted(pictures.rglob("*.jpg"))[:50]
    if not photos:
        raise click.ClickException(f"{pictures} has no *.jpg files; name a folder of face photos")
    console = Console(width=110)
    done = []
    for number in range(pairs):
        settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}-{number}")
        with running_server(log_environment(settings)) as server:
            done.append(asyncio.run(_pair(server, photos, seconds, rate)))
        console.print(f"pair {number + 1}: p99 {done[-1].ratio(99):.2f} times that without an import")
    table = Table("matches", "p50 ms", "p99 ms", "refused", title=f"{rate:g} matches a second, median of {pairs} pairs")
    for name, runs in (("alone", [p.alone for p in done]), ("beside an import", [p.beside for p in done])):
        median = [statistics.median(run.percentile(share) for run in runs) for share in (50, 99)]
        refused, sent = sum(run.refused for run in runs), sum(run.refused + len(run.latencies_ms) for run in runs)
        table.add_row(name, f"{median[0]:.1f}", f"{median[1]:.1f}", f"{refused} of {sent}")
    console.print(table)
    p50, p99 = (statistics.median(pair.ratio(share) for pair in done) for share in (50, 99))
    console.print(f"median of the ratios: p50 {p50:.2f}, p99 {p99:.2f} (aim: at most 2)")
    imported = statistics.median(pair.imported_per_s for pair in done)
    console.print(f"people imported: {imported:.1f} a second; photos that failed: {sum(p.failed for p in done)}")


async def _pair(server: Server, photos: Sequence[Path], seconds: float, rate: float) -> Pair:
    await enrol_features(server.url, made_up_features(100, _DIMENSION))
    calls = [
        match_call(jpeg, f"10.0.0.{number % 8}") for number, jpeg in enumerate(path.read_bytes() for path in photos)
    ]
    await run_load(server.port, calls, 20, 2)  # warms up
    alone = await matches_at(server.port, calls, seconds, rate)
    imported = Counter[Outcome]()
    importing = asyncio.create_task(_import(server.url, photos, imported))
    await asyncio.sleep(1.0)
    imported.clear()
    began = time.perf_counter()
    beside = await matches_at(server.port, calls, seconds, rate)
    per_s = imported[Outcome.ENROLLED] / (time.perf_counter() - began)
    importing.cancel()
    with suppress(asyncio.CancelledError):
        await importing
    return Pair(alone, beside, per_s, imported[Outcome.FAILED])


async def matches_at(port: int, calls: Sequence[bytes], seconds: float, rate: float) -> Run:
    """One match is sent every 1/rate seconds, whatever became of the earlier ones."""
    latencies_ms: list[float] = []
    refused = 0

    async def one(call: bytes) -> None:
        nonlocal refused
        result = await run_load(port, [call], 1, 1)
        refused += result.failed
        latencies_ms.extend([] if result.failed else result.latencies_ms)

    began, loop = time.perf_counter(), asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(cycle(calls)):
            if time.perf_counter() - began >= seconds:
                break
            group.create_task(one(call))
            await asyncio.sleep(max(0.0, start + (number + 1) / rate - loop.time()))
    return Run(latencies_ms, refused)


async def _import(url: str, photos: Sequence[Path], done: Counter[Outcome]) -> None:
    """Enrol people by photo until cancelled, as `picturematch enrol` does; `done` counts the outcomes."""
    entries = (Entry(f"photo {number}", f"import-{number}", photo=photo) for number, photo in enumerate(cycle(photos)))
    async with Client(url) as client:
        await enrol(entries, client, lambda result: done.update((result.outcome,)), EnrolOptions(quality_level="no"))


if __name__ == "__main__":
    main()
