"""What a request costs, by part: `python -m bench.cost`.

Processor milliseconds per decided request of every process (the client, our own, a Kafka broker on this machine) and,
within ours, of every thread and part, at concurrency 1, 8 and 64: with a decision that costs nothing, so that the
system alone is seen, and with the real engine. On the embedded log the event store is left out in a row of its own. In
each round every kind of server is started anew and every concurrency has its turn, so that a noisy machine is noisy for
all rows.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import psutil
from rich.console import Console

from bench.cost_parts import Spent, Totals, between, together
from bench.cost_print import Row, print_rows
from bench.cost_server import DECIDED_ONCE
from bench.load import LoadResult, match_call, merged_load, run_load
from bench.overhead import DirectEngine
from bench.people import enrol_features
from bench.pictures import bench_pictures
from bench.server import Server, log_environment, running_server
from picturematch.options import broker_option, settings_of
from picturematch.settings import Settings
from picturematch.shell import progress
from picturematch.wiring import open_models
from tests.support.kafka_dev import dev_kafka

CONCURRENCIES = (1, 8, 64)
_WARM_UP, _WARM_UP_KAFKA = 64, 256
_SETTLE_S = 0.3
"""How long a server is left alone before and after a load, so that what it does behind the answers is counted."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A kind of server: its name in the table, whether its decisions cost nothing, and its environment."""

    name: str
    free: bool
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Measured:
    load: LoadResult
    client_ns: int
    broker_ns: int | None
    spent: Spent


class Roles:
    """The running processes of one server: name -> process, and the port of the one that serves HTTP."""

    def __init__(self, servers: Mapping[str, Server], broker: psutil.Process | None) -> None:
        self._servers, self._broker = servers, broker
        self.port = next(iter(servers.values())).port
        self.url = next(iter(servers.values())).url

    def measure(self, calls: Sequence[bytes], count: int, concurrency: int) -> _Measured:
        """Send `count` calls and return what was spent meanwhile."""
        time.sleep(_SETTLE_S)
        before, broker_before = self._totals(), self._broker_ns()
        client_ns = time.process_time_ns()
        load = asyncio.run(run_load(self.port, calls, count, concurrency))
        client_ns = time.process_time_ns() - client_ns
        time.sleep(_SETTLE_S)
        after, broker_after = self._totals(), self._broker_ns()
        spent = together(between(name, before[name], after[name]) for name in before)
        broker_ns = None if broker_before is None or broker_after is None else broker_after - broker_before
        return _Measured(load, client_ns, broker_ns, spent)

    def _totals(self) -> Mapping[str, Totals]:
        return {name: _ask(server) for name, server in self._servers.items()}

    def _broker_ns(self) -> int | None:
        if self._broker is None:
            return None
        times = self._broker.cpu_times()
        return int((times.user + times.system) * 1e9)


def _ask(server: Server) -> Totals:
    """Return what a server has spent since its start.

    Raises:
        RuntimeError: the server has ended.
    """
    questions, answers = server.process.stdin, server.process.stdout
    if questions is None or answers is None:
        raise RuntimeError("the server has no pipes")
    questions.write(b"\n")
    questions.flush()
    for line in answers:
        if line.startswith(b"{"):
            return msgspec.json.decode(line, type=Totals)
    raise RuntimeError("the server has ended")


@contextmanager
def _running(setup: Setup, settings: Settings) -> Iterator[Roles]:
    """Run the processes of a setup; on Kafka with topics of their own."""
    first = (DECIDED_ONCE,) if setup.free else ()
    environment = {
        "PICTUREMATCH_INGEST__DEADLINE_MS": "60000",
        "PICTUREMATCH_INGEST__DRAIN_S": "5",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
        **log_environment(settings),
        **setup.environment,
    }
    names = ("server",) if settings.kafka_config is None else ("ingress", "processor")
    commands = {"server": "serve", "ingress": "ingest", "processor": "process"}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                running_server(environment, ("bench.cost_server", *first, commands[name], "--log-level", "error"))
            )
            for name in names
        }
        yield Roles(servers, broker_process(settings))


