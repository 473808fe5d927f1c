"""What a request costs, in milliseconds of a core, by process, thread and part: `python -m bench.cost`.

The same pictures are sent at concurrency 1, 8 and 64 to a server whose engine decides about each picture once only, so
that the system alone is seen, and to a server with the real engine. The kernel counts the processor time of each of
our threads, and py-spy, which reads their stacks from outside, tells how it is divided into parts. The servers and rows
take turns, round by round, so that a noisy machine is noisy for all of them.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.table import Table

from bench.cost_parts import PARTS, samples_of
from bench.load import LoadResult, match_call, run_load
from bench.people import enrol_features, made_up_features
from bench.pictures import bench_pictures
from bench.server import log_environment
from picturematch.options import UserError, broker_option, settings_of
from picturematch.settings import Settings
from picturematch.shell import progress
from picturematch.wiring import open_models

CONCURRENCIES = (1, 8, 64)
_SAMPLING = ("--rate", "250", "--format", "raw", "--threads", "--full-filenames", "--nonblocking")
_ROOT = Path(__file__).parent.parent
_ENVIRONMENT = {
    "PICTUREMATCH_INGEST__DEADLINE_MS": "60000",
    "PICTUREMATCH_INGEST__PORT": "0",
    "PICTUREMATCH_HEALTH__PORT": "0",
    "PICTUREMATCH_MATCHING__TRUST_UNNAMED_FEATURES": "true",
}
"""At concurrency 64 on few cores a request waits longer than a device would; the deadline must not cut it short."""


@dataclass
class _Process:
    """One of our processes."""

    name: str
    url: str
    handle: "subprocess.Popen[bytes]"

    def threads_ns(self) -> Mapping[int, int]:
        """Return the processor time of each thread by its native id, nanoseconds."""
        found = {}
        for folder in Path(f"/proc/{self.handle.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                found[int(folder.name)] = int((folder / "schedstat").read_text().split()[0])
        return found


@contextmanager
def _sampled(process: _Process, spent_s: defaultdict[tuple[str, str, str], float]) -> Iterator[None]:
    """Add what the threads of a process use within the block, divided into parts, to `spent_s`."""
    before = process.threads_ns()
    with tempfile.NamedTemporaryFile(prefix="picturematch-stacks-") as raw:
        command = [_py_spy() or "", "record", "--pid", str(process.handle.pid), "--output", raw.name, *_SAMPLING]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            yield
        finally:
            after = process.threads_ns()
            sampler.send_signal(signal.SIGINT)
            sampler.wait(timeout=60)
        samples = samples_of(Path(raw.name).read_text(), str(_ROOT))
    for thread, now_ns in after.items():
        used_s = (now_ns - before.get(thread, 0)) / 1e9
        seen = samples.get(thread)
        if seen is None:
            spent_s[process.name, "without samples", "native threads" if used_s else "rest"] += used_s
            continue
        for part, count in seen.parts.items():
            spent_s[process.name, seen.name, part] += used_s * count / seen.parts.total()


@dataclass
class _Row:
    """What was measured at one concurrency of one kind of server; `spent_s` by process, thread and part."""

    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0
    client_s: float = 0.0
    broker_s: float | None = None
    processes_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    spent_s: defaultdict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))

    @property
    def load(self) -> LoadResult:
        """The latencies as a load."""
        return LoadResult(self.latencies_ms, self.seconds, self.failed)

    def per_request_ms(self, seconds: float) -> float:
        """Milliseconds for each request."""
        return seconds * 1000.0 / len(self.latencies_ms)

    def part_ms(self, part: str) -> float:
        """Milliseconds of a part for each request, over all our processes and threads."""
        return self.per_request_ms(sum(s for (_, _, name), s in self.spent_s.items() if name == part))


@click.command(epilog="Example: python -m bench.cost --requests 2000 --rounds 4")
@click.option("--requests", default=1000, show_default=True, help="Requests of each row, over all rounds.")
@click.option("--rounds", default=4, show_default=True, help="Rounds in which the rows take turns.")
@click.option("--people", default=1000, show_default=True, help="People enrolled, by made-up features.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@click.option("--broker-pid", type=int, help="The process of Kafka's broker, where it runs on this machine.")
@click.option("--threads", is_flag=True, help="Print the parts of each thread too.")
@broker_option
@click.pass_context
def main(
    ctx: click.Context,
    requests: int,
    rounds: int,
    people: int,
    pictures: Path | None,
    broker_pid: int | None,
    threads: bool,
    broker: str | None,
) -> None:
    """Milliseconds of a core per request: engine, our processes beside it by part, broker, client."""
    if _py_spy() is None:
        raise UserError("the benchmark reads stacks with py-spy: install it with `pip install py-spy`")
    settings = settings_of(ctx, broker=broker)
    jpegs = bench_pictures(settings, pictures)
    calls = [match_call(jpeg, f"10.0.0.{i % 200}") for i, jpeg in enumerate(jpegs)]
    features = made_up_features(people, open_models(settings).embedder.dimension)
    kinds = {"a decision that costs nothing": ("--free",), "the engine": ()}
    without = {"a decision that costs nothing, without the event store": {"PICTUREMATCH_STORE__ENABLED": "false"}}
    rows: dict[tuple[str, int], _Row] = {}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_server(ctx, broker, free, {})) for name, free in kinds.items()}
        for name, changed in without.items():
            servers[name] = stack.enter_context(_server(ctx, broker, ("--free",), changed))
        for processes in servers.values():
            asyncio.run(enrol_features(processes[0].url, features))
            asyncio.run(run_load(_port(processes[0]), calls, 2 * len(calls), 2))
        each = max(1, requests // rounds)
        with progress("requests", rounds * len(servers) * len(CONCURRENCIES) * each) as steps:
            for _ in range(rounds):
                for name, processes in servers.items():
                    for concurrency in CONCURRENCIES:
                        row = rows.setdefault((name, concurrency), _Row())
                        _measure(row, processes, calls, each, concurrency, broker_pid)
                        steps.step(each)
    console = Console(width=120)
    console.print(f"{len(jpegs)} pictures, {people} people, log {settings.broker}, {os.cpu_count()} cores")
    for name in servers:
        console.print(_table(name, {at: row for (kind, at), row in rows.items() if kind == name}))
    if threads:
        for key, row in rows.items():
            console.print(_threads(f"{key[0]}, concurrency {key[1]}", row))
    console.print(
        "Milliseconds of a core per request. Aims beside the engine: on the embedded log at most 1.8 at concurrency 8"
        " and more; on Kafka at concurrency 64 at most 3 of our processes and 3 of the broker."
    )


def _py_spy() -> str | None:
    """Return the path of py-spy, also where the folder of this interpreter is in no search path."""
    return shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def _measure(
    row: _Row, processes: Sequence[_Process], calls: Sequence[bytes], count: int, concurrency: int, broker: int | None
) -> None:
    ours_s = [_processor_s(process.handle.pid) for process in processes]
    broker_s, client_s = _processor_s(broker), time.process_time()
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(_sampled(process, row.spent_s))
        load = asyncio.run(run_load(_port(processes[0]), calls, count, concurrency))
        row.client_s += time.process_time() - client_s
        for process, was_s in zip(processes, ours_s, strict=True):
            row.processes_s[process.name] += (_processor_s(process.handle.pid) or 0.0) - (was_s or 0.0)
    row.latencies_ms += load.latencies_ms
    row.seconds += load.seconds
    row.failed += load.failed
    now_s = _processor_s(broker)
    if now_s is not None and broker_s is not None:
        row.broker_s = (row.broker_s or 0.0) + now_s - broker_s


def _processor_s(pid: int | None) -> float | None:
    if pid is None:
        return None
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _port(process: _Process) -> int:
    return int(process.url.rsplit(":", 1)[1])


@contextmanager
def _server(
    ctx: click.Context, broker: str | None, options: Sequence[str], changed: Mapping[str, str]
) -> Iterator[Sequence[_Process]]:
    """Run one process on the embedded log, or an ingress and a processor on Kafka; the first one has the HTTP port."""
    settings = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}-{time.monotonic_ns()}")
    roles = ("both",) if settings.kafka_config is None else ("ingest", "process")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="picturematch-bench-"))
        environment = {**os.environ, **_ENVIRONMENT, "PICTUREMATCH_DATA_FOLDER": folder, **_log_of(settings), **changed}
        processes = [stack.enter_context(_process(role, options, environment)) for role in reversed(roles)]
        yield processes[::-1]


def _log_of(settings: Settings) -> Mapping[str, str]:
    return {"PICTUREMATCH_BROKER": "embedded", **log_environment(settings)}


@contextmanager
def _process(role: str, options: Sequence[str], environment: Mapping[str, str]) -> Iterator[_Process]:
    command = [sys.executable, "-m", "bench.cost_server", "--roles", role, *(options if role != "ingest" else ())]
    handle = subprocess.Popen(command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    try:
        line = handle.stdout.readline() if handle.stdout else b""
        if not line:
            raise RuntimeError("a server did not start; what it said is above")
        yield _Process("server" if role == "both" else role, line.decode().strip(), handle)
    finally:
        if handle.stdin is not None:
            handle.stdin.close()
        handle.wait(timeout=60)
        if handle.stdout is not None:
            handle.stdout.close()


def _table(title: str, rows: Mapping[int, _Row]) -> Table:
    table = Table("concurrency", title=title)
    for concurrency in rows:
        table.add_column(str(concurrency), justify="right")

    def add(name: str, values: Sequence[float]) -> None:
        if any(round(value, 2) for value in values):
            table.add_row(name, *(f"{value:.2f}" for value in values))

    every = list(rows.values())
    for part in PARTS:
        add(part, [row.part_ms(part) for row in every])
    for process in dict.fromkeys(name for row in every for name in row.processes_s):
        add(f"all of our process: {process}", [row.per_request_ms(row.processes_s[process]) for row in every])
    all_ms = [row.per_request_ms(sum(row.processes_s.values())) for row in every]
    add("ours beside the engine", [total - row.part_ms("engine") for total, row in zip(all_ms, every, strict=True)])
    add("broker", [row.per_request_ms(row.broker_s or 0.0) for row in every])
    add("client", [row.per_request_ms(row.client_s) for row in every])
    for share in (50, 99, 99.9):
        add(f"latency p{share:g}, ms", [row.load.percentile(share) for row in every])
    add("requests per second", [row.load.per_second for row in every])
    add("failed", [float(row.failed) for row in every])
    return table


def _threads(title: str, row: _Row) -> Table:
    table = Table("process", "thread", "part", "ms per request", title=title)
    for (process, thread, part), seconds in sorted(row.spent_s.items(), key=lambda item: -item[1]):
        if row.per_request_ms(seconds) >= 0.005:
            table.add_row(process, thread, part, f"{row.per_request_ms(seconds):.2f}")
    return table


if __name__ == "__main__":
    main()
