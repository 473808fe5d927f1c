"""Whether the promises hold whatever dies: `python -m bench.faults --minutes 5 --seed 7`.

Starts a Kafka broker, two ingresses and two processors, keeps them under load, and kills, stops, adds, removes and
restarts them. Prints what was done and found; exit status 1 when a promise did not hold.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.faultrun import FaultRun, Report
from picturematch.kafka_dev import dev_kafka


@click.command(epilog="Example: python -m bench.faults --minutes 5 --seed 7")
@click.option("--minutes", default=2.0, show_default=True, help="How long load and faults go on.")
@click.option("--seed", type=int, help="Repeats the faults of an earlier run.  [default: from the clock]")
@click.pass_context
def main(ctx: click.Context, minutes: float, seed: int | None) -> None:
    """Break things under load for a while and check every promise afterwards."""
    seed = int(time.time()) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="picturematch-faults-") as folder, dev_kafka() as broker:
        run = FaultRun(broker, Path(folder), seed, click.echo)
        report = asyncio.run(run.run(minutes * 60))
    _print(report)
    ctx.exit(1 if report.broken else 0)


def _print(report: Report) -> None:
    table = Table(title=f"seed {report.seed}, {len(report.faults)} faults")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for status, count in sorted(report.statuses().items()):
        table.add_row("calls without an answer" if status == 0 else f"calls answered with {status}", str(count))
    table.add_row("requests readable in the log", str(report.requests))
    table.add_row("events", str(report.events))
    for outcome, count in report.outcomes.most_common():
        table.add_row(f"  {outcome}", str(count))
    table.add_row("promises broken", str(len(report.broken)))
    Console().print(table)
    for sentence in report.broken:
        click.echo(sentence)


if __name__ == "__main__":
    main()
