"""Imports people in bulk, as `picturematch people import` does: people a second, and what that costs everybody else.

Each run takes a new server. First the import goes as fast as it can, from an array of embeddings: people a second, and
processor milliseconds of the server for each thousand. With --round-trip the people are exported, imported into another
server, and exported again: both exports must have the same bytes. With --pictures an import goes on beside matches at a
steady rate: the p99 of matches beside it over that without, which is the only ratio, and how long after the answer
people who are enrolled one by one are found, without and beside the import.

Example: python -m bench.bulk --people 100000 --round-trip
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from bench.import_beside_matches import Run, matches_at
from bench.load import match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.server import Server, log_environment, running_server
from clients.bulk import AT_ONCE, CHUNK
from clients.bulk.journal import Journal
from clients.bulk.lists import ArrayList
from clients.bulk.run import BulkImport, BulkOptions
from clients.http import Client
from contract.http import USERS_PATH
from picturematch.options import broker_option, settings_of

AIM_PER_S = {"embedded": 5000, "kafka": 2000}
AIM_FOUND_MS = 50.0
_DIMENSION = 512


@click.command(help=__doc__, context_settings={"max_content_width": 120})
@click.option("--people", type=click.IntRange(min=100), default=20_000, show_default=True, help="To import.")
@click.option("--chunk", type=click.IntRange(1, 1000), default=CHUNK, show_default=True)
@click.option("--at-once", type=click.IntRange(1, 16), default=AT_ONCE, show_default=True)
@click.option("--runs", type=click.IntRange(min=0), default=3, show_default=True, help="As fast as it can.")
@click.option("--round-trip", is_flag=True, help="Export, import, export again, and compare.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs of faces.")
@click.option("--seconds", type=click.FloatRange(min=2), default=15.0, show_default=True, help="Of matches of a run.")
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="Of runs with matches.")
@click.option("--rate", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Matches a second.")
@click.option("--import-rate", type=click.FloatRange(min=1), help="People a second beside the matches.")
@broker_option
@click.pass_context
def main(
    ctx: click.Context,
    people: int,
    chunk: int,
    at_once: int,
    runs: int,
    round_trip: bool,
    pictures: Path | None,
    seconds: float,
    pairs: int,
    rate: float,
    import_rate: float | None,
    broker: str | None,
) -> None:
    """Run everything and print the medians."""
    console = Console(width=110)

    def environment(number: int) -> Mapping[str, str]:
        settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}-{number}")
        return {"PICTUREMATCH_MATCHING__MAX_PEOPLE": "10000000", **log_environment(settings)}

    with tempfile.TemporaryDirectory(prefix="picturematch-bulk-") as name:
        source = _array(Path(name), people)
        rates, ratios = list[float](), list[float]()
        for number in range(runs):
            with running_server(environment(number)) as server:
                single, single_ms = asyncio.run(_one_by_one(server))
                per_s, cpu_ms = asyncio.run(_fast(server, source, BulkOptions(chunk=chunk, at_once=at_once)))
            rates.append(per_s)
            ratios.append(per_s / single)
            console.print(
                f"run {number + 1}: {per_s:.0f} people a second, {cpu_ms:.0f} ms of the server for each 1000;"
                f" one by one {single:.0f} a second, {single_ms:.0f} ms"
            )
        if rates:
            aim = AIM_PER_S["embedded" if broker in (None, "embedded") else "kafka"]
            console.print(
                f"median of {runs} runs: {statistics.median(rates):.0f} people a second (aim: {aim}),"
                f" {statistics.median(ratios):.1f} times as many as one by one"
            )
        if round_trip:
            _round_trip(console, Path(name), source, [environment(100), environment(101)])
        if pictures is not None:
            calls = _calls(pictures)
            found = []
            for number in range(pairs):
                with running_server(environment(200 + number)) as server:
                    options = BulkOptions(chunk=chunk, at_once=at_once, rate=import_rate)
                    found.append(asyncio.run(_beside(server, source, options, calls, seconds, rate)))
            _print_beside(console, found, rate)


class _Beside:
    """Matches and single enrolments without and beside an import, and the people whom it imported a second."""

    def __init__(self) -> None:
        self.matches: list[Run] = []
        self.found_ms: list[Sequence[float]] = []
        self.per_s = 0.0

    @property
    def ratio(self) -> float:
        """The p99 of matches beside the import over that without."""
        return self.matches[1].percentile(99) / self.matches[0].percentile(99)


def _array(folder: Path, people: int) -> Path:
    np.save(folder / "faces.npy", made_up_features(people, _DIMENSION))
    lines = ["identity_id,name", *(f"import-{number},Person {number}" for number in range(people)), ""]
    (folder / "faces.csv").write_text("\n".join(lines))
    return folder / "faces.npy"


def _calls(pictures: Path) -> list[bytes]:
    photos = sorted(pictures.rglob("*.jpg"))[:50]
    if not photos:
        raise click.ClickException(f"{pictures} has no *.jpg files; name a folder of face photos")
    return [match_call(path.read_bytes(), f"10.0.0.{number % 8}") for number, path in enumerate(photos)]


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _import(server: Server, source: Path, options: BulkOptions) -> int:
    """Import the people once; return how many were added."""
    listed = ArrayList(source, source.with_suffix(".csv"), None)
    state = source.with_name(f"state-{server.port}")
    with Journal(state, listed.files, server.url) as journal:
        async with Client(server.url, timeout_s=60) as client:
            await BulkImport(listed, client, journal, options, lambda _: None).run()
        if journal.tally.failures:
            raise RuntimeError(f"{len(journal.tally.failures)} failed: {journal.tally.failures[0].message}")
        journal.remove()
        return journal.tally.added


async def _fast(server: Server, source: Path, options: BulkOptions) -> tuple[float, float]:
    """Return people a second, and processor milliseconds of the server for each thousand."""
    before, began = cpu_s(server.pid), time.perf_counter()
    added = await _import(server, source, options)
    took = time.perf_counter() - began
    return added / took, (cpu_s(server.pid) - before) * 1e6 / added


async def _one_by_one(server: Server, people: int = 500) -> tuple[float, float]:
    """Return what `_fast` returns, for people who are enrolled by a call each."""
    before, began = cpu_s(server.pid), time.perf_counter()
    await enrol_features(server.url, made_up_features(people, _DIMENSION))
    return people / (time.perf_counter() - began), (cpu_s(server.pid) - before) * 1e6 / people


async def _beside(
    server: Server, source: Path, options: BulkOptions, calls: Sequence[bytes], seconds: float, rate: float
) -> _Beside:
    await enrol_features(server.url, made_up_features(100, _DIMENSION))
    await run_load(server.port, calls, 20, 2)  # warms up
    done = _Beside()
    done.matches.append(await matches_at(server.port, calls, seconds, rate))
    done.found_ms.append(await _found_after(server, "alone", 5.0))
    began = time.perf_counter()
    added = 0

    async def importing() -> None:
        # As often as the matches take, with other ids each time.
        nonlocal added
        added += await _import(server, source, options)

    work = asyncio.create_task(importing())
    matching = asyncio.create_task(matches_at(server.port, calls, seconds, rate))
    await asyncio.sleep(0.5)
    done.found_ms.append(await _found_after(server, "beside", min(5.0, seconds / 2)))
    done.matches.append(await matching)
    if work.done():
        raise click.ClickException("the import ended before the matches: give more --people or an --import-rate")
    state = source.with_name(f"state-{server.port}")
    answered = [orjson.loads(line) for line in state.read_bytes().splitlines()[1:]]
    done.per_s = sum(line["added"] for line in answered) / (time.perf_counter() - began)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    state.unlink()
    return done


async def _found_after(server: Server, kind: str, seconds: float) -> Sequence[float]:
    """Return the milliseconds from the answers to single enrolments to the answers that list the people."""
    ends, took = time.perf_counter() + seconds, list[float]()
    vectors = made_up_features(1000, _DIMENSION)
    async with Client(server.url, timeout_s=30) as client:
        while time.perf_counter() < ends and len(took) < len(vectors):
            who = f"{kind}-{len(took)}"
            feature = (-vectors[len(took)]).tolist()
            answer = await client.post(USERS_PATH, {"identity_id": who, "import_mode": True, "feature": feature})
            if answer.http_status != 200:
                continue
            began = time.perf_counter()
            listed = await client.send("GET", USERS_PATH, {"identity_id": who, "need_bring_pic": False})
            if listed.http_status != 200:
                raise RuntimeError(f"{who} was not found: {listed.error_text}")
            took.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.05)
    return took


def _print_beside(console: Console, found: Sequence[_Beside], rate: float) -> None:
    table = Table(
        "", "match p50 ms", "match p99 ms", "found p50 ms", "found p99 ms", title=f"{rate:g} matches a second"
    )
    for at, name in ((0, "alone"), (1, "beside an import")):
        runs = [each.matches[at] for each in found]
        after = [ms for each in found for ms in each.found_ms[at]]
        cells = [statistics.median(run.percentile(share) for run in runs) for share in (50, 99)]
        table.add_row(name, *(f"{cell:.1f}" for cell in (*cells, *np.percentile(after, [50, 99]))))
    console.print(table)
    console.print(f"imported beside: {statistics.median(each.per_s for each in found):.0f} people a second")
    console.print(f"p99 of matches: {statistics.median(each.ratio for each in found):.2f} times that alone (aim: 2)")
    console.print(f"found within {AIM_FOUND_MS:.0f} ms of the answer, the call that asks included (aim: p99)")


def _round_trip(console: Console, folder: Path, source: Path, environments: Sequence[Mapping[str, str]]) -> None:
    exports = [folder / "first.jsonl", folder / "second.jsonl"]
    first, second = ({"PICTUREMATCH_DATA_FOLDER": str(folder / f"log-{n}"), **e} for n, e in enumerate(environments))
    with running_server(first) as server:
        asyncio.run(_import(server, source, BulkOptions()))
        _command(first, "export", exports[0])
    with running_server(second) as server:
        began = time.perf_counter()
        _command(second, "import", exports[0], "--url", server.url)
        took = time.perf_counter() - began
        _command(second, "export", exports[1])
    same = exports[0].read_bytes() == exports[1].read_bytes()
    console.print(
        f"export: {exports[0].stat().st_size / 1e6:.0f} MB; imported again in {took:.1f} s, the start included"
    )
    console.print(f"the export of what was imported again is {'the same, bit for bit' if same else 'DIFFERENT'}")


def _command(environment: Mapping[str, str], name: str, *arguments: object) -> None:
    command = [sys.executable, "-m", "picturematch", "people", name, *map(str, arguments)]
    own = {**os.environ, "PICTUREMATCH_BROKER": "embedded", **environment}
    subprocess.run(command, check=True, env=own)  # noqa: S603 - the command is ours


if __name__ == "__main__":
    main()
