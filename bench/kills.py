"""Whether the promises hold when the server of an embedded log is killed: `python -m bench.kills --kills 200 --seed 7`.

A real `picturematch serve` with stand-in networks is put under load (matches, enrolments, deletions, comparisons,
quality assessments), killed with SIGKILL at random moments, and started again on the same folder; a `picturematch sink
jsonl` beside it is killed too. After each start, and at the end, every promise is judged by what HTTP answers and by
what SQLite itself reads in the file. Exit status 1 when a promise did not hold.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.killrun import KillReport, KillRun


@click.command(epilog="Example: python -m bench.kills --kills 200 --seed 7")
@click.option("--kills", default=20, show_default=True, type=click.IntRange(min=1), help="How often it is killed.")
@click.option("--seed", type=int, help="Repeats the moments of an earlier run.  [default: from the clock]")
@click.pass_context
def main(ctx: click.Context, kills: int, seed: int | None) -> None:
    """Kill the server of an embedded log under load, again and again, and check every promise."""
    seed = int(time.time()) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="picturematch-kills-") as folder:
        report = asyncio.run(KillRun(Path(folder), seed, click.echo).run(kills))
    _print(report, seed)
    ctx.exit(1 if report.broken else 0)


def _print(report: KillReport, seed: int) -> None:
    table = Table(title=f"seed {seed}, {sum(report.kills.values())} kills of the server")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for moment, count in report.kills.most_common():
        table.add_row(f"killed {moment}", str(count))
    table.add_row("sinks killed", str(report.sink_kills))
    for status, count in sorted(report.statuses.items()):
        table.add_row("calls without an answer" if status == 0 else f"calls answered with {status}", str(count))
    table.add_row("requests in the log", str(report.requests))
    table.add_row("events in the log", str(report.events))
    table.add_row("lines of the sink", str(report.lines))
    table.add_row("people that must be there", str(report.people))
    table.add_row("promises broken", str(len(report.broken)))
    Console().print(table)
    for sentence in report.broken:
        click.echo(sentence)


if __name__ == "__main__":
    main()
