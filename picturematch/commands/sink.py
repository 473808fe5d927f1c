"""picturematch sink NAME: write events to a destination."""

import time
from pathlib import Path
from typing import Literal

import click

from picturematch.opening import damaged_records, open_broker
from picturematch.options import UserError, config_option, log_level_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, counted, print_line, run, stop_signal
from picturematch.sink_process import idle_exit_option, metrics_port_option, run_sink_process, sink_of_options
from sinks.jsonl import JsonlSink
from sinks.mqtt_topics import Picture
from sinks.port import Sink
from sinks.runner import reading_at, run_sink
from sinks.settings import MqttSettings


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
  picturematch sink mqtt --host broker.lan --user picturematch --password-file mqtt.password
  picturematch sink mqtt --host broker.lan --tls --ca-file ca.pem --home-assistant --picture face"""
)
@config_option
@log_options
@click.option("--host", required=True, help="Host name or IP address of the MQTT broker.")
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port; 8883 with --tls, else 1883.")
@click.option("--prefix", default="picturematch", show_default=True, help="The first levels of all topics.")
@click.option("--protocol", type=click.Choice(["5", "3.1.1"]), default="5", show_default=True, help="Version of MQTT.")
@click.option("--user", default="", help="User name.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File with the password in its first line.")
@click.option("--tls", is_flag=True, help="Encrypt the connection, and check the certificate of the broker.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Certificates (PEM) by which the broker is checked.")
@click.option("--cert-file", type=click.Path(path_type=Path), help="Client certificate (PEM).")
@click.option("--key-file", type=click.Path(path_type=Path), help="Private key of the client certificate (PEM).")
@click.option(
    "--picture",
    "pictures",
    type=click.Choice(["face", "spot"]),
    multiple=True,
    help="Publish the face, or the whole picture, of each event to a topic of its own; can be given twice.",
)
@click.option("--home-assistant", is_flag=True, help="Announce the devices to Home Assistant.")
@click.option("--name", default="mqtt", show_default=True, help="Name of the sink; its consumer group is sink-NAME.")
@click.option("--from-start", is_flag=True, help="Let a new sink begin with the first event that the log still has.")
@idle_exit_option
@metrics_port_option
@log_level_option
@click.pass_context
def mqtt(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    host: str,
    port: int | None,
    prefix: str,
    protocol: Literal["5", "3.1.1"],
    user: str,
    password_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    pictures: tuple[Picture, ...],
    home_assistant: bool,
    name: str,
    from_start: bool,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Publish events to an MQTT broker, as CloudEvents at PREFIX/DEVICE_ID/OUTCOME; at least once.

    Everything else that the sink can do, such as acting on a door relay, is in a table [[sinks]] of the settings file,
    which `picturematch sink run NAME` runs. Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    given = {
        "kind": "mqtt",
        "name": name,
        "host": host,
        "port": port,
        "prefix": prefix,
        "protocol": protocol,
        "user": user,
        "password_file": password_file,
        "tls": tls,
        "ca_file": ca_file,
        "cert_file": cert_file,
        "key_file": key_file,
        "pictures": pictures,
        "home_assistant": home_assistant,
        "from_now": not from_start,
    }
    sink = sink_of_options(given, MqttSettings)
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


async def _carry(settings: Settings, sink: Sink, group: str, idle_exit_s: float | None) -> tuple[int, int]:
    """Write the events; return the number of records that were written, and the number of damaged ones among them."""
    stop = stop_signal()
    topic = settings.topics.events
    async with open_broker(settings, "guest") as log, log.member(topic, group) as member:
        ends = await log.end_offsets(topic)
        carried = await run_sink(sink, member, ends, stop, read_at=reading_at(log, topic), idle_exit_s=idle_exit_s)
        return carried, damaged_records(log)
