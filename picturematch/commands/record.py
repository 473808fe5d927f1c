"""picturematch record: match requests into a capture."""

import time
from pathlib import Path

import click

from capture.folder import CaptureFolder
from capture.record import Tally, Wanted, record
from picturematch.opening import damaged_records, open_broker
from picturematch.options import config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import Span, When, counted, run, say, stop_signal


@click.command(
    epilog="""\b
Examples:
  picturematch record --out monday --since 2025-01-06 --until 2025-01-07
  picturematch record --out gate --follow --device 192.168.1.22"""
)
@config_option
@log_options
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The capture's folder.")
@click.option("--since", type=When(), help="From then on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago.")
@click.option("--until", type=When(), help="Up to then.")
@click.option("--follow", "-f", is_flag=True, help="Go on with the requests that come, until stopped or --until.")
@click.option("--device", metavar="IP", help="Only those of this device_ip.")
@click.option("--wait", type=Span(), default="10s", show_default=True, help="How old an undecided request may grow.")
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
    """Record match requests: the pictures, what the devices sent, and what was decided.

    Enrolments, comparisons and FIQA are not recorded.

    Running it again on the same folder goes on after the last recorded request. A capture holds faces: its folder is
    readable by you alone. A request that stays undecided for longer than --wait is recorded without a decision.

    Exit status: 0 all were recorded, 1 damaged records were passed over (standard error names them), 2 it could not be
    done.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    tally, damaged = run(_record(settings, out, Wanted(since, until, device), follow, wait))
    undecided = f", {tally.undecided} of them without a decision" if tally.undecided else ""
    say(f"{counted(tally.recorded, 'request')} recorded in {out}{undecided}")
    if damaged:
        click.echo(f"{counted(damaged, 'damaged record')} passed over: see above", err=True)
        ctx.exit(1)


async def _record(settings: Settings, out: Path, wanted: Wanted, follow: bool, wait_s: float) -> tuple[Tally, int]:
    """What was recorded, and how many damaged records were passed over."""
    stop = stop_signal()
    async with open_broker(settings, "guest") as log:
        with CaptureFolder(out) as folder:
            tally = await record(
                log, settings.topics, folder, stop, time.time, wanted=wanted, follow=follow, wait_s=wait_s
            )
            return tally, damaged_records(log)
