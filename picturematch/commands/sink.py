"""picturematch sink NAME: events carried to a destination."""

import time
from pathlib import Path

import click

from picturematch.opening import damaged_records, open_broker
from picturematch.options import config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, counted, run, say, stop_signal
from sinks.jsonl import JsonlSink
from sinks.port import Sink
from sinks.runner import reading_at, run_sink


@click.group(epilog="Example: picturematch sink jsonl --out /var/lib/events")
@config_option
def command() -> None:
    """Carry events to a destination, each of them, going on where it was."""


@command.command(
    epilog="""\b
Examples:
  picturematch sink jsonl --out /var/lib/events --max-bytes 16777216 --max-age 1h
  picturematch sink jsonl --out nightly --idle-exit 5s"""
)
@config_option
@log_options
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the files.")
@click.option("--group", default="sink-jsonl", show_default=True, help="Consumer group; a folder belongs to one.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=64 * 1024 * 1024, show_default=True, help="Size of a file."
)
@click.option("--max-age", type=Span(), default="1d", show_default=True, help="Age of a file.")
@click.option("--idle-exit", type=Span(), help="End when no event has come for so long; else it runs until stopped.")
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
    """Write every event once, as a JSON line, into rotating files.

    Each line is the event with its place in the log. Every file but the last is finished. The first SIGINT, SIGTERM or
    SIGHUP finishes what is in hand; a second one kills, and nothing is lost or doubled by it.

    On Kafka several processes of one group share the events, each with a folder of its own: an event stands in one of
    them, unless a process dies, or loses Kafka, between writing it and committing it; then it can stand in two.

    Exit status: 0 all were carried, 1 records are damaged in the log, 2 it could not be done. A damaged record's line
    holds its place and an empty `unreadable`.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    sink = JsonlSink(out, settings.topics.events, group, max_bytes=max_bytes, max_age_s=max_age, clock_s=time.time)
    count, damaged = run(_carry(settings, sink, group, idle_exit))
    say(f"{counted(count, 'event')} carried to {out}")
    if damaged:
        click.echo(f"{counted(damaged, 'record')} of them damaged in the log: see above", err=True)
        ctx.exit(1)


async def _carry(settings: Settings, sink: Sink, group: str, idle_exit_s: float | None) -> tuple[int, int]:
    """How many records were carried, and how many of them are damaged."""
    stop = stop_signal()
    topic = settings.topics.events
    async with open_broker(settings, "guest") as log, log.member(topic, group) as member:
        ends = await log.end_offsets(topic)
        carried = await run_sink(sink, member, ends, stop, read_at=reading_at(log, topic), idle_exit_s=idle_exit_s)
        return carried, damaged_records(log)
