"""The calls about people, groups, permissions and devices of a running server, as commands need them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from clients.errors import CannotRun
from clients.http import Client, NoAnswer
from contract.addresses import device_address
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    HISTORY_EVENT_URL_PATH,
    PERMISSION_IDS_PATH,
    USERS_PATH,
)

PAGE = 500
"""The number of people or groups that one call lists."""

Fields = Mapping[str, Any]
Kind = Literal["group", "permission"]

_LISTS: Mapping[Kind, str] = {"group": GROUP_IDS_PATH, "permission": PERMISSION_IDS_PATH}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """Some people of a list, as the server describes them, and the number of people in the whole list."""

    people: Sequence[Fields]
    total: int


class Named(msgspec.Struct, frozen=True, rename={"id": "_id"}):
    """A group or permission. `info` includes the name and the description."""

    id: str
    info: dict[str, Any]

    @property
    def name(self) -> str:
        """The name, which is unique."""
        return str(self.info.get("name", ""))

    @property
    def description(self) -> str:
        """The description; empty where there is none."""
        return str(self.info.get("description") or "")


class _Pagination(msgspec.Struct, frozen=True):
    total_count: int


class _NamedPage(msgspec.Struct, frozen=True):
    data: list[Named]
    pagination: _Pagination


class _PeopleData(msgspec.Struct, frozen=True):
    identities_list: list[dict[str, Any]]
    pagination: _Pagination


class _PeoplePage(msgspec.Struct, frozen=True):
    data: _PeopleData


class _DevicesData(msgspec.Struct, frozen=True):
    devices_list: list[dict[str, Any]]


class _DevicesPage(msgspec.Struct, frozen=True):
    data: _DevicesData


class _ReceiversData(msgspec.Struct, frozen=True):
    history_upload_event_url: list[str]


class _ReceiversPage(msgspec.Struct, frozen=True):
    data: _ReceiversData


class _Data(msgspec.Struct, frozen=True):
    data: dict[str, Any]


class SiteCalls:
    """The calls of one entered client.

    Every method raises:
        CannotRun: the server refuses the call (the message is the server's), there is no answer, or the answer is none
            of a PictureMatch server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def change(self, method: str, call: str, fields: Fields) -> dict[str, Any]:
        """Make a changing call, and return the `data` of the answer; fields that are None are not sent."""
        return (await self._send(method, call, fields, _Data)).data

    async def _send(self, method: str, call: str, fields: Fields, shape: type[T]) -> T:
        given = {name: value for name, value in fields.items() if value is not None}
        try:
            answer = await self._client.send(method, call, given)
        except NoAnswer as error:
            raise error.final() from error
        if answer.http_status != 200 or answer.code is not None:
            raise CannotRun(answer.error_text)
        try:
            return msgspec.convert(answer.fields, shape)
        except msgspec.ValidationError as error:
            url = self._client.url
            raise CannotRun(f"{url} did not answer as a PictureMatch server does ({error}); check the URL") from error

    async def named(self, kind: Kind, text: str | None = None, *, exact: bool = False) -> list[Named]:
        """Return the groups or permissions, in the order of their names; `text`: those whose name contains it.

        `exact`: those whose name is `text`, which are one or none.
        """
        found: list[Named] = []
        while True:
            fields = {"info.name": text, "exact": exact or None, "skip_num": len(found), "limit": PAGE}
            page = await self._send("GET", _LISTS[kind], fields, _NamedPage)
            found += page.data
            if not page.data or len(found) >= page.pagination.total_count:
                return found

    async def one(self, kind: Kind, name: str) -> Named:
        """Return the group or permission with that name, or else with that id."""
        exact = await self.named(kind, name, exact=True)
        found = exact or [each for each in await self.named(kind) if each.id == name]
        if not found:
            raise CannotRun(f"no {kind} has the name or the id {name}; see `picturematch {kind}s list`")
        return found[0]

    async def ids(self, kind: Kind, names: Sequence[str]) -> list[str]:
        """Return the ids of the groups or permissions with these names or ids, in this order."""
        return [(await self.one(kind, name)).id for name in names]

    async def people(self, wanted: Fields, most: int | None) -> AsyncIterator[PeoplePage]:
        """Yield the wanted people without photos, in pages, in the order of their identity_id; at most `most` people.

        `wanted`: the fields of the call that select people.
        """
        skip = 0
        while most is None or skip < most:
            limit = PAGE if most is None else min(PAGE, most - skip)
            fields = {**wanted, "need_bring_pic": False, "skip_num": skip, "limit": limit}
            data = (await self._send("GET", USERS_PATH, fields, _PeoplePage)).data
            skip += len(data.identities_list)
            yield PeoplePage(data.identities_list, data.pagination.total_count)
            if not data.identities_list or skip >= data.pagination.total_count:
                return

    async def person(self, identity_id: str) -> Fields:
        """Return the person with that id, without photo."""
        fields = {"identity_id": identity_id, "need_bring_pic": False}
        data = (await self._send("GET", USERS_PATH, fields, _PeoplePage)).data
        if not data.identities_list:
            raise CannotRun(f"nobody is enrolled under the id {identity_id}")
        return data.identities_list[0]

    async def event_receivers(self) -> Sequence[str]:
        """Return the URLs to which the server uploads events."""
        return (await self._send("GET", HISTORY_EVENT_URL_PATH, {}, _ReceiversPage)).data.history_upload_event_url

    async def devices(self) -> Sequence[Fields]:
        """Return all devices."""
        return (await self._send("GET", DEVICES_PATH, {}, _DevicesPage)).data.devices_list

    async def device_at(self, address: str) -> Fields:
        """Return the device with that address (device_key)."""
        for device in await self.devices():
            if device.get("device_key") == device_address(str(device.get("device_type")), address):
                return device
        raise CannotRun(f"no device has the address {address}; `picturematch devices add` registers one")
