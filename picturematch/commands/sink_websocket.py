"""picturematch sink websocket: send events to WebSocket clients and to web pages."""

from pathlib import Path

import click

from picturematch.options import setting_default, settings_of
from picturematch.sink_process import run_sink_process, sink_of_options, sink_options
from sinks.settings import WebsocketSettings


@click.command(
    epilog="""\b
Examples:
  picturematch sink websocket --broker kafka://kafka:9092 --host 0.0.0.0 --metrics-port 5558
  picturematch sink websocket --origin https://desk.example --max-clients 20"""
)
@click.option("--host", show_default=setting_default("ingest.host"), help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=5679, show_default=True, help="Port; 0: a free one.")
@click.option("--origin", "origins", multiple=True, help="Origin of web pages that may listen; can be repeated.")
@click.option(
    "--max-clients", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most clients at a time."
)
@click.option(
    "--max-clients-per-address",
    type=click.IntRange(1, 10_000),
    default=25,
    show_default=True,
    help="Most clients of one address at a time.",
)
@click.option("--name", default="websocket", show_default=True, help="Name of the sink in metrics and log lines.")
@sink_options
@click.pass_context
def websocket(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    host: str | None,
    port: int,
    origins: tuple[str, ...],
    max_clients: int,
    max_clients_per_address: int,
    name: str,
    idle_exit: float | None,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Send events to WebSocket clients, in the vendor's form, and to web pages at /events.

    Clients get what happens while they are connected. Several processes may run: each sends all events to its own
    clients. Who may connect, and with which certificate, is set by `ingest.trusted_networks`, the API keys,
    `ingest.trusted_proxies` and `ingest.tls_cert`, as for calls. Exit status: 0 stopped or idle, 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder, ingest__host=host)
    limits = {"max_clients": max_clients, "max_clients_per_address": max_clients_per_address}
    given = {"kind": "websocket", "name": name, "port": port, "origins": origins, **limits}
    run_sink_process(settings, sink_of_options(given, WebsocketSettings), log_level, idle_exit, metrics_port)
