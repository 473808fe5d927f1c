"""How soon a change of who may pass is in force: `python -m bench.scope_changes --changes 80 --kills 8 --seed 7`.

A person is taken from a group, loses a permission, the device is moved, or an API key is deleted, and all that back
again, under load, while roles are killed with SIGKILL. On the embedded log there is one server; on Kafka there are two
ingresses and two processors. Prints from when on the next call through the same ingress and through another one is
answered accordingly; exit status 1 when a promise did not hold. The networks are stand-ins.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.faultrun import Role
from bench.scoperun import AIM_MS, Killable, ScopeReport, ScopeRun
from picturematch.opening import open_broker
from picturematch.settings import load_settings
from tests.support.kafka_dev import dev_kafka

_STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}


class _Server(Role):
    """A server on an embedded log in a folder."""

    def __init__(self, folder: Path) -> None:
        log = {"PICTUREMATCH_DATA_FOLDER": str(folder / "data"), "PICTUREMATCH_INGEST__PORT": "0"}
        super().__init__("serve", {**_STAND_IN, **log}, folder / "serve.log")


async def _embedded(folder: Path, seed: int, changes: int, kills: int) -> ScopeReport:
    server = _Server(folder)
    return await _run([server], server, server, [server], seed, changes, kills)


async def _kafka(bootstrap: str, folder: Path, seed: int, changes: int, kills: int) -> ScopeReport:
    environment: Mapping[str, str] = {
        **_STAND_IN,
        "PICTUREMATCH_BROKER": f"kafka://{bootstrap}",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": f"scope-{seed}-{os.getpid()}",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
    }
    settings = load_settings(None, environment)
    async with open_broker(settings, "owner") as log:
        await log.ensure_topics(settings.topic_specs)
    names = ("ingest", "ingest", "process", "process")
    roles = [Role(name, environment, folder / f"{name}-{number}.log") for number, name in enumerate(names)]
    return await _run(roles, roles[0], roles[1], roles, seed, changes, kills)


async def _run(
    roles: Sequence[Role], changed: Role, other: Role, victims: Sequence[Killable], seed: int, changes: int, kills: int
) -> ScopeReport:
    try:
        await asyncio.gather(*(role.start() for role in roles))
        async with ScopeRun(changed, other, victims, seed, lambda line: click.echo(line, err=True)) as run:
            return await run.run(changes, kills)
    finally:
        await asyncio.gather(*(role.end() for role in roles))


@click.command(epilog="Example: python -m bench.scope_changes --changes 80 --kills 8 --seed 7")
@click.option("--changes", default=80, show_default=True, type=click.IntRange(min=1), help="How many changes.")
@click.option("--kills", default=8, show_default=True, type=click.IntRange(min=0), help="How often a role is killed.")
@click.option("--seed", type=int, help="Repeats the kills of an earlier run.  [default: from the clock]")
@click.option("--log", "logs", multiple=True, type=click.Choice(["embedded", "kafka"]), help="Only this log.")
@click.pass_context
def main(ctx: click.Context, changes: int, kills: int, seed: int | None, logs: tuple[str, ...]) -> None:
    """Change who may pass at a door under load, and print from when on the changes are in force."""
    seed = int(time.time()) if seed is None else seed
    click.echo(f"seed {seed}")
    reports: dict[str, ScopeReport] = {}
    for log in logs or ("embedded", "kafka"):
        with tempfile.TemporaryDirectory(prefix="picturematch-scopes-") as folder:
            if log == "embedded":
                reports[log] = asyncio.run(_embedded(Path(folder), seed, changes, kills))
            else:
                with dev_kafka() as broker:
                    reports[log] = asyncio.run(_kafka(broker.bootstrap, Path(folder), seed, changes, kills))
    _print(reports, seed)
    ctx.exit(1 if any(report.broken for report in reports.values()) else 0)


_ROWS: Mapping[str, Callable[[ScopeReport], str]] = {
    "changes": lambda report: str(report.changes.total()),
    "roles killed": lambda report: ", ".join(f"{name} {count}" for name, count in sorted(report.kills.items())) or "0",
    "other matches, answered": lambda report: str(report.load[200]),
    "other matches, not answered": lambda report: str(report.load.total() - report.load[200]),
    "probes": lambda report: str(report.probes),
    "probes, answered": lambda report: str(report.answered),
    "changes without an answered probe, other ingress": lambda report: str(report.unjudged),
    "last old answer, other ingress, p50, ms": lambda report: f"{_quantile(report, 0.5):.0f}",
    "last old answer, other ingress, p99, ms": lambda report: f"{_quantile(report, 0.99):.0f}",
    f"last old answer, other ingress, longest, ms (aim {AIM_MS:g})": lambda report: f"{_quantile(report, 1.0):.0f}",
    "promises broken": lambda report: str(len(report.broken)),
}


def _quantile(report: ScopeReport, share: float) -> float:
    return float(np.quantile(report.lags_ms or [0.0], share, method="higher"))


def _print(reports: Mapping[str, ScopeReport], seed: int) -> None:
    table = Table(title=f"seed {seed}")
    table.add_column("what")
    for log in reports:
        table.add_column(log, justify="right")
    for name, text in _ROWS.items():
        table.add_row(name, *map(text, reports.values()))
    Console().print(table)
    for log, report in reports.items():
        for sentence in report.broken:
            click.echo(f"{log}: {sentence}")


if __name__ == "__main__":
    main()
