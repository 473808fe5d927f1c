"""picturematch people import: enrol very many people at a running server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import orjson

from clients.bulk import AT_ONCE, CHUNK
from contract.files import write_whole
from contract.imports import MOST_PEOPLE
from contract.terms import DEFAULT_GROUP, QualityLevel
from contract.text import printable
from picturematch.option_groups import GroupedCommand
from picturematch.options import UserError, ca_file, config_option, server_options
from picturematch.shell import counted, echo_json, ended_by_signals, progress, run
from picturematch.site_commands import people_counted

if TYPE_CHECKING:
    from clients.bulk.items import Source
    from clients.bulk.journal import Tally
    from clients.bulk.run import BulkOptions

_HEADINGS = {
    "Source": ("form", "listed", "embedder", "group", "fiqa_level"),
    "Pace": ("chunk", "at_once", "rate"),
    "Going on": ("state", "errors"),
    "Server": ("url", "api_key", "ca_file"),
}
_FORMS = ("export", "jsonl", "array", "compreface", "folder")


@click.command(
    "import",
    cls=GroupedCommand,
    groups=_HEADINGS,
    epilog="""\b
Examples:
  picturematch people import people.jsonl
  picturematch people import faces.npy --list people.csv --embedder 87aa3581-r3
  picturematch people import photos --fiqa-level middle
  picturematch people import faces.csv --form compreface""",
)
@config_option
@click.argument("path", metavar="SOURCE", type=click.Path(exists=True, path_type=Path))
@click.option("--form", type=click.Choice(_FORMS), show_default="by name and contents", help="What SOURCE is.")
@click.option(
    "--list",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    show_default="SOURCE with .csv",
    help="CSV list of the people of a .npy array, one line for each row.",
)
@click.option(
    "--embedder",
    metavar="IDENTITY",
    help="Embedder that computed the embeddings of SOURCE, where SOURCE does not say it or says it otherwise.",
)
@click.option(
    "--group",
    show_default=f"{DEFAULT_GROUP}; for an export, its groups",
    help="Group of people for whom SOURCE names none.",
)
@click.option(
    "--fiqa-level",
    type=click.Choice(get_args(QualityLevel)),
    show_default="the server's",
    help="Quality level of photos without embeddings.",
)
@click.option(
    "--chunk",
    type=click.IntRange(1, MOST_PEOPLE),
    default=CHUNK,
    show_default=True,
    help="The most people of one call, and so of one transaction.",
)
@click.option("--at-once", type=click.IntRange(1, 16), default=AT_ONCE, show_default=True, help="Calls at a time.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="The most people per second.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="SOURCE.import-state",
    help="File that remembers what is done; it is deleted at the end.",
)
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="SOURCE.import-errors.jsonl",
    help="File with a line for each person who was not imported; an older one is written over.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@server_options
@click.pass_context
def import_(
    ctx: click.Context,
    path: Path,
    form: str | None,
    listed: Path | None,
    embedder: str | None,
    group: str | None,
    fiqa_level: QualityLevel | None,
    chunk: int,
    at_once: int,
    rate: float | None,
    state: Path | None,
    errors: Path | None,
    as_json: bool,
    url: str,
    api_key: str | None,
) -> None:
    """Enrol the people of SOURCE at a running server, thousands a second where SOURCE has embeddings.

    \b
    SOURCE is
      a file of `picturematch people export`
      a list ending in .jsonl: one object per line with identity_id, info, group_name, and
        feature (numbers, or base64 of float32) with embedder, or path (a photo), or faces
      an array ending in .npy, people x numbers, with a CSV list: identity_id, name, type,
        group_name, other columns go to info
      CompreFace's table of embeddings as CSV: subject, calculator, embedding
      a folder of photos, as for `picturematch enrol`

    Each person is imported whole or not at all. Somebody who is enrolled already exactly so is left alone; somebody who
    is enrolled otherwise is an error. A command that was interrupted, in any way, is run again and goes on where it
    stopped. Embeddings of another embedder than the server's are kept, counted, and not searched. Look-alikes are not
    searched: `picturematch people lookalikes` does so afterwards. Photos of a list must lie below its folder, and links
    are not followed.

    Exit status: 0 all are enrolled, 1 some are not (a file has each with the reason), 2 the command failed.
    """
    from clients.bulk.run import BulkOptions  # so that --help does not import numpy

    path = path.resolve()  # so that also `.` has a name
    state = state or path.with_name(f"{path.name}.import-state")
    errors = errors or path.with_name(f"{path.name}.import-errors.jsonl")
    read = {path, (listed or path.with_suffix(".csv")).resolve()}
    if len(read | {state.resolve(), errors.resolve()}) != len(read) + 2:
        raise UserError("--state and --errors must be files of their own: neither each other, nor SOURCE or its list")
    options = BulkOptions(chunk=chunk, at_once=at_once, rate=rate, group_name=group, quality_level=fiqa_level)
    with ended_by_signals():
        tally = _import(lambda: _source(path, form, listed, embedder), options, state, errors, url, api_key)
    failed = len(tally.failures)
    if as_json:
        counts = {"added": tally.added, "present": tally.present, "failed": failed}
        echo_json({**counts, "faces": tally.faces, "unsearched": tally.unsearched})
    else:
        click.echo(
            f"{people_counted(tally.added)} with {counted(tally.faces, 'face')} added,"
            f" {tally.present} enrolled already, {failed} failed"
        )
        if tally.unsearched:
            click.echo(
                f"{counted(tally.unsearched, 'face')} of other embedders than the server's: kept and not searched;"
                " `picturematch people reembed` embeds those that have photos"
            )
        if failed:
            click.echo(printable(f"see {errors}"), err=True)
    ctx.exit(1 if failed else 0)


def _import(
    source: Callable[[], "Source"],
    options: "BulkOptions",
    state: Path,
    errors: Path,
    url: str,
    api_key: str | None,
) -> "Tally":
    """Import what is not done yet, and return what came of everything, also in earlier runs."""
    from clients.bulk.journal import Journal
    from clients.bulk.run import BulkImport
    from clients.http import Client

    trusted = ca_file()
    stale = errors.exists()  # an import without errors must not leave those of an earlier one

    async def work() -> "Tally":
        opened = source()
        with Journal(state, opened.files, url) as journal:
            ended = False
            try:
                async with Client(url, api_key=api_key, ca_file=trusted, timeout_s=60) as client:
                    with progress("importing", opened.count()) as steps:
                        steps.step(journal.done)
                        await BulkImport(opened, client, journal, options, steps.step).run()
                ended = True
            finally:
                failures = [
                    {"where": one.where, "identity_id": one.identity_id, "code": one.code, "message": one.message}
                    for one in journal.tally.failures
                ]
                if failures or (ended and stale):
                    write_whole(errors, b"".join(orjson.dumps(one) + b"\n" for one in failures))
                if ended or not journal.done:  # with another URL or list, a run that did nothing can be begun anew
                    journal.remove()
            return journal.tally

    return run(work())


def _source(path: Path, form: str | None, listed: Path | None, embedder: str | None) -> "Source":
    """Return the source at a path.

    Raises:
        UserError: it is none that can be imported. CannotRun: it cannot be read.
    """
    from clients.bulk.exported import Export, is_export
    from clients.bulk.folder import PhotoFolder
    from clients.bulk.lists import ArrayList, CompreFaceTable, JsonLines, header_of

    form = form or _form(path, lambda: is_export(path), lambda: header_of(path))
    if path.is_dir() != (form == "folder"):
        raise UserError(f"{path} is {'a' if path.is_dir() else 'no'} folder: --form does not fit")
    match form:
        case "folder":
            return PhotoFolder(path)
        case "array":
            return ArrayList(path, listed or path.with_suffix(".csv"), embedder)
        case "compreface":
            return CompreFaceTable(path, embedder)
        case "jsonl":
            return JsonLines(path, embedder)
    with progress("checking the export", None) as steps:
        return Export(path, steps.step)


def _form(path: Path, is_export: Callable[[], bool], header: Callable[[], object]) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "folder"
    if suffix == ".npy":
        return "array"
    if suffix in (".jsonl", ".ndjson", ".json"):
        return "export" if is_export() else "jsonl"
    if suffix == ".csv" and "embedding" in str(header()):
        return "compreface"
    raise UserError(
        f"{path} is neither a folder, nor a list ending in .jsonl, an array ending in .npy, or a CSV list with the"
        " column embedding; --form says what it is, and `picturematch enrol` takes CSV lists of photos"
    )
