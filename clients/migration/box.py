"""The reading calls of a server of version 5: the box, or this server itself, whose calls are the same.

A call without an answer is made again, with growing pauses, since boxes are slow and are restarted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import pybase64

from clients.answers import ServerAnswer
from clients.errors import CannotRun
from clients.http import Client, NoAnswer, UnknownCall
from clients.migration.answers import (
    BadAnswer,
    BoxDevice,
    BoxPerson,
    Identified,
    Named,
    Read,
    devices_of,
    groups_of,
    identified_of,
    people_of,
    permissions_of,
)
from clients.migration.paging import Pages
from clients.migration.report import LeftOut
from clients.retry import Sleep, ask_patiently
from contract.errors import Code
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    GROUPS_PATH,
    IMAGES_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)

T = TypeVar("T")

_MOST_GROUPS = 10_000


class Box:
    """The objects of a server, read through its calls.

    Args:
        client: the entered client of the server.
        title: what the server is, for messages.
        sleep: waits that many seconds between attempts.
    """

    def __init__(self, client: Client, title: str, sleep: Sleep = asyncio.sleep) -> None:
        self._client, self._title, self._sleep = client, title, sleep

    async def groups(self, limit: int) -> Read[Named]:
        """Return all groups, each name once.

        Raises:
            CannotRun: the server does not answer, or not in the form that it must.
        """
        pages, found, left_out = Pages(limit), dict[str, Named](), list[LeftOut]()
        while not pages.done and len(found) < _MOST_GROUPS:
            query = {"skip_num": pages.skip, "limit": limit}
            groups, bad = self._understood(GROUPS_PATH, groups_of, await self._get(GROUPS_PATH, query))
            pages.take([group.name for group in groups], len(bad))
            found.update((group.name, group) for group in groups)
            left_out += bad
        return list(found.values()), left_out

    async def permissions(self) -> Read[Named]:
        """Return all permissions, each name once and without ids.

        Raises:
            CannotRun: the server does not answer, or not in the form that it must.
        """
        answer = await self._get(PERMISSIONS_PATH)
        permissions, bad = self._understood(PERMISSIONS_PATH, permissions_of, answer)
        return list({one.name: one for one in permissions}.values()), bad

    async def groups_named(self, name: str) -> Sequence[Identified]:
        """Return the groups of that name with their ids: one, or none where there is no such group or call.

        Raises:
            CannotRun: the server does not answer.
        """
        return await self._named(GROUP_IDS_PATH, name)

    async def permissions_named(self, name: str) -> Sequence[Identified]:
        """Return the permissions of that name with their ids, as `groups_named` does.

        Raises:
            CannotRun: the server does not answer.
        """
        return await self._named(PERMISSION_IDS_PATH, name)

    async def people(self, group_name: str, skip: int, limit: int) -> Read[BoxPerson]:
        """Return a page of the people of a group, or of everybody where the name is empty.

        Raises:
            BadAnswer: the answer is an error, or has not the form that it must have.
            CannotRun: the server does not answer.
        """
        group = {"group_name": group_name} if group_name else {}
        return people_of(_success(await self._get(USERS_PATH, {**group, "skip_num": skip, "limit": limit})))

    async def person(self, identity_id: str) -> BoxPerson | None:
        """Return a person, or None where nobody has that id.

        Raises:
            BadAnswer: the answer is an error, or has not the form that it must have.
            CannotRun: the server does not answer.
        """
        answer = await self._get(USERS_PATH, {"identity_id": identity_id})
        if answer.code == Code.ID_NOT_FOUND:
            return None
        people, _ = people_of(_success(answer))
        return next((one for one in people if one.identity_id == identity_id), None)

    async def photo(self, image_id: str) -> str:
        """Return a photo as base64, or the empty string where there is none.

        Raises:
            CannotRun: the server does not answer.
        """

        path = IMAGES_PATH.format(image_id=quote(image_id, safe=""))

        async def fetch_once() -> ServerAnswer:
            return ServerAnswer(200, {"photo": await self._client.fetch(path)})

        answer, _ = await self._ask(fetch_once)
        photo = answer.fields["photo"]
        return "" if photo is None else pybase64.b64encode_as_string(photo)

    async def devices(self) -> Read[BoxDevice] | None:
        """Return all devices, or None where the server has no such call.

        Raises:
            CannotRun: the server does not answer, or not in the form that it must.
        """
        try:
            answer = await self._get(DEVICES_PATH)
        except UnknownCall:
            return None
        return self._understood(DEVICES_PATH, devices_of, answer)

    async def _named(self, path: str, name: str) -> Sequence[Identified]:
        try:
            return identified_of(_success(await self._get(path, {"info.name": name, "exact": True})), name)
        except (BadAnswer, UnknownCall):
            return ()

    async def _get(self, path: str, query: Mapping[str, Any] | None = None) -> ServerAnswer:
        answer, _ = await self._ask(lambda: self._client.send("GET", path, query or {}))
        return answer

    async def _ask(self, ask: Callable[[], Awaitable[ServerAnswer]]) -> tuple[ServerAnswer, bool]:
        try:
            return await ask_patiently(ask, self._sleep)
        except NoAnswer as error:
            raise CannotRun(
                f"{self._title} at {self._client.url} does not answer ({error}); run the same command again to go on"
            ) from error

    def _understood(self, path: str, read: Callable[[Mapping[str, Any]], Read[T]], answer: ServerAnswer) -> Read[T]:
        try:
            return read(_success(answer))
        except BadAnswer as error:
            raise CannotRun(
                f"{self._title} at {self._client.url} did not answer GET {path} as version 5 does: {error}"
            ) from error


class Here(Box):
    """The server to which the objects of a box are taken; it is also written."""

    async def members(self, group_name: str, skip: int, limit: int) -> Read[BoxPerson]:
        """Return a page of the people of a group without their photos.

        Raises:
            BadAnswer: the answer is an error, or has not the form that it must have.
            CannotRun: the server does not answer.
        """
        query = {"group_name": group_name, "skip_num": skip, "limit": limit, "need_bring_pic": False}
        return people_of(_success(await self._get(USERS_PATH, query)))

    async def ask(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[ServerAnswer, bool]:
        """Make a call that changes something; see `ask_patiently`.

        Raises:
            CannotRun: the server does not answer.
        """
        return await self._ask(lambda: self._client.send(method, path, body))


def _success(answer: ServerAnswer) -> Mapping[str, Any]:
    if answer.http_status != 200 or answer.code is not None:
        raise BadAnswer(answer.error_text)
    return answer.fields