def broker_process(settings: Settings) -> psutil.Process | None:
    """Return the Java process that listens where the settings expect Kafka; None: it is not on this machine, or behind
    a container's proxy."""
    if settings.kafka_config is None:
        return None
    host, _, port = settings.broker.removeprefix("kafka://").split(",")[0].rpartition(":")
    here = {one.address for addresses in psutil.net_if_addrs().values() for one in addresses}
    if here.isdisjoint(found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)):
        return None
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.pid is not None
        if listens and connection.laddr and connection.laddr.port == int(port):
            process = psutil.Process(connection.pid)
            return process if process.name() == "java" else None
    return None


def setups_of(settings: Settings) -> Sequence[Setup]:
    """Return the kinds of servers that are compared on the log of these settings."""
    whole = [Setup("free decision", True, {}), Setup("real engine", False, {})]
    if settings.store_url is None:
        return whole
    no_store = {"PICTUREMATCH_STORE__ENABLED": "false"}
    return [setup for one in whole for setup in (one, Setup(f"{one.name}, no store", one.free, no_store))]


@click.command(epilog="Example: python -m bench.cost --requests 1000 --rounds 4 --own-kafka")
@click.option("--requests", default=1000, show_default=True, help="Requests per row, over all rounds.")
@click.option("--rounds", default=4, show_default=True, help="Rounds in which the rows take turns.")
@click.option("--people", default=1000, show_default=True, help="People enrolled, by made-up features.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="JPEGs to send.")
@click.option("--own-kafka", is_flag=True, help="Start a Kafka broker on this machine, and measure on it.")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown.")
@broker_option
@click.pass_context
def main(
    ctx: click.Context,
    requests: int,
    rounds: int,
    people: int,
    pictures: Path | None,
    own_kafka: bool,
    markdown: bool,
    broker: str | None,
) -> None:
    """Processor milliseconds per request, by process, thread and part."""
    if own_kafka and broker is not None:
        raise click.UsageError("give --own-kafka or --broker, not both")
    with dev_kafka() if own_kafka else nullcontext() as started:
        named = broker if started is None else f"kafka://{started.bootstrap}"
        settings = settings_of(ctx, broker=named)
        rows = _measure(ctx, settings, named, requests, rounds, people, bench_pictures(settings, pictures))
    print_rows(rows, f"{os.cpu_count()} cores, {people} people, log {settings.broker}", markdown, Console(width=150))


def _measure(
    ctx: click.Context,
    settings: Settings,
    broker: str | None,
    requests: int,
    rounds: int,
    people: int,
    jpegs: Sequence[bytes],
) -> Sequence[Row]:
    calls = [match_call(jpeg, f"10.0.0.{i % 200}") for i, jpeg in enumerate(jpegs)]
    engine = DirectEngine(open_models(settings), jpegs, people)
    setups, each = setups_of(settings), max(1, requests // rounds)
    alone: list[LoadResult] = []
    found: dict[tuple[str, int], list[_Measured]] = {}
    with progress("loads", rounds * (1 + len(setups) * len(CONCURRENCIES))) as steps:
        for number in range(rounds):
            alone.append(engine.run(each, 1))
            steps.step()
            for at, setup in enumerate(setups):
                # Topics of its own: what an earlier server has left in them is not read again.
                own = settings_of(ctx, broker=broker, log__topic_prefix=f"bench-{os.getpid()}-{number}-{at}")
                with _running(setup, own) as roles:
                    asyncio.run(enrol_features(roles.url, engine.features))
                    warm_up = _WARM_UP if own.kafka_config is None else _WARM_UP_KAFKA
                    asyncio.run(run_load(roles.port, calls, warm_up, 8))
                    for concurrency in CONCURRENCIES:
                        measured = roles.measure(calls, each, concurrency)
                        found.setdefault((setup.name, concurrency), []).append(measured)
                        steps.step()
    rows = [_row(name, concurrency, parts) for (name, concurrency), parts in found.items()]
    return [Row("engine alone", 1, merged_load(alone), None, None, None), *rows]


def _row(name: str, concurrency: int, parts: Sequence[_Measured]) -> Row:
    brokers = [part.broker_ns for part in parts if part.broker_ns is not None]
    return Row(
        name,
        concurrency,
        merged_load([part.load for part in parts]),
        sum(part.client_ns for part in parts),
        sum(brokers) if brokers else None,
        together(part.spent for part in parts),
    )


if __name__ == "__main__":
    main()
