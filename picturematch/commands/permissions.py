"""picturematch permissions: list, add, change and delete permissions at a running server, with their pass times."""

from typing import Any

import click

from clients.site import Fields, SiteCalls
from contract.http import PERMISSIONS_PATH
from contract.text import printable
from picturematch.options import config_option, server_options, yes_option
from picturematch.pass_times_text import parse_pass_time, pass_times_text
from picturematch.site_commands import (
    F,
    info_of,
    info_option,
    json_option,
    people_counted,
    show,
    show_changed,
    with_site,
)

_COLUMNS = {
    "name": lambda permission: str(permission["name"]),
    "id": lambda permission: str(permission["permission_id"]),
    "pass times": lambda permission: pass_times_text(permission["info"].get("pass_times")),
    "description": lambda permission: str(permission["description"]),
}


class _PassTime(click.ParamType[Any]):
    """An option's span of a weekly schedule."""

    name = "days from-to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the span as the calls contain it."""
        try:
            return parse_pass_time(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _pass_times_option(function: F) -> F:
    return click.option(
        "--pass-times",
        type=_PassTime(),
        multiple=True,
        metavar='"DAYS FROM-TO"',
        help='When its people may pass, such as "mon-fri 08:00-18:00"; may be given several times. The times are those'
        " of the setting matching.time_zone.",
    )(function)


@click.group(epilog="Example: picturematch permissions list")
@config_option
def command() -> None:
    """List, add, change and delete permissions at a running server.

    A device searches the people of one group who have one permission. The permission 0 always exists, and a person for
    whom no permission is given has it.
    """


@command.command("list", epilog="Example: picturematch permissions list --name shift")
@config_option
@server_options
@click.option("--name", help="Only permissions whose name contains this text.")
@json_option
def list_(url: str, api_key: str | None, name: str | None, as_json: bool) -> None:
    """List the permissions, in the order of their names."""

    async def work(site: SiteCalls) -> list[Fields]:
        return [_row(each.id, each.info) for each in await site.named("permission", name)]

    show(with_site(url, api_key, work), _COLUMNS, as_json)


@command.command("show", epilog='Example: picturematch permissions show "day shift"')
@config_option
@click.argument("name")
@server_options
@json_option
def show_(name: str, url: str, api_key: str | None, as_json: bool) -> None:
    """Show the permission NAME (a name or an id) with the number of people who have it."""

    async def work(site: SiteCalls) -> Fields:
        permission = await site.one("permission", name)
        people = [page.total async for page in site.people({"permission_id": permission.id}, 1)]
        return {**_row(permission.id, permission.info), "people": people[0]}

    columns = {**_COLUMNS, "people": lambda permission: str(permission["people"])}
    show([with_site(url, api_key, work)], columns, as_json)


@command.command(epilog='Example: picturematch permissions add "day shift" --pass-times "mon-fri 08:00-18:00"')
@config_option
@click.argument("name")
@server_options
@click.option("--description", default="", help="Free text.")
@_pass_times_option
@info_option
@json_option
def add(
    name: str,
    url: str,
    api_key: str | None,
    description: str,
    pass_times: tuple[Fields, ...],
    info: tuple[tuple[str, object], ...],
    as_json: bool,
) -> None:
    """Add the permission NAME; a name is unique and cannot be changed later."""
    fields = {
        "permission_name": name,
        "description": description,
        "info": info_of(info, pass_times=list(pass_times) or None),
    }
    answer = with_site(url, api_key, lambda site: site.change("POST", PERMISSIONS_PATH, fields))
    show_changed(f"added the permission {name}", answer, as_json)


@command.command(epilog='Example: picturematch permissions change "day shift" --pass-times "mon-sat 08:00-18:00"')
@config_option
@click.argument("name")
@server_options
@click.option("--description", show_default="the present one", help="Free text.")
@_pass_times_option
@click.option("--always", is_flag=True, help="Remove the pass times: its people may pass at any time.")
@info_option
@json_option
def change(
    name: str,
    url: str,
    api_key: str | None,
    description: str | None,
    pass_times: tuple[Fields, ...],
    always: bool,
    info: tuple[tuple[str, object], ...],
    as_json: bool,
) -> None:
    """Change the permission NAME (a name or an id).

    New pass times replace the present ones, and KEY:=null removes a value.
    """
    if always and pass_times:
        raise click.UsageError("give either --pass-times or --always")
    if description is None and not (pass_times or always or info):
        raise click.UsageError("give --description, --pass-times, --always or --info")
    schedule = {"pass_times": list(pass_times) or None} if pass_times or always else {}

    async def work(site: SiteCalls) -> Fields:
        permission = await site.one("permission", name)
        described = permission.description if description is None else description
        changed = {**(info_of(info) or {}), **schedule} or None
        return await site.change(
            "PUT",
            PERMISSIONS_PATH,
            {"permission_name": permission.name, "description": described, "info": changed},
        )

    show_changed(f"changed the permission {name}", with_site(url, api_key, work), as_json)


@command.command(epilog='Example: picturematch permissions delete "day shift"')
@config_option
@click.argument("name")
@server_options
@click.option("--with-people", is_flag=True, help="Delete also the people who have this permission only.")
@yes_option
@json_option
def delete(name: str, url: str, api_key: str | None, with_people: bool, yes: bool, as_json: bool) -> None:
    """Delete the permission NAME (a name or an id).

    Its people stay enrolled. A device that searches the permission finds nobody any more.
    """
    if with_people and not yes:
        question = f"Delete the permission {name}, and all people who have no other, with faces and photos?"
        click.confirm(printable(question), abort=True, err=True)

    async def work(site: SiteCalls) -> Fields:
        fields = {"permission_name": (await site.one("permission", name)).name, "user_recursive_delete": with_people}
        return await site.change("DELETE", PERMISSIONS_PATH, fields)

    answer = with_site(url, api_key, work)
    people = f" and {people_counted(answer.get('people_deleted', 0))}" if with_people else ""
    show_changed(f"deleted the permission {name}{people}", answer, as_json)


def _row(permission_id: str, info: Fields) -> Fields:
    named = {"permission_id": permission_id, "name": info["name"]}
    return {**named, "description": info.get("description", ""), "info": info}
