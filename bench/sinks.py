"""How many events a second a sink passes on, and what an event costs: `python -m bench.sinks`.

The events are in an embedded log before the sink starts. The destination is on this machine: a folder, a database of
SQLite, or a process of its own, which is a receiver that answers at once or the MQTT broker mosquitto. The processor
time is that of the sink's process, with its share of the log.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pybase64
from prometheus_client import CollectorRegistry

from bench.receiver import running_receiver
from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from contract.cloud_events import cloud_event_headers
from contract.events import Event, RequestPlace, Threshold, encode_event
from contract.hosts import hosts_of
from contract.people.directory import Directory
from contract.site_settings import with_values
from contract.topics import Topics
from picturematch.outlets import runner_of
from picturematch.settings import LogSettings
from sinks.context import SinkContext
from sinks.meter import SinkMetrics
from sinks.push import PushTarget, run_push
from sinks.settings import JsonlSettings, MqttSettings, PushSettings, SqlSettings, WebhookSettings
from sinks.sql_engine import sqlite_url
from tests.support.mosquitto import mosquitto

_TOPICS = Topics()
_BATCH = 500
_LOOK_S = 0.002
_SECRET = pybase64.b64encode(b"a secret for the benchmark, 32 B").decode()

Run = Callable[[SinkContext], Awaitable[int]]
"""Runs a sink until the context's `stop` is set."""


@contextmanager
def _jsonl(folder: Path) -> Iterator[Run]:
    given = JsonlSettings(name="jsonl", out=folder / "events")
    yield lambda context: runner_of(given)(given, context)


@contextmanager
def _sql(folder: Path) -> Iterator[Run]:
    given = SqlSettings(name="sql", url=sqlite_url(folder / "events.sqlite"))
    yield lambda context: runner_of(given)(given, context)


@contextmanager
def _mqtt(folder: Path) -> Iterator[Run]:
    with mosquitto(folder / "mosquitto") as server:
        given = MqttSettings(name="mqtt", host="127.0.0.1", port=server.port, from_now=False)
        yield lambda context: runner_of(given)(given, context)


@contextmanager
def _webhook(folder: Path) -> Iterator[Run]:
    with running_receiver("fast") as url:
        given = WebhookSettings(name="webhook", url=url, secrets=(_SECRET,), from_now=False)
        yield lambda context: runner_of(given)(given, context)


@contextmanager
def _push(folder: Path) -> Iterator[Run]:
    with running_receiver("fast") as url:
        target = PushTarget(url, PushSettings(), hosts_of(("127.0.0.1",)))
        yield lambda context: run_push(target, context)


_KINDS: Mapping[str, Callable[[Path], AbstractContextManager[Run]]] = {
    "jsonl": _jsonl,
    "sql": _sql,
    "mqtt": _mqtt,
    "webhook": _webhook,
    "push": _push,
}
"""Each kind of sink -> a function of a folder that opens the destination and returns how the sink is run."""


@dataclass(frozen=True, slots=True)
class _Figures:
    events: int
    seconds: float
    processor_s: float


@click.command(epilog="Example: python -m bench.sinks --kind webhook --events 20000")
@click.option("--kind", "kinds", type=click.Choice(list(_KINDS)), multiple=True, help="Kinds of sinks; default: all.")
@click.option("--events", default=20_000, show_default=True, help="Events that each sink passes on.")
def main(kinds: tuple[str, ...], events: int) -> None:
    """Print events a second and processor milliseconds per event for each kind of sink."""
    click.echo("| kind | events a second | processor ms per event |")
    click.echo("|---|---|---|")
    for kind in kinds or _KINDS:
        with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as folder, _KINDS[kind](Path(folder)) as run:
            found = asyncio.run(_measure(Path(folder), run, events))
        per_event_ms = 1000 * found.processor_s / found.events
        click.echo(f"| {kind} | {found.events / found.seconds:,.0f} | {per_event_ms:.3f} |")


async def _measure(folder: Path, run: Run, events: int) -> _Figures:
    """Return what a sink needs to pass on so many events."""
    async with open_embedded(folder / "data", role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(LogSettings().topic_specs(_TOPICS))
        await _fill(log, events)
        registry, stop = CollectorRegistry(), asyncio.Event()
        began_s, began_processor_s = time.perf_counter(), time.process_time()
        running = asyncio.ensure_future(run(_context(log, registry, stop)))
        while _delivered(registry) < events:
            if running.done():
                raise click.ClickException(f"the sink ended early: {running.exception()}")
            await asyncio.sleep(_LOOK_S)
        seconds, processor_s = time.perf_counter() - began_s, time.process_time() - began_processor_s
        stop.set()
        await running
    return _Figures(events, seconds, processor_s)


async def _fill(log: EmbeddedBroker, events: int) -> None:
    partitions = LogSettings().request_partitions
    for first in range(0, events, _BATCH):
        numbers = range(first, min(first + _BATCH, events))
        await log.append([_record(number, number % partitions) for number in numbers])


def _record(number: int, partition: int) -> NewRecord:
    """Return the record of a match as a processor writes it."""
    now_s = time.time()
    event = Event(
        id=f"{number:032x}",
        kind="match",
        outcome="stranger",
        compare_time=now_s,
        received_time=now_s,
        processed_time=now_s,
        request=RequestPlace(topic=_TOPICS.requests, partition=partition, offset=number),
        gallery_version=100,
        models={"detector": "0" * 64, "embedder": "1" * 64},
        device_ip=f"10.0.0.{partition}",
        retcode="0",
        score=0.3,
        cosine=0.3,
        threshold=Threshold(value=0.48, cosine=0.48, rule="setting"),
        timings_ms={"decode": 3.0, "detect": 9.0, "embed": 20.0, "search": 1.0},
    )
    headers = cloud_event_headers(event, "picturematch.match.v1", "/picturematch")
    return NewRecord(_TOPICS.events, (event.device_ip or "").encode(), encode_event(event), headers, partition)


def _context(log: EmbeddedBroker, registry: CollectorRegistry, stop: asyncio.Event) -> SinkContext:
    people = Directory()
    # Receivers of uploads begin with the first event, and one upload sends all of them.
    people.site, _ = with_values(people.site, {"REPORTED_PEROID": 1}, 1.0)
    return SinkContext(
        broker=log,
        topics=_TOPICS,
        people=people,
        crop=lambda picture, box: None,
        metrics=SinkMetrics(registry),
        clock=time.time,
        stop=stop,
        events_retention_ms=None,
    )


def _delivered(registry: CollectorRegistry) -> float:
    name = "picturematch_sink_delivered_total"
    return sum(sample.value for metric in registry.collect() for sample in metric.samples if sample.name == name)


if __name__ == "__main__":
    main()
