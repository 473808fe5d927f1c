"""What the commands that run one sink share: options, and the process around the sink."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from picturematch.log_lines import DATED, log_to_stderr
from picturematch.options import UserError, config_option, log_level_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, counted, print_line, run, stop_signal
from sinks.settings import PushSettings, SinkSettings, WebsocketSettings

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")


def idle_exit_option(function: F) -> F:
    """--idle-exit, for commands that run a sink."""
    return click.option(
        "--idle-exit",
        type=Span(),
        help="End when no event has arrived for this time; without the option the sink runs until it is stopped.",
    )(function)


def metrics_port_option(function: F) -> F:
    """--metrics-port, for commands that run a sink."""
    return click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        help="Port of /healthz, /readyz and /metrics at the address of the setting health.host; 0 takes a free one.",
    )(function)


def sink_options(function: F) -> F:
    """--config, --broker, --data-folder, --idle-exit, --metrics-port, --log-level, for commands that run a sink."""
    for option in (log_level_option, metrics_port_option, idle_exit_option, log_options, config_option):
        function = option(function)
    return function


def sink_command(sink_of: Callable[..., SinkSettings | PushSettings]) -> Callable[..., None]:
    """Return the callback of a command that runs the sink that `sink_of` returns, with the options of `sink_options`.

    `sink_of` gets the settings of the process, and the command's own options by name.
    """

    @sink_options
    @click.pass_context
    @wraps(sink_of)
    def callback(
        ctx: click.Context,
        /,
        broker: str | None,
        data_folder: Path | None,
        idle_exit: float | None,
        metrics_port: int | None,
        log_level: str,
        **given: Any,
    ) -> None:
        settings = settings_of(ctx, broker=broker, data_folder=data_folder)
        run_sink_process(settings, sink_of(settings, **given), log_level, idle_exit, metrics_port)

    return callback


def sink_of_options(given: Mapping[str, Any], kind: type[S]) -> S:
    """Return the settings of a sink whose fields are options of a command; `given`: field -> value.

    Raises:
        UserError: a value is wrong.
    """
    try:
        return msgspec.convert(given, kind, dec_hook=_as_it_is)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        option = f"--{place.rstrip('`').replace('_', '-')}: " if place else ""
        raise UserError(f"{option}{text}") from error


def _as_it_is(_: type, value: Any) -> Any:
    return value


def run_sink_process(
    settings: Settings,
    sink: SinkSettings | PushSettings,
    log_level: str,
    idle_exit_s: float | None,
    metrics_port: int | None,
) -> None:
    """Run one sink until the first SIGINT, SIGTERM or SIGHUP, which finishes the current events, and print the count.

    Raises:
        UserError: the log or the destination cannot be used.
    """
    log_to_stderr(log_level, DATED)
    count = run(_run(settings, sink, idle_exit_s, metrics_port))
    print_line(f"{counted(count, 'event')} passed on by sink {sink.name}")


async def _run(
    settings: Settings, sink: SinkSettings | PushSettings, idle_exit_s: float | None, metrics_port: int | None
) -> int:
    from ingest.tls import tls_of
    from picturematch.face_crops import face_crops  # so that --help does not import the image library
    from picturematch.outlets import run_alone

    health = None if metrics_port is None else msgspec.structs.replace(settings.health, port=metrics_port)
    crop = face_crops(settings.pictures.max_pixels)
    tls = tls_of(settings.ingest) if isinstance(sink, WebsocketSettings) else None
    stop = stop_signal(None if tls is None else tls.reload)
    return await run_alone(settings, sink, crop, stop, idle_exit_s=idle_exit_s, health=health, tls=tls)
