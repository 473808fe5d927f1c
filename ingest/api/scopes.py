"""The common parts of the handlers of groups and permissions: descriptions, lists in pages, and the search by name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from contract.calls.declaration import Declaration, Values
from contract.calls.scopes import NamedObject, NamedObjects
from contract.calls.shared import Pagination
from contract.errors import Code, Refused
from contract.people.site import GroupRecord, PermissionRecord, Site
from ingest.api.binding import Services, read_url, up_to_date, version_header
from ingest.call import Call
from ingest.render import Rendered, success

Named = TypeVar("Named", GroupRecord, PermissionRecord)
T = TypeVar("T")


def described(name: str, description: str, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `info` of a group or permission as answers contain it."""
    return {**info, "name": name, "description": description}


def page_of(found: Sequence[T], values: Values) -> tuple[Sequence[T], Pagination]:
    """Return the page of a list that `skip_num` and `limit` select, and its place in the list."""
    skip, limit = values["skip_num"], values["limit"]
    return found[skip : skip + limit], Pagination.of(skip, limit, len(found))


def selected(records: Mapping[str, Named], name: str | None, field: str) -> Sequence[Named]:
    """Return the record with that name, or all records by name where `name` is None.

    Raises:
        Refused: 40400: no record has that name; `field` is the field in which the name was sent.
    """
    found = _by_name(record for record in records.values() if name is None or record.name == name)
    if name is not None and not found:
        raise Refused(Code.NOT_FOUND, f"nothing with this {field} exists")
    return found


async def find(call: Call, services: Services, declaration: Declaration, *, groups: bool) -> Rendered:
    """Answer a search for groups, or else for permissions, whose name is or contains `info.name`."""
    values = read_url(call, services, declaration)
    text = values["info.name"]
    async with up_to_date(call, services):
        objects = _objects(services.people.site, groups=groups)
        found = [(i, o) for i, o in objects if text is None or (o.name == text if values["exact"] else text in o.name)]
        page, pagination = page_of(found, values)
        data = [NamedObject(id=i, info=described(o.name, o.description, o.info)) for i, o in page]
        return success(NamedObjects(data=data, pagination=pagination), version_header(services.people.version))


def _objects(site: Site, *, groups: bool) -> Sequence[tuple[str, GroupRecord | PermissionRecord]]:
    if groups:
        return [(group.group_id, group) for group in _by_name(site.groups.values())]
    return [(permission.permission_id, permission) for permission in _by_name(site.permissions.values())]


def _by_name(records: Iterable[Named]) -> Sequence[Named]:
    return sorted(records, key=lambda record: record.name)
