"""picturematch record: record match requests into a capture."""

import time
from pathlib import Path

import click

from capture.folder import CaptureFolder
from capture.record import Tally, Wanted, record
from picturematch.opening import damaged_records, open_broker
from picturematch.options import config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import DeviceAddress, Span, When, counted, print_line, run, stop_signal


@click.command(
    epilog="""\b
Examples:
  picturematch record --out monday --since 2025-01-06 --until 2025-01-07
  picturematch record --out gate --follow --device 192.168.1.22"""
)
@config_option
@log_options
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the capture.")
@click.option(
    "--since", type=When(), help="Only requests from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago."
)
@click.option("--until", type=When(), help="Only requests up to this time.")
@click.option("--follow", "-f", is_flag=True, help="Continue with new requests, until stopped or until --until.")
@click.option("--device", type=DeviceAddress(), help="Only requests of this device_ip.")
@click.option(
    "--wait",
    type=Span(),
    default="10s",
    show_default=True,
    help="Age at which a request is recorded without a decision.",
)
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    out: Path,
    since: float | None,
    until: float | None,
    follow: bool,
    device: str | None,
    wait: float,
) -> None:
    """Record match requests: the pictures, the fields that devices sent, and the decisions.

    Enrolments, comparisons and FIQA are not recorded.

    A later run with the same folder continues after the last recorded request. A capture contains faces, and only you
    can read its folder. A request that stays undecided for longer than --wait is recorded without a decision.

    Exit status: 0 all were recorded, 1 damaged records were skipped (standard error names them), 2 the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    tally, damaged = run(_record(settings, out, Wanted(since, until, device), follow, wait))
    undecided = f", {tally.undecided} of them without a decision" if tally.undecided else ""
    print_line(f"{counted(tally.recorded, 'request')} recorded in {out}{undecided}")
    if damaged:
        click.echo(f"{counted(damaged, 'damaged record')} skipped: see above", err=True)
        ctx.exit(1)


async def _record(settings: Settings, out: Path, wanted: Wanted, follow: bool, wait_s: float) -> tuple[Tally, int]:
    """Record the requests; return the counts, and the number of damaged records that were skipped."""
    stop = stop_signal()
    async with open_broker(settings, "guest") as log:
        with CaptureFolder(out) as folder:
            tally = await record(
                log, settings.topics, folder, stop, time.time, wanted=wanted, follow=follow, wait_s=wait_s
            )
            return tally, damaged_records(log)
