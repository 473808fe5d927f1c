"""picturematch migrate: read the people, groups, permissions and devices of a running box, and enrol them here."""

from pathlib import Path
from typing import get_args

import click
import orjson
from rich.console import Console
from rich.table import Table

from clients.http import Client
from clients.migration.paging import MIN_LIMIT
from clients.migration.report import KINDS, OUTCOMES, Report
from clients.migration.run import MigrateOptions, migrate
from clients.migration.state import State
from contract.files import write_whole
from contract.terms import QualityLevel
from contract.text import printable
from picturematch.options import ca_file, config_option, key_options
from picturematch.shell import progress, run

_MOST_PRINTED = 50


@click.command(
    epilog="""\b
Examples:
  picturematch migrate --from http://192.168.1.22:5555
  picturematch migrate --from http://192.168.1.22:5555 --to http://gatekeeper:5555 --fiqa-level low"""
)
@config_option
@click.option("--from", "box_url", required=True, metavar="URL", help="The box, which is only read.")
@click.option(
    "--to",
    "url",
    envvar="PICTUREMATCH_URL",
    show_envvar=True,
    default="http://127.0.0.1:5555",
    show_default=True,
    metavar="URL",
    help="The running server of PictureMatch.",
)
@key_options
@click.option("--from-api-key", help="Key that the box asks for; the vendor's boxes ask for none.")
@click.option(
    "--fiqa-level",
    type=click.Choice(get_args(QualityLevel)),
    show_default="the server's",
    help="Quality level of the photos.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Replace people and devices that the server has already, where the box has other values.",
)
@click.option(
    "--page", type=click.IntRange(MIN_LIMIT, 1000), default=20, show_default=True, help="People per call of the box."
)
@click.option(
    "--timeout", type=click.FloatRange(1, 600), default=60.0, show_default=True, help="Seconds for a call of the box."
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Enrolments at a time.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    default="migrate-state.jsonl",
    show_default=True,
    help="File from which an interrupted migration goes on; it is deleted at the end.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="migrate-report.json",
    show_default=True,
    help="File for the report as JSON.",
)
@click.pass_context
def command(
    ctx: click.Context,
    box_url: str,
    url: str,
    api_key: str | None,
    from_api_key: str | None,
    fiqa_level: QualityLevel | None,
    update: bool,
    page: int,
    timeout: float,
    concurrency: int,
    state: Path,
    report_path: Path,
) -> None:
    """Enrol the groups, permissions, people and devices of a running box at a running server.

    The box is read by its calls of version 5 and never changed. People are enrolled with their photos, because the
    features of the box's network cannot be compared with those of another network. The command may be run again: what
    the server has already is not changed, unless --update is given.

    Exit status: 0 the server has everything, 1 something was left out (the report names each and the reason), 2 the
    command failed (run it again to go on).
    """
    trusted = ca_file()
    options = MigrateOptions(fiqa_level, update, page, concurrency)

    async def work() -> Report:
        with State(state, box_url, url) as begun, progress("people", None) as steps:
            async with (
                Client(box_url, api_key=from_api_key, timeout_s=timeout, ca_file=trusted, kind="a box") as box,
                Client(url, api_key=api_key, ca_file=trusted) as client,
            ):
                report = await migrate(box, client, begun, options, steps.step)
            document = {"from": box_url, "to": url, **report.document()}
            write_whole(report_path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
            begun.remove()
            return report

    report = run(work())
    _print(report, report_path)
    ctx.exit(1 if report.left_out else 0)


def _print(report: Report, path: Path) -> None:
    table = Table()
    table.add_column("what")
    for column in (*OUTCOMES, "left out"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        numbers = [report.counts[kind, outcome] for outcome in OUTCOMES] + [report.left_out_of(kind)]
        table.add_row(kind, *map(str, numbers))
    Console().print(table)
    for remark in report.remarks:
        click.echo(printable(remark))
    left_out = list(report.left_out.values())
    for one in left_out[:_MOST_PRINTED]:
        click.echo(printable(f"{one.kind} {one.name}: {one.reason}"), err=True)
    if len(left_out) > _MOST_PRINTED:
        click.echo(f"and {len(left_out) - _MOST_PRINTED} more in {path}", err=True)
