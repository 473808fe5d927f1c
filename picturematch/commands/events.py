"""picturematch events: what happened, as JSON lines."""

import asyncio
import sys
from pathlib import Path

import click

from picturematch.logs import open_log
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import When, drop_stdout, run
from sinks.console import Choice, Kind, print_events


@click.command(
    epilog="""\b
Examples:
  picturematch events --since 10m
  picturematch events --follow --device 192.168.1.22 | jq .outcome"""
)
@config_option
@log_options
@click.option("--follow", "-f", is_flag=True, help="Go on with the events that come.")
@click.option("--since", type=When(), help="From then on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago.")
@click.option("--device", metavar="IP", help="Only those of this device_ip.")
@click.option("--kind", type=click.Choice(["match", "people", "compare", "all"]), default="all", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="End after so many.")
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    follow: bool,
    since: float | None,
    device: str | None,
    kind: Kind,
    limit: int | None,
) -> None:
    """Print the events of a data folder, one JSON object per line, oldest first."""
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    try:
        run(_events(settings, follow, since, Choice(kind, device), limit))
    except KeyboardInterrupt:
        return


async def _events(settings: Settings, follow: bool, since: float | None, choice: Choice, limit: int | None) -> None:
    def write(lines: bytes) -> None:
        try:
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            drop_stdout()
            raise UserError(
                f"the events cannot be written to standard output ({error.strerror}); put that right and try again"
            ) from error

    async with open_log(settings, "guest") as log:
        try:
            never = asyncio.Event()
            await print_events(
                log, settings.topics.events, write, never, since_s=since, follow=follow, choice=choice, limit=limit
            )
        except BrokenPipeError:
            drop_stdout()
