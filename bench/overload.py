"""What becomes of useful answers when more is asked than can be done: `python -m bench.overload`.

Rows of load: calls at 1, 2, 4 and 8 times what the server can do, whatever becomes of them, from forty addresses.
Useful is a match within the deadline; what counts is useful answers per second of processor time of the server's own
processes, since callers and server share the cores and a machine may have other work.

Rows of greed: an honest caller, one call at a time with a pause, beside a greedy address with seventy connections,
beside one with fifty, and beside fifty addresses with one connection each. Aimed: beside one address at least 95 % of
its calls get their match. Fifty addresses are fifty callers; of that row nothing is aimed.

All traffic stays on this machine's loopback network (127.0.0.0/8, of which each caller has an address).
"""

import asyncio
import multiprocessing
import os
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec

import click
import numpy as np
import psutil
import pybase64
from rich.console import Console
from rich.table import Table

from bench.callers import Tally, Target, offered, repeated
from bench.load import match_call
from bench.people import enrol_features, made_up_features
from bench.pictures import bench_pictures
from bench.server import Server, running_server
from clients.http import Client
from contract.http import USERS_PATH
from picturematch.options import settings_of
from picturematch.settings import Settings

P = ParamSpec("P")

MULTIPLES = (1, 2, 4, 8)
_AIMS = {2: 0.9, 4: 0.9, 8: 0.75}
_DEVICES = [f"127.0.2.{number}" for number in range(1, 41)]
_HONEST = "127.0.3.1"
_GREEDY = (
    ("one address, 70 connections", ["127.0.4.1"], 70),
    ("one address, 50 connections", ["127.0.4.2"], 50),
    ("50 addresses, 1 connection each", [f"127.0.5.{number}" for number in range(1, 51)], 1),
)
_SHED = re.compile(r'^picturematch_http_shed_total{reason="(\w+)"} (\S+)$', re.M)
_HONEST_PAUSE_S = 0.5
_DIMENSION = 512
_PEOPLE = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """Load, what came of it, the seconds of processor time that the server's processes took, and how many calls it
    refused for which reason."""

    name: str
    tally: Tally
    cpu_s: float
    shed: Mapping[str, int]

    @property
    def useful(self) -> float:
        """Matches per second of processor time."""
        return self.tally.matches / self.cpu_s


@click.command(epilog="Example: python -m bench.overload --seconds 30")
@click.option("--seconds", default=20.0, show_default=True, help="Length of each row.")
@click.option("--greedy-pause-ms", default=50.0, show_default=True, help="Pause of a greedy caller between two calls.")
@click.option("--seed", default=7, show_default=True, help="Of the moments at which calls come.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs of one person.")
@click.pass_context
def main(ctx: click.Context, seconds: float, greedy_pause_ms: float, seed: int, pictures: Path | None) -> None:
    """Useful answers under overload, and those of an honest caller beside a greedy one."""
    settings = settings_of(ctx)
    jpegs = bench_pictures(settings, pictures)
    with (
        running_server({}) as server,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes,
    ):
        asyncio.run(_enrol(server, jpegs[0]))
        calls = [match_call(jpeg, f"10.0.0.{i}") for i, jpeg in enumerate(jpegs)]
        bench = OverloadBench(server, Target(server.port, calls, settings.ingest.deadline_s), processes)
        capacity, rows = bench.loads(seconds, seed)
        _print_loads(capacity, rows)
        _print_greed(bench.greed(seconds, greedy_pause_ms / 1000.0), settings)


async def _enrol(server: Server, portrait: bytes) -> None:
    await enrol_features(server.url, made_up_features(_PEOPLE, _DIMENSION))
    async with Client(server.url, timeout_s=60) as client:
        photo = pybase64.b64encode(portrait).decode()
        answer = await client.post(USERS_PATH, {"identity_id": "portrait", "reg_photo": photo, "fiqa_level": "no"})
        if answer.http_status != 200:
            raise click.ClickException(f"the portrait could not be enrolled: {answer.error_text}")


