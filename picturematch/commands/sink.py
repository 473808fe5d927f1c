"""picturematch sink NAME: write events to a destination."""

import time
from pathlib import Path
from typing import Any

import click

from contract.terms import LIVENESS_ORDER
from picturematch.commands import sink_websocket
from picturematch.mqtt_command import mqtt
from picturematch.opening import damaged_records, open_broker
from picturematch.options import UserError, config_option, log_level_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, counted, print_line, run, stop_signal
from picturematch.sink_process import idle_exit_option, metrics_port_option, run_sink_process
from picturematch.webhook_options import webhook_settings
from sinks.jsonl import JsonlSink
from sinks.port import Sink
from sinks.runner import reading_at, run_sink


@click.group(epilog="Example: picturematch sink jsonl --out /var/lib/events")
@config_option
def command() -> None:
    """Write every event to a destination; a later run continues after the last event that was written."""


command.add_command(mqtt)


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
@config_option
@log_options
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def sql(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Keep events in the store of events (the settings store.url and store.keep_days), each once.

    `serve` does so by itself; on Kafka this command fills the database that the ingresses ask. Several processes share
    the events. Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    sink = settings.store_sink
    if sink is None:
        raise UserError(
            "there is no store of events: set store.url to a database, such as postgresql://events@db/events, and leave"
            " store.enabled true"
        )
    run_sink_process(settings, sink, log_level, idle_exit, metrics_port)


@command.command(
    name="run",
    epilog="""\b
Examples:
  picturematch sink run hall --config picturematch.toml
  picturematch sink run hall --config picturematch.toml --metrics-port 5557""",
)
@config_option
@log_options
@click.argument("name")
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def run_(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    name: str,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Run the sink NAME of the settings file ([[sinks]]) in this process.

    A process of its own is the way on Kafka, where `ingest` and `process` run no sinks. A sink that `serve` runs on the
    embedded log cannot run here at the same time. Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    sink = next((sink for sink in settings.sinks if sink.name == name), None)
    if sink is None:
        known = ", ".join(sink.name for sink in settings.sinks) or "none"
        raise UserError(f"no table [[sinks]] of the settings has the name {name}; there are: {known}")
    run_sink_process(settings, sink, log_level, idle_exit, metrics_port)


@command.command(
    epilog="""\b
Examples:
  picturematch sink push --broker kafka://kafka:9092
  picturematch sink push --config picturematch.toml --metrics-port 5557"""
)
@config_option
@log_options
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def push(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Upload events to the receivers that the call HistoryEventUrl has set.

    `serve` does this by itself; on Kafka, where `ingest` and `process` do not, this command does. Give it the settings
    of the server, since ingest.event_url_hosts and ingest.trusted_networks decide which hosts may be receivers. The
    command follows changes of the receivers; several processes share the events.

    Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    run_sink_process(settings, settings.push, log_level, idle_exit, metrics_port)


@command.command(
    epilog="""\b
Examples:
  picturematch sink webhook --url https://gate.example/events --secret-file /etc/picturematch/webhook.secret
  picturematch sink webhook --name door --url http://10.0.0.9/open --secret-file door.secret --acts --outcome matched"""
)
@config_option
@log_options
@click.option("--url", required=True, help="URL of the receiver, http:// or https://.")
@click.option("--name", default="webhook", show_default=True, help="Name of the sink; its consumer group is sink-NAME.")
@click.option(
    "--secret-file",
    "secret_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a secret of the signatures in base64; give the option twice while one secret replaces another.",
)
@click.option("--kind", "kinds", multiple=True, help="Pass on events of this kind only (match, compare, enrol, ...).")
@click.option("--outcome", "outcomes", multiple=True, help="Pass on events with this outcome only (matched, ...).")
@click.option("--device", "devices", multiple=True, help="Pass on events of the device at this address only.")
@click.option("--from-first", is_flag=True, help="Let a new sink begin with the first event that the log has.")
@click.option("--timeout", type=Span(), default="5s", show_default=True, help="Longest time of one try.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates (PEM) by which an https receiver is checked.",
)
@click.option("--acts", is_flag=True, help="The receiver opens a door: matched people only, at most once, never late.")
@click.option("--valid", type=Span(), default="2s", show_default=True, help="With --acts: how old a passage may be.")
@click.option("--margin", type=float, default=0.0, show_default=True, help="With --acts: cosine above the threshold.")
@click.option(
    "--liveness",
    type=click.Choice(LIVENESS_ORDER),
    default=LIVENESS_ORDER[0],
    show_default=True,
    help="With --acts: the least liveness mode that the face must have passed.",
)
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def webhook(
    ctx: click.Context,
    /,
    broker: str | None,
    data_folder: Path | None,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
    **given: Any,
) -> None:
    """Post each event as a CloudEvent to a URL, signed as Standard Webhooks describes.

    An event is posted at least once, always with the same webhook-id, so that the receiver can tell a repeated
    delivery. A receiver that answers 410 Gone switches the sink off: the command ends, and the next start asks again
    once.

    Exit status: 0 stopped or idle, 2 the command failed or the receiver has switched the sink off.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    run_sink_process(settings, webhook_settings(**given), log_level, idle_exit, metrics_port)


command.add_command(sink_websocket.websocket)


async def _carry(settings: Settings, sink: Sink, group: str, idle_exit_s: float | None) -> tuple[int, int]:
    """Write the events; return the number of records that were written, and the number of damaged ones among them."""
    stop = stop_signal()
    topic = settings.topics.events
    async with open_broker(settings, "guest") as log, log.member(topic, group) as member:
        ends = await log.end_offsets(topic)
        carried = await run_sink(sink, member, ends, stop, read_at=reading_at(log, topic), idle_exit_s=idle_exit_s)
        return carried, damaged_records(log)
