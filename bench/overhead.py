"""What the system costs beside the engine: `python -m bench.overhead`.

In one run on this machine: the engine called directly in a loop, and the same pictures through HTTP + log + reply at
concurrency 1, 8 and 64. The two take turns, round by round, so that a noisy machine is noisy for both.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.load import LoadResult, match_call, merged_load, run_load
from bench.people import enrol_features, made_up_features, people_records
from bench.pictures import bench_pictures
from bench.server import log_environment, running_server
from capture.timeline import Timeline
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.context import Context
from engine.policy import Policy
from engine.vision.ports import ModelSet
from picturematch.options import broker_option, settings_of
from picturematch.wiring import open_models

CONCURRENCIES = (1, 8, 64)
_MAX_PIXELS = 32_000_000


@click.command(epilog="Example: python -m bench.overhead --requests 1000 --rounds 3")
@click.option("--requests", default=1000, show_default=True, help="Requests per row, over all rounds.")
@click.option("--rounds", default=4, show_default=True, help="Rounds in which the rows take turns.")
@click.option("--people", default=1000, show_default=True, help="People enrolled, by made-up features.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@broker_option
@click.pass_context
def main(
    ctx: click.Context, requests: int, rounds: int, people: int, pictures: Path | None, broker: str | None
) -> None:
    """Added latency and throughput of the whole system against the engine alone."""
    settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}")
    environment = {"PICTUREMATCH_INGEST__DEADLINE_MS": "60000", "PICTUREMATCH_INGEST__DRAIN_S": "5"}
    environment |= log_environment(settings)
    jpegs = bench_pictures(settings, pictures)
    models = open_models(settings)
    engine = DirectEngine(models, jpegs, people)
    cores = os.cpu_count() or 1
    rows: dict[str, list[LoadResult]] = {}
    # At concurrency 64 on few cores a request waits longer than a device would; the deadline must not cut it short.
    with running_server(environment) as server:
        asyncio.run(enrol_features(server.url, engine.features))
        calls = [match_call(jpeg, f"10.0.0.{i % 200}") for i, jpeg in enumerate(jpegs)]
        asyncio.run(run_load(server.port, calls, 20, 2))
        each = max(1, requests // rounds)
        for _ in range(rounds):
            rows.setdefault("engine, 1 thread", []).append(engine.run(each, 1))
            for concurrency in CONCURRENCIES:
                load = asyncio.run(run_load(server.port, calls, each, concurrency))
                rows.setdefault(f"system, concurrency {concurrency}", []).append(load)
            rows.setdefault(f"engine, {cores} threads", []).append(engine.run(each, cores))
    _print(rows, cores, f"{len(jpegs)} pictures, {people} people, log {settings.broker}")


class DirectEngine:
    """The engine in a loop: the same pictures, the same number of people, no system around it."""

    def __init__(self, models: ModelSet, jpegs: Sequence[bytes], people: int) -> None:
        self._models = models
        self._requests = [
            MatchRequest(request_id="r", device_ip="d", picture=jpeg, compare_time_s=0.0, received_time_s=0.0)
            for jpeg in jpegs
        ]
        self.features = made_up_features(people, models.embedder.dimension)
        self.records = people_records(self.features, models.embedder_identity)
        """The records of the people topic that enrolled them."""
        timeline = Timeline(self.records, models.embedder.dimension, models.embedder_identity)
        self.snapshot = timeline.at(len(self.records))
        """Those people."""

    def run(self, count: int, threads: int) -> LoadResult:
        """Match `count` pictures on so many threads."""

        def one(request: MatchRequest) -> tuple[float, bool]:
            began = time.perf_counter()
            decision = MatchCall().decide(
                request, self.snapshot, Context(self._models, Policy(), _MAX_PIXELS, time.perf_counter)
            )
            return (time.perf_counter() - began) * 1000.0, decision.refusal is not None

        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(one, islice(cycle(self._requests), count)))
        return LoadResult([spent for spent, _ in done], time.perf_counter() - began, sum(bad for _, bad in done))


def _print(rows: dict[str, list[LoadResult]], cores: int, what: str) -> None:
    merged = {name: merged_load(parts) for name, parts in rows.items()}
    single, all_cores = merged["engine, 1 thread"], merged[f"engine, {cores} threads"]
    table = Table(title=f"{cores} cores, {what}; milliseconds")
    for column in ("", "n", "p50", "p99", "p99.9", "added p50", "pictures/s", "of all cores", "failed"):
        table.add_column(column, justify="right" if column else "left")
    for name, load in merged.items():
        added = f"{load.percentile(50) - single.percentile(50):.2f}" if name.endswith("concurrency 1") else ""
        table.add_row(
            name,
            str(len(load.latencies_ms)),
            *(f"{load.percentile(share):.2f}" for share in (50, 99, 99.9)),
            added,
            f"{load.per_second:.1f}",
            f"{load.per_second / all_cores.per_second:.3f}",
            str(load.failed),
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"The client, the server (ingress and processor in one process) and a Kafka broker on this machine share its "
        f"{cores} cores; the engine alone has them for itself. Deadline 60 s, so that the row of 64 is not cut short. "
        "Aims: added p50 at concurrency 1 at most 3 ms (Kafka: 15 ms); the best system row at least 0.95 of all cores "
        "(Kafka: 0.9)."
    )


if __name__ == "__main__":
    main()
