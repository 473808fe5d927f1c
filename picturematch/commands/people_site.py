"""picturematch people list, show, add and change: the people who are enrolled at a running server."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import click

from clients.errors import CannotRun
from clients.site import Fields, SiteCalls
from contract.http import USERS_PATH
from contract.people.validity import VALID_FROM, VALID_UNTIL
from contract.terms import DEFAULT_GROUP, QualityLevel
from picturematch.ask import encoded, picture_file
from picturematch.options import config_option, server_options
from picturematch.shell import echo_json, progress
from picturematch.site_commands import (
    PERSON_TYPES,
    F,
    Moment,
    info_of,
    info_option,
    json_option,
    people_counted,
    show,
    show_changed,
    wants_json,
    with_site,
)

_NO_LIMITS = ((VALID_FROM, None), (VALID_UNTIL, None))
_TYPE_NAMES = {number: name for name, number in PERSON_TYPES.items()}


def _person_options(function: F) -> F:
    """The options that describe a person, for add and change."""
    for option in (
        info_option,
        click.option("--valid-until", type=Moment(), help="The last moment at which the person may pass."),
        click.option(
            "--valid-from",
            type=Moment(),
            help="The first moment at which the person may pass: ISO 8601 (UTC where no zone is given) or epoch"
            " seconds.",
        ),
        click.option("--type", "person_type", type=click.Choice(list(PERSON_TYPES)), help="Type of the person."),
        click.option(
            "--permission",
            "permissions",
            multiple=True,
            help="Permission, a name or an id; may be given several times.",
        ),
        click.option("--name", help="Name of the person."),
        click.option(
            "--fiqa-level",
            type=click.Choice(get_args(QualityLevel)),
            show_default="the server's",
            help="Quality level of the photos.",
        ),
        click.option(
            "--photo",
            "photos",
            type=picture_file,
            multiple=True,
            help="A photo of the face; may be given several times.",
        ),
    ):
        function = option(function)
    return function


@click.command(
    "list",
    epilog="""\b
Examples:
  picturematch people list --group staff
  picturematch people list --all --json | jq -r .identity_id""",
)
@config_option
@server_options
@click.option("--group", help="Only people of this group, a name or an id.")
@click.option("--permission", help="Only people with this permission, a name or an id.")
@click.option("--name", help="Only people whose name contains this text.")
@click.option("--type", "person_type", type=click.Choice(list(PERSON_TYPES)), help="Only people of this type.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most people to list.")
@click.option("--all", "everybody", is_flag=True, help="List all of them, whatever the limit.")
@json_option
def list_(
    url: str,
    api_key: str | None,
    group: str | None,
    permission: str | None,
    name: str | None,
    person_type: str | None,
    limit: int,
    everybody: bool,
    as_json: bool,
) -> None:
    """List the people, in the order of their ids, without photos.

    The output ends with a line on standard error where there are more people than the limit.
    """
    listed: list[Fields] = []
    lines = wants_json(as_json)

    async def work(site: SiteCalls) -> tuple[int, int, Mapping[str, str]]:
        wanted = {
            "group_name": None if group is None else (await site.one("group", group)).name,
            "permission_id": None if permission is None else (await site.one("permission", permission)).id,
            "name": name,
            "type": None if person_type is None else PERSON_TYPES[person_type],
        }
        count = total = 0
        with progress("listing people", None) as steps:
            async for page in site.people(wanted, None if everybody else limit):
                count, total = count + len(page.people), page.total
                for person in page.people:
                    if lines:
                        echo_json(_shown(person))
                    else:
                        listed.append(person)
                    steps.step()
        return count, total, {} if lines else await _permission_names(site)

    count, total, permissions = with_site(url, api_key, work)
    if not lines:
        show(listed, _columns(permissions), as_json)
    if count < total:
        click.echo(f"{count} of {people_counted(total)}; --all lists all of them", err=True)


@click.command("show", epilog="Example: picturematch people show 666666 --json")
@config_option
@click.argument("identity_ids", nargs=-1, required=True, metavar="ID...")
@server_options
@json_option
def show_(identity_ids: tuple[str, ...], url: str, api_key: str | None, as_json: bool) -> None:
    """Show the people with these IDs, without photos."""

    async def work(site: SiteCalls) -> tuple[list[Fields], Mapping[str, str]]:
        people = [_shown(await site.person(identity_id)) for identity_id in identity_ids]
        return people, await _permission_names(site)

    people, permissions = with_site(url, api_key, work)
    show(people, _columns(permissions), as_json)


@click.command(
    epilog="""\b