class OverloadBench:
    """The rows against one server; callers run in processes of their own."""

    def __init__(self, server: Server, target: Target, processes: ProcessPoolExecutor) -> None:
        self._server = psutil.Process(server.pid)
        self._target, self._processes = target, processes

    def loads(self, seconds: float, seed: int) -> tuple[Row, list[Row]]:
        """What the server can do (twice as many callers as cores, without a pause), and the multiples of it."""
        callers = 2 * (os.cpu_count() or 1)
        self._row("warm-up", repeated, _DEVICES[:callers], 1, 5.0, 0.0)
        capacity = self._row("capacity", repeated, _DEVICES[:callers], 1, seconds, 0.0)
        rate = capacity.tally.matches / capacity.tally.seconds
        rows = []
        for multiple in MULTIPLES:
            rows.append(self._row(f"{multiple} x", offered, _DEVICES, multiple * rate, seconds, seed))
            time.sleep(1)
        return capacity, rows

    def greed(self, seconds: float, pause_s: float) -> list[tuple[str, Tally, Tally]]:
        """Per row: its name, what the honest caller got, what the greedy ones got."""
        rows = []
        for name, addresses, each in _GREEDY:
            greedy = self._start(repeated, addresses, each, seconds + 2, pause_s)
            time.sleep(1)
            honest = self._start(repeated, [_HONEST], 1, seconds, _HONEST_PAUSE_S)
            rows.append((name, honest.result(), greedy.result()))
            time.sleep(1)
        return rows

    def _start(
        self, callers: Callable[Concatenate[Target, P], Tally], *args: P.args, **kwargs: P.kwargs
    ) -> Future[Tally]:
        return self._processes.submit(callers, self._target, *args, **kwargs)

    def _row(
        self, name: str, callers: Callable[Concatenate[Target, P], Tally], *args: P.args, **kwargs: P.kwargs
    ) -> Row:
        before_s, shed = self._cpu_s(), self._shed()
        tally = self._start(callers, *args, **kwargs).result()
        return Row(name, tally, self._cpu_s() - before_s, self._shed() - shed)

    def _shed(self) -> Counter[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._target.port}/metrics", timeout=30) as page:
            found = _SHED.findall(page.read().decode())
        return Counter({reason: int(float(count)) for reason, count in found})

    def _cpu_s(self) -> float:
        times = [process.cpu_times() for process in (self._server, *self._server.children(recursive=True))]
        return sum(time.user + time.system for time in times)


def _print_loads(capacity: Row, rows: Sequence[Row]) -> None:
    base = rows[0].useful
    rate = capacity.tally.matches / capacity.tally.seconds
    table = Table(title=f"Overload: {os.cpu_count()} cores; capacity {rate:.1f} matches/s")
    for column in ("load", "calls", "matches", "per s", "refused", "TIMEOUT", "late", "other", "server CPU s"):
        table.add_column(column, justify="right")
    for column in ("useful per CPU s", "of that at 1 x", "aim", "refusal p50 ms", "p99 ms (aim 100)"):
        table.add_column(column, justify="right")
    for multiple, row in zip((None, *MULTIPLES), (capacity, *rows), strict=True):
        tally = row.tally
        aim = _AIMS.get(multiple or 0)
        table.add_row(
            row.name,
            str(tally.calls),
            str(tally.matches),
            f"{tally.matches / tally.seconds:.1f}",
            *(str(count) for count in (len(tally.refused_ms), tally.timeouts, tally.late, tally.others)),
            f"{row.cpu_s:.1f}",
            f"{row.useful:.2f}",
            f"{row.useful / base:.0%}",
            f"{aim:.0%}" if aim else "",
            *(f"{np.percentile(tally.refused_ms, share):.0f}" if tally.refused_ms else "" for share in (50, 99)),
        )
    _console().print(table)
    for row in rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(row.shed.items())) or "nothing"
        _console().print(f"{row.name}: refused for {reasons}")


def _print_greed(rows: Sequence[tuple[str, Tally, Tally]], settings: Settings) -> None:
    table = Table(title=f"An honest caller (a call, {_HONEST_PAUSE_S:g} s pause) beside greedy ones")
    for column in ("greedy", "honest calls", "matches", "share", "aim", "greedy calls", "matches", "refusal p99 ms"):
        table.add_column(column, justify="right")
    for name, honest, greedy in rows:
        refused = f"{np.percentile(greedy.refused_ms, 99):.0f}" if greedy.refused_ms else ""
        share = f"{honest.matches / max(1, honest.calls):.0%}"
        aim = "95%" if name.startswith("one") else ""
        table.add_row(
            name, str(honest.calls), str(honest.matches), share, aim, str(greedy.calls), str(greedy.matches), refused
        )
    _console().print(table)
    _console().print(
        "Callers (processes of their own) and server share the cores; their processor time is not in the rows of load. "
        f"Times are as the callers see them. Deadline {settings.ingest.deadline_ms} ms."
    )


def _console() -> Console:
    return Console(width=170)


if __name__ == "__main__":
    main()
