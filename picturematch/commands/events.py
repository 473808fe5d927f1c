"""picturematch events: print the events as lines of JSON."""

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from broker.port import Record
from contract.kinds import ERASE_KIND, EVENT_KINDS, PEOPLE_KINDS
from picturematch.opening import open_broker
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import When, counted, drop_stdout, run
from sinks.console import Choice, Printed, print_events

_PEOPLE = "people"
_ABOUT_PEOPLE = (*PEOPLE_KINDS, ERASE_KIND)


@click.command(
    epilog="""\b
Examples:
  picturematch events --since 10m
  picturematch events --follow --device 192.168.1.22 | jq .outcome"""
)
@config_option
@log_options
@click.option("--follow", "-f", is_flag=True, help="Continue with new events until stopped.")
@click.option(
    "--since", type=When(), help="Only events from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago."
)
@click.option("--device", metavar="IP", help="Only events of this device_ip.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([*EVENT_KINDS, ERASE_KIND, _PEOPLE]),
    help=f"Only events of this kind; may be given several times. {_PEOPLE}: {', '.join(_ABOUT_PEOPLE)}.",
    show_default="all",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after this number of events.")
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    follow: bool,
    since: float | None,
    device: str | None,
    kinds: tuple[str, ...],
    limit: int | None,
) -> None:
    """Print the events of a data folder, one JSON object per line, oldest first.

    Exit status: 0 all were printed, 1 records were skipped because they cannot be read (standard error names them), 2
    the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    printed = Printed()
    with contextlib.suppress(KeyboardInterrupt):
        run(_events(settings, follow, since, Choice(_chosen(kinds), device), limit, printed))
    if printed.unreadable:
        click.echo(f"{counted(printed.unreadable, 'record')} skipped: see above", err=True)
        ctx.exit(1)


def _chosen(kinds: tuple[str, ...]) -> frozenset[str]:
    people = _ABOUT_PEOPLE if _PEOPLE in kinds else ()
    return frozenset({*kinds, *people} - {_PEOPLE})


async def _events(
    settings: Settings, follow: bool, since: float | None, choice: Choice, limit: int | None, printed: Printed
) -> None:
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

    def passed_over(record: Record) -> None:
        if not record.damaged:  # the log itself logs damaged records
            place = f"topic {record.topic}, partition {record.partition}, offset {record.offset}"
            click.echo(f"the record at {place} is not a readable event", err=True)

    async with open_broker(settings, "guest") as log:
        try:
            await print_events(
                log,
                settings.topics.events,
                write,
                asyncio.Event(),
                since_s=since,
                follow=follow,
                choice=choice,
                limit=limit,
                passed_over=passed_over,
                printed=printed,
            )
        except BrokenPipeError:
            drop_stdout()