Examples:
  picturematch people add 666666 --name Ada --photo ada.jpg --photo ada-2.jpg
  picturematch people add v-17 --name Bo --type visitor --photo bo.jpg --valid-until 2026-12-01T18:00Z"""
)
@config_option
@click.argument("identity_id", metavar="ID")
@server_options
@click.option(
    "--group",
    "groups",
    multiple=True,
    show_default=DEFAULT_GROUP,
    help="Group, a name or an id; may be given several times.",
)
@_person_options
@json_option
def add(identity_id: str, url: str, api_key: str | None, groups: tuple[str, ...], as_json: bool, **person: Any) -> None:
    """Enrol a new person under ID, with or without photos; only a person with a photo is recognised.

    Where a further photo cannot be used, the person stays enrolled with the photos before it, and the exit status is 2.
    """
    photos = encoded(*person.pop("photos"))

    async def work(site: SiteCalls) -> Fields:
        names = [(await site.one("group", group)).name for group in groups]
        fields = {"identity_id": identity_id, "group_name": ",".join(names) or DEFAULT_GROUP}
        described = await _described(site, **person)
        first = {**fields, **described, "info": described["info"] or {}, "need_bring_pic": bool(photos)}
        return _shown(await _with_photos(site, "POST", first, photos))

    show_changed(f"added {identity_id}", with_site(url, api_key, work), as_json)


@click.command(
    epilog="""\b
Examples:
  picturematch people change 666666 --type vip --permission day --permission night
  picturematch people change v-17 --always-valid
  picturematch people change 666666 --photo new.jpg --replace-photos"""
)
@config_option
@click.argument("identity_id", metavar="ID")
@server_options
@click.option("--replace-photos", is_flag=True, help="Delete the present faces and photos; needs a new photo.")
@click.option(
    "--always-valid", is_flag=True, help="Remove the beginning and the end of the validity that are not given."
)
@_person_options
@json_option
def change(
    identity_id: str,
    url: str,
    api_key: str | None,
    replace_photos: bool,
    always_valid: bool,
    as_json: bool,
    **person: Any,
) -> None:
    """Change the person with that ID; what is not given stays as it is, and a photo adds a face.

    Permissions replace the present ones. Groups are changed by `picturematch groups`. KEY:=null removes a value of
    --info.
    """
    if not always_valid and not any(value not in (None, ()) for value in person.values()):
        raise click.UsageError("give at least one option that changes the person")
    if always_valid:
        person["info"] = (*_NO_LIMITS, *person["info"])
    photos = encoded(*person.pop("photos"))
    if replace_photos and not photos:
        raise click.UsageError("--replace-photos needs at least one --photo")

    async def work(site: SiteCalls) -> Fields:
        described = await _described(site, **person)
        first = {"identity_id": identity_id, **described, "info": described["info"] or {}}
        if replace_photos:
            first["support_single_face"] = True
        return _shown(await _with_photos(site, "PUT", first, photos))

    show_changed(f"changed {identity_id}", with_site(url, api_key, work), as_json)


async def _described(
    site: SiteCalls,
    *,
    name: str | None,
    fiqa_level: str | None,
    permissions: Sequence[str],
    person_type: str | None,
    valid_from: float | None,
    valid_until: float | None,
    info: Sequence[tuple[str, Any]],
) -> dict[str, Any]:
    """Return the fields of the call that describe the person; `info` is None where nothing in it was given."""
    return {
        "fiqa_level": fiqa_level,
        "info": info_of(
            info,
            name=name,
            type=None if person_type is None else PERSON_TYPES[person_type],
            permission_ids=await site.ids("permission", permissions) or None,
            valid_from=valid_from,
            valid_until=valid_until,
        ),
    }


async def _with_photos(site: SiteCalls, method: str, fields: Fields, photos: Sequence[str]) -> Fields:
    """Make a call with the first photo, and a PUT for each further photo; return the last answer.

    Raises:
        CannotRun: a call was refused; the message gives the number of the photo where earlier photos were accepted.
    """
    rest = {"identity_id": fields["identity_id"], "fiqa_level": fields["fiqa_level"], "info": {}}
    answer = await site.change(method, USERS_PATH, {**fields, "reg_photo": photos[0] if photos else None})
    for number, photo in enumerate(photos[1:], start=2):
        try:
            answer = await site.change("PUT", USERS_PATH, {**rest, "reg_photo": photo})
        except CannotRun as error:
            refused = f"photo {number} of {len(photos)} was not added, but those before it were"
            raise CannotRun(f"{refused}: {error}") from error
    return answer


async def _permission_names(site: SiteCalls) -> Mapping[str, str]:
    return {permission.id: permission.name for permission in await site.named("permission")}


def _shown(person: Fields) -> Fields:
    """Return a person without the photo, which commands do not print."""
    return {name: value for name, value in person.items() if name != "reg_photo"}


def _columns(permissions: Mapping[str, str]) -> Mapping[str, Callable[[Fields], str]]:
    def named(person: Fields) -> str:
        ids = person["info"].get("permission_ids", ())
        return ", ".join(permissions.get(each, f"{each} (deleted)") for each in ids)

    return {
        "id": lambda person: str(person["identity_id"]),
        "name": lambda person: str(person["info"].get("name", "")),
        "type": lambda person: _TYPE_NAMES.get(person["info"].get("type", 1), "unknown"),
        "groups": lambda person: ", ".join(person["group_name"]),
        "permissions": named,
        "valid": lambda person: _validity(person["info"]),
    }


def _validity(info: Fields) -> str:
    begin, end = info.get(VALID_FROM), info.get(VALID_UNTIL)
    words = [f"from {_moment(begin)}"] if begin is not None else []
    return " ".join([*words, *([f"until {_moment(end)}"] if end is not None else [])]) or "always"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)} UTC"
