"""picturematch sink NAME: write events to a destination."""

import time
from pathlib import Path

import click

from picturematch.commands import sink_mqtt, sink_webhook, sink_websocket
from picturematch.opening import damaged_records, open_broker
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, counted, print_line, run, stop_signal
from picturematch.sink_process import idle_exit_option, sink_command
from sinks.jsonl import JsonlSink
from sinks.port import Sink
from sinks.runner import reading_at, run_sink
from sinks.settings import PushSettings, SinkSettings, SqlSettings


@click.group(epilog="Example: picturematch sink jsonl --out /var/lib/events")
@config_option
def command() -> None:
    """Write every event to a destination; a later run continues after the last event that was written."""


@command.command(
    epilog="""\b
Examples:
  picturematch sink jsonl --out /var/lib/events --max-bytes 16777216 --max-age 1h
  picturematch sink jsonl --out nightly --idle-exit 5s"""
)
@config_option
@log_options
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the files.")
@click.option(
    "--group",
    default="sink-jsonl",
    show_default=True,
    help="Consumer group of the sink; a folder belongs to one group.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=64 * 1024 * 1024,
    show_default=True,
    help="Largest size of a file.",
)
@click.option("--max-age", type=Span(), default="1d", show_default=True, help="Longest age of a file.")
@idle_exit_option
@click.pass_context
def jsonl(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    out: Path,
    group: str,
    max_bytes: int,
    max_age: float,
    idle_exit: float | None,
) -> None:
    """Write every event once, as a line of JSON, into rotating files.

    Each line is an event with its place in the log. Every file except the last is complete. The first SIGINT, SIGTERM
    or SIGHUP finishes the current events; a second one kills the process, and no event is lost or written twice.

    On Kafka several processes of one group share the events, and each needs a folder of its own. An event is written to
    one folder, unless a process dies, or loses Kafka, after writing the event and before committing it; then the event
    may be in two folders.

    Exit status: 0 all events were written, 1 records in the log are damaged, 2 the command failed. The line of a
    damaged record contains its place and an empty `unreadable`.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    sink = JsonlSink(out, settings.topics.events, group, max_bytes=max_bytes, max_age_s=max_age, clock_s=time.time)
    count, damaged = run(_carry(settings, sink, group, idle_exit))
    print_line(f"{counted(count, 'event')} carried to {out}")
    if damaged:
        click.echo(f"{counted(damaged, 'record')} of these damaged in the log: see above", err=True)
        ctx.exit(1)


@command.command(
    epilog="""\b
Examples:
  picturematch sink sql --broker kafka://kafka:9092
  PICTUREMATCH_STORE__URL=postgresql://events@db/events picturematch sink sql""",
)
@sink_command
def sql(settings: Settings) -> SqlSettings:
    """Keep events in the store of events (the settings store.url and store.keep_days), each once.

    `serve` does so by itself; on Kafka this command fills the database that the ingresses ask. Several processes share
    the events. Exit status: 0 stopped or idle, 2 the command failed.
    """
    if settings.store_sink is None:
        raise UserError(
            "there is no store of events: set store.url to a database, such as postgresql://events@db/events, and leave"
            " store.enabled true"
        )
    return settings.store_sink


@command.command(
    name="run",
    epilog="""\b
Examples:
  picturematch sink run hall --config picturematch.toml
  picturematch sink run hall --config picturematch.toml --metrics-port 5557""",
)
@click.argument("name")
@sink_command
def run_(settings: Settings, name: str) -> SinkSettings:
    """Run the sink NAME of the settings file ([[sinks]]) in this process.

    A process of its own is the way on Kafka, where `ingest` and `process` run no sinks. A sink that `serve` runs on the
    embedded log cannot run here at the same time. Exit status: 0 stopped or idle, 2 the command failed.
    """
    sink = next((sink for sink in settings.sinks if sink.name == name), None)
    if sink is None:
        known = ", ".join(sink.name for sink in settings.sinks) or "none"
        raise UserError(f"no table [[sinks]] of the settings has the name {name}; there are: {known}")
    return sink


@command.command(
    epilog="""\b
Examples:
  picturematch sink push --broker kafka://kafka:9092
  picturematch sink push --config picturematch.toml --metrics-port 5557"""
)
@sink_command
def push(settings: Settings) -> PushSettings:
    """Upload events to the receivers that the call HistoryEventUrl has set.

    `serve` does this by itself; on Kafka, where `ingest` and `process` do not, this command does. Give it the settings
    of the server, since ingest.event_url_hosts and ingest.trusted_networks decide which hosts may be receivers. The
    command follows changes of the receivers; several processes share the events.

    Exit status: 0 stopped or idle, 2 the command failed.
    """
    return settings.push


for _other in (sink_mqtt.mqtt, sink_webhook.webhook, sink_websocket.websocket):
    command.add_command(_other)


async def _carry(settings: Settings, sink: Sink, group: str, idle_exit_s: float | None) -> tuple[int, int]:
    """Write the events; return the number of records that were written, and the number of damaged ones among them."""
    stop = stop_signal()
    topic = settings.topics.events
    async with open_broker(settings, "guest") as log, log.member(topic, group) as member:
        ends = await log.end_offsets(topic)
        carried = await run_sink(sink, member, ends, stop, read_at=reading_at(log, topic), idle_exit_s=idle_exit_s)
        return carried, damaged_records(log)
