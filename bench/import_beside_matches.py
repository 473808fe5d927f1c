"""What an import of people costs the doors: the time of matches at a steady rate, without and beside an import.

Each pair of runs takes a new server: first matches alone, then matches while people are enrolled by photo as fast as
the server takes them. The ratio of the two is what counts; the machine's own speed is in both.

Example: python -m bench.import_beside_matches --pictures faces/ --pairs 5
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import click
import numpy as np
import pybase64
from rich.console import Console
from rich.table import Table

from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.server import Server, running_server
from clients.http import Client
from contract.http import USERS_PATH

_DIMENSION = 512
_IMPORTS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """Milliseconds of matches without and beside an import, and how many people a second the import enrolled."""

    alone_ms: Sequence[float]
    beside_ms: Sequence[float]
    imported_per_s: float

    def ratio(self, share: float) -> float:
        """The percentile `share` (0..100) beside the import, over that without."""
        return float(np.percentile(self.beside_ms, share) / np.percentile(self.alone_ms, share))


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option(
    "--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="JPEGs of faces."
)
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=2), default=20.0, show_default=True, help="Of each run.")
@click.option("--rate", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Matches a second.")
def main(pictures: Path, pairs: int, seconds: float, rate: float) -> None:
    """Run the pairs and print the medians."""
    jpegs = [path.read_bytes() for path in sorted(pictures.rglob("*.jpg"))[:50]]
    if not jpegs:
        raise click.ClickException(f"{pictures} has no *.jpg files; name a folder of face photos")
    console = Console(width=110)
    done = []
    for number in range(pairs):
        with running_server({}) as server:
            done.append(asyncio.run(_pair(server, jpegs, seconds, rate)))
        console.print(f"pair {number + 1}: p99 {done[-1].ratio(99):.2f} times that without an import")
    table = Table("matches", "p50 ms", "p99 ms", title=f"{rate:g} matches a second, median of {pairs} pairs")
    for name, runs in (("alone", [p.alone_ms for p in done]), ("beside an import", [p.beside_ms for p in done])):
        median = [statistics.median(float(np.percentile(run, share)) for run in runs) for share in (50, 99)]
        table.add_row(name, f"{median[0]:.1f}", f"{median[1]:.1f}")
    console.print(table)
    p50, p99 = (statistics.median(pair.ratio(share) for pair in done) for share in (50, 99))
    console.print(f"median of the ratios: p50 {p50:.2f}, p99 {p99:.2f} (aim: at most 2)")
    console.print(f"people imported: {statistics.median(pair.imported_per_s for pair in done):.1f} a second")


async def _pair(server: Server, jpegs: Sequence[bytes], seconds: float, rate: float) -> Pair:
    await enrol_features(server.url, made_up_features(100, _DIMENSION))
    calls = [match_call(jpeg, f"10.0.0.{number % 8}") for number, jpeg in enumerate(jpegs)]
    await run_load(server.port, calls, 20, 2)  # warms up
    alone = await _matches(server.port, calls, seconds, rate)
    importing = asyncio.create_task(_import(server.url, jpegs))
    await asyncio.sleep(1.0)
    began = time.perf_counter()
    beside = await _matches(server.port, calls, seconds, rate)
    importing.cancel()
    [imported] = await asyncio.gather(importing, return_exceptions=True)
    if not isinstance(imported, int):
        raise RuntimeError("the import failed") from (imported if isinstance(imported, BaseException) else None)
    return Pair(alone, beside, imported / (time.perf_counter() - began + 1.0))


async def _matches(port: int, calls: Sequence[bytes], seconds: float, rate: float) -> Sequence[float]:
    """Milliseconds of each match; one is sent every 1/rate seconds whatever the earlier ones do."""
    latencies_ms: list[float] = []

    async def one(call: bytes) -> None:
        result = await run_load(port, [call], 1, 1)
        if result.failed:
            raise RuntimeError("a match was refused")
        latencies_ms.extend(result.latencies_ms)

    began, loop = time.perf_counter(), asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(cycle(calls)):
            if time.perf_counter() - began >= seconds:
                break
            group.create_task(one(call))
            await asyncio.sleep(max(0.0, start + (number + 1) / rate - loop.time()))
    return latencies_ms


async def _import(url: str, jpegs: Sequence[bytes]) -> int:
    """Enrol people by photo until cancelled; how many were enrolled."""
    photos = [pybase64.b64encode_as_string(jpeg) for jpeg in jpegs]
    enrolled = numbered = 0

    async def worker(client: Client) -> None:
        nonlocal enrolled, numbered
        while True:
            number, numbered = numbered, numbered + 1
            body = {"identity_id": f"import-{number}", "reg_photo": photos[number % len(photos)], "fiqa_level": "no"}
            answer = await client.post(USERS_PATH, body)
            enrolled += answer.http_status == 200

    async with Client(url, timeout_s=60) as client:
        try:
            await asyncio.gather(*(worker(client) for _ in range(_IMPORTS_AT_A_TIME)))
        except asyncio.CancelledError:
            return enrolled
    return enrolled


if __name__ == "__main__":
    main()
