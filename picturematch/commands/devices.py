"""picturematch devices: the devices of the site, and which of them are silent or send pictures of no use."""

import sys
import time
from pathlib import Path

import click

from picturematch.commands import site_devices
from picturematch.device_rows import device_rows, print_json, print_table
from picturematch.options import config_option, log_options, settings_of
from picturematch.shell import Span, counted, drop_stdout, run
from sinks.devices import FEWEST_SAMPLES, LEAST_QUALITY, MOST_FACELESS, MOST_SKEW_S, MOST_UNREGISTERED, SAMPLES

_SILENT_AFTER_S = 3600.0
_LIST_HELP = f"""Print a row for each registered device, and for each other address that sent matches.

All values are computed from the events of the last 24 hours, or of the time that --since names, beside the running
server: a device that was not seen in that time may have been seen before. Medians are those of the last {SAMPLES}
pictures of a device. The clock of a device that sends no compare_time counts as right. The state is the first of these
words that applies:

\b
no video     the type is not photo, so the device has no matches
silent       no match for an hour, or for the time that --silent-for names
blurred      of the last {SAMPLES} pictures (at least {FEWEST_SAMPLES}), more than {MOST_FACELESS:.0%} show no face of
             sufficient quality, or the median quality score is below {LEAST_QUALITY}
clock wrong  the median of compare_time minus the time of arrival is more than {MOST_SKEW_S:.0f} s
ok           none of these

Exit status: 0 all were printed, 1 records were skipped because they cannot be read, 2 the command failed."""


@click.group(epilog="Example: picturematch devices list")
@config_option
def command() -> None:
    """Show, add, change and delete devices, and list which are silent or send pictures of no use."""


for _subcommand in (site_devices.show_, site_devices.add, site_devices.change, site_devices.delete):
    command.add_command(_subcommand)


@command.command(
    name="list",
    help=_LIST_HELP,
    epilog="""\b
Examples:
  picturematch devices list
  picturematch devices list --silent-for 30m
  picturematch devices list --since 7d --json | jq 'select(.state != "ok")'""",
)
@config_option
@log_options
@click.option(
    "--since",
    type=Span(),
    default="24h",
    show_default=True,
    help="Only the events of this time: a number of seconds, or 30m, 24h, 7d.",
)
@click.option(
    "--silent-for", "silent_for", type=Span(), help="Only devices without a match for this time: 30m, 1h, 2d."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, as without a terminal.")
@click.pass_context
def list_(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    since: float,
    silent_for: float | None,
    as_json: bool,
) -> None:
    """Print a row for each device; `_LIST_HELP` is what the user reads."""
    if silent_for is not None and silent_for > since:
        raise click.UsageError(
            "--silent-for must not be longer than --since, which is how far back the events are read"
        )
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    now_s = time.time()
    silent_after_s = min(since, _SILENT_AFTER_S) if silent_for is None else silent_for
    found = run(device_rows(settings, since, now_s, silent_after_s))
    rows = [row for row in found.rows if silent_for is None or row.state == "silent"]
    try:
        if as_json or not sys.stdout.isatty():
            print_json(rows, found.span_s)
        else:
            print_table(rows, now_s, found.span_s)
    except BrokenPipeError:
        drop_stdout()
    if found.left_out:
        click.echo(
            f"only the {MOST_UNREGISTERED} addresses without a registered device that were seen last are listed",
            err=True,
        )
    if found.unreadable:
        click.echo(f"{counted(found.unreadable, 'record')} skipped: they cannot be read", err=True)
        ctx.exit(1)
