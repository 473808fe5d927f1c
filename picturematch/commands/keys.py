"""picturematch keys: create, list and delete the API keys of a running server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from clients.http import ask
from contract.calls.keys import CreatedKey, KeyList, ListedKey
from contract.calls.shared import Data
from contract.http import KEYS_PATH
from contract.roles import ROLES
from picturematch.options import UserError, ca_file, config_option, server_options
from picturematch.shell import echo_json, run

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the server's answer as one line of JSON.")


@click.group(epilog="Example: picturematch keys add gate-1 --role device")
@config_option
def command() -> None:
    """Create, list and delete the API keys of a running server.

    A key has a role: device (matches and the other calls that send a picture to be judged), operator (also people,
    groups, permissions and devices) or administrator (everything). These commands need an administrator: a caller in a
    trusted network, or a key with that role.
    """


@command.command(
    epilog="""\b
Examples:
  picturematch keys add gate-1 --role device
  picturematch keys add office --role operator --url https://gatekeeper:5555 --ca-file ca.pem"""
)
@config_option
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key may do.")
@server_options
@_json_option
def add(name: str, role: str, url: str, api_key: str | None, as_json: bool) -> None:
    """Create an API key with that NAME, and print the key; it is never printed again."""
    fields = _answer("POST", {"name": name, "role": role}, url, api_key, as_json)
    if as_json:
        return
    created = _read(fields, Data[CreatedKey], url).data
    click.echo(created.key)
    click.echo(
        f"This is the key {created.name} (role {created.role}). Store it now; the server has its hash only.", err=True
    )


@command.command(name="list", epilog="Example: picturematch keys list")
@config_option
@server_options
@_json_option
def list_keys(url: str, api_key: str | None, as_json: bool) -> None:
    """List the API keys by name, without the keys themselves."""
    fields = _answer("GET", {}, url, api_key, as_json)
    if as_json:
        return
    found = _read(fields, Data[KeyList], url).data
    table = Table("name", "role", "created (UTC)", box=None, header_style="bold")
    for key in found.keys:
        table.add_row(key.name, key.role, _moment(key.created))
    Console(highlight=False, markup=False).print(table)
    if found.keys_in_settings:
        click.echo(f"and {found.keys_in_settings} with the role administrator in the setting ingest.api_keys")


@command.command(epilog="Example: picturematch keys delete gate-1")
@config_option
@click.argument("name")
@server_options
@_json_option
def delete(name: str, url: str, api_key: str | None, as_json: bool) -> None:
    """Delete the API key with that NAME; the server refuses it from now on, other servers within moments."""
    fields = _answer("DELETE", {"name": name}, url, api_key, as_json)
    if not as_json:
        deleted = _read(fields, Data[ListedKey], url).data
        click.echo(f"deleted: {deleted.name} (role {deleted.role})")


def _answer(method: str, fields: Mapping[str, Any], url: str, api_key: str | None, as_json: bool) -> Mapping[str, Any]:
    answer = run(ask(url, api_key, KEYS_PATH, fields, method=method, ca_file=ca_file()))
    if as_json:
        echo_json(answer.fields)
    if answer.http_status != 200:
        raise UserError(answer.error_text)
    return answer.fields


def _read(fields: Mapping[str, Any], shape: Any, url: str) -> Any:
    try:
        return msgspec.convert(fields, shape)
    except msgspec.ValidationError as error:
        raise UserError(f"{url} did not answer as a PictureMatch server does ({error}); check the URL") from error


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
