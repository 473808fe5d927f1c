"""picturematch groups: list, add, change and delete groups of people at a running server, and change their members."""

import click

from clients.site import Fields, SiteCalls
from contract.http import GROUP_USERS_PATH, GROUPS_PATH
from contract.text import printable
from picturematch.options import config_option, server_options, yes_option
from picturematch.site_commands import (
    info_of,
    info_option,
    json_option,
    people_counted,
    show,
    show_changed,
    with_site,
)

_COLUMNS = {
    "name": lambda group: str(group["name"]),
    "id": lambda group: str(group["group_id"]),
    "description": lambda group: str(group["description"]),
}


@click.group(epilog="Example: picturematch groups list")
@config_option
def command() -> None:
    """List, add, change and delete groups of people at a running server.

    A device searches one group; a person is in several groups or in none. The group default_group always exists.
    """


@command.command("list", epilog="Example: picturematch groups list --name staff")
@config_option
@server_options
@click.option("--name", help="Only groups whose name contains this text.")
@json_option
def list_(url: str, api_key: str | None, name: str | None, as_json: bool) -> None:
    """List the groups, in the order of their names."""

    async def work(site: SiteCalls) -> list[Fields]:
        return [_row(group.id, group.info) for group in await site.named("group", name)]

    show(with_site(url, api_key, work), _COLUMNS, as_json)


@command.command("show", epilog="Example: picturematch groups show staff")
@config_option
@click.argument("name")
@server_options
@json_option
def show_(name: str, url: str, api_key: str | None, as_json: bool) -> None:
    """Show the group NAME (a name or an id) with the number of its people."""

    async def work(site: SiteCalls) -> Fields:
        group = await site.one("group", name)
        people = [page.total async for page in site.people({"group_name": group.name}, 1)]
        return {**_row(group.id, group.info), "people": people[0]}

    columns = {**_COLUMNS, "people": lambda group: str(group["people"])}
    show([with_site(url, api_key, work)], columns, as_json)


@command.command(epilog='Example: picturematch groups add staff --description "The day shift"')
@config_option
@click.argument("name")
@server_options
@click.option("--description", default="", help="Free text.")
@info_option
@json_option
def add(
    name: str,
    url: str,
    api_key: str | None,
    description: str,
    info: tuple[tuple[str, object], ...],
    as_json: bool,
) -> None:
    """Add the group NAME; a name is unique and cannot be changed later."""
    fields = {"group_name": name, "description": description, "info": info_of(info)}
    answer = with_site(url, api_key, lambda site: site.change("POST", GROUPS_PATH, fields))
    show_changed(f"added the group {name}", answer, as_json)


@command.command(epilog='Example: picturematch groups change staff --description "The night shift"')
@config_option
@click.argument("name")
@server_options
@click.option("--description", show_default="the present one", help="Free text.")
@info_option
@json_option
def change(
    name: str,
    url: str,
    api_key: str | None,
    description: str | None,
    info: tuple[tuple[str, object], ...],
    as_json: bool,
) -> None:
    """Change the description and further values of the group NAME (a name or an id); KEY:=null removes a value."""
    if description is None and not info:
        raise click.UsageError("give --description or --info")

    async def work(site: SiteCalls) -> Fields:
        group = await site.one("group", name)
        described = group.description if description is None else description
        fields = {"group_name": group.name, "description": described, "info": info_of(info)}
        return await site.change("PUT", GROUPS_PATH, fields)

    show_changed(f"changed the group {name}", with_site(url, api_key, work), as_json)


@command.command(epilog="Example: picturematch groups delete visitors --with-people")
@config_option
@click.argument("name")
@server_options
@click.option("--with-people", is_flag=True, help="Delete also the people who are in this group only.")
@yes_option
@json_option
def delete(name: str, url: str, api_key: str | None, with_people: bool, yes: bool, as_json: bool) -> None:
    """Delete the group NAME (a name or an id).

    Its people stay enrolled, and in their other groups; who is in no group is found by no search. A device that
    searches the group finds nobody any more.
    """
    if with_people and not yes:
        question = f"Delete the group {name}, and all people who are in no other group, with faces and photos?"
        click.confirm(printable(question), abort=True, err=True)

    async def work(site: SiteCalls) -> Fields:
        fields = {"group_name": (await site.one("group", name)).name, "user_recursive_delete": with_people}
        return await site.change("DELETE", GROUPS_PATH, fields)

    answer = with_site(url, api_key, work)
    people = f" and {people_counted(answer.get('people_deleted', 0))}" if with_people else ""
    show_changed(f"deleted the group {name}{people}", answer, as_json)


@command.command("add-people", epilog="Example: picturematch groups add-people staff 666666 777777")
@config_option
@click.argument("name")
@click.argument("identity_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@json_option
@click.pass_context
def add_people(
    ctx: click.Context, name: str, identity_ids: tuple[str, ...], url: str, api_key: str | None, as_json: bool
) -> None:
    """Put the people with these IDs into the group NAME (a name or an id).

    Exit status: 0 all are in it now, 1 some are not enrolled (standard error names them), 2 the command failed.
    """
    _change_members(ctx, "PUT", name, identity_ids, url, api_key, as_json)


@command.command("remove-people", epilog="Example: picturematch groups remove-people staff 666666")
@config_option
@click.argument("name")
@click.argument("identity_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@json_option
@click.pass_context
def remove_people(
    ctx: click.Context, name: str, identity_ids: tuple[str, ...], url: str, api_key: str | None, as_json: bool
) -> None:
    """Take the people with these IDs from the group NAME (a name or an id).

    Exit status: 0 none is in it any more, 1 some are not enrolled (standard error names them), 2 the command failed.
    """
    _change_members(ctx, "DELETE", name, identity_ids, url, api_key, as_json)


def _change_members(
    ctx: click.Context,
    method: str,
    name: str,
    identity_ids: tuple[str, ...],
    url: str,
    api_key: str | None,
    as_json: bool,
) -> None:

    async def work(site: SiteCalls) -> Fields:
        fields = {"group_name": (await site.one("group", name)).name, "identity_id": list(identity_ids)}
        return await site.change(method, GROUP_USERS_PATH, fields)

    answer = with_site(url, api_key, work)
    failed = [str(each["identity_id"]) for each in answer.get("failed", ())]
    done = people_counted(len(set(identity_ids)) - len(failed))
    words = "put into" if method == "PUT" else "taken from"
    show_changed(f"{done} {words} the group {name}", answer, as_json)
    for identity_id in failed:
        click.echo(printable(f"{identity_id} is not enrolled"), err=True)
    ctx.exit(1 if failed else 0)


def _row(group_id: str, info: Fields) -> Fields:
    return {"group_id": group_id, "name": info["name"], "description": info.get("description", ""), "info": info}
