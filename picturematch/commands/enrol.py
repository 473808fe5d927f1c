"""picturematch enrol: enrol people from photos or a list at a running server."""

from collections import Counter
from pathlib import Path
from typing import get_args

import click

from clients.enrol import EnrolOptions, EnrolResult, Outcome, enrol
from clients.enrol_list import count_entries, find_entries
from clients.errors import CannotRun
from clients.http import Client
from contract.terms import DEFAULT_GROUP, QualityLevel
from picturematch.options import ca_file, config_option, server_options
from picturematch.shell import counted, progress, run


@click.command(
    epilog="""\b
Examples:
  picturematch enrol photos
  picturematch enrol people.csv --url http://gatekeeper:5555 --fiqa-level middle"""
)
@config_option
@click.argument("path", type=click.Path(path_type=Path))
@server_options
@click.option("--group", default=DEFAULT_GROUP, show_default=True, help="Group of people for whom the list names none.")
@click.option(
    "--fiqa-level",
    type=click.Choice(get_args(QualityLevel)),
    show_default="the server's",
    help="Quality level of the photos.",
)
@click.option("--feature-model", help="Network that computed the features of lines that have no feature_model.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Calls at a time.")
@click.option("--update", is_flag=True, help="Replace the faces and info of people who are enrolled already.")
@click.pass_context
def command(
    ctx: click.Context,
    path: Path,
    url: str,
    api_key: str | None,
    group: str,
    fiqa_level: QualityLevel | None,
    feature_model: str | None,
    concurrency: int,
    update: bool,
) -> None:
    """Enrol the people of PATH at a running server.

    \b
    PATH is
      a folder of photos: the file name without its ending is identity_id and name
      a folder of folders: a folder's name is identity_id and name; each photo in it is a face
      a list ending in .csv: columns path, identity_id, name, type, group_name; others go to info
      a list ending in .jsonl: one object per line, likewise; feature (numbers) and
        feature_model (the network that computed them) may replace path

    Paths in a list are relative to the folder of the list. The command may be run again: people who are enrolled
    already are not changed, unless --update is given. A warning names each other person whose face is too similar;
    `picturematch people lookalikes` lists all such pairs.

    Exit status: 0 all are enrolled, 1 some failed (a line names each and the reason), 2 the command failed.
    """
    counts: Counter[Outcome] = Counter()
    similar: Counter[str] = Counter()  # by entry: the people who are too similar

    trusted = ca_file()

    async def post() -> None:
        total = count_entries(path)
        if not total:
            raise CannotRun(f"{path} contains nobody to enrol")
        options = EnrolOptions(group, fiqa_level, update, concurrency, feature_model)
        async with Client(url, api_key=api_key, ca_file=trusted) as client:
            with progress("enrolling", total) as steps:

                def report(result: EnrolResult) -> None:
                    counts[result.outcome] += 1
                    if result.outcome is Outcome.FAILED:
                        steps.print_line(f"{result.where}: {result.reason}", problem=True)
                    for identity_id, percent in result.lookalikes:
                        similar[result.where] += 1
                        steps.print_line(
                            f"{result.where}: warning: the face is too similar to that of {identity_id}"
                            f" ({percent:.1f} %): one person under two ids, or two people who will be confused",
                            problem=True,
                        )
                    steps.step()

                await enrol(find_entries(path), client, report, options)

    try:
        run(post())
    finally:
        if counts:
            parts = [_summary(outcome, counts[outcome]) for outcome in Outcome]
            click.echo(", ".join([*parts, f"{counted(len(similar), 'face')} with look-alikes"] if similar else parts))
    ctx.exit(1 if counts[Outcome.FAILED] else 0)


def _summary(outcome: Outcome, count: int) -> str:
    return f"{counted(count, 'face')} added" if outcome is Outcome.FACE_ADDED else f"{count} {outcome.value}"
