"""Whether the promises hold whatever dies: `python -m bench.faults --minutes 5 --seed 7`.

Starts a Kafka broker, two ingresses and two processors, keeps them under load, and kills, stops, adds, removes and
restarts them; a proxy between them and the broker delivers requests late, slows commits down, and leaves connections
open in silence. Prints what was done and found, and how long each device was without answers; exit status 1 when a
promise did not hold. With --beside every second role is of another version:
`python -m bench.faults --beside v0.1.0 --only "kill a processor"`.
"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.faultrun import FAULTS, FaultRun, Report
from bench.versions import sources_of
from tests.support.kafka_dev import dev_kafka

_MOST_SENTENCES = 50


@click.command(epilog="Example: python -m bench.faults --minutes 5 --seed 7")
@click.option("--minutes", default=2.0, show_default=True, help="How long load and faults go on.")
@click.option("--seed", type=int, help="Repeats the faults of an earlier run.  [default: from the clock]")
@click.option("--only", multiple=True, type=click.Choice(FAULTS), help="Only these; give it repeatedly.")
@click.option("--beside", metavar="REVISION", help="Of every two roles one is of this git revision.")
@click.pass_context
def main(ctx: click.Context, minutes: float, seed: int | None, only: tuple[str, ...], beside: str | None) -> None:
    """Break things under load for a while and check every promise afterwards."""
    seed = int(time.time()) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="picturematch-faults-") as folder, dev_kafka(proxied=True) as broker:
        other = None if beside is None else sources_of(beside, Path(folder) / "beside")
        run = FaultRun(broker, Path(folder), seed, click.echo, other)
        report = asyncio.run(run.run(minutes * 60, only or FAULTS))
    _print(report)
    ctx.exit(1 if report.broken else 0)


def _print(report: Report) -> None:
    table = Table(title=f"seed {report.seed}, {len(report.faults)} faults")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for fault, count in Counter(report.faults).most_common():
        table.add_row(fault, str(count))
    for done, count in sorted(report.wire.items()):
        table.add_row(f"  {done}", str(count))
    for status, count in sorted(report.statuses().items()):
        table.add_row("calls without an answer" if status == 0 else f"calls answered with {status}", str(count))
    table.add_row("requests readable in the log", str(report.requests))
    table.add_row("events", str(report.events))
    for outcome, count in report.outcomes.most_common():
        table.add_row(f"  {outcome}", str(count))
    table.add_row("promises broken", str(len(report.broken)))
    Console().print(table)
    _print_outages(report)
    for sentence in report.broken[:_MOST_SENTENCES]:
        click.echo(sentence)
    if len(report.broken) > _MOST_SENTENCES:
        click.echo(f"and {len(report.broken) - _MOST_SENTENCES} more")


def _print_outages(report: Report) -> None:
    table = Table(title="seconds without answers, the longest of each device")
    table.add_column("device")
    table.add_column("seconds", justify="right")
    for device, seconds in report.without_answers_s.items():
        table.add_row(device, f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
